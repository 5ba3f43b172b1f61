//! Port's responses as the agent gets them through the gateway: errors without secrets, events at once, and sessions that
//! Port forgot.

use std::sync::mpsc::channel;

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use fake_port::{Endpoint, Fault, Flow};
use reqwest::Method;
use reqwest::header::HeaderMap;
use serde_json::{Value, json};

use crate::gateway::{Gateway, STREAM, call_of, in_front_of, message, upstream};

/// The notations of a token that only a search in all notations finds.
fn notations(token: &str) -> [String; 4] {
    let middle = token.len() / 2;
    [
        format!("{}\n{}", &token[..middle], &token[middle..]),
        token.replace('.', "\\u002e"),
        BASE64_STANDARD.encode(format!("Bearer {token}")),
        token.to_uppercase(),
    ]
}

/// Whether a text contains what only the token has.
fn has_token(text: &str, token: &str) -> bool {
    let text: String = text.replace("\\n", "").to_lowercase();
    let payload = token.split('.').nth(1).unwrap();
    let encoded = BASE64_STANDARD
        .encode(format!("Bearer {token}"))
        .to_lowercase();
    let is_in = |secret: &str| text.contains(&secret.to_lowercase()[..24.min(secret.len())]);
    is_in(payload) || is_in(&encoded[encoded.len() / 2..])
}

#[tokio::test]
async fn an_error_is_an_error_whatever_its_status() {
    let gateway = Gateway::start();
    let session = gateway.open().await;
    let port = &gateway.step.port;
    let token = port.token(Flow::Rest);
    for text in notations(&token) {
        let error =
            json!({"jsonrpc": "2.0", "id": 1, "error": {"code": -32000, "message": "TEXT"}});
        let failed = json!({"jsonrpc": "2.0", "id": 1, "result": {"content": [{"type": "text", "text": "TEXT"}], "isError": true}});
        let text = text.replace('\n', "\\n");
        for body in [error, failed].map(|body| body.to_string().replace("TEXT", &text)) {
            assert!(has_token(&body, &token), "{body}");
            for (method, name) in [
                (Method::POST, "initialize"),
                (Method::POST, "tools/list"),
                (Method::POST, "tools/call"),
                (Method::POST, "ping"),
                (Method::GET, ""),
            ] {
                let whole = Fault::status(200).header("content-type", "application/json");
                for fault in [
                    whole.text(&body),
                    Fault::status(200).events(format!("data: {body}\n\n")),
                    Fault::status(200).events(format!("data: {body}\r\n\r\n")),
                ] {
                    port.fault(Endpoint::Mcp, fault);
                    let params = json!({"name": "list_entities"});
                    let sent = json!({"jsonrpc": "2.0", "id": 1, "method": name, "params": params});
                    let request = gateway.http.request(method.clone(), gateway.url());
                    let request = request.headers(session.clone()).body(sent.to_string());
                    let passed = request.send().await.unwrap().text().await.unwrap();
                    assert!(!has_token(&passed, &token), "{method} {name}: {passed}");
                }
            }
        }
    }
}

#[tokio::test]
async fn a_long_error_has_no_text_and_a_long_result_keeps_its_bytes() {
    let gateway = Gateway::start();
    let session = gateway.open().await;
    let long = "x".repeat(100_000);
    let error = json!({"jsonrpc": "2.0", "id": 7, "error": {"code": -32000, "message": long}});
    let result =
        json!({"jsonrpc": "2.0", "id": 7, "result": {"content": [{"type": "text", "text": long}]}});
    for (body, is_error) in [(error.to_string(), true), (result.to_string(), false)] {
        let events = format!("id: 1\ndata: {body}\r\n\r\n");
        let whole = Fault::status(200).header("content-type", "application/json");
        for (fault, sent) in [
            (whole.text(&body), &body),
            (Fault::status(200).events(&events), &events),
        ] {
            gateway.step.port.fault(Endpoint::Mcp, fault);
            let response = gateway
                .post(session.clone(), call_of("list_entities"))
                .await;
            assert_eq!(response.status(), 200);
            let text = response.text().await.unwrap();
            if is_error {
                let error = message(&text);
                assert_eq!(
                    (&error["id"], &error["error"]["code"]),
                    (&json!(7), &json!(-32000))
                );
                assert!(text.len() < 200, "{text}");
            } else {
                assert_eq!(text, *sent);
            }
        }
    }
}

