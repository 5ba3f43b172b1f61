//! The gateway: what it lets pass, what it rejects, and how it survives expiry. The real process, started by
//! the real step, against the fake Port server.

use std::fs;
use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::{TcpListener, TcpStream};
use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::time::Duration;

use base64::Engine as _;
use base64::prelude::BASE64_URL_SAFE_NO_PAD;
use fake_port::{Accepts, Builder, Endpoint, FakePort, Fault, Flow, Token, Tool};
use reqwest::header::{AUTHORIZATION, HeaderMap, HeaderValue};
use reqwest::{Client, Method, Response, StatusCode};
use runner_double::Finished;
use serde_json::{Value, json};

use crate::harness::{Step, annotations, closed_port, is_image};

const TOOLS: &str = "list_blueprints, list_entities";

/// A gateway that a step has started.
pub(crate) struct Gateway {
    pub(crate) step: Step,
    pub(crate) run: Finished,
    pub(crate) client: Client,
}

impl Gateway {
    pub(crate) fn start() -> Self {
        Self::against(FakePort::builder())
    }

    pub(crate) fn against(port: Builder) -> Self {
        Self::of(Step::against(port))
    }

    pub(crate) fn of(step: Step) -> Self {
        let step = step
            .input("connection", "gateway")
            .input("allowed_tools", TOOLS);
        let run = step.succeed();
        let client = Client::builder().no_proxy().build().unwrap();
        Self { step, run, client }
    }

    pub(crate) fn url(&self) -> &str {
        &self.run.outputs["mcp_url"]
    }

    fn key(&self) -> &str {
        &self.run.outputs["access_token"]
    }

    /// The headers of an agent.
    pub(crate) fn headers(&self) -> HeaderMap {
        let bearer = HeaderValue::from_str(&format!("Bearer {}", self.key())).unwrap();
        let mut headers = HeaderMap::new();
        headers.insert(AUTHORIZATION, bearer);
        headers.insert(
            "accept",
            HeaderValue::from_static("application/json, text/event-stream"),
        );
        headers.insert("content-type", HeaderValue::from_static("application/json"));
        headers
    }

    pub(crate) fn address(&self) -> &str {
        let url = self.url().strip_prefix("http://").unwrap();
        url.strip_suffix("/v1").unwrap()
    }

    pub(crate) fn connect(&self) -> TcpStream {
        TcpStream::connect(self.address()).unwrap()
    }

    pub(crate) async fn post(&self, headers: HeaderMap, body: impl Into<String>) -> Response {
        let request = self.client.post(self.url()).headers(headers);
        request.body(body.into()).send().await.unwrap()
    }

    pub(crate) async fn raw(&self, body: &str) -> (StatusCode, String) {
        let response = self.post(self.headers(), body).await;
        (response.status(), response.text().await.unwrap())
    }

    /// Opens a session, and returns its headers.
    pub(crate) async fn open(&self) -> HeaderMap {
        let body = json!({
            "jsonrpc": "2.0", "id": 0, "method": "initialize",
            "params": {"protocolVersion": "2025-06-18", "capabilities": {}, "clientInfo": {"name": "t", "version": "1"}},
        });
        let response = self.post(self.headers(), body.to_string()).await;
        assert_eq!(response.status(), 200);
        let mut headers = self.headers();
        headers.insert(
            "mcp-session-id",
            response.headers()["mcp-session-id"].clone(),
        );
        headers.insert(
            "mcp-protocol-version",
            HeaderValue::from_static("2025-06-18"),
        );
        let text = response.text().await.unwrap();
        let capabilities = message(&text)["result"]["capabilities"].clone();
        assert!(capabilities.get("tools").is_some(), "{text}");
        for hidden in ["prompts", "resources", "completions", "logging"] {
            assert!(capabilities.get(hidden).is_none(), "{text}");
        }
        let initialized = json!({"jsonrpc": "2.0", "method": "notifications/initialized"});
        let response = self.post(headers.clone(), initialized.to_string()).await;
        assert_eq!(response.status(), 202);
        headers
    }

