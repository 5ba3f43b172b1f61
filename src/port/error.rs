//! What can go wrong between here and a token, each with what to do about it.

use std::fmt;
use std::time::Duration;

use humantime::format_duration;
use reqwest::StatusCode;
use rustls::CertificateError;
use url::Url;

use super::Region;
use crate::text::Quote;

/// A request to Port that did not give what was asked for.
///
/// Its text names what came back, what was tried, Port's trace id, and ends in a hint.
#[derive(Debug)]
pub struct Error {
    cause: Cause,
    url: Url,
    trace_id: Option<Quote>,
    tries: usize,
}

/// What came back.
#[derive(Clone, Debug, thiserror::Error)]
pub(crate) enum Cause {
    #[error("the host name could not be resolved ({0})")]
    Dns(Quote),
    #[error("the connection was refused")]
    Refused,
    #[error("the connection failed ({0})")]
    Connect(Quote),
    #[error("the proxy {proxy} gave no connection ({detail})")]
    Proxy { proxy: String, detail: Quote },
    #[error("TLS failed ({0})")]
    Tls(rustls::Error),
    #[error("there was no answer within {}", seconds(*.0))]
    Timeout(Duration),
    #[error("the connection broke before the answer was complete ({0})")]
    Broken(Quote),
    #[error("the answer is larger than {} MiB", .0 / 1024 / 1024)]
    TooLarge(usize),
    #[error("Port does not accept these credentials ({status}{})", said(.message))]
    Credentials { status: StatusCode, message: Quote },
    #[error("Port forbids it ({status}{})", said(.message))]
    Forbidden { status: StatusCode, message: Quote },
    #[error("Port refuses the form of the credentials ({status}{})", said(.message))]
    Invalid { status: StatusCode, message: Quote },
    #[error("Port's rate limit is reached ({status}{})", said(.message))]
    RateLimited {
        status: StatusCode,
        message: Quote,
        wait: Option<Duration>,
    },
    #[error("Port has a problem of its own ({status}{})", said(.message))]
    Server { status: StatusCode, message: Quote },
    #[error("the answer is a redirect to {to} ({status})")]
    Redirect { status: StatusCode, to: Quote },
    #[error("the answer is {status}{}", said(.message))]
    Status { status: StatusCode, message: Quote },
    #[error("the answer is not JSON ({status})")]
    NotJson { status: StatusCode },
    #[error("the answer holds no token (`{field}` is missing)")]
    NoToken { field: &'static str },
    #[error("the token holds characters that no bearer token may hold")]
    Unprintable,
    #[error("the token has lapsed already, {} ago by this machine's clock", seconds(*.0))]
    Lapsed(Duration),
}

impl Cause {
    /// Whether the same request may succeed a moment later.
    pub(crate) fn is_transient(&self) -> bool {
        matches!(
            self,
            Self::Dns(_)
                | Self::Refused
                | Self::Connect(_)
                | Self::Proxy { .. }
                | Self::Timeout(_)
                | Self::Broken(_)
        )
    }

    fn hint(&self, url: &Url) -> String {
        let host = url.host_str().unwrap_or_default();
        match self {
            Self::Dns(_) => format!(
                "check the spelling of `api_url` or `mcp_url` if you set one; on a self-hosted \
                 runner, check that its DNS knows {host}, or give the runner an HTTPS proxy"
            ),
            Self::Refused | Self::Connect(_) => format!(
                "check that the runner may reach {host} on port {}: a firewall, or a proxy that \
                 must be set in the runner's `https_proxy`",
                url.port_or_known_default().unwrap_or_default()
            ),
            Self::Proxy { .. } => format!(
                "the runner's `https_proxy` names it: check that it runs, accepts the runner's \
                 credentials and lets connections to {host} through, or list the host in `no_proxy`"
            ),
            Self::Tls(error) => tls_hint(error, host),
            Self::Timeout(_) => {
                format!("check that no firewall drops packets to {host}, or raise `timeout`")
            }
            Self::Broken(_) => "something on the way closes connections: a proxy or a firewall; \
                                run the job again, and ask Port's support if it stays"
                .to_owned(),
            Self::TooLarge(_) | Self::NotJson { .. } => format!(
                "something else than Port answers at {host}: a proxy's login page, or an `api_url` \
                 or `mcp_url` that leads elsewhere"
            ),
            Self::Credentials { .. } => region_hint(host),
            Self::Forbidden { .. } => "ask an administrator of your Port organisation whether an \
                                       IP allow-list or a policy bars these credentials, and \
                                       whether the runner's address is on it"
                .to_owned(),
            Self::Invalid { .. } => "check `client_id` and `client_secret` for quotes, blanks or \
                                     JSON around the value: they are two plain words"
                .to_owned(),
            Self::RateLimited { wait, .. } => format!(
                "{}Port counts requests by address and by credentials: lower the matrix's \
                 `max-parallel`, let one job connect for several steps, or raise `timeout`",
                wait.map(|wait| format!("Port asks to wait {}. ", seconds(wait)))
                    .unwrap_or_default()
            ),
            Self::Server { .. } => "see https://status.port.io, run the job again later, and give \
                                    Port's support the trace id if it stays"
                .to_owned(),
            Self::Redirect { .. } => "redirects are not followed, since the request carries \
                                      credentials: set `api_url` or `mcp_url` to the final address"
                .to_owned(),
            Self::Status { .. } => {
                "check `api_url` and `mcp_url` if you set them: the path may be \
                                    wrong"
                    .to_owned()
            }
            Self::NoToken { .. } => {
                "something that is not Port answers, or Port has changed: set `auth_method` to the \
                 other of `api` and `oauth`, and open an issue with the trace id"
                    .to_owned()
            }
            Self::Unprintable => "it was refused because it could not be masked in every form in \
                                  which it is written; open an issue with the trace id"
                .to_owned(),
            Self::Lapsed(_) => "the runner's clock is wrong, or Port handed out its last token a \
                                moment too late: check the clock, then run the job again"
                .to_owned(),
        }
    }
}

impl Error {
    pub(crate) fn new(cause: Cause, url: &Url) -> Self {
        Self {
            cause,
            url: url.clone(),
            trace_id: None,
            tries: 1,
        }
    }

