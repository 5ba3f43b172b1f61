//! A stand-in for what GitHub's runner does around one step of a container action.
//!
//! [`Job::step`] starts the action's binary, or its image, with the directories,
//! variables and files that the runner would give it, and reads what the action printed
//! and wrote by the runner's own rules. A black-box test then asks the [`Finished`] step
//! what a later step receives ([`Finished::outputs`]), what people read
//! ([`Finished::log`]) and where a secret stands that should not ([`Finished::leaks`]).
//!
//! ```
//! use runner_double::{Job, Phase, Program};
//!
//! let job = Job::new();
//! std::fs::write(job.workspace().join("connect"), "echo \"region=$INPUT_REGION\" >> $GITHUB_OUTPUT")?;
//! // `sh connect` runs the script: the runner's working directory is the workspace.
//! let run = job.step(&Program::binary("/bin/sh"), Phase::Main, &[("region", "eu")]);
//! assert_eq!(run.outputs["region"], "eu");
//! # Ok::<(), std::io::Error>(())
//! ```
//!
//! The rules are those of the `actions/runner` repository; each item names the file it
//! follows. In the order that data flows: [`job`](Job) and [`program`](Program) start a
//! step, [`Running`] watches it, [`pairs`] reads what it wrote, [`Command`] and
//! [`Masker`] what it printed.
//!
//! Left out: problem matchers (`add-matcher` is accepted and ignored), the docker socket
//! that the runner mounts, and the annotations' path from the runner to GitHub.

mod command;
mod file_command;
mod finished;
mod job;
mod leak;
mod log;
mod masker;
mod program;
mod running;

pub use command::Command;
pub use file_command::pairs;
pub use finished::Finished;
pub use job::{Job, Phase};
pub use leak::{Leak, Place};
pub use masker::Masker;
pub use program::Program;
pub use running::Running;
