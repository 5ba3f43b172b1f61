//! The token, and its renewal.
//!
//! Port returns the same token until it expires, so an early exchange returns nothing new and counts against
//! Port's rate limit. The first request after the token has expired renews it: a gateway whose agent is idle
//! sends no exchange.

use std::sync::Arc;
use std::time::Duration;

use secrecy::{ExposeSecret as _, SecretString};
use tokio::sync::Mutex;
use tokio::time::Instant;

use super::audit::Audit;
use super::settings::Settings;
use super::uninterrupted;
use crate::http::Http;
use crate::port::{self, AuthMethod, Credentials, Endpoints, Flow, Token};
use crate::text::secrets;

/// The minimum time between two exchanges that rejected tokens cause.
const MIN_INTERVAL: Duration = Duration::from_secs(30);
/// How much earlier than known a token can expire: the `Date` of Port's response has a resolution of a second,
/// and the response may have taken 10 seconds.
const EXPIRY_TOLERANCE: Duration = Duration::from_secs(11);
/// After a failed exchange, how long at least requests fail at once instead of waiting for another exchange.
const MIN_PAUSE: Duration = Duration::from_secs(5);
/// The time limit of one renewal, including retries. Requests wait as long for it.
const TIMEOUT: Duration = Duration::from_mins(1);

/// The token of the gateway. There is at most one exchange at a time.
pub(super) struct Renewal {
    http: Http,
    endpoints: Endpoints,
    credentials: Credentials,
    auth_method: AuthMethod,
    audit: Arc<Audit>,
    current: Mutex<Current>,
}

struct Current {
    token: SecretString,
    /// When it expires; `None` if only Port knows.
    valid_until: Option<Instant>,
    flow: Flow,
    last_exchange: Option<Exchange>,
    /// When a rejected token last caused an exchange.
    last_refresh: Option<Instant>,
}

/// An exchange that has ended.
struct Exchange {
    ended_at: Instant,
    failure: Option<Failure>,
}

struct Failure {
    text: String,
    /// The wait before the next exchange that Port requests.
    retry_after: Option<Duration>,
}

/// Why there is no valid token.
#[derive(Debug, thiserror::Error)]
pub(super) enum RenewalError {
    /// Port rejected the new token too, or the last exchange after a rejection was too recent.
    #[error("Port rejected the credentials")]
    Rejected,
    /// The exchange failed.
    #[error("the token could not be renewed: {0}")]
    Failed(String),
}

impl Renewal {
    pub(super) fn new(http: Http, settings: &Settings, audit: Arc<Audit>) -> Self {
        Self {
            http,
            endpoints: settings.endpoints.clone(),
            credentials: settings.credentials.clone(),
            auth_method: settings.auth_method,
            audit,
            current: Mutex::new(Current {
                token: settings.token.secret.clone(),
                valid_until: valid_until(&settings.token),
                flow: settings.token.flow,
                last_exchange: None,
                last_refresh: None,
            }),
        }
    }

    /// The token. After it has expired, waits for a new one.
    ///
    /// # Errors
    /// When the exchange fails.
    pub(super) async fn token(self: &Arc<Self>) -> Result<SecretString, RenewalError> {
        if let Ok(current) = self.current.try_lock()
            && !current.expires_within(Duration::ZERO)
        {
            return Ok(current.token.clone());
        }
        let this = Arc::clone(self);
        uninterrupted(async move {
            let mut current = this.current.lock().await;
            if current.expires_within(Duration::ZERO) {
                this.refresh_expired(&mut current).await?;
            }
            Ok(current.token.clone())
        })
        .await
    }

    /// A token other than `rejected`, which Port rejected.
    ///
    /// # Errors
    /// When there is none, or a rejected token caused an exchange less than 30 seconds ago.
    pub(super) async fn refresh_rejected(
        self: &Arc<Self>,
        rejected: &SecretString,
    ) -> Result<SecretString, RenewalError> {
        let (this, rejected) = (Arc::clone(self), rejected.clone());
        uninterrupted(async move { this.refresh(&rejected).await }).await
    }

