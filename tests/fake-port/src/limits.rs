//! Port's limits of token exchanges.

use std::{
    collections::{HashMap, VecDeque},
    net::SocketAddr,
    sync::{
        Mutex, MutexGuard,
        atomic::{AtomicU64, Ordering},
    },
    time::{Duration, Instant},
};

use axum::{
    extract::connect_info::Connected,
    http::{HeaderName, HeaderValue, StatusCode},
    response::Response,
    serve::IncomingStream,
};

use crate::{Flow, server::PlainListener, tls::TlsListener};

/// A limit of token exchanges, which [`Builder::rate_limit`](crate::Builder::rate_limit) enforces.
///
/// The window slides: in every interval of its length, at most `most` exchanges are accepted.
/// Rejected exchanges do not count. To scale time, scale all durations.
#[derive(Debug, Clone)]
pub struct RateLimit {
    /// The number of exchanges that are accepted in a window.
    pub most: usize,
    /// The length of the window.
    pub window: Duration,
    /// The number of exchanges that are processed at the same time. `None` means any number.
    pub at_once: Option<usize>,
    /// How long Port processes an exchange: the simulated latency of an accepted exchange.
    pub service_time: Duration,
    /// As if other jobs had used up the limit earlier: it is free again at this time. `None` means
    /// that it was not used.
    pub free_at: Option<Instant>,
}

impl RateLimit {
    /// What is known of this flow's limit: for [`Flow::Rest`], 100 exchanges in 5 minutes and 10 at
    /// once for each address; for [`Flow::Oauth`], 50 exchanges in 15 minutes for each client id.
    #[must_use]
    pub fn of(flow: Flow) -> Self {
        let (most, minutes, at_once) = match flow {
            Flow::Rest => (100, 5, Some(10)),
            Flow::Oauth => (50, 15, None),
        };
        Self {
            most,
            window: Duration::from_mins(minutes),
            at_once,
            service_time: Duration::ZERO,
            free_at: None,
        }
    }
}

/// A token exchange as received, if its flow has a [`RateLimit`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Exchange {
    /// The number of the connection. Ports are used again, so they do not identify it.
    pub connection: u64,
    /// When it arrived.
    pub at: Instant,
    /// What the limit decided.
    pub decision: Decision,
}

/// What a [`RateLimit`] decided about an exchange.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Decision {
    /// It was accepted.
    Accepted,
    /// It was rejected, because too many were processed at the same time.
    TooManyAtOnce,
    /// It was rejected, because the window was used up.
    UsedUp {
        /// The wait that the response requests, in seconds.
        reset: u64,
    },
}

/// A connection, and the address of its client.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Client {
    pub(crate) address: SocketAddr,
    connection: u64,
}

impl Client {
    fn new(address: SocketAddr) -> Self {
        static CONNECTIONS: AtomicU64 = AtomicU64::new(0);
        Self {
            address,
            connection: CONNECTIONS.fetch_add(1, Ordering::Relaxed),
        }
    }
}

impl Connected<IncomingStream<'_, PlainListener>> for Client {
    fn connect_info(stream: IncomingStream<'_, PlainListener>) -> Self {
        Self::new(*stream.remote_addr())
    }
}

impl Connected<IncomingStream<'_, TlsListener>> for Client {
    fn connect_info(stream: IncomingStream<'_, TlsListener>) -> Self {
        Self::new(*stream.remote_addr())
    }
}

/// Enforces a limit, and records what it decides.
#[derive(Debug)]
pub(crate) struct Limiter {
    limit: RateLimit,
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    /// By counted key: an address or a client id.
    keys: HashMap<String, Key>,
    exchanges: Vec<Exchange>,
}

#[derive(Debug)]
struct Key {
    /// When each accepted exchange stops counting, in order.
    ends: VecDeque<Instant>,
    /// The exchanges that are processed now.
    running: usize,
}

impl Limiter {
    pub(crate) fn new(limit: RateLimit) -> Self {
        Self {
            limit,
            state: Mutex::default(),
        }
    }

    pub(crate) fn exchanges(&self) -> Vec<Exchange> {
        self.state().exchanges.clone()
    }

    /// Responds to an exchange that has just arrived: with `accepted`, after the service time, or with
    /// `rejected` in the status 429. Adds the headers of the limit.
    pub(crate) async fn respond(
        &self,
        client: Client,
        key: &str,
        accepted: impl FnOnce() -> Response,
        rejected: impl FnOnce(StatusCode) -> Response,
    ) -> Response {
        let (decision, headers) = self.decide(client, key);
        let mut response = if decision == Decision::Accepted {
            let _running = Running { limiter: self, key };
            tokio::time::sleep(self.limit.service_time).await;
            accepted()
        } else {
            rejected(StatusCode::TOO_MANY_REQUESTS)
        };
        response.headers_mut().extend(headers);
        response
    }

    fn decide(&self, client: Client, key: &str) -> (Decision, [(HeaderName, HeaderValue); 4]) {
        let now = Instant::now();
        let limit = &self.limit;
        let mut state = self.state();
        let used = state.keys.entry(key.to_owned()).or_insert_with(|| Key {
            ends: limit
                .free_at
                .map_or_else(VecDeque::new, |at| vec![at; limit.most].into()),
            running: 0,
        });
        while used.ends.front().is_some_and(|end| *end <= now) {
            used.ends.pop_front();
        }
        // Rounded up: a client that waits so long does not come too early.
        let reset = |end: Instant| {
            let wait = end - now;
            wait.as_secs() + u64::from(wait.subsec_nanos() > 0)
        };
        let decision = match used.ends.front() {
            Some(end) if used.ends.len() >= limit.most => Decision::UsedUp { reset: reset(*end) },
            _ if limit.at_once.is_some_and(|at_once| used.running >= at_once) => {
                Decision::TooManyAtOnce
            }
            _ => {
                used.ends.push_back(now + limit.window);
                used.running += 1;
                Decision::Accepted
            }
        };
        let headers = rate_limit_headers(
            limit.most,
            limit.window.as_secs(),
            limit.most - used.ends.len(),
            used.ends.front().map_or(0, |end| reset(*end)),
        );
        state.exchanges.push(Exchange {
            connection: client.connection,
            at: now,
            decision,
        });
        (decision, headers)
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().expect("the lock is not poisoned")
    }
}

/// An exchange that is processed, until this is dropped.
struct Running<'a> {
    limiter: &'a Limiter,
    key: &'a str,
}

impl Drop for Running<'_> {
    fn drop(&mut self) {
        if let Some(key) = self.limiter.state().keys.get_mut(self.key) {
            key.running -= 1;
        }
    }
}

/// The headers of a limit of `most` requests in `period` seconds, of which `remaining` are left until
/// the limit resets after `reset` seconds.
pub(crate) fn rate_limit_headers(
    most: usize,
    period: u64,
    remaining: usize,
    reset: u64,
) -> [(HeaderName, HeaderValue); 4] {
    [
        ("x-ratelimit-limit", most as u64),
        ("x-ratelimit-period", period),
        ("x-ratelimit-remaining", remaining as u64),
        ("x-ratelimit-reset", reset),
    ]
    .map(|(name, value)| (HeaderName::from_static(name), value.into()))
}
