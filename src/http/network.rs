//! Errors below HTTP, which are the same for every server.

use std::fmt;
use std::time::Duration;

use humantime::format_duration;
use rustls::CertificateError;
use url::Url;

use crate::text::Quote;

/// Why there was no response, or no complete response.
#[derive(Clone, Debug, thiserror::Error)]
#[expect(missing_docs, reason = "the messages say what each one means")]
pub enum NetworkError {
    #[error("the host name could not be resolved ({0})")]
    Dns(Quote),
    #[error("connection refused")]
    ConnectionRefused,
    #[error("connection failed ({0})")]
    Connect(Quote),
    #[error("the proxy {proxy} could not connect ({detail})")]
    Proxy {
        proxy: String,
        detail: Quote,
        /// Whether the proxy rejected the credentials or the host.
        is_rejection: bool,
    },
    #[error("TLS failed ({0})")]
    Tls(rustls::Error),
    #[error("no response within {}", seconds(*.0))]
    Timeout(Duration),
    #[error("the connection closed before the response was complete ({0})")]
    Incomplete(Quote),
    #[error("the response is not valid HTTP ({0})")]
    NotHttp(Quote),
    #[error("the response is larger than {} MiB", .0 / 1024 / 1024)]
    TooLarge(usize),
}

impl NetworkError {
    /// Whether the same request can succeed a moment later. A proxy that rejects credentials could lock their
    /// account after several attempts.
    pub(crate) fn is_transient(&self) -> bool {
        match self {
            Self::Tls(_) | Self::NotHttp(_) | Self::TooLarge(_) => false,
            Self::Proxy { is_rejection, .. } => !is_rejection,
            _ => true,
        }
    }

    /// What to do about it, given the URL of the request.
    pub(crate) fn hint(&self, url: &Url) -> String {
        let host = url.host_str().unwrap_or_default();
        match self {
            Self::Dns(_) => format!(
                "check the spelling of `api_url` and `mcp_url`; on a self-hosted runner, check that its \
                 DNS resolves {host}, or set an HTTPS proxy for the runner"
            ),
            Self::ConnectionRefused | Self::Connect(_) => format!(
                "check that the runner can reach {host} on port {}: a firewall may block it, or the \
                 runner may need a proxy in `https_proxy`",
                url.port_or_known_default().unwrap_or_default()
            ),
            Self::Proxy { .. } => format!(
                "check that the proxy in the runner's `https_proxy` is running, that its URL begins with \
                 `http://` unless it speaks TLS, and that it accepts the runner's credentials and connections to \
                 {host}; or add the host to `no_proxy`"
            ),
            Self::Tls(error) => tls_hint(error, host),
            Self::Timeout(_) => {
                format!("check that no firewall drops packets to {host}, or raise `timeout`")
            }
            Self::Incomplete(_) => format!(
                "run the job again; if the error persists, contact the owner of {host}: a proxy or \
                 firewall may be closing connections"
            ),
            Self::NotHttp(_) | Self::TooLarge(_) => unexpected_server_hint(host),
        }
    }
}

/// What to do when a response is not in the form that Port uses.
pub(crate) fn unexpected_server_hint(host: &str) -> String {
    format!(
        "check that {host} is Port: a proxy may have returned a login page, or `api_url` or `mcp_url` \
         may point to another server"
    )
}

fn tls_hint(error: &rustls::Error, host: &str) -> String {
    match error {
        rustls::Error::InvalidCertificate(CertificateError::UnknownIssuer) => format!(
            "if your company's proxy inspects TLS, pass its CA certificate as `ca_certificate`: the \
             certificate of {host} was issued by an unknown authority"
        ),
        rustls::Error::InvalidCertificate(
            CertificateError::NotValidForName | CertificateError::NotValidForNameContext { .. },
        ) => format!("check `api_url` and `mcp_url`: the certificate is not for {host}"),
        rustls::Error::InvalidCertificate(
            CertificateError::Expired
            | CertificateError::ExpiredContext { .. }
            | CertificateError::NotValidYet
            | CertificateError::NotValidYetContext { .. },
        ) => "check the runner's clock: the certificate is expired or not valid yet".to_owned(),
        _ => format!(
            "check that {host} speaks TLS on this port, and whether a proxy inspects the connection"
        ),
    }
}

/// A duration in whole seconds, or in milliseconds below one second.
pub(crate) fn seconds(duration: Duration) -> impl fmt::Display {
    let whole = Duration::from_secs(duration.as_secs());
    let millis = Duration::from_millis(u64::try_from(duration.as_millis()).unwrap_or(u64::MAX));
    format_duration(if whole.is_zero() { millis } else { whole })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_in_whole_seconds() {
        assert_eq!(seconds(Duration::from_millis(1_234)).to_string(), "1s");
        assert_eq!(seconds(Duration::from_micros(250_900)).to_string(), "250ms");
    }
}
