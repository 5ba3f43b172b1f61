//! What in a base configuration could undo the grant.
//!
//! An agent's own configuration has keys that widen what a list of tools allows, switch a server off,
//! or let the agent run programs unasked; each agent's file names those of its own. Beside them, for
//! every agent alike: a second way to the same server, a server whose tools look like ours, and the
//! token's variable in a place that is not ours.
//!
//! What is found is told by the names of known keys alone: a configuration may hold secrets anywhere.

use std::fmt;

use serde_json::Value;
use url::Url;
use wildmatch::WildMatch;

use super::config::Config;
use super::{Agent, TOKEN_VARIABLE};

/// A key of an agent's configuration that could undo the grant.
#[derive(Debug)]
pub(super) struct Override {
    /// The keys that lead to it; `*` is any key or place of a list.
    path: &'static [&'static str],
    /// What it does.
    effect: Effect,
    /// Which of its values do so.
    does: fn(&Value, &Given<'_>) -> bool,
}

impl Override {
    pub(super) const fn new(
        effect: Effect,
        path: &'static [&'static str],
        does: fn(&Value, &Given<'_>) -> bool,
    ) -> Self {
        Self { path, effect, does }
    }
}

/// What a value is held against.
#[derive(Debug)]
pub(super) struct Given<'a> {
    agent: &'a Agent,
    server: &'a str,
    tools: &'a [String],
}

impl Given<'_> {
    /// Whether an agent's pattern may mean a tool of the server, granted or not.
    fn is_meant_by(&self, pattern: &str) -> bool {
        let prefix = self.agent.known_as(self.server, "");
        let fixed = pattern.split(['*', '?']).next().unwrap_or_default();
        let is_whole = fixed.len() == pattern.len();
        let names = self.tools.iter().any(|tool| tool == pattern);
        // The server's own name stands for all of its tools.
        let server = prefix.trim_end_matches(['_', '-']);
        names
            || pattern == server
            || pattern.starts_with(&prefix)
            || (!is_whole && (prefix.starts_with(fixed) || fixed.starts_with(&prefix)))
    }
}

/// Any value that says something.
pub(super) fn anything(value: &Value, _: &Given<'_>) -> bool {
    match value {
        Value::Null => false,
        Value::Bool(is_on) => *is_on,
        Value::Array(list) => !list.is_empty(),
        Value::Object(map) => !map.is_empty(),
        Value::String(text) => !text.is_empty(),
        Value::Number(_) => true,
    }
}

/// A rule for everything, or patterns (the entries of a list, the keys of a map) that may mean a
/// tool of the server.
pub(super) fn means_our_tools(value: &Value, given: &Given<'_>) -> bool {
    match value {
        Value::Array(list) => list
            .iter()
            .filter_map(Value::as_str)
            .any(|pattern| given.is_meant_by(pattern)),
        Value::Object(map) => map.keys().any(|pattern| given.is_meant_by(pattern)),
        Value::String(_) => true,
        _ => false,
    }
}

/// A list of servers, or of patterns for them, with ours in it.
pub(super) fn names_our_server(value: &Value, given: &Given<'_>) -> bool {
    let list = value.as_array().into_iter().flatten();
    list.filter_map(Value::as_str)
        .any(|pattern| WildMatch::new(pattern).matches(given.server))
}

/// A list in which the agent's own shell is.
pub(super) fn names_a_shell(value: &Value, _: &Given<'_>) -> bool {
    let list = value.as_array().into_iter().flatten();
    list.filter_map(Value::as_str).any(|tool| {
        ["run_shell_command", "ShellTool"]
            .iter()
            .any(|shell| tool.starts_with(shell))
    })
}

pub(super) fn is_yolo(value: &Value, _: &Given<'_>) -> bool {
    value.as_str() == Some("yolo")
}

/// What a finding does to the grant.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Effect {
    /// The agent may use tools that are not granted, or other headers.
    Widens,
    /// The agent does not get what is granted.
    Hides,
    /// The agent runs programs unasked, which can read the token.
    Opens,
    /// A second way to the same server, without the list of tools.
    SameServer,
    /// The tools of another server have the names of ours.
    Clashes,
    /// The token goes to something else.
    GivesTokenAway,
}

impl Effect {
    /// What to do about it, as an imperative clause.
    #[must_use]
    pub fn hint(self) -> &'static str {
        match self {
            Self::Widens | Self::Hides | Self::Opens => "leave it out of `base_config`",
            Self::SameServer => {
                "leave that entry out of `base_config`: this step writes one with its own list"
            }
            Self::Clashes => "give that server another name, or set `server_name`",
            Self::GivesTokenAway => "use a variable of another name there",
        }
    }
}

impl fmt::Display for Effect {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Widens => f.write_str("can let the agent use more than the granted tools"),
            Self::Hides => f.write_str("can keep the agent from the granted tools"),
            Self::Opens => f.write_str("can let the agent run programs unasked"),
            Self::SameServer => f.write_str("leads to the same MCP server, past the list of tools"),
            Self::Clashes => f.write_str("has a name under which its tools look like this step's"),
            Self::GivesTokenAway => {
                write!(
                    f,
                    "uses the variable `{TOKEN_VARIABLE}`, so the token would go there too"
                )
            }
        }
    }
}

