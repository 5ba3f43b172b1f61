//! The token, and its renewal.
//!
//! Port returns the same token until it expires, so an early exchange returns nothing new. The token is
//! renewed once shortly before it expires, then by the first request after it has expired.

use std::time::{Duration, SystemTime};

use secrecy::{ExposeSecret as _, SecretString};
use tokio::sync::Mutex;
use tokio::time::Instant;

use super::handover::HandOver;
use crate::http::Http;
use crate::inputs::AuthMethod;
use crate::port::{self, Credentials, Endpoints, Flow};
use crate::text::secrets;

/// How long before the token expires it is first renewed.
const MARGIN: Duration = Duration::from_mins(1);
/// The maximum random delay of that renewal, so that jobs with the same token do not renew it at once.
const JITTER: Duration = Duration::from_secs(20);
/// The minimum time between two exchanges that rejected tokens cause.
const SHORTEST_INTERVAL: Duration = Duration::from_secs(30);
/// After a failed exchange, how long requests fail at once instead of waiting for another exchange.
const SHORTEST_PAUSE: Duration = Duration::from_secs(5);
/// The time limit of one renewal, including retries. Requests wait as long for it.
const TIMEOUT: Duration = Duration::from_mins(1);

/// The token of the gateway. There is at most one exchange at a time.
pub(super) struct Renewal {
    http: Http,
    endpoints: Endpoints,
    credentials: Credentials,
    auth_method: AuthMethod,
    current: Mutex<Current>,
}

struct Current {
    token: SecretString,
    expires_at: Option<SystemTime>,
    flow: Flow,
    /// When the last exchange ended, and its error.
    last_exchange: Option<(Instant, Option<String>)>,
    renewals: u64,
}

/// Why there is no valid token.
#[derive(Debug, thiserror::Error)]
pub(super) enum RenewalError {
    /// Port rejected the new token too, or the last exchange was too recent.
    #[error("Port rejected the credentials")]
    Rejected,
    /// The exchange failed.
    #[error("the token could not be renewed: {0}")]
    Failed(String),
}

impl Renewal {
    pub(super) fn new(http: Http, settings: &HandOver) -> Self {
        Self {
            http,
            endpoints: settings.endpoints.clone(),
            credentials: settings.credentials.clone(),
            auth_method: settings.auth_method,
            current: Mutex::new(Current {
                token: settings.token.secret.clone(),
                expires_at: settings.token.expires_at,
                flow: settings.token.flow,
                last_exchange: None,
                renewals: 0,
            }),
        }
    }

    /// The token. After it has expired, waits for a new one.
    ///
    /// # Errors
    /// When the exchange fails.
    pub(super) async fn token(&self) -> Result<SecretString, RenewalError> {
        let mut current = self.current.lock().await;
        let is_expired = current.expires_at.is_some_and(|at| at <= SystemTime::now());
        if is_expired {
            if let Some(error) = current.recent_failure(SHORTEST_PAUSE) {
                return Err(RenewalError::Failed(error));
            }
            self.exchange(&mut current).await?;
        }
        Ok(current.token.clone())
    }

    /// A token other than `rejected`, which Port rejected.
    ///
    /// # Errors
    /// When there is none, or the last exchange was less than 30 seconds ago.
    pub(super) async fn replace(
        &self,
        rejected: &SecretString,
    ) -> Result<SecretString, RenewalError> {
        let mut current = self.current.lock().await;
        let is_same = |token: &SecretString| token.expose_secret() == rejected.expose_secret();
        if is_same(&current.token) {
            if let Some(error) = current.recent_failure(SHORTEST_INTERVAL) {
                return Err(RenewalError::Failed(error));
            }
            if current.is_recent(SHORTEST_INTERVAL) {
                return Err(RenewalError::Rejected);
            }
            self.exchange(&mut current).await?;
            if is_same(&current.token) && self.auth_method == AuthMethod::Auto {
                current.flow = Flow::Oauth;
                self.exchange(&mut current).await?;
            }
        }
        if is_same(&current.token) {
            return Err(RenewalError::Rejected);
        }
        Ok(current.token.clone())
    }

    /// Renews the token once, shortly before it expires.
    pub(super) async fn renew_in_time(&self) {
        let expires_at = self.current.lock().await.expires_at;
        let Some(left) = expires_at.and_then(|at| at.duration_since(SystemTime::now()).ok()) else {
            return;
        };
        let random = getrandom::u32().unwrap_or_default();
        let jitter = JITTER.mul_f64(f64::from(random) / f64::from(u32::MAX));
        let Some(wait) = left.checked_sub(MARGIN).map(|wait| wait + jitter) else {
            return;
        };
        tokio::time::sleep(wait).await;
        let mut current = self.current.lock().await;
        // The next request tries again.
        let _ = self.exchange(&mut current).await;
    }

    /// The number of new tokens.
    pub(super) async fn count(&self) -> u64 {
        self.current.lock().await.renewals
    }

    async fn exchange(&self, current: &mut Current) -> Result<(), RenewalError> {
        let http = self.http.with_deadline(TIMEOUT);
        let result =
            port::fetch_token(&http, &self.endpoints, &self.credentials, current.flow).await;
        let error = result.as_ref().err().map(|error| error.cause().to_string());
        current.last_exchange = Some((Instant::now(), error.clone()));
        let token = result.map_err(|_| RenewalError::Failed(error.unwrap_or_default()))?;
        secrets::register(&token.secret);
        if token.secret.expose_secret() != current.token.expose_secret() {
            current.renewals += 1;
        }
        current.token = token.secret;
        current.expires_at = token.expires_at;
        Ok(())
    }
}

impl Current {
    fn is_recent(&self, interval: Duration) -> bool {
        let last = self.last_exchange.as_ref();
        last.is_some_and(|(at, _)| at.elapsed() < interval)
    }

    /// The error of an exchange that failed within this time.
    fn recent_failure(&self, interval: Duration) -> Option<String> {
        let (_, error) = self
            .last_exchange
            .as_ref()
            .filter(|_| self.is_recent(interval))?;
        error.clone()
    }
}
