use crate::culture::{begins_with, find, same_name};
use crate::properties::{self, Properties};

/// A workflow command: `::name property=value::data`, or the older
/// `##[name property=value]data`.
///
/// Source: `src/Runner.Common/ActionCommand.cs`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Command {
    /// The name as printed. The runner ignores its case.
    pub name: String,
    /// The properties, unescaped, in the order in which they are printed. Properties with an empty
    /// name or value are dropped.
    pub properties: Vec<(String, String)>,
    /// The data, unescaped.
    pub data: String,
}

/// The commands that the runner processes. A line with any other name is an ordinary line.
///
/// Source: the extensions in `src/Runner.Worker/ActionCommandManager.cs`.
pub(crate) const REGISTERED: [&str; 15] = [
    "add-mask",
    "add-matcher",
    "add-path",
    "debug",
    "echo",
    "endgroup",
    "error",
    "group",
    "notice",
    "remove-matcher",
    "save-state",
    "set-env",
    "set-output",
    "stop-commands",
    "warning",
];

/// The escapes in the data of the `::` form, in the order in which the runner replaces them. The
/// percent sign is last, so the result of `%250A` is the three characters `%0A`.
const DATA: [(&str, &str); 3] = [("%0D", "\r"), ("%0A", "\n"), ("%25", "%")];
const PROPERTY: [(&str, &str); 5] = [
    ("%0D", "\r"),
    ("%0A", "\n"),
    ("%3A", ":"),
    ("%2C", ","),
    ("%25", "%"),
];
/// The escapes in the older form, which are the same for properties and data.
const OLDER: [(&str, &str); 5] = [
    ("%3B", ";"),
    ("%0D", "\r"),
    ("%0A", "\n"),
    ("%5D", "]"),
    ("%25", "%"),
];

impl Command {
    /// The command that the runner finds in `line`, if any.
    #[must_use]
    pub fn parse(line: &str) -> Option<Self> {
        Parsed::from_line(line, is_registered).map(|parsed| parsed.command)
    }

    /// The value of a property. The runner ignores the case of its name.
    #[must_use]
    pub fn property(&self, name: &str) -> Option<&str> {
        properties::get(&self.properties, name)
    }

    /// Whether this is the command `name`. Case is ignored.
    #[must_use]
    pub fn is(&self, name: &str) -> bool {
        same_name(&self.name, name)
    }
}

/// A command as the runner finds it.
#[derive(Debug)]
pub(crate) struct Parsed {
    pub(crate) command: Command,
    /// The half of a surrogate pair before the data. In the command's data, it is U+FFFD.
    pub(crate) half: Option<u16>,
}

impl Parsed {
    /// The command in a line, if its name is known.
    pub(crate) fn from_line(line: &str, known: impl Fn(&str) -> bool) -> Option<Self> {
        current(line, &known).or_else(|| older(line, &known))
    }
}

/// `TryParseV2`: only whitespace can precede the command.
fn current(line: &str, known: impl Fn(&str) -> bool) -> Option<Parsed> {
    let message = line.trim_start();
    if !begins_with(message, "::") {
        return None;
    }
    let (head, end) = message[2..].split_at(find(&message[2..], "::")?);
    let (name, properties) = head.split_once(' ').unwrap_or((head, ""));
    let (half, data) = after_colons(end);
    let data = unescape(data, &DATA);
    is_named(name, known).then(|| Parsed {
        command: Command {
            name: name.to_owned(),
            properties: read_properties(properties.trim(), ',', &PROPERTY),
            data: half.map(|_| '\u{fffd}').into_iter().collect::<String>() + &data,
        },
        half,
    })
}

/// The data after the last two colons. The runner skips two units, the second of which can be that of
/// an ignorable character between the colons, or half of it.
fn after_colons(end: &str) -> (Option<u16>, &str) {
    let mut rest = end.chars();
    rest.next();
    let second = rest.next().unwrap_or_default();
    let mut pair = [0; 2];
    let half = second.encode_utf16(&mut pair).get(1).copied();
    (half, rest.as_str())
}

/// `TryParse`: the command can be anywhere in the line. Only the first `##[` is considered.
fn older(line: &str, known: impl Fn(&str) -> bool) -> Option<Parsed> {
    let from = &line[find(line, "##[")?..];
    let (head, data) = from.split_once(']')?;
    let head = head.strip_prefix("##[")?;
    let (name, properties) = head.split_once(' ').unwrap_or((head, ""));
    is_named(name, known).then(|| Parsed {
        command: Command {
            name: name.to_owned(),
            properties: read_properties(properties, ';', &OLDER),
            data: unescape(data, &OLDER),
        },
        half: None,
    })
}

fn is_named(name: &str, known: impl Fn(&str) -> bool) -> bool {
    !name.is_empty() && known(name)
}

pub(crate) fn is_registered(name: &str) -> bool {
    REGISTERED.iter().any(|known| same_name(known, name))
}

