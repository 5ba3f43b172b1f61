//! Messages of the agent that the gateway rejects, and how it does: so that no client takes the response for the end of
//! its session.

use bytes::Bytes;
use futures_util::stream;
use reqwest::header::{HeaderMap, HeaderValue};
use reqwest::{Body, StatusCode};
use serde_json::{Value, json};

use crate::gateway::{Gateway, call_of, message};

/// The largest body that the gateway reads, and more.
const TOO_LARGE: usize = 5 * 1024 * 1024;

fn with(headers: &HeaderMap, name: &'static str, value: &'static str) -> HeaderMap {
    let mut headers = headers.clone();
    headers.insert(name, HeaderValue::from_static(value));
    headers
}

#[tokio::test]
async fn an_envelope_holds_what_json_rpc_defines_and_nothing_else() {
    let gateway = Gateway::start();
    let session = gateway.open().await;
    let before = gateway.reached().len();
    for body in [
        r#"{"jsonrpc":"2.0","id":1,"meth-od":"tools/call","error":{},"params":{"name":"delete_entity"}}"#,
        r#"{"jsonrpc":"2.0","id":1,"error":{},"method\u0000":"tools/call","params":{"name":"delete_entity"}}"#,
        r#"{"jsonrpc":"2.0","id":1,"error":{},"__proto__":{"method":"tools/call"}}"#,
        r#"{"jsonrpc":"2.0","id":1,"method":"tools/call","result":null,"params":{"name":"list_entities"}}"#,
        r#"{"jsonrpc":"2.0","id":1,"method":"tools/call","error":{},"params":{"name":"list_entities"}}"#,
        r#"{"jsonrpc":"2.0","id":1,"method":"tools/call","more":1,"params":{"name":"list_entities"}}"#,
        r#"{"jsonrpc":"2.0","id":1,"result":{},"error":{"code":1,"message":"x"}}"#,
        r#"{"jsonrpc":"2.0","id":1,"result":{},"params":{"name":"delete_entity"}}"#,
        r#"{"jsonrpc":"2.0","id":1,"method":null,"result":{}}"#,
        r#"{"jsonrpc":"2.0","result":{}}"#,
        r#"{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{"name":"list_entities","na_me":"delete_entity"}}"#,
        r#"{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{"name":"list_entities","-Name":"delete_entity"}}"#,
        r#"{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{"name":"list_entities","name\u0000":"delete_entity"}}"#,
        r#"{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{"name":"list_entities","meta":{}}}"#,
        r#"{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{"__proto__":{"name":"delete_entity"}}}"#,
        r#"{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{"name":"list_entities","__proto__":{"arguments":{}}}}"#,
    ] {
        let response = gateway.post(session.clone(), body).await;
        let error = message(&response.text().await.unwrap());
        assert_eq!(error["error"]["code"], -32600, "{body}: {error}");
    }
    assert_eq!(gateway.reached().len(), before);
    // Arguments are the tool's own, whatever their keys.
    let call = r#"{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{"name":"list_entities","task":{},"arguments":{"__proto__":{},"na_me":1,"Method":2}}}"#;
    let response = gateway.post(session.clone(), call).await;
    let result = message(&response.text().await.unwrap());
    assert!(result["error"]["message"].is_null(), "{result}");
    assert_eq!(gateway.reached()[before..], ["tools/call list_entities"]);
    for response in [
        r#"{"jsonrpc":"2.0","id":1,"result":{}}"#,
        r#"{"jsonrpc":"2.0","id":"a","error":{"code":1,"message":"x"}}"#,
        r#"{"jsonrpc":"2.0","id":null,"error":{"code":1,"message":"x"}}"#,
    ] {
        gateway.post(session.clone(), response).await;
    }
    assert_eq!(gateway.reached().len(), before + 4);
}

