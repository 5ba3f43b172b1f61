//! Patterns of tool names: `list_entities`, `list_*`, `!delete_*`.

use std::fmt;

use wildmatch::WildMatchPattern;

use crate::text::as_entry;
use crate::tool::{MAX_NAME, ToolName};

/// Text in which `*` matches any characters, or none. No other character is special.
#[derive(Clone, Debug)]
pub struct Glob(WildMatchPattern<'*', '\0'>);

impl Glob {
    /// A case-sensitive pattern.
    #[must_use]
    pub fn new(pattern: &str) -> Self {
        Self(WildMatchPattern::new(pattern))
    }

    /// A case-insensitive pattern.
    #[must_use]
    pub fn ignoring_case(pattern: &str) -> Self {
        Self(WildMatchPattern::new_case_insensitive(pattern))
    }

    /// Whether the pattern matches the whole of `text`.
    #[must_use]
    pub fn matches(&self, text: &str) -> bool {
        self.0.matches(text)
    }
}

/// A list of tools: names, globs, and exclusions. The order of its entries has no effect; an exclusion
/// always wins.
#[derive(Clone, Debug, Default)]
pub struct Patterns {
    /// Literal names in the given order, each once.
    pub(super) names: Vec<String>,
    /// Globs that include, each with its text.
    pub(super) globs: Vec<(String, Glob)>,
    exclusions: Vec<(String, Glob)>,
}

/// Why an entry, or a list as a whole, is invalid.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[expect(missing_docs, reason = "the messages say what each one means")]
pub enum PatternError {
    #[error("lists no tools")]
    Empty,
    #[error("contains only exclusions: add a pattern, such as `*`")]
    OnlyExclusions,
    #[error("contains {0}, which is in the notation of an agent: use `{1}`")]
    AgentNotation(String, String),
    #[error("contains {0}: `*` is the only wildcard")]
    OtherWildcard(String),
    #[error(
        "contains {0}, which is not a valid tool name: use up to {MAX_NAME} letters, digits, `_`, `-`, \
         or `.`"
    )]
    InvalidName(String),
}

impl Patterns {
    /// Parses the entries of a list.
    ///
    /// # Errors
    /// Every invalid entry.
    pub fn parse<'a>(
        entries: impl IntoIterator<Item = &'a str>,
    ) -> Result<Self, Vec<PatternError>> {
        let mut patterns = Self::default();
        let mut errors = Vec::new();
        for entry in entries {
            let (excludes, pattern) = match entry.strip_prefix('!') {
                Some(pattern) => (true, pattern.trim_start()),
                None => (false, entry),
            };
            if let Err(error) = check(pattern) {
                errors.push(error);
            } else if excludes {
                patterns
                    .exclusions
                    .push((pattern.to_owned(), Glob::new(pattern)));
            } else if pattern.contains('*') {
                patterns
                    .globs
                    .push((pattern.to_owned(), Glob::new(pattern)));
            } else if !patterns.names.iter().any(|name| name == pattern) {
                patterns.names.push(pattern.to_owned());
            }
        }
        if errors.is_empty() && patterns.names.is_empty() && patterns.globs.is_empty() {
            errors.push(if patterns.exclusions.is_empty() {
                PatternError::Empty
            } else {
                PatternError::OnlyExclusions
            });
        }
        if errors.is_empty() {
            Ok(patterns)
        } else {
            Err(errors)
        }
    }

    /// The same list, with further exclusions.
    #[must_use]
    pub(super) fn without(mut self, names: &[&str]) -> Self {
        let exclusions = names
            .iter()
            .map(|name| ((*name).to_owned(), Glob::new(name)));
        self.exclusions.extend(exclusions);
        self
    }

    /// Whether the tool `name` is included and not excluded.
    #[must_use]
    pub fn allows(&self, name: &str) -> bool {
        !self.excludes(name)
            && (self.names.iter().any(|known| known == name)
                || self.globs.iter().any(|(_, glob)| glob.matches(name)))
    }

    /// Whether an exclusion matches the tool `name`.
    #[must_use]
    pub fn excludes(&self, name: &str) -> bool {
        self.exclusions.iter().any(|(_, glob)| glob.matches(name))
    }

    /// Whether one tool name could be included by both lists. Exclusions do not count.
    #[must_use]
    pub(super) fn can_overlap(&self, other: &Self) -> bool {
        self.includes()
            .any(|one| other.includes().any(|two| intersect(one, two)))
    }

    /// Every name and glob that includes tools.
    pub(super) fn includes(&self) -> impl Iterator<Item = &str> {
        let globs = self.globs.iter().map(|(text, _)| text);
        self.names.iter().chain(globs).map(String::as_str)
    }

    /// Whether the list includes every tool.
    #[must_use]
    pub(super) fn is_everything(&self) -> bool {
        self.exclusions.is_empty() && self.globs.iter().any(|(text, _)| text == "*")
    }

    /// The literal names among the entries.
    #[must_use]
    pub fn names(&self) -> &[String] {
        &self.names
    }

    /// The names, if the list contains only names.
    #[must_use]
    pub fn only_names(&self) -> Option<&[String]> {
        (self.globs.is_empty() && self.exclusions.is_empty()).then_some(&self.names)
    }

    /// All entries.
    pub fn entries(&self) -> impl Iterator<Item = String> {
        self.names.iter().cloned().chain(self.patterns())
    }

    /// The entries that are no names: globs, and exclusions with their `!`.
    pub fn patterns(&self) -> impl Iterator<Item = String> {
        let globs = self.globs.iter().map(|(text, _)| text.clone());
        let exclusions = self.exclusions.iter().map(|(text, _)| format!("!{text}"));
        globs.chain(exclusions)
    }
}

