//! The one listener: routes, the record of requests, and the headers of every answer.

use std::{
    net::TcpListener,
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
};

use axum::{
    Json, Router,
    body::{Body, to_bytes},
    extract::{Request, State},
    http::{HeaderMap, HeaderName, HeaderValue, StatusCode, header, request::Parts},
    middleware::{self, Next},
    response::{IntoResponse, Response},
    routing::{any, get, post},
    serve::ListenerExt,
};
use serde::{Deserialize, Serialize};
use tokio::net::TcpStream;

use crate::{
    Builder, ExpiresIn, auth,
    faults::{Endpoint, Fault, Faults, MCP_PATH, OAUTH_PATH, REST_PATH},
    github, mcp, model,
    offers::Offers,
    tls::{Identity, TlsListener},
    tokens::Tokens,
};

/// The largest request body that is read.
const BODY_LIMIT: usize = 4 * 1024 * 1024;

/// Requests under this path steer the fake Port server: they are neither recorded nor part of Port.
const ADMIN_PREFIX: &str = "/control/";

/// Port's rate limit for token requests: it is announced, but never enforced.
const RATE_LIMIT: [(HeaderName, HeaderValue); 4] = [
    (
        HeaderName::from_static("x-ratelimit-limit"),
        HeaderValue::from_static("100"),
    ),
    (
        HeaderName::from_static("x-ratelimit-period"),
        HeaderValue::from_static("300"),
    ),
    (
        HeaderName::from_static("x-ratelimit-remaining"),
        HeaderValue::from_static("99"),
    ),
    (
        HeaderName::from_static("x-ratelimit-reset"),
        HeaderValue::from_static("300"),
    ),
];

/// A request as it arrived.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Received {
    /// The method, in capitals.
    pub method: String,
    /// The path, with its query if there was one.
    pub path: String,
    /// Names in lower case and their values, in the order of arrival.
    pub headers: Vec<(String, String)>,
    /// The body as text; bytes that are not UTF-8 are replaced.
    pub body: String,
}

impl Received {
    /// The first value of this header; the name is matched without regard to case.
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

/// Everything that the endpoints share.
#[derive(Debug)]
pub(crate) struct Port {
    pub(crate) settings: Builder,
    pub(crate) tokens: Tokens,
    pub(crate) offers: Offers,
    pub(crate) faults: Faults,
    is_away_for_agents: AtomicBool,
    received: Mutex<Vec<Received>>,
    answers: AtomicU64,
}

impl Port {
    pub(crate) fn new(settings: Builder) -> Self {
        Self {
            tokens: Tokens::new(&settings),
            offers: Offers::new(&settings),
            settings,
            faults: Faults::default(),
            is_away_for_agents: AtomicBool::new(false),
            received: Mutex::default(),
            answers: AtomicU64::default(),
        }
    }

    pub(crate) fn received(&self) -> Vec<Received> {
        self.received
            .lock()
            .expect("no holder of the lock panics")
            .clone()
    }

    /// The client id and the client secret, in this order.
    pub(crate) fn credentials(&self) -> [&str; 2] {
        [&self.settings.client_id, &self.settings.client_secret]
    }

    /// What a token response says about the token's lifetime.
    pub(crate) fn claimed_expires_in(&self) -> Option<u64> {
        match self.settings.expires_in {
            ExpiresIn::Lifetime => Some(self.settings.token_lifetime.as_secs()),
            ExpiresIn::Claim(seconds) => seconds,
        }
    }

    fn record(&self, request: Received) {
        self.received
            .lock()
            .expect("no holder of the lock panics")
            .push(request);
    }

