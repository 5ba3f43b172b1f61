//! What a look at the MCP server can find, each with what to do about it.

use std::time::Duration;

use reqwest::StatusCode;
use url::Url;

use crate::http::{
    self, Failure, REDIRECT_HINT, SERVER_HINT, rate_limit_hint, said, stranger_hint,
};
use crate::text::Quote;

/// A connection to the MCP server that did not give its tools.
pub type Error = http::Error<Verdict>;

/// What came back.
#[derive(Clone, Debug, thiserror::Error)]
#[expect(missing_docs, reason = "the messages say what each one means")]
pub enum Verdict {
    #[error("the MCP server could not be reached: {0}")]
    Network(#[from] Failure),
    #[error("the MCP server does not accept the token ({})", said(*status, message))]
    Unauthorized { status: StatusCode, message: Quote },
    #[error("the MCP server forbids it ({})", said(*status, message))]
    Forbidden { status: StatusCode, message: Quote },
    #[error("there is no MCP server at this address ({})", said(*status, message))]
    NotFound { status: StatusCode, message: Quote },
    #[error("the MCP server's rate limit is reached ({})", said(*status, message))]
    RateLimited {
        status: StatusCode,
        message: Quote,
        wait: Option<Duration>,
    },
    #[error("the MCP server has a problem of its own ({})", said(*status, message))]
    Server { status: StatusCode, message: Quote },
    #[error("the answer is a redirect to {to} ({status})")]
    Redirect { status: StatusCode, to: Quote },
    #[error("the answer is {}", said(*status, message))]
    Status { status: StatusCode, message: Quote },
    #[error("what answers is no MCP server: it sends {0}")]
    NotMcp(Quote),
    #[error("the MCP server answers {0}")]
    Protocol(Quote),
    #[error("the MCP server's list of tools never ends: it gives the same page twice")]
    Loop,
    #[error("the MCP server's list of tools is too long: more than {0}")]
    TooLong(String),
    #[error("the header `{0}` holds what no header may hold, so the MCP server was not asked")]
    Header(&'static str),
    #[error("the MCP server offers no tool at all")]
    NoTools,
}

impl http::Cause for Verdict {
    fn hint(&self, url: &Url) -> String {
        let host = url.host_str().unwrap_or_default();
        let hint = match self {
            Self::Network(failure) => return failure.hint(url),
            Self::NotMcp(_) => return stranger_hint(host),
            Self::RateLimited { wait, .. } => return rate_limit_hint(*wait),
            Self::Unauthorized { .. } => {
                "the token is fresh, so the server does not know who issued it: check that \
                 `api_url` and `mcp_url` are those of one organization, and try the other \
                 `auth_method`"
            }
            Self::Forbidden { .. } => {
                "ask an administrator of your Port organization whether these credentials may use \
                 the MCP server, and whether an IP allow-list bars the runner's address"
            }
            Self::NotFound { .. } => "check the path of `mcp_url`: Port's MCP server is at `/v1`",
            Self::Server { .. } => SERVER_HINT,
            Self::Redirect { .. } => REDIRECT_HINT,
            Self::Status { .. } => "check `mcp_url` if you set it",
            Self::Protocol(_) | Self::Loop | Self::TooLong(_) => {
                "give Port's support the trace id; `verify: false` goes on without this look at \
                 the server, with tools by their names alone"
            }
            Self::Header(_) => "check `allowed_actions` and the policy's `actions`",
            Self::NoTools => {
                "the identity behind the credentials has no role or no permission that would give \
                 it one: look at its role in Port (Developer or Builder)"
            }
        };
        hint.to_owned()
    }
}
