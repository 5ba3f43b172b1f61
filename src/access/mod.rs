//! Who may do what: which of the server's tools the agent is granted.

use crate::text::Quote;

/// The tools that the agent is granted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Tools {
    /// Whatever the server offers.
    Whole,
    /// These, by name, in the order in which they were asked for, each once.
    Named(Vec<String>),
}

/// Why an entry of a list is not a tool's name.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum NotATool {
    /// A glob or an exclusion.
    #[error(
        "`{0}` is a pattern, and only `*` by itself may stand for more than one tool: write the names out"
    )]
    Pattern(Quote),
    /// A name in the notation of Claude Code.
    #[error("`{0}` is Claude Code's notation: write `{1}`")]
    Prefixed(Quote, Quote),
    /// Anything else.
    #[error("`{0}` is no tool's name, which has up to 128 letters, digits and `_`, `-`, `.`")]
    Other(Quote),
}

impl Tools {
    /// Reads the entries of a list of tools.
    ///
    /// # Errors
    /// Every entry that is not a tool's name.
    pub fn read<'a>(entries: impl IntoIterator<Item = &'a str>) -> Result<Self, Vec<NotATool>> {
        let entries: Vec<&str> = entries.into_iter().collect();
        if entries == ["*"] {
            return Ok(Self::Whole);
        }
        let mut names: Vec<String> = Vec::new();
        let mut wrong = Vec::new();
        for entry in entries {
            match check_name(entry) {
                Err(why) => wrong.push(why),
                Ok(()) if names.iter().any(|name| name == entry) => {}
                Ok(()) => names.push(entry.to_owned()),
            }
        }
        if wrong.is_empty() {
            Ok(Self::Named(names))
        } else {
            Err(wrong)
        }
    }
}

/// A tool's name has the characters that the
/// [MCP specification](https://modelcontextprotocol.io/specification/2025-11-25/server/tools#tool-names)
/// gives it. None of them means anything to a shell, to JSON or to an agent's list.
fn check_name(entry: &str) -> Result<(), NotATool> {
    if entry.contains(['*', '?', '[', '{', '!']) {
        return Err(NotATool::Pattern(Quote::new(entry)));
    }
    if let Some((_, name)) = entry
        .strip_prefix("mcp__")
        .and_then(|rest| rest.split_once("__"))
    {
        return Err(NotATool::Prefixed(Quote::new(entry), Quote::new(name)));
    }
    let is_name = (1..=128).contains(&entry.len())
        && entry
            .bytes()
            .all(|b| b.is_ascii_alphanumeric() || b"_-.".contains(&b));
    is_name
        .then_some(())
        .ok_or_else(|| NotATool::Other(Quote::new(entry)))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(entries: &[&str]) -> Result<Tools, String> {
        Tools::read(entries.iter().copied()).map_err(|wrong| {
            wrong
                .iter()
                .map(ToString::to_string)
                .collect::<Vec<_>>()
                .join("\n")
        })
    }

    #[test]
    fn names_are_kept_in_order_and_once() {
        let read_back = read(&["list_entities", "list_blueprints", "list_entities"]).unwrap();
        let names = ["list_entities", "list_blueprints"]
            .map(str::to_owned)
            .to_vec();
        assert_eq!(read_back, Tools::Named(names));
        assert_eq!(read(&["*"]), Ok(Tools::Whole));
    }

    #[test]
    fn what_is_not_a_name_is_refused_each_with_its_reason() {
        let entries = [
            "list_*",
            "!delete_entity",
            "mcp__port__get_page",
            "a b",
            "x;y",
            "*",
        ];
        insta::assert_snapshot!(read(&entries).unwrap_err(), @"
        `list_*` is a pattern, and only `*` by itself may stand for more than one tool: write the names out
        `!delete_entity` is a pattern, and only `*` by itself may stand for more than one tool: write the names out
        `mcp__port__get_page` is Claude Code's notation: write `get_page`
        `a b` is no tool's name, which has up to 128 letters, digits and `_`, `-`, `.`
        `x;y` is no tool's name, which has up to 128 letters, digits and `_`, `-`, `.`
        `*` is a pattern, and only `*` by itself may stand for more than one tool: write the names out
        ");
    }
}
