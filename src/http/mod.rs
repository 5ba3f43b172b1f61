//! The HTTP client that every request uses: time limits, bounded reads, classified retries, and errors
//! that say what came back, what was tried, and what to do.
//!
//! Each module that sends requests adds its own causes of errors ([`Cause`]).

mod error;
mod network;
mod proxy;
mod retry;
mod status;

use std::error::Error as StdError;
use std::sync::Arc;
use std::time::Duration;

use anyhow::anyhow;
use reqwest::dns::{Addrs, Name, Resolve, Resolving};
use reqwest::header::{CONTENT_TYPE, HeaderMap, HeaderValue, USER_AGENT};
use reqwest::{Client, ClientBuilder, Method, Proxy, RequestBuilder, StatusCode, redirect};
use rustls::pki_types::CertificateDer;
use tokio::time::{Instant, sleep, timeout_at};
use url::Url;

pub(crate) use error::Trace;
pub use error::{Cause, RequestError};
pub use network::NetworkError;
pub(crate) use network::{seconds, unexpected_server_hint};
pub use proxy::ProxySettings;
use proxy::Router;
pub(crate) use proxy::{ALL_HOSTS, EXCEPTION_VARIABLES, PROXY_VARIABLES};
use retry::MAX_ATTEMPTS;
pub(crate) use retry::Retry;
pub(crate) use status::status_line;
pub use status::{Service, StatusError, StatusKind};

use crate::text::Quote;

/// The errors of hyper-util's `TunnelError`, which is not public, for a proxy that responds with status 407, and with another
/// one than 200.
const PROXY_REJECTIONS: &[&str] = &[
    "tunnel error: proxy authorization required",
    "tunnel error: unsuccessful",
];

/// This program, in the `User-Agent` of every request.
pub(crate) const PRODUCT: &str = concat!("port-mcp-action/", env!("CARGO_PKG_VERSION"));
/// The maximum number of connections that are kept for later requests. Each keeps its buffer, of up to 408 KiB.
const MAX_IDLE: usize = 32;
/// The time limit of a single attempt.
const ATTEMPT_TIMEOUT: Duration = Duration::from_secs(10);
/// The minimum time left for a further attempt.
const MIN_ATTEMPT: Duration = Duration::from_millis(250);
/// The maximum size of a response in bytes.
const MAX_BODY: usize = 1024 * 1024;

/// How to reach the network.
#[derive(Clone, Debug, Default)]
pub struct HttpSettings {
    /// Certificate authorities to trust in addition to the default ones.
    pub ca_certificates: Vec<CertificateDer<'static>>,
    /// The time limit for all requests together, including retries.
    pub timeout: Duration,
    /// The runner's proxy.
    pub proxy: Option<ProxySettings>,
    /// The workflow run, which the requests to Port name: `acme/catalog; 123/1`. Port's log then shows which run sent
    /// them.
    pub run: Option<String>,
}

/// The variables with which other programs choose the trusted certificate authorities. They decide which servers
/// receive the credentials, and any earlier step can set them.
pub const IGNORED_VARIABLES: &[&str] = &["SSL_CERT_FILE", "SSL_CERT_DIR"];

/// The HTTP client, and the deadline that its requests share.
#[derive(Clone, Debug)]
pub struct Http {
    client: Client,
    /// The `User-Agent` of requests to Port. Not the client's own, which a proxy and GitHub also get.
    user_agent: HeaderValue,
    deadline: Instant,
    router: Option<Arc<Router>>,
}

/// A response with any status.
#[derive(Debug)]
pub(crate) struct Response {
    pub(crate) status: StatusCode,
    pub(crate) headers: HeaderMap,
    pub(crate) body: Vec<u8>,
    /// Why each earlier attempt failed.
    pub(crate) failed_attempts: Vec<String>,
}

