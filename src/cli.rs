//! The command line: the phases of the action, and commands for the terminal.

use std::ffi::OsString;
use std::fs::File;
use std::io::Read as _;
use std::path::{Path, PathBuf};
use std::sync::LazyLock;

use anyhow::{Context as _, bail};
use clap::{Args, Parser, Subcommand};

use crate::access::policy::{Policy, RunContext};
use crate::access::source::LARGEST_POLICY;
use crate::runner::{Environment, Log};
use crate::text::Quote;
use crate::{Error, answer, cleanup, connect, gateway};

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
    /// List the tools that Port's MCP server offers to `PORT_CLIENT_ID` and `PORT_CLIENT_SECRET`
    Tools(Tools),
    /// Validate and explain an organization's policy
    #[command(subcommand)]
    Policy(PolicyCommand),
}

/// The phases. For each, the image contains a link to the binary with the name of the phase.
const PHASES: [&str; 3] = ["connect", "cleanup", "answer"];

/// Options of `port-mcp tools`, with the names and meanings of the action's inputs.
#[derive(Args, Debug)]
struct Tools {
    /// Region: eu, us, or auto
    #[arg(long)]
    region: Option<String>,
    /// Base URL of the Port API
    #[arg(long)]
    api_url: Option<String>,
    /// URL of Port's MCP server
    #[arg(long)]
    mcp_url: Option<String>,
    /// How to obtain the token: api, oauth, or auto
    #[arg(long)]
    auth_method: Option<String>,
    /// Path of a CA certificate to trust
    #[arg(long)]
    ca_certificate: Option<String>,
    /// Include the tools that `read_only: false` adds
    #[arg(long)]
    write: bool,
}

#[derive(Debug, Subcommand)]
enum PolicyCommand {
    /// Validate a policy file
    Check {
        /// Policy file
        file: PathBuf,
    },
    /// Show which rule matches a run, and why
    Explain {
        /// Policy file
        file: PathBuf,
        #[command(flatten)]
        run: RunContext,
    },
}

impl Cli {
    /// Parses arguments, the first of which is the path of the binary.
    ///
    /// # Errors
    /// When they are invalid, and for `--help` and `--version`.
    pub fn parse_from_args(args: impl Iterator<Item = OsString>) -> Result<Self, clap::Error> {
        let args: Vec<OsString> = args.collect();
        let Some(phase) = phase(&args) else {
            return Self::try_parse_from(args);
        };
        let mut cli = Self::try_parse_from([args[0].as_os_str(), phase.as_ref()])?;
        cli.has_ignored_arguments = args.len() > 1;
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
                "Port MCP",
                "The action takes no arguments: remove `args` from the `with:` of this step.",
            );
        }
        match self.command {
            // It ends by itself: running requests may finish, and the audit ends with the counts.
            Command::Gateway => gateway::serve::run(cancelled).await?,
            // What it did not remove would remain, and its work is short.
            Command::Cleanup => self.run_to_end(environment, log).await?,
            _ => tokio::select! {
                biased;
                () = cancelled => return Ok(Outcome::Cancelled),
                result = self.run_to_end(environment, log) => result?,
            },
        }
        Ok(Outcome::Done)
    }

    async fn run_to_end(self, environment: &Environment, log: &mut Log<'_>) -> Result<(), Error> {
        match self.command {
            Command::Connect => connect::run(environment, log).await,
            Command::Cleanup => Ok(cleanup::run(environment, log).await?),
            Command::Gateway => Ok(gateway::serve::run(std::future::pending()).await?),
            Command::Answer => Ok(answer::run(environment, log)?),
            Command::Tools(options) => {
                log.for_terminal();
                options.run(environment, log).await
            }
            Command::Policy(PolicyCommand::Check { file }) => Ok(check_policy(&file, log)?),
            Command::Policy(PolicyCommand::Explain { file, run }) => {
                for line in read_policy(&file)?.explain(&run) {
                    log.info(line);
                }
                Ok(())
            }
        }
    }
}

/// The phase under whose name the program was started: an entry point cannot contain arguments, and those that a
/// runner passes are the caller's (`args` in its `with:`).
fn phase(args: &[OsString]) -> Option<&'static str> {
    let name = Path::new(args.first()?).file_name()?;
    PHASES.into_iter().find(|phase| name == *phase)
}

impl Tools {
    /// The variables with the credentials. A command line would show them to every process.
    const CREDENTIALS: [(&str, &str); 2] = [
        ("PORT_CLIENT_ID", "INPUT_CLIENT_ID"),
        ("PORT_CLIENT_SECRET", "INPUT_CLIENT_SECRET"),
    ];

    /// Lists the tools, one per line: name, access, and the server's description.
    async fn run(self, environment: &Environment, log: &mut Log<'_>) -> Result<(), Error> {
        let inputs = [
            ("INPUT_REGION", self.region),
            ("INPUT_API_URL", self.api_url),
            ("INPUT_MCP_URL", self.mcp_url),
            ("INPUT_AUTH_METHOD", self.auth_method),
            ("INPUT_CA_CERTIFICATE", self.ca_certificate),
            ("INPUT_READ_ONLY", Some((!self.write).to_string())),
        ];
        let inputs = inputs.into_iter().filter_map(|(name, value)| {
            let value = OsString::from(value?);
            Some((OsString::from(name), value))
        });
        let credentials = Self::CREDENTIALS.iter().filter_map(|(variable, input)| {
            let value = environment.get(variable)?;
            Some((OsString::from(input), OsString::from(value)))
        });
        let environment = environment.with(inputs.chain(credentials));
        let tools = connect::offered_tools(&environment, log).await?;
        let width = tools.iter().map(|tool| tool.name.chars().count()).max();
        let width = width.unwrap_or_default().min(40);
        for tool in &tools {
            let description = tool.description.as_ref().or(tool.title.as_ref());
            log.info(format!(
                "{:width$}  {:13}  {}",
                Quote::new(&tool.name).to_string(),
                tool.access(),
                description.map(ToString::to_string).unwrap_or_default()
            ));
        }
        Ok(())
    }
}

fn check_policy(file: &Path, log: &mut Log<'_>) -> anyhow::Result<()> {
    let policy = read_policy(file)?;
    let problems = policy.lint();
    if !problems.is_empty() {
        bail!(
            "policy {} contains rules without effect:\n{}\n\
             hint: correct or remove these conditions; runs that do not match fall through to the rules below",
            file.display(),
            problems.join("\n")
        );
    }
    let rules = match policy.rule_count() {
        1 => "1 rule".to_owned(),
        n => format!("{n} rules"),
    };
    log.info(format!("{} is valid ({rules}).", file.display()));
    Ok(())
}

fn read_policy(file: &Path) -> anyhow::Result<Policy> {
    let shown = file.display().to_string();
    let mut text = String::new();
    File::open(file)
        .and_then(|file| {
            file.take(LARGEST_POLICY as u64 + 1)
                .read_to_string(&mut text)
        })
        .with_context(|| format!("policy {shown} could not be read\nhint: check its path"))?;
    if text.len() > LARGEST_POLICY {
        let limit = LARGEST_POLICY / 1024;
        bail!(
            "policy {shown} could not be read: it is larger than {limit} KiB\nhint: check its path"
        );
    }
    Ok(Policy::parse(&shown, &text)?)
}
