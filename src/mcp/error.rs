//! Why the preflight check failed, and what to do about it.

use url::Url;

use crate::http::{
    self, NetworkError, RequestError, Service, StatusError, StatusKind, unexpected_server_hint,
};
use crate::text::Quote;

/// A failed preflight check.
pub type Error = RequestError<PreflightError>;

/// Port's MCP server in messages.
pub(crate) const MCP_SERVER: Service = Service {
    name: "the MCP server",
    credentials: "the token",
    not_found: "there is no MCP server at this address",
};

/// Why the preflight check did not return a list of tools.
#[derive(Clone, Debug, thiserror::Error)]
#[expect(missing_docs, reason = "the messages say what each one means")]
pub enum PreflightError {
    #[error("the MCP server could not be reached: {0}")]
    Network(#[from] NetworkError),
    #[error(transparent)]
    Status(StatusError),
    #[error("the server is not an MCP server: it returned {0}")]
    NotMcp(Quote),
    #[error("the MCP server returned an invalid response: {0}")]
    Protocol(Quote),
    #[error("the MCP server closed the session during the check ({0})")]
    SessionLost(reqwest::StatusCode),
    #[error("the tool list is endless: the MCP server returned the same page twice")]
    EndlessList,
    #[error("the MCP server's responses are too long: more than {0}")]
    TooLong(String),
    #[error("the header `{0}` would have an invalid value, so no request was sent")]
    InvalidHeader(&'static str),
    #[error("the MCP server offers no tools to these credentials")]
    NoTools,
}

impl http::Cause for PreflightError {
    fn hint(&self, url: &Url) -> String {
        let host = url.host_str().unwrap_or_default();
        let hint = match self {
            Self::Network(error) => return error.hint(url),
            Self::Status(error) => return status_hint(error),
            Self::NotMcp(_) => return unexpected_server_hint(host),
            Self::Protocol(_) | Self::EndlessList | Self::TooLong(_) => {
                "send the trace ID to Port's support; to skip this check, set `verify: false` and list \
                 exact tool names"
            }
            Self::SessionLost(_) => {
                "run the job again; if the error persists, contact the owner of the MCP server: a load \
                 balancer may send the requests of one session to different servers"
            }
            Self::InvalidHeader(_) => {
                "remove special characters from `allowed_actions` and from the policy's `actions`"
            }
            Self::NoTools => {
                "check the role and the permissions of these credentials in Port: they may lack the \
                 permission for every tool"
            }
        };
        hint.to_owned()
    }
}

fn status_hint(error: &StatusError) -> String {
    if let Some(hint) = error.common_hint() {
        return hint;
    }
    let hint = match error.kind {
        StatusKind::Unauthorized => {
            "check that `api_url` and `mcp_url` belong to the same organization, or try the other \
             `auth_method` (`api` or `oauth`): the token is new, but its issuer is unknown to the server"
        }
        StatusKind::Forbidden => {
            "ask an administrator of your Port organization whether these credentials may use the MCP \
             server, and whether an IP allowlist blocks the runner's address"
        }
        StatusKind::NotFound => "check the path of `mcp_url`: Port's MCP server is at `/v1`",
        _ => "check `mcp_url`, if you set it",
    };
    hint.to_owned()
}
