//! The exchange of credentials for a token, by either of Port's two flows.

use std::fmt;
use std::time::{Duration, Instant, SystemTime};

use base64::Engine as _;
use base64::prelude::BASE64_URL_SAFE_NO_PAD;
use reqwest::header::DATE;
use reqwest::{Method, RequestBuilder, StatusCode};
use secrecy::{ExposeSecret as _, SecretString};
use serde::{Deserialize, Serialize};
use serde_json::Value;
use url::Url;

use super::error::{Clock, Error, PORT, TokenError};
use super::{Credentials, Endpoints};
use crate::http::{self, Http, RequestError, Response, StatusError, StatusKind};
use crate::text::{Quote, well_formed};

/// The minimum length of a token, in bytes. Port's have hundreds.
const MIN_TOKEN: usize = 16;
/// Seconds from the Unix epoch to the end of the year 9999, the last that RFC 3339 can represent.
const END_OF_TIME: u64 = 253_402_300_799;

/// A flow that exchanges credentials for a token.
#[derive(Clone, Copy, Debug, Deserialize, PartialEq, Eq, Serialize)]
pub enum Flow {
    /// `POST {api}/v1/auth/access_token`, Port's own exchange.
    Rest,
    /// OAuth 2.0 client credentials (RFC 6749, 4.4) at the MCP server: `POST {mcp}/token`.
    Oauth,
}

impl Flow {
    fn url(self, endpoints: &Endpoints) -> Url {
        match self {
            Self::Rest => join(&endpoints.api, "/v1/auth/access_token"),
            Self::Oauth => join(&endpoints.mcp, "/token"),
        }
    }

    /// The request's body. The REST endpoint rejects additional properties.
    fn body(self, credentials: &Credentials, request: RequestBuilder) -> RequestBuilder {
        let (id, secret) = (
            credentials.client_id.as_str(),
            credentials.client_secret.expose_secret(),
        );
        match self {
            Self::Rest => {
                request.json(&serde_json::json!({"clientId": id, "clientSecret": secret}))
            }
            Self::Oauth => request.form(&[
                ("grant_type", "client_credentials"),
                ("client_id", id),
                ("client_secret", secret),
            ]),
        }
    }

    fn token_field(self) -> &'static str {
        match self {
            Self::Rest => "accessToken",
            Self::Oauth => "access_token",
        }
    }

    fn lifetime_field(self) -> &'static str {
        match self {
            Self::Rest => "expiresIn",
            Self::Oauth => "expires_in",
        }
    }
}

impl fmt::Display for Flow {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Rest => "api",
            Self::Oauth => "oauth",
        })
    }
}

/// How to obtain a token.
#[derive(Clone, Copy, Debug, Default, Deserialize, PartialEq, Eq, Serialize)]
pub enum AuthMethod {
    /// The REST exchange, then OAuth if the MCP server rejects its token.
    #[default]
    Auto,
    /// This flow only.
    Only(Flow),
}

impl AuthMethod {
    /// Every method.
    pub const ALL: [Self; 3] = [Self::Auto, Self::Only(Flow::Rest), Self::Only(Flow::Oauth)];
}

impl fmt::Display for AuthMethod {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Auto => f.write_str("auto"),
            Self::Only(flow) => flow.fmt(f),
        }
    }
}

/// An access token for Port's API and MCP server.
///
/// Port returns the same token for a set of credentials until that token expires. So it may expire soon,
/// a new request does not extend it, and it must not be revoked: other jobs use it.
#[derive(Debug)]
pub struct Token {
    /// The token itself, without `Bearer`.
    pub secret: SecretString,
    /// When it expires, by Port's clock; `None` if Port did not report it.
    pub expires_at: Option<SystemTime>,
    /// How long it was valid when Port returned it; `None` if Port did not report it.
    pub lifetime: Option<Duration>,
    /// When Port returned it.
    pub received_at: Instant,
    /// Who it identifies.
    pub identity: Identity,
    /// The flow that returned it.
    pub flow: Flow,
    /// The time at the server when it returned the token; `None` if it did not report it.
    pub server_time: Option<SystemTime>,
    /// Why each attempt before the successful one failed.
    pub failed_attempts: Vec<String>,
}

/// Who a token identifies, according to its claims.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Identity {
    /// A service account, or the organization itself.
    Machine,
    /// A user: the agent acts with the permissions of that user.
    User,
    /// The claims identify neither.
    Unknown,
}

impl fmt::Display for Identity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Machine => "machine",
            Self::User => "user",
            Self::Unknown => "unknown",
        })
    }
}

