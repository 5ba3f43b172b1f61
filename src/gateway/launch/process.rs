//! The gateway as a process of its own, which outlives the step.

use std::net::{Ipv4Addr, SocketAddr};
use std::process::Stdio;
use std::time::Duration;

use anyhow::{Context as _, anyhow};
use reqwest::StatusCode;
use secrecy::{ExposeSecret as _, SecretString};
use tokio::io::{AsyncBufReadExt as _, AsyncReadExt as _, AsyncWriteExt as _, BufReader};
use tokio::process::Command;
use url::Url;

use super::{Launched, Options, START_TIMEOUT, StopError};
use crate::gateway::audit::Counts;
use crate::gateway::handover::{HandOver, Place};
use crate::gateway::keys;
use crate::gateway::serve::{LARGEST_REPLY, Reply};
use crate::http::{Http, HttpSettings, NetworkError, ROOTS_VARIABLES, seconds};
use crate::runner::{Environment, Log, temp};

/// The name of the state with the URL of the gateway.
const URL: &str = "gateway_url";
/// The name of the state with the key that stops the gateway.
const STOP_KEY: &str = "gateway_stop_key";

/// The time limit for stopping the gateway, which drains for up to 2 seconds.
const STOP_TIMEOUT: Duration = Duration::from_secs(5);
/// The maximum length of the gateway's counts in bytes.
const LARGEST_COUNTS: usize = 1024 * 1024;

/// Starts a gateway.
///
/// # Errors
/// When the process does not start or does not listen in time. It is ended then.
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
    let settings = hand_over(Place {
        listen: SocketAddr::from((Ipv4Addr::LOCALHOST, 0)),
        hosts: Vec::new(),
        stop_key: Some(stop_key.clone()),
        audit_output: false,
        audit_file: audit_file.as_ref().map(|file| file.path().to_owned()),
    });
    let url = spawn(&settings, environment).await?;
    Ok(Launched {
        state: vec![
            (URL, SecretString::from(url.as_str())),
            (STOP_KEY, stop_key),
        ],
        url,
        audit_file,
    })
}

async fn spawn(settings: &HandOver, environment: &Environment) -> anyhow::Result<Url> {
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
        BufReader::new(output.take(LARGEST_REPLY as u64))
            .read_line(&mut reply)
            .await?;
        Reply::parse(&reply).map_err(|error| anyhow!("the gateway could not start: {error}"))
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

/// Stops the gateway that the saved state names. `None` if it names none.
pub(super) async fn stop(
    environment: &Environment,
    log: &mut Log<'_>,
) -> Option<Result<Counts, StopError>> {
    let state = |name: &str| environment.get(&format!("STATE_{name}"));
    let (url, key) = state(URL).zip(state(STOP_KEY))?;
    let key = SecretString::from(key);
    Some(match log.mask(&key) {
        Ok(()) => request_stop(url, &key).await,
        Err(error) => Err(StopError::Running(error)),
    })
}

async fn request_stop(url: &str, key: &SecretString) -> Result<Counts, StopError> {
    let url = Url::parse(url).and_then(|url| url.join("/stop"));
    let url = url.map_err(|error| StopError::Running(error.into()))?;
    let http = Http::new(HttpSettings {
        timeout: STOP_TIMEOUT,
        ..HttpSettings::default()
    });
    let http = http.map_err(StopError::Running)?;
    let request = http.client().post(url.clone());
    let request = request.bearer_auth(key.expose_secret());
    let stopped = http.with_timeout(STOP_TIMEOUT, async {
        let response = http.send(request, &url).await?;
        let status = response.status();
        let body = http.body(response, &url, LARGEST_COUNTS).await?;
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
