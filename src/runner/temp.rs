//! Files for the next steps of the job, in the runner's temporary directory.

use std::ffi::OsStr;
use std::fs::File;
use std::io::{self, Write as _};
use std::path::{Path, PathBuf};

use anyhow::{Context as _, bail};
use secrecy::{ExposeSecret as _, SecretString};
use tempfile::NamedTempFile;

use super::Environment;

const DISK_HINT: &str = "\nhint: check the free space and the permissions of the directory";

/// The prefix of every file name, so that the post phase removes no other files.
const PREFIX: &str = "port-mcp-";

/// The directory for the files, which the other steps of the job can read.
struct Directory {
    path: PathBuf,
    /// The directory relative to `RUNNER_TEMP`: empty, or with a trailing `/`. The runner does not translate
    /// container paths in outputs, so the next step could not use an absolute path.
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
                "no temporary directory: neither `RUNNER_TEMP` nor `HOME` is mounted into the container\n\
                 hint: remove `config_file`, and use the output `mcp_config`"
            )
        }
    }
}

/// Checks that there is a directory for files.
///
/// # Errors
/// When no directory is mounted.
pub fn check(environment: &Environment) -> anyhow::Result<()> {
    Directory::find(environment).map(drop)
}

/// A file for the next steps. Dropping this value removes the file, unless it is kept.
#[derive(Debug)]
#[must_use = "the file is removed unless it is kept"]
pub struct NewFile {
    /// Its name relative to `RUNNER_TEMP`.
    pub name: String,
    file: NamedTempFile,
}

impl NewFile {
    /// Its absolute path, for another process.
    #[must_use]
    pub fn path(&self) -> &Path {
        self.file.path()
    }

    /// Keeps the file for the next steps.
    ///
    /// # Errors
    /// When it cannot be kept. The file is then removed.
    pub fn keep(self) -> anyhow::Result<()> {
        let kept = self.file.keep();
        kept.map(drop)
            .with_context(|| format!("could not keep a file in the temporary directory{DISK_HINT}"))
    }
}

/// Writes `contents` to a new file that only the owner of the directory can read.
///
/// The name is random and the file is created exclusively, so it cannot be an existing symlink. The owner
/// of the directory becomes its owner: the container runs as root, but the next step does not.
///
/// # Errors
/// When no directory is mounted, or the file cannot be created, written, or given to the owner. Then no
/// file remains.
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
        .with_context(|| format!("could not create a file in {shown}{DISK_HINT}"))?;
    file.write_all(contents.expose_secret().as_bytes())
        .and_then(|()| file.flush())
        .with_context(|| format!("could not write a file in {shown}{DISK_HINT}"))?;
    give_to_owner(file.as_file(), &directory.path)
        .with_context(|| format!("could not change the owner of a file in {shown}{DISK_HINT}"))?;
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

/// Without a container, the file already belongs to the runner's user.
#[cfg(not(unix))]
#[expect(clippy::unnecessary_wraps, reason = "as on Unix")]
fn give_to_owner(_file: &File, _directory: &Path) -> io::Result<()> {
    Ok(())
}

/// Removes a file that [`create`] wrote, by the name that it returned. Returns whether the file existed.
///
/// # Errors
/// When this action did not write the file, which is then not removed, or the file cannot be removed.
pub fn remove(environment: &Environment, name: &str) -> anyhow::Result<bool> {
    let file = Path::new(name)
        .file_name()
        .and_then(OsStr::to_str)
        .filter(|file| file.starts_with(PREFIX))
        .context(
            "the saved state names a file that this action did not write\n\
             hint: check which step or program changes the state of this step",
        )?;
    let directory = Directory::find(environment)?;
    // `remove_file` removes a symlink itself, never what it points to.
    match std::fs::remove_file(directory.path.join(file)) {
        Ok(()) => Ok(true),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(false),
        Err(error) => Err(error).with_context(|| format!("could not remove {file}{DISK_HINT}")),
    }
}
