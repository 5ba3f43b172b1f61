use std::collections::BTreeMap;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use serde_json::{Value, json};
use tempfile::TempDir;

use crate::finished::Finished;
use crate::masker::{Masker, masks_of};
use crate::program::{Mount, Program, Start};
use crate::running::Running;

/// The entry point of an action that a step runs.
///
/// Source: `ActionRunStage` in `src/Runner.Worker/ActionRunner.cs`, without the stage `Pre`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Phase {
    /// The step itself.
    Main,
    /// The cleanup at the end of the job, which also receives the state that `Main` saved.
    Post,
    /// A step of another action with the same image and this entry point.
    Other(&'static str),
}

impl Phase {
    pub(crate) fn entry_point(self) -> &'static str {
        match self {
            Self::Main => "connect",
            Self::Post => "cleanup",
            Self::Other(entry_point) => entry_point,
        }
    }

    /// The name of the file in a JavaScript action. Its `action.yml` can choose any: these are the usual ones.
    pub(crate) fn script(self) -> String {
        let name = match self {
            Self::Main => "main",
            Self::Post => "post",
            Self::Other(name) => name,
        };
        format!("{name}.js")
    }
}

/// One job on a runner: its directories, its variables, and the results of its steps that later
/// steps receive. Dropping the job removes the directories.
///
/// By default, it is a manual run (`workflow_dispatch`) of the branch `main` of `acme/catalog`.
#[derive(Debug)]
pub struct Job {
    root: TempDir,
    temp: PathBuf,
    workspace: PathBuf,
    /// `None` removes a variable that the runner would set.
    variables: BTreeMap<String, Option<String>>,
    memory: Arc<Mutex<Memory>>,
}

/// The results of steps that later steps receive.
#[derive(Debug, Default)]
pub(crate) struct Memory {
    pub(crate) masker: Masker,
    pub(crate) state: BTreeMap<String, String>,
    pub(crate) environment: BTreeMap<String, String>,
    /// The files in the job's directories before its first step.
    pub(crate) initial_files: Option<BTreeMap<PathBuf, Vec<u8>>>,
    steps: u32,
}

pub(crate) fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// The files that a step appends to, by the variable that names each.
///
/// Source: the extensions in `src/Runner.Worker/FileCommandManager.cs`.
#[derive(Debug)]
pub(crate) struct Files {
    pub(crate) output: PathBuf,
    pub(crate) env: PathBuf,
    pub(crate) path: PathBuf,
    pub(crate) state: PathBuf,
    pub(crate) summary: PathBuf,
}

/// The directories in which a step can leave files.
#[derive(Debug)]
pub(crate) struct Places {
    root: PathBuf,
    /// Directories with files of the runner itself, or with file commands.
    skipped: [PathBuf; 2],
}

impl Places {
    /// Every file, by its path relative to the job's directory.
    pub(crate) fn files(&self) -> BTreeMap<PathBuf, Vec<u8>> {
        let mut files = BTreeMap::new();
        self.collect(&self.root, &mut files);
        files
    }

    /// Adds all files of a directory. Does not follow symbolic links, which can lead out of the
    /// job.
    fn collect(&self, directory: &Path, files: &mut BTreeMap<PathBuf, Vec<u8>>) {
        for entry in readable(directory, fs::read_dir(directory)) {
            let entry = readable(directory, entry);
            let path = entry.path();
            let kind = readable(&path, entry.file_type());
            if kind.is_dir() && !self.skipped.contains(&path) {
                self.collect(&path, files);
            } else if kind.is_file() {
                let bytes = readable(&path, fs::read(&path));
                let name = path.strip_prefix(&self.root).unwrap_or(&path);
                files.insert(name.to_owned(), bytes);
            }
        }
    }
}

/// Panics if a file is not readable: the container runs as root, but the runner and the test may
/// not.
fn readable<T>(path: &Path, result: io::Result<T>) -> T {
    let unreadable = |error| panic!("the next step cannot read {}: {error}", path.display());
    result.unwrap_or_else(unreadable)
}

