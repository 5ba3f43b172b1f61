//! What we know of Port: its hosts, its two ways from credentials to a token, and the headers that
//! its MCP server obeys.
//!
//! Sources: [Port's API reference](https://docs.port.io/api-reference/port-api) and
//! [Port's MCP server](https://docs.port.io/ai-interfaces/port-mcp-server/overview-and-installation).

mod error;
mod renames;
mod token;

use std::fmt;

use secrecy::SecretString;
use serde::Deserialize;
use url::Url;

pub use error::{Cause, Error, region_hint};
pub use renames::replacements;
pub use token::{Flow, Identity, Token, fetch as fetch_token};

/// Where a Port organisation lives. Credentials of one region are unknown to the other, which
/// answers with a plain 401.
#[derive(Clone, Copy, Debug, Deserialize, PartialEq, Eq)]
#[serde(rename_all = "lowercase")]
#[cfg_attr(test, derive(schemars::JsonSchema))]
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

    /// The hosts that are Port's own in this region; the last is the API's former name, which
    /// Port's own clients still use.
    fn hosts(self) -> [&'static str; 3] {
        match self {
            Self::Eu => ["api.port.io", "mcp.port.io", "api.getport.io"],
            Self::Us => ["api.us.port.io", "mcp.us.port.io", "api.us.getport.io"],
        }
    }

    /// The region that `host` belongs to, if it is one of Port's own.
    #[must_use]
    pub fn of(host: &str) -> Option<Self> {
        Self::ALL
            .into_iter()
            .find(|region| region.hosts().contains(&host))
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

impl Endpoints {
    /// The hosts that are not the region's own: whoever chose them is sent the credentials.
    #[must_use]
    pub fn foreign_hosts(&self) -> Vec<&str> {
        let mut hosts: Vec<&str> = [&self.api, &self.mcp]
            .into_iter()
            .filter_map(Url::host_str)
            .filter(|host| Region::of(host) != Some(self.region))
            .collect();
        hosts.dedup();
        hosts
    }

    /// What to do when the MCP server refuses a fresh token.
    #[must_use]
    pub fn refused_token_hint(&self) -> String {
        let [api, mcp] = [&self.api, &self.mcp].map(|url| url.host_str().unwrap_or_default());
        match (Region::of(api), Region::of(mcp)) {
            (Some(of_api), Some(of_mcp)) if of_api != of_mcp => format!(
                "{mcp} refused a token that {api} gave: the one is of the region `{of_mcp}`, the \
                 other of `{of_api}`. Set `region`, and leave `api_url` and `mcp_url` out"
            ),
            _ => format!(
                "{mcp} refused a token that was issued a moment ago: check that `api_url` and \
                 `mcp_url` belong to one organisation, and that the credentials may use MCP"
            ),
        }
    }
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

impl Actions {
    /// Whether `text` has the characters of an identifier in Port, none of which ends a header's list.
    #[must_use]
    pub fn is_identifier(text: &str) -> bool {
        text.bytes()
            .all(|b| b.is_ascii_alphanumeric() || b"@_.+:/=-".contains(&b))
    }
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