impl Http {
    /// Builds the client. The deadline starts now.
    ///
    /// # Errors
    /// When TLS cannot be set up (an invalid CA certificate, or a system without certificates), or the
    /// proxy's URL is invalid.
    pub fn new(settings: HttpSettings) -> anyhow::Result<Self> {
        let mut builder = Client::builder()
            .user_agent(PRODUCT)
            // A redirect would send the credentials to another server.
            .redirect(redirect::Policy::none())
            .retry(reqwest::retry::never())
            // For the gateway, whose responses can take longer.
            .connect_timeout(ATTEMPT_TIMEOUT)
            .pool_max_idle_per_host(MAX_IDLE)
            .dns_resolver(Arc::new(SystemResolver))
            .no_proxy();
        let router = settings
            .proxy
            .map(|proxy| Router::new(&proxy))
            .transpose()?
            .map(Arc::new);
        if let Some(router) = router.clone() {
            builder = builder.proxy(Proxy::custom(move |url| router.proxy_for(url).cloned()));
        }
        let client = trusting(builder, &settings.ca_certificates)
            .and_then(|builder| Ok(builder.build()?))
            .map_err(|error| {
                let cause = innermost(error.as_ref());
                anyhow!(
                    "TLS could not be set up ({cause})\n\
                     hint: check that `ca_certificate` contains valid certificates, and that the system \
                     has a certificate store"
                )
            })?;
        let user_agent = match &settings.run {
            Some(run) => HeaderValue::from_str(&format!("{PRODUCT} ({run})"))?,
            None => HeaderValue::from_static(PRODUCT),
        };
        Ok(Self {
            client,
            user_agent,
            deadline: Instant::now() + settings.timeout,
            router,
        })
    }

    /// The same client with a deadline of its own.
    pub(crate) fn with_deadline(&self, timeout: Duration) -> Self {
        Self {
            deadline: Instant::now() + timeout,
            ..self.clone()
        }
    }

    /// The underlying client, for requests that do not go to Port.
    pub(crate) fn client(&self) -> &Client {
        &self.client
    }

    /// A request to Port, which names the run.
    pub(crate) fn request(&self, method: Method, url: &Url) -> RequestBuilder {
        self.client
            .request(method, url.clone())
            .header(USER_AGENT, &self.user_agent)
    }

    /// What [`Http::request`] sends as `User-Agent`.
    pub(crate) fn user_agent(&self) -> &HeaderValue {
        &self.user_agent
    }

    /// Sends an idempotent POST to Port, and repeats it after a failed connection, a timeout, an incomplete
    /// response, and the statuses 408, 429, and 5xx.
    ///
    /// # Errors
    /// The error of the last attempt, if there was no response. A response with any status is a success.
    pub(crate) async fn post<C: Cause + From<NetworkError>>(
        &self,
        url: &Url,
        prepare: impl Fn(RequestBuilder) -> RequestBuilder + Sync,
    ) -> Result<Response, RequestError<C>> {
        let attempt = || async {
            let request = prepare(self.request(Method::POST, url));
            self.with_timeout(ATTEMPT_TIMEOUT, async {
                let response = self.send(request, url).await?;
                let (status, headers) = (response.status(), response.headers().clone());
                let body = self.body(response, url, MAX_BODY).await?;
                Ok(Response {
                    status,
                    headers,
                    body,
                    failed_attempts: Vec::new(),
                })
            })
            .await
        };
        let should_retry = |outcome: &Result<Response, NetworkError>| match outcome {
            Ok(response) => Retry::after_status(response.status, &response.headers),
            Err(error) => Retry::after_error(error),
        };
        let (outcome, failed_attempts) = self.retry(attempt, should_retry).await;
        match outcome {
            Ok(response) => Ok(Response {
                failed_attempts,
                ..response
            }),
            Err(error) => {
                Err(RequestError::new(error.into(), Method::POST, url).after(failed_attempts))
            }
        }
    }

    /// Repeats `attempt` as long as `should_retry` returns a reason. Returns the last outcome, and why each
    /// earlier attempt failed.
    ///
    /// Waits between attempts ([`retry::wait`]). Does not start a wait after which there would be no time for
    /// an attempt: its timeout would hide the real error.
    pub(crate) async fn retry<T, F: Future<Output = T>>(
        &self,
        mut attempt: impl FnMut() -> F,
        should_retry: impl Fn(&T) -> Option<Retry>,
    ) -> (T, Vec<String>) {
        let mut failed = Vec::new();
        loop {
            let outcome = attempt().await;
            let Some(Retry { reason, wait }) = should_retry(&outcome) else {
                return (outcome, failed);
            };
            let time_left = self.time_left().saturating_sub(MIN_ATTEMPT);
            let wait = retry::wait(wait, failed.len(), time_left);
            match wait.filter(|_| failed.len() + 1 < MAX_ATTEMPTS) {
                Some(wait) => {
                    failed.push(reason);
                    sleep(wait).await;
                }
                None => return (outcome, failed),
            }
        }
    }

