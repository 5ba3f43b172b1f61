//! The job summary: Markdown that GitHub shows on the run's page.

use std::fmt::{Display, Write as _};

use super::{Environment, files};
use crate::text::Quote;

/// The most that is written. GitHub drops a step's summary whole if it is larger than 1 MiB.
const LARGEST: usize = 512 * 1024;

/// What a cell of a table holds.
#[derive(Clone, Debug)]
pub enum Cell {
    /// Words of this program, or a value of a fixed set.
    Words(String),
    /// Text from outside. It is shown as code, in which GitHub reads neither Markdown nor HTML, and
    /// makes no link, mention or emoji.
    Foreign(Quote),
}

impl Cell {
    /// Words of this program.
    pub fn words(words: impl Display) -> Self {
        Self::Words(words.to_string())
    }

    /// Text from outside.
    #[must_use]
    pub fn foreign(text: &str) -> Self {
        Self::Foreign(Quote::new(text))
    }

    fn markdown(&self) -> String {
        match self {
            Self::Words(words) => escaped(words),
            Self::Foreign(quote) => code(&quote.to_string()),
        }
    }
}

/// A part of the job summary.
#[derive(Debug, Default)]
pub struct Summary(String);

impl Summary {
    /// Starts a part with a heading.
    #[must_use]
    pub fn new(heading: &str) -> Self {
        Self(format!("### {}\n\n", escaped(heading)))
    }

    /// Adds a table of names and values; rows without a value are left out.
    pub fn facts(&mut self, rows: impl IntoIterator<Item = (&'static str, Option<Cell>)>) {
        let rows = rows.into_iter();
        let rows = rows.filter_map(|(name, value)| Some([Cell::words(name), value?]));
        self.table(["", ""], rows);
    }

    /// Adds a table, if it has rows. One that would get too long ends in how many rows are left out.
    pub fn table<const N: usize>(
        &mut self,
        heads: [&str; N],
        rows: impl IntoIterator<Item = [Cell; N]>,
    ) {
        let mut rows = rows.into_iter().peekable();
        if rows.peek().is_none() {
            return;
        }
        let _ = writeln!(self.0, "| {} |\n|{}", heads.join(" | "), "---|".repeat(N));
        while self.0.len() < LARGEST
            && let Some(row) = rows.next()
        {
            let cells = row.map(|cell| cell.markdown());
            let _ = writeln!(self.0, "| {} |", cells.join(" | "));
        }
        let left_out = rows.count();
        if left_out > 0 {
            let _ = writeln!(self.0, "| … and {left_out} more {}|", "| ".repeat(N - 1));
        }
        self.0.push('\n');
    }

    /// Appends the part to the job summary.
    ///
    /// # Errors
    /// When the runner's file is not there or cannot be written.
    pub fn write(&self, environment: &Environment) -> anyhow::Result<()> {
        files::append(environment, files::SUMMARY, &self.0)
    }
}

/// Text as code, exactly but for `|`, which ends a cell: GitHub lets a backslash before it count in
/// one place and not in the next.
fn code(text: &str) -> String {
    if text.is_empty() {
        return String::new();
    }
    let text = text.replace('|', "¦");
    let longest = text.split(|c| c != '`').map(str::len).max().unwrap_or(0);
    let fence = "`".repeat(longest + 1);
    // A backtick at an end would lengthen the fence.
    let pad = if text.starts_with('`') || text.ends_with('`') {
        " "
    } else {
        ""
    };
    format!("{fence}{pad}{text}{pad}{fence}")
}

/// Words as a cell shows them: of Markdown, code between backticks is left.
fn escaped(words: &str) -> String {
    let mut escaped = String::with_capacity(words.len());
    for c in Quote::new(words).to_string().chars() {
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
