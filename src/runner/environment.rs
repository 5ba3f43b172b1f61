//! The environment variables of a step.

use std::collections::BTreeMap;
use std::ffi::{OsStr, OsString};
use std::path::PathBuf;

/// The value of a variable that is not UTF-8, which is not a valid URL, name, or number.
const NOT_UTF8: &str = "\u{fffd}";

/// A copy of the step's environment variables.
///
/// No other part of the crate reads variables of the process, so tests and the quickstart can pass any
/// environment.
#[derive(Clone, Default)]
pub struct Environment(BTreeMap<OsString, OsString>);

impl Environment {
    /// The variables of this process. Values that are not UTF-8 are kept as they are.
    #[must_use]
    pub fn from_process() -> Self {
        std::env::vars_os().collect()
    }

    /// The value of `name`. `None` if it is unset or empty: the runner sets unused variables to an empty
    /// string. U+FFFD if it is not UTF-8: as unset, a proxy or an address would be ignored silently.
    #[must_use]
    pub fn get(&self, name: &str) -> Option<&str> {
        self.0
            .get(OsStr::new(name))
            .map(|value| value.to_str().unwrap_or(NOT_UTF8))
            .filter(|value| !value.is_empty())
    }

    /// The value of `name` as a path. `None` if it is unset or empty.
    #[must_use]
    pub fn path(&self, name: &str) -> Option<PathBuf> {
        self.0
            .get(OsStr::new(name))
            .filter(|value| !value.is_empty())
            .map(PathBuf::from)
    }

    /// The inputs of the step: for each `INPUT_*` variable, the input's name in lower case and its value,
    /// which can be empty.
    ///
    /// The runner writes these names in upper case (`Handler.cs`). It sets every input of the action in every step, but
    /// where case counts, any earlier step can set a variable in another case beside an input that is empty.
    pub fn inputs(&self) -> impl Iterator<Item = (String, &OsStr)> {
        self.0.iter().filter_map(|(variable, value)| {
            let name = variable.to_str()?.strip_prefix("INPUT_")?;
            let is_of_runner = cfg!(windows) || !name.contains(char::is_lowercase);
            is_of_runner.then(|| (name.to_lowercase(), value.as_os_str()))
        })
    }

    /// A copy with additional variables, which replace those of the same name.
    #[must_use]
    pub fn with(&self, variables: impl IntoIterator<Item = (OsString, OsString)>) -> Self {
        let mut all = self.clone();
        all.0.extend(variables);
        all
    }

    /// A copy without the variables whose names `is_excluded` accepts.
    #[must_use]
    pub fn without(&self, is_excluded: impl Fn(&str) -> bool) -> Self {
        Self(
            self.0
                .iter()
                .filter(|(name, _)| !name.to_str().is_some_and(&is_excluded))
                .map(|(name, value)| (name.clone(), value.clone()))
                .collect(),
        )
    }

    /// Whether debug logging is enabled (`RUNNER_DEBUG=1`).
    #[must_use]
    pub fn is_debug(&self) -> bool {
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
