//! The gateway as a process of its own, which outlives the step.

use std::net::{Ipv4Addr, SocketAddr};
use std::process::Stdio;
use std::time::Duration;

use anyhow::{Context as _, anyhow, bail};
use reqwest::StatusCode;
use secrecy::{ExposeSecret as _, SecretString};
use tokio::io::{AsyncBufReadExt as _, AsyncReadExt as _, AsyncWriteExt as _, BufReader};
use tokio::process::{Child, Command};
use url::Url;

use super::{EndError, Ended, Launched, Options, START_TIMEOUT, is_requested};
use crate::gateway::serve::{MAX_REPLY, Reply};
use crate::gateway::settings::{Placement, Settings};
use crate::gateway::{Counts, keys};
use crate::http::{Http, HttpSettings, NetworkError, seconds};
use crate::port::is_loopback_http;
use crate::runner::temp::NewFile;
use crate::runner::{Environment, Log, state, temp};

/// What is saved in place of the URL while the gateway starts.
const STARTING: &str = "starting";

/// The time limit for stopping the gateway, which ends within 3 seconds.
const STOP_TIMEOUT: Duration = Duration::from_secs(5);
/// The maximum length of the gateway's counts in bytes.
const MAX_COUNTS: usize = 1024 * 1024;
/// The maximum length of an audit that is read, in bytes.
const MAX_AUDIT: u64 = 80 * 1024 * 1024;

const HINT: &str =
    "\nhint: check the memory and the processes of the runner, then run the job again";

/// Starts a gateway.
///
/// # Errors
/// When the process does not start or does not listen in time, or the state cannot be saved. On error, the process is killed.
pub(super) async fn start(
    options: &Options,
    settings: impl FnOnce(Placement) -> Settings,
    environment: &Environment,
    log: &mut Log<'_>,
) -> anyhow::Result<Launched> {
    let stop_key = keys::random()?;
    log.mask(&stop_key)?;
    let new_file = || temp::create(environment, ".jsonl", &SecretString::from(""));
    let audit_file = options.has_audit_file.then(new_file).transpose()?;
    // For the post phase, in case that the process has ended by then. Only outside GitHub's runner is there no directory.
    let has_directory = temp::directory(environment).is_ok();
    let own_audit = has_directory.then(new_file).transpose()?;
    let save_url = |url: &str| state::save(environment, &[(state::GATEWAY_URL, url.into())]);
    let settings = settings(Placement {
        listen: SocketAddr::from((Ipv4Addr::LOCALHOST, 0)),
        hosts: Vec::new(),
        stop_key: Some(stop_key.clone()),
        audit_output: false,
        audit_files: audit_file
            .iter()
            .chain(&own_audit)
            .map(|file| file.path().to_owned())
            .collect(),
    });
    // A step that is killed from here on leaves a gateway that the post phase cannot find. It says so.
    save_url(STARTING)?;
    let (process, url) = match spawn(&settings).await {
        Ok(started) => started,
        Err(error) => {
            save_url(state::NOTHING)?;
            return Err(error);
        }
    };
    let mut saved = vec![
        (state::GATEWAY_URL, url.as_str().into()),
        (state::GATEWAY_STOP_KEY, stop_key),
    ];
    if let Some(own_audit) = &own_audit {
        saved.push((state::GATEWAY_AUDIT, own_audit.name.as_str().into()));
    }
    state::save(environment, &saved)?;
    own_audit.map(NewFile::keep).transpose()?;
    // From here on, the post phase ends the process, and dropping it must not.
    std::mem::forget(process);
    Ok(Launched {
        url,
        url_in_containers: None,
        audit_file,
    })
}

/// Starts the process, which ends when it is dropped.
async fn spawn(settings: &Settings) -> anyhow::Result<(Child, Url)> {
    let program = std::env::current_exe().context(
        "the gateway could not start: the path of this program is unknown\n\
         hint: check that `/proc` is mounted",
    )?;
    let mut command = Command::new(program);
    command
        .arg("gateway")
        .env_clear()
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .kill_on_drop(true);
    #[cfg(unix)]
    command.current_dir("/");
    let line = settings.to_line()?;
    let mut process = command
        .spawn()
        .with_context(|| format!("the gateway could not start{HINT}"))?;
    let started = tokio::time::timeout(START_TIMEOUT, async {
        let mut input = process.stdin.take().context("the gateway has no input")?;
        input.write_all(line.expose_secret().as_bytes()).await?;
        drop(input);
        let output = process.stdout.take().context("the gateway has no output")?;
        let mut reply = String::new();
        BufReader::new(output.take(MAX_REPLY as u64))
            .read_line(&mut reply)
            .await?;
        Reply::parse(&reply, settings.placement.listen.ip()).map_err(anyhow::Error::msg)
    })
    .await
    .unwrap_or_else(|_| Err(anyhow!("no reply within {}", seconds(START_TIMEOUT))));
    match started {
        Ok(url) => Ok((process, url)),
        Err(error) => bail!("the gateway could not start: {error:#}{HINT}"),
    }
}

