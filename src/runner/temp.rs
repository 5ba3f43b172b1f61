//! Files for the next steps of the job, in the runner's temporary directory.

use std::fs::{self, File};
use std::io::{self, Write as _};
use std::path::{Path, PathBuf};

use anyhow::{Context as _, bail};
use secrecy::{ExposeSecret as _, SecretString};
use tempfile::{NamedTempFile, TempDir};

use super::Environment;
use crate::file::{self, Links};

const DISK_HINT: &str = "\nhint: check the free space and the permissions of the directory";

/// The prefix of every file name, so that the post phase removes no other files.
const PREFIX: &str = "port-mcp-";

/// The number of random characters after the prefix.
const RANDOM_LENGTH: usize = 16;

/// `HOME` relative to `RUNNER_TEMP`.
const HOME_RELATIVE: &str = "_github_home/";

/// The directory for the files, which the other steps of the job can read.
struct Directory {
    path: PathBuf,
    /// The directory relative to `RUNNER_TEMP`: empty, or with a trailing `/`. The runner does not translate
    /// container paths in outputs, so the next step could not use an absolute path.
    relative: &'static str,
}

impl Directory {
    /// The name of a file in the directory relative to `RUNNER_TEMP`.
    fn name_of(&self, file: &Path) -> String {
        let name = file.strip_prefix(&self.path).unwrap_or(file);
        format!("{}{}", self.relative, name.to_string_lossy())
    }

    /// `RUNNER_TEMP`, or `HOME` with runners older than 2.331, which mount only
    /// `RUNNER_TEMP/_github_home`.
    fn find(environment: &Environment) -> anyhow::Result<Self> {
        let mounted = |variable: &str| environment.path(variable).filter(|path| path.is_dir());
        if let Some(path) = mounted("RUNNER_TEMP") {
            Ok(Self { path, relative: "" })
        } else if let Some(path) = mounted("HOME").filter(|path| is_of_runner(path)) {
            let relative = HOME_RELATIVE;
            Ok(Self { path, relative })
        } else {
            bail!(
                "no temporary directory: neither `RUNNER_TEMP` nor `HOME` is mounted into the container\n\
                 hint: check that the runner mounts `RUNNER_TEMP` into the container of the action"
            )
        }
    }
}

/// Whether `home` is the directory in `RUNNER_TEMP` that the runner mounts, and not the home directory of a user.
fn is_of_runner(home: &Path) -> bool {
    home == Path::new("/github/home") || home.ends_with("_github_home")
}

/// The directory for files.
///
/// # Errors
/// When no directory is mounted.
pub fn directory(environment: &Environment) -> anyhow::Result<PathBuf> {
    Directory::find(environment).map(|directory| directory.path)
}

/// A file for the next steps. Dropping this value removes the file, unless it is kept.
#[derive(Debug)]
#[must_use = "the file is removed unless it is kept"]
pub struct NewFile {
    /// Its name relative to `RUNNER_TEMP`.
    pub name: String,
    path: PathBuf,
    removal: Removal,
}

/// What is removed unless it is kept.
#[derive(Debug)]
enum Removal {
    File(NamedTempFile),
    Directory(TempDir),
}

