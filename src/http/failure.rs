//! What can go wrong below HTTP: the same for every server.

use std::fmt;
use std::time::Duration;

use humantime::format_duration;
use reqwest::StatusCode;
use rustls::CertificateError;
use url::Url;

use crate::text::Quote;

/// Why there was no answer, or none that could be read to its end.
#[derive(Clone, Debug, thiserror::Error)]
#[expect(missing_docs, reason = "the messages say what each one means")]
pub enum Failure {
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
}

impl Failure {
    /// Whether the same request may succeed a moment later.
    pub(crate) fn is_transient(&self) -> bool {
        !matches!(self, Self::Tls(_) | Self::TooLarge(_))
    }

    /// What to do about it, of a request to `url`.
    pub(crate) fn hint(&self, url: &Url) -> String {
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
            Self::Broken(_) => format!(
                "something on the way closes connections: a proxy or a firewall; run the job \
                 again, and ask whoever runs {host} if it stays"
            ),
            Self::TooLarge(_) => stranger_hint(host),
        }
    }
}

/// What to do when an answer is not in the form that its server speaks.
pub(crate) fn stranger_hint(host: &str) -> String {
    format!(
        "something else than Port answers at {host}: a proxy's login page, or an `api_url` or \
         `mcp_url` that leads elsewhere"
    )
}

/// What to do about a redirect.
pub(crate) const REDIRECT_HINT: &str = "redirects are not followed, since the request carries \
    credentials: set `api_url` or `mcp_url` to the final address";

/// What to do about a status of 5xx that stays.
pub(crate) const SERVER_HINT: &str = "see https://status.port.io, run the job again later, and give \
    Port's support the trace id if it stays";

/// What to do about a rate limit of Port's, which asks to `wait`.
pub(crate) fn rate_limit_hint(wait: Option<Duration>) -> String {
    format!(
        "{}Port counts requests by address and by credentials: lower the matrix's `max-parallel`, \
         let one job connect for several steps, or raise `timeout`",
        wait.map(|wait| format!("Port asks to wait {}. ", seconds(wait)))
            .unwrap_or_default()
    )
}

/// A status and what the server said beside it: `403 Forbidden: IP not allowed`.
pub(crate) fn said(status: StatusCode, message: &Quote) -> String {
    let message = message.to_string();
    if message.is_empty() || status.canonical_reason() == Some(&message) {
        status.to_string()
    } else {
        format!("{status}: {message}")
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

/// A duration in whole seconds, or in milliseconds below one.
pub(crate) fn seconds(duration: Duration) -> impl fmt::Display {
    let whole = Duration::from_secs(duration.as_secs());
    let millis = Duration::from_millis(u64::try_from(duration.as_millis()).unwrap_or(u64::MAX));
    format_duration(if whole.is_zero() { millis } else { whole })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_are_told_in_whole_seconds() {
        assert_eq!(seconds(Duration::from_millis(1_234)).to_string(), "1s");
        assert_eq!(seconds(Duration::from_micros(250_900)).to_string(), "250ms");
    }
}
