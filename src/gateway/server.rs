//! The HTTP server for the agent: connections, who may send requests, and which module handles each.

use std::borrow::Cow;
use std::convert::Infallible;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use http::header::{ALLOW, AUTHORIZATION, CONNECTION, HOST, HeaderValue, ORIGIN};
use http::{HeaderMap, Method, Request, Response, StatusCode};
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use secrecy::{ExposeSecret as _, SecretString};
use serde_json::json;
use subtle::ConstantTimeEq as _;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Semaphore;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use tokio_util::task::task_tracker::TaskTrackerToken;

use super::Gateway;
use super::attempt::UNKNOWN_SESSION;
use super::audit::End;
use super::audit::Failure;
use super::post::Post;
use super::relay::hold;
use super::reply::{Body, json_response, text};
use super::request::{OrRejected, RejectedRequest, check_type, memory, read, scan, unauthorized};
use super::sessions::Session;
use super::stream::{close, stream};
use crate::mcp::headers::SESSION;
use crate::text::well_formed;

/// The path of the MCP server, as at Port.
pub(crate) const PATH: &str = "/v1";
/// The number of further connections, for the post phase.
const RESERVE_CONNECTIONS: usize = 32;
/// How long a client without a key can keep a connection.
const UNAUTHENTICATED_TIMEOUT: Duration = Duration::from_secs(10);
/// How long any client can keep a reserve connection.
const RESERVE_TIMEOUT: Duration = Duration::from_secs(2);
/// The time limit for the headers of a request.
const HEADER_TIMEOUT: Duration = Duration::from_secs(10);
/// The maximum length of the headers of a request in bytes.
const MAX_HEADERS: usize = 16 * 1024;
/// The pause after a connection that could not be accepted: without a free descriptor, the next one cannot be either.
const ACCEPT_PAUSE: Duration = Duration::from_millis(50);

// The end of a gateway takes at most the sum of these limits, which is less than an engine and a post phase wait.

/// How long requests in progress may take to end when the gateway stops.
const DRAIN_TIMEOUT: Duration = Duration::from_secs(2);
/// How long a connection may then take to send the end of its response.
const CLOSE_TIMEOUT: Duration = Duration::from_millis(500);

