//! The listener: routes, the record of requests, and the headers of every response.

use std::{
    io,
    net::{SocketAddr, TcpListener},
    sync::{
        Arc, Mutex, MutexGuard,
        atomic::{AtomicU64, Ordering},
    },
};

use axum::{
    Json, Router,
    body::{Body, to_bytes},
    extract::{Request, State},
    http::{HeaderMap, HeaderValue, StatusCode, header, request::Parts},
    middleware::{self, Next},
    response::{IntoResponse, Response},
    routing::{any, get, post},
    serve::Listener,
};
use serde::{Deserialize, Serialize};
use tokio::net::TcpStream;

use crate::{
    Builder, ExpiresIn, auth,
    faults::{Endpoint, Fault, Faults, MCP_PATH, OAUTH_PATH, REST_PATH},
    github,
    limits::{Client, Limiter, rate_limit_headers},
    mcp, model,
    offers::Offers,
    tls::{Identity, TlsListener},
    tokens::Tokens,
};

/// The largest request body that is read.
const BODY_LIMIT: usize = 4 * 1024 * 1024;

/// Requests to paths with this prefix control the fake Port server. They are not part of Port, and
/// are not recorded.
const ADMIN_PREFIX: &str = "/control/";

/// A request as received.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Received {
    /// The method, in upper case.
    pub method: String,
    /// The path, including the query if there is one.
    pub path: String,
    /// Names in lower case, and values, in the order of arrival.
    pub headers: Vec<(String, String)>,
    /// The body as text. Bytes that are not UTF-8 are replaced.
    pub body: String,
}

impl Received {
    /// The first value of this header. The case of the name is ignored.
    #[must_use]
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers
            .iter()
            .find(|(known, _)| known.eq_ignore_ascii_case(name))
            .map(|(_, value)| value.as_str())
    }

    fn new(parts: &Parts, body: &[u8]) -> Self {
        let text = |bytes| String::from_utf8_lossy(bytes).into_owned();
        Self {
            method: parts.method.to_string(),
            path: parts.uri.to_string(),
            headers: parts
                .headers
                .iter()
                .map(|(name, value)| (name.to_string(), text(value.as_bytes())))
                .collect(),
            body: text(body),
        }
    }
}

/// The state that the endpoints share.
#[derive(Debug)]
pub(crate) struct Port {
    pub(crate) settings: Builder,
    pub(crate) tokens: Tokens,
    pub(crate) offers: Offers,
    pub(crate) faults: Faults,
    pub(crate) rest_limit: Option<Limiter>,
    pub(crate) oauth_limit: Option<Limiter>,
    /// The number of tool calls that were executed.
    pub(crate) calls: AtomicU64,
    /// The response to every client of the MCP server except the action.
    outage: Mutex<Option<Fault>>,
    received: Mutex<Vec<Received>>,
    responses: AtomicU64,
}

impl Port {
    pub(crate) fn new(settings: Builder) -> Self {
        Self {
            tokens: Tokens::new(&settings),
            offers: Offers::new(&settings),
            rest_limit: settings.rest_limit.clone().map(Limiter::new),
            oauth_limit: settings.oauth_limit.clone().map(Limiter::new),
            calls: AtomicU64::default(),
            settings,
            faults: Faults::default(),
            outage: Mutex::default(),
            received: Mutex::default(),
            responses: AtomicU64::default(),
        }
    }

    pub(crate) fn received(&self) -> Vec<Received> {
        self.received
            .lock()
            .expect("the lock is not poisoned")
            .clone()
    }

    /// The client id and the client secret, in this order.
    pub(crate) fn credentials(&self) -> [&str; 2] {
        [&self.settings.client_id, &self.settings.client_secret]
    }

    /// The lifetime of a token in a token response, in seconds.
    pub(crate) fn claimed_expires_in(&self) -> Option<u64> {
        match self.settings.expires_in {
            ExpiresIn::Lifetime => Some(self.settings.token_lifetime.as_secs()),
            ExpiresIn::Claim(seconds) => seconds,
        }
    }

    fn outage(&self) -> MutexGuard<'_, Option<Fault>> {
        self.outage.lock().expect("the lock is not poisoned")
    }

    fn record(&self, request: Received) {
        if !self.settings.records {
            return;
        }
        self.received
            .lock()
            .expect("the lock is not poisoned")
            .push(request);
    }

    /// Adds the headers that Port or GitHub sends with every response, including errors.
    fn with_common_headers(&self, endpoint: Option<Endpoint>, mut response: Response) -> Response {
        let number = self.responses.fetch_add(1, Ordering::Relaxed);
        let is_rejected = response.status() == StatusCode::TOO_MANY_REQUESTS;
        let headers = response.headers_mut();
        let (name, id) = if endpoint == Some(Endpoint::Github) {
            let id = format!("E9C2:3A1F5B:{number:08X}:6924A1C3");
            ("x-github-request-id", id)
        } else {
            // Nothing is left of a limit that rejects a request, unless the fault says so.
            let remaining = if is_rejected { 0 } else { 99 };
            for (name, value) in rate_limit_headers(100, 300, remaining, 300) {
                headers.entry(name).or_insert(value);
            }
            ("x-trace-id", format!("5a4db0c5{number:024x}"))
        };
        let id = HeaderValue::try_from(id).expect("hexadecimal digits are a valid header");
        headers.entry(name).or_insert(id);
        response
    }
}

