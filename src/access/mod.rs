//! Access control: which of the server's tools the agent may use.

mod grants;
mod pattern;
pub mod policy;
pub mod source;

use std::collections::{HashMap, HashSet};

use crate::mcp::Tool;
use crate::text::{Quote, comma_list, nearest};
use crate::tool::{FunctionName, ToolName};
pub use grants::{Arguments, Grants};
pub use pattern::{Glob, PatternError, Patterns};
use policy::Contact;

/// The names, now and earlier, of Port's tool that runs any action and any workflow. Port documents
/// `allowed_actions` only as a limit of `run_action`
/// ([source](https://docs.port.io/workflows/expose-as-tool)).
pub const RUNS_EVERYTHING: &[&str] = &["trigger_run", "trigger_workflow_run", "run_workflow"];

/// The decision on a tool that the server offers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Decision {
    /// The agent may use it.
    Granted,
    /// `allowed_tools` does not include it.
    NotRequested,
    /// A glob matches it, but the policy does not allow it.
    NotAllowed,
    /// In read-only mode, a glob matches it, but it is not annotated as read-only: `allowed_tools` must list
    /// its name.
    NotListed,
    /// A glob matches it, but the agent uses the same name for another tool.
    Ambiguous,
    /// Its name is invalid in MCP, and an agent could misread it.
    InvalidName,
}

/// The decision on each tool that the server offers, in the server's order.
///
/// Grants are explicit names, so a tool that the server adds later is not granted.
#[derive(Debug)]
pub struct Resolution<'a>(Vec<(&'a Tool, Decision)>);

impl<'a> Resolution<'a> {
    /// Every tool, with the decision on it.
    pub fn iter(&self) -> impl Iterator<Item = (&'a Tool, Decision)> {
        self.0.iter().copied()
    }

    /// The tools with this decision.
    pub fn with(&self, decision: Decision) -> impl Iterator<Item = &'a Tool> {
        self.0
            .iter()
            .filter_map(move |(tool, found)| (*found == decision).then_some(*tool))
    }

    /// The names of the tools with this decision.
    pub fn names(&self, decision: Decision) -> impl Iterator<Item = &'a str> {
        self.with(decision).map(|tool| tool.name.as_str())
    }

    /// The tools with this decision, as a message lists them. Empty if there are none.
    #[must_use]
    pub fn list(&self, decision: Decision) -> String {
        comma_list(self.names(decision))
    }

    /// The names of the tools that are not granted. They can be any text.
    #[must_use]
    pub fn ungranted(&self) -> Vec<String> {
        self.0
            .iter()
            .filter(|(_, decision)| *decision != Decision::Granted)
            .map(|(tool, _)| tool.name.clone())
            .collect()
    }
}

/// What to do about an agent that does not enforce `allowed_tools`, as an imperative clause.
pub(crate) fn instead_of_no_enforcement(can_use_gateway: bool) -> &'static str {
    if can_use_gateway {
        "set `connection: gateway`, or use an agent that enforces an allowlist"
    } else {
        "use an agent that enforces an allowlist"
    }
}

/// Why a request for access is denied.
#[derive(Clone, Debug, thiserror::Error)]
#[expect(missing_docs, reason = "the messages say what each one means")]
pub enum AccessError {
    #[error("tool `{tool}` is not available\nhint: {reason}")]
    NotAvailable { tool: String, reason: Unavailable },
    #[error(
        "pattern `{glob}` matches no tool\nhint: use one of the {offered} available tools{names}"
    )]
    NoMatch {
        glob: String,
        offered: usize,
        names: Available,
    },
    #[error(
        "{what} is not allowed by {rule}{allowed}\n\
         hint: {instead}, or ask {contact}"
    )]
    NotAllowed {
        what: String,
        rule: String,
        allowed: String,
        /// What the run can request instead.
        instead: String,
        contact: Contact,
    },
    #[error(
        "tool `{tool}` is ambiguous: this agent uses the name `{function}` for it and for {others}, so \
         it could call the wrong one\n\
         hint: {instead}use an agent that distinguishes them, or ask the owner of the server to rename one"
    )]
    Ambiguous {
        tool: String,
        others: String,
        function: Quote,
        instead: &'static str,
    },
    #[error("{what} in `base_config` {effect}, which {rule} does not allow\nhint: {hint}")]
    Configuration {
        what: String,
        effect: String,
        rule: String,
        hint: String,
    },
    #[error(
        "`allowed_tools` grants no tools: {0}\nhint: list the tools that the agent needs by name"
    )]
    NothingGranted(String),
}

