//! The HTTP interface for the agent: who may send requests, and what happens to each.

use std::borrow::Cow;
use std::convert::Infallible;
use std::fmt::Display;
use std::future::ready;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use futures_util::stream::{Stream, StreamExt as _, once};
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
use tokio::sync::OwnedSemaphorePermit;

use super::attempt::{Attempt, Failure, UNKNOWN_SESSION};
use super::audit::{Call, Outcome};
use super::call::OngoingCall;
use super::gate::{Action, Message, Rejection};
use super::rewrite::{self, Events, Page, RawObject};
use super::sessions::Session;
use super::upstream::{UpstreamError, forwarded};
use super::{Active, Gateway};
use crate::mcp::{PreflightError, error_text};
use crate::text::secrets::{Redactor, is_any_in, redact};
use crate::text::{Quote, well_formed, without_command};

/// The path of the MCP server, as at Port.
pub(super) const PATH: &str = "/v1";

/// The maximum length of a request body in bytes.
const LARGEST_REQUEST: usize = 4 * 1024 * 1024;
/// The time limit for a request body.
const REQUEST_TIMEOUT: Duration = Duration::from_secs(30);
/// How long a request waits for memory.
const MEMORY_TIMEOUT: Duration = Duration::from_secs(10);
/// The maximum length of a list of tools, and of an event that can contain one, in bytes.
const LARGEST_LIST: usize = 8 * 1024 * 1024;
/// The maximum length of a response to `initialize` or `server/discover`, in bytes.
const LARGEST_CONNECT: usize = 1024 * 1024;
/// The maximum length of an error response in bytes. A longer one is passed without its body.
const LARGEST_ERROR: usize = 64 * 1024;
/// The time limit for the body of an error response.
const ERROR_TIMEOUT: Duration = Duration::from_secs(10);
/// The maximum number of pages of the list of tools.
const MAX_PAGES: usize = 250;

/// The methods with which an agent connects.
const CONNECTS: [&str; 2] = ["initialize", "server/discover"];

const JSON: &str = "application/json";
const EVENT_STREAM: &str = "text/event-stream";
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

type BoxError = Box<dyn std::error::Error + Send + Sync>;
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
        _ if has_key(&client, request.headers(), &gateway.key) => true,
        _ => request.method() == Method::POST && gateway.audit.is_unused(),
    };
    let rejected = match request.uri().path() {
        "/health" => return Ok(text(StatusCode::OK, "ok")),
        _ if !is_local(&gateway, request.headers()) => {
            let error = "the Host or Origin is not allowed";
            RejectedRequest::new(StatusCode::FORBIDDEN, error)
        }
        _ if is_stop => return Ok(stop(&gateway, &client, request.headers()).await),
        PATH if client.is_surplus => {
            let error = "too many connections";
            let close = HeaderValue::from_static("close");
            RejectedRequest::new(StatusCode::SERVICE_UNAVAILABLE, error).with(CONNECTION, close)
        }
        PATH => match mcp(&gateway, &client, request).await {
            Ok(response) => return Ok(response),
            Err(rejected) => *rejected,
        },
        _ => RejectedRequest::new(StatusCode::NOT_FOUND, "the path is not /v1"),
    };
    let is_attempt = is_attempt || rejected.text == UNKNOWN_SESSION;
    if is_attempt && !gateway.open.is_closed() {
        let failure = Failure::rejected(rejected.response.status(), rejected.text);
        gateway.audit.session_failed(failure);
    }
    Ok(rejected.response)
}

/// The client of a connection.
#[derive(Default)]
pub(super) struct Client {
    /// Whether it has sent a key.
    pub(super) is_known: AtomicBool,
    /// Whether the gateway already has as many connections as it serves: only the post phase can use this one.
    pub(super) is_surplus: bool,
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

/// Whether the request has the key. Compares in constant time.
fn has_key(client: &Client, headers: &HeaderMap, key: &SecretString) -> bool {
    let mut values = headers.get_all(AUTHORIZATION).iter();
    let value = values.next().map(HeaderValue::as_bytes).unwrap_or_default();
    let (scheme, given) = value.split_at_checked(7).unwrap_or_default();
    let has_key = scheme.eq_ignore_ascii_case(b"bearer ")
        && values.next().is_none()
        && bool::from(given.ct_eq(key.expose_secret().as_bytes()));
    client.is_known.fetch_or(has_key, Ordering::Relaxed);
    has_key
}

async fn stop(gateway: &Gateway, client: &Client, headers: &HeaderMap) -> Response<Body> {
    let key = gateway.stop_key.as_ref();
    if !key.is_some_and(|key| has_key(client, headers, key)) {
        return unauthorized().response;
    }
    let counts = gateway.stop().await;
    json_response(StatusCode::OK, &json!(counts))
}

/// A request that the gateway rejects before it reads a message.
struct RejectedRequest {
    response: Response<Body>,
    text: &'static str,
}

impl RejectedRequest {
    fn new(status: StatusCode, error: &'static str) -> Self {
        Self {
            response: text(status, error),
            text: error,
        }
    }

