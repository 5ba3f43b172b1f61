//! Requests without a message: the stream of server messages, and the end of a session.

use std::sync::Arc;

use bytes::Bytes;
use http::{HeaderMap, Method, Response, StatusCode};

use super::Gateway;
use super::attempt::Failure;
use super::memory::Relay;
use super::relay::{Filter, relay};
use super::reply::{Body, has_type, text};
use super::sessions::Session;
use super::upstream::UpstreamError;
use crate::mcp::headers::{EVENT_STREAM, SESSION};

/// Forwards a stream of server messages, and reduces any list of tools that Port replays in it.
pub(super) async fn stream(
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
pub(super) async fn close(
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
