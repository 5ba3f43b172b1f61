//! Responses whose status is not a success: one classification for every server.

use std::fmt;
use std::time::{Duration, SystemTime};

use reqwest::StatusCode;
use reqwest::header::{HeaderMap, LOCATION};

use super::{retry, seconds};
use crate::text::Quote;

/// A server in messages.
#[derive(Debug)]
pub struct Service {
    /// The service as the subject of a sentence.
    pub name: &'static str,
    /// What the server rejects with a 401.
    pub credentials: &'static str,
    /// What a 404 means, as a clause.
    pub not_found: &'static str,
}

/// The meaning of a status.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum StatusKind {
    /// 401: the credentials are unknown or expired.
    Unauthorized,
    /// 403: the credentials are known, but lack a permission.
    Forbidden,
    /// 404, 405: the server does not serve this path.
    NotFound,
    /// 429: too many requests.
    RateLimited,
    /// 5xx: the server failed.
    Server,
    /// 3xx except 304: the server redirects to another URL. Redirects are not followed.
    Redirect,
    /// Any other status.
    Other,
}

/// A response whose status is not a success.
#[derive(Clone, Debug)]
pub struct StatusError {
    /// The server that sent the response.
    pub service: &'static Service,
    /// What the status means.
    pub kind: StatusKind,
    /// The status.
    pub status: StatusCode,
    /// The server's own message; may be empty.
    pub message: Quote,
    /// The wait before the next request that the server requests.
    pub retry_after: Option<Duration>,
    /// Where a redirect leads.
    pub location: Option<Quote>,
}

impl StatusError {
    /// Classifies a response by its status.
    pub(crate) fn new(
        service: &'static Service,
        status: StatusCode,
        headers: &HeaderMap,
        message: Quote,
    ) -> Self {
        let kind = match status {
            StatusCode::UNAUTHORIZED => StatusKind::Unauthorized,
            StatusCode::FORBIDDEN => StatusKind::Forbidden,
            StatusCode::NOT_FOUND | StatusCode::METHOD_NOT_ALLOWED => StatusKind::NotFound,
            StatusCode::TOO_MANY_REQUESTS => StatusKind::RateLimited,
            _ if status.is_server_error() => StatusKind::Server,
            _ if status.is_redirection() && status != StatusCode::NOT_MODIFIED => {
                StatusKind::Redirect
            }
            _ => StatusKind::Other,
        };
        let location = headers.get(LOCATION).and_then(|to| to.to_str().ok());
        Self {
            service,
            kind,
            status,
            message,
            retry_after: retry::requested_wait(headers, status, SystemTime::now()),
            location: location.map(Quote::new),
        }
    }

    /// The hint that is the same for all of Port's servers, if this kind has one.
    pub(crate) fn common_hint(&self) -> Option<String> {
        let hint = match self.kind {
            StatusKind::RateLimited => return Some(rate_limit_hint(self.retry_after)),
            StatusKind::Server => {
                "check https://status.port.io and run the job again later; if the error persists, send \
                 the trace ID to Port's support"
            }
            StatusKind::Redirect => {
                "set `api_url` or `mcp_url` to the final address; redirects are not followed, because \
                 the request carries credentials"
            }
            _ => return None,
        };
        Some(hint.to_owned())
    }
}

impl std::error::Error for StatusError {}

impl fmt::Display for StatusError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Service {
            name,
            credentials,
            not_found,
        } = self.service;
        match self.kind {
            StatusKind::Unauthorized => write!(f, "{name} rejected {credentials}"),
            StatusKind::Forbidden => write!(f, "{name} denied access"),
            StatusKind::NotFound => f.write_str(not_found),
            StatusKind::RateLimited => write!(f, "{name}'s rate limit was exceeded"),
            StatusKind::Server => write!(f, "{name} returned a server error"),
            StatusKind::Redirect => match &self.location {
                Some(to) => write!(f, "{name} redirected the request to {to}"),
                None => write!(f, "{name} redirected the request"),
            },
            StatusKind::Other => write!(f, "{name} returned an unexpected status"),
        }?;
        write!(f, " ({})", status_line(self.status, &self.message))
    }
}

/// A status and the server's message: `403 Forbidden: IP not allowed`.
pub(crate) fn status_line(status: StatusCode, message: &Quote) -> String {
    let message = message.to_string();
    if message.is_empty() || status.canonical_reason() == Some(&message) {
        status.to_string()
    } else {
        format!("{status}: {message}")
    }
}

fn rate_limit_hint(retry_after: Option<Duration>) -> String {
    format!(
        "{}lower `max-parallel` in the matrix, use one connect step for several agent steps, or raise \
         `timeout`; Port may count requests by IP address and by credentials",
        retry_after
            .filter(|wait| !wait.is_zero())
            .map(|wait| format!("wait {}; ", seconds(wait)))
            .unwrap_or_default()
    )
}
