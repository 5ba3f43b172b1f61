//! The preflight check of the MCP server: its requests, and its errors.

use fake_port::{Accepts, Endpoint, FakePort, Fault, Flow, Received, Role, Token, Tool};
use serde_json::json;

use crate::harness::{Step, annotations, assert_snapshot, config};

/// A step in which every attempt of the preflight check gets this fault.
fn with_fault(fault: impl Into<Fault>) -> Step {
    let (step, fault) = (Step::new(), fault.into());
    for _ in 0..5 {
        step.port.fault(Endpoint::Mcp, fault.clone());
    }
    step
}

/// The requests of the preflight check.
fn preflight_requests(step: &Step) -> Vec<Received> {
    let requests = step.port.received();
    requests
        .into_iter()
        .filter(|request| request.path == "/v1")
        .collect()
}

#[test]
fn the_preflight_check_sends_the_headers_of_the_agent() {
    let step = Step::new().input("allowed_actions", "deploy");
    let run = step.succeed();
    let requests = preflight_requests(&step);
    let headers = config(&run)["mcpServers"]["port"]["headers"].clone();
    for (name, value) in headers.as_object().unwrap() {
        for request in &requests {
            assert_eq!(request.header(name), value.as_str(), "{name}");
        }
    }
    assert!(
        requests[0].body.contains("port-mcp-action"),
        "{}",
        requests[0].body
    );
}

#[test]
fn servers_with_and_without_sessions_json_and_discovery() {
    for sessions in [true, false] {
        for json in [true, false] {
            for discovers in [true, false] {
                let port = FakePort::builder()
                    .sessions(sessions)
                    .json(json)
                    .discovers(discovers);
                let step = Step::against(port.page_size(7));
                let run = step.succeed();
                let tools: Vec<String> = serde_json::from_str(&run.outputs["tools"]).unwrap();
                assert_eq!(tools.len(), 19, "{sessions} {json} {discovers}");
                let requests = preflight_requests(&step);
                let closed = requests.iter().any(|request| request.method == "DELETE");
                assert_eq!(closed, sessions, "only a session is closed");
            }
        }
    }
}

#[test]
fn a_server_without_the_initialize_handshake() {
    let step = Step::against(FakePort::builder().sessions(false).discovers(true));
    let unknown = json!({"jsonrpc": "2.0", "id": null, "error": {"code": -32601, "message": "Method not found"}});
    step.port
        .fault(Endpoint::Mcp, Fault::status(400).json(unknown));
    step.succeed();
    assert!(
        preflight_requests(&step)[1]
            .body
            .contains("server/discover")
    );
}

/// An error without an ID says that the server could not read the ID. Nothing waits for another response.
#[test]
fn a_json_response_without_an_id() {
    let error =
        json!({"jsonrpc": "2.0", "id": null, "error": {"code": -32603, "message": "out of order"}});
    let events = format!("event: message\ndata: {error}\n\n");
    for fault in [
        Fault::status(200).json(&error),
        Fault::status(200).events(events),
    ] {
        let step = in_a_session([fault.into()]);
        let errors = step.fail();
        assert!(errors.contains("error -32603: out of order"), "{errors}");
        let last = preflight_requests(&step).pop().unwrap();
        assert_eq!(last.method, "DELETE");
    }
    for message in [
        json!({"jsonrpc": "2.0", "method": "notifications/message", "params": {"level": "info", "data": 1}}),
        json!({"jsonrpc": "2.0", "id": 1, "method": "ping"}),
    ] {
        let errors = in_a_session([Fault::status(200).json(message).into()]).fail();
        assert!(
            errors.contains("it returned a message that is not a response"),
            "{errors}"
        );
    }
}

