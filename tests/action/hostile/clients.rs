//! Clients of the gateway that disconnect, send too much, or are not the agent.

use std::io::{Read as _, Write as _};
use std::net::TcpStream;
use std::time::{Duration, Instant};

use fake_port::{Endpoint, FakePort, Fault, Flow};
use reqwest::header::{CONTENT_TYPE, HeaderValue};
use serde_json::{Value, json};

use crate::gateway::Gateway;
use crate::harness::{Step, after, annotations};

const CALL: &str =
    r#"{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{"name":"list_entities"}}"#;

impl Gateway {
    /// The number of calls that Port received.
    fn calls(&self) -> usize {
        let requests = self.step.port.received();
        let calls = requests.iter().filter(|request| request.body == CALL);
        calls.count()
    }
}

/// Waits, but not forever.
async fn until(is_reached: impl Fn() -> bool) {
    let started = Instant::now();
    while !is_reached() {
        assert!(started.elapsed() < Duration::from_mins(1));
        tokio::task::yield_now().await;
    }
}

fn plain(text: &str) -> Value {
    serde_json::from_str(text).unwrap_or_else(|_| panic!("{text}"))
}

/// A server that decodes the body by its charset would read the call of another tool.
#[tokio::test]
async fn a_charset_does_not_change_what_port_reads() {
    let gateway = Gateway::start();
    let mut session = gateway.open().await;
    session.remove(CONTENT_TYPE);
    for kind in [
        "application/json; charset=utf-7",
        "application/json;charset=utf-16le",
        "APPLICATION/JSON; x=\"application/x-www-form-urlencoded\"",
    ] {
        session.insert(CONTENT_TYPE, HeaderValue::from_str(kind).unwrap());
        session.append(CONTENT_TYPE, HeaderValue::from_static("text/plain"));
        assert_eq!(gateway.post(session.clone(), CALL).await.status(), 200);
        let requests = gateway.step.port.received();
        let headers = requests.last().unwrap().headers.iter();
        let kinds: Vec<&str> = headers
            .filter(|(name, _)| name == "content-type")
            .map(|(_, value)| value.as_str())
            .collect();
        assert_eq!(kinds, ["application/json"]);
    }
    let before = gateway.calls();
    for kind in ["application/x-www-form-urlencoded", "text/plain", "", "x"] {
        session.insert(CONTENT_TYPE, HeaderValue::from_str(kind).unwrap());
        let response = gateway.post(session.clone(), CALL).await;
        assert_eq!(response.status(), 200);
        let error = plain(&response.text().await.unwrap());
        let expected = "the Content-Type must be application/json";
        assert_eq!(error["error"]["message"], expected);
    }
    assert_eq!(gateway.calls(), before);
}

#[tokio::test]
async fn a_call_whose_client_disconnects_is_counted() {
    let gateway = Gateway::start();
    let session = gateway.open().await;
    gateway.step.port.fault(Endpoint::Mcp, Fault::Hang);
    let stream = gateway.send(&session, CALL);
    until(|| gateway.calls() == 1).await;
    drop(stream);
    let summary = gateway.step.clean_up().summary;
    assert!(summary.contains("| `list_entities` | 1 |"), "{summary}");
}

#[tokio::test]
async fn a_renewal_does_not_end_with_its_client() {
    let gateway = Gateway::start();
    let session = gateway.open().await;
    let port = &gateway.step.port;
    let before = gateway.exchanges();
    port.expire_tokens();
    let later = Fault::status(503).header("retry-after", "1");
    port.fault(Endpoint::Rest, later);
    let stream = gateway.send(&session, CALL);
    until(|| gateway.exchanges() > before).await;
    drop(stream);
    let result = gateway.call(&session, "list_entities").await;
    assert!(result["result"]["content"].is_array(), "{result}");
    assert_eq!(gateway.exchanges(), before + 2);
}

/// Neither can the agent, with its key.
#[tokio::test]
async fn clients_without_a_key_cannot_keep_the_post_phase_out() {
    let gateway = Gateway::start();
    let session = gateway.open().await;
    let mut strangers: Vec<TcpStream> = (0..520).map(|_| gateway.connect()).collect();
    for stranger in &mut strangers {
        stranger
            .write_all(b"GET /health HTTP/1.1\r\nHost: x\r\n\r\n")
            .unwrap();
    }
    let mut response = String::new();
    let mut stream = gateway.send(&session, CALL);
    stream.read_to_string(&mut response).unwrap();
    assert!(response.contains("too many connections"), "{response}");
    let post = gateway.step.clean_up();
    assert_eq!(annotations(&post, "warning"), "");
    assert!(post.log().contains("token renewals: 0"), "{}", post.log());
}

