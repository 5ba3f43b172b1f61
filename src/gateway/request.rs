//! A request of a client until its message is read, and why it is rejected before.

use std::time::Duration;

use bytes::Bytes;
use http::header::{CONTENT_LENGTH, CONTENT_TYPE, HeaderName, HeaderValue, WWW_AUTHENTICATE};
use http::{HeaderMap, Response, StatusCode};
use http_body_util::{BodyExt as _, Limited};
use hyper::body::Incoming;

use super::Gateway;
use super::memory::{OutOfMemory, Reserved};
use super::rejection::Sender;
use super::reply::{Body, has_type, rejection, text};
use super::scan::Scanner;
use crate::mcp::headers::JSON;

/// The maximum length of a request body in bytes.
const MAX_REQUEST: usize = 4 * 1024 * 1024;
/// The time limit for a request body.
const REQUEST_TIMEOUT: Duration = Duration::from_secs(30);

/// A request that the gateway rejects before it reads a message.
pub(super) struct RejectedRequest {
    pub(super) response: Response<Body>,
    /// What the response says. Its status can be another one, for a client that waits for a JSON-RPC response.
    pub(super) status: StatusCode,
    pub(super) text: &'static str,
}

impl RejectedRequest {
    pub(super) fn new(status: StatusCode, error: &'static str) -> Self {
        Self {
            response: text(status, error),
            status,
            text: error,
        }
    }

    pub(super) fn with(mut self, name: HeaderName, value: HeaderValue) -> Self {
        self.response.headers_mut().insert(name, value);
        self
    }

    /// The rejection as a JSON-RPC error, if a client waits for one: it would take a status for the end of its session.
    pub(super) fn to(mut self, message: &Scanner) -> Self {
        let (status, code) = match (self.status, Sender::of(message)) {
            // The client opens another session.
            (StatusCode::NOT_FOUND, _) => (self.status, -32001),
            (StatusCode::UNAUTHORIZED, _) | (_, Sender::Other) => return self,
            (_, sender) => (sender.status(self.status), -32600),
        };
        let mut headers = std::mem::take(self.response.headers_mut());
        headers.remove(CONTENT_TYPE);
        self.response = rejection(status, message.id_of_request(), code, self.text);
        for (name, value) in headers
            .into_iter()
            .filter_map(|(name, value)| Some((name?, value)))
        {
            self.response.headers_mut().entry(name).or_insert(value);
        }
        self
    }
}

/// A value, or why a request is rejected.
pub(super) type OrRejected<T> = Result<T, Box<RejectedRequest>>;

/// Whether the body of a request is JSON. The charset does not matter: the gateway reads UTF-8, and says so to Port.
pub(super) fn check_type(headers: &HeaderMap) -> OrRejected<()> {
    if headers.contains_key(CONTENT_TYPE) && !has_type(headers, JSON) {
        let error = "the Content-Type must be application/json";
        return Err(RejectedRequest::new(StatusCode::UNSUPPORTED_MEDIA_TYPE, error).into());
    }
    Ok(())
}

/// The length of the body of a request.
fn length(headers: &HeaderMap) -> Option<usize> {
    headers.get(CONTENT_LENGTH)?.to_str().ok()?.parse().ok()
}

/// Reserves memory for the body of a request.
pub(super) async fn memory(gateway: &Gateway, headers: &HeaderMap) -> OrRejected<Reserved> {
    let length = length(headers).unwrap_or(MAX_REQUEST);
    if length > MAX_REQUEST {
        return Err(too_large().into());
    }
    let memory = gateway.memory.request(length).await;
    memory.map_err(|OutOfMemory| {
        RejectedRequest::new(StatusCode::SERVICE_UNAVAILABLE, "too many large requests").into()
    })
}

/// Reads and drops the body of a rejected request: a client that still sends would not read the response.
pub(super) async fn scan(body: Incoming) -> Scanner {
    let mut message = Scanner::default();
    drain(scanned(body, &mut message)).await;
    message
}

/// A body that is scanned as it is read.
fn scanned(
    body: Incoming,
    message: &mut Scanner,
) -> impl hyper::body::Body<Data = Bytes, Error = hyper::Error> + Unpin {
    body.map_frame(|frame| {
        message.add(frame.data_ref().map(Bytes::as_ref).unwrap_or_default());
        frame
    })
}

async fn drain(body: impl hyper::body::Body<Data = Bytes, Error = hyper::Error> + Unpin) {
    let mut body = Limited::new(body, 4 * MAX_REQUEST);
    let all = async { while let Some(Ok(_)) = body.frame().await {} };
    let _ = tokio::time::timeout(REQUEST_TIMEOUT, all).await;
}

pub(super) async fn read(mut body: Incoming, headers: &HeaderMap) -> OrRejected<Bytes> {
    // Not `collect`: all frames and their copy would need twice the memory, and so does a vector that grows.
    let mut bytes = Vec::with_capacity(length(headers).unwrap_or_default());
    let read = async {
        while let Some(frame) = body.frame().await {
            let data = frame.map_err(drop)?.into_data().unwrap_or_default();
            if bytes.len() + data.len() > MAX_REQUEST {
                return Ok(Some(data));
            }
            bytes.extend_from_slice(&data);
        }
        Ok(None)
    };
    let incomplete = |status| RejectedRequest::new(status, "the body is incomplete");
    let read = tokio::time::timeout(REQUEST_TIMEOUT, read).await;
    if let Ok(Ok(None)) = read {
        return Ok(bytes.into());
    }
    let mut message = Scanner::of(&bytes);
    drop(bytes);
    let rejected = match read {
        Ok(Ok(rest)) => {
            message.add(&rest.unwrap_or_default());
            drain(scanned(body, &mut message)).await;
            too_large()
        }
        Ok(Err(())) => incomplete(StatusCode::BAD_REQUEST),
        Err(_) => incomplete(StatusCode::REQUEST_TIMEOUT),
    };
    Err(rejected.to(&message).into())
}

pub(super) fn unauthorized() -> RejectedRequest {
    let challenge = HeaderValue::from_static("Bearer");
    RejectedRequest::new(StatusCode::UNAUTHORIZED, "the key is missing or wrong")
        .with(WWW_AUTHENTICATE, challenge)
}

fn too_large() -> RejectedRequest {
    RejectedRequest::new(StatusCode::PAYLOAD_TOO_LARGE, "the body is too large")
}
