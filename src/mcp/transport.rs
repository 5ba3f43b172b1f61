//! MCP's streamable HTTP transport for the official SDK, based on [`Http`]: the same time limits, bounded
//! reads, and errors as for every request, and the headers that the agent will send.
//!
//! Source: [transports](https://modelcontextprotocol.io/specification/2025-11-25/basic/transports).

use std::collections::HashMap;
use std::sync::atomic::{AtomicIsize, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use futures_util::StreamExt as _;
use futures_util::future::ready;
use futures_util::stream::{self, BoxStream};
use reqwest::header::{ACCEPT, CONTENT_TYPE, HeaderMap, HeaderName, HeaderValue};
use reqwest::{Method, RequestBuilder, Response, StatusCode};
use rmcp::model::{
    ClientJsonRpcMessage, ErrorData, JsonRpcError, JsonRpcMessage, RequestId, ServerJsonRpcMessage,
};
use rmcp::transport::streamable_http_client::{
    StreamableHttpClient, StreamableHttpError, StreamableHttpPostResponse,
};
use secrecy::ExposeSecret as _;
use serde_json::Value;
use sse_stream::{Error as SseError, Sse, SseStream};
use url::Url;

use super::Server;
use super::error::{MCP_SERVER, PreflightError};
use super::headers::{EVENT_STREAM, JSON, SESSION};
use crate::http::{self, Http, NetworkError, StatusError, StatusKind, Trace};
use crate::text::{Quote, well_formed};

/// The time limit of one request, until its response begins.
const REQUEST_TIMEOUT: Duration = Duration::from_secs(10);
/// The maximum size of all responses together, in bytes.
const MAX_BYTES: usize = 8 * 1024 * 1024;
/// The maximum number of values in one response: a small value needs a hundred times as much memory as its text.
const MAX_VALUES: usize = 500_000;
/// The maximum number of messages other than responses: pings, progress, logs.
const MAX_MESSAGES: isize = 100;
/// The maximum size of an error response in bytes.
const MAX_ERROR: usize = 64 * 1024;

/// A connection to one server. It records the last error, since the SDK wraps errors in its own types.
#[derive(Clone)]
pub(crate) struct Transport {
    http: Http,
    url: Url,
    headers: HeaderMap,
    token: secrecy::SecretString,
    last: Arc<Mutex<LastResponse>>,
    bytes_left: Arc<AtomicUsize>,
    messages_left: Arc<AtomicIsize>,
}

/// What is recorded of the last response.
#[derive(Clone, Debug, Default)]
pub(super) struct LastResponse {
    pub(super) error: Option<PreflightError>,
    pub(super) trace: Option<Trace>,
}

type Outcome<T> = Result<T, StreamableHttpError<PreflightError>>;

impl Transport {
    pub(crate) fn new(http: &Http, server: &Server<'_>) -> Result<Self, PreflightError> {
        let mut headers = HeaderMap::new();
        for (name, value) in server.headers {
            // Without the header, the server would offer more tools than it offers to the agent.
            let value =
                HeaderValue::from_str(value).map_err(|_| PreflightError::InvalidHeader(name))?;
            headers.insert(*name, value);
        }
        Ok(Self {
            http: http.clone(),
            url: server.url.clone(),
            headers,
            token: server.token.clone(),
            last: Arc::default(),
            bytes_left: Arc::new(AtomicUsize::new(MAX_BYTES)),
            messages_left: Arc::new(AtomicIsize::new(MAX_MESSAGES)),
        })
    }

    /// A copy of the transport without records, and with all limits unused.
    pub(crate) fn reset(&self) -> Self {
        Self {
            last: Arc::default(),
            bytes_left: Arc::new(AtomicUsize::new(MAX_BYTES)),
            messages_left: Arc::new(AtomicIsize::new(MAX_MESSAGES)),
            ..self.clone()
        }
    }

    pub(super) fn last_response(&self) -> LastResponse {
        self.last
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .clone()
    }

    fn update(&self, update: impl FnOnce(&mut LastResponse)) {
        update(&mut self.last.lock().unwrap_or_else(PoisonError::into_inner));
    }

    /// Records an error and wraps it for the SDK.
    fn record(&self, error: PreflightError) -> StreamableHttpError<PreflightError> {
        self.update(|last| last.error = Some(error.clone()));
        StreamableHttpError::Client(error)
    }

    async fn send(
        &self,
        request: RequestBuilder,
        session: Option<&str>,
        custom_headers: HashMap<HeaderName, HeaderValue>,
    ) -> Outcome<Response> {
        let mut request = request
            .headers(self.headers.clone())
            .headers(custom_headers.into_iter().collect())
            .bearer_auth(self.token.expose_secret());
        if let Some(session) = session {
            request = request.header(SESSION, session);
        }
        let response = self
            .http
            .with_timeout(REQUEST_TIMEOUT, self.http.send(request, &self.url))
            .await
            .map_err(|error| self.record(error.into()))?;
        self.update(|last| last.trace = http::port_trace(response.headers()));
        Ok(response)
    }

    async fn body(&self, response: Response, limit: usize) -> Outcome<Vec<u8>> {
        let limit = limit.min(self.bytes_left.load(Ordering::Relaxed));
        let body = self
            .http
            .with_timeout(REQUEST_TIMEOUT, self.http.body(response, &self.url, limit))
            .await
            .map_err(|error| match error {
                NetworkError::TooLarge(_) => self.record(too_many_bytes()),
                other => self.record(other.into()),
            })?;
        self.bytes_left.fetch_sub(body.len(), Ordering::Relaxed);
        Ok(body)
    }

    /// The events of the stream with the response to `request`, up to its end. Too many other messages are an
    /// error.
    pub(crate) fn events(
        &self,
        response: Response,
        request: RequestId,
    ) -> BoxStream<'static, Result<Sse, SseError>> {
        let this = self.clone();
        let bytes = response.bytes_stream().map(move |chunk| {
            let error = match chunk {
                Ok(chunk) => {
                    let left = this.bytes_left.load(Ordering::Relaxed);
                    if let Some(left) = left.checked_sub(chunk.len()) {
                        this.bytes_left.store(left, Ordering::Relaxed);
                        return Ok(chunk);
                    }
                    too_many_bytes()
                }
                Err(error) => this.http.network_error(&error, &this.url).into(),
            };
            this.update(|last| last.error = Some(error.clone()));
            Err(error)
        });
        let this = self.clone();
        let mut has_response = false;
        // The end of the stream is an event too.
        let events = SseStream::from_bytes_stream(bytes)
            .map(Some)
            .chain(stream::once(ready(None)));
        let checked = events.map(move |event| {
            let Some(event) = event else {
                let error = PreflightError::Protocol(Quote::new(
                    "the event stream ended without a response",
                ));
                return if has_response {
                    None
                } else {
                    Some(Err(this.record_event(error)))
                };
            };
            let mut event = match event {
                Ok(event) => event,
                Err(error) => return Some(Err(error)),
            };
            let text = event.data.as_deref().unwrap_or_default();
            let error = match parse(text.as_bytes()).map(|message| response_to(&request, message)) {
                Ok(Ok(response)) => {
                    has_response = true;
                    event.data = serde_json::to_string(&response).ok();
                    return Some(Ok(event));
                }
                Ok(Err(NoResponse::Other(id))) => unexpected_response(&id),
                Err(error @ PreflightError::TooLong(_)) => error,
                _ if this.messages_left.fetch_sub(1, Ordering::Relaxed) > 0 => {
                    return Some(Ok(event));
                }
                _ => PreflightError::TooLong(format!("{MAX_MESSAGES} other messages")),
            };
            Some(Err(this.record_event(error)))
        });
        // Nothing is read after an error or after the end.
        let mut is_over = false;
        checked
            .take_while(move |event| {
                let is_open = !is_over;
                is_over |= !matches!(event, Some(Ok(_)));
                ready(is_open && event.is_some())
            })
            .filter_map(ready)
            .boxed()
    }

    /// Records an error in an event stream and wraps it for the stream.
    fn record_event(&self, error: PreflightError) -> SseError {
        self.update(|last| last.error = Some(error.clone()));
        SseError::Body(Box::new(error))
    }

    /// Handles a response whose status is an error: returns the JSON-RPC error in its body, if it has one,
    /// otherwise records the status.
    async fn error_response(
        &self,
        response: Response,
        request: Option<RequestId>,
    ) -> Outcome<StreamableHttpPostResponse> {
        let (status, headers) = (response.status(), response.headers().clone());
        let bytes = self.body(response, MAX_ERROR).await.unwrap_or_default();
        let body: Value = serde_json::from_slice(&bytes).unwrap_or_default();
        let error = StatusError::new(&MCP_SERVER, status, &headers, Quote::new(error_text(&body)));
        // A server that does not support the lifecycle responds in this form; the ID can be missing.
        if matches!(error.kind, StatusKind::NotFound | StatusKind::Other)
            && let Some(id) = request
            && let Ok(error) = serde_json::from_value::<ErrorData>(body["error"].clone())
        {
            let message = ServerJsonRpcMessage::error(error, Some(id));
            return Ok(StreamableHttpPostResponse::Json(message, None));
        }
        Err(self.record(PreflightError::Status(error)))
    }
}

