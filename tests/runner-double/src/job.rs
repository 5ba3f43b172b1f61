use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use serde_json::{Value, json};
use tempfile::TempDir;

use crate::finished::Finished;
use crate::log::{Log, prepend, set};
use crate::masker::{Masker, masks_of};
use crate::matcher::Matchers;
use crate::places::Places;
use crate::program::{Mount, Program, Start};
use crate::running::{Rest, Running};
use crate::settings::Settings;
use crate::step_files::Files;
use crate::variables::{RUNTIME_TOKEN, Variables};

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
    pub(crate) variables: BTreeMap<String, Option<String>>,
    pub(crate) step_env: BTreeMap<String, String>,
    continues_on_error: bool,
    memory: Arc<Mutex<Memory>>,
}

/// The results of steps that later steps receive.
#[derive(Debug, Default)]
pub(crate) struct Memory {
    pub(crate) masker: Masker,
    pub(crate) matchers: Matchers,
    pub(crate) state: BTreeMap<String, String>,
    pub(crate) environment: BTreeMap<String, String>,
    /// The directories for `PATH`, the last one first.
    pub(crate) path: Vec<String>,
    /// The files in the job's directories before its first step.
    pub(crate) initial_files: Option<BTreeMap<PathBuf, Vec<u8>>>,
    pub(crate) has_crashed: bool,
    /// Whether a crash, or an unmasked annotation, is a result like any other.
    pub(crate) is_tolerant: bool,
    steps: u32,
}

impl Memory {
    /// Keeps what later steps get of a step.
    pub(crate) fn keep(&mut self, log: &Log, matchers: Matchers) {
        self.masker.extend(log.masker.clone());
        self.matchers = matchers;
        self.environment.extend(log.env.clone());
        for (name, value) in &log.state {
            set(&mut self.state, name, value.clone());
        }
        for directory in &log.path {
            prepend(&mut self.path, directory);
        }
    }

    /// The files that were not there, or were others, before the first step.
    pub(crate) fn changed(
        &self,
        mut files: BTreeMap<PathBuf, Vec<u8>>,
    ) -> BTreeMap<PathBuf, Vec<u8>> {
        let initial = self.initial_files.as_ref();
        files.retain(|path, bytes| initial.and_then(|initial| initial.get(path)) != Some(bytes));
        files
    }
}

pub(crate) fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
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
            step_env: BTreeMap::new(),
            continues_on_error: false,
            memory: Arc::default(),
        };
        lock(&job.memory).masker.add(RUNTIME_TOKEN);
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

    /// Sets `env:` of the steps that follow, in place of an earlier one. It wins over `GITHUB_ENV`, and
    /// loses to the saved state and to the runner's own variables.
    pub fn step_env<'a>(
        &mut self,
        variables: impl IntoIterator<Item = (&'a str, &'a str)>,
    ) -> &mut Self {
        let variables = variables.into_iter();
        self.step_env = variables
            .map(|(name, value)| (name.to_owned(), value.to_owned()))
            .collect();
        self
    }

    /// Removes a variable that the runner sets. Without `RUNNER_TEMP`, the container also does not
    /// have the directory, as on runners before 2.331.
    pub fn without(&mut self, name: &str) -> &mut Self {
        self.variables.insert(name.to_owned(), None);
        self
    }

    /// Sets `continue-on-error` of the steps that follow, also of their post phases: a failed step then
    /// counts as a success for the job. A crash is no failure, and ends the job nevertheless.
    ///
    /// Source: `ApplyContinueOnError` in `src/Runner.Worker/ExecutionContext.cs`.
    pub fn continue_on_error(&mut self, continues: bool) -> &mut Self {
        self.continues_on_error = continues;
        self
    }

    /// Returns the results also of steps that end the runner, or whose annotations show what a mask hides in
    /// the log. Otherwise, [`Running::wait`] panics: no action may do either.
    pub fn tolerant(&mut self) -> &mut Self {
        lock(&self.memory).is_tolerant = true;
        self
    }

    /// Makes `value` a secret of the repository. The trimmed value and each of its lines are masked
    /// before the first step.
    ///
    /// Source: `InitializeSecretMasker` in `src/Runner.Worker/Worker.cs`.
    pub fn secret(&mut self, value: &str) -> &mut Self {
        let mut memory = lock(&self.memory);
        for mask in masks_of(value.trim()) {
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
    /// If the program cannot be started. Also after a [crash](Finished::crashed): the runner has died, and
    /// neither a later step nor a post phase runs.
    #[must_use]
    pub fn spawn(&self, program: &Program, phase: Phase, inputs: &[(&str, &str)]) -> Running {
        let mut memory = lock(&self.memory);
        assert!(
            !memory.has_crashed,
            "the runner has crashed in an earlier step: no later step runs"
        );
        let places = self.places();
        memory.initial_files.get_or_insert_with(|| places.files());
        memory.steps += 1;
        let step = memory.steps;
        let files = Files::create(&self.file_commands(), step);
        let variables = Variables {
            job: self,
            memory: &memory,
            files: &files,
            program,
            phase,
            inputs,
        };
        let variables = variables.collect();
        drop(memory);

        let name = self
            .root()
            .file_name()
            .unwrap_or_default()
            .to_string_lossy();
        let name = format!("{name}-{step}");
        let command = program.command(&Start {
            phase,
            environment: &variables,
            mounts: &self.mounts(),
            workspace: &self.workspace,
            name: &name,
        });
        let container = program.is_image().then_some(name);
        let rest = Rest {
            files,
            places,
            memory: Arc::clone(&self.memory),
            settings: self.settings(program, &variables),
            ending: program.ending(),
            continues_on_error: self.continues_on_error,
        };
        Running::start(command, container, rest)
    }

    fn settings(&self, program: &Program, variables: &BTreeMap<String, String>) -> Settings {
        let debug = self.variables.get("RUNNER_DEBUG");
        Settings {
            workspace: self.workspace.clone(),
            mounts: if program.is_image() {
                self.mounts()
            } else {
                Vec::new()
            },
            debug: debug == Some(&Some("1".to_owned())),
            ..Settings::from_variables(variables)
        }
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

    pub(crate) fn root(&self) -> &Path {
        self.root.path()
    }

    fn file_commands(&self) -> PathBuf {
        self.temp.join("_runner_file_commands")
    }

    pub(crate) fn workflow(&self) -> PathBuf {
        self.temp.join("_github_workflow")
    }
}

impl Default for Job {
    fn default() -> Self {
        Self::new()
    }
}
