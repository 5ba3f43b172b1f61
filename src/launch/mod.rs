//! How a step starts a gateway, and how the post phase stops it.
//!
//! A gateway outlives the step that starts it. The container of an action ends with its step, so there the
//! gateway is another container from the same image. Otherwise it is a process.

mod container;
mod engine;
mod network;
mod process;

use std::net::SocketAddr;
use std::path::Path;
use std::time::Duration;

use anyhow::bail;
use url::Url;

use crate::gateway::settings::{Placement, Settings};
use crate::gateway::{Counts, End};
use crate::runner::temp::NewFile;
use crate::runner::{Environment, Log, state};
use crate::text::as_given;

/// How long a step waits until the gateway listens.
const START_TIMEOUT: Duration = Duration::from_secs(10);

/// The path of the program in the image of the action. The binary action has it in the runner's temporary directory.
const PROGRAM_OF_IMAGE: &str = "/port-mcp";

const WINDOWS: &str = "`connection: gateway` is not available on Windows yet\n\
                       hint: use a Linux or macOS runner, or another `connection`";

/// What the step decides about its gateway, besides what it passes to it.
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
    /// The URL for other containers on its network, if it has an address of its own there.
    pub(crate) url_in_containers: Option<Url>,
    /// The audit, if there is a file.
    pub(crate) audit_file: Option<NewFile>,
}

/// Starts a gateway, and saves for the post phase what [`stop`] needs.
///
/// # Errors
/// When it does not listen in time, or the state cannot be saved. On error, no gateway remains.
pub(crate) async fn start(
    options: &Options,
    settings: impl FnOnce(Placement) -> Settings,
    environment: &Environment,
    log: &mut Log<'_>,
) -> anyhow::Result<Launched> {
    if cfg!(windows) {
        bail!(WINDOWS);
    }
    match Form::of(environment) {
        Form::Container(engine) => {
            Box::pin(container::start(
                engine,
                options,
                settings,
                environment,
                log,
            ))
            .await
        }
        Form::Process => process::start(options, settings, environment, log).await,
    }
}

/// How a gateway ended.
pub(crate) struct Ended {
    /// Its counts, as far as they are known.
    pub(crate) counts: Option<Counts>,
    /// What was wrong, if it did not end as it should.
    pub(crate) error: Option<EndError>,
}

impl Ended {
    /// As the counts say, which the gateway wrote before or after the post phase stopped it.
    fn new(counts: Counts, error: Option<EndError>) -> Self {
        Self {
            counts: Some(counts),
            error,
        }
    }

    fn without_counts(error: EndError) -> Self {
        Self {
            counts: None,
            error: Some(error),
        }
    }

    /// A gateway that ended before the post phase.
    fn early(counts: Counts, environment: &Environment, reason: impl FnOnce() -> String) -> Self {
        let error = if counts.end == Some(End::GatewayLifetime) {
            EndError::Lifetime(lifetime(environment))
        } else {
            EndError::Early(reason())
        };
        Self::new(counts, Some(error))
    }

    fn unnamed(reason: &'static str, environment: &Environment) -> Self {
        Self::without_counts(EndError::Unnamed {
            reason,
            lifetime: lifetime(environment),
        })
    }
}

/// The lifetime of the gateway, as the step gives it.
fn lifetime(environment: &Environment) -> String {
    as_given(environment.get("INPUT_GATEWAY_LIFETIME").unwrap_or("6h"))
}

/// Why a gateway did not end as it should, as a warning.
#[derive(Debug, thiserror::Error)]
pub(crate) enum EndError {
    /// It ended at the end of its lifetime, before the post phase.
    #[error(
        "The gateway ended {0} after its start (`gateway_lifetime`), before the job did, so later calls failed.\n\
         hint: set `gateway_lifetime` to the time limit of the job"
    )]
    Lifetime(String),
    /// It ended before the post phase.
    #[error(
        "The gateway exited before the job did, so later calls failed: {0}. Check whether a step ended it, \
         or whether the memory of the runner was exhausted."
    )]
    Early(String),
    /// It was stopped, but its counts are incomplete.
    #[error("The gateway was stopped, but the numbers of its calls are incomplete: {0:#}.")]
    Incomplete(anyhow::Error),
    /// It may still run.
    #[error(
        "The gateway could not be stopped. If it still runs, it ends at `gateway_lifetime`: {0:#}"
    )]
    Running(anyhow::Error),
    /// The main phase saved no gateway, although the step has one, or something that is none.
    #[error(
        "The saved state of this step does not name its gateway ({reason}), so it was not stopped. If it runs, it ends \
         {lifetime} after its start (`gateway_lifetime`). Check whether a step sets a variable that begins with \
         `STATE_`."
    )]
    Unnamed {
        reason: &'static str,
        lifetime: String,
    },
}

/// Stops the gateways of this step, and returns how each ended.
pub(crate) async fn stop(environment: &Environment, log: &mut Log<'_>) -> Vec<Ended> {
    match Form::of(environment) {
        Form::Container(engine) => container::stop(engine, environment, log).await,
        Form::Process => process::stop(environment, log).await.into_iter().collect(),
    }
}

/// Whether the step connects through a gateway. The runner sets the inputs of a step itself, in every phase.
fn is_requested(environment: &Environment) -> bool {
    let connection = environment.get("INPUT_CONNECTION").map(str::trim);
    connection.is_some_and(|connection| connection.eq_ignore_ascii_case("gateway"))
}

/// Whether the step connects through a gateway, and no saved state says what became of it.
pub(crate) fn is_lost(environment: &Environment) -> bool {
    is_requested(environment) && !state::has(environment, state::GATEWAY_NAME)
}

/// What a gateway is.
enum Form {
    /// A container, next to that of the step. The address of the engine, if it is not the socket that the runner
    /// mounts.
    Container(Option<SocketAddr>),
    Process,
}

impl Form {
    /// The form of this process's gateways. No variable decides it in a release: any earlier step can set one.
    fn of(environment: &Environment) -> Self {
        let stub = stub_engine(environment);
        let program = std::env::current_exe();
        let is_image = program.is_ok_and(|program| program == Path::new(PROGRAM_OF_IMAGE));
        if is_image || stub.is_some() {
            Self::Container(stub)
        } else {
            Self::Process
        }
    }
}

/// The engine of a test, which stands in for that of the runner's machine.
#[cfg(feature = "stub-engine")]
fn stub_engine(environment: &Environment) -> Option<SocketAddr> {
    environment.get("PORT_MCP_STUB_ENGINE")?.parse().ok()
}

#[cfg(not(feature = "stub-engine"))]
fn stub_engine(_environment: &Environment) -> Option<SocketAddr> {
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn windows() {
        insta::assert_snapshot!(WINDOWS);
    }
}
