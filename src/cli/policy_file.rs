//! The file of a policy, as the command line names it.

use std::fs::File;
use std::io::Read as _;
use std::path::{Component, Path, PathBuf};

use anyhow::anyhow;

use crate::Error;
use crate::access::policy::{Policy, PolicyErrors};
use crate::access::source::MAX_POLICY;
use crate::runner::Environment;
use crate::text::Quote;

/// A path in messages.
pub(super) fn shown(file: &Path) -> String {
    Quote::new(&file.display().to_string()).to_string()
}

/// Reads and parses a policy.
pub(super) fn parse(file: &Path, environment: &Environment) -> Result<Policy, Error> {
    let text = read(file, "policy")?;
    Policy::parse(&shown(file), &text).map_err(|errors| in_workspace(errors, file, environment))
}

/// Errors with the name of the file as the repository has it, which annotations need.
pub(super) fn in_workspace(errors: PolicyErrors, file: &Path, environment: &Environment) -> Error {
    Error::Policy(errors.in_file(&name_in_workspace(file, environment)))
}

/// The path of a file, relative to the workspace if it is in the workspace.
pub(super) fn name_in_workspace(file: &Path, environment: &Environment) -> String {
    let relative = environment.path("GITHUB_WORKSPACE").and_then(|workspace| {
        let path = normal(&std::path::absolute(file).ok()?);
        Some(path.strip_prefix(normal(&workspace)).ok()?.to_owned())
    });
    relative
        .unwrap_or_else(|| file.to_owned())
        .to_string_lossy()
        .replace('\\', "/")
}

/// A path without `..`, as GitHub compares it.
fn normal(path: &Path) -> PathBuf {
    let mut normal = PathBuf::new();
    for component in path.components() {
        if component == Component::ParentDir {
            normal.pop();
        } else {
            normal.push(component);
        }
    }
    normal
}

/// Reads a file. `what` names it in errors.
pub(super) fn read(file: &Path, what: &str) -> anyhow::Result<String> {
    let failed = |reason: String| {
        let shown = shown(file);
        anyhow!("{what} {shown} could not be read: {reason}\nhint: check its path")
    };
    let mut bytes = Vec::new();
    File::open(file)
        .and_then(|file| file.take(MAX_POLICY as u64 + 1).read_to_end(&mut bytes))
        .map_err(|error| failed(error.to_string()))?;
    if bytes.len() > MAX_POLICY {
        let limit = MAX_POLICY / 1024;
        return Err(failed(format!("it is larger than {limit} KiB")));
    }
    String::from_utf8(bytes).map_err(|_| failed("it is not UTF-8 text".to_owned()))
}