    pub(crate) async fn request(&self, session: &HeaderMap, method: &str, params: Value) -> Value {
        let body = json!({"jsonrpc": "2.0", "id": "a-1", "method": method, "params": params});
        let response = self.post(session.clone(), body.to_string()).await;
        message(&response.text().await.unwrap())
    }

    pub(crate) async fn call(&self, session: &HeaderMap, tool: &str) -> Value {
        let params = json!({"name": tool, "arguments": {}});
        self.request(session, "tools/call", params).await
    }

    /// The number of token exchanges that Port received.
    pub(crate) fn exchanges(&self) -> usize {
        let requests = self.step.port.received();
        let paths = requests.iter().map(|request| request.path.as_str());
        paths.filter(|path| path.ends_with("/access_token")).count()
    }

    /// The methods that reached Port's MCP server, and their tools.
    pub(crate) fn reached(&self) -> Vec<String> {
        let requests = self.step.port.received();
        let bodies = requests.iter().filter(|request| request.path == "/v1");
        let messages = bodies.filter_map(|request| serde_json::from_str(&request.body).ok());
        messages
            .map(|message: Value| {
                let method = message["method"].as_str().unwrap_or_default();
                let tool = message["params"]["name"].as_str().unwrap_or_default();
                format!("{method} {tool}").trim().to_owned()
            })
            .collect()
    }
}

/// The JSON-RPC message in a body, which can be an event stream.
pub(crate) fn message(text: &str) -> Value {
    let events = text.lines().filter_map(|line| line.strip_prefix("data: "));
    let mut messages = std::iter::once(text)
        .chain(events)
        .filter_map(|text| serde_json::from_str(text).ok());
    messages
        .next()
        .unwrap_or_else(|| panic!("no message in {text:?}"))
}

#[tokio::test]
async fn only_granted_tools_reach_port() {
    let gateway = Gateway::start();
    let session = gateway.open().await;
    let granted = gateway.call(&session, "list_blueprints").await;
    assert!(granted["result"]["content"].is_array(), "{granted}");
    assert_eq!(granted["id"], "a-1");
    for tool in ["delete_entity", "run_action", "list_Blueprints", ""] {
        let denied = gateway.call(&session, tool).await;
        assert_eq!(denied["error"]["code"], -32602, "{denied}");
        let text = denied["error"]["message"].as_str().unwrap();
        assert!(
            text.contains("granted tools: `list_blueprints`, `list_entities`"),
            "{text}"
        );
    }
    for method in [
        "prompts/list",
        "resources/read",
        "completion/complete",
        "logging/setLevel",
        "x",
    ] {
        let denied = gateway.request(&session, method, json!({})).await;
        assert_eq!(denied["error"]["code"], -32601, "{denied}");
    }
    let calls: Vec<String> = gateway
        .reached()
        .into_iter()
        .filter(|method| !method.starts_with("tools/list") && !method.starts_with("initialize"))
        .filter(|method| !method.starts_with("notifications/"))
        .collect();
    assert_eq!(calls, ["tools/call list_blueprints"]);
}

