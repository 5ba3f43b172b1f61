//! The gateway: a local MCP server for the agent that enforces what was granted.
//!
//! It is a streaming proxy to Port's MCP server. The agent has a random key. The gateway has the credentials,
//! sets the token and Port's headers, lets only granted tools pass, renews the token when it expires, and
//! records every call.
//!
//! | module | contents |
//! |---|---|
//! | `door` | the HTTP interface for the agent |
//! | `gate` | the decision on each message |
//! | `upstream` | the requests to Port |
//! | `renewal` | the token |
//! | `sessions` | the sessions of agents and of Port |
//! | `rewrite` | the three responses that are rewritten |
//! | `attempt` | an attempt of an agent to connect, and why it failed |
//! | `call` | a forwarded call until its end |
//! | `audit` | events and counts |
//! | `launch` | how a step starts the gateway, and the post phase stops it: as a process or as a container |
//! | `handover` | what the step passes to the gateway |
//! | `serve` | what the gateway's process does |

mod attempt;
mod audit;
mod call;
mod door;
pub(crate) mod gate;
pub(crate) mod handover;
pub(crate) mod keys;
pub(crate) mod launch;
mod renewal;
pub(crate) mod rewrite;
pub mod serve;
mod sessions;
mod upstream;

use std::collections::HashSet;
use std::io::Write;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use http::{HeaderMap, HeaderName, StatusCode};
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use secrecy::SecretString;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{Notify, Semaphore};
use tokio::task::{JoinError, JoinSet};

use attempt::Failure;
use audit::Audit;
pub(crate) use audit::Counts;
use door::Client;
use handover::HandOver;
use renewal::Renewal;
use sessions::Sessions;
use upstream::Upstream;

use crate::http::{Http, HttpSettings};

/// The memory for all request bodies together, in KiB.
const MEMORY: usize = 32 * 1024;
/// The maximum number of connections.
const MAX_CONNECTIONS: usize = 512;
/// The number of further connections, for the post phase.
const SURPLUS_CONNECTIONS: usize = 32;
/// How long a client without a key can keep a connection.
const STRANGER_TIMEOUT: Duration = Duration::from_secs(10);
/// The same for a surplus connection.
const SURPLUS_TIMEOUT: Duration = Duration::from_secs(2);
/// The time limit for the headers of a request.
const HEADER_TIMEOUT: Duration = Duration::from_secs(10);
/// The maximum length of the headers of a request in bytes.
const LARGEST_HEADERS: usize = 16 * 1024;
/// How long running requests may take to end when the gateway stops.
const DRAIN_TIMEOUT: Duration = Duration::from_secs(2);

/// A running gateway.
struct Gateway {
    key: SecretString,
    stop_key: Option<SecretString>,
    /// The values of `Host` that clients use.
    hosts: Vec<String>,
    /// The granted tools. They do not change while the gateway runs.
    tools: HashSet<String>,
    upstream: Arc<Upstream>,
    sessions: Sessions,
    audit: Arc<Audit>,
    memory: Arc<Semaphore>,
    /// The number of requests in progress.
    active: AtomicUsize,
    is_idle: Notify,
    /// Closed when the gateway stops.
    open: Semaphore,
    /// Notified to stop the gateway.
    stopping: Notify,
    /// Notified when the gateway accepts no more connections.
    is_closed: Notify,
    /// Notified to end the connections.
    end: Notify,
}

/// Runs work for all clients to its end: also if the client that caused it disconnects, which cancels the caller.
async fn uninterrupted<T: Send + 'static>(work: impl Future<Output = T> + Send + 'static) -> T {
    match tokio::spawn(work).await.map_err(JoinError::try_into_panic) {
        Ok(value) => value,
        Err(Ok(panic)) => std::panic::resume_unwind(panic),
        // The gateway ends.
        Err(Err(_)) => std::future::pending().await,
    }
}

/// Why an agent could not connect whose first request is not one: for example, because it uses TLS.
fn unreadable(error: &hyper::Error) -> Option<Failure> {
    let status = if error.is_parse_too_large() {
        StatusCode::REQUEST_HEADER_FIELDS_TOO_LARGE
    } else if error.is_parse() {
        StatusCode::BAD_REQUEST
    } else {
        return None;
    };
    Some(Failure::rejected(status, &error.to_string()))
}

/// A request in progress. Dropping it ends the request.
struct Active(Arc<Gateway>);

impl Drop for Active {
    fn drop(&mut self) {
        if self.0.active.fetch_sub(1, Ordering::AcqRel) == 1 {
            self.0.is_idle.notify_waiters();
        }
    }
}

