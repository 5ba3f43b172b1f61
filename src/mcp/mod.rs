//! A look at the MCP server before the agent does: whether the connection works with the very
//! headers that the agent will send, and which tools are offered.
//!
//! The client is the official SDK, which speaks both eras of the protocol: the `initialize`
//! handshake, and the self-contained requests since 2026-07-28.

mod transport;
mod verdict;

use std::collections::HashMap;
use std::time::Duration;

use reqwest::Method;
use rmcp::model::{
    ClientCapabilities, ClientConfig, Implementation, PaginatedRequestParams, ProtocolVersion,
    Tool as OfferedTool,
};
use rmcp::service::{
    ClientInitializeError, ClientLifecycleMode, ClientServiceExt as _, RunningService, ServiceError,
};
use rmcp::transport::StreamableHttpClientTransport;
use rmcp::transport::streamable_http_client::StreamableHttpClientTransportConfig;
use rmcp::{RoleClient, ServiceExt as _};
use secrecy::SecretString;
use url::Url;

pub use verdict::{Error, Verdict};

use crate::http::{self, Again, Http};
use crate::text::Quote;
use crate::text::secrets::{self, redact};
use transport::Transport;

/// The time limit of one look, all its pages included.
const LOOK_TIMEOUT: Duration = Duration::from_secs(30);
/// The time that a server has to close a session; it lapses by itself anyway.
const CLOSE_TIMEOUT: Duration = Duration::from_secs(2);
/// The most pages of tools that are read.
const MOST_PAGES: usize = 250;

/// The MCP server, as the agent will reach it.
#[derive(Clone, Copy, Debug)]
pub struct Server<'a> {
    /// Where it is.
    pub url: &'a Url,
    /// The headers that narrow what it offers, beside `Authorization`.
    pub headers: &'a [(&'static str, String)],
    /// The token, without `Bearer`.
    pub token: &'a SecretString,
}

/// A tool, as the server describes it.
///
/// The annotations are hints of the server's own
/// ([schema](https://modelcontextprotocol.io/specification/2025-11-25/schema#toolannotations)):
/// reason enough to be careful, never to be careless.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Tool {
    /// Its name; may be any text.
    pub name: String,
    /// A name for people.
    pub title: Option<Quote>,
    /// What it does.
    pub description: Option<Quote>,
    /// Whether it says that it changes nothing.
    pub read_only: Option<bool>,
    /// Whether it says that it may destroy something.
    pub destructive: Option<bool>,
}

impl Tool {
    /// A tool of which nothing but its name is known.
    #[must_use]
    pub fn named(name: &str) -> Self {
        Self {
            name: name.to_owned(),
            title: None,
            description: None,
            read_only: None,
            destructive: None,
        }
    }

    /// Whether the tool may change something, as MCP reads its annotations: it may unless it says that
    /// it only reads, and one that says it may destroy something is not believed.
    #[must_use]
    pub fn may_write(&self) -> bool {
        self.read_only != Some(true) || self.destructive == Some(true)
    }

    /// The more careful of two descriptions under one name.
    fn worsen(&mut self, other: &Self) {
        if other.may_write() {
            self.read_only = other.read_only;
            self.destructive = other.destructive;
        }
    }
}

impl Tool {
    /// What the server said of a tool.
    fn read(offered: OfferedTool) -> Self {
        let hints = offered.annotations.unwrap_or_default();
        let quote = |text: Option<&str>| text.map(Quote::new).filter(|quote| !quote.is_empty());
        Self {
            title: quote(offered.title.or(hints.title).as_deref()),
            description: quote(offered.description.as_deref()),
            read_only: hints.read_only_hint,
            destructive: hints.destructive_hint,
            name: if secrets::is_any_in(&offered.name) {
                redact(&offered.name).into_owned()
            } else {
                offered.name.into_owned()
            },
        }
    }
}

