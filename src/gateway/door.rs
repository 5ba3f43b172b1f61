//! The HTTP interface for the agent: who may send requests, and what happens to each.

use std::borrow::Cow;
use std::convert::Infallible;
use std::pin::Pin;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use futures_util::FutureExt as _;
use futures_util::stream::{Peekable, Stream, StreamExt as _};
use http::header::{
    ALLOW, AUTHORIZATION, CONNECTION, CONTENT_LENGTH, CONTENT_TYPE, HOST, HeaderName, HeaderValue,
    ORIGIN, WWW_AUTHENTICATE,
};
use http::{HeaderMap, Method, Request, Response, StatusCode};
use http_body_util::combinators::UnsyncBoxBody;
use http_body_util::{BodyExt as _, Full, Limited, StreamBody};
use hyper::body::{Frame, Incoming};
use secrecy::{ExposeSecret as _, SecretString};
use serde_json::value::RawValue;
use serde_json::{Value, json};
use subtle::ConstantTimeEq as _;
use tokio_util::sync::CancellationToken;
use tokio_util::task::task_tracker::TaskTrackerToken;

use super::attempt::{Attempt, Failure, UNKNOWN_SESSION};
use super::audit::{Call, Outcome};
use super::call::OngoingCall;
use super::gate::{Action, Message, Rejection, Sender, is_stateless};
use super::inspect::{Inspector, LARGEST_ERROR, without_secrets};
use super::memory::{Memory, OutOfMemory, Relay, Reserved};
use super::rewrite::{self, Events, RawObject};
use super::scan::Scanner;
use super::sessions::Session;
use super::upstream::{UpstreamError, forwarded};
use super::{Gateway, keys};
use crate::mcp::{PreflightError, error_text};
use crate::text::secrets::is_any_in;
use crate::text::{Quote, well_formed, without_command};

/// The path of the MCP server, as at Port.
pub(crate) const PATH: &str = "/v1";

/// The maximum length of a request body in bytes.
const LARGEST_REQUEST: usize = 4 * 1024 * 1024;
/// The time limit for a request body.
const REQUEST_TIMEOUT: Duration = Duration::from_secs(30);
/// The maximum length of a list of tools, and of an event that can contain one, in bytes.
pub(super) const LARGEST_LIST: usize = 8 * 1024 * 1024;
/// The maximum length of a response to `initialize` or `server/discover`, in bytes.
const LARGEST_CONNECT: usize = 1024 * 1024;
/// The time limit for the body of an error response.
const ERROR_TIMEOUT: Duration = Duration::from_secs(10);
/// The time limit for the body of a response that the gateway reads whole.
pub(super) const WHOLE_TIMEOUT: Duration = Duration::from_mins(1);
/// The time limit for all pages of the list of tools.
const LIST_TIMEOUT: Duration = Duration::from_mins(10);

/// The methods with which an agent connects.
const CONNECTS: [&str; 2] = ["initialize", "server/discover"];

const JSON: &str = "application/json";
pub(super) const EVENT_STREAM: &str = "text/event-stream";
const SESSION: HeaderName = HeaderName::from_static("mcp-session-id");

/// The headers of Port's responses that the agent gets.
const RETURNED: [&str; 6] = [
    "content-type",
    "cache-control",
    "x-accel-buffering",
    "mcp-protocol-version",
    "retry-after",
    "allow",
];

pub(super) type BoxError = Box<dyn std::error::Error + Send + Sync>;
pub(super) type Body = UnsyncBoxBody<Bytes, BoxError>;

/// Answers a request of any client.
pub(super) async fn respond(
    gateway: Arc<Gateway>,
    client: Arc<Client>,
    request: Request<Incoming>,
) -> Result<Response<Body>, Infallible> {
    let is_stop = request.method() == Method::POST && request.uri().path() == "/stop";
    // A request in a session is no attempt to connect. What clients request elsewhere can follow from a failed attempt,
    // such as their search for a login.
    let is_attempt = match request.uri().path() {
        PATH => !request.headers().contains_key(SESSION),
        _ if is_key(request.headers(), &gateway.key) => true,
        _ => request.method() == Method::POST && gateway.audit.is_unused(),
    };
    let rejected = match request.uri().path() {
        "/health" => return Ok(text(StatusCode::OK, "ok")),
        _ if !is_local(&gateway, request.headers()) => {
            let error = "the Host or Origin is not allowed";
            RejectedRequest::new(StatusCode::FORBIDDEN, error)
        }
        _ if is_stop => return Ok(stop(&gateway, &client, request.headers()).await),
        PATH if client.is_surplus => surplus(&gateway, request).await,
        PATH => match mcp(&gateway, &client, request).await {
            Ok(response) => return Ok(response),
            Err(rejected) => *rejected,
        },
        _ => RejectedRequest::new(StatusCode::NOT_FOUND, "the path is not /v1"),
    };
    let is_attempt = is_attempt || rejected.text == UNKNOWN_SESSION;
    if is_attempt && !gateway.stopping.is_cancelled() {
        let failure = Failure::rejected(rejected.status, rejected.text);
        gateway.audit.session_failed(failure);
    }
    Ok(rejected.response)
}

