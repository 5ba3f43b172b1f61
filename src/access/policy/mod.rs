//! An organisation's policy: a file of rules, of which the first that matches a run is the ceiling
//! of what the run may ask for.
//!
//! ```yaml
//! version: 1
//! rules:
//!   - name: agents on main read
//!     when: { repository: acme/*, ref: refs/heads/main }
//!     ceiling: { tools: ["list_*", "get_*", "!list_plugins"] }
//! ```
//!
//! It is a guard-rail, not a wall: whoever writes a workflow may leave `policy` out. It becomes a
//! wall where the credentials reach nothing but a reusable workflow that names the policy.

use std::fmt;

use serde::Deserialize;
use serde::de::{Deserializer, Error as _, SeqAccess, Visitor};
use yaml_serde::Value;

use super::pattern::{Glob, NotAPattern, Patterns};
use super::{Refusal, Refusals};
use crate::agents::Connection;
use crate::port::{Actions, Region};
use crate::text::{Quote, either};

/// A policy that was read, and what to call it.
#[derive(Debug)]
pub struct Policy {
    origin: String,
    file: File,
}

/// Why a policy's text cannot be used. Then nothing is granted at all.
#[derive(Debug, thiserror::Error)]
#[error(
    "the policy {origin} cannot be used: {why}\n\
     hint: an entry that begins with `*` or `!` has to stand in quotes; `port-mcp policy check` \
     checks a file before it is committed"
)]
pub struct Broken {
    origin: String,
    why: Quote,
}

/// No rule of the policy matches the run.
#[derive(Debug, thiserror::Error)]
#[error(
    "no rule of the policy {origin} is for this run: {run}\n\
     hint: ask whoever keeps the policy for a rule; `port-mcp policy explain` says why each one does \
     not match"
)]
pub struct NoRule {
    origin: String,
    run: String,
}

/// What is known of a run. An empty text is not known, and meets no condition.
#[derive(Clone, Debug, Default)]
pub struct Run {
    /// `acme/catalogue`
    pub repository: String,
    /// `refs/heads/main`
    pub reference: String,
    /// As the step says: GitHub does not tell a step the environment of its job.
    pub environment: String,
    /// `acme/catalogue/.github/workflows/agent.yml@refs/heads/main`
    pub workflow: String,
    /// `push`
    pub event: String,
}

impl Run {
    /// What a rule may ask about, by the names that it has there.
    fn facts(&self) -> [(&'static str, &str); 5] {
        [
            ("repository", &self.repository),
            ("ref", &self.reference),
            ("environment", &self.environment),
            ("workflow", &self.workflow),
            ("event", &self.event),
        ]
    }
}

impl fmt::Display for Run {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let facts = self.facts().map(|(name, fact)| match fact {
            "" => format!("{name} unknown"),
            fact => format!("{name} `{}`", Quote::new(fact)),
        });
        f.write_str(&facts.join(", "))
    }
}

/// What a run asks for, as far as a ceiling limits it.
#[derive(Clone, Copy, Debug)]
pub struct Ask<'a> {
    /// `allowed_tools`
    pub tools: &'a Patterns,
    /// `allowed_actions`
    pub actions: &'a Actions,
    /// `read_only`
    pub read_only: bool,
    /// `region`
    pub region: Region,
    /// The hosts of `api_url` and `mcp_url` that are not the region's own.
    pub foreign_hosts: &'a [&'a str],
    /// `connection`
    pub connection: Connection,
}

/// The rule that is for a run.
#[derive(Debug)]
pub struct Rule<'a> {
    /// ``rule 2 (`agents on main`) of acme/.github/port-mcp.yml@main``
    pub title: String,
    ceiling: &'a Ceiling,
}

