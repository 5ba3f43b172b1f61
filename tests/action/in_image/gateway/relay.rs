//! Port's responses on their way to the agent: byte for byte and at once, but without secrets.

use std::io::{Read as _, Write as _};
use std::sync::mpsc::channel;

use fake_port::{Endpoint, FakePort, Fault, Flow};
use reqwest::Method;
use serde_json::json;

use crate::gateway::{Gateway, STREAM, call_of, in_front_of, message, upstream};

#[tokio::test]
async fn a_silent_stream_stays_open() {
    let (url, requests) = upstream();
    let gateway = in_front_of(&url);
    let get = gateway.http.get(gateway.url()).headers(gateway.headers());
    let server = std::thread::spawn(move || {
        let mut seen = requests.recv().unwrap();
        seen.write(STREAM);
        seen
    });
    let mut stream = get.send().await.unwrap();
    let mut seen = server.join().unwrap();
    // The stream is silent at least until the time limit for headers ends another connection.
    let mut unfinished = gateway.connect();
    unfinished.write_all(b"POST /v1 HTTP/1.1\r\n").unwrap();
    let ended = tokio::task::spawn_blocking(move || {
        let mut answer = Vec::new();
        unfinished.read_to_end(&mut answer)
    });
    ended.await.unwrap().unwrap();
    seen.event(&json!({"jsonrpc": "2.0", "method": "notifications/tools/list_changed"}));
    let chunk = stream.chunk().await.unwrap().unwrap();
    let event = message(std::str::from_utf8(&chunk).unwrap());
    assert_eq!(event["method"], "notifications/tools/list_changed");
}

#[tokio::test]
async fn progress_arrives_event_by_event() {
    let (url, requests) = upstream();
    let gateway = in_front_of(&url);
    let (reported, next) = channel::<()>();
    let server = std::thread::spawn(move || {
        let mut seen = requests.recv().unwrap();
        seen.write(STREAM);
        for progress in 1..=3 {
            seen.event(&json!({"jsonrpc": "2.0", "method": "notifications/progress", "params": {"progressToken": "p", "progress": progress}}));
            // The next event is sent only after the client has reported this one.
            next.recv().unwrap();
        }
        seen.event(&json!({"jsonrpc": "2.0", "id": 7, "result": {"content": []}}));
    });
    let mut response = gateway
        .post(gateway.headers(), call_of("list_entities"))
        .await;
    for progress in 1..=3 {
        let chunk = response.chunk().await.unwrap().unwrap();
        let event = message(std::str::from_utf8(&chunk).unwrap());
        assert_eq!(event["params"]["progress"], progress);
        reported.send(()).unwrap();
    }
    let last = message(&response.text().await.unwrap());
    assert_eq!(last["id"], 7);
    server.join().unwrap();
}

#[tokio::test]
async fn a_405_for_get_reaches_the_agent() {
    let gateway = Gateway::against(FakePort::builder().sessions(false));
    let get = gateway.http.get(gateway.url()).headers(gateway.headers());
    assert_eq!(get.send().await.unwrap().status(), 405);
}

#[tokio::test]
async fn a_result_keeps_its_bytes() {
    let gateway = Gateway::start();
    let session = gateway.open().await;
    let bytes = r#"{"jsonrpc":"2.0", "id":"a-1","result":{"content":[],"x":18446744073709551616,"y":1E2,"z":-0.0,"\u0061":"\u00e9\/"},"more":[ ]}"#;
    let fault = Fault::status(200)
        .header("content-type", "application/json")
        .text(bytes);
    gateway.step.port.fault(Endpoint::Mcp, fault);
    let body = json!({"jsonrpc": "2.0", "id": "a-1", "method": "tools/call", "params": {"name": "list_entities"}});
    let response = gateway.post(session, body.to_string()).await;
    assert_eq!(response.text().await.unwrap(), bytes);
}

