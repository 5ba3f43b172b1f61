//! Rules and conditions that can never match.
//!
//! Such a policy is valid, but allows less than its author intended. `port-mcp policy check` rejects it
//! before it is committed.

use super::condition::is_match;
use super::file::Entry;
use super::one_of::OneOf;
use super::place::Step;
use crate::access::RUNS_EVERYTHING;
use crate::text::{Quote, nearest};

/// The events that start a workflow
/// ([reference](https://docs.github.com/actions/reference/events-that-trigger-workflows)).
const EVENTS: &[&str] = &[
    "branch_protection_rule",
    "check_run",
    "check_suite",
    "create",
    "delete",
    "deployment",
    "deployment_status",
    "discussion",
    "discussion_comment",
    "dynamic",
    "fork",
    "gollum",
    "image_version",
    "issue_comment",
    "issues",
    "label",
    "merge_group",
    "milestone",
    "page_build",
    "project",
    "project_card",
    "project_column",
    "public",
    "pull_request",
    "pull_request_comment",
    "pull_request_review",
    "pull_request_review_comment",
    "pull_request_target",
    "push",
    "registry_package",
    "release",
    "repository_dispatch",
    "schedule",
    "status",
    "watch",
    "workflow_call",
    "workflow_dispatch",
    "workflow_run",
    "repository_vulnerability_alert",
    "installation",
];

/// The prefixes of all refs for which GitHub runs workflows.
const REFS: &[&str] = &["refs/heads/", "refs/tags/", "refs/pull/"];

/// Every rule or condition that can never match, one clause each, and where it is. Without the rules that are invalid.
pub(super) fn lint(rules: &[Option<Entry>]) -> Vec<(Vec<Step>, String)> {
    let mut found = Vec::new();
    for (index, rule) in rules.iter().enumerate() {
        let Some(rule) = rule else {
            continue;
        };
        let number = index + 1;
        let place = |keys: &[&str]| {
            let rule = [Step::Key("rules".to_owned()), Step::Element(index)];
            let keys = keys.iter().map(|key| Step::Key((*key).to_owned()));
            rule.into_iter().chain(keys).collect::<Vec<Step>>()
        };
        for (name, condition) in rule.when.all() {
            if let Some(reason) = never(name, condition) {
                let what = format!(
                    "rule {number} can never match as intended: its condition `{name}` {reason}"
                );
                found.push((place(&["when", name]), what));
            }
        }
        let above = rules[..index].iter().position(|above| {
            let above = above.as_ref();
            above.is_some_and(|above| above.covers(rule))
        });
        if let Some(above) = above {
            let what = format!(
                "rule {number} can never match: rule {} matches all of its runs first",
                above + 1
            );
            found.push((place(&[]), what));
        }
        let tools = &rule.allow.tools;
        if tools.includes().all(|pattern| tools.excludes(pattern)) {
            let what = format!(
                "rule {number} allows no tools: its exclusions remove everything that `tools` includes"
            );
            found.push((place(&["allow", "tools"]), what));
        }
        let everything = tools
            .names()
            .iter()
            .find(|name| RUNS_EVERYTHING.contains(&name.as_str()));
        if let Some(name) = everything.filter(|_| !rule.allow.has_every_action()) {
            let what = format!(
                "rule {number} does not allow `{name}`: this tool runs every action and workflow, so it \
                 requires `actions: [\"*\"]`"
            );
            found.push((place(&["allow", "tools"]), what));
        }
    }
    found
}

/// Why no run can meet a condition. `None` if a run can.
fn never(name: &str, condition: &OneOf) -> Option<String> {
    if condition.patterns().is_empty() {
        return Some("is an empty list".to_owned());
    }
    let excluded = |include: &str| {
        condition
            .exclusions()
            .any(|pattern| is_match(name, pattern, include))
    };
    if condition.includes().all(excluded) {
        return Some("excludes everything that it includes".to_owned());
    }
    // A pattern that no run can meet is a mistake even if others can match.
    condition.includes().find_map(|pattern| {
        let reason = match name {
            "ref" => no_ref(pattern),
            "event" => no_event(pattern),
            "repository" => no_repository(pattern),
            "workflow" => no_workflow(pattern),
            _ => None,
        }?;
        Some(format!("contains `{}`: {reason}", Quote::new(pattern)))
    })
}

