//! What is wrong with the text of a policy: everything at once, each problem with its position.
//!
//! A problem never quotes the file: `policy` may name any file, which may contain a secret.

use std::fmt;

use serde::Deserialize as _;
use url::Host;
use yaml_serde::Value;

use super::one_of::OneOf;
use super::place::{self, Step};
use crate::Connection;
use crate::access::pattern::{PatternError, Patterns};
use crate::port::{Actions, Region};
use crate::text::{nearest, or_list};

/// A problem in the text of a policy, and how to fix it.
#[derive(Clone, Debug)]
pub struct Problem {
    /// The line and the column, from 1.
    pub position: Option<(usize, usize)>,
    /// Whether the policy is valid, but one of its rules has no effect.
    pub(super) is_without_effect: bool,
    pub(super) what: String,
    pub(super) hint: &'static str,
}

impl Problem {
    /// A problem that [`find`] does not know.
    pub(super) fn unknown() -> Self {
        Self {
            position: None,
            is_without_effect: false,
            what: "it is not in the format of a policy".to_owned(),
            hint: CHECK_HINT,
        }
    }

    /// A rule or a condition without effect.
    pub(super) fn without_effect(text: &str, path: &[Step], what: String) -> Self {
        Self {
            position: place::position(text, path),
            is_without_effect: true,
            what,
            hint: EFFECT_HINT,
        }
    }
}

const CHECK_HINT: &str = "see the format in docs/policy.md; run `port-mcp policy check` before you \
    commit a policy";
const QUOTES_HINT: &str = "check the indentation and the brackets at this position; quote entries that \
    begin with `*` or `!`";
const TAG_HINT: &str = "quote exclusions: `\"!delete_*\"`";
const NULL_HINT: &str = "add a value, or remove the key";
const CONDITION_HINT: &str = "use a pattern, or a list that includes before it excludes: \
    `[\"refs/heads/*\", \"!refs/heads/dependabot/*\"]`";
const EFFECT_HINT: &str =
    "correct or remove it: a run that does not match falls through to the rules below";

/// The maximum number of problems that are reported.
pub(super) const MAX_PROBLEMS: usize = 50;

/// The maximum length of `contact` in characters.
const MAX_CONTACT: usize = 200;

/// Keys of the format before version 1, and what replaced them.
const FORMER_KEYS: &[(&str, &str, &str)] = &[
    ("ceiling", "`allow`", "rename `ceiling` to `allow`"),
    (
        "read_only",
        "`write`",
        "replace `read_only: false` with `write: true`, and remove `read_only: true`, which is the \
         default",
    ),
];

/// The check of a value.
type Check = fn(&mut Finder, &Value);

/// A mapping of the format.
struct Level {
    /// What it is, in errors.
    name: &'static str,
    expected: &'static str,
    keys: &'static [(&'static str, Check)],
    required: &'static [&'static str],
}

const FILE: Level = Level {
    name: "the policy",
    expected: "a policy with `version` and `rules`",
    keys: &[
        ("version", Finder::version),
        ("contact", Finder::contact),
        ("rules", Finder::rules),
    ],
    required: &["version", "rules"],
};

const RULE: Level = Level {
    name: "a rule",
    expected: "a rule with `allow`",
    keys: &[
        ("name", Finder::text),
        ("when", |finder, value| finder.mapping(value, &WHEN)),
        ("allow", |finder, value| finder.mapping(value, &ALLOW)),
    ],
    required: &["allow"],
};

const WHEN: Level = Level {
    name: "`when`",
    expected: "conditions by their names",
    keys: &[
        ("repository", Finder::condition),
        ("ref", Finder::condition),
        ("environment", Finder::condition),
        ("workflow", Finder::condition),
        ("event", Finder::condition),
    ],
    required: &[],
};

