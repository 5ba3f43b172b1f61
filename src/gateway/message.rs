//! A message of the agent, as far as the gateway reads it.

use std::borrow::Cow;
use std::fmt;

use http::HeaderMap;
use serde::Deserialize;
use serde::de::{Deserializer, MapAccess, Visitor};
use serde_json::value::RawValue;

use super::rejection::Rejection;
use super::scan::is_id;
use super::strict;

/// The first version of MCP without sessions. Its requests carry method and name in headers
/// ([transports](https://modelcontextprotocol.io/specification/2026-07-28/basic/transports)), and an unknown
/// method gets a 404.
const STATELESS: &str = "2026-07-28";

/// A message of the agent.
#[derive(Debug)]
pub(crate) struct Message<'a> {
    /// The id as the agent wrote it. `None` for notifications and responses.
    pub(super) id: Option<&'a RawValue>,
    /// The method as the agent wrote it. `None` for responses.
    pub(super) method: Option<Cow<'a, str>>,
    /// What the method means.
    pub(super) kind: Kind,
    /// The parameters as the agent wrote them.
    pub(super) params: Option<&'a RawValue>,
    /// The tool of a call.
    pub(super) tool: Option<Cow<'a, str>>,
    /// The arguments of a call.
    pub(super) arguments: Option<&'a RawValue>,
    /// The notifications that `subscriptions/listen` requests, as the agent wrote them.
    notifications: Option<&'a RawValue>,
    /// Whether the message uses a version of MCP without sessions.
    pub(super) is_stateless: bool,
}

/// What a message is, by its method. Nothing else compares methods.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    /// A response to a request of the server, such as a ping: it has no method.
    Response,
    /// `tools/call`
    CallTool,
    /// `tools/list`
    ListTools,
    /// `initialize`, which opens a session.
    Initialize,
    /// `server/discover`, the first request without sessions.
    Discover,
    /// `subscriptions/listen`
    Listen,
    /// Another request that is forwarded.
    Utility,
    /// A notification that is forwarded.
    Notification,
    /// Any other method.
    Unknown,
}

impl Kind {
    fn of(method: &str) -> Self {
        match method {
            "tools/call" => Self::CallTool,
            "tools/list" => Self::ListTools,
            "initialize" => Self::Initialize,
            "server/discover" => Self::Discover,
            "subscriptions/listen" => Self::Listen,
            "ping" | "tasks/get" | "tasks/update" | "tasks/cancel" | "tasks/result" => {
                Self::Utility
            }
            "notifications/initialized"
            | "notifications/cancelled"
            | "notifications/roots/list_changed"
            | "notifications/progress" => Self::Notification,
            _ => Self::Unknown,
        }
    }
}

impl<'a> Message<'a> {
    /// Parses the body of a POST with these headers.
    ///
    /// # Errors
    /// When the body is not one JSON-RPC message that every parser reads in the same way.
    pub(crate) fn parse(body: &'a [u8], headers: &HeaderMap) -> Result<Self, Rejection> {
        strict::check(body).map_err(|error| rejection(&error))?;
        let envelope: Envelope<'a> =
            serde_json::from_slice(body).map_err(|error| Rejection::Invalid(error.to_string()))?;
        envelope.check()?;
        let params = envelope.params.filter(|params| params.get() != "null");
        let method = envelope.method.map(|Text(method)| method);
        let kind = method.as_deref().map_or(Kind::Response, Kind::of);
        let Params {
            name,
            arguments,
            notifications,
            meta,
        } = match params {
            None => Params::default(),
            Some(params) => serde_json::from_str(params.get())
                .map_err(|error| Rejection::Invalid(format!("`params`: {error}")))?,
        };
        let version = meta.and_then(|meta| meta.version);
        Ok(Self {
            id: envelope.id.filter(|_| method.is_some()),
            method,
            kind,
            params,
            tool: name.filter(|_| kind == Kind::CallTool),
            arguments,
            notifications,
            is_stateless: is_stateless(headers)
                || version.is_some_and(|version| *version >= *STATELESS),
        })
    }

    /// The method, for people. Empty for responses.
    pub(super) fn method_name(&self) -> &str {
        self.method.as_deref().unwrap_or_default()
    }

    /// Whether an agent connects with this message.
    pub(super) fn connects(&self) -> bool {
        matches!(self.kind, Kind::Initialize | Kind::Discover)
    }

    /// Whether the agent waits for no response: it is a notification, also one with the method of a request.
    pub(super) fn is_notification(&self) -> bool {
        self.kind != Kind::Response && self.id.is_none()
    }

