use std::process::{Child, Command, Stdio};
use std::sync::{Arc, Mutex};
use std::thread;

use rustix::process::{Pid, Signal, kill_process};

use crate::finished::{End, Exit, Finished, Printed};
use crate::job::{Memory, lock};
use crate::log::Log;
use crate::output::{Lines, Output, State};
use crate::places::Places;
use crate::program::Ending;
use crate::reader::{Reader, Stopped};
use crate::settings::Settings;
use crate::step_files::Files;

/// A running step. Dropping it without [`Running::wait`] kills the step.
#[derive(Debug)]
pub struct Running {
    child: Child,
    container: Option<String>,
    output: Arc<Output>,
    /// `None` after `wait`.
    rest: Option<Rest>,
}

/// What the runner needs at the end of the step.
#[derive(Debug)]
pub(crate) struct Rest {
    pub(crate) files: Files,
    pub(crate) places: Places,
    pub(crate) memory: Arc<Mutex<Memory>>,
    pub(crate) settings: Settings,
    pub(crate) ending: Ending,
    pub(crate) continues_on_error: bool,
}

impl Running {
    pub(crate) fn start(mut command: Command, container: Option<String>, rest: Rest) -> Self {
        command
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped());
        let mut child = command.spawn().unwrap_or_else(|error| {
            panic!("cannot start {}: {error}", command.get_program().display())
        });
        let output = Arc::new(Output::default());
        output.collect(0, child.stdout.take().expect("a pipe"));
        output.collect(1, child.stderr.take().expect("a pipe"));
        output.watch(Pid::from_child(&child));
        Self {
            child,
            container,
            output,
            rest: Some(rest),
        }
    }

    /// Waits for a whole line, on either stream, that contains `text`, and returns it.
    ///
    /// # Panics
    /// If the step ends or hangs without such a line.
    #[expect(
        clippy::must_use_candidate,
        reason = "a test can wait without using the line"
    )]
    pub fn wait_for_line(&self, text: &str) -> String {
        let found = |state: &State| {
            state.streams.iter().find_map(|stream| {
                let text_so_far = stream.text();
                let mut lines = text_so_far
                    .split_inclusive('\n')
                    .filter(|line| line.ends_with('\n'));
                lines
                    .find(|line| line.contains(text))
                    .map(|line| line.trim_end().to_owned())
            })
        };
        let state = self
            .output
            .until(|state| found(state).is_some() || state.all_ended());
        found(&state).unwrap_or_else(|| panic!("no line with {text:?}{}", state.transcript()))
    }

    /// The id of the process: the program, or the docker client.
    #[must_use]
    pub fn id(&self) -> u32 {
        self.child.id()
    }

    /// Sends SIGINT, which the runner sends first when a job is canceled. It has no effect on a
    /// step that has ended.
    pub fn interrupt(&self) {
        self.signal(Signal::INT);
    }

    /// Sends SIGTERM, which the runner sends if SIGINT has not ended the step after 7.5 seconds.
    /// The runner kills the step 2.5 seconds later.
    pub fn terminate(&self) {
        self.signal(Signal::TERM);
    }

    /// Sends a signal. An image receives it from the docker client, which forwards signals.
    ///
    /// Source: `CancelAndKillProcessTree` in `src/Runner.Sdk/ProcessInvoker.cs`.
    fn signal(&self, signal: Signal) {
        kill_process(Pid::from_child(&self.child), signal).expect("a process of ours");
    }

    /// Waits for the end of the step, and reads its results. A process that the step left behind with its
    /// output open is waited for, for five seconds: what it prints later is lost.
    ///
    /// With an invalid token for `stop-commands`, the step ends while its process lives on.
    ///
    /// # Panics
    /// If the step hangs. Unless the job is [tolerant](crate::Job::tolerant), also if it ends the runner, or
    /// if its annotations show what a mask hides in the log.
    #[must_use]
    pub fn wait(mut self) -> Finished {
        let rest = self.rest.take().expect("a step not yet waited for");
        let memory = lock(&rest.memory);
        let log = Log::new(memory.masker.clone(), rest.settings.debug);
        let mut reader = Reader::new(log, rest.settings.clone(), memory.matchers.clone());
        drop(memory);

        let exit = match self.read(&mut reader) {
            Ok(()) => Exit::Status(self.child.wait().expect("the step's exit status")),
            Err(Stopped(reason)) => Exit::Stopped(reason),
        };
        let printed = self.printed();
        if matches!(exit, Exit::Stopped(_)) {
            thread::spawn(move || self.child.wait());
        }
        let is_tolerant = lock(&rest.memory).is_tolerant;
        let finished = Finished::read(End { exit, printed }, reader, rest);
        if !is_tolerant {
            assert!(
                !finished.crashed(),
                "the step ends the runner:\n{}",
                finished.stdout
            );
            let unmasked = finished.unmasked_annotations();
            assert!(unmasked.is_empty(), "a mask does not hide {unmasked:?}");
        }
        finished
    }

    /// Reads the output until its end.
    fn read(&self, reader: &mut Reader) -> Result<(), Stopped> {
        let mut lines = Lines::default();
        loop {
            let mut state = self.output.until(|state| lines.is_behind(state));
            assert!(
                lines.is_behind(&state),
                "the step hangs{}",
                state.transcript()
            );
            let is_over = state.is_over();
            let read = lines.take(&mut state);
            drop(state);
            read.iter().try_for_each(|line| reader.read_line(line))?;
            if is_over {
                return Ok(());
            }
        }
    }

    fn printed(&self) -> Printed {
        let state = self.output.until(|_| true);
        let [stdout, stderr] = [0, 1].map(|stream| state.streams[stream].text());
        Printed { stdout, stderr }
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        if self.rest.is_none() {
            return;
        }
        // Errors are ignored: the step may have ended, and a test should fail with its own message.
        if let Some(container) = &self.container {
            let _ = Command::new("docker")
                .args(["rm", "--force", container])
                .output();
        }
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
