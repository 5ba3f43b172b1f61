//! Settings in a base configuration that could override the grant.
//!
//! An agent's configuration can contain settings that allow more tools, disable a server, or let the agent
//! run programs without approval. Each agent's file lists its own. In addition, for every agent: a second
//! entry for the same server, a server whose tools look like those of this step, and another use of the
//! token's variable.
//!
//! A setting is listed at every place where the program's schema has it, and its value is compared as the program
//! reads it: [`any_value`] for switches and programs, [`reads_as`] for words, [`matches_our_tools`] and
//! [`names_our_server`] for patterns, and a function in the agent's file for what only this agent has.
//!
//! Findings name the keys that lead to a setting if they look like names, and never its value, which can be a secret.

use std::fmt;

use serde_json::Value;
use url::Url;
use wildmatch::WildMatch;

use super::config::{Config, is_servers};
use super::{Agent, TOKEN_VARIABLE};
use crate::tool::{FunctionName, ToolName};

/// A setting of an agent that could override the grant.
#[derive(Debug)]
pub(super) struct Override {
    /// The keys that lead to it. `*` matches any key or list entry.
    path: &'static [&'static str],
    /// Its effect.
    effect: Effect,
    /// Whether a value has this effect.
    has_effect: fn(&Value, &Given<'_>) -> bool,
}

impl Override {
    pub(super) const fn new(
        effect: Effect,
        path: &'static [&'static str],
        has_effect: fn(&Value, &Given<'_>) -> bool,
    ) -> Self {
        Self {
            path,
            effect,
            has_effect,
        }
    }
}

/// What a value is compared with.
#[derive(Debug)]
pub(super) struct Given<'a> {
    agent: &'a Agent,
    server: &'a str,
    tools: &'a [ToolName],
}

impl Given<'_> {
    /// Whether an agent's pattern can match a tool of the server, granted or not. Arguments in parentheses do not count.
    fn is_matched_by(&self, pattern: &str) -> bool {
        if has_variable(pattern) || self.tools.iter().any(|tool| tool.as_str() == pattern) {
            return true;
        }
        let without_arguments = pattern.split('(').next().unwrap_or_default();
        let pattern = trimmed(without_arguments).to_lowercase();
        let FunctionName(prefix) = self.agent.function_name(self.server, "");
        let prefix = prefix.to_lowercase();
        let is_wild = |c| ['*', '?'].contains(&c) || MORE_THAN_WILDCARDS.contains(&c);
        let literal = pattern.split(is_wild).next().unwrap_or_default();
        let is_whole = literal.len() == pattern.len();
        let is_name = self
            .tools
            .iter()
            .any(|tool| tool.as_str().eq_ignore_ascii_case(&pattern));
        // The name of the server matches all of its tools.
        let server = prefix.trim_end_matches(['_', '-']);
        is_name
            || pattern == server
            || pattern.starts_with(&prefix)
            || (!is_whole && (prefix.starts_with(literal) || literal.starts_with(&prefix)))
    }
}

/// Any value that is not empty or false. The texts `false` and `0` count: a program in JavaScript reads them as true.
pub(super) fn any_value(value: &Value, _: &Given<'_>) -> bool {
    match value {
        Value::Null => false,
        Value::Bool(is_on) => *is_on,
        Value::Array(list) => !list.is_empty(),
        Value::Object(map) => !map.is_empty(),
        Value::String(text) => !text.is_empty(),
        Value::Number(_) => true,
    }
}

/// A rule for all tools, or patterns (entries of a list, keys of an object) that can match a tool of the
/// server.
pub(super) fn matches_our_tools(value: &Value, given: &Given<'_>) -> bool {
    match value {
        Value::Array(list) => list
            .iter()
            .filter_map(Value::as_str)
            .any(|pattern| given.is_matched_by(pattern)),
        Value::Object(map) => map.keys().any(|pattern| given.is_matched_by(pattern)),
        Value::String(_) => true,
        _ => false,
    }
}

/// A list of servers, or of patterns for servers, that includes ours.
pub(super) fn names_our_server(value: &Value, given: &Given<'_>) -> bool {
    value
        .as_array()
        .into_iter()
        .flatten()
        .filter_map(Value::as_str)
        .any(|pattern| can_match(pattern, given.server))
}

/// Whether a glob can match a name, in any case. A glob with more than `*` and `?` can match any name.
pub(super) fn can_match(glob: &str, name: &str) -> bool {
    let glob = trimmed(glob);
    has_variable(glob)
        || glob.contains(MORE_THAN_WILDCARDS)
        || WildMatch::new_case_insensitive(glob).matches(name)
}

/// How classes, alternatives, and negations of globs begin.
const MORE_THAN_WILDCARDS: &[char] = &['[', '{', '(', '!'];

