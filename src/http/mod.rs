//! The HTTP client that every request uses: time limits, bounded reads, classified retries, and errors
//! that say what came back, what was tried, and what to do.
//!
//! Each module that sends requests adds its own causes of errors ([`Cause`]).

mod error;
mod network;
mod retry;
mod status;

use std::error::Error as StdError;
use std::sync::Arc;
use std::time::Duration;

use anyhow::anyhow;
use hyper_util::client::proxy::matcher::Matcher;
use percent_encoding::percent_decode_str;
use reqwest::dns::{Addrs, Name, Resolve, Resolving};
use reqwest::header::{CONTENT_TYPE, HeaderMap};
use reqwest::{
    Client, ClientBuilder, Method, NoProxy, Proxy, RequestBuilder, StatusCode, redirect,
};
use rustls::pki_types::CertificateDer;
use secrecy::{ExposeSecret as _, SecretString};
use tokio::time::{Instant, sleep, timeout_at};
use url::Url;

pub(crate) use error::Trace;
pub use error::{Cause, RequestError};
pub use network::NetworkError;
pub(crate) use network::{seconds, unexpected_server_hint};
use retry::MOST_ATTEMPTS;
pub(crate) use retry::Retry;
pub(crate) use status::status_line;
pub use status::{Service, StatusError, StatusKind};

use crate::text::Quote;

/// The errors of hyper-util's `TunnelError`, which is not public, for a proxy that responds with another status
/// than 200.
const PROXY_REJECTIONS: [&str; 2] = [
    "tunnel error: unsuccessful",
    "tunnel error: proxy authorization required",
];

/// The `User-Agent` of every request.
pub(crate) const USER_AGENT: &str = concat!("port-mcp-action/", env!("CARGO_PKG_VERSION"));
/// The time limit of a single attempt.
const ATTEMPT_TIMEOUT: Duration = Duration::from_secs(10);
/// The minimum time left for a further attempt.
const SHORTEST_ATTEMPT: Duration = Duration::from_millis(250);
/// The maximum size of a response in bytes.
const LARGEST_BODY: usize = 1024 * 1024;

/// How to reach the network.
#[derive(Clone, Debug, Default)]
pub struct HttpSettings {
    /// Certificate authorities to trust in addition to the default ones.
    pub ca_certificates: Vec<CertificateDer<'static>>,
    /// The time limit for all requests together, including retries.
    pub timeout: Duration,
    /// The runner's proxy.
    pub proxy: Option<ProxySettings>,
}

/// A proxy, and the hosts that are reached without it.
///
/// It is used for https only. Plain http is allowed on the loopback interface only, and a proxy could read
/// such requests.
#[derive(Clone, Debug)]
pub struct ProxySettings {
    /// Its URL, including credentials.
    pub url: SecretString,
    /// Hosts that bypass the proxy, in the form of `no_proxy`.
    pub exceptions: String,
}

/// Hosts that always bypass the proxy.
const LOOPBACK: &str = "localhost,127.0.0.0/8,::1";

impl ProxySettings {
    /// The proxy in the step's variables, which `variable` looks up.
    #[must_use]
    pub fn from_env<'a>(variable: impl Fn(&str) -> Option<&'a str>) -> Option<Self> {
        let first = |names: &[&str]| {
            let values = names.iter().filter_map(|name| variable(name));
            values.map(str::trim).find(|value| !value.is_empty())
        };
        let url = first(&PROXY_VARIABLES[..4])?;
        let exceptions = first(&["NO_PROXY", "no_proxy"]).unwrap_or_default();
        Some(Self {
            url: with_scheme(url).into(),
            exceptions: format!("{exceptions},{LOOPBACK}"),
        })
    }

    /// The passwords in all proxies' URLs in the step's variables, also those that are not used.
    #[must_use]
    pub fn passwords_in<'a>(variable: impl Fn(&str) -> Option<&'a str>) -> Vec<SecretString> {
        let urls = PROXY_VARIABLES.iter().filter_map(|name| variable(name));
        urls.flat_map(passwords).collect()
    }

    /// The password in its URL, as [`passwords`].
    pub(crate) fn passwords(&self) -> Vec<SecretString> {
        passwords(self.url.expose_secret())
    }
}

/// The variables with a proxy's URL. The first four are used for https, in this order.
const PROXY_VARIABLES: [&str; 6] = [
    "HTTPS_PROXY",
    "https_proxy",
    "ALL_PROXY",
    "all_proxy",
    "HTTP_PROXY",
    "http_proxy",
];

