//! The runner's file commands: outputs, state and summary are files that it reads when the step
//! ends (`FileCommandManager.cs` of the runner).

use std::fmt::Write as _;
use std::fs::{self, OpenOptions};
use std::io::Write as _;
use std::path::PathBuf;

use anyhow::{Context as _, bail};
use secrecy::{ExposeSecret as _, SecretString};

use super::Environment;

/// The variable that names the file of the step's outputs.
pub const OUTPUT: &str = "GITHUB_OUTPUT";
/// The variable that names the file of values for the step's post phase, which arrive there as
/// `STATE_<name>`.
pub const STATE: &str = "GITHUB_STATE";
/// The variable that names the file of the step's part of the job summary.
pub const SUMMARY: &str = "GITHUB_STEP_SUMMARY";

/// Appends names and values to the file command `variable` ([`OUTPUT`] or [`STATE`]), all of them
/// in one write.
///
/// # Errors
/// When the variable is not set (the program was not started by a runner) or the file cannot be
/// written.
pub fn set(
    environment: &Environment,
    variable: &str,
    values: &[(&str, SecretString)],
) -> anyhow::Result<()> {
    let mut text = String::new();
    for (name, value) in values {
        let value = value.expose_secret();
        let delimiter = delimiter()?;
        if value.contains(&delimiter) {
            bail!("the value of `{name}` contains the random delimiter that was to end it");
        }
        writeln!(text, "{name}<<{delimiter}\n{value}\n{delimiter}")?;
    }
    append(environment, variable, &text)
}

/// Appends `text` to the file command `variable`.
///
/// # Errors
/// As for [`set`].
pub fn append(environment: &Environment, variable: &str, text: &str) -> anyhow::Result<()> {
    let path = find(environment, variable)?;
    OpenOptions::new()
        .append(true)
        .create(true)
        .open(&path)
        .and_then(|mut file| file.write_all(text.as_bytes()))
        .with_context(|| {
            format!(
                "could not write the file that `{variable}` names: {}\n\
                 hint: the action's container must run as root, with the runner's folders mounted",
                path.display()
            )
        })
}

/// The file of the file command `variable`, before anything is handed to it.
///
/// # Errors
/// When the variable is not set, or names something that is there and no file: a pipe would be
/// waited for without end.
pub fn find(environment: &Environment, variable: &str) -> anyhow::Result<PathBuf> {
    let path = environment.path(variable).with_context(|| {
        format!(
            "`{variable}` is not set: this is no step of a GitHub workflow, or the runner is older \
             than 2.297, which introduced it\n\
             hint: update the runner; to try `port-mcp` elsewhere, run `cargo run --example \
             quickstart`"
        )
    })?;
    if fs::metadata(&path).is_ok_and(|metadata| !metadata.is_file()) {
        bail!(
            "`{variable}` names something that is no file: {}\n\
             hint: an earlier step or the container's options changed it; leave it to the runner",
            path.display()
        );
    }
    Ok(path)
}

/// A delimiter that no value can contain by accident or by intent: 128 random bits.
fn delimiter() -> anyhow::Result<String> {
    let mut bits = [0; 16];
    getrandom::fill(&mut bits).context("the system gave no random numbers")?;
    Ok(format!("port_mcp_{:032x}", u128::from_ne_bytes(bits)))
}
