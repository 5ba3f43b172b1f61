//! One HTTP client for everything: time limits, bounded reads, classified retries, and errors that
//! say what came back, what was tried and what to do.
//!
//! Rooms that reach the network share this leaf, each with causes of its own ([`Cause`]).

mod error;
mod failure;

use std::error::Error as StdError;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use anyhow::{Context as _, anyhow};
use hyper_util::client::proxy::matcher::Matcher;
use reqwest::dns::{Addrs, Name, Resolve, Resolving};
use reqwest::header::{CONTENT_TYPE, HeaderMap, LOCATION, RETRY_AFTER};
use reqwest::{
    Client, ClientBuilder, Method, NoProxy, Proxy, RequestBuilder, Response, StatusCode, redirect,
};
use rustls::pki_types::CertificateDer;
use secrecy::{ExposeSecret as _, SecretString};
use tokio::time::{Instant, sleep, timeout_at};
use url::Url;

pub(crate) use error::Trace;
pub use error::{Cause, Error};
pub use failure::Failure;
pub(crate) use failure::{
    REDIRECT_HINT, SERVER_HINT, rate_limit_hint, said, seconds, stranger_hint,
};

use crate::text::Quote;

/// How this program names itself to every server.
pub(crate) const USER_AGENT: &str = concat!("port-mcp-action/", env!("CARGO_PKG_VERSION"));
/// How often a request is sent before giving up, the first time included.
const TRIES: usize = 5;
/// The time limit of a single try.
const TRY_TIMEOUT: Duration = Duration::from_secs(10);
/// The backoff before the second try; it doubles with each further one.
const BACKOFF: Duration = Duration::from_millis(250);
/// The most that is read of an answer.
const LARGEST_BODY: usize = 1024 * 1024;
/// `x-ratelimit-reset` is documented both as seconds to wait and as a point in time; a larger
/// number than this can only be the latter.
const LONGEST_RESET: u64 = 10_000;

/// How to reach the network.
#[derive(Debug, Default)]
pub struct HttpSettings {
    /// Trusted beside the certificate authorities that are trusted anyway ([`ROOTS_VARIABLES`]).
    pub ca_certificates: Vec<CertificateDer<'static>>,
    /// One limit for everything, retries included.
    pub timeout: Duration,
    /// The proxy that the runner prescribes.
    pub proxy: Option<ProxySettings>,
}

/// A proxy, and the hosts that are reached without it.
///
/// It serves https alone. Plain http is spoken with this very machine only, where a proxy can be in
/// the way and could read what is sent.
#[derive(Clone, Debug)]
pub struct ProxySettings {
    /// Its address, credentials included.
    pub url: SecretString,
    /// A list as in the variable `no_proxy`.
    pub exceptions: String,
}

/// Hosts that no proxy is asked for.
const LOOPBACK: &str = "localhost,127.0.0.0/8,::1";

impl ProxySettings {
    /// What the step's variables say, each as `variable` gives it.
    #[must_use]
    pub fn from_env<'a>(variable: impl Fn(&str) -> Option<&'a str>) -> Option<Self> {
        let first = |names: &[&str]| names.iter().find_map(|name| variable(name));
        let url = first(&["HTTPS_PROXY", "https_proxy", "ALL_PROXY", "all_proxy"])?;
        let exceptions = first(&["NO_PROXY", "no_proxy"]).unwrap_or_default();
        Some(Self {
            url: url.into(),
            exceptions: format!("{exceptions},{LOOPBACK}"),
        })
    }

    /// The password in its address.
    #[must_use]
    pub fn password(&self) -> Option<SecretString> {
        let url = Url::parse(self.url.expose_secret()).ok()?;
        url.password().map(SecretString::from)
    }
}

/// The variables that choose the trusted certificate authorities where none are built in.
///
/// The image has its own built in (the feature `embedded-roots`): there no variable of the job's, which
/// an earlier step may have set, decides whom the credentials are sent to.
pub const ROOTS_VARIABLES: &[&str] = if cfg!(feature = "embedded-roots") {
    &[]
} else {
    &["SSL_CERT_FILE", "SSL_CERT_DIR"]
};

/// The HTTP client, and the deadline that all of its requests share.
#[derive(Clone, Debug)]
pub struct Http {
    client: Client,
    deadline: Instant,
    proxies: Option<Arc<Matcher>>,
}

