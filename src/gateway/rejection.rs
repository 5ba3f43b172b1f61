//! Why a message is rejected, and what its sender gets.

use super::scan::Scanner;

/// Why a message is rejected.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum Rejection {
    /// It is not a single, unambiguous JSON-RPC message.
    #[error("invalid request: {0}")]
    Invalid(String),
    /// It is not JSON.
    #[error("parse error: {0}")]
    Parse(String),
    /// Its headers contradict its body.
    #[error("the header `{0}` does not match the body")]
    Header(&'static str),
    /// The tool is not granted.
    #[error("tool `{tool}` is not granted; granted tools: {granted}")]
    Tool {
        /// The requested tool, quoted.
        tool: String,
        /// The granted tools.
        granted: String,
    },
    /// The parameters request more than tools.
    #[error("invalid parameters: {0}")]
    Params(String),
    /// The method is not available through the gateway.
    #[error("method `{0}` is not available: only tools are granted")]
    Method(String),
}

impl Rejection {
    /// The error code of JSON-RPC 2.0 (5.1) and, for headers, of MCP (2026-07-28, transports).
    pub(super) fn code(&self) -> i64 {
        match self {
            Self::Parse(_) => -32700,
            Self::Invalid(_) => -32600,
            Self::Method(_) => -32601,
            Self::Tool { .. } | Self::Params(_) => -32602,
            Self::Header(_) => -32020,
        }
    }

    /// The status of the response to `sender`. Clients show the error of a request of theirs only with status 200, and
    /// the official one for Python ends its session at any other but 404.
    pub(super) fn status(&self, sender: Sender, is_stateless: bool) -> http::StatusCode {
        match self {
            Self::Method(_) if is_stateless => http::StatusCode::NOT_FOUND,
            Self::Method(_) | Self::Tool { .. } | Self::Params(_) => http::StatusCode::OK,
            Self::Parse(_) | Self::Invalid(_) | Self::Header(_) if is_stateless => {
                http::StatusCode::BAD_REQUEST
            }
            Self::Parse(_) | Self::Invalid(_) | Self::Header(_) => {
                sender.status(http::StatusCode::BAD_REQUEST)
            }
        }
    }
}

/// What sent a message that is rejected.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Sender {
    /// A client that waits for a response, or that sent one, and that does not expect the status of an error.
    Client,
    /// A client that sent a notification: JSON-RPC allows no response.
    Notifier,
    /// A program whose message has no id that can be read.
    Other,
}

impl Sender {
    pub(super) fn of(message: &Scanner) -> Self {
        if message.id_of_request().is_some() || message.is_response() {
            Self::Client
        } else if message.is_notification() {
            Self::Notifier
        } else {
            Self::Other
        }
    }

    /// The status of the response to a message that is rejected with `status`.
    pub(super) fn status(self, status: http::StatusCode) -> http::StatusCode {
        match self {
            Self::Client => http::StatusCode::OK,
            Self::Notifier => http::StatusCode::ACCEPTED,
            Self::Other => status,
        }
    }
}
