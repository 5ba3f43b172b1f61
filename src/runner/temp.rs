//! Files for the next steps of the job, under the runner's temporary directory.

use std::ffi::OsStr;
use std::fs::File;
use std::io::{self, Write as _};
use std::path::{Path, PathBuf};

use anyhow::{Context as _, bail};
use secrecy::{ExposeSecret as _, SecretString};
use tempfile::NamedTempFile;

use super::Environment;

/// Every file of ours starts with this, so that the post phase removes nothing else.
const PREFIX: &str = "port-mcp-";

/// Where the files go: a directory that the job's other steps see too.
struct Directory {
    path: PathBuf,
    /// The same directory as seen from `RUNNER_TEMP`, ending in `/` unless empty. Outputs are never
    /// translated from the container's paths to the runner's, so an absolute path would be broken
    /// for the next step.
    relative: &'static str,
}

impl Directory {
    /// `RUNNER_TEMP`, or `HOME` with runners older than 2.331, which mount only
    /// `RUNNER_TEMP/_github_home`.
    fn find(environment: &Environment) -> anyhow::Result<Self> {
        let mounted = |variable: &str| environment.path(variable).filter(|path| path.is_dir());
        if let Some(path) = mounted("RUNNER_TEMP") {
            Ok(Self { path, relative: "" })
        } else if let Some(path) = mounted("HOME") {
            let relative = "_github_home/";
            Ok(Self { path, relative })
        } else {
            bail!(
                "neither `RUNNER_TEMP` nor `HOME` names a directory that is mounted into the \
                 container\n\
                 hint: leave `config_file` off and use the output `mcp_config`"
            )
        }
    }
}

/// Checks that there is a place for a file, before anything else is done for one.
///
/// # Errors
/// When no directory is mounted.
pub fn check(environment: &Environment) -> anyhow::Result<()> {
    Directory::find(environment).map(drop)
}

/// A file for the next steps, which goes with this value unless it is kept.
#[derive(Debug)]
#[must_use = "the file is removed unless it is kept"]
pub struct NewFile {
    /// Its name relative to `RUNNER_TEMP`.
    pub name: String,
    file: NamedTempFile,
}

impl NewFile {
    /// Leaves the file to the next steps.
    ///
    /// # Errors
    /// When it cannot be kept; then it is gone.
    pub fn keep(self) -> anyhow::Result<()> {
        let kept = self.file.keep();
        kept.map(drop)
            .context("could not keep a file in the temporary directory")
    }
}

/// Writes `contents` to a new file that only the owner of the directory can read.
///
/// The name is random and the file is created exclusively, so nobody can have put a symlink there.
/// It is given to the owner of the directory, since the container runs as root and the next step
/// does not.
///
/// # Errors
/// When no directory is mounted, or the file cannot be created, written or given away; then no file
/// is left behind.
pub fn create(
    environment: &Environment,
    suffix: &str,
    contents: &SecretString,
) -> anyhow::Result<NewFile> {
    let directory = Directory::find(environment)?;
    let shown = directory.path.display().to_string();
    // `tempfile` creates with O_EXCL and mode 0600.
    let mut file = tempfile::Builder::new()
        .prefix(PREFIX)
        .suffix(suffix)
        .rand_bytes(16)
        .tempfile_in(&directory.path)
        .with_context(|| format!("could not create a file in {shown}"))?;
    file.write_all(contents.expose_secret().as_bytes())
        .and_then(|()| file.flush())
        .with_context(|| format!("could not write a file in {shown}"))?;
    give_to_owner(file.as_file(), &directory.path)
        .with_context(|| format!("could not give a file to the owner of {shown}"))?;
    let name = file.path().file_name().and_then(OsStr::to_str);
    Ok(NewFile {
        name: format!("{}{}", directory.relative, name.unwrap_or_default()),
        file,
    })
}

#[cfg(unix)]
fn give_to_owner(file: &File, directory: &Path) -> io::Result<()> {
    use std::os::unix::fs::{MetadataExt as _, fchown};

    let (owner, ours) = (directory.metadata()?, file.metadata()?);
    if (owner.uid(), owner.gid()) == (ours.uid(), ours.gid()) {
        return Ok(());
    }
    fchown(file, Some(owner.uid()), Some(owner.gid()))
}

/// Without a container there is no other user: the file is the runner's own.
#[cfg(not(unix))]
#[expect(clippy::unnecessary_wraps, reason = "as on Unix")]
fn give_to_owner(_file: &File, _directory: &Path) -> io::Result<()> {
    Ok(())
}

/// Removes a file that [`create`] made, given the name that it returned. Returns whether there was
/// one to remove.
///
/// # Errors
/// When the name is not one of ours (then nothing is touched), or the file cannot be removed.
pub fn remove(environment: &Environment, name: &str) -> anyhow::Result<bool> {
    let file = Path::new(name)
        .file_name()
        .and_then(OsStr::to_str)
        .filter(|file| file.starts_with(PREFIX))
        .with_context(|| "the saved state names a file that this action did not make")?;
    let directory = Directory::find(environment)?;
    // `remove_file` removes a symlink itself, never what it points to.
    match std::fs::remove_file(directory.path.join(file)) {
        Ok(()) => Ok(true),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(false),
        Err(error) => Err(error).with_context(|| format!("could not remove {file}")),
    }
}