const ALLOW: Level = Level {
    name: "`allow`",
    expected: "limits by their names",
    keys: &[
        ("tools", Finder::tools),
        ("actions", |finder, value| {
            finder.entries(value, |action| {
                let is_valid = action == "*" || Actions::is_identifier(action);
                (!is_valid).then_some("is not a valid identifier of a Port action")
            });
        }),
        ("write", Finder::boolean),
        ("regions", |finder, value| {
            finder.choices(value, &Region::ALL);
        }),
        ("servers", |finder, value| {
            finder.entries(value, |host| {
                (!is_host(host))
                    .then_some("is not a host name: remove the scheme, port, path, or wildcard")
            });
        }),
        ("connection", |finder, value| {
            finder.choices(value, &Connection::ALL);
        }),
    ],
    required: &["tools"],
};

const LEVELS: [&Level; 4] = [&FILE, &RULE, &WHEN, &ALLOW];

/// Everything that is wrong with `document`, which `text` contains.
pub(super) fn find(text: &str, document: &Value) -> Vec<Problem> {
    let mut finder = Finder::default();
    finder.value(document, |finder, value| finder.mapping(value, &FILE));
    finder
        .found
        .into_iter()
        .map(|(path, what, hint)| Problem {
            position: nearest_position(text, &path),
            is_without_effect: false,
            what,
            hint,
        })
        .collect()
}

/// The position of a part, or of what contains it.
fn nearest_position(text: &str, path: &[Step]) -> Option<(usize, usize)> {
    let whole = path.len().saturating_sub(1);
    place::position(text, path).or_else(|| place::position(text, &path[..whole]))
}

/// Whether nothing is wrong with a rule.
pub(super) fn rule(index: usize, value: &Value) -> bool {
    let mut finder = Finder {
        path: vec![Step::Key("rules".to_owned()), Step::Element(index)],
        found: Vec::new(),
    };
    finder.value(value, |finder, value| finder.mapping(value, &RULE));
    finder.found.is_empty()
}

/// What is found on the way through a document.
#[derive(Default)]
struct Finder {
    /// The way to the current value.
    path: Vec<Step>,
    found: Vec<(Vec<Step>, String, &'static str)>,
}

impl Finder {
    fn add(&mut self, problem: impl Into<String>, hint: &'static str) {
        // Each position is searched for in the whole text.
        if self.found.len() < MAX_PROBLEMS {
            self.found.push((self.path.clone(), problem.into(), hint));
        }
    }

    fn expected(&mut self, what: impl fmt::Display) {
        self.add(format!("invalid value: expected {what}"), CHECK_HINT);
    }

    /// Checks a value, unless YAML allows it but it would grant more than its author intended:
    ///
    /// * An exclusion without quotes is a tag (`! delete_*` is the text `delete_*`), so it would include
    ///   what it is supposed to exclude.
    /// * A key without a value (`ref:`) would be the same as no condition, and match every run.
    fn value(&mut self, value: &Value, check: impl FnOnce(&mut Self, &Value)) {
        match value {
            Value::Null if !self.path.is_empty() => {
                self.add(format!("`{}` has no value", self.shown_path()), NULL_HINT);
            }
            Value::Tagged(_) => {
                self.add(format!("`{}` has a YAML tag", self.shown_path()), TAG_HINT);
            }
            value => check(self, value),
        }
    }

    /// As [`Self::value`], for a part of the current value.
    fn part(&mut self, step: Step, value: &Value, check: impl FnOnce(&mut Self, &Value)) {
        self.path.push(step);
        self.value(value, check);
        self.path.pop();
    }

    /// The way to the current value: `rules[0].when.ref`. All of its keys are in the format.
    fn shown_path(&self) -> String {
        let mut shown = String::new();
        for step in &self.path {
            match step {
                Step::Key(key) | Step::KeyItself(key) => {
                    let dot = if shown.is_empty() { "" } else { "." };
                    shown = format!("{shown}{dot}{key}");
                }
                Step::Element(index) => shown = format!("{shown}[{index}]"),
            }
        }
        shown
    }

