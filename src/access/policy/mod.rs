//! An organization's policy: a file of rules. The first rule that matches a run says what it allows.
//!
//! ```yaml
//! version: 1
//! rules:
//!   - name: agents on main read
//!     when: { repository: acme/*, ref: refs/heads/main }
//!     allow: { tools: ["list_*", "get_*", "!list_plugins"] }
//! ```
//!
//! A policy is advisory while a workflow can leave `policy` out. It is enforced where only a reusable
//! workflow that names the policy can read the credentials.

mod check;
mod condition;
mod explain;
mod file;
mod lint;
mod one_of;
pub mod place;
mod problems;

use std::fmt;

use clap::Args;
use serde::Deserialize;

use super::RUNS_EVERYTHING;
use super::pattern::Patterns;
use crate::text::{Quote, as_given, without_mark};
pub use check::{AccessRequest, AgentTraits, Allowed};
pub use explain::Explanation;
use file::{Allow, Entry, File};
pub use problems::Problem;

/// A parsed policy.
#[derive(Debug)]
pub struct Policy {
    /// Where it was read from, for messages.
    origin: String,
    file: File,
}

/// The text of a policy is invalid. The step then fails, since an invalid policy must not mean no limits.
#[derive(Debug)]
pub struct PolicyErrors {
    /// The policy in messages.
    origin: String,
    /// The path of the file, if it is in the workspace.
    file: Option<String>,
    /// Everything that is wrong with it.
    problems: Vec<Problem>,
}

impl PolicyErrors {
    fn new(origin: &str, problems: Vec<Problem>) -> Self {
        Self {
            origin: origin.to_owned(),
            file: None,
            problems,
        }
    }

    /// The same errors, of a file in the workspace.
    #[must_use]
    pub fn in_file(self, path: &str) -> Self {
        Self {
            file: Some(path.to_owned()),
            ..self
        }
    }

    /// The file and the position of each problem, as far as they are known.
    pub fn places(&self) -> impl Iterator<Item = Option<(&str, usize, usize)>> {
        self.problems.iter().map(|problem| {
            let (line, column) = problem.position?;
            Some((self.file.as_deref()?, line, column))
        })
    }

    /// The message about each problem.
    pub fn messages(&self) -> impl Iterator<Item = String> {
        self.problems.iter().map(|found| {
            let Problem { what, hint, .. } = found;
            let is = if found.is_without_effect {
                "contains rules without effect"
            } else {
                "is invalid"
            };
            let position = found.position.map_or_else(String::new, |(line, column)| {
                format!(" (line {line}, column {column})")
            });
            format!(
                "policy {} {is}{position}: {what}\nhint: {hint}",
                self.origin
            )
        })
    }
}

impl std::error::Error for PolicyErrors {}

impl fmt::Display for PolicyErrors {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let messages: Vec<String> = self.messages().collect();
        f.write_str(&messages.join("\n"))
    }
}

/// No rule of the policy matches the run.
#[derive(Debug, thiserror::Error)]
#[error(
    "no rule in policy {origin} matches this run: {run}\n\
     hint: ask {contact} to add a rule; `port-mcp policy explain` shows why each rule does not match"
)]
pub struct NoMatchingRuleError {
    origin: String,
    run: String,
    contact: Contact,
}

/// Whom to ask if a policy does not allow a run.
#[derive(Clone, Debug)]
pub struct Contact(Option<Quote>);

impl fmt::Display for Contact {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the policy owner")?;
        match &self.0 {
            Some(contact) => write!(f, " (`{contact}`)"),
            None => Ok(()),
        }
    }
}

/// The attributes of a run that conditions compare. An unknown attribute meets no condition.
#[derive(Args, Clone, Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct RunContext {
    /// Repository that runs the workflow, such as `acme/catalog`
    #[arg(long, value_name = "OWNER/NAME", help_heading = "Run")]
    pub repository: Option<String>,
    /// Branch, tag, or pull request, such as `refs/heads/main`
    #[arg(long = "ref", value_name = "REF", help_heading = "Run")]
    #[serde(rename = "ref")]
    pub reference: Option<String>,
    /// Environment, as the step's input `environment` names it
    #[arg(long, value_name = "NAME", help_heading = "Run")]
    pub environment: Option<String>,
    /// Workflow, such as `acme/catalog/.github/workflows/agent.yml@refs/heads/main`
    #[arg(long, value_name = "WORKFLOW", help_heading = "Run")]
    pub workflow: Option<String>,
    /// Event, such as `push`
    #[arg(long, help_heading = "Run")]
    pub event: Option<String>,
}

