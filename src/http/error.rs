//! The form of every error of a request.

use std::fmt::{self, Debug, Display};

use reqwest::Method;
use url::Url;

use crate::text::Quote;

/// What came back instead of the requested result. Its text is one clause, without a period.
pub trait Cause: Debug + Display {
    /// What to do about it, given the URL of the request.
    fn hint(&self, url: &Url) -> String;
}

/// A failed request.
///
/// Its text says what came back, what was tried, and the server's id of the request, and ends in a hint.
#[derive(Debug)]
pub struct RequestError<C> {
    cause: C,
    method: Method,
    url: Url,
    trace: Option<Trace>,
    attempts: usize,
}

/// The id that a server gives to a request, for its support.
#[derive(Clone, Debug)]
pub(crate) struct Trace {
    /// The header that carries the id.
    pub(crate) header: &'static str,
    pub(crate) id: Quote,
}

impl<C> RequestError<C> {
    pub(crate) fn new(cause: C, method: Method, url: &Url) -> Self {
        Self {
            cause,
            method,
            url: url.clone(),
            trace: None,
            attempts: 1,
        }
    }

    pub(crate) fn with_attempts(self, attempts: usize) -> Self {
        Self { attempts, ..self }
    }

    pub(crate) fn with_trace(self, trace: Option<Trace>) -> Self {
        Self { trace, ..self }
    }

    /// What came back.
    pub fn cause(&self) -> &C {
        &self.cause
    }
}

impl<C: Cause> RequestError<C> {
    /// The text without the hint, for an error that combines several.
    pub(crate) fn details(&self) -> String {
        let attempts = match self.attempts {
            1 => String::new(),
            n => format!(" ({n} attempts)"),
        };
        let trace = match &self.trace {
            None => String::new(),
            Some(Trace { header, id }) => format!("\n{header}: {id}"),
        };
        format!(
            "{}\nrequest: {} {}{attempts}{trace}",
            self.cause, self.method, self.url
        )
    }

    /// What to do about it.
    pub(crate) fn hint(&self) -> String {
        self.cause.hint(&self.url)
    }
}

impl<C: Cause> std::error::Error for RequestError<C> {}

impl<C: Cause> Display for RequestError<C> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}\nhint: {}", self.details(), self.hint())
    }
}