/// Serves the fake Port server until the future is dropped.
pub(crate) async fn serve(listener: TcpListener, identity: Option<Identity>, port: Arc<Port>) {
    let listener = tokio::net::TcpListener::from_std(listener)
        .expect("the listener was made non-blocking, in a runtime with I/O");
    let routes = routes(port).into_make_service_with_connect_info::<Client>();
    match identity {
        None => {
            axum::serve(PlainListener(listener), routes)
                .into_future()
                .await
        }
        Some(identity) => {
            let listener = TlsListener::new(listener, identity);
            axum::serve(listener, routes).into_future().await
        }
    }
    .expect("axum never stops");
}

/// A listener without TLS.
pub(crate) struct PlainListener(tokio::net::TcpListener);

impl Listener for PlainListener {
    type Io = TcpStream;
    type Addr = SocketAddr;

    async fn accept(&mut self) -> (Self::Io, Self::Addr) {
        let (stream, client) = Listener::accept(&mut self.0).await;
        send_at_once(&stream);
        (stream, client)
    }

    fn local_addr(&self) -> io::Result<Self::Addr> {
        self.0.local_addr()
    }
}

/// Disables Nagle's algorithm, which would delay the small last part of an event stream by tens of
/// milliseconds.
pub(crate) fn send_at_once(stream: &TcpStream) {
    // The error of a connection that is already closed does not matter.
    let _ = stream.set_nodelay(true);
}

fn routes(port: Arc<Port>) -> Router {
    let mcp = mcp::service(Arc::clone(&port));
    Router::new()
        .route(REST_PATH, post(auth::rest))
        .route(OAUTH_PATH, post(auth::oauth))
        .route(
            MCP_PATH,
            any(
                move |State(port): State<Arc<Port>>, request: Request| async move {
                    mcp::respond(&port, &mcp, request).await
                },
            ),
        )
        .merge(github::routes())
        .route(model::ROUTE, any(model::respond))
        .route("/control/received", get(received))
        .route("/control/fault", post(fault))
        .route("/control/outage", post(outage))
        .fallback(async || {
            auth::error_response(StatusCode::NOT_FOUND, "not_found", "Route not found")
        })
        .layer(middleware::from_fn_with_state(
            Arc::clone(&port),
            record_and_respond,
        ))
        .with_state(port)
}

/// Records each request, and responds to it: with a queued fault, or normally.
async fn record_and_respond(
    State(port): State<Arc<Port>>,
    request: Request,
    next: Next,
) -> Response {
    if request.uri().path().starts_with(ADMIN_PREFIX) {
        return next.run(request).await;
    }
    let (parts, body) = request.into_parts();
    let endpoint = Endpoint::at(parts.uri.path());
    let Ok(body) = to_bytes(body, BODY_LIMIT).await else {
        let response = auth::error_response(
            StatusCode::PAYLOAD_TOO_LARGE,
            "payload_too_large",
            "Request body is too large",
        );
        return port.with_common_headers(endpoint, response);
    };
    port.record(Received::new(&parts, &body));
    let fault = endpoint.and_then(|endpoint| port.faults.next(endpoint));
    let is_agents = endpoint == Some(Endpoint::Mcp) && !is_the_action(&parts.headers);
    let fault = fault.or_else(|| port.outage().clone().filter(|_| is_agents));
    let response = match fault {
        Some(fault) => fault.respond(&parts.headers, &body).await,
        None => next.run(Request::from_parts(parts, Body::from(body))).await,
    };
    port.with_common_headers(endpoint, response)
}

fn is_the_action(headers: &HeaderMap) -> bool {
    let agent = headers.get(header::USER_AGENT);
    agent.is_some_and(|agent| agent.as_bytes().starts_with(b"port-mcp-action/"))
}

/// `POST /control/outage`: a fault for every client of the MCP server except the action, or null.
async fn outage(State(port): State<Arc<Port>>, Json(fault): Json<Option<Fault>>) {
    *port.outage() = fault;
}

/// `GET /control/received`: the same as [`FakePort::received`](crate::FakePort::received).
async fn received(State(port): State<Arc<Port>>) -> impl IntoResponse {
    Json(port.received())
}

#[derive(Deserialize)]
struct FaultRequest {
    endpoint: Endpoint,
    fault: Fault,
}

/// `POST /control/fault`: the same as [`FakePort::fault`](crate::FakePort::fault).
async fn fault(
    State(port): State<Arc<Port>>,
    Json(FaultRequest { endpoint, fault }): Json<FaultRequest>,
) -> Response {
    match port.faults.push(endpoint, fault) {
        Ok(()) => StatusCode::NO_CONTENT.into_response(),
        Err(wrong) => {
            auth::error_response(StatusCode::UNPROCESSABLE_ENTITY, "invalid_request", &wrong)
        }
    }
}
