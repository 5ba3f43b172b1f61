use std::io::Read;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use rustix::process::{Pid, WaitId, WaitIdOptions, waitid};

use crate::decode::{decode, ended_lines, lines};
use crate::job::lock;

/// The time limit for a step in a test. After it, the step counts as hung.
const TIMEOUT: Duration = Duration::from_mins(2);
/// How long the runner waits for the output of other processes after the end of the step's own.
///
/// Source: `ProcessExitedHandler` in `src/Runner.Sdk/ProcessInvoker.cs`.
const PATIENCE: Duration = Duration::from_secs(5);
/// A pause in the output after which the runner has read all that is before it.
const PAUSE: Duration = Duration::from_millis(500);

/// What a process prints, as it arrives.
#[derive(Debug, Default)]
pub(crate) struct Output {
    state: Mutex<State>,
    changed: Condvar,
}

/// The output so far on the two streams.
#[derive(Debug, Default)]
pub(crate) struct State {
    /// Stdout and stderr.
    pub(crate) streams: [Stream; 2],
    exited: Option<Instant>,
    last: Option<Instant>,
}

#[derive(Debug, Default)]
pub(crate) struct Stream {
    bytes: Vec<u8>,
    /// The lengths before each pause in the output of the process.
    pauses: Vec<usize>,
    pub(crate) ended: bool,
}

impl Stream {
    pub(crate) fn text(&self) -> String {
        decode(&self.bytes)
    }
}

impl State {
    pub(crate) fn all_ended(&self) -> bool {
        self.streams.iter().all(|stream| stream.ended)
    }

    /// Whether the runner waits no more: the process has ended, and with it the output, or its patience.
    pub(crate) fn is_over(&self) -> bool {
        self.exited
            .is_some_and(|exited| self.all_ended() || exited.elapsed() >= PATIENCE)
    }

    pub(crate) fn is_quiet(&self) -> bool {
        self.last.is_some_and(|last| last.elapsed() >= PAUSE)
    }

    fn add(&mut self, stream: usize, bytes: &[u8]) {
        if self.is_quiet() {
            self.pause();
        }
        self.last = Some(Instant::now());
        self.streams[stream].bytes.extend_from_slice(bytes);
    }

    /// Notes that all output so far is before a pause.
    fn pause(&mut self) {
        for stream in &mut self.streams {
            stream.pauses.push(stream.bytes.len());
        }
    }

    /// The next moment at which something changes without output.
    fn next_change(&self) -> Option<Instant> {
        let quiet = self.last.map(|last| last + PAUSE);
        let patience = self.exited.map(|exited| exited + PATIENCE);
        let now = Instant::now();
        [quiet, patience]
            .into_iter()
            .flatten()
            .filter(|change| *change > now)
            .min()
    }

    pub(crate) fn transcript(&self) -> String {
        format!(
            "\n--- stdout\n{}\n--- stderr\n{}",
            self.streams[0].text(),
            self.streams[1].text()
        )
    }
}

impl Output {
    /// Collects a stream until its end.
    pub(crate) fn collect(self: &Arc<Self>, stream: usize, mut pipe: impl Read + Send + 'static) {
        let output = Arc::clone(self);
        thread::spawn(move || {
            let mut chunk = [0; 4096];
            loop {
                let read = pipe.read(&mut chunk).unwrap_or_default();
                let mut state = lock(&output.state);
                state.streams[stream].ended = read == 0;
                if read > 0 {
                    state.add(stream, &chunk[..read]);
                }
                drop(state);
                output.changed.notify_all();
                if read == 0 {
                    break;
                }
            }
        });
    }

    /// Notes the end of the process. It does not take its exit status.
    pub(crate) fn watch(self: &Arc<Self>, process: Pid) {
        let output = Arc::clone(self);
        thread::spawn(move || {
            let options = WaitIdOptions::EXITED | WaitIdOptions::NOWAIT;
            // An error means that the process has already been waited for.
            let _ = waitid(WaitId::Pid(process), options);
            lock(&output.state).exited = Some(Instant::now());
            output.changed.notify_all();
        });
    }

    /// Waits until `done` or until the time limit.
    pub(crate) fn until(&self, done: impl Fn(&State) -> bool) -> MutexGuard<'_, State> {
        let deadline = Instant::now() + TIMEOUT;
        let mut state = lock(&self.state);
        while !done(&state) && Instant::now() < deadline {
            let change = state.next_change().unwrap_or(deadline).min(deadline);
            let left = change.saturating_duration_since(Instant::now());
            let woken = self.changed.wait_timeout(state, left);
            state = woken.unwrap_or_else(PoisonError::into_inner).0;
        }
        state
    }
}

/// Takes the lines of both streams in the order in which the runner reads them.
///
/// The runner reads the streams at the same time, and of what it has, the lines of stderr first. Here, it
/// has all that is printed without a long pause between.
///
/// Source: `ProcessOutput` in `src/Runner.Sdk/ProcessInvoker.cs`.
#[derive(Debug, Default)]
pub(crate) struct Lines {
    pauses: usize,
    taken: [usize; 2],
}

impl Lines {
    /// Whether there is output that the runner has read, and this has not taken.
    pub(crate) fn is_behind(&self, state: &State) -> bool {
        self.pauses < state.streams[0].pauses.len() || state.is_over() || state.is_quiet()
    }

    /// The lines that the runner has read since the last call.
    pub(crate) fn take(&mut self, state: &mut State) -> Vec<String> {
        if state.is_quiet() {
            state.pause();
            state.last = None;
        }
        let mut taken = Vec::new();
        for at in self.pauses..state.streams[0].pauses.len() {
            for stream in [1, 0] {
                let Stream { bytes, pauses, .. } = &state.streams[stream];
                let text = decode(&bytes[..pauses[at]]);
                self.add(&mut taken, stream, ended_lines(&text));
            }
        }
        self.pauses = state.streams[0].pauses.len();
        if state.is_over() {
            for stream in [1, 0] {
                let text = state.streams[stream].text();
                if state.streams[stream].ended {
                    self.add(&mut taken, stream, lines(&text));
                } else {
                    self.add(&mut taken, stream, ended_lines(&text));
                }
            }
        }
        taken
    }

    fn add<'a>(
        &mut self,
        taken: &mut Vec<String>,
        stream: usize,
        lines: impl Iterator<Item = &'a str>,
    ) {
        let before = taken.len();
        taken.extend(lines.skip(self.taken[stream]).map(str::to_owned));
        self.taken[stream] += taken.len() - before;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn taken(state: &mut State) -> Vec<String> {
        Lines::default().take(state)
    }

    #[test]
    fn the_lines_of_stderr_are_first_between_two_pauses() {
        let mut state = State::default();
        state.add(0, b"out\npart");
        state.add(1, b"err\n");
        state.pause();
        state.add(0, b" of it\n");
        state.add(1, b"late\n");
        state.pause();
        assert_eq!(taken(&mut state), ["err", "out", "late", "part of it"]);
    }

    #[test]
    fn a_line_without_an_end_counts_only_at_the_end_of_the_stream() {
        let mut state = State::default();
        state.add(0, b"a\nb");
        state.exited = Instant::now().checked_sub(PATIENCE);
        assert_eq!(taken(&mut state), ["a"]);
        state.streams[0].ended = true;
        assert_eq!(taken(&mut state), ["a", "b"]);
    }
}
