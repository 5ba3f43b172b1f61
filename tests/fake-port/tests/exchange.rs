//! The token endpoints, and how they fail on demand.

#![expect(
    clippy::unwrap_used,
    reason = "a failed step is a failed test, in helpers too"
)]

use std::{collections::HashSet, time::Duration};

use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use fake_port::{Endpoint, FakePort, Fault, Flow, Token};
use reqwest::{Certificate, Client, Proxy, Response, redirect::Policy};
use serde_json::{Value, json};

fn client() -> Client {
    Client::builder()
        .redirect(Policy::none())
        .tls_certs_only([])
        .build()
        .unwrap()
}

fn credentials(port: &FakePort) -> Value {
    json!({"clientId": port.client_id(), "clientSecret": port.client_secret()})
}

async fn try_rest(port: &FakePort, body: &Value) -> reqwest::Result<Response> {
    let url = format!("{}/v1/auth/access_token", port.api_url());
    client().post(url).json(body).send().await
}

async fn rest(port: &FakePort, body: &Value) -> Response {
    try_rest(port, body).await.unwrap()
}

async fn oauth(port: &FakePort, grant_type: &str, secret: &str) -> (u16, Value) {
    let url = format!("{}/token", port.mcp_url());
    let form = [
        ("grant_type", grant_type),
        ("client_id", port.client_id()),
        ("client_secret", secret),
    ];
    read(client().post(url).form(&form).send().await.unwrap()).await
}

async fn read(response: Response) -> (u16, Value) {
    (response.status().as_u16(), response.json().await.unwrap())
}

fn claims(token: &str) -> Value {
    let payload = token.split('.').nth(1).unwrap();
    serde_json::from_slice(&URL_SAFE_NO_PAD.decode(payload).unwrap()).unwrap()
}

#[tokio::test]
async fn each_flow_returns_one_token_until_it_expires() {
    let port = FakePort::start();
    let rest_token = port.token(Flow::Rest);
    let oauth_token = port.token(Flow::Oauth);
    assert_ne!(rest_token, oauth_token);

    for _ in 0..2 {
        assert_eq!(
            read(rest(&port, &credentials(&port)).await).await,
            (
                200,
                json!({"ok": true, "accessToken": rest_token, "expiresIn": 10800, "tokenType": "Bearer"})
            )
        );
        assert_eq!(
            oauth(&port, "client_credentials", port.client_secret()).await,
            (
                200,
                json!({"access_token": oauth_token, "token_type": "Bearer", "expires_in": 10800})
            )
        );
    }

    port.expire_tokens();
    assert_ne!(port.token(Flow::Rest), rest_token);
    assert_ne!(port.token(Flow::Oauth), oauth_token);
    assert_eq!(port.created_tokens(), 4);
}

#[test]
fn a_token_without_lifetime_has_a_successor_at_once() {
    let port = FakePort::builder().token_lifetime(Duration::ZERO).start();
    assert_ne!(port.token(Flow::Rest), port.token(Flow::Rest));
}

#[tokio::test]
async fn the_claimed_lifetime_and_the_true_one_may_differ() {
    let port = FakePort::builder()
        .token_validity_left(Duration::from_mins(2))
        .start();
    let (_, body) = read(rest(&port, &credentials(&port)).await).await;
    let claims = claims(&port.token(Flow::Rest));
    assert_eq!(body["expiresIn"], 10800);
    assert_eq!(claims["isMachine"], true);
    let (iat, exp) = (claims["iat"].as_u64(), claims["exp"].as_u64());
    assert_eq!(exp.unwrap() - iat.unwrap(), 10800);
    let left = exp.unwrap() - std::time::UNIX_EPOCH.elapsed().unwrap().as_secs();
    assert!((1..=120).contains(&left), "{left} s left");

    let silent = FakePort::builder().expires_in(None).start();
    let (_, body) = read(rest(&silent, &credentials(&silent)).await).await;
    assert_eq!(body.get("expiresIn"), None);
}

#[tokio::test]
async fn a_token_may_be_any_text() {
    let hostile = "line\n::error::\u{1b}[31m\"".to_owned();
    let port = FakePort::builder()
        .token(Token::Literal(hostile.clone()))
        .expires_in(60)
        .start();
    let (_, body) = read(rest(&port, &credentials(&port)).await).await;
    assert_eq!(body["accessToken"], hostile);
    assert_eq!(body["expiresIn"], 60);
}