    fn time_left(&self) -> Duration {
        self.deadline.saturating_duration_since(Instant::now())
    }

    /// Runs `work` until `limit` or the deadline, whichever is first.
    pub(crate) async fn with_timeout<T, E: From<NetworkError>>(
        &self,
        limit: Duration,
        work: impl Future<Output = Result<T, E>>,
    ) -> Result<T, E> {
        let started = Instant::now();
        timeout_at((started + limit).min(self.deadline), work)
            .await
            .unwrap_or_else(|_| Err(NetworkError::Timeout(started.elapsed()).into()))
    }

    /// Sends `request` to `url`. A response with any status is a success.
    pub(crate) async fn send(
        &self,
        request: RequestBuilder,
        url: &Url,
    ) -> Result<reqwest::Response, NetworkError> {
        match request.send().await {
            Ok(response) => Ok(response),
            Err(error) => Err(self.send_error(&error, url).await),
        }
    }

    /// As [`Http::network_error`], with the status of a proxy that rejects the connection. Proxies lock accounts after wrong
    /// passwords, so it is not asked again for those.
    pub(crate) async fn send_error(&self, error: &reqwest::Error, url: &Url) -> NetworkError {
        let error = self.network_error(error, url);
        let (Some(router), NetworkError::Proxy { proxy, detail, .. }) = (&self.router, &error)
        else {
            return error;
        };
        let is = |rejection: &str| *detail.to_string() == *rejection;
        let status = if is(PROXY_REJECTIONS[0]) {
            Some(StatusCode::PROXY_AUTHENTICATION_REQUIRED)
        } else if is(PROXY_REJECTIONS[1]) {
            router.rejection(url).await
        } else {
            return error;
        };
        NetworkError::Proxy {
            proxy: proxy.clone(),
            detail: match status {
                Some(status) => Quote::new(&format!("it responded with {status}")),
                None => detail.clone(),
            },
            // A proxy that rejects no longer, or does not respond, can accept the next attempt.
            is_rejection: status.is_some_and(|status| {
                let can_end = [StatusCode::REQUEST_TIMEOUT, StatusCode::TOO_MANY_REQUESTS];
                status.is_client_error() && !can_end.contains(&status)
            }),
        }
    }

    /// Reads a response from `url`, up to `limit` bytes.
    pub(crate) async fn body(
        &self,
        mut response: reqwest::Response,
        url: &Url,
        limit: usize,
    ) -> Result<Vec<u8>, NetworkError> {
        let mut body = Vec::new();
        while let Some(chunk) = response
            .chunk()
            .await
            .map_err(|error| self.network_error(&error, url))?
        {
            if body.len() + chunk.len() > limit {
                return Err(NetworkError::TooLarge(limit));
            }
            body.extend_from_slice(&chunk);
        }
        Ok(body)
    }

    /// Classifies an error below HTTP by the types in its chain of sources.
    pub(crate) fn network_error(&self, error: &reqwest::Error, url: &Url) -> NetworkError {
        let proxy = self
            .router
            .as_ref()
            .and_then(|router| router.shown_for(url));
        let cause = innermost(error).to_string();
        let detail = Quote::new(&cause);
        if error.is_timeout() {
            NetworkError::Timeout(ATTEMPT_TIMEOUT)
        } else if let Some(tls) = find::<rustls::Error>(error) {
            let is_plain = matches!(tls, rustls::Error::InvalidMessage(_));
            match proxy.filter(|proxy| is_plain && proxy.starts_with("https:")) {
                Some(proxy) => NetworkError::Proxy {
                    proxy,
                    detail: Quote::new("its response is not TLS"),
                    is_rejection: true,
                },
                None => NetworkError::Tls(tls.clone()),
            }
        } else if let (Some(proxy), true) = (proxy, error.is_connect()) {
            NetworkError::Proxy {
                proxy,
                detail,
                is_rejection: PROXY_REJECTIONS.contains(&cause.as_str()),
            }
        } else if find::<ResolveError>(error).is_some() {
            NetworkError::Dns(detail)
        } else if find::<std::io::Error>(error)
            .is_some_and(|io| io.kind() == std::io::ErrorKind::ConnectionRefused)
        {
            NetworkError::ConnectionRefused
        } else if error.is_connect() {
            NetworkError::Connect(detail)
        } else if find::<hyper::Error>(error).is_some_and(hyper::Error::is_parse) {
            NetworkError::NotHttp(detail)
        } else {
            NetworkError::Incomplete(detail)
        }
    }
}

