use std::collections::BTreeMap;
use std::path::Path;

use crate::job::{Job, Memory, Phase};
use crate::program::{Program, SEARCH_PATH};
use crate::step_files::Files;

/// A token of the runner, which every action gets, and which is masked.
pub(crate) const RUNTIME_TOKEN: &str = "runtime-token-of-the-runner-double";

/// The variables that every action gets for the services of GitHub. No document lists them.
///
/// Source: `src/Runner.Worker/Handlers/ContainerActionHandler.cs`.
const SERVICES: [(&str, &str); 3] = [
    ("ACTIONS_RESULTS_URL", "https://results.invalid/"),
    ("ACTIONS_RUNTIME_TOKEN", RUNTIME_TOKEN),
    ("ACTIONS_RUNTIME_URL", "https://pipelines.invalid/"),
];

/// What the variables of a step depend on.
pub(crate) struct Variables<'a> {
    pub(crate) job: &'a Job,
    pub(crate) memory: &'a Memory,
    pub(crate) files: &'a Files,
    pub(crate) program: &'a Program,
    pub(crate) phase: Phase,
    pub(crate) inputs: &'a [(&'a str, &'a str)],
}

impl Variables<'_> {
    /// The variables of a step. As in the runner, later entries override earlier ones: `GITHUB_ENV`
    /// cannot replace a variable of the runner, and can replace one of the image. A saved state wins over
    /// a variable of the same name. The test's own variables override all others.
    ///
    /// Source: `RunAsync` in `src/Runner.Worker/ActionRunner.cs`, and the handlers.
    pub(crate) fn collect(&self) -> BTreeMap<String, String> {
        let mut variables = self.memory.environment.clone();
        variables.extend(self.job.step_env.clone());
        if self.phase == Phase::Post {
            let state = self.memory.state.iter();
            variables.extend(state.map(|(name, value)| (format!("STATE_{name}"), value.clone())));
        }
        let inputs = self.inputs.iter();
        variables.extend(inputs.map(|(name, value)| (input_variable(name), (*value).to_owned())));
        variables.extend(STATIC.map(owned));
        self.add_paths(&mut variables);
        if !self.program.is_run() {
            variables.extend(SERVICES.map(owned));
        }
        variables
            .entry("CI".to_owned())
            .or_insert_with(|| "true".to_owned());
        self.add_machine(&mut variables);
        for (name, value) in &self.job.variables {
            match value {
                Some(value) => variables.insert(name.clone(), value.clone()),
                None => variables.remove(name),
            };
        }
        as_process_gets(variables)
    }

    fn add_paths(&self, variables: &mut BTreeMap<String, String>) {
        let files = self.files;
        let paths = [
            ("GITHUB_ARTIFACTS", files.artifacts.as_path()),
            ("GITHUB_ARTIFACTS_LIST", &files.artifacts_list),
            ("GITHUB_ENV", &files.env),
            ("GITHUB_EVENT_PATH", &self.job.workflow().join("event.json")),
            ("GITHUB_OUTPUT", &files.output),
            ("GITHUB_PATH", &files.path),
            ("GITHUB_STATE", &files.state),
            ("GITHUB_STEP_SUMMARY", &files.summary),
            ("GITHUB_WORKSPACE", self.job.workspace()),
            ("RUNNER_TEMP", self.job.temp()),
            // The parent of the workspace. It has no path in the container.
            ("RUNNER_WORKSPACE", self.job.root()),
        ];
        variables.extend(paths.map(|(name, path)| (name.to_owned(), shown(path))));
    }

    /// Adds what the image, or the machine of the runner, sets.
    fn add_machine(&self, variables: &mut BTreeMap<String, String>) {
        let home = shown(&self.job.home());
        if self.program.is_on_machine() {
            variables.entry("HOME".to_owned()).or_insert(home);
            self.add_search_path(variables);
            return;
        }
        variables.insert("HOME".to_owned(), home);
        for (name, value) in self.program.image_variables() {
            let entry = variables.entry(name.clone());
            entry.or_insert_with(|| value.clone());
        }
    }

    /// Prepends the directories of `GITHUB_PATH`. A container does not get them.
    ///
    /// Source: `AddPrependPathToEnvironment` in `src/Runner.Worker/Handlers/Handler.cs`.
    fn add_search_path(&self, variables: &mut BTreeMap<String, String>) {
        let machine = || std::env::var("PATH").unwrap_or_else(|_| SEARCH_PATH.into());
        let path = variables.entry("PATH".to_owned()).or_insert_with(machine);
        let directories: Vec<&str> = self.memory.path.iter().rev().map(String::as_str).collect();
        let prefix = directories.join(":");
        if !prefix.is_empty() && !path.starts_with(&format!("{prefix}:")) {
            *path = format!("{prefix}:{path}");
        }
    }
}

