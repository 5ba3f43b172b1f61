//! The job summary: Markdown that GitHub shows on the run's page.

use std::fmt::{Display, Write as _};

use super::{Environment, files};
use crate::text::Quote;

/// The maximum size of the summary in bytes. GitHub drops the whole summary of a step above 1 MiB.
const LARGEST: usize = 512 * 1024;

/// A cell of a table.
#[derive(Clone, Debug)]
pub enum Cell {
    /// Text of this program.
    Text(String),
    /// Untrusted text, shown as code: GitHub renders no Markdown, HTML, link, mention, or emoji in it.
    Untrusted(Quote),
}

impl Cell {
    /// Text of this program.
    pub fn text(text: impl Display) -> Self {
        Self::Text(text.to_string())
    }

    /// Untrusted text.
    #[must_use]
    pub fn untrusted(text: &str) -> Self {
        Self::Untrusted(Quote::new(text))
    }

    fn markdown(&self) -> String {
        match self {
            Self::Text(text) => escaped(text),
            Self::Untrusted(quote) => code(&quote.to_string()),
        }
    }
}

/// A section of the job summary.
#[derive(Debug, Default)]
pub struct Summary(pub(crate) String);

impl Summary {
    /// Starts a section with a heading.
    #[must_use]
    pub fn new(heading: &str) -> Self {
        Self(format!("### {}\n\n", escaped(heading)))
    }

    /// Adds a table of names and values. Rows without a value are omitted.
    pub fn facts(&mut self, rows: impl IntoIterator<Item = (&'static str, Option<Cell>)>) {
        let rows = rows.into_iter();
        let rows = rows.filter_map(|(name, value)| Some([Cell::text(name), value?]));
        self.table(["", ""], rows);
    }

    /// Adds a table, if it has rows. If it would be too long, its last row says how many rows are omitted.
    pub fn table<const N: usize>(
        &mut self,
        headings: [&str; N],
        rows: impl IntoIterator<Item = [Cell; N]>,
    ) {
        let mut rows = rows.into_iter().peekable();
        if rows.peek().is_none() {
            return;
        }
        let _ = writeln!(
            self.0,
            "| {} |\n|{}",
            headings.join(" | "),
            "---|".repeat(N)
        );
        while self.0.len() < LARGEST
            && let Some(row) = rows.next()
        {
            let cells = row.map(|cell| cell.markdown());
            let _ = writeln!(self.0, "| {} |", cells.join(" | "));
        }
        let omitted = rows.count();
        if omitted > 0 {
            let _ = writeln!(self.0, "| … and {omitted} more {}|", "| ".repeat(N - 1));
        }
        self.0.push('\n');
    }

    /// Appends the section to the job summary.
    ///
    /// # Errors
    /// When the runner's file is missing or cannot be written.
    pub fn write(&self, environment: &Environment) -> anyhow::Result<()> {
        files::append(environment, files::SUMMARY, &self.0)
    }
}

/// Text as code. Replaces `|`, which ends a cell: GitHub does not honor a backslash before it everywhere.
fn code(text: &str) -> String {
    if text.is_empty() {
        return String::new();
    }
    let text = text.replace('|', "¦");
    let longest = text.split(|c| c != '`').map(str::len).max().unwrap_or(0);
    let fence = "`".repeat(longest + 1);
    // A backtick at either end would lengthen the fence.
    let pad = if text.starts_with('`') || text.ends_with('`') {
        " "
    } else {
        ""
    };
    format!("{fence}{pad}{text}{pad}{fence}")
}

/// Text with escaped Markdown, except for code between backticks.
fn escaped(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len());
    for c in Quote::new(text).to_string().chars() {
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
    escaped
}