#[tokio::test]
async fn wrong_requests_are_rejected_in_the_words_of_port() {
    let port = FakePort::start();
    let rejected =
        |error: &str, message: &str| json!({"ok": false, "error": error, "message": message});

    assert_eq!(
        read(
            rest(
                &port,
                &json!({"clientId": "someone", "clientSecret": "else"})
            )
            .await
        )
        .await,
        (
            401,
            rejected(
                "invalid_credentials",
                "Invalid credentials supplied to the generate token API"
            )
        )
    );
    assert_eq!(
        read(rest(&port, &json!({"clientId": "someone"})).await).await,
        (
            422,
            rejected(
                "invalid_request",
                "body must have required property 'clientSecret'"
            )
        )
    );
    let mut body = credentials(&port);
    body["grantType"] = json!("client_credentials");
    assert_eq!(
        read(rest(&port, &body).await).await,
        (
            422,
            rejected(
                "invalid_request",
                "body must NOT have additional properties"
            )
        )
    );

    let (status, body) = oauth(&port, "client_credentials", "wrong").await;
    assert_eq!((status, &body["error"]), (401, &json!("invalid_client")));
    let (status, body) = oauth(&port, "password", port.client_secret()).await;
    assert_eq!(
        (status, &body["error"]),
        (400, &json!("unsupported_grant_type"))
    );
}

#[tokio::test]
async fn every_answer_can_be_traced_and_every_request_is_recorded() {
    let port = FakePort::start();
    let mut traces = HashSet::new();
    for body in [credentials(&port), json!({})] {
        let response = rest(&port, &body).await;
        assert_eq!(response.headers()["x-ratelimit-limit"], "100");
        traces.insert(response.headers()["x-trace-id"].clone());
    }
    let nowhere = client().get(port.api_url()).send().await.unwrap();
    assert_eq!(nowhere.status(), 404);
    traces.insert(nowhere.headers()["x-trace-id"].clone());
    assert_eq!(traces.len(), 3);

    let received = port.received();
    assert_eq!(received.len(), 3);
    assert_eq!(received[0].method, "POST");
    assert_eq!(received[0].path, "/v1/auth/access_token");
    assert_eq!(received[0].header("Content-Type"), Some("application/json"));
    assert_eq!(received[0].body, credentials(&port).to_string());
}

#[tokio::test]
async fn faults_are_met_in_order_and_then_it_behaves() {
    let port = FakePort::start();
    let body = credentials(&port);
    port.fault(
        Endpoint::Rest,
        Fault::status(503)
            .header("retry-after", "0")
            .header("x-ratelimit-remaining", "0")
            .json(json!({"ok": false})),
    );
    port.fault(Endpoint::Rest, Fault::NotJson);
    port.fault(
        Endpoint::Rest,
        Fault::Redirect("http://localhost:1/".into()),
    );
    port.fault(Endpoint::Rest, Fault::Echo);

    let unavailable = rest(&port, &body).await;
    assert_eq!(unavailable.headers()["retry-after"], "0");
    assert_eq!(unavailable.headers()["x-ratelimit-remaining"], "0");
    assert_eq!(read(unavailable).await, (503, json!({"ok": false})));

    let page = rest(&port, &body).await;
    assert_eq!(page.status(), 200);
    assert!(page.text().await.unwrap().starts_with("<!doctype html>"));

    let elsewhere = rest(&port, &body).await;
    assert_eq!(elsewhere.status(), 307);
    assert_eq!(elsewhere.headers()["location"], "http://localhost:1/");

    let (status, echo) = read(rest(&port, &body).await).await;
    assert_eq!(status, 401);
    assert!(
        echo["message"]
            .as_str()
            .unwrap()
            .contains(&body.to_string())
    );

    // A fault of one endpoint leaves the others alone.
    port.fault(Endpoint::Mcp, Fault::status(500));
    assert_eq!(rest(&port, &body).await.status(), 200);
    assert_eq!(port.received().len(), 5);
}

#[tokio::test]
async fn broken_and_endless_answers() {
    let port = FakePort::start();
    let body = credentials(&port);

    port.fault(Endpoint::Rest, Fault::Close);
    let error = try_rest(&port, &body).await.unwrap_err();
    assert!(error.is_request(), "no status line arrives: {error:?}");

    port.fault(Endpoint::Rest, Fault::Truncated);
    let mut truncated = rest(&port, &body).await;
    assert_eq!(truncated.content_length(), Some(1024));
    assert!(truncated.chunk().await.unwrap().unwrap().starts_with(b"{"));
    assert!(truncated.chunk().await.is_err());

    port.fault(Endpoint::Rest, Fault::Huge);
    let huge = rest(&port, &body).await;
    assert_eq!(huge.content_length(), None);
    let (_, huge) = read(huge).await;
    assert_eq!(huge["accessToken"].as_str().unwrap().len(), 8 * 1024 * 1024);

    port.fault(Endpoint::Rest, Fault::Hang);
    let hanging = tokio::spawn({
        let request = client().post(format!("{}/v1/auth/access_token", port.api_url()));
        async move { request.json(&body).send().await }
    });
    while port.received().len() < 4 {
        tokio::task::yield_now().await;
    }
    drop(port);
    assert!(hanging.await.unwrap().is_err());
}