impl RunContext {
    /// Each attribute under the name of the condition that compares it.
    fn attributes(&self) -> [(&'static str, Option<&str>); 5] {
        [
            ("repository", &self.repository),
            ("ref", &self.reference),
            ("environment", &self.environment),
            ("workflow", &self.workflow),
            ("event", &self.event),
        ]
        .map(|(name, value)| (name, value.as_deref().filter(|value| !value.is_empty())))
    }

    fn attribute(&self, name: &str) -> Option<&str> {
        let mut attributes = self.attributes().into_iter();
        attributes.find(|(known, _)| *known == name)?.1
    }
}

impl fmt::Display for RunContext {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let attributes = self.attributes().map(|(name, value)| match value {
            None => format!("{name} unknown"),
            Some(value) => format!("{name} {}", as_given(value)),
        });
        f.write_str(&attributes.join(", "))
    }
}

/// The rule that matches a run.
#[derive(Debug)]
pub struct Rule<'a> {
    /// Its number, from 1.
    pub number: usize,
    /// Its name. Empty if it has none.
    pub name: &'a str,
    /// ``rule 2 (`agents on main`) of acme/.github/port-mcp.yml@main``
    pub title: String,
    /// Whom to ask if it does not allow a run.
    pub contact: Contact,
    allow: &'a Allow,
}

impl Policy {
    /// Parses the text of a policy; `origin` names it in messages.
    ///
    /// # Errors
    /// When the text is not YAML, or not in this format. The error quotes none of the text.
    pub fn parse(origin: &str, text: &str) -> Result<Self, PolicyErrors> {
        let file = File::parse(text).map_err(|problems| PolicyErrors::new(origin, problems))?;
        Ok(Self {
            origin: origin.to_owned(),
            file,
        })
    }

    /// As [`Policy::parse`], for a policy that is not used yet.
    ///
    /// # Errors
    /// Also the rules and conditions that have no effect. These errors quote the file.
    pub fn check(origin: &str, text: &str) -> Result<Self, PolicyErrors> {
        let parsed = Self::parse(origin, text);
        let rules = File::readable_rules(text);
        let without_effect: Vec<Problem> = lint::lint(&rules)
            .into_iter()
            .take(problems::MAX_PROBLEMS)
            .map(|(path, problem)| Problem::without_effect(without_mark(text), &path, problem))
            .collect();
        match parsed {
            Err(mut errors) => {
                errors.problems.extend(without_effect);
                errors.problems.sort_by_key(|problem| problem.position);
                Err(errors)
            }
            Ok(_) if !without_effect.is_empty() => Err(PolicyErrors::new(origin, without_effect)),
            Ok(policy) => Ok(policy),
        }
    }

    /// The first rule that matches `run`.
    ///
    /// # Errors
    /// When no rule matches.
    pub fn rule_for(&self, run: &RunContext) -> Result<Rule<'_>, NoMatchingRuleError> {
        self.file
            .rules
            .iter()
            .enumerate()
            .find(|(_, entry)| entry.when.unmet(run).is_empty())
            .map(|(index, entry)| self.rule(index, entry))
            .ok_or_else(|| NoMatchingRuleError {
                origin: self.origin.clone(),
                run: run.to_string(),
                contact: self.contact(),
            })
    }

    fn contact(&self) -> Contact {
        let contact = self.file.contact.as_str();
        Contact((!contact.is_empty()).then(|| Quote::new(contact)))
    }

    fn rule<'a>(&self, index: usize, entry: &'a Entry) -> Rule<'a> {
        let name = match entry.name.as_str() {
            "" => String::new(),
            name => format!(" (`{}`)", Quote::new(name)),
        };
        Rule {
            number: index + 1,
            name: &entry.name,
            title: format!("rule {}{name} of {}", index + 1, self.origin),
            contact: self.contact(),
            allow: &entry.allow,
        }
    }

    /// The number of rules.
    #[must_use]
    pub fn rule_count(&self) -> usize {
        self.file.rules.len()
    }
}

