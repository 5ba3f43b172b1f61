//! The parts of responses: bodies, headers, and errors of the gateway.

use bytes::Bytes;
use http::header::{CONTENT_TYPE, HeaderValue};
use http::{HeaderMap, Response, StatusCode};
use http_body_util::combinators::UnsyncBoxBody;
use http_body_util::{BodyExt as _, Full};
use serde_json::json;
use serde_json::value::RawValue;

use super::rejection::Rejection;
use crate::mcp::headers::{EVENT_STREAM, JSON};
use crate::text::secrets::is_any_in;
use crate::text::without_command;

pub(super) type BoxError = Box<dyn std::error::Error + Send + Sync>;
pub(super) type Body = UnsyncBoxBody<Bytes, BoxError>;
/// The headers of Port's responses that the agent gets.
const RETURNED: &[&str] = &[
    "content-type",
    "cache-control",
    "x-accel-buffering",
    "mcp-protocol-version",
    "retry-after",
    "allow",
];

pub(super) fn has_type(headers: &HeaderMap, kind: &str) -> bool {
    headers
        .get(CONTENT_TYPE)
        .and_then(|value| value.to_str().ok())
        .and_then(|value| value.split(';').next())
        .is_some_and(|value| value.trim().eq_ignore_ascii_case(kind))
}

pub(super) fn returned(headers: &HeaderMap) -> HeaderMap {
    let is_common = |value: &HeaderValue| [JSON, EVENT_STREAM].iter().any(|common| value == common);
    headers
        .iter()
        .filter(|(name, value)| {
            let text = || String::from_utf8_lossy(value.as_bytes());
            RETURNED.contains(&name.as_str()) && (is_common(value) || !is_any_in(&text()))
        })
        .map(|(name, value)| (name.clone(), value.clone()))
        .collect()
}

pub(super) fn rejected(
    id: Option<&RawValue>,
    reason: &Rejection,
    status: StatusCode,
) -> Response<Body> {
    rejection(status, id, reason.code(), &reason.to_string())
}

/// The response to a rejected message. A notification has none.
pub(super) fn rejection(
    status: StatusCode,
    id: Option<&RawValue>,
    code: i64,
    text: &str,
) -> Response<Body> {
    match status {
        StatusCode::ACCEPTED => empty(status),
        _ => json_text(status, error_message(id, code, text)),
    }
}

pub(super) fn error_message(id: Option<&RawValue>, code: i64, text: &str) -> String {
    let id = id.map_or("null", RawValue::get);
    let error = json!({"code": code, "message": text});
    format!(r#"{{"jsonrpc":"2.0","id":{id},"error":{error}}}"#)
}

pub(super) fn empty(status: StatusCode) -> Response<Body> {
    let mut response = Response::new(full(Bytes::new()));
    *response.status_mut() = status;
    response
}

pub(super) fn text(status: StatusCode, text: impl Into<String>) -> Response<Body> {
    let text: String = text.into();
    of_type(
        "text/plain; charset=utf-8",
        status,
        text.replace("##[", "## ["),
    )
}

pub(super) fn json_text(status: StatusCode, json: String) -> Response<Body> {
    of_type(JSON, status, without_command(json))
}

/// A response with a body that contains no command of the runner: the log of the agent's step can contain it.
fn of_type(kind: &'static str, status: StatusCode, body: String) -> Response<Body> {
    let mut response = Response::new(full(body.into()));
    *response.status_mut() = status;
    let kind = HeaderValue::from_static(kind);
    response.headers_mut().insert(CONTENT_TYPE, kind);
    response
}

pub(super) fn json_response(status: StatusCode, json: &serde_json::Value) -> Response<Body> {
    json_text(status, json.to_string())
}

pub(super) fn full(bytes: Bytes) -> Body {
    Full::new(bytes)
        .map_err(|never| match never {})
        .boxed_unsync()
}
