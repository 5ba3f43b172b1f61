//! The errors of all phases, and how they are reported.

use crate::access::AccessErrors;
use crate::access::policy::NoMatchingRuleError;
use crate::connect::RejectedError;
use crate::http::{Cause, RequestError};
use crate::inputs::InputErrors;
use crate::runner::{Environment, Log};
use crate::troubleshooting;

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
    #[error("{0:#}")]
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
            Self::Other(error) => vec![("Port MCP", format!("{error:#}"))],
        }
    }

    /// Reports the error on `log`, each annotation with a link to its section of the documentation.
    pub fn report(&self, environment: &Environment, log: &mut Log<'_>) {
        for (title, text) in self.annotations() {
            let link = troubleshooting::link(&text, environment);
            log.error(title, format!("{text}\nsee: {link}"));
        }
    }
}
