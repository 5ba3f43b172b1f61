//! Port: its hosts, the two flows that exchange credentials for a token, and the headers of its MCP
//! server.
//!
//! Sources: [Port's API reference](https://docs.port.io/api-reference/port-api) and
//! [Port's MCP server](https://docs.port.io/ai-interfaces/port-mcp-server/overview-and-installation).

mod error;
mod renames;
pub(crate) mod token;

use std::fmt;
use std::net::IpAddr;

use secrecy::SecretString;
use serde::{Deserialize, Serialize, Serializer};
use url::{Host, Url};

pub use error::{Error, NO_REGION_HINT, TokenError};
pub use renames::{is_removed, replacement, replacements};
pub use token::{AuthMethod, Flow, Identity, Token, fetch as fetch_token};

use crate::text::comma_list;

/// The region of a Port organization. Each region rejects the credentials of the other with a 401.
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
    /// Every region, in the order in which they are tried.
    pub const ALL: [Self; 2] = [Self::Eu, Self::Us];

    /// Its name in the input `region`.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Eu => "eu",
            Self::Us => "us",
        }
    }

    /// The region of `host`, if it is one of Port's hosts.
    #[must_use]
    pub fn from_host(host: &str) -> Option<Self> {
        known(host).map(|(region, _)| region)
    }
}

/// A service of Port.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Service {
    /// The REST API.
    Api,
    /// The MCP server (streamable HTTP).
    Mcp,
    /// The web app.
    App,
}

/// The names of Port's headers.
pub(crate) const READ_ONLY: &str = "x-read-only-mode";
pub(crate) const ALLOWED_ACTIONS: &str = "x-allowed-actions-to-run";

/// Port's hosts. Those in `getport.io` are former names, which Port's clients and guides still use.
const HOSTS: &[(&str, Region, Service)] = &[
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

/// Port's domains: its hosts, its documentation, and its websites.
const DOMAINS: &[&str] = &["port.io", "getport.io"];

/// Whether `host` is in one of Port's domains.
pub(crate) fn owns(host: &str) -> bool {
    DOMAINS.iter().any(|domain| {
        let (before, end) = host
            .len()
            .checked_sub(domain.len())
            .and_then(|start| host.split_at_checked(start))
            .unwrap_or_default();
        end.eq_ignore_ascii_case(domain) && (before.is_empty() || before.ends_with('.'))
    })
}

fn known(host: &str) -> Option<(Region, Service)> {
    let host = host.strip_suffix('.').unwrap_or(host);
    let (_, region, service) = HOSTS
        .iter()
        .find(|(known, ..)| known.eq_ignore_ascii_case(host))?;
    Some((*region, *service))
}

impl Service {
    /// The service at `host`, if it is one of Port's hosts.
    #[must_use]
    pub fn from_host(host: &str) -> Option<Self> {
        known(host).map(|(_, service)| service)
    }

    /// Its URL in a region. The URL of the API is without `/v1`.
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
        f.write_str(self.name())
    }
}

/// The servers to connect to: those of a region, or custom ones.
#[derive(Clone, Debug, Deserialize, Serialize)]
pub struct Endpoints {
    /// The region. `None` if both servers are custom and `region` is not set.
    #[serde(serialize_with = "by_name")]
    pub region: Option<Region>,
    /// The REST API, without `/v1` and without a trailing slash.
    pub api: Url,
    /// The MCP server, without a trailing slash.
    pub mcp: Url,
}

// Not derived: the schema of policies would then contain a default for regions.
#[expect(
    clippy::ref_option,
    clippy::trivially_copy_pass_by_ref,
    reason = "serde passes the field"
)]
fn by_name<S: Serializer>(region: &Option<Region>, serializer: S) -> Result<S::Ok, S::Error> {
    region.map(Region::name).serialize(serializer)
}

fn constant(url: &str) -> Url {
    #[expect(clippy::expect_used, reason = "a constant")]
    Url::parse(url).expect("a constant URL is a URL")
}

impl Endpoints {
    /// Port's servers in a region.
    #[must_use]
    pub fn in_region(region: Region) -> Self {
        let url = |service: Service| constant(service.url(region));
        Self {
            region: Some(region),
            api: url(Service::Api),
            mcp: url(Service::Mcp),
        }
    }

    /// The hosts that do not belong to Port, and that would receive the credentials or the token.
    #[must_use]
    pub fn custom_hosts(&self) -> Vec<&str> {
        let mut hosts: Vec<&str> = [&self.api, &self.mcp]
            .into_iter()
            .filter_map(Url::host_str)
            .filter(|host| Region::from_host(host).is_none())
            .collect();
        hosts.dedup();
        hosts
    }