    /// The number of the current rule, as the beginning of a clause.
    fn rule(&self) -> String {
        match self.path.get(1) {
            Some(Step::Element(index)) => format!("in rule {}, ", index + 1),
            _ => String::new(),
        }
    }

    /// The key of the current value.
    fn key(&self) -> &str {
        self.path
            .iter()
            .rev()
            .find_map(|step| match step {
                Step::Key(key) => Some(key.as_str()),
                _ => None,
            })
            .unwrap_or_default()
    }

    fn mapping(&mut self, value: &Value, level: &Level) {
        let Value::Mapping(map) = value else {
            return self.expected(level.expected);
        };
        for key in level.required {
            let quoted = format!("`{key}`");
            let has_former = FORMER_KEYS
                .iter()
                .any(|(former, key, _)| *key == quoted && map.contains_key(*former));
            if !map.contains_key(*key) && !has_former {
                self.add(format!("the key `{key}` is missing"), CHECK_HINT);
            }
        }
        for (key, value) in map {
            if matches!(key, Value::Tagged(_)) {
                self.add("a key has a YAML tag", "remove the tag");
                continue;
            }
            let key = key.as_str().unwrap_or_default();
            match level.keys.iter().find(|(known, _)| *known == key) {
                Some((_, check)) => self.part(Step::Key(key.to_owned()), value, check),
                None => self.unknown_key(key, level),
            }
        }
    }

    fn unknown_key(&mut self, key: &str, level: &Level) {
        let (problem, hint) = match FORMER_KEYS.iter().find(|(former, ..)| *former == key) {
            Some((key, replacement, hint)) => (
                format!("the key `{key}` was replaced by {replacement}"),
                *hint,
            ),
            None => (unknown_key(key, level), CHECK_HINT),
        };
        self.path.push(Step::KeyItself(key.to_owned()));
        self.add(problem, hint);
        self.path.pop();
    }

    fn list(&mut self, value: &Value, check: impl Fn(&mut Self, &Value)) {
        let Value::Sequence(list) = value else {
            return self.expected("a list");
        };
        for (index, element) in list.iter().enumerate() {
            self.part(Step::Element(index), element, &check);
        }
    }

    fn version(&mut self, value: &Value) {
        match value.as_u64() {
            Some(1) => {}
            Some(_) => self.add("`version` must be 1", CHECK_HINT),
            None => self.expected("an integer"),
        }
    }

    fn contact(&mut self, value: &Value) {
        let Some(contact) = value.as_str() else {
            return self.expected("a string");
        };
        let is_line = !contact.trim().is_empty() && !contact.contains(char::is_control);
        if !is_line || contact.chars().count() > MAX_CONTACT {
            let what = format!("`contact` is not one line of at most {MAX_CONTACT} characters");
            self.add(what, "write whom to ask, such as `#platform on Slack`");
        }
    }

    fn rules(&mut self, value: &Value) {
        if value.as_sequence().is_some_and(Vec::is_empty) {
            self.add("`rules` is empty", CHECK_HINT);
        }
        self.list(value, |finder, rule| finder.mapping(rule, &RULE));
    }

    fn text(&mut self, value: &Value) {
        if !value.is_string() {
            self.expected("a string");
        }
    }

    fn boolean(&mut self, value: &Value) {
        if !value.is_bool() {
            self.expected("a boolean");
        }
    }

    fn condition(&mut self, value: &Value) {
        if value.is_sequence() {
            let before = self.found.len();
            self.list(value, Self::text);
            if self.found.len() > before {
                return;
            }
        }
        let Ok(condition) = OneOf::deserialize(value) else {
            return self.expected("a pattern or a list of patterns");
        };
        if let Some(problem) = condition_problem(&condition) {
            let rule = self.rule();
            let what = format!("{rule}the condition `{}` {problem}", self.key());
            self.add(what, CONDITION_HINT);
        }
    }

