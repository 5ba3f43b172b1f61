//! The look at the MCP server: what the agent would meet there, and a verdict on what it cannot use.

use fake_port::{Accepts, Endpoint, FakePort, Fault, Flow, Received, Role, Token, Tool};
use serde_json::json;

use crate::harness::{Step, annotations, assert_snapshot, config};

/// A step whose look at the server meets this fault, however often it looks.
fn meets(fault: impl Into<Fault>) -> Step {
    let (step, fault) = (Step::new(), fault.into());
    for _ in 0..5 {
        step.port.fault(Endpoint::Mcp, fault.clone());
    }
    step
}

fn looks(step: &Step) -> Vec<Received> {
    let requests = step.port.received();
    requests
        .into_iter()
        .filter(|request| request.path == "/v1")
        .collect()
}

#[test]
fn the_server_sees_what_the_agent_will_send() {
    let step = Step::new().input("allowed_actions", "deploy");
    let run = step.succeed();
    let looks = looks(&step);
    let headers = config(&run)["mcpServers"]["port"]["headers"].clone();
    for (name, value) in headers.as_object().unwrap() {
        for look in &looks {
            assert_eq!(look.header(name), value.as_str(), "{name}");
        }
    }
    assert!(
        looks[0].body.contains("port-mcp-action"),
        "{}",
        looks[0].body
    );
}

#[test]
fn servers_of_every_style() {
    for sessions in [true, false] {
        for json in [true, false] {
            for discovers in [true, false] {
                let style = FakePort::builder()
                    .sessions(sessions)
                    .json(json)
                    .discovers(discovers);
                let step = Step::against(style.page_size(7));
                let run = step.succeed();
                let tools: Vec<String> = serde_json::from_str(&run.outputs["tools"]).unwrap();
                assert_eq!(tools.len(), 19, "{sessions} {json} {discovers}");
                let closed = looks(&step).iter().any(|look| look.method == "DELETE");
                assert_eq!(closed, sessions, "a session is closed, and nothing else");
            }
        }
    }
}

#[test]
fn a_server_that_knows_only_the_later_opening() {
    let step = Step::against(FakePort::builder().sessions(false).discovers(true));
    let unknown = json!({"jsonrpc": "2.0", "id": null, "error": {"code": -32601, "message": "Method not found"}});
    step.port
        .fault(Endpoint::Mcp, Fault::status(400).json(unknown));
    step.succeed();
    assert!(looks(&step)[1].body.contains("server/discover"));
}