    /// The hint when the MCP server rejects a new token.
    #[must_use]
    pub fn rejected_token_hint(&self) -> String {
        format!(
            "check that `api_url` and `mcp_url` belong to the same organization, and that the \
             credentials may use MCP: {} rejected a token that was just issued",
            self.mcp.host_str().unwrap_or_default()
        )
    }
}

/// Whether two URLs lead to the same server, including under its other names.
#[must_use]
pub fn is_same_server(one: &Url, other: &Url) -> bool {
    let server = |url: &Url| (Destination::of(url), url.port_or_known_default());
    server(one) == server(other)
}

/// Where a connection to a host goes.
#[derive(Debug, PartialEq, Eq)]
enum Destination {
    /// One of Port's services, under any of its names.
    Port(Region, Service),
    /// This machine. A connection to an unspecified address goes there too.
    Loopback,
    /// Another address.
    Address(IpAddr),
    /// Another name, or none.
    Name(String),
}

/// Names of the loopback interface in `/etc/hosts` of the usual systems. Names below `localhost` are reserved for it
/// ([RFC 6761](https://www.rfc-editor.org/rfc/rfc6761#section-6.3)).
const LOOPBACK_NAMES: &[&str] = &[
    "localhost",
    "localhost.localdomain",
    "localhost4",
    "localhost6",
    "ip6-localhost",
    "ip6-loopback",
];

impl Destination {
    fn of(url: &Url) -> Self {
        match url.host() {
            // An IPv6 socket connects to a mapped address with IPv4.
            Some(Host::Ipv4(address)) => Self::of_address(address.into()),
            Some(Host::Ipv6(address)) => Self::of_address(address.to_canonical()),
            Some(Host::Domain(name)) => {
                let name = name.strip_suffix('.').unwrap_or(name).to_ascii_lowercase();
                let is_loopback =
                    LOOPBACK_NAMES.contains(&name.as_str()) || name.ends_with(".localhost");
                match known(&name) {
                    Some((region, service)) => Self::Port(region, service),
                    None if is_loopback => Self::Loopback,
                    None => Self::Name(name),
                }
            }
            None => Self::Name(String::new()),
        }
    }

    fn of_address(address: IpAddr) -> Self {
        if address.is_loopback() || address.is_unspecified() {
            Self::Loopback
        } else {
            Self::Address(address)
        }
    }
}

/// Whether a URL leads to the loopback interface.
#[must_use]
pub fn is_loopback(url: &Url) -> bool {
    match url.host() {
        Some(Host::Domain(name)) => name == "localhost",
        Some(Host::Ipv4(address)) => address.is_loopback(),
        Some(Host::Ipv6(address)) => address.is_loopback(),
        None => false,
    }
}

/// Whether a URL needs no TLS: what is sent to it stays on this machine.
#[must_use]
pub fn is_loopback_http(url: &Url) -> bool {
    url.scheme() == "http" && is_loopback(url)
}

/// Port client credentials: of an organization, a service account, or a user.
#[derive(Clone, Debug)]
pub struct Credentials {
    /// The client ID, which is not a secret.
    pub client_id: String,
    /// The client secret.
    pub client_secret: SecretString,
}

impl Credentials {
    /// Whether they look like those of a user: Port uses a user's email address as the client ID.
    #[must_use]
    pub fn is_personal(&self) -> bool {
        self.client_id.contains('@')
    }
}

/// Which Port actions the agent may run.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Actions {
    /// All actions that the identity may run.
    All,
    /// Only these identifiers. None if empty.
    Only(Vec<String>),
}

impl Actions {
    /// Whether `text` contains only characters that are valid in an identifier. None of them separates the
    /// entries of a header.
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
            Self::Only(actions) => f.write_str(&comma_list(actions.iter().map(String::as_str))),
        }
    }
}

/// The headers, in addition to `Authorization`, that limit what Port's MCP server offers and runs.
///
/// `x-read-only-mode` is always sent, so the agent's permissions do not depend on the server's default.
/// An empty list of actions means none, a missing header means all.
#[must_use]
pub fn mcp_headers(read_only: bool, actions: &Actions) -> Vec<(&'static str, String)> {
    let mut headers = vec![(READ_ONLY, u8::from(read_only).to_string())];
    if let Actions::Only(actions) = actions {
        headers.push((ALLOWED_ACTIONS, actions.join(",")));
    }
    headers
}
