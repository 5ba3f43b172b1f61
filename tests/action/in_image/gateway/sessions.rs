//! The sessions of agents and of Port.

use fake_port::{Endpoint, Fault};
use reqwest::header::HeaderValue;

use crate::gateway::{Gateway, message};

#[tokio::test]
async fn a_session_that_port_forgot_is_opened_again_once() {
    let gateway = Gateway::start();
    let session = gateway.open().await;
    let before = gateway.reached().len();
    gateway
        .step
        .port
        .fault(Endpoint::Mcp, Fault::status(404).text("gone"));
    let result = gateway.call(&session, "list_entities").await;
    assert!(result["result"]["content"].is_array(), "{result}");
    assert_eq!(
        gateway.reached()[before..],
        [
            "tools/call list_entities",
            "initialize",
            "notifications/initialized",
            "tools/call list_entities",
        ]
    );
    let result = gateway.call(&session, "list_entities").await;
    assert!(result["result"]["content"].is_array(), "{result}");
}

#[tokio::test]
async fn after_a_restart_of_port_every_call_works() {
    let gateway = Gateway::start();
    let session = gateway.open().await;
    // Port forgets the session and every token at once.
    gateway.step.port.expire_tokens();
    let port = &gateway.step.port;
    port.fault(Endpoint::Mcp, Fault::status(401));
    port.fault(Endpoint::Mcp, Fault::status(404).text("gone"));
    for _ in 0..3 {
        let result = gateway.call(&session, "list_entities").await;
        assert!(result["result"]["content"].is_array(), "{result}");
    }
}

#[tokio::test]
async fn an_unknown_session_is_a_404() {
    let gateway = Gateway::start();
    let mut headers = gateway.headers();
    headers.insert("mcp-session-id", HeaderValue::from_static("unknown"));
    let call = r#"{"jsonrpc":"2.0","id":1,"method":"ping"}"#;
    let response = gateway.post(headers, call).await;
    assert_eq!(response.status(), 404);
    assert_eq!(
        message(&response.text().await.unwrap())["error"]["code"],
        -32001
    );
}