/// Trusts Mozilla's authorities, which are compiled in, and `more`. macOS and Windows have verifiers of their own.
#[cfg(not(any(target_os = "macos", windows)))]
fn trusting(
    builder: ClientBuilder,
    more: &[CertificateDer<'static>],
) -> anyhow::Result<ClientBuilder> {
    let mut roots = rustls::RootCertStore {
        roots: webpki_roots::TLS_SERVER_ROOTS.to_vec(),
    };
    for certificate in more {
        roots.add(certificate.clone())?;
    }
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let config = rustls::ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()?
        .with_root_certificates(roots)
        .with_no_client_auth();
    Ok(builder.tls_backend_preconfigured(config))
}

/// Trusts the system's authorities, and `more`.
#[cfg(any(target_os = "macos", windows))]
fn trusting(
    builder: ClientBuilder,
    more: &[CertificateDer<'static>],
) -> anyhow::Result<ClientBuilder> {
    let more = more
        .iter()
        .map(|certificate| reqwest::Certificate::from_der(certificate));
    Ok(builder.tls_certs_merge(more.collect::<Result<Vec<_>, _>>()?))
}

/// The ID that Port assigns to a request, which every response contains.
pub(crate) fn port_trace(headers: &HeaderMap) -> Option<Trace> {
    trace("X-Trace-Id", headers)
}

/// The ID that a server assigns to a request, from `header`.
pub(crate) fn trace(header: &'static str, headers: &HeaderMap) -> Option<Trace> {
    let id = Quote::new(headers.get(header)?.to_str().ok()?);
    (!id.is_empty()).then_some(Trace { header, id })
}

/// Whether a response has the content type JSON.
pub(crate) fn is_json(headers: &HeaderMap) -> bool {
    headers
        .get(CONTENT_TYPE)
        .and_then(|kind| kind.to_str().ok())
        .is_some_and(|kind| kind.contains("json"))
}

/// The first error of type `T` in the chain of sources of `error`, including inside an `io::Error`.
pub(crate) fn find<'a, T: StdError + 'static>(
    error: &'a (dyn StdError + 'static),
) -> Option<&'a T> {
    let mut next = Some(error);
    while let Some(error) = next {
        if let Some(found) = error.downcast_ref() {
            return Some(found);
        }
        let wrapped = error
            .downcast_ref::<std::io::Error>()
            .and_then(std::io::Error::get_ref);
        next = match wrapped {
            Some(wrapped) => Some(wrapped),
            None => error.source(),
        };
    }
    None
}

pub(crate) fn innermost<'a>(error: &'a (dyn StdError + 'static)) -> &'a (dyn StdError + 'static) {
    let mut error = error;
    while let Some(source) = error.source() {
        error = source;
    }
    error
}

/// The system's resolver. Its errors have a separate type, which [`Http::network_error`] recognizes.
struct SystemResolver;

#[derive(Debug, thiserror::Error)]
#[error(transparent)]
struct ResolveError(std::io::Error);

impl Resolve for SystemResolver {
    fn resolve(&self, name: Name) -> Resolving {
        Box::pin(async move {
            let addresses = tokio::net::lookup_host((name.as_str(), 0))
                .await
                .map_err(ResolveError)?
                .collect::<Vec<_>>();
            Ok(Box::new(addresses.into_iter()) as Addrs)
        })
    }
}