    /// What `subscriptions/listen` requests.
    ///
    /// # Errors
    /// When it is more than changes of the list of tools.
    pub(super) fn check_subscription(&self) -> Result<(), Rejection> {
        let requested = self.notifications.map_or("{}", RawValue::get);
        let problem = match serde_json::from_str(requested) {
            Ok(Requested { others: false }) => return Ok(()),
            Ok(Requested { others: true }) => "only `toolsListChanged` is available",
            Err(_) => "`notifications` must be an object",
        };
        Err(Rejection::Params(problem.to_owned()))
    }
}

/// Whether a request says in its headers that it uses a version of MCP without sessions.
pub(super) fn is_stateless(headers: &HeaderMap) -> bool {
    headers
        .get("mcp-protocol-version")
        .and_then(|version| version.to_str().ok())
        .is_some_and(|version| version >= STATELESS)
}

fn rejection(error: &serde_json::Error) -> Rejection {
    let text = error.to_string();
    match error.classify() {
        serde_json::error::Category::Data => Rejection::Invalid(text),
        _ => Rejection::Parse(text),
    }
}

#[derive(Deserialize)]
struct Envelope<'a> {
    #[serde(borrow)]
    jsonrpc: Cow<'a, str>,
    #[serde(borrow, default)]
    id: Option<&'a RawValue>,
    #[serde(borrow, default, deserialize_with = "present")]
    method: Option<Text<'a>>,
    #[serde(borrow, default, deserialize_with = "present")]
    params: Option<&'a RawValue>,
    #[serde(borrow, default, deserialize_with = "present")]
    result: Option<&'a RawValue>,
    #[serde(borrow, default, deserialize_with = "present")]
    error: Option<&'a RawValue>,
}

impl Envelope<'_> {
    /// Whether the message is a request, a notification, or a response, and not two of them.
    fn check(&self) -> Result<(), Rejection> {
        if !self.id.is_none_or(is_id) {
            return Err(Rejection::Invalid(
                "`id` must be a string or a number".to_owned(),
            ));
        }
        if self.jsonrpc != "2.0" {
            return Err(Rejection::Invalid("`jsonrpc` must be \"2.0\"".to_owned()));
        }
        let problem = match (&self.method, self.result, self.error) {
            (Some(_), None, None) => return Ok(()),
            // An error has none if the request could not be read (JSON-RPC 2.0, 5).
            (None, Some(_), None) if self.id.is_none() => "a response must have an `id`",
            (None, Some(_), None) | (None, None, Some(_)) if self.params.is_none() => return Ok(()),
            (None, None, None) => "`method`, `result`, or `error` is required",
            _ => {
                "only one of `method`, `result`, and `error` is allowed, and `params` only with `method`"
            }
        };
        Err(Rejection::Invalid(problem.to_owned()))
    }
}

#[derive(Deserialize)]
struct Text<'a>(#[serde(borrow)] Cow<'a, str>);

/// A value, also if it is null.
fn present<'de, D: Deserializer<'de>, T: Deserialize<'de>>(
    deserializer: D,
) -> Result<Option<T>, D::Error> {
    T::deserialize(deserializer).map(Some)
}

/// What `subscriptions/listen` requests. The names are not kept, which can be many.
struct Requested {
    /// Whether it requests notifications of more than the list of tools.
    others: bool,
}

impl<'de> Deserialize<'de> for Requested {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Notifications;
        impl<'de> Visitor<'de> for Notifications {
            type Value = Requested;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an object")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Requested, A::Error> {
                let mut others = false;
                while let Some((name, value)) = map.next_entry::<String, &'de RawValue>()? {
                    let requests_nothing = matches!(value.get(), "false" | "null" | "[]" | "{}");
                    others |= !requests_nothing && name != "toolsListChanged";
                }
                Ok(Requested { others })
            }
        }
        deserializer.deserialize_map(Notifications)
    }
}

#[derive(Default, Deserialize)]
struct Params<'a> {
    #[serde(borrow, default)]
    name: Option<Cow<'a, str>>,
    #[serde(borrow, default)]
    arguments: Option<&'a RawValue>,
    #[serde(borrow, default)]
    notifications: Option<&'a RawValue>,
    #[serde(borrow, default, rename = "_meta")]
    meta: Option<Meta<'a>>,
}

#[derive(Deserialize)]
struct Meta<'a> {
    #[serde(borrow, default, rename = "io.modelcontextprotocol/protocolVersion")]
    version: Option<Cow<'a, str>>,
}
