//! An organization's policy: a file of rules, of which the first that matches a run is the ceiling
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

mod condition;
mod format;
mod lint;

use std::fmt;

use super::pattern::Patterns;
use super::{Refusal, Refusals};
use crate::agents::Connection;
use crate::port::{Actions, Region};
use crate::text::{Quote, either};
use format::{Ceiling, Entry, File, When};

/// A policy that was read, and what to call it.
#[derive(Debug)]
pub struct Policy {
    origin: String,
    file: File,
}

/// Why a policy's text cannot be used. Then nothing is granted at all.
#[derive(Debug, thiserror::Error)]
#[error("the policy {origin} cannot be used: {why}\nhint: {hint}")]
pub struct Broken {
    origin: String,
    why: String,
    hint: &'static str,
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
    /// `acme/catalog`
    pub repository: String,
    /// `refs/heads/main`
    pub reference: String,
    /// As the step says: GitHub does not tell a step the environment of its job.
    pub environment: String,
    /// `acme/catalog/.github/workflows/agent.yml@refs/heads/main`
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
    /// The regions that would be asked, in this order; none where both addresses are the user's own
    /// and `region` is not set.
    pub regions: &'a [Region],
    /// The hosts of `api_url` and `mcp_url` that are not Port's own.
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

/// What a run may have of what it asked for.
#[derive(Debug)]
pub struct Allowed {
    /// The actions that the agent may run: those that were asked for, or the ceiling's where `*` was.
    pub actions: Actions,
    /// The regions that may be asked, of those that would be.
    pub regions: Vec<Region>,
}

impl Policy {
    /// Reads the text of a policy that stands at `origin`.
    ///
    /// # Errors
    /// When it is not YAML, or not of this format. The error holds none of the text.
    pub fn parse(origin: &str, text: &str) -> Result<Self, Broken> {
        let file = File::parse(text).map_err(|problem| Broken {
            origin: origin.to_owned(),
            why: problem.what,
            hint: problem.hint,
        })?;
        Ok(Self {
            origin: origin.to_owned(),
            file,
        })
    }

