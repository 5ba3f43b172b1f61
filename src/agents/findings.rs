//! Settings in a base configuration that could override the grant.
//!
//! An agent's configuration can contain settings that allow more tools, disable a server, or let the agent
//! run programs without approval. Each agent's file lists its own. In addition, for every agent: a second
//! entry for the same server, a server whose tools look like those of this step, and another use of the
//! token's variable.
//!
//! Findings name known keys only, since any other part of a configuration can be a secret.

use std::fmt;

use serde_json::Value;
use url::Url;
use wildmatch::WildMatch;

use super::config::Config;
use super::{Agent, TOKEN_VARIABLE};

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
    tools: &'a [String],
}

impl Given<'_> {
    /// Whether an agent's pattern can match a tool of the server, granted or not.
    fn is_matched_by(&self, pattern: &str) -> bool {
        let prefix = self.agent.function_name(self.server, "");
        let literal = pattern.split(['*', '?']).next().unwrap_or_default();
        let is_whole = literal.len() == pattern.len();
        let is_name = self.tools.iter().any(|tool| tool == pattern);
        // The name of the server matches all of its tools.
        let server = prefix.trim_end_matches(['_', '-']);
        is_name
            || pattern == server
            || pattern.starts_with(&prefix)
            || (!is_whole && (prefix.starts_with(literal) || literal.starts_with(&prefix)))
    }
}

/// Any value that is not empty or false.
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
    let list = value.as_array().into_iter().flatten();
    list.filter_map(Value::as_str)
        .any(|pattern| WildMatch::new(pattern).matches(given.server))
}

pub(super) fn is_yolo(value: &Value, _: &Given<'_>) -> bool {
    value.as_str() == Some("yolo")
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
    /// The setting, named by known keys: `agent.*.permission`, an entry of `mcpServers`.
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
            let has_effect = |value: &Value| (item.has_effect)(value, &given);
            if value.is_some_and(|value| any_at(value, &item.path[1..], &has_effect)) {
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
                // Codex hides the variables in this list from its shell, so this step adds the token's.
                let is_hidden = (key, child) == ("shell_environment_policy", "exclude");
                if !is_hidden && any_text(entry, &|text| text.contains(TOKEN_VARIABLE)) {
                    find(what(), Effect::GivesTokenAway);
                }
                let other = servers.name_of(child, entry).filter(|_| is_servers);
                if other.is_some_and(|other| self.can_clash(name, other)) {
                    find(what(), Effect::Clashes);
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
        let unread = config.iter().filter(|(key, value)| {
            *key != self.servers.key_in(config) && SERVER_KEYS.contains(key) && is_servers(value)
        });
        unread
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
const SERVER_KEYS: [&str; 8] = [
    "mcpServers",
    "servers",
    "mcp",
    "mcp_servers",
    "context_servers",
    "extensions",
    "amp.mcpServers",
    "mcp.servers",
];

/// Whether a value is an object of servers by name, in the form of any agent.
pub(super) fn is_servers(value: &Value) -> bool {
    let is_server = |value: &Value| {
        let keys = ["command", "cmd", "url", "uri", "httpUrl", "serverUrl"];
        keys.iter().any(|key| value.get(key).is_some())
    };
    value
        .as_object()
        .is_some_and(|map| !map.is_empty() && map.values().all(is_server))
}

/// The direct children of an object or a list, with their keys. A scalar is its own child.
fn children(value: &Value) -> Box<dyn Iterator<Item = (&str, &Value)> + '_> {
    match value {
        Value::Object(map) => Box::new(map.iter().map(|(key, value)| (key.as_str(), value))),
        Value::Array(list) => Box::new(list.iter().map(|value| ("", value))),
        other => Box::new(std::iter::once(("", other))),
    }
}

fn any_at(value: &Value, path: &[&str], is: &dyn Fn(&Value) -> bool) -> bool {
    let Some((key, rest)) = path.split_first() else {
        return is(value);
    };
    match *key {
        "*" => match value {
            Value::Object(map) => map.values().any(|value| any_at(value, rest, is)),
            Value::Array(list) => list.iter().any(|value| any_at(value, rest, is)),
            _ => false,
        },
        key => value.get(key).is_some_and(|value| any_at(value, rest, is)),
    }
}

/// Whether any text in a value, including keys, has a property.
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

/// Whether a text contains a URL of the server, alone or as part of a command.
///
/// `Url` reads a URL as agents in JavaScript do: with any number of slashes or backslashes, and with ignored tabs and
/// newlines (the [URL standard](https://url.spec.whatwg.org/#concept-basic-url-parser)).
fn leads_to(text: &str, is_ours: &dyn Fn(&Url) -> bool) -> bool {
    let words = text.split(|c: char| c.is_whitespace() || "\"'`()<>=,;|".contains(c));
    let addresses = std::iter::once(text).chain(words);
    let mut addresses = addresses.filter(|address| address.contains(['.', ':']));
    addresses.any(|address| {
        let without_scheme = format!("https://{address}");
        let urls = [Url::parse(address), Url::parse(&without_scheme)];
        urls.into_iter().flatten().any(|url| is_ours(&url))
    })
}
