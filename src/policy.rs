//! `port-mcp policy`: what people ask about a policy's file, outside of any run.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, bail};
use clap::{Args, Subcommand};

use crate::access::policy::{Policy, Run};
use crate::runner::Log;

/// What to ask.
#[derive(Debug, Subcommand)]
pub enum Question {
    /// Whether the file can be used; for the CI of the repository that holds it
    Check {
        /// The policy
        file: PathBuf,
    },
    /// Which rule would apply to a run, and why
    Explain {
        /// The policy
        file: PathBuf,
        /// The run
        #[command(flatten)]
        run: About,
    },
}

/// The run to ask about. What is left out is unknown, and meets no condition.
#[derive(Args, Debug)]
pub struct About {
    /// The repository that runs the workflow, such as acme/catalog
    #[arg(long)]
    repository: String,
    /// The branch, tag or pull request, such as refs/heads/main
    #[arg(long = "ref", default_value = "")]
    reference: String,
    /// The environment, as the step names it
    #[arg(long, default_value = "")]
    environment: String,
    /// The workflow, such as acme/catalog/.github/workflows/agent.yml@refs/heads/main
    #[arg(long, default_value = "")]
    workflow: String,
    /// The event, such as push
    #[arg(long, default_value = "")]
    event: String,
}

/// Answers on `log`.
///
/// # Errors
/// When the file cannot be read, is no policy, or says what can never apply.
pub fn run(question: Question, log: &mut Log<'_>) -> anyhow::Result<()> {
    match question {
        Question::Check { file } => {
            let policy = read(&file)?;
            let found = policy.lint();
            if !found.is_empty() {
                bail!(
                    "{} can be used, but not all of it can mean anything:\n{}\n\
                     hint: correct or remove what can never apply, since a run falls through to the \
                     rules below",
                    file.display(),
                    found.join("\n")
                );
            }
            let rules = match policy.count() {
                1 => "1 rule".to_owned(),
                n => format!("{n} rules"),
            };
            log.info(format!("{} is a policy of {rules}.", file.display()));
        }
        Question::Explain { file, run } => {
            let run = Run {
                repository: run.repository,
                reference: run.reference,
                environment: run.environment,
                workflow: run.workflow,
                event: run.event,
            };
            for line in read(&file)?.explain(&run) {
                log.info(line);
            }
        }
    }
    Ok(())
}

fn read(file: &Path) -> anyhow::Result<Policy> {
    let shown = file.display().to_string();
    let text = fs::read_to_string(file).with_context(|| format!("{shown} could not be read"))?;
    Ok(Policy::parse(&shown, &text)?)
}
