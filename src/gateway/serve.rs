//! What the gateway's process does: it reads its settings, replies, and serves the agent.

use std::fs::OpenOptions;
use std::io::{self, BufRead as _, Read as _, Write as _};
use std::net::IpAddr;
use std::sync::Arc;

use anyhow::Context as _;
use secrecy::SecretString;
use serde::{Deserialize, Serialize};
use tokio::net::TcpListener;
use url::Url;

use super::Gateway;
use super::audit::Sink;
use super::settings::{Settings, SettingsError};
use crate::http::ProxySettings;
use crate::text::secrets;

/// The maximum length of the settings in bytes.
const MAX_SETTINGS: u64 = 4 * 1024 * 1024;
/// The maximum length of the reply in bytes.
pub(crate) const MAX_REPLY: usize = 64 * 1024;

/// The name by which containers reach their machine, if the engine or `--add-host` defines it.
pub(crate) const HOST_OF_CONTAINERS: &str = "host.docker.internal";

/// The one line that a gateway returns to the step.
#[derive(Deserialize, Serialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Reply {
    /// It listens at this URL.
    Url(Url),
    /// It could not start.
    Error(String),
}

impl Reply {
    /// The URL in a line of the gateway that should listen on `address`.
    ///
    /// # Errors
    /// Why the gateway did not start.
    pub(crate) fn parse(line: &str, address: IpAddr) -> Result<Url, String> {
        match serde_json::from_str(line) {
            Ok(Self::Url(url)) if url.host_str() == Some(&address.to_string()) => Ok(url),
            Ok(Self::Url(url)) => Err(format!("it replied that it listens at {url}")),
            Ok(Self::Error(error)) => Err(error),
            Err(_) => Err("it exited without replying".to_owned()),
        }
    }
}

/// Runs a gateway until `signal` resolves, it is stopped, or its lifetime ends.
///
/// # Errors
/// When the settings are invalid, or it cannot listen. The reply contains the error too.
pub async fn run(signal: impl Future<Output = ()>) -> anyhow::Result<()> {
    isolate();
    let started = prepare().await;
    let reply = match &started {
        Ok((_, listener, _)) => Reply::Url(url_of(listener)?),
        Err(error) => Reply::Error(format!("{error:#}")),
    };
    let mut output = io::stdout();
    writeln!(output, "{}", serde_json::to_string(&reply)?)?;
    output.flush()?;
    let (gateway, listener, settings) = started?;
    if !settings.placement.audit_output {
        release_streams()?;
    }
    gateway.audit.start(&settings.start, &settings.grants);
    gateway.serve(listener, settings.lifetime, signal).await;
    Ok(())
}

type Started = (Arc<Gateway>, TcpListener, Settings);

async fn prepare() -> anyhow::Result<Started> {
    let settings = read_settings()?;
    let placement = &settings.placement;
    let secrets = [
        &settings.credentials.client_secret,
        &settings.token.secret,
        &settings.key,
    ];
    let passwords: Vec<SecretString> = settings
        .proxy
        .iter()
        .flat_map(ProxySettings::passwords)
        .collect();
    for secret in secrets
        .into_iter()
        .chain(&placement.stop_key)
        .chain(&passwords)
    {
        secrets::register(secret);
    }
    let listener = TcpListener::bind(placement.listen)
        .await
        .with_context(|| format!("could not listen on {}", placement.listen))?;
    let mut hosts = placement.hosts.clone();
    if placement.listen.ip().is_loopback() {
        let port = listener.local_addr()?.port();
        let names = ["127.0.0.1", "localhost", "[::1]", HOST_OF_CONTAINERS];
        hosts.extend(names.map(|host| format!("{host}:{port}")));
    }
    let mut sinks = Vec::new();
    if placement.audit_output {
        sinks.push(Sink::log());
    }
    for path in &placement.audit_files {
        let file = OpenOptions::new()
            .append(true)
            .open(path)
            .with_context(|| format!("could not open {}", path.display()))?;
        sinks.push(Sink::file(file));
    }
    let gateway = Gateway::new(&settings, hosts, sinks, max_connections())?;
    Ok((gateway, listener, settings))
}

fn read_settings() -> Result<Settings, SettingsError> {
    let mut line = String::new();
    let read = io::stdin().lock().take(MAX_SETTINGS).read_line(&mut line);
    let line = SecretString::from(line);
    read.map_err(|_| SettingsError)?;
    Settings::parse(&line)
}

fn url_of(listener: &TcpListener) -> anyhow::Result<Url> {
    let address = listener.local_addr()?;
    Ok(Url::parse(&format!("http://{address}{}", super::PATH))?)
}

/// The maximum number of connections.
const MAX_CONNECTIONS: u64 = 512;
/// The descriptors for everything but connections of clients and their requests to Port: reserve connections, the audit, the
/// token, and lookups of host names.
const OTHER_DESCRIPTORS: u64 = 96;

/// How many connections the limit of descriptors allows. Each has up to one to Port.
#[cfg(unix)]
fn max_connections() -> usize {
    use rustix::process::{Resource, getrlimit, setrlimit};

    let needed = 2 * MAX_CONNECTIONS + OTHER_DESCRIPTORS;
    let mut limit = getrlimit(Resource::Nofile);
    if limit.current.is_some_and(|current| current < needed) {
        let maximum = limit.maximum.unwrap_or(needed);
        limit.current = Some(needed.min(maximum));
        // Without this, the gateway serves fewer connections.
        let _ = setrlimit(Resource::Nofile, limit);
    }
    let descriptors = getrlimit(Resource::Nofile).current.unwrap_or(needed);
    let allowed = descriptors.saturating_sub(OTHER_DESCRIPTORS) / 2;
    usize::try_from(allowed.clamp(1, MAX_CONNECTIONS)).unwrap_or(1)
}

#[cfg(not(unix))]
fn max_connections() -> usize {
    usize::try_from(MAX_CONNECTIONS).unwrap_or(1)
}

/// Keeps other processes of the same user from reading the memory, and leaves the process group and session
/// of the step.
#[cfg(target_os = "linux")]
fn isolate() {
    use rustix::process::{DumpableBehavior, set_dumpable_behavior, setsid};

    // Without these, the gateway still works.
    let _ = set_dumpable_behavior(DumpableBehavior::NotDumpable);
    let _ = setsid();
}

#[cfg(all(unix, not(target_os = "linux")))]
fn isolate() {
    let _ = rustix::process::setsid();
}

#[cfg(not(unix))]
fn isolate() {}

/// Closes the pipes to the step, which would wait for them.
#[cfg(unix)]
fn release_streams() -> io::Result<()> {
    let null = std::fs::File::options()
        .read(true)
        .write(true)
        .open("/dev/null")?;
    rustix::stdio::dup2_stdin(&null)?;
    rustix::stdio::dup2_stdout(&null)?;
    Ok(())
}

#[cfg(not(unix))]
fn release_streams() -> io::Result<()> {
    Ok(())
}
