//! When a request is sent again, and after how long.

use std::fmt::Display;
use std::time::{Duration, SystemTime};

use reqwest::StatusCode;
use reqwest::header::{HeaderMap, RETRY_AFTER};

use super::{NetworkError, StatusError};

/// The maximum number of attempts, including the first.
pub(super) const MOST_ATTEMPTS: usize = 5;
/// The backoff before the second attempt. It doubles with each further attempt.
const BACKOFF: Duration = Duration::from_millis(250);
/// `x-ratelimit-reset` is documented both as seconds to wait and as a point in time. A larger number is
/// a point in time.
const LONGEST_RESET: u64 = 10_000;

/// A reason to send a request again.
pub(crate) struct Retry {
    /// Why the last attempt failed.
    pub(crate) reason: String,
    /// The wait before the next attempt that the server requests.
    pub(crate) wait: Option<Duration>,
}

impl Retry {
    /// After a response with this status: 408, 429, and 5xx.
    pub(crate) fn after_status(status: StatusCode, headers: &HeaderMap) -> Option<Self> {
        is_transient(status).then(|| Self {
            reason: status.to_string(),
            wait: requested_wait(headers, status, SystemTime::now()),
        })
    }

    /// After a response that was classified.
    pub(crate) fn after_status_error(error: &StatusError) -> Option<Self> {
        is_transient(error.status).then(|| Self {
            reason: error.to_string(),
            wait: error.retry_after,
        })
    }

    /// After another error that a further attempt can avoid.
    pub(crate) fn after(error: &impl Display) -> Self {
        Self {
            reason: error.to_string(),
            wait: None,
        }
    }

    /// After no response, or an incomplete response.
    pub(crate) fn after_error(error: &NetworkError) -> Option<Self> {
        error.is_transient().then(|| Self::after(error))
    }
}

fn is_transient(status: StatusCode) -> bool {
    status.is_server_error()
        || matches!(
            status,
            StatusCode::REQUEST_TIMEOUT | StatusCode::TOO_MANY_REQUESTS
        )
}

/// The wait that the server requests: `Retry-After` in seconds or as a date (RFC 9110, 10.2.3); otherwise,
/// for a 429, `x-ratelimit-reset` in seconds or as a point in time.
pub(super) fn requested_wait(
    headers: &HeaderMap,
    status: StatusCode,
    now: SystemTime,
) -> Option<Duration> {
    let until = |moment: SystemTime| moment.duration_since(now).unwrap_or_default();
    let header = |name: &str| headers.get(name)?.to_str().ok().map(str::trim);
    if let Some(value) = header(RETRY_AFTER.as_str()) {
        if let Ok(seconds) = value.parse() {
            return Some(Duration::from_secs(seconds));
        }
        if let Ok(moment) = httpdate::parse_http_date(value) {
            return Some(until(moment));
        }
    }
    if status != StatusCode::TOO_MANY_REQUESTS {
        return None;
    }
    let reset: u64 = header("x-ratelimit-reset")?.parse().ok()?;
    if reset <= LONGEST_RESET {
        Some(Duration::from_secs(reset))
    } else {
        let moment = SystemTime::UNIX_EPOCH.checked_add(Duration::from_secs(reset))?;
        Some(until(moment))
    }
}

/// A random wait up to the backoff, which doubles with each failed attempt ("full jitter").
pub(super) fn jittered_backoff(failed_attempts: usize) -> Duration {
    let limit = BACKOFF * (1 << failed_attempts.min(MOST_ATTEMPTS));
    let random = getrandom::u32().unwrap_or(u32::MAX);
    limit.mul_f64(f64::from(random) / f64::from(u32::MAX))
}

#[cfg(test)]
mod tests {
    use super::*;
    use reqwest::header::{HeaderName, HeaderValue};

    const NOW: u64 = 1_800_000_000;

    fn wait(status: u16, headers: &[(&'static str, &str)]) -> Option<u64> {
        let headers = headers
            .iter()
            .map(|(name, value)| {
                let value = HeaderValue::from_str(value).unwrap();
                (HeaderName::from_static(name), value)
            })
            .collect();
        let now = SystemTime::UNIX_EPOCH + Duration::from_secs(NOW);
        requested_wait(&headers, StatusCode::from_u16(status).unwrap(), now)
            .map(|wait| wait.as_secs())
    }

    #[test]
    fn retry_after_is_read_in_both_forms() {
        assert_eq!(wait(503, &[("retry-after", "7")]), Some(7));
        assert_eq!(
            wait(503, &[("retry-after", "Fri, 15 Jan 2027 08:00:30 GMT")]),
            Some(30)
        );
        assert_eq!(
            wait(503, &[("retry-after", "Fri, 15 Jan 2021 08:00:30 GMT")]),
            Some(0)
        );
        assert_eq!(wait(503, &[("retry-after", "soon")]), None);
    }

    #[test]
    fn the_rate_limit_reset_is_read_as_seconds_and_as_time() {
        assert_eq!(wait(429, &[("x-ratelimit-reset", "42")]), Some(42));
        assert_eq!(
            wait(429, &[("x-ratelimit-reset", &(NOW + 90).to_string())]),
            Some(90)
        );
        assert_eq!(
            wait(429, &[("x-ratelimit-reset", "18446744073709551615")]),
            None
        );
        assert_eq!(
            wait(429, &[("retry-after", "1"), ("x-ratelimit-reset", "42")]),
            Some(1)
        );
        assert_eq!(
            wait(503, &[("x-ratelimit-reset", "42")]),
            None,
            "every response has this header"
        );
    }

    #[test]
    fn the_backoff_stays_below_its_limit() {
        for failed in 0..MOST_ATTEMPTS {
            assert!(jittered_backoff(failed) <= BACKOFF * (1 << failed));
        }
    }
}
