//! Whether an attribute of a run meets a condition.

use super::RunContext;
use super::file::When;
use super::one_of::OneOf;
use crate::access::pattern::Glob;
use crate::text::{Quote, as_given, or_list};

impl When {
    /// Each condition that `run` does not meet, as a clause.
    pub(super) fn unmet(&self, run: &RunContext) -> Vec<String> {
        self.all()
            .filter(|(name, condition)| {
                !run.attribute(name)
                    .is_some_and(|attribute| condition.is_met_by(name, attribute))
            })
            .map(|(name, condition)| {
                let found = match run.attribute(name) {
                    None => "unknown".to_owned(),
                    Some(attribute) => as_given(attribute),
                };
                let patterns: Vec<Quote> =
                    condition.patterns().iter().map(|p| Quote::new(p)).collect();
                format!("{name} is {found}, expected {}", or_list(&patterns))
            })
            .collect()
    }
}

impl OneOf {
    /// Whether one of the patterns of the condition `name` matches `attribute`, and no exclusion does.
    fn is_met_by(&self, name: &str, attribute: &str) -> bool {
        let matches = |pattern: &str| is_match(name, pattern, attribute);
        self.includes().any(matches) && !self.exclusions().any(matches)
    }

    /// The patterns, one of which must match.
    pub(super) fn includes(&self) -> impl Iterator<Item = &str> {
        self.patterns()
            .iter()
            .map(String::as_str)
            .filter(|pattern| !pattern.starts_with('!'))
    }

    /// The patterns that must not match, without the leading `!`.
    pub(super) fn exclusions(&self) -> impl Iterator<Item = &str> {
        self.patterns()
            .iter()
            .filter_map(|pattern| Some(pattern.strip_prefix('!')?.trim_start()))
    }
}

/// Whether `pattern`, in the condition `name`, matches `attribute`. Only refs are case-sensitive.
pub(super) fn is_match(name: &str, pattern: &str, attribute: &str) -> bool {
    match name {
        "ref" => Glob::new(pattern).matches(attribute),
        "workflow" => is_workflow(pattern, attribute),
        _ => Glob::ignoring_case(pattern).matches(attribute),
    }
}

/// Whether `pattern` matches `attribute`, a workflow file at a ref. Path and ref are compared separately:
/// a branch can be named `x@refs/heads/main`, and `MAIN` and `main` are different branches.
fn is_workflow(pattern: &str, attribute: &str) -> bool {
    let (path, reference) = match attribute.split_once("@refs/") {
        Some((path, reference)) => (path, format!("refs/{reference}")),
        None => (attribute, String::new()),
    };
    match pattern.split_once('@') {
        None => Glob::ignoring_case(pattern).matches(path),
        Some((wanted_path, wanted_reference)) => {
            Glob::ignoring_case(wanted_path).matches(path)
                && Glob::new(wanted_reference).matches(&reference)
        }
    }
}