/// Stops the gateway that the saved state names. `None` if there is none.
pub(super) async fn stop(environment: &Environment, log: &mut Log<'_>) -> Option<Ended> {
    let saved = |name: &str| state::get(environment, name);
    let (url, key) = match (saved(state::GATEWAY_URL), saved(state::GATEWAY_STOP_KEY)) {
        (Some(url), Some(key)) => (url, SecretString::from(key)),
        // The main phase saves first of all that there is none.
        (None, None) if state::has(environment, state::GATEWAY_URL) => return None,
        (None, None) if !is_requested(environment) => return None,
        _ => return Some(Ended::unnamed("a value is missing", environment)),
    };
    let Some(url) = stop_url(url) else {
        let reason = "`gateway_url` is not its URL";
        return Some(Ended::unnamed(reason, environment));
    };
    // If the log is closed, it cannot show the key either.
    let _ = log.mask(&key);
    let stopped = request_stop(&url, &key).await;
    let audit = saved(state::GATEWAY_AUDIT);
    let mut read_counts = || match read_audit(audit, environment) {
        Ok(audit) => Some(Counts::from_audit(&audit)),
        Err(error) => {
            log.debug(format!("the audit of the gateway was not read: {error:#}"));
            None
        }
    };
    let ended = match stopped {
        Ok(counts) => Ended::new(counts, None),
        Err(StopError::Gone(reason)) => match read_counts() {
            Some(counts) => Ended::early(counts, environment, || reason),
            None => Ended::without_counts(EndError::Early(reason)),
        },
        Err(StopError::Running(error)) => Ended {
            counts: read_counts(),
            error: Some(EndError::Running(error)),
        },
    };
    if let Some(name) = audit {
        let _ = temp::remove(environment, name);
    }
    Some(ended)
}

/// Reads the audit for the post phase.
fn read_audit(name: Option<&str>, environment: &Environment) -> anyhow::Result<String> {
    let name = name.context("the saved state names no audit")?;
    let audit = temp::read(environment, name, MAX_AUDIT)?;
    // A process that is killed can leave half a character.
    Ok(String::from_utf8_lossy(&audit).into_owned())
}

/// The URL that stops the gateway at `url`. `None` if no gateway has such a URL.
fn stop_url(url: &str) -> Option<Url> {
    let url = Url::parse(url).ok().filter(is_loopback_http)?;
    url.join("/stop").ok()
}

/// Why a gateway did not stop.
enum StopError {
    /// It does not run any more.
    Gone(String),
    /// It may still run.
    Running(anyhow::Error),
}

async fn request_stop(url: &Url, key: &SecretString) -> Result<Counts, StopError> {
    let http = Http::new(HttpSettings {
        timeout: STOP_TIMEOUT,
        ..HttpSettings::default()
    })
    .map_err(StopError::Running)?;
    let request = http
        .client()
        .post(url.clone())
        .bearer_auth(key.expose_secret());
    let stopped = http.with_timeout(STOP_TIMEOUT, async {
        let response = http.send(request, url).await?;
        let status = response.status();
        let body = http.body(response, url, MAX_COUNTS).await?;
        Ok::<_, NetworkError>((status, body))
    });
    match stopped.await {
        Ok((StatusCode::OK, body)) => serde_json::from_slice(&body).map_err(|_| {
            StopError::Running(anyhow!("its response is not the response of a gateway"))
        }),
        Ok((status, _)) => Err(StopError::Running(anyhow!("it returned {status}"))),
        Err(error @ NetworkError::Timeout(_)) => Err(StopError::Running(error.into())),
        // Nothing listens anymore.
        Err(error) => Err(StopError::Gone(error.to_string())),
    }
}
