//! Which rule matches a run, and why the rules above it do not.

use super::file::Allow;
use super::{Policy, RunContext};
use crate::agents::Connection;
use crate::port::Region;
use crate::text::Quote;

impl Policy {
    /// One line for each rule up to the first that matches `run`, then the limits of that rule.
    #[must_use]
    pub fn explain(&self, run: &RunContext) -> Vec<String> {
        let mut lines = Vec::new();
        for (index, entry) in self.file.rules.iter().enumerate() {
            let rule = self.rule(index, entry);
            let unmet = entry.when.unmet(run);
            if unmet.is_empty() {
                lines.push(format!("{} matches. It allows:", rule.title));
                lines.extend(rule.allow.lines());
                return lines;
            }
            lines.push(format!(
                "{} does not match: {}.",
                rule.title,
                unmet.join("; ")
            ));
        }
        lines.push("No rule matches this run, so the step would fail.".to_owned());
        lines
    }
}

impl Allow {
    fn lines(&self) -> Vec<String> {
        let joined = |list: &[String], none: &str| match list {
            [] => none.to_owned(),
            list => Quote::new(&list.join(", ")).to_string(),
        };
        let optional =
            |list: Option<Vec<String>>| list.map_or("any".to_owned(), |list| joined(&list, "none"));
        let regions = |list: &Vec<Region>| list.iter().map(ToString::to_string).collect();
        let connections = |list: &Vec<Connection>| list.iter().map(ToString::to_string).collect();
        vec![
            format!("  tools: {}", self.tools),
            format!("  actions: {}", joined(&self.actions, "none")),
            format!("  write: {}", self.write),
            format!(
                "  regions: {}",
                optional(self.regions.as_ref().map(regions))
            ),
            format!("  servers: {}", joined(&self.servers, "Port's own")),
            format!(
                "  connection: {}",
                optional(self.connection.as_ref().map(connections))
            ),
        ]
    }
}