    /// Adds the headers that Port, or GitHub, sends with every answer, errors included.
    fn stamp(&self, endpoint: Option<Endpoint>, mut response: Response) -> Response {
        let number = self.answers.fetch_add(1, Ordering::Relaxed);
        let headers = response.headers_mut();
        let (name, id) = if endpoint == Some(Endpoint::Github) {
            let id = format!("E9C2:3A1F5B:{number:08X}:6924A1C3");
            ("x-github-request-id", id)
        } else {
            for (name, value) in RATE_LIMIT {
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
    let routes = routes(port);
    match identity {
        None => {
            let listener = listener.tap_io(|stream| send_at_once(stream));
            axum::serve(listener, routes).into_future().await
        }
        Some(identity) => {
            let listener = TlsListener::new(listener, identity);
            axum::serve(listener, routes).into_future().await
        }
    }
    .expect("axum serves for ever");
}

/// Turns off Nagle's algorithm: without this, an event stream whose last piece is small makes its
/// reader wait for tens of milliseconds.
pub(crate) fn send_at_once(stream: &TcpStream) {
    // A connection that is gone already needs no speed.
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
                    mcp::answer(&port, &mcp, request).await
                },
            ),
        )
        .merge(github::routes())
        .route(model::ROUTE, any(model::answer))
        .route("/control/received", get(received))
        .route("/control/fault", post(fault))
        .route("/control/outage", post(outage))
        .fallback(async || auth::refusal(StatusCode::NOT_FOUND, "not_found", "Route not found"))
        .layer(middleware::from_fn_with_state(
            Arc::clone(&port),
            front_door,
        ))
        .with_state(port)
}

/// Records each request, lets a fault take its place, and stamps the answer.
async fn front_door(State(port): State<Arc<Port>>, request: Request, next: Next) -> Response {
    if request.uri().path().starts_with(ADMIN_PREFIX) {
        return next.run(request).await;
    }
    let (parts, body) = request.into_parts();
    let endpoint = Endpoint::at(parts.uri.path());
    let Ok(body) = to_bytes(body, BODY_LIMIT).await else {
        let response = auth::refusal(
            StatusCode::PAYLOAD_TOO_LARGE,
            "payload_too_large",
            "Request body is too large",
        );
        return port.stamp(endpoint, response);
    };
    port.record(Received::new(&parts, &body));
    let is_away = endpoint == Some(Endpoint::Mcp)
        && port.is_away_for_agents.load(Ordering::Relaxed)
        && !is_the_action(&parts.headers);
    let fault = endpoint.and_then(|endpoint| port.faults.next(endpoint));
    let fault = fault.or_else(|| is_away.then(|| Fault::status(503).into()));
    let response = match fault {
        Some(fault) => fault.answer(&parts.headers, &body).await,
        None => next.run(Request::from_parts(parts, Body::from(body))).await,
    };
    port.stamp(endpoint, response)
}

fn is_the_action(headers: &HeaderMap) -> bool {
    let agent = headers.get(header::USER_AGENT);
    agent.is_some_and(|agent| agent.as_bytes().starts_with(b"port-mcp-action/"))
}

/// `POST /control/outage`: whether the MCP server answers 503 to every client but the action's own.
async fn outage(State(port): State<Arc<Port>>, Json(is_away): Json<bool>) {
    port.is_away_for_agents.store(is_away, Ordering::Relaxed);
}

/// `GET /control/received`: what [`FakePort::received`](crate::FakePort::received) returns.
async fn received(State(port): State<Arc<Port>>) -> impl IntoResponse {
    Json(port.received())
}

#[derive(Deserialize)]
struct FaultRequest {
    endpoint: Endpoint,
    fault: Fault,
}

/// `POST /control/fault`: what [`FakePort::fault`](crate::FakePort::fault) does.
async fn fault(
    State(port): State<Arc<Port>>,
    Json(FaultRequest { endpoint, fault }): Json<FaultRequest>,
) -> Response {
    match port.faults.push(endpoint, fault) {
        Ok(()) => StatusCode::NO_CONTENT.into_response(),
        Err(wrong) => auth::refusal(StatusCode::UNPROCESSABLE_ENTITY, "invalid_request", &wrong),
    }
}
