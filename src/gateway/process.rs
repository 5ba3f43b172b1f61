//! The gateway as a process of its own: how a step starts it, and what the process does first.

use std::fs::{File, OpenOptions};
use std::io::{self, BufRead as _, Read as _, Write};
use std::process::Stdio;
use std::time::Duration;

use anyhow::{Context as _, anyhow, bail};
use secrecy::{ExposeSecret as _, SecretString};
use serde::{Deserialize, Serialize};
use tokio::io::{AsyncBufReadExt as _, AsyncReadExt as _, AsyncWriteExt as _, BufReader};
use tokio::net::TcpListener;
use tokio::process::Command;
use url::Url;

use super::Gateway;
use super::handover::{HandOver, HandOverError};
use crate::http::{ROOTS_VARIABLES, seconds};
use crate::runner::Environment;
use crate::text::secrets;

/// The maximum length of the settings in bytes.
const LARGEST_SETTINGS: u64 = 4 * 1024 * 1024;
/// The maximum length of the reply in bytes.
const LARGEST_REPLY: u64 = 64 * 1024;
/// How long a step waits for the reply.
const START_TIMEOUT: Duration = Duration::from_secs(10);

/// The one line that a gateway returns to the step.
#[derive(Deserialize, Serialize)]
#[serde(rename_all = "lowercase")]
enum Reply {
    /// It listens at this URL.
    Url(Url),
    /// It could not start.
    Error(String),
}

/// Starts a gateway that outlives this process, and returns its URL.
///
/// # Errors
/// When the process does not start or does not listen in time. It is ended then.
pub(crate) async fn start(settings: &HandOver, environment: &Environment) -> anyhow::Result<Url> {
    let program = std::env::current_exe()
        .context("the gateway could not start: the path of this program is unknown")?;
    let mut command = Command::new(program);
    command
        .arg("gateway")
        .env_clear()
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::null());
    for name in ROOTS_VARIABLES {
        if let Some(value) = environment.path(name) {
            command.env(name, value);
        }
    }
    #[cfg(unix)]
    command.current_dir("/");
    let mut process = command.spawn().context("could not start the gateway")?;
    let started = tokio::time::timeout(START_TIMEOUT, async {
        let mut input = process.stdin.take().context("the gateway has no input")?;
        let line = settings.to_line();
        input.write_all(line.expose_secret().as_bytes()).await?;
        drop(input);
        let output = process.stdout.take().context("the gateway has no output")?;
        let mut reply = String::new();
        BufReader::new(output.take(LARGEST_REPLY))
            .read_line(&mut reply)
            .await?;
        match serde_json::from_str(&reply) {
            Ok(Reply::Url(url)) => Ok(url),
            Ok(Reply::Error(error)) => bail!("the gateway could not start: {error}"),
            Err(_) => bail!("the gateway could not start: it ended without a reply"),
        }
    });
    let started = started.await.unwrap_or_else(|_| {
        Err(anyhow!(
            "the gateway could not start within {}",
            seconds(START_TIMEOUT)
        ))
    });
    if started.is_err() {
        let _ = process.start_kill();
    }
    started.map_err(|error| {
        anyhow!("{error:#}\nhint: check the memory and the processes of the runner, then run the job again")
    })
}

/// Runs a gateway: reads its settings, replies, and serves the agent.
///
/// # Errors
/// When the settings are invalid, or it cannot listen. The reply contains the error too.
pub async fn run() -> anyhow::Result<()> {
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
    if settings.audit_file.is_some() {
        release_streams()?;
    }
    gateway.serve(listener, settings.lifetime).await;
    Ok(())
}

type Started = (std::sync::Arc<Gateway>, TcpListener, HandOver);

async fn prepare() -> anyhow::Result<Started> {
    let settings = read_settings()?;
    for secret in [
        &settings.credentials.client_secret,
        &settings.token.secret,
        &settings.key,
        &settings.stop_key,
    ] {
        secrets::register(secret);
    }
    let listener = TcpListener::bind(("127.0.0.1", 0))
        .await
        .context("could not listen on 127.0.0.1")?;
    let audit: Box<dyn Write + Send> = match &settings.audit_file {
        None => Box::new(io::stdout()),
        Some(path) => Box::new(
            OpenOptions::new()
                .append(true)
                .open(path)
                .with_context(|| format!("could not open {}", path.display()))?,
        ),
    };
    let port = listener.local_addr()?.port();
    let hosts = ["127.0.0.1", "localhost", "[::1]"].map(|host| format!("{host}:{port}"));
    let gateway = Gateway::new(&settings, hosts.to_vec(), audit)?;
    Ok((gateway, listener, settings))
}

fn read_settings() -> Result<HandOver, HandOverError> {
    let mut line = String::new();
    let read = io::stdin()
        .lock()
        .take(LARGEST_SETTINGS)
        .read_line(&mut line);
    let line = SecretString::from(line);
    read.map_err(|_| HandOverError)?;
    HandOver::parse(&line)
}

fn url_of(listener: &TcpListener) -> anyhow::Result<Url> {
    let address = listener.local_addr()?;
    Ok(Url::parse(&format!(
        "http://{address}{}",
        super::door::PATH
    ))?)
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
    let null = File::options().read(true).write(true).open("/dev/null")?;
    rustix::stdio::dup2_stdin(&null)?;
    rustix::stdio::dup2_stdout(&null)?;
    Ok(())
}

#[cfg(not(unix))]
fn release_streams() -> io::Result<()> {
    Ok(())
}
