use std::io::Read;
use std::process::{Child, Command, Stdio};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process};

use crate::finished::{Finished, Printed};
use crate::job::{Files, Memory, Places, lock};

/// The time limit for a step in a test. After it, the step counts as hung.
const TIMEOUT: Duration = Duration::from_mins(2);

/// A running step. Dropping it without [`Running::wait`] kills the step.
#[derive(Debug)]
pub struct Running {
    child: Child,
    container: Option<String>,
    output: Arc<Output>,
    /// `None` after `wait`.
    rest: Option<Rest>,
}

#[derive(Debug)]
struct Rest {
    files: Files,
    places: Places,
    memory: Arc<Mutex<Memory>>,
    debug: bool,
}

/// The output so far on the two streams.
#[derive(Debug, Default)]
struct Output {
    streams: Mutex<[Stream; 2]>,
    changed: Condvar,
}

#[derive(Debug, Default)]
struct Stream {
    bytes: Vec<u8>,
    ended: bool,
}

impl Stream {
    fn text(&self) -> String {
        String::from_utf8_lossy(&self.bytes).into_owned()
    }
}

impl Running {
    pub(crate) fn start(
        mut command: Command,
        container: Option<String>,
        files: Files,
        places: Places,
        memory: Arc<Mutex<Memory>>,
        debug: bool,
    ) -> Self {
        command
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped());
        let mut child = command.spawn().unwrap_or_else(|error| {
            panic!("cannot start {}: {error}", command.get_program().display())
        });
        let output = Arc::new(Output::default());
        Output::collect(&output, 0, child.stdout.take().expect("a pipe"));
        Output::collect(&output, 1, child.stderr.take().expect("a pipe"));
        Self {
            child,
            container,
            output,
            rest: Some(Rest {
                files,
                places,
                memory,
                debug,
            }),
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
        let found = |streams: &[Stream; 2]| {
            streams.iter().find_map(|stream| {
                let text_so_far = stream.text();
                let mut lines = text_so_far
                    .split_inclusive('\n')
                    .filter(|line| line.ends_with('\n'));
                lines
                    .find(|line| line.contains(text))
                    .map(|line| line.trim_end().to_owned())
            })
        };
        let over = |streams: &[Stream; 2]| streams.iter().all(|stream| stream.ended);
        let streams = self
            .output
            .until(|streams| found(streams).is_some() || over(streams));
        found(&streams).unwrap_or_else(|| panic!("no line with {text:?}{}", transcript(&streams)))
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

    /// Waits for the end of the step, and reads its results.
    ///
    /// # Panics
    /// If the step hangs. Also, with the runner's message, if it wrote a file command that the
    /// runner cannot read: on a runner, the step would fail.
    #[must_use]
    pub fn wait(mut self) -> Finished {
        let streams = self
            .output
            .until(|streams| streams.iter().all(|stream| stream.ended));
        assert!(
            streams.iter().all(|stream| stream.ended),
            "the step hangs{}",
            transcript(&streams)
        );
        let printed = Printed {
            stdout: streams[0].text(),
            stderr: streams[1].text(),
        };
        drop(streams);
        let status = self.child.wait().expect("the step's exit status");
        let Rest {
            files,
            places,
            memory,
            debug,
        } = self.rest.take().expect("a step not yet waited for");
        Finished::read(
            status.code(),
            printed,
            &files,
            &places,
            &mut lock(&memory),
            debug,
        )
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

impl Output {
    fn collect(this: &Arc<Self>, stream: usize, mut pipe: impl Read + Send + 'static) {
        let output = Arc::clone(this);
        std::thread::spawn(move || {
            let mut chunk = [0; 4096];
            loop {
                let read = pipe.read(&mut chunk).unwrap_or_default();
                let mut streams = lock(&output.streams);
                streams[stream].bytes.extend_from_slice(&chunk[..read]);
                streams[stream].ended = read == 0;
                drop(streams);
                output.changed.notify_all();
                if read == 0 {
                    break;
                }
            }
        });
    }

    /// Waits until `done` or until the time limit, and returns the streams.
    fn until(&self, done: impl Fn(&[Stream; 2]) -> bool) -> MutexGuard<'_, [Stream; 2]> {
        let deadline = Instant::now() + TIMEOUT;
        let mut streams = lock(&self.streams);
        while !done(&streams) {
            let left = deadline.saturating_duration_since(Instant::now());
            if left.is_zero() {
                break;
            }
            let woken = self.changed.wait_timeout(streams, left);
            streams = woken.unwrap_or_else(PoisonError::into_inner).0;
        }
        streams
    }
}

fn transcript(streams: &[Stream; 2]) -> String {
    format!(
        "\n--- stdout\n{}\n--- stderr\n{}",
        streams[0].text(),
        streams[1].text()
    )
}