impl Gateway {
    fn new(
        settings: &HandOver,
        hosts: Vec<String>,
        audit: Vec<Box<dyn Write + Send>>,
    ) -> anyhow::Result<Arc<Self>> {
        let http = Http::new(HttpSettings {
            ca_certificates: settings.ca_certificates.clone(),
            timeout: settings.lifetime,
            proxy: settings.proxy.clone(),
        })?;
        let mut headers = HeaderMap::new();
        for (name, value) in &settings.headers {
            headers.insert(HeaderName::from_bytes(name.as_bytes())?, value.parse()?);
        }
        let audit = Arc::new(Audit::new(audit, settings.audit_arguments));
        let renewal = Renewal::new(http.clone(), settings, Arc::clone(&audit));
        Ok(Arc::new(Self {
            key: settings.key.clone(),
            stop_key: settings.place.stop_key.clone(),
            hosts,
            tools: settings.tools.iter().cloned().collect(),
            upstream: Arc::new(Upstream::new(
                http,
                settings.endpoints.mcp.clone(),
                headers,
                renewal,
            )),
            sessions: Sessions::default(),
            audit,
            memory: Arc::new(Semaphore::new(MEMORY)),
            active: AtomicUsize::new(0),
            is_idle: Notify::new(),
            open: Semaphore::new(1),
            stopping: Notify::new(),
            is_closed: Notify::new(),
            end: Notify::new(),
        }))
    }

    /// Counts a request. `None` if the gateway is stopping.
    fn enter(self: &Arc<Self>) -> Option<Active> {
        if self.open.is_closed() {
            return None;
        }
        self.active.fetch_add(1, Ordering::AcqRel);
        Some(Active(Arc::clone(self)))
    }

    /// Stops accepting requests, waits for those in progress, and returns the counts.
    async fn stop(&self) -> Counts {
        self.open.close();
        let drained = async {
            loop {
                let idle = self.is_idle.notified();
                if self.active.load(Ordering::Acquire) == 0 {
                    return;
                }
                idle.await;
            }
        };
        // A stream of server messages ends only when the agent ends.
        let _ = tokio::time::timeout(DRAIN_TIMEOUT, drained).await;
        let counts = self.audit.stop();
        self.stopping.notify_one();
        self.is_closed.notified().await;
        counts
    }

    /// Serves requests until the gateway is stopped, `signal` resolves, or `lifetime` ends.
    async fn serve(
        self: Arc<Self>,
        listener: TcpListener,
        lifetime: Duration,
        signal: impl Future<Output = ()>,
    ) {
        let regular = Arc::new(Semaphore::new(MAX_CONNECTIONS));
        let all = Arc::new(Semaphore::new(MAX_CONNECTIONS + SURPLUS_CONNECTIONS));
        let mut connections = JoinSet::new();
        let mut end = Box::pin(async {
            tokio::select! {
                () = signal => {}
                () = tokio::time::sleep(lifetime) => self.audit.event("expired", &[]),
            }
            self.stop().await;
        });
        loop {
            let accepted = async {
                let permit = Arc::clone(&all).acquire_owned().await;
                (listener.accept().await, permit)
            };
            tokio::select! {
                (accepted, permit) = accepted => {
                    if let Ok((stream, _)) = accepted {
                        let regular = Arc::clone(&regular).try_acquire_owned().ok();
                        let is_surplus = regular.is_none();
                        let permits = (permit, regular);
                        let connection = Arc::clone(&self).connection(stream, is_surplus, permits);
                        connections.spawn(connection);
                    }
                }
                Some(_) = connections.join_next() => {}
                // Continues while running requests end, and then notifies `stopping`.
                () = &mut end => break,
                () = self.stopping.notified() => break,
            }
        }
        // It would otherwise also wait for `is_closed`.
        drop(end);
        drop(listener);
        self.is_closed.notify_one();
        self.end.notify_waiters();
        let ended = async { while connections.join_next().await.is_some() {} };
        let _ = tokio::time::timeout(DRAIN_TIMEOUT, ended).await;
    }

    /// Serves one connection. When the gateway stops, the connection ends after its current response.
    async fn connection<P>(self: Arc<Self>, stream: TcpStream, is_surplus: bool, permits: P) {
        let _ = stream.set_nodelay(true);
        let gateway = Arc::clone(&self);
        let client = Arc::new(Client {
            is_surplus,
            ..Client::default()
        });
        let stranger = async {
            let limit = if is_surplus {
                SURPLUS_TIMEOUT
            } else {
                STRANGER_TIMEOUT
            };
            tokio::time::sleep(limit).await;
            if client.is_known.load(Ordering::Relaxed) {
                std::future::pending::<()>().await;
            }
        };
        let service =
            service_fn(|request| door::respond(Arc::clone(&gateway), Arc::clone(&client), request));
        let connection = http1::Builder::new()
            .timer(TokioTimer::new())
            .header_read_timeout(HEADER_TIMEOUT)
            .max_buf_size(LARGEST_HEADERS)
            .serve_connection(TokioIo::new(stream), service);
        tokio::pin!(connection);
        // A broken connection concerns only its client.
        tokio::select! {
            ended = &mut connection => {
                let is_known = client.is_known.load(Ordering::Relaxed);
                if let Some(failure) = ended.err().filter(|_| !is_known).and_then(|error| unreadable(&error)) {
                    self.audit.session_failed(failure);
                }
            }
            () = stranger => {}
            () = self.end.notified() => {
                connection.as_mut().graceful_shutdown();
                let _ = connection.await;
            }
        }
        drop(permits);
    }
}
