//! How Port's response says that it does not know the session: the request had no effect, and can be sent again in
//! another session.

use std::time::Duration;

use bytes::Bytes;
use futures_util::stream::{self, StreamExt as _};
use http::StatusCode;
use http::header::CONTENT_TYPE;
use serde_json::Value;

use super::rewrite::{Events, data};
use super::scan::Scanner;
use crate::mcp::error_text;
use crate::mcp::headers::{EVENT_STREAM, JSON};

/// The maximum length of a response that says it, in bytes.
const MAX_LENGTH: usize = 8 * 1024;
/// How long the beginning of a response may take.
const TIMEOUT: Duration = Duration::from_secs(10);

/// The error code of an unknown session, and also of a request that took too long, which may have had an effect.
const SESSION_NOT_FOUND: i64 = -32001;

/// What servers write about a session that they do not know, in lower case.
const LOST: &[&str] = &[
    "not found",
    "no valid",
    "not valid",
    "invalid",
    "unknown",
    "unrecognized",
    "expired",
    "not exist",
    "n't exist",
    "no such",
    "no longer",
    "no active",
    "terminated",
    "closed",
];

/// What servers write about a request that took too long, in lower case.
const TIMED_OUT: &[&str] = &["timed out", "timeout", "time-out"];

/// Whether a response to a request in a session says that the session is lost. Also returns the response, with all of
/// its body.
pub(super) async fn is_lost(response: reqwest::Response) -> (reqwest::Response, bool) {
    let status = response.status();
    if matches!(status, StatusCode::NOT_FOUND | StatusCode::GONE) {
        return (response, true);
    }
    let kind = response.headers().get(CONTENT_TYPE);
    let is = |name: &str| kind.is_some_and(|kind| kind.as_bytes().starts_with(name.as_bytes()));
    let is_stream = is(EVENT_STREAM);
    let is_short = || {
        response
            .content_length()
            .is_some_and(|length| length <= MAX_LENGTH as u64)
    };
    // A stream of which more can follow may wait for its first event, and then has begun in a session.
    if status.is_success() && !(is(JSON) || is_stream && is_short()) {
        return (response, false);
    }
    let (response, text) = beginning(response, TIMEOUT).await;
    let message = if is_stream { only_message(&text) } else { text };
    (response, says_lost(status, &message))
}

/// The message of an event stream that has no other.
fn only_message(stream: &str) -> String {
    let mut messages = Events::default()
        .push(stream.as_bytes())
        .into_iter()
        .filter_map(|event| data(&event));
    let first = messages.next().unwrap_or_default();
    if messages.next().is_none() {
        first
    } else {
        String::new()
    }
}

/// The beginning of the body of a response, up to a result, and the response with all of its body.
async fn beginning(response: reqwest::Response, limit: Duration) -> (reqwest::Response, String) {
    let mut head = http::Response::new(());
    *head.status_mut() = response.status();
    head.headers_mut().clone_from(response.headers());
    let mut rest = Box::pin(response.bytes_stream().fuse());
    let (mut chunks, mut text, mut message) = (Vec::new(), Vec::new(), Scanner::default());
    let reading = async {
        while text.len() < MAX_LENGTH && !message.has_result {
            let Some(chunk) = rest.next().await else {
                break;
            };
            let chunk: reqwest::Result<Bytes> = chunk;
            let bytes = chunk.as_deref().unwrap_or_default();
            text.extend_from_slice(bytes);
            message.add(bytes);
            let is_broken = chunk.is_err();
            chunks.push(chunk);
            if is_broken {
                break;
            }
        }
    };
    // What is there by then decides.
    let _ = tokio::time::timeout(limit, reading).await;
    let body = reqwest::Body::wrap_stream(stream::iter(chunks).chain(rest));
    let text = String::from_utf8_lossy(&text).into_owned();
    (head.map(|()| body).into(), text)
}

