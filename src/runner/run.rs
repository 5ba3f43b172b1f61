//! The workflow run that a step belongs to.

use super::Environment;

/// The workflow run that a step belongs to, as the runner names it
/// (<https://docs.github.com/actions/reference/variables-reference>). Outside a run, all is `None`.
#[derive(Clone, Debug, Default)]
pub struct Run {
    /// `OWNER/NAME` of the repository.
    pub repository: Option<String>,
    /// The ID of the run, which stays the same if it is run again.
    pub id: Option<String>,
    /// The number of the attempt, from 1.
    pub attempt: Option<String>,
    /// The ID of the job in its workflow.
    pub job: Option<String>,
    /// The path and the ref of the workflow that GitHub started.
    pub workflow: Option<String>,
}

impl Run {
    /// The run of the step with these variables.
    #[must_use]
    pub fn from_env(environment: &Environment) -> Self {
        let variable = |name| environment.get(name).map(str::to_owned);
        Self {
            repository: variable("GITHUB_REPOSITORY"),
            id: variable("GITHUB_RUN_ID"),
            attempt: variable("GITHUB_RUN_ATTEMPT"),
            job: variable("GITHUB_JOB"),
            workflow: variable("GITHUB_WORKFLOW_REF"),
        }
    }

    /// The run for a server's log: `acme/catalog; 123/1`. `None` if one part is missing, or contains what could end the
    /// comment of a `User-Agent` (RFC 9110, 5.6.5).
    #[must_use]
    pub fn comment(&self) -> Option<String> {
        let parts = [&self.repository, &self.id, &self.attempt];
        let is_name = |part: &str| {
            part.chars()
                .all(|c| c.is_ascii_alphanumeric() || "-._/".contains(c))
        };
        match parts.map(|part| part.as_deref().filter(|part| is_name(part))) {
            [Some(repository), Some(id), Some(attempt)] => {
                Some(format!("{repository}; {id}/{attempt}"))
            }
            _ => None,
        }
    }
}