impl Job {
    /// A job with fresh directories.
    ///
    /// # Panics
    /// If the directories cannot be created.
    #[must_use]
    pub fn new() -> Self {
        let root = tempfile::Builder::new()
            .prefix("runner-")
            .tempdir()
            .expect("a temporary directory");
        let job = Self {
            temp: root.path().join("_temp"),
            workspace: root.path().join("catalog"),
            root,
            variables: BTreeMap::new(),
            memory: Arc::default(),
        };
        for directory in [
            job.home(),
            job.file_commands(),
            job.workflow(),
            job.workspace.clone(),
        ] {
            fs::create_dir_all(directory).expect("a directory of the job");
        }
        job.write_event(&json!({
            "inputs": null,
            "ref": "refs/heads/main",
            "repository": { "name": "catalog", "full_name": "acme/catalog", "fork": false },
            "sender": { "login": "octocat", "type": "User" },
        }));
        job
    }

    /// Replaces the event's payload, which is the file that `GITHUB_EVENT_PATH` names. The name of
    /// the event is a separate variable.
    ///
    /// # Panics
    /// If the file cannot be written.
    pub fn event(&mut self, payload: &Value) -> &mut Self {
        self.write_event(payload);
        self
    }

    /// Sets a variable for every step, instead of the runner's value.
    ///
    /// `RUNNER_DEBUG=1` enables step debugging.
    pub fn var(&mut self, name: &str, value: &str) -> &mut Self {
        self.variables
            .insert(name.to_owned(), Some(value.to_owned()));
        self
    }

    /// Removes a variable that the runner sets. Without `RUNNER_TEMP`, the container also does not
    /// have the directory, as on runners before 2.331.
    pub fn without(&mut self, name: &str) -> &mut Self {
        self.variables.insert(name.to_owned(), None);
        self
    }

    /// Makes `value` a secret of the repository. The value and each of its lines are masked before
    /// the first step.
    ///
    /// Source: `InitializeSecretMasker` in `src/Runner.Worker/Worker.cs`.
    pub fn secret(&mut self, value: &str) -> &mut Self {
        let mut memory = lock(&self.memory);
        for mask in masks_of(value) {
            memory.masker.add(&mask);
        }
        drop(memory);
        self
    }

    /// `GITHUB_WORKSPACE` on this machine: the working directory of every step.
    #[must_use]
    pub fn workspace(&self) -> &Path {
        &self.workspace
    }

    /// `RUNNER_TEMP` on this machine. As on a runner, it contains the container's home directory,
    /// the file commands, and the event.
    #[must_use]
    pub fn temp(&self) -> &Path {
        &self.temp
    }

    /// `HOME` of the container, on this machine. It is not the home directory of the runner's user.
    #[must_use]
    pub fn home(&self) -> PathBuf {
        self.temp.join("_github_home")
    }

    /// Runs a step to its end. `inputs` are those in `with:`, by their names in `action.yml`. The
    /// caller must add the defaults of the others.
    ///
    /// # Panics
    /// As [`Job::spawn`] and [`Running::wait`].
    #[must_use]
    pub fn step(&self, program: &Program, phase: Phase, inputs: &[(&str, &str)]) -> Finished {
        self.spawn(program, phase, inputs).wait()
    }

    /// Starts a step. [`Running::wait`] reads its results, also for later steps.
    ///
    /// # Panics
    /// If the program cannot be started.
    #[must_use]
    pub fn spawn(&self, program: &Program, phase: Phase, inputs: &[(&str, &str)]) -> Running {
        let mut memory = lock(&self.memory);
        let places = self.places();
        memory.initial_files.get_or_insert_with(|| places.files());
        memory.steps += 1;
        let step = memory.steps;
        let files = self.create_files(step);
        let environment = self.environment(&memory, &files, phase, inputs);
        drop(memory);

        let name = self
            .root
            .path()
            .file_name()
            .unwrap_or_default()
            .to_string_lossy();
        let name = format!("{name}-{step}");
        let command = program.command(&Start {
            phase,
            environment: &environment,
            mounts: &self.mounts(),
            workspace: &self.workspace,
            name: &name,
        });
        let debug = environment
            .get("RUNNER_DEBUG")
            .is_some_and(|value| value == "1");
        let container = program.is_image().then_some(name);
        Running::start(
            command,
            container,
            files,
            places,
            Arc::clone(&self.memory),
            debug,
        )
    }

