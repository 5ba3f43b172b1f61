//! The preflight check: connects to the MCP server with the headers that the agent will send, and lists
//! the tools.
//!
//! The client is the official SDK, which supports both versions of the lifecycle: the `initialize`
//! handshake, and the stateless requests since 2026-07-28.

pub mod arguments;
mod error;
pub(crate) mod headers;
pub(crate) mod transport;

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use reqwest::Method;
use rmcp::model::{
    ClientCapabilities, ClientConfig, Implementation, JsonObject, PaginatedRequestParams,
    ProtocolVersion, Tool as OfferedTool,
};
use rmcp::service::{
    ClientInitializeError, ClientLifecycleMode, ClientServiceExt as _, RunningService, ServiceError,
};
use rmcp::transport::StreamableHttpClientTransport;
use rmcp::transport::streamable_http_client::StreamableHttpClientTransportConfig;
use rmcp::{RoleClient, ServiceExt as _};
use secrecy::SecretString;
use url::Url;

pub(crate) use error::MCP_SERVER;
pub use error::{Error, PreflightError};

use crate::http::{Http, RequestError, Retry};
use crate::text::Quote;
use crate::text::secrets::{self, redact};
use transport::Transport;
pub(crate) use transport::error_text;

/// The time limit of one preflight check, including all pages.
const PREFLIGHT_TIMEOUT: Duration = Duration::from_secs(30);
/// The time limit for closing a session. A session that is not closed expires on the server.
const CLOSE_TIMEOUT: Duration = Duration::from_secs(2);
/// The maximum number of pages of the tool list.
const MAX_PAGES: usize = 250;

/// The MCP server, as the agent will connect to it.
#[derive(Clone, Copy, Debug)]
pub struct Server<'a> {
    /// Its URL.
    pub url: &'a Url,
    /// The headers that limit what it offers, in addition to `Authorization`.
    pub headers: &'a [(&'static str, String)],
    /// The token, without `Bearer`.
    pub token: &'a SecretString,
}

/// A tool, as the server describes it.
///
/// The annotations are the server's own hints
/// ([schema](https://modelcontextprotocol.io/specification/2025-11-25/schema#toolannotations)). They can
/// only restrict what is granted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Tool {
    /// Its name, which can be any text.
    pub name: String,
    /// Its display name.
    pub title: Option<Quote>,
    /// What it does.
    pub description: Option<Quote>,
    /// The annotation `readOnlyHint`.
    pub read_only: Option<bool>,
    /// The annotation `destructiveHint`.
    pub destructive: Option<bool>,
    /// The JSON Schema of its arguments.
    pub input_schema: Arc<JsonObject>,
}

impl Tool {
    /// A tool of which only the name is known.
    #[must_use]
    pub fn named(name: &str) -> Self {
        Self {
            name: name.to_owned(),
            title: None,
            description: None,
            read_only: None,
            destructive: None,
            input_schema: Arc::default(),
        }
    }

    /// Whether the tool may change data: by MCP's defaults, unless it is annotated as read-only. A tool
    /// that is annotated as both read-only and destructive may.
    #[must_use]
    pub fn may_write(&self) -> bool {
        self.read_only != Some(true) || self.destructive == Some(true)
    }

    /// What its annotations say about its effect on data, for display.
    #[must_use]
    pub fn access(&self) -> &'static str {
        match (self.may_write(), self.read_only, self.destructive) {
            (false, ..) => "read-only",
            (true, None, None) => "not annotated",
            (true, ..) => "may write",
        }
    }

    /// Keeps the more restrictive annotations of two tools with the same name.
    fn merge_hints(&mut self, other: &Self) {
        if other.may_write() {
            self.read_only = other.read_only;
            self.destructive = other.destructive;
        }
    }
}

impl Tool {
    /// The tool as the SDK parsed it.
    fn from_offered(offered: OfferedTool) -> Self {
        let hints = offered.annotations.unwrap_or_default();
        let quote = |text: Option<&str>| text.map(Quote::new).filter(|quote| !quote.is_empty());
        Self {
            title: quote(offered.title.or(hints.title).as_deref()),
            description: quote(offered.description.as_deref()),
            read_only: hints.read_only_hint,
            destructive: hints.destructive_hint,
            input_schema: offered.input_schema,
            name: if secrets::is_any_in(&offered.name) {
                redact(&offered.name).into_owned()
            } else {
                offered.name.into_owned()
            },
        }
    }
}

