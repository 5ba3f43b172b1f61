//! A message for people: a workflow command for GitHub's runner, text for a terminal, or JSON for programs.

use std::fmt::Write as _;

use serde_json::json;

use crate::text::{is_beyond_bmp, is_visible, utf16_len, without_command};

/// The title of annotations.
const TITLE: &str = "Port MCP";

/// How important a message is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Level {
    Error,
    Warning,
    Notice,
    /// What the process did: a plain line in a terminal.
    Info,
    Debug,
}

impl Level {
    /// The name of the workflow command, and the first word in a terminal.
    fn name(self) -> &'static str {
        match self {
            Self::Error => "error",
            Self::Warning => "warning",
            Self::Notice => "notice",
            Self::Info => "info",
            Self::Debug => "debug",
        }
    }
}

/// A position in a file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Place {
    /// The path of the file, relative to the workspace.
    pub file: String,
    /// The number of the line, from 1.
    pub line: usize,
    /// The number of the column, from 1.
    pub column: usize,
}

/// A message, without secrets. Its text can end in lines that begin with `hint: ` and `see: `.
#[derive(Debug)]
pub(super) struct Message<'a> {
    pub(super) level: Level,
    /// The code of its kind.
    pub(super) code: Option<&'static str>,
    pub(super) place: Option<&'a Place>,
    pub(super) text: &'a str,
}

/// The parts of a text.
struct Parts<'a> {
    what: &'a str,
    hint: Option<&'a str>,
    see: Option<&'a str>,
}

impl<'a> Parts<'a> {
    fn of(text: &'a str) -> Self {
        let (text, see) = match text.rsplit_once("\nsee: ") {
            Some((text, see)) => (text, Some(see)),
            None => (text, None),
        };
        let (what, hint) = match text.split_once("\nhint: ") {
            Some((what, hint)) => (what, Some(hint)),
            None => (text, None),
        };
        Self { what, hint, see }
    }
}

impl Message<'_> {
    /// The message as a workflow command. The runner masks no property: the title is a text of this program, and
    /// `redact` must be called for the file.
    pub(super) fn command(&self, redact: impl Fn(&str) -> String) -> String {
        let level = self.level.name();
        if self.level == Level::Debug {
            return format!("::{level}::{}", apart(&escape_data(self.text)));
        }
        let mut properties = String::new();
        if let Some(place) = self.place {
            let file = escape_property(&redact(&place.file));
            // Writing to a string cannot fail.
            let _ = write!(
                properties,
                "file={file},line={},col={},",
                place.line, place.column
            );
        }
        let code = self
            .code
            .map_or_else(String::new, |code| format!(" [{code}]"));
        let title = escape_property(&redact(&format!("{TITLE}{code}")));
        let data = apart(&escape_data(&fit(self.text)));
        format!("::{level} {properties}title={title}::{data}")
    }

    /// The message as lines of a terminal, with colors if it has them.
    pub(super) fn for_terminal(&self, has_colors: bool) -> String {
        if self.level == Level::Info {
            return for_terminal(self.text);
        }
        let style = |codes: &str, text: &str| {
            if has_colors {
                format!("\u{1b}[{codes}m{text}\u{1b}[0m")
            } else {
                text.to_owned()
            }
        };
        let level = match self.level {
            Level::Error => "1;31",
            Level::Warning => "1;33",
            _ => "1;36",
        };
        let code = self
            .code
            .map_or_else(String::new, |code| format!("[{code}]"));
        let Parts { what, hint, see } = Parts::of(self.text);
        let mut lines = format!(
            "{}: {}",
            style(level, &format!("{}{code}", self.level.name())),
            for_terminal(what)
        );
        if let Some(Place { file, line, column }) = self.place {
            let _ = write!(
                lines,
                "\n  {} {}:{line}:{column}",
                style("1;34", "-->"),
                for_terminal(file)
            );
        }
        for (name, text) in [("hint", hint), ("see", see)] {
            if let Some(text) = text {
                let _ = write!(lines, "\n{}: {}", style("1;36", name), for_terminal(text));
            }
        }
        lines
    }

    /// The message as an object.
    pub(super) fn json(&self) -> String {
        let Parts { what, hint, see } = Parts::of(self.text);
        let mut object = json!({ "level": self.level.name(), "message": what });
        let place = self.place;
        let further = [
            ("code", self.code.map(Into::into)),
            ("hint", hint.map(Into::into)),
            ("see", see.map(Into::into)),
            ("file", place.map(|place| place.file.as_str().into())),
            ("line", place.map(|place| place.line.into())),
            ("column", place.map(|place| place.column.into())),
        ];
        for (name, value) in further {
            if let Some(value) = value {
                object[name] = value;
            }
        }
        json_line(&object)
    }
}

/// JSON in which every character is escaped that a terminal or a runner would interpret.
pub(super) fn json_line(value: &serde_json::Value) -> String {
    let json = without_command(value.to_string());
    let mut line = String::with_capacity(json.len());
    for c in json.chars() {
        if is_visible(c) {
            line.push(c);
        } else {
            let mut units = [0; 2];
            for unit in c.encode_utf16(&mut units) {
                // Writing to a string cannot fail.
                let _ = write!(line, "\\u{unit:04x}");
            }
        }
    }
    line
}

