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

use super::{Launched, Options, START_TIMEOUT, StopError, is_requested};
use crate::gateway::audit::Counts;
use crate::gateway::handover::{HandOver, Place};
use crate::gateway::keys;
use crate::gateway::serve::{LARGEST_REPLY, Reply};
use crate::http::{Http, HttpSettings, NetworkError, seconds};
use crate::inputs::is_loopback_http;
use crate::runner::{Environment, Log, state, temp};

/// What is saved in place of the URL while the gateway starts.
const STARTING: &str = "starting";

/// The time limit for stopping the gateway, which drains for up to 2 seconds.
const STOP_TIMEOUT: Duration = Duration::from_secs(5);
/// The maximum length of the gateway's counts in bytes.
const LARGEST_COUNTS: usize = 1024 * 1024;

const HINT: &str =
    "\nhint: check the memory and the processes of the runner, then run the job again";

/// Starts a gateway.
///
/// # Errors
/// When the process does not start or does not listen in time, or the state cannot be saved. It is ended then.
pub(super) async fn start(
    options: &Options,
    hand_over: impl FnOnce(Place) -> HandOver,
    environment: &Environment,
    log: &mut Log<'_>,
) -> anyhow::Result<Launched> {
    let stop_key = keys::random()?;
    log.mask(&stop_key)?;
    let audit_file = options
        .has_audit_file
        .then(|| temp::create(environment, ".jsonl", &SecretString::from("")))
        .transpose()?;
    let save_url = |url: &str| state::save(environment, &[(state::GATEWAY_URL, url.into())]);
    let settings = hand_over(Place {
        listen: SocketAddr::from((Ipv4Addr::LOCALHOST, 0)),
        hosts: Vec::new(),
        stop_key: Some(stop_key.clone()),
        audit_output: false,
        audit_file: audit_file.as_ref().map(|file| file.path().to_owned()),
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
    let saved = [
        (state::GATEWAY_URL, url.as_str().into()),
        (state::GATEWAY_STOP_KEY, stop_key),
    ];
    state::save(environment, &saved)?;
    // From here on, the post phase ends the process, and dropping it must not.
    std::mem::forget(process);
    Ok(Launched { url, audit_file })
}

/// Starts the process, which ends when it is dropped.
async fn spawn(settings: &HandOver) -> anyhow::Result<(Child, Url)> {
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
        BufReader::new(output.take(LARGEST_REPLY as u64))
            .read_line(&mut reply)
            .await?;
        Reply::parse(&reply, settings.place.listen.ip()).map_err(anyhow::Error::msg)
    });
    let started = started
        .await
        .unwrap_or_else(|_| Err(anyhow!("no reply within {}", seconds(START_TIMEOUT))));
    match started {
        Ok(url) => Ok((process, url)),
        Err(error) => bail!("the gateway could not start: {error:#}{HINT}"),
    }
}

/// Stops the gateway that the saved state names. `None` if there is none.
pub(super) async fn stop(
    environment: &Environment,
    log: &mut Log<'_>,
) -> Option<Result<Counts, StopError>> {
    let saved = |name: &str| state::get(environment, name);
    let (url, key) = match (saved(state::GATEWAY_URL), saved(state::GATEWAY_STOP_KEY)) {
        (Some(url), Some(key)) => (url, SecretString::from(key)),
        // The main phase saves first of all that there is none.
        (None, None) if state::has(environment, state::GATEWAY_URL) => return None,
        (None, None) if !is_requested(environment) => return None,
        _ => return Some(Err(StopError::unnamed("a value is missing", environment))),
    };
    let Some(url) = stop_url(url) else {
        let reason = "`gateway_url` is not its URL";
        return Some(Err(StopError::unnamed(reason, environment)));
    };
    // If the log is closed, it cannot show the key either.
    let _ = log.mask(&key);
    Some(request_stop(&url, &key).await)
}

/// The URL that stops the gateway at `url`. `None` if no gateway has such a URL.
fn stop_url(url: &str) -> Option<Url> {
    let url = Url::parse(url).ok().filter(is_loopback_http)?;
    url.join("/stop").ok()
}

async fn request_stop(url: &Url, key: &SecretString) -> Result<Counts, StopError> {
    let http = Http::new(HttpSettings {
        timeout: STOP_TIMEOUT,
        ..HttpSettings::default()
    });
    let http = http.map_err(StopError::Running)?;
    let request = http.client().post(url.clone());
    let request = request.bearer_auth(key.expose_secret());
    let stopped = http.with_timeout(STOP_TIMEOUT, async {
        let response = http.send(request, url).await?;
        let status = response.status();
        let body = http.body(response, url, LARGEST_COUNTS).await?;
        Ok::<_, NetworkError>((status, body))
    });
    match stopped.await {
        Ok((StatusCode::OK, body)) => {
            serde_json::from_slice(&body).map_err(|error| StopError::Unknown(error.into()))
        }
        Ok((status, _)) => Err(StopError::Running(anyhow!("it returned {status}"))),
        Err(error @ NetworkError::Timeout(_)) => Err(StopError::Running(error.into())),
        // Nothing listens anymore.
        Err(error) => Err(StopError::ended(error.to_string())),
    }
}