/// What runs of an organisation's workflows may ask for of Port's MCP server.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields, expecting = "a policy with `version` and `rules`")]
#[cfg_attr(
    test,
    derive(schemars::JsonSchema),
    schemars(title = "Policy of port-mcp-action")
)]
struct File {
    /// The version of this format.
    #[serde(deserialize_with = "version")]
    #[cfg_attr(test, schemars(extend("const" = 1)))]
    #[expect(dead_code, reason = "checked while it is read")]
    version: u64,
    /// Tried from top to bottom; the first that matches a run is its ceiling. A run that none
    /// matches is refused.
    #[cfg_attr(test, schemars(length(min = 1)))]
    rules: Vec<Entry>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
#[cfg_attr(test, derive(schemars::JsonSchema), schemars(rename = "Rule"))]
struct Entry {
    /// What errors and the job summary call the rule, beside its number.
    #[serde(default)]
    name: String,
    /// Which runs it is for; every run if left out.
    #[serde(default)]
    when: When,
    /// The most that such a run may ask for.
    ceiling: Ceiling,
}

/// The conditions of a rule, all of which must hold. Each is one pattern, or a list of which one
/// must match; `*` stands for any characters, `/` included. Case counts in refs alone.
#[derive(Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
struct When {
    /// The repository that runs the workflow: `acme/catalogue`, `acme/*`.
    #[cfg_attr(test, schemars(with = "OneOf"))]
    repository: Option<OneOf>,
    /// The branch, tag or pull request: `refs/heads/main`, `refs/tags/v*`, `refs/pull/*`.
    #[cfg_attr(test, schemars(with = "OneOf"))]
    r#ref: Option<OneOf>,
    /// The environment, as the step's input `environment` names it.
    #[cfg_attr(test, schemars(with = "OneOf"))]
    environment: Option<OneOf>,
    /// The workflow that GitHub started: `acme/catalogue/.github/workflows/agent.yml`, with or
    /// without `@refs/heads/main` behind it. Of a reusable workflow it is the caller.
    #[cfg_attr(test, schemars(with = "OneOf"))]
    workflow: Option<OneOf>,
    /// The event that started it: `push`, `schedule`, `pull_request`.
    #[cfg_attr(test, schemars(with = "OneOf"))]
    event: Option<OneOf>,
}

/// The most that a run may ask for.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
struct Ceiling {
    /// Tools: names, globs (`list_*`) and exclusions (`!delete_*`), as in `allowed_tools`.
    #[serde(deserialize_with = "patterns")]
    #[cfg_attr(test, schemars(with = "Vec<String>", length(min = 1)))]
    tools: Patterns,
    /// Port actions that the agent may run, `*` for every one; none if left out.
    #[serde(default, deserialize_with = "actions")]
    actions: Vec<String>,
    /// Whether the run has to be in read-only mode; it has to if left out.
    #[serde(default = "yes")]
    read_only: bool,
    /// Regions of Port; every one if left out.
    #[serde(default)]
    #[cfg_attr(test, schemars(with = "Vec<Region>"))]
    regions: Option<Vec<Region>>,
    /// Hosts that `api_url` and `mcp_url` may name beside the region's own, since credentials are
    /// sent there: `port.acme.example`; none if left out.
    #[serde(default)]
    servers: Vec<String>,
    /// How the agent may reach the server; every way if left out.
    #[serde(default)]
    #[cfg_attr(test, schemars(with = "Vec<Connection>"))]
    connection: Option<Vec<Connection>>,
}

/// One pattern, or a list of them.
#[derive(Debug)]
#[cfg_attr(test, derive(schemars::JsonSchema), schemars(untagged))]
enum OneOf {
    One(String),
    Many(Vec<String>),
}

impl OneOf {
    fn patterns(&self) -> &[String] {
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

fn yes() -> bool {
    true
}

fn version<'de, D: Deserializer<'de>>(deserializer: D) -> Result<u64, D::Error> {
    match u64::deserialize(deserializer)? {
        1 => Ok(1),
        other => Err(D::Error::custom(format_args!(
            "version {other} of the format is not known, only 1 is"
        ))),
    }
}

fn actions<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Vec<String>, D::Error> {
    let actions = Vec::<String>::deserialize(deserializer)?;
    match actions
        .iter()
        .find(|action| *action != "*" && !Actions::is_identifier(action))
    {
        None => Ok(actions),
        Some(other) => Err(D::Error::custom(format_args!(
            "`actions` holds `{}`, which is no identifier of a Port action",
            Quote::new(other)
        ))),
    }
}

fn patterns<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Patterns, D::Error> {
    let entries = Vec::<String>::deserialize(deserializer)?;
    Patterns::read(entries.iter().map(String::as_str)).map_err(|wrong| {
        let reasons: Vec<String> = wrong.iter().map(NotAPattern::to_string).collect();
        D::Error::custom(format_args!("`tools` {}", reasons.join("; ")))
    })
}

/// The first thing in a document that YAML allows and that would mean more than it says:
///
/// * an exclusion without quotes is a tag (`! delete_*` is the text `delete_*`), so it would include
///   what it was to exclude;
/// * a key with nothing behind it (`ref:`) would be as good as none, and meet every run.
fn stray(value: &Value, path: &str) -> Option<String> {
    match value {
        Value::Null => Some(format!("{path} has no value")),
        Value::Tagged(tagged) => Some(format!("{path} has the tag `{}`", tagged.tag)),
        Value::Sequence(list) => (0..)
            .zip(list)
            .find_map(|(index, value)| stray(value, &format!("{path}[{index}]"))),
        Value::Mapping(map) => map.iter().find_map(|(key, value)| {
            let key = key.as_str().unwrap_or("a key");
            stray(value, &format!("{path}.{key}"))
        }),
        _ => None,
    }
}

impl Policy {
    /// Reads the text of a policy that stands at `origin`.
    ///
    /// # Errors
    /// When it is not YAML, or not of this format: unknown keys are refused, with their line and
    /// column.
    pub fn parse(origin: &str, text: &str) -> Result<Self, Broken> {
        let broken = |why: &str| Broken {
            origin: origin.to_owned(),
            why: Quote::new(why),
        };
        let file: File = yaml_serde::from_str(text).map_err(|error| broken(&error.to_string()))?;
        let value = yaml_serde::from_str(text).map_err(|error| broken(&error.to_string()))?;
        if let Some(stray) = stray(&value, "") {
            return Err(broken(stray.trim_start_matches('.')));
        }
        if file.rules.is_empty() {
            return Err(broken("it has no rules"));
        }
        Ok(Self {
            origin: origin.to_owned(),
            file,
        })
    }

    /// The rule that is for `run`: the first that matches.
    ///
    /// # Errors
    /// When none does.
    pub fn rule_for(&self, run: &Run) -> Result<Rule<'_>, NoRule> {
        let mut rules = self.file.rules.iter().enumerate();
        rules
            .find(|(_, entry)| entry.when.unmet(run).is_empty())
            .map(|(index, entry)| self.rule(index, entry))
            .ok_or_else(|| NoRule {
                origin: self.origin.clone(),
                run: run.to_string(),
            })
    }

    fn rule<'a>(&self, index: usize, entry: &'a Entry) -> Rule<'a> {
        let name = match entry.name.as_str() {
            "" => String::new(),
            name => format!(" (`{}`)", Quote::new(name)),
        };
        Rule {
            title: format!("rule {}{name} of {}", index + 1, self.origin),
            ceiling: &entry.ceiling,
        }
    }