    /// What the policy says and cannot mean, one clause for each.
    #[must_use]
    pub fn lint(&self) -> Vec<String> {
        self.file.lint()
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
        let facts = run.facts();
        let fact = |name: &str| {
            let fact = facts.iter().find(|(known, _)| *known == name);
            fact.map_or("", |(_, fact)| *fact)
        };
        let unmet = self
            .all()
            .filter(|(name, condition)| !condition.is_met_by(name, fact(name)));
        unmet
            .map(|(name, condition)| {
                let fact = match fact(name) {
                    "" => "unknown".to_owned(),
                    fact => format!("`{}`", Quote::new(fact)),
                };
                let patterns = condition.patterns().iter().map(|p| Quote::new(p));
                let patterns: Vec<Quote> = patterns.collect();
                format!("{name} is {fact}, not {}", either(&patterns))
            })
            .collect()
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
    /// # Errors
    /// Everything that is above the ceiling.
    pub fn check(&self, ask: &Ask<'_>) -> Result<Allowed, Refusals> {
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
        let may_ask = |region: &Region| {
            ceiling
                .regions
                .as_ref()
                .is_none_or(|all| all.contains(region))
        };
        let regions: Vec<Region> = ask.regions.iter().copied().filter(may_ask).collect();
        if let Some(all) = &ceiling.regions
            && regions.is_empty()
        {
            let what = match ask.regions {
                [] => "a server of your own without `region`".to_owned(),
                [only] => format!("`region: {only}`"),
                _ => "`region: auto`".to_owned(),
            };
            refuse(
                what,
                lists("region", all.iter().map(ToString::to_string).collect()),
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
            Ok(Allowed { actions, regions })
        } else {
            Err(Refusals(refusals))
        }
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
            repository: "acme/catalog".to_owned(),
            reference: "refs/heads/main".to_owned(),
            environment: String::new(),
            workflow: "acme/catalog/.github/workflows/agent.yml@refs/heads/main".to_owned(),
            event: "push".to_owned(),
        }
    }

    #[test]
    fn conditions() {
        for (when, holds) in [
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
            workflow: format!("acme/catalog/.github/workflows/agent.yml@{reference}"),
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
            broken("password: hunter2hunter2"),
            broken("version: hunter2hunter2\nrules: []"),
            broken("hunter2hunter2"),
            broken("version: 1\nrules: [{hunter2: x}]"),
            ceiling("{tools: ['*'], regions: ['hunter2, expected `hunter2`']}"),
            ceiling("{tools: ['*'], servers: ['*']}"),
            ceiling("{tools: ['*'], servers: ['https://port.acme.example']}"),
            ceiling("{tools: ['*'], servers: ['port.acme.example:8443']}"),
            broken(&rule(r#"{ref: "refs/heads/mai\0"}"#)),
            broken(&rule("{ref: ['!refs/heads/main']}")),
            broken(&rule("{ref: ''}")),
        ];
        for text in &all {
            assert!(!text.contains("hunter2"), "{text}");
        }
        let all: Vec<&str> = all.iter().filter_map(|text| text.lines().next()).collect();
        insta::assert_snapshot!(all.join("\n"), @"
        the policy port-mcp.yml cannot be used: the key `version` is missing at line 1, column 1
        the policy port-mcp.yml cannot be used: its `version` is not 1, the only one that is known
        the policy port-mcp.yml cannot be used: it has no rules
        the policy port-mcp.yml cannot be used: a key is unknown at line 5, column 7: expected one of `tools`, `actions`, `read_only`, `regions`, `servers`, `connection` (did you mean `tools`?)
        the policy port-mcp.yml cannot be used: a key is unknown at line 3, column 10: expected one of `repository`, `ref`, `environment`, `workflow`, `event`
        the policy port-mcp.yml cannot be used: a value is not what it has to be at line 3, column 22: expected a pattern or a list of patterns
        the policy port-mcp.yml cannot be used: the key `ceiling` is missing at line 3, column 5
        the policy port-mcp.yml cannot be used: the key `tools` is missing at line 3, column 14
        the policy port-mcp.yml cannot be used: in rule 1, `tools` names no tool
        the policy port-mcp.yml cannot be used: in rule 1, entry 1 of `tools` is neither a tool's name nor a pattern: `*` is the only wildcard, and a name has up to 128 letters, digits and `_`, `-`, `.`
        the policy port-mcp.yml cannot be used: it is not the YAML of a policy: a syntax error at line 3, column 24
        the policy port-mcp.yml cannot be used: a value is not what it has to be at line 3, column 39: expected `eu` or `us`
        the policy port-mcp.yml cannot be used: a value is not what it has to be at line 3, column 42: expected `direct` or `mcp-remote`
        the policy port-mcp.yml cannot be used: a value is not what it has to be at line 3, column 40: expected a boolean
        the policy port-mcp.yml cannot be used: in rule 1, entry 1 of `actions` is no identifier of a Port action
        the policy port-mcp.yml cannot be used: `rules[0].when.environment` has no value
        the policy port-mcp.yml cannot be used: `rules[0].when` has no value
        the policy port-mcp.yml cannot be used: `rules[0].ceiling.regions` has no value
        the policy port-mcp.yml cannot be used: `rules[0].ceiling.connection` has no value
        the policy port-mcp.yml cannot be used: the key `tools` is missing at line 3, column 13
        the policy port-mcp.yml cannot be used: a value is not what it has to be at line 1, column 1: expected a policy with `version` and `rules`
        the policy port-mcp.yml cannot be used: a key is unknown at line 1, column 1: expected `version` or `rules`
        the policy port-mcp.yml cannot be used: a value is not what it has to be at line 1, column 10: expected a whole number
        the policy port-mcp.yml cannot be used: a value is not what it has to be at line 1, column 1: expected a policy with `version` and `rules`
        the policy port-mcp.yml cannot be used: a key is unknown at line 2, column 10: expected one of `name`, `when`, `ceiling`
        the policy port-mcp.yml cannot be used: a value is not what it has to be at line 3, column 39: expected `eu` or `us`
        the policy port-mcp.yml cannot be used: in rule 1, entry 1 of `servers` is no name of a host: it has no scheme, port, path or wildcard
        the policy port-mcp.yml cannot be used: in rule 1, entry 1 of `servers` is no name of a host: it has no scheme, port, path or wildcard
        the policy port-mcp.yml cannot be used: in rule 1, entry 1 of `servers` is no name of a host: it has no scheme, port, path or wildcard
        the policy port-mcp.yml cannot be used: the condition `ref` of rule 1 holds a control character
        the policy port-mcp.yml cannot be used: the condition `ref` of rule 1 only excludes
        the policy port-mcp.yml cannot be used: the condition `ref` of rule 1 holds an empty pattern
        ");
    }

    #[test]
    fn what_can_never_be_is_found() {
        let lint = |text: &str| policy(text).unwrap().lint().join("\n");
        let two = |first: &str, second: &str| {
            format!(
                "version: 1\nrules:\n- when: {first}\n  ceiling: {{tools: ['*']}}\n- when: {second}\n  \
                 ceiling: {{tools: ['*']}}\n"
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
            "version: 1\nrules: [{ceiling: {tools: [list_pages, '!list_*']}}]".to_owned(),
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
        let page = include_str!("../../../docs/policy.md");
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
                regions: &[if asked_eu { Region::Eu } else { Region::Us }],
                foreign_hosts: if foreign { &["port.acme.example"] } else { &[] },
                connection: if asked_direct { Connection::Direct } else { Connection::McpRemote },
            });
            let Ok(granted) = outcome else { return Ok(()) };
            prop_assert!(!foreign);
            prop_assert!(!read_only || asked_read_only);
            prop_assert!(!eu_only || asked_eu);
            prop_assert!(!direct_only || asked_direct);
            match granted.actions {
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
