//! The MCP server, as a client of the official SDK sees it.

#![expect(
    clippy::unwrap_used,
    reason = "a failed step is a failed test, in helpers too"
)]

use std::collections::{HashMap, HashSet};

use fake_port::{Accepts, Builder, Endpoint, FakePort, Fault, Flow, Role, Tool};
use reqwest::{
    Client, Method, RequestBuilder,
    header::{HeaderName, HeaderValue},
};
use rmcp::{
    RoleClient, ServiceExt,
    model::{
        self, CallToolRequestParams, ClientRequest, PaginatedRequestParams, PingRequest,
        ProtocolVersion,
    },
    service::{ClientInitializeError, ClientLifecycleMode, ClientServiceExt, RunningService},
    transport::{
        StreamableHttpClientTransport, streamable_http_client::StreamableHttpClientTransportConfig,
    },
};
use serde_json::{Value, json};

type Connection = RunningService<RoleClient, ()>;

fn transport(
    port: &FakePort,
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
    let config = StreamableHttpClientTransportConfig::with_uri(port.mcp_url())
        .auth_header(token)
        .custom_headers(headers);
    StreamableHttpClientTransport::with_client(client, config)
}

async fn connect(port: &FakePort, headers: &[(&'static str, &'static str)]) -> Connection {
    let token = port.token(Flow::Rest);
    ().serve(transport(port, &token, headers)).await.unwrap()
}

/// Connects as a client does that tries the protocol of 2026-07-28 first.
async fn connect_newer(port: &FakePort) -> Connection {
    let token = port.token(Flow::Rest);
    let lifecycle = ClientLifecycleMode::Auto {
        preferred_versions: vec![ProtocolVersion::V_2026_07_28],
        legacy_version: None,
    };
    ().serve_with_lifecycle(transport(port, &token, &[]), lifecycle)
        .await
        .unwrap()
}

async fn enter(port: &FakePort, flow: Flow) -> Result<Connection, Box<ClientInitializeError>> {
    let token = port.token(flow);
    ().serve(transport(port, &token, &[]))
        .await
        .map_err(Box::new)
}

/// A request to the MCP server without the SDK.
fn plain(port: &FakePort, method: Method) -> RequestBuilder {
    let client = Client::builder().tls_certs_only([]).build().unwrap();
    client
        .request(method, port.mcp_url())
        .bearer_auth(port.token(Flow::Rest))
        .header("accept", "application/json, text/event-stream")
}

async fn tools(port: Builder) -> Vec<model::Tool> {
    let port = port.start();
    let connection = connect(&port, &[("x-read-only-mode", "1")]).await;
    connection.list_all_tools().await.unwrap()
}

