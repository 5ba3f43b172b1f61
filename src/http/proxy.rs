//! The runner's proxy: which requests go through it.
//!
//! The variables are read by the rules of GitHub's runner (`src/Runner.Sdk/RunnerWebProxy.cs`), and what other programs accept
//! counts too: `all_proxy`, `*`, `*.domain`, addresses and networks, and whitespace between entries.

use std::net::IpAddr;
use std::time::Duration;
use std::{fmt, io};

use anyhow::bail;
use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use ipnet::IpNet;
use percent_encoding::percent_decode_str;
use reqwest::StatusCode;
use secrecy::{ExposeSecret as _, SecretString};
use tokio::io::{AsyncBufReadExt as _, AsyncReadExt as _, AsyncWriteExt as _, BufReader};
use tokio::net::TcpStream;
use url::{Host, Url};

/// The time limit for the response of a proxy that has rejected a tunnel before.
const REJECTION_TIMEOUT: Duration = Duration::from_secs(2);
/// The maximum length of the first line of its response in bytes.
const MAX_STATUS_LINE: u64 = 1024;

/// The variables with a proxy's URL. The first four are used for https, in this order.
pub(crate) const PROXY_VARIABLES: &[&str] = &[
    "https_proxy",
    "HTTPS_PROXY",
    "all_proxy",
    "ALL_PROXY",
    "http_proxy",
    "HTTP_PROXY",
];

/// The variables with the hosts that bypass the proxy. The first one that is set counts.
pub(crate) const EXCEPTION_VARIABLES: [&str; 2] = ["no_proxy", "NO_PROXY"];

/// The value for all hosts. In a list, it means nothing to most programs.
pub(crate) const ALL_HOSTS: &str = "*";

/// A proxy, and the hosts that are reached without it.
///
/// It is used for https only. Plain http is allowed on the loopback interface only, and a proxy could read
/// such requests.
#[derive(Clone, Debug)]
pub struct ProxySettings {
    /// Its URL, including credentials.
    pub url: SecretString,
    /// Hosts that bypass the proxy, in the form of `no_proxy`, besides those of the loopback interface.
    pub exceptions: String,
}

impl ProxySettings {
    /// The proxy in the step's variables, which `variable` looks up.
    #[must_use]
    pub fn from_env<'a>(variable: impl Fn(&str) -> Option<&'a str>) -> Option<Self> {
        let first = |names: &[&str]| {
            names
                .iter()
                .filter_map(|name| variable(name))
                .map(str::trim)
                .find(|value| !value.is_empty())
        };
        let url = first(&PROXY_VARIABLES[..4])?;
        let exceptions = first(&EXCEPTION_VARIABLES).unwrap_or_default();
        Some(Self {
            url: with_scheme(url).into(),
            exceptions: exceptions.to_owned(),
        })
    }

    /// The passwords in all proxies' URLs in the step's variables, also those that are not used.
    #[must_use]
    pub fn passwords_in<'a>(variable: impl Fn(&str) -> Option<&'a str>) -> Vec<SecretString> {
        PROXY_VARIABLES
            .iter()
            .filter_map(|name| variable(name))
            .flat_map(passwords)
            .collect()
    }

    /// The password in its URL, as [`passwords`].
    pub(crate) fn passwords(&self) -> Vec<SecretString> {
        passwords(self.url.expose_secret())
    }
}

/// A proxy's URL, which many programs accept without a scheme.
fn with_scheme(url: &str) -> String {
    if url.contains("://") {
        url.to_owned()
    } else {
        format!("http://{url}")
    }
}

/// A proxy's URL without its scheme.
fn without_scheme(url: &str) -> &str {
    let is_scheme = |c: char| c.is_ascii_alphanumeric() || "+.-".contains(c);
    match url.split_once("://") {
        Some((scheme, rest)) if scheme.chars().all(is_scheme) => rest,
        _ => url,
    }
}

