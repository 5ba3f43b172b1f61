//! Files that an input names.

use std::fs;
use std::io;
use std::path::Path;

use crate::text::{Quote, without_mark};

/// Why a file that an input names cannot be used.
#[derive(Debug, thiserror::Error)]
pub(super) enum FileProblem {
    #[error("names the file `{0}`, which is not there (is the checkout before this step?)")]
    Missing(Quote),
    #[error("names `{0}`, which cannot be read ({1})")]
    Unreadable(Quote, io::ErrorKind),
    #[error("names `{0}`, which is a directory")]
    Directory(Quote),
    #[error("names `{0}`, which is no file but a pipe, a device or a socket")]
    Special(Quote),
    #[error("is neither text in the form that is asked for nor the path of a file")]
    NoPath,
    #[error("names the file `{0}`, which is outside the workspace")]
    Outside(Quote),
    #[error("is larger than {} KiB", .0 / 1024)]
    TooLarge(u64),
    #[error("names the file `{0}`, which is not UTF-8")]
    NotText(Quote),
}

impl FileProblem {
    fn of(error: &io::Error, shown: &str) -> Self {
        match error.kind() {
            io::ErrorKind::NotFound | io::ErrorKind::NotADirectory => {
                Self::Missing(Quote::new(shown))
            }
            kind => Self::Unreadable(Quote::new(shown), kind),
        }
    }
}

/// Reads a file below `root`. What it holds may end up in an output, so nothing outside is read, not
/// through `..` and not through a symlink either.
pub(super) fn read_within(root: &Path, path: &str, most: u64) -> Result<String, FileProblem> {
    let root = root
        .canonicalize()
        .map_err(|error| FileProblem::of(&error, path))?;
    let file = root
        .join(path)
        .canonicalize()
        .map_err(|error| FileProblem::of(&error, path))?;
    if !file.starts_with(&root) {
        return Err(FileProblem::Outside(Quote::new(path)));
    }
    read(&file, path, most)
}

/// Reads a file of text, without the mark that some editors put before it.
pub(super) fn read(file: &Path, shown: &str, most: u64) -> Result<String, FileProblem> {
    let unreadable = |error| FileProblem::of(&error, shown);
    let metadata = fs::metadata(file).map_err(unreadable)?;
    if metadata.is_dir() {
        return Err(FileProblem::Directory(Quote::new(shown)));
    }
    if !metadata.is_file() {
        return Err(FileProblem::Special(Quote::new(shown)));
    }
    if metadata.len() > most {
        return Err(FileProblem::TooLarge(most));
    }
    let bytes = fs::read(file).map_err(unreadable)?;
    let text = String::from_utf8(bytes).map_err(|_| FileProblem::NotText(Quote::new(shown)))?;
    Ok(without_mark(&text).to_owned())
}
