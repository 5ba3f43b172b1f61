//! Credentials in, token out: Port's two flows.

use std::fmt;
use std::time::{Duration, SystemTime};

use base64::Engine as _;
use base64::prelude::BASE64_URL_SAFE_NO_PAD;
use reqwest::{Method, RequestBuilder, StatusCode};
use secrecy::{ExposeSecret as _, SecretString};
use serde::Deserialize;
use serde_json::Value;
use url::Url;

use super::error::{Cause, Error};
use super::{Credentials, Endpoints};
use crate::http::{self, Answer, Http};
use crate::text::Quote;

/// Seconds from the epoch to the end of the year 9999, the last that RFC 3339 can write.
const END_OF_TIME: u64 = 253_402_300_799;

/// A way from credentials to a token.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
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

    /// The request's body. REST refuses additional properties, so there are none.
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

/// An access token for Port's API and MCP server.
///
/// Port keeps one token alive for a set of credentials and hands that same one to whoever asks
/// until it lapses. So it may lapse soon, no request makes it live longer, and nobody may revoke
/// it: other jobs hold it too.
#[derive(Debug)]
pub struct Token {
    /// The token itself, without `Bearer`.
    pub secret: SecretString,
    /// When it lapses; `None` when Port did not say.
    pub expires_at: Option<SystemTime>,
    /// Whose it is.
    pub identity: Identity,
    /// The flow that it came from.
    pub flow: Flow,
    /// Why each try before the successful one was not the last.
    pub failed_tries: Vec<String>,
}

/// Whose a token is, by its own claims.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Identity {
    /// A service account's, or the organization's own.
    Machine,
    /// A person's: the agent acts with that person's rights.
    Person,
    /// The token does not say.
    Unknown,
}

impl fmt::Display for Identity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Machine => "machine",
            Self::Person => "person",
            Self::Unknown => "unknown",
        })
    }
}

impl Token {
    /// How long the token is still valid at `now`; `None` when Port did not say.
    #[must_use]
    pub fn valid_for(&self, now: SystemTime) -> Option<Duration> {
        self.expires_at
            .map(|at| at.duration_since(now).unwrap_or_default())
    }
}

/// Exchanges `credentials` for a token by `flow`.
///
/// # Errors
/// Whatever kept Port from answering with a token that can be used.
pub async fn fetch(
    http: &Http,
    endpoints: &Endpoints,
    credentials: &Credentials,
    flow: Flow,
) -> Result<Token, Error> {
    let url = flow.url(endpoints);
    let answer = http
        .post(&url, |request| flow.body(credentials, request))
        .await?;
    let tries = answer.failed_tries.len() + 1;
    let trace = http::port_trace(&answer.headers);
    let token = read(answer, flow, SystemTime::now());
    token.map_err(|cause| {
        Error::new(cause, Method::POST, &url)
            .after(tries)
            .traced(trace)
    })
}

fn read(answer: Answer, flow: Flow, now: SystemTime) -> Result<Token, Cause> {
    let status = answer.status;
    if !status.is_success() {
        return Err(refusal(&answer));
    }
    // An answer that succeeded is never quoted: it may hold the token in a place we do not know.
    let body: Value =
        serde_json::from_slice(&answer.body).map_err(|_| Cause::NotJson { status })?;
    let field = flow.token_field();
    let secret = body[field]
        .as_str()
        .filter(|token| !token.is_empty())
        .map(SecretString::from)
        .ok_or(Cause::NoToken { field })?;
    if !is_bearer_token(secret.expose_secret()) {
        return Err(Cause::Unprintable);
    }
    // On a token that was handed out before, the claimed lifetime may still be that of a new one:
    // the token's own claim is the truth.
    let claims = Claims::of(&secret);
    let expires_at = claims.expires_at().or_else(|| {
        let seconds = whole_seconds(&body[flow.lifetime_field()])?;
        let at = now.checked_add(Duration::from_secs(seconds))?;
        (at <= SystemTime::UNIX_EPOCH + Duration::from_secs(END_OF_TIME)).then_some(at)
    });
    if let Some(lapsed) = expires_at.and_then(|at| now.duration_since(at).ok()) {
        return Err(Cause::Lapsed(lapsed));
    }
    Ok(Token {
        secret,
        expires_at,
        identity: claims.identity(),
        flow,
        failed_tries: answer.failed_tries,
    })
}

