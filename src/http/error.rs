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
/// Its text contains the cause, the request and the number of attempts, why earlier attempts failed, the
/// server's ID of the request, and a hint.
#[derive(Debug)]
pub struct RequestError<C> {
    cause: C,
    method: Method,
    url: Url,
    trace: Option<Trace>,
    failed_attempts: Vec<String>,
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
            failed_attempts: Vec::new(),
        }
    }

    /// The error after earlier attempts, with the reason why each failed.
    pub(crate) fn after(self, failed_attempts: Vec<String>) -> Self {
        Self {
            failed_attempts,
            ..self
        }
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
    /// Why the attempts before the last failed, if that says more than the cause: the deadline may have ended
    /// the last.
    fn earlier(&self) -> Option<String> {
        let cause = self.cause.to_string();
        let mut reasons: Vec<&str> = Vec::new();
        for reason in &self.failed_attempts {
            if !cause.contains(reason) && !reasons.contains(&reason.as_str()) {
                reasons.push(reason);
            }
        }
        (!reasons.is_empty()).then(|| reasons.join("; "))
    }

    /// The cause and why earlier attempts failed, as one clause.
    pub(crate) fn reason(&self) -> String {
        match self.earlier() {
            None => self.cause.to_string(),
            Some(earlier) => format!("{} (earlier attempts: {earlier})", self.cause),
        }
    }

    /// The text without the hint, for an error that combines several.
    pub(crate) fn details(&self) -> String {
        let attempts = match self.failed_attempts.len() {
            0 => String::new(),
            failed => format!(" ({} attempts)", failed + 1),
        };
        let earlier = match self.earlier() {
            None => String::new(),
            Some(earlier) => format!("\nearlier attempts: {earlier}"),
        };
        let trace = match &self.trace {
            None => String::new(),
            Some(Trace { header, id }) => format!("\n{header}: {id}"),
        };
        format!(
            "{}\nrequest: {} {}{attempts}{earlier}{trace}",
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