#[tokio::test]
async fn messages_that_parsers_read_differently_are_rejected() {
    let gateway = Gateway::start();
    let before = gateway.reached().len();
    for body in [
        r#"[{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{"name":"list_blueprints"}}]"#,
        r#"{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{"name":"list_blueprints","name":"delete_entity"}}"#,
        r#"{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{"name":"list_blueprints","Name":"delete_entity"}}"#,
        r#"{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{"name":"list_blueprints"},"Params":{"name":"x"}}"#,
        "{\"jsonrpc\":\"2.0\",\"id\":1,\"method\":\"tools/call\",\"param\u{17f}\":{\"name\":\"x\"}}",
        r#"{"jsonrpc":"2.0","id":1,"method":"ping","method":"tools/call"}"#,
        r#"{"jsonrpc":"1.0","id":1,"method":"ping"}"#,
        r#"{"jsonrpc":"2.0","id":1,"method":"ping"} {}"#,
        r#"{"jsonrpc":"2.0","id":1,"method":"ping""#,
        r#"{"jsonrpc":"2.0","id":{},"method":"ping"}"#,
        r#"{"jsonrpc":"2.0","id":1,"method":"tools/call","params":["list_blueprints"]}"#,
        "",
        "null",
    ] {
        let (status, text) = gateway.raw(body).await;
        // A client waits for a response to its request.
        let has_id = body.starts_with('{') && body.contains(r#""id":1"#) && !body.ends_with(" {}");
        let expected = if has_id { 200 } else { 400 };
        assert_eq!(status, expected, "{body}: {text}");
        assert!(message(&text)["error"]["code"].is_i64(), "{text}");
    }
    let deep = format!(
        r#"{{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{{"name":"list_blueprints","arguments":{}{}}}}}"#,
        "[".repeat(100),
        "]".repeat(100)
    );
    assert_eq!(gateway.raw(&deep).await.0, 200);
    let large = format!(
        r#"{{"jsonrpc":"2.0","id":[],"method":"{}"}}"#,
        "x".repeat(5 * 1024 * 1024)
    );
    assert_eq!(gateway.raw(&large).await.0, 413);
    for (name, value) in [("mcp-method", "tools/list"), ("mcp-name", "delete_entity")] {
        let mut headers = gateway.headers();
        headers.insert(name, HeaderValue::from_static(value));
        let call =
            r#"{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{"name":"list_blueprints"}}"#;
        let response = gateway.post(headers, call).await;
        assert_eq!(response.status(), 200, "{name}");
        let error = message(&response.text().await.unwrap());
        assert_eq!(error["error"]["code"], -32020, "{name}");
    }
    assert_eq!(gateway.reached().len(), before);
}

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
async fn the_list_has_one_page_with_the_granted_tools() {
    let gateway = Gateway::against(FakePort::builder().page_size(1));
    let session = gateway.open().await;
    let list = gateway.request(&session, "tools/list", json!({})).await;
    let tools = list["result"]["tools"].as_array().unwrap();
    let names: Vec<&str> = tools
        .iter()
        .map(|tool| tool["name"].as_str().unwrap())
        .collect();
    assert_eq!(names, ["list_blueprints", "list_entities"]);
    assert!(list["result"].get("nextCursor").is_none(), "{list}");
    assert!(tools[0]["inputSchema"].is_object(), "{list}");
}

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
        gateway.client.get(url).send()
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
        .client
        .post(url)
        .headers(gateway.headers())
        .send()
        .await
        .unwrap();
    assert_eq!(stop.status(), 401, "the agent cannot stop the gateway");
    let head = gateway
        .client
        .request(Method::HEAD, gateway.url())
        .headers(gateway.headers());
    assert_eq!(head.send().await.unwrap().status(), 405);
}

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
async fn the_post_phase_stops_it_and_reports_the_calls() {
    let gateway = Gateway::of(Step::against(FakePort::builder()).input("audit_file", "true"));
    let session = gateway.open().await;
    gateway.call(&session, "list_blueprints").await;
    gateway.call(&session, "list_blueprints").await;
    gateway.call(&session, "delete_entity").await;
    let audit = gateway
        .step
        .job
        .temp()
        .join(&gateway.run.outputs["audit_file"]);
    let audit = || std::fs::read_to_string(&audit).unwrap();
    let events: Vec<Value> = audit()
        .lines()
        .map(|line| serde_json::from_str(line).unwrap())
        .collect();
    let names: Vec<&str> = events
        .iter()
        .map(|event| event["event"].as_str().unwrap())
        .collect();
    assert_eq!(names, ["start", "session", "call", "call", "rejection"]);
    assert_eq!(events[2]["tool"], "list_blueprints");
    assert_eq!(events[2]["outcome"], "result");
    assert_eq!(events[4]["tool"], "delete_entity");

    let post = gateway.step.clean_up();
    let warning = annotations(&post, "warning");
    assert_eq!(
        warning,
        "The gateway rejected calls of tools that are not granted: `delete_entity` (1)."
    );
    assert!(
        post.summary.contains("| `list_blueprints` | 2 | 0 | 0 |"),
        "{}",
        post.summary
    );
    assert!(
        post.summary.contains("| `delete_entity` | 0 | 0 | 1 |"),
        "{}",
        post.summary
    );
    let ping = gateway.client.get(gateway.url()).send().await;
    assert!(ping.is_err(), "it is gone");
    for secret in [
        gateway.key(),
        &gateway.step.port.token(Flow::Rest),
        gateway.step.port.client_secret(),
    ] {
        assert!(!audit().contains(secret));
    }
}