impl fmt::Display for Patterns {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let entries: Vec<String> = self.entries().collect();
        f.write_str(&entries.join(", "))
    }
}

/// Whether a text matches both patterns.
fn intersect(one: &str, two: &str) -> bool {
    let (one, two) = (one.as_bytes(), two.as_bytes());
    // Whether the rest of `one` and the rest of `two` match a text, from the ends to the beginnings.
    let mut below = vec![false; two.len() + 1];
    for at in (0..=one.len()).rev() {
        let mut row = vec![false; two.len() + 1];
        for other in (0..=two.len()).rev() {
            row[other] = match (one.get(at), two.get(other)) {
                (None, None) => true,
                (Some(b'*'), Some(_)) => below[other] || row[other + 1],
                (Some(b'*'), None) => below[other],
                (Some(_), Some(b'*')) => row[other + 1] || below[other],
                (None, Some(b'*')) => row[other + 1],
                (Some(a), Some(b)) => a == b && below[other + 1],
                _ => false,
            };
        }
        below = row;
    }
    below[0]
}

/// The tool in an entry that is in an agent's notation: `mcp__port__list_pages`, `port(list_pages)`,
/// `Mcp(port:list_pages)`.
fn without_notation(entry: &str) -> Option<&str> {
    let name = if let Some(rest) = entry.strip_prefix("mcp__") {
        rest.split_once("__")?.1
    } else {
        let inner = entry.strip_suffix(')')?.split_once('(')?.1;
        inner.split_once(':').map_or(inner, |(_, name)| name)
    };
    (ToolName::is_valid(name) || name == "*").then_some(name)
}

fn check(pattern: &str) -> Result<(), PatternError> {
    if let Some(name) = without_notation(pattern) {
        return Err(PatternError::AgentNotation(
            as_entry(pattern),
            name.to_owned(),
        ));
    }
    if pattern.contains(['?', '[', ']', '{', '}']) {
        return Err(PatternError::OtherWildcard(as_entry(pattern)));
    }
    let literal = pattern.replace('*', "");
    let is_wildcard = literal.is_empty() && !pattern.is_empty();
    if pattern.len() <= MAX_NAME && (is_wildcard || ToolName::is_valid(&literal)) {
        Ok(())
    } else {
        Err(PatternError::InvalidName(as_entry(pattern)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(entries: &[&str]) -> Result<Patterns, String> {
        Patterns::parse(entries.iter().copied()).map_err(|errors| {
            let lines: Vec<String> = errors.iter().map(ToString::to_string).collect();
            lines.join("\n")
        })
    }

    #[test]
    fn patterns_intersect() {
        for (one, two, expected) in [
            ("list_*", "list_entities", true),
            ("list_*", "*_entities", true),
            ("delete_*", "list_*", false),
            ("*", "*", true),
            ("a*b", "a*c", false),
            ("a*b*c", "*bc", true),
            ("", "*", true),
            ("get_page", "get_pages", false),
        ] {
            assert_eq!(intersect(one, two), expected, "{one} {two}");
            assert_eq!(intersect(two, one), expected, "{two} {one}");
        }
    }

    #[test]
    fn names_globs_and_exclusions() {
        let patterns = parse(&["list_*", "get_page", "! list_plugins", "*_run*"]).unwrap();
        for granted in [
            "list_entities",
            "get_page",
            "track_action_run",
            "trigger_runs",
        ] {
            assert!(patterns.allows(granted), "{granted}");
        }
        for denied in [
            "list_plugins",
            "get_pages",
            "List_entities",
            "xlist_entities",
            "",
        ] {
            assert!(!patterns.allows(denied), "{denied}");
        }
        assert_eq!(patterns.only_names(), None);
        let names = parse(&["b", "a", "b"]).unwrap();
        assert_eq!(names.only_names().unwrap(), ["b", "a"]);
    }

    #[test]
    fn all_invalid_entries_are_reported_at_once() {
        let entries = ["mcp__port__get_page", "a b", "x;y", "list_?", "!", "!{a,b}"];
        insta::assert_snapshot!(parse(&entries).unwrap_err(), @"
        contains `mcp__port__get_page`, which is in the notation of an agent: use `get_page`
        contains `a b`, which is not a valid tool name: use up to 128 letters, digits, `_`, `-`, or `.`
        contains `x;y`, which is not a valid tool name: use up to 128 letters, digits, `_`, `-`, or `.`
        contains `list_?`: `*` is the only wildcard
        contains ``, which is not a valid tool name: use up to 128 letters, digits, `_`, `-`, or `.`
        contains `{a,b}`: `*` is the only wildcard
        ");
        insta::assert_snapshot!(parse(&[]).unwrap_err(), @"lists no tools");
        insta::assert_snapshot!(parse(&["!delete_*"]).unwrap_err(), @"contains only exclusions: add a pattern, such as `*`");
    }
}