#[tokio::test]
async fn every_header_that_passes_is_looked_through() {
    let gateway = Gateway::start();
    let port = &gateway.step.port;
    let token = port.token(Flow::Rest);
    let initialize =
        json!({"jsonrpc": "2.0", "id": 0, "method": "initialize", "params": {}}).to_string();
    let result = json!({"jsonrpc": "2.0", "id": 0, "result": {"capabilities": {"tools": {}}}});
    let end = &token[token.len() - 30..];
    for id in [
        token.clone(),
        BASE64_STANDARD.encode(&token),
        token.replace('.', "%2E"),
        end.to_owned(),
    ] {
        let fault = Fault::status(200).header("mcp-session-id", &id);
        let fault = fault
            .header("retry-after", &id)
            .header("cache-control", &id);
        port.fault(Endpoint::Mcp, fault.json(&result));
        let response = gateway.post(gateway.headers(), initialize.clone()).await;
        let own = response.headers()["mcp-session-id"].clone();
        for name in ["retry-after", "cache-control"] {
            assert!(!response.headers().contains_key(name), "{id}");
        }
        assert_ne!(own, id);
        // Port gets its own ID.
        let mut session = gateway.headers();
        session.insert("mcp-session-id", own);
        let before = port.received().len();
        gateway.post(session, call_of("list_entities")).await;
        let sent = &port.received()[before];
        assert!(sent.headers.contains(&("mcp-session-id".to_owned(), id)));
    }
}

/// Reads one chunk of a response.
async fn chunk(response: &mut reqwest::Response) -> String {
    let chunk = response.chunk().await.unwrap().unwrap_or_default();
    String::from_utf8(chunk.into()).unwrap()
}

#[tokio::test]
async fn a_complete_event_leaves_at_once_and_whole() {
    let notice = json!({"jsonrpc": "2.0", "method": "notifications/tools/list_changed"});
    for method in [Method::GET, Method::POST] {
        let (url, requests) = upstream();
        let gateway = in_front_of(&url);
        let (reported, next) = channel::<()>();
        let event = format!("event: message\r\ndata: {notice}\r\n\r\n");
        let (first, rest) = (event.clone(), event.clone());
        let server = std::thread::spawn(move || {
            let mut seen = requests.recv().unwrap();
            seen.write(STREAM);
            seen.write(&first);
            // Each part is sent only after the client has reported the one before.
            next.recv().unwrap();
            seen.write(rest.strip_suffix('\n').unwrap());
            next.recv().unwrap();
            seen.write("\n");
            next.recv().unwrap();
            seen.write(": ping\r\n");
            next.recv().unwrap();
        });
        let request = gateway.http.request(method.clone(), gateway.url());
        let request = request
            .headers(gateway.headers())
            .body(call_of("list_entities"));
        let mut response = request.send().await.unwrap();
        let cut = event.strip_suffix('\n').unwrap();
        for expected in [&event, cut, "\n", ": ping\r\n"] {
            assert_eq!(chunk(&mut response).await, expected, "{method}");
            reported.send(()).unwrap();
        }
        server.join().unwrap();
    }
}

fn error(code: i64, text: &str) -> Value {
    json!({"jsonrpc": "2.0", "id": 7, "error": {"code": code, "message": text}})
}

#[tokio::test]
async fn a_session_that_port_calls_unknown_is_opened_again() {
    let gateway = Gateway::start();
    let session = gateway.open().await;
    for fault in [
        Fault::status(400).json(error(-32000, "Bad Request: No valid session ID provided")),
        Fault::status(400).json(error(-32600, "Session 1 has expired")),
        Fault::status(400).text("Invalid session ID"),
        Fault::status(400).json(error(-32001, "gone")),
        Fault::status(410).text("gone"),
        Fault::status(404),
        Fault::status(200).json(error(-32001, "Session not found")),
        Fault::status(500).json(error(-32001, "Session not found")),
        Fault::status(200).events(format!(
            ": x\n\ndata: {}\n\n",
            error(-32001, "Session not found")
        )),
    ] {
        let before = gateway.reached().len();
        gateway.step.port.fault(Endpoint::Mcp, fault.clone());
        let result = gateway.call(&session, "list_entities").await;
        assert!(
            result["result"]["content"].is_array(),
            "{fault:?}: {result}"
        );
        let reached = [
            "tools/call list_entities",
            "initialize",
            "notifications/initialized",
            "tools/call list_entities",
        ];
        assert_eq!(gateway.reached()[before..], reached, "{fault:?}");
    }
}

