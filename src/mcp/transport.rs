//! MCP's streamable HTTP for the official SDK, over our own client: the same time limits, bounded
//! reads and verdicts as everywhere, and the headers that the agent will send.
//!
//! Source: [transports](https://modelcontextprotocol.io/specification/2025-11-25/basic/transports).

use std::collections::HashMap;
use std::sync::atomic::{AtomicIsize, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, SystemTime};

use futures_util::StreamExt as _;
use futures_util::future::ready;
use futures_util::stream::{self, BoxStream};
use reqwest::header::{ACCEPT, CONTENT_TYPE, HeaderMap, HeaderName, HeaderValue};
use reqwest::{RequestBuilder, Response, StatusCode};
use rmcp::model::{
    ClientJsonRpcMessage, ErrorData, JsonRpcMessage, RequestId, ServerJsonRpcMessage,
};
use rmcp::transport::streamable_http_client::{
    StreamableHttpClient, StreamableHttpError, StreamableHttpPostResponse,
};
use secrecy::ExposeSecret as _;
use serde_json::Value;
use sse_stream::{Error as SseError, Sse, SseStream};
use url::Url;

use super::Server;
use super::verdict::Verdict;
use crate::http::{self, Failure, Http, Trace};
use crate::text::Quote;

/// The time limit of one request, until its answer begins.
const TRY_TIMEOUT: Duration = Duration::from_secs(10);
/// The most that is read of all answers together.
const MOST_BYTES: usize = 16 * 1024 * 1024;
/// The most messages that are read beside the answers: pings, progress, logs.
const MOST_MESSAGES: isize = 100;
/// The most that is read of an answer that is an error.
const LARGEST_MESSAGE: usize = 64 * 1024;

const EVENT_STREAM: &str = "text/event-stream";
const JSON: &str = "application/json";
const SESSION: &str = "mcp-session-id";

/// A connection to one server. What it finds wrong is kept, since the SDK passes errors on in
/// forms of its own.
#[derive(Clone)]
pub(super) struct Transport {
    http: Http,
    url: Url,
    headers: HeaderMap,
    token: secrecy::SecretString,
    found: Arc<Mutex<Found>>,
    bytes_left: Arc<AtomicUsize>,
    messages_left: Arc<AtomicIsize>,
}

/// What the last answer told.
#[derive(Clone, Debug, Default)]
pub(super) struct Found {
    pub(super) verdict: Option<Verdict>,
    pub(super) trace: Option<Trace>,
    /// How long the server asks to wait before the next request.
    pub(super) wait: Option<Duration>,
}

type Outcome<T> = Result<T, StreamableHttpError<Verdict>>;

impl Transport {
    pub(super) fn new(http: &Http, server: &Server<'_>) -> Result<Self, Verdict> {
        let mut headers = HeaderMap::new();
        for (name, value) in server.headers {
            // Without a header the server would offer more: that is no look at what the agent gets.
            let value = HeaderValue::from_str(value).map_err(|_| Verdict::Header(name))?;
            headers.insert(*name, value);
        }
        Ok(Self {
            http: http.clone(),
            url: server.url.clone(),
            headers,
            token: server.token.clone(),
            found: Arc::default(),
            bytes_left: Arc::new(AtomicUsize::new(MOST_BYTES)),
            messages_left: Arc::new(AtomicIsize::new(MOST_MESSAGES)),
        })
    }

    /// The same, with nothing found and nothing read.
    pub(super) fn afresh(&self) -> Self {
        Self {
            found: Arc::default(),
            bytes_left: Arc::new(AtomicUsize::new(MOST_BYTES)),
            messages_left: Arc::new(AtomicIsize::new(MOST_MESSAGES)),
            ..self.clone()
        }
    }

    pub(super) fn found(&self) -> Found {
        let found = self.found.lock().unwrap_or_else(PoisonError::into_inner);
        found.clone()
    }

    fn note(&self, note: impl FnOnce(&mut Found)) {
        note(&mut self.found.lock().unwrap_or_else(PoisonError::into_inner));
    }

    /// Keeps a verdict and turns it into what the SDK expects.
    fn wrong(&self, verdict: Verdict) -> StreamableHttpError<Verdict> {
        self.note(|found| found.verdict = Some(verdict.clone()));
        StreamableHttpError::Client(verdict)
    }