/// Whether a value is one of these words as the most lenient program reads it: in any case, with whitespace around it,
/// and with `_`, `-`, or nothing between its parts. A text with a variable can be any word.
pub(super) fn reads_as(value: &Value, words: &[&str]) -> bool {
    let letters = |word: &str| -> String {
        word.chars()
            .filter(|c| c.is_alphanumeric())
            .flat_map(char::to_lowercase)
            .collect()
    };
    value.as_str().is_some_and(|text| {
        let text_letters = letters(text);
        has_variable(text) || words.iter().any(|word| letters(word) == text_letters)
    })
}

/// Whether an agent can replace a part of a text by the value of a variable.
pub(super) fn has_variable(text: &str) -> bool {
    text.contains('$')
}

/// Whether one of these words, possibly with arguments in parentheses, is in a list of tools.
pub(super) fn lists_one_of(value: &Value, tools: &[&str]) -> bool {
    value
        .as_array()
        .into_iter()
        .flatten()
        .filter_map(Value::as_str)
        .any(|rule| {
            let tool = rule.split('(').next().unwrap_or_default();
            has_variable(tool) || tools.contains(&trimmed(tool))
        })
}

/// A text without the whitespace around it, as JavaScript trims it: also without a byte-order mark.
pub(super) fn trimmed(text: &str) -> &str {
    text.trim_matches(|c: char| c.is_whitespace() || c == '\u{feff}')
}

/// The effect of a finding.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Effect {
    /// The agent may use tools that are not granted, or change the headers.
    Widens,
    /// The agent may not be able to use the granted tools.
    Hides,
    /// The agent may run programs without approval, which can read the token.
    Opens,
    /// A second entry for the same server, without the list of tools.
    SameServer,
    /// The tools of another server have the same names as this step's.
    Clashes,
    /// Another server or program gets the token.
    GivesTokenAway,
}

impl Effect {
    /// What to do, as an imperative clause.
    #[must_use]
    pub fn hint(self) -> &'static str {
        match self {
            Self::Widens | Self::Hides | Self::Opens => "remove it from `base_config`",
            Self::SameServer => {
                "remove that entry from `base_config`: this step adds one with its own list of tools"
            }
            Self::Clashes => "rename that server, or set `server_name`",
            Self::GivesTokenAway => "use another variable there",
        }
    }
}

impl fmt::Display for Effect {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Widens => f.write_str("may allow tools that are not granted"),
            Self::Hides => f.write_str("may prevent the agent from using the granted tools"),
            Self::Opens => f.write_str("may let the agent run programs without approval"),
            Self::SameServer => {
                f.write_str("connects to the same MCP server without the list of tools")
            }
            Self::Clashes => f.write_str("has a name that makes its tools look like this step's"),
            Self::GivesTokenAway => {
                write!(
                    f,
                    "uses the variable `{TOKEN_VARIABLE}`, which would pass it the token"
                )
            }
        }
    }
}

/// A setting in a base configuration that could override the grant.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Finding {
    /// The keys that lead to the setting, in backticks: `agent.build.permission`, `mcpServers.other.url`.
    pub what: String,
    /// Its effect.
    pub effect: Effect,
}

impl Agent {
    /// The settings in `config` that could override the grant of `tools` of the server `name`, whose URLs
    /// `is_ours` recognizes. An entry of the same name is not a finding: it is replaced.
    #[must_use]
    pub fn findings(
        &self,
        name: &str,
        tools: &[ToolName],
        config: &Config,
        is_ours: &dyn Fn(&Url) -> bool,
    ) -> Vec<Finding> {
        let given = Given {
            agent: self,
            server: name,
            tools,
        };
        let mut findings = Vec::new();
        let mut find = |what: String, effect| {
            let finding = Finding { what, effect };
            if !findings.contains(&finding) {
                findings.push(finding);
            }
        };
        for item in self.overrides {
            let value = config.get(item.path[0]);
            let mut place = vec![item.path[0].to_owned()];
            let has_effect = |value: &Value| (item.has_effect)(value, &given);
            for_each_at(value, &item.path[1..], &mut place, &mut |value, place| {
                if has_effect(value) {
                    find(named(place), item.effect);
                }
            });
        }
        let servers = self.servers;
        let servers_key = servers.key_in(config);
        for (key, value) in config.iter() {
            let is_servers = key == servers_key;
            for (child, entry) in children(value) {
                let name = servers.name_of(&child, entry).filter(|_| is_servers);
                if name == Some(given.server) {
                    continue;
                }
                // An entry of a list is named by its name, which people recognize.
                let entry_key = name.unwrap_or(&child);
                let at = |place: Vec<String>| {
                    let mut keys = vec![key.to_owned(), entry_key.to_owned()];
                    keys.extend(place);
                    keys.retain(|key| !key.is_empty());
                    named(&keys)
                };
                if let Some(place) = place_of_text(entry, &|text| leads_to(text, is_ours)) {
                    find(at(place), Effect::SameServer);
                }
                let is_hidden = self.hidden_variables == Some((key, child.as_str()));
                let has_token = |text: &str| text.contains(TOKEN_VARIABLE);
                if let Some(place) = place_of_text(entry, &has_token).filter(|_| !is_hidden) {
                    find(at(place), Effect::GivesTokenAway);
                }
                if name.is_some_and(|name| self.can_clash(given.server, name)) {
                    find(at(Vec::new()), Effect::Clashes);
                }
            }
        }
        findings
    }

