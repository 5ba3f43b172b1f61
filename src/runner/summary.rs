//! The job summary: Markdown that GitHub shows on the run's page.

use std::borrow::Borrow;
use std::fmt::{Display, Write as _};

use secrecy::SecretString;
use sha2::{Digest as _, Sha256};

use super::message::{fit, for_terminal};
use super::{Environment, files, state, temp};
use crate::text::secrets::{hexadecimal, redact};
use crate::text::{Quote, comma_list_of, longest_backticks};

/// The maximum size of the summary in bytes. GitHub drops the whole summary of a step above 1 MiB.
const MAX_SECTION: usize = 512 * 1024;

/// The maximum size of all sections of a step in bytes: a little below GitHub's.
const MAX_TOTAL: usize = 1000 * 1024;

/// The maximum size of a kept section in bytes. A table ends with the row after [`MAX_SECTION`].
const MAX_KEPT: u64 = 2 * MAX_SECTION as u64;

/// Whether the value of the input `summary` asks for a job summary. A value that is not valid does: it is an error
/// elsewhere.
#[must_use]
pub fn is_wanted(input: Option<&str>) -> bool {
    !input.is_some_and(|input| input.trim().eq_ignore_ascii_case("false"))
}

/// A cell of a table.
#[derive(Clone, Debug)]
pub enum Cell {
    /// Text of this program.
    Text(String),
    /// Untrusted text, shown as code: GitHub renders no Markdown, HTML, link, mention, or emoji in it.
    Untrusted(Quote),
    /// Untrusted names, of which the first are shown.
    Names(Vec<Quote>),
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
            Self::Untrusted(quote) => code_in_cell(&quote.to_string()),
            Self::Names(names) => {
                comma_list_of(names.iter().map(|name| code_in_cell(&name.to_string())))
            }
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

    /// Adds a table of names and values. Rows without a value are omitted. The first row is the heading, without which
    /// Markdown has no tables.
    pub fn facts(&mut self, rows: impl IntoIterator<Item = (&'static str, Option<Cell>)>) {
        let mut rows = rows
            .into_iter()
            .filter_map(|(name, value)| Some([Cell::text(name), value?]));
        if let Some(first) = rows.next() {
            self.rows(&first.map(|cell| cell.markdown()), rows);
        }
    }

    /// Adds messages as the log contains them, each line as code: the runner masks only what is the same.
    pub fn messages(&mut self, texts: &[String]) {
        for text in texts {
            let lines: Vec<String> = for_terminal(&fit(&redact(text)))
                .lines()
                .map(code)
                .collect();
            let _ = writeln!(self.0, "{}\n", lines.join("\\\n"));
        }
    }

    /// Adds a paragraph of this program.
    pub fn paragraph(&mut self, text: &str) {
        let _ = writeln!(self.0, "{}\n", escaped(text));
    }

    /// Adds a table, if it has rows. If it would be too long, its last row says how many rows are omitted.
    pub fn table<const N: usize>(
        &mut self,
        headings: [&str; N],
        rows: impl IntoIterator<Item = [Cell; N]>,
    ) {
        let mut rows = rows.into_iter().peekable();
        if rows.peek().is_some() {
            self.rows(&headings, rows);
        }
    }

    fn rows<const N: usize>(
        &mut self,
        headings: &[impl Borrow<str>; N],
        mut rows: impl Iterator<Item = [Cell; N]>,
    ) {
        let _ = writeln!(
            self.0,
            "| {} |\n|{}",
            headings.join(" | "),
            ":--|".repeat(N)
        );
        while self.0.len() < MAX_SECTION
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

    /// Keeps the section for the summary of the post phase, if that would replace it: in a composite action, both have
    /// the same name (<https://github.com/actions/runner/issues/2020>).
    ///
    /// # Errors
    /// When the file or the state cannot be written.
    pub fn keep(&self, environment: &Environment) -> anyhow::Result<()> {
        // The runner sets it only there.
        if environment.get("GITHUB_ACTION_PATH").is_none() {
            return Ok(());
        }
        let text = SecretString::from(self.0.as_str());
        let file = temp::create(environment, ".md", &text)?;
        let saved = [
            (state::SUMMARY_FILE, file.name.as_str().into()),
            (state::SUMMARY_DIGEST, digest(&self.0).into()),
        ];
        state::save(environment, &saved)?;
        file.keep()
    }

    /// Takes the section that the main phase kept, and removes its file. Without one, or if another program has
    /// changed it, nothing.
    #[must_use]
    pub fn kept(environment: &Environment) -> Self {
        let saved = |name: &str| state::get(environment, name);
        let text = saved(state::SUMMARY_FILE).and_then(|name| {
            let text = temp::read(environment, name, MAX_KEPT)
                .ok()
                .and_then(|text| String::from_utf8(text).ok());
            let _ = temp::remove(environment, name);
            text
        });
        let digest_of_main = saved(state::SUMMARY_DIGEST);
        Self(
            text.filter(|text| digest_of_main == Some(&digest(text)))
                .unwrap_or_default(),
        )
    }

    /// This section and `next`, or only that one if both would be too long.
    #[must_use]
    pub fn and(self, next: Self) -> Self {
        if self.0.len() + next.0.len() > MAX_TOTAL {
            return next;
        }
        Self(self.0 + &next.0)
    }
}

fn digest(text: &str) -> String {
    hexadecimal(&Sha256::digest(text))
}

/// Text as code in a cell. Replaces `|`, which ends a cell: GitHub does not honor a backslash before it everywhere.
fn code_in_cell(text: &str) -> String {
    code(&text.replace('|', "¦"))
}

/// Text as code.
fn code(text: &str) -> String {
    if text.is_empty() {
        return String::new();
    }
    let fence = "`".repeat(longest_backticks(text) + 1);
    // A backtick at either end would lengthen the fence.
    let pad = if text.starts_with('`') || text.ends_with('`') {
        " "
    } else {
        ""
    };
    format!("{fence}{pad}{text}{pad}{fence}")
}

/// Text with escaped Markdown, except for code between backticks, in which a backslash would be shown.
fn escaped(text: &str) -> String {
    let text = Quote::new(text).to_string();
    let parts: Vec<&str> = text.split('`').collect();
    let is_code = |index: usize| index % 2 == 1 && index + 1 < parts.len();
    parts
        .iter()
        .enumerate()
        .map(|(index, part)| match index {
            index if is_code(index) => code_in_cell(part),
            index if index % 2 == 1 => format!("\\`{}", without_markdown(part)),
            _ => without_markdown(part),
        })
        .collect()
}

fn without_markdown(text: &str) -> String {
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
    escaped
}
