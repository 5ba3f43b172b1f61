//! An attempt of an agent to connect, and why it failed.

use http::{HeaderMap, StatusCode};
use serde_json::Value;
use tokio::time::Instant;
use url::Url;

use super::audit::{Audit, Failure};
use super::upstream::UpstreamError;
use crate::http::{
    Cause as _, NetworkError, StatusError, StatusKind, seconds, status_line, unexpected_server_hint,
};
use crate::mcp::{MCP_SERVER, PreflightError, error_text};
use crate::text::Quote;

/// What to do if the agent does not connect as it should.
const CONFIGURATION: &str = "configure the agent with the output `mcp_config`, or with `mcp_url` and `access_token`, \
                             unchanged, and MCP's transport \"streamable HTTP\"";

/// The error for the ID of a session that the gateway does not know.
pub(super) const UNKNOWN_SESSION: &str = "session not found";

impl Failure {
    /// Port did not respond.
    pub(super) fn no_response(error: &UpstreamError, url: &Url) -> Self {
        let hint = match error {
            UpstreamError::Redirected(error) => {
                let hint = PreflightError::Status(error.clone()).hint(url);
                return Self::new(error, hint).with_status(error.status);
            }
            UpstreamError::Token(_) => {
                "check that the credentials were not revoked, and that `api_url` and `mcp_url` belong to the same \
                 organization; then run the job again"
                    .to_owned()
            }
            UpstreamError::NotSent(NetworkError::Timeout(_))
            | UpstreamError::Unknown(NetworkError::Timeout(_)) => format!(
                "check that no firewall drops packets to {}, and run the job again",
                url.host_str().unwrap_or_default()
            ),
            UpstreamError::NotSent(error) | UpstreamError::Unknown(error) => error.hint(url),
        };
        Self::new(error, hint)
    }

    /// Port's response has the status of an error.
    pub(super) fn status(status: StatusCode, headers: &HeaderMap, body: &str, url: &Url) -> Self {
        let body: Value = serde_json::from_str(body).unwrap_or_default();
        let text = Quote::new(error_text(&body));
        let error = StatusError::new(&MCP_SERVER, status, headers, text);
        let hint = match error.kind {
            StatusKind::RateLimited => {
                "run the job again later, or lower `max-parallel` in the matrix; Port may count requests by IP \
                 address and by credentials"
                    .to_owned()
            }
            _ => PreflightError::Status(error.clone()).hint(url),
        };
        Self::new(error, hint).with_status(status)
    }

    /// Port's response is not what the method returns.
    pub(super) fn invalid(error: &PreflightError, status: StatusCode, url: &Url) -> Self {
        let hint = match error {
            PreflightError::NotMcp(_) => unexpected_server_hint(url.host_str().unwrap_or_default()),
            _ => "update the agent; if the error persists, contact Port's support".to_owned(),
        };
        Self::new(error, hint).with_status(status)
    }

    /// The gateway rejected the request, and did not forward it.
    pub(super) fn rejected(status: StatusCode, text: &str) -> Self {
        let hint = match status {
            StatusCode::SERVICE_UNAVAILABLE => {
                "run fewer agents at the same time: the gateway limits the connections and the memory of all clients \
                 together"
            }
            StatusCode::NOT_FOUND if text == UNKNOWN_SESSION => {
                "run fewer agents at the same time: the gateway keeps 256 sessions, and forgets the oldest one first"
            }
            _ => CONFIGURATION,
        };
        let line = status_line(status, &Quote::new(text));
        Self::new(
            format_args!("the gateway rejected the request ({line})"),
            hint,
        )
    }

    /// Port rejected a GET with which the agent began: a transport before streamable HTTP.
    pub(super) fn other_transport(status: StatusCode) -> Self {
        let reason = format_args!("the agent began with a GET, which Port rejected ({status})");
        Self::new(reason, CONFIGURATION).with_status(status)
    }
}

/// An attempt until its end. Dropping it means that the agent disconnected.
pub(super) struct Attempt<'a> {
    audit: &'a Audit,
    started: Instant,
    is_over: bool,
}

impl<'a> Attempt<'a> {
    pub(super) fn new(audit: &'a Audit) -> Self {
        Self {
            audit,
            started: Instant::now(),
            is_over: false,
        }
    }

    /// The agent has a session, or a connection without one.
    pub(super) fn succeed(mut self, session: &str) {
        self.is_over = true;
        self.audit.session(session);
    }

    pub(super) fn fail(mut self, failure: Failure) {
        self.is_over = true;
        self.audit.session_failed(failure);
    }
}

impl Drop for Attempt<'_> {
    fn drop(&mut self) {
        if self.is_over {
            return;
        }
        let waited = seconds(self.started.elapsed());
        self.audit.session_failed(Failure::new(
            format_args!("the agent disconnected before Port responded (after {waited})"),
            "check https://status.port.io and run the job again later, or raise the agent's own time limit for MCP \
             servers",
        ));
    }
}
