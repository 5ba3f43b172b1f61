//! What the agent presents, and where: Port's token at Port, or the gateway's key at the gateway.

use std::time::{Duration, SystemTime};

use secrecy::SecretString;
use url::Url;

use super::policy::AppliedRule;
use crate::Connection;
use crate::access::Grants;
use crate::gateway::settings::Settings as GatewaySettings;
use crate::gateway::{Start, keys};
use crate::http::{ALL_HOSTS, EXCEPTION_VARIABLES, PROXY_VARIABLES};
use crate::inputs::Settings;
use crate::launch;
use crate::port::{Endpoints, Token};
use crate::runner::temp::NewFile;
use crate::runner::{Environment, Log, Run, files, state};

/// What the agent presents, and where.
pub(super) struct AgentEndpoint {
    /// The server that the agent connects to.
    pub(super) url: Url,
    /// The URL of a gateway for other containers.
    pub(super) url_in_containers: Option<Url>,
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

/// What the gateway lets pass.
pub(super) struct Granted<'a> {
    /// The rule of the policy that allows it.
    pub(super) rule: Option<&'a AppliedRule>,
    pub(super) grants: &'a Grants,
}

impl AgentEndpoint {
    /// As the connection of the step requires: with `gateway`, starts one, and saves for the post phase how to stop it.
    ///
    /// # Errors
    /// When a gateway does not start.
    pub(super) async fn new(
        settings: &Settings,
        environment: &Environment,
        endpoints: &Endpoints,
        token: &Token,
        headers: &[(&'static str, String)],
        granted: &Granted<'_>,
        log: &mut Log<'_>,
    ) -> anyhow::Result<Self> {
        if settings.request.connection != Connection::Gateway {
            return Ok(Self::direct(endpoints, token, headers));
        }
        let key = keys::random()?;
        log.mask(&key)?;
        let options = launch::Options {
            has_audit_file: settings.gateway.audit_file,
            has_job_container: settings.gateway.has_job_container,
            timeout: settings.http.timeout,
        };
        let gateway_settings = |placement| GatewaySettings {
            credentials: settings.credentials.clone(),
            endpoints: endpoints.clone(),
            auth_method: settings.auth_method,
            token: Token::new(token.secret.clone(), token.valid_for(), token.flow),
            headers: headers
                .iter()
                .map(|(name, value)| ((*name).to_owned(), value.clone()))
                .collect(),
            grants: granted.grants.clone(),
            key: key.clone(),
            lifetime: settings.gateway.lifetime,
            proxy: settings.http.proxy.clone(),
            ca_certificates: settings.http.ca_certificates.clone(),
            audit_arguments: settings.gateway.audit_arguments,
            start: start(settings, environment, granted.rule),
            run: settings.http.run.clone(),
            placement,
        };
        let summary = SecretString::from(settings.summary.to_string());
        state::save(environment, &[(state::GATEWAY_SUMMARY, summary)])?;
        let launched = launch::start(&options, gateway_settings, environment, log).await?;
        let hosts: Vec<&str> = [&launched.url]
            .into_iter()
            .chain(&launched.url_in_containers)
            .filter_map(Url::host_str)
            .collect();
        exempt_from_proxy(&hosts, environment, log)?;
        Ok(Self {
            url: launched.url,
            url_in_containers: launched.url_in_containers,
            secret: key,
            headers: Vec::new(),
            expires_at: SystemTime::now().checked_add(settings.gateway.lifetime),
            valid_for: Some(settings.gateway.lifetime),
            audit_file: launched.audit_file,
        })
    }

    /// Port's token at Port's MCP server.
    fn direct(endpoints: &Endpoints, token: &Token, headers: &[(&'static str, String)]) -> Self {
        Self {
            url: endpoints.mcp.clone(),
            url_in_containers: None,
            secret: token.secret.clone(),
            headers: headers.to_vec(),
            expires_at: token.expires_at,
            valid_for: token.valid_for(),
            audit_file: None,
        }
    }

    /// The value of a header that the agent sends. Empty if it sends none.
    pub(super) fn header(&self, name: &str) -> &str {
        self.headers
            .iter()
            .find(|(header, _)| *header == name)
            .map_or("", |(_, value)| value)
    }
}

/// For what a gateway is started.
fn start(settings: &Settings, environment: &Environment, rule: Option<&AppliedRule>) -> Start {
    let run = Run::from_env(environment);
    Start {
        repository: run.repository,
        run_id: run.id,
        run_attempt: run.attempt,
        job: run.job,
        workflow: run.workflow,
        version: env!("CARGO_PKG_VERSION").to_owned(),
        agent: settings.request.agent.to_string(),
        connection: settings.request.connection.to_string(),
        rule: rule.map(|rule| rule.title.clone()),
    }
}

/// Keeps the next steps from sending requests for the gateway to a proxy, if there is one.
fn exempt_from_proxy(
    gateway: &[&str],
    environment: &Environment,
    log: &mut Log<'_>,
) -> anyhow::Result<()> {
    let is_set = |name: &&str| environment.get(name).is_some();
    if !PROXY_VARIABLES.iter().any(is_set) {
        return Ok(());
    }
    let values = exempted(gateway, |name| environment.get(name));
    if values.is_empty() {
        return Ok(());
    }
    files::set(environment, files::ENV, &values)?;
    log.info(
        "The gateway is local, so the next steps reach it without the proxy: `NO_PROXY` and `no_proxy` contain it.",
    );
    Ok(())
}

/// The variables with the hosts that bypass the proxy, with the gateway.
///
/// Each keeps its value, so that no program uses a proxy that it did not use before: programs disagree about which variable
/// counts, and about `*` in a list. One that is not set gets the value of the other one, which counts in its place.
fn exempted<'a>(
    gateway: &[&str],
    variable: impl Fn(&str) -> Option<&'a str>,
) -> Vec<(&'static str, SecretString)> {
    let given = EXCEPTION_VARIABLES.map(|name| {
        variable(name)
            .map(str::trim)
            .filter(|value| !value.is_empty())
    });
    let any = given.into_iter().flatten().next().unwrap_or_default();
    EXCEPTION_VARIABLES
        .into_iter()
        .zip(given)
        .map(|(name, value)| (name, value.unwrap_or(any)))
        .filter(|(_, value)| *value != ALL_HOSTS)
        .map(|(name, value)| {
            let mut hosts: Vec<&str> = value.split(',').collect();
            for host in ["127.0.0.1", "localhost"].iter().chain(gateway) {
                if !hosts.iter().any(|known| known.trim() == *host) {
                    hosts.push(host);
                }
            }
            let hosts = hosts.join(",");
            (name, SecretString::from(hosts.trim_start_matches(',')))
        })
        .collect()
}