#[tokio::test]
async fn small_requests_of_unknown_length_do_not_use_up_the_memory() {
    let gateway = Gateway::start();
    let session = gateway.open().await;
    let chunk = format!("{:x}\r\n{CALL}\r\n0\r\n\r\n", CALL.len());
    let streams = (0..12).map(|_| {
        gateway.step.port.fault(Endpoint::Mcp, Fault::Hang);
        gateway.send_as(&session, "Transfer-Encoding: chunked", &chunk)
    });
    let streams: Vec<TcpStream> = streams.collect();
    until(|| gateway.calls() == 12).await;
    let result = gateway.call(&session, "list_entities").await;
    assert!(result["result"]["content"].is_array(), "{result}");
    drop(streams);
}

/// The container has 128 MiB.
#[tokio::test]
async fn the_largest_call_needs_little_memory() {
    let step = Step::against(FakePort::builder().records(false));
    let gateway = Gateway::of(step.program(after("ulimit -d 65536")));
    let session = gateway.open().await;
    let fill = |unit: &dyn Fn(usize) -> String| -> String {
        let mut text = String::new();
        for number in 0.. {
            let next = unit(number);
            if text.len() + next.len() > 4 * 1024 * 1024 - 200 {
                break;
            }
            text += &next;
        }
        text
    };
    let long = "\u{1f600}".repeat(1_000_000);
    for arguments in [
        format!(r#"{{"x":[{}1]}}"#, fill(&|_| "1,".to_owned())),
        format!(r#"{{"x":[{}1]}}"#, fill(&|_| "{},".to_owned())),
        format!(r#"{{"x":[{}1]}}"#, fill(&|_| "[[[]]],".to_owned())),
        format!(
            r#"{{{}"x":1}}"#,
            fill(&|number| format!(r#""{number:x}":1,"#))
        ),
        format!(r#"{{"x":"{long}"}}"#),
    ] {
        let arguments: Box<serde_json::value::RawValue> = serde_json::from_str(&arguments).unwrap();
        let body = format!(
            r#"{{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{{"name":"list_entities","arguments":{arguments}}}}}"#
        );
        let response = gateway.post(session.clone(), body).await;
        assert_eq!(response.status(), 200);
    }
    let post = gateway.step.clean_up();
    assert_eq!(annotations(&post, "warning"), "");
    assert!(
        post.summary.contains("| `list_entities` | 5 |"),
        "{}",
        post.summary
    );
}

/// A client that still sends would otherwise not read why.
#[tokio::test]
async fn the_body_of_a_rejected_request_is_read() {
    let gateway = Gateway::start();
    let mut headers = gateway.headers();
    headers.insert("mcp-session-id", HeaderValue::from_static("unknown"));
    let mut wrong = headers.clone();
    wrong.insert("authorization", HeaderValue::from_static("Bearer wrong"));
    let body = " ".repeat(3 * 1024 * 1024);
    for (headers, status) in [(headers, "404"), (wrong, "401")] {
        let framing = format!("Connection: close\r\nContent-Length: {}", body.len());
        let mut stream = gateway.send_as(&headers, &framing, &body);
        let mut response = String::new();
        stream.read_to_string(&mut response).unwrap();
        assert!(
            response.starts_with(&format!("HTTP/1.1 {status}")),
            "{response}"
        );
    }
}

#[tokio::test]
async fn halves_of_characters_reach_port_as_replacements() {
    let gateway = Gateway::start();
    let session = gateway.open().await;
    let body = CALL.replace(r#"entities""#, r#"entities","arguments":{"x":"\ud83d"}"#);
    let response = gateway.post(session, body.clone()).await;
    let response = response.text().await.unwrap();
    assert!(!response.contains("parse error"), "{response}");
    let requests = gateway.step.port.received();
    assert_eq!(requests.last().unwrap().body, body.replace("d83d", "fffd"));
}

#[tokio::test]
async fn messages_without_a_method_are_responses_without_headers_of_a_call() {
    let gateway = Gateway::start();
    let session = gateway.open().await;
    let received = gateway.step.port.received().len();
    let response = r#"{"jsonrpc":"2.0","id":1,"result":{}}"#;
    for (name, value) in [("mcp-method", "tools/call"), ("mcp-name", "delete_entity")] {
        let mut headers = session.clone();
        headers.insert(name, HeaderValue::from_static(value));
        let rejected = gateway.post(headers, response).await;
        assert_eq!(rejected.status(), 200, "{name}");
        // The ID is that of a request of the server, not of the agent.
        let rejected = plain(&rejected.text().await.unwrap());
        assert_eq!(rejected["id"], Value::Null);
        assert_eq!(rejected["error"]["code"], -32020);
    }
    for body in [
        r#"{"jsonrpc":"2.0","id":1}"#,
        r#"{"jsonrpc":"2.0","id":1,"method":null,"params":{"name":"delete_entity"}}"#,
        r#"{"jsonrpc":"2.0","id":1,"result":{},"params":{"name":"delete_entity"}}"#,
    ] {
        let rejected = gateway.post(session.clone(), body).await;
        assert_eq!(rejected.status(), 200);
        let rejected = plain(&rejected.text().await.unwrap());
        assert_eq!(rejected["error"]["code"], -32600, "{body}");
    }
    assert_eq!(gateway.step.port.received().len(), received);
}

#[tokio::test]
async fn a_notification_that_is_not_forwarded_is_recorded() {
    let gateway = Gateway::start();
    let session = gateway.open().await;
    let body = r#"{"jsonrpc":"2.0","method":"tools/call","params":{"name":"delete_entity"}}"#;
    assert_eq!(gateway.post(session, body).await.status(), 202);
    assert_eq!(gateway.calls(), 0);
    let warning = annotations(&gateway.step.clean_up(), "warning");
    assert!(warning.contains("`delete_entity` (1)"), "{warning}");
}

#[tokio::test]
async fn a_header_that_repeats_a_secret_is_not_passed() {
    let gateway = Gateway::start();
    let session = gateway.open().await;
    let port = &gateway.step.port;
    let token = port.token(Flow::Rest);
    let response = Fault::status(200)
        .header("cache-control", format!("max-age={token}"))
        .header("mcp-protocol-version", "2025-06-18")
        .json(json!({"jsonrpc": "2.0", "id": 1, "result": {}}));
    port.fault(Endpoint::Mcp, response);
    let response = gateway.post(session, CALL).await;
    assert!(response.headers().get("cache-control").is_none());
    assert_eq!(response.headers()["mcp-protocol-version"], "2025-06-18");
}

#[tokio::test]
async fn the_audit_says_what_the_response_was() {
    let step = Step::against(FakePort::builder()).input("audit_file", "true");
    let gateway = Gateway::of(step);
    let session = gateway.open().await;
    let response = |rest: &str| format!("{{\"jsonrpc\":\"2.0\",\"id\":1,{rest}}}");
    let json = |text: String| {
        Fault::status(200)
            .header("content-type", "application/json")
            .text(text)
    };
    let mut outcomes = Vec::new();
    for (fault, outcome) in [
        (Fault::status(204), "unknown"),
        (json(String::new()), "unknown"),
        (
            json(response(r#""error":{"message":"x","code":-1}"#)),
            "error",
        ),
        (
            json(response(r#""result":{"x":{"error":{"code":1}}}"#)),
            "result",
        ),
        (json(response(r#""result":{"isError":true}"#)), "error"),
        (
            Fault::status(200).events(format!("data: {}\n\n", response(r#""result":{}"#))),
            "result",
        ),
    ] {
        gateway.step.port.fault(Endpoint::Mcp, fault.clone());
        let sent = gateway.post(session.clone(), CALL).await;
        sent.text().await.unwrap();
        outcomes.push(outcome);
        let is_written = || {
            let events = gateway.events().into_iter();
            let written: Vec<Value> = events
                .filter(|event| event["event"] == "call")
                .map(|event| event["outcome"].clone())
                .collect();
            written == outcomes
        };
        until(is_written).await;
    }
}

/// Invented names do not hide the counts of granted tools.
#[tokio::test]
async fn the_counts_of_granted_tools_are_shown_after_any_number_of_rejections() {
    let gateway = Gateway::start();
    let session = gateway.open().await;
    for number in 0..250 {
        gateway.call(&session, &format!("invented_{number}")).await;
    }
    gateway.call(&session, "list_entities").await;
    let summary = gateway.step.clean_up().summary;
    assert!(
        summary.contains("| `list_entities` | 1 | 0 | 0 |"),
        "{summary}"
    );
    assert!(
        summary.contains("| `(others)` | 0 | 0 | 150 |"),
        "{summary}"
    );
}
