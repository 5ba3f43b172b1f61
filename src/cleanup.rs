//! The post phase: stops the gateway and removes the configuration file.
//!
//! It does not revoke the token: Port returns the same token for a set of credentials, so other jobs use it.

use crate::gateway::{Counts, launch};
use crate::runner::summary::{Cell, Summary};
use crate::runner::{Environment, Log, state, temp};
use crate::text::{Quote, as_given, comma_list_of};
use crate::troubleshooting;

const TITLE: &str = "Port MCP";

/// Removes the configuration file, and stops the gateway, if the main phase started one.
///
/// The file is first: a gateway that does not respond cannot delay it. What is not of this action in the saved state is
/// a warning, and nothing is done with it.
///
/// # Errors
/// When the file exists and cannot be removed.
pub async fn run(environment: &Environment, log: &mut Log<'_>) -> anyhow::Result<()> {
    let removed = remove_config_file(environment, log);
    // act does not pass the state to the post phase.
    let summary = state::get(environment, state::GATEWAY_SUMMARY);
    let summary = summary.or_else(|| environment.get("INPUT_SUMMARY"));
    let mut kept = Summary::kept(environment);
    for stopped in launch::stop(environment, log).await {
        match stopped {
            Ok(counts) => {
                report(&counts, environment, log);
                if !summary.is_some_and(|summary| summary.eq_ignore_ascii_case("false")) {
                    let summary = std::mem::take(&mut kept).and(calls(&counts));
                    write(&summary, environment, log);
                }
            }
            Err(error) => log.warning(TITLE, error.to_string()),
        }
    }
    removed
}

fn remove_config_file(environment: &Environment, log: &mut Log<'_>) -> anyhow::Result<()> {
    let Some(name) = state::get(environment, state::CONFIG_FILE) else {
        log.debug("no configuration file to remove");
        return Ok(());
    };
    match temp::remove(environment, name) {
        Ok(true) => log.info("Removed the MCP configuration file."),
        Ok(false) => log.info("The MCP configuration file was already removed."),
        Err(error) if error.is::<temp::NameError>() => log.warning(
            TITLE,
            format!(
                "The saved state names the configuration file {}, but {error}, so nothing was removed. Check whether \
                 a step sets the variable `{}`.",
                as_given(name),
                state::variable(state::CONFIG_FILE)
            ),
        ),
        Err(error) => return Err(error),
    }
    Ok(())
}

/// Reports what the agent called.
fn report(counts: &Counts, environment: &Environment, log: &mut Log<'_>) {
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
    if let Some(failure) = &counts.last_failure
        && counts.sessions == 0
        && calls == 0
    {
        let reason = Quote::new(&failure.reason).to_string();
        log.warning(
            TITLE,
            format!(
                "No agent connected to Port through the gateway. Failed attempts: {}. The last one: {reason}\n\
                 hint: {}\n\
                 see: {}",
                counts.failed,
                Quote::new(&failure.hint),
                troubleshooting::link(&reason, environment)
            ),
        );
    }
    let errors: u64 = counts.tools.values().map(|tool| tool.errors).sum();
    log.info(format!(
        "Stopped the gateway. Sessions: {}, calls: {calls}, errors: {errors}, rejected messages: {}, \
         token renewals: {}{}.",
        counts.sessions,
        counts.rejected + counts.tools.values().map(|tool| tool.rejected).sum::<u64>(),
        counts.renewals,
        match counts.failed {
            0 => String::new(),
            failed => format!(", failed attempts to connect: {failed}"),
        }
    ));
}

/// The calls of each tool.
fn calls(counts: &Counts) -> Summary {
    let mut summary = Summary::new("Port MCP: calls");
    summary.facts([
        ("Sessions", Some(Cell::text(counts.sessions))),
        (
            "Failed attempts to connect",
            (counts.failed > 0).then(|| Cell::text(counts.failed)),
        ),
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
    summary
}

fn write(summary: &Summary, environment: &Environment, log: &mut Log<'_>) {
    if let Err(error) = summary.write(environment) {
        log.warning(TITLE, format!("The job summary was not written: {error:#}"));
    }
}