/// What a server answered, whatever the status.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) status: StatusCode,
    pub(crate) headers: HeaderMap,
    pub(crate) body: Vec<u8>,
    /// Why each earlier try was not the last.
    pub(crate) failed_tries: Vec<String>,
}

/// Why it may help to ask once more.
pub(crate) struct Again {
    pub(crate) why: String,
    /// How long the server asks to wait before that.
    pub(crate) wait: Option<Duration>,
}

impl Http {
    /// Builds the client; the deadline starts to run.
    ///
    /// # Errors
    /// When TLS cannot be set up (a CA certificate that is none, or a system without any), or the
    /// proxy's address is no URL.
    pub fn new(settings: HttpSettings) -> anyhow::Result<Self> {
        let mut builder = Client::builder()
            .user_agent(USER_AGENT)
            // Credentials travel in these requests: they go where they were sent, or nowhere.
            .redirect(redirect::Policy::none())
            .retry(reqwest::retry::never())
            .dns_resolver(Arc::new(SystemResolver))
            .no_proxy();
        let mut proxies = None;
        if let Some(ProxySettings { url, exceptions }) = settings.proxy {
            // The error would quote the address, credentials included.
            let proxy = Proxy::https(url.expose_secret()).map_err(|_| {
                anyhow!(
                    "the runner's `https_proxy` is no URL\n\
                     hint: write it as `http://proxy.example:3128`"
                )
            })?;
            builder = builder.proxy(proxy.no_proxy(NoProxy::from_string(&exceptions)));
            let matcher = Matcher::builder().https(url.expose_secret().to_owned());
            proxies = Some(Arc::new(matcher.no(exceptions).build()));
        }
        let client = trusting(builder, &settings.ca_certificates)
            .and_then(|builder| Ok(builder.build()?))
            .context(
                "TLS could not be set up: a CA certificate is broken, or the system has none",
            )?;
        Ok(Self {
            client,
            deadline: Instant::now() + settings.timeout,
            proxies,
        })
    }

    /// The client itself, for a library that sends requests of its own.
    pub(crate) fn client(&self) -> &Client {
        &self.client
    }

    /// Sends a POST that may safely be repeated, and repeats it while that may help: after a failed
    /// connection, a time-out, a broken answer, and the statuses 408, 429 and 5xx.
    ///
    /// # Errors
    /// The last try's failure, when there was no answer at all. Any status is an answer.
    pub(crate) async fn post<C: Cause + From<Failure>>(
        &self,
        url: &Url,
        prepare: impl Fn(RequestBuilder) -> RequestBuilder,
    ) -> Result<Answer, Error<C>> {
        let attempt = async || {
            let request = prepare(self.client.post(url.clone()));
            self.limited(TRY_TIMEOUT, async {
                let response = self.send(request, url).await?;
                let (status, headers) = (response.status(), response.headers().clone());
                let body = self.body(response, url, LARGEST_BODY).await?;
                Ok(Answer {
                    status,
                    headers,
                    body,
                    failed_tries: Vec::new(),
                })
            })
            .await
        };
        let again = |outcome: &Result<Answer, Failure>| match outcome {
            Ok(answer) => again_after(answer.status, &answer.headers),
            Err(failure) => again_after_failure(failure),
        };
        let (outcome, failed_tries) = self.retry(attempt, again).await;
        let tries = failed_tries.len() + 1;
        match outcome {
            Ok(answer) => Ok(Answer {
                failed_tries,
                ..answer
            }),
            Err(failure) => Err(Error::new(failure.into(), Method::POST, url).after(tries)),
        }
    }

    /// Makes an attempt, and another while `again` says that it may help. Returns the last outcome,
    /// and why each one before it was not the last.
    ///
    /// Waits between attempts are random up to a doubling limit ("full jitter"), or what the server
    /// asks for. A wait that would pass the deadline is not begun.
    pub(crate) async fn retry<T>(
        &self,
        mut attempt: impl AsyncFnMut() -> T,
        again: impl Fn(&T) -> Option<Again>,
    ) -> (T, Vec<String>) {
        let mut failed = Vec::new();
        loop {
            let outcome = attempt().await;
            let Some(Again { why, wait }) = again(&outcome) else {
                return (outcome, failed);
            };
            let wait = wait.unwrap_or_else(|| jittered(failed.len()));
            if failed.len() + 1 == TRIES || wait >= self.time_left() {
                return (outcome, failed);
            }
            failed.push(why);
            sleep(wait).await;
        }
    }

