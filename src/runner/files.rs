//! The runner's file commands: outputs, state, and summary are files that the runner reads when the step
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
/// The variable that names the file of the step's state, which its post phase gets as `STATE_<name>`.
pub const STATE: &str = "GITHUB_STATE";
/// The variable that names the file of environment variables for the next steps.
pub const ENV: &str = "GITHUB_ENV";
/// The variable that names the file of the step's part of the job summary.
pub const SUMMARY: &str = "GITHUB_STEP_SUMMARY";

/// Appends names and values to the file command `variable` ([`OUTPUT`], [`STATE`], or [`ENV`]) in one
/// write.
///
/// # Errors
/// When the variable is not set (the process was not started by a runner), or the file cannot be written.
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
            bail!(
                "the value of `{name}` contains the random delimiter of the file command\n\
                 hint: run the job again"
            );
        }
        writeln!(text, "{name}<<{delimiter}\n{value}\n{delimiter}")?;
    }
    append(environment, variable, &text)
}

/// Appends `text` to the file command `variable`, or nothing: the runner also reads the file of a failed step,
/// and the next steps would get a part of its outputs.
///
/// # Errors
/// As for [`set`].
pub fn append(environment: &Environment, variable: &str, text: &str) -> anyhow::Result<()> {
    let path = path(environment, variable)?;
    OpenOptions::new()
        .append(true)
        .create(true)
        .open(&path)
        .and_then(|mut file| {
            let length = file.metadata()?.len();
            file.write_all(text.as_bytes()).inspect_err(|_| {
                let _ = file.set_len(length);
            })
        })
        .with_context(|| {
            format!(
                "could not write the file in `{variable}`: {}\n\
                 hint: check the free space of its disk; the action's container must run as root, with the \
                 runner's directories mounted",
                path.display()
            )
        })
}

/// The path of the file command `variable`.
///
/// # Errors
/// When the variable is not set, or does not name a regular file: writing to a pipe could block forever.
pub fn path(environment: &Environment, variable: &str) -> anyhow::Result<PathBuf> {
    let path = environment.path(variable).with_context(|| {
        format!(
            "`{variable}` is not set: not running in GitHub Actions, or the runner is older than 2.297\n\
             hint: update the runner; to try `port-mcp` elsewhere, run `cargo run --example quickstart`"
        )
    })?;
    if fs::metadata(&path).is_ok_and(|metadata| !metadata.is_file()) {
        bail!(
            "`{variable}` does not name a file: {}\n\
             hint: check that no earlier step or container option changes this variable",
            path.display()
        );
    }
    Ok(path)
}

/// A delimiter that no value can contain, by accident or intent: 128 random bits.
fn delimiter() -> anyhow::Result<String> {
    let mut bits = [0; 16];
    getrandom::fill(&mut bits).context(
        "the operating system returned no random numbers\nhint: check the runner's operating system",
    )?;
    Ok(format!("port_mcp_{:032x}", u128::from_ne_bytes(bits)))
}
