//! Requests to Port's MCP server: the token and Port's headers are always the gateway's.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::header::{AUTHORIZATION, CONTENT_TYPE, HeaderValue, LOCATION, USER_AGENT};
use http::{HeaderMap, Method, StatusCode};
use secrecy::{ExposeSecret as _, SecretString};
use url::Url;

use super::lost::is_lost;
use super::renewal::{Renewal, RenewalError};
use super::sessions::Session;
use super::uninterrupted;
use crate::http::{Http, NetworkError, StatusError};
use crate::mcp::MCP_SERVER;
use crate::mcp::headers::{JSON, SESSION};
use crate::text::Quote;

/// The time limit until a response begins. Streams have no time limit.
const RESPONSE_TIMEOUT: Duration = Duration::from_mins(10);
/// The time limit for opening a session again.
const REOPEN_TIMEOUT: Duration = Duration::from_secs(30);

/// The maximum number of tokens with which one request is sent.
const MAX_TOKENS: usize = 3;

/// The headers of the agent that are forwarded, besides `mcp-param-*`.
const FORWARDED: &[&str] = &[
    "accept",
    "mcp-protocol-version",
    "mcp-method",
    "mcp-name",
    "last-event-id",
    "traceparent",
    "tracestate",
    "baggage",
    "user-agent",
];

/// Port's MCP server.
pub(super) struct Upstream {
    http: Http,
    pub(super) url: Url,
    /// The headers that limit what Port offers.
    headers: HeaderMap,
    renewal: Arc<Renewal>,
}

/// Why there is no response.
#[derive(Debug, thiserror::Error)]
pub(super) enum UpstreamError {
    #[error(transparent)]
    Token(#[from] RenewalError),
    /// The request was not sent.
    #[error("Port could not be reached: {0}")]
    NotSent(NetworkError),
    /// The request may have been processed.
    #[error("the connection to Port broke, so it is unknown whether the request took effect: {0}")]
    Unknown(NetworkError),
    /// Port is at another address, which is in the error.
    #[error(
        "{0}: set `mcp_url` to the final address; redirects are not followed, because the request carries credentials"
    )]
    Redirected(StatusError),
}

impl Upstream {
    pub(super) fn new(http: Http, url: Url, headers: HeaderMap, renewal: Renewal) -> Self {
        Self {
            http,
            url,
            headers,
            renewal: Arc::new(renewal),
        }
    }

    /// Forwards a request of the agent. After a 401, renews the token and sends the request again; after a
    /// response that says that the session is lost, opens another session and does the same.
    ///
    /// # Errors
    /// When there is no response, or a redirect. A request whose outcome is unknown is not repeated.
    pub(super) async fn send(
        self: &Arc<Self>,
        method: Method,
        headers: &HeaderMap,
        body: Bytes,
        session: Option<&Arc<Session>>,
    ) -> Result<reqwest::Response, UpstreamError> {
        let id = match session {
            Some(session) => Some(session.upstream.lock().await.clone()),
            None => None,
        };
        let response = self
            .authorized(&method, headers, &body, id.as_deref())
            .await?;
        let (Some(session), Some(id)) = (session, id) else {
            return Ok(response);
        };
        if method == Method::DELETE {
            return Ok(response);
        }
        let (response, is_lost) = is_lost(response).await;
        if !is_lost {
            return Ok(response);
        }
        let (this, session) = (Arc::clone(self), Arc::clone(session));
        match uninterrupted(async move { this.reopen(&session, &id).await }).await {
            Some(id) => self.authorized(&method, headers, &body, Some(&id)).await,
            None => Ok(response),
        }
    }

    /// Sends a request, and again with another token if Port rejects the first: a request with a rejected token
    /// has no effect. A token can expire while the request waits, so the second can be rejected too.
    async fn authorized(
        &self,
        method: &Method,
        headers: &HeaderMap,
        body: &Bytes,
        session: Option<&str>,
    ) -> Result<reqwest::Response, UpstreamError> {
        let mut token = self.renewal.token().await?;
        for _ in 0..MAX_TOKENS {
            let response = self.once(method, headers, body, session, &token).await?;
            if response.status() != StatusCode::UNAUTHORIZED {
                return Ok(response);
            }
            token = self.renewal.refresh_rejected(&token).await?;
        }
        Err(RenewalError::Rejected.into())
    }

