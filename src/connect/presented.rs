//! What the agent presents, and where: Port's token at Port, or the gateway's key at the gateway.

use std::time::{Duration, SystemTime};

use secrecy::SecretString;
use url::Url;

use super::TITLE;
use crate::gateway::handover::HandOver;
use crate::gateway::{keys, launch};
use crate::inputs::Settings;
use crate::port::{Endpoints, Token};
use crate::runner::temp::NewFile;
use crate::runner::{Environment, Log, files, state};

/// What the agent presents, and where.
pub(super) struct Presented {
    /// The server that the agent connects to.
    pub(super) url: Url,
    /// What it presents there, without `Bearer`.
    pub(super) secret: SecretString,
    /// The headers that it sends, in addition to `Authorization`.
    pub(super) headers: Vec<(&'static str, String)>,
    /// When the server stops accepting it, and how long from now that is.
    pub(super) expires_at: Option<SystemTime>,
    pub(super) valid_for: Option<Duration>,
    /// The audit of a gateway.
    pub(super) audit_file: Option<NewFile>,
}

impl Presented {
    /// Port's token at Port's MCP server.
    pub(super) fn direct(
        endpoints: &Endpoints,
        token: &Token,
        headers: &[(&'static str, String)],
    ) -> Self {
        Self {
            url: endpoints.mcp.clone(),
            secret: token.secret.clone(),
            headers: headers.to_vec(),
            expires_at: token.expires_at,
            valid_for: token.valid_for(),
            audit_file: None,
        }
    }

    /// Starts a gateway, and saves for the post phase how to stop it.
    ///
    /// # Errors
    /// When it does not start.
    pub(super) async fn gateway(
        settings: &Settings,
        environment: &Environment,
        endpoints: &Endpoints,
        token: &Token,
        headers: &[(&'static str, String)],
        tools: &[String],
        log: &mut Log<'_>,
    ) -> anyhow::Result<Self> {
        let key = keys::random()?;
        log.mask(&key)?;
        let options = launch::Options {
            has_audit_file: settings.gateway.audit_file,
            has_job_container: settings.gateway.has_job_container,
            timeout: settings.http.timeout,
        };
        let headers = headers.iter();
        let hand_over = |place| HandOver {
            credentials: settings.credentials.clone(),
            endpoints: endpoints.clone(),
            auth_method: settings.auth_method,
            token: Token::new(token.secret.clone(), token.valid_for(), token.flow),
            headers: headers
                .map(|(name, value)| ((*name).to_owned(), value.clone()))
                .collect(),
            tools: tools.to_vec(),
            key: key.clone(),
            lifetime: settings.gateway.lifetime,
            proxy: settings.http.proxy.clone(),
            ca_certificates: settings.http.ca_certificates.clone(),
            audit_arguments: settings.gateway.audit_arguments,
            place,
        };
        let summary = SecretString::from(settings.summary.to_string());
        state::save(environment, &[(state::GATEWAY_SUMMARY, summary)])?;
        let launched = launch::start(&options, hand_over, environment, log).await?;
        exempt_from_proxy(&launched.url, environment, log)?;
        Ok(Self {
            url: launched.url,
            secret: key,
            headers: Vec::new(),
            expires_at: SystemTime::now().checked_add(settings.gateway.lifetime),
            valid_for: Some(settings.gateway.lifetime),
            audit_file: launched.audit_file,
        })
    }
}

/// The variables that name a proxy.
const PROXY_VARIABLES: [&str; 6] = [
    "HTTP_PROXY",
    "http_proxy",
    "HTTPS_PROXY",
    "https_proxy",
    "ALL_PROXY",
    "all_proxy",
];

/// Keeps the next steps from sending requests for the gateway to a proxy, if there is one.
fn exempt_from_proxy(
    gateway: &Url,
    environment: &Environment,
    log: &mut Log<'_>,
) -> anyhow::Result<()> {
    let is_set = |name: &&str| environment.get(name).is_some();
    if !PROXY_VARIABLES.iter().any(is_set) {
        return Ok(());
    }
    let names = ["NO_PROXY", "no_proxy"];
    let given = names.iter().filter_map(|name| environment.get(name));
    let given = given.flat_map(|list| list.split(',')).map(str::trim);
    let mut hosts: Vec<&str> = Vec::new();
    for host in given
        .chain(["127.0.0.1", "localhost"])
        .chain(gateway.host_str())
    {
        if !host.is_empty() && !hosts.contains(&host) {
            hosts.push(host);
        }
    }
    let hosts = hosts.join(",");
    let values = names.map(|name| (name, SecretString::from(hosts.as_str())));
    files::set(environment, files::ENV, &values)?;
    log.notice(
        TITLE,
        "The gateway is local, so the next steps reach it without the proxy: `NO_PROXY` and `no_proxy` contain it.",
    );
    Ok(())
}