/// Why the server does not offer a tool, as a hint.
#[derive(Clone, Debug, thiserror::Error)]
#[expect(missing_docs, reason = "the messages say what each one means")]
pub enum Unavailable {
    #[error("use `{0}`, which replaced it")]
    Replaced(String),
    #[error("use `{0}`, which replaced it, and which both creates and updates")]
    ReplacedByMore(String),
    #[error("Port removed this tool: use one of the available tools{0}")]
    Removed(Available),
    #[error(
        "set `read_only: false` to let the agent write: Port hides this tool in read-only mode"
    )]
    ReadOnly,
    #[error("did you mean `{0}`?")]
    Near(String),
    #[error("use one of the available tools{0}")]
    Unknown(Available),
}

/// The list of the available tools, at the end of a hint. Of several errors, only the first contains it.
#[derive(Clone, Debug)]
pub struct Available(Option<String>);

impl Available {
    fn new(offered: &[Tool]) -> Self {
        let names = offered.iter().map(|tool| tool.name.as_str());
        Self(Some(comma_list(names)))
    }
}

impl std::fmt::Display for Available {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match &self.0 {
            Some(names) => write!(f, ": {names}"),
            None => f.write_str(", which another error of this step lists"),
        }
    }
}

impl AccessError {
    fn available(&mut self) -> Option<&mut Available> {
        match self {
            Self::NoMatch { names, .. }
            | Self::NotAvailable {
                reason: Unavailable::Removed(names) | Unavailable::Unknown(names),
                ..
            } => Some(names),
            _ => None,
        }
    }
}

/// Every denied request. All of them are reported at once.
#[derive(Debug)]
pub struct AccessErrors(pub Vec<AccessError>);

impl AccessErrors {
    /// `Ok` if there are none.
    pub(crate) fn check(errors: Vec<AccessError>) -> Result<(), Self> {
        if errors.is_empty() {
            Ok(())
        } else {
            Err(Self(errors))
        }
    }
}

impl std::error::Error for AccessErrors {}

impl std::fmt::Display for AccessErrors {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let lines: Vec<String> = self.0.iter().map(ToString::to_string).collect();
        f.write_str(&lines.join("\n"))
    }
}

/// What is known about tools that the server does not offer.
pub struct KnownTools<'a> {
    /// The names of the tools that the server offers without read-only mode.
    pub writable: &'a HashSet<String>,
    /// The possible replacements of a former tool, the most likely first.
    pub replacements: fn(&str) -> Vec<String>,
    /// Whether a former tool was removed without a replacement.
    pub is_removed: fn(&str) -> bool,
    /// Whether `connection: gateway` could hide the tools that are not granted.
    pub can_be_hidden: bool,
}

/// The function of a tool, by its name at the server.
pub type Functions<'a> = &'a dyn Fn(&str) -> FunctionName;