    fn time_left(&self) -> Duration {
        self.deadline.saturating_duration_since(Instant::now())
    }

    /// Runs `work` for at most `limit`, and not beyond the deadline.
    pub(crate) async fn limited<T, E: From<Failure>>(
        &self,
        limit: Duration,
        work: impl Future<Output = Result<T, E>>,
    ) -> Result<T, E> {
        let started = Instant::now();
        timeout_at((started + limit).min(self.deadline), work)
            .await
            .unwrap_or_else(|_| Err(Failure::Timeout(started.elapsed()).into()))
    }

    /// Sends `request`, which goes to `url`; any status is an answer.
    pub(crate) async fn send(
        &self,
        request: RequestBuilder,
        url: &Url,
    ) -> Result<Response, Failure> {
        request
            .send()
            .await
            .map_err(|error| self.failure(&error, url))
    }

    /// Reads at most `limit` bytes of an answer from `url`.
    pub(crate) async fn body(
        &self,
        mut response: Response,
        url: &Url,
        limit: usize,
    ) -> Result<Vec<u8>, Failure> {
        let mut body = Vec::new();
        while let Some(chunk) = response
            .chunk()
            .await
            .map_err(|error| self.failure(&error, url))?
        {
            if body.len() + chunk.len() > limit {
                return Err(Failure::TooLarge(limit));
            }
            body.extend_from_slice(&chunk);
        }
        Ok(body)
    }

    /// What went wrong below HTTP, told from the chain of errors by type.
    pub(crate) fn failure(&self, error: &reqwest::Error, url: &Url) -> Failure {
        let proxy = self.proxy_for(url);
        let detail = Quote::new(&innermost(error).to_string());
        if error.is_timeout() {
            Failure::Timeout(TRY_TIMEOUT)
        } else if let Some(tls) = find::<rustls::Error>(error) {
            Failure::Tls(tls.clone())
        } else if let (Some(proxy), true) = (proxy, error.is_connect()) {
            Failure::Proxy { proxy, detail }
        } else if find::<ResolveError>(error).is_some() {
            Failure::Dns(detail)
        } else if find::<std::io::Error>(error)
            .is_some_and(|io| io.kind() == std::io::ErrorKind::ConnectionRefused)
        {
            Failure::Refused
        } else if error.is_connect() {
            Failure::Connect(detail)
        } else {
            Failure::Broken(detail)
        }
    }

