//! `port-mcp`: one binary for every phase of the action.

use std::ffi::OsString;
use std::path::Path;
use std::process::ExitCode;
use std::sync::LazyLock;

use clap::{Parser, Subcommand};
use port_mcp_action::runner::{Environment, Log};
use port_mcp_action::{answer, cleanup, connect, policy, report, tools};

/// The version, and the commit where the build was told of it.
static VERSION: LazyLock<String> = LazyLock::new(|| {
    let version = env!("CARGO_PKG_VERSION");
    match option_env!("PORT_MCP_REVISION") {
        Some(revision) => format!("{version} ({revision})"),
        None => version.to_owned(),
    }
});

/// Connects an AI agent in a GitHub workflow to Port's MCP server.
#[derive(Parser)]
#[command(name = "port-mcp", version = VERSION.as_str(), arg_required_else_help = true)]
struct Cli {
    #[command(subcommand)]
    phase: Phase,
}

#[derive(Subcommand)]
enum Phase {
    /// The main phase: credentials in, masked token and MCP configuration out. Reads `INPUT_*`.
    Connect,
    /// The post phase: removes the configuration file that `connect` wrote.
    Cleanup,
    /// Takes over what an agent answered, unless it holds a secret. Reads `INPUT_*`.
    Answer,
    /// Lists the tools that Port's MCP server offers to `PORT_CLIENT_ID` and `PORT_CLIENT_SECRET`.
    Tools(tools::Question),
    /// Checks and explains an organization's policy.
    #[command(subcommand)]
    Policy(policy::Question),
}

fn main() -> ExitCode {
    // Before anything else: as process 1 of the container we get no default action for a signal, and
    // one that comes before its handler is lost.
    let started = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .map(|runtime| {
            let context = runtime.enter();
            let cancelled = cancelled();
            drop(context);
            (runtime, cancelled)
        });
    let environment = Environment::of_process();
    let mut log = Log::of_process(&environment);
    log.catch_panics();
    let phase = match Cli::try_parse_from(arguments(std::env::args_os())) {
        Ok(cli) => cli.phase,
        Err(text) => {
            log.plain(&text.to_string());
            return ExitCode::from(if text.use_stderr() { 2 } else { 0 });
        }
    };
    let (runtime, cancelled) = match started {
        Ok(started) => started,
        Err(error) => {
            report(&mut log, &error.into());
            return ExitCode::FAILURE;
        }
    };
    let code = runtime.block_on(async {
        tokio::select! {
            biased;
            () = cancelled => Err(None),
            result = run(phase, &environment, &mut log) => result.map_err(Some),
        }
    });
    // A look-up of a host name cannot be stopped, and must not keep the process.
    runtime.shutdown_background();
    match code {
        Ok(()) => ExitCode::SUCCESS,
        Err(Some(error)) => {
            report(&mut log, &error);
            ExitCode::FAILURE
        }
        Err(None) => {
            log.info("Cancelled.");
            ExitCode::from(130)
        }
    }
}

async fn run(phase: Phase, environment: &Environment, log: &mut Log<'_>) -> anyhow::Result<()> {
    match phase {
        Phase::Connect => connect::run(environment, log).await,
        Phase::Cleanup => cleanup::run(environment, log),
        Phase::Answer => answer::run(environment, log),
        Phase::Tools(question) => {
            log.for_people();
            tools::run(question, environment, log).await
        }
        Phase::Policy(question) => policy::run(question, log),
    }
}

/// The arguments, with the phase first when the binary was started under a phase's name: the runner
/// takes an entry point as one word, so the image has a link for each phase.
fn arguments(given: impl Iterator<Item = OsString>) -> Vec<OsString> {
    let mut arguments: Vec<OsString> = given.collect();
    let name = arguments
        .first()
        .and_then(|path| Path::new(path).file_name())
        .map(OsString::from);
    if let Some(name) = name.filter(|name| {
        ["connect", "cleanup", "answer"]
            .iter()
            .any(|phase| name == *phase)
    }) {
        arguments.insert(1, name);
    }
    arguments
}

/// Puts the handlers in place, and ends when the runner cancels the job. Without them the runner would
/// wait ten seconds and kill the container.
#[cfg(unix)]
fn cancelled() -> impl Future<Output = ()> {
    use tokio::signal::unix::{SignalKind, signal};

    let signals = (
        signal(SignalKind::interrupt()),
        signal(SignalKind::terminate()),
    );
    async {
        let (Ok(mut interrupt), Ok(mut terminate)) = signals else {
            return std::future::pending().await;
        };
        tokio::select! {
            _ = interrupt.recv() => {}
            _ = terminate.recv() => {}
        }
    }
}

/// Ends when the runner cancels the job.
#[cfg(not(unix))]
async fn cancelled() {
    if tokio::signal::ctrl_c().await.is_err() {
        std::future::pending().await
    }
}