/// A proxy's URL, which many programs accept without a scheme.
fn with_scheme(url: &str) -> String {
    if url.contains("://") {
        url.to_owned()
    } else {
        format!("http://{url}")
    }
}

/// The password in a proxy's URL: in the URL's notation, and as the proxy gets it.
fn passwords(url: &str) -> Vec<SecretString> {
    let url = Url::parse(&with_scheme(url.trim())).ok();
    let password = url.as_ref().and_then(Url::password).unwrap_or_default();
    let decoded = percent_decode_str(password).decode_utf8_lossy();
    let mut all = vec![password, &decoded];
    all.dedup();
    all.retain(|password| !password.is_empty());
    all.into_iter().map(SecretString::from).collect()
}

/// The variables with which other programs choose the trusted certificate authorities. They decide which servers
/// receive the credentials, and any earlier step can set them.
pub const IGNORED_VARIABLES: [&str; 2] = ["SSL_CERT_FILE", "SSL_CERT_DIR"];

/// The HTTP client, and the deadline that its requests share.
#[derive(Clone, Debug)]
pub struct Http {
    client: Client,
    deadline: Instant,
    proxies: Option<Arc<Matcher>>,
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
            .user_agent(USER_AGENT)
            // A redirect would send the credentials to another server.
            .redirect(redirect::Policy::none())
            .retry(reqwest::retry::never())
            // For the gateway, whose responses can take longer.
            .connect_timeout(ATTEMPT_TIMEOUT)
            .dns_resolver(Arc::new(SystemResolver))
            .no_proxy();
        let mut proxies = None;
        if let Some(ProxySettings { url, exceptions }) = settings.proxy {
            let is_http = Url::parse(url.expose_secret())
                .is_ok_and(|url| ["http", "https"].contains(&url.scheme()) && url.has_host());
            // An error would quote the URL, including credentials.
            let proxy = Proxy::https(url.expose_secret()).ok();
            let proxy = proxy.filter(|_| is_http).ok_or_else(|| {
                anyhow!(
                    "the runner's `https_proxy` is not a URL of an HTTP proxy\n\
                     hint: use the form `http://proxy.example:3128`"
                )
            })?;
            builder = builder.proxy(proxy.no_proxy(NoProxy::from_string(&exceptions)));
            let matcher = Matcher::builder().https(url.expose_secret().to_owned());
            proxies = Some(Arc::new(matcher.no(exceptions).build()));
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
        Ok(Self {
            client,
            deadline: Instant::now() + settings.timeout,
            proxies,
        })
    }

    /// The same client with a deadline of its own.
    pub(crate) fn with_deadline(&self, timeout: Duration) -> Self {
        Self {
            deadline: Instant::now() + timeout,
            ..self.clone()
        }
    }

    /// The underlying client, for a library that sends its own requests.
    pub(crate) fn client(&self) -> &Client {
        &self.client
    }

    /// Sends an idempotent POST, and repeats it after a failed connection, a timeout, an incomplete
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
            let request = prepare(self.client.post(url.clone()));
            self.with_timeout(ATTEMPT_TIMEOUT, async {
                let response = self.send(request, url).await?;
                let (status, headers) = (response.status(), response.headers().clone());
                let body = self.body(response, url, LARGEST_BODY).await?;
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
            let time_left = self.time_left().saturating_sub(SHORTEST_ATTEMPT);
            let wait = retry::wait(wait, failed.len(), time_left);
            match wait.filter(|_| failed.len() + 1 < MOST_ATTEMPTS) {
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
        request
            .send()
            .await
            .map_err(|error| self.network_error(&error, url))
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
        let proxy = self.proxy_for(url);
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
            NetworkError::Refused
        } else if error.is_connect() {
            NetworkError::Connect(detail)
        } else if find::<hyper::Error>(error).is_some_and(hyper::Error::is_parse) {
            NetworkError::NotHttp(detail)
        } else {
            NetworkError::Incomplete(detail)
        }
    }

    /// The scheme, host, and port of the proxy for `url`, without credentials.
    fn proxy_for(&self, url: &Url) -> Option<String> {
        let destination = url.as_str().parse().ok()?;
        let proxy = self.proxies.as_ref()?.intercept(&destination)?;
        let uri = proxy.uri();
        let port = uri
            .port_u16()
            .map(|port| format!(":{port}"))
            .unwrap_or_default();
        Some(format!("{}://{}{port}", uri.scheme_str()?, uri.host()?))
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
