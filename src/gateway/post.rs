//! A message of the agent: the decision on it, and what follows.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::header::{CONTENT_TYPE, HeaderValue};
use http::{HeaderMap, Method, Response, StatusCode};
use secrecy::ExposeSecret as _;
use serde_json::Value;
use tokio_util::sync::CancellationToken;

use super::attempt::Attempt;
use super::audit::Failure;
use super::audit::{Call, Outcome};
use super::call::OngoingCall;
use super::gate::{self, Action};
use super::memory::Relay;
use super::message::{Message, is_stateless};
use super::rejection::{Rejection, Sender};
use super::relay::{WHOLE_TIMEOUT, relay, relay_error, response_in, whole};
use super::reply::{Body, empty, error_message, full, has_type, json_text, rejected, returned};
use super::rewrite::{self, Events, RawObject};
use super::scan::Scanner;
use super::sessions::Session;
use super::upstream::{UpstreamError, forwarded};
use super::{Gateway, keys};
use crate::mcp::headers::{EVENT_STREAM, JSON, SESSION};
use crate::mcp::{PreflightError, error_text};
use crate::text::Quote;
use crate::text::secrets::is_any_in;
use crate::tool::QuotedName;

/// The maximum length of a response to `initialize` or `server/discover`, in bytes.
const MAX_CONNECT: usize = 1024 * 1024;
/// The time limit for all pages of the list of tools.
const LIST_TIMEOUT: Duration = Duration::from_mins(10);

/// A message of the agent.
pub(super) struct Post<'a> {
    pub(super) gateway: &'a Arc<Gateway>,
    /// Cancelled to end the connection of the client.
    pub(super) connection: &'a CancellationToken,
    pub(super) headers: &'a HeaderMap,
    pub(super) body: &'a Bytes,
    pub(super) session: Option<&'a Arc<Session>>,
}

impl Post<'_> {
    pub(super) fn label(&self) -> &str {
        self.session_label().unwrap_or("-")
    }

    pub(super) fn session_label(&self) -> Option<&str> {
        self.session.map(|session| session.label.as_str())
    }

    pub(super) async fn respond(&self) -> Response<Body> {
        let audit = &self.gateway.audit;
        let message = match Message::parse(self.body, self.headers) {
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
        let (method, tool) = (message.method_name(), message.tool.as_deref());
        match gate::decide(&message, self.headers, &self.gateway.grants) {
            Err(rejection) => {
                audit.rejection(self.label(), method, tool, &rejection.to_string());
                if message.connects() {
                    self.could_not_connect(&rejection);
                }
                let sender = if message.is_notification() {
                    Sender::Notifier
                } else {
                    Sender::Client
                };
                let status = rejection.status(sender, message.is_stateless);
                rejected(message.id, &rejection, status)
            }
            Ok(Action::Drop) => {
                let reason = "a notification of this method is not forwarded";
                audit.rejection(self.label(), method, tool, reason);
                empty(StatusCode::ACCEPTED)
            }
            Ok(Action::Call) => self.call(&message).await,
            Ok(Action::Forward) => match self.send().await {
                Ok(response) => relay(response, None, None, self.relay()).await,
                Err(error) => self.failed(&message, &error),
            },
            Ok(Action::Initialize) => self.connect(&message, true).await,
            Ok(Action::Discover) => self.connect(&message, false).await,
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
            tool: QuotedName::new(message.tool.as_deref().unwrap_or_default()),
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

    /// Forwards `initialize`, which opens a session, or `server/discover`, and rewrites the capabilities in the response.
    async fn connect(&self, message: &Message<'_>, opens_session: bool) -> Response<Body> {
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
        let read = whole(response, MAX_CONNECT, WHOLE_TIMEOUT, memory).await;
        let Ok((text, _reserved)) = read else {
            let error = "Port's response to the connection is too large or incomplete";
            let cause = PreflightError::Protocol(Quote::new(error));
            attempt.fail(Failure::invalid(&cause, status, url));
            return json_text(StatusCode::OK, error_message(message.id, -32000, error));
        };
        let opened = opened(&text, &headers);
        let is_stream = has_type(&headers, EVENT_STREAM);
        // A response in a stream can follow other messages, which pass as they are.
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
        // Only the response to `initialize` can open a session (transports, session management, 1).
        let id = headers
            .get(SESSION)
            .filter(|_| opens_session)
            .and_then(|id| Some((id.to_str().ok()?, own_id(id)?)));
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
    let value: Value = response
        .and_then(|response| serde_json::from_str(&response.to_string()).ok())
        .unwrap_or_default();
    if !value["error"].is_null() {
        let error = match value["error"]["code"].as_i64() {
            Some(code) => format!("error {code}: {}", error_text(&value)),
            None => error_text(&value).to_owned(),
        };
        return Err(PreflightError::Protocol(Quote::new(&error)));
    }
    let kind = headers
        .get(CONTENT_TYPE)
        .map_or(&b"no Content-Type"[..], HeaderValue::as_bytes);
    Err(if is_stream || has_type(headers, JSON) {
        PreflightError::Protocol(Quote::new("it contains no result"))
    } else {
        PreflightError::NotMcp(Quote::new(&String::from_utf8_lossy(kind)))
    })
}