    pub(crate) fn after(self, tries: usize) -> Self {
        Self { tries, ..self }
    }

    pub(crate) fn traced(self, trace_id: Option<Quote>) -> Self {
        Self { trace_id, ..self }
    }
}

impl std::error::Error for Error {}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}\ntried: POST {}", self.cause, self.url)?;
        if self.tries > 1 {
            write!(f, ", {} times", self.tries)?;
        }
        if let Some(trace_id) = &self.trace_id {
            write!(f, "\nX-Trace-Id: {trace_id}")?;
        }
        write!(f, "\nhint: {}", self.cause.hint(&self.url))
    }
}

fn tls_hint(error: &rustls::Error, host: &str) -> String {
    match error {
        rustls::Error::InvalidCertificate(CertificateError::UnknownIssuer) => format!(
            "the certificate of {host} was issued by an authority that is not known here; if a \
             proxy of your company inspects TLS, hand its CA certificate in as `ca_certificate`"
        ),
        rustls::Error::InvalidCertificate(
            CertificateError::NotValidForName | CertificateError::NotValidForNameContext { .. },
        ) => format!("the certificate is not for {host}: check `api_url` and `mcp_url`"),
        rustls::Error::InvalidCertificate(
            CertificateError::Expired
            | CertificateError::ExpiredContext { .. }
            | CertificateError::NotValidYet
            | CertificateError::NotValidYetContext { .. },
        ) => "the certificate is out of date, or the runner's clock is wrong".to_owned(),
        _ => format!(
            "check that {host} speaks TLS on this port, and whether a proxy on the way inspects it"
        ),
    }
}

/// A wrong region and a wrong secret get the same answer, so both are named, the region first: it
/// is the more common mistake.
fn region_hint(host: &str) -> String {
    let own = |region: &Region| {
        let hosts = [region.api_url(), region.mcp_url()];
        hosts
            .iter()
            .any(|url| Url::parse(url).is_ok_and(|url| url.host_str() == Some(host)))
    };
    let other = match Region::ALL.into_iter().find(own) {
        Some(Region::Eu) => {
            "credentials of an organisation in the US are unknown here: for one, \
                             set `region: us`. "
        }
        Some(Region::Us) => {
            "credentials of an organisation in the EU are unknown here: for one, \
                             set `region: eu`. "
        }
        None => {
            "check that `api_url` and `mcp_url` belong to the organisation of these \
                 credentials. "
        }
    };
    format!(
        "{other}Otherwise the secret was rotated or belongs to another client id; find both in \
         Port under … > Credentials"
    )
}

fn said(message: &Quote) -> String {
    if message.is_empty() {
        String::new()
    } else {
        format!(": {message}")
    }
}

/// A duration in whole seconds, or in milliseconds below one.
fn seconds(duration: Duration) -> humantime::FormattedDuration {
    let whole = Duration::from_secs(duration.as_secs());
    let millis = Duration::from_millis(u64::try_from(duration.as_millis()).unwrap_or(u64::MAX));
    format_duration(if whole.is_zero() { millis } else { whole })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_401_names_the_other_region() {
        let hint = |url: &str| region_hint(Url::parse(url).unwrap().host_str().unwrap());
        for eu in [
            "https://api.port.io/v1/auth/access_token",
            "https://mcp.port.io/v1/token",
        ] {
            assert!(hint(eu).contains("set `region: us`"), "{}", hint(eu));
        }
        assert!(hint("https://api.us.port.io").contains("set `region: eu`"));
        assert!(hint("https://port.acme.example").contains("check that `api_url`"));
    }

    #[test]
    fn durations_are_told_in_whole_seconds() {
        assert_eq!(seconds(Duration::from_millis(1_234)).to_string(), "1s");
        assert_eq!(seconds(Duration::from_micros(250_900)).to_string(), "250ms");
    }
}