/// Text without what a terminal would interpret, and what a runner would: it reads the output of a container that a step
/// runs, which does not know of it.
pub(super) fn for_terminal(text: &str) -> String {
    let lines = text.split('\n').map(|line| {
        let line: String = line.chars().filter(|c| is_visible(*c)).collect();
        apart_from_commands(&line).replace("##[", "## [")
    });
    lines.collect::<Vec<String>>().join("\n")
}

/// A line that is no workflow command.
pub(super) fn apart_from_commands(line: &str) -> String {
    // The runner removes a byte-order mark at the beginning of the output.
    let is_skipped = |c: char| c.is_whitespace() || c == '\u{feff}';
    match line.trim_start_matches(is_skipped).strip_prefix("::") {
        // The space prevents the runner from interpreting the line as a command.
        Some(rest) => format!(": :{rest}"),
        None => line.to_owned(),
    }
}

/// The maximum length of an annotation in UTF-16 units. The runner cuts at 4,096.
const MAX_ANNOTATION: usize = 4_000;

/// The maximum length of the hint and the link at its end.
const MAX_END: usize = 2_500;

/// What begins and ends the number of a character that an annotation does not contain.
const NUMBER_MARKS: [char; 2] = ['\u{2039}', '\u{203a}'];

/// The text of an annotation that the runner can take.
///
/// At the end of a step, the runner cuts errors and warnings to 256 UTF-16 units for a log of its own, after it has
/// masked them. If the cut is inside of a character, the runner ends: no later step runs, and no post phase. So there
/// is no such character: its number is shown, as is that of the mark before a number. A text that is too long loses its
/// middle, and so does a hint, which ends in the link.
///
/// Source: `PublishStepTelemetry` in `src/Runner.Worker/ExecutionContext.cs` of the runner, and what it did when it ran.
pub(super) fn fit(message: &str) -> String {
    let mut text = String::with_capacity(message.len());
    for c in message.chars() {
        if is_beyond_bmp(c) || c == NUMBER_MARKS[0] {
            let [open, close] = NUMBER_MARKS;
            // Writing to a string cannot fail.
            let _ = write!(text, "{open}U+{:04X}{close}", u32::from(c));
        } else {
            text.push(c);
        }
    }
    if utf16_len(&text) <= MAX_ANNOTATION {
        return text;
    }
    // No character needs two units anymore.
    let hint = text.find("\nhint: ").unwrap_or(text.len());
    let (what, hint) = text.split_at(hint);
    let hint = without_middle(hint, MAX_END);
    without_middle(what, MAX_ANNOTATION - utf16_len(&hint)) + &hint
}

/// A text of at most `max` characters: without its middle, if it is longer.
fn without_middle(text: &str, max: usize) -> String {
    let length = text.chars().count();
    if length <= max {
        return text.to_owned();
    }
    let start = text.chars().take(max / 2);
    let end = text.chars().skip(length - (max - max / 2 - 1));
    start.chain(['\u{2026}']).chain(end).collect()
}

/// The data of a command, which does not begin with a character that could combine with the colon before it: the line
/// would be no command.
fn apart(data: &str) -> String {
    if data.starts_with(|c: char| !c.is_ascii()) {
        format!(" {data}")
    } else {
        data.to_owned()
    }
}

/// Escapes the data of a workflow command, as `ActionCommand.cs` of the runner unescapes it.
pub(super) fn escape_data(data: &str) -> String {
    data.replace('%', "%25")
        .replace('\r', "%0D")
        .replace('\n', "%0A")
}

/// Escapes a property of a workflow command, as `ActionCommand.cs` of the runner unescapes it.
fn escape_property(property: &str) -> String {
    escape_data(property)
        .replace(':', "%3A")
        .replace(',', "%2C")
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn a_long_annotation_loses_its_middle() {
        let names = "name, ".repeat(1_000);
        let end = "\nhint: do this\nsee: https://example.com/page#section";
        let text = fit(&format!("what came back: {names}{end}"));
        assert!(text.starts_with("what came back: name, "), "{text}");
        assert!(text.ends_with(end) && text.contains('\u{2026}'), "{text}");
        assert_eq!(utf16_len(&text), MAX_ANNOTATION);
        let text = fit(&format!("Names: {names}Do this."));
        assert!(text.ends_with("name, Do this."), "{text}");
        assert_eq!(utf16_len(&text), MAX_ANNOTATION);
    }

    proptest! {
        #[test]
        fn any_text_can_be_an_annotation(
            what in "(?s).{0,2000}", hint in "[a-z ]{0,200}", beyond in "[\u{10000}-\u{10ffff}]{0,400}",
        ) {
            let message = format!("{what}{beyond}\nhint: {hint}");
            let message = Message {
                level: Level::Error,
                code: None,
                place: None,
                text: &message,
            };
            let text = message.command(str::to_owned);
            let data = text.strip_prefix("::error title=Port MCP::").unwrap();
            prop_assert!(!data.contains(['\n', '\r']));
            prop_assert!(!data.chars().any(is_beyond_bmp));
            prop_assert!(!data.starts_with(|c: char| !c.is_ascii()));
            let end = format!("%0Ahint: {hint}");
            prop_assert!(data.ends_with(&end));
            let plain = data.replace("%0A", "\n").replace("%0D", "\r").replace("%25", "%");
            prop_assert!(utf16_len(&plain) <= MAX_ANNOTATION + 1);
        }
    }
}
