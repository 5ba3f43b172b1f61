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
//! | `lost` | how Port says that it does not know a session |
//! | `list` | the list of tools |
//! | `rewrite` | the three responses that are rewritten |
//! | `inspect` | the search for secrets in a response as it arrives |
//! | `scan` | the keys and the id of a message as it arrives |
//! | `memory` | the memory that clients can cause the gateway to hold |
//! | `attempt` | an attempt of an agent to connect, and why it failed |
//! | `call` | a forwarded call until its end |
//! | `audit` | events and counts |
//! | `keys` | random keys |
//! | `handover` | what the step passes to the gateway |
//! | `serve` | what the gateway's process does |

mod attempt;
mod audit;
mod call;
mod door;
pub(crate) mod gate;
pub(crate) mod handover;
pub(crate) mod inspect;
pub(crate) mod keys;
mod list;
mod lost;
mod memory;
mod renewal;
pub(crate) mod rewrite;
mod scan;
pub mod serve;
mod sessions;
mod upstream;

use std::collections::HashSet;
use std::convert::Infallible;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use http::{HeaderMap, HeaderName, StatusCode};
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use secrecy::SecretString;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{Semaphore, SetOnce};
use tokio::task::JoinError;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use tokio_util::task::task_tracker::TaskTrackerToken;

use attempt::Failure;
use audit::{Audit, Sink};
pub(crate) use audit::{Counts, End, Start};
use door::Client;
pub(crate) use door::PATH;
use handover::HandOver;
use memory::Memory;
use renewal::Renewal;
use sessions::Sessions;
use upstream::Upstream;

use crate::http::{Http, HttpSettings};

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
/// The pause after a connection that could not be accepted: without a free descriptor, the next one cannot be either.
const ACCEPT_PAUSE: Duration = Duration::from_millis(50);

// The end of a gateway takes at most the sum of these limits, which is less than an engine and a post phase wait.

/// How long requests in progress may take to end when the gateway stops.
const DRAIN_TIMEOUT: Duration = Duration::from_secs(2);
/// How long a connection may then take to send the end of its response.
const CLOSE_TIMEOUT: Duration = Duration::from_millis(500);

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
    memory: Arc<Memory>,
    /// The maximum number of connections.
    max_connections: usize,
    /// The requests in progress.
    requests: TaskTracker,
    /// The connections, except those that wait for the end of the gateway.
    clients: TaskTracker,
    /// Cancelled when the gateway accepts no more requests.
    stopping: CancellationToken,
    /// Cancelled when the connections end.
    closing: CancellationToken,
    /// The counts, when the gateway has ended.
    ended: SetOnce<Counts>,
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

impl Gateway {
    fn new(
        settings: &HandOver,
        hosts: Vec<String>,
        sinks: Vec<Sink>,
        max_connections: usize,
    ) -> anyhow::Result<Arc<Self>> {
        let http = Http::new(HttpSettings {
            ca_certificates: settings.ca_certificates.clone(),
            timeout: settings.lifetime,
            proxy: settings.proxy.clone(),
            run: settings.run.clone(),
        })?;
        let mut headers = HeaderMap::new();
        for (name, value) in &settings.headers {
            headers.insert(HeaderName::from_bytes(name.as_bytes())?, value.parse()?);
        }
        let audit = Arc::new(Audit::new(sinks, settings.audit_arguments));
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
            memory: Arc::default(),
            max_connections,
            requests: TaskTracker::new(),
            clients: TaskTracker::new(),
            stopping: CancellationToken::new(),
            closing: CancellationToken::new(),
            ended: SetOnce::new(),
        }))
    }

    /// Counts a request until the token is dropped. `None` if the gateway is stopping.
    fn enter(&self) -> Option<TaskTrackerToken> {
        let is_open = !self.stopping.is_cancelled();
        is_open.then(|| self.requests.token())
    }

    /// Stops the gateway, and returns the counts when it has ended.
    async fn stop(&self) -> Counts {
        self.stopping.cancel();
        self.ended.wait().await.clone()
    }

    /// Serves requests until the gateway is stopped, `signal` resolves, or `lifetime` ends.
    ///
    /// The last line of the audit is written when no client has a connection any more.
    async fn serve(
        self: Arc<Self>,
        listener: TcpListener,
        lifetime: Duration,
        signal: impl Future<Output = ()>,
    ) {
        let connections = TaskTracker::new();
        let end = tokio::select! {
            () = signal => End::Signal,
            () = tokio::time::sleep(lifetime) => End::GatewayLifetime,
            () = self.stopping.cancelled() => End::Request,
            never = self.accept(&listener, &connections) => match never {},
        };
        drop(listener);
        self.stopping.cancel();
        self.requests.close();
        // A stream of server messages ends only when the agent ends.
        let _ = tokio::time::timeout(DRAIN_TIMEOUT, self.requests.wait()).await;
        self.closing.cancel();
        self.clients.close();
        self.clients.wait().await;
        let _ = self.ended.set(self.audit.stop(end));
        connections.close();
        let _ = tokio::time::timeout(CLOSE_TIMEOUT, connections.wait()).await;
    }

    async fn accept(
        self: &Arc<Self>,
        listener: &TcpListener,
        connections: &TaskTracker,
    ) -> Infallible {
        let regular = Arc::new(Semaphore::new(self.max_connections));
        let all = Arc::new(Semaphore::new(self.max_connections + SURPLUS_CONNECTIONS));
        loop {
            let permit = Arc::clone(&all).acquire_owned().await;
            let Ok((stream, _)) = listener.accept().await else {
                tokio::time::sleep(ACCEPT_PAUSE).await;
                continue;
            };
            let regular = Arc::clone(&regular).try_acquire_owned().ok();
            let client = Client::new(self.clients.token(), regular.is_none());
            let permits = (permit, regular);
            connections.spawn(Arc::clone(self).connection(stream, client, permits));
        }
    }

    /// Serves one connection. When the gateway stops, the connection ends after its current response.
    async fn connection<P>(self: Arc<Self>, stream: TcpStream, client: Client, permits: P) {
        let _ = stream.set_nodelay(true);
        let gateway = Arc::clone(&self);
        let client = Arc::new(client);
        let stranger = async {
            let limit = if client.is_surplus {
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
            () = client.connection.cancelled() => {}
            () = self.closing.cancelled() => {
                connection.as_mut().graceful_shutdown();
                if client.waits_for_end() {
                    self.ended.wait().await;
                }
                let _ = tokio::time::timeout(CLOSE_TIMEOUT, connection).await;
            }
        }
        drop(permits);
    }
}