async fn page(connection: &Connection, cursor: Option<String>) -> (usize, Option<String>) {
    let request = PaginatedRequestParams::default().with_cursor(cursor);
    let page = connection.list_tools(Some(request)).await.unwrap();
    (page.tools.len(), page.next_cursor)
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
async fn offers_the_whole_catalog_and_answers() {
    let port = FakePort::start();
    let connection = connect(&port, &[]).await;

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
    assert_eq!(port.executed_calls(), 1);
}

#[tokio::test]
async fn an_added_tool_answers_with_its_arguments() {
    let port = FakePort::builder()
        .offer(Tool::new("echo"))
        .records(false)
        .start();
    let connection = connect(&port, &[]).await;
    let arguments = json!({"marker": "m-1"});
    let (text, _) = call(&connection, "echo", arguments.clone()).await;
    let data: Value = serde_json::from_str(&text).unwrap();
    assert_eq!(data["arguments"], arguments);
    assert!(port.received().is_empty(), "nothing is recorded");
}

#[tokio::test]
async fn read_only_mode_hides_what_writes_but_perhaps_not_what_runs() {
    let read_only = [("x-read-only-mode", "1")];
    let port = FakePort::start();
    let connection = connect(&port, &read_only).await;
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

    let strict = FakePort::builder().read_only_hides_runs(true).start();
    let offered = names(&connect(&strict, &read_only).await).await;
    assert!(!offered.contains(&"run_action".to_owned()));
    assert!(!offered.contains(&"trigger_run".to_owned()));
}

#[tokio::test]
async fn only_allowed_actions_run() {
    let port = FakePort::start();
    let restart = json!({"actionIdentifier": "restart_service"});
    for (allowed, rejected) in [
        (None, false),
        (Some(""), true),
        (Some("scaffold_service"), true),
        (Some("scaffold_service, restart_service"), false),
    ] {
        let headers = allowed.map(|list| ("x-allowed-actions-to-run", list));
        let connection = connect(&port, headers.as_slice()).await;
        let (text, is_error) = call(&connection, "run_action", restart.clone()).await;
        assert_eq!(is_error, rejected, "{allowed:?}: {text}");
    }
}

#[tokio::test]
async fn only_the_holder_of_a_valid_token_comes_in() {
    let port = FakePort::builder().accepts(Accepts::OauthOnly).start();
    assert!(enter(&port, Flow::Rest).await.is_err());
    let connection = enter(&port, Flow::Oauth).await.unwrap();

    port.expire_tokens();
    assert!(connection.list_all_tools().await.is_err());

    let client = Client::builder().tls_certs_only([]).build().unwrap();
    let response = client.post(port.mcp_url()).send().await.unwrap();
    assert_eq!(response.status(), 401);
    assert_eq!(
        response.headers()["www-authenticate"],
        r#"Bearer realm="port""#
    );
}

#[tokio::test]
async fn a_client_of_the_newer_protocol_falls_back() {
    let port = FakePort::start();
    let connection = connect_newer(&port).await;
    assert!(!names(&connection).await.is_empty());
    assert!(port.received()[0].body.contains("server/discover"));
}

#[tokio::test]
async fn the_server_fails_on_demand() {
    let port = FakePort::start();
    port.fault(Endpoint::Mcp, Fault::status(502).text("bad gateway"));
    assert!(enter(&port, Flow::Rest).await.is_err());
    assert!(enter(&port, Flow::Rest).await.is_ok());
}

#[tokio::test]
async fn a_server_of_the_newer_protocol_needs_no_handshake_and_no_session() {
    for json in [false, true] {
        let port = FakePort::builder().discovers(true).json(json).start();
        let connection = connect_newer(&port).await;
        assert!(!names(&connection).await.is_empty());
        let received = port.received();
        assert!(received[0].body.contains("server/discover"));
        for request in received {
            assert!(!request.body.contains("\"initialize\""), "{request:?}");
            assert_eq!(request.header("mcp-session-id"), None);
        }
    }
}

#[tokio::test]
async fn the_role_decides_what_is_offered() {
    for (role, reads, runs, writes) in [
        (Role::Builder, true, true, true),
        (Role::Developer, true, true, false),
        (Role::None, false, false, false),
    ] {
        let port = FakePort::builder().role(role).start();
        let connection = connect(&port, &[]).await;
        let offered = names(&connection).await;
        let offers = |name: &str| offered.iter().any(|offered| offered == name);
        assert_eq!(offers("list_entities"), reads, "{role:?}");
        assert_eq!(offers("run_action"), runs, "{role:?}");
        assert_eq!(offers("upsert_entity"), writes, "{role:?}");
        assert_eq!(offered.is_empty(), role == Role::None);
        let write = CallToolRequestParams::new("upsert_entity");
        assert_eq!(
            connection.call_tool(write).await.is_ok(),
            writes,
            "{role:?}"
        );
    }

    for (role, name) in [(Role::Builder, "Builder"), (Role::Developer, "Developer")] {
        let port = FakePort::builder().role(role).start();
        let connection = connect(&port, &[]).await;
        let (text, _) = call(&connection, "describe_user_details", json!({})).await;
        let user: Value = serde_json::from_str(&text).unwrap();
        assert_eq!(user["user"]["roles"], json!([name]));
    }
}

#[tokio::test]
async fn tools_come_in_pages() {
    let whole = names(&connect(&FakePort::start(), &[]).await).await;
    let port = FakePort::builder().page_size(10).start();
    let connection = connect(&port, &[]).await;
    assert_eq!(names(&connection).await, whole);

    let (length, next) = page(&connection, None).await;
    assert_eq!(length, 10);
    assert_eq!(page(&connection, next.clone()).await.0, 10);
    let mut last = next;
    let mut total = length;
    while let Some(cursor) = last {
        let (length, next) = page(&connection, Some(cursor)).await;
        (last, total) = (next, total + length);
    }
    assert_eq!(total, whole.len());

    // Read-only mode has fewer pages, and none of them has a gap.
    let read_only = connect(&port, &[("x-read-only-mode", "1")]).await;
    assert_eq!(page(&read_only, None).await.0, 10);

    for cursor in ["", "1", "cGFnZTo5OQ"] {
        let request = PaginatedRequestParams::default().with_cursor(Some(cursor.to_owned()));
        assert!(
            connection.list_tools(Some(request)).await.is_err(),
            "{cursor}"
        );
    }
}

#[tokio::test]
async fn a_cursor_may_lead_in_circles() {
    let port = FakePort::builder().page_size(5).cursor_loop(true).start();
    let connection = connect(&port, &[]).await;
    let first = page(&connection, None).await;
    assert_eq!(first.0, 5);
    assert!(first.1.is_some());
    assert_eq!(page(&connection, first.1.clone()).await, first);
}

#[tokio::test]
async fn a_catalog_may_be_large() {
    let port = FakePort::builder().tools(10_000).page_size(100).start();
    let offered = connect(&port, &[]).await.list_all_tools().await.unwrap();
    let requests = port.received();
    let pages = requests
        .iter()
        .filter(|request| request.body.contains("tools/list"));
    assert_eq!(pages.count(), 100);

    let unique: HashSet<_> = offered.iter().map(|tool| tool.name.as_ref()).collect();
    assert_eq!(unique.len(), 10_000);
    for name in [
        "list_service_0",
        "get_service_1",
        "upsert_service_2",
        "delete_vulnerability_31",
    ] {
        assert!(unique.contains(name), "{name}");
    }
    for tool in &offered {
        let size = tool.description.as_ref().unwrap().len()
            + serde_json::to_string(&tool.input_schema).unwrap().len();
        assert!((450..700).contains(&size), "{size} bytes");
        assert!(tool.annotations.is_some() && tool.title.is_some());
    }

    let readable = tools(FakePort::builder().tools(8)).await;
    assert_eq!(readable.len(), 4);
}

#[tokio::test]
async fn a_tool_may_be_called_and_call_itself_anything() {
    let hostile = "| </td><script>\n::error::\u{1b}[31m\u{202e}";
    let offered = tools(
        FakePort::builder()
            .offer(Tool::new("bare"))
            .offer(
                Tool::new(hostile)
                    .title(hostile)
                    .description(hostile)
                    .destructive(true),
            )
            .offer(Tool::new("list_entities").read_only(false)),
    )
    .await;

    let [.., bare, named, again] = offered.as_slice() else {
        panic!("three tools were added")
    };
    assert_eq!(bare.name, "bare");
    assert_eq!(
        (&bare.title, &bare.description, &bare.annotations),
        (&None, &None, &None)
    );
    assert_eq!(named.name, hostile);
    assert_eq!(named.title.as_deref(), Some(hostile));
    assert_eq!(named.description.as_deref(), Some(hostile));
    let hints = named.annotations.as_ref().unwrap();
    assert_eq!(
        (hints.read_only_hint, hints.destructive_hint),
        (None, Some(true))
    );
    assert_eq!(again.name, "list_entities");
    assert!(
        offered
            .iter()
            .any(|tool| tool.name == "list_entities" && tool != again)
    );

    let without_permission = FakePort::builder()
        .role(Role::None)
        .offer(Tool::new("bare"));
    assert!(tools(without_permission).await.is_empty());
}

#[tokio::test]
async fn a_description_may_be_huge() {
    let description = "A".repeat(5 * 1024 * 1024);
    let port = FakePort::builder()
        .sessions(false)
        .offer(Tool::new("verbose").description(&description))
        .start();
    let list = json!({"jsonrpc": "2.0", "id": 1, "method": "tools/list"});
    let response = plain(&port, Method::POST).json(&list).send().await.unwrap();
    assert!(response.text().await.unwrap().contains(&description));
}

#[tokio::test]
async fn every_style_of_answer_serves_the_same_tools() {
    let whole = names(&connect(&FakePort::start(), &[]).await).await;
    for (sessions, json) in [(true, false), (true, true), (false, false), (false, true)] {
        let style = format!("sessions: {sessions}, JSON: {json}");
        let port = FakePort::builder().sessions(sessions).json(json).start();
        let connection = connect(&port, &[]).await;
        assert_eq!(names(&connection).await, whole, "{style}");
        connection.cancel().await.unwrap();

        let received = port.received();
        let closed = received.iter().find(|request| request.method == "DELETE");
        assert_eq!(closed.is_some(), sessions, "{style}");

        let open = plain(&port, Method::POST).json(&json!({
            "jsonrpc": "2.0", "id": 1, "method": "initialize",
            "params": {
                "protocolVersion": "2025-06-18", "capabilities": {},
                "clientInfo": {"name": "test", "version": "0"},
            },
        }));
        let opened = open.send().await.unwrap();
        let kind = if json {
            "application/json"
        } else {
            "text/event-stream"
        };
        assert_eq!(opened.headers()["content-type"], kind, "{style}");
        assert_eq!(
            opened.headers().contains_key("mcp-session-id"),
            sessions,
            "{style}"
        );
    }
}

#[tokio::test]
async fn a_session_ends_when_its_client_says_so() {
    let port = FakePort::start();
    let connection = connect(&port, &[]).await;
    names(&connection).await;
    let received = port.received();
    let session = received
        .iter()
        .find_map(|request| request.header("mcp-session-id"));
    let session = session.unwrap();
    let list = json!({"jsonrpc": "2.0", "id": 9, "method": "tools/list"});
    let mut statuses = Vec::new();
    for request in [
        plain(&port, Method::POST).json(&list),
        plain(&port, Method::DELETE),
        plain(&port, Method::POST).json(&list),
    ] {
        let response = request
            .header("mcp-session-id", session)
            .send()
            .await
            .unwrap();
        statuses.push(response.status().as_u16());
    }
    assert_eq!(statuses, [200, 202, 404]);

    let stateless = FakePort::builder().sessions(false).start();
    let response = plain(&stateless, Method::DELETE).send().await.unwrap();
    assert_eq!(response.status(), 405);
    assert_eq!(response.headers()["allow"], "POST");
}