    fn tools(&mut self, value: &Value) {
        let before = self.found.len();
        self.entries(value, |entry| {
            let pattern = entry.trim_start_matches('!').trim_start();
            let errors = Patterns::parse([pattern]).err()?;
            errors.first().map(|error| match error {
                PatternError::AgentNotation(..) => {
                    "is in the notation of an agent: use the plain name of the tool"
                }
                PatternError::OtherWildcard(_) => "contains another wildcard than `*`",
                _ => "is not a valid name: a name has up to 128 letters, digits, `_`, `-`, or `.`",
            })
        });
        let Some(list) = value.as_sequence().filter(|_| self.found.len() == before) else {
            return;
        };
        let rule = self.rule();
        if list.is_empty() {
            self.add(format!("{rule}`tools` is empty"), CHECK_HINT);
        } else if Patterns::parse(list.iter().filter_map(Value::as_str)).is_err() {
            let what = "`tools` contains only exclusions: add a pattern, such as `\"*\"`";
            self.add(format!("{rule}{what}"), CHECK_HINT);
        }
    }

    /// Checks a list of strings. `problem` continues a sentence that begins with the entry.
    fn entries(&mut self, value: &Value, problem: fn(&str) -> Option<&'static str>) {
        self.list(value, |finder, entry| {
            let Some(text) = entry.as_str() else {
                return finder.expected("a string");
            };
            if let (Some(problem), Some(Step::Element(index))) = (problem(text), finder.path.last())
            {
                let (rule, number) = (finder.rule(), index + 1);
                let what = format!("{rule}entry {number} of `{}` {problem}", finder.key());
                finder.add(what, CHECK_HINT);
            }
        });
    }

    /// Checks a list of some of the values `all`.
    fn choices<T: fmt::Display>(&mut self, value: &Value, all: &[T]) {
        self.list(value, |finder, entry| {
            let is_known = |known: &T| entry.as_str() == Some(known.to_string().as_str());
            if !all.iter().any(is_known) {
                finder.expected(or_list(all));
            }
        });
    }
}

/// An unknown key, which the text does not quote unless another level has it.
fn unknown_key(key: &str, level: &Level) -> String {
    let known: Vec<&str> = level.keys.iter().map(|(key, _)| *key).collect();
    let other = LEVELS
        .iter()
        .filter(|other| other.name != level.name)
        .find(|other| other.keys.iter().any(|(known, _)| *known == key));
    let guess = match (nearest(key, known.iter().copied()), other) {
        (Some(near), _) => format!(" (did you mean `{near}`?)"),
        (None, Some(other)) => format!("; `{key}` is a key of {}", other.name),
        (None, None) => String::new(),
    };
    format!(
        "unknown key in {}: expected {}{guess}",
        level.name,
        or_list(&known)
    )
}

fn condition_problem(condition: &OneOf) -> Option<&'static str> {
    let patterns = condition.patterns();
    let is_exclusion = |pattern: &String| pattern.starts_with('!');
    let is_empty = |pattern: &String| pattern.trim_start_matches('!').trim().is_empty();
    if patterns.iter().any(|p| p.contains(char::is_control)) {
        Some("contains a control character")
    } else if patterns.iter().any(is_empty) {
        Some("contains an empty pattern")
    } else if !patterns.is_empty() && patterns.iter().all(is_exclusion) {
        Some("contains only exclusions")
    } else {
        None
    }
}

fn is_host(text: &str) -> bool {
    let is_plain = |b: u8| b.is_ascii_alphanumeric() || b"-._:[]".contains(&b);
    !text.is_empty() && text.bytes().all(is_plain) && Host::parse(text).is_ok()
}

/// Describes an error of the parser without its text, which can quote the file.
pub(super) fn explained(error: &yaml_serde::Error) -> Problem {
    let is_repeated = error.to_string().contains("duplicate entry");
    let (what, hint) = if is_repeated {
        ("a key is repeated", CHECK_HINT)
    } else {
        ("YAML syntax error", QUOTES_HINT)
    };
    Problem {
        position: error.location().map(|place| (place.line(), place.column())),
        is_without_effect: false,
        what: what.to_owned(),
        hint,
    }
}
