//! The gate: decides what a message of the agent may do, before it reaches Port.

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use http::HeaderMap;

use super::message::{Kind, Message};
use super::rejection::Rejection;
use crate::access::Grants;
use crate::text::{Quote, comma_list};
use crate::tool::ToolName;

/// What the gateway does with a message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Action {
    /// Forward the call of a granted tool, and record it.
    Call,
    /// Answer it with the granted tools.
    ListTools,
    /// Forward it, open a session, and rewrite the capabilities in its response.
    Initialize,
    /// Forward it, and rewrite the capabilities in its response.
    Discover,
    /// Forward it.
    Forward,
    /// Drop it. Notifications have no response.
    Drop,
}

/// Decides what to do with a message that has these headers.
///
/// # Errors
/// When the message requests more than what is granted, or its headers contradict it.
pub(crate) fn decide(
    message: &Message<'_>,
    headers: &HeaderMap,
    grants: &Grants,
) -> Result<Action, Rejection> {
    check_headers(message, headers)?;
    // A client waits for no response to it (JSON-RPC 2.0, 4.1), but a server could run one with the method of a request.
    if message.is_notification() {
        return Ok(match message.kind {
            Kind::Notification => Action::Forward,
            _ => Action::Drop,
        });
    }
    match message.kind {
        Kind::Response | Kind::Utility => Ok(Action::Forward),
        Kind::Listen => message.check_subscription().map(|()| Action::Forward),
        Kind::ListTools => Ok(Action::ListTools),
        Kind::Initialize => Ok(Action::Initialize),
        Kind::Discover => Ok(Action::Discover),
        Kind::CallTool => {
            let tool = message.tool.as_deref().unwrap_or_default();
            if grants.contains(tool) {
                return Ok(Action::Call);
            }
            let mut granted: Vec<&str> = grants.names().map(ToolName::as_str).collect();
            granted.sort_unstable();
            Err(Rejection::Tool {
                tool: Quote::new(tool).to_string(),
                granted: comma_list(granted),
            })
        }
        Kind::Notification | Kind::Unknown => Err(Rejection::Method(
            Quote::new(message.method_name()).to_string(),
        )),
    }
}

/// Compares the headers that repeat parts of the body.
fn check_headers(message: &Message<'_>, headers: &HeaderMap) -> Result<(), Rejection> {
    if let Some(value) = headers.get("mcp-method")
        && (message.method.is_none() || value.to_str().ok() != message.method.as_deref())
    {
        return Err(Rejection::Header("Mcp-Method"));
    }
    if let Some(value) = headers.get("mcp-name") {
        let value = value.to_str().ok().and_then(decoded);
        let is_wrong = match message.kind {
            Kind::Response => true,
            Kind::CallTool => value.as_deref() != message.tool.as_deref(),
            _ => false,
        };
        if is_wrong {
            return Err(Rejection::Header("Mcp-Name"));
        }
    }
    let repeated = [
        "mcp-method",
        "mcp-name",
        "mcp-protocol-version",
        "mcp-session-id",
    ];
    let is_repeated = |name: &&str| headers.get_all(*name).iter().count() > 1;
    match repeated.into_iter().find(is_repeated) {
        Some(name) => Err(Rejection::Header(name)),
        None => Ok(()),
    }
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
