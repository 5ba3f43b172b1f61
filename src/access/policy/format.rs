//! The policy's file: its keys, and what is wrong with a text that is none.
//!
//! An error says where and what, never with the file's own words: `policy` may name any file, and
//! what it holds may be a secret.

use std::fmt;

use serde::Deserialize;
use serde::de::{Deserializer, SeqAccess, Visitor};
use url::Host;
use yaml_serde::Value;

use crate::access::pattern::Patterns;
use crate::agents::Connection;
use crate::port::{Actions, Region};
use crate::text::{Quote, nearest, without_mark};

/// Every key of the format, so that an error may repeat them.
const KEYS: [&str; 16] = [
    "version",
    "rules",
    "name",
    "when",
    "ceiling",
    "repository",
    "ref",
    "environment",
    "workflow",
    "event",
    "tools",
    "actions",
    "read_only",
    "regions",
    "servers",
    "connection",
];

/// What runs of an organization's workflows may ask for of Port's MCP server.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields, expecting = "a policy with `version` and `rules`")]
#[cfg_attr(
    test,
    derive(schemars::JsonSchema),
    schemars(title = "Policy of port-mcp-action")
)]
pub(super) struct File {
    /// The version of this format.
    #[cfg_attr(test, schemars(extend("const" = 1)))]
    version: u64,
    /// Tried from top to bottom; the first that matches a run is its ceiling. A run that none
    /// matches is refused.
    #[cfg_attr(test, schemars(length(min = 1)))]
    pub(super) rules: Vec<Entry>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields, expecting = "a rule with `ceiling`")]
#[cfg_attr(test, derive(schemars::JsonSchema), schemars(rename = "Rule"))]
pub(super) struct Entry {
    /// What errors and the job summary call the rule, beside its number.
    #[serde(default)]
    pub(super) name: String,
    /// Which runs it is for; every run if left out.
    #[serde(default)]
    pub(super) when: When,
    /// The most that such a run may ask for.
    pub(super) ceiling: Ceiling,
}

/// The conditions of a rule, all of which must hold. Each is one pattern, or a list of patterns of
/// which one must match and no exclusion (`!refs/heads/dependabot/*`) may; `*` stands for any
/// characters, `/` included. Case counts in refs alone.
#[derive(Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields, expecting = "conditions by their names")]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub(super) struct When {
    /// The repository that runs the workflow: `acme/catalog`, `acme/*`.
    #[cfg_attr(test, schemars(with = "OneOf"))]
    pub(super) repository: Option<OneOf>,
    /// The branch, tag or pull request: `refs/heads/main`, `refs/tags/v*`, `refs/pull/*`.
    #[cfg_attr(test, schemars(with = "OneOf"))]
    pub(super) r#ref: Option<OneOf>,
    /// The environment, as the step's input `environment` names it.
    #[cfg_attr(test, schemars(with = "OneOf"))]
    pub(super) environment: Option<OneOf>,
    /// The workflow that GitHub started: `acme/catalog/.github/workflows/agent.yml`, with or
    /// without `@refs/heads/main` behind it. Of a reusable workflow it is the caller.
    #[cfg_attr(test, schemars(with = "OneOf"))]
    pub(super) workflow: Option<OneOf>,
    /// The event that started it: `push`, `schedule`, `pull_request`.
    #[cfg_attr(test, schemars(with = "OneOf"))]
    pub(super) event: Option<OneOf>,
}

/// The most that a run may ask for.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields, expecting = "limits by their names")]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub(super) struct Ceiling {
    /// Tools: names, globs (`list_*`) and exclusions (`!delete_*`), as in `allowed_tools`.
    #[serde(rename = "tools")]
    #[cfg_attr(test, schemars(length(min = 1)))]
    tool_entries: Vec<String>,
    #[serde(skip)]
    pub(super) tools: Patterns,
    /// Port actions that the agent may run, `*` for every one; none if left out.
    #[serde(default)]
    pub(super) actions: Vec<String>,
    /// Whether the run has to be in read-only mode; it has to if left out.
    #[serde(default = "yes")]
    pub(super) read_only: bool,
    /// Regions of Port; every one if left out.
    #[serde(default)]
    #[cfg_attr(test, schemars(with = "Vec<Region>"))]
    pub(super) regions: Option<Vec<Region>>,
    /// Hosts that `api_url` and `mcp_url` may name beside Port's own, since credentials are sent
    /// there: `port.acme.example`, whole names without a port; none if left out.
    #[serde(default)]
    pub(super) servers: Vec<String>,
    /// How the agent may reach the server; every way if left out.
    #[serde(default)]
    #[cfg_attr(test, schemars(with = "Vec<Connection>"))]
    pub(super) connection: Option<Vec<Connection>>,
}

fn yes() -> bool {
    true
}

/// One pattern, or a list of them.
#[derive(Debug)]
#[cfg_attr(test, derive(schemars::JsonSchema), schemars(untagged))]
pub(super) enum OneOf {
    One(String),
    Many(Vec<String>),
}

impl OneOf {
    pub(super) fn patterns(&self) -> &[String] {
        match self {
            Self::One(pattern) => std::slice::from_ref(pattern),
            Self::Many(patterns) => patterns,
        }
    }
}

