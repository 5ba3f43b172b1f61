//! Patterns of names: `list_entities`, `list_*`, `!delete_*`.

use std::fmt;

use wildmatch::WildMatchPattern;

use crate::text::Quote;

/// The longest entry of a list of tools, as long as the longest name of a tool.
const LONGEST: usize = 128;

/// Text in which `*` stands for any characters, none included. No other character is special.
#[derive(Clone, Debug)]
pub struct Glob(WildMatchPattern<'*', '\0'>);

impl Glob {
    /// A pattern that tells upper from lower case.
    #[must_use]
    pub fn new(pattern: &str) -> Self {
        Self(WildMatchPattern::new(pattern))
    }

    /// A pattern that does not.
    #[must_use]
    pub fn ignoring_case(pattern: &str) -> Self {
        Self(WildMatchPattern::new_case_insensitive(pattern))
    }

    /// Whether `text` is, as a whole, what the pattern describes.
    #[must_use]
    pub fn matches(&self, text: &str) -> bool {
        self.0.matches(text)
    }
}

/// A list of tools: names, globs and exclusions. The order of its entries means nothing; an
/// exclusion always wins.
#[derive(Clone, Debug, Default)]
pub struct Patterns {
    /// Literal names, in the order in which they were given, each once.
    pub(super) names: Vec<String>,
    /// Globs that include, each with the text that it was made of.
    pub(super) globs: Vec<(String, Glob)>,
    exclusions: Vec<(String, Glob)>,
}

/// Why an entry is none, or a list is not usable as a whole.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[expect(missing_docs, reason = "the messages say what each one means")]
pub enum NotAPattern {
    #[error("names no tool")]
    Empty,
    #[error("only excludes: begin with what is granted, such as `*`")]
    OnlyExclusions,
    #[error("holds `{0}`, in the notation of an agent: write `{1}`")]
    Prefixed(Quote, String),
    #[error("holds `{0}`: `*` is the only wildcard")]
    OtherWildcard(Quote),
    #[error(
        "holds `{0}`, which is no tool's name: those have up to {LONGEST} letters, digits and `_`, \
         `-`, `.`"
    )]
    NoName(Quote),
}

impl Patterns {
    /// Reads the entries of a list.
    ///
    /// # Errors
    /// Everything that is wrong with them.
    pub fn read<'a>(entries: impl IntoIterator<Item = &'a str>) -> Result<Self, Vec<NotAPattern>> {
        let mut read = Self::default();
        let mut wrong = Vec::new();
        for entry in entries {
            let (excludes, pattern) = match entry.strip_prefix('!') {
                Some(pattern) => (true, pattern.trim_start()),
                None => (false, entry),
            };
            if let Err(why) = check(pattern) {
                wrong.push(why);
            } else if excludes {
                read.exclusions
                    .push((pattern.to_owned(), Glob::new(pattern)));
            } else if pattern.contains('*') {
                read.globs.push((pattern.to_owned(), Glob::new(pattern)));
            } else if !read.names.iter().any(|name| name == pattern) {
                read.names.push(pattern.to_owned());
            }
        }
        if wrong.is_empty() && read.names.is_empty() && read.globs.is_empty() {
            wrong.push(if read.exclusions.is_empty() {
                NotAPattern::Empty
            } else {
                NotAPattern::OnlyExclusions
            });
        }
        if wrong.is_empty() {
            Ok(read)
        } else {
            Err(wrong)
        }
    }

    /// Whether the tool called `name` is included and not excluded.
    #[must_use]
    pub fn grant(&self, name: &str) -> bool {
        !self.exclude(name)
            && (self.names.iter().any(|known| known == name)
                || self.globs.iter().any(|(_, glob)| glob.matches(name)))
    }

    /// Whether an exclusion names `name`.
    #[must_use]
    pub fn exclude(&self, name: &str) -> bool {
        self.exclusions.iter().any(|(_, glob)| glob.matches(name))
    }

    /// Every name and glob that includes.
    pub(super) fn includes(&self) -> impl Iterator<Item = &str> {
        let globs = self.globs.iter().map(|(text, _)| text);
        self.names.iter().chain(globs).map(String::as_str)
    }

    /// The literal names among the entries.
    #[must_use]
    pub fn names(&self) -> &[String] {
        &self.names
    }

    /// The names, if the list has nothing but names in it.
    #[must_use]
    pub fn only_names(&self) -> Option<&[String]> {
        (self.globs.is_empty() && self.exclusions.is_empty()).then_some(&self.names)
    }
}

