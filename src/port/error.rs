//! What can go wrong between here and a token, each with what to do about it.

use std::time::Duration;

use reqwest::StatusCode;
use url::Url;

use super::Region;
use crate::http::{
    self, Failure, REDIRECT_HINT, SERVER_HINT, rate_limit_hint, said, seconds, stranger_hint,
};
use crate::text::Quote;

/// A request to Port that did not give a token.
pub type Error = http::Error<Cause>;

/// What came back.
#[derive(Clone, Debug, thiserror::Error)]
#[expect(missing_docs, reason = "the messages say what each one means")]
pub enum Cause {
    #[error(transparent)]
    Network(#[from] Failure),
    #[error("Port does not accept these credentials ({})", said(*status, message))]
    Credentials { status: StatusCode, message: Quote },
    #[error("Port forbids it ({})", said(*status, message))]
    Forbidden { status: StatusCode, message: Quote },
    #[error("Port refuses the form of the credentials ({})", said(*status, message))]
    Invalid { status: StatusCode, message: Quote },
    #[error("Port's rate limit is reached ({})", said(*status, message))]
    RateLimited {
        status: StatusCode,
        message: Quote,
        wait: Option<Duration>,
    },
    #[error("Port has a problem of its own ({})", said(*status, message))]
    Server { status: StatusCode, message: Quote },
    #[error("the answer is a redirect to {to} ({status})")]
    Redirect { status: StatusCode, to: Quote },
    #[error("the answer is {}", said(*status, message))]
    Status { status: StatusCode, message: Quote },
    #[error("the answer is not JSON ({status})")]
    NotJson { status: StatusCode },
    #[error("the answer holds no token (`{field}` is missing)")]
    NoToken { field: &'static str },
    #[error("the token holds characters that no bearer token may hold")]
    Unprintable,
    #[error("the token has lapsed already, {} ago by this machine's clock", seconds(*.0))]
    Lapsed(Duration),
}

/// What to do when no region accepts the credentials.
pub const NO_REGION_HINT: &str = "both of Port's regions refuse these credentials, so it is not the \
    region: the secret was rotated or belongs to another client id; find both in Port under … > \
    Credentials";

impl http::Cause for Cause {
    fn hint(&self, url: &Url) -> String {
        let host = url.host_str().unwrap_or_default();
        let hint = match self {
            Self::Network(failure) => return failure.hint(url),
            Self::NotJson { .. } => return stranger_hint(host),
            Self::Credentials { .. } => return region_hint(host),
            Self::RateLimited { wait, .. } => return rate_limit_hint(*wait),
            Self::Forbidden { .. } => {
                "ask an administrator of your Port organization whether an IP allow-list or a \
                 policy bars these credentials, and whether the runner's address is on it"
            }
            Self::Invalid { .. } => {
                "check `client_id` and `client_secret` for quotes, blanks or JSON around the \
                 value: they are two plain words"
            }
            Self::Server { .. } => SERVER_HINT,
            Self::Redirect { .. } => REDIRECT_HINT,
            Self::Status { .. } => {
                "check `api_url` and `mcp_url` if you set them: the path may be wrong"
            }
            Self::NoToken { .. } => {
                "something that is not Port answers, or Port has changed: set `auth_method` to the \
                 other of `api` and `oauth`, and open an issue with the trace id"
            }
            Self::Unprintable => {
                "it was refused because it could not be masked in every form in which it is \
                 written; open an issue with the trace id"
            }
            Self::Lapsed(_) => {
                "the runner's clock is wrong, or Port handed out its last token a moment too late: \
                 check the clock, then run the job again"
            }
        };
        hint.to_owned()
    }
}

/// What to do when the server at `host` refuses credentials, or the token that they gave.
///
/// A wrong region and a wrong secret get the same answer, so both are named, the region first: it
/// is the more common mistake.
fn region_hint(host: &str) -> String {
    let other = match Region::of(host) {
        Some(Region::Eu) => {
            "credentials of an organization in the US are unknown here: for one, \
                             set `region: us`. "
        }
        Some(Region::Us) => {
            "credentials of an organization in the EU are unknown here: for one, \
                             set `region: eu`. "
        }
        None => {
            "check that `api_url` and `mcp_url` belong to the organization of these \
                 credentials. "
        }
    };
    format!(
        "{other}Otherwise the secret was rotated or belongs to another client id; find both in \
         Port under … > Credentials"
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_401_names_the_other_region() {
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
