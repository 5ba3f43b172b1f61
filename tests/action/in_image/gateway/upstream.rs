//! The requests to Port: their headers, how often they are sent, and when they end.

use fake_port::{Endpoint, Fault, Flow};
use reqwest::header::HeaderValue;
use serde_json::json;

use crate::gateway::{Gateway, STREAM, call_of, in_front_of, message, upstream};
use crate::harness::closed_port;

#[tokio::test]
async fn the_agent_cannot_change_the_headers() {
    let gateway = Gateway::start();
    let mut session = gateway.open().await;
    session.insert("x-read-only-mode", HeaderValue::from_static("0"));
    session.insert("x-allowed-actions-to-run", HeaderValue::from_static("*"));
    session.insert("cookie", HeaderValue::from_static("a=b"));
    gateway.call(&session, "list_blueprints").await;
    let requests = gateway.step.port.received();
    let last = requests.last().unwrap();
    let header = |name: &str| -> Vec<&str> {
        let headers = last.headers.iter();
        headers
            .filter(|(known, _)| known == name)
            .map(|(_, value)| value.as_str())
            .collect()
    };
    assert_eq!(header("x-read-only-mode"), ["1"]);
    assert_eq!(header("x-allowed-actions-to-run"), [""]);
    assert!(header("cookie").is_empty());
    let token = gateway.step.port.token(Flow::Rest);
    assert_eq!(header("authorization"), [format!("Bearer {token}")]);
}

#[tokio::test]
async fn headers_of_one_connection_do_not_reach_port() {
    let gateway = Gateway::start();
    let mut session = gateway.open().await;
    session.insert("accept-encoding", HeaderValue::from_static("gzip"));
    session.insert("connection", HeaderValue::from_static("keep-alive, x-hop"));
    session.insert("x-hop", HeaderValue::from_static("1"));
    let list = gateway.request(&session, "tools/list", json!({})).await;
    assert_eq!(list["result"]["tools"].as_array().unwrap().len(), 2);
    let requests = gateway.step.port.received();
    let headers = &requests.last().unwrap().headers;
    for absent in ["accept-encoding", "x-hop"] {
        assert!(!headers.iter().any(|(name, _)| name == absent), "{absent}");
    }
}

#[tokio::test]
async fn a_call_whose_outcome_is_unknown_is_sent_once() {
    let gateway = Gateway::start();
    let session = gateway.open().await;
    let before = gateway.reached().len();
    gateway.step.port.fault(Endpoint::Mcp, Fault::Close);
    let result = gateway.call(&session, "list_entities").await;
    let text = result["error"]["message"].as_str().unwrap();
    assert!(
        text.contains("unknown whether the request took effect"),
        "{text}"
    );
    assert_eq!(gateway.reached()[before..], ["tools/call list_entities"]);
}

#[tokio::test]
async fn cancellation_reaches_port() {
    let (url, requests) = upstream();
    let gateway = in_front_of(&url);
    let cancelled =
        json!({"jsonrpc": "2.0", "method": "notifications/cancelled", "params": {"requestId": 7}})
            .to_string();
    let expected = cancelled.clone();
    let server = std::thread::spawn(move || {
        let mut seen = requests.recv().unwrap();
        assert_eq!(seen.body, expected, "with the agent's bytes");
        seen.write("HTTP/1.1 202 Accepted\r\nContent-Length: 0\r\nConnection: close\r\n\r\n");
        let mut seen = requests.recv().unwrap();
        assert!(seen.head.starts_with("POST /v1 "), "{}", seen.head);
        seen.write(STREAM);
        seen.is_closed()
    });
    let response = gateway.post(gateway.headers(), cancelled).await;
    assert_eq!(response.status(), 202);
    let response = gateway
        .post(gateway.headers(), call_of("list_entities"))
        .await;
    drop(response);
    let is_closed = tokio::task::spawn_blocking(move || server.join().unwrap());
    assert!(is_closed.await.unwrap());
}

#[tokio::test]
async fn while_port_is_away_calls_fail_and_the_gateway_goes_on() {
    let (_reserved, free) = closed_port();
    let gateway = in_front_of(&format!("http://{free}/v1"));
    for _ in 0..3 {
        let response = gateway
            .post(gateway.headers(), call_of("list_entities"))
            .await;
        assert_eq!(response.status(), 200);
        let error = message(&response.text().await.unwrap());
        let text = error["error"]["message"].as_str().unwrap();
        assert_eq!(text, "Port could not be reached: connection refused");
    }
}