/// The server's message in the body of an error; empty if there is none.
pub(crate) fn error_text(body: &Value) -> &str {
    let texts = [
        &body["error_description"],
        &body["message"],
        &body["error"]["message"],
        &body["error"],
    ];
    texts
        .into_iter()
        .find_map(Value::as_str)
        .unwrap_or_default()
}

fn parse(json: &[u8]) -> Result<ServerJsonRpcMessage, PreflightError> {
    let values = json.iter().filter(|byte| b"[{,".contains(byte)).count();
    if values > MAX_VALUES {
        return Err(PreflightError::TooLong(format!("{MAX_VALUES} values")));
    }
    serde_json::from_slice(&well_formed(json)).map_err(|error| not_mcp(json, &error))
}

/// Why a message does not respond to a request.
enum NoResponse {
    /// It responds to another request.
    Other(RequestId),
    /// It is not a response.
    NotAResponse,
}

/// The message as the response to `request`. An error without an ID is one too: it says that the server could not read
/// the ID ([JSON-RPC](https://www.jsonrpc.org/specification#response_object)).
fn response_to(
    request: &RequestId,
    message: ServerJsonRpcMessage,
) -> Result<ServerJsonRpcMessage, NoResponse> {
    let id = match message {
        JsonRpcMessage::Error(JsonRpcError {
            id: None, error, ..
        }) => {
            return Ok(ServerJsonRpcMessage::error(error, Some(request.clone())));
        }
        JsonRpcMessage::Response(ref response) => response.id.clone(),
        JsonRpcMessage::Error(JsonRpcError {
            id: Some(ref id), ..
        }) => id.clone(),
        _ => return Err(NoResponse::NotAResponse),
    };
    if id == *request {
        Ok(message)
    } else {
        Err(NoResponse::Other(id))
    }
}

