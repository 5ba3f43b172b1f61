//! A double of GitHub's runner, for one step of a container or JavaScript action.
//!
//! [`Job::step`] starts the action's binary, its image, or its JavaScript, with the directories, variables, and
//! files of the runner, and reads the output and the files of the action by the runner's own rules.
//! The result, [`Finished`], gives black-box tests the outputs for later steps
//! ([`Finished::outputs`]), the log for users ([`Finished::log`]), and the places that contain a
//! secret ([`Finished::leaks`]).
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
//! The rules are those of the `actions/runner` repository. Each item names its source file. In the
//! order of the data: [`job`](Job) and [`program`](Program) start a step, [`Running`] observes it,
//! [`pairs`] reads its file commands, and [`Command`] and [`Masker`] read its output.
//!
//! What the runner did with hundreds of small scripts is in `tests/observed.json`; a test compares the double
//! with it.
//!
//! Not included: artifacts, containers for jobs, composite actions, and the stack traces of errors when
//! debugging. Long messages of the runner are shortened.

mod annotation;
mod command;
mod culture;
mod decode;
mod encoders;
mod file_command;
mod finished;
mod job;
mod leak;
mod log;
mod masker;
mod matcher;
mod messages;
mod output;
mod place;
mod places;
mod program;
mod properties;
mod reader;
mod running;
mod settings;
mod step_files;
mod utf16;
mod variables;

pub use annotation::{Annotation, Level};
pub use command::Command;
pub use file_command::pairs;
pub use finished::{Conclusion, Finished};
pub use job::{Job, Phase};
pub use leak::{Leak, Place};
pub use masker::Masker;
pub use program::Program;
pub use running::Running;