#[test]
fn the_exit_code_of_a_killed_container_is_reported() {
    if !is_image() {
        return;
    }
    let gateway = Gateway::start();
    let killed = Command::new("docker")
        .args(["kill", &gateway.run.state["gateway_name"]])
        .output()
        .unwrap();
    assert!(killed.status.success());
    let warning = annotations(&gateway.step.clean_up(), "warning");
    assert!(warning.contains("exited with code 137"), "{warning}");
}

#[tokio::test]
async fn a_gateway_that_was_ended_is_reported() {
    let gateway = Gateway::start();
    let step = &gateway.step;
    step.clean_up();
    let again = step.clean_up();
    let warning = annotations(&again, "warning");
    assert!(
        warning.starts_with("The gateway ended before the job did"),
        "{warning}"
    );
}

#[tokio::test]
async fn an_agent_without_a_list_of_its_own_is_accepted_under_a_policy() {
    let text = "version: 1\nrules: [{allow: {tools: ['list_*'], servers: [127.0.0.1], connection: [gateway]}}]";
    let port = FakePort::builder()
        .policy_file("acme/.github", "p.yml", "main", text)
        .offer(Tool::new("a.b").destructive(true));
    let step = Step::against(port)
        .input("policy", "acme/.github/p.yml@main")
        .input("agent", "cline");
    let gateway = Gateway::of(step);
    assert_eq!(
        annotations(&gateway.run, "warning")
            .matches("enforce")
            .count(),
        0
    );
    assert!(gateway.run.outputs["mcp_config"].contains(gateway.key()));
    assert!(!gateway.run.outputs["mcp_config"].contains("x-read-only-mode"));
}