/// Decides which of the `offered` tools are granted. `allowed` are the tools that the policy allows: `None`
/// without a policy.
///
/// A tool that the policy does not allow is never granted. A glob does not grant a tool that the agent
/// cannot distinguish from another, or, in read-only mode, a tool that is not annotated as read-only:
/// `requested` must list such a tool by name.
///
/// Returns the decisions, and the grants or the errors: every listed name that is not offered or is ambiguous, every glob
/// that matches no tool, and an empty result, each with its reason.
pub fn resolve<'a>(
    requested: &Patterns,
    offered: &'a [Tool],
    allowed: Option<&Patterns>,
    read_only: bool,
    functions: Functions<'_>,
    known: &KnownTools<'_>,
) -> (Resolution<'a>, Result<Grants, AccessErrors>) {
    let ambiguous = ambiguous(offered, functions);
    let listed: HashSet<&str> = requested.names.iter().map(String::as_str).collect();
    let mut unmatched = vec![true; requested.globs.len()];
    let decide = |tool: &'a Tool| {
        let name = tool.name.as_str();
        let is_listed = listed.contains(name);
        let is_matched = matches_any(requested, name, &mut unmatched);
        let decision = if !ToolName::is_valid(name) {
            Decision::InvalidName
        } else if requested.excludes(name) || !(is_listed || is_matched) {
            Decision::NotRequested
        } else if allowed.is_some_and(|allowed| !allowed.allows(name)) {
            Decision::NotAllowed
        } else if ambiguous.contains_key(name) && !is_listed {
            Decision::Ambiguous
        } else if read_only && tool.may_write() && !is_listed {
            Decision::NotListed
        } else {
            Decision::Granted
        };
        (tool, decision)
    };
    let resolution = Resolution(offered.iter().map(decide).collect());
    let hidden = if known.can_be_hidden {
        "set `connection: gateway`, which hides the tools that are not granted, "
    } else {
        ""
    };
    let included = requested
        .names
        .iter()
        .filter(|name| !requested.excludes(name));
    let mut errors = unavailable(included, offered, known);
    errors.extend(without_match(requested, offered, &unmatched));
    for repeated in errors.iter_mut().filter_map(AccessError::available).skip(1) {
        repeated.0 = None;
    }
    errors.extend(resolution.names(Decision::Granted).filter_map(|tool| {
        Some(ambiguous_error(
            tool,
            ambiguous.get(tool)?,
            functions,
            hidden,
        ))
    }));
    if errors.is_empty() && resolution.with(Decision::Granted).next().is_none() {
        errors.push(AccessError::NothingGranted(nothing_granted(&resolution)));
    }
    let granted = resolution
        .names(Decision::Granted)
        .filter_map(ToolName::new)
        .collect();
    (resolution, AccessErrors::check(errors).map(|()| granted))
}

/// Checks that the agent can distinguish all of these tools, if it sees no others.
///
/// # Errors
/// Every tool that it cannot distinguish from another.
pub fn check_distinct(grants: &Grants, functions: Functions<'_>) -> Result<(), AccessErrors> {
    let tools: Vec<Tool> = grants
        .names()
        .map(|name| Tool::named(name.as_str()))
        .collect();
    let ambiguous = ambiguous(&tools, functions);
    let errors: Vec<AccessError> = grants
        .names()
        .map(ToolName::as_str)
        .filter_map(|tool| Some(ambiguous_error(tool, ambiguous.get(tool)?, functions, "")))
        .collect();
    AccessErrors::check(errors)
}

fn ambiguous_error(
    tool: &str,
    others: &[&str],
    functions: Functions<'_>,
    instead: &'static str,
) -> AccessError {
    AccessError::Ambiguous {
        tool: tool.to_owned(),
        others: comma_list(others.iter().copied()),
        function: Quote::new(&functions(tool).to_string()),
        instead,
    }
}

/// Whether a glob matches `name`. Clears the flag in `unmatched` of each glob that does.
fn matches_any(requested: &Patterns, name: &str, unmatched: &mut [bool]) -> bool {
    let mut is_matched = false;
    for ((_, glob), unmatched) in requested.globs.iter().zip(unmatched) {
        // Each glob must match at least one tool, but each tool needs only one glob.
        if (*unmatched || !is_matched) && glob.matches(name) {
            *unmatched = false;
            is_matched = true;
        }
    }
    is_matched
}

/// The tools that the agent cannot distinguish from others, each with the names of these others.
fn ambiguous<'a>(offered: &'a [Tool], functions: Functions<'_>) -> HashMap<&'a str, Vec<&'a str>> {
    let mut by_function: HashMap<FunctionName, Vec<&str>> = HashMap::new();
    for tool in offered {
        by_function
            .entry(functions(&tool.name))
            .or_default()
            .push(&tool.name);
    }
    by_function
        .into_values()
        .filter(|names| names.len() > 1)
        .flat_map(|names| {
            let all = names.clone();
            names.into_iter().map(move |name| {
                let others = all.iter().copied().filter(|other| *other != name);
                (name, others.collect())
            })
        })
        .collect()
}