impl Gateway {
    /// Serves requests until the gateway is stopped, `signal` resolves, or `lifetime` ends.
    ///
    /// The last line of the audit is written when no client has a connection any more.
    pub(super) async fn serve(
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
        // Two limits: an agent that takes all regular connections must not keep the post phase from stopping the gateway.
        let regular = Arc::new(Semaphore::new(self.max_connections));
        let all = Arc::new(Semaphore::new(self.max_connections + RESERVE_CONNECTIONS));
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
        let unauthenticated = async {
            let limit = if client.is_reserve {
                RESERVE_TIMEOUT
            } else {
                UNAUTHENTICATED_TIMEOUT
            };
            tokio::time::sleep(limit).await;
            if client.is_known.load(Ordering::Relaxed) {
                std::future::pending::<()>().await;
            }
        };
        let service =
            service_fn(|request| respond(Arc::clone(&gateway), Arc::clone(&client), request));
        let connection = http1::Builder::new()
            .timer(TokioTimer::new())
            .header_read_timeout(HEADER_TIMEOUT)
            .max_buf_size(MAX_HEADERS)
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
            () = unauthenticated => {}
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

/// Answers a request of any client.
async fn respond(
    gateway: Arc<Gateway>,
    client: Arc<Client>,
    request: Request<Incoming>,
) -> Result<Response<Body>, Infallible> {
    let is_stop = request.method() == Method::POST && request.uri().path() == "/stop";
    // A request in a session is no attempt to connect. What clients request elsewhere can follow from a failed attempt,
    // such as their search for a login.
    let is_attempt = match request.uri().path() {
        PATH => !request.headers().contains_key(SESSION),
        _ if is_key(request.headers(), &gateway.key) => true,
        _ => request.method() == Method::POST && gateway.audit.is_unused(),
    };
    let rejected = match request.uri().path() {
        "/health" => return Ok(text(StatusCode::OK, "ok")),
        _ if !is_local(&gateway, request.headers()) => {
            let error = "the Host or Origin is not allowed";
            RejectedRequest::new(StatusCode::FORBIDDEN, error)
        }
        _ if is_stop => return Ok(stop(&gateway, &client, request.headers()).await),
        PATH if client.is_reserve => reserve(&gateway, request).await,
        PATH => match mcp(&gateway, &client, request).await {
            Ok(response) => return Ok(response),
            Err(rejected) => *rejected,
        },
        _ => RejectedRequest::new(StatusCode::NOT_FOUND, "the path is not /v1"),
    };
    let is_attempt = is_attempt || rejected.text == UNKNOWN_SESSION;
    if is_attempt && !gateway.stopping.is_cancelled() {
        let failure = Failure::rejected(rejected.status, rejected.text);
        gateway.audit.session_failed(failure);
    }
    Ok(rejected.response)
}

/// The client of a connection.
struct Client {
    /// Whether it has sent a key.
    is_known: AtomicBool,
    /// Whether the gateway already has as many connections as it serves: only the post phase can use this one.
    is_reserve: bool,
    /// Cancelled to end the connection.
    connection: CancellationToken,
    /// Held while the gateway waits for the end of the connection. `None` if the connection waits for the end of the gateway.
    token: Mutex<Option<TaskTrackerToken>>,
}

impl Client {
    fn new(token: TaskTrackerToken, is_reserve: bool) -> Self {
        Self {
            is_known: AtomicBool::new(false),
            is_reserve,
            connection: CancellationToken::new(),
            token: Mutex::new(Some(token)),
        }
    }

    fn wait_for_end(&self) {
        let mut token = self.token.lock().unwrap_or_else(PoisonError::into_inner);
        *token = None;
    }

    /// Whether it requested the counts, which exist when all other connections have ended.
    fn waits_for_end(&self) -> bool {
        let token = self.token.lock().unwrap_or_else(PoisonError::into_inner);
        token.is_none()
    }
}

/// Whether a request is for this gateway and not from a web page (DNS rebinding).
fn is_local(gateway: &Gateway, headers: &HeaderMap) -> bool {
    let mut hosts = headers.get_all(HOST).iter();
    let host = hosts.next().and_then(|host| host.to_str().ok());
    let is_allowed = |host: &str| {
        gateway
            .hosts
            .iter()
            .any(|known| known.eq_ignore_ascii_case(host))
    };
    host.is_some_and(is_allowed) && hosts.next().is_none() && !headers.contains_key(ORIGIN)
}

/// Whether the request has the key: its client is then known.
fn has_key(client: &Client, headers: &HeaderMap, key: &SecretString) -> bool {
    let has_key = is_key(headers, key);
    client.is_known.fetch_or(has_key, Ordering::Relaxed);
    has_key
}

/// Whether a request has the key. Compares in constant time.
fn is_key(headers: &HeaderMap, key: &SecretString) -> bool {
    let mut values = headers.get_all(AUTHORIZATION).iter();
    let value = values.next().map(HeaderValue::as_bytes).unwrap_or_default();
    let (scheme, given) = value.split_at_checked(7).unwrap_or_default();
    scheme.eq_ignore_ascii_case(b"bearer ")
        && values.next().is_none()
        && bool::from(given.ct_eq(key.expose_secret().as_bytes()))
}

async fn stop(gateway: &Gateway, client: &Client, headers: &HeaderMap) -> Response<Body> {
    let key = gateway.stop_key.as_ref();
    if !key.is_some_and(|key| has_key(client, headers, key)) {
        return unauthorized().response;
    }
    client.wait_for_end();
    let counts = gateway.stop().await;
    json_response(StatusCode::OK, &json!(counts))
}

/// A request of a connection that only the post phase can use. Its client stays unknown, so that the connection ends
/// soon.
async fn reserve(gateway: &Gateway, request: Request<Incoming>) -> RejectedRequest {
    let close = HeaderValue::from_static("close");
    let rejected = RejectedRequest::new(StatusCode::SERVICE_UNAVAILABLE, "too many connections")
        .with(CONNECTION, close);
    if is_key(request.headers(), &gateway.key) {
        rejected.to(&scan(request.into_body()).await)
    } else {
        rejected
    }
}

async fn mcp(
    gateway: &Arc<Gateway>,
    client: &Client,
    request: Request<Incoming>,
) -> OrRejected<Response<Body>> {
    let (parts, body) = request.into_parts();
    let relay = || gateway.memory.relay(client.connection.clone());
    let (active, session) = match admit(gateway, client, &parts.headers) {
        Ok(admitted) => admitted,
        Err(rejected) => return Err(rejected.to(&scan(body).await).into()),
    };
    match parts.method {
        Method::POST => {
            let reserved = match check_type(&parts.headers) {
                Ok(()) => memory(gateway, &parts.headers).await,
                Err(rejected) => Err(rejected),
            };
            let mut memory = match reserved {
                Ok(memory) => memory,
                Err(rejected) => return Err(rejected.to(&scan(body).await).into()),
            };
            let mut body = read(body, &parts.headers).await?;
            memory.shrink(body.len());
            // Parsers disagree about half of a surrogate pair, so Port gets what the gate has read.
            if let Cow::Owned(text) = well_formed(&body) {
                body = text.into();
            }
            let request = Post {
                gateway,
                connection: &client.connection,
                headers: &parts.headers,
                body: &body,
                session: session.as_ref(),
            };
            let response = request.respond().await;
            drop(memory);
            Ok(hold(response, active))
        }
        Method::GET => {
            let stream = stream(gateway, &parts.headers, session.as_ref(), relay()).await;
            Ok(hold(stream, active))
        }
        Method::DELETE => Ok(close(gateway, &parts.headers, session.as_ref(), relay()).await),
        _ => {
            let methods = HeaderValue::from_static("GET, POST, DELETE");
            let rejected =
                RejectedRequest::new(StatusCode::METHOD_NOT_ALLOWED, "method not allowed");
            Err(rejected.with(ALLOW, methods).into())
        }
    }
}

/// Whether a client may send a request, and the session that the request names.
fn admit(
    gateway: &Arc<Gateway>,
    client: &Client,
    headers: &HeaderMap,
) -> OrRejected<(TaskTrackerToken, Option<Arc<Session>>)> {
    if !has_key(client, headers, &gateway.key) {
        return Err(unauthorized().into());
    }
    let Some(active) = gateway.enter() else {
        return Err(RejectedRequest::new(
            StatusCode::SERVICE_UNAVAILABLE,
            "the gateway is stopping",
        )
        .into());
    };
    Ok((active, session(gateway, headers)?))
}

/// The session that a request names.
fn session(gateway: &Gateway, headers: &HeaderMap) -> OrRejected<Option<Arc<Session>>> {
    let Some(id) = headers.get(SESSION) else {
        return Ok(None);
    };
    id.to_str()
        .ok()
        .and_then(|id| gateway.sessions.get(id))
        .map(Some)
        .ok_or_else(|| RejectedRequest::new(StatusCode::NOT_FOUND, UNKNOWN_SESSION).into())
}
