//! The file format of a policy: its keys, and the errors for text that is not in this format.
//!
//! An error gives the position and the kind of problem and never quotes the file: `policy` may name
//! any file, which may contain a secret.

use std::fmt;

use serde::Deserialize;
use serde::de::{Deserializer, SeqAccess, Visitor};
use url::Host;
use yaml_serde::Value;

use crate::access::pattern::Patterns;
use crate::agents::Connection;
use crate::port::{Actions, Region};
use crate::text::{nearest, without_mark};

/// Every key of the format: an error may quote these and no others.
const KEYS: [&str; 16] = [
    "version",
    "rules",
    "name",
    "when",
    "allow",
    "repository",
    "ref",
    "environment",
    "workflow",
    "event",
    "tools",
    "actions",
    "write",
    "regions",
    "servers",
    "connection",
];

/// What the workflows of an organization may request from Port's MCP server.
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
    /// Checked from top to bottom: the first rule that matches a run says what it allows. A run that no
    /// rule matches fails.
    #[cfg_attr(test, schemars(length(min = 1)))]
    pub(super) rules: Vec<Entry>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields, expecting = "a rule with `allow`")]
#[cfg_attr(test, derive(schemars::JsonSchema), schemars(rename = "Rule"))]
pub(super) struct Entry {
    /// Name of the rule in errors and in the job summary, in addition to its number.
    #[serde(default)]
    pub(super) name: String,
    /// The runs that the rule matches. Default: every run.
    #[serde(default)]
    pub(super) when: When,
    /// What such a run may request.
    pub(super) allow: Allow,
}

/// The conditions of a rule, all of which must be met. Each is a pattern or a list of patterns. Of a
/// list, one pattern must match and no exclusion (`!refs/heads/dependabot/*`) may match. `*` matches any
/// characters, including `/`. Only refs are case-sensitive.
#[derive(Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields, expecting = "conditions by their names")]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub(super) struct When {
    /// Repository that runs the workflow: `acme/catalog`, `acme/*`.
    #[cfg_attr(test, schemars(with = "OneOf"))]
    pub(super) repository: Option<OneOf>,
    /// Branch, tag, or pull request: `refs/heads/main`, `refs/tags/v*`, `refs/pull/*`.
    #[cfg_attr(test, schemars(with = "OneOf"))]
    pub(super) r#ref: Option<OneOf>,
    /// Environment, as the step's input `environment` names it.
    #[cfg_attr(test, schemars(with = "OneOf"))]
    pub(super) environment: Option<OneOf>,
    /// Workflow that GitHub started: `acme/catalog/.github/workflows/agent.yml`, with or without
    /// `@refs/heads/main` at its end. For a reusable workflow, this is the caller.
    #[cfg_attr(test, schemars(with = "OneOf"))]
    pub(super) workflow: Option<OneOf>,
    /// Event that started the workflow: `push`, `schedule`, `pull_request`.
    #[cfg_attr(test, schemars(with = "OneOf"))]
    pub(super) event: Option<OneOf>,
}

/// What a run may request.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields, expecting = "limits by their names")]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub(super) struct Allow {
    /// Tools: names, globs (`list_*`), and exclusions (`!delete_*`), as in `allowed_tools`.
    #[serde(rename = "tools")]
    #[cfg_attr(test, schemars(length(min = 1)))]
    tool_entries: Vec<String>,
    #[serde(skip)]
    pub(super) tools: Patterns,
    /// Port actions that the agent may run, or `*` for all. Default: none.
    #[serde(default)]
    pub(super) actions: Vec<String>,
    /// Whether the run may set `read_only: false`. Default: `false`.
    #[serde(default)]
    pub(super) write: bool,
    /// Regions of Port. Default: all.
    #[serde(default)]
    #[cfg_attr(test, schemars(with = "Vec<Region>"))]
    pub(super) regions: Option<Vec<Region>>,
    /// Hosts other than Port's own that `api_url` and `mcp_url` may name, and that therefore receive the
    /// credentials: `port.acme.example`, full names without a port. Default: none.
    #[serde(default)]
    pub(super) servers: Vec<String>,
    /// How the agent may connect to the server. Default: all.
    #[serde(default)]
    #[cfg_attr(test, schemars(with = "Vec<Connection>"))]
    pub(super) connection: Option<Vec<Connection>>,
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