#[tokio::test]
async fn a_401_of_port_never_reaches_the_agent() {
    let gateway = Gateway::start();
    let session = gateway.open().await;
    for _ in 0..6 {
        gateway.step.port.fault(Endpoint::Mcp, Fault::status(401));
    }
    let body = json!({"jsonrpc": "2.0", "id": 1, "method": "tools/call", "params": {"name": "list_entities"}});
    for _ in 0..2 {
        let response = gateway.post(session.clone(), body.to_string()).await;
        assert_eq!(response.status(), 200);
        assert!(!response.headers().contains_key("www-authenticate"));
        let result = message(&response.text().await.unwrap());
        assert_eq!(result["error"]["code"], -32000, "{result}");
        let text = result["error"]["message"].as_str().unwrap();
        assert!(text.contains("Port rejected the"), "{text}");
    }
    // At most one exchange in 30 seconds, whatever Port rejects.
    let exchanges = |path: &str| {
        let requests = gateway.step.port.received();
        requests
            .iter()
            .filter(|request| request.path == path)
            .count()
    };
    assert_eq!(
        exchanges("/v1/auth/access_token"),
        2,
        "the step's, and one of the gateway's"
    );
}

#[tokio::test]
async fn an_error_that_repeats_the_token_reaches_the_agent_without_it() {
    let gateway = Gateway::start();
    let session = gateway.open().await;
    let token = gateway.step.port.token(Flow::Rest);
    let message = |method: &str| json!({"jsonrpc": "2.0", "id": 1, "method": method, "params": {"name": "list_entities"}});
    for (method, name) in [
        (Method::POST, "initialize"),
        (Method::POST, "tools/list"),
        (Method::POST, "tools/call"),
        (Method::POST, "ping"),
        (Method::GET, ""),
        (Method::DELETE, ""),
    ] {
        let text = json!({"message": format!("rejected Bearer {token}")});
        let fault = Fault::status(403).json(text);
        gateway.step.port.fault(Endpoint::Mcp, fault);
        let request = gateway.http.request(method.clone(), gateway.url());
        let request = request.headers(session.clone());
        let response = request
            .body(message(name).to_string())
            .send()
            .await
            .unwrap();
        assert_eq!(response.status(), 403, "{method} {name}");
        let text = response.text().await.unwrap();
        assert_eq!(
            text, r#"{"message":"rejected Bearer ***"}"#,
            "{method} {name}"
        );
    }
}

#[tokio::test]
async fn a_success_that_repeats_a_secret_reaches_the_agent_without_it() {
    let gateway = Gateway::start();
    let session = gateway.open().await;
    let port = &gateway.step.port;
    let (token, secret) = (port.token(Flow::Rest), port.client_secret());
    let text = format!("sent: Bearer {token}; secret: {secret}");
    let results = [
        (
            "initialize",
            json!({"capabilities": {}, "instructions": text}),
        ),
        (
            "tools/list",
            json!({"tools": [{"name": "list_entities", "description": text}]}),
        ),
        (
            "tools/call",
            json!({"content": [{"type": "text", "text": text}]}),
        ),
        ("ping", json!({"note": text})),
    ];
    for (name, result) in results {
        let body = json!({"jsonrpc": "2.0", "id": 1, "result": result});
        for fault in [
            Fault::status(200).json(&body),
            Fault::status(200).events(format!("data: {body}\n\n")),
        ] {
            port.fault(Endpoint::Mcp, fault);
            let params = json!({"name": "list_entities"});
            let message = json!({"jsonrpc": "2.0", "id": 1, "method": name, "params": params});
            let response = gateway.post(session.clone(), message.to_string()).await;
            let text = response.text().await.unwrap();
            let is_redacted = text.contains("sent: Bearer ***; secret: ***");
            assert!(is_redacted, "{name}: {text}");
        }
    }
    let notice =
        json!({"jsonrpc": "2.0", "method": "notifications/message", "params": {"data": text}});
    let stream = Fault::status(200).events(format!("data: {notice}\n\n"));
    port.fault(Endpoint::Mcp, stream);
    let stream = gateway.http.get(gateway.url()).headers(session.clone());
    let text = stream.send().await.unwrap().text().await.unwrap();
    assert!(text.contains("sent: Bearer ***; secret: ***"), "{text}");
    // The beginning of a token is not a token.
    let half = &token[..token.len() / 2];
    port.fault(Endpoint::Mcp, Fault::status(200).text(half));
    let response = gateway.post(session, call_of("list_entities")).await;
    assert_eq!(response.text().await.unwrap(), half);
}
