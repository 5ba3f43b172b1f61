//! The variables that the runner gives to a step.

use std::collections::BTreeMap;
use std::ffi::{OsStr, OsString};
use std::path::PathBuf;

/// A copy of the step's environment variables, taken once.
///
/// Nothing else in the crate asks the process for a variable, so a test, or the quickstart, hands
/// in whatever environment it likes. (reqwest alone reads the proxy variables by itself.)
#[derive(Clone, Default)]
pub struct Environment(BTreeMap<OsString, OsString>);

impl Environment {
    /// The variables of this process. Values that are not UTF-8 are kept as they are.
    #[must_use]
    pub fn of_process() -> Self {
        std::env::vars_os().collect()
    }

    /// The value of `name`; unset, empty and not-UTF-8 are all `None`, since the runner sets a
    /// variable that it has nothing to say about to the empty string.
    #[must_use]
    pub fn get(&self, name: &str) -> Option<&str> {
        self.0
            .get(OsStr::new(name))
            .and_then(|value| value.to_str())
            .filter(|value| !value.is_empty())
    }

    /// The value of `name` as a path; `None` when unset or empty.
    #[must_use]
    pub fn path(&self, name: &str) -> Option<PathBuf> {
        self.0
            .get(OsStr::new(name))
            .filter(|value| !value.is_empty())
            .map(PathBuf::from)
    }

    /// The inputs of the step: for each `INPUT_*` variable the input's name in lower case and its
    /// value, empty ones included.
    pub fn inputs(&self) -> impl Iterator<Item = (String, &OsStr)> {
        self.0.iter().filter_map(|(variable, value)| {
            let name = variable.to_str()?.strip_prefix("INPUT_")?;
            Some((name.to_lowercase(), value.as_os_str()))
        })
    }

    /// These variables with others put in, in the place of those of the same name.
    #[must_use]
    pub fn with(&self, variables: impl IntoIterator<Item = (OsString, OsString)>) -> Self {
        let mut all = self.clone();
        all.0.extend(variables);
        all
    }

    /// Whether the run was started with debug logging (`RUNNER_DEBUG=1`).
    #[must_use]
    pub fn debug(&self) -> bool {
        self.get("RUNNER_DEBUG") == Some("1")
    }
}

impl<K: Into<OsString>, V: Into<OsString>> FromIterator<(K, V)> for Environment {
    fn from_iter<I: IntoIterator<Item = (K, V)>>(variables: I) -> Self {
        Self(
            variables
                .into_iter()
                .map(|(name, value)| (name.into(), value.into()))
                .collect(),
        )
    }
}
