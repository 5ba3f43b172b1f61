//! Reading a file that another program, or the author of a checkout, can have put there.

use std::fs::{self, File, Metadata};
use std::io::{self, Read as _};
use std::path::Path;

/// Why a file is not read.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ReadError {
    #[error(transparent)]
    Io(#[from] io::Error),
    #[error("it is a directory")]
    Directory,
    /// A pipe or a device, from which reading could block forever, or a symbolic link that is not followed.
    #[error("it is not a file")]
    Special,
    #[error("it is larger than {0} bytes")]
    TooLarge(u64),
}

/// Whether the path may be a symbolic link.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Links {
    Follow,
    Reject,
}

/// Reads a regular file of at most `limit` bytes, without ever waiting for another program.
///
/// # Errors
/// When it cannot be read, is another kind of file, or is larger.
pub(crate) fn read(path: &Path, limit: u64, links: Links) -> Result<Vec<u8>, ReadError> {
    // Opening a device can have effects of its own.
    check(&match links {
        Links::Follow => fs::metadata(path)?,
        Links::Reject => fs::symlink_metadata(path)?,
    })?;
    let mut options = File::options();
    options.read(true);
    #[cfg(unix)]
    {
        use rustix::fs::OFlags;
        use std::os::unix::fs::OpenOptionsExt as _;

        // The path can be another file by now, and opening a pipe could block forever.
        let flags = match links {
            Links::Follow => OFlags::NONBLOCK,
            Links::Reject => OFlags::NONBLOCK | OFlags::NOFOLLOW,
        };
        options.custom_flags(flags.bits().cast_signed());
    }
    let file = options.open(path)?;
    check(&file.metadata()?)?;
    let mut bytes = Vec::new();
    // The system reports no size for the files in `/proc`.
    file.take(limit + 1).read_to_end(&mut bytes)?;
    if bytes.len() as u64 > limit {
        return Err(ReadError::TooLarge(limit));
    }
    Ok(bytes)
}

fn check(metadata: &Metadata) -> Result<(), ReadError> {
    if metadata.is_dir() {
        Err(ReadError::Directory)
    } else if metadata.is_file() {
        Ok(())
    } else {
        Err(ReadError::Special)
    }
}
