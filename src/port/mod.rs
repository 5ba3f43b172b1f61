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
use url::{Host, Url};

pub use error::{Cause, Error, NO_REGION_HINT};
pub use renames::{is_gone, replacement, replacements};
pub use token::{Flow, Identity, Token, fetch as fetch_token};

/// Where a Port organization lives. Credentials of one region are unknown to the other, which
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

    /// The region that `host` belongs to, if it is one of Port's own.
    #[must_use]
    pub fn of(host: &str) -> Option<Self> {
        known(host).map(|(region, _)| region)
    }
}

/// What answers at one of Port's addresses.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Service {
    /// The REST API.
    Api,
    /// The MCP server (streamable HTTP).
    Mcp,
    /// The web app, which is for people.
    App,
}

/// Every host of Port's own. Those of `getport.io` are former names, which Port's own clients and
/// guides still use.
const HOSTS: [(&str, Region, Service); 12] = [
    ("api.port.io", Region::Eu, Service::Api),
    ("api.getport.io", Region::Eu, Service::Api),
    ("mcp.port.io", Region::Eu, Service::Mcp),
    ("mcp.getport.io", Region::Eu, Service::Mcp),
    ("app.port.io", Region::Eu, Service::App),
    ("app.getport.io", Region::Eu, Service::App),
    ("api.us.port.io", Region::Us, Service::Api),
    ("api.us.getport.io", Region::Us, Service::Api),
    ("mcp.us.port.io", Region::Us, Service::Mcp),
    ("mcp.us.getport.io", Region::Us, Service::Mcp),
    ("app.us.port.io", Region::Us, Service::App),
    ("app.us.getport.io", Region::Us, Service::App),
];

fn known(host: &str) -> Option<(Region, Service)> {
    let host = host.strip_suffix('.').unwrap_or(host);
    let mut hosts = HOSTS.iter();
    let (_, region, service) = hosts.find(|(known, ..)| known.eq_ignore_ascii_case(host))?;
    Some((*region, *service))
}

impl Service {
    /// What answers at `host`, if it is one of Port's own.
    #[must_use]
    pub fn of(host: &str) -> Option<Self> {
        known(host).map(|(_, service)| service)
    }

    /// Its address in a region; that of the API is without `/v1`.
    #[must_use]
    pub fn url(self, region: Region) -> &'static str {
        match (self, region) {
            (Self::Api, Region::Eu) => "https://api.port.io",
            (Self::Api, Region::Us) => "https://api.us.port.io",
            (Self::Mcp, Region::Eu) => "https://mcp.port.io/v1",
            (Self::Mcp, Region::Us) => "https://mcp.us.port.io/v1",
            (Self::App, Region::Eu) => "https://app.port.io",
            (Self::App, Region::Us) => "https://app.us.port.io",
        }
    }
}

impl fmt::Display for Service {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Api => "Port's REST API",
            Self::Mcp => "Port's MCP server",
            Self::App => "Port's web app",
        })
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
    /// The region, unless both addresses are the user's own.
    pub region: Option<Region>,
    /// The REST API, without `/v1` and without a slash at its end.
    pub api: Url,
    /// The MCP server, without a slash at its end.
    pub mcp: Url,
}

fn constant(url: &str) -> Url {
    #[expect(clippy::expect_used, reason = "a constant")]
    Url::parse(url).expect("a constant URL is a URL")
}

impl Endpoints {
    /// Port's own of a region.
    #[must_use]
    pub fn of(region: Region) -> Self {
        let url = |service: Service| constant(service.url(region));
        Self {
            region: Some(region),
            api: url(Service::Api),
            mcp: url(Service::Mcp),
        }
    }

    /// The hosts that are not Port's own: whoever chose them is sent the credentials.
    #[must_use]
    pub fn foreign_hosts(&self) -> Vec<&str> {
        let mut hosts: Vec<&str> = [&self.api, &self.mcp]
            .into_iter()
            .filter_map(Url::host_str)
            .filter(|host| Region::of(host).is_none())
            .collect();
        hosts.dedup();
        hosts
    }

    /// What to do when the MCP server refuses a fresh token.
    #[must_use]
    pub fn refused_token_hint(&self) -> String {
        format!(
            "{} refused a token that was issued a moment ago: check that `api_url` and `mcp_url` \
             belong to one organization, and that the credentials may use MCP",
            self.mcp.host_str().unwrap_or_default()
        )
    }
}

/// Whether two addresses are of one server, under whatever names.
#[must_use]
pub fn is_same_server(one: &Url, other: &Url) -> bool {
    let host = |url: &Url| {
        let host = url.host_str().unwrap_or_default();
        let host = host.strip_suffix('.').unwrap_or(host);
        match known(host) {
            Some((region, service)) => format!("{service} {region}"),
            None if is_this_machine(url) => "this machine".to_owned(),
            None => host.to_owned(),
        }
    };
    host(one) == host(other) && one.port_or_known_default() == other.port_or_known_default()
}

/// Whether an address is of the loopback interface.
#[must_use]
pub fn is_this_machine(url: &Url) -> bool {
    match url.host() {
        Some(Host::Domain(name)) => name == "localhost",
        Some(Host::Ipv4(address)) => address.is_loopback(),
        Some(Host::Ipv6(address)) => address.is_loopback(),
        None => false,
    }
}

/// Port client credentials: of an organization, a service account or a person.
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