impl fmt::Display for Patterns {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let globs = self.globs.iter().map(|(text, _)| text.clone());
        let exclusions = self.exclusions.iter().map(|(text, _)| format!("!{text}"));
        let entries: Vec<String> = self
            .names
            .iter()
            .cloned()
            .chain(globs)
            .chain(exclusions)
            .collect();
        f.write_str(&entries.join(", "))
    }
}

/// A tool's name has the characters that the
/// [MCP specification](https://modelcontextprotocol.io/specification/2025-11-25/server/tools#tool-names)
/// gives it. None of them means anything to a shell, to JSON or to an agent's list.
pub(super) fn is_name(text: &str) -> bool {
    (1..=LONGEST).contains(&text.len())
        && text
            .bytes()
            .all(|b| b.is_ascii_alphanumeric() || b"_-.".contains(&b))
}

/// The name in an entry of an agent's own list: `mcp__port__list_pages`, `port(list_pages)`,
/// `Mcp(port:list_pages)`.
fn without_notation(entry: &str) -> Option<&str> {
    let name = if let Some(rest) = entry.strip_prefix("mcp__") {
        rest.split_once("__")?.1
    } else {
        let inner = entry.strip_suffix(')')?.split_once('(')?.1;
        inner.split_once(':').map_or(inner, |(_, name)| name)
    };
    (is_name(name) || name == "*").then_some(name)
}

fn check(pattern: &str) -> Result<(), NotAPattern> {
    if let Some(name) = without_notation(pattern) {
        return Err(NotAPattern::Prefixed(Quote::new(pattern), name.to_owned()));
    }
    if pattern.contains(['?', '[', ']', '{', '}']) {
        return Err(NotAPattern::OtherWildcard(Quote::new(pattern)));
    }
    let letters = pattern.replace('*', "");
    let is_everything = letters.is_empty() && !pattern.is_empty();
    if pattern.len() <= LONGEST && (is_everything || is_name(&letters)) {
        Ok(())
    } else {
        Err(NotAPattern::NoName(Quote::new(pattern)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(entries: &[&str]) -> Result<Patterns, String> {
        Patterns::read(entries.iter().copied()).map_err(|wrong| {
            let lines: Vec<String> = wrong.iter().map(ToString::to_string).collect();
            lines.join("\n")
        })
    }

    #[test]
    fn names_globs_and_exclusions() {
        let patterns = read(&["list_*", "get_page", "! list_plugins", "*_run*"]).unwrap();
        for granted in [
            "list_entities",
            "get_page",
            "track_action_run",
            "trigger_runs",
        ] {
            assert!(patterns.grant(granted), "{granted}");
        }
        for refused in [
            "list_plugins",
            "get_pages",
            "List_entities",
            "xlist_entities",
            "",
        ] {
            assert!(!patterns.grant(refused), "{refused}");
        }
        assert_eq!(patterns.only_names(), None);
        let names = read(&["b", "a", "b"]).unwrap();
        assert_eq!(names.only_names().unwrap(), ["b", "a"]);
    }

    #[test]
    fn what_cannot_be_used_is_said_at_once() {
        let entries = ["mcp__port__get_page", "a b", "x;y", "list_?", "!", "!{a,b}"];
        insta::assert_snapshot!(read(&entries).unwrap_err(), @"
        holds `mcp__port__get_page`, in the notation of an agent: write `get_page`
        holds `a b`, which is no tool's name: those have up to 128 letters, digits and `_`, `-`, `.`
        holds `x;y`, which is no tool's name: those have up to 128 letters, digits and `_`, `-`, `.`
        holds `list_?`: `*` is the only wildcard
        holds ``, which is no tool's name: those have up to 128 letters, digits and `_`, `-`, `.`
        holds `{a,b}`: `*` is the only wildcard
        ");
        insta::assert_snapshot!(read(&[]).unwrap_err(), @"names no tool");
        insta::assert_snapshot!(read(&["!delete_*"]).unwrap_err(), @"only excludes: begin with what is granted, such as `*`");
    }
}