impl Token {
    /// A token that was obtained before, and is valid as long from now.
    #[must_use]
    pub fn new(secret: SecretString, valid_for: Option<Duration>, flow: Flow) -> Self {
        Self {
            secret,
            expires_at: None,
            lifetime: valid_for,
            received_at: Instant::now(),
            identity: Identity::Unknown,
            flow,
            server_time: None,
            failed_attempts: Vec::new(),
        }
    }

    /// The remaining lifetime, whatever the clock of this machine says; `None` if Port did not report it.
    #[must_use]
    pub fn valid_for(&self) -> Option<Duration> {
        Some(self.lifetime?.saturating_sub(self.received_at.elapsed()))
    }

    /// The time at the server now; `None` if it did not report it.
    pub(crate) fn server_now(&self) -> Option<SystemTime> {
        self.server_time?.checked_add(self.received_at.elapsed())
    }
}

/// Exchanges `credentials` for a token by `flow`.
///
/// # Errors
/// When Port does not return a valid token.
pub async fn fetch(
    http: &Http,
    endpoints: &Endpoints,
    credentials: &Credentials,
    flow: Flow,
) -> Result<Token, Error> {
    let url = flow.url(endpoints);
    let response = http
        .post(&url, |request| flow.body(credentials, request))
        .await?;
    let trace = http::port_trace(&response.headers);
    let failed_attempts = response.failed_attempts.clone();
    parse(response, flow, SystemTime::now()).map_err(|cause| {
        RequestError::new(cause, Method::POST, &url)
            .after(failed_attempts)
            .with_trace(trace)
    })
}

pub(crate) fn parse(response: Response, flow: Flow, now: SystemTime) -> Result<Token, TokenError> {
    let status = response.status;
    if !status.is_success() {
        return Err(status_error(&response));
    }
    // A successful response is never quoted: it may contain the token in an unknown field.
    let body: Value = serde_json::from_slice(&well_formed(&response.body))
        .map_err(|_| TokenError::NotJson(status))?;
    let field = flow.token_field();
    let secret = body[field]
        .as_str()
        .filter(|token| !token.is_empty())
        .map(SecretString::from)
        .ok_or(TokenError::Missing(field))?;
    if !is_bearer_token(secret.expose_secret()) {
        return Err(TokenError::InvalidCharacters);
    }
    // The runner would mask it wherever the log contains it by chance.
    let length = secret.expose_secret().len();
    if length < MIN_TOKEN {
        return Err(TokenError::TooShort(length));
    }
    let server_time = response
        .headers
        .get(DATE)
        .and_then(|date| date.to_str().ok())
        .and_then(|date| httpdate::parse_http_date(date).ok());
    // If Port returns an earlier token, the response may still contain the lifetime of a new one. The
    // token's own claim is correct.
    let claims = Claims::from_jwt(&secret);
    let expires_at = claims.expires_at().or_else(|| {
        let seconds = whole_seconds(&body[flow.lifetime_field()])?;
        let at = server_time
            .unwrap_or(now)
            .checked_add(Duration::from_secs(seconds))?;
        (at <= SystemTime::UNIX_EPOCH + Duration::from_secs(END_OF_TIME)).then_some(at)
    });
    let lifetime = expires_at
        .map(|at| lifetime(at, server_time, now))
        .transpose()?;
    Ok(Token {
        secret,
        expires_at,
        lifetime,
        received_at: Instant::now(),
        identity: claims.identity(),
        flow,
        server_time,
        failed_attempts: response.failed_attempts,
    })
}

/// How long a token that expires at `at` is valid. The server decides, so its clock counts, unless only this
/// machine's says that the token is valid.
fn lifetime(
    at: SystemTime,
    server_time: Option<SystemTime>,
    now: SystemTime,
) -> Result<Duration, TokenError> {
    let left_by = |clock| at.duration_since(clock).ok().filter(|left| !left.is_zero());
    server_time
        .into_iter()
        .chain([now])
        .find_map(left_by)
        .ok_or_else(|| {
            let (clock, time) =
                server_time.map_or((Clock::Runner, now), |time| (Clock::Server, time));
            TokenError::Expired(time.duration_since(at).unwrap_or_default(), clock)
        })
}

fn status_error(response: &Response) -> TokenError {
    let body: Value = serde_json::from_slice(&response.body).unwrap_or_default();
    let field = |name: &str| body[name].as_str();
    let code = field("error").unwrap_or_default();
    // Port's REST API describes an error in `message`, OAuth in `error_description`. No other field is
    // quoted.
    let message = field("message")
        .or_else(|| field("error_description"))
        .unwrap_or(code);
    let status = response.status;
    let mut error = StatusError::new(&PORT, status, &response.headers, Quote::new(message));
    match status {
        StatusCode::BAD_REQUEST if matches!(code, "invalid_client" | "unauthorized_client") => {
            error.kind = StatusKind::Unauthorized;
        }
        StatusCode::BAD_REQUEST | StatusCode::UNPROCESSABLE_ENTITY
            if http::is_json(&response.headers) =>
        {
            return TokenError::Malformed(error);
        }
        _ => {}
    }
    TokenError::Status(error)
}