/// The password in a proxy's URL, which need not be valid: in the URL's notation, and as the proxy gets it.
fn passwords(url: &str) -> Vec<SecretString> {
    let as_written = without_scheme(url.trim())
        .rsplit_once('@')
        .and_then(|(credentials, _)| credentials.split_once(':'))
        .map(|(_, password)| password)
        .unwrap_or_default();
    // A path can contain the last `@` too.
    let parsed_url = Url::parse(&with_scheme(url.trim())).ok();
    let parsed = parsed_url
        .as_ref()
        .and_then(Url::password)
        .unwrap_or_default();
    let decoded = |text| percent_decode_str(text).decode_utf8_lossy();
    let (as_sent, parsed_as_sent) = (decoded(as_written), decoded(parsed));
    let mut all = vec![as_written, &as_sent, parsed, &parsed_as_sent];
    all.retain(|password| !password.is_empty());
    all.sort_unstable();
    all.dedup();
    all.into_iter().map(SecretString::from).collect()
}

/// The credentials in a proxy's URL, as a proxy gets them.
fn credentials(proxy: &Url) -> Option<SecretString> {
    let decoded = |text: &str| percent_decode_str(text).collect::<Vec<u8>>();
    let has_any = !proxy.username().is_empty() || proxy.password().is_some();
    let password = decoded(proxy.password().unwrap_or_default());
    let both = [decoded(proxy.username()), password].join(&b':');
    has_any.then(|| BASE64_STANDARD.encode(both).into())
}

/// Decides which requests go through a proxy.
pub(super) struct Router {
    proxy: Url,
    exceptions: Vec<Exception>,
}

/// The URL contains credentials.
impl fmt::Debug for Router {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Router").finish_non_exhaustive()
    }
}

impl Router {
    /// Reads the settings.
    ///
    /// # Errors
    /// When the URL is not that of an HTTP proxy.
    pub(super) fn new(settings: &ProxySettings) -> anyhow::Result<Self> {
        // An error must not quote the URL, which can contain credentials.
        let given = settings.url.expose_secret();
        let rest = without_scheme(given);
        let authority = rest.split(['/', '?', '#']).next().unwrap_or_default();
        if rest.contains('\\') || rest[authority.len()..].contains('@') {
            bail!(
                "the runner's `https_proxy` is not a URL of an HTTP proxy: its user name or its password contains a \
                 character that ends the host\n\
                 hint: percent-encode both, such as `%5C` for `\\`, `%2F` for `/`, `%23` for `#`, and `%3F` for `?`"
            );
        }
        let Some(proxy) = Url::parse(given)
            .ok()
            .filter(|url| ["http", "https"].contains(&url.scheme()) && url.has_host())
        else {
            bail!(
                "the runner's `https_proxy` is not a URL of an HTTP proxy\n\
                 hint: use the form `http://proxy.example:3128`"
            );
        };
        Ok(Self {
            proxy,
            exceptions: exceptions(&settings.exceptions),
        })
    }

    /// The proxy for a request to `url`, with its credentials. `None` if the request goes directly.
    pub(super) fn proxy_for(&self, url: &Url) -> Option<&Url> {
        let is_direct = is_loopback(url) || self.exceptions.iter().any(|entry| entry.matches(url));
        (url.scheme() == "https" && !is_direct).then_some(&self.proxy)
    }

    /// The scheme, host, and port of the proxy for `url`.
    pub(super) fn shown_for(&self, url: &Url) -> Option<String> {
        let proxy = self.proxy_for(url)?;
        let port = proxy.port().map(|port| format!(":{port}"));
        let (scheme, host) = (proxy.scheme(), proxy.host_str()?);
        Some(format!("{scheme}://{host}{}", port.unwrap_or_default()))
    }

