//! The MCP server, as a client of the official SDK sees it.

#![expect(
    clippy::unwrap_used,
    reason = "a failed step is a failed test, in helpers too"
)]

use std::collections::HashMap;

use port_sandbox::{Accepts, Endpoint, Fault, Flow, Sandbox};
use reqwest::{
    Client,
    header::{HeaderName, HeaderValue},
};
use rmcp::{
    RoleClient, ServiceExt,
    model::{CallToolRequestParams, ClientRequest, PingRequest, ProtocolVersion},
    service::{ClientInitializeError, ClientLifecycleMode, ClientServiceExt, RunningService},
    transport::{
        StreamableHttpClientTransport, streamable_http_client::StreamableHttpClientTransportConfig,
    },
};
use serde_json::{Value, json};

type Connection = RunningService<RoleClient, ()>;

fn transport(
    sandbox: &Sandbox,
    token: &str,
    headers: &[(&'static str, &'static str)],
) -> StreamableHttpClientTransport<Client> {
    let headers: HashMap<_, _> = headers
        .iter()
        .map(|(name, value)| {
            (
                HeaderName::from_static(name),
                HeaderValue::from_static(value),
            )
        })
        .collect();
    let client = Client::builder().tls_certs_only([]).build().unwrap();
    let config = StreamableHttpClientTransportConfig::with_uri(sandbox.mcp_url())
        .auth_header(token)
        .custom_headers(headers);
    StreamableHttpClientTransport::with_client(client, config)
}

async fn connect(sandbox: &Sandbox, headers: &[(&'static str, &'static str)]) -> Connection {
    let token = sandbox.token(Flow::Rest);
    ().serve(transport(sandbox, &token, headers)).await.unwrap()
}

async fn enter(sandbox: &Sandbox, flow: Flow) -> Result<Connection, Box<ClientInitializeError>> {
    let token = sandbox.token(flow);
    ().serve(transport(sandbox, &token, &[]))
        .await
        .map_err(Box::new)
}

async fn names(connection: &Connection) -> Vec<String> {
    let tools = connection.list_all_tools().await.unwrap();
    tools.into_iter().map(|tool| tool.name.into()).collect()
}

/// The text that a tool answers, and whether it calls itself an error.
async fn call(connection: &Connection, name: &'static str, arguments: Value) -> (String, bool) {
    let Value::Object(arguments) = arguments else {
        panic!("arguments are an object")
    };
    let result = connection
        .call_tool(CallToolRequestParams::new(name).with_arguments(arguments))
        .await
        .unwrap();
    let text = result.content[0].as_text().unwrap().text.clone();
    (text, result.is_error == Some(true))
}

#[tokio::test]
async fn offers_the_whole_catalogue_and_answers() {
    let sandbox = Sandbox::start();
    let connection = connect(&sandbox, &[]).await;

    let tools = connection.list_all_tools().await.unwrap();
    for name in ["list_blueprints", "run_action", "delete_entity"] {
        assert!(tools.iter().any(|tool| tool.name == name), "{name}");
    }
    for tool in &tools {
        let hints = tool.annotations.as_ref().unwrap();
        assert!(hints.read_only_hint.is_some() && tool.title.is_some());
        assert_eq!(tool.input_schema["type"], "object");
    }

    let (text, _) = call(
        &connection,
        "list_entities",
        json!({"blueprintIdentifier": "service"}),
    )
    .await;
    let data: Value = serde_json::from_str(&text).unwrap();
    assert_eq!(data["entities"][0]["identifier"], "checkout");

    let ping = ClientRequest::PingRequest(PingRequest::default());
    connection.send_request(ping).await.unwrap();
    assert!(
        connection
            .call_tool(CallToolRequestParams::new("get_entities"))
            .await
            .is_err()
    );
}

#[tokio::test]
async fn read_only_mode_hides_what_writes_but_perhaps_not_what_runs() {
    let read_only = [("x-read-only-mode", "1")];
    let sandbox = Sandbox::start();
    let connection = connect(&sandbox, &read_only).await;
    let offered = names(&connection).await;
    assert!(offered.contains(&"list_entities".to_owned()));
    assert!(offered.contains(&"run_action".to_owned()));
    assert!(!offered.contains(&"upsert_entity".to_owned()));
    assert!(
        connection
            .call_tool(CallToolRequestParams::new("upsert_entity"))
            .await
            .is_err()
    );

    let strict = Sandbox::builder().read_only_hides_runs(true).start();
    let offered = names(&connect(&strict, &read_only).await).await;
    assert!(!offered.contains(&"run_action".to_owned()));
    assert!(!offered.contains(&"trigger_run".to_owned()));
}

#[tokio::test]
async fn only_allowed_actions_run() {
    let sandbox = Sandbox::start();
    let restart = json!({"actionIdentifier": "restart_service"});
    for (allowed, refused) in [
        (None, false),
        (Some(""), true),
        (Some("scaffold_service"), true),
        (Some("scaffold_service, restart_service"), false),
    ] {
        let headers = allowed.map(|list| ("x-allowed-actions-to-run", list));
        let connection = connect(&sandbox, headers.as_slice()).await;
        let (text, is_error) = call(&connection, "run_action", restart.clone()).await;
        assert_eq!(is_error, refused, "{allowed:?}: {text}");
    }
}

#[tokio::test]
async fn only_the_holder_of_a_valid_token_comes_in() {
    let sandbox = Sandbox::builder().accepts(Accepts::OauthOnly).start();
    assert!(enter(&sandbox, Flow::Rest).await.is_err());
    let connection = enter(&sandbox, Flow::Oauth).await.unwrap();

    sandbox.lapse_tokens();
    assert!(connection.list_all_tools().await.is_err());

    let client = Client::builder().tls_certs_only([]).build().unwrap();
    let response = client.post(sandbox.mcp_url()).send().await.unwrap();
    assert_eq!(response.status(), 401);
    assert_eq!(
        response.headers()["www-authenticate"],
        r#"Bearer realm="port""#
    );
}

#[tokio::test]
async fn a_client_of_the_newer_protocol_falls_back() {
    let sandbox = Sandbox::start();
    let token = sandbox.token(Flow::Rest);
    let connection = ()
        .serve_with_lifecycle(
            transport(&sandbox, &token, &[]),
            ClientLifecycleMode::Auto {
                preferred_versions: vec![ProtocolVersion::V_2026_07_28],
                legacy_version: None,
            },
        )
        .await
        .unwrap();
    assert!(!names(&connection).await.is_empty());
    assert!(sandbox.received()[0].body.contains("server/discover"));
}

#[tokio::test]
async fn the_server_fails_on_demand() {
    let sandbox = Sandbox::start();
    sandbox.fault(Endpoint::Mcp, Fault::status(502).text("bad gateway"));
    assert!(enter(&sandbox, Flow::Rest).await.is_err());
    assert!(enter(&sandbox, Flow::Rest).await.is_ok());
}
