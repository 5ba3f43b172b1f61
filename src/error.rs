//! The errors of all phases, and how they are reported.

use crate::access::AccessErrors;
use crate::access::policy::NoMatchingRuleError;
use crate::connect::RejectedError;
use crate::http::{Cause, RequestError};
use crate::inputs::InputErrors;
use crate::runner::{Environment, Log};
use crate::troubleshooting;

/// The maximum number of annotations for one error. GitHub shows ten of each step.
const MOST_ANNOTATIONS: usize = 50;

/// Why a phase failed.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// Inputs are invalid.
    #[error(transparent)]
    Inputs(#[from] InputErrors),
    /// The requested access is denied.
    #[error(transparent)]
    Access(#[from] AccessErrors),
    /// Anything else.
    #[error("{}", with_causes(.0))]
    Other(#[from] anyhow::Error),
}

impl<C: Cause + Send + Sync + 'static> From<RequestError<C>> for Error {
    fn from(error: RequestError<C>) -> Self {
        Self::Other(error.into())
    }
}

impl From<NoMatchingRuleError> for Error {
    fn from(error: NoMatchingRuleError) -> Self {
        Self::Other(error.into())
    }
}

impl From<RejectedError> for Error {
    fn from(error: RejectedError) -> Self {
        Self::Other(error.into())
    }
}

/// The text of an error and its causes on one line, then their other lines, such as hints.
fn with_causes(error: &anyhow::Error) -> String {
    let texts: Vec<String> = error.chain().map(ToString::to_string).collect();
    let parts = texts
        .iter()
        .map(|text| text.split_once('\n').unwrap_or((text, "")));
    let (first, rest): (Vec<&str>, Vec<&str>) = parts.unzip();
    let rest = rest.into_iter().filter(|lines| !lines.is_empty());
    std::iter::once(first.join(": ").as_str())
        .chain(rest)
        .collect::<Vec<_>>()
        .join("\n")
}

impl Error {
    /// The title and the text of each annotation: one for each invalid input or denied access.
    fn annotations(&self) -> Vec<(&'static str, String)> {
        match self {
            Self::Inputs(errors) => {
                let errors = errors.iter();
                errors
                    .map(|error| ("Port MCP: invalid input", error.to_string()))
                    .collect()
            }
            Self::Access(AccessErrors(errors)) => {
                let errors = errors.iter();
                errors
                    .map(|error| ("Port MCP: access denied", error.to_string()))
                    .collect()
            }
            Self::Other(error) => vec![("Port MCP", with_causes(error))],
        }
    }

    /// Reports the error on `log`, each annotation with a link to its section of the documentation.
    pub fn report(&self, environment: &Environment, log: &mut Log<'_>) {
        let mut annotations = self.annotations();
        let more = annotations.len().saturating_sub(MOST_ANNOTATIONS);
        annotations.truncate(MOST_ANNOTATIONS);
        for (title, text) in annotations {
            let link = troubleshooting::link(&text, environment);
            log.error(title, format!("{text}\nsee: {link}"));
        }
        if more > 0 {
            log.info(format!("{more} more errors are not shown."));
        }
    }
}