impl Rule<'_> {
    /// The tools that the rule allows. If it limits the actions, no tool that runs all of them.
    #[must_use]
    pub fn tools(&self) -> Patterns {
        let tools = self.allow.tools.clone();
        if self.allow.has_every_action() {
            tools
        } else {
            tools.without(RUNS_EVERYTHING)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Connection;
    use crate::port::{Actions, Region};
    use proptest::prelude::*;

    const AGENT: AgentTraits = AgentTraits {
        name: "claude-code",
        enforces_tools: true,
        sends_headers: true,
        runs_on_runner: true,
    };

    fn policy(text: &str) -> Result<Policy, String> {
        Policy::parse("port-mcp.yml", text).map_err(|error| error.to_string())
    }

    fn rule(when: &str) -> String {
        format!("version: 1\nrules:\n- when: {when}\n  allow: {{tools: ['*']}}\n")
    }

    fn run() -> RunContext {
        RunContext {
            repository: Some("acme/catalog".to_owned()),
            reference: Some("refs/heads/main".to_owned()),
            environment: None,
            workflow: Some("acme/catalog/.github/workflows/agent.yml@refs/heads/main".to_owned()),
            event: Some("push".to_owned()),
        }
    }

    #[test]
    fn conditions() {
        for (when, is_match) in [
            ("{}", true),
            ("{repository: acme/*}", true),
            ("{repository: ACME/Catalog}", true),
            ("{repository: [other/*, acme/catalog]}", true),
            ("{repository: acme/cat}", false),
            ("{repository: []}", false),
            ("{ref: [refs/heads/*, '!refs/heads/dependabot/*']}", true),
            ("{ref: [refs/heads/*, '!refs/heads/m*']}", false),
            ("{repository: ['*', '! ACME/cat*']}", false),
            ("{workflow: ['*', '!*@refs/heads/main']}", false),
            ("{ref: refs/heads/main}", true),
            ("{ref: refs/heads/Main}", false),
            ("{ref: refs/heads/*, event: push}", true),
            ("{ref: refs/heads/*, event: schedule}", false),
            ("{workflow: acme/catalog/.github/workflows/agent.yml}", true),
            ("{workflow: 'acme/*@refs/heads/main'}", true),
            ("{workflow: 'acme/*@refs/heads/dev'}", false),
            // An unknown attribute meets no condition, not even `*`.
            ("{environment: '*'}", false),
        ] {
            let found = policy(&rule(when)).unwrap().rule_for(&run()).is_ok();
            assert_eq!(found, is_match, "{when}");
        }
    }

    #[test]
    fn branch_names_are_not_confused() {
        let of = |reference: &str| RunContext {
            workflow: Some(format!(
                "acme/catalog/.github/workflows/agent.yml@{reference}"
            )),
            ..run()
        };
        for pattern in ["acme/*@refs/heads/main", "ACME/Catalog/*@refs/heads/m*n"] {
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
    fn errors_in_a_policy_give_the_position() {
        let broken = |text: &str| policy(text).unwrap_err();
        let allow = |allow: &str| broken(&format!("version: 1\nrules:\n  - allow: {allow}\n"));
        let all = [
            broken(""),
            broken("version: 2\nrules: []\n"),
            broken("version: 1\nrules: []\n"),
            broken("version: 1\nrules:\n  - allow:\n      tools: ['*']\n      tool: x\n"),
            broken(&rule("{repo: acme/*}")),
            broken(&rule("{repository: {a: b}}")),
            broken("version: 1\nrules:\n  - when: {event: push}\n"),
            allow("{}"),
            allow("{tools: []}"),
            allow("{tools: ['list_?', 'a b']}"),
            allow("{tools: [*]}"),
            allow("{tools: ['*'], regions: [europe]}"),
            allow("{tools: ['*'], connection: [tunnel]}"),
            allow("{tools: ['*'], write: 1}"),
            allow("{tools: ['*'], actions: ['deploy,restart']}"),
            broken(&rule("{environment: }")),
            broken(&rule("")),
            allow("{tools: ['*'], regions: }"),
            allow("{tools: ['*'], connection: ~}"),
            allow(""),
            broken("version: 1\nrules:\n- ceiling: {tools: ['*']}\n"),
            allow("{tools: ['*'], read_only: false}"),
            broken("- [}"),
            broken("password: hunter2hunter2"),
            broken("version: hunter2hunter2\nrules: []"),
            broken("hunter2hunter2"),
            broken("version: 1\nrules: [{hunter2: x}]"),
            allow("{tools: ['*'], regions: ['hunter2, expected `hunter2`']}"),
            allow("{tools: ['*'], servers: ['*']}"),
            allow("{tools: ['*'], servers: ['https://port.acme.example']}"),
            allow("{tools: ['*'], servers: ['port.acme.example:8443']}"),
            broken(&rule(r#"{ref: "refs/heads/mai\0"}"#)),
            broken(&rule("{ref: ['!refs/heads/main']}")),
            broken(&rule("{ref: ''}")),
        ];
        for text in &all {
            assert!(!text.contains("hunter2"), "{text}");
        }
        let all: Vec<&str> = all.iter().filter_map(|text| text.lines().next()).collect();
        insta::assert_snapshot!(all.join("\n"), @"
        policy port-mcp.yml is invalid: invalid value: expected a policy with `version` and `rules`
        policy port-mcp.yml is invalid (line 1, column 10): `version` must be 1
        policy port-mcp.yml is invalid (line 2, column 8): `rules` is empty
        policy port-mcp.yml is invalid (line 5, column 7): unknown key in `allow`: expected `tools`, `actions`, `write`, `regions`, `servers`, or `connection` (did you mean `tools`?)
        policy port-mcp.yml is invalid (line 3, column 10): unknown key in `when`: expected `repository`, `ref`, `environment`, `workflow`, or `event`
        policy port-mcp.yml is invalid (line 3, column 22): invalid value: expected a pattern or a list of patterns
        policy port-mcp.yml is invalid (line 3, column 5): the key `allow` is missing
        policy port-mcp.yml is invalid (line 3, column 12): the key `tools` is missing
        policy port-mcp.yml is invalid (line 3, column 20): in rule 1, `tools` is empty
        policy port-mcp.yml is invalid (line 3, column 21): in rule 1, entry 1 of `tools` contains another wildcard than `*`
        policy port-mcp.yml is invalid (line 3, column 22): YAML syntax error
        policy port-mcp.yml is invalid (line 3, column 37): invalid value: expected `eu` or `us`
        policy port-mcp.yml is invalid (line 3, column 40): invalid value: expected `direct`, `mcp-remote`, or `gateway`
        policy port-mcp.yml is invalid (line 3, column 34): invalid value: expected a boolean
        policy port-mcp.yml is invalid (line 3, column 37): in rule 1, entry 1 of `actions` is not a valid identifier of a Port action
        policy port-mcp.yml is invalid (line 3, column 23): `rules[0].when.environment` has no value
        policy port-mcp.yml is invalid (line 3, column 8): `rules[0].when` has no value
        policy port-mcp.yml is invalid (line 3, column 36): `rules[0].allow.regions` has no value
        policy port-mcp.yml is invalid (line 3, column 39): `rules[0].allow.connection` has no value
        policy port-mcp.yml is invalid (line 3, column 11): `rules[0].allow` has no value
        policy port-mcp.yml is invalid (line 3, column 3): the key `ceiling` was replaced by `allow`
        policy port-mcp.yml is invalid (line 3, column 27): the key `read_only` was replaced by `write`
        policy port-mcp.yml is invalid (line 1, column 4): YAML syntax error
        policy port-mcp.yml is invalid (line 1, column 1): the key `version` is missing
        policy port-mcp.yml is invalid (line 1, column 10): invalid value: expected an integer
        policy port-mcp.yml is invalid (line 1, column 1): invalid value: expected a policy with `version` and `rules`
        policy port-mcp.yml is invalid (line 2, column 9): the key `allow` is missing
        policy port-mcp.yml is invalid (line 3, column 37): invalid value: expected `eu` or `us`
        policy port-mcp.yml is invalid (line 3, column 37): in rule 1, entry 1 of `servers` is not a host name: remove the scheme, port, path, or wildcard
        policy port-mcp.yml is invalid (line 3, column 37): in rule 1, entry 1 of `servers` is not a host name: remove the scheme, port, path, or wildcard
        policy port-mcp.yml is invalid (line 3, column 37): in rule 1, entry 1 of `servers` is not a host name: remove the scheme, port, path, or wildcard
        policy port-mcp.yml is invalid (line 3, column 15): in rule 1, the condition `ref` contains a control character
        policy port-mcp.yml is invalid (line 3, column 15): in rule 1, the condition `ref` contains only exclusions
        policy port-mcp.yml is invalid (line 3, column 15): in rule 1, the condition `ref` contains an empty pattern
        ");
    }

    /// Everything at once, each problem at its place, with its reason, and with no guess from another level.
    #[test]
    fn all_problems_are_reported_at_once() {
        let text = r#"version: 2
name: x
contact: "two\nlines"
rules:
  - allow:
      tools: [mcp__port__list_entities, "list_?", "a b", list_entities]
      actions: ["a b", deploy]
      reigons: [eu]
      servers: ["https://x"]
  - when: { rules: x, ref: main, event: [push, 7] }
    allow: { tools: [list_entities], regions: [europe], wirte: true }
  - allow: { tools: ["!x"] }
  - when: { event: pul_request }
    allow: { tools: [list_entities] }
"#;
        let errors = Policy::check("port-mcp.yml", text).unwrap_err();
        let first = errors
            .messages()
            .map(|text| text.lines().next().unwrap().to_owned());
        let first: Vec<String> = first.collect();
        insta::assert_snapshot!(first.join("\n"));
    }

    #[test]
    fn rules_without_effect_are_found() {
        let lint = |text: &str| {
            let errors = Policy::check("port-mcp.yml", text).err();
            let messages = errors.iter().flat_map(PolicyErrors::messages);
            let first = messages.map(|text| text.lines().next().unwrap_or_default().to_owned());
            first.collect::<Vec<String>>().join("\n")
        };
        let two = |first: &str, second: &str| {
            format!(
                "version: 1\nrules:\n- when: {first}\n  allow: {{tools: ['*']}}\n- when: {second}\n  \
                 allow: {{tools: ['*']}}\n"
            )
        };
        let bad = [
            rule("{ref: main}"),
            rule("{ref: [refs/heads/main, v1.*]}"),
            rule("{ref: refs/remotes/*}"),
            rule("{event: pull-request}"),
            rule("{event: cron}"),
            rule("{repository: catalog}"),
            rule("{repository: https://github.com/acme/catalog}"),
            rule("{workflow: agent.yml}"),
            rule("{workflow: .github/workflows/agent.yml}"),
            rule("{workflow: 'acme/*@main'}"),
            rule("{environment: []}"),
            rule("{ref: [refs/heads/main, '!refs/heads/*']}"),
            two("{}", "{repository: acme/*}"),
            two("{repository: '*'}", "{event: push}"),
            two(
                "{repository: acme/*}",
                "{repository: [acme/a, ACME/b*], ref: refs/heads/main}",
            ),
            two(
                "{ref: [refs/heads/*, '!refs/heads/x']}",
                "{ref: [refs/heads/m*, '!refs/heads/x']}",
            ),
            "version: 1\nrules: [{allow: {tools: [list_pages, '!list_*']}}]".to_owned(),
        ];
        let found: Vec<String> = bad.iter().map(|text| lint(text)).collect();
        insta::assert_snapshot!(found.join("\n"));

        for good in [
            rule("{}"),
            rule("{ref: 'refs/*', event: pull_request*, repository: '*/catalog', workflow: '*'}"),
            rule(
                "{ref: '*/main', event: '*', repository: acme*, workflow: 'acme/*/agent.y*@refs/heads/*'}",
            ),
            rule("{workflow: 'ACME/catalog/.github/workflows/agent.YAML'}"),
            rule("{environment: production}"),
            two("{environment: '*'}", "{}"),
            two("{repository: acme/a}", "{repository: acme/*}"),
            two(
                "{ref: [refs/heads/*, '!refs/heads/x']}",
                "{ref: refs/heads/*}",
            ),
            two("{repository: acme/*, event: push}", "{repository: acme/*}"),
        ] {
            assert_eq!(lint(&good), "", "{good}");
        }
    }

    #[test]
    fn an_exclusion_without_quotes_is_an_error() {
        for list in [
            "['*', !delete_*]",
            "['*', !delete_* ]",
            "['*', !delete_entity '']",
        ] {
            let text = format!("version: 1\nrules:\n  - allow: {{tools: {list}}}\n");
            assert!(policy(&text).is_err(), "{list}");
        }
        for entry in ["!delete_*", "! delete_*", "!delete_* x"] {
            let text = format!(
                "version: 1\nrules:\n  - allow:\n      tools:\n        - '*'\n        - {entry}\n"
            );
            assert!(policy(&text).is_err(), "{entry}");
        }
    }

    #[test]
    fn the_example_in_docs_is_valid() {
        let page = include_str!("../../../docs/policy.md");
        let example = page
            .split("```yaml\n")
            .nth(1)
            .and_then(|rest| rest.split("```").next());
        let policy = policy(example.unwrap()).unwrap();
        let run = RunContext {
            event: Some("schedule".to_owned()),
            ..run()
        };
        assert!(
            policy
                .rule_for(&run)
                .unwrap()
                .title
                .starts_with("rule 2 (`everyone reads`)")
        );
    }

    #[test]
    fn the_schema_in_docs_matches_the_types() {
        let schema = schemars::schema_for!(File);
        let text = serde_json::to_string_pretty(&schema).unwrap() + "\n";
        let path = concat!(env!("CARGO_MANIFEST_DIR"), "/docs/policy.schema.json");
        if std::env::var_os("UPDATE_SCHEMA").is_some() {
            std::fs::write(path, &text).unwrap();
        }
        let committed = std::fs::read_to_string(path).unwrap_or_default();
        assert!(
            committed == text,
            "docs/policy.schema.json does not match the types: UPDATE_SCHEMA=1 cargo test --lib schema"
        );
    }

    fn choice() -> impl Strategy<Value = (bool, bool, bool, Vec<&'static str>)> {
        let actions = proptest::sample::subsequence(vec!["*", "deploy", "restart"], 0..=3);
        (any::<bool>(), any::<bool>(), any::<bool>(), actions)
    }

    proptest! {
        /// The result is within what the rule allows and what the run requests.
        #[test]
        fn allowed_access_is_requested_and_within_the_rule(
            (writes, eu_only, direct_only, actions) in choice(),
            (requested_read_only, requested_eu, requested_direct, requested_actions) in choice(),
            is_custom: bool,
        ) {
            let list = |yes, list: &str| if yes { list.to_owned() } else { String::new() };
            let text = format!(
                "version: 1\nrules:\n- allow:\n    tools: ['list_*']\n    write: {writes}\n    \
                 actions: {}\n{}{}",
                serde_json::json!(actions),
                list(eu_only, "    regions: [eu]\n"),
                list(direct_only, "    connection: [direct]\n"),
            );
            let policy = policy(&text).unwrap();
            let rule = policy.rule_for(&run()).unwrap();
            let requested_actions = if requested_actions.contains(&"*") {
                Actions::All
            } else {
                Actions::Only(requested_actions.iter().map(ToString::to_string).collect())
            };
            let tools = Patterns::parse(["list_entities", "list_*"]).unwrap();
            let outcome = rule.check(&AccessRequest {
                tools: &tools,
                actions: &requested_actions,
                read_only: requested_read_only,
                regions: &[if requested_eu { Region::Eu } else { Region::Us }],
                custom_hosts: if is_custom { &["port.acme.example"] } else { &[] },
                connection: if requested_direct { Connection::Direct } else { Connection::McpRemote },
                agent: AGENT,
            });
            let Ok(granted) = outcome else { return Ok(()) };
            prop_assert!(!is_custom);
            prop_assert!(writes || requested_read_only);
            prop_assert!(!eu_only || requested_eu);
            prop_assert!(!direct_only || requested_direct);
            match granted.actions {
                Actions::All => {
                    prop_assert!(actions.contains(&"*"));
                    prop_assert_eq!(requested_actions, Actions::All);
                }
                Actions::Only(granted) => for action in granted {
                    prop_assert!(actions.contains(&"*") || actions.contains(&action.as_str()));
                    let was_requested = match &requested_actions {
                        Actions::All => true,
                        Actions::Only(requested) => requested.contains(&action),
                    };
                    prop_assert!(was_requested);
                },
            }
        }
    }
}
