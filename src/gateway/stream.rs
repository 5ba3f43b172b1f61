//! Requests without a message: the stream of server messages, and the end of a session.

use std::sync::Arc;

use bytes::Bytes;
use http::{HeaderMap, Method, Response, StatusCode};

use super::Gateway;
use super::audit::Failure;
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
    // The first request of an agent that only knows the transport before streamable HTTP.
    let is_attempt = session.is_none() && gateway.audit.is_unused();
    let response = match send(gateway, Method::GET, headers, session).await {
        Ok(response) => response,
        Err(error) => {
            if is_attempt {
                let failure = Failure::no_response(&error, &gateway.upstream.url);
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
            _ => Failure::status(status, response.headers(), "", &gateway.upstream.url),
        };
        gateway.audit.session_failed(failure);
    }
    let mut response = relay(response, None, None, memory).await;
    // A server answers a GET with a stream or with a 405, and clients know nothing else (transports, listening for
    // messages, 3).
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
    let response = match send(gateway, Method::DELETE, headers, session).await {
        Ok(response) => response,
        Err(error) => return no_response(gateway, session, &error),
    };
    // With a 405, Port says that clients cannot end a session (transports, session management, 5): it goes on.
    if let Some(id) = headers.get(SESSION).and_then(|id| id.to_str().ok())
        && response.status() != StatusCode::METHOD_NOT_ALLOWED
    {
        gateway.sessions.close(id);
    }
    relay(response, None, None, memory).await
}

/// Sends a request without a message.
async fn send(
    gateway: &Gateway,
    method: Method,
    headers: &HeaderMap,
    session: Option<&Arc<Session>>,
) -> Result<reqwest::Response, UpstreamError> {
    let upstream = &gateway.upstream;
    upstream.send(method, headers, Bytes::new(), session).await
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
