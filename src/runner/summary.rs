//! The job summary: Markdown that GitHub shows on the run's page.

use std::fmt::Write as _;

use super::{Environment, Log, files};
use crate::text::Quote;

/// The most that is written. GitHub drops a step's summary whole if it is larger than 1 MiB; what is
/// left is for what [`Log::redact`] may add.
const LARGEST: usize = 512 * 1024;

/// A part of the job summary, built from plain values. They may come from a server: they are quoted
/// and escaped here.
#[derive(Debug, Default)]
pub struct Summary(String);

impl Summary {
    /// Starts a part with a heading.
    #[must_use]
    pub fn new(heading: &str) -> Self {
        Self(format!("### {}\n\n", cell(heading)))
    }

    /// Adds a table of names and values; rows without a value are left out.
    pub fn facts(&mut self, rows: impl IntoIterator<Item = (&'static str, Option<String>)>) {
        let rows = rows.into_iter();
        let rows = rows.filter_map(|(name, value)| Some([name.to_owned(), value?]));
        self.table(["", ""], rows);
    }

    /// Adds a table, if it has rows. One that would get too long ends in how many rows are left out.
    pub fn table<const N: usize>(
        &mut self,
        heads: [&str; N],
        rows: impl IntoIterator<Item = [String; N]>,
    ) {
        let mut rows = rows.into_iter().peekable();
        if rows.peek().is_none() {
            return;
        }
        let _ = writeln!(self.0, "| {} |\n|{}", heads.join(" | "), "---|".repeat(N));
        while self.0.len() < LARGEST
            && let Some(row) = rows.next()
        {
            let _ = writeln!(self.0, "| {} |", row.map(|text| cell(&text)).join(" | "));
        }
        let left_out = rows.count();
        if left_out > 0 {
            let _ = writeln!(self.0, "| … and {left_out} more {}|", "| ".repeat(N - 1));
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

/// Text for a cell of a Markdown table, on one line: neither Markdown, HTML, a mention, a link nor a
/// cell's end is left in it.
fn cell(text: &str) -> String {
    let text = Quote::new(text).to_string();
    let mut escaped = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '&' => escaped.push_str("&amp;"),
            '<' => escaped.push_str("&lt;"),
            '>' => escaped.push_str("&gt;"),
            '\\' | '|' | '*' | '_' | '[' | ']' | '!' | '~' | '$' | '@' | '#' => {
                escaped.push('\\');
                escaped.push(c);
            }
            c => escaped.push(c),
        }
    }
    // Written so, neither becomes a link by itself.
    escaped
        .replace("://", "&#58;//")
        .replace("www.", "www&#46;")
}