    async fn send(
        &self,
        request: RequestBuilder,
        session: Option<&str>,
        more: HashMap<HeaderName, HeaderValue>,
    ) -> Outcome<Response> {
        let mut request = request
            .headers(self.headers.clone())
            .headers(more.into_iter().collect())
            .bearer_auth(self.token.expose_secret());
        if let Some(session) = session {
            request = request.header(SESSION, session);
        }
        let response = self
            .http
            .limited(TRY_TIMEOUT, self.http.send(request, &self.url))
            .await
            .map_err(|failure| self.wrong(failure.into()))?;
        let (status, headers) = (response.status(), response.headers());
        self.note(|found| {
            found.trace = http::port_trace(headers);
            found.wait = http::wait_asked_for(headers, status, SystemTime::now());
        });
        Ok(response)
    }

    async fn body(&self, response: Response, limit: usize) -> Outcome<Vec<u8>> {
        let limit = limit.min(self.bytes_left.load(Ordering::Relaxed));
        let body = self
            .http
            .limited(TRY_TIMEOUT, self.http.body(response, &self.url, limit));
        let body = body.await.map_err(|failure| match failure {
            Failure::TooLarge(_) => self.wrong(too_many_bytes()),
            other => self.wrong(other.into()),
        })?;
        self.bytes_left.fetch_sub(body.len(), Ordering::Relaxed);
        Ok(body)
    }

    /// The events of an answer to `request`, as long as they do not get too many, and up to the answer
    /// itself.
    fn events(
        &self,
        response: Response,
        request: RequestId,
    ) -> BoxStream<'static, Result<Sse, SseError>> {
        let this = self.clone();
        let bytes = response.bytes_stream().map(move |chunk| {
            let verdict = match chunk {
                Ok(chunk) => {
                    let left = this.bytes_left.load(Ordering::Relaxed);
                    if let Some(left) = left.checked_sub(chunk.len()) {
                        this.bytes_left.store(left, Ordering::Relaxed);
                        return Ok(chunk);
                    }
                    too_many_bytes()
                }
                Err(error) => this.http.failure(&error, &this.url).into(),
            };
            this.note(|found| found.verdict = Some(verdict.clone()));
            Err(verdict)
        });
        let this = self.clone();
        let mut is_answered = false;
        let events = SseStream::from_bytes_stream(bytes).map(Some);
        // Its end is an event too.
        let events = events.chain(stream::once(ready(None)));
        let events = events.map(move |event| {
            let Some(event) = event else {
                let silent = Verdict::Protocol(Quote::new(
                    "with an event stream that ends without its answer",
                ));
                return if is_answered {
                    None
                } else {
                    Some(Err(this.broken(silent)))
                };
            };
            let event = match event {
                Ok(event) => event,
                Err(error) => return Some(Err(error)),
            };
            let text = event.data.as_deref().unwrap_or_default();
            let verdict = match serde_json::from_str(text)
                .ok()
                .and_then(|message| answered(&message))
            {
                Some(id) if id == request => {
                    is_answered = true;
                    return Some(Ok(event));
                }
                Some(id) => other_answer(&id),
                None if this.messages_left.fetch_sub(1, Ordering::Relaxed) > 0 => {
                    return Some(Ok(event));
                }
                None => Verdict::TooLong(format!("{MOST_MESSAGES} messages beside it")),
            };
            Some(Err(this.broken(verdict)))
        });
        // Whatever follows an error, or the end, is not waited for.
        let mut is_over = false;
        let events = events.take_while(move |event| {
            let goes_on = !is_over;
            is_over |= !matches!(event, Some(Ok(_)));
            ready(goes_on && event.is_some())
        });
        events.filter_map(ready).boxed()
    }

    /// Keeps a verdict on an event stream and turns it into what the stream can carry.
    fn broken(&self, verdict: Verdict) -> SseError {
        self.note(|found| found.verdict = Some(verdict.clone()));
        SseError::Body(Box::new(verdict))
    }

    /// An answer whose status is an error: a verdict, or the message that the server put into it.
    async fn refusal(
        &self,
        response: Response,
        request: Option<RequestId>,
    ) -> Outcome<StreamableHttpPostResponse> {
        let status = response.status();
        let location = http::location(response.headers());
        let wait = self.found().wait;
        let body = self
            .body(response, LARGEST_MESSAGE)
            .await
            .unwrap_or_default();
        let said: Value = serde_json::from_slice(&body).unwrap_or_default();
        let text = [
            &said["error_description"],
            &said["message"],
            &said["error"]["message"],
            &said["error"],
        ]
        .into_iter()
        .find_map(Value::as_str)
        .unwrap_or_default();
        let message = Quote::new(text);
        let verdict = match status {
            StatusCode::UNAUTHORIZED => Verdict::Unauthorized { status, message },
            StatusCode::FORBIDDEN => Verdict::Forbidden { status, message },
            StatusCode::TOO_MANY_REQUESTS => Verdict::RateLimited {
                status,
                message,
                wait,
            },
            _ if status.is_server_error() => Verdict::Server { status, message },
            _ if status.is_redirection() => Verdict::Redirect {
                status,
                to: location,
            },
            _ => {
                // How a server of one era meets the opening of the other (the id may be missing).
                if let (Some(id), Ok(error)) = (
                    request,
                    serde_json::from_value::<ErrorData>(said["error"].clone()),
                ) {
                    let message = ServerJsonRpcMessage::error(error, Some(id));
                    return Ok(StreamableHttpPostResponse::Json(message, None));
                }
                match status {
                    StatusCode::NOT_FOUND | StatusCode::METHOD_NOT_ALLOWED => {
                        Verdict::NotFound { status, message }
                    }
                    _ => Verdict::Status { status, message },
                }
            }
        };
        Err(self.wrong(verdict))
    }
}

