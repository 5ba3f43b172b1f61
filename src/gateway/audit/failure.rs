//! Why an agent could not connect, as the audit and the post phase say it.

use std::fmt::Display;

use http::StatusCode;
use serde::{Deserialize, Serialize};

use crate::text::Quote;

/// Why an agent could not connect.
#[derive(Clone, Debug, Deserialize, Serialize)]
pub(crate) struct Failure {
    /// One clause, quoted.
    pub(crate) reason: String,
    /// What to do about it. Empty if only the audit is known, which does not contain it.
    #[serde(default)]
    pub(crate) hint: String,
    /// The status of Port's response, if there was one.
    #[serde(skip)]
    pub(in crate::gateway) status: Option<StatusCode>,
}

impl Failure {
    pub(in crate::gateway) fn new(reason: impl Display, hint: impl Into<String>) -> Self {
        Self {
            reason: Quote::new(&reason.to_string()).to_string(),
            hint: hint.into(),
            status: None,
        }
    }

    pub(in crate::gateway) fn with_status(self, status: StatusCode) -> Self {
        Self {
            status: Some(status),
            ..self
        }
    }
}