impl NewFile {
    /// Its absolute path, for another process.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Keeps the file for the next steps.
    ///
    /// # Errors
    /// When it cannot be kept. The file is then removed.
    pub fn keep(self) -> anyhow::Result<()> {
        match self.removal {
            Removal::File(file) => file.keep().map(drop).with_context(|| {
                format!("could not keep a file in the temporary directory{DISK_HINT}")
            }),
            Removal::Directory(directory) => {
                let _ = directory.keep();
                Ok(())
            }
        }
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
        .rand_bytes(RANDOM_LENGTH)
        .tempfile_in(&directory.path)
        .with_context(|| format!("could not create a file in {shown}{DISK_HINT}"))?;
    file.write_all(contents.expose_secret().as_bytes())
        .and_then(|()| file.flush())
        .with_context(|| format!("could not write a file in {shown}{DISK_HINT}"))?;
    give_to_owner(file.as_file(), &directory.path)
        .with_context(|| format!("could not change the owner of a file in {shown}{DISK_HINT}"))?;
    let path = file.path().to_owned();
    Ok(NewFile {
        name: directory.name_of(&path),
        path,
        removal: Removal::File(file),
    })
}

/// The name of the file in a directory of its own.
const SHARED_FILE: &str = "audit.jsonl";

/// Creates an empty file to which only the user `writer` can append, and which everyone can read, in a new
/// directory.
///
/// The directory belongs to the owner of the temporary directory, who can remove it with the file.
///
/// # Errors
/// As for [`create`].
#[cfg(unix)]
pub fn create_shared(environment: &Environment, writer: u32) -> anyhow::Result<NewFile> {
    use std::fs::Permissions;
    use std::os::unix::fs::{PermissionsExt as _, fchown};

    let directory = Directory::find(environment)?;
    let own = tempfile::Builder::new()
        .prefix(PREFIX)
        .rand_bytes(RANDOM_LENGTH)
        .tempdir_in(&directory.path)
        .with_context(|| {
            let shown = directory.path.display();
            format!("could not create a directory in {shown}{DISK_HINT}")
        })?;
    let path = own.path().join(SHARED_FILE);
    let create = || {
        let file = File::create_new(&path)?;
        file.set_permissions(Permissions::from_mode(0o644))?;
        fchown(&file, Some(writer), Some(writer))?;
        fs::set_permissions(own.path(), Permissions::from_mode(0o755))?;
        give_to_owner(&File::open(own.path())?, &directory.path)
    };
    create().with_context(|| format!("could not create the file {}{DISK_HINT}", path.display()))?;
    Ok(NewFile {
        name: directory.name_of(&path),
        path,
        removal: Removal::Directory(own),
    })
}

/// Containers of actions run only on Linux.
#[cfg(not(unix))]
pub fn create_shared(environment: &Environment, _writer: u32) -> anyhow::Result<NewFile> {
    create(environment, SHARED_FILE, &SecretString::from(""))
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

/// Reads a file that [`create`] wrote, by the name that it returned.
///
/// # Errors
/// When the name is not of such a file, or the file is missing or larger than `limit` bytes.
pub fn read(environment: &Environment, name: &str, limit: u64) -> anyhow::Result<Vec<u8>> {
    let path = Directory::find(environment)?.path.join(own_name(name)?);
    Ok(file::read(&path, limit, Links::Reject)?)
}

/// Removes a file that [`create`] wrote, by the name that it returned. Returns whether the file existed.
///
/// # Errors
/// [`NameError`] when the name is not of such a file, or why the file cannot be removed.
pub fn remove(environment: &Environment, name: &str) -> anyhow::Result<bool> {
    let file = own_name(name)?;
    let Ok(directory) = Directory::find(environment) else {
        // Its directory is gone, and so is the file.
        return Ok(false);
    };
    // `remove_file` removes a symlink itself, never what it points to.
    match fs::remove_file(directory.path.join(file)) {
        Ok(()) => Ok(true),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(false),
        Err(error) => Err(error).with_context(|| format!("could not remove {file}{DISK_HINT}")),
    }
}

/// A name is not that of a file of this action.
#[derive(Debug, thiserror::Error)]
#[error("this action writes no file of that name")]
pub struct NameError;

/// The last part of a name that [`create`] returned.
fn own_name(name: &str) -> Result<&str, NameError> {
    let file = name.strip_prefix(HOME_RELATIVE).unwrap_or(name);
    let rest = file.strip_prefix(PREFIX).ok_or(NameError)?;
    let (random, suffix) = rest.split_once('.').ok_or(NameError)?;
    let is_plain = |text: &str| !text.is_empty() && text.bytes().all(|b| b.is_ascii_alphanumeric());
    let is_own = random.len() == RANDOM_LENGTH && is_plain(random) && is_plain(suffix);
    is_own.then_some(file).ok_or(NameError)
}