fn says_lost(status: StatusCode, body: &str) -> bool {
    let json: Option<Value> = serde_json::from_str(body).ok();
    let code = json
        .as_ref()
        .and_then(|json| json["error"]["code"].as_i64());
    let text = json.as_ref().map_or(body, error_text).to_lowercase();
    // The request may have had an effect before.
    if TIMED_OUT.iter().any(|words| text.contains(words)) {
        return false;
    }
    let is_named = text.contains("session") && LOST.iter().any(|word| text.contains(word))
        || text.contains("server not initialized");
    match (code, status) {
        (Some(SESSION_NOT_FOUND), StatusCode::BAD_REQUEST) => true,
        // With another status, another error can be that of a tool, or of a request that had an effect.
        (Some(SESSION_NOT_FOUND), _) | (_, StatusCode::BAD_REQUEST | StatusCode::FORBIDDEN) => {
            is_named
        }
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_an_unknown_session_is_lost() {
        let error = |code: i64, message: &str| {
            serde_json::json!({"jsonrpc": "2.0", "id": 1, "error": {"code": code, "message": message}})
                .to_string()
        };
        for (status, body, expected) in [
            // The SDKs for TypeScript, Python, Go, Java, and C#, and what else is written in these languages.
            (
                400,
                error(-32000, "Bad Request: No valid session ID provided"),
                true,
            ),
            (
                400,
                error(-32000, "Bad Request: Server not initialized"),
                true,
            ),
            (400, error(-32600, "Session ID abc has expired"), true),
            (400, error(-32001, "gone"), true),
            (400, "Invalid session ID".to_owned(), true),
            (403, r#"{"error":"unknown session"}"#.to_owned(), true),
            (200, error(-32001, "Session not found"), true),
            (500, error(-32001, "Session terminated"), true),
            (400, error(-32602, "Invalid params"), false),
            (
                400,
                error(-32000, "Bad Request: Mcp-Session-Id header is required"),
                false,
            ),
            (400, "Bad Request".to_owned(), false),
            (400, String::new(), false),
            (200, error(-32001, "Request timed out"), false),
            (408, error(-32001, "Request timed out"), false),
            (504, error(-32001, "Request timed out"), false),
            (
                200,
                error(-32001, "Request timed out, session closed"),
                false,
            ),
            (
                408,
                "the session was closed before the response".to_owned(),
                false,
            ),
            (
                429,
                error(-32000, "too many sessions: invalid request"),
                false,
            ),
            (200, error(-32602, "session not found"), false),
            (500, "session store: not found".to_owned(), false),
            (
                200,
                r#"{"jsonrpc":"2.0","id":1,"result":{"text":"session not found"}}"#.to_owned(),
                false,
            ),
        ] {
            let status = StatusCode::from_u16(status).unwrap();
            assert_eq!(says_lost(status, &body), expected, "{status} {body}");
        }
    }

    #[tokio::test]
    async fn all_of_the_body_follows() {
        let large = "x".repeat(3 * MAX_LENGTH);
        for (chunks, is_endless) in [
            (vec![large.as_str(), "y", "z"], false),
            (vec!["{", "\"error\":", "{}}"], false),
            (vec!["{\"error\":"], true),
        ] {
            let whole = chunks.concat();
            let chunks: Vec<std::io::Result<String>> = chunks
                .into_iter()
                .map(|chunk| Ok(chunk.to_owned()))
                .collect();
            let end = stream::once(async move {
                if is_endless {
                    std::future::pending::<()>().await;
                }
                Ok(String::new())
            });
            let body = reqwest::Body::wrap_stream(stream::iter(chunks).chain(end));
            let response = http::Response::builder().status(400).body(body).unwrap();
            let (response, text) = beginning(response.into(), Duration::ZERO).await;
            assert!(whole.starts_with(&text) && text.len() >= whole.len().min(MAX_LENGTH));
            let mut bytes = response.bytes_stream();
            let mut passed = Vec::new();
            while passed.len() < whole.len() {
                passed.extend(bytes.next().await.unwrap().unwrap());
            }
            assert_eq!(passed, whole.as_bytes());
        }
    }
}
