//! Long messages of the runner, in short: each ends in `…`.
//!
//! Source: `src/Runner.Common/Constants.cs`.

/// The warning of each `set-output` and `save-state`.
pub(crate) fn deprecated(command: &str) -> String {
    format!("The `{command}` command is deprecated…")
}

/// The reason for which `set-env` and `add-path` fail.
pub(crate) fn disabled(command: &str) -> String {
    format!("The `{command}` command is disabled…")
}

/// The error of a token that can never resume commands.
pub(crate) const INVALID_STOP_TOKEN: &str = "You cannot use this token…";

/// The error of a job summary that is too large.
pub(crate) const LARGE_SUMMARY: &str = "$GITHUB_STEP_SUMMARY upload aborted…";
