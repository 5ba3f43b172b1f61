//! Faults on request.

use std::{
    collections::{HashMap, VecDeque},
    convert::Infallible,
    io,
    sync::Mutex,
};

use axum::{
    Json,
    body::{Body, Bytes},
    http::{HeaderMap, HeaderName, HeaderValue, StatusCode, header},
    response::{Html, IntoResponse, Redirect, Response},
};
use futures_util::stream::{self, StreamExt};
use serde::{Deserialize, Serialize};
use serde_json::json;

/// A part of the fake Port server that has its own queue of faults.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Endpoint {
    /// The REST token exchange.
    Rest,
    /// The OAuth token endpoint.
    Oauth,
    /// The MCP server.
    Mcp,
    /// GitHub's API, on GitHub.com and on GitHub Enterprise Server.
    Github,
}

impl Endpoint {
    pub(crate) fn at(path: &str) -> Option<Self> {
        match path {
            REST_PATH => Some(Self::Rest),
            OAUTH_PATH => Some(Self::Oauth),
            MCP_PATH => Some(Self::Mcp),
            _ if path.starts_with(REPOS_PREFIX) => Some(Self::Github),
            _ if path.strip_prefix(GHES_PREFIX)?.starts_with(REPOS_PREFIX) => Some(Self::Github),
            _ => None,
        }
    }
}

pub(crate) const REST_PATH: &str = "/v1/auth/access_token";
pub(crate) const OAUTH_PATH: &str = "/v1/token";
pub(crate) const MCP_PATH: &str = "/v1";
pub(crate) const REPOS_PREFIX: &str = "/repos/";
/// The path of the API on GitHub Enterprise Server. On GitHub.com, it is at the root of a host.
pub(crate) const GHES_PREFIX: &str = "/api/v3";

/// The behavior for one request, instead of the normal one.
///
/// In JSON, a fault is `"hang"`, `{"redirect":"https://…"}`, or
/// `{"status":{"status":503,"headers":[["retry-after","0"]],"body":"…"}}`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Fault {
    /// A fixed response; [`Fault::status`] creates one.
    Status(FixedResponse),
    /// No response until the fake Port server stops.
    Hang,
    /// The connection is closed without a single byte of a response.
    Close,
    /// The response is shorter than its `Content-Length`, and ends in the middle of a token.
    Truncated,
    /// A valid token response of 8 MiB, without `Content-Length`.
    Huge,
    /// A web page with status 200, like a proxy's login page.
    NotJson,
    /// A redirect that keeps the method and the body (307): a client that follows it sends its
    /// credentials to this address.
    Redirect(String),
    /// A 401 whose message repeats the request's `Authorization` and body, including credentials.
    Echo,
}

/// A response with fixed status, headers, and body.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct FixedResponse {
    status: u16,
    #[serde(default)]
    headers: Vec<(String, String)>,
    #[serde(default)]
    body: String,
}

impl Fault {
    /// A fixed response with an empty body. [`FixedResponse::header`], [`FixedResponse::json`], and
    /// [`FixedResponse::text`] add to it.
    ///
    /// # Panics
    ///
    /// When the status does not have three digits.
    #[must_use]
    pub fn status(status: u16) -> FixedResponse {
        assert!(
            (100..1000).contains(&status),
            "{status} is not an HTTP status"
        );
        FixedResponse {
            status,
            headers: Vec::new(),
            body: String::new(),
        }
    }
}

impl FixedResponse {
    /// Adds a header. It replaces a header that the fake Port server sets, such as `x-trace-id` or
    /// `x-ratelimit-reset`.
    #[must_use]
    pub fn header(mut self, name: impl Into<String>, value: impl Into<String>) -> Self {
        self.headers.push((name.into(), value.into()));
        self
    }

    /// Sets the body to this JSON, and its content type.
    #[must_use]
    pub fn json(self, value: impl Serialize) -> Self {
        let body = serde_json::to_string(&value).unwrap_or_else(|error| error.to_string());
        self.header("content-type", "application/json").body(body)
    }

    /// Sets the body to this text, and its content type.
    #[must_use]
    pub fn text(self, text: impl Into<String>) -> Self {
        self.header("content-type", "text/plain; charset=utf-8")
            .body(text)
    }

    /// Sets the body to this text as an event stream, which then ends.
    #[must_use]
    pub fn events(self, text: impl Into<String>) -> Self {
        self.header("content-type", "text/event-stream").body(text)
    }

    fn body(mut self, body: impl Into<String>) -> Self {
        self.body = body.into();
        self
    }
}

impl From<FixedResponse> for Fault {
    fn from(response: FixedResponse) -> Self {
        Self::Status(response)
    }
}

