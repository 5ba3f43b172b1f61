//! The server for the agent: who can use it, which clients do, and what one of them can spend.

use std::io::{Read as _, Write as _};
use std::net::TcpStream;

use fake_port::{FakePort, Flow};
use reqwest::header::{AUTHORIZATION, HeaderMap, HeaderValue};
use reqwest::{Client, Method};
use serde_json::{Value, json};

use crate::gateway::{Gateway, message};

#[tokio::test]
async fn only_the_agent_can_use_it() {
    let gateway = Gateway::start();
    let ping = r#"{"jsonrpc":"2.0","id":1,"method":"ping"}"#;
    let with = |name: &'static str, value: &str| {
        let mut headers = gateway.headers();
        headers.insert(name, HeaderValue::from_str(value).unwrap());
        headers
    };
    let token = gateway.step.port.token(Flow::Rest);
    for authorization in ["Bearer wrong", "Bearer ", "", &format!("Bearer {token}")] {
        let response = gateway
            .post(with("authorization", authorization), ping)
            .await;
        assert_eq!(response.status(), 401, "{authorization}");
        let challenge = response.headers()["www-authenticate"].to_str().unwrap();
        assert_eq!(challenge, "Bearer");
    }
    for (name, value) in [
        ("host", "port.example"),
        ("origin", "http://127.0.0.1"),
        ("origin", "null"),
    ] {
        assert_eq!(
            gateway.post(with(name, value), ping).await.status(),
            403,
            "{name}: {value}"
        );
    }
    let port = reqwest::Url::parse(gateway.url()).unwrap().port().unwrap();
    let initialize = r#"{"jsonrpc":"2.0","id":1,"method":"initialize","params":{"protocolVersion":"2025-06-18","capabilities":{},"clientInfo":{"name":"a","version":"1"}}}"#;
    for (host, status) in [
        (format!("localhost:{port}"), 200),
        (format!("host.docker.internal:{port}"), 200),
        ("host.docker.internal".to_owned(), 403),
        (format!("host.docker.internal.example.com:{port}"), 403),
        (format!("172.17.0.2:{port}"), 403),
    ] {
        let response = gateway.post(with("host", &host), initialize).await;
        assert_eq!(response.status(), status, "{host}");
    }
    let get = |path: &str| {
        let url = gateway.url().replace("/v1", path);
        gateway.http.get(url).send()
    };
    assert_eq!(get("/health").await.unwrap().text().await.unwrap(), "ok");
    for path in [
        "/.well-known/oauth-protected-resource",
        "/.well-known/oauth-authorization-server",
        "/",
    ] {
        assert_eq!(get(path).await.unwrap().status(), 404, "{path}");
    }
    let url = gateway.url().replace("/v1", "/stop");
    let stop = gateway
        .http
        .post(url)
        .headers(gateway.headers())
        .send()
        .await
        .unwrap();
    assert_eq!(stop.status(), 401, "the agent cannot stop the gateway");
    let head = gateway
        .http
        .request(Method::HEAD, gateway.url())
        .headers(gateway.headers());
    assert_eq!(head.send().await.unwrap().status(), 405);
}

#[tokio::test]
async fn the_official_client_lists_and_calls_in_both_lifecycles() {
    use rmcp::ServiceExt as _;
    use rmcp::model::{CallToolRequestParams, ClientConfig, ProtocolVersion};
    use rmcp::service::{ClientLifecycleMode, ClientServiceExt as _};
    use rmcp::transport::StreamableHttpClientTransport;
    use rmcp::transport::streamable_http_client::StreamableHttpClientTransportConfig;

    for is_stateless in [false, true] {
        let gateway = Gateway::against(FakePort::builder().discovers(is_stateless));
        let http = Client::builder()
            .no_proxy()
            .default_headers(HeaderMap::from_iter([(
                AUTHORIZATION,
                gateway.headers()[AUTHORIZATION].clone(),
            )]))
            .build()
            .unwrap();
        let settings = StreamableHttpClientTransportConfig::with_uri(gateway.url());
        let transport = StreamableHttpClientTransport::with_client(http, settings);
        let client = if is_stateless {
            let mode = ClientLifecycleMode::Discover {
                preferred_versions: vec![ProtocolVersion::V_2026_07_28],
            };
            ClientConfig::default()
                .serve_with_lifecycle(transport, mode)
                .await
                .unwrap()
        } else {
            ClientConfig::default().serve(transport).await.unwrap()
        };
        let tools = client.list_all_tools().await.unwrap();
        let names: Vec<&str> = tools.iter().map(|tool| &*tool.name).collect();
        assert_eq!(names, ["list_blueprints", "list_entities"]);
        let call = |tool: &'static str| client.call_tool(CallToolRequestParams::new(tool));
        assert!(call("list_blueprints").await.is_ok());
        assert!(call("delete_entity").await.is_err());
        client.cancel().await.unwrap();
    }
}

#[tokio::test]
async fn odd_requests_do_not_end_the_process() {
    let gateway = Gateway::start();
    let session = gateway.open().await;
    let get = || {
        gateway
            .http
            .get(gateway.url())
            .headers(session.clone())
            .send()
    };
    let (first, second) = (get().await.unwrap(), get().await.unwrap());
    drop((first, second));
    let (status, _) = gateway.raw("").await;
    assert_eq!(status, 400);
    for bytes in [
        "",
        "\r\n\r\n",
        "GET",
        "POST /v1 HTTP/1.1\r\nHost: x\r\nContent-Length: 9\r\n\r\n",
        "\u{16}\u{3}\u{1}",
    ] {
        for _ in 0..16 {
            let mut stream = gateway.connect();
            stream.write_all(bytes.as_bytes()).unwrap();
        }
    }
    let result = gateway.call(&session, "list_entities").await;
    assert!(result["result"]["content"].is_array(), "{result}");
}

#[tokio::test]
async fn large_bodies_together_have_a_memory_limit() {
    let gateway = Gateway::start();
    let session = gateway.open().await;
    let largest = 4 * 1024 * 1024 - 1;
    let mut unfinished: Vec<TcpStream> = Vec::new();
    for _ in 0..3 {
        let framing = format!("content-length: {largest}\r\nexpect: 100-continue");
        let mut stream = gateway.send_as(&session, &framing, "");
        // The gateway asks for the body when it has memory for it.
        let mut answer = [0; 21];
        stream.read_exact(&mut answer).unwrap();
        assert!(answer.starts_with(b"HTTP/1.1 100"));
        unfinished.push(stream);
    }
    let call = |arguments: Value| {
        let params = json!({"name": "list_entities", "arguments": arguments});
        let body = json!({"jsonrpc": "2.0", "id": 7, "method": "tools/call", "params": params});
        gateway.post(session.clone(), body.to_string())
    };
    let large = json!({"text": "x".repeat(8 * 1024)});
    let response = call(large.clone()).await;
    assert_eq!(response.status(), 200);
    let error = message(&response.text().await.unwrap());
    assert_eq!(error["error"]["message"], "too many large requests");
    assert_eq!(error["id"], 7);
    // A small call does not wait for large ones.
    for (arguments, is_last) in [(json!({}), false), (large, true)] {
        if is_last {
            unfinished.clear();
        }
        let result = message(&call(arguments).await.text().await.unwrap());
        assert!(result["result"].is_object(), "{result}");
    }
}