    /// For each rule down to the one that is for `run`, one line that says why it is or is not.
    #[must_use]
    pub fn explain(&self, run: &Run) -> Vec<String> {
        let mut lines = Vec::new();
        for (index, entry) in self.file.rules.iter().enumerate() {
            let rule = self.rule(index, entry);
            let unmet = entry.when.unmet(run);
            if unmet.is_empty() {
                lines.push(format!("{} is for this run.", rule.title));
                lines.extend(rule.ceiling.lines());
                return lines;
            }
            lines.push(format!("{} is not: {}.", rule.title, unmet.join("; ")));
        }
        lines.push("No rule is for this run, so it would be refused.".to_owned());
        lines
    }

    /// How many rules there are.
    #[must_use]
    pub fn count(&self) -> usize {
        self.file.rules.len()
    }
}

impl When {
    /// Each condition that does not hold, as a clause.
    fn unmet(&self, run: &Run) -> Vec<String> {
        let conditions = [
            &self.repository,
            &self.r#ref,
            &self.environment,
            &self.workflow,
            &self.event,
        ];
        let facts = run.facts();
        let mut unmet = Vec::new();
        for (condition, (name, fact)) in conditions.into_iter().zip(facts) {
            let Some(condition) = condition else { continue };
            let patterns = condition.patterns();
            let met = |pattern: &String| match name {
                "ref" => Glob::new(pattern).matches(fact),
                "workflow" => is_workflow(pattern, fact),
                _ => Glob::ignoring_case(pattern).matches(fact),
            };
            if fact.is_empty() || !patterns.iter().any(met) {
                let fact = match fact {
                    "" => "unknown".to_owned(),
                    fact => format!("`{}`", Quote::new(fact)),
                };
                let patterns: Vec<Quote> = patterns.iter().map(|p| Quote::new(p)).collect();
                unmet.push(format!("{name} is {fact}, not {}", either(&patterns)));
            }
        }
        unmet
    }
}