#[tokio::test]
async fn r1_a_session_that_port_forgot_is_opened_again_once() {
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
async fn r3_an_unknown_session_is_a_404() {
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

#[tokio::test]
async fn r5_a_silent_stream_stays_open() {
    let (url, requests) = upstream();
    let gateway = in_front_of(&url);
    let get = gateway.client.get(gateway.url()).headers(gateway.headers());
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
async fn r6_a_405_for_get_reaches_the_agent() {
    let gateway = Gateway::against(FakePort::builder().sessions(false));
    let get = gateway.client.get(gateway.url()).headers(gateway.headers());
    assert_eq!(get.send().await.unwrap().status(), 405);
}

#[tokio::test]
async fn r11_a_result_keeps_its_bytes() {
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
async fn r14_a_call_whose_outcome_is_unknown_is_sent_once() {
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
async fn r15_a_401_of_port_never_reaches_the_agent() {
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
async fn r16_no_secret_is_where_other_processes_can_read_it() {
    if is_image() {
        // The processes of a container have other arguments. `tests/e2e/run` tests the container.
        return;
    }
    let gateway = Gateway::start();
    let secrets = [
        gateway.key().to_owned(),
        gateway.step.port.token(Flow::Rest),
        gateway.step.port.client_secret().to_owned(),
    ];
    let mut found = 0;
    for process in fs::read_dir("/proc").unwrap().flatten() {
        let read = |name: &str| fs::read(process.path().join(name)).unwrap_or_default();
        let command = String::from_utf8_lossy(&read("cmdline")).into_owned();
        if !command.ends_with("port-mcp\0gateway\0") {
            continue;
        }
        if stat(&process.path(), STARTED_AT) < stat(Path::new("/proc/self"), STARTED_AT) {
            // Another program started it.
            continue;
        }
        found += 1;
        let environment = String::from_utf8_lossy(&read("environ")).into_owned();
        for secret in &secrets {
            assert!(!command.contains(secret) && !environment.contains(secret));
        }
        // It leads a session of its own, so that a signal to the step's session does not end it. The gateway
        // of another test may still be starting.
        let session = || stat(&process.path(), SESSION);
        let is_leader = || session().is_none_or(|id| *id.to_string() == *process.file_name());
        assert!((0..10_000).any(|_| is_leader()), "{:?}", session());
    }
    assert!(found >= 1, "the gateway's process was not found");
}

/// The indexes of fields after the name of the program (`proc_pid_stat(5)`).
const SESSION: usize = 3;
const STARTED_AT: usize = 19;

/// A field of a process in `/proc`. `None` if the process has ended.
fn stat(process: &Path, field: usize) -> Option<u64> {
    let stat = fs::read_to_string(process.join("stat")).ok()?;
    let fields = stat.rsplit_once(") ")?.1;
    fields.split(' ').nth(field)?.parse().ok()
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

/// A request that an upstream of a test received.
pub(crate) struct Seen {
    head: String,
    body: String,
    stream: TcpStream,
}

/// An MCP server that the test answers by hand: one request per connection.
pub(crate) fn upstream() -> (String, Receiver<Seen>) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}/v1", listener.local_addr().unwrap());
    let (sender, receiver) = channel();
    std::thread::spawn(move || {
        for stream in listener.incoming() {
            let sender: Sender<Seen> = sender.clone();
            std::thread::spawn(move || read_request(stream.unwrap(), &sender));
        }
    });
    (url, receiver)
}

fn read_request(stream: TcpStream, sender: &Sender<Seen>) {
    let mut reader = BufReader::new(stream.try_clone().unwrap());
    let (mut head, mut length) = (String::new(), 0);
    loop {
        let start = head.len();
        if reader.read_line(&mut head).unwrap_or_default() == 0 {
            return;
        }
        let line = head[start..].to_lowercase();
        if let Some(value) = line.strip_prefix("content-length:") {
            length = value.trim().parse().unwrap();
        }
        if line == "\r\n" {
            break;
        }
    }
    let mut body = vec![0; length];
    reader.read_exact(&mut body).unwrap();
    let body = String::from_utf8(body).unwrap();
    let _ = sender.send(Seen { head, body, stream });
}

impl Seen {
    pub(crate) fn write(&mut self, text: &str) {
        self.stream.write_all(text.as_bytes()).unwrap();
    }

    pub(crate) fn event(&mut self, message: &Value) {
        self.write(&format!("data: {message}\n\n"));
    }

    /// Whether the gateway closed the connection.
    pub(crate) fn is_closed(&mut self) -> bool {
        self.stream
            .read(&mut [0; 16])
            .map_or(true, |read| read == 0)
    }
}

pub(crate) const STREAM: &str =
    "HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nConnection: close\r\n\r\n";

/// A gateway in front of an MCP server of the test, without the preflight check.
pub(crate) fn in_front_of(url: &str) -> Gateway {
    Gateway::of(Step::new().input("mcp_url", url).input("verify", "false"))
}

pub(crate) fn call_of(tool: &str) -> String {
    json!({"jsonrpc": "2.0", "id": 7, "method": "tools/call", "params": {"name": tool, "_meta": {"progressToken": "p"}}})
        .to_string()
}

#[tokio::test]
async fn r2_after_a_restart_of_port_every_call_works() {
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
async fn r4_odd_requests_do_not_end_the_process() {
    let gateway = Gateway::start();
    let session = gateway.open().await;
    let get = || {
        gateway
            .client
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
async fn r21_bodies_have_a_memory_limit_together() {
    let gateway = Gateway::start();
    let session = gateway.open().await;
    let host = gateway.address();
    let headers: String = session
        .iter()
        .map(|(name, value)| format!("{name}: {}\r\n", value.to_str().unwrap()))
        .collect();
    let head = |length: usize| {
        format!(
            "POST /v1 HTTP/1.1\r\nhost: {host}\r\ncontent-length: {length}\r\n\
             expect: 100-continue\r\n{headers}\r\n"
        )
    };
    let largest = 4 * 1024 * 1024 - 1;
    let mut unfinished: Vec<TcpStream> = Vec::new();
    for _ in 0..3 {
        let mut stream = gateway.connect();
        stream.write_all(head(largest).as_bytes()).unwrap();
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

#[tokio::test]
async fn r10_a_repeated_cursor_ends_in_an_error() {
    let port = FakePort::builder().page_size(5).cursor_loop(true);
    let gateway = Gateway::of(Step::against(port).input("verify", "false"));
    let session = gateway.open().await;
    let list = gateway.request(&session, "tools/list", json!({})).await;
    let text = list["error"]["message"].as_str().unwrap();
    assert_eq!(text, "Port's list of tools is endless");
    let stale = gateway
        .request(&session, "tools/list", json!({"cursor": "x"}))
        .await;
    assert_eq!(stale["error"]["code"], -32602);
}

#[tokio::test]
async fn r12_cancellation_reaches_port() {
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
async fn r13_progress_arrives_in_step() {
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

#[test]
fn r18_a_gateway_that_cannot_start_says_why() {
    let output = Command::new(env!("CARGO_BIN_EXE_port-mcp"))
        .arg("gateway")
        .stdin(Stdio::null())
        .output()
        .unwrap();
    assert_eq!(output.status.code(), Some(1));
    let text = String::from_utf8(output.stdout).unwrap();
    let reply: Value = serde_json::from_str(text.lines().next().unwrap()).unwrap();
    let error = reply["error"].as_str().unwrap();
    assert!(
        error.starts_with("the gateway received no settings"),
        "{error}"
    );
}

#[tokio::test]
async fn r19_the_next_steps_do_not_use_a_proxy_for_it() {
    let step = Step::new();
    let step = step
        .variable("https_proxy", "http://127.0.0.1:9")
        .variable("NO_PROXY", "a.example,localhost")
        .variable("no_proxy", "b.example, 127.0.0.1");
    let gateway = Gateway::of(step);
    // Each keeps its value: programs disagree about which one counts.
    let upper = "a.example,localhost,127.0.0.1";
    let lower = "b.example, 127.0.0.1,localhost";
    let env: Vec<(&str, &str)> = gateway
        .run
        .env
        .iter()
        .map(|(name, value)| (name.as_str(), value.as_str()))
        .collect();
    assert_eq!(env, [("NO_PROXY", upper), ("no_proxy", lower)]);
    assert_eq!(annotations(&gateway.run, "notice"), "", "nothing is wrong");
    let log = gateway.run.log();
    assert!(
        log.contains("`NO_PROXY` and `no_proxy` contain it"),
        "{log}"
    );
    assert!(
        Gateway::start().run.env.is_empty(),
        "only if there is a proxy"
    );
}

/// A list that contains `*` and other hosts is no longer a wildcard for curl, Python, and Node.js.
#[tokio::test]
async fn k30_a_wildcard_stays_one() {
    let with = |variables: &[(&str, &str)]| {
        let step = Step::new().variable("https_proxy", "http://127.0.0.1:9");
        let step = variables
            .iter()
            .fold(step, |step, (name, value)| step.variable(name, value));
        Gateway::of(step)
    };
    for variables in [
        &[("no_proxy", "*")][..],
        &[("NO_PROXY", " *")],
        &[("no_proxy", "*"), ("NO_PROXY", "*")],
    ] {
        let gateway = with(variables);
        assert!(gateway.run.env.is_empty(), "{:?}", gateway.run.env);
        assert_eq!(annotations(&gateway.run, "notice"), "");
    }
    let gateway = with(&[("no_proxy", "*"), ("NO_PROXY", "a.example")]);
    let env: Vec<_> = gateway.run.env.into_iter().collect();
    let upper = "a.example,127.0.0.1,localhost".to_owned();
    assert_eq!(env, [("NO_PROXY".to_owned(), upper)]);
    // One that is not set gets what counts in its place.
    let gateway = with(&[("NO_PROXY", "a.example,*")]);
    let value = "a.example,*,127.0.0.1,localhost";
    assert!(gateway.run.env.iter().all(|(_, found)| found == value));
    assert_eq!(gateway.run.env.len(), 2);
}

#[tokio::test]
async fn r20_no_length_or_encoding_is_copied() {
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
async fn r22_without_a_readable_policy_nothing_starts() {
    let step = Step::new()
        .input("connection", "gateway")
        .input("policy", "acme/.github/missing.yml@main");
    let run = step.run();
    assert_eq!(run.exit, Some(1));
    assert!(run.state.values().all(|value| value == "none"));
    assert!(run.outputs.is_empty());
}

#[test]
fn agents_outside_the_job_cannot_use_it() {
    for agent in ["anthropic-api", "openai-responses"] {
        let step = Step::new().input("connection", "gateway");
        let errors = step.input("agent", agent).fail();
        let expected = format!("input `connection` is `gateway`, which `{agent}` cannot use");
        assert!(errors.contains(&expected), "{errors}");
    }
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
        let request = gateway.client.request(method.clone(), gateway.url());
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
    let stream = gateway.client.get(gateway.url()).headers(session.clone());
    let text = stream.send().await.unwrap().text().await.unwrap();
    assert!(text.contains("sent: Bearer ***; secret: ***"), "{text}");
    // The beginning of a token is not a token.
    let half = &token[..token.len() / 2];
    port.fault(Endpoint::Mcp, Fault::status(200).text(half));
    let response = gateway.post(session, call_of("list_entities")).await;
    assert_eq!(response.text().await.unwrap(), half);
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
async fn the_audit_shows_no_secret_and_no_value() {
    for shows_values in [false, true] {
        let step = Step::new()
            .input("audit_file", "true")
            .input("audit_arguments", shows_values.to_string());
        let gateway = Gateway::of(step);
        let session = gateway.open().await;
        gateway.step.port.expire_tokens();
        gateway.call(&session, "list_entities").await;
        // The runner cannot mask this token.
        let token = gateway.step.port.token(Flow::Rest);
        let arguments = json!({"query": format!("a value, {token}"), "long": "x".repeat(20_000)});
        let params = json!({"name": "list_entities", "arguments": arguments});
        gateway.request(&session, "tools/call", params).await;
        let params = json!({"name": format!("x{}", "y".repeat(20_000)), "arguments": {}});
        gateway.request(&session, "tools/call", params).await;
        let params =
            json!({"name": "list_entities", "arguments": {"query": format!("a value, {token}")}});
        gateway.request(&session, "tools/call", params).await;
        let file = gateway
            .step
            .job
            .temp()
            .join(&gateway.run.outputs["audit_file"]);
        let text = fs::read_to_string(&file).unwrap();
        assert!(!text.contains(&token), "{text}");
        assert!(text.lines().all(|line| line.len() <= 8 * 1024), "{text}");
        assert_eq!(text.contains("a value, ***"), shows_values, "{text}");
        assert!(text.contains("query"), "{text}");
        assert!(
            text.contains(r#""event":"renewal","expires_at":"20"#),
            "{text}"
        );
    }
}
