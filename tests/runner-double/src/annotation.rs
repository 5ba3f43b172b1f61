use std::fmt;

use crate::properties::{Properties, get, number};
use crate::utf16::{Units, shown};

/// An annotation of a step, as GitHub gets it: at most ten of each level, with the message cut at 4,096
/// UTF-16 units. Masks reach the message only.
///
/// Without a file and a line, GitHub shows the line of the log instead.
///
/// Source: `src/Sdk/RSWebApi/Contracts/IssueExtensions.cs`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Annotation {
    /// How serious it is.
    pub level: Level,
    /// The text, masked by the masks that were known when it was printed.
    pub message: String,
    /// The title, without masking.
    pub title: Option<String>,
    /// The file, relative to the workspace if it is in it, without masking.
    pub file: Option<String>,
    /// The first line, from 1.
    pub line: Option<i32>,
    /// The last line.
    pub end_line: Option<i32>,
    /// The first column, from 1.
    pub column: Option<i32>,
    /// The last column.
    pub end_column: Option<i32>,
}

/// The level of an annotation.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Level {
    /// `::error::`, and every error of the runner.
    Error,
    /// `::warning::`, and every warning of the runner.
    Warning,
    /// `::notice::`.
    Notice,
}

impl fmt::Display for Level {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(match self {
            Self::Error => "error",
            Self::Warning => "warning",
            Self::Notice => "notice",
        })
    }
}

/// An annotation in the runner.
#[derive(Debug)]
pub(crate) struct Issue {
    pub(crate) level: Level,
    pub(crate) message: Units,
    pub(crate) properties: Properties,
}

impl Issue {
    /// What GitHub gets of it. Nothing if it has no text.
    pub(crate) fn annotation(&self) -> Option<Annotation> {
        let text = |name| get(&self.properties, name).map(str::to_owned);
        let place = |name| number(&self.properties, name);
        let has_text = |text: &String| !text.trim().is_empty();
        let line = place("line").unwrap_or_default();
        let column = place("col").unwrap_or_default();
        let shown = |number: i32| Some(number).filter(|number| *number != 0);
        Some(Annotation {
            level: self.level,
            message: [Some(self.message()), text("message")]
                .into_iter()
                .flatten()
                .find(has_text)?,
            title: text("title"),
            file: text("file").filter(has_text),
            line: shown(line),
            end_line: shown(place("endLine").unwrap_or(line)),
            column: shown(column),
            end_column: shown(place("endColumn").unwrap_or(column)),
        })
    }

    fn message(&self) -> String {
        shown(&self.message)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::utf16::units;

    fn annotation(message: &str, properties: &[(&str, &str)]) -> Option<Annotation> {
        let properties = properties
            .iter()
            .map(|&(name, value)| (name.into(), value.into()));
        let issue = Issue {
            level: Level::Notice,
            message: units(message),
            properties: properties.collect(),
        };
        issue.annotation()
    }

    #[test]
    fn an_annotation_needs_text() {
        assert_eq!(annotation(" \n", &[]), None);
        let other = annotation(" ", &[("Message", "from a property")]).expect("an annotation");
        assert_eq!(other.message, "from a property");
    }

    #[test]
    fn the_end_is_the_start_by_default() {
        let place = [("line", "3"), ("col", "4"), ("file", " ")];
        let annotation = annotation("a", &place).expect("an annotation");
        assert_eq!((annotation.line, annotation.end_line), (Some(3), Some(3)));
        assert_eq!(
            (annotation.column, annotation.end_column),
            (Some(4), Some(4))
        );
        assert_eq!(annotation.file, None);
    }
}