#[test]
fn the_session_is_closed_after_a_failure_too() {
    let step = Step::against(FakePort::builder().cursor_loop(true).page_size(5));
    assert_snapshot!(step.fail(), @"
    the tool list is endless: the MCP server returned the same page twice
    request: POST http://[PORT]/v1
    X-Trace-Id: [TRACE]
    hint: send the trace ID to Port's support; to skip this check, set `verify: false` and list exact tool names
    see: https://github.com/acme/port-mcp-action/blob/v1/docs/troubleshooting.md#the-tool-list-is-endless
    ");
    assert_eq!(looks(&step).last().unwrap().method, "DELETE");
}

#[test]
fn a_token_of_the_other_flow_is_tried() {
    let step = Step::against(FakePort::builder().accepts(Accepts::OauthOnly));
    let run = step.succeed();
    assert_eq!(run.outputs["access_token"], step.port.token(Flow::Oauth));
    assert_eq!(run.masks.len(), 3, "both tokens are masked");
    assert_snapshot!(annotations(&run, "notice"), @"The MCP server rejected the token of Port's REST exchange, and accepted the token of its own OAuth endpoint. Set `auth_method: oauth` to skip the first.");
}

#[test]
fn no_flow_is_tried_but_the_one_that_was_asked_for() {
    let port = || FakePort::builder().accepts(Accepts::OauthOnly);
    let step = Step::against(port()).input("auth_method", "api");
    assert_snapshot!(step.fail(), @"
    the MCP server rejected the token (401 Unauthorized: The access token is unknown or has expired)
    request: POST http://[PORT]/v1
    X-Trace-Id: [TRACE]
    hint: check that `api_url` and `mcp_url` belong to the same organization, and that the credentials may use MCP: 127.0.0.1 rejected a token that was just issued
    see: https://github.com/acme/port-mcp-action/blob/v1/docs/troubleshooting.md#the-mcp-server-rejected-the-token
    ");
    let step = Step::against(port()).input("auth_method", "oauth");
    assert_eq!(annotations(&step.succeed(), "notice"), "");
}

#[test]
fn when_both_flows_fail_both_stories_are_told() {
    let refused = Fault::status(401)
        .json(json!({"error": "invalid_token", "error_description": "Unknown issuer"}));
    assert_snapshot!(meets(refused).fail(), @"
    with `auth_method: api`: the MCP server rejected the token (401 Unauthorized: Unknown issuer)
    request: POST http://[PORT]/v1
    X-Trace-Id: [TRACE]
    with `auth_method: oauth`: the MCP server rejected the token (401 Unauthorized: Unknown issuer)
    request: POST http://[PORT]/v1
    X-Trace-Id: [TRACE]
    hint: check that `api_url` and `mcp_url` belong to the same organization, and that the credentials may use MCP: 127.0.0.1 rejected a token that was just issued
    see: https://github.com/acme/port-mcp-action/blob/v1/docs/troubleshooting.md#the-mcp-server-rejected-the-token
    ");

    let step = Step::against(FakePort::builder().accepts(Accepts::OauthOnly));
    step.port
        .fault(Endpoint::Oauth, Fault::status(404).text("no such route"));
    assert_snapshot!(step.fail(), @"
    with `auth_method: api`: the MCP server rejected the token (401 Unauthorized: The access token is unknown or has expired)
    request: POST http://[PORT]/v1
    X-Trace-Id: [TRACE]
    with `auth_method: oauth`: Port's token endpoint was not found at this address (404 Not Found)
    request: POST http://[PORT]/v1/token
    X-Trace-Id: [TRACE]
    hint: check that `api_url` and `mcp_url` belong to the same organization, and that the credentials may use MCP: 127.0.0.1 rejected a token that was just issued
    see: https://github.com/acme/port-mcp-action/blob/v1/docs/troubleshooting.md#the-mcp-server-rejected-the-token
    ");
}

#[test]
fn forbidden() {
    assert_snapshot!(meets(Fault::status(403).json(json!({"message": "MCP is not enabled"}))).fail(), @"
    the MCP server denied access (403 Forbidden: MCP is not enabled)
    request: POST http://[PORT]/v1
    X-Trace-Id: [TRACE]
    hint: ask an administrator of your Port organization whether these credentials may use the MCP server, and whether an IP allowlist blocks the runner's address
    see: https://github.com/acme/port-mcp-action/blob/v1/docs/troubleshooting.md#the-mcp-server-denied-access
    ");
}

#[test]
fn a_wrong_address() {
    assert_snapshot!(meets(Fault::status(404).text("not here")).fail(), @"
    there is no MCP server at this address (404 Not Found)
    request: POST http://[PORT]/v1
    X-Trace-Id: [TRACE]
    hint: check the path of `mcp_url`: Port's MCP server is at `/v1`
    see: https://github.com/acme/port-mcp-action/blob/v1/docs/troubleshooting.md#there-is-no-mcp-server-at-this-address
    ");
}

#[test]
fn a_status_without_a_meaning() {
    assert_snapshot!(meets(Fault::from(Fault::status(418).text(""))).fail(), @"
    the MCP server returned an unexpected status (418 I'm a teapot)
    request: POST http://[PORT]/v1
    X-Trace-Id: [TRACE]
    hint: check `mcp_url`, if you set it
    see: https://github.com/acme/port-mcp-action/blob/v1/docs/troubleshooting.md#the-mcp-server-returned-an-unexpected-status
    ");
}

#[test]
fn no_mcp_server() {
    assert_snapshot!(meets(Fault::NotJson).fail(), @"
    the server is not an MCP server: it returned text/html
    request: POST http://[PORT]/v1
    X-Trace-Id: [TRACE]
    hint: check that 127.0.0.1 is Port: a proxy may have returned a login page, or `api_url` or `mcp_url` may point to another server
    see: https://github.com/acme/port-mcp-action/blob/v1/docs/troubleshooting.md#the-server-is-not-an-mcp-server
    ");
    let other = Fault::status(200).json(json!({"hello": "world"}));
    assert!(
        meets(other)
            .fail()
            .starts_with("the server is not an MCP server: it returned unexpected JSON")
    );
}

#[test]
fn an_error_of_the_protocol() {
    let broken = json!({"jsonrpc": "2.0", "id": 0, "error": {"code": -32603, "message": "Internal\n::error::error"}});
    assert_snapshot!(meets(Fault::status(200).json(broken)).fail(), @"
    the MCP server returned an invalid response: error -32603: Internal ::error::error
    request: POST http://[PORT]/v1
    X-Trace-Id: [TRACE]
    hint: send the trace ID to Port's support; to skip this check, set `verify: false` and list exact tool names
    see: https://github.com/acme/port-mcp-action/blob/v1/docs/troubleshooting.md#the-mcp-server-returned-an-invalid-response
    ");
}

#[test]
fn a_redirect() {
    let elsewhere = FakePort::start();
    assert_snapshot!(meets(Fault::Redirect(elsewhere.mcp_url().to_owned())).fail(), @"
    the MCP server redirected the request to http://[PORT]/v1 (307 Temporary Redirect)
    request: POST http://[PORT]/v1
    X-Trace-Id: [TRACE]
    hint: set `api_url` or `mcp_url` to the final address; redirects are not followed, because the request carries credentials
    see: https://github.com/acme/port-mcp-action/blob/v1/docs/troubleshooting.md#redirected-the-request
    ");
    assert!(elsewhere.received().is_empty(), "the token went elsewhere");
}

#[test]
fn what_may_pass_is_tried_again() {
    let step = Step::new();
    for fault in [
        Fault::status(503).header("retry-after", "0").into(),
        Fault::Close,
    ] {
        step.port.fault(Endpoint::Mcp, fault);
    }
    step.succeed();
    assert_snapshot!(meets(Fault::status(502).header("retry-after", "0").text("bad gateway")).fail(), @"
    the MCP server returned a server error (502 Bad Gateway)
    request: POST http://[PORT]/v1 (5 attempts)
    X-Trace-Id: [TRACE]
    hint: check https://status.port.io and run the job again later; if the error persists, send the trace ID to Port's support
    see: https://github.com/acme/port-mcp-action/blob/v1/docs/troubleshooting.md#the-mcp-server-returned-a-server-error
    ");
    assert_snapshot!(meets(Fault::status(429).header("retry-after", "240")).fail(), @"
    the MCP server's rate limit was exceeded (429 Too Many Requests)
    request: POST http://[PORT]/v1
    X-Trace-Id: [TRACE]
    hint: wait 4m; lower `max-parallel` in the matrix, use one connect step for several agent steps, or raise `timeout`; Port counts requests by IP address and by credentials
    see: https://github.com/acme/port-mcp-action/blob/v1/docs/troubleshooting.md#the-mcp-servers-rate-limit-was-exceeded
    ");
}

#[test]
fn no_answer_in_time() {
    // Long enough for the token, whatever the load; the first look is the last.
    let errors = meets(Fault::Hang).input("timeout", "8s").fail();
    assert!(
        errors.starts_with("the MCP server could not be reached: no response within"),
        "{errors}"
    );
}

#[test]
fn tls_that_is_none() {
    let step = Step::new();
    let mcp = step.port.mcp_url().replace("http:", "https:");
    assert_snapshot!(step.input("mcp_url", mcp).fail(), @"
    the MCP server could not be reached: TLS failed (received corrupt message of type InvalidContentType)
    request: POST https://[PORT]/v1
    hint: check that 127.0.0.1 speaks TLS on this port, and whether a proxy inspects the connection
    see: https://github.com/acme/port-mcp-action/blob/v1/docs/troubleshooting.md#tls-failed
    ");
}

#[test]
fn an_answer_that_breaks_off() {
    let errors = meets(Fault::Truncated).fail();
    assert!(
        errors.starts_with("the MCP server could not be reached: the connection closed"),
        "{errors}"
    );
}

#[test]
fn more_than_can_be_a_list_of_tools() {
    let endless = FakePort::builder().tools(251).page_size(1);
    let errors = Step::against(endless).input("read_only", "false").fail();
    assert!(
        errors.starts_with("the tool list is too long: more than 250 pages"),
        "{errors}"
    );
    let huge = Tool::new("get_all").description("x".repeat(17 * 1024 * 1024));
    for json in [true, false] {
        let errors = Step::against(FakePort::builder().json(json).offer(huge.clone())).fail();
        assert!(
            errors.starts_with("the tool list is too long: more than 16 MiB"),
            "{errors}"
        );
    }
}

#[test]
fn an_identity_without_any_tool() {
    assert_snapshot!(Step::against(FakePort::builder().role(Role::None)).fail(), @"
    the MCP server offers no tools to these credentials
    request: POST http://[PORT]/v1
    X-Trace-Id: [TRACE]
    hint: check the role of these credentials in Port (Developer or Builder): the role may lack the permission for every tool
    see: https://github.com/acme/port-mcp-action/blob/v1/docs/troubleshooting.md#the-mcp-server-offers-no-tools-to-these-credentials
    ");
}

#[test]
fn an_echo_gives_no_token_away() {
    // The harness looks for the token in what the step printed.
    let errors = meets(Fault::Echo).fail();
    assert!(errors.contains("***"), "{errors}");
}

#[test]
fn a_token_that_is_longer_than_a_quote_is_not_cut_but_taken_out() {
    // The harness would find the whole token; what a cut leaves of it, only this.
    let step = Step::against(FakePort::builder().token(Token::Literal("t0k3n".repeat(100))));
    let echo = format!("invalid token: Bearer {}", step.port.token(Flow::Rest));
    let error = json!({"jsonrpc": "2.0", "id": 0, "error": {"code": -32001, "message": echo}});
    for _ in 0..2 {
        step.port
            .fault(Endpoint::Mcp, Fault::status(200).json(error.clone()));
    }
    let errors = step.fail();
    assert!(errors.contains("invalid token: Bearer ***\n"), "{errors}");

    let description = format!("Wants {}", step.port.token(Flow::Rest));
    let port = FakePort::builder()
        .token(Token::Literal("t0k3n".repeat(100)))
        .offer(Tool::new("get_all").description(description));
    let run = Step::against(port)
        .input("allowed_tools", "get_all")
        .succeed();
    assert!(!run.summary.contains("t0k3n"), "{}", run.summary);
}

#[test]
fn without_a_look_nothing_is_asked() {
    let step = Step::new()
        .input("verify", "false")
        .input("allowed_tools", "list_entities, get_entities");
    let run = step.succeed();
    assert_eq!(run.outputs["tools"], r#"["list_entities","get_entities"]"#);
    assert!(looks(&step).is_empty());
    for patterns in ["*", "list_*", "list_entities, !get_page"] {
        let errors = Step::new()
            .input("verify", "false")
            .input("allowed_tools", patterns)
            .fail();
        assert!(errors.contains("contains patterns"), "{errors}");
    }
}

#[test]
fn everything_works_through_a_proxy_at_ports_own_addresses() {
    let step = Step::behind_a_proxy(FakePort::builder());
    step.succeed();
    let mut hosts = step.port.tunneled();
    hosts.dedup();
    assert_eq!(hosts, ["api.port.io:443", "mcp.port.io:443"]);
}