/// Whether `fact`, a workflow file at a ref, is what `pattern` describes. Path and ref are compared
/// apart: a branch may be called `x@refs/heads/main`, and `MAIN` is another branch than `main`.
fn is_workflow(pattern: &str, fact: &str) -> bool {
    let (path, reference) = match fact.split_once("@refs/") {
        Some((path, reference)) => (path, format!("refs/{reference}")),
        None => (fact, String::new()),
    };
    match pattern.split_once('@') {
        None => Glob::ignoring_case(pattern).matches(path),
        Some((wanted_path, wanted_reference)) => {
            Glob::ignoring_case(wanted_path).matches(path)
                && Glob::new(wanted_reference).matches(&reference)
        }
    }
}

impl Rule<'_> {
    /// The tools below the ceiling.
    #[must_use]
    pub fn tools(&self) -> &Patterns {
        &self.ceiling.tools
    }

    /// Checks all that a run asks for, but for the tools that its globs may yet match: those are
    /// narrowed once it is known what is offered.
    ///
    /// Returns the actions that the agent may run: those that were asked for, or the ceiling's
    /// where `*` was.
    ///
    /// # Errors
    /// Everything that is above the ceiling.
    pub fn check(&self, ask: &Ask<'_>) -> Result<Actions, Refusals> {
        let ceiling = self.ceiling;
        let mut refusals = Vec::new();
        let mut refuse = |what: String, allowed: String| {
            refusals.push(Refusal::AboveCeiling {
                what,
                rule: self.title.clone(),
                allowed,
            });
        };
        let lists = |what: &str, all: Vec<String>| match all.as_slice() {
            [] => format!(", which allows no {what}"),
            all => format!(", which allows {}", either(all)),
        };
        for name in ask
            .tools
            .names
            .iter()
            .filter(|name| !ceiling.tools.grant(name))
        {
            refuse(format!("`{name}`"), String::new());
        }
        if ceiling.read_only && !ask.read_only {
            refuse("`read_only: false`".to_owned(), String::new());
        }
        if let Some(regions) = ceiling
            .regions
            .as_ref()
            .filter(|all| !all.contains(&ask.region))
        {
            let regions = regions.iter().map(ToString::to_string).collect();
            refuse(
                format!("`region: {}`", ask.region),
                lists("region", regions),
            );
        }
        if let Some(ways) = ceiling
            .connection
            .as_ref()
            .filter(|all| !all.contains(&ask.connection))
        {
            let ways = ways.iter().map(ToString::to_string).collect();
            refuse(
                format!("`connection: {}`", ask.connection),
                lists("connection", ways),
            );
        }
        for host in ask
            .foreign_hosts
            .iter()
            .filter(|host| !ceiling.serves(host))
        {
            let servers = ceiling
                .servers
                .iter()
                .map(|host| Quote::new(host).to_string());
            refuse(
                format!("the server {host}"),
                lists("other server", servers.collect()),
            );
        }
        let every = ceiling.actions.iter().any(|action| action == "*");
        let actions = match ask.actions {
            asked if every => asked.clone(),
            Actions::All => Actions::Only(ceiling.actions.clone()),
            Actions::Only(asked) => {
                for action in asked
                    .iter()
                    .filter(|action| !ceiling.actions.contains(action))
                {
                    let known = ceiling
                        .actions
                        .iter()
                        .map(|action| Quote::new(action).to_string());
                    refuse(
                        format!("`allowed_actions: {action}`"),
                        lists("action", known.collect()),
                    );
                }
                Actions::Only(asked.clone())
            }
        };
        if refusals.is_empty() {
            Ok(actions)
        } else {
            Err(Refusals(refusals))
        }
    }
}

