//! The errors of inputs. All of them are reported at once.

use std::fmt;

use super::declared::INPUTS;

/// An invalid input: its name, the problem (never a secret), and what to do.
#[derive(Debug)]
pub struct InputError {
    input: String,
    problem: String,
    hint: String,
}

impl fmt::Display for InputError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "input `{}` {}\nhint: {}",
            self.input, self.problem, self.hint
        )
    }
}

/// Every invalid input, in the order of `action.yml`.
#[derive(Debug, Default)]
pub struct InputErrors(Vec<InputError>);

impl std::error::Error for InputErrors {}

impl fmt::Display for InputErrors {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let lines: Vec<String> = self.0.iter().map(ToString::to_string).collect();
        f.write_str(&lines.join("\n"))
    }
}

impl InputErrors {
    /// Each error.
    pub fn iter(&self) -> impl Iterator<Item = &InputError> {
        self.0.iter()
    }

    /// Whether there are none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Whether an input has an error.
    pub(super) fn has(&self, input: &str) -> bool {
        self.0.iter().any(|error| error.input == input)
    }

    pub(super) fn add(&mut self, input: &str, problem: impl Into<String>, hint: impl Into<String>) {
        self.0.push(InputError {
            input: input.to_owned(),
            problem: problem.into(),
            hint: hint.into(),
        });
    }

    /// Returns the value of an input, or adds its errors.
    pub(super) fn check<T>(
        &mut self,
        input: &str,
        value: Result<T, impl Into<Vec<ValueError>>>,
    ) -> Option<T> {
        match value {
            Ok(value) => Some(value),
            Err(errors) => {
                for error in errors.into() {
                    self.add(input, error.problem, error.hint);
                }
                None
            }
        }
    }

    /// Orders the errors as `action.yml` orders the inputs. Unknown names come first.
    pub(super) fn sort(&mut self) {
        let position =
            |error: &InputError| INPUTS.iter().position(|input| input.name == error.input);
        self.0.sort_by_key(position);
    }
}

/// An invalid value of an input.
#[derive(Debug)]
pub(super) struct ValueError {
    problem: String,
    hint: String,
}

impl ValueError {
    /// `problem` continues a sentence that begins with the input; `hint` is an imperative clause.
    pub(super) fn new(problem: impl Into<String>, hint: impl Into<String>) -> Self {
        Self {
            problem: problem.into(),
            hint: hint.into(),
        }
    }

    /// The client secret is in an input other than `client_secret`.
    pub(super) fn contains_secret() -> Self {
        Self::new(
            "contains the client secret",
            "pass the secret only as `client_secret`",
        )
    }
}

impl From<ValueError> for Vec<ValueError> {
    fn from(error: ValueError) -> Self {
        vec![error]
    }
}