/// Something in a base configuration that could undo the grant.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Finding {
    /// What it is, by known keys: `agent.*.permission`, an entry of `mcpServers`.
    pub what: String,
    /// What it does.
    pub effect: Effect,
}

impl Agent {
    /// What in `config` could undo the grant of `tools` of the server called `name`; `is_ours` tells
    /// the server's addresses. An entry of that very name is none: it is replaced.
    #[must_use]
    pub fn findings(
        &self,
        name: &str,
        tools: &[String],
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
            let does = |value: &Value| (item.does)(value, &given);
            if value.is_some_and(|value| any_at(value, &item.path[1..], &does)) {
                find(format!("`{}`", item.path.join(".")), item.effect);
            }
        }
        let servers = self.servers;
        let servers_key = servers.key_in(config);
        for (key, value) in config.iter() {
            let is_servers = key == servers_key;
            let what = || {
                if is_servers {
                    format!("an entry of `{servers_key}`")
                } else {
                    "a value".to_owned()
                }
            };
            let others = children(value).filter(|(child, entry)| {
                !(is_servers && servers.name_of(child, entry) == Some(name))
            });
            for (child, entry) in others {
                if any_text(entry, &|text| leads_to(text, is_ours)) {
                    find(what(), Effect::SameServer);
                }
                // Codex withholds variables that stand there from its shell, as ours does.
                let is_withheld = (key, child) == ("shell_environment_policy", "exclude");
                if !is_withheld && any_text(entry, &|text| text.contains(TOKEN_VARIABLE)) {
                    find(what(), Effect::GivesTokenAway);
                }
                let other = servers.name_of(child, entry).filter(|_| is_servers);
                if other.is_some_and(|other| self.looks_alike(name, other)) {
                    find(what(), Effect::Clashes);
                }
            }
        }
        findings
    }

    /// Whether a tool of the one server may have the name of a tool of the other, to the program.
    fn looks_alike(&self, ours: &str, theirs: &str) -> bool {
        let name = self.known_as;
        if name("a", "tool") == name("b", "tool") {
            // It knows tools by their own names alone.
            return false;
        }
        let (ours, theirs) = (name(ours, ""), name(theirs, ""));
        ours.starts_with(&theirs) || theirs.starts_with(&ours)
    }

    /// Says which servers in a configuration the agent does not read, since they stand where another
    /// agent's do.
    #[must_use]
    pub fn unread(&self, config: &Config) -> Vec<String> {
        let unread = config.iter().filter(|(key, value)| {
            *key != self.servers.key_in(config) && ELSEWHERE.contains(key) && is_servers(value)
        });
        unread
            .map(|(key, _)| {
                format!(
                    "`base_config` has servers under `{key}`, which `{self}` does not read: it reads \
                     `{}`.",
                    self.servers.key
                )
            })
            .collect()
    }
}

/// Where agents and editors have their servers.
const ELSEWHERE: [&str; 8] = [
    "mcpServers",
    "servers",
    "mcp",
    "mcp_servers",
    "context_servers",
    "extensions",
    "amp.mcpServers",
    "mcp.servers",
];

/// Whether a value holds servers by name, as every agent writes them.
pub(super) fn is_servers(value: &Value) -> bool {
    let is_server = |value: &Value| {
        let keys = ["command", "cmd", "url", "uri", "httpUrl", "serverUrl"];
        keys.iter().any(|key| value.get(key).is_some())
    };
    value
        .as_object()
        .is_some_and(|map| !map.is_empty() && map.values().all(is_server))
}

/// What stands directly in a map or a list, with its key; a plain value is one by itself.
fn children(value: &Value) -> Box<dyn Iterator<Item = (&str, &Value)> + '_> {
    match value {
        Value::Object(map) => Box::new(map.iter().map(|(key, value)| (key.as_str(), value))),
        Value::Array(list) => Box::new(list.iter().map(|value| ("", value))),
        other => Box::new(std::iter::once(("", other))),
    }
}

fn any_at(value: &Value, path: &[&str], does: &dyn Fn(&Value) -> bool) -> bool {
    let Some((key, rest)) = path.split_first() else {
        return does(value);
    };
    match *key {
        "*" => match value {
            Value::Object(map) => map.values().any(|value| any_at(value, rest, does)),
            Value::Array(list) => list.iter().any(|value| any_at(value, rest, does)),
            _ => false,
        },
        key => value
            .get(key)
            .is_some_and(|value| any_at(value, rest, does)),
    }
}

/// Whether any text in a value, keys included, is of a kind.
fn any_text(value: &Value, is: &dyn Fn(&str) -> bool) -> bool {
    match value {
        Value::String(text) => is(text),
        Value::Array(list) => list.iter().any(|value| any_text(value, is)),
        Value::Object(map) => map
            .iter()
            .any(|(key, value)| is(key) || any_text(value, is)),
        _ => false,
    }
}

/// Whether a text holds an address of a server: alone, or among the words of a command.
fn leads_to(text: &str, is_ours: &dyn Fn(&Url) -> bool) -> bool {
    let words = text.split(|c: char| c.is_whitespace() || "\"'`()<>=,;|".contains(c));
    let addresses = words.filter_map(|word| {
        let url = match word.find("://") {
            Some(_) => Url::parse(word),
            None if word.contains(['.', ':']) => Url::parse(&format!("https://{word}")),
            None => return None,
        };
        url.ok()
    });
    addresses.into_iter().any(|url| is_ours(&url))
}