impl Ceiling {
    fn serves(&self, host: &str) -> bool {
        let mut servers = self.servers.iter();
        servers.any(|server| Glob::ignoring_case(server).matches(host))
    }

    /// The ceiling in words, for people.
    fn lines(&self) -> Vec<String> {
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
            format!("  servers: {}", or(&self.servers, "the region's own")),
            format!("  connection: {}", all(self.connection.as_ref().map(ways))),
        ]
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn policy(text: &str) -> Result<Policy, String> {
        Policy::parse("port-mcp.yml", text).map_err(|broken| broken.to_string())
    }

    fn rule(when: &str) -> String {
        format!("version: 1\nrules:\n- when: {when}\n  ceiling: {{tools: ['*']}}\n")
    }

    fn run() -> Run {
        Run {
            repository: "acme/catalogue".to_owned(),
            reference: "refs/heads/main".to_owned(),
            environment: String::new(),
            workflow: "acme/catalogue/.github/workflows/agent.yml@refs/heads/main".to_owned(),
            event: "push".to_owned(),
        }
    }

    #[test]
    fn conditions() {
        for (when, holds) in [
            ("{}", true),
            ("{repository: acme/*}", true),
            ("{repository: ACME/Catalogue}", true),
            ("{repository: [other/*, acme/catalogue]}", true),
            ("{repository: acme/cat}", false),
            ("{repository: []}", false),
            ("{ref: refs/heads/main}", true),
            ("{ref: refs/heads/Main}", false),
            ("{ref: refs/heads/*, event: push}", true),
            ("{ref: refs/heads/*, event: schedule}", false),
            (
                "{workflow: acme/catalogue/.github/workflows/agent.yml}",
                true,
            ),
            ("{workflow: 'acme/*@refs/heads/main'}", true),
            ("{workflow: 'acme/*@refs/heads/dev'}", false),
            // What is not known meets no condition, not even the widest.
            ("{environment: '*'}", false),
        ] {
            let found = policy(&rule(when)).unwrap().rule_for(&run()).is_ok();
            assert_eq!(found, holds, "{when}");
        }
    }

    #[test]
    fn no_name_of_a_branch_passes_for_another() {
        let of = |reference: &str| Run {
            workflow: format!("acme/catalogue/.github/workflows/agent.yml@{reference}"),
            ..run()
        };
        for pattern in ["acme/*@refs/heads/main", "ACME/Catalogue/*@refs/heads/m*n"] {
            let policy = policy(&rule(&format!("{{workflow: '{pattern}'}}"))).unwrap();
            assert!(policy.rule_for(&of("refs/heads/main")).is_ok(), "{pattern}");
            for other in [
                "refs/heads/MAIN",
                "refs/heads/x@refs/heads/main",
                "refs/tags/main",
            ] {
                assert!(policy.rule_for(&of(other)).is_err(), "{pattern} {other}");
            }
        }
    }

