//! An agent: a small client of an MCP server, for tests of what stands between an agent and Port.
//!
//! It panics where a test cannot continue. The official SDK's client checks the protocol; this one sends what a test
//! tells it, and shows what it receives.

use std::{io::Write as _, net::TcpStream};

use reqwest::{
    Client, Response, StatusCode,
    header::{ACCEPT, AUTHORIZATION, CONTENT_TYPE, HeaderMap, HeaderValue},
};
use serde_json::{Value, json};

const VERSION: &str = "2025-06-18";

/// An agent with the address of an MCP server and its token or key.
#[derive(Debug)]
pub struct Agent {
    url: String,
    key: String,
    /// Uses no proxy.
    pub http: Client,
}

#[expect(
    clippy::missing_panics_doc,
    reason = "it panics where a test cannot continue"
)]
impl Agent {
    /// An agent of the server at this URL, such as `http://127.0.0.1:1234/v1`.
    #[must_use]
    pub fn new(url: &str, key: &str) -> Self {
        let http = Client::builder().no_proxy().build();
        Self {
            url: url.to_owned(),
            key: key.to_owned(),
            http: http.expect("without TLS, nothing can fail"),
        }
    }

    /// The address of the server.
    #[must_use]
    pub fn url(&self) -> &str {
        &self.url
    }

    /// The token or key.
    #[must_use]
    pub fn key(&self) -> &str {
        &self.key
    }

    /// The host and port of the server.
    #[must_use]
    pub fn address(&self) -> &str {
        self.address_and_path().0
    }

    fn address_and_path(&self) -> (&str, &str) {
        let rest = self.url.strip_prefix("http://");
        let parts = rest.and_then(|rest| rest.split_once('/'));
        parts.expect("a URL such as http://127.0.0.1:1234/v1")
    }

    /// The headers of a request outside a session.
    #[must_use]
    pub fn headers(&self) -> HeaderMap {
        let bearer = HeaderValue::from_str(&format!("Bearer {}", self.key));
        let accepted = "application/json, text/event-stream";
        HeaderMap::from_iter([
            (AUTHORIZATION, bearer.expect("a key is a valid header")),
            (ACCEPT, HeaderValue::from_static(accepted)),
            (CONTENT_TYPE, HeaderValue::from_static("application/json")),
        ])
    }

    /// Sends a body with these headers.
    pub async fn post(&self, headers: HeaderMap, body: impl Into<String>) -> Response {
        let request = self.http.post(&self.url).headers(headers);
        let request = request.body(body.into());
        request.send().await.expect("the server responds")
    }

    /// Sends a body outside a session. Returns the status and the body of the response.
    pub async fn raw(&self, body: &str) -> (StatusCode, String) {
        let response = self.post(self.headers(), body).await;
        let status = response.status();
        (status, response.text().await.expect("the body is whole"))
    }

    /// Opens a session. Returns the headers of its requests, and what the server responded to `initialize`.
    pub async fn initialize(&self) -> (HeaderMap, Value) {
        let response = self.post(self.headers(), initialize()).await;
        assert_eq!(response.status(), 200);
        let mut session = self.headers();
        let id = response.headers()["mcp-session-id"].clone();
        session.insert("mcp-session-id", id);
        session.insert("mcp-protocol-version", HeaderValue::from_static(VERSION));
        let text = response.text().await.expect("the body is whole");
        let initialized = json!({"jsonrpc": "2.0", "method": "notifications/initialized"});
        let response = self.post(session.clone(), initialized.to_string()).await;
        assert_eq!(response.status(), 202);
        (session, message(&text))
    }

    /// Opens a session. Returns the headers of its requests.
    pub async fn open(&self) -> HeaderMap {
        self.initialize().await.0
    }

    /// Sends a request with the ID `a-1`. Returns the response.
    pub async fn request(&self, session: &HeaderMap, method: &str, params: Value) -> Value {
        let body = json!({"jsonrpc": "2.0", "id": "a-1", "method": method, "params": params});
        let response = self.post(session.clone(), body.to_string()).await;
        message(&response.text().await.expect("the body is whole"))
    }

    /// Calls a tool without arguments. Returns the response.
    pub async fn call(&self, session: &HeaderMap, tool: &str) -> Value {
        let params = json!({"name": tool, "arguments": {}});
        self.request(session, "tools/call", params).await
    }

    /// Opens a connection, and sends nothing.
    #[must_use]
    pub fn connect(&self) -> TcpStream {
        TcpStream::connect(self.address()).expect("the server listens")
    }

    /// A request as bytes. `framing` are the header lines that say how long the body is.
    #[must_use]
    pub fn written(&self, headers: &HeaderMap, framing: &str, body: &str) -> Vec<u8> {
        let (address, path) = self.address_and_path();
        let head = format!("POST /{path} HTTP/1.1\r\nhost: {address}\r\n{framing}\r\n");
        let mut bytes = head.into_bytes();
        for (name, value) in headers {
            bytes.extend([name.as_str().as_bytes(), b": ", value.as_bytes(), b"\r\n"].concat());
        }
        bytes.extend([b"\r\n", body.as_bytes()].concat());
        bytes
    }

    /// Sends a request on a connection of its own, and does not read the response. `framing` are the header lines that
    /// say how long the body is.
    #[must_use]
    pub fn send_as(&self, headers: &HeaderMap, framing: &str, body: &str) -> TcpStream {
        let mut stream = self.connect();
        let bytes = self.written(headers, framing, body);
        stream.write_all(&bytes).expect("the server reads");
        stream
    }

    /// As [`Agent::send_as`], with the length of the body.
    #[must_use]
    pub fn send(&self, headers: &HeaderMap, body: &str) -> TcpStream {
        self.send_as(headers, &format!("content-length: {}", body.len()), body)
    }
}

/// The request that opens a session.
#[must_use]
pub fn initialize() -> String {
    let client = json!({"name": "t", "version": "1"});
    let params = json!({"protocolVersion": VERSION, "capabilities": {}, "clientInfo": client});
    json!({"jsonrpc": "2.0", "id": 0, "method": "initialize", "params": params}).to_string()
}

/// The JSON-RPC message in a body, which can be an event stream.
///
/// # Panics
///
/// If there is none.
#[must_use]
pub fn message(text: &str) -> Value {
    let events = text.lines().filter_map(|line| line.strip_prefix("data: "));
    let mut messages = std::iter::once(text)
        .chain(events)
        .filter_map(|text| serde_json::from_str(text).ok());
    messages
        .next()
        .unwrap_or_else(|| panic!("no message in {text:?}"))
}

/// Runs a future of an agent in a test without a runtime.
///
/// # Panics
///
/// If the runtime cannot start.
pub fn block_on<F: Future>(future: F) -> F::Output {
    let mut runtime = tokio::runtime::Builder::new_current_thread();
    let runtime = runtime.enable_all().build();
    runtime.expect("the runtime starts").block_on(future)
}