/// By hand, since an error of `#[serde(untagged)]` would say neither what is wrong nor where.
impl<'de> Deserialize<'de> for OneOf {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Either;
        impl<'de> Visitor<'de> for Either {
            type Value = OneOf;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a pattern or a list of patterns")
            }

            fn visit_str<E: serde::de::Error>(self, pattern: &str) -> Result<OneOf, E> {
                Ok(OneOf::One(pattern.to_owned()))
            }

            fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<OneOf, A::Error> {
                let mut patterns = Vec::new();
                while let Some(pattern) = list.next_element()? {
                    patterns.push(pattern);
                }
                Ok(OneOf::Many(patterns))
            }
        }
        deserializer.deserialize_any(Either)
    }
}

/// What is wrong with a policy's text, and what to do about it.
#[derive(Debug)]
pub(super) struct Problem {
    pub(super) what: String,
    pub(super) hint: &'static str,
}

const CHECK_HINT: &str = "`port-mcp policy check` checks a file before it is committed; \
    docs/policy.md has the format";
const QUOTES_HINT: &str = "check the indentation and the brackets there; an entry that begins with \
    `*` or `!` has to stand in quotes";
const TAG_HINT: &str = "an exclusion has to stand in quotes: `\"!delete_*\"`";
const NULL_HINT: &str = "give it a value, or leave the key out";
const CONDITION_HINT: &str = "a condition is a pattern, or a list that begins with what it includes: \
    `[\"refs/heads/*\", \"!refs/heads/dependabot/*\"]`";

impl File {
    /// Reads the text of a policy.
    pub(super) fn parse(text: &str) -> Result<Self, Problem> {
        let text = without_mark(text);
        let mut file: Self = yaml_serde::from_str(text).map_err(|error| problem(&error))?;
        let value = yaml_serde::from_str(text).map_err(|error| problem(&error))?;
        if let Some(stray) = stray(&value, "") {
            return Err(stray);
        }
        let wrong = |what: String, hint| Err(Problem { what, hint });
        if file.version != 1 {
            return wrong(
                "its `version` is not 1, the only one that is known".to_owned(),
                CHECK_HINT,
            );
        }
        if file.rules.is_empty() {
            return wrong("it has no rules".to_owned(), CHECK_HINT);
        }
        for (number, rule) in (1..).zip(&mut file.rules) {
            for (name, condition) in rule.when.all() {
                if let Some(what) = condition.problem() {
                    let what = format!("the condition `{name}` of rule {number} {what}");
                    return wrong(what, CONDITION_HINT);
                }
            }
            rule.ceiling.check().map_err(|what| Problem {
                what: format!("in rule {number}, {what}"),
                hint: CHECK_HINT,
            })?;
        }
        Ok(file)
    }
}

impl When {
    /// The conditions that are there, by their names.
    pub(super) fn all(&self) -> impl Iterator<Item = (&'static str, &OneOf)> {
        let all = [
            ("repository", &self.repository),
            ("ref", &self.r#ref),
            ("environment", &self.environment),
            ("workflow", &self.workflow),
            ("event", &self.event),
        ];
        all.into_iter()
            .filter_map(|(name, condition)| Some((name, condition.as_ref()?)))
    }
}

impl OneOf {
    fn problem(&self) -> Option<&'static str> {
        let patterns = self.patterns();
        let is_exclusion = |pattern: &String| pattern.starts_with('!');
        if patterns.iter().any(|p| p.contains(char::is_control)) {
            Some("holds a control character")
        } else if patterns
            .iter()
            .any(|p| p.trim_start_matches('!').trim().is_empty())
        {
            Some("holds an empty pattern")
        } else if !patterns.is_empty() && patterns.iter().all(is_exclusion) {
            Some("only excludes")
        } else {
            None
        }
    }
}

impl Ceiling {
    /// Checks what is more than text, and turns the entries for tools into patterns.
    fn check(&mut self) -> Result<(), String> {
        let at = |wrong: Option<usize>| wrong.map(|index| index + 1);
        let entries = &self.tool_entries;
        self.tools = Patterns::read(entries.iter().map(String::as_str)).map_err(|_| {
            let wrong = entries.iter().position(|entry| {
                let pattern = entry.trim_start_matches('!').trim_start();
                Patterns::read([pattern]).is_err()
            });
            match at(wrong) {
                Some(number) => format!(
                    "entry {number} of `tools` is neither a tool's name nor a pattern: `*` is the \
                     only wildcard, and a name has up to 128 letters, digits and `_`, `-`, `.`"
                ),
                None if entries.is_empty() => "`tools` names no tool".to_owned(),
                None => {
                    "`tools` only excludes: begin with what it includes, such as `\"*\"`".to_owned()
                }
            }
        })?;
        let is_action = |action: &String| action == "*" || Actions::is_identifier(action);
        if let Some(number) = at(self.actions.iter().position(|action| !is_action(action))) {
            return Err(format!(
                "entry {number} of `actions` is no identifier of a Port action"
            ));
        }
        if let Some(number) = at(self.servers.iter().position(|host| !is_host(host))) {
            return Err(format!(
                "entry {number} of `servers` is no name of a host: it has no scheme, port, path or \
                 wildcard"
            ));
        }
        Ok(())
    }
}