    #[test]
    fn a_broken_policy_says_where() {
        let broken = |text: &str| policy(text).unwrap_err();
        let ceiling =
            |ceiling: &str| broken(&format!("version: 1\nrules:\n  - ceiling: {ceiling}\n"));
        let all = [
            broken(""),
            broken("version: 2\nrules: []\n"),
            broken("version: 1\nrules: []\n"),
            broken("version: 1\nrules:\n  - ceiling:\n      tools: ['*']\n      tool: x\n"),
            broken(&rule("{repo: acme/*}")),
            broken(&rule("{repository: {a: b}}")),
            broken("version: 1\nrules:\n  - when: {event: push}\n"),
            ceiling("{}"),
            ceiling("{tools: []}"),
            ceiling("{tools: ['list_?', 'a b']}"),
            ceiling("{tools: [*]}"),
            ceiling("{tools: ['*'], regions: [europe]}"),
            ceiling("{tools: ['*'], connection: [tunnel]}"),
            ceiling("{tools: ['*'], read_only: 1}"),
            ceiling("{tools: ['*'], actions: ['deploy,restart']}"),
            broken(&rule("{environment: }")),
            broken(&rule("")),
            ceiling("{tools: ['*'], regions: }"),
            ceiling("{tools: ['*'], connection: ~}"),
            ceiling(""),
            broken("- [}"),
        ];
        let all: Vec<&str> = all.iter().filter_map(|text| text.lines().next()).collect();
        insta::assert_snapshot!(all.join("\n"), @"
        the policy port-mcp.yml cannot be used: missing field `version`
        the policy port-mcp.yml cannot be used: version 2 of the format is not known, only 1 is
        the policy port-mcp.yml cannot be used: it has no rules
        the policy port-mcp.yml cannot be used: rules[0].ceiling: unknown field `tool`, expected one of `tools`, `actions`, `read_only`, `regions`, `servers`, `connection` at line 5 column 7
        the policy port-mcp.yml cannot be used: rules[0].when: unknown field `repo`, expected one of `repository`, `ref`, `environment`, `workflow`, `event` at line 3 column 10
        the policy port-mcp.yml cannot be used: rules[0].when.repository: invalid type: map, expected a pattern or a list of patterns at line 3 column 22
        the policy port-mcp.yml cannot be used: rules[0]: missing field `ceiling` at line 3 column 5
        the policy port-mcp.yml cannot be used: rules[0].ceiling: missing field `tools` at line 3 column 14
        the policy port-mcp.yml cannot be used: rules[0].ceiling: `tools` names no tool at line 3 column 14
        the policy port-mcp.yml cannot be used: rules[0].ceiling: `tools` holds `list_?`: `*` is the only wildcard; holds `a b`, which is no tool's name: those have up to 128 letters, digits and `_`, `-`, `.` at line 3 column 14
        the policy port-mcp.yml cannot be used: did not find expected alphabetic or numeric character at line 3 column 24, while scanning an alias at line 3 column 23
        the policy port-mcp.yml cannot be used: rules[0].ceiling.regions[0]: unknown variant `europe`, expected `eu` or `us` at line 3 column 39
        the policy port-mcp.yml cannot be used: rules[0].ceiling.connection[0]: unknown variant `tunnel`, expected `direct` or `mcp-remote` at line 3 column 42
        the policy port-mcp.yml cannot be used: rules[0].ceiling.read_only: invalid type: integer `1`, expected a boolean at line 3 column 40
        the policy port-mcp.yml cannot be used: rules[0].ceiling: `actions` holds `deploy,restart`, which is no identifier of a Port action at line 3 column 14
        the policy port-mcp.yml cannot be used: rules[0].when.environment has no value
        the policy port-mcp.yml cannot be used: rules[0].when has no value
        the policy port-mcp.yml cannot be used: rules[0].ceiling.regions has no value
        the policy port-mcp.yml cannot be used: rules[0].ceiling.connection has no value
        the policy port-mcp.yml cannot be used: rules[0].ceiling: missing field `tools` at line 3 column 13
        the policy port-mcp.yml cannot be used: invalid type: sequence, expected a policy with `version` and `rules`
        ");
    }

    #[test]
    fn yaml_makes_no_inclusion_of_an_exclusion() {
        for list in [
            "['*', !delete_*]",
            "['*', !delete_* ]",
            "['*', !delete_entity '']",
        ] {
            let text = format!("version: 1\nrules:\n  - ceiling: {{tools: {list}}}\n");
            assert!(policy(&text).is_err(), "{list}");
        }
        for entry in ["!delete_*", "! delete_*", "!delete_* x"] {
            let text = format!(
                "version: 1\nrules:\n  - ceiling:\n      tools:\n        - '*'\n        - {entry}\n"
            );
            assert!(policy(&text).is_err(), "{entry}");
        }
    }

    #[test]
    fn the_example_in_docs_is_a_policy() {
        let page = include_str!("../../docs/policy.md");
        let example = page
            .split("```yaml\n")
            .nth(1)
            .and_then(|rest| rest.split("```").next());
        let policy = policy(example.unwrap()).unwrap();
        let run = Run {
            event: "schedule".to_owned(),
            ..run()
        };
        assert!(
            policy
                .rule_for(&run)
                .unwrap()
                .title
                .starts_with("rule 2 (`everybody reads`)")
        );
    }

    #[test]
    fn the_schema_in_docs_is_that_of_the_types() {
        let schema = schemars::schema_for!(File);
        let text = serde_json::to_string_pretty(&schema).unwrap() + "\n";
        let path = concat!(env!("CARGO_MANIFEST_DIR"), "/docs/policy.schema.json");
        if std::env::var_os("UPDATE_SCHEMA").is_some() {
            std::fs::write(path, &text).unwrap();
        }
        let committed = std::fs::read_to_string(path).unwrap_or_default();
        assert!(
            committed == text,
            "docs/policy.schema.json is not that of the types: UPDATE_SCHEMA=1 cargo test --lib schema"
        );
    }

    fn choice() -> impl Strategy<Value = (bool, bool, bool, Vec<&'static str>)> {
        let actions = proptest::sample::subsequence(vec!["*", "deploy", "restart"], 0..=3);
        (any::<bool>(), any::<bool>(), any::<bool>(), actions)
    }

    proptest! {
        /// Whatever the ceiling and whatever is asked: what passes is within both.
        #[test]
        fn what_passes_is_below_the_ceiling(
            (read_only, eu_only, direct_only, actions) in choice(),
            (asked_read_only, asked_eu, asked_direct, asked_actions) in choice(),
            foreign: bool,
        ) {
            let list = |yes, list: &str| if yes { list.to_owned() } else { String::new() };
            let text = format!(
                "version: 1\nrules:\n- ceiling:\n    tools: ['list_*']\n    read_only: {read_only}\n    \
                 actions: {}\n{}{}",
                serde_json::json!(actions),
                list(eu_only, "    regions: [eu]\n"),
                list(direct_only, "    connection: [direct]\n"),
            );
            let policy = policy(&text).unwrap();
            let rule = policy.rule_for(&run()).unwrap();
            let asked_actions = if asked_actions.contains(&"*") {
                Actions::All
            } else {
                Actions::Only(asked_actions.iter().map(ToString::to_string).collect())
            };
            let tools = Patterns::read(["list_entities", "list_*"]).unwrap();
            let outcome = rule.check(&Ask {
                tools: &tools,
                actions: &asked_actions,
                read_only: asked_read_only,
                region: if asked_eu { Region::Eu } else { Region::Us },
                foreign_hosts: if foreign { &["port.acme.example"] } else { &[] },
                connection: if asked_direct { Connection::Direct } else { Connection::McpRemote },
            });
            let Ok(granted) = outcome else { return Ok(()) };
            prop_assert!(!foreign);
            prop_assert!(!read_only || asked_read_only);
            prop_assert!(!eu_only || asked_eu);
            prop_assert!(!direct_only || asked_direct);
            match granted {
                Actions::All => {
                    prop_assert!(actions.contains(&"*"));
                    prop_assert_eq!(asked_actions, Actions::All);
                }
                Actions::Only(granted) => for action in granted {
                    prop_assert!(actions.contains(&"*") || actions.contains(&action.as_str()));
                    let was_asked = match &asked_actions {
                        Actions::All => true,
                        Actions::Only(asked) => asked.contains(&action),
                    };
                    prop_assert!(was_asked);
                },
            }
        }
    }
}
