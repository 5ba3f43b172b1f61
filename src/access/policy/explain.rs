//! Which rule matches a run, and why the rules above it do not.

use super::file::Allow;
use super::{Policy, Rule, RunContext};
use crate::Connection;
use crate::port::Region;
use crate::text::Quote;

/// The way to the rule that matches a run.
#[derive(Debug)]
pub struct Explanation<'a> {
    /// The rules that do not match, each with the conditions that the run does not meet.
    pub others: Vec<(String, Vec<String>)>,
    /// The first rule that matches.
    pub rule: Option<Rule<'a>>,
}

impl Policy {
    /// Compares `run` with each rule, up to the first that matches.
    #[must_use]
    pub fn explain(&self, run: &RunContext) -> Explanation<'_> {
        let mut others = Vec::new();
        for (index, entry) in self.file.rules.iter().enumerate() {
            let rule = self.rule(index, entry);
            let unmet = entry.when.unmet(run);
            if unmet.is_empty() {
                let rule = Some(rule);
                return Explanation { others, rule };
            }
            others.push((rule.title, unmet));
        }
        Explanation { others, rule: None }
    }
}

impl Rule<'_> {
    /// What the rule allows: each limit with its name.
    #[must_use]
    pub fn limits(&self) -> [(&'static str, String); 6] {
        self.allow.limits()
    }
}

impl Allow {
    fn limits(&self) -> [(&'static str, String); 6] {
        let joined = |list: &[String], none: &str| match list {
            [] => none.to_owned(),
            list => Quote::new(&list.join(", ")).to_string(),
        };
        let optional =
            |list: Option<Vec<String>>| list.map_or("any".to_owned(), |list| joined(&list, "none"));
        let regions = |list: &Vec<Region>| list.iter().map(ToString::to_string).collect();
        let connections = |list: &Vec<Connection>| list.iter().map(ToString::to_string).collect();
        [
            ("tools", self.tools.to_string()),
            ("actions", joined(&self.actions, "none")),
            ("write", self.write.to_string()),
            ("regions", optional(self.regions.as_ref().map(regions))),
            ("servers", joined(&self.servers, "Port's own")),
            (
                "connection",
                optional(self.connection.as_ref().map(connections)),
            ),
        ]
    }
}
