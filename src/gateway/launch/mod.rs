//! How a step starts a gateway, and how the post phase stops it.
//!
//! A gateway outlives the step that starts it. The container of an action ends with its step, so there the
//! gateway is another container from the same image. Otherwise it is a process.

mod container;
mod engine;
mod process;

use std::time::Duration;

use anyhow::bail;
use url::Url;

use super::audit::Counts;
use super::handover::{HandOver, Place};
use crate::runner::temp::NewFile;
use crate::runner::{Environment, Log};

/// How long a step waits until the gateway listens.
const START_TIMEOUT: Duration = Duration::from_secs(10);

/// The variable that the image sets: in it, a gateway is a container.
const IMAGE: &str = "PORT_MCP_IMAGE_GATEWAY";

const WINDOWS: &str = "`connection: gateway` is not available on Windows yet\n\
                       hint: use a Linux or macOS runner, or another `connection`";

/// What the step decides about its gateway, besides what it hands over.
pub(crate) struct Options {
    /// Whether the audit also goes to a file for the next steps.
    pub(crate) has_audit_file: bool,
    /// Whether the next steps run in a container of the job.
    pub(crate) has_job_container: bool,
    /// The time limit of the step.
    pub(crate) timeout: Duration,
}

/// A gateway that listens.
pub(crate) struct Launched {
    /// The URL for the agent.
    pub(crate) url: Url,
    /// The audit, if there is a file.
    pub(crate) audit_file: Option<NewFile>,
}

/// Starts a gateway, and saves for the post phase what [`stop`] needs.
///
/// # Errors
/// When it does not listen in time, or the state cannot be saved. Nothing is left then.
pub(crate) async fn start(
    options: &Options,
    hand_over: impl FnOnce(Place) -> HandOver,
    environment: &Environment,
    log: &mut Log<'_>,
) -> anyhow::Result<Launched> {
    if cfg!(windows) {
        bail!(WINDOWS);
    }
    if is_image(environment) {
        Box::pin(container::start(options, hand_over, environment, log)).await
    } else {
        process::start(options, hand_over, environment, log).await
    }
}

/// Why a gateway did not report its counts, as a warning.
#[derive(Debug, thiserror::Error)]
pub(crate) enum StopError {
    /// It ended before the post phase.
    #[error(
        "The gateway ended before the job did, so later calls failed: {0}. Check whether a step ended it, \
         or whether the memory of the runner was exhausted."
    )]
    Ended(String),
    /// It was stopped, but its counts are unknown.
    #[error("The gateway was stopped, but the numbers of its calls are unknown: {0:#}.")]
    Unknown(anyhow::Error),
    /// It may still run.
    #[error(
        "The gateway could not be stopped. If it still runs, it ends at `gateway_lifetime`: {0:#}"
    )]
    Running(anyhow::Error),
}

impl StopError {
    fn ended(reason: impl Into<String>) -> Self {
        Self::Ended(reason.into())
    }
}

/// Stops the gateways of this step, and returns the counts of each.
pub(crate) async fn stop(
    environment: &Environment,
    log: &mut Log<'_>,
) -> Vec<Result<Counts, StopError>> {
    if is_image(environment) {
        container::stop(environment, log).await
    } else {
        process::stop(environment, log).await.into_iter().collect()
    }
}

fn is_image(environment: &Environment) -> bool {
    environment.get(IMAGE) == Some("container")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn windows() {
        insta::assert_snapshot!(WINDOWS);
    }
}