/// The client of a connection.
pub(super) struct Client {
    /// Whether it has sent a key.
    pub(super) is_known: AtomicBool,
    /// Whether the gateway already has as many connections as it serves: only the post phase can use this one.
    pub(super) is_surplus: bool,
    /// Cancelled to end the connection.
    pub(super) connection: CancellationToken,
    /// Held while the gateway waits for the end of the connection. `None` if the connection waits for the end of the gateway.
    token: Mutex<Option<TaskTrackerToken>>,
}

impl Client {
    pub(super) fn new(token: TaskTrackerToken, is_surplus: bool) -> Self {
        Self {
            is_known: AtomicBool::new(false),
            is_surplus,
            connection: CancellationToken::new(),
            token: Mutex::new(Some(token)),
        }
    }

    fn wait_for_end(&self) {
        let mut token = self.token.lock().unwrap_or_else(PoisonError::into_inner);
        *token = None;
    }

    /// Whether it requested the counts, which exist when all other connections have ended.
    pub(super) fn waits_for_end(&self) -> bool {
        let token = self.token.lock().unwrap_or_else(PoisonError::into_inner);
        token.is_none()
    }
}

/// Whether a request is for this gateway and not from a web page (DNS rebinding).
fn is_local(gateway: &Gateway, headers: &HeaderMap) -> bool {
    let mut hosts = headers.get_all(HOST).iter();
    let host = hosts.next().and_then(|host| host.to_str().ok());
    let is_allowed = |host: &str| {
        gateway
            .hosts
            .iter()
            .any(|known| known.eq_ignore_ascii_case(host))
    };
    host.is_some_and(is_allowed) && hosts.next().is_none() && !headers.contains_key(ORIGIN)
}

/// Whether the request has the key: its client is then known.
fn has_key(client: &Client, headers: &HeaderMap, key: &SecretString) -> bool {
    let has_key = is_key(headers, key);
    client.is_known.fetch_or(has_key, Ordering::Relaxed);
    has_key
}

/// Whether a request has the key. Compares in constant time.
fn is_key(headers: &HeaderMap, key: &SecretString) -> bool {
    let mut values = headers.get_all(AUTHORIZATION).iter();
    let value = values.next().map(HeaderValue::as_bytes).unwrap_or_default();
    let (scheme, given) = value.split_at_checked(7).unwrap_or_default();
    scheme.eq_ignore_ascii_case(b"bearer ")
        && values.next().is_none()
        && bool::from(given.ct_eq(key.expose_secret().as_bytes()))
}

async fn stop(gateway: &Gateway, client: &Client, headers: &HeaderMap) -> Response<Body> {
    let key = gateway.stop_key.as_ref();
    if !key.is_some_and(|key| has_key(client, headers, key)) {
        return unauthorized().response;
    }
    client.wait_for_end();
    let counts = gateway.stop().await;
    json_response(StatusCode::OK, &json!(counts))
}

/// A request that the gateway rejects before it reads a message.
struct RejectedRequest {
    response: Response<Body>,
    /// What the response says. Its status can be another one, for a client that waits for a JSON-RPC response.
    status: StatusCode,
    text: &'static str,
}

impl RejectedRequest {
    fn new(status: StatusCode, error: &'static str) -> Self {
        Self {
            response: text(status, error),
            status,
            text: error,
        }
    }

    fn with(mut self, name: HeaderName, value: HeaderValue) -> Self {
        self.response.headers_mut().insert(name, value);
        self
    }

