//! Load tests: many jobs at once against a fake Port server that enforces Port's rate limits, and a gateway
//! with many clients whose token expires every few seconds.
//!
//! By default, they run for a few seconds. To run them in full, which takes about 15 minutes and needs 10,000
//! open files (`ulimit -n 10000`), and to see what they measure:
//!
//! ```sh
//! LOAD=full cargo test --release --test load -- --nocapture
//! ```
//!
//! No assertion depends on the speed of the machine, except deadlines that are far away.

#![expect(
    clippy::expect_used,
    clippy::print_stdout,
    clippy::unwrap_used,
    clippy::use_debug,
    reason = "the figures are printed, and a test that cannot continue must fail"
)]

mod burst;
mod gateway;

use std::sync::{Mutex, MutexGuard, PoisonError};

use runner_double::Program;

/// Whether the tests run in full.
fn is_full() -> bool {
    std::env::var("LOAD").is_ok_and(|load| load == "full")
}

/// Lets the full tests run one after the other, so that they do not measure each other.
fn turn() -> Option<MutexGuard<'static, ()>> {
    static TURN: Mutex<()> = Mutex::new(());
    is_full().then(|| TURN.lock().unwrap_or_else(PoisonError::into_inner))
}

fn program() -> Program {
    Program::binary(env!("CARGO_BIN_EXE_port-mcp"))
}
