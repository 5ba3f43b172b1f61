//! What the step passes to the gateway: one line of JSON on standard input, with all secrets.
//!
//! Nothing secret is in the environment, on the command line, or in a file.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use anyhow::Context as _;
use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use rustls::pki_types::CertificateDer;
use secrecy::{ExposeSecret, SecretString};
use serde::Deserialize;
use serde_json::{Value, json};
use url::Url;

use super::audit::Start;
use crate::http::ProxySettings;
use crate::port::{AuthMethod, Credentials, Endpoints, Flow, Region, Token};

/// Everything that a gateway needs.
pub(crate) struct HandOver {
    pub(crate) credentials: Credentials,
    pub(crate) endpoints: Endpoints,
    pub(crate) auth_method: AuthMethod,
    pub(crate) token: Token,
    /// Port's headers, without `Authorization`.
    pub(crate) headers: Vec<(String, String)>,
    /// The granted tools.
    pub(crate) tools: Vec<String>,
    /// The key of the agent.
    pub(crate) key: SecretString,
    pub(crate) lifetime: Duration,
    pub(crate) proxy: Option<ProxySettings>,
    pub(crate) ca_certificates: Vec<CertificateDer<'static>>,
    pub(crate) audit_arguments: bool,
    /// The first line of the audit.
    pub(crate) start: Start,
    /// The run in requests to Port, as in [`crate::http::HttpSettings`].
    pub(crate) run: Option<String>,
    pub(crate) place: Place,
}

/// What depends on where the gateway runs.
#[derive(Clone, Debug, Deserialize)]
pub(crate) struct Place {
    /// The address to listen on.
    pub(crate) listen: SocketAddr,
    /// The values of `Host` that clients use, besides those of a loopback address.
    pub(crate) hosts: Vec<String>,
    /// The key that stops the gateway. `None` if only a signal stops it.
    pub(crate) stop_key: Option<SecretString>,
    /// Whether the audit goes to standard output.
    pub(crate) audit_output: bool,
    /// The files to which the audit goes.
    pub(crate) audit_files: Vec<PathBuf>,
}

#[derive(Deserialize)]
struct Line {
    client_id: String,
    client_secret: SecretString,
    region: Option<Region>,
    api_url: Url,
    mcp_url: Url,
    auth_method: String,
    flow: String,
    token: SecretString,
    /// Milliseconds.
    token_valid_for: Option<u64>,
    headers: Vec<(String, String)>,
    tools: Vec<String>,
    key: SecretString,
    /// Seconds.
    lifetime: u64,
    proxy: Option<Proxy>,
    /// Base64 of DER.
    ca_certificates: Vec<String>,
    audit_arguments: bool,
    start: Start,
    run: Option<String>,
    place: Place,
}

#[derive(Deserialize)]
struct Proxy {
    url: SecretString,
    exceptions: String,
}

impl HandOver {
    /// The line for standard input. It contains every secret.
    ///
    /// # Errors
    /// When the path of the audit is not UTF-8, which JSON cannot contain.
    pub(crate) fn to_line(&self) -> anyhow::Result<SecretString> {
        let audit_files = self.place.audit_files.iter().map(|path| {
            path.to_str()
                .context("the gateway could not start: the path of its audit file is not UTF-8\nhint: rename the directories of the runner")
        });
        let audit_files: Vec<&str> = audit_files.collect::<anyhow::Result<_>>()?;
        let valid_for = self.token.valid_for();
        let valid_for = valid_for.and_then(|left| u64::try_from(left.as_millis()).ok());
        let proxy = self
            .proxy
            .as_ref()
            .map(|proxy| json!({"url": proxy.url.expose_secret(), "exceptions": proxy.exceptions}));
        let certificates = self.ca_certificates.iter();
        let certificates = certificates.map(|certificate| BASE64_STANDARD.encode(certificate));
        let line: Value = json!({
            "client_id": self.credentials.client_id,
            "client_secret": self.credentials.client_secret.expose_secret(),
            "region": self.endpoints.region.map(|region| region.to_string()),
            "api_url": self.endpoints.api,
            "mcp_url": self.endpoints.mcp,
            "auth_method": self.auth_method.to_string(),
            "flow": self.token.flow.to_string(),
            "token": self.token.secret.expose_secret(),
            "token_valid_for": valid_for,
            "headers": self.headers,
            "tools": self.tools,
            "key": self.key.expose_secret(),
            "lifetime": self.lifetime.as_secs(),
            "proxy": proxy,
            "ca_certificates": certificates.collect::<Vec<_>>(),
            "audit_arguments": self.audit_arguments,
            "start": self.start,
            "run": self.run,
            "place": {
                "listen": self.place.listen,
                "hosts": self.place.hosts,
                "stop_key": self.place.stop_key.as_ref().map(ExposeSecret::expose_secret),
                "audit_output": self.place.audit_output,
                "audit_files": audit_files,
            },
        });
        Ok(format!("{line}\n").into())
    }

    /// Parses the line.
    ///
    /// # Errors
    /// When it is not a line of the same version. The error quotes nothing of it.
    pub(crate) fn parse(line: &SecretString) -> Result<Self, HandOverError> {
        let line: Line = serde_json::from_str(line.expose_secret()).map_err(|_| HandOverError)?;
        let flow = |name: &str| match name {
            "api" => Ok(Flow::Rest),
            "oauth" => Ok(Flow::Oauth),
            _ => Err(HandOverError),
        };
        let certificates = line.ca_certificates.iter().map(|certificate| {
            let der = BASE64_STANDARD.decode(certificate);
            der.map(CertificateDer::from).map_err(|_| HandOverError)
        });
        Ok(Self {
            auth_method: match line.auth_method.as_str() {
                "auto" => AuthMethod::Auto,
                name => AuthMethod::Only(flow(name)?),
            },
            token: Token::new(
                line.token,
                line.token_valid_for.map(Duration::from_millis),
                flow(&line.flow)?,
            ),
            credentials: Credentials {
                client_id: line.client_id,
                client_secret: line.client_secret,
            },
            endpoints: Endpoints {
                region: line.region,
                api: line.api_url,
                mcp: line.mcp_url,
            },
            headers: line.headers,
            tools: line.tools,
            key: line.key,
            lifetime: Duration::from_secs(line.lifetime),
            proxy: line.proxy.map(|proxy| ProxySettings {
                url: proxy.url,
                exceptions: proxy.exceptions,
            }),
            ca_certificates: certificates.collect::<Result<_, _>>()?,
            audit_arguments: line.audit_arguments,
            start: line.start,
            run: line.run,
            place: line.place,
        })
    }
}

/// The line on standard input is not the settings of a gateway.
#[derive(Debug, thiserror::Error)]
#[error(
    "the gateway received no settings\n\
     hint: do not start `port-mcp gateway` yourself; set `connection: gateway`"
)]
pub(crate) struct HandOverError;