#[test]
fn text_that_was_cut_within_a_character_and_an_empty_cursor_are_accepted() {
    let list = r#"{"jsonrpc":"2.0","id":1,"result":{"nextCursor":"","tools":[{"name":"list_it","description":"cut \ud83d","inputSchema":{"type":"object"},"annotations":{"readOnlyHint":true}}]}}"#;
    let json = Fault::status(200).header("content-type", "application/json");
    for fault in [
        json.text(list),
        Fault::status(200).events(format!("data: {list}\n\n")),
    ] {
        let run = in_a_session([fault.into()]).succeed();
        assert_eq!(run.outputs["tools"], r#"["list_it"]"#);
    }
    let out_of_range = list.replace("\"object\"", "1e400");
    let fault = Fault::status(200).header("content-type", "application/json");
    let errors = in_a_session([fault.text(out_of_range).into()]).fail();
    assert!(
        errors.contains("invalid JSON: number out of range"),
        "{errors}"
    );
}

/// The MCP server opens a session, and then responds with these to the requests for the list of tools.
fn in_a_session(faults: impl IntoIterator<Item = Fault>) -> Step {
    let step = Step::new();
    let result = json!({"protocolVersion": "2025-06-18", "capabilities": {"tools": {}}, "serverInfo": {"name": "x", "version": "1"}});
    let opened = Fault::status(200)
        .header("mcp-session-id", "s")
        .json(json!({"jsonrpc": "2.0", "id": 0, "result": result}));
    step.port.fault(Endpoint::Mcp, opened);
    step.port.fault(Endpoint::Mcp, Fault::status(202));
    for fault in faults {
        step.port.fault(Endpoint::Mcp, fault);
    }
    step
}

/// The second list only improves the hint, so nothing waits for it.
#[test]
fn a_missing_tool_is_reported_although_the_second_list_fails() {
    let list = json!({"tools": [{"name": "list_it", "inputSchema": {"type": "object"}}]});
    let step = in_a_session([
        Fault::status(200)
            .json(json!({"jsonrpc": "2.0", "id": 1, "result": list}))
            .into(),
        Fault::status(200).into(),
        Fault::status(429).header("retry-after", "1").into(),
    ]);
    let step = step.input("allowed_tools", "list_them");
    let errors = step.fail();
    assert!(
        errors.contains("tool `list_them` is not available"),
        "{errors}"
    );
    assert_eq!(preflight_requests(&step).len(), 5);
}

#[test]
fn the_session_is_closed_after_an_error() {
    let step = Step::against(FakePort::builder().cursor_loop(true).page_size(5));
    assert_snapshot!(step.fail(), @"
    the tool list is endless: the MCP server returned the same page twice
    request: POST http://[PORT]/v1
    X-Trace-Id: [TRACE]
    hint: send the trace ID to Port's support; to skip this check, set `verify: false` and list exact tool names
    see: https://github.com/acme/port-mcp-action/blob/v1/docs/troubleshooting.md#the-tool-list-is-endless
    ");
    assert_eq!(preflight_requests(&step).last().unwrap().method, "DELETE");
}

#[test]
fn auth_method_auto_tries_both_flows() {
    let step = Step::against(FakePort::builder().accepts(Accepts::OauthOnly));
    let run = step.succeed();
    assert_eq!(run.outputs["access_token"], step.port.token(Flow::Oauth));
    for flow in [Flow::Rest, Flow::Oauth] {
        assert!(run.masks.contains(&step.port.token(flow)), "{flow:?}");
    }
    assert_eq!(annotations(&run, "notice"), "", "nothing is wrong");
    assert!(
        run.log()
            .contains("Set `auth_method: oauth` to skip the REST exchange.")
    );
}

#[test]
fn an_explicit_auth_method_uses_only_one_flow() {
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
fn if_both_flows_fail_both_errors_are_reported() {
    let rejected = Fault::status(401)
        .json(json!({"error": "invalid_token", "error_description": "Unknown issuer"}));
    assert_snapshot!(with_fault(rejected).fail(), @"
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
    assert_snapshot!(with_fault(Fault::status(403).json(json!({"message": "MCP is not enabled"}))).fail(), @"
    the MCP server denied access (403 Forbidden: MCP is not enabled)
    request: POST http://[PORT]/v1
    X-Trace-Id: [TRACE]
    hint: ask an administrator of your Port organization whether these credentials may use the MCP server, and whether an IP allowlist blocks the runner's address
    see: https://github.com/acme/port-mcp-action/blob/v1/docs/troubleshooting.md#the-mcp-server-denied-access
    ");
}

#[test]
fn a_wrong_address() {
    assert_snapshot!(with_fault(Fault::status(404).text("not here")).fail(), @"
    there is no MCP server at this address (404 Not Found)
    request: POST http://[PORT]/v1
    X-Trace-Id: [TRACE]
    hint: check the path of `mcp_url`: Port's MCP server is at `/v1`
    see: https://github.com/acme/port-mcp-action/blob/v1/docs/troubleshooting.md#there-is-no-mcp-server-at-this-address
    ");
}

#[test]
fn an_unexpected_status() {
    assert_snapshot!(with_fault(Fault::from(Fault::status(418).text(""))).fail(), @"
    the MCP server returned an unexpected status (418 I'm a teapot)
    request: POST http://[PORT]/v1
    X-Trace-Id: [TRACE]
    hint: check `mcp_url`, if you set it
    see: https://github.com/acme/port-mcp-action/blob/v1/docs/troubleshooting.md#the-mcp-server-returned-an-unexpected-status
    ");
}

#[test]
fn a_server_that_is_not_an_mcp_server() {
    assert_snapshot!(with_fault(Fault::NotJson).fail(), @"
    the server is not an MCP server: it returned text/html
    request: POST http://[PORT]/v1
    X-Trace-Id: [TRACE]
    hint: check that 127.0.0.1 is Port: a proxy may have returned a login page, or `api_url` or `mcp_url` may point to another server
    see: https://github.com/acme/port-mcp-action/blob/v1/docs/troubleshooting.md#the-server-is-not-an-mcp-server
    ");
    let other = Fault::status(200).json(json!({"hello": "world"}));
    assert!(
        with_fault(other)
            .fail()
            .starts_with("the server is not an MCP server: it returned unexpected JSON")
    );
}

#[test]
fn a_protocol_error() {
    let broken = json!({"jsonrpc": "2.0", "id": 0, "error": {"code": -32603, "message": "Internal\n::error::error"}});
    assert_snapshot!(with_fault(Fault::status(200).json(broken)).fail(), @"
    the MCP server returned an invalid response: error -32603: Internal ::error::error
    request: POST http://[PORT]/v1
    X-Trace-Id: [TRACE]
    hint: send the trace ID to Port's support; to skip this check, set `verify: false` and list exact tool names
    see: https://github.com/acme/port-mcp-action/blob/v1/docs/troubleshooting.md#the-mcp-server-returned-an-invalid-response
    ");
}

#[test]
fn a_redirect_is_not_followed() {
    let elsewhere = FakePort::start();
    assert_snapshot!(with_fault(Fault::Redirect(elsewhere.mcp_url().to_owned())).fail(), @"
    the MCP server redirected the request to http://[PORT]/v1 (307 Temporary Redirect)
    request: POST http://[PORT]/v1
    X-Trace-Id: [TRACE]
    hint: set `api_url` or `mcp_url` to the final address; redirects are not followed, because the request carries credentials
    see: https://github.com/acme/port-mcp-action/blob/v1/docs/troubleshooting.md#redirected-the-request
    ");
    assert!(
        elsewhere.received().is_empty(),
        "the token was sent to the other server"
    );
}

#[test]
fn transient_errors_are_retried() {
    let step = Step::new();
    for fault in [
        Fault::status(503).header("retry-after", "0").into(),
        Fault::Close,
    ] {
        step.port.fault(Endpoint::Mcp, fault);
    }
    step.succeed();
    assert_snapshot!(with_fault(Fault::status(502).header("retry-after", "0").text("bad gateway")).fail(), @"
    the MCP server returned a server error (502 Bad Gateway)
    request: POST http://[PORT]/v1 (5 attempts)
    X-Trace-Id: [TRACE]
    hint: check https://status.port.io and run the job again later; if the error persists, send the trace ID to Port's support
    see: https://github.com/acme/port-mcp-action/blob/v1/docs/troubleshooting.md#the-mcp-server-returned-a-server-error
    ");
    assert_snapshot!(with_fault(Fault::status(429).header("retry-after", "240")).fail(), @"
    the MCP server's rate limit was exceeded (429 Too Many Requests)
    request: POST http://[PORT]/v1
    X-Trace-Id: [TRACE]
    hint: wait 4m; lower `max-parallel` in the matrix, use one connect step for several agent steps, or raise `timeout`; Port may count requests by IP address and by credentials
    see: https://github.com/acme/port-mcp-action/blob/v1/docs/troubleshooting.md#the-mcp-servers-rate-limit-was-exceeded
    ");
}

#[test]
fn no_response_in_time() {
    // Long enough for the token under load. The second preflight request lasts until the deadline.
    let step = Step::new();
    let unavailable = Fault::status(503).header("retry-after", "0");
    step.port.fault(Endpoint::Mcp, unavailable);
    step.port.fault(Endpoint::Mcp, Fault::Hang);
    let errors = step.input("timeout", "8s").fail();
    assert!(
        errors.starts_with("the MCP server could not be reached: no response within"),
        "{errors}"
    );
    let earlier =
        "\nearlier attempts: the MCP server returned a server error (503 Service Unavailable)\n";
    assert!(errors.contains(earlier), "{errors}");
}

#[test]
fn a_server_without_tls() {
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
fn an_incomplete_response() {
    let errors = with_fault(Fault::Truncated).fail();
    assert!(
        errors.starts_with("the MCP server could not be reached: the connection closed"),
        "{errors}"
    );
}

#[test]
fn a_tool_list_that_is_too_long() {
    let endless = FakePort::builder().tools(251).page_size(1);
    let errors = Step::against(endless).input("read_only", "false").fail();
    assert!(
        errors.starts_with("the MCP server's responses are too long: more than 250 pages"),
        "{errors}"
    );
    let huge = Tool::new("get_all").description("x".repeat(9 * 1024 * 1024));
    for json in [true, false] {
        let errors = Step::against(FakePort::builder().json(json).offer(huge.clone())).fail();
        assert!(
            errors.starts_with("the MCP server's responses are too long: more than 8 MiB"),
            "{errors}"
        );
    }
}

/// Small values need a hundred times as much memory as their text.
#[test]
fn a_response_with_very_many_values_needs_little_memory() {
    let tool = format!(
        r#"{{"name":"a","inputSchema":{{"x":[{}0]}}}}"#,
        "[[[]]],".repeat(1_000_000)
    );
    let list = format!(r#"{{"jsonrpc":"2.0","id":1,"result":{{"tools":[{tool}]}}}}"#);
    let json = Fault::status(200).header("content-type", "application/json");
    for fault in [
        json.text(list.clone()),
        Fault::status(200).events(format!("data: {list}\n\n")),
    ] {
        let errors = in_a_session([fault.into()]).fail();
        assert!(
            errors.contains("too long: more than 500000 values"),
            "{errors}"
        );
    }
}

#[test]
fn credentials_without_any_tools() {
    assert_snapshot!(Step::against(FakePort::builder().role(Role::None)).fail(), @"
    the MCP server offers no tools to these credentials
    request: POST http://[PORT]/v1
    X-Trace-Id: [TRACE]
    hint: check the role and the permissions of these credentials in Port: they may lack the permission for every tool
    see: https://github.com/acme/port-mcp-action/blob/v1/docs/troubleshooting.md#the-mcp-server-offers-no-tools-to-these-credentials
    ");
}

#[test]
fn a_token_in_a_response_is_redacted() {
    // The harness searches the output of the step for the token.
    let errors = with_fault(Fault::Echo).fail();
    assert!(errors.contains("***"), "{errors}");
}

#[test]
fn a_token_that_is_longer_than_a_quote_is_redacted_as_a_whole() {
    // The harness searches for whole tokens only, so this test searches for a part.
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
fn without_verify_the_server_is_not_contacted() {
    let step = Step::new()
        .input("verify", "false")
        .input("allowed_tools", "list_entities, get_entities");
    let run = step.succeed();
    assert_eq!(run.outputs["tools"], r#"["list_entities","get_entities"]"#);
    assert!(preflight_requests(&step).is_empty());
    for patterns in ["*", "list_*", "list_entities, !get_page"] {
        let errors = Step::new()
            .input("verify", "false")
            .input("allowed_tools", patterns)
            .fail();
        assert!(errors.contains("contains patterns"), "{errors}");
    }
}

#[test]
fn ports_addresses_are_reached_through_a_proxy() {
    let step = Step::behind_a_proxy(FakePort::builder());
    step.succeed();
    let mut hosts = step.port.tunneled();
    hosts.dedup();
    assert_eq!(hosts, ["api.port.io:443", "mcp.port.io:443"]);
}