#[tokio::test]
async fn faults_and_the_record_are_there_for_other_processes() {
    let port = FakePort::start();
    let client = client();
    let admin = |path| format!("{}/control/{path}", port.api_url());
    for fault in [
        json!("not_json"),
        json!({"status": {"status": 429, "headers": [["retry-after", "1"]]}}),
    ] {
        let body = json!({"endpoint": "oauth", "fault": fault});
        let queued = client
            .post(admin("fault"))
            .json(&body)
            .send()
            .await
            .unwrap();
        assert_eq!(queued.status(), 204);
    }
    let url = format!("{}/token", port.mcp_url());
    assert_eq!(client.post(&url).send().await.unwrap().status(), 200);
    assert_eq!(client.post(&url).send().await.unwrap().status(), 429);

    let received = client.get(admin("received")).send().await.unwrap();
    let (_, received) = read(received).await;
    assert_eq!(received, json!(port.received()));
    assert_eq!(received[0]["path"], "/v1/token");
}

#[tokio::test]
async fn a_fault_that_cannot_be_sent_is_rejected() {
    let port = FakePort::start();
    let url = format!("{}/control/fault", port.api_url());
    for (fault, wrong) in [
        (
            json!({"status": {"status": 42, "headers": [["a b", "1"], ["x-a", "1\n2"]]}}),
            r#"42 is not an HTTP status; "a b" is not a header name; "1\n2" is not a header value"#,
        ),
        (
            json!({"redirect": "https://a\n"}),
            r#""https://a\n" is not a header value"#,
        ),
    ] {
        let body = json!({"endpoint": "rest", "fault": fault});
        let response = client().post(&url).json(&body).send().await.unwrap();
        let (status, refusal) = read(response).await;
        assert_eq!((status, &refusal["message"]), (422, &json!(wrong)));
    }
    assert_eq!(rest(&port, &credentials(&port)).await.status(), 200);
}

#[test]
#[should_panic(expected = "\"a b\" is not a header name")]
fn a_fault_that_cannot_be_sent_fails_the_test_that_queues_it() {
    FakePort::start().fault(Endpoint::Rest, Fault::status(500).header("a b", ""));
}

#[tokio::test]
async fn through_the_proxy_it_is_port_and_github_themselves() {
    let port = FakePort::builder()
        .tls(true)
        .policy_file("acme/policies", "port-mcp.yml", "main", "")
        .start();
    let authority = Certificate::from_pem(port.ca_pem().unwrap().as_bytes()).unwrap();
    let client = Client::builder()
        .tls_certs_only([authority])
        .proxy(Proxy::https(port.proxy_url()).unwrap())
        .user_agent("test")
        .build()
        .unwrap();

    let exchange = async |host: &str| {
        let url = format!("https://{host}/v1/auth/access_token");
        let response = client.post(url).json(&credentials(&port)).send().await;
        response.unwrap().status()
    };
    assert_eq!(exchange("api.port.io").await, 200);
    assert_eq!(exchange("api.us.port.io").await, 200);
    for (url, status) in [
        ("https://mcp.port.io/v1", 401),
        ("https://mcp.us.port.io/v1", 401),
        (
            "https://api.github.com/repos/acme/policies/contents/port-mcp.yml",
            200,
        ),
    ] {
        assert_eq!(
            client.get(url).send().await.unwrap().status(),
            status,
            "{url}"
        );
    }
    // Tunnels lead there too, but it cannot pass for anybody else.
    assert!(
        client
            .get("https://elsewhere.example/")
            .send()
            .await
            .is_err()
    );

    let hosts = [
        "api.port.io",
        "api.us.port.io",
        "mcp.port.io",
        "mcp.us.port.io",
        "api.github.com",
    ];
    let received = port.received();
    let named: Vec<_> = received
        .iter()
        .map(|request| request.header("host").unwrap())
        .collect();
    assert_eq!(named, hosts);
    let tunneled: Vec<_> = hosts
        .into_iter()
        .chain(["elsewhere.example"])
        .map(|host| format!("{host}:443"))
        .collect();
    assert_eq!(port.tunneled(), tunneled);

    let plainly = client.get(port.proxy_url()).send().await.unwrap();
    assert_eq!(plainly.status(), 405);
}

#[tokio::test]
async fn https_is_trusted_by_those_who_trust_its_authority() {
    let port = FakePort::builder().tls(true).start();
    let url = format!("{}/v1/auth/access_token", port.api_url());
    assert!(url.starts_with("https://127.0.0.1:"));
    assert!(client().get(&url).send().await.is_err());

    let authority = Certificate::from_pem(port.ca_pem().unwrap().as_bytes()).unwrap();
    let trusting = Client::builder()
        .tls_certs_only([authority])
        .build()
        .unwrap();
    let by_name = url.replace("127.0.0.1", "localhost");
    for url in [url, by_name] {
        let response = trusting
            .post(url)
            .json(&credentials(&port))
            .send()
            .await
            .unwrap();
        assert_eq!(response.status(), 200);
    }
}
