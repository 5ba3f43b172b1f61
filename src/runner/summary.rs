//! The job summary: Markdown that GitHub shows on the run's page.

use std::fmt::{self, Write as _};

use super::{Environment, Log, files};

/// A part of the job summary, built from plain values, which are escaped here.
#[derive(Debug, Default)]
pub struct Summary(String);

impl Summary {
    /// Starts a part with a heading.
    #[must_use]
    pub fn new(heading: &str) -> Self {
        Self(format!("### {}\n\n", escape(heading)))
    }

    /// Adds a table of two columns; rows without a value are left out.
    pub fn table<V: fmt::Display>(
        &mut self,
        rows: impl IntoIterator<Item = (&'static str, Option<V>)>,
    ) {
        self.0.push_str("| | |\n|---|---|\n");
        for (name, value) in rows {
            if let Some(value) = value {
                let _ = writeln!(self.0, "| {name} | {} |", escape(&value.to_string()));
            }
        }
        self.0.push('\n');
    }

    /// Appends the part to the job summary, without the secrets that `log` knows.
    ///
    /// # Errors
    /// When the runner's file is not there or cannot be written.
    pub fn write(&self, environment: &Environment, log: &Log<'_>) -> anyhow::Result<()> {
        files::append(environment, files::SUMMARY, &log.redact(&self.0))
    }
}

/// Escapes text for a cell of a Markdown table: neither Markdown, HTML nor a cell's end is left.
/// Backticks around a word are ours and stay.
fn escape(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '&' => escaped.push_str("&amp;"),
            '<' => escaped.push_str("&lt;"),
            '>' => escaped.push_str("&gt;"),
            '\r' | '\n' => escaped.push(' '),
            '\\' | '|' | '*' | '_' | '[' | ']' | '!' | '#' | '~' | '@' => {
                escaped.push('\\');
                escaped.push(c);
            }
            c => escaped.push(c),
        }
    }
    escaped
}
