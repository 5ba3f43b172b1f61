use std::collections::BTreeMap;
use std::os::unix::process::ExitStatusExt;
use std::path::PathBuf;
use std::process::ExitStatus;
use std::sync::{Arc, Mutex};

use crate::annotation::{Annotation, Issue};
use crate::command::Command;
use crate::culture::same_name;
use crate::decode::decode;
use crate::job::{Memory, lock};
use crate::leak::{self, Leak, Place};
use crate::log::Log;
use crate::masker::Masker;
use crate::program::Ending;
use crate::reader::Reader;
use crate::running::Rest;

/// The results of a finished step, as the runner interprets them.
///
/// After a [crash](Finished::crashed), GitHub gets nothing of a step: no log, annotations, outputs, state,
/// or variables. What the program printed, and its files, remain.
#[derive(Debug)]
pub struct Finished {
    /// The exit status. `None` if a signal ended the process. If a signal ended a container, it is
    /// 128 plus the number of the signal. Also `None` if the runner ended the step before its process.
    pub exit: Option<i32>,
    /// How the step ends for the job.
    pub conclusion: Conclusion,
    /// The annotations, in the order of [`Finished::log`].
    pub annotations: Vec<Annotation>,
    /// The standard output as printed, without masking.
    pub stdout: String,
    /// The standard error as printed, without masking.
    pub stderr: String,
    /// The commands that the runner recognized, in the order of [`Finished::log`].
    pub commands: Vec<Command>,
    /// The masks that `add-mask` registered: each value and, if it has several lines, each line.
    pub masks: Vec<String>,
    /// The outputs, which later steps read from `steps.<id>.outputs`. Their names have no case: of two
    /// names that differ in case, this is the first.
    pub outputs: BTreeMap<String, String>,
    /// The saved state, which [`Phase::Post`](crate::Phase::Post) reads from the variables
    /// `STATE_<name>`. Names as in [`Finished::outputs`].
    pub state: BTreeMap<String, String>,
    /// The variables that the step set for all later steps. The runner's own variables of the same names
    /// override them.
    pub env: BTreeMap<String, String>,
    /// The directories that the step prepended to `PATH` for all later steps, in the order of `PATH`.
    pub path: Vec<String>,
    /// The job summary as written; see [`Finished::published_summary`].
    pub summary: String,
    /// The runner's errors for each command, and each file of commands, that failed. Each of them fails
    /// the step.
    pub command_errors: Vec<String>,
    /// The files in `RUNNER_TEMP`, in `HOME`, and in the workspace at the end of the step, except
    /// unchanged files that existed before the first step.
    pub files: BTreeMap<PathBuf, Vec<u8>>,
    published_summary: String,
    lines: Vec<String>,
    log: String,
    masker: Masker,
    memory: Arc<Mutex<Memory>>,
    debug: bool,
}

/// How a step ends for its job.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Conclusion {
    /// The step succeeded, or it failed with `continue-on-error`.
    Success,
    /// The program failed, or one of its commands.
    Failure,
    /// The runner itself died: the job has no result, and its later steps and post phases do not run.
    Crash,
}

/// The end of a step.
pub(crate) struct End {
    pub(crate) exit: Exit,
    pub(crate) printed: Printed,
}

pub(crate) enum Exit {
    Status(ExitStatus),
    /// The runner stopped reading, for this reason. The process lives on.
    Stopped(&'static str),
}

pub(crate) struct Printed {
    pub(crate) stdout: String,
    pub(crate) stderr: String,
}

impl Finished {
    pub(crate) fn read(end: End, reader: Reader, rest: Rest) -> Self {
        let Reader {
            mut log, matchers, ..
        } = reader;
        report_exit(&end.exit, rest.ending, &mut log);
        // The runner reads the files before it reports why it stopped.
        let published_summary = rest.files.process(&mut log);
        if let Exit::Stopped(reason) = end.exit {
            log.error(reason);
            log.command_errors.push(reason.to_owned());
        }

        let exit = end.exit.code();
        let has_failed = exit != Some(0) || !log.command_errors.is_empty();
        let conclusion = if log.kills_the_runner() {
            Conclusion::Crash
        } else if has_failed && !rest.continues_on_error {
            Conclusion::Failure
        } else {
            Conclusion::Success
        };
        let mut memory = lock(&rest.memory);
        memory.has_crashed |= conclusion == Conclusion::Crash;
        memory.keep(&log, matchers);
        let files = memory.changed(rest.places.files());
        drop(memory);

        let finished = Self {
            exit,
            conclusion,
            annotations: log.issues.iter().filter_map(Issue::annotation).collect(),
            stdout: end.printed.stdout,
            stderr: end.printed.stderr,
            commands: log.commands,
            masks: log.masks,
            outputs: log.outputs,
            state: log.state,
            env: log.env,
            path: log.path.into_iter().rev().collect(),
            summary: decode(&std::fs::read(&rest.files.summary).unwrap_or_default()),
            command_errors: log.command_errors,
            files,
            published_summary,
            log: log.lines.iter().flat_map(|line| [line, "\n"]).collect(),
            lines: log.lines,
            masker: log.masker,
            debug: log.debug,
            memory: rest.memory,
        };
        match conclusion {
            Conclusion::Crash => finished.unreported(),
            _ => finished,
        }
    }