/// Connects to `server` as the agent will, and reads what it offers: each tool once, in its order.
///
/// What may pass is tried again, as with every request.
///
/// # Errors
/// The verdict on a server that cannot be used so.
pub async fn offered_tools(http: &Http, server: &Server<'_>) -> Result<Vec<Tool>, Error> {
    let new = Transport::new(http, server);
    let transport = new.map_err(|verdict| Error::new(verdict, Method::POST, server.url))?;
    let attempt = async || {
        let transport = transport.afresh();
        let outcome = http.limited(LOOK_TIMEOUT, Box::pin(look(&transport))).await;
        (outcome, transport.found())
    };
    let ((outcome, found), failed_tries) = http
        .retry(attempt, |(outcome, found)| match outcome {
            Err(Verdict::Network(failure)) => http::again_after_failure(failure),
            Err(verdict @ (Verdict::Server { .. } | Verdict::RateLimited { .. })) => Some(Again {
                why: verdict.to_string(),
                wait: found.wait,
            }),
            _ => None,
        })
        .await;
    outcome.map_err(|verdict| {
        Error::new(verdict, Method::POST, server.url)
            .after(failed_tries.len() + 1)
            .traced(found.trace)
    })
}

type Client = RunningService<RoleClient, ClientConfig>;

async fn look(transport: &Transport) -> Result<Vec<Tool>, Verdict> {
    let mut client = open(transport).await?;
    let tools = list(&client, transport).await;
    // Also after a failure: a session that stays open counts against somebody's limit.
    let _ = client.close_with_timeout(CLOSE_TIMEOUT).await;
    let tools = tools?;
    if tools.is_empty() {
        return Err(Verdict::NoTools);
    }
    Ok(tools)
}

/// Opens with the handshake that today's servers know. One that answers with an error of the
/// protocol is asked in the way that came after it.
async fn open(transport: &Transport) -> Result<Client, Verdict> {
    let me = || {
        let name = Implementation::new("port-mcp-action", env!("CARGO_PKG_VERSION"));
        ClientConfig::new(ClientCapabilities::default(), name)
    };
    let http = || {
        StreamableHttpClientTransport::with_client(
            transport.clone(),
            StreamableHttpClientTransportConfig::default(),
        )
    };
    let verdict = |error: ClientInitializeError| {
        let found = transport.found().verdict;
        found.unwrap_or_else(|| Verdict::Protocol(Quote::new(&opening_error(&error))))
    };
    match me().serve(http()).await {
        Err(ClientInitializeError::JsonRpcError(first)) => {
            let later = ClientLifecycleMode::Discover {
                preferred_versions: vec![ProtocolVersion::V_2026_07_28],
            };
            let client = me().serve_with_lifecycle(http(), later).await;
            client.map_err(|error| match error {
                ClientInitializeError::JsonRpcError(_) => {
                    verdict(ClientInitializeError::JsonRpcError(first))
                }
                other => verdict(other),
            })
        }
        other => other.map_err(verdict),
    }
}

fn opening_error(error: &ClientInitializeError) -> String {
    match error {
        ClientInitializeError::JsonRpcError(error) => {
            format!("with error {}: {}", error.code.0, error.message)
        }
        // The others print what the server sent, in the SDK's words.
        ClientInitializeError::NoCompatibleProtocolVersion { .. } => {
            "with no version of MCP that is known here".to_owned()
        }
        _ => "in a way that is not MCP's".to_owned(),
    }
}

async fn list(client: &Client, transport: &Transport) -> Result<Vec<Tool>, Verdict> {
    let mut tools: Vec<Tool> = Vec::new();
    let mut known: HashMap<String, usize> = HashMap::new();
    let mut cursors: Vec<String> = Vec::new();
    let mut cursor = None;
    for _ in 0..MOST_PAGES {
        let params = PaginatedRequestParams::default().with_cursor(cursor);
        let page = client.list_tools(Some(params)).await.map_err(|error| {
            let found = transport.found().verdict;
            found.unwrap_or_else(|| Verdict::Protocol(Quote::new(&listing_error(&error))))
        })?;
        for offered in page.tools {
            let tool = Tool::read(offered);
            if let Some(first) = known.get(&tool.name) {
                tools[*first].worsen(&tool);
            } else {
                known.insert(tool.name.clone(), tools.len());
                tools.push(tool);
            }
        }
        let Some(next) = page.next_cursor else {
            return Ok(tools);
        };
        if cursors.contains(&next) {
            return Err(Verdict::Loop);
        }
        cursors.push(next.clone());
        cursor = Some(next);
    }
    Err(Verdict::TooLong(format!("{MOST_PAGES} pages")))
}

fn listing_error(error: &ServiceError) -> String {
    match error {
        ServiceError::McpError(error) => format!("with error {}: {}", error.code.0, error.message),
        _ => "what is no list of tools".to_owned(),
    }
}
