//! Why a secret is empty.
//!
//! GitHub passes an empty string for a secret that the run cannot read, without a message. The event and
//! the variables of the run show the cause.

use std::fmt;
use std::path::Path;

use serde_json::Value;

use super::{Environment, Format};
use crate::file::{self, Links};

/// The most likely cause of an empty secret. Its text is a hint.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum EmptySecretCause {
    /// A pull request whose head is in another repository.
    Fork,
    /// Dependabot started the run. A user who re-runs it does not change this.
    Dependabot,
    /// The step runs in a reusable (or required) workflow that received no secrets.
    Called,
    /// The workflow uses an environment, which may not contain the secret.
    Environment,
    /// The secret is not set, or not in a place that the job reads.
    Unset,
    /// [act](https://nektosact.com) runs the workflow, and knows no secret that it is not given.
    Act,
    /// No runner runs this process.
    NoRunner,
}

impl EmptySecretCause {
    /// Finds the cause in the variables and the event of the run.
    #[must_use]
    pub fn from_env(environment: &Environment) -> Self {
        if Format::of(environment) != Format::Github {
            return Self::NoRunner;
        }
        if environment.get("ACT") == Some("true") {
            return Self::Act;
        }
        // Re-runs keep GITHUB_ACTOR; only GITHUB_TRIGGERING_ACTOR changes.
        if environment.get("GITHUB_ACTOR") == Some("dependabot[bot]") {
            return Self::Dependabot;
        }
        if is_fork(environment) {
            return Self::Fork;
        }
        let workflow = Workflow::from_env(environment);
        if workflow.is_called {
            Self::Called
        } else if workflow.names_environment {
            Self::Environment
        } else {
            Self::Unset
        }
    }
}

impl fmt::Display for EmptySecretCause {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Fork => {
                "skip the step for forks (`if: github.event.pull_request.head.repo.fork == false`): \
                 GitHub does not pass secrets to workflows of pull requests from forks"
            }
            Self::Dependabot => {
                "add the secret under Settings > Secrets and variables > Dependabot, or skip the step \
                 (`if: github.actor != 'dependabot[bot]'`): runs started by Dependabot can read only \
                 Dependabot secrets, even if a user re-runs them"
            }
            Self::Called => {
                "in the calling job, list the secret under `secrets:` or set `secrets: inherit`: a \
                 reusable workflow can read only the secrets that its caller passes; for an environment \
                 secret, set `environment:` on the job in the reusable workflow"
            }
            Self::Environment => {
                "set the secret for this repository, its organization, or the environment; check its \
                 spelling, and that the job with this step sets `environment:`"
            }
            Self::Unset => {
                "set the secret for this repository or its organization, and check its spelling; for \
                 an environment secret, the job must set `environment:`"
            }
            Self::Act => {
                "pass the secret to act with `--secret NAME` or `--secret-file`, and check its spelling: act does not \
                 know the secrets of the repository"
            }
            Self::NoRunner => "set the variable to a credential of a service account in Port",
        })
    }
}

/// Whether the event's pull request comes from another repository. Not for `pull_request_target`, which
/// runs with the base repository's secrets.
fn is_fork(environment: &Environment) -> bool {
    if environment.get("GITHUB_EVENT_NAME") == Some("pull_request_target") {
        return false;
    }
    let event: Option<Value> = environment
        .path("GITHUB_EVENT_PATH")
        .and_then(|path| read_text(&path))
        .and_then(|text| serde_json::from_str(&text).ok());
    let Some(head) = event
        .as_ref()
        .and_then(|event| event.pointer("/pull_request/head"))
    else {
        return false;
    };
    match head.pointer("/repo/full_name").and_then(Value::as_str) {
        Some(name) => Some(name) != environment.get("GITHUB_REPOSITORY"),
        // A deleted fork has no repository.
        None => true,
    }
}

/// How much of an event or a workflow is read, in bytes. GitHub limits an event to 25 MiB.
const MAX_FILE: u64 = 32 * 1024 * 1024;

fn read_text(path: &Path) -> Option<String> {
    let bytes = file::read(path, MAX_FILE, Links::Follow).ok()?;
    String::from_utf8(bytes).ok()
}

/// What the workflow file of the run shows.
struct Workflow {
    is_called: bool,
    names_environment: bool,
}

impl Workflow {
    /// `GITHUB_WORKFLOW_REF` names the workflow that GitHub started, and `GITHUB_JOB` the job of this step.
    /// If the file does not define the job, a called workflow does. Without a checkout, the file does not
    /// exist, and only a workflow of another repository is recognized.
    fn from_env(environment: &Environment) -> Self {
        let mut found = Self {
            is_called: false,
            names_environment: false,
        };
        let Some((repository, path)) = environment
            .get("GITHUB_WORKFLOW_REF")
            .unwrap_or_default()
            .split('@')
            .next()
            .and_then(|path| Some((path, path.match_indices('/').nth(1)?.0)))
            .map(|(path, slash)| (&path[..slash], &path[slash + 1..]))
        else {
            return found;
        };
        if Some(repository) != environment.get("GITHUB_REPOSITORY") {
            found.is_called = true;
            return found;
        }
        let Some(text) = environment
            .path("GITHUB_WORKSPACE")
            .and_then(|workspace| read_text(&workspace.join(path)))
        else {
            return found;
        };
        let has_key = |key: &str| {
            text.lines().any(|line| {
                line.trim_start()
                    .strip_prefix(key)
                    .is_some_and(|rest| rest.starts_with(':'))
            })
        };
        found.is_called = environment
            .get("GITHUB_JOB")
            .is_some_and(|job| !has_key(job));
        found.names_environment = has_key("environment");
        found
    }
}