/// An error for each of the `names` that is not offered.
pub fn unavailable<'a>(
    names: impl Iterator<Item = &'a String>,
    offered: &[Tool],
    known: &KnownTools<'_>,
) -> Vec<AccessError> {
    let available: HashSet<&str> = offered.iter().map(|tool| tool.name.as_str()).collect();
    names
        .filter(|name| !available.contains(name.as_str()))
        .map(|name| AccessError::NotAvailable {
            tool: name.clone(),
            reason: why_unavailable(name, offered, known),
        })
        .collect()
}

fn without_match(requested: &Patterns, offered: &[Tool], unmatched: &[bool]) -> Vec<AccessError> {
    requested
        .globs
        .iter()
        .zip(unmatched)
        .filter(|(_, unmatched)| **unmatched)
        .map(|((glob, _), _)| AccessError::NoMatch {
            glob: glob.clone(),
            offered: offered.len(),
            names: Available::new(offered),
        })
        .collect()
}

fn why_unavailable(name: &str, offered: &[Tool], known: &KnownTools<'_>) -> Unavailable {
    let names = || offered.iter().map(|tool| tool.name.as_str());
    let exists =
        |name: &String| names().any(|offered| offered == name) || known.writable.contains(name);
    if known.writable.contains(name) {
        Unavailable::ReadOnly
    } else if let Some(replacement) = (known.replacements)(name).into_iter().find(exists) {
        let is_part = ["create_", "update_"]
            .iter()
            .any(|start| name.starts_with(start));
        if is_part && replacement.starts_with("upsert_") {
            Unavailable::ReplacedByMore(replacement)
        } else {
            Unavailable::Replaced(replacement)
        }
    } else if (known.is_removed)(name) {
        Unavailable::Removed(Available::new(offered))
    } else if let Some(near) = nearest(name, names()) {
        Unavailable::Near(Quote::new(near).to_string())
    } else {
        Unavailable::Unknown(Available::new(offered))
    }
}