    /// The variables of a step. As in the runner, later entries override earlier ones: `GITHUB_ENV`
    /// cannot replace a variable of the runner. The test's own variables override all others.
    fn environment(
        &self,
        memory: &Memory,
        files: &Files,
        phase: Phase,
        inputs: &[(&str, &str)],
    ) -> BTreeMap<String, String> {
        let mut environment = memory.environment.clone();
        if phase == Phase::Post {
            let state = memory.state.iter();
            environment.extend(state.map(|(name, value)| (format!("STATE_{name}"), value.clone())));
        }
        let inputs = inputs.iter();
        environment.extend(inputs.map(|(name, value)| (input_variable(name), (*value).to_owned())));
        environment.extend(STATIC.map(|(name, value)| (name.to_owned(), value.to_owned())));
        let paths = [
            ("GITHUB_ENV", &files.env),
            ("GITHUB_EVENT_PATH", &self.workflow().join("event.json")),
            ("GITHUB_OUTPUT", &files.output),
            ("GITHUB_PATH", &files.path),
            ("GITHUB_STATE", &files.state),
            ("GITHUB_STEP_SUMMARY", &files.summary),
            ("GITHUB_WORKSPACE", &self.workspace),
            ("HOME", &self.home()),
            ("RUNNER_TEMP", &self.temp),
        ];
        environment.extend(
            paths.map(|(name, path)| (name.to_owned(), path.to_string_lossy().into_owned())),
        );
        for (name, value) in &self.variables {
            match value {
                Some(value) => environment.insert(name.clone(), value.clone()),
                None => environment.remove(name),
            };
        }
        environment
    }

    fn mounts(&self) -> Vec<Mount> {
        let mut mounts = vec![
            (self.workspace.clone(), "/github/workspace"),
            (self.file_commands(), "/github/file_commands"),
            (self.workflow(), "/github/workflow"),
            (self.home(), "/github/home"),
        ];
        if self.variables.get("RUNNER_TEMP") != Some(&None) {
            mounts.push((self.temp.clone(), "/github/runner_temp"));
        }
        mounts
            .into_iter()
            .map(|(host, container)| Mount { host, container })
            .collect()
    }

    fn create_files(&self, step: u32) -> Files {
        let create = |prefix| {
            let path = self.file_commands().join(format!("{prefix}_{step}"));
            fs::write(&path, "").expect("a file for commands");
            path
        };
        Files {
            output: create("set_output"),
            env: create("set_env"),
            path: create("add_path"),
            state: create("save_state"),
            summary: create("step_summary"),
        }
    }

    fn places(&self) -> Places {
        Places {
            root: self.root.path().to_owned(),
            skipped: [self.file_commands(), self.workflow()],
        }
    }

    fn write_event(&self, payload: &Value) {
        fs::write(self.workflow().join("event.json"), payload.to_string())
            .expect("the event's payload");
    }

    fn file_commands(&self) -> PathBuf {
        self.temp.join("_runner_file_commands")
    }

    fn workflow(&self) -> PathBuf {
        self.temp.join("_github_workflow")
    }
}

impl Default for Job {
    fn default() -> Self {
        Self::new()
    }
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
    ("CI", "true"),
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
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn inputs_become_variables() {
        assert_eq!(input_variable("client_id"), "INPUT_CLIENT_ID");
        assert_eq!(input_variable("who to-greet"), "INPUT_WHO_TO-GREET");
    }
}
