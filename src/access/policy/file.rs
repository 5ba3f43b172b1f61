//! The file format of a policy.

use serde::Deserialize;
use yaml_serde::Value;

use super::Problem;
use super::one_of::OneOf;
use super::problems::{self, explained};
use crate::Connection;
use crate::access::pattern::Patterns;
use crate::port::Region;
use crate::text::without_mark;

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
    #[expect(dead_code, reason = "`problems` checks it")]
    #[cfg_attr(test, schemars(extend("const" = 1)))]
    version: u64,
    /// Whom to ask if the policy does not allow a run: one line of at most 200 characters, such as
    /// `#platform on Slack`. Errors show it.
    #[serde(default)]
    #[cfg_attr(test, schemars(length(max = 200)))]
    pub(super) contact: String,
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
    pub(super) tool_entries: Vec<String>,
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

impl File {
    /// Parses the text of a policy.
    ///
    /// # Errors
    /// Everything that is wrong with it.
    pub(super) fn parse(text: &str) -> Result<Self, Vec<Problem>> {
        let text = without_mark(text);
        let document = document(text)?;
        let problems = problems::find(text, &document);
        if !problems.is_empty() {
            return Err(problems);
        }
        let mut file: Self = yaml_serde::from_str(text).map_err(|error| vec![explained(&error)])?;
        let invalid = || vec![Problem::unknown()];
        for rule in &mut file.rules {
            rule.allow.parse_tools().ok_or_else(invalid)?;
        }
        Ok(file)
    }

    /// The rules of a text that can be read, also if others are invalid. `None` for those.
    pub(super) fn readable_rules(text: &str) -> Vec<Option<Entry>> {
        let text = without_mark(text);
        let Ok(document) = document(text) else {
            return Vec::new();
        };
        document
            .get("rules")
            .and_then(Value::as_sequence)
            .into_iter()
            .flatten()
            .enumerate()
            .map(|(index, rule)| {
                let mut entry: Entry = yaml_serde::from_value(rule.clone()).ok()?;
                entry.allow.parse_tools()?;
                problems::rule(index, rule).then_some(entry)
            })
            .collect()
    }
}

fn document(text: &str) -> Result<Value, Vec<Problem>> {
    yaml_serde::from_str(text).map_err(|error| vec![explained(&error)])
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

impl Allow {
    /// Parses the entries of `tools`. `None` if they are invalid.
    fn parse_tools(&mut self) -> Option<()> {
        let entries = self.tool_entries.iter().map(String::as_str);
        self.tools = Patterns::parse(entries).ok()?;
        Some(())
    }
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