fn refusal(answer: &Answer) -> Cause {
    let status = answer.status;
    let body: Value = serde_json::from_slice(&answer.body).unwrap_or_default();
    let field = |name: &str| body[name].as_str();
    let code = field("error").unwrap_or_default();
    // Port's REST errors carry `message`, OAuth's `error_description`. Only these are quoted.
    let said = field("message")
        .or_else(|| field("error_description"))
        .unwrap_or(code);
    let message = Quote::new(said);
    match status {
        StatusCode::UNAUTHORIZED => Cause::Credentials { status, message },
        StatusCode::BAD_REQUEST if matches!(code, "invalid_client" | "unauthorized_client") => {
            Cause::Credentials { status, message }
        }
        StatusCode::FORBIDDEN => Cause::Forbidden { status, message },
        StatusCode::BAD_REQUEST | StatusCode::UNPROCESSABLE_ENTITY
            if http::is_json(&answer.headers) =>
        {
            Cause::Invalid { status, message }
        }
        StatusCode::TOO_MANY_REQUESTS => Cause::RateLimited {
            status,
            message,
            wait: http::wait_asked_for(&answer.headers, status, SystemTime::now()),
        },
        _ if status.is_server_error() => Cause::Server { status, message },
        _ if status.is_redirection() => Cause::Redirect {
            status,
            to: http::location(&answer.headers),
        },
        _ => Cause::Status { status, message },
    }
}

/// Whether `token` is of the form that a bearer token must have (`b64token` of RFC 6750, 2.1).
///
/// No character of that form is changed by JSON, by a shell's quotes, by URL paths or by an agent's
/// `${…}` expansion, so the token reads the same everywhere it is written, and its mask holds.
fn is_bearer_token(token: &str) -> bool {
    let body = token.trim_end_matches('=');
    !body.is_empty()
        && body
            .bytes()
            .all(|b| b.is_ascii_alphanumeric() || b"-._~+/".contains(&b))
}

/// The claims of a JWT (RFC 7519) that Port is known to make. The signature is not checked: they
/// are believed for display and for warnings only.
#[derive(Debug, Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
struct Claims {
    exp: Value,
    is_machine: Value,
    personal_token: Value,
}

impl Claims {
    /// Those of `token`, as far as it has any.
    fn of(token: &SecretString) -> Self {
        let payload = token.expose_secret().split('.').nth(1).unwrap_or_default();
        let payload = BASE64_URL_SAFE_NO_PAD.decode(payload.trim_end_matches('='));
        serde_json::from_slice(&payload.unwrap_or_default()).unwrap_or_default()
    }

    fn expires_at(&self) -> Option<SystemTime> {
        SystemTime::UNIX_EPOCH.checked_add(Duration::from_secs(whole_seconds(&self.exp)?))
    }

    fn identity(&self) -> Identity {
        match (self.personal_token.as_bool(), self.is_machine.as_bool()) {
            (Some(true), _) | (_, Some(false)) => Identity::Person,
            (_, Some(true)) => Identity::Machine,
            _ => Identity::Unknown,
        }
    }
}

/// A number of seconds, written as an integer, with a fraction, or in quotes.
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
    fn the_expiry_claim_is_read_where_there_is_one() {
        let at = |seconds| SystemTime::UNIX_EPOCH.checked_add(Duration::from_secs(seconds));
        assert_eq!(
            Claims::of(&jwt(r#"{"exp":1800000000}"#)).expires_at(),
            at(1_800_000_000)
        );
        assert_eq!(
            Claims::of(&jwt(r#"{"exp":1800000000.7}"#)).expires_at(),
            at(1_800_000_000)
        );
        for other in [
            r#"{"iat":1}"#,
            r#"{"exp":"soon"}"#,
            r#"{"exp":-1}"#,
            r#"{"exp":1e300}"#,
            "x",
        ] {
            assert_eq!(Claims::of(&jwt(other)).expires_at(), None, "{other}");
        }
        assert_eq!(Claims::of(&"opaque".into()).expires_at(), None);
        assert_eq!(Claims::of(&"a.!.c".into()).expires_at(), None);
    }

    #[test]
    fn the_claims_say_whose_the_token_is() {
        let of = |claims| Claims::of(&jwt(claims)).identity();
        assert_eq!(
            of(r#"{"isMachine":true,"personalToken":false}"#),
            Identity::Machine
        );
        assert_eq!(
            of(r#"{"isMachine":true,"personalToken":true}"#),
            Identity::Person
        );
        assert_eq!(of(r#"{"isMachine":false}"#), Identity::Person);
        assert_eq!(of("{}"), Identity::Unknown);
    }

    #[test]
    fn a_bearer_token_is_what_rfc_6750_says() {
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
