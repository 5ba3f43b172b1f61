//! `port-mcp`: one binary for all phases of the action.

use std::process::ExitCode;

use port_mcp_action::cli::{Cli, Outcome};
use port_mcp_action::runner::{Environment, Log};

fn main() -> ExitCode {
    // This is first, since process 1 of a container has no default action for signals: a signal that arrives
    // before its handler is installed is lost.
    let started = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .map(|runtime| {
            let context = runtime.enter();
            let cancelled = cancelled();
            drop(context);
            (runtime, cancelled)
        });
    let environment = Environment::from_process();
    let mut log = Log::of_process(&environment);
    log.catch_panics();
    let cli = match Cli::parse_from_args(std::env::args_os()) {
        Ok(cli) => cli,
        Err(usage) => {
            log.usage(&usage.text, &usage.styled, usage.is_error);
            return ExitCode::from(if usage.is_error { 2 } else { 0 });
        }
    };
    let ended = match started {
        Err(error) => Err(anyhow::Error::from(error).into()),
        Ok((runtime, cancelled)) => {
            let ended = runtime.block_on(cli.run(&environment, &mut log, cancelled));
            // A lookup of a host name cannot be cancelled and must not delay the exit.
            runtime.shutdown_background();
            ended
        }
    };
    match ended {
        Ok(Outcome::Done) => ExitCode::SUCCESS,
        Ok(Outcome::No) => ExitCode::FAILURE,
        Ok(Outcome::Undecided) => ExitCode::from(2),
        Ok(Outcome::Cancelled) => {
            log.info("Cancelled.");
            ExitCode::from(130)
        }
        Err(error) => {
            error.report(&mut log);
            ExitCode::FAILURE
        }
    }
}

/// Installs the signal handlers, and resolves when the runner cancels the job. Without handlers, the runner
/// would wait ten seconds and then kill the container.
#[cfg(unix)]
fn cancelled() -> impl Future<Output = ()> {
    use tokio::signal::unix::{SignalKind, signal};

    let signals = (
        signal(SignalKind::interrupt()),
        signal(SignalKind::terminate()),
    );
    // A write beyond the limit of a file's size is an error, as on a full disk, and does not end the process.
    let _ = signal(SignalKind::from_raw(rustix::process::Signal::XFSZ.as_raw()));
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

/// Resolves when the runner cancels the job.
#[cfg(not(unix))]
async fn cancelled() {
    if tokio::signal::ctrl_c().await.is_err() {
        std::future::pending().await
    }
}
