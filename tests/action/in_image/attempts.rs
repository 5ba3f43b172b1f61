//! Agents that cannot connect through the gateway: each reason is in the audit, and in the post step.

use std::fs;
use std::io::{Read as _, Write as _};
use std::net::TcpStream;

use fake_port::client::initialize;
use fake_port::{Endpoint, FakePort, Fault, Flow};
use reqwest::header::{HeaderName, HeaderValue};
use reqwest::{Method, StatusCode};
use runner_double::Phase;
use serde_json::{Value, json};

use crate::gateway::{Gateway, upstream};
use crate::harness::{
    Step, annotations, assert_explained, assert_snapshot, closed_port, errors, program,
};

fn start() -> Gateway {
    Gateway::of(Step::against(FakePort::builder()).input("audit_file", "true"))
}

/// A gateway in front of another MCP server, without the preflight check.
fn in_front_of(url: &str) -> Gateway {
    let step = Step::new().input("audit_file", "true");
    Gateway::of(step.input("mcp_url", url).input("verify", "false"))
}

/// The events of failed attempts.
fn failures(gateway: &Gateway) -> Vec<Value> {
    let events = gateway.events().into_iter();
    let failed = events.filter(|event| event["event"] == "session_failed");
    failed.collect()
}

/// The reason of the only failed attempt, with Port's status, and the warning of the post step.
fn only_failure(gateway: &Gateway) -> (String, Option<u64>, String) {
    // A client can read that its connection ended before the gateway has recorded why.
    let is_recorded = |_| !failures(gateway).is_empty();
    assert!((0..100_000).any(is_recorded), "nothing is recorded");
    let events = failures(gateway);
    assert_eq!(events.len(), 1, "{events:?}");
    assert!(!gateway.audit().contains(r#""event":"session","#));
    let reason = events[0]["reason"].as_str().unwrap().to_owned();
    let warning = annotations(&gateway.step.clean_up(), "warning");
    let last = format!("Failed attempts: 1. The last one: {reason}\nhint: ");
    assert!(warning.contains(&last), "{warning}");
    (reason, events[0]["status"].as_u64(), warning)
}

#[tokio::test]
async fn the_status_of_port_is_in_the_audit_and_in_the_post_step() {
    let gateway = start();
    let fault = Fault::status(503).json(json!({"message": "down for maintenance"}));
    gateway.step.port.fault(Endpoint::Mcp, fault);
    let (status, _) = gateway.raw(&initialize()).await;
    assert_eq!(status, 503);
    let event = &failures(&gateway)[0];
    let reason =
        "the MCP server returned a server error (503 Service Unavailable: down for maintenance)";
    assert_eq!(event["reason"], reason);
    assert_eq!(event["status"], 503);
    assert_eq!(event["count"], 1);
    let post = gateway.step.clean_up();
    assert_snapshot!(annotations(&post, "warning"), @"
    no agent connected to Port through the gateway. Failed attempts: 1. The last one: the MCP server returned a server error (503 Service Unavailable: down for maintenance)
    hint: check https://status.port.io and run the job again later; if the error persists, send the trace ID to Port's support
    see: https://github.com/acme/port-mcp-action/blob/v1/docs/troubleshooting.md#the-mcp-server-returned-a-server-error
    ");
    let log = post.log();
    assert!(
        log.contains("token renewals: 0, failed attempts to connect: 1."),
        "{log}"
    );
    let row = "| Failed attempts to connect | 1 |";
    assert!(post.summary.contains(row), "{}", post.summary);
}

/// Each of these responses to `initialize` is a failed attempt with this status and reason.
async fn assert_failures(faults: Vec<(Fault, u64, &str)>) {
    for (fault, status, expected) in faults {
        let gateway = start();
        gateway.step.port.fault(Endpoint::Mcp, fault);
        gateway.raw(&initialize()).await;
        let (reason, of_port, warning) = only_failure(&gateway);
        let expected = format!("the {expected}");
        assert_eq!((reason, of_port), (expected, Some(status)));
        assert!(warning.contains("docs/troubleshooting.md#"), "{warning}");
    }
}

#[tokio::test]
async fn a_status_that_is_an_error_is_a_failed_attempt() {
    let denied = Fault::status(403).json(json!({"error": "no access"}));
    let html = Fault::status(502).header("content-type", "text/html");
    let moved = Fault::Redirect("https://port.example/".to_owned());
    let to = "redirected the request to https://port.example/";
    assert_failures(vec![
        (
            Fault::status(400).into(),
            400,
            "MCP server returned an unexpected status (400 Bad Request)",
        ),
        (
            denied.into(),
            403,
            "MCP server denied access (403 Forbidden: no access)",
        ),
        (
            Fault::status(429).into(),
            429,
            "MCP server's rate limit was exceeded (429 Too Many Requests)",
        ),
        (
            Fault::status(500).text("x".repeat(100_000)).into(),
            500,
            "MCP server returned a server error (500 Internal Server Error)",
        ),
        (
            html.text("<h1>x</h1>").into(),
            502,
            "MCP server returned a server error (502 Bad Gateway)",
        ),
        (
            moved,
            307,
            &format!("MCP server {to} (307 Temporary Redirect)"),
        ),
    ])
    .await;
    let gateway = start();
    gateway.step.port.fault(Endpoint::Mcp, Fault::status(404));
    gateway.raw(&initialize()).await;
    let (reason, status, _) = only_failure(&gateway);
    assert_eq!(
        reason,
        "there is no MCP server at this address (404 Not Found)"
    );
    assert_eq!(status, Some(404));
}

#[tokio::test]
async fn a_response_without_a_result_is_a_failed_attempt() {
    let ok = || Fault::status(200);
    let error = json!({"jsonrpc": "2.0", "id": 0, "error": {"code": -32602, "message": "too old"}});
    let notice = json!({"jsonrpc": "2.0", "method": "notifications/message", "params": {}});
    let in_event = |message: &Value| ok().events(format!("data: {message}\n\n"));
    let invalid = |text: &str| format!("MCP server returned an invalid response: {text}");
    let (is_error, is_empty) = (
        invalid("error -32602: too old"),
        invalid("it contains no result"),
    );
    let is_broken = invalid("Port's response to the connection is too large or incomplete");
    let is_other = "server is not an MCP server: it returned";
    assert_failures(vec![
        (
            Fault::NotJson,
            200,
            &format!("{is_other} text/html; charset=utf-8"),
        ),
        (ok().into(), 200, &format!("{is_other} no Content-Type")),
        (ok().json(&error).into(), 200, &is_error),
        (in_event(&error).into(), 200, &is_error),
        (
            ok().json(json!({"ok": false, "error": "internal"})).into(),
            200,
            &invalid("internal"),
        ),
        (ok().json(json!({"result": null})).into(), 200, &is_empty),
        (in_event(&notice).into(), 200, &is_empty),
        (
            ok().json("x".repeat(2 * 1024 * 1024)).into(),
            200,
            &is_broken,
        ),
        (Fault::Truncated, 200, &is_broken),
    ])
    .await;
}

#[tokio::test]
async fn no_response_is_a_failed_attempt() {
    let (_reserved, free) = closed_port();
    let not_tls = FakePort::builder();
    let not_tls = Step::against(not_tls);
    let not_tls = not_tls.port.mcp_url().replace("http:", "https:");
    for (url, expected) in [
        (
            format!("http://{free}/v1"),
            "Port could not be reached: connection refused",
        ),
        (not_tls, "Port could not be reached: TLS failed"),
        (
            "https://port.invalid/v1".to_owned(),
            "Port could not be reached: the host name could not be resolved",
        ),
    ] {
        let gateway = in_front_of(&url);
        gateway.raw(&initialize()).await;
        let (reason, status, warning) = only_failure(&gateway);
        assert!(reason.starts_with(expected), "{reason}");
        assert_eq!(status, None);
        assert!(warning.contains("docs/troubleshooting.md#"), "{warning}");
    }
}

#[tokio::test]
async fn a_broken_connection_and_a_rejected_token_are_failed_attempts() {
    let gateway = start();
    gateway.step.port.fault(Endpoint::Mcp, Fault::Close);
    gateway.raw(&initialize()).await;
    let (reason, ..) = only_failure(&gateway);
    assert!(
        reason.starts_with("the connection to Port broke"),
        "{reason}"
    );

    let gateway = start();
    for _ in 0..6 {
        gateway.step.port.fault(Endpoint::Mcp, Fault::status(401));
    }
    gateway.raw(&initialize()).await;
    let (reason, _, warning) = only_failure(&gateway);
    assert_eq!(reason, "Port rejected the credentials");
    assert!(
        warning.contains("#port-rejected-the-credentials"),
        "{warning}"
    );
}

#[tokio::test]
async fn an_agent_that_does_not_wait_is_a_failed_attempt() {
    let (url, requests) = upstream();
    let gateway = in_front_of(&url);
    let agent = gateway.send(&gateway.headers(), &initialize());
    let mut seen = requests.recv().unwrap();
    drop(agent);
    assert!(seen.is_closed());
    let warning = annotations(&gateway.step.clean_up(), "warning");
    let expected = "The last one: the agent disconnected before Port responded (after ";
    assert!(warning.contains(expected), "{warning}");
    assert_eq!(failures(&gateway).len(), 1);
}

/// A request with this method and path, with these headers in addition to an agent's, or in their place, is a failed
/// attempt with this reason.
async fn assert_rejection(
    method: Method,
    path: &str,
    headers: &[(&str, &str)],
    body: String,
    expected: &str,
) {
    let gateway = start();
    let url = gateway.url().replace("/v1", path);
    let mut all = gateway.headers();
    for (name, value) in headers {
        let name: HeaderName = name.parse().unwrap();
        all.insert(name, HeaderValue::from_str(value).unwrap());
    }
    let request = gateway.http.request(method, url).headers(all);
    // The gateway can end the connection before it has read the request.
    let _ = request.body(body).send().await;
    let (reason, status, warning) = only_failure(&gateway);
    let expected = format!("the gateway rejected the request ({expected})");
    assert_eq!(reason, expected);
    assert_eq!(status, None, "it is not Port's");
    assert!(
        warning.contains("#the-gateway-rejected-the-request"),
        "{warning}"
    );
}

#[tokio::test]
async fn a_wrong_key_or_address_is_a_failed_attempt() {
    let wrong_key = ("authorization", "Bearer x");
    let no_key = "401 Unauthorized: the key is missing or wrong";
    let not_local = "403 Forbidden: the Host or Origin is not allowed";
    let no_path = "404 Not Found: the path is not /v1";
    let no_session = "404 Not Found: session not found";
    for (path, header, expected) in [
        ("/v1", wrong_key, no_key),
        ("/v1", ("host", "gateway"), not_local),
        ("/v1", ("origin", "null"), not_local),
        ("/mcp", ("accept", "*/*"), no_path),
        ("/mcp", wrong_key, no_path),
        ("/v1", ("mcp-session-id", "x"), no_session),
    ] {
        assert_rejection(Method::POST, path, &[header], initialize(), expected).await;
    }
    assert_rejection(Method::GET, "/sse", &[], String::new(), no_path).await;
}

#[tokio::test]
async fn a_request_that_the_gateway_does_not_accept_is_a_failed_attempt() {
    let no_method = "405 Method Not Allowed: method not allowed";
    assert_rejection(Method::PUT, "/v1", &[], initialize(), no_method).await;
    let long = "x".repeat(32 * 1024);
    let type_text = "415 Unsupported Media Type: the Content-Type must be application/json";
    for (header, expected) in [
        (("content-type", "text/plain"), type_text),
        (
            ("mcp-method", "ping"),
            "400 Bad Request: the header `Mcp-Method` does not match the body",
        ),
        (
            ("x-long", long.as_str()),
            "431 Request Header Fields Too Large: message head is too large",
        ),
    ] {
        assert_rejection(Method::POST, "/v1", &[header], initialize(), expected).await;
    }
    let batch = format!("[{}]", initialize());
    let is_batch = "400 Bad Request: invalid request: invalid type: sequence, expected one JSON-RPC message (batches are not supported) at line 1 column 1";
    let large = "x".repeat(5 * 1024 * 1024);
    for (body, expected) in [
        (batch, is_batch),
        (large, "413 Payload Too Large: the body is too large"),
    ] {
        assert_rejection(Method::POST, "/v1", &[], body, expected).await;
    }
}

#[tokio::test]
async fn other_protocols_are_failed_attempts() {
    let gateway = start();
    let mut agent = gateway.connect();
    // The beginning of TLS.
    agent
        .write_all(b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03")
        .unwrap();
    let _ = agent.read_to_end(&mut Vec::new());
    let (reason, ..) = only_failure(&gateway);
    let expected = "the gateway rejected the request (400 Bad Request: invalid HTTP";
    assert!(reason.starts_with(expected), "{reason}");

    let gateway =
        Gateway::of(Step::against(FakePort::builder().sessions(false)).input("audit_file", "true"));
    let get = gateway.http.get(gateway.url()).headers(gateway.headers());
    assert_eq!(get.send().await.unwrap().status(), 405);
    let (reason, status, warning) = only_failure(&gateway);
    assert_eq!(
        reason,
        "the agent began with a GET, which Port rejected (405 Method Not Allowed)"
    );
    assert_eq!(status, Some(405));
    assert!(warning.contains("#the-agent-began-with-a-get"), "{warning}");
}

#[tokio::test]
async fn too_many_connections_are_a_failed_attempt() {
    let gateway = start();
    let others: Vec<TcpStream> = (0..512).map(|_| gateway.connect()).collect();
    let (status, text) = gateway.raw(&initialize()).await;
    assert_eq!(status, 200, "{text}");
    let error: Value = serde_json::from_str(&text).unwrap();
    assert_eq!(error["error"]["message"], "too many connections");
    assert_eq!(error["id"], 0);
    drop(others);
    let (reason, _, warning) = only_failure(&gateway);
    let expected =
        "the gateway rejected the request (503 Service Unavailable: too many connections)";
    assert_eq!(reason, expected);
    assert!(
        warning.contains("hint: run fewer agents at the same time"),
        "{warning}"
    );
}

#[tokio::test]
async fn after_a_session_failed_attempts_are_only_counted() {
    let gateway = start();
    for _ in 0..2 {
        gateway.step.port.fault(Endpoint::Mcp, Fault::status(503));
        gateway.raw(&initialize()).await;
    }
    let session = gateway.open().await;
    gateway.call(&session, "list_entities").await;
    let post = gateway.step.clean_up();
    assert_eq!(annotations(&post, "warning"), "");
    let log = post.log();
    let totals = "Sessions: 1, calls: 1, errors: 0, rejected messages: 0, token renewals: 0, failed attempts to connect: 2.";
    assert!(log.contains(totals), "{log}");
    assert!(
        post.summary.contains("| Failed attempts to connect | 2 |"),
        "{}",
        post.summary
    );
}

#[tokio::test]
async fn what_follows_a_failed_attempt_does_not_hide_its_reason() {
    let gateway = start();
    gateway.step.port.fault(Endpoint::Mcp, Fault::status(403));
    gateway.raw(&initialize()).await;
    // Clients then try the older transport, and search for a login.
    gateway.step.port.fault(Endpoint::Mcp, Fault::status(405));
    let get = gateway.http.get(gateway.url()).headers(gateway.headers());
    get.send().await.unwrap();
    let register = gateway.url().replace("/v1", "/register");
    gateway.http.post(register).send().await.unwrap();
    let (reason, ..) = only_failure(&gateway);
    assert_eq!(reason, "the MCP server denied access (403 Forbidden)");
}

#[tokio::test]
async fn failed_attempts_do_not_flood_the_audit() {
    let gateway = start();
    for _ in 0..100 {
        let response = gateway.http.post(gateway.url()).body(initialize()).send();
        assert_eq!(response.await.unwrap().status(), StatusCode::UNAUTHORIZED);
    }
    let counts: Vec<u64> = failures(&gateway)
        .iter()
        .map(|event| event["count"].as_u64().unwrap())
        .collect();
    assert_eq!(counts, [1, 2, 4, 8, 16, 32, 64]);
    // Reasons that differ each time count together.
    for number in 0..100 {
        let fault = Fault::status(403).json(json!({"message": format!("request {number}")}));
        gateway.step.port.fault(Endpoint::Mcp, fault);
        gateway.raw(&initialize()).await;
    }
    assert_eq!(failures(&gateway).len(), 7 + 19 + 7);
    let post = gateway.step.clean_up();
    let warning = annotations(&post, "warning");
    assert!(warning.contains("Failed attempts: 200. The last one: the MCP server denied access (403 Forbidden: request 99)\n"), "{warning}");
}

/// Runs `answer` on the answer of an agent, with the audit of this gateway. Returns its errors.
fn answer(gateway: &Gateway) -> String {
    let job = &gateway.step.job;
    let file = job.temp().join("answer");
    fs::write(&file, "made up").unwrap();
    let inputs = [
        ("agent", "copilot-cli"),
        ("file", file.to_str().unwrap()),
        ("audit_file", &gateway.run.outputs["audit_file"]),
    ];
    let run = job.step(&program(), Phase::Other("answer"), &inputs);
    assert_explained(&run);
    errors(&run)
}

#[tokio::test]
async fn the_answer_step_says_the_last_reason() {
    let gateway = start();
    let token = gateway.step.port.token(Flow::Rest);
    let message =
        format!("no \"access\" \\ for Bearer {token}: 100%0A##[error]x\n::error::y \u{1f600}");
    let fault = Fault::status(403).json(json!({"message": message}));
    gateway.step.port.fault(Endpoint::Mcp, Fault::status(503));
    gateway.step.port.fault(Endpoint::Mcp, fault);
    for _ in 0..2 {
        gateway.raw(&initialize()).await;
    }
    assert!(!gateway.audit().contains("##["));
    assert!(!gateway.audit().contains(&token));
    assert_snapshot!(answer(&gateway), @r#"
    the agent could not connect to the MCP server `port` (the MCP server denied access (403 Forbidden: no "access" \ for Bearer ***: 100%0A## [error]x ::error::y ‹U+1F600›)), so its answer is not based on Port
    hint: run the job again; if the error persists, check the log of the agent's step
    see: https://github.com/acme/port-mcp-action/blob/v1/docs/troubleshooting.md#the-agent-could-not-connect-to-the-mcp-server
    "#);
    gateway.step.clean_up();
}

#[tokio::test]
async fn an_agent_without_the_list_of_tools_has_no_tools() {
    let list = json!({"jsonrpc": "2.0", "id": 1, "method": "tools/list"}).to_string();
    let rpc =
        json!({"jsonrpc": "2.0", "id": 1, "error": {"code": -32603, "message": "no catalog"}});
    for (fault, reason) in [
        (
            Fault::status(503).into(),
            "Port returned no list of tools (503 Service Unavailable)",
        ),
        (
            Fault::status(200).json(rpc).into(),
            "Port returned no list of tools (no catalog)",
        ),
        (Fault::NotJson, "Port's response is not a list of tools"),
        (Fault::Close, "the connection"),
    ] {
        let gateway = start();
        let session = gateway.open().await;
        gateway.step.port.fault(Endpoint::Mcp, fault);
        gateway.post(session.clone(), list.clone()).await;
        let errors = answer(&gateway);
        assert!(
            errors.contains("the agent could not connect to the MCP server `port`"),
            "{errors}"
        );
        assert!(errors.contains(reason), "{errors}");
        gateway.post(session, list.clone()).await;
        assert_eq!(answer(&gateway), "");
        gateway.step.clean_up();
    }
}
