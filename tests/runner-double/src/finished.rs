use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use crate::command::Command;
use crate::file_command::pairs;
use crate::job::{Files, Memory, Places};
use crate::leak::{self, Leak, Place};
use crate::log::{Log, lines};
use crate::masker::Masker;

/// The largest job summary, in bytes.
///
/// Source: `AttachmentSizeLimit` in `src/Runner.Worker/FileCommandManager.cs`.
const LONGEST_SUMMARY: usize = 1024 * 1024;

/// The results of a finished step, as the runner interprets them.
#[derive(Debug)]
pub struct Finished {
    /// The exit status. `None` if a signal ended the process. If a signal ended a container, it is
    /// 128 plus the number of the signal.
    pub exit: Option<i32>,
    /// The standard output as printed, without masking.
    pub stdout: String,
    /// The standard error as printed, without masking.
    pub stderr: String,
    /// The commands that the runner recognized, in the order of [`Finished::log`].
    pub commands: Vec<Command>,
    /// The masks that `add-mask` registered: each value and, if it has several lines, each line.
    pub masks: Vec<String>,
    /// The outputs, which later steps read from `steps.<id>.outputs`.
    pub outputs: BTreeMap<String, String>,
    /// The saved state, which [`Phase::Post`](crate::Phase::Post) reads from the variables
    /// `STATE_<name>`.
    pub state: BTreeMap<String, String>,
    /// The variables that the step set for all later steps.
    pub env: BTreeMap<String, String>,
    /// The directories that the step prepended to `PATH` for all later steps.
    pub path: Vec<String>,
    /// The job summary as written; see [`Finished::published_summary`].
    pub summary: String,
    /// The runner's error for each command that failed. Each of them fails the step.
    pub command_errors: Vec<String>,
    /// The files in `RUNNER_TEMP`, in `HOME`, and in the workspace at the end of the step, except
    /// unchanged files that existed before the first step.
    pub files: BTreeMap<PathBuf, Vec<u8>>,
    log: String,
    masker: Masker,
}

pub(crate) struct Printed {
    pub(crate) stdout: String,
    pub(crate) stderr: String,
}

impl Finished {
    pub(crate) fn read(
        exit: Option<i32>,
        Printed { stdout, stderr }: Printed,
        files: &Files,
        places: &Places,
        memory: &mut Memory,
        debug: bool,
    ) -> Self {
        let mut log = Log::new(std::mem::take(&mut memory.masker), debug);
        log.read(&stderr);
        log.read(&stdout);

        // The parser accepts an empty name. So does the state, but not outputs and variables.
        let mut outputs = log.outputs;
        outputs.extend(named("output", read_pairs("output", &files.output)));
        let env: BTreeMap<_, _> = named("env", read_pairs("env", &files.env)).collect();
        assert!(
            !env.keys()
                .any(|name| name.eq_ignore_ascii_case("NODE_OPTIONS")),
            "Can't store NODE_OPTIONS output parameter using '$GITHUB_ENV' command."
        );
        let mut state = log.state;
        state.extend(read_pairs("state", &files.state));

        memory.masker = log.masker.clone();
        memory.state.extend(state.clone());
        memory.environment.extend(env.clone());

        let initial = memory.initial_files.take().unwrap_or_default();
        let mut remaining = places.files();
        remaining.retain(|path, bytes| initial.get(path) != Some(bytes));
        memory.initial_files = Some(initial);

        Self {
            exit,
            stdout,
            stderr,
            commands: log.commands,
            masks: log.masks,
            outputs,
            state,
            env,
            path: text(&files.path)
                .lines()
                .filter(|line| !line.is_empty())
                .map(str::to_owned)
                .collect(),
            summary: text(&files.summary),
            command_errors: log.command_errors,
            files: remaining,
            log: log.text,
            masker: log.masker,
        }
    }

    /// Whether the step succeeded: it exited with 0, and none of its commands failed.
    #[must_use]
    pub fn succeeded(&self) -> bool {
        self.exit == Some(0) && self.command_errors.is_empty()
    }

    /// The log as the runner stores it: commands are processed, and secrets are masked from the
    /// line that registers them.
    ///
    /// All of stderr is first. The runner collects both streams, and processes the stderr that it
    /// has before the stdout. A mask on stdout can therefore be too late for a line on stderr that
    /// is printed after it. Here, it always is.
    ///
    /// Source: `ProcessOutput` in `src/Runner.Sdk/ProcessInvoker.cs`, and `Write` in
    /// `src/Runner.Worker/ExecutionContext.cs`.
    #[must_use]
    pub fn log(&self) -> &str {
        &self.log
    }