fn no_ref(pattern: &str) -> Option<String> {
    let prefix = pattern.split('*').next().unwrap_or_default();
    let is_whole = !pattern.contains('*');
    let is_possible = REFS
        .iter()
        .any(|start| prefix.starts_with(start) || (!is_whole && start.starts_with(prefix)));
    if is_possible {
        return None;
    }
    Some(if pattern.starts_with("refs/") {
        "a ref begins with `refs/heads/`, `refs/tags/`, or `refs/pull/`".to_owned()
    } else {
        format!(
            "write the full ref: `refs/heads/{0}` or `refs/tags/{0}`",
            Quote::new(pattern)
        )
    })
}

fn no_event(pattern: &str) -> Option<String> {
    if EVENTS.iter().any(|event| is_match("event", pattern, event)) {
        return None;
    }
    Some(match nearest(pattern, EVENTS.iter().copied()) {
        Some(near) => format!("there is no such event (did you mean `{near}`?)"),
        None => "there is no such event".to_owned(),
    })
}

fn no_repository(pattern: &str) -> Option<String> {
    let slashes = pattern.matches('/').count();
    let is_name = |c: char| c.is_ascii_alphanumeric() || "-_./*".contains(c);
    let is_possible = slashes <= 1
        && (slashes == 1 || pattern.contains('*'))
        && pattern.chars().all(is_name)
        && !pattern.starts_with('/')
        && !pattern.ends_with('/');
    (!is_possible).then(|| "write a repository as `owner/name`".to_owned())
}

fn no_workflow(pattern: &str) -> Option<String> {
    let (path, reference) = match pattern.split_once('@') {
        Some((path, reference)) => (path, Some(reference)),
        None => (pattern, None),
    };
    if let Some(reason) = reference.and_then(no_ref) {
        return Some(reason);
    }
    let path = path.to_ascii_lowercase();
    let (first, last) = (
        path.split('*').next().unwrap_or_default(),
        path.rsplit('*').next().unwrap_or_default(),
    );
    let has_suffix = [".yml", ".yaml"]
        .iter()
        .any(|end| last.ends_with(end) || (path.contains('*') && end.ends_with(last)));
    let has_directory = path.contains('*') || path.contains("/.github/workflows/");
    let has_repository = !first.starts_with('/') && !first.starts_with('.');
    (!(has_suffix && has_directory && has_repository)).then(|| {
        "include the repository of the workflow: `owner/name/.github/workflows/agent.yml`"
            .to_owned()
    })
}

impl Entry {
    /// Whether every run that `other` matches meets these conditions too, as far as the patterns show.
    fn covers(&self, other: &Self) -> bool {
        self.when.all().all(|(name, condition)| {
            // GitHub sets the repository, ref, workflow, and event of every run.
            let is_known = name != "environment";
            let matches_all = condition.exclusions().next().is_none()
                && condition
                    .includes()
                    .any(|pattern| pattern.bytes().all(|b| b == b'*'));
            (is_known && matches_all)
                || other
                    .when
                    .all()
                    .find(|(other_name, _)| *other_name == name)
                    .is_some_and(|(_, other)| covers(name, condition, other))
        })
    }
}

/// Whether every attribute that meets `other` also meets `condition`: `condition` includes each pattern of
/// `other`, compared as text, and `other` excludes everything that `condition` excludes.
fn covers(name: &str, condition: &OneOf, other: &OneOf) -> bool {
    let is_included = |text: &str| {
        condition
            .includes()
            .any(|pattern| is_match(name, pattern, text))
    };
    other.includes().all(is_included)
        && condition.exclusions().all(|text| {
            other
                .exclusions()
                .any(|pattern| is_match(name, pattern, text))
        })
}
