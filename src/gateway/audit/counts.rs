//! The numbers that a gateway reports when it ends, or that its audit contains if it could not.

use std::collections::{BTreeMap, HashMap};

use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::failure::Failure;
use super::{CALL, COUNTS, FAILURE, GAP, REJECTION, RENEWAL, SESSION, SESSION_FAILED, STOP};
use crate::tool::QuotedName;

/// The maximum number of granted tools with counts of their own.
const MAX_TOOLS: usize = 200;
/// The maximum number of other tools with counts of their own. An agent can request any name.
const MAX_REJECTED: usize = 100;
/// What counts as one tool beyond the maximum.
pub(super) const OTHERS: &str = "(others)";

/// The counts of one tool.
#[derive(Clone, Debug, Default, Deserialize, Serialize)]
pub(crate) struct ToolCounts {
    /// Calls that were forwarded.
    pub(crate) calls: u64,
    /// Forwarded calls without a result.
    pub(crate) errors: u64,
    /// Calls that the gateway rejected.
    pub(crate) rejected: u64,
    /// The duration of the slowest call in milliseconds.
    pub(crate) slowest: u64,
}

/// What ended a gateway.
#[derive(Clone, Copy, Debug, Deserialize, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum End {
    /// A request with the stop key.
    Request,
    /// A signal, which is also how an engine stops a container.
    Signal,
    /// The end of `gateway_lifetime`.
    GatewayLifetime,
}

/// The counts of a gateway.
#[derive(Clone, Debug, Default, Deserialize, Serialize)]
#[serde(default)]
pub(crate) struct Counts {
    /// What ended the gateway. `None` if it did not write its last line.
    pub(crate) end: Option<End>,
    /// Sessions, or connections without a session.
    pub(crate) sessions: u64,
    /// Attempts to connect that failed.
    pub(crate) failed: u64,
    /// Why the last of them failed.
    pub(crate) last_failure: Option<Failure>,
    /// Requests that got no response from Port, and lists of tools that an agent did not get.
    pub(crate) failures: u64,
    /// The reason of the last of them.
    pub(crate) last_error: Option<String>,
    /// Rejected messages other than calls of tools.
    pub(crate) rejected: u64,
    /// New tokens.
    pub(crate) renewals: u64,
    /// The lines that the audit does not contain, by event: the first lines of an event are enough.
    pub(crate) gaps: BTreeMap<String, u64>,
    /// Other lines that the audit does not contain, because they could not be written.
    pub(crate) missing: u64,
    /// The counts by tool.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub(crate) tools: BTreeMap<QuotedName, ToolCounts>,
}

impl Counts {
    /// Reads the counts from an audit: from its last lines, or, if the gateway could not write them, from all others.
    pub(crate) fn from_audit(audit: &str) -> Self {
        let mut counts = Self::default();
        let mut tools = BTreeMap::new();
        let mut reasons = HashMap::new();
        for line in audit.lines() {
            let Ok(event) = serde_json::from_str::<Value>(line) else {
                continue;
            };
            match (event["event"].as_str(), event["tool"].as_str()) {
                (Some(COUNTS), Some(tool)) => {
                    let of_tool =
                        serde_json::from_value(event["counts"].clone()).unwrap_or_default();
                    tools.insert(QuotedName::recorded(tool), of_tool);
                }
                (Some(STOP), _) => {
                    counts = serde_json::from_value(event).unwrap_or_default();
                    // The line itself says that the gateway ended.
                    counts.end.get_or_insert(End::Signal);
                    counts.tools = tools;
                    return counts;
                }
                (Some(name), tool) => counts.add(name, tool, &event, &mut reasons),
                (None, _) => {}
            }
        }
        counts.failed = reasons.values().sum();
        counts
    }

    /// Counts an event of an audit.
    fn add(
        &mut self,
        name: &str,
        tool: Option<&str>,
        event: &Value,
        reasons: &mut HashMap<String, u64>,
    ) {
        let number = |name: &str| event[name].as_u64().unwrap_or_default();
        let reason = event["reason"].as_str().unwrap_or_default().to_owned();
        match (name, tool) {
            (SESSION, _) => self.sessions += 1,
            (SESSION_FAILED, _) => {
                self.last_failure = Failure::deserialize(event).ok();
                reasons.insert(reason, number("count"));
            }
            (FAILURE, _) => {
                self.failures += 1;
                self.last_error = Some(reason);
            }
            (RENEWAL, _) => self.renewals += 1,
            (CALL, Some(tool)) => {
                let of_tool = self.tool(&QuotedName::recorded(tool), true);
                of_tool.calls += 1;
                of_tool.errors += u64::from(event["outcome"] != "result");
                of_tool.slowest = of_tool.slowest.max(number("milliseconds"));
            }
            (REJECTION, Some(tool)) => self.tool(&QuotedName::recorded(tool), false).rejected += 1,
            (REJECTION, None) => self.rejected += 1,
            (GAP, _) => match event["of"].as_str() {
                Some(of) => {
                    self.gaps.insert(of.to_owned(), number("lines"));
                }
                None => self.missing = self.missing.max(number("lines")),
            },
            _ => {}
        }
    }

    /// The counts of a tool, which is granted or not.
    pub(super) fn tool(&mut self, name: &QuotedName, is_granted: bool) -> &mut ToolCounts {
        let limit = if is_granted { MAX_TOOLS } else { MAX_REJECTED };
        let others = self
            .tools
            .values()
            .filter(|counts| (counts.calls > 0) == is_granted);
        let is_counted = self.tools.contains_key(name) || others.count() < limit;
        let name = if is_counted {
            name.clone()
        } else {
            QuotedName::recorded(OTHERS)
        };
        self.tools.entry(name).or_default()
    }

    /// Whether an agent connected.
    pub(crate) fn is_connected(&self) -> bool {
        self.sessions > 0
    }

    /// The number of rejected messages.
    pub(crate) fn all_rejected(&self) -> u64 {
        self.rejected + self.tools.values().map(|tool| tool.rejected).sum::<u64>()
    }
}