    fn with(mut self, name: HeaderName, value: HeaderValue) -> Self {
        self.response.headers_mut().insert(name, value);
        self
    }
}

/// A value, or why a request is rejected.
type OrRejected<T> = Result<T, Box<RejectedRequest>>;

async fn mcp(
    gateway: &Arc<Gateway>,
    client: &Client,
    request: Request<Incoming>,
) -> OrRejected<Response<Body>> {
    let (parts, body) = request.into_parts();
    let (active, session) = match admit(gateway, client, &parts.headers) {
        Ok(admitted) => admitted,
        Err(rejected) => {
            discard(body).await;
            return Err(rejected);
        }
    };
    match parts.method {
        Method::POST => {
            let memory = match check_type(&parts.headers) {
                Ok(()) => memory(gateway, &parts.headers).await,
                Err(rejected) => Err(rejected),
            };
            let mut memory = match memory {
                Ok(memory) => memory,
                Err(rejected) => {
                    discard(body).await;
                    return Err(rejected);
                }
            };
            let body = read(body).await?;
            let unused = memory.num_permits().saturating_sub(kibibytes(body.len()));
            drop(memory.split(unused));
            let request = Post {
                gateway,
                headers: &parts.headers,
                body: &match well_formed(&body) {
                    Cow::Borrowed(_) => body,
                    Cow::Owned(body) => body.into(),
                },
                session: session.as_ref(),
            };
            let response = request.respond().await;
            drop(memory);
            Ok(hold(response, active))
        }
        Method::GET => {
            let stream = stream(gateway, &parts.headers, session.as_ref()).await;
            Ok(hold(stream, active))
        }
        Method::DELETE => Ok(close(gateway, &parts.headers, session.as_ref()).await),
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
) -> OrRejected<(Active, Option<Arc<Session>>)> {
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
    found.map(Some).ok_or_else(|| {
        let error = error_message(None, -32001, UNKNOWN_SESSION);
        let rejected = RejectedRequest {
            response: json_text(StatusCode::NOT_FOUND, error),
            text: UNKNOWN_SESSION,
        };
        rejected.into()
    })
}

/// Reserves memory for the body of a request.
async fn memory(gateway: &Gateway, headers: &HeaderMap) -> OrRejected<OwnedSemaphorePermit> {
    let length = headers.get(CONTENT_LENGTH);
    let length = length.and_then(|length| length.to_str().ok()?.parse::<usize>().ok());
    let length = length.unwrap_or(LARGEST_REQUEST);
    if length > LARGEST_REQUEST {
        return Err(too_large().into());
    }
    let kibibytes = u32::try_from(kibibytes(length)).unwrap_or(u32::MAX);
    let memory = Arc::clone(&gateway.memory).acquire_many_owned(kibibytes);
    match tokio::time::timeout(MEMORY_TIMEOUT, memory).await {
        Ok(Ok(permit)) => Ok(permit),
        _ => Err(
            RejectedRequest::new(StatusCode::SERVICE_UNAVAILABLE, "too many large requests").into(),
        ),
    }
}

/// The permits for a body of this length.
fn kibibytes(length: usize) -> usize {
    length / 1024 + 1
}

/// Reads and drops the body of a rejected request: a client that still sends would not read the response.
async fn discard(body: Incoming) {
    let mut body = Limited::new(body, 4 * LARGEST_REQUEST);
    let all = async { while let Some(Ok(_)) = body.frame().await {} };
    let _ = tokio::time::timeout(MEMORY_TIMEOUT, all).await;
}

async fn read(body: Incoming) -> OrRejected<Bytes> {
    let body = Limited::new(body, LARGEST_REQUEST).collect();
    match tokio::time::timeout(REQUEST_TIMEOUT, body).await {
        Ok(Ok(body)) => Ok(body.to_bytes()),
        Ok(Err(error)) if error.is::<http_body_util::LengthLimitError>() => Err(too_large().into()),
        Ok(Err(_)) => {
            Err(RejectedRequest::new(StatusCode::BAD_REQUEST, "the body is incomplete").into())
        }
        Err(_) => {
            Err(RejectedRequest::new(StatusCode::REQUEST_TIMEOUT, "the body is incomplete").into())
        }
    }
}

/// A message of the agent.
struct Post<'a> {
    gateway: &'a Arc<Gateway>,
    headers: &'a HeaderMap,
    body: &'a Bytes,
    session: Option<&'a Arc<Session>>,
}

impl Post<'_> {
    fn label(&self) -> &str {
        self.session.map_or("-", |session| &session.label)
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
                return rejected(None, &rejection, false);
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
                rejected(message.id, &rejection, message.is_stateless)
            }
            Ok(Action::Drop) => {
                let tool = message.tool.as_deref().filter(|_| method == "tools/call");
                let reason = "a notification of this method is not forwarded";
                audit.rejection(self.label(), method, tool, reason);
                empty(StatusCode::ACCEPTED)
            }
            Ok(Action::Forward) if method == "tools/call" => self.call(&message).await,
            Ok(Action::Forward) => match self.send().await {
                Ok(response) => relay(response, None, None).await,
                Err(error) => self.failed(&message, &error),
            },
            Ok(Action::Connect) => self.connect(&message, method).await,
            Ok(Action::ListTools) => self.list(&message).await,
        }
    }

    fn could_not_connect(&self, rejection: &Rejection) {
        let failure = Failure::rejected(rejection.status(false), &rejection.to_string());
        self.gateway.audit.session_failed(failure);
    }

    async fn send(&self) -> Result<reqwest::Response, UpstreamError> {
        self.send_body(self.body.clone()).await
    }

    async fn send_body(&self, body: Bytes) -> Result<reqwest::Response, UpstreamError> {
        let upstream = &self.gateway.upstream;
        upstream
            .send(Method::POST, self.headers, body, self.session)
            .await
    }

    /// An error of the gateway. Port's own 401 never reaches the agent, which could start a login.
    fn failed(&self, message: &Message<'_>, error: &UpstreamError) -> Response<Body> {
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
        let mut call = OngoingCall::new(Arc::clone(&self.gateway.audit), call);
        match self.send().await {
            Ok(response) => relay(response, Some(call), None).await,
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
            let (response, text) = relay_error(response).await;
            attempt.fail(Failure::status(status, &headers, &text, url));
            return response;
        }
        let Ok(text) = whole(response, LARGEST_CONNECT).await else {
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
        let label = match id.and_then(|id| id.to_str().ok()) {
            Some(id) => {
                let headers = forwarded(self.headers);
                self.gateway.sessions.open(id, self.body, &headers)
            }
            None => "-".to_owned(),
        };
        attempt.succeed(&label);
        if let Some(id) = id {
            response.headers_mut().insert(SESSION, id.clone());
        }
        response
    }

    /// Reads all pages of the list of tools, and answers with the granted tools on one page.
    async fn list(&self, message: &Message<'_>) -> Response<Body> {
        let record = |reason: &dyn Display| self.gateway.audit.failure(self.label(), reason);
        let fail = |text: &str| {
            record(&text);
            json_text(StatusCode::OK, error_message(message.id, -32000, text))
        };
        let mut params = message
            .params
            .and_then(|params| RawObject::parse(params.get()))
            .unwrap_or_default();
        if params.get("cursor").is_some() {
            let error = "invalid cursor: the list has one page";
            return json_text(StatusCode::OK, error_message(message.id, -32602, error));
        }
        let mut first: Option<Page> = None;
        let mut cursors: Vec<String> = Vec::new();
        let mut left = LARGEST_LIST;
        for _ in 0..MAX_PAGES {
            let body = list_request(message.id, &params);
            let response = match self.send_body(body.into()).await {
                Ok(response) => response,
                Err(error) => return self.failed(message, &error),
            };
            if !response.status().is_success() {
                record(&format_args!(
                    "Port returned no list of tools ({})",
                    response.status()
                ));
                return relay(response, None, None).await;
            }
            let is_stream = has_type(response.headers(), EVENT_STREAM);
            let Ok(text) = whole(response, left).await else {
                return fail("Port's list of tools is too large or incomplete");
            };
            left -= text.len();
            let Some(response) = response_in(&text, is_stream) else {
                return fail("Port's response is not a list of tools");
            };
            let Some(result) = response.get("result") else {
                let text = response.to_string();
                let error: Value = serde_json::from_str(&text).unwrap_or_default();
                record(&format_args!(
                    "Port returned no list of tools ({})",
                    error_text(&error)
                ));
                return json_text(StatusCode::OK, text);
            };
            let Some(mut page) = Page::parse(result.get()) else {
                return fail("Port's response is not a list of tools");
            };
            page.tools
                .retain(|tool| rewrite::is_granted(tool, &self.gateway.tools));
            let next = page.next_cursor.take();
            match &mut first {
                None => first = Some(page),
                Some(first) => first.tools.append(&mut page.tools),
            }
            // Some servers mark the end by an empty cursor.
            let Some(next) = next.filter(|next| !next.is_empty()) else {
                break;
            };
            if cursors.contains(&next) || cursors.len() + 1 == MAX_PAGES {
                return fail("Port's list of tools is endless");
            }
            params.set("cursor", &next);
            cursors.push(next);
        }
        let Some(page) = first else {
            return fail("Port's response is not a list of tools");
        };
        self.gateway.audit.event(
            "list",
            &[
                ("session", self.label().into()),
                ("tools", page.tools.len().into()),
            ],
        );
        let result = page.into_result(false);
        let id = message.id.map_or("null", RawValue::get);
        let text = format!(r#"{{"jsonrpc":"2.0","id":{id},"result":{result}}}"#);
        json_text(StatusCode::OK, text)
    }
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

fn list_request(id: Option<&RawValue>, params: &RawObject) -> String {
    let id = id.map_or("null", RawValue::get);
    format!(r#"{{"jsonrpc":"2.0","id":{id},"method":"tools/list","params":{params}}}"#)
}

/// The JSON-RPC response in a body: the body itself, or an event.
fn response_in(text: &str, is_stream: bool) -> Option<RawObject> {
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
        return relay(response, None, Some(filter)).await;
    }
    if is_attempt {
        let status = response.status();
        let failure = match status {
            StatusCode::METHOD_NOT_ALLOWED => Failure::other_transport(status),
            _ => Failure::status(status, response.headers(), "", url),
        };
        gateway.audit.session_failed(failure);
    }
    let mut response = relay(response, None, None).await;
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
    relay(response, None, None).await
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
) -> Response<Body> {
    if !response.status().is_success() {
        let (response, text) = relay_error(response).await;
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
    let state = (Box::pin(chunks(response)), call, filter);
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
                    Err(error.without_url().into())
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
async fn relay_error(response: reqwest::Response) -> (Response<Body>, String) {
    let head = head(&response);
    let text = tokio::time::timeout(ERROR_TIMEOUT, whole(response, LARGEST_ERROR)).await;
    let text = text.ok().and_then(Result::ok).unwrap_or_default();
    let redacted = redact(&text).into_owned();
    (head.map(|()| full(redacted.into())), text)
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
fn chunks(response: reqwest::Response) -> impl Stream<Item = reqwest::Result<Bytes>> + Send {
    let mut redactor = Redactor::default();
    let chunks = response.bytes_stream().map(Some).chain(once(ready(None)));
    chunks.map(move |chunk| match chunk {
        Some(chunk) => Ok(redactor.push(&chunk?).into()),
        None => Ok(redactor.finish().into()),
    })
}

/// Reads a response to its end, or, of an event stream, up to the event with the JSON-RPC response.
async fn whole(response: reqwest::Response, limit: usize) -> Result<String, ()> {
    let is_stream = has_type(response.headers(), EVENT_STREAM);
    let mut bytes = Box::pin(chunks(response));
    let (mut text, mut events) = (Vec::new(), Events::default());
    while let Some(chunk) = bytes.next().await {
        let chunk = chunk.map_err(drop)?;
        if text.len() + chunk.len() > limit {
            return Err(());
        }
        text.extend_from_slice(&chunk);
        if is_stream
            && events
                .push(&chunk)
                .iter()
                .any(|event| response_of(event).is_some())
        {
            break;
        }
    }
    String::from_utf8(text).map_err(drop)
}

fn has_type(headers: &HeaderMap, kind: &str) -> bool {
    let value = headers
        .get(CONTENT_TYPE)
        .and_then(|value| value.to_str().ok());
    let value = value.and_then(|value| value.split(';').next());
    value.is_some_and(|value| value.trim().eq_ignore_ascii_case(kind))
}

fn returned(headers: &HeaderMap) -> HeaderMap {
    let headers = headers.iter().filter(|(name, value)| {
        RETURNED.contains(&name.as_str()) && !is_any_in(&String::from_utf8_lossy(value.as_bytes()))
    });
    headers
        .map(|(name, value)| (name.clone(), value.clone()))
        .collect()
}

fn rejected(id: Option<&RawValue>, rejection: &Rejection, is_stateless: bool) -> Response<Body> {
    let error = error_message(id, rejection.code(), &rejection.to_string());
    json_text(rejection.status(is_stateless), error)
}

fn error_message(id: Option<&RawValue>, code: i64, text: &str) -> String {
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

fn json_text(status: StatusCode, json: String) -> Response<Body> {
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