/// The error for a body that is not a message. The text of the parser quotes no value, only the position.
fn not_mcp(body: &[u8], error: &serde_json::Error) -> PreflightError {
    match error.classify() {
        serde_json::error::Category::Data => PreflightError::NotMcp(Quote::new("unexpected JSON")),
        _ if body.trim_ascii_start().starts_with(b"{") => {
            PreflightError::Protocol(Quote::new(&format!("invalid JSON: {error}")))
        }
        _ => PreflightError::NotMcp(Quote::new("invalid JSON")),
    }
}

fn unexpected_response(id: &RequestId) -> PreflightError {
    let text = format!("no request has the ID {id}");
    PreflightError::Protocol(Quote::new(&text))
}

fn too_many_bytes() -> PreflightError {
    PreflightError::TooLong(format!("{} MiB", MAX_BYTES / 1024 / 1024))
}

impl StreamableHttpClient for Transport {
    type Error = PreflightError;

    async fn post_message(
        &self,
        _uri: Arc<str>,
        message: ClientJsonRpcMessage,
        session: Option<Arc<str>>,
        _auth_header: Option<String>,
        custom_headers: HashMap<HeaderName, HeaderValue>,
    ) -> Outcome<StreamableHttpPostResponse> {
        let request_id = match &message {
            JsonRpcMessage::Request(request) => Some(request.id.clone()),
            _ => None,
        };
        let post = self
            .http
            .request(Method::POST, &self.url)
            .header(ACCEPT, format!("{JSON}, {EVENT_STREAM}"))
            .json(&message);
        let response = self.send(post, session.as_deref(), custom_headers).await?;
        let status = response.status();
        if status == StatusCode::NOT_FOUND && session.is_some() {
            self.update(|last| last.error = Some(PreflightError::SessionLost(status)));
            return Err(StreamableHttpError::SessionExpired);
        }
        if !status.is_success() {
            return self.error_response(response, request_id).await;
        }
        let Some(request_id) = request_id else {
            // The response to a notification has no content.
            return Ok(StreamableHttpPostResponse::Accepted);
        };
        if matches!(status, StatusCode::ACCEPTED | StatusCode::NO_CONTENT) {
            let error = Quote::new(&format!("{status} without a body"));
            return Err(self.record(PreflightError::Protocol(error)));
        }
        let header = |name| Some(response.headers().get(name)?.to_str().ok()?.to_owned());
        let session = header(SESSION);
        let kind = header(CONTENT_TYPE).unwrap_or_default();
        match kind
            .split(';')
            .next()
            .unwrap_or_default()
            .trim()
            .to_lowercase()
            .as_str()
        {
            EVENT_STREAM => Ok(StreamableHttpPostResponse::Sse(
                self.events(response, request_id),
                session,
            )),
            JSON => {
                let body = self.body(response, MAX_BYTES).await?;
                let message = parse(&body).map_err(|error| self.record(error))?;
                let response = response_to(&request_id, message).map_err(|no| match no {
                    NoResponse::Other(id) => self.record(unexpected_response(&id)),
                    NoResponse::NotAResponse => {
                        let error = Quote::new("it returned a message that is not a response");
                        self.record(PreflightError::Protocol(error))
                    }
                })?;
                Ok(StreamableHttpPostResponse::Json(response, session))
            }
            "" => Err(self.record(PreflightError::NotMcp(Quote::new("no Content-Type")))),
            other => Err(self.record(PreflightError::NotMcp(Quote::new(other)))),
        }
    }

    /// Closes the session. A server without sessions has nothing to close.
    async fn delete_session(
        &self,
        _uri: Arc<str>,
        session: Arc<str>,
        _auth_header: Option<String>,
        custom_headers: HashMap<HeaderName, HeaderValue>,
    ) -> Outcome<()> {
        let request = self.http.request(Method::DELETE, &self.url);
        self.send(request, Some(&session), custom_headers)
            .await
            .map(drop)
    }

    /// Not used: the preflight check waits for responses only.
    async fn get_stream(
        &self,
        _uri: Arc<str>,
        _session: Option<Arc<str>>,
        _last_event_id: Option<String>,
        _auth_header: Option<String>,
        _more: HashMap<HeaderName, HeaderValue>,
    ) -> Outcome<BoxStream<'static, Result<Sse, SseError>>> {
        Err(StreamableHttpError::ServerDoesNotSupportSse)
    }
}
