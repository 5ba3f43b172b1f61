//! The gate: decides what a message of the agent may do, before it reaches Port.
//!
//! One parser decides. It accepts only messages that every other parser reads in the same way: no batches, no
//! duplicate keys, no key in the envelope that JSON-RPC does not define there, and no key in the parameters that a
//! lenient parser could read as another.

use std::borrow::Cow;
use std::collections::HashSet;
use std::fmt;
use std::hash::{BuildHasher as _, RandomState};

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use http::HeaderMap;
use serde::Deserialize;
use serde::de::{DeserializeSeed, Deserializer, Error as _, MapAccess, SeqAccess, Visitor};
use serde_json::value::RawValue;

use super::scan::Scanner;
use crate::text::{Quote, comma_list};

/// The maximum nesting of a message.
const MAX_DEPTH: usize = 64;

/// The keys of the envelope.
const ENVELOPE_KEYS: [&str; 6] = ["jsonrpc", "id", "method", "params", "result", "error"];

/// The keys of the parameters that decide what a message does.
const PARAMS_KEYS: [&str; 6] = [
    "name",
    "uri",
    "arguments",
    "cursor",
    "notifications",
    "_meta",
];

/// The key whose value JavaScript's `Object.assign` and many others take as the prototype: keys that an object does not
/// have are looked up there.
const PROTOTYPE: &str = "__proto__";

/// The first version of MCP without sessions. Its requests carry method and name in headers
/// ([transports](https://modelcontextprotocol.io/specification/2026-07-28/basic/transports)), and an unknown
/// method gets a 404.
const STATELESS: &str = "2026-07-28";

/// A message of the agent, as far as the gateway reads it.
#[derive(Debug)]
pub(crate) struct Message<'a> {
    /// The id as the agent wrote it. `None` for notifications and responses.
    pub(super) id: Option<&'a RawValue>,
    /// The method. `None` for responses.
    pub(super) method: Option<Cow<'a, str>>,
    /// The parameters as the agent wrote them.
    pub(super) params: Option<&'a RawValue>,
    /// The tool of a call.
    pub(super) tool: Option<Cow<'a, str>>,
    /// The arguments of a call, for the audit.
    pub(super) arguments: Option<&'a RawValue>,
    /// The notifications that `subscriptions/listen` requests, as the agent wrote them.
    notifications: Option<&'a RawValue>,
    /// Whether the message uses a version of MCP without sessions.
    pub(super) is_stateless: bool,
}

/// What the gateway does with a message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Action {
    /// Forward it.
    Forward,
    /// Forward it, and rewrite the capabilities in its response.
    Connect,
    /// Answer it with the granted tools.
    ListTools,
    /// Drop it. Notifications have no response.
    Drop,
}

/// Why a message is rejected.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum Rejection {
    /// It is not a single, unambiguous JSON-RPC message.
    #[error("invalid request: {0}")]
    Invalid(String),
    /// It is not JSON.
    #[error("parse error: {0}")]
    Parse(String),
    /// Its headers contradict its body.
    #[error("the header `{0}` does not match the body")]
    Header(&'static str),
    /// The tool is not granted.
    #[error("tool `{tool}` is not granted; granted tools: {granted}")]
    Tool {
        /// The requested tool, quoted.
        tool: String,
        /// The granted tools.
        granted: String,
    },
    /// The parameters request more than tools.
    #[error("invalid parameters: {0}")]
    Params(String),
    /// The method is not available through the gateway.
    #[error("method `{0}` is not available: only tools are granted")]
    Method(String),
}

impl Rejection {
    /// The error code of JSON-RPC 2.0 and of MCP.
    pub(super) fn code(&self) -> i64 {
        match self {
            Self::Parse(_) => -32700,
            Self::Invalid(_) => -32600,
            Self::Method(_) => -32601,
            Self::Tool { .. } | Self::Params(_) => -32602,
            Self::Header(_) => -32020,
        }
    }

    /// The status of the response to `sender`. Clients show the error of a request of theirs only with status 200, and
    /// the official one for Python ends its session at any other but 404.
    pub(super) fn status(&self, sender: Sender, is_stateless: bool) -> http::StatusCode {
        match self {
            Self::Method(_) if is_stateless => http::StatusCode::NOT_FOUND,
            Self::Method(_) | Self::Tool { .. } | Self::Params(_) => http::StatusCode::OK,
            Self::Parse(_) | Self::Invalid(_) | Self::Header(_) if is_stateless => {
                http::StatusCode::BAD_REQUEST
            }
            Self::Parse(_) | Self::Invalid(_) | Self::Header(_) => {
                sender.status(http::StatusCode::BAD_REQUEST)
            }
        }
    }
}

