//! When a request is sent again, and after how long.

use std::fmt::Display;
use std::time::{Duration, SystemTime};

use reqwest::StatusCode;
use reqwest::header::{HeaderMap, RETRY_AFTER};

use super::{NetworkError, StatusError};

/// The maximum number of attempts, including the first.
pub(super) const MAX_ATTEMPTS: usize = 5;
/// The backoff before the second attempt. It doubles with each further attempt.
const BACKOFF: Duration = Duration::from_millis(250);
/// The part of a requested wait, as a divisor, over which retries are spread.
const SPREAD: u32 = 4;
/// The wait after too many requests at once. With the backoff alone, five attempts would end before a server
/// that processes 10 requests at once has processed those of a large matrix.
const AT_ONCE: Duration = Duration::from_secs(1);
/// `x-ratelimit-reset` is documented both as seconds to wait and as a point in time. A larger number is
/// a point in time.
const MAX_RESET: u64 = 10_000;

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
        error.is_transient().then(|| match error {
            // Its time limit says nothing about the server.
            NetworkError::Timeout(_) => Self::after(&"no response"),
            _ => Self::after(error),
        })
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
/// for a 429, `x-ratelimit-reset` in seconds or as a point in time. If `x-ratelimit-remaining` says that this
/// limit is not used up, the reset does not matter: too many requests were sent at once.
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
    let number = |name: &str| header(name)?.parse::<u64>().ok();
    if number("x-ratelimit-remaining").is_some_and(|remaining| remaining > 0) {
        return Some(AT_ONCE);
    }
    let reset = number("x-ratelimit-reset")?;
    if reset <= MAX_RESET {
        Some(Duration::from_secs(reset))
    } else {
        let moment = SystemTime::UNIX_EPOCH.checked_add(Duration::from_secs(reset))?;
        Some(until(moment))
    }
}

/// The wait before the next attempt: the requested one, if any, and a random time in addition. `None` if the
/// requested wait does not end within `time_left`.
///
/// A server tells all jobs of a burst the same moment. The random time spreads them: over the backoff, which
/// doubles with each failed attempt, or, if that is longer, over a part of the requested wait. The longer the
/// wait, the more jobs can have gathered. At least half of the time that is left after the requested wait
/// remains for the attempt.
pub(super) fn wait(
    requested: Option<Duration>,
    failed_attempts: usize,
    time_left: Duration,
) -> Option<Duration> {
    let requested = requested.unwrap_or_default();
    let left = time_left
        .checked_sub(requested)
        .filter(|left| !left.is_zero())?;
    let backoff = BACKOFF * (1 << failed_attempts.min(MAX_ATTEMPTS));
    let spread = backoff.max(requested / SPREAD).min(left / 2);
    let random = getrandom::u32().unwrap_or(u32::MAX);
    Some(requested + spread.mul_f64(f64::from(random) / f64::from(u32::MAX)))
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;
    use proptest::option;
    use proptest::prelude::*;
    use reqwest::header::{HeaderName, HeaderValue};

    const NOW: u64 = 1_800_000_000;

    /// `benches/rate-limits` simulates a day of many jobs with these rules.
    #[test]
    fn the_simulation_uses_the_same_numbers() {
        let source = include_str!("../../benches/rate-limits");
        for constant in [
            format!("const MAX_ATTEMPTS = {MAX_ATTEMPTS};"),
            format!("const BACKOFF = {};", BACKOFF.as_secs_f64()),
            format!("const SPREAD = 1 / {SPREAD};"),
            format!("const AT_ONCE_WAIT = {};", AT_ONCE.as_secs()),
            format!(
                "const MIN_ATTEMPT = {};",
                crate::http::MIN_ATTEMPT.as_secs_f64()
            ),
        ] {
            assert!(source.contains(&constant), "{constant}");
        }
    }

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
    fn too_many_at_once_is_not_a_window_that_is_used_up() {
        let reset = ("x-ratelimit-reset", "42");
        assert_eq!(
            wait(429, &[reset, ("x-ratelimit-remaining", "0")]),
            Some(42)
        );
        assert_eq!(
            wait(429, &[reset, ("x-ratelimit-remaining", "73")]),
            Some(1)
        );
        let both = [reset, ("x-ratelimit-remaining", "73"), ("retry-after", "7")];
        assert_eq!(wait(429, &both), Some(7));
    }

    proptest! {
        #[test]
        fn a_wait_is_never_too_short_and_never_too_long(
            requested in option::of(0..100_000_u64),
            failed in 0..MAX_ATTEMPTS,
            left in 0..200_000_u64,
        ) {
            let [requested, left] = [requested, Some(left)].map(|ms| ms.map(Duration::from_millis));
            let (least, left) = (requested.unwrap_or_default(), left.unwrap());
            let wait = super::wait(requested, failed, left);
            prop_assert_eq!(wait.is_some(), least < left);
            if let Some(wait) = wait {
                let most = least + (least / SPREAD).max(BACKOFF * (1 << failed));
                let most = most.min(least + left.saturating_sub(least) / 2);
                prop_assert!((least..=most).contains(&wait), "{wait:?}");
            }
        }
    }

    #[test]
    fn jobs_with_the_same_wait_do_not_return_together() {
        let requested = Duration::from_secs(100);
        let left = Duration::from_mins(10);
        let slices: HashSet<u64> = (0..1000)
            .filter_map(|_| super::wait(Some(requested), 0, left))
            .map(|wait| wait.saturating_sub(requested).as_secs())
            .collect();
        // Of 25 slices, the chance that one stays empty is 0.96^1000.
        assert!(slices.len() >= 25, "{slices:?}");
    }
}