    /// The proxy that a request to `url` goes through: its scheme, host and port, without
    /// credentials.
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

/// Trusts the authorities that are built in, and these.
#[cfg(feature = "embedded-roots")]
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

/// Trusts the system's authorities, and these.
#[cfg(not(feature = "embedded-roots"))]
fn trusting(
    builder: ClientBuilder,
    more: &[CertificateDer<'static>],
) -> anyhow::Result<ClientBuilder> {
    let more = more
        .iter()
        .map(|certificate| reqwest::Certificate::from_der(certificate));
    Ok(builder.tls_certs_merge(more.collect::<Result<Vec<_>, _>>()?))
}

/// The id that Port gives to a request, on every answer of its services.
pub(crate) fn port_trace(headers: &HeaderMap) -> Option<Trace> {
    trace("X-Trace-Id", headers)
}

/// The id that a server gives to a request in `header`.
pub(crate) fn trace(header: &'static str, headers: &HeaderMap) -> Option<Trace> {
    let id = Quote::new(headers.get(header)?.to_str().ok()?);
    (!id.is_empty()).then_some(Trace { header, id })
}

/// Whether an answer calls its body JSON.
pub(crate) fn is_json(headers: &HeaderMap) -> bool {
    headers
        .get(CONTENT_TYPE)
        .and_then(|kind| kind.to_str().ok())
        .is_some_and(|kind| kind.contains("json"))
}

/// Where a redirect leads.
pub(crate) fn location(headers: &HeaderMap) -> Quote {
    let to = headers.get(LOCATION).and_then(|to| to.to_str().ok());
    Quote::new(to.unwrap_or("nowhere"))
}

/// Whether it may help to ask once more after an answer with this status.
pub(crate) fn again_after(status: StatusCode, headers: &HeaderMap) -> Option<Again> {
    is_transient(status).then(|| Again {
        why: status.to_string(),
        wait: wait_asked_for(headers, status, SystemTime::now()),
    })
}

/// Whether it may help to ask once more after no answer.
pub(crate) fn again_after_failure(failure: &Failure) -> Option<Again> {
    failure.is_transient().then(|| Again {
        why: failure.to_string(),
        wait: None,
    })
}

fn is_transient(status: StatusCode) -> bool {
    status.is_server_error()
        || matches!(
            status,
            StatusCode::REQUEST_TIMEOUT | StatusCode::TOO_MANY_REQUESTS
        )
}

/// How long the server asks to wait: `Retry-After` in seconds or as a date (RFC 9110, 10.2.3),
/// else, of an answer 429, `x-ratelimit-reset` in seconds or as a point in time.
pub(crate) fn wait_asked_for(
    headers: &HeaderMap,
    status: StatusCode,
    now: SystemTime,
) -> Option<Duration> {
    let until = |moment: SystemTime| moment.duration_since(now).unwrap_or_default();
    let header = |name: &str| headers.get(name)?.to_str().ok().map(str::trim);
    if let Some(value) = header(RETRY_AFTER.as_str()) {
        if let Ok(seconds) = value.parse() {
            return Some(Duration::from_secs(seconds));
        }
        if let Ok(moment) = httpdate::parse_http_date(value) {
            return Some(until(moment));
        }
    }
    if status != StatusCode::TOO_MANY_REQUESTS {
        return None;
    }
    let reset: u64 = header("x-ratelimit-reset")?.parse().ok()?;
    if reset <= LONGEST_RESET {
        Some(Duration::from_secs(reset))
    } else {
        let moment = SystemTime::UNIX_EPOCH.checked_add(Duration::from_secs(reset))?;
        Some(until(moment))
    }
}

/// A random wait of at most `BACKOFF`, doubled for each try that failed before.
fn jittered(failed_before: usize) -> Duration {
    let limit = BACKOFF * (1 << failed_before.min(TRIES));
    let random = getrandom::u32().unwrap_or(u32::MAX);
    limit.mul_f64(f64::from(random) / f64::from(u32::MAX))
}

/// The first error of type `T` in the chain of `error`, also where an `io::Error` hides it.
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

/// The system's resolver, with failures that can be told from others by their type.
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

#[cfg(test)]
mod tests {
    use super::*;
    use reqwest::header::{HeaderName, HeaderValue};

    const NOW: u64 = 1_800_000_000;

    fn wait(status: u16, headers: &[(&'static str, &str)]) -> Option<u64> {
        let headers = headers
            .iter()
            .map(|(name, value)| {
                let value = HeaderValue::from_str(value).unwrap();
                (HeaderName::from_static(name), value)
            })
            .collect();
        let now = SystemTime::UNIX_EPOCH + Duration::from_secs(NOW);
        wait_asked_for(&headers, StatusCode::from_u16(status).unwrap(), now)
            .map(|wait| wait.as_secs())
    }

    #[test]
    fn retry_after_is_read_in_both_forms() {
        assert_eq!(wait(503, &[("retry-after", "7")]), Some(7));
        assert_eq!(
            wait(503, &[("retry-after", "Fri, 15 Jan 2027 08:00:30 GMT")]),
            Some(30)
        );
        assert_eq!(
            wait(503, &[("retry-after", "Fri, 15 Jan 2021 08:00:30 GMT")]),
            Some(0)
        );
        assert_eq!(wait(503, &[("retry-after", "soon")]), None);
    }

    #[test]
    fn the_reset_of_the_rate_limit_is_read_in_both_readings() {
        assert_eq!(wait(429, &[("x-ratelimit-reset", "42")]), Some(42));
        assert_eq!(
            wait(429, &[("x-ratelimit-reset", &(NOW + 90).to_string())]),
            Some(90)
        );
        assert_eq!(
            wait(429, &[("x-ratelimit-reset", "18446744073709551615")]),
            None
        );
        assert_eq!(
            wait(429, &[("retry-after", "1"), ("x-ratelimit-reset", "42")]),
            Some(1)
        );
        assert_eq!(
            wait(503, &[("x-ratelimit-reset", "42")]),
            None,
            "every answer carries it"
        );
    }

    #[test]
    fn the_backoff_grows_and_stays_below_its_limit() {
        for failed_before in 0..TRIES {
            assert!(jittered(failed_before) <= BACKOFF * (1 << failed_before));
        }
    }
}