    /// Without all that GitHub does not get after a crash.
    fn unreported(self) -> Self {
        Self {
            annotations: Vec::new(),
            outputs: BTreeMap::new(),
            state: BTreeMap::new(),
            env: BTreeMap::new(),
            path: Vec::new(),
            published_summary: String::new(),
            lines: Vec::new(),
            log: String::new(),
            ..self
        }
    }

    /// Whether the step succeeded: it exited with 0, none of its commands failed, and the runner lives.
    /// `continue-on-error` makes no difference.
    #[must_use]
    pub fn succeeded(&self) -> bool {
        self.exit == Some(0) && self.command_errors.is_empty() && !self.crashed()
    }

    /// Whether the runner died at the end of the step. It quotes the first three errors and warnings of a
    /// step in its own log, each cut at 256 UTF-16 units after masking, and dies if a cut or a mask leaves
    /// half of a surrogate pair.
    ///
    /// Source: `PublishStepTelemetry` in `src/Runner.Worker/ExecutionContext.cs`.
    #[must_use]
    pub fn crashed(&self) -> bool {
        self.conclusion == Conclusion::Crash
    }

    /// The log as the runner stores it: commands are processed, and secrets are masked from the
    /// line that registers them.
    ///
    /// The lines of the runner at the start of a step, such as `Post job cleanup.`, are not included.
    ///
    /// All of stderr is first, up to a pause in the output of half a second. The runner collects both
    /// streams, and processes the stderr that it has before the stdout. A mask on stdout can therefore be
    /// too late for a line on stderr that is printed after it. Without such a pause, it always is here.
    ///
    /// Source: `ProcessOutput` in `src/Runner.Sdk/ProcessInvoker.cs`, and `Write` in
    /// `src/Runner.Worker/ExecutionContext.cs`.
    #[must_use]
    pub fn log(&self) -> &str {
        &self.log
    }

    /// The lines of [`Finished::log`]. The line of an annotation can contain line breaks.
    #[must_use]
    pub fn log_lines(&self) -> &[String] {
        &self.lines
    }

    /// The annotations that show a secret which a mask hides in the log: in the title or the file, which
    /// the runner does not mask, or in a message that was printed before the mask.
    #[must_use]
    pub fn unmasked_annotations(&self) -> Vec<&Annotation> {
        let shows = |text: &String| self.masker.changes(text);
        let annotations = self.annotations.iter();
        annotations
            .filter(|annotation| {
                let Annotation {
                    title,
                    file,
                    message,
                    ..
                } = annotation;
                title.iter().chain(file).chain([message]).any(shows)
            })
            .collect()
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
        self.published_summary.clone()
    }

    /// The output as another job receives it. `None` if it is empty, or if it contains a secret,
    /// because the runner then drops it. The masks of later steps count, too.
    ///
    /// Source: `FinalizeJob` in `src/Runner.Worker/JobExtension.cs`.
    #[must_use]
    pub fn job_output(&self, name: &str) -> Option<&str> {
        let value = self.output(name)?;
        (!value.is_empty() && !self.is_dropped(value)).then_some(value)
    }

    /// What the runner says of those outputs with these names that another job does not receive.
    ///
    /// Source: as [`Finished::job_output`].
    #[must_use]
    pub fn job_log(&self, names: &[&str]) -> Vec<String> {
        let said = names
            .iter()
            .map(|name| match self.output(name).unwrap_or_default() {
                "" if self.debug => format!("##[debug]Skip output '{name}' since it's empty"),
                value if self.is_dropped(value) => {
                    format!("##[warning]Skip output '{name}' since it may contain secret.")
                }
                _ => String::new(),
            });
        said.filter(|line| !line.is_empty()).collect()
    }

    fn output(&self, name: &str) -> Option<&str> {
        let mut outputs = self.outputs.iter();
        outputs
            .find(|(known, _)| same_name(known, name))
            .map(|(_, value)| value.as_str())
    }

    fn is_dropped(&self, value: &str) -> bool {
        lock(&self.memory).masker.changes(value)
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

impl Exit {
    fn code(&self) -> Option<i32> {
        match self {
            Self::Status(status) => status.code(),
            Self::Stopped(_) => None,
        }
    }
}

fn report_exit(exit: &Exit, ending: Ending, log: &mut Log) {
    let Exit::Status(status) = exit else { return };
    let signal = status.signal().map_or(0, |signal| 128 + signal);
    let code = status.code().unwrap_or(signal);
    match ending {
        Ending::Docker => log.debug(&format!(
            "Docker Action run completed with exit code {code}"
        )),
        Ending::Node => log.debug(&format!("Node Action run completed with exit code {code}")),
        Ending::Run if code == 0 => {}
        Ending::Run => log.error(&format!("Process completed with exit code {code}.")),
    }
}
