//! Files that an input names.

use std::io;
use std::path::Path;

use crate::file::{self, Links, ReadError};
use crate::text::{as_given, without_mark};

/// Why a file that an input names cannot be read.
#[derive(Debug, thiserror::Error)]
pub(super) enum FileError {
    #[error(
        "names the file {0}, which does not exist (does `actions/checkout` run before this step?)"
    )]
    Missing(String),
    #[error("names {0}, which cannot be read ({1})")]
    Unreadable(String, io::ErrorKind),
    #[error("names {0}, which is a directory")]
    Directory(String),
    #[error("names {0}, which is a pipe, a device, or a socket")]
    Special(String),
    #[error("is neither valid text nor the path of a file")]
    NotPath,
    #[error("names the file {0}, which is outside the workspace")]
    Outside(String),
    #[error("is larger than {} KiB", .0 / 1024)]
    TooLarge(u64),
    #[error("names the file {0}, which is not UTF-8 text")]
    NotText(String),
}

impl FileError {
    fn new(error: &io::Error, shown: &str) -> Self {
        match error.kind() {
            io::ErrorKind::NotFound | io::ErrorKind::NotADirectory => {
                Self::Missing(as_given(shown))
            }
            kind => Self::Unreadable(as_given(shown), kind),
        }
    }
}

/// Reads a file in `root`. Its content can become part of an output, so files outside are not read, not
/// even through `..` or a symlink.
pub(super) fn read_within(root: &Path, path: &str, limit: u64) -> Result<String, FileError> {
    let root = root
        .canonicalize()
        .map_err(|error| FileError::new(&error, path))?;
    let file = root
        .join(path)
        .canonicalize()
        .map_err(|error| FileError::new(&error, path))?;
    if !file.starts_with(&root) {
        return Err(FileError::Outside(as_given(path)));
    }
    read(&file, path, limit)
}

/// Reads a text file, without a byte-order mark.
pub(super) fn read(path: &Path, shown: &str, limit: u64) -> Result<String, FileError> {
    let bytes = file::read(path, limit, Links::Follow).map_err(|error| match error {
        ReadError::Io(error) => FileError::new(&error, shown),
        ReadError::Directory => FileError::Directory(as_given(shown)),
        ReadError::Special => FileError::Special(as_given(shown)),
        ReadError::TooLarge(limit) => FileError::TooLarge(limit),
    })?;
    let text = String::from_utf8(bytes).map_err(|_| FileError::NotText(as_given(shown)))?;
    Ok(without_mark(&text).to_owned())
}