/// What sent a message that is rejected.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Sender {
    /// A client that waits for a response, or that sent one, and that does not expect the status of an error.
    Client,
    /// A client that sent a notification: JSON-RPC allows no response.
    Notifier,
    /// A program whose message has no id that can be read.
    Other,
}

impl Sender {
    pub(super) fn of(message: &Scanner) -> Self {
        if message.id_of_request().is_some() || message.is_response() {
            Self::Client
        } else if message.is_notification() {
            Self::Notifier
        } else {
            Self::Other
        }
    }

    /// The status of the response to a message that is rejected with `status`.
    pub(super) fn status(self, status: http::StatusCode) -> http::StatusCode {
        match self {
            Self::Client => http::StatusCode::OK,
            Self::Notifier => http::StatusCode::ACCEPTED,
            Self::Other => status,
        }
    }
}

impl<'a> Message<'a> {
    /// Parses the body of a POST.
    ///
    /// # Errors
    /// When the body is not one JSON-RPC message that every parser reads in the same way.
    pub(crate) fn parse(body: &'a [u8]) -> Result<Self, Rejection> {
        let mut deserializer = serde_json::Deserializer::from_slice(body);
        Strict::envelope()
            .deserialize(&mut deserializer)
            .and_then(|()| deserializer.end())
            .map_err(|error| rejection(&error))?;
        let envelope: Envelope<'a> =
            serde_json::from_slice(body).map_err(|error| Rejection::Invalid(error.to_string()))?;
        if !envelope.id.is_none_or(is_id) {
            return Err(Rejection::Invalid(
                "`id` must be a string or a number".to_owned(),
            ));
        }
        if envelope.jsonrpc != "2.0" {
            return Err(Rejection::Invalid("`jsonrpc` must be \"2.0\"".to_owned()));
        }
        envelope.check()?;
        let params = envelope.params.filter(|params| params.get() != "null");
        let method = envelope.method.map(|Text(method)| method);
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
            params,
            tool: name,
            arguments,
            notifications,
            is_stateless: version.is_some_and(|version| *version >= *STATELESS),
        })
    }

    /// Decides what to do with the message.
    ///
    /// # Errors
    /// When the message requests more than the granted `tools`, or its headers contradict it.
    pub(crate) fn decide(
        &mut self,
        headers: &HeaderMap,
        tools: &HashSet<String>,
    ) -> Result<Action, Rejection> {
        self.is_stateless |= is_stateless(headers);
        self.check_headers(headers)?;
        let Some(method) = self.method.as_deref() else {
            // A response to a request of the server, such as a ping.
            return Ok(Action::Forward);
        };
        if self.id.is_none() {
            return Ok(match method {
                "notifications/initialized"
                | "notifications/cancelled"
                | "notifications/roots/list_changed"
                | "notifications/progress" => Action::Forward,
                _ => Action::Drop,
            });
        }
        match method {
            "tools/call" => {
                let tool = self.tool.as_deref().unwrap_or_default();
                if tools.contains(tool) {
                    return Ok(Action::Forward);
                }
                let mut granted: Vec<&str> = tools.iter().map(String::as_str).collect();
                granted.sort_unstable();
                Err(Rejection::Tool {
                    tool: Quote::new(tool).to_string(),
                    granted: comma_list(granted),
                })
            }
            "tools/list" => Ok(Action::ListTools),
            "initialize" | "server/discover" => Ok(Action::Connect),
            "subscriptions/listen" => {
                let requested = self.notifications.map_or("{}", RawValue::get);
                let reason = match serde_json::from_str(requested) {
                    Ok(Requested { others: false }) => return Ok(Action::Forward),
                    Ok(Requested { others: true }) => "only `toolsListChanged` is available",
                    Err(_) => "`notifications` must be an object",
                };
                Err(Rejection::Params(reason.to_owned()))
            }
            "ping" | "tasks/get" | "tasks/update" | "tasks/cancel" | "tasks/result" => {
                Ok(Action::Forward)
            }
            other => Err(Rejection::Method(Quote::new(other).to_string())),
        }
    }

    /// Compares the headers that repeat parts of the body.
    fn check_headers(&self, headers: &HeaderMap) -> Result<(), Rejection> {
        let method = self.method.as_deref();
        if let Some(value) = headers.get("mcp-method")
            && method.is_none_or(|method| value.to_str().ok() != Some(method))
        {
            return Err(Rejection::Header("Mcp-Method"));
        }
        if let Some(value) = headers.get("mcp-name") {
            let value = value.to_str().ok().and_then(decoded);
            let is_wrong = match method {
                None => true,
                Some("tools/call") => value.as_deref() != self.tool.as_deref(),
                Some(_) => false,
            };
            if is_wrong {
                return Err(Rejection::Header("Mcp-Name"));
            }
        }
        let is_repeated = |name: &'static str| headers.get_all(name).iter().count() > 1;
        let repeated = [
            "mcp-method",
            "mcp-name",
            "mcp-protocol-version",
            "mcp-session-id",
        ];
        match repeated.into_iter().find(|name| is_repeated(name)) {
            Some(name) => Err(Rejection::Header(name)),
            None => Ok(()),
        }
    }
}