fn read_properties(text: &str, separator: char, escapes: &[(&str, &str)]) -> Properties {
    let mut read = Properties::new();
    for property in text.split(separator) {
        // .NET's split without empty entries drops every `=` before the name and before the value.
        let Some((name, value)) = property.trim_start_matches('=').split_once('=') else {
            continue;
        };
        let value = unescape(value.trim_start_matches('='), escapes);
        if !value.is_empty() {
            properties::set(&mut read, name, value);
        }
    }
    read
}

fn unescape(text: &str, escapes: &[(&str, &str)]) -> String {
    escapes
        .iter()
        .fold(text.to_owned(), |text, (escaped, plain)| {
            text.replace(escaped, plain)
        })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn parsed(line: &str) -> (String, Vec<(String, String)>, String) {
        let Command {
            name,
            properties,
            data,
        } = Command::parse(line).expect(line);
        (name, properties, data)
    }

    fn owned(
        name: &str,
        properties: &[(&str, &str)],
        data: &str,
    ) -> (String, Vec<(String, String)>, String) {
        let properties = properties
            .iter()
            .map(|&(name, value)| (name.into(), value.into()));
        (name.into(), properties.collect(), data.into())
    }

    #[test]
    fn only_whitespace_can_precede_a_command() {
        assert_eq!(parsed(" \t\u{a0}::error::no"), owned("error", &[], "no"));
        assert_eq!(Command::parse(">> ::error::no"), None);
        assert_eq!(Command::parse("::error"), None);
        assert_eq!(Command::parse(":: error::no"), None);
    }

    #[test]
    fn the_older_form_can_be_anywhere() {
        assert_eq!(parsed("server said ##[error]no"), owned("error", &[], "no"));
        assert_eq!(
            parsed("##[error file=a;line=1]no"),
            owned("error", &[("file", "a"), ("line", "1")], "no")
        );
        assert_eq!(Command::parse("##[unknown]##[error]no"), None);
        assert_eq!(Command::parse("##[error"), None);
    }

    #[test]
    fn a_line_without_a_current_command_can_contain_an_older_one() {
        assert_eq!(
            parsed("::unknown::##[add-mask]x"),
            owned("add-mask", &[], "x")
        );
    }

    #[test]
    fn unknown_names_are_ordinary_lines() {
        assert_eq!(Command::parse("::unknown::x"), None);
        assert_eq!(Command::parse("::internal-set-repo-path::x"), None);
        assert_eq!(Command::parse("std::vec::Vec"), None);
        assert_eq!(parsed("::ERROR::x"), owned("ERROR", &[], "x"));
    }

    #[test]
    fn percent_is_unescaped_last() {
        assert_eq!(parsed("::error::a%0Ab%0D%25c").2, "a\nb\r%c");
        assert_eq!(parsed("::error::%250A").2, "%0A");
        assert_eq!(parsed("::error::%0a%3A%2C").2, "%0a%3A%2C");
        assert_eq!(parsed("##[error]%3B%5D%253B").2, ";]%3B");
    }

    #[test]
    fn properties_are_split_and_unescaped() {
        assert_eq!(
            parsed("::error title=a%2Cb%3A%0A%253A,file=x=y::m"),
            owned("error", &[("title", "a,b:\n%3A"), ("file", "x=y")], "m")
        );
        assert_eq!(
            parsed("::error title=,=x,file::m"),
            owned("error", &[], "m")
        );
        assert_eq!(
            parsed("::error =title==x::m"),
            owned("error", &[("title", "x")], "m")
        );
        assert_eq!(parsed("::error title=a, file=b::m").1[1].0, " file");
    }

    #[test]
    fn the_last_of_two_properties_is_used() {
        let command = Command::parse("::error title=a,Title=b::m").expect("a command");
        assert_eq!(command.properties.len(), 1);
        assert_eq!(command.property("TITLE"), Some("b"));
    }

    #[test]
    fn a_combining_mark_after_the_last_colons_makes_the_line_no_command() {
        assert_eq!(Command::parse("::add-mask::\u{301}secret"), None);
        assert_eq!(
            parsed("##[add-mask]\u{301}x"),
            owned("add-mask", &[], "\u{301}x")
        );
    }

    #[test]
    fn an_ignorable_character_between_the_last_colons_shifts_the_data() {
        assert_eq!(parsed("::warning:\u{ad}:d"), owned("warning", &[], ":d"));
        assert_eq!(
            parsed("::warning:\u{e0001}:d"),
            owned("warning", &[], "\u{fffd}:d")
        );
        assert_eq!(Command::parse(":\u{ad}:warning::d"), None);
    }

    #[test]
    fn data_can_contain_colons() {
        assert_eq!(parsed("::error::a::b").2, "a::b");
        assert_eq!(parsed("::error::").2, "");
    }
}
