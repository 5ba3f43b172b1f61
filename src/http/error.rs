//! The one form that every error of a request has.

use std::fmt::{self, Debug, Display};

use reqwest::Method;
use url::Url;

use crate::text::Quote;

/// What came back in place of what was asked for; its text is one clause, without a full stop.
pub trait Cause: Debug + Display {
    /// What to do about it, of a request to `url`.
    fn hint(&self, url: &Url) -> String;
}

/// A request that did not give what was asked for.
///
/// Its text names what came back, what was tried, the server's id for the request, and ends in a
/// hint.
#[derive(Debug)]
pub struct Error<C> {
    cause: C,
    method: Method,
    url: Url,
    trace: Option<Trace>,
    tries: usize,
}

/// What the server calls the request, for whoever asks its support.
#[derive(Clone, Debug)]
pub(crate) struct Trace {
    /// The header that carries it.
    pub(crate) header: &'static str,
    pub(crate) id: Quote,
}

impl<C> Error<C> {
    pub(crate) fn new(cause: C, method: Method, url: &Url) -> Self {
        Self {
            cause,
            method,
            url: url.clone(),
            trace: None,
            tries: 1,
        }
    }

    pub(crate) fn after(self, tries: usize) -> Self {
        Self { tries, ..self }
    }

    pub(crate) fn traced(self, trace: Option<Trace>) -> Self {
        Self { trace, ..self }
    }

    /// What came back.
    pub fn cause(&self) -> &C {
        &self.cause
    }
}

impl<C: Cause> Error<C> {
    /// The text without the hint, for an error that is one of several.
    pub(crate) fn story(&self) -> String {
        let times = match self.tries {
            1 => String::new(),
            n => format!(", {n} times"),
        };
        let trace = match &self.trace {
            None => String::new(),
            Some(Trace { header, id }) => format!("\n{header}: {id}"),
        };
        format!(
            "{}\ntried: {} {}{times}{trace}",
            self.cause, self.method, self.url
        )
    }

    /// What to do about it.
    pub(crate) fn hint(&self) -> String {
        self.cause.hint(&self.url)
    }
}

impl<C: Cause> std::error::Error for Error<C> {}

impl<C: Cause> Display for Error<C> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}\nhint: {}", self.story(), self.hint())
    }
}
