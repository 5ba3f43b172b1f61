//! What we know of Port: its hosts, its two ways from credentials to a token, and the headers that
//! its MCP server obeys.
//!
//! Sources: [Port's API reference](https://docs.port.io/api-reference/port-api) and
//! [Port's MCP server](https://docs.port.io/ai-interfaces/port-mcp-server/overview-and-installation).

mod error;
mod http;
mod token;

use std::fmt;

use secrecy::SecretString;
use url::Url;

pub use error::Error;
pub use http::{Http, HttpSettings};
pub use token::{Flow, Token, fetch as fetch_token};

/// Where a Port organisation lives. Credentials of one region are unknown to the other, which
/// answers with a plain 401.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Region {
    /// `api.port.io`, `mcp.port.io`
    Eu,
    /// `api.us.port.io`, `mcp.us.port.io`
    Us,
}

impl Region {
    /// Every region, in the order in which they are offered.
    pub const ALL: [Self; 2] = [Self::Eu, Self::Us];

    /// The region's REST API, without `/v1`.
    #[must_use]
    pub fn api_url(self) -> &'static str {
        match self {
            Self::Eu => "https://api.port.io",
            Self::Us => "https://api.us.port.io",
        }
    }

    /// The region's MCP server (streamable HTTP).
    #[must_use]
    pub fn mcp_url(self) -> &'static str {
        match self {
            Self::Eu => "https://mcp.port.io/v1",
            Self::Us => "https://mcp.us.port.io/v1",
        }
    }
}

impl fmt::Display for Region {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Eu => "eu",
            Self::Us => "us",
        })
    }
}

/// The hosts to talk to: a region's, or others given in their place.
#[derive(Clone, Debug)]
pub struct Endpoints {
    /// The region that was asked for.
    pub region: Region,
    /// The REST API, without `/v1` and without a slash at its end.
    pub api: Url,
    /// The MCP server, without a slash at its end.
    pub mcp: Url,
}

/// Port client credentials: of an organisation, a service account or a person.
#[derive(Clone, Debug)]
pub struct Credentials {
    /// Names the credentials; not a secret.
    pub client_id: String,
    /// Proves them.
    pub client_secret: SecretString,
}

impl Credentials {
    /// Whether they look like a person's own. Port names those after the person's e-mail address.
    #[must_use]
    pub fn is_personal(&self) -> bool {
        self.client_id.contains('@')
    }
}

/// Which Port actions the agent may run.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Actions {
    /// Whatever the identity may run.
    All,
    /// These identifiers only; none at all when empty.
    Only(Vec<String>),
}

impl fmt::Display for Actions {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::All => f.write_str("all"),
            Self::Only(actions) if actions.is_empty() => f.write_str("none"),
            Self::Only(actions) => f.write_str(&actions.join(", ")),
        }
    }
}

/// The headers, beside `Authorization`, that narrow what Port's MCP server offers and runs.
///
/// Read-only mode is sent in both cases, so that what the agent may do never depends on a default
/// of the server's. An action list that is empty means none, one that is absent means all.
#[must_use]
pub fn mcp_headers(read_only: bool, actions: &Actions) -> Vec<(&'static str, String)> {
    let mut headers = vec![("x-read-only-mode", u8::from(read_only).to_string())];
    if let Actions::Only(actions) = actions {
        headers.push(("x-allowed-actions-to-run", actions.join(",")));
    }
    headers
}
