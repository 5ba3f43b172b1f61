//! The command line: the phases of the action, and commands for the terminal.

mod policy;
mod policy_file;
mod policy_test;
mod request;
mod tools;
mod words;

use std::ffi::OsString;
use std::path::Path;
use std::sync::LazyLock;

use clap::{CommandFactory as _, Parser, Subcommand};
use clap_complete::Shell;

use crate::runner::{Environment, Log};
use crate::{Error, answer, cleanup, connect, gateway};
use policy::PolicyCommand;
use tools::Tools;
use words::words;

/// The version, and the commit if the build sets it.
static VERSION: LazyLock<String> = LazyLock::new(|| {
    let version = env!("CARGO_PKG_VERSION");
    match option_env!("PORT_MCP_REVISION") {
        Some(revision) => format!("{version} ({revision})"),
        None => version.to_owned(),
    }
});

/// Connect an AI agent in a GitHub workflow to Port's MCP server
#[derive(Debug, Parser)]
#[command(name = "port-mcp", version = VERSION.as_str(), arg_required_else_help = true)]
pub struct Cli {
    #[command(subcommand)]
    command: Command,
    /// Whether the program was started under the name of a phase, with arguments, which do not count.
    #[arg(skip)]
    has_ignored_arguments: bool,
}

/// How a command ended that did not fail.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// It is complete.
    Done,
    /// It is complete, and its answer is no: the policy does not allow a request, for example.
    No,
    /// It has no answer, because a file or an option is invalid.
    Undecided,
    /// The runner cancelled the job.
    Cancelled,
}

/// A phase of the action, or a command for the terminal.
#[derive(Debug, Subcommand)]
enum Command {
    /// Main phase: obtain a token and write the MCP configuration (reads `INPUT_*`)
    Connect,
    /// Post phase: stop the gateway and remove the configuration file
    Cleanup,
    /// Gateway process, which the main phase starts (reads its settings from standard input)
    #[command(hide = true)]
    Gateway,
    /// Check an agent's answer for secrets and pass it on (reads `INPUT_*`)
    Answer,
    /// List the tools that Port's MCP server offers, and what a step would grant of them
    #[command(
        after_help = "Reads the credentials from `PORT_CLIENT_ID` and `PORT_CLIENT_SECRET`.\n\n\
                      Exit status: 0 if a step would grant the request, 1 if it would fail, 2 if an option is invalid"
    )]
    Tools(Box<Tools>),
    /// Check, explain, and test an organization's policy
    #[command(subcommand)]
    Policy(Box<PolicyCommand>),
    /// Print the completions for a shell
    Completions {
        /// Shell
        #[arg(value_enum)]
        shell: Shell,
    },
}

/// The phases. For each, the image contains a link to the binary with the name of the phase.
const PHASES: &[&str] = &["connect", "cleanup", "answer"];

impl Cli {
    /// Parses arguments, the first of which is the path of the binary.
    ///
    /// # Errors
    /// The text to print when they are invalid, and for `--help` and `--version`.
    pub fn parse_from_args(args: impl Iterator<Item = OsString>) -> Result<Self, Usage> {
        let args: Vec<OsString> = args.collect();
        let phase = phase(&args);
        let parsed = match phase {
            None => args.clone(),
            Some(phase) => vec![args[0].clone(), phase.into()],
        };
        let mut cli = Self::try_parse_from(parsed).map_err(|error| {
            let text = error.render();
            Usage {
                text: text.to_string(),
                styled: text.ansi().to_string(),
                is_error: error.use_stderr(),
            }
        })?;
        cli.has_ignored_arguments = phase.is_some() && args.len() > 1;
        Ok(cli)
    }

    /// Runs the command until `cancelled` resolves.
    ///
    /// # Errors
    /// When the phase or the command fails.
    pub async fn run(
        self,
        environment: &Environment,
        log: &mut Log<'_>,
        cancelled: impl Future<Output = ()>,
    ) -> Result<Outcome, Error> {
        if self.has_ignored_arguments {
            log.warning(
                "The action takes no arguments: remove `args` from the `with:` of this step.",
            );
        }
        match self.command {
            // It ends by itself: running requests may finish, and the audit ends with the counts.
            Command::Gateway => gateway::serve::run(cancelled).await?,
            // What it did not remove would remain, and its work is short.
            Command::Cleanup => cleanup::run(environment, log).await?,
            Command::Connect => {
                let connect = async {
                    connect::run(environment, log).await?;
                    Ok(Outcome::Done)
                };
                return until(cancelled, connect).await;
            }
            Command::Answer => {
                let answer = async {
                    answer::run(environment, log).await?;
                    Ok(Outcome::Done)
                };
                return until(cancelled, answer).await;
            }
            Command::Tools(tools) => {
                log.for_command(tools.format, words);
                return until(cancelled, tools.run(environment, log)).await;
            }
            Command::Policy(command) => {
                log.for_command(command.format(), command.words());
                return Ok(command.run(environment, log));
            }
            Command::Completions { shell } => {
                let mut script = Vec::new();
                clap_complete::generate(shell, &mut Cli::command(), "port-mcp", &mut script);
                let script = String::from_utf8_lossy(&script);
                log.usage(&script, &script, false);
            }
        }
        Ok(Outcome::Done)
    }
}

/// Does `work` until `cancelled` resolves.
async fn until(
    cancelled: impl Future<Output = ()>,
    work: impl Future<Output = Result<Outcome, Error>>,
) -> Result<Outcome, Error> {
    tokio::select! {
        biased;
        () = cancelled => Ok(Outcome::Cancelled),
        ended = work => ended,
    }
}

/// A text about the command line.
#[derive(Debug)]
pub struct Usage {
    /// The text.
    pub text: String,
    /// The text with the codes of colors.
    pub styled: String,
    /// Whether the arguments are invalid.
    pub is_error: bool,
}

/// The phase under whose name the program was started: an entry point cannot contain arguments, and those that a
/// runner passes are the caller's (`args` in its `with:`).
fn phase(args: &[OsString]) -> Option<&'static str> {
    let name = Path::new(args.first()?).file_name()?;
    PHASES.iter().copied().find(|phase| name == *phase)
}
