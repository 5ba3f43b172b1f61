use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use crate::command::Command;
use crate::file_command::pairs;
use crate::job::{Files, Memory, Places};
use crate::leak::{self, Leak, Place};
use crate::log::{Log, lines};
use crate::masker::Masker;

/// Source: `AttachmentSizeLimit` in `src/Runner.Worker/FileCommandManager.cs`.
const LONGEST_SUMMARY: usize = 1024 * 1024;

/// A step that is over, as the runner understood it.
#[derive(Debug)]
pub struct Finished {
    /// The exit status; `None` if a signal ended the process. A container that a signal
    /// ended has 128 and the signal's number.
    pub exit: Option<i32>,
    /// As printed, nothing masked.
    pub stdout: String,
    /// As printed, nothing masked.
    pub stderr: String,
    /// What the runner took for a command and acted upon, in the order of [`Finished::log`].
    pub commands: Vec<Command>,
    /// What `add-mask` registered: each value and, if it has several, each of its lines.
    pub masks: Vec<String>,
    /// What later steps find under `steps.<id>.outputs`.
    pub outputs: BTreeMap<String, String>,
    /// What [`Phase::Post`](crate::Phase::Post) finds in variables `STATE_<name>`.
    pub state: BTreeMap<String, String>,
    /// What the step set for all later steps.
    pub env: BTreeMap<String, String>,
    /// What the step prepended to `PATH` for all later steps.
    pub path: Vec<String>,
    /// The job summary as written; see [`Finished::published_summary`].
    pub summary: String,
    /// The runner's word on each command that it could not obey; each fails the step.
    pub refusals: Vec<String>,
    /// Files in `RUNNER_TEMP`, in `HOME` and in the workspace at the end of the step, but
    /// for those that the test put there before the first step and that are unchanged.
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

        // An empty name gets past the parser; only the state accepts it.
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

        let given = memory.given.take().unwrap_or_default();
        let mut left = places.files();
        left.retain(|path, bytes| given.get(path) != Some(bytes));
        memory.given = Some(given);

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
            refusals: log.refusals,
            files: left,
            log: log.text,
            masker: log.masker,
        }
    }

    /// Whether the step succeeded: it exited with 0 and the runner could obey its commands.
    #[must_use]
    pub fn succeeded(&self) -> bool {
        self.exit == Some(0) && self.refusals.is_empty()
    }

    /// The log as the runner stores it: commands acted upon, secrets masked from the line
    /// on that registered them.
    ///
    /// All of stderr comes first. The runner collects both streams and, of what has come
    /// in, handles stderr before stdout. So a mask on stdout may come too late for a line
    /// on stderr that was printed after it, and here it always does.
    ///
    /// Source: `ProcessOutput` in `src/Runner.Sdk/ProcessInvoker.cs`, and `Write` in
    /// `src/Runner.Worker/ExecutionContext.cs`.
    #[must_use]
    pub fn log(&self) -> &str {
        &self.log
    }

    /// The commands of one name, in order: `run.commands_of("error")`.
    pub fn commands_of<'a>(&'a self, name: &'a str) -> impl Iterator<Item = &'a Command> {
        self.commands.iter().filter(move |command| command.is(name))
    }

    /// The job summary as shown: masked line by line, so that a secret of several lines is
    /// hidden by the masks of its lines only. Empty if it exceeds 1 MiB, for then the
    /// runner drops it.
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

    /// The output as another job would receive it: `None` if it is empty, or if the runner
    /// withholds it because it contains a secret.
    ///
    /// Source: `FinalizeJob` in `src/Runner.Worker/JobExtension.cs`.
    #[must_use]
    pub fn job_output(&self, name: &str) -> Option<&str> {
        let value = self.outputs.get(name)?;
        (!value.is_empty() && self.masker.mask(value) == *value).then_some(value)
    }

    /// `text` with every secret masked that the job knows at the end of this step.
    #[must_use]
    pub fn mask(&self, text: &str) -> String {
        self.masker.mask(text)
    }

    /// Every place, but `add-mask` commands, that holds `secret` in the clear or encoded:
    /// in one of the masker's encodings, or in base64, base64url or hexadecimal as part of
    /// a longer value. It takes no account of masks: what is masked in the log is a leak
    /// all the same, for a program should not print it.
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

/// Empty if the step removed the file, which the runner lets pass.
fn text(path: &Path) -> String {
    String::from_utf8_lossy(&fs::read(path).unwrap_or_default()).into_owned()
}
