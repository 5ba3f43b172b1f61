//! The inputs as the step passes them.

use std::collections::BTreeMap;

use secrecy::{ExposeSecret, SecretString};

use super::declared::{self, INPUTS, default_of};
use super::error::{InputErrors, ValueError};
use crate::runner::Environment;
use crate::text::{Quote, invisible_in, nearest, secrets};

/// Names of inputs in Port's own action and in older guides, and the inputs that replace them.
const FORMER_NAMES: &[(&str, &str)] = &[
    ("baseurl", "api_url"),
    ("base_url", "api_url"),
    ("tools", "allowed_tools"),
    ("mcp_server_url", "mcp_url"),
];

pub(super) const CLIENT_ID: &str = "client_id";
pub(super) const CLIENT_SECRET: &str = "client_secret";
pub(super) const GITHUB_TOKEN: &str = "github_token";

/// The inputs that are always secrets.
const SECRETS: [&str; 2] = [CLIENT_SECRET, GITHUB_TOKEN];

/// The values that the step sets, by the names of their inputs: without defaults, and without empty values. Each
/// parser adds its errors.
///
/// A value of any input can be a secret by mistake, so none has a `Debug` form.
#[derive(Default)]
pub struct Inputs {
    values: BTreeMap<String, SecretString>,
    has_empty_tools: bool,
    errors: InputErrors,
}

impl Inputs {
    /// Reads the `INPUT_*` variables. Keeps errors in names and encodings, so that the caller can mask the secrets
    /// before it reports them.
    #[must_use]
    #[expect(
        clippy::missing_panics_doc,
        reason = "a map of texts accepts all of them"
    )]
    pub fn from_env(environment: &Environment) -> Self {
        let mut errors = InputErrors::default();
        let mut values: BTreeMap<String, String> = BTreeMap::new();
        let mut has_empty_tools = false;
        let mut unknown = Vec::new();
        for (name, value) in environment.inputs() {
            if declared::find(&name).is_none() {
                unknown.push(name);
                continue;
            }
            match value.to_str().map(str::trim) {
                None => errors.add(&name, "is not UTF-8", "use UTF-8 text"),
                Some("") => has_empty_tools |= name == "allowed_tools",
                Some(value) => {
                    check_visible(&name, value, &mut errors);
                    values.insert(name, value.to_owned());
                }
            }
        }
        for name in unknown {
            // Variables of the job, for other programs, can have the same prefix as inputs.
            let likely = likely_input(&name).filter(|likely| !is_given(likely, &values));
            if let Some(likely) = likely {
                errors.add(
                    &Quote::new(&name).to_string(),
                    "is not an input of this action",
                    format!("did you mean `{likely}`?"),
                );
            }
        }
        remove_misplaced_secret(&mut values, &mut errors);
        Self {
            values: envy::from_iter(values).expect("a map of texts accepts all of them"),
            has_empty_tools,
            errors,
        }
    }

    /// The inputs that are always secrets, if they are set.
    pub fn secrets(&self) -> impl Iterator<Item = &SecretString> {
        SECRETS.iter().filter_map(|input| self.values.get(*input))
    }

    /// Whether `allowed_tools` is set to an empty text, as an expression without a value does.
    #[must_use]
    pub fn has_empty_tools(&self) -> bool {
        self.has_empty_tools
    }

    /// The value that the step sets, without a parser.
    pub(super) fn text(&self, input: &str) -> Option<&str> {
        self.values.get(input).map(ExposeSecret::expose_secret)
    }

    pub(super) fn secret(&self, input: &str) -> Option<SecretString> {
        self.values.get(input).cloned()
    }

    /// Parses the value of an input, or its default. `None` if it is invalid.
    pub(super) fn parse<T, E: Into<Vec<ValueError>>>(
        &mut self,
        input: &str,
        parse: impl FnOnce(&str) -> Result<T, E>,
    ) -> Option<T> {
        debug_assert!(declared::find(input).is_some(), "{input}");
        let value = self.values.get(input).map(ExposeSecret::expose_secret);
        self.errors
            .check(input, parse(value.unwrap_or_else(|| default_of(input))))
    }

    /// Parses the value of an input on which no other depends. If it is invalid, the result has no meaning, because
    /// [`Self::finish`] then fails.
    pub(super) fn value<T: Default, E: Into<Vec<ValueError>>>(
        &mut self,
        input: &str,
        parse: impl FnOnce(&str) -> Result<T, E>,
    ) -> T {
        self.parse(input, parse).unwrap_or_default()
    }

    /// Parses the value that the step sets, whatever the default is. `None` if it is invalid.
    #[expect(
        clippy::option_option,
        reason = "an invalid value is not a missing one"
    )]
    pub(super) fn optional<T, E: Into<Vec<ValueError>>>(
        &mut self,
        input: &str,
        parse: impl FnOnce(&str) -> Result<T, E>,
    ) -> Option<Option<T>> {
        match self.values.get(input) {
            None => Some(None),
            Some(value) => self
                .errors
                .check(input, parse(value.expose_secret()))
                .map(Some),
        }
    }

    pub(super) fn errors(&mut self) -> &mut InputErrors {
        &mut self.errors
    }

    /// The result of all parsers.
    ///
    /// # Errors
    /// Every error, if there is one.
    pub(super) fn finish<T>(self, result: Option<T>) -> Result<T, InputErrors> {
        let mut errors = self.errors;
        match result {
            Some(result) if errors.is_empty() => Ok(result),
            _ => {
                errors.sort();
                Err(errors)
            }
        }
    }
}

/// Removes each value that contains the client secret, with an error.
fn remove_misplaced_secret(values: &mut BTreeMap<String, String>, errors: &mut InputErrors) {
    let Some(secret) = values.get(CLIENT_SECRET) else {
        return;
    };
    let secret = SecretString::from(secret.as_str());
    values.retain(|name, value| {
        let is_misplaced = name != CLIENT_SECRET && secrets::is_in(&secret, value);
        if is_misplaced {
            errors.check::<()>(name, Err(ValueError::contains_secret()));
        }
        !is_misplaced
    });
}

/// Adds an error if a value contains a character that nobody sees in it. The files that some inputs can contain as text
/// have their own rules, and credentials are never quoted.
fn check_visible(input: &str, value: &str, errors: &mut InputErrors) {
    let has_own_rules = SECRETS.contains(&input)
        || [CLIENT_ID, "base_config", "ca_certificate", "policy"].contains(&input);
    if let Some(c) = invisible_in(value).filter(|_| !has_own_rules) {
        errors.add(
            input,
            format!("contains an invisible character (U+{:04X})", u32::from(c)),
            "type the value again",
        );
    }
}

/// Whether the step sets an input: GitHub's runner passes the defaults of the others (`ActionRunner.cs`).
fn is_given(input: &str, values: &BTreeMap<String, String>) -> bool {
    let default = default_of(input);
    let is_default = |value: &String| value == default || default.contains("${{");
    values.get(input).is_some_and(|value| !is_default(value))
}

/// The input that `name` most likely means.
fn likely_input(name: &str) -> Option<&'static str> {
    // Keys under `with:` that GitHub uses itself to start a container.
    if name == "entrypoint" || name == "args" {
        return None;
    }
    FORMER_NAMES
        .iter()
        .find(|(former, _)| *former == name)
        .map(|(_, input)| *input)
        .or_else(|| nearest(name, INPUTS.iter().map(|input| input.name.as_str())))
}
