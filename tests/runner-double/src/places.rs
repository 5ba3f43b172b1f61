use std::collections::BTreeMap;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};

/// The directories in which a step can leave files.
#[derive(Debug)]
pub(crate) struct Places {
    pub(crate) root: PathBuf,
    /// Directories with files of the runner itself, or with file commands.
    pub(crate) skipped: [PathBuf; 2],
}

impl Places {
    /// Every file, by its path relative to the job's directory.
    pub(crate) fn files(&self) -> BTreeMap<PathBuf, Vec<u8>> {
        let mut files = BTreeMap::new();
        self.collect(&self.root, &mut files);
        files
    }

    /// Adds all files of a directory. Does not follow symbolic links, which can lead out of the
    /// job.
    fn collect(&self, directory: &Path, files: &mut BTreeMap<PathBuf, Vec<u8>>) {
        for entry in readable(directory, fs::read_dir(directory)) {
            let entry = readable(directory, entry);
            let path = entry.path();
            let kind = readable(&path, entry.file_type());
            if kind.is_dir() && !self.skipped.contains(&path) {
                self.collect(&path, files);
            } else if kind.is_file() {
                let bytes = readable(&path, fs::read(&path));
                let name = path.strip_prefix(&self.root).unwrap_or(&path);
                files.insert(name.to_owned(), bytes);
            }
        }
    }
}

/// Panics if a file is not readable: the container runs as root, but the runner and the test may
/// not.
fn readable<T>(path: &Path, result: io::Result<T>) -> T {
    let unreadable = |error| panic!("the next step cannot read {}: {error}", path.display());
    result.unwrap_or_else(unreadable)
}
