//! The format of all errors of requests.

use std::fmt::{self, Debug, Display};

use reqwest::Method;
use url::Url;

use crate::text::Quote;

/// Why a request failed. Its text is one clause, without a period.
pub trait Cause: Debug + Display {
    /// What to do about it, given the URL of the request.
    fn hint(&self, url: &Url) -> String;
}

/// A failed request.
///
/// Its text contains the cause, the request and the number of attempts, the server's ID of the request, and
/// a hint.
#[derive(Debug)]
pub struct RequestError<C> {
    cause: C,
    method: Method,
    url: Url,
    trace: Option<Trace>,
    attempts: usize,
}

/// The ID that a server assigns to a request. The server's support can look it up.
#[derive(Clone, Debug)]
pub(crate) struct Trace {
    /// The header that contains the ID.
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

    /// Why the request failed.
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