/// Whether `token` has the form of a bearer token (`b64token` in RFC 6750, 2.1).
///
/// JSON, shell quotes, URL paths, and an agent's `${…}` expansion change none of its characters, so the
/// token looks the same wherever it is written, and its mask matches.
fn is_bearer_token(token: &str) -> bool {
    let body = token.trim_end_matches('=');
    !body.is_empty()
        && body
            .bytes()
            .all(|b| b.is_ascii_alphanumeric() || b"-._~+/".contains(&b))
}

/// The claims that Port puts into a JWT (RFC 7519). The signature is not verified: the claims are used
/// only for display and warnings.
#[derive(Debug, Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
struct Claims {
    exp: Value,
    is_machine: Value,
    personal_token: Value,
}

impl Claims {
    /// The claims of `token`; empty if it is not a JWT.
    fn from_jwt(token: &SecretString) -> Self {
        let encoded = token.expose_secret().split('.').nth(1).unwrap_or_default();
        let payload = BASE64_URL_SAFE_NO_PAD.decode(encoded.trim_end_matches('='));
        serde_json::from_slice(&payload.unwrap_or_default()).unwrap_or_default()
    }

    fn expires_at(&self) -> Option<SystemTime> {
        SystemTime::UNIX_EPOCH.checked_add(Duration::from_secs(whole_seconds(&self.exp)?))
    }

    fn identity(&self) -> Identity {
        match (self.personal_token.as_bool(), self.is_machine.as_bool()) {
            (Some(true), _) | (_, Some(false)) => Identity::User,
            (_, Some(true)) => Identity::Machine,
            _ => Identity::Unknown,
        }
    }
}

/// A number of seconds: an integer, a fraction, or a string.
fn whole_seconds(value: &Value) -> Option<u64> {
    let seconds = value
        .as_u64()
        .or_else(|| value.as_str()?.parse().ok())
        .or_else(|| {
            let seconds = Duration::try_from_secs_f64(value.as_f64()?).ok()?;
            Some(seconds.as_secs())
        })?;
    (seconds <= END_OF_TIME).then_some(seconds)
}

fn join(base: &Url, path: &str) -> Url {
    let mut url = base.clone();
    url.set_path(&format!("{}{path}", base.path().trim_end_matches('/')));
    url
}

#[cfg(test)]
mod tests {
    use super::*;

    fn jwt(claims: &str) -> SecretString {
        format!("e30.{}.c2ln", BASE64_URL_SAFE_NO_PAD.encode(claims)).into()
    }

    #[test]
    fn the_expiry_is_read_from_the_claims() {
        let at = |seconds| SystemTime::UNIX_EPOCH.checked_add(Duration::from_secs(seconds));
        assert_eq!(
            Claims::from_jwt(&jwt(r#"{"exp":1800000000}"#)).expires_at(),
            at(1_800_000_000)
        );
        assert_eq!(
            Claims::from_jwt(&jwt(r#"{"exp":1800000000.7}"#)).expires_at(),
            at(1_800_000_000)
        );
        for other in [
            r#"{"iat":1}"#,
            r#"{"exp":"soon"}"#,
            r#"{"exp":-1}"#,
            r#"{"exp":1e300}"#,
            "x",
        ] {
            assert_eq!(Claims::from_jwt(&jwt(other)).expires_at(), None, "{other}");
        }
        assert_eq!(Claims::from_jwt(&"opaque".into()).expires_at(), None);
        assert_eq!(Claims::from_jwt(&"a.!.c".into()).expires_at(), None);
    }

    #[test]
    fn the_identity_is_read_from_the_claims() {
        let identity = |claims| Claims::from_jwt(&jwt(claims)).identity();
        assert_eq!(
            identity(r#"{"isMachine":true,"personalToken":false}"#),
            Identity::Machine
        );
        assert_eq!(
            identity(r#"{"isMachine":true,"personalToken":true}"#),
            Identity::User
        );
        assert_eq!(identity(r#"{"isMachine":false}"#), Identity::User);
        assert_eq!(identity("{}"), Identity::Unknown);
    }

    #[test]
    fn bearer_tokens_follow_rfc_6750() {
        for good in ["abc", "a.b-c_d~e+f/g==", "eyJhbGciOiJIUzI1NiJ9.e30.x-_y"] {
            assert!(is_bearer_token(good), "{good}");
        }
        for bad in [
            "", "=", "a b", "a=b", "a\"b", "a'b", "a\nb", "${HOME}", "tökén", "a\u{7f}",
        ] {
            assert!(!is_bearer_token(bad), "{bad:?}");
        }
    }
}