#[tokio::test]
async fn no_other_error_is_a_lost_session_and_its_body_stays_whole() {
    let gateway = Gateway::start();
    let session = gateway.open().await;
    let long = format!("session {}", "x".repeat(30_000));
    let notice = json!({"jsonrpc": "2.0", "method": "notifications/progress", "params": {}});
    let events = format!(
        "data: {notice}\n\ndata: {}\n\n",
        error(-32001, "Session not found")
    );
    gateway
        .step
        .port
        .fault(Endpoint::Mcp, Fault::status(200).events(&events));
    let response = gateway
        .post(session.clone(), call_of("list_entities"))
        .await;
    assert_eq!(response.text().await.unwrap(), events);
    for (status, body) in [
        (400, error(-32602, "Invalid params")),
        (400, error(-32000, &long)),
        (403, error(-32000, "access denied")),
        (500, error(-32603, "session store: not found")),
        (504, error(-32001, "Request timed out")),
        // The call may have taken effect.
        (200, error(-32001, "Request timed out")),
        (200, error(-32000, "session not found")),
        (
            200,
            json!({"jsonrpc": "2.0", "id": 7, "result": {"content": [{"type": "text", "text": long}]}}),
        ),
    ] {
        let before = gateway.reached().len();
        let body = body.to_string();
        let fault = Fault::status(status).header("content-type", "application/json");
        gateway.step.port.fault(Endpoint::Mcp, fault.text(&body));
        let response = gateway
            .post(session.clone(), call_of("list_entities"))
            .await;
        assert_eq!(response.status(), status);
        assert_eq!(response.text().await.unwrap(), body);
        assert_eq!(
            gateway.reached()[before..],
            ["tools/call list_entities"],
            "{body}"
        );
    }
}

#[tokio::test]
async fn a_redirect_names_the_new_address_and_what_to_do() {
    let gateway = Gateway::start();
    let session = gateway.open().await;
    let redirect = |status: u16| {
        let to = "https://user:password@new.port.example/v2?code=hidden";
        gateway
            .step
            .port
            .fault(Endpoint::Mcp, Fault::status(status).header("location", to));
    };
    for status in [301, 302, 303, 307, 308] {
        for name in ["tools/call", "tools/list", "initialize", "ping"] {
            redirect(status);
            let params = json!({"name": "list_entities"});
            let error = gateway.request(&session, name, params).await;
            let text = error["error"]["message"]
                .as_str()
                .unwrap_or_else(|| panic!("{error}"));
            assert_eq!(error["id"], "a-1");
            assert!(
                text.starts_with(
                    "the MCP server redirected the request to https://new.port.example/v2 ("
                ),
                "{text}"
            );
            assert!(
                text.contains(": set `mcp_url` to the final address; "),
                "{text}"
            );
        }
    }
    redirect(308);
    let get = gateway.http.get(gateway.url()).headers(session.clone());
    let response = get.send().await.unwrap();
    assert_eq!(response.status(), 502);
    assert!(response.text().await.unwrap().contains("new.port.example"));
    // A relative one, and none.
    for location in [Some("/mcp"), None] {
        let fault = Fault::status(307);
        let fault = location.map_or(fault.clone(), |to| fault.header("location", to));
        gateway.step.port.fault(Endpoint::Mcp, fault);
        let error = gateway.call(&session, "list_entities").await;
        let text = error["error"]["message"].as_str().unwrap();
        let to = location.map_or("redirected the request (307", |_| "/mcp (307");
        assert!(text.contains(to), "{text}");
    }
}

#[tokio::test]
async fn what_is_rejected_is_not_advertised() {
    let gateway = Gateway::start();
    let capabilities = json!({
        "tools": {"listChanged": true},
        "tasks": {"list": {}, "cancel": {}, "requests": {"tools": {"call": {}}}},
        "extensions": {"io.modelcontextprotocol/tasks": {}, "io.modelcontextprotocol/ui": {}},
        "experimental": {"x": {}},
        "prompts": {}, "Resources": {}, "completions": {}, "logging": {}, "other": {},
    });
    let result = json!({"jsonrpc": "2.0", "id": 1, "result": {"capabilities": capabilities}});
    for method in ["initialize", "server/discover"] {
        for fault in [
            Fault::status(200).json(&result),
            Fault::status(200).events(format!("data: {result}\r\n\r\n")),
        ] {
            gateway.step.port.fault(Endpoint::Mcp, fault);
            let passed = gateway
                .request(&HeaderMap::clone(&gateway.headers()), method, json!({}))
                .await;
            assert_eq!(
                passed["result"]["capabilities"],
                json!({
                    "tools": {"listChanged": true},
                    "tasks": {"cancel": {}, "requests": {"tools": {"call": {}}}},
                    "extensions": {"io.modelcontextprotocol/tasks": {}},
                    "experimental": {"x": {}},
                })
            );
        }
    }
}