/// Written by hand: an error of `#[serde(untagged)]` gives neither the problem nor its position.
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

/// A problem in the text of a policy, and how to fix it.
#[derive(Debug)]
pub(super) struct FormatError {
    pub(super) problem: String,
    pub(super) hint: &'static str,
}

const CHECK_HINT: &str = "see the format in docs/policy.md; run `port-mcp policy check` before you \
    commit a policy";
const QUOTES_HINT: &str = "check the indentation and the brackets at this position; quote entries that \
    begin with `*` or `!`";
const TAG_HINT: &str = "quote exclusions: `\"!delete_*\"`";
const NULL_HINT: &str = "add a value, or remove the key";
const CONDITION_HINT: &str = "use a pattern, or a list that includes before it excludes: \
    `[\"refs/heads/*\", \"!refs/heads/dependabot/*\"]`";

/// Keys of the format before version 1, and what replaced them.
const FORMER_KEYS: [(&str, &str, &str); 2] = [
    ("ceiling", "`allow`", "rename `ceiling` to `allow`"),
    (
        "read_only",
        "`write`",
        "replace `read_only: false` with `write: true`, and remove `read_only: true`, which is the \
         default",
    ),
];

impl File {
    /// Parses the text of a policy.
    pub(super) fn parse(text: &str) -> Result<Self, FormatError> {
        let text = without_mark(text);
        let mut file: Self = yaml_serde::from_str(text).map_err(|error| explained(&error))?;
        let value = yaml_serde::from_str(text).map_err(|error| explained(&error))?;
        if let Some(stray) = stray(&value, "") {
            return Err(stray);
        }
        let invalid = |problem: String, hint| Err(FormatError { problem, hint });
        if file.version != 1 {
            return invalid("`version` must be 1".to_owned(), CHECK_HINT);
        }
        if file.rules.is_empty() {
            return invalid("`rules` is empty".to_owned(), CHECK_HINT);
        }
        for (number, rule) in (1..).zip(&mut file.rules) {
            for (name, condition) in rule.when.all() {
                if let Some(problem) = condition.problem() {
                    let problem = format!("the condition `{name}` of rule {number} {problem}");
                    return invalid(problem, CONDITION_HINT);
                }
            }
            rule.allow.check().map_err(|problem| FormatError {
                problem: format!("in rule {number}, {problem}"),
                hint: CHECK_HINT,
            })?;
        }
        Ok(file)
    }
}

impl When {
    /// The conditions that are set, with their names.
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
            Some("contains a control character")
        } else if patterns
            .iter()
            .any(|p| p.trim_start_matches('!').trim().is_empty())
        {
            Some("contains an empty pattern")
        } else if !patterns.is_empty() && patterns.iter().all(is_exclusion) {
            Some("contains only exclusions")
        } else {
            None
        }
    }
}

