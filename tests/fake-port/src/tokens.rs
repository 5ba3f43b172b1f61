//! Access tokens: each flow has one active token until it expires.

use std::{
    collections::HashMap,
    sync::{
        Mutex, MutexGuard,
        atomic::{AtomicU64, Ordering},
    },
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use serde_json::json;

use crate::Builder;

/// A way to exchange credentials for a token.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Flow {
    /// Port's own exchange, at the REST API.
    Rest,
    /// OAuth 2.0 client credentials, at the MCP server.
    Oauth,
}

/// The format of tokens.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Token {
    /// A JSON Web Token with Port's claims, and with a random signature.
    Jwt,
    /// A random string, without the time at which it expires.
    Opaque,
    /// This text for both flows, even if it is hostile.
    Literal(String),
}

impl Token {
    /// When a token expires that is valid until `time`: a JSON Web Token contains whole seconds.
    fn expiry(&self, time: SystemTime) -> SystemTime {
        match self {
            Self::Jwt => UNIX_EPOCH + Duration::from_secs(unix_seconds(time)),
            Self::Opaque | Self::Literal(_) => time,
        }
    }
}

/// The flows whose tokens the MCP server accepts. It responds to other tokens with 401.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Accepts {
    /// Both flows.
    Any,
    /// Only the OAuth endpoint.
    OauthOnly,
    /// Only the REST API.
    RestOnly,
}

impl Accepts {
    fn includes(self, flow: Flow) -> bool {
        match self {
            Self::Any => true,
            Self::OauthOnly => flow == Flow::Oauth,
            Self::RestOnly => flow == Flow::Rest,
        }
    }
}

/// The active tokens, and the settings of the next.
#[derive(Debug)]
pub(crate) struct Tokens {
    format: Token,
    lifetime: Duration,
    first_validity: Duration,
    accepts: Accepts,
    active: Mutex<HashMap<Flow, Active>>,
    created: AtomicU64,
}

#[derive(Debug)]
struct Active {
    text: String,
    expires_at: SystemTime,
}

impl Tokens {
    pub(crate) fn new(settings: &Builder) -> Self {
        Self {
            format: settings.token.clone(),
            lifetime: settings.token_lifetime,
            first_validity: settings
                .token_validity_left
                .unwrap_or(settings.token_lifetime),
            accepts: settings.accepts,
            active: Mutex::default(),
            created: AtomicU64::default(),
        }
    }

    /// The flow's active token, or a new token if there is none or it has expired.
    pub(crate) fn issue(&self, flow: Flow) -> String {
        let now = SystemTime::now();
        let mut active = self.active();
        let validity = match active.get(&flow) {
            Some(token) if token.expires_at > now => return token.text.clone(),
            Some(_expired) => self.lifetime,
            None => self.first_validity,
        };
        let expires_at = self.format.expiry(now + validity);
        let text = self.create(expires_at);
        self.created.fetch_add(1, Ordering::Relaxed);
        active.insert(
            flow,
            Active {
                text: text.clone(),
                expires_at,
            },
        );
        text
    }

    /// The number of tokens so far.
    pub(crate) fn created(&self) -> u64 {
        self.created.load(Ordering::Relaxed)
    }

    /// Whether the MCP server accepts this token.
    pub(crate) fn is_accepted(&self, text: &str) -> bool {
        let now = SystemTime::now();
        self.active().iter().any(|(flow, token)| {
            self.accepts.includes(*flow) && token.text == text && token.expires_at > now
        })
    }

    /// Makes every active token expire.
    pub(crate) fn expire_all(&self) {
        for token in self.active().values_mut() {
            token.expires_at = UNIX_EPOCH;
        }
    }

    fn create(&self, expires_at: SystemTime) -> String {
        match &self.format {
            Token::Jwt => {
                let exp = unix_seconds(expires_at);
                let claims = json!({
                    "isMachine": true,
                    "personalToken": false,
                    "orgId": "org_fakePort7Yq2LmXc",
                    "iat": exp.saturating_sub(self.lifetime.as_secs()),
                    "exp": exp,
                });
                [
                    URL_SAFE_NO_PAD.encode(json!({"alg": "HS256", "typ": "JWT"}).to_string()),
                    URL_SAFE_NO_PAD.encode(claims.to_string()),
                    random_text(),
                ]
                .join(".")
            }
            Token::Opaque => random_text(),
            Token::Literal(text) => text.clone(),
        }
    }

    fn active(&self) -> MutexGuard<'_, HashMap<Flow, Active>> {
        self.active.lock().expect("the lock is not poisoned")
    }
}

fn unix_seconds(time: SystemTime) -> u64 {
    time.duration_since(UNIX_EPOCH)
        .expect("the clock is past 1970")
        .as_secs()
}

fn random_text() -> String {
    let mut bytes = [0; 32];
    getrandom::fill(&mut bytes).expect("the system has randomness");
    URL_SAFE_NO_PAD.encode(bytes)
}