#[tokio::test]
async fn absent_null_and_empty_are_the_same() {
    let gateway = Gateway::start();
    let session = gateway.open().await;
    for params in [
        "",
        r#","params":null"#,
        r#","params":{}"#,
        r#","params":{"cursor":null}"#,
        r#","params":{"cursor":""}"#,
        r#","params":{"cursor": null ,"_meta":null}"#,
    ] {
        let body = format!(r#"{{"jsonrpc":"2.0","id":1,"method":"tools/list"{params}}}"#);
        let response = gateway.post(session.clone(), body).await;
        let list = message(&response.text().await.unwrap());
        let tools = list["result"]["tools"].as_array();
        assert_eq!(tools.map(Vec::len), Some(2), "{params}: {list}");
    }
    let stale = json!({"cursor": "x"});
    let stale = gateway.request(&session, "tools/list", stale).await;
    assert_eq!(stale["error"]["code"], -32602);
    let ping = r#"{"jsonrpc":"2.0","id":1,"method":"ping","params":null}"#;
    assert_eq!(gateway.post(session.clone(), ping).await.status(), 200);
    let call = r#"{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{"name":"list_entities","arguments":null}}"#;
    assert_eq!(gateway.post(session, call).await.status(), 200);
}

#[tokio::test]
async fn a_rejected_request_gets_an_error_with_its_own_id() {
    let gateway = Gateway::start();
    let session = gateway.open().await;
    let before = gateway.reached().len();
    let call = |id: &Value, arguments: &str| {
        format!(
            r#"{{"jsonrpc":"2.0","method":"tools/call","params":{{"name":"list_entities","arguments":{arguments}}},"id":{id}}}"#
        )
    };
    let deep = format!("{{\"x\":{}{}}}", "[".repeat(70), "]".repeat(70));
    let large = format!("{{\"id\":2,\"x\":\"{}\"}}", "x".repeat(TOO_LARGE));
    for id in [json!("a-\u{e9}\"1"), json!(-7)] {
        for (headers, body, code) in [
            (session.clone(), call(&id, &deep), -32600),
            (session.clone(), call(&id, &large), -32600),
            (session.clone(), call(&id, "{}, \"name\": 1"), -32600),
            (session.clone(), format!("{}}}", call(&id, "{}")), -32700),
            (
                with(&session, "mcp-method", "ping"),
                call(&id, "{}"),
                -32020,
            ),
            (
                with(&session, "mcp-name", "delete_entity"),
                call(&id, "{}"),
                -32020,
            ),
            (
                with(&session, "content-type", "text/plain"),
                call(&id, "{}"),
                -32600,
            ),
        ] {
            let response = gateway.post(headers, body).await;
            assert_eq!(response.status(), 200);
            assert_eq!(response.headers()["content-type"], "application/json");
            let error = message(&response.text().await.unwrap());
            assert_eq!(error["error"]["code"], code, "{error}");
            assert_eq!(error["id"], id, "{error}");
        }
        // Without a length, the gateway learns of it only as it reads.
        let body = call(&id, &large).into_bytes();
        let parts = body
            .chunks(64 * 1024)
            .map(|part| Ok::<_, std::io::Error>(Bytes::copy_from_slice(part)));
        let body = Body::wrap_stream(stream::iter(parts.collect::<Vec<_>>()));
        let request = gateway.http.post(gateway.url()).headers(session.clone());
        let response = request.body(body).send().await.unwrap();
        assert_eq!(response.status(), 200);
        assert_eq!(message(&response.text().await.unwrap())["id"], id);
    }
    assert_eq!(gateway.reached().len(), before);
}

#[tokio::test]
async fn without_an_id_of_a_request_there_is_none_in_the_error() {
    let gateway = Gateway::start();
    let session = gateway.open().await;
    let long = "x".repeat(TOO_LARGE);
    let deep = format!("{}{}", "[".repeat(70), "]".repeat(70));
    for (body, status) in [
        // Two ids, an id that could be another key, and none.
        (
            format!(r#"{{"jsonrpc":"2.0","id":1,"id":2,"method":"ping","params":{{"x":{deep}}}}}"#),
            400,
        ),
        (
            format!(r#"{{"jsonrpc":"2.0","id":1,"Id":2,"method":"ping","params":{{"x":{deep}}}}}"#),
            400,
        ),
        (
            format!(r#"{{"jsonrpc":"2.0","id":[1],"method":"ping","params":{{"x":{deep}}}}}"#),
            400,
        ),
        (
            format!(r#"{{"jsonrpc":"2.0","params":{{"x":{deep}}}}}"#),
            400,
        ),
        // No JSON: who sent it can wait for a response.
        (
            r#"{"jsonrpc":"2.0","method":"tools/list",id:1}"#.to_owned(),
            400,
        ),
        (
            r#"{"jsonrpc":"2.0","method":"tools/list","id" 1}"#.to_owned(),
            400,
        ),
        (
            format!(r#"[{{"jsonrpc":"2.0","id":1,"method":"ping"}}, "{long}"]"#),
            413,
        ),
        (format!(r#"{{"jsonrpc":"2.0","methods":"{long}"}}"#), 413),
        // The id of a response is that of a request of Port.
        (
            format!(r#"{{"jsonrpc":"2.0","id":1,"result":{{"x":{deep}}}}}"#),
            200,
        ),
        (
            format!(r#"{{"jsonrpc":"2.0","id":1,"result":"{long}"}}"#),
            200,
        ),
    ] {
        let response = gateway.post(session.clone(), body).await;
        assert_eq!(response.status(), status);
        let text = response.text().await.unwrap();
        let id =
            serde_json::from_str(&text).map_or(Value::Null, |error: Value| error["id"].clone());
        assert_eq!(id, Value::Null, "{text}");
    }
}

/// The official client for Python ends its session at the status of an error.
#[tokio::test]
async fn a_notification_that_is_rejected_gets_no_response() {
    let gateway = Gateway::start();
    let session = gateway.open().await;
    let before = gateway.reached().len();
    let long = "x".repeat(TOO_LARGE);
    let deep = format!("{}{}", "[".repeat(70), "]".repeat(70));
    let of = |reason: &str| {
        format!(
            r#"{{"jsonrpc":"2.0","method":"notifications/cancelled","params":{{"reason":{reason}}}}}"#
        )
    };
    let plain = of("1");
    for (headers, body) in [
        (session.clone(), of(&deep)),
        (session.clone(), of(&format!("\"{long}\""))),
        (session.clone(), plain.replace("\"params\"", "\"param\"")),
        (with(&session, "mcp-method", "ping"), plain.clone()),
        (with(&session, "content-type", "text/plain"), plain.clone()),
    ] {
        let response = gateway.post(headers, body).await;
        assert_eq!(response.status(), 202);
        assert_eq!(response.text().await.unwrap(), "");
    }
    assert_eq!(gateway.reached().len(), before);
    let unknown = with(&session, "mcp-session-id", "unknown");
    assert_eq!(gateway.post(unknown, plain.clone()).await.status(), 404);
    let strangers = with(&session, "authorization", "Bearer x");
    assert_eq!(gateway.post(strangers, plain).await.status(), 401);
}

#[tokio::test]
async fn without_sessions_the_status_is_that_of_the_specification() {
    let gateway = Gateway::start();
    let headers = with(&gateway.headers(), "mcp-protocol-version", "2026-07-28");
    for (headers, body, status, code) in [
        (
            with(&headers, "mcp-method", "ping"),
            call_of("list_entities"),
            400,
            -32020,
        ),
        (
            headers.clone(),
            call_of("list_entities").replace("\"2.0\"", "\"1.0\""),
            400,
            -32600,
        ),
        (
            headers.clone(),
            r#"{"jsonrpc":"2.0","id":7,"method":"x"}"#.to_owned(),
            404,
            -32601,
        ),
        (headers.clone(), call_of("delete_entity"), 200, -32602),
    ] {
        let response = gateway.post(headers, body).await;
        assert_eq!(response.status(), status);
        let error = message(&response.text().await.unwrap());
        assert_eq!(
            (&error["error"]["code"], &error["id"]),
            (&json!(code), &json!(7))
        );
    }
}

#[tokio::test]
async fn a_client_whose_session_is_unknown_opens_another() {
    let gateway = Gateway::start();
    let headers = with(&gateway.headers(), "mcp-session-id", "unknown");
    let response = gateway.post(headers, call_of("list_entities")).await;
    assert_eq!(response.status(), StatusCode::NOT_FOUND);
    let error = message(&response.text().await.unwrap());
    assert_eq!(
        (&error["error"]["code"], &error["id"]),
        (&json!(-32001), &json!(7))
    );
}
