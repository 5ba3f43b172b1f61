//! The token: when it is replaced, and when Port is not asked for another.

use std::time::Duration;

use base64::Engine as _;
use base64::prelude::BASE64_URL_SAFE_NO_PAD;
use fake_port::{Accepts, Endpoint, FakePort, Fault, Flow, Token};
use serde_json::json;

use crate::gateway::{Gateway, message};
use crate::harness::Step;

#[tokio::test]
async fn a_session_survives_the_expiry_of_the_token() {
    let gateway = Gateway::start();
    let session = gateway.open().await;
    let first = gateway.step.port.token(Flow::Rest);
    gateway.step.port.expire_tokens();
    let result = gateway.call(&session, "list_blueprints").await;
    assert!(result["result"]["content"].is_array(), "{result}");
    let second = gateway.step.port.token(Flow::Rest);
    assert_ne!(first, second);
    let post = gateway.step.clean_up();
    assert!(post.log().contains("token renewals: 1."), "{}", post.log());
}

#[tokio::test]
async fn an_expired_token_is_renewed_once_and_only_for_a_request() {
    let gateway = Gateway::start();
    let session = gateway.open().await;
    let first = gateway.step.port.token(Flow::Rest);
    gateway.step.port.expire_tokens();
    let before = gateway.exchanges();
    let calls = (0..16).map(|id| {
        let params = json!({"name": "list_entities", "arguments": {}});
        let body = json!({"jsonrpc": "2.0", "id": id, "method": "tools/call", "params": params});
        gateway.post(session.clone(), body.to_string())
    });
    for response in futures_util::future::join_all(calls).await {
        let result = message(&response.text().await.unwrap());
        assert!(result["result"]["content"].is_array(), "{result}");
    }
    assert_eq!(gateway.exchanges(), before + 1);
    assert_ne!(gateway.step.port.token(Flow::Rest), first);
}

#[tokio::test]
async fn a_token_that_port_rejects_soon_after_a_renewal_is_replaced() {
    let port = FakePort::builder().token_lifetime(Duration::from_secs(2));
    let gateway = Gateway::of(Step::against(port).input("verify", "false"));
    let session = gateway.open().await;
    let port = &gateway.step.port;
    let first = port.created_tokens();
    while port.created_tokens() == first {
        let result = gateway.call(&session, "list_entities").await;
        assert!(result["result"]["content"].is_array(), "{result}");
    }
    port.expire_tokens();
    let result = gateway.call(&session, "list_entities").await;
    assert!(result["result"]["content"].is_array(), "{result}");
}

#[tokio::test]
async fn no_exchange_is_sent_before_port_allows_it() {
    let gateway = Gateway::start();
    let session = gateway.open().await;
    let port = &gateway.step.port;
    port.expire_tokens();
    let fault = Fault::status(429).header("retry-after", "3600");
    port.fault(Endpoint::Rest, fault);
    let before = gateway.exchanges();
    for _ in 0..3 {
        let result = gateway.call(&session, "list_entities").await;
        let text = result["error"]["message"].as_str().unwrap();
        assert!(text.contains("429"), "{text}");
    }
    assert_eq!(gateway.exchanges(), before + 1);
}

#[tokio::test]
async fn auth_method_auto_is_settled_at_the_first_401() {
    let port = FakePort::builder().accepts(Accepts::OauthOnly);
    let gateway = Gateway::of(Step::against(port).input("verify", "false"));
    let session = gateway.open().await;
    let result = gateway.call(&session, "list_entities").await;
    assert!(result["result"]["content"].is_array(), "{result}");
}

#[tokio::test]
async fn a_clock_ahead_of_ports_causes_no_exchanges() {
    // By the clock of this machine, it expired in 2001; by Port's, it is valid for two hours.
    let claims = BASE64_URL_SAFE_NO_PAD.encode(r#"{"exp":1000000000}"#);
    let token = format!("e30.{claims}.c2ln");
    let port = FakePort::builder().token(Token::Literal(token.clone()));
    let step = Step::against(port);
    assert_eq!(step.port.token(Flow::Rest), token);
    let response = Fault::status(200).header("date", "Sat, 08 Sep 2001 23:46:40 GMT");
    step.port
        .fault(Endpoint::Rest, response.json(json!({"accessToken": token})));
    let gateway = Gateway::of(step);
    let session = gateway.open().await;
    for _ in 0..3 {
        let result = gateway.call(&session, "list_entities").await;
        assert!(result["result"]["content"].is_array(), "{result}");
    }
    assert_eq!(gateway.exchanges(), 1);
}