impl Allow {
    /// Checks the entries of the lists, and parses those for tools.
    fn check(&mut self) -> Result<(), String> {
        let one_based = |index: Option<usize>| index.map(|index| index + 1);
        let entries = &self.tool_entries;
        self.tools = Patterns::parse(entries.iter().map(String::as_str)).map_err(|_| {
            let invalid = entries.iter().position(|entry| {
                let pattern = entry.trim_start_matches('!').trim_start();
                Patterns::parse([pattern]).is_err()
            });
            match one_based(invalid) {
                Some(number) => format!(
                    "entry {number} of `tools` is not a valid name or pattern: `*` is the only \
                     wildcard, and a name has up to 128 letters, digits, `_`, `-`, or `.`"
                ),
                None if entries.is_empty() => "`tools` is empty".to_owned(),
                None => {
                    "`tools` contains only exclusions: add a pattern, such as `\"*\"`".to_owned()
                }
            }
        })?;
        let is_action = |action: &String| action == "*" || Actions::is_identifier(action);
        if let Some(number) = one_based(self.actions.iter().position(|action| !is_action(action))) {
            return Err(format!(
                "entry {number} of `actions` is not a valid identifier of a Port action"
            ));
        }
        if let Some(number) = one_based(self.servers.iter().position(|host| !is_host(host))) {
            return Err(format!(
                "entry {number} of `servers` is not a host name: remove the scheme, port, path, or \
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

/// The first value in a document that YAML allows but that would grant more than its author intended:
///
/// * An exclusion without quotes is a tag (`! delete_*` is the text `delete_*`), so it would include
///   what it is supposed to exclude.
/// * A key without a value (`ref:`) would be the same as no condition, and match every run.
///
/// All keys are known at this point, so the error may show the path.
fn stray(value: &Value, path: &str) -> Option<FormatError> {
    let problem = |problem: &str, hint| {
        let path = path.trim_start_matches('.');
        let problem = format!("`{path}` {problem}");
        Some(FormatError { problem, hint })
    };
    match value {
        Value::Null => problem("has no value", NULL_HINT),
        Value::Tagged(_) => problem("has a YAML tag", TAG_HINT),
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

/// Describes an error of serde without its text, which can quote the file. Only the end of that text, what
/// was expected, comes from this program.
fn explained(error: &yaml_serde::Error) -> FormatError {
    let text = error.to_string();
    let position = error.location().map_or_else(String::new, |place| {
        format!(" at line {}, column {}", place.line(), place.column())
    });
    let expected = expected(&text);
    let named = |prefix: &str| {
        let (_, rest) = text.split_once(prefix)?;
        let (name, _) = rest.split_once('`')?;
        KEYS.iter().copied().find(|key| *key == name)
    };
    let unknown = unknown_key(&text);
    let former = FORMER_KEYS.iter().find(|(key, ..)| unknown == Some(key));
    if let Some((key, replacement, hint)) = former {
        let problem = format!("the key `{key}`{position} was replaced by {replacement}");
        return FormatError { problem, hint };
    }
    let problem = if let Some(key) = named("missing field `") {
        format!("the key `{key}` is missing{position}")
    } else if let Some(key) = named("duplicate field `") {
        format!("the key `{key}` is repeated{position}")
    } else if let Some(unknown) = unknown {
        let near = nearest(unknown, KEYS);
        let near = near.map_or_else(String::new, |near| format!(" (did you mean `{near}`?)"));
        let known = expected.map_or_else(String::new, |known| format!(": expected {known}"));
        format!("unknown key{position}{known}{near}")
    } else if let Some(expected) = expected {
        format!("invalid value{position}: expected {expected}")
    } else {
        return FormatError {
            problem: format!("YAML syntax error{position}"),
            hint: QUOTES_HINT,
        };
    };
    FormatError {
        problem,
        hint: CHECK_HINT,
    }
}

/// What serde expected, if its text names only keys and values of the format.
fn expected(text: &str) -> Option<String> {
    let (_, expected) = text.rsplit_once(", expected ")?;
    let expected = expected
        .rsplit_once(" at line ")
        .map_or(expected, |(expected, _)| expected);
    let mut names = expected.split('`').skip(1).step_by(2);
    let is_known = names.all(|name| {
        KEYS.contains(&name) || ["eu", "us", "direct", "mcp-remote", "gateway"].contains(&name)
    });
    is_known.then(|| expected.replace("u64", "an integer"))
}

/// The unknown key that an error of serde names.
fn unknown_key(text: &str) -> Option<&str> {
    let (_, rest) = text.split_once("unknown field `")?;
    Some(rest.split_once('`')?.0)
}

impl Allow {
    /// Whether `api_url` and `mcp_url` may name this host, which is not Port's own.
    pub(super) fn has_server(&self, host: &str) -> bool {
        self.servers
            .iter()
            .any(|server| server.eq_ignore_ascii_case(host))
    }

    pub(super) fn has_every_action(&self) -> bool {
        self.actions.iter().any(|action| action == "*")
    }
}
