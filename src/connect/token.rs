//! From credentials to a token that the MCP server accepts, and to what the server offers for it.

use std::fmt;

use super::TITLE;
use crate::http::Http;
use crate::inputs::{AuthMethod, Settings};
use crate::mcp::{self, Tool, Verdict};
use crate::port::{self, Cause, Endpoints, Flow, Token};
use crate::runner::Log;

/// Asks for a token, at each of the servers in turn until one knows the credentials.
///
/// # Errors
/// What kept the servers from giving one; if none knows the credentials, what each said.
pub(super) async fn fetch(
    settings: &Settings,
    candidates: &[Endpoints],
    http: &Http,
    log: &mut Log<'_>,
) -> anyhow::Result<(Endpoints, Token)> {
    let flow = match settings.auth_method {
        AuthMethod::Auto => Flow::Rest,
        AuthMethod::Only(flow) => flow,
    };
    let mut refused = Refused::new(port::NO_REGION_HINT);
    for (number, endpoints) in (1..).zip(candidates) {
        log.debug(format!(
            "asking for a token by `{flow}`: {} {}",
            endpoints.api, endpoints.mcp
        ));
        let error = match port::fetch_token(http, endpoints, &settings.credentials, flow).await {
            Ok(token) => {
                take(&token, log)?;
                if let (2.., Some(region)) = (number, endpoints.region) {
                    log.notice(
                        TITLE,
                        format!(
                            "The credentials are of Port's region `{region}`, which was asked after \
                             the other. `region: {region}` saves that request."
                        ),
                    );
                }
                return Ok((endpoints.clone(), token));
            }
            Err(error) => error,
        };
        let is_unknown = matches!(error.cause(), Cause::Credentials { .. });
        if candidates.len() == 1 || (number == 1 && !is_unknown) {
            return Err(error.into());
        }
        if let Some(region) = endpoints.region {
            refused.add(format!("region: {region}"), error.story());
        }
        if !is_unknown {
            refused.hint = error.hint();
            break;
        }
    }
    Err(refused.into())
}

/// Masks a token, before anything else is said about it.
fn take(token: &Token, log: &mut Log<'_>) -> anyhow::Result<()> {
    log.mask(&token.secret)?;
    for (number, why) in (1..).zip(&token.failed_tries) {
        log.info(format!("Try {number} for a token failed: {why}."));
    }
    Ok(())
}

/// Connects as the agent will. With `auth_method: auto`, a server that refuses the token of Port's
/// REST exchange is offered that of its own OAuth endpoint.
///
/// # Errors
/// The verdict on a server that cannot be used; if it refuses every token, what came of each.
pub(super) async fn preflight(
    settings: &Settings,
    endpoints: &Endpoints,
    http: &Http,
    headers: &[(&'static str, String)],
    token: Token,
    log: &mut Log<'_>,
) -> anyhow::Result<(Token, Vec<Tool>)> {
    let look = async |token: &Token| {
        let server = mcp::Server {
            url: &endpoints.mcp,
            headers,
            token: &token.secret,
        };
        mcp::offered_tools(http, &server).await
    };
    let mut refused = Refused::new(&endpoints.refused_token_hint());
    let mut token = token;
    loop {
        let method = format!("auth_method: {}", token.flow);
        match look(&token).await {
            Ok(tools) => {
                if !refused.stories.is_empty() {
                    log.notice(
                        TITLE,
                        "The MCP server refused the token of Port's REST exchange and accepted \
                         that of its own OAuth endpoint. `auth_method: oauth` asks there at once.",
                    );
                }
                return Ok((token, tools));
            }
            Err(error) if is_unauthorized(&error) => refused.add(method, error.story()),
            Err(error) => return Err(error.into()),
        }
        if settings.auth_method != AuthMethod::Auto || token.flow == Flow::Oauth {
            return Err(refused.into());
        }
        let flow = Flow::Oauth;
        token = match port::fetch_token(http, endpoints, &settings.credentials, flow).await {
            Ok(token) => token,
            Err(error) => {
                refused.add(format!("auth_method: {flow}"), error.story());
                return Err(refused.into());
            }
        };
        take(&token, log)?;
    }
}

fn is_unauthorized(error: &mcp::Error) -> bool {
    matches!(error.cause(), Verdict::Unauthorized { .. })
}

/// Every way in that was tried, none of which was open.
#[derive(Debug)]
struct Refused {
    stories: Vec<(String, String)>,
    hint: String,
}

impl Refused {
    fn new(hint: &str) -> Self {
        Self {
            stories: Vec::new(),
            hint: hint.to_owned(),
        }
    }

    fn add(&mut self, way: String, story: String) {
        self.stories.push((way, story));
    }
}

impl std::error::Error for Refused {}

impl fmt::Display for Refused {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (way, story) in &self.stories {
            if self.stories.len() > 1 {
                write!(f, "with `{way}`: ")?;
            }
            writeln!(f, "{story}")?;
        }
        write!(f, "hint: {}", self.hint)
    }
}
