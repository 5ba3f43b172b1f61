//! The post phase: stops the gateway and removes the configuration file.
//!
//! It does not revoke the token: Port returns the same token for a set of credentials, so other jobs use it.

use anyhow::bail;

use crate::error::with_causes;
use crate::gateway::{Counts, End};
use crate::launch::{self, Ended};
use crate::runner::summary::{self, Cell, Summary};
use crate::runner::{Environment, Log, state, temp};
use crate::text::{Quote, as_given, comma_list_of};

/// Removes the configuration file, and stops the gateway, if the main phase started one.
///
/// The file is first: a gateway that does not respond cannot delay it. What is not of this action in the saved state is
/// a warning, and nothing is done with it.
///
/// # Errors
/// When the file exists and cannot be removed, or no agent connected although the step requires it.
pub async fn run(environment: &Environment, log: &mut Log<'_>) -> anyhow::Result<()> {
    let removed = remove_config_file(environment, log);
    // act does not pass the state to the post phase.
    let summary = state::get(environment, state::GATEWAY_SUMMARY)
        .or_else(|| environment.get("INPUT_SUMMARY"));
    let has_summary = summary::is_wanted(summary);
    let mut kept = Summary::kept(environment);
    let mut connected = Ok(());
    let gateways = launch::stop(environment, log).await;
    if gateways.is_empty() && launch::is_lost(environment) {
        connected = check_connected(None, environment, log);
    }
    for Ended { counts, error } in gateways {
        if let Some(error) = &error {
            log.warning(error.to_string());
        }
        if let Some(counts) = &counts {
            report(counts, log);
            if has_summary {
                let summary = std::mem::take(&mut kept).and(calls(counts));
                write(&summary, environment, log);
            }
        }
        let checked = check_connected(counts.as_ref(), environment, log);
        connected = connected.and(checked);
    }
    removed.and(connected)
}

/// Reports that no agent connected: as an error if the step requires a connection, otherwise as a warning.
///
/// # Errors
/// When the step requires a connection, and there was none, or it is unknown whether there was one.
fn check_connected(
    counts: Option<&Counts>,
    environment: &Environment,
    log: &mut Log<'_>,
) -> anyhow::Result<()> {
    let is_required = environment
        .get("INPUT_REQUIRE_CONNECTION")
        .is_some_and(|value| value.trim().eq_ignore_ascii_case("true"));
    match counts {
        Some(counts) if counts.is_connected() => Ok(()),
        Some(counts) if is_required => bail!(not_connected(counts)),
        Some(counts) if counts.end.is_some() => {
            log.warning_of_error(not_connected(counts));
            Ok(())
        }
        None if is_required => bail!(
            "no agent connected to Port through the gateway, as far as is known\n\
             hint: see the other messages of this step, which say why its numbers are not known"
        ),
        _ => Ok(()),
    }
}

/// That no agent connected, and why, as far as the gateway knows.
fn not_connected(counts: &Counts) -> String {
    let what = "no agent connected to Port through the gateway";
    let Some(failure) = &counts.last_failure else {
        return if let Some(error) = &counts.last_error {
            format!(
                "{what}. Failed requests: {}. The last one: {}\n\
                 hint: check https://status.port.io and run the job again later",
                counts.failures,
                Quote::new(error)
            )
        } else if counts.all_rejected() > 0 {
            format!(
                "{what}. Its requests were rejected: {}\n\
                 hint: check that the step of the agent uses the output `mcp_config` unchanged",
                counts.all_rejected()
            )
        } else {
            format!(
                "{what}, and none tried\n\
                 hint: check that the step of the agent ran, and that it uses the output `mcp_config`, or `mcp_url` and \
                 `access_token`; if an earlier step failed, see its error first"
            )
        };
    };
    let hint = match Quote::new(&failure.hint) {
        hint if hint.is_empty() => String::new(),
        hint => format!("\nhint: {hint}"),
    };
    format!(
        "{what}. Failed attempts: {}. The last one: {}{hint}",
        counts.failed,
        Quote::new(&failure.reason)
    )
}

fn remove_config_file(environment: &Environment, log: &mut Log<'_>) -> anyhow::Result<()> {
    let Some(name) = state::get(environment, state::CONFIG_FILE) else {
        log.debug("no configuration file to remove");
        return Ok(());
    };
    match temp::remove(environment, name) {
        Ok(true) => log.info("Removed the MCP configuration file."),
        Ok(false) => log.info("The MCP configuration file was already removed."),
        Err(error) if error.is::<temp::NameError>() => log.warning(format!(
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
fn report(counts: &Counts, log: &mut Log<'_>) {
    let rejected = comma_list_of(
        counts
            .tools
            .iter()
            .filter(|(_, tool)| tool.rejected > 0)
            .map(|(name, tool)| format!("`{}` ({})", Quote::new(name.as_str()), tool.rejected)),
    );
    if !rejected.is_empty() {
        log.warning(format!(
            "The gateway rejected calls of tools that are not granted: {rejected}."
        ));
    }
    if let Some(error) = &counts.last_error
        && counts.is_connected()
    {
        log.warning(format!(
            "Requests of the agent failed without an answer of Port: {}. The last one: {}",
            counts.failures,
            Quote::new(error)
        ));
    }
    if counts.missing > 0 {
        log.warning(format!(
                "The audit of the gateway lacks lines: {}. The disk was full, or the audit has reached its maximum length. \
                 The numbers of the calls are complete.",
                counts.missing
            ),
        );
    }
    let calls: u64 = counts.tools.values().map(|tool| tool.calls).sum();
    let errors: u64 = counts.tools.values().map(|tool| tool.errors).sum();
    let other = [
        ("failed requests", counts.failures),
        ("failed attempts to connect", counts.failed),
        (
            "lines that the audit only counts",
            counts.gaps.values().sum(),
        ),
    ]
    .into_iter()
    .filter(|(_, number)| *number > 0)
    .map(|(name, number)| format!(", {name}: {number}"))
    .collect::<Vec<String>>()
    .concat();
    log.info(format!(
        "{} Sessions: {}, calls: {calls}, errors: {errors}, rejected messages: {}, token renewals: {}{other}.",
        match counts.end {
            Some(End::GatewayLifetime) => "The gateway has ended.",
            Some(_) => "Stopped the gateway.",
            None => "Numbers from the audit of the gateway, which can be incomplete.",
        },
        counts.sessions,
        counts.all_rejected(),
        counts.renewals,
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
        (
            "Failed requests",
            (counts.failures > 0).then(|| Cell::text(counts.failures)),
        ),
        (
            "Other rejected messages",
            (counts.rejected > 0).then(|| Cell::text(counts.rejected)),
        ),
        (
            "Token renewals",
            (counts.renewals > 0).then(|| Cell::text(counts.renewals)),
        ),
    ]);
    let rows = counts.tools.iter().map(|(name, tool)| {
        [
            Cell::Untrusted(Quote::new(name.as_str())),
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
        log.warning(format!(
            "The job summary was not written: {}",
            with_causes(&error)
        ));
    }
}