    async fn once(
        &self,
        method: &Method,
        headers: &HeaderMap,
        body: &Bytes,
        session: Option<&str>,
        token: &SecretString,
    ) -> Result<reqwest::Response, UpstreamError> {
        let mut forwarded = forwarded(headers);
        forwarded.extend(self.headers.clone());
        if let Some(session) = session.and_then(|id| HeaderValue::from_str(id).ok()) {
            forwarded.insert(SESSION, session);
        }
        forwarded.insert(USER_AGENT, self.user_agent(&forwarded));
        let mut request = self
            .http
            .client()
            .request(method.clone(), self.url.clone())
            .headers(forwarded)
            .header(AUTHORIZATION, format!("Bearer {}", token.expose_secret()));
        if *method == Method::POST {
            // Never the agent's own header: with another charset, a server would read another message.
            request = request.header(CONTENT_TYPE, JSON).body(body.clone());
        }
        match tokio::time::timeout(RESPONSE_TIMEOUT, request.send()).await {
            Ok(Ok(response)) if response.status().is_redirection() => {
                Err(UpstreamError::Redirected(self.redirected(&response)))
            }
            Ok(Ok(response)) => Ok(response),
            Ok(Err(error)) if error.is_connect() => Err(UpstreamError::NotSent(
                self.http.send_error(&error, &self.url).await,
            )),
            Ok(Err(error)) => Err(UpstreamError::Unknown(
                self.http.network_error(&error, &self.url),
            )),
            Err(_) => Err(UpstreamError::Unknown(NetworkError::Timeout(
                RESPONSE_TIMEOUT,
            ))),
        }
    }

    /// The agent's `User-Agent`, if there is one, and ours, which names the run.
    fn user_agent(&self, forwarded: &HeaderMap) -> HeaderValue {
        let ours = self.http.user_agent();
        forwarded
            .get(USER_AGENT)
            .map(|agents| [agents.as_bytes(), ours.as_bytes()].join(&b' '))
            .and_then(|both| HeaderValue::from_bytes(&both).ok())
            .unwrap_or_else(|| ours.clone())
    }

    fn redirected(&self, response: &reqwest::Response) -> StatusError {
        let (status, headers) = (response.status(), response.headers());
        let to = headers
            .get(LOCATION)
            .and_then(|to| to.to_str().ok())
            .and_then(|to| self.url.join(to).ok());
        StatusError {
            location: to.map(|to| Quote::new(&address(to))),
            ..StatusError::new(&MCP_SERVER, status, headers, Quote::new(""))
        }
    }

    /// Opens another session at Port in the place of `lost`, with the agent's own bytes. `None` if Port does
    /// not open one.
    async fn reopen(&self, session: &Session, lost: &str) -> Option<String> {
        let mut upstream = session.upstream.lock().await;
        if *upstream != lost {
            // Another request has opened it.
            return Some(upstream.clone());
        }
        let opened = tokio::time::timeout(REOPEN_TIMEOUT, async {
            let (headers, body) = (&session.headers, session.initialize.as_ref()?);
            let response = self
                .authorized(&Method::POST, headers, body, None)
                .await
                .ok()?;
            let id = response.headers().get(SESSION)?.to_str().ok()?.to_owned();
            if !response.status().is_success() {
                return None;
            }
            // The session is open when the response is complete.
            self.http
                .body(response, &self.url, 1024 * 1024)
                .await
                .ok()?;
            let body = Bytes::from_static(INITIALIZED);
            self.authorized(&Method::POST, headers, &body, Some(&id))
                .await
                .ok()?;
            Some(id)
        });
        let id = opened.await.ok().flatten()?;
        upstream.clone_from(&id);
        Some(id)
    }
}

const INITIALIZED: &[u8] = br#"{"jsonrpc":"2.0","method":"notifications/initialized"}"#;

/// A URL, in which the other parts could contain credentials.
fn address(mut url: Url) -> String {
    url.set_query(None);
    url.set_fragment(None);
    // A URL without a host has none.
    let _ = url.set_username("");
    let _ = url.set_password(None);
    url.into()
}

/// The headers of the agent that Port may see.
pub(super) fn forwarded(headers: &HeaderMap) -> HeaderMap {
    headers
        .iter()
        .filter(|(name, _)| {
            FORWARDED.contains(&name.as_str()) || name.as_str().starts_with("mcp-param-")
        })
        .map(|(name, value)| (name.clone(), value.clone()))
        .collect()
}