/// The request that a message answers, if it is an answer.
fn answered(message: &ServerJsonRpcMessage) -> Option<RequestId> {
    match message {
        JsonRpcMessage::Response(response) => Some(response.id.clone()),
        JsonRpcMessage::Error(error) => error.id.clone(),
        _ => None,
    }
}

fn other_answer(id: &RequestId) -> Verdict {
    let text = format!("a request that was not made: its id is {id}");
    Verdict::Protocol(Quote::new(&text))
}

fn too_many_bytes() -> Verdict {
    Verdict::TooLong(format!("{} MiB", MOST_BYTES / 1024 / 1024))
}

impl StreamableHttpClient for Transport {
    type Error = Verdict;

    async fn post_message(
        &self,
        _uri: Arc<str>,
        message: ClientJsonRpcMessage,
        session: Option<Arc<str>>,
        _auth_header: Option<String>,
        more: HashMap<HeaderName, HeaderValue>,
    ) -> Outcome<StreamableHttpPostResponse> {
        let request_id = match &message {
            JsonRpcMessage::Request(request) => Some(request.id.clone()),
            _ => None,
        };
        let post = self.http.client().post(self.url.clone());
        let post = post
            .header(ACCEPT, format!("{JSON}, {EVENT_STREAM}"))
            .json(&message);
        let response = self.send(post, session.as_deref(), more).await?;
        let status = response.status();
        if status == StatusCode::NOT_FOUND && session.is_some() {
            return Err(StreamableHttpError::SessionExpired);
        }
        if !status.is_success() {
            return self.refusal(response, request_id).await;
        }
        let Some(request_id) = request_id else {
            // Nothing in the answer to a notification is of use.
            return Ok(StreamableHttpPostResponse::Accepted);
        };
        if matches!(status, StatusCode::ACCEPTED | StatusCode::NO_CONTENT) {
            let silent = Verdict::Protocol(Quote::new(&format!("{status}, without an answer")));
            return Err(self.wrong(silent));
        }
        let header = |name: &str| Some(response.headers().get(name)?.to_str().ok()?.to_owned());
        let session = header(SESSION);
        let kind = header(CONTENT_TYPE.as_str()).unwrap_or_default();
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
                let body = self.body(response, MOST_BYTES).await?;
                let message = serde_json::from_slice(&body)
                    .map_err(|_| self.wrong(Verdict::NotMcp(Quote::new("JSON of another form"))))?;
                match answered(&message) {
                    Some(id) if id != request_id => Err(self.wrong(other_answer(&id))),
                    _ => Ok(StreamableHttpPostResponse::Json(message, session)),
                }
            }
            "" => Err(self.wrong(Verdict::NotMcp(Quote::new("nothing that has a type")))),
            other => Err(self.wrong(Verdict::NotMcp(Quote::new(other)))),
        }
    }

    /// A server that gave no session, or keeps none, has nothing to close.
    async fn delete_session(
        &self,
        _uri: Arc<str>,
        session: Arc<str>,
        _auth_header: Option<String>,
        more: HashMap<HeaderName, HeaderValue>,
    ) -> Outcome<()> {
        let request = self.http.client().delete(self.url.clone());
        self.send(request, Some(&session), more).await.map(drop)
    }

    /// Nothing is awaited from the server beside its answers.
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