fn nothing_granted(resolution: &Resolution<'_>) -> String {
    let reasons = [
        (Decision::NotAllowed, "the policy does not allow"),
        (
            Decision::NotListed,
            "in read-only mode, patterns do not grant tools that are not annotated as read-only:",
        ),
        (
            Decision::Ambiguous,
            "this agent cannot distinguish these tools from others:",
        ),
        (Decision::InvalidName, "these are not valid tool names:"),
    ];
    let reasons: Vec<String> = reasons
        .into_iter()
        .map(|(decision, reason)| (reason, resolution.list(decision)))
        .filter(|(_, tools)| !tools.is_empty())
        .map(|(reason, tools)| format!("{reason} {tools}"))
        .collect();
    if reasons.is_empty() {
        "its exclusions (`!`) remove everything that it includes".to_owned()
    } else {
        reasons.join("; ")
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use proptest::sample::{select, subsequence};

    const NAMES: &[&str] = &[
        "list_entities",
        "list_blueprints",
        "get_page",
        "run_action",
        "upsert_entity",
        "delete_entity",
        "list_plugins",
        "bad name",
    ];

    /// Tools with some of the names, each with any annotations.
    fn offers() -> impl Strategy<Value = Vec<Tool>> {
        let hint = proptest::option::of(any::<bool>());
        let hints = proptest::collection::vec((hint.clone(), hint), NAMES.len());
        (subsequence(NAMES.to_vec(), 0..=NAMES.len()), hints).prop_map(|(names, hints)| {
            let tools = names.into_iter().zip(hints);
            tools
                .map(|(name, (read_only, destructive))| Tool {
                    read_only,
                    destructive,
                    ..Tool::named(name)
                })
                .collect()
        })
    }

    fn entries() -> impl Strategy<Value = Vec<String>> {
        let pattern = select(vec![
            "*",
            "list_*",
            "*_entity",
            "get_page",
            "run_action",
            "delete_*",
            "list_entities",
            "*e*",
        ]);
        let entry = (any::<bool>(), pattern).prop_map(|(excludes, pattern)| {
            let mark = if excludes { "!" } else { "" };
            format!("{mark}{pattern}")
        });
        proptest::collection::vec(entry, 1..6)
    }

    fn patterns(entries: &[String]) -> Option<Patterns> {
        Patterns::parse(entries.iter().map(String::as_str)).ok()
    }

    fn granted(
        requested: &Patterns,
        offered: &[Tool],
        allowed: Option<&Patterns>,
        read_only: bool,
    ) -> Vec<String> {
        let known = KnownTools {
            writable: &HashSet::new(),
            replacements: |_| Vec::new(),
            is_removed: |_| false,
            can_be_hidden: false,
        };
        let plain = &FunctionName::plain;
        let (_, granted) = resolve(requested, offered, allowed, read_only, plain, &known);
        let grants = granted.unwrap_or_default();
        grants.names().map(ToString::to_string).collect()
    }

    proptest! {
        #[test]
        fn granted_tools_are_offered_requested_and_allowed(
            offered in offers(), requested in entries(), allowed in entries(), read_only: bool,
        ) {
            let (Some(requested), Some(allowed)) = (patterns(&requested), patterns(&allowed)) else {
                return Ok(());
            };
            for name in granted(&requested, &offered, Some(&allowed), read_only) {
                let tool = offered.iter().find(|tool| tool.name == name);
                prop_assert!(requested.allows(&name) && allowed.allows(&name) && ToolName::is_valid(&name));
                // In read-only mode, a tool that may write is granted only by its name.
                let is_listed = requested.names().contains(&name);
                prop_assert!(tool.is_some_and(|tool| !read_only || !tool.may_write() || is_listed));
            }
        }

        #[test]
        fn a_policy_never_widens_a_request(
            offered in offers(), requested in entries(), allowed in entries(), read_only: bool,
        ) {
            let (Some(requested), Some(allowed)) = (patterns(&requested), patterns(&allowed)) else {
                return Ok(());
            };
            let without = granted(&requested, &offered, None, read_only);
            for name in granted(&requested, &offered, Some(&allowed), read_only) {
                prop_assert!(without.contains(&name));
            }
        }

        #[test]
        fn an_exclusion_always_wins(offered in offers(), requested in entries(), read_only: bool) {
            let Some(parsed) = patterns(&requested) else { return Ok(()) };
            let excluded: Vec<Glob> = requested
                .iter()
                .filter_map(|entry| entry.strip_prefix('!'))
                .map(Glob::new)
                .collect();
            for name in granted(&parsed, &offered, None, read_only) {
                prop_assert!(!excluded.iter().any(|glob| glob.matches(&name)), "{}", name);
            }
        }

        #[test]
        fn the_order_of_entries_has_no_effect(
            offered in offers(),
            (requested, shuffled) in entries().prop_flat_map(|entries| {
                (Just(entries.clone()), Just(entries).prop_shuffle())
            }),
            read_only: bool,
        ) {
            let (Some(requested), Some(shuffled)) = (patterns(&requested), patterns(&shuffled)) else {
                return Ok(());
            };
            prop_assert_eq!(
                granted(&requested, &offered, None, read_only),
                granted(&shuffled, &offered, None, read_only)
            );
        }

        #[test]
        fn a_glob_matches_its_parts_with_any_text_between_them(
            parts in proptest::collection::vec("[ab]{0,3}", 1..4),
            fillings in proptest::collection::vec("[abc]{0,3}", 4),
        ) {
            let glob = Glob::new(&parts.join("*"));
            let mut text = parts[0].clone();
            for (part, filling) in parts[1..].iter().zip(&fillings) {
                text.push_str(filling);
                text.push_str(part);
            }
            prop_assert!(glob.matches(&text));
            let outside = format!("{text}c");
            prop_assert!(!glob.matches(&outside) || parts.last().is_some_and(String::is_empty));
        }
    }
}
