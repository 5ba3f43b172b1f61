//! The files that a step writes for the runner, read at the end of the step.

use std::fs;
use std::io::ErrorKind;
use std::path::{Path, PathBuf};

use crate::culture::same_name;
use crate::decode::{decode, lines};
use crate::file_command::read_pairs;
use crate::log::Log;
use crate::matcher::unreadable;
use crate::messages::LARGE_SUMMARY;
use crate::utf16::{half_pair, shown, units};

/// The largest job summary, in bytes.
///
/// Source: `AttachmentSizeLimit` in `src/Runner.Worker/FileCommandManager.cs`. GitHub has the same limit
/// for the masked text.
const MAX_SUMMARY: usize = 1024 * 1024;
/// The units that .NET encodes at once, which its message counts from.
const CHUNK: usize = 1024;

/// The files that a step appends to, by the variable that names each.
///
/// Source: the extensions in `src/Runner.Common/ExtensionManager.cs`.
#[derive(Debug)]
pub(crate) struct Files {
    pub(crate) output: PathBuf,
    pub(crate) env: PathBuf,
    pub(crate) path: PathBuf,
    pub(crate) state: PathBuf,
    pub(crate) summary: PathBuf,
    pub(crate) artifacts: PathBuf,
    pub(crate) artifacts_list: PathBuf,
}

impl Files {
    /// Empty files in a directory, which an earlier step can have removed. Their names have the form of
    /// the runner's own.
    ///
    /// # Panics
    /// If a file cannot be written.
    pub(crate) fn create(directory: &Path, step: u32) -> Self {
        fs::create_dir_all(directory).expect("a directory for commands");
        let create = |prefix| {
            let name = format!("{prefix}_00000000-0000-0000-0000-{step:012}");
            let path = directory.join(name);
            fs::write(&path, "").expect("a file for commands");
            path
        };
        Self {
            output: create("set_output"),
            env: create("set_env"),
            path: create("add_path"),
            state: create("save_state"),
            summary: create("step_summary"),
            artifacts: create("artifacts"),
            artifacts_list: create("artifacts_list"),
        }
    }

    /// Reads the files in the order of the runner. Returns the summary as GitHub gets it. The files for
    /// artifacts are not read: they are behind a flag.
    ///
    /// Source: `ProcessFiles` in `src/Runner.Worker/FileCommandManager.cs`.
    pub(crate) fn process(&self, log: &mut Log) -> String {
        let read = read_path(&self.path, log);
        report("path", read, log);
        let read = for_each_pair(&self.env, log, set_env);
        report("env", read, log);
        let summary = publish(&self.summary, log).unwrap_or_else(|reason| {
            log.error(&reason);
            String::new()
        });
        let read = for_each_pair(&self.state, log, |log, name, value| {
            log.save_state(name, value.to_owned());
            Ok(())
        });
        report("state", read, log);
        let read = for_each_pair(&self.output, log, set_output);
        report("output", read, log);
        summary
    }
}

fn report(command: &str, read: Result<(), String>, log: &mut Log) {
    if let Err(reason) = read {
        let message = format!("Unable to process file command '{command}' successfully.");
        log.fail(&message, &reason);
    }
}

fn read_path(path: &Path, log: &mut Log) -> Result<(), String> {
    if path.is_file() {
        let bytes = fs::read(path).map_err(|error| unreadable(path, &error))?;
        for directory in lines(&decode(&bytes)).filter(|line| !line.is_empty()) {
            log.prepend_path(directory);
        }
    }
    Ok(())
}

/// Reads pairs up to the first malformed one.
///
/// Source: `EnvFileKeyValuePairs` in `src/Runner.Worker/FileCommandManager.cs`.
fn for_each_pair(
    path: &Path,
    log: &mut Log,
    take: impl Fn(&mut Log, &str, &str) -> Result<(), String>,
) -> Result<(), String> {
    match fs::read(path) {
        Ok(bytes) => read_pairs(&decode(&bytes)).try_for_each(|pair| {
            let (name, value) = pair?;
            take(log, &name, &value)
        }),
        Err(error) if error.kind() == ErrorKind::NotFound => {
            log.debug(&format!("File does not exist '{}'", path.display()));
            Ok(())
        }
        Err(error) => Err(unreadable(path, &error)),
    }
}

fn set_env(log: &mut Log, name: &str, value: &str) -> Result<(), String> {
    if same_name(name, "NODE_OPTIONS") {
        log.error("Can't store NODE_OPTIONS output parameter using '$GITHUB_ENV' command.");
    } else {
        needs_name(name)?;
        log.set_env(name, value.to_owned());
    }
    Ok(())
}

fn set_output(log: &mut Log, name: &str, value: &str) -> Result<(), String> {
    needs_name(name)?;
    log.set_output(name, value.to_owned());
    log.debug(&format!("Set output {name} = {value}"));
    Ok(())
}

/// The parser accepts an empty name. So does the state, but not outputs and variables.
///
/// Source: `SetOutput` and `SetEnvContext` in `src/Runner.Worker/ExecutionContext.cs`.
fn needs_name(name: &str) -> Result<(), String> {
    let missing = || "Value cannot be null. (Parameter 'name')".to_owned();
    (!name.is_empty()).then_some(()).ok_or_else(missing)
}

/// The summary, masked line by line.
///
/// Source: `CreateStepSummaryCommand` in `src/Runner.Worker/FileCommandManager.cs`.
fn publish(path: &Path, log: &Log) -> Result<String, String> {
    let failed =
        |reason| format!("Failed to create step summary using 'GITHUB_STEP_SUMMARY': {reason}");
    if !path.is_file() {
        return Ok(String::new());
    }
    let bytes = fs::read(path).map_err(|error| failed(unreadable(path, &error)))?;
    if bytes.len() > MAX_SUMMARY {
        return Err(LARGE_SUMMARY.into());
    }
    let mut masked = Vec::new();
    for line in lines(&decode(&bytes)) {
        masked.extend(log.masker.mask_units(&units(line)));
        masked.push(u16::from(b'\n'));
    }
    if let Some((at, half)) = half_pair(&masked) {
        let at = at % CHUNK;
        return Err(failed(format!(
            "Unable to translate Unicode character \\\\u{half:04X} at index {at} to specified code page."
        )));
    }
    let summary = shown(&masked);
    Ok(if summary.len() > MAX_SUMMARY {
        String::new()
    } else {
        summary
    })
}
