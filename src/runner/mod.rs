//! The interface of GitHub's runner to an action.
//!
//! All output of this process goes through this module: the log and its masks ([`Log`]), outputs and
//! state ([`files`], [`state`]), the job summary ([`summary`]), and temporary files ([`temp`]). The sources are
//! `actions/runner` and
//! [GitHub's reference of workflow commands](https://docs.github.com/actions/reference/workflow-commands-for-github-actions).

pub mod empty_secret;
mod environment;
pub mod files;
mod log;
mod masks;
mod message;
mod run;
pub mod state;
pub mod summary;
pub mod temp;

pub use environment::Environment;
pub use log::{Format, Log};
pub use message::Place;
pub use run::Run;