fn is_host(text: &str) -> bool {
    let is_plain = |b: u8| b.is_ascii_alphanumeric() || b"-._:[]".contains(&b);
    !text.is_empty() && text.bytes().all(is_plain) && Host::parse(text).is_ok()
}

/// The first thing in a document that YAML allows and that would mean more than it says:
///
/// * an exclusion without quotes is a tag (`! delete_*` is the text `delete_*`), so it would include
///   what it was to exclude;
/// * a key with nothing behind it (`ref:`) would be as good as none, and meet every run.
///
/// Every key is known by now, so a path may be shown.
fn stray(value: &Value, path: &str) -> Option<Problem> {
    let problem = |what: &str, hint| {
        let path = path.trim_start_matches('.');
        let what = format!("`{path}` {what}");
        Some(Problem { what, hint })
    };
    match value {
        Value::Null => problem("has no value", NULL_HINT),
        Value::Tagged(_) => problem("has a tag", TAG_HINT),
        Value::Sequence(list) => (0..)
            .zip(list)
            .find_map(|(index, value)| stray(value, &format!("{path}[{index}]"))),
        Value::Mapping(map) => map.iter().find_map(|(key, value)| {
            let key = key.as_str().filter(|key| KEYS.contains(key));
            stray(value, &format!("{path}.{}", key.unwrap_or("?")))
        }),
        _ => None,
    }
}

/// What is wrong, by the kind of serde's message: it quotes the file, but what was expected stands at
/// its end in words of this program.
fn problem(error: &yaml_serde::Error) -> Problem {
    let text = error.to_string();
    let place = error.location().map_or_else(String::new, |place| {
        format!(" at line {}, column {}", place.line(), place.column())
    });
    let own_words = |text: &str| {
        // Names in backquotes are repeated only if they are keys or values of the format.
        let mut parts = text.split('`');
        let mut known = parts.by_ref().skip(1).step_by(2);
        known.all(|name| {
            KEYS.contains(&name) || ["eu", "us", "direct", "mcp-remote", "gateway"].contains(&name)
        })
    };
    let expected = text.rsplit_once(", expected ").map(|(_, expected)| {
        expected
            .rsplit_once(" at line ")
            .map_or(expected, |(expected, _)| expected)
    });
    let expected = expected
        .filter(|expected| own_words(expected))
        .map(|expected| expected.replace("u64", "a whole number"));
    let named = |prefix: &str| {
        let (_, rest) = text.split_once(prefix)?;
        let (name, _) = rest.split_once('`')?;
        KEYS.iter().copied().find(|key| *key == name)
    };
    let is = |kind: &str| text.contains(kind);
    let what = if let Some(key) = named("missing field `") {
        format!("the key `{key}` is missing{place}")
    } else if let Some(key) = named("duplicate field `") {
        format!("the key `{key}` stands there twice{place}")
    } else if is("unknown field `") {
        let near = unknown_key(&text).and_then(|key| nearest(key, KEYS));
        let near = near.map_or_else(String::new, |near| format!(" (did you mean `{near}`?)"));
        let known = expected
            .as_ref()
            .map_or_else(String::new, |known| format!(": expected {known}"));
        format!("a key is unknown{place}{known}{near}")
    } else if let Some(expected) = &expected {
        format!("a value is not what it has to be{place}: expected {expected}")
    } else {
        let what = format!("it is not the YAML of a policy: a syntax error{place}");
        return Problem {
            what,
            hint: QUOTES_HINT,
        };
    };
    Problem {
        what,
        hint: CHECK_HINT,
    }
}

/// The key that is unknown, to look for a known one that is near.
fn unknown_key(text: &str) -> Option<&str> {
    let (_, rest) = text.split_once("unknown field `")?;
    Some(rest.split_once('`')?.0)
}

impl Ceiling {
    pub(super) fn serves(&self, host: &str) -> bool {
        self.servers
            .iter()
            .any(|server| server.eq_ignore_ascii_case(host))
    }

    /// The ceiling in words, for people.
    pub(super) fn lines(&self) -> Vec<String> {
        let or = |list: &[String], none: &str| match list {
            [] => none.to_owned(),
            list => Quote::new(&list.join(", ")).to_string(),
        };
        let all =
            |list: Option<Vec<String>>| list.map_or("any".to_owned(), |list| or(&list, "none"));
        let texts = |list: &Vec<Region>| list.iter().map(ToString::to_string).collect();
        let ways = |list: &Vec<Connection>| list.iter().map(ToString::to_string).collect();
        vec![
            format!("  tools: {}", self.tools),
            format!("  actions: {}", or(&self.actions, "none")),
            format!("  read_only: {}", self.read_only),
            format!("  regions: {}", all(self.regions.as_ref().map(texts))),
            format!("  servers: {}", or(&self.servers, "Port's own")),
            format!("  connection: {}", all(self.connection.as_ref().map(ways))),
        ]
    }
}
