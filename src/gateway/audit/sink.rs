//! Where the lines of the audit go.

use std::fs::File;
use std::io::{self, Stdout, Write as _};

use super::{GAP, line, map};
use crate::text::Quote;

/// The maximum length of what goes to the log of a container, in bytes, besides the last lines. The engine keeps all of it
/// (`MAX_LOG` in `src/launch/container.rs`): nothing that an agent does can remove the first lines.
const MAX_AUDIT_LOG: usize = 8 * 1024 * 1024;
/// The maximum length of what goes to a file, in bytes, besides the last lines.
const MAX_FILE: usize = 64 * 1024 * 1024;

/// A file, or the log of a container. A line of the audit is in it whole or not at all, and missing lines are counted.
pub(crate) struct Sink {
    out: Out,
    /// How many bytes it may still get.
    left: usize,
    /// The lines that are missing.
    missing: u64,
    /// Those of them that no line of the sink mentions, and why they are missing.
    unmentioned: Option<(u64, String)>,
}

enum Out {
    Log(Stdout),
    File(File),
}

impl Sink {
    /// The log of a container, which is the standard output of its process.
    pub(crate) fn log() -> Self {
        Self::new(Out::Log(io::stdout()), MAX_AUDIT_LOG)
    }

    /// A file that is open for appending, and to which nothing else writes.
    pub(crate) fn file(file: File) -> Self {
        Self::new(Out::File(file), MAX_FILE)
    }

    fn new(out: Out, left: usize) -> Self {
        Self {
            out,
            left,
            missing: 0,
            unmentioned: None,
        }
    }

    /// Adds a line.
    pub(super) fn write(&mut self, line: &str) {
        let Some(left) = self.left.checked_sub(line.len()) else {
            self.missing += 1;
            if self.missing.is_power_of_two() {
                let gap = gap(self.missing, "the audit has reached its maximum length");
                let _ = self.append(&gap);
            }
            return;
        };
        self.left = left;
        self.write_last(line);
    }

    /// Adds a line at the end of the audit, whatever its length.
    pub(super) fn write_last(&mut self, line: &str) {
        if let Some((lines, reason)) = &self.unmentioned
            && self.append(&gap(*lines, reason)).is_ok()
        {
            self.unmentioned = None;
        }
        if let Err(error) = self.append(line) {
            self.missing += 1;
            let reason = Quote::new(&error.to_string()).to_string();
            let (lines, _) = self.unmentioned.take().unwrap_or_default();
            self.unmentioned = Some((lines + 1, reason));
        }
    }

    /// The number of missing lines.
    pub(super) fn missing(&self) -> u64 {
        self.missing
    }

    /// Writes a line with one call, so that a reader of the file never sees a part of it. What a full disk takes of a line
    /// is removed again.
    fn append(&mut self, line: &str) -> io::Result<()> {
        match &mut self.out {
            Out::Log(out) => out.write_all(line.as_bytes()).and_then(|()| out.flush()),
            Out::File(file) => append_whole(file, line.as_bytes()),
        }
    }
}

/// Appends bytes to a file, or nothing of them.
fn append_whole(file: &mut File, bytes: &[u8]) -> io::Result<()> {
    let mut left = bytes;
    while !left.is_empty() {
        match file.write(left) {
            Ok(written @ 1..) => left = &left[written..],
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            failed => {
                let written = (bytes.len() - left.len()) as u64;
                if written > 0 {
                    let end = file.metadata()?.len();
                    file.set_len(end.saturating_sub(written))?;
                }
                return failed.and(Err(io::ErrorKind::WriteZero.into()));
            }
        }
    }
    Ok(())
}

/// The line in place of lines that are missing.
fn gap(lines: u64, reason: &str) -> String {
    line(
        GAP,
        map([("lines", lines.into()), ("reason", reason.into())]),
    )
}
