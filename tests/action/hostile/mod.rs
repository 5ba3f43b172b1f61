//! Hostile neighbors: whatever stands around the step cannot make it hang, leak, overwrite, or lose anything.
//!
//! The tests that need a tool or root are ignored: `cargo test --test action hostile -- --ignored` runs them.

mod clients;
mod clock;
mod engine;
pub(crate) mod environment;
mod files;
mod signals;
mod streams;

use std::fs::File;
use std::path::PathBuf;
use std::sync::mpsc::channel;
use std::time::Duration;

use runner_double::Finished;

use crate::harness::Step;

/// Whether a secret of the step is in an output.
fn has_secret(finished: &Finished) -> bool {
    finished
        .outputs
        .get("access_token")
        .is_some_and(|token| !token.is_empty())
}

/// A lock that the process of a step and its gateway hold as long as they live.
struct Lives(PathBuf);

impl Lives {
    fn new(step: &Step) -> Self {
        Self(step.job.workspace().join("lives"))
    }

    /// The words before the binary.
    fn words(&self) -> [String; 4] {
        let path = self.0.to_str().unwrap();
        let script = format!("exec 9>>'{path}' && flock --shared 9 && exec \"$@\"");
        ["sh", "-c", &script, "sh"].map(str::to_owned)
    }

    /// Waits until no process is left.
    fn assert_over(&self) {
        let Ok(file) = File::open(&self.0) else {
            return;
        };
        let (over, is_over) = channel();
        std::thread::spawn(move || over.send(file.lock()));
        let limit = Duration::from_secs(20);
        let locked = is_over.recv_timeout(limit).expect("a process is left");
        locked.unwrap();
    }
}
