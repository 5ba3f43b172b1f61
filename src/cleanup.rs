//! The post phase: stops the gateway and removes the configuration file.
//!
//! It does not revoke the token: Port returns the same token for a set of credentials, so other jobs use it.

use crate::gateway::{Counts, launch};
use crate::runner::summary::{Cell, Summary};
use crate::runner::{Environment, Log, temp};
use crate::text::{Quote, comma_list_of};

/// The name of the state with the name of the configuration file.
pub const CONFIG_FILE: &str = "config_file";
/// The name of the state that says whether the gateway's calls go to the job summary.
pub const GATEWAY_SUMMARY: &str = "gateway_summary";

const TITLE: &str = "Port MCP";

/// Removes the configuration file, and stops the gateway, if the main phase started one.
///
/// The file is first: a gateway that does not respond cannot delay it.
///
/// # Errors
/// When the file exists and cannot be removed.
pub async fn run(environment: &Environment, log: &mut Log<'_>) -> anyhow::Result<()> {
    let removed = remove_config_file(environment, log);
    let state = |name: &str| environment.get(&format!("STATE_{name}"));
    // act does not pass the state to the post phase.
    let summary = state(GATEWAY_SUMMARY).or_else(|| environment.get("INPUT_SUMMARY"));
    for stopped in launch::stop(environment, log).await {
        match stopped {
            Ok(counts) => report(&counts, summary != Some("false"), environment, log),
            Err(error) => log.warning(TITLE, error.to_string()),
        }
    }
    removed
}

fn remove_config_file(environment: &Environment, log: &mut Log<'_>) -> anyhow::Result<()> {
    let Some(name) = environment.get(&format!("STATE_{CONFIG_FILE}")) else {
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

/// Reports what the agent called.
fn report(counts: &Counts, has_summary: bool, environment: &Environment, log: &mut Log<'_>) {
    let rejected = counts.tools.iter().filter(|(_, tool)| tool.rejected > 0);
    let rejected = comma_list_of(
        rejected.map(|(name, tool)| format!("`{}` ({})", Quote::new(name), tool.rejected)),
    );
    if !rejected.is_empty() {
        log.warning(
            TITLE,
            format!("The gateway rejected calls of tools that are not granted: {rejected}."),
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
