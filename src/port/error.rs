//! Why a request for a token failed, and what to do about it.

use std::fmt;
use std::time::Duration;

use url::Url;

use super::Region;
use crate::http::{
    self, NetworkError, RequestError, Service, StatusError, StatusKind, seconds, status_line,
    unexpected_server_hint,
};

/// A failed request for a token.
pub type Error = RequestError<TokenError>;

/// Port in messages: its API, and the token endpoint of its MCP server.
pub(super) const PORT: Service = Service {
    name: "Port",
    credentials: "the credentials",
    not_found: "Port's token endpoint was not found at this address",
};

/// Why a request did not return a token.
#[derive(Clone, Debug, thiserror::Error)]
#[expect(missing_docs, reason = "the messages say what each one means")]
pub enum TokenError {
    #[error(transparent)]
    Network(#[from] NetworkError),
    #[error(transparent)]
    Status(StatusError),
    #[error(
        "Port rejected the credentials as malformed ({})",
        status_line(.0.status, &.0.message)
    )]
    Malformed(StatusError),
    #[error("the response is not JSON ({0})")]
    NotJson(reqwest::StatusCode),
    #[error("the response contains no token (missing `{0}`)")]
    Missing(&'static str),
    #[error("the token contains characters that are invalid in bearer tokens")]
    InvalidCharacters,
    #[error("the token has only {0} characters")]
    TooShort(usize),
    #[error("the token expired {} ago, according to {}", seconds(*.0), .1)]
    Expired(Duration, Clock),
}

/// The clock according to which a token has expired.
#[derive(Clone, Copy, Debug)]
pub enum Clock {
    /// That of the server that returned the token.
    Server,
    /// That of this machine, if the server did not report its time.
    Runner,
}

impl fmt::Display for Clock {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Server => "Port's clock",
            Self::Runner => "the runner's clock",
        })
    }
}

impl TokenError {
    /// The wait before the next exchange that Port requests.
    pub(crate) fn retry_after(&self) -> Option<Duration> {
        match self {
            Self::Status(error) | Self::Malformed(error) => error.retry_after,
            _ => None,
        }
    }
}

/// The hint when no region accepts the credentials.
pub const NO_REGION_HINT: &str = "check `client_id` and `client_secret`: both regions rejected them, so the \
    secret may have been rotated, or may belong to another client ID";

impl http::Cause for TokenError {
    fn hint(&self, url: &Url) -> String {
        let host = url.host_str().unwrap_or_default();
        let hint = match self {
            Self::Network(error) => return error.hint(url),
            Self::NotJson(_) => return unexpected_server_hint(host),
            Self::Status(error) => return status_hint(error, host),
            Self::Malformed(_) => {
                "check `client_id` and `client_secret` for surrounding quotes, whitespace, or JSON"
            }
            Self::Missing(_) => {
                "check `api_url` and `mcp_url`, or try the other `auth_method` (`api` or `oauth`); if \
                 the error persists, open an issue with the trace ID"
            }
            Self::InvalidCharacters | Self::TooShort(_) => {
                "open an issue with the trace ID; the token was not used, because it could not be \
                 masked reliably"
            }
            Self::Expired(_, Clock::Runner) => "check the runner's clock, then run the job again",
            Self::Expired(_, Clock::Server) => {
                "run the job again; if the error persists, send the trace ID to Port's support"
            }
        };
        hint.to_owned()
    }
}

fn status_hint(error: &StatusError, host: &str) -> String {
    if let Some(hint) = error.common_hint() {
        return hint;
    }
    match error.kind {
        StatusKind::Unauthorized => region_hint(host),
        StatusKind::Forbidden => {
            "ask an administrator of your Port organization whether an IP allowlist or a policy blocks \
             these credentials or the runner's address"
                .to_owned()
        }
        StatusKind::Other if !error.message.is_empty() => {
            "follow Port's message; if the error persists, send the trace ID to Port's support"
                .to_owned()
        }
        _ => "check the path of `api_url` and `mcp_url`, if you set them".to_owned(),
    }
}

/// The hint when the server at `host` rejects the credentials.
///
/// Credentials of the other region and a wrong secret get the same response. The hint names the region
/// first, since that is the more common mistake.
fn region_hint(host: &str) -> String {
    let region = match Region::from_host(host) {
        Some(Region::Eu) => "if your organization is in the US region, set `region: us`",
        Some(Region::Us) => "if your organization is in the EU region, set `region: eu`",
        None => {
            "check that `api_url` and `mcp_url` belong to the organization of these credentials"
        }
    };
    format!(
        "{region}; otherwise check `client_id` and `client_secret`: the secret may have been rotated, or \
         may belong to another client ID"
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_401_hint_names_the_other_region() {
        let hint = |url: &str| region_hint(Url::parse(url).unwrap().host_str().unwrap());
        for eu in [
            "https://api.port.io/v1/auth/access_token",
            "https://mcp.port.io/v1/token",
        ] {
            assert!(hint(eu).contains("set `region: us`"), "{}", hint(eu));
        }
        assert!(hint("https://api.us.port.io").contains("set `region: eu`"));
        assert!(hint("https://port.acme.example").contains("check that `api_url`"));
    }
}