    /// The rejection as a JSON-RPC error, if a client waits for one: it would take a status for the end of its session.
    fn to(mut self, message: &Scanner) -> Self {
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
type OrRejected<T> = Result<T, Box<RejectedRequest>>;

/// A request of a connection that only the post phase can use. Its client stays unknown, so that the connection ends
/// soon.
async fn surplus(gateway: &Gateway, request: Request<Incoming>) -> RejectedRequest {
    let close = HeaderValue::from_static("close");
    let rejected = RejectedRequest::new(StatusCode::SERVICE_UNAVAILABLE, "too many connections")
        .with(CONNECTION, close);
    if is_key(request.headers(), &gateway.key) {
        rejected.to(&scan(request.into_body()).await)
    } else {
        rejected
    }
}

async fn mcp(
    gateway: &Arc<Gateway>,
    client: &Client,
    request: Request<Incoming>,
) -> OrRejected<Response<Body>> {
    let (parts, body) = request.into_parts();
    let relay = || gateway.memory.relay(client.connection.clone());
    let (active, session) = match admit(gateway, client, &parts.headers) {
        Ok(admitted) => admitted,
        Err(rejected) => return Err(rejected.to(&scan(body).await).into()),
    };
    match parts.method {
        Method::POST => {
            let memory = match check_type(&parts.headers) {
                Ok(()) => memory(gateway, &parts.headers).await,
                Err(rejected) => Err(rejected),
            };
            let mut memory = match memory {
                Ok(memory) => memory,
                Err(rejected) => return Err(rejected.to(&scan(body).await).into()),
            };
            let mut body = read(body, &parts.headers).await?;
            memory.shrink(body.len());
            if let Cow::Owned(text) = well_formed(&body) {
                body = text.into();
            }
            let request = Post {
                gateway,
                connection: &client.connection,
                headers: &parts.headers,
                body: &body,
                session: session.as_ref(),
            };
            let response = request.respond().await;
            drop(memory);
            Ok(hold(response, active))
        }
        Method::GET => {
            let stream = stream(gateway, &parts.headers, session.as_ref(), relay()).await;
            Ok(hold(stream, active))
        }
        Method::DELETE => Ok(close(gateway, &parts.headers, session.as_ref(), relay()).await),
        _ => {
            let methods = HeaderValue::from_static("GET, POST, DELETE");
            let rejected =
                RejectedRequest::new(StatusCode::METHOD_NOT_ALLOWED, "method not allowed");
            Err(rejected.with(ALLOW, methods).into())
        }
    }
}

/// Whether a client may send a request, and the session that the request names.
fn admit(
    gateway: &Arc<Gateway>,
    client: &Client,
    headers: &HeaderMap,
) -> OrRejected<(TaskTrackerToken, Option<Arc<Session>>)> {
    if !has_key(client, headers, &gateway.key) {
        return Err(unauthorized().into());
    }
    let Some(active) = gateway.enter() else {
        return Err(RejectedRequest::new(
            StatusCode::SERVICE_UNAVAILABLE,
            "the gateway is stopping",
        )
        .into());
    };
    Ok((active, session(gateway, headers)?))
}

/// Whether the body of a request is JSON. The charset does not matter: the gateway reads UTF-8, and says so to Port.
fn check_type(headers: &HeaderMap) -> OrRejected<()> {
    if headers.contains_key(CONTENT_TYPE) && !has_type(headers, JSON) {
        let error = "the Content-Type must be application/json";
        return Err(RejectedRequest::new(StatusCode::UNSUPPORTED_MEDIA_TYPE, error).into());
    }
    Ok(())
}

/// The session that a request names.
fn session(gateway: &Gateway, headers: &HeaderMap) -> OrRejected<Option<Arc<Session>>> {
    let Some(id) = headers.get(SESSION) else {
        return Ok(None);
    };
    let found = id.to_str().ok().and_then(|id| gateway.sessions.get(id));
    found
        .map(Some)
        .ok_or_else(|| RejectedRequest::new(StatusCode::NOT_FOUND, UNKNOWN_SESSION).into())
}

/// The length of the body of a request.
fn length(headers: &HeaderMap) -> Option<usize> {
    headers.get(CONTENT_LENGTH)?.to_str().ok()?.parse().ok()
}

/// Reserves memory for the body of a request.
async fn memory(gateway: &Gateway, headers: &HeaderMap) -> OrRejected<Reserved> {
    let length = length(headers).unwrap_or(LARGEST_REQUEST);
    if length > LARGEST_REQUEST {
        return Err(too_large().into());
    }
    let memory = gateway.memory.request(length).await;
    memory.map_err(|OutOfMemory| {
        RejectedRequest::new(StatusCode::SERVICE_UNAVAILABLE, "too many large requests").into()
    })
}

/// Reads and drops the body of a rejected request: a client that still sends would not read the response.
async fn scan(body: Incoming) -> Scanner {
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
    let mut body = Limited::new(body, 4 * LARGEST_REQUEST);
    let all = async { while let Some(Ok(_)) = body.frame().await {} };
    let _ = tokio::time::timeout(REQUEST_TIMEOUT, all).await;
}

async fn read(mut body: Incoming, headers: &HeaderMap) -> OrRejected<Bytes> {
    // Not `collect`: all frames and their copy would need twice the memory, and so does a vector that grows.
    let mut bytes = Vec::with_capacity(length(headers).unwrap_or_default());
    let read = async {
        while let Some(frame) = body.frame().await {
            let data = frame.map_err(drop)?.into_data().unwrap_or_default();
            if bytes.len() + data.len() > LARGEST_REQUEST {
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

/// A message of the agent.
pub(super) struct Post<'a> {
    pub(super) gateway: &'a Arc<Gateway>,
    /// Cancelled to end the connection of the client.
    connection: &'a CancellationToken,
    headers: &'a HeaderMap,
    body: &'a Bytes,
    pub(super) session: Option<&'a Arc<Session>>,
}

impl Post<'_> {
    pub(super) fn label(&self) -> &str {
        self.session_label().unwrap_or("-")
    }

    pub(super) fn session_label(&self) -> Option<&str> {
        self.session.map(|session| session.label.as_str())
    }

    async fn respond(&self) -> Response<Body> {
        let audit = &self.gateway.audit;
        let mut message = match Message::parse(self.body) {
            Ok(message) => message,
            Err(rejection) => {
                audit.rejection(self.label(), "", None, &rejection.to_string());
                if self.session.is_none() && audit.is_unused() {
                    self.could_not_connect(&rejection);
                }
                let message = Scanner::of(self.body);
                let sender = match (&rejection, Sender::of(&message)) {
                    // What is no JSON can be a request whose id cannot be read.
                    (Rejection::Parse(_), Sender::Notifier) => Sender::Other,
                    (_, sender) => sender,
                };
                let status = rejection.status(sender, is_stateless(self.headers));
                return rejected(message.id_of_request(), &rejection, status);
            }
        };
        let action = message.decide(self.headers, &self.gateway.tools);
        let method = message.method.as_deref().unwrap_or_default();
        match action {
            Err(rejection) => {
                let tool = message.tool.as_deref().filter(|_| method == "tools/call");
                audit.rejection(self.label(), method, tool, &rejection.to_string());
                if CONNECTS.contains(&method) {
                    self.could_not_connect(&rejection);
                }
                let sender = match (&message.method, message.id) {
                    (Some(_), None) => Sender::Notifier,
                    _ => Sender::Client,
                };
                let status = rejection.status(sender, message.is_stateless);
                rejected(message.id, &rejection, status)
            }
            Ok(Action::Drop) => {
                let tool = message.tool.as_deref().filter(|_| method == "tools/call");
                let reason = "a notification of this method is not forwarded";
                audit.rejection(self.label(), method, tool, reason);
                empty(StatusCode::ACCEPTED)
            }
            Ok(Action::Forward) if method == "tools/call" => self.call(&message).await,
            Ok(Action::Forward) => match self.send().await {
                Ok(response) => relay(response, None, None, self.relay()).await,
                Err(error) => self.failed(&message, &error),
            },
            Ok(Action::Connect) => self.connect(&message, method).await,
            Ok(Action::ListTools) => {
                let list = tokio::time::timeout(LIST_TIMEOUT, self.list(&message)).await;
                list.unwrap_or_else(|_| {
                    let error = "Port did not return the list of tools in time";
                    audit.failure(self.label(), error);
                    json_text(StatusCode::OK, error_message(message.id, -32000, error))
                })
            }
        }
    }

    pub(super) fn relay(&self) -> Relay {
        self.gateway.memory.relay(self.connection.clone())
    }

    fn could_not_connect(&self, rejection: &Rejection) {
        let status = rejection.status(Sender::Other, false);
        let failure = Failure::rejected(status, &rejection.to_string());
        self.gateway.audit.session_failed(failure);
    }

    async fn send(&self) -> Result<reqwest::Response, UpstreamError> {
        self.send_body(self.body.clone()).await
    }

    pub(super) async fn send_body(&self, body: Bytes) -> Result<reqwest::Response, UpstreamError> {
        let upstream = &self.gateway.upstream;
        upstream
            .send(Method::POST, self.headers, body, self.session)
            .await
    }

    /// An error of the gateway. Port's own 401 never reaches the agent, which could start a login.
    pub(super) fn failed(&self, message: &Message<'_>, error: &UpstreamError) -> Response<Body> {
        self.gateway.audit.failure(self.label(), error);
        let text = error.to_string();
        match message.id {
            None => empty(StatusCode::ACCEPTED),
            Some(id) => json_text(StatusCode::OK, error_message(Some(id), -32000, &text)),
        }
    }

    async fn call(&self, message: &Message<'_>) -> Response<Body> {
        let call = Call {
            session: self.label().to_owned(),
            tool: Quote::new(message.tool.as_deref().unwrap_or_default()).to_string(),
            arguments: self.gateway.audit.arguments(message.arguments),
        };
        let gateway = self.gateway;
        let mut call = OngoingCall::new(Arc::clone(&gateway.audit), gateway.closing.clone(), call);
        match self.send().await {
            Ok(response) => {
                if response.status().is_success() {
                    self.gateway.audit.responded(self.session_label());
                }
                relay(response, Some(call), None, self.relay()).await
            }
            Err(error) => {
                call.end(match error {
                    UpstreamError::Unknown(_) => Outcome::Unknown,
                    _ => Outcome::Error,
                });
                drop(call);
                self.failed(message, &error)
            }
        }
    }

    /// Forwards `initialize` or `server/discover`, and rewrites the capabilities in the response.
    async fn connect(&self, message: &Message<'_>, method: &str) -> Response<Body> {
        let attempt = Attempt::new(&self.gateway.audit);
        let url = &self.gateway.upstream.url;
        let response = match self.send().await {
            Ok(response) => response,
            Err(error) => {
                attempt.fail(Failure::no_response(&error, url));
                return self.failed(message, &error);
            }
        };
        let (status, headers) = (response.status(), response.headers().clone());
        if !status.is_success() {
            let (response, text) = relay_error(response, self.relay()).await;
            attempt.fail(Failure::status(status, &headers, &text, url));
            return response;
        }
        let memory = &self.gateway.memory;
        let read = whole(response, LARGEST_CONNECT, WHOLE_TIMEOUT, memory).await;
        let Ok((text, _reserved)) = read else {
            let error = "Port's response to the connection is too large or incomplete";
            let cause = PreflightError::Protocol(Quote::new(error));
            attempt.fail(Failure::invalid(&cause, status, url));
            return json_text(StatusCode::OK, error_message(message.id, -32000, error));
        };
        let opened = opened(&text, &headers);
        let is_stream = has_type(&headers, EVENT_STREAM);
        let rewritten = if is_stream {
            let mut events = Events::default();
            let mut bytes = Vec::new();
            for event in events.push(text.as_bytes()) {
                let data = rewrite::data(&event);
                match data.and_then(|data| rewrite::without_capabilities(&data)) {
                    Some(data) => bytes.extend(rewrite::with_data(&event, &data)),
                    None => bytes.extend(event),
                }
            }
            bytes.extend(events.rest());
            Bytes::from(bytes)
        } else {
            rewrite::without_capabilities(&text).unwrap_or(text).into()
        };
        let mut response = Response::new(full(rewritten));
        *response.status_mut() = status;
        *response.headers_mut() = returned(&headers);
        if let Err(error) = opened {
            attempt.fail(Failure::invalid(&error, status, url));
            return response;
        }
        let id = headers.get(SESSION).filter(|_| method == "initialize");
        let id = id.and_then(|id| Some((id.to_str().ok()?, own_id(id)?)));
        let label = id.map_or_else(
            || "-".to_owned(),
            |(upstream, id)| {
                let (sessions, headers) = (&self.gateway.sessions, forwarded(self.headers));
                let label = sessions.open(&id, upstream, self.body, &headers);
                response.headers_mut().insert(SESSION, id);
                label
            },
        );
        attempt.succeed(&label);
        response
    }
}

/// The ID of a session for the agent: Port's, unless it repeats a secret. `None` if there is none.
fn own_id(id: &HeaderValue) -> Option<HeaderValue> {
    if !is_any_in(id.to_str().ok()?) {
        return Some(id.clone());
    }
    let random = keys::random().ok()?;
    HeaderValue::from_str(random.expose_secret()).ok()
}

/// Whether a response opens a connection: it contains a result.
fn opened(text: &str, headers: &HeaderMap) -> Result<(), PreflightError> {
    let is_stream = has_type(headers, EVENT_STREAM);
    let response = response_in(text, is_stream);
    let result = response
        .as_ref()
        .and_then(|response| response.get("result"));
    if result.is_some_and(|result| RawObject::parse(result.get()).is_some()) {
        return Ok(());
    }
    let response = response.and_then(|response| serde_json::from_str(&response.to_string()).ok());
    let response: Value = response.unwrap_or_default();
    if !response["error"].is_null() {
        let error = match response["error"]["code"].as_i64() {
            Some(code) => format!("error {code}: {}", error_text(&response)),
            None => error_text(&response).to_owned(),
        };
        return Err(PreflightError::Protocol(Quote::new(&error)));
    }
    let kind = headers.get(CONTENT_TYPE).map(HeaderValue::as_bytes);
    let kind = String::from_utf8_lossy(kind.unwrap_or(b"no Content-Type"));
    Err(if is_stream || has_type(headers, JSON) {
        PreflightError::Protocol(Quote::new("it contains no result"))
    } else {
        PreflightError::NotMcp(Quote::new(&kind))
    })
}

/// The JSON-RPC response in a body: the body itself, or an event.
pub(super) fn response_in(text: &str, is_stream: bool) -> Option<RawObject> {
    if is_stream {
        let events = Events::default().push(text.as_bytes());
        return events.iter().find_map(|event| response_of(event));
    }
    RawObject::parse(text).filter(is_response)
}

/// The JSON-RPC response in an event.
fn response_of(event: &[u8]) -> Option<RawObject> {
    RawObject::parse(&rewrite::data(event)?).filter(is_response)
}

fn is_response(message: &RawObject) -> bool {
    message.get("result").is_some() || message.get("error").is_some()
}

/// Forwards a stream of server messages, and reduces any list of tools that Port replays in it.
async fn stream(
    gateway: &Arc<Gateway>,
    headers: &HeaderMap,
    session: Option<&Arc<Session>>,
    memory: Relay,
) -> Response<Body> {
    let sent = gateway
        .upstream
        .send(Method::GET, headers, Bytes::new(), session);
    // The first request of an agent that only knows the transport before streamable HTTP.
    let is_attempt = session.is_none() && gateway.audit.is_unused();
    let url = &gateway.upstream.url;
    let response = match sent.await {
        Ok(response) => response,
        Err(error) => {
            if is_attempt {
                let failure = Failure::no_response(&error, url);
                gateway.audit.session_failed(failure);
            }
            return no_response(gateway, session, &error);
        }
    };
    if has_type(response.headers(), EVENT_STREAM) {
        let filter = Filter::new(Arc::clone(gateway));
        return relay(response, None, Some(filter), memory).await;
    }
    if is_attempt {
        let status = response.status();
        let failure = match status {
            StatusCode::METHOD_NOT_ALLOWED => Failure::other_transport(status),
            _ => Failure::status(status, response.headers(), "", url),
        };
        gateway.audit.session_failed(failure);
    }
    let mut response = relay(response, None, None, memory).await;
    if response.status().is_success() {
        *response.status_mut() = StatusCode::METHOD_NOT_ALLOWED;
    }
    response
}

/// Ends a session.
async fn close(
    gateway: &Arc<Gateway>,
    headers: &HeaderMap,
    session: Option<&Arc<Session>>,
    memory: Relay,
) -> Response<Body> {
    let sent = gateway
        .upstream
        .send(Method::DELETE, headers, Bytes::new(), session);
    let response = match sent.await {
        Ok(response) => response,
        Err(error) => return no_response(gateway, session, &error),
    };
    if let Some(id) = headers.get(SESSION).and_then(|id| id.to_str().ok())
        && response.status() != StatusCode::METHOD_NOT_ALLOWED
    {
        gateway.sessions.close(id);
    }
    relay(response, None, None, memory).await
}

/// Port did not respond to a request without a message.
fn no_response(
    gateway: &Gateway,
    session: Option<&Arc<Session>>,
    error: &UpstreamError,
) -> Response<Body> {
    let label = session.map_or("-", |session| &session.label);
    gateway.audit.failure(label, error);
    text(StatusCode::BAD_GATEWAY, error.to_string())
}

/// Reduces the lists of tools in the events of a stream.
struct Filter {
    gateway: Arc<Gateway>,
    events: Events,
}

impl Filter {
    fn new(gateway: Arc<Gateway>) -> Self {
        Self {
            gateway,
            events: Events::default(),
        }
    }

    fn push(&mut self, chunk: &[u8]) -> Result<Bytes, BoxError> {
        let mut passed = Vec::new();
        for event in self.events.push(chunk) {
            let event = rewrite::with_granted_tools(&event, &self.gateway.tools);
            passed.extend(event.unwrap_or_default());
        }
        if self.events.pending() > LARGEST_LIST {
            return Err("an event is too large".into());
        }
        Ok(passed.into())
    }
}

/// Passes a response to the agent: as it arrives, or, if its status is an error, without the secrets that its
/// text may repeat in any notation.
async fn relay(
    response: reqwest::Response,
    mut call: Option<OngoingCall>,
    filter: Option<Filter>,
    memory: Relay,
) -> Response<Body> {
    if !response.status().is_success() {
        let (response, text) = relay_error(response, memory).await;
        if let Some(call) = &mut call {
            call.add(text.as_bytes(), false);
            call.end(Outcome::Error);
        }
        return response;
    }
    let relayed = head(&response);
    let is_empty = [StatusCode::ACCEPTED, StatusCode::NO_CONTENT].contains(&response.status());
    if let Some(call) = call.as_mut().filter(|_| is_empty) {
        call.end(Outcome::Unknown);
    }
    let is_stream = has_type(response.headers(), EVENT_STREAM);
    let state = (Box::pin(chunks(response, Some(memory))), call, filter);
    let stream =
        futures_util::stream::unfold(state, move |(mut bytes, mut call, mut filter)| async move {
            let Some(chunk) = bytes.next().await else {
                if let Some(call) = &mut call {
                    call.end(Outcome::Unknown);
                }
                return None;
            };
            let chunk: Result<Bytes, BoxError> = match chunk {
                Ok(chunk) => {
                    if let Some(call) = &mut call {
                        call.add(&chunk, is_stream);
                    }
                    match &mut filter {
                        Some(filter) => filter.push(&chunk),
                        None => Ok(chunk),
                    }
                }
                Err(error) => {
                    if let Some(call) = &mut call {
                        call.end(Outcome::Unknown);
                    }
                    Err(error)
                }
            };
            Some((chunk.map(Frame::data), (bytes, call, filter)))
        });
    relayed.map(|()| StreamBody::new(stream).boxed_unsync())
}

/// The response to the agent without a body.
fn head(response: &reqwest::Response) -> Response<()> {
    let mut head = Response::new(());
    *head.status_mut() = response.status();
    *head.headers_mut() = returned(response.headers());
    head
}

/// As [`relay`], for a status that is an error. Also returns Port's text.
pub(super) async fn relay_error(
    response: reqwest::Response,
    mut memory: Relay,
) -> (Response<Body>, String) {
    let head = head(&response);
    let read = whole(response, LARGEST_ERROR, ERROR_TIMEOUT, memory.memory()).await;
    let (text, reserved) = read.unwrap_or_default();
    let redacted = without_secrets(&text).into_owned();
    memory.hold(reserved);
    (head.map(|()| kept(redacted, memory)), text)
}

/// The length of a part of a text that is kept until a client has read it, in bytes.
const PART: usize = 16 * 1024;

/// JSON that is kept in reserved memory until a client has read it.
pub(super) fn kept_json(json: String, mut memory: Relay, reserved: Reserved) -> Response<Body> {
    memory.hold(reserved);
    let response = json_text(StatusCode::OK, String::new());
    response.map(|_| kept(without_command(json), memory))
}

/// A text that is kept until a client has read it.
fn kept(text: String, memory: Relay) -> Body {
    if text.len() <= PART {
        return full(text.into());
    }
    let state = (Bytes::from(text), memory);
    let parts = futures_util::stream::unfold(state, async |(mut text, mut memory)| {
        // Its memory is reserved.
        let _ = memory.next().await;
        let part = text.split_to(PART.min(text.len()));
        memory.passed();
        (!part.is_empty()).then(|| (Ok(Frame::data(part)), (text, memory)))
    });
    StreamBody::new(parts).boxed_unsync()
}

/// Keeps a value until the body of a response ends.
fn hold<T: Send + Unpin + 'static>(response: Response<Body>, value: T) -> Response<Body> {
    response.map(|body| {
        Held {
            body,
            _value: value,
        }
        .boxed_unsync()
    })
}

struct Held<T> {
    body: Body,
    _value: T,
}

impl<T: Unpin> hyper::body::Body for Held<T> {
    type Data = Bytes;
    type Error = BoxError;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BoxError>>> {
        Pin::new(&mut self.body).poll_frame(context)
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> hyper::body::SizeHint {
        self.body.size_hint()
    }
}

/// The body of a response as it arrives, without the secrets that it may repeat.
fn chunks(
    response: reqwest::Response,
    memory: Option<Relay>,
) -> impl Stream<Item = Result<Bytes, BoxError>> + Send {
    let inspector = Inspector::new(has_type(response.headers(), EVENT_STREAM));
    let bytes = Box::pin(response.bytes_stream().peekable());
    let state = Some((bytes, inspector, memory));
    futures_util::stream::try_unfold(state, async |state| {
        let Some((mut bytes, mut inspector, mut memory)) = state else {
            return Ok(None);
        };
        loop {
            if let Some(memory) = &mut memory {
                memory.next().await?;
            }
            let next = match (bytes.next().now_or_never(), &mut memory) {
                (Some(next), _) => next,
                (None, None) => bytes.next().await,
                (None, Some(memory)) => {
                    if inspector.is_empty() {
                        memory.wait_for_port();
                    }
                    bytes.next().await
                }
            };
            let Some(chunk) = next else {
                let rest = Bytes::from(inspector.finish()?);
                return Ok((!rest.is_empty()).then_some((rest, None)));
            };
            let chunk = chunk.map_err(reqwest::Error::without_url)?;
            let passed = inspector.push(&chunk)?;
            if let Some(memory) = &mut memory {
                memory.received(chunk.len());
            }
            if !passed.is_empty() {
                if inspector.is_empty() && memory.as_ref().is_some_and(Relay::is_small) {
                    look_ahead(bytes.as_mut()).await;
                }
                if let Some(memory) = &memory {
                    memory.passed();
                }
                return Ok(Some((passed.into(), Some((bytes, inspector, memory)))));
            }
        }
    })
}

/// How many turns of the scheduler the connection to Port gets to hand over what it has read.
const TURNS: usize = 3;

/// Gets what Port has sent already, without waiting for more: the last part of a response and its end leave together.
async fn look_ahead<S: Stream>(mut stream: Pin<&mut Peekable<S>>) {
    for _ in 0..TURNS {
        tokio::task::yield_now().await;
        if stream.as_mut().peek().now_or_never().is_some() {
            return;
        }
    }
}

/// Reads a response to its end, or, of an event stream, up to the event with the JSON-RPC response.
/// The memory for it is reserved, unless it is small.
pub(super) async fn whole(
    response: reqwest::Response,
    length: usize,
    time: Duration,
    memory: &Memory,
) -> Result<(String, Reserved), ()> {
    let whole = tokio::time::timeout(time, read_whole(response, length, memory));
    whole.await.map_err(drop)?
}

async fn read_whole(
    response: reqwest::Response,
    limit: usize,
    memory: &Memory,
) -> Result<(String, Reserved), ()> {
    let mut reserved = Reserved::default();
    let is_stream = has_type(response.headers(), EVENT_STREAM);
    let mut bytes = Box::pin(chunks(response, None));
    let (mut text, mut events) = (Vec::new(), Events::default());
    while let Some(chunk) = bytes.next().await {
        let chunk = chunk.map_err(drop)?;
        if text.len() + chunk.len() > limit {
            return Err(());
        }
        let part = memory.whole(text.len(), chunk.len()).await;
        reserved.add(part.map_err(drop)?);
        text.extend_from_slice(&chunk);
        let events = events.push(if is_stream { &chunk } else { &[] });
        if events.iter().any(|event| response_of(event).is_some()) {
            break;
        }
    }
    let text = String::from_utf8(text).map_err(drop)?;
    Ok((text, reserved))
}

pub(super) fn has_type(headers: &HeaderMap, kind: &str) -> bool {
    let value = headers
        .get(CONTENT_TYPE)
        .and_then(|value| value.to_str().ok());
    let value = value.and_then(|value| value.split(';').next());
    value.is_some_and(|value| value.trim().eq_ignore_ascii_case(kind))
}

fn returned(headers: &HeaderMap) -> HeaderMap {
    let is_common = |value: &HeaderValue| [JSON, EVENT_STREAM].iter().any(|common| value == common);
    let headers = headers.iter().filter(|(name, value)| {
        let text = || String::from_utf8_lossy(value.as_bytes());
        RETURNED.contains(&name.as_str()) && (is_common(value) || !is_any_in(&text()))
    });
    headers
        .map(|(name, value)| (name.clone(), value.clone()))
        .collect()
}

fn rejected(id: Option<&RawValue>, reason: &Rejection, status: StatusCode) -> Response<Body> {
    rejection(status, id, reason.code(), &reason.to_string())
}

/// The response to a rejected message. A notification has none.
fn rejection(status: StatusCode, id: Option<&RawValue>, code: i64, text: &str) -> Response<Body> {
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

fn unauthorized() -> RejectedRequest {
    let challenge = HeaderValue::from_static("Bearer");
    RejectedRequest::new(StatusCode::UNAUTHORIZED, "the key is missing or wrong")
        .with(WWW_AUTHENTICATE, challenge)
}

fn too_large() -> RejectedRequest {
    RejectedRequest::new(StatusCode::PAYLOAD_TOO_LARGE, "the body is too large")
}

fn empty(status: StatusCode) -> Response<Body> {
    let mut response = Response::new(full(Bytes::new()));
    *response.status_mut() = status;
    response
}

fn text(status: StatusCode, text: impl Into<String>) -> Response<Body> {
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

fn json_response(status: StatusCode, json: &serde_json::Value) -> Response<Body> {
    json_text(status, json.to_string())
}

fn full(bytes: Bytes) -> Body {
    Full::new(bytes)
        .map_err(|never| match never {})
        .boxed_unsync()
}

#[cfg(test)]
mod tests {
    use futures_util::stream::{iter, pending};

    use super::*;

    #[tokio::test]
    async fn what_is_read_whole_has_a_time_limit() {
        let memory = Memory::default();
        let head = [Ok::<_, std::io::Error>("{\"jsonrpc\":\"2.0\",")];
        let body = reqwest::Body::wrap_stream(iter(head).chain(pending()));
        let response = http::Response::new(body).into();
        let read = whole(response, LARGEST_LIST, Duration::ZERO, &memory).await;
        assert!(read.is_err());
        let response = http::Response::new("{}").into();
        let (text, _) = whole(response, LARGEST_LIST, WHOLE_TIMEOUT, &memory)
            .await
            .unwrap();
        assert_eq!(text, "{}");
    }
}
