//! Why a secret arrives empty.
//!
//! GitHub gives a step an empty string for a secret that the run may not read, and says nothing.
//! The event and the variables of the run tell the cases apart.

use std::fmt;
use std::fs::{self, File};
use std::io::Read as _;
use std::path::Path;

use serde_json::Value;

use super::Environment;

/// The likeliest reason why a run has no secrets; its text says what to do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reason {
    /// A pull request whose head is in another repository.
    Fork,
    /// Dependabot started the run; a person who re-runs it changes nothing.
    Dependabot,
    /// The step runs in a reusable (or required) workflow that was handed no secrets.
    Called,
    /// The workflow names an environment, which may lack the secret.
    Environment,
    /// Nothing special about the run: the secret is not set, or not where the job looks.
    Unset,
}

impl Reason {
    /// Finds the reason in the variables and the event of the run.
    #[must_use]
    pub fn find(environment: &Environment) -> Self {
        // Re-runs keep GITHUB_ACTOR; only GITHUB_TRIGGERING_ACTOR changes.
        if environment.get("GITHUB_ACTOR") == Some("dependabot[bot]") {
            return Self::Dependabot;
        }
        if is_fork(environment) {
            return Self::Fork;
        }
        let workflow = Workflow::read(environment);
        if workflow.is_called {
            Self::Called
        } else if workflow.names_environment {
            Self::Environment
        } else {
            Self::Unset
        }
    }
}

impl fmt::Display for Reason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Fork => {
                "this run belongs to a pull request from a fork, and GitHub gives those no \
                 secrets. Skip the step for forks: `if: github.event.pull_request.head.repo.fork \
                 == false`"
            }
            Self::Dependabot => {
                "this run was started by Dependabot, which reads Dependabot secrets only, even \
                 when a person re-runs it. Add the secret under Settings > Secrets and variables > \
                 Dependabot, or skip the step: `if: github.actor != 'dependabot[bot]'`"
            }
            Self::Called => {
                "the step runs in a reusable workflow, which sees only the secrets that its caller \
                 hands over. In the calling job write `secrets: inherit` or name the secret under \
                 `secrets:`; a secret of an environment is seen only where the called workflow's \
                 own job says `environment:`"
            }
            Self::Environment => {
                "the secret is not set for this repository or its organization, nor in the \
                 environment that the job names; check its spelling, and that the job that runs \
                 this step is the one that says `environment:`"
            }
            Self::Unset => {
                "the secret is not set for this repository or its organization, or its name is \
                 misspelled. If it is a secret of an environment, the job must say \
                 `environment: NAME`"
            }
        })
    }
}

/// Whether the event's pull request comes from another repository. `pull_request_target` runs with
/// the base repository's secrets, so a fork explains nothing there.
fn is_fork(environment: &Environment) -> bool {
    if environment.get("GITHUB_EVENT_NAME") == Some("pull_request_target") {
        return false;
    }
    let event: Option<Value> = environment
        .path("GITHUB_EVENT_PATH")
        .and_then(|path| read(&path))
        .and_then(|text| serde_json::from_str(&text).ok());
    let Some(head) = event
        .as_ref()
        .and_then(|event| event.pointer("/pull_request/head"))
    else {
        return false;
    };
    match head.pointer("/repo/full_name").and_then(Value::as_str) {
        Some(name) => Some(name) != environment.get("GITHUB_REPOSITORY"),
        // A fork that was deleted since has no repository any more.
        None => true,
    }
}

/// The most that is read of an event or a workflow; GitHub lets an event have 25 MiB.
const LARGEST: u64 = 32 * 1024 * 1024;

/// The text of a file, if there is one. A pipe in its place would be waited for without end.
fn read(path: &Path) -> Option<String> {
    if !fs::metadata(path).ok()?.is_file() {
        return None;
    }
    let mut text = String::new();
    let mut file = File::open(path).ok()?.take(LARGEST);
    file.read_to_string(&mut text).ok()?;
    Some(text)
}

/// What the run's own workflow file tells.
struct Workflow {
    is_called: bool,
    names_environment: bool,
}

impl Workflow {
    /// `GITHUB_WORKFLOW_REF` names the workflow that GitHub started, `GITHUB_JOB` the job that runs
    /// this step: a job that the file does not have stands in a workflow that it calls. The file is
    /// there only after a checkout; without it, only a workflow of another repository is told.
    fn read(environment: &Environment) -> Self {
        let mut found = Self {
            is_called: false,
            names_environment: false,
        };
        let workflow = environment.get("GITHUB_WORKFLOW_REF").unwrap_or_default();
        let Some((repository, path)) = workflow
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
            .and_then(|workspace| read(&workspace.join(path)))
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