/// Whether a request says in its headers that it uses a version of MCP without sessions.
pub(super) fn is_stateless(headers: &HeaderMap) -> bool {
    let version = headers.get("mcp-protocol-version");
    let version = version.and_then(|version| version.to_str().ok());
    version.is_some_and(|version| version >= STATELESS)
}

/// Whether a value can be the id of a request.
pub(super) fn is_id(id: &RawValue) -> bool {
    id.get().starts_with(['"', '-']) || id.get().as_bytes()[0].is_ascii_digit()
}

/// The value of a header that can be Base64: `=?base64?…?=`.
fn decoded(value: &str) -> Option<String> {
    match value
        .strip_prefix("=?base64?")
        .and_then(|value| value.strip_suffix("?="))
    {
        Some(encoded) => String::from_utf8(BASE64_STANDARD.decode(encoded).ok()?).ok(),
        None => Some(value.to_owned()),
    }
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
        let problem = match (&self.method, self.result, self.error) {
            (Some(_), None, None) => return Ok(()),
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

/// Walks a message, and fails where parsers could disagree.
#[derive(Clone, Copy)]
struct Strict {
    depth: usize,
    scope: Scope,
}

/// The part of a message.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Scope {
    Envelope,
    Params,
    Other,
}

impl Strict {
    fn envelope() -> Self {
        Self {
            depth: 0,
            scope: Scope::Envelope,
        }
    }

    fn inner<E: serde::de::Error>(self, scope: Scope) -> Result<Self, E> {
        let depth = self.depth + 1;
        if depth > MAX_DEPTH {
            return Err(E::custom(format!("nested deeper than {MAX_DEPTH} levels")));
        }
        Ok(Self { depth, scope })
    }
}

impl<'de> DeserializeSeed<'de> for Strict {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<(), D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Strict {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self.scope {
            Scope::Envelope => "one JSON-RPC message (batches are not supported)",
            Scope::Params => "an object with the parameters",
            Scope::Other => "JSON",
        })
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<(), A::Error> {
        // Their hashes: a message can have a million keys.
        let (hasher, mut keys) = (RandomState::new(), HashSet::new());
        while let Some(key) = map.next_key::<String>()? {
            self.check_key(&key)?;
            let scope = match self.scope {
                Scope::Envelope if key == "params" => Scope::Params,
                _ => Scope::Other,
            };
            if !keys.insert(hasher.hash_one(&key)) {
                return Err(A::Error::custom("a key is repeated"));
            }
            map.next_value_seed(self.inner(scope)?)?;
        }
        Ok(())
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<(), A::Error> {
        if self.scope != Scope::Other {
            return Err(A::Error::invalid_type(serde::de::Unexpected::Seq, &self));
        }
        while list.next_element_seed(self.inner(Scope::Other)?)?.is_some() {}
        Ok(())
    }

    fn visit_bool<E: serde::de::Error>(self, _: bool) -> Result<(), E> {
        self.scalar()
    }

    fn visit_i64<E: serde::de::Error>(self, _: i64) -> Result<(), E> {
        self.scalar()
    }

    fn visit_u64<E: serde::de::Error>(self, _: u64) -> Result<(), E> {
        self.scalar()
    }

    fn visit_f64<E: serde::de::Error>(self, _: f64) -> Result<(), E> {
        self.scalar()
    }

    fn visit_str<E: serde::de::Error>(self, _: &str) -> Result<(), E> {
        self.scalar()
    }

    fn visit_unit<E: serde::de::Error>(self) -> Result<(), E> {
        match self.scope {
            // As if there were none.
            Scope::Params => Ok(()),
            _ => self.scalar(),
        }
    }
}

impl Strict {
    /// Whether every parser that knows a key of the envelope or the parameters reads it as this one, or as none.
    fn check_key<E: serde::de::Error>(self, key: &str) -> Result<(), E> {
        let keys: &[&str] = match self.scope {
            Scope::Envelope => &ENVELOPE_KEYS,
            Scope::Params => &PARAMS_KEYS,
            Scope::Other => return Ok(()),
        };
        if keys.contains(&key) {
            return Ok(());
        }
        if let Some(similar) = keys.iter().find(|known| folded(known) == folded(key)) {
            return Err(E::custom(format!(
                "a key differs from `{similar}` only by its case or its punctuation"
            )));
        }
        if key == PROTOTYPE {
            return Err(E::custom(format!("`{PROTOTYPE}` is not allowed as a key")));
        }
        if self.scope == Scope::Envelope {
            let known = comma_list(keys.iter().copied());
            return Err(E::custom(format!("a message has only the keys {known}")));
        }
        Ok(())
    }

    fn scalar<E: serde::de::Error>(self) -> Result<(), E> {
        match self.scope {
            Scope::Other => Ok(()),
            _ => Err(E::custom(format!("expected {}", Expected(self)))),
        }
    }
}

struct Expected(Strict);

impl fmt::Display for Expected {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.expecting(f)
    }
}

/// A key as the most lenient parser compares it: up to a NUL, as in C; without `-` and `_`, as in Go's JSON v2; and
/// without the case of Unicode letters: `ſ` is an `s`, and the Kelvin sign a `k`.
pub(super) fn folded(key: &str) -> String {
    let key = key.split('\0').next().unwrap_or_default();
    let letters: String = key.chars().filter(|c| c.is_alphanumeric()).collect();
    letters.to_uppercase().to_lowercase()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    fn key(names: &'static [&'static str]) -> impl Strategy<Value = String> {
        let name = proptest::sample::select(names);
        let change = proptest::sample::select(vec!["", "upper", "long s", "escaped"]);
        (name, change).prop_map(|(name, change)| match change {
            "upper" => name.to_uppercase(),
            "long s" => name.replace('s', "\u{17f}"),
            "escaped" => name.replacen('m', "\\u006d", 1),
            _ => name.to_owned(),
        })
    }

    fn object(
        names: &'static [&'static str],
        value: impl Strategy<Value = String> + 'static,
    ) -> impl Strategy<Value = String> {
        let entry = (key(names), value).prop_map(|(key, value)| format!("\"{key}\":{value}"));
        proptest::collection::vec(entry, 0..5)
            .prop_map(|entries| format!("{{{}}}", entries.join(",")))
    }

    fn value() -> impl Strategy<Value = String> {
        proptest::sample::select(vec![
            "\"list_it\"",
            "\"delete_it\"",
            "\"tools/call\"",
            "\"tools\\/call\"",
            "\"ping\"",
            "\"2.0\"",
            "1",
            "null",
            "[]",
        ])
        .prop_map(str::to_owned)
    }

    fn messages() -> impl Strategy<Value = String> {
        let params = || object(&["name", "arguments", "_meta", "x"], value());
        let fields = (
            value(),
            value(),
            params(),
            params(),
            key(&["params", "method", "id"]),
        );
        fields.prop_map(|(method, other, params, more, key)| {
            format!(
                "{{\"jsonrpc\":\"2.0\",\"id\":1,\"method\":{method},\"params\":{params},\"{key}\":{other},\"x\":{more}}}"
            )
        })
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(4096))]

        /// What passes is the same call for every parser, and a granted one.
        #[test]
        fn every_parser_reads_a_forwarded_call_in_the_same_way(
            text in prop_oneof![messages(), object(&["jsonrpc", "id", "method", "params"], value())],
        ) {
            crate::fuzzing::gate(text.as_bytes());
        }
    }
}
