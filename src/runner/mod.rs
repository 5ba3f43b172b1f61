//! GitHub's runner, as a container action sees it.
//!
//! Everything that leaves this process on a stream or in a file leaves through this room: the log
//! and its masks ([`Log`]), outputs and state ([`files`]), the job summary ([`summary`]) and
//! temporary files ([`temp`]). The facts behind it are those of `actions/runner` and of
//! [GitHub's reference of workflow commands](https://docs.github.com/actions/reference/workflow-commands-for-github-actions).

mod environment;
pub mod files;
mod log;
pub mod missing;
pub mod summary;
pub mod temp;

pub use environment::Environment;
pub use log::Log;