    /// The status with which an HTTP proxy rejects a tunnel to `url`, which the error of the connection does not contain.
    /// `None` if it accepts one, or does not respond in time.
    pub(super) async fn rejection(&self, url: &Url) -> Option<StatusCode> {
        let proxy = self
            .proxy_for(url)
            .filter(|proxy| proxy.scheme() == "http")?;
        let (host, port) = (proxy.host_str()?, proxy.port_or_known_default()?);
        let host = host.trim_matches(['[', ']']);
        let target = format!("{}:{}", url.host_str()?, url.port_or_known_default()?);
        let mut request = format!("CONNECT {target} HTTP/1.1\r\nHost: {target}\r\n");
        if let Some(credentials) = credentials(proxy) {
            let credentials = credentials.expose_secret();
            request += "Proxy-Authorization: Basic ";
            request += credentials;
            request += "\r\n";
        }
        request.push_str("\r\n");
        let request = SecretString::from(request);
        let response = tokio::time::timeout(REJECTION_TIMEOUT, async {
            let mut stream = TcpStream::connect((host, port)).await?;
            stream.write_all(request.expose_secret().as_bytes()).await?;
            let mut line = Vec::new();
            BufReader::new(stream.take(MAX_STATUS_LINE))
                .read_until(b'\n', &mut line)
                .await?;
            Ok::<_, io::Error>(line)
        });
        let line = response.await.ok()?.ok()?;
        let status: StatusCode = String::from_utf8_lossy(&line)
            .split(' ')
            .nth(1)?
            .trim()
            .parse()
            .ok()?;
        (!status.is_success()).then_some(status)
    }
}

fn is_loopback(url: &Url) -> bool {
    match url.host() {
        Some(Host::Domain(host)) => {
            let host = host.trim_end_matches('.');
            host == "localhost" || host.ends_with(".localhost")
        }
        Some(Host::Ipv4(address)) => address.is_loopback(),
        Some(Host::Ipv6(address)) => address.to_canonical().is_loopback(),
        None => false,
    }
}

/// The entries of `no_proxy`, without those that match no host.
fn exceptions(list: &str) -> Vec<Exception> {
    if list.trim() == ALL_HOSTS {
        return vec![Exception {
            hosts: Hosts::All,
            port: None,
        }];
    }
    list.split(|c: char| c == ',' || c.is_whitespace())
        .filter_map(Exception::parse)
        .collect()
}

/// An entry of `no_proxy`.
#[derive(Debug, PartialEq, Eq)]
struct Exception {
    hosts: Hosts,
    /// Any port, if there is none.
    port: Option<u16>,
}

#[derive(Debug, PartialEq, Eq)]
enum Hosts {
    All,
    Network(IpNet),
    /// A domain with its subdomains.
    Domain(String),
    /// The subdomains of a domain.
    Subdomains(String),
}

impl Exception {
    /// `None` for an entry that matches no host.
    fn parse(entry: &str) -> Option<Self> {
        // The colons of an IPv6 address separate no port.
        let (host, port) = match entry.rsplit_once(':').filter(|_| network(entry).is_none()) {
            Some((host, port)) => (host, Some(port.parse().ok()?)),
            None => (entry, None),
        };
        let lowercase = host.to_lowercase();
        let host = lowercase.trim_end_matches('.');
        let hosts = if let Some(network) = network(host) {
            Hosts::Network(network)
        } else if let Some(domain) = host.strip_prefix("*.").or_else(|| host.strip_prefix('.')) {
            Hosts::Subdomains(domain.to_owned())
        } else {
            Hosts::Domain(host.to_owned())
        };
        let is_empty =
            matches!(&hosts, Hosts::Domain(name) | Hosts::Subdomains(name) if name.is_empty());
        (!is_empty).then_some(Self { hosts, port })
    }

    fn matches(&self, url: &Url) -> bool {
        let is_port = self.port.is_none() || self.port == url.port_or_known_default();
        is_port && url.host().is_some_and(|host| self.hosts.contain(&host))
    }
}

impl Hosts {
    fn contain(&self, host: &Host<&str>) -> bool {
        let is_below = |host: &str, domain: &str| {
            host.strip_suffix(domain)
                .is_some_and(|parent| parent.ends_with('.'))
        };
        match (self, host) {
            (Self::All, _) => true,
            (Self::Network(network), Host::Ipv4(address)) => {
                network.contains(&IpAddr::from(*address))
            }
            (Self::Network(network), Host::Ipv6(address)) => {
                network.contains(&IpAddr::from(*address))
            }
            (Self::Domain(domain), Host::Domain(host)) => {
                let host = host.trim_end_matches('.');
                host == domain || is_below(host, domain)
            }
            (Self::Subdomains(domain), Host::Domain(host)) => {
                is_below(host.trim_end_matches('.'), domain)
            }
            _ => false,
        }
    }
}

