//! The gateway: a local MCP server for the agent that enforces what was granted.
//!
//! It is a streaming proxy to Port's MCP server. The agent has a random key. The gateway has the credentials,
//! sets the token and Port's headers, lets only granted tools pass, renews the token when it expires, and
//! records every call.
//!
//! Comments name the sections of MCP's
//! [transports](https://modelcontextprotocol.io/specification/2025-11-25/basic/transports), of
//! [JSON-RPC 2.0](https://www.jsonrpc.org/specification), and of
//! [event streams](https://html.spec.whatwg.org/multipage/server-sent-events.html).
//!
//! | module | contents |
//! |---|---|
//! | `server` | the HTTP server for the agent: connections, and who may send requests |
//! | `request` | a request until its message is read |
//! | `post` | a message of the agent: the decision on it, and what follows |
//! | `stream` | the stream of server messages, and the end of a session |
//! | `relay` | Port's responses on their way to the agent |
//! | `reply` | the parts of responses, and errors of the gateway |
//! | `message` | a message of the agent, as far as the gateway reads it |
//! | `strict` | the walk through a message that finds where parsers could disagree |
//! | `gate` | the decision on each message |
//! | `rejection` | why a message is rejected, and what its sender gets |
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
//! | `settings` | what the step passes to the gateway |
//! | `serve` | what the gateway's process does |

mod attempt;
mod audit;
mod call;
pub(crate) mod gate;
pub(crate) mod inspect;
pub(crate) mod keys;
mod list;
mod lost;
mod memory;
pub(crate) mod message;
mod post;
mod rejection;
mod relay;
mod renewal;
mod reply;
mod request;
pub(crate) mod rewrite;
mod scan;
pub mod serve;
mod server;
mod sessions;
pub(crate) mod settings;
mod stream;
mod strict;
mod upstream;

use std::sync::Arc;

use http::{HeaderMap, HeaderName};
use secrecy::SecretString;
use tokio::sync::SetOnce;
use tokio::task::JoinError;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use tokio_util::task::task_tracker::TaskTrackerToken;

use audit::{Audit, Sink};
pub(crate) use audit::{Counts, End, Start};
use memory::Memory;
use renewal::Renewal;
pub(crate) use server::PATH;
use sessions::Sessions;
use settings::Settings;
use upstream::Upstream;

use crate::access::Grants;
use crate::http::{Http, HttpSettings};

/// A running gateway.
struct Gateway {
    key: SecretString,
    stop_key: Option<SecretString>,
    /// The values of `Host` that clients use.
    hosts: Vec<String>,
    /// The granted tools. They do not change while the gateway runs.
    grants: Grants,
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

impl Gateway {
    fn new(
        settings: &Settings,
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
            stop_key: settings.placement.stop_key.clone(),
            hosts,
            grants: settings.grants.clone(),
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
}
