//! The requests of the action and of its gateway.

use serde_json::Value;

/// A request that the action, or its gateway, sends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Request {
    /// Reads the policy from GitHub.
    Policy,
    /// Exchanges the credentials at Port's API.
    Rest,
    /// Exchanges the credentials at the MCP server.
    Oauth,
    /// The preflight check: opens a session.
    Initialize,
    /// The preflight check: the notification after that.
    Initialized,
    /// The preflight check: the second page of the list of tools.
    List,
    /// The preflight check: ends the session.
    Close,
    /// The gateway: an agent's call of a tool.
    Call,
    /// The gateway: the exchange after Port has rejected the token.
    Renewal,
    /// The gateway: another session after Port has forgotten the first.
    Reopen,
    /// The Docker engine: creates the container of the gateway.
    Engine,
}

impl Request {
    pub(crate) const ALL: [Self; 11] = [
        Self::Policy,
        Self::Rest,
        Self::Oauth,
        Self::Initialize,
        Self::Initialized,
        Self::List,
        Self::Close,
        Self::Call,
        Self::Renewal,
        Self::Reopen,
        Self::Engine,
    ];

    /// The requests of each table in the documents: all of [`Self::ALL`], in its order.
    pub(crate) const PARTS: [(&str, &[Self]); 3] = [
        ("Policy and token", &[Self::Policy, Self::Rest, Self::Oauth]),
        (
            "Preflight check",
            &[Self::Initialize, Self::Initialized, Self::List, Self::Close],
        ),
        (
            "Gateway",
            &[Self::Call, Self::Renewal, Self::Reopen, Self::Engine],
        ),
    ];

    /// The request in the head of its table, below the name of its part.
    pub(crate) fn heading(self) -> &'static str {
        let title = self.title();
        title.strip_prefix("gateway: ").unwrap_or(title)
    }

    /// The request in the names of tests.
    pub(crate) fn title(self) -> &'static str {
        match self {
            Self::Policy => "policy from GitHub",
            Self::Rest => "REST exchange",
            Self::Oauth => "OAuth exchange",
            Self::Initialize => "`initialize`",
            Self::Initialized => "`initialized`",
            Self::List => "`tools/list`, page 2",
            Self::Close => "end of the session",
            Self::Call => "gateway: call",
            Self::Renewal => "gateway: renewal",
            Self::Reopen => "gateway: new session",
            Self::Engine => "Docker engine",
        }
    }

    /// The request before this one on its way, after which the connection of this one can fail. `None` if it is
    /// the first.
    pub(crate) fn previous(self) -> Option<Self> {
        match self {
            Self::Initialize => Some(Self::Rest),
            Self::Initialized => Some(Self::Initialize),
            Self::List => Some(Self::Initialized),
            Self::Close => Some(Self::List),
            Self::Renewal | Self::Reopen => Some(Self::Call),
            Self::Policy | Self::Rest | Self::Oauth | Self::Call | Self::Engine => None,
        }
    }

    /// Whether the gateway sends it to Port for an agent.
    pub(crate) fn is_of_gateway(self) -> bool {
        matches!(self, Self::Call | Self::Renewal | Self::Reopen)
    }

    /// Whether its response is an MCP message, in an event stream.
    pub(crate) fn is_mcp(self) -> bool {
        matches!(
            self,
            Self::Initialize | Self::List | Self::Close | Self::Call | Self::Reopen
        )
    }

    /// The request that was received.
    pub(crate) fn received(method: &str, path: &str, body: &[u8]) -> Option<Self> {
        let message: Value = serde_json::from_slice(body).unwrap_or_default();
        match (method, path, message["method"].as_str()) {
            ("POST", "/v1/auth/access_token", _) => Some(Self::Rest),
            ("POST", "/v1/token", _) => Some(Self::Oauth),
            ("POST", "/v1", Some("initialize")) => Some(Self::Initialize),
            ("POST", "/v1", Some("notifications/initialized")) => Some(Self::Initialized),
            ("POST", "/v1", Some("tools/list")) if message["params"]["cursor"].is_string() => {
                Some(Self::List)
            }
            ("POST", "/v1", Some("tools/call")) => Some(Self::Call),
            ("DELETE", "/v1", _) => Some(Self::Close),
            ("POST", path, _) if path.starts_with("/containers/create") => Some(Self::Engine),
            ("GET", path, _) if path.starts_with("/repos/") => Some(Self::Policy),
            _ => None,
        }
    }
}