impl Fault {
    /// Checks that this fault can be sent.
    ///
    /// # Errors
    ///
    /// Lists the status and the headers that HTTP does not allow.
    fn check(&self) -> Result<(), String> {
        let mut wrong = Vec::new();
        match self {
            Self::Status(response) => {
                if StatusCode::from_u16(response.status).is_err() {
                    wrong.push(format!("{} is not an HTTP status", response.status));
                }
                for (name, value) in &response.headers {
                    if HeaderName::try_from(name).is_err() {
                        wrong.push(format!("{name:?} is not a header name"));
                    }
                    if HeaderValue::try_from(value).is_err() {
                        wrong.push(format!("{value:?} is not a header value"));
                    }
                }
            }
            Self::Redirect(to) if HeaderValue::try_from(to).is_err() => {
                wrong.push(format!("{to:?} is not a header value"));
            }
            _ => {}
        }
        if wrong.is_empty() {
            Ok(())
        } else {
            Err(wrong.join("; "))
        }
    }

    /// Responds to a request with these headers and this body.
    pub(crate) async fn respond(self, headers: &HeaderMap, body: &[u8]) -> Response {
        match self {
            Self::Status(response) => response.into_response(),
            Self::Hang => std::future::pending().await,
            Self::Close => broken_off(None),
            Self::Truncated => {
                let start = r#"{"ok":true,"accessToken":"eyJhbGciOiJIUzI1NiIs"#;
                let headers = [
                    (header::CONTENT_TYPE, "application/json"),
                    (header::CONTENT_LENGTH, "1024"),
                ];
                (headers, broken_off(Some(start))).into_response()
            }
            Self::Huge => huge(),
            Self::NotJson => {
                Html("<!doctype html><title>Sign in</title><h1>Sign in to continue</h1>")
                    .into_response()
            }
            Self::Redirect(to) => Redirect::temporary(&to).into_response(),
            Self::Echo => echo(headers, body),
        }
    }
}

impl IntoResponse for FixedResponse {
    fn into_response(self) -> Response {
        let mut response = self.body.into_response();
        *response.status_mut() =
            StatusCode::from_u16(self.status).expect("a fault's status is between 100 and 999");
        // Without this, an empty body would have the content type of text.
        response.headers_mut().remove(header::CONTENT_TYPE);
        for (name, value) in self.headers {
            response.headers_mut().append(
                HeaderName::try_from(name).expect("a fault's header has a valid name"),
                HeaderValue::try_from(value).expect("a fault's header has a valid value"),
            );
        }
        response
    }
}

/// A body that fails after `start`, if there is one. hyper then drops the connection, and also the
/// headers if they were not sent yet.
fn broken_off(start: Option<&'static str>) -> Response {
    let sent = stream::iter(start.map(|start| Ok(Bytes::from_static(start.as_bytes()))));
    let failure = stream::once(async move {
        if start.is_some() {
            // hyper sends its buffer when it must wait for the body.
            tokio::task::yield_now().await;
        }
        Err(io::Error::from(io::ErrorKind::ConnectionAborted))
    });
    Body::from_stream(sent.chain(failure)).into_response()
}

fn huge() -> Response {
    const CHUNK: Bytes = Bytes::from_static(&[b'A'; 64 * 1024]);
    const CHUNKS: usize = 128;
    let start = Bytes::from_static(br#"{"ok":true,"accessToken":""#);
    let end = Bytes::from_static(br#"","expiresIn":10800,"tokenType":"Bearer"}"#);
    let chunks = std::iter::once(start)
        .chain(std::iter::repeat_n(CHUNK, CHUNKS))
        .chain(std::iter::once(end));
    let body = Body::from_stream(stream::iter(chunks.map(Ok::<_, Infallible>)));
    ([(header::CONTENT_TYPE, "application/json")], body).into_response()
}

fn echo(headers: &HeaderMap, body: &[u8]) -> Response {
    let authorization = headers
        .get(header::AUTHORIZATION)
        .map(|value| String::from_utf8_lossy(value.as_bytes()))
        .unwrap_or_default();
    let message = format!(
        "Cannot authenticate {authorization} {}",
        String::from_utf8_lossy(body)
    );
    // Both error formats, so that any field that a client shows contains the credentials.
    let error = json!({
        "ok": false,
        "error": "invalid_credentials",
        "message": message,
        "error_description": message,
    });
    (StatusCode::UNAUTHORIZED, Json(error)).into_response()
}

/// The queued faults of each endpoint.
#[derive(Debug, Default)]
pub(crate) struct Faults(Mutex<HashMap<Endpoint, VecDeque<Fault>>>);

impl Faults {
    /// Queues a fault.
    ///
    /// # Errors
    ///
    /// As [`Fault::check`].
    pub(crate) fn push(&self, endpoint: Endpoint, fault: Fault) -> Result<(), String> {
        fault.check()?;
        let mut queues = self.0.lock().expect("the lock is not poisoned");
        queues.entry(endpoint).or_default().push_back(fault);
        Ok(())
    }

    pub(crate) fn next(&self, endpoint: Endpoint) -> Option<Fault> {
        let mut queues = self.0.lock().expect("the lock is not poisoned");
        queues.get_mut(&endpoint)?.pop_front()
    }
}
