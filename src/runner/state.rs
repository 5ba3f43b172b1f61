//! What the main phase saves for the post phase.
//!
//! The runner passes it on as `STATE_<name>`. A variable of that name, which any step can set, loses against a saved
//! value, so the main phase saves every name. A value is checked when it is read all the same: a main phase that did not
//! start saved nothing.

use secrecy::SecretString;

use super::{Environment, files};

/// The name of the configuration file in the runner's temporary directory.
pub const CONFIG_FILE: &str = "config_file";
/// The name of the file with the audit of a gateway's process, for the post phase.
pub const GATEWAY_AUDIT: &str = "gateway_audit";
/// The name of a gateway's container.
pub const GATEWAY_NAME: &str = "gateway_name";
/// The key that stops a gateway's process.
pub const GATEWAY_STOP_KEY: &str = "gateway_stop_key";
/// Whether the calls of a gateway go to the job summary.
pub const GATEWAY_SUMMARY: &str = "gateway_summary";
/// The URL of a gateway's process.
pub const GATEWAY_URL: &str = "gateway_url";
/// The name of the file with the job summary of the main phase.
pub const SUMMARY_FILE: &str = "summary_file";
/// The SHA-256 digest of that file.
pub const SUMMARY_DIGEST: &str = "summary_digest";

const NAMES: &[&str] = &[
    CONFIG_FILE,
    GATEWAY_AUDIT,
    GATEWAY_NAME,
    GATEWAY_STOP_KEY,
    GATEWAY_SUMMARY,
    GATEWAY_URL,
    SUMMARY_FILE,
    SUMMARY_DIGEST,
];

/// The value of a name under which nothing is saved.
pub const NOTHING: &str = "none";

/// Saves that there is nothing under any name.
///
/// # Errors
/// As for [`files::set`].
pub fn clear(environment: &Environment) -> anyhow::Result<()> {
    let nothing: Vec<_> = NAMES.iter().map(|name| (*name, NOTHING.into())).collect();
    save(environment, &nothing)
}

/// Saves values, which replace earlier ones.
///
/// # Errors
/// As for [`files::set`].
pub fn save(environment: &Environment, values: &[(&str, SecretString)]) -> anyhow::Result<()> {
    files::set(environment, files::STATE, values)
}

/// The value that the main phase saved. `None` if it saved that there is nothing, or saved nothing at all.
#[must_use]
pub fn get<'a>(environment: &'a Environment, name: &str) -> Option<&'a str> {
    environment
        .get(&variable(name))
        .filter(|value| *value != NOTHING)
}

/// Whether a value, or that there is nothing, arrived under a name. act passes no state to the post phase of a
/// container.
#[must_use]
pub fn has(environment: &Environment, name: &str) -> bool {
    environment.get(&variable(name)).is_some()
}

/// The variable in which the runner passes a value on.
#[must_use]
pub fn variable(name: &str) -> String {
    format!("STATE_{name}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_name_is_cleared() {
        let names = include_str!("state.rs").lines();
        let names =
            names.filter(|line| line.starts_with("pub const ") && !line.contains("NOTHING"));
        assert_eq!(names.count(), NAMES.len());
    }
}