/// Connects to `server` as the agent will, and lists its tools: each name once, in the server's order.
///
/// Transient errors are retried.
///
/// # Errors
/// Why the tools could not be listed.
pub async fn offered_tools(http: &Http, server: &Server<'_>) -> Result<Vec<Tool>, Error> {
    let new = Transport::new(http, server);
    let transport = new.map_err(|cause| RequestError::new(cause, Method::POST, server.url))?;
    let attempt = || async {
        let transport = transport.reset();
        let check = Box::pin(connect_and_list(&transport));
        let outcome = http.with_timeout(PREFLIGHT_TIMEOUT, check).await;
        (outcome, transport.last_response())
    };
    let ((outcome, last), failed_attempts) = http
        .retry(attempt, |(outcome, _)| match outcome {
            Err(PreflightError::Network(error)) => Retry::after_error(error),
            Err(PreflightError::Status(error)) => Retry::after_status_error(error),
            Err(error @ PreflightError::SessionLost(_)) => Some(Retry::after(error)),
            _ => None,
        })
        .await;
    outcome.map_err(|cause| {
        RequestError::new(cause, Method::POST, server.url)
            .after(failed_attempts)
            .with_trace(last.trace)
    })
}

/// As [`offered_tools`], in one attempt of at most `limit`. `None` after an error.
pub async fn offered_tools_once(
    http: &Http,
    server: &Server<'_>,
    limit: Duration,
) -> Option<Vec<Tool>> {
    let transport = Transport::new(http, server).ok()?;
    let check = Box::pin(connect_and_list(&transport));
    http.with_timeout(limit, check).await.ok()
}

type Client = RunningService<RoleClient, ClientConfig>;

async fn connect_and_list(transport: &Transport) -> Result<Vec<Tool>, PreflightError> {
    let mut client = connect(transport).await?;
    let tools = list(&client, transport).await;
    // Also after an error: an open session counts against a limit of the server.
    let _ = client.close_with_timeout(CLOSE_TIMEOUT).await;
    let tools = tools?;
    if tools.is_empty() {
        return Err(PreflightError::NoTools);
    }
    Ok(tools)
}

/// Connects with the `initialize` handshake. If the server responds with a protocol error, connects
/// with the lifecycle that replaced it.
async fn connect(transport: &Transport) -> Result<Client, PreflightError> {
    let client = || {
        let name = Implementation::new("port-mcp-action", env!("CARGO_PKG_VERSION"));
        ClientConfig::new(ClientCapabilities::default(), name)
    };
    let http = || {
        StreamableHttpClientTransport::with_client(
            transport.clone(),
            StreamableHttpClientTransportConfig::default(),
        )
    };
    let cause = |error: ClientInitializeError| {
        let recorded = transport.last_response().error;
        recorded.unwrap_or_else(|| PreflightError::Protocol(Quote::new(&connect_error(&error))))
    };
    match client().serve(http()).await {
        Err(ClientInitializeError::JsonRpcError(first)) => {
            let stateless = ClientLifecycleMode::Discover {
                preferred_versions: vec![ProtocolVersion::V_2026_07_28],
            };
            let client = client().serve_with_lifecycle(http(), stateless).await;
            client.map_err(|error| match error {
                ClientInitializeError::JsonRpcError(_) => {
                    cause(ClientInitializeError::JsonRpcError(first))
                }
                other => cause(other),
            })
        }
        other => other.map_err(cause),
    }
}

fn connect_error(error: &ClientInitializeError) -> String {
    match error {
        ClientInitializeError::JsonRpcError(error) => {
            format!("error {}: {}", error.code.0, error.message)
        }
        // The texts of the other errors quote the server.
        ClientInitializeError::NoCompatibleProtocolVersion { .. } => {
            "no supported version of MCP".to_owned()
        }
        _ => "it does not follow the MCP specification".to_owned(),
    }
}

async fn list(client: &Client, transport: &Transport) -> Result<Vec<Tool>, PreflightError> {
    let mut tools: Vec<Tool> = Vec::new();
    let mut known: HashMap<String, usize> = HashMap::new();
    let mut cursors: Vec<String> = Vec::new();
    let mut cursor = None;
    for _ in 0..MAX_PAGES {
        let params = PaginatedRequestParams::default().with_cursor(cursor);
        let page = client.list_tools(Some(params)).await.map_err(|error| {
            let recorded = transport.last_response().error;
            recorded.unwrap_or_else(|| PreflightError::Protocol(Quote::new(&list_error(&error))))
        })?;
        for offered in page.tools {
            let tool = Tool::from_offered(offered);
            if let Some(first) = known.get(&tool.name) {
                tools[*first].merge_hints(&tool);
            } else {
                known.insert(tool.name.clone(), tools.len());
                tools.push(tool);
            }
        }
        // Some servers mark the end by an empty cursor.
        let Some(next) = page.next_cursor.filter(|next| !next.is_empty()) else {
            return Ok(tools);
        };
        if cursors.contains(&next) {
            return Err(PreflightError::EndlessList);
        }
        cursors.push(next.clone());
        cursor = Some(next);
    }
    Err(PreflightError::TooLong(format!("{MAX_PAGES} pages")))
}

fn list_error(error: &ServiceError) -> String {
    match error {
        ServiceError::McpError(error) => format!("error {}: {}", error.code.0, error.message),
        _ => "not a list of tools".to_owned(),
    }
}