    async fn refresh(&self, rejected: &SecretString) -> Result<SecretString, RenewalError> {
        let mut current = self.current.lock().await;
        let is_same = |token: &SecretString| token.expose_secret() == rejected.expose_secret();
        if is_same(&current.token) && current.expires_within(EXPIRY_TOLERANCE) {
            // It expired on its way to Port: nothing is wrong with the credentials.
            self.refresh_expired(&mut current).await?;
        } else if is_same(&current.token) {
            if let Some(error) = current.recent_failure(MIN_INTERVAL) {
                return Err(RenewalError::Failed(error));
            }
            let last = current.last_refresh;
            if last.is_some_and(|at| at.elapsed() < MIN_INTERVAL) {
                return Err(RenewalError::Rejected);
            }
            current.last_refresh = Some(Instant::now());
            let flow = current.flow;
            self.exchange(&mut current, flow).await?;
            if is_same(&current.token) && self.auth_method == AuthMethod::Auto {
                self.exchange(&mut current, Flow::Oauth).await?;
            }
        }
        if is_same(&current.token) {
            return Err(RenewalError::Rejected);
        }
        Ok(current.token.clone())
    }

    /// Renews a token that has expired.
    async fn refresh_expired(&self, current: &mut Current) -> Result<(), RenewalError> {
        match current.recent_failure(MIN_PAUSE) {
            Some(error) => Err(RenewalError::Failed(error)),
            None => self.exchange(current, current.flow).await,
        }
    }

    async fn exchange(&self, current: &mut Current, flow: Flow) -> Result<(), RenewalError> {
        let http = self.http.with_deadline(TIMEOUT);
        let result = port::fetch_token(&http, &self.endpoints, &self.credentials, flow).await;
        let failure = result.as_ref().err().map(|error| Failure {
            text: error.reason(),
            retry_after: error.cause().retry_after(),
        });
        current.last_exchange = Some(Exchange {
            ended_at: Instant::now(),
            failure,
        });
        let token = result.map_err(|error| RenewalError::Failed(error.reason()))?;
        secrets::register(&token.secret);
        let valid_until = valid_until(&token);
        if token.secret.expose_secret() == current.token.expose_secret() {
            // It is valid according to Port, so Port rejects it when it expires.
            let least = Instant::now() + EXPIRY_TOLERANCE;
            current.valid_until = valid_until.map(|until| until.max(least));
        } else {
            self.audit.renewal(token.expires_at);
            current.valid_until = valid_until;
        }
        current.token = token.secret;
        current.flow = flow;
        Ok(())
    }
}

fn valid_until(token: &Token) -> Option<Instant> {
    Instant::now().checked_add(token.valid_for()?)
}

impl Current {
    fn expires_within(&self, time: Duration) -> bool {
        let then = Instant::now() + time;
        self.valid_until.is_some_and(|until| until <= then)
    }

    /// The error of an exchange that failed within this time, or after which Port still requests a wait.
    fn recent_failure(&self, interval: Duration) -> Option<String> {
        let last = self.last_exchange.as_ref()?;
        let failure = last.failure.as_ref()?;
        let pause = interval.max(failure.retry_after.unwrap_or_default());
        (last.ended_at.elapsed() < pause).then(|| failure.text.clone())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// `benches/rate-limits` simulates a day of many jobs with these rules.
    #[test]
    fn the_simulation_uses_the_same_numbers() {
        let source = include_str!("../../benches/rate-limits");
        for constant in [
            format!("const RENEWAL_TIMEOUT = {};", TIMEOUT.as_secs()),
            format!("const MIN_PAUSE = {};", MIN_PAUSE.as_secs()),
        ] {
            assert!(source.contains(&constant), "{constant}");
        }
    }
}
