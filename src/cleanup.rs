//! The post phase: stops the gateway and removes the configuration file.
//!
//! It does not revoke the token: Port returns the same token for a set of credentials, so other jobs use it.

use std::time::Duration;

use reqwest::StatusCode;
use secrecy::{ExposeSecret as _, SecretString};
use url::Url;

use crate::gateway::Counts;
use crate::http::{Http, HttpSettings};
use crate::runner::summary::{Cell, Summary};
use crate::runner::{Environment, Log, temp};
use crate::text::Quote;

/// The name of the state with the name of the configuration file.
pub const CONFIG_FILE: &str = "config_file";
/// The name of the state with the URL of the gateway.
pub const GATEWAY_URL: &str = "gateway_url";
/// The name of the state with the key that stops the gateway.
pub const GATEWAY_STOP_KEY: &str = "gateway_stop_key";
/// The name of the state that says whether the gateway's calls go to the job summary.
pub const GATEWAY_SUMMARY: &str = "gateway_summary";

const TITLE: &str = "Port MCP";
/// The time limit for stopping the gateway, which drains for up to 2 seconds.
const STOP_TIMEOUT: Duration = Duration::from_secs(5);
/// The maximum length of the gateway's counts in bytes.
const LARGEST_COUNTS: usize = 1024 * 1024;

/// Stops the gateway, if the main phase started one, and removes its configuration file.
///
/// # Errors
/// When the file exists and cannot be removed.
pub async fn run(environment: &Environment, log: &mut Log<'_>) -> anyhow::Result<()> {
    let state = |name: &str| environment.get(&format!("STATE_{name}"));
    if let Some((url, key)) = state(GATEWAY_URL).zip(state(GATEWAY_STOP_KEY)) {
        let key = SecretString::from(key);
        log.mask(&key)?;
        match stop(url, &key).await {
            Ok(counts) => {
                report(
                    &counts,
                    state(GATEWAY_SUMMARY) != Some("false"),
                    environment,
                    log,
                );
            }
            Err(error) => log.warning(
                TITLE,
                format!(
                    "The gateway ended before the job did, so later calls failed: {error:#}. Check \
                     whether a step ended it, or whether the memory of the runner was exhausted."
                ),
            ),
        }
    }
    let Some(name) = state(CONFIG_FILE) else {
        log.debug("no configuration file to remove");
        return Ok(());
    };
    if temp::remove(environment, name)? {
        log.info("Removed the MCP configuration file.");
    } else {
        log.info("The MCP configuration file was already removed.");
    }
    Ok(())
}

async fn stop(url: &str, key: &SecretString) -> anyhow::Result<Counts> {
    let url = Url::parse(url)?.join("/stop")?;
    let http = Http::new(HttpSettings {
        timeout: STOP_TIMEOUT,
        ..HttpSettings::default()
    })?;
    let request = http.client().post(url.clone());
    let request = request.bearer_auth(key.expose_secret());
    let stopped = http.with_timeout(STOP_TIMEOUT, async {
        let response = http.send(request, &url).await?;
        let status = response.status();
        let body = http.body(response, &url, LARGEST_COUNTS).await?;
        Ok::<_, crate::http::NetworkError>((status, body))
    });
    let (status, body) = stopped.await?;
    anyhow::ensure!(status == StatusCode::OK, "it returned {status}");
    Ok(serde_json::from_slice(&body)?)
}

/// Reports what the agent called.
fn report(counts: &Counts, has_summary: bool, environment: &Environment, log: &mut Log<'_>) {
    let rejected = counts.tools.iter().filter(|(_, tool)| tool.rejected > 0);
    let rejected: Vec<String> = rejected
        .map(|(name, tool)| format!("`{}` ({})", Quote::new(name), tool.rejected))
        .collect();
    if !rejected.is_empty() {
        log.warning(
            TITLE,
            format!(
                "The gateway rejected calls of tools that are not granted: {}.",
                rejected.join(", ")
            ),
        );
    }
    let calls: u64 = counts.tools.values().map(|tool| tool.calls).sum();
    let errors: u64 = counts.tools.values().map(|tool| tool.errors).sum();
    log.info(format!(
        "Stopped the gateway. Sessions: {}, calls: {calls}, errors: {errors}, rejected messages: {}, \
         token renewals: {}.",
        counts.sessions,
        counts.rejected + counts.tools.values().map(|tool| tool.rejected).sum::<u64>(),
        counts.renewals,
    ));
    if !has_summary {
        return;
    }
    let mut summary = Summary::new("Port MCP: calls");
    summary.facts([
        ("Sessions", Some(Cell::text(counts.sessions))),
        ("Other rejected messages", Some(Cell::text(counts.rejected))),
        ("Token renewals", Some(Cell::text(counts.renewals))),
    ]);
    let rows = counts.tools.iter().map(|(name, tool)| {
        [
            Cell::Untrusted(Quote::new(name)),
            Cell::text(tool.calls),
            Cell::text(tool.errors),
            Cell::text(tool.rejected),
            Cell::text(format!("{} ms", tool.slowest)),
        ]
    });
    summary.table(["Tool", "Calls", "Errors", "Rejected", "Slowest"], rows);
    if let Err(error) = summary.write(environment) {
        log.warning(TITLE, format!("The job summary was not written: {error:#}"));
    }
}