    /// Whether a tool of one server can have the same function name as a tool of the other.
    fn can_clash(&self, ours: &str, theirs: &str) -> bool {
        let name = self.function_name;
        if name("a", "tool") == name("b", "tool") {
            // The agent's function names do not depend on the server.
            return false;
        }
        let (ours, theirs) = (name(ours, ""), name(theirs, ""));
        ours.starts_with(&theirs) || theirs.starts_with(&ours)
    }

    /// A message for each key with servers that the agent does not read, because it is the key of another
    /// agent.
    #[must_use]
    pub fn ignored_servers(&self, config: &Config) -> Vec<String> {
        config
            .iter()
            .filter(|(key, value)| {
                *key != self.servers.key_in(config)
                    && SERVER_KEYS.contains(key)
                    && is_servers(value)
            })
            .map(|(key, _)| {
                format!(
                    "`base_config` contains servers in `{key}`, which `{self}` ignores: it reads `{}`.",
                    self.servers.key
                )
            })
            .collect()
    }
}

/// The keys in which agents and editors list servers.
const SERVER_KEYS: &[&str] = &[
    "mcpServers",
    "servers",
    "mcp",
    "mcp_servers",
    "context_servers",
    "extensions",
    "amp.mcpServers",
    "mcp.servers",
];

/// The direct children of an object or a list, with their keys or positions. A scalar is its own child.
fn children(value: &Value) -> Vec<(String, &Value)> {
    match value {
        Value::Object(map) => map
            .iter()
            .map(|(key, child)| (key.clone(), child))
            .collect(),
        Value::Array(list) => list
            .iter()
            .enumerate()
            .map(|(i, child)| (i.to_string(), child))
            .collect(),
        scalar => vec![(String::new(), scalar)],
    }
}

/// The maximum length of a key that messages show, in bytes.
const MAX_KEY: usize = 64;

/// Keys as messages show them. A key that does not look like a name, but could be a secret, is `*`.
fn named(keys: &[String]) -> String {
    let is_plain = |c: char| c.is_ascii_alphanumeric() || "_-.@/".contains(c);
    let shown = |key: &String| {
        let is_name = key.len() <= MAX_KEY && key.chars().all(is_plain);
        if is_name { key.clone() } else { "*".to_owned() }
    };
    let keys: Vec<String> = keys.iter().map(shown).collect();
    format!("`{}`", keys.join("."))
}

/// Calls `found` with each value that `path` leads to, and its place.
fn for_each_at(
    value: Option<&Value>,
    path: &[&str],
    place: &mut Vec<String>,
    found: &mut dyn FnMut(&Value, &[String]),
) {
    let Some(value) = value else {
        return;
    };
    let Some((key, rest)) = path.split_first() else {
        return found(value, place);
    };
    let next = match *key {
        "*" if value.is_object() || value.is_array() => children(value),
        key => value
            .get(key)
            .map(|child| (key.to_owned(), child))
            .into_iter()
            .collect(),
    };
    for (key, child) in next {
        place.push(key);
        for_each_at(Some(child), rest, place, found);
        place.pop();
    }
}

/// The keys that lead to the first text in a value, or the first key, that has a property.
fn place_of_text(value: &Value, is: &dyn Fn(&str) -> bool) -> Option<Vec<String>> {
    if let Value::String(text) = value {
        return is(text).then(Vec::new);
    }
    if !value.is_object() && !value.is_array() {
        return None;
    }
    children(value).into_iter().find_map(|(key, child)| {
        let mut place = vec![key.clone()];
        if !is(&key) {
            place.extend(place_of_text(child, is)?);
        }
        Some(place)
    })
}

/// Whether a text contains a URL of the server, alone or as part of a command.
///
/// `Url` reads a URL as agents in JavaScript do: with any number of slashes or backslashes, and with ignored tabs and
/// newlines (the [URL standard](https://url.spec.whatwg.org/#concept-basic-url-parser)).
fn leads_to(text: &str, is_ours: &dyn Fn(&Url) -> bool) -> bool {
    let words = text.split(|c: char| c.is_whitespace() || "\"'`()<>{}=,;|".contains(c));
    let addresses = std::iter::once(text).chain(words).flat_map(|word| {
        // In `${HOST:-http://…}`, the URL begins in the middle of a word.
        let start = word.find("://").map_or(0, |end| {
            let scheme = |c: char| c.is_ascii_alphanumeric();
            word[..end].trim_end_matches(scheme).len()
        });
        [word, &word[start..]]
    });
    addresses
        .filter(|address| address.contains(['.', ':']))
        .any(|address| {
            let without_scheme = format!("https://{address}");
            let urls = [Url::parse(address), Url::parse(&without_scheme)];
            urls.into_iter().flatten().any(|url| is_ours(&url))
        })
}