fn owned((name, value): (&str, &str)) -> (String, String) {
    (name.to_owned(), value.to_owned())
}

fn shown(path: &Path) -> String {
    path.to_string_lossy().into_owned()
}

/// For a process, a value ends at a null character, and a name cannot contain one.
fn as_process_gets(variables: BTreeMap<String, String>) -> BTreeMap<String, String> {
    let is_name = |name: &str| !name.is_empty() && !name.contains(['=', '\0']);
    let until_null = |value: String| match value.split_once('\0') {
        Some((value, _)) => value.to_owned(),
        None => value,
    };
    variables
        .into_iter()
        .filter(|(name, _)| is_name(name))
        .map(|(name, value)| (name, until_null(value)))
        .collect()
}

/// The variable of an input. It keeps hyphens.
///
/// Source: `AddInputsToEnvironment` in `src/Runner.Worker/Handlers/Handler.cs`.
fn input_variable(name: &str) -> String {
    format!("INPUT_{}", name.replace(' ', "_").to_uppercase())
}

/// The variables that do not depend on the job's directories.
///
/// Source of the names: `src/Runner.Worker/GitHubContext.cs`.
const STATIC: [(&str, &str); 35] = [
    ("GITHUB_ACTION", "port"),
    ("GITHUB_ACTIONS", "true"),
    ("GITHUB_ACTION_REF", "v1"),
    ("GITHUB_ACTION_REPOSITORY", "acme/port-mcp-action"),
    ("GITHUB_ACTOR", "octocat"),
    ("GITHUB_ACTOR_ID", "583231"),
    ("GITHUB_API_URL", "https://api.github.com"),
    ("GITHUB_BASE_REF", ""),
    ("GITHUB_EVENT_NAME", "workflow_dispatch"),
    ("GITHUB_GRAPHQL_URL", "https://api.github.com/graphql"),
    ("GITHUB_HEAD_REF", ""),
    ("GITHUB_JOB", "agent"),
    ("GITHUB_REF", "refs/heads/main"),
    ("GITHUB_REF_NAME", "main"),
    ("GITHUB_REF_PROTECTED", "true"),
    ("GITHUB_REF_TYPE", "branch"),
    ("GITHUB_REPOSITORY", "acme/catalog"),
    ("GITHUB_REPOSITORY_ID", "1296269"),
    ("GITHUB_REPOSITORY_OWNER", "acme"),
    ("GITHUB_REPOSITORY_OWNER_ID", "9919"),
    ("GITHUB_RETENTION_DAYS", "90"),
    ("GITHUB_RUN_ATTEMPT", "1"),
    ("GITHUB_RUN_ID", "16209841352"),
    ("GITHUB_RUN_NUMBER", "42"),
    ("GITHUB_SERVER_URL", "https://github.com"),
    ("GITHUB_SHA", "6dcb09b5b57875f334f61aebed695e2e4193db5e"),
    ("GITHUB_TRIGGERING_ACTOR", "octocat"),
    ("GITHUB_WORKFLOW", "Agent"),
    (
        "GITHUB_WORKFLOW_REF",
        "acme/catalog/.github/workflows/agent.yml@refs/heads/main",
    ),
    (
        "GITHUB_WORKFLOW_SHA",
        "6dcb09b5b57875f334f61aebed695e2e4193db5e",
    ),
    ("RUNNER_ARCH", "X64"),
    ("RUNNER_ENVIRONMENT", "github-hosted"),
    ("RUNNER_NAME", "GitHub Actions 1"),
    ("RUNNER_OS", "Linux"),
    ("RUNNER_TOOL_CACHE", "/opt/hostedtoolcache"),
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn inputs_become_variables() {
        assert_eq!(input_variable("client_id"), "INPUT_CLIENT_ID");
        assert_eq!(input_variable("who to-greet"), "INPUT_WHO_TO-GREET");
    }

    #[test]
    fn a_null_character_ends_a_value() {
        let variables = [("A", "x\0y"), ("B\0", "z")].map(owned);
        let expected = BTreeMap::from([owned(("A", "x"))]);
        assert_eq!(as_process_gets(variables.into()), expected);
    }
}
