//! Whether a fact about a run is what a condition asks for.

use super::format::OneOf;
use crate::access::pattern::Glob;

impl OneOf {
    /// Whether `fact` is what the condition called `name` asks for: matched by one of its patterns
    /// and by no exclusion. A fact that is not known (empty) meets no condition, not even `*`.
    pub(super) fn is_met_by(&self, name: &str, fact: &str) -> bool {
        !fact.is_empty()
            && self.includes().any(|pattern| is_match(name, pattern, fact))
            && !self
                .exclusions()
                .any(|pattern| is_match(name, pattern, fact))
    }

    /// The patterns of which one has to match.
    pub(super) fn includes(&self) -> impl Iterator<Item = &str> {
        let patterns = self.patterns().iter().map(String::as_str);
        patterns.filter(|pattern| !pattern.starts_with('!'))
    }

    /// The patterns of which none may match, without their marks.
    pub(super) fn exclusions(&self) -> impl Iterator<Item = &str> {
        let patterns = self.patterns().iter();
        patterns.filter_map(|pattern| Some(pattern.strip_prefix('!')?.trim_start()))
    }
}

/// Whether `pattern` describes `fact`, as the condition called `name` compares.
pub(super) fn is_match(name: &str, pattern: &str, fact: &str) -> bool {
    match name {
        "ref" => Glob::new(pattern).matches(fact),
        "workflow" => is_workflow(pattern, fact),
        _ => Glob::ignoring_case(pattern).matches(fact),
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
