//! Access tokens: one active token a flow, the same one until it lapses.

use std::{
    collections::HashMap,
    sync::{Mutex, MutexGuard},
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

/// What tokens look like.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Token {
    /// A JSON Web Token with Port's claims; its signature is random, so only its look is true.
    Jwt,
    /// A random string: nothing in it says when it lapses.
    Opaque,
    /// This very text from both flows, however hostile.
    Literal(String),
}

/// Which flow's token the MCP server takes; it answers any other with 401.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Accepts {
    /// Either flow's.
    Any,
    /// The OAuth endpoint's alone.
    OauthOnly,
    /// The REST API's alone.
    RestOnly,
}

impl Accepts {
    fn takes(self, flow: Flow) -> bool {
        match self {
            Self::Any => true,
            Self::OauthOnly => flow == Flow::Oauth,
            Self::RestOnly => flow == Flow::Rest,
        }
    }
}

/// The tokens that are out, and how to make the next.
#[derive(Debug)]
pub(crate) struct Tokens {
    look: Token,
    lifetime: Duration,
    first_validity: Duration,
    accepts: Accepts,
    active: Mutex<HashMap<Flow, Active>>,
}

#[derive(Debug)]
struct Active {
    text: String,
    lapses: SystemTime,
}

impl Tokens {
    pub(crate) fn new(settings: &Builder) -> Self {
        Self {
            look: settings.token.clone(),
            lifetime: settings.token_lifetime,
            first_validity: settings
                .token_validity_left
                .unwrap_or(settings.token_lifetime),
            accepts: settings.accepts,
            active: Mutex::default(),
        }
    }

    /// The flow's active token; a new one when there is none or it has lapsed.
    pub(crate) fn hand_out(&self, flow: Flow) -> String {
        let now = SystemTime::now();
        let mut active = self.active();
        let validity = match active.get(&flow) {
            Some(token) if token.lapses > now => return token.text.clone(),
            Some(_lapsed) => self.lifetime,
            None => self.first_validity,
        };
        let lapses = now + validity;
        let text = self.mint(lapses);
        active.insert(
            flow,
            Active {
                text: text.clone(),
                lapses,
            },
        );
        text
    }

    /// Whether the MCP server lets the holder of this token in.
    pub(crate) fn admit(&self, text: &str) -> bool {
        let now = SystemTime::now();
        self.active().iter().any(|(flow, token)| {
            self.accepts.takes(*flow) && token.text == text && token.lapses > now
        })
    }

    /// Makes every active token lapse.
    pub(crate) fn lapse(&self) {
        for token in self.active().values_mut() {
            token.lapses = UNIX_EPOCH;
        }
    }

    fn mint(&self, lapses: SystemTime) -> String {
        match &self.look {
            Token::Jwt => {
                let exp = unix_seconds(lapses);
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
        self.active.lock().expect("no holder of the lock panics")
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
