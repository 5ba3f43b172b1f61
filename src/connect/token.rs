//! Obtains a token that the MCP server accepts, and lists the tools that the server offers for it.

use std::fmt;

use crate::Error;
use crate::http::{Http, StatusError, StatusKind};
use crate::inputs::Settings;
use crate::mcp::{self, PreflightError, Tool};
use crate::port::{self, AuthMethod, Endpoints, Flow, Token, TokenError};
use crate::runner::Log;

/// Requests a token from each of the servers in turn, until one accepts the credentials.
///
/// # Errors
/// Why no server returned a token. If several servers reject the credentials, the response of each.
pub(super) async fn fetch(
    settings: &Settings,
    candidates: &[Endpoints],
    http: &Http,
    log: &mut Log<'_>,
) -> Result<(Endpoints, Token), Error> {
    let flow = match settings.auth_method {
        AuthMethod::Auto => Flow::Rest,
        AuthMethod::Only(flow) => flow,
    };
    let mut rejected = RejectedError::new(port::NO_REGION_HINT);
    for (number, endpoints) in (1..).zip(candidates) {
        log.debug(format!(
            "requesting a token by `{flow}` from {} or {}",
            endpoints.api, endpoints.mcp
        ));
        let error = match port::fetch_token(http, endpoints, &settings.credentials, flow).await {
            Ok(token) => {
                mask_and_log_attempts(&token, log)?;
                if let (2.., Some(region)) = (number, endpoints.region) {
                    log.info(format!(
                        "The credentials belong to region `{region}`. Set `region: {region}` to \
                             skip the request to the other region."
                    ));
                }
                return Ok((endpoints.clone(), token));
            }
            Err(error) => error,
        };
        let is_rejected =
            matches!(error.cause(), TokenError::Status(status) if is_unauthorized(status));
        if candidates.len() == 1 || (number == 1 && !is_rejected) {
            return Err(error.into());
        }
        if let Some(region) = endpoints.region {
            rejected.add(format!("region: {region}"), error.details());
        }
        if !is_rejected {
            rejected.hint = error.hint();
            break;
        }
    }
    Err(rejected.into())
}

/// Masks a token before anything else is printed about it.
fn mask_and_log_attempts(token: &Token, log: &mut Log<'_>) -> anyhow::Result<()> {
    log.mask(&token.secret)?;
    for (number, reason) in (1..).zip(&token.failed_attempts) {
        log.info(format!(
            "Attempt {number} to obtain a token failed: {reason}."
        ));
    }
    Ok(())
}

/// Connects to the MCP server as the agent will. With `auth_method: auto`, if the server rejects the token
/// of the REST exchange, requests another from its OAuth endpoint.
///
/// # Errors
/// Why the server cannot be used. If it rejects both tokens, the response to each.
pub(super) async fn preflight(
    settings: &Settings,
    endpoints: &Endpoints,
    http: &Http,
    headers: &[(&'static str, String)],
    token: Token,
    log: &mut Log<'_>,
) -> Result<(Token, Vec<Tool>), Error> {
    let mut rejected = RejectedError::new(&endpoints.rejected_token_hint());
    let mut token = token;
    loop {
        let server = mcp::Server {
            url: &endpoints.mcp,
            headers,
            token: &token.secret,
        };
        match mcp::offered_tools(http, &server).await {
            Ok(tools) => {
                if !rejected.attempts.is_empty() {
                    log.info(
                        "The MCP server rejected the token of Port's REST exchange, and accepted the \
                         token of its own OAuth endpoint. Set `auth_method: oauth` to skip the REST exchange.",
                    );
                }
                return Ok((token, tools));
            }
            Err(error) => match error.cause() {
                PreflightError::Status(status) if is_unauthorized(status) => {
                    rejected.add(format!("auth_method: {}", token.flow), error.details());
                }
                _ => return Err(error.into()),
            },
        }
        if settings.auth_method != AuthMethod::Auto || token.flow == Flow::Oauth {
            return Err(rejected.into());
        }
        let flow = Flow::Oauth;
        token = match port::fetch_token(http, endpoints, &settings.credentials, flow).await {
            Ok(token) => token,
            Err(error) => {
                rejected.add(format!("auth_method: {flow}"), error.details());
                return Err(rejected.into());
            }
        };
        mask_and_log_attempts(&token, log)?;
    }
}

fn is_unauthorized(status: &StatusError) -> bool {
    status.kind == StatusKind::Unauthorized
}

/// Every region rejected the credentials, or the MCP server rejected the token of every flow.
#[derive(Debug)]
struct RejectedError {
    /// Each attempt, such as `region: eu`, with the details of its error.
    attempts: Vec<(String, String)>,
    hint: String,
}

impl RejectedError {
    fn new(hint: &str) -> Self {
        Self {
            attempts: Vec::new(),
            hint: hint.to_owned(),
        }
    }

    fn add(&mut self, attempt: String, details: String) {
        self.attempts.push((attempt, details));
    }
}

impl std::error::Error for RejectedError {}

impl From<RejectedError> for Error {
    fn from(error: RejectedError) -> Self {
        Self::Other(error.into())
    }
}

impl fmt::Display for RejectedError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (attempt, details) in &self.attempts {
            if self.attempts.len() > 1 {
                write!(f, "with `{attempt}`: ")?;
            }
            writeln!(f, "{details}")?;
        }
        write!(f, "hint: {}", self.hint)
    }
}