    /// The commands with a name, in order: `run.commands_of("error")`.
    pub fn commands_of<'a>(&'a self, name: &'a str) -> impl Iterator<Item = &'a Command> {
        self.commands.iter().filter(move |command| command.is(name))
    }

    /// The job summary as shown. It is masked line by line, so only the masks of its lines hide a
    /// secret with several lines. It is empty if it exceeds 1 MiB, because the runner then drops
    /// it.
    ///
    /// Source: `CreateStepSummaryCommand` in `src/Runner.Worker/FileCommandManager.cs`.
    #[must_use]
    pub fn published_summary(&self) -> String {
        if self.summary.len() > LONGEST_SUMMARY {
            return String::new();
        }
        lines(&self.summary)
            .map(|line| self.masker.mask(line) + "\n")
            .collect()
    }

    /// The output as another job receives it. `None` if it is empty, or if it contains a secret,
    /// because the runner then drops it.
    ///
    /// Source: `FinalizeJob` in `src/Runner.Worker/JobExtension.cs`.
    #[must_use]
    pub fn job_output(&self, name: &str) -> Option<&str> {
        let value = self.outputs.get(name)?;
        (!value.is_empty() && self.masker.mask(value) == *value).then_some(value)
    }

    /// Masks every secret in `text` that the job knows at the end of this step.
    #[must_use]
    pub fn mask(&self, text: &str) -> String {
        self.masker.mask(text)
    }

    /// The outputs that show `secret` after the runner has masked its log: in plain text, or in an encoding that
    /// the runner does not mask.
    ///
    /// # Panics
    /// If `secret` is empty.
    #[must_use]
    pub fn unmasked_outputs(&self, secret: &str) -> Vec<Leak> {
        assert!(!secret.is_empty(), "an empty secret is everywhere");
        let forms = leak::forms(secret);
        let outputs = self.outputs.iter();
        outputs
            .filter_map(|(name, value)| {
                leak::in_text(&forms, &self.mask(value), Place::Output(name.clone()))
            })
            .collect()
    }

    /// Every place, except `add-mask` commands, that contains `secret` in plain text or encoded: in
    /// one of the masker's encodings, or in base64, base64url, or hexadecimal as part of a longer
    /// value. Masks make no difference: a secret that is masked in the log is also a leak, because
    /// a program should not print it.
    ///
    /// # Panics
    /// If `secret` is empty.
    #[must_use]
    pub fn leaks(&self, secret: &str) -> Vec<Leak> {
        assert!(!secret.is_empty(), "an empty secret is everywhere");
        let forms = leak::forms(secret);
        let mut leaks = leak::in_stream(&forms, &self.stdout, Place::Stdout);
        leaks.extend(leak::in_stream(&forms, &self.stderr, Place::Stderr));

        let mut look = |place: Place, text: &str| leaks.extend(leak::in_text(&forms, text, place));
        for (name, value) in &self.outputs {
            look(Place::Output(name.clone()), value);
        }
        for (name, value) in &self.state {
            look(Place::State(name.clone()), value);
        }
        for (name, value) in &self.env {
            look(Place::Env(name.clone()), value);
        }
        look(Place::Path, &self.path.join("\n"));
        look(Place::Summary, &self.summary);
        for (path, bytes) in &self.files {
            look(Place::File(path.clone()), &String::from_utf8_lossy(bytes));
        }
        leaks
    }
}

fn read_pairs(command: &str, path: &Path) -> Vec<(String, String)> {
    pairs(&text(path)).unwrap_or_else(|message| unreadable(command, &message))
}

/// The pairs, none of which has an empty name.
///
/// Source: `SetOutput` and `SetEnvContext` in `src/Runner.Worker/ExecutionContext.cs`.
fn named(
    command: &str,
    pairs: Vec<(String, String)>,
) -> impl Iterator<Item = (String, String)> + use<> {
    if pairs.iter().any(|(name, _)| name.is_empty()) {
        unreadable(command, "Value cannot be null. (Parameter 'name')");
    }
    pairs.into_iter()
}

fn unreadable(command: &str, message: &str) -> ! {
    panic!("Unable to process file command '{command}' successfully.\n{message}")
}

/// The text of a file. Empty if the step removed the file, which the runner permits.
fn text(path: &Path) -> String {
    String::from_utf8_lossy(&fs::read(path).unwrap_or_default()).into_owned()
}