/// An IP address, in brackets or not, or a network.
fn network(text: &str) -> Option<IpNet> {
    let inner = text
        .strip_prefix('[')
        .and_then(|text| text.strip_suffix(']'));
    let address = inner.unwrap_or(text).parse::<IpAddr>();
    address.map(IpNet::from).or_else(|_| text.parse()).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(serde::Deserialize)]
    struct Form {
        no_proxy: String,
        url: Url,
        proxied: bool,
    }

    /// `tests/e2e/clients/proxies.js` compares the same forms with what curl, Python, and Node.js make of them.
    #[test]
    fn forms_of_exceptions() {
        let forms = include_str!("../../tests/e2e/clients/proxies.json");
        let forms: Vec<Form> = serde_json::from_str(forms).unwrap();
        for Form {
            no_proxy,
            url,
            proxied,
        } in forms
        {
            let router = Router::new(&ProxySettings {
                url: "http://proxy.example:3128".into(),
                exceptions: no_proxy.clone(),
            });
            let proxy = router.unwrap().shown_for(&url);
            let expected = proxied.then(|| "http://proxy.example:3128".to_owned());
            assert_eq!(proxy, expected, "`{no_proxy}`: {url}");
        }
    }

    #[test]
    fn a_local_server_is_never_reached_through_the_proxy() {
        let router = Router::new(&ProxySettings {
            url: "http://proxy.example:3128".into(),
            exceptions: String::new(),
        });
        let router = router.unwrap();
        for url in [
            "https://localhost",
            "https://a.localhost:1",
            "https://127.1.2.3",
            "https://[::1]",
            "https://localhost.",
            "https://[::ffff:127.0.0.1]",
            "http://api.port.io",
        ] {
            assert_eq!(router.proxy_for(&Url::parse(url).unwrap()), None, "{url}");
        }
    }

    #[test]
    fn the_first_variable_that_is_set_counts() {
        let of = |variables: &[(&str, &'static str)]| {
            let variables = variables.to_vec();
            let value = move |name: &str| {
                let found = variables.iter().find(|(known, _)| *known == name);
                found.map(|(_, value)| *value)
            };
            let settings = ProxySettings::from_env(value)?;
            Some(format!(
                "{} {}",
                settings.url.expose_secret(),
                settings.exceptions
            ))
        };
        let both = [
            ("HTTPS_PROXY", "http://upper"),
            ("https_proxy", "lower:3128"),
            ("NO_PROXY", "upper.example"),
            ("no_proxy", "lower.example"),
        ];
        let lower = of(&both).unwrap();
        assert_eq!(lower, "http://lower:3128 lower.example");
        let upper = of(&[both[0], ("https_proxy", " "), both[2]]).unwrap();
        assert_eq!(upper, "http://upper upper.example");
        assert_eq!(of(&[("http_proxy", "http://plain")]), None);
    }

    #[test]
    fn the_password_of_an_invalid_url_is_known() {
        let all = |url| -> Vec<String> {
            let passwords = passwords(url).into_iter();
            passwords
                .map(|password| password.expose_secret().to_owned())
                .collect()
        };
        assert_eq!(all("http://corp\\bob:pw@proxy:3128"), ["pw"]);
        assert_eq!(all("bob:p#/%40@proxy"), ["p#/%40", "p#/@"]);
        assert_eq!(all("bob:a://pa55@proxy"), ["a://pa55"]);
        assert!(all("http://bob:pa55@proxy:3128/x@y").contains(&"pa55".to_owned()));
        assert_eq!(all("http://bob:p@55@proxy"), ["p%4055", "p@55"]);
        assert_eq!(all("http://proxy:3128"), Vec::<String>::new());
    }
}
