//! The errors of all phases, and how they are reported.

use crate::access::AccessErrors;
use crate::access::policy::{NoMatchingRuleError, PolicyErrors};
use crate::access::source::ReadError;
use crate::http::{Cause, RequestError};
use crate::inputs::InputErrors;
use crate::runner::{Log, Place};

/// The maximum number of messages about one error. GitHub shows ten of each step.
const MAX_MESSAGES: usize = 50;

/// Why a phase failed.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// Inputs are invalid.
    #[error(transparent)]
    Inputs(#[from] InputErrors),
    /// The requested access is denied.
    #[error(transparent)]
    Access(#[from] AccessErrors),
    /// A policy is invalid.
    #[error(transparent)]
    Policy(PolicyErrors),
    /// Anything else.
    #[error("{}", with_causes(.0))]
    Other(#[from] anyhow::Error),
}

impl<C: Cause + Send + Sync + 'static> From<RequestError<C>> for Error {
    fn from(error: RequestError<C>) -> Self {
        Self::Other(error.into())
    }
}

impl From<ReadError> for Error {
    fn from(error: ReadError) -> Self {
        match error {
            ReadError::Fetch(error) => error.into(),
            ReadError::Invalid(errors) => Self::Policy(errors),
        }
    }
}

impl From<NoMatchingRuleError> for Error {
    fn from(error: NoMatchingRuleError) -> Self {
        Self::Other(error.into())
    }
}

/// The text of an error and its causes on one line, then their other lines, such as hints.
pub(crate) fn with_causes(error: &anyhow::Error) -> String {
    let texts: Vec<String> = error.chain().map(ToString::to_string).collect();
    let (first, rest): (Vec<&str>, Vec<&str>) = texts
        .iter()
        .map(|text| text.split_once('\n').unwrap_or((text, "")))
        .unzip();
    let rest = rest.into_iter().filter(|lines| !lines.is_empty());
    std::iter::once(first.join(": ").as_str())
        .chain(rest)
        .collect::<Vec<_>>()
        .join("\n")
}

impl Error {
    /// The text and the place of each message: one for each invalid input, denied access, or problem of a policy.
    fn messages(&self) -> Vec<(String, Option<Place>)> {
        let without_place = |text: String| (text, None);
        match self {
            Self::Inputs(errors) => errors
                .iter()
                .map(ToString::to_string)
                .map(without_place)
                .collect(),
            Self::Access(AccessErrors(errors)) => errors
                .iter()
                .map(ToString::to_string)
                .map(without_place)
                .collect(),
            Self::Policy(errors) => {
                let places = errors.places().map(|place| {
                    let (file, line, column) = place?;
                    let file = file.to_owned();
                    Some(Place { file, line, column })
                });
                errors.messages().zip(places).collect()
            }
            Self::Other(error) => vec![without_place(with_causes(error))],
        }
    }

    /// The text of each message.
    pub(crate) fn texts(&self) -> Vec<String> {
        self.messages()
            .into_iter()
            .take(MAX_MESSAGES)
            .map(|(text, _)| text)
            .collect()
    }

    /// Reports the error on `log`.
    pub fn report(&self, log: &mut Log<'_>) {
        let messages = self.messages();
        for (text, place) in messages.iter().take(MAX_MESSAGES) {
            log.error_at(place.as_ref(), text);
        }
        let more = messages.len().saturating_sub(MAX_MESSAGES);
        if more > 0 {
            log.info(format!("{more} more errors are not shown."));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The cause stands before the hint.
    #[test]
    fn causes_precede_hints() {
        let error = anyhow::anyhow!("disk full").context("could not write\nhint: check the disk");
        assert_eq!(
            with_causes(&error),
            "could not write: disk full\nhint: check the disk"
        );
    }
}
