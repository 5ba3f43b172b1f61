//! The audit: one line of JSON per event, and the counts for the job summary.

use std::collections::{BTreeMap, HashMap};
use std::fmt;
use std::io::Write;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, SystemTime};

use humantime::{format_rfc3339_millis, format_rfc3339_seconds};
use serde::de::{Deserializer, IgnoredAny, MapAccess, Visitor};
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;
use serde_json::{Map, Value, json};

use super::attempt::Failure;
use crate::text::secrets::redact;
use crate::text::{Quote, without_command};

/// The maximum length of a line in bytes.
const LARGEST_LINE: usize = 8 * 1024;
/// What a line contains in place of arguments that are too long for it.
const TOO_LONG: &str = "too long";
/// The maximum number of argument names in a line.
const MAX_ARGUMENTS: usize = 32;
/// The maximum number of granted tools with counts of their own.
const MAX_TOOLS: usize = 200;
/// The same for other tools. An agent can request any name.
const MAX_REJECTED: usize = 100;
/// The maximum number of reasons of failed connections with counts of their own.
const MAX_REASONS: usize = 20;
/// What counts as one tool, or as one reason, beyond the maximum.
const OTHERS: &str = "(others)";

/// The event with the counts of one tool.
const COUNTS: &str = "counts";
/// The last event.
const STOP: &str = "stop";
/// The maximum number of lines that [`Audit::stop`] writes.
pub(super) const MOST_STOP_LINES: usize = MAX_TOOLS + MAX_REJECTED + 2;

/// How a call ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Outcome {
    /// The server returned a result.
    Result,
    /// The server returned an error, or a result that reports one.
    Error,
    /// The agent closed the connection before the response.
    Aborted,
    /// The connection to the server ended before the response, so it is unknown whether the call took effect.
    Unknown,
}

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

/// The counts of a gateway, which it reports when it stops.
#[derive(Clone, Debug, Default, Deserialize, Serialize)]
pub(crate) struct Counts {
    /// Sessions, or connections without a session.
    pub(crate) sessions: u64,
    /// Attempts to connect that failed.
    pub(crate) failed: u64,
    /// Why the last of them failed.
    pub(crate) last_failure: Option<Failure>,
    /// Rejected messages other than calls of tools.
    pub(crate) rejected: u64,
    /// New tokens.
    pub(crate) renewals: u64,
    /// The counts by tool.
    pub(crate) tools: BTreeMap<String, ToolCounts>,
}

/// The audit of a gateway.
pub(super) struct Audit {
    /// Where the lines go.
    outs: Mutex<Vec<Box<dyn Write + Send>>>,
    counts: Mutex<Counts>,
    /// How often an attempt to connect failed for each reason.
    reasons: Mutex<HashMap<String, u64>>,
    /// Whether lines contain the values of arguments.
    shows_arguments: bool,
}

impl Audit {
    pub(super) fn new(outs: Vec<Box<dyn Write + Send>>, shows_arguments: bool) -> Self {
        Self {
            outs: Mutex::new(outs),
            counts: Mutex::default(),
            reasons: Mutex::default(),
            shows_arguments,
        }
    }

    /// Writes an event.
    pub(super) fn event(&self, name: &str, fields: &[(&str, Value)]) {
        let fields = fields
            .iter()
            .map(|(key, value)| ((*key).to_owned(), value.clone()));
        self.write(name, fields.collect());
    }

    /// Writes that a session was opened.
    pub(super) fn session(&self, session: &str) {
        self.count(|counts| counts.sessions += 1);
        self.event("session", &[("session", session.into())]);
    }

    /// Writes that an agent could not connect. A client without the key can cause this as often as it likes, so a
    /// repeated reason is written the first, second, fourth, and each later time that doubles its count.
    pub(super) fn session_failed(&self, failure: Failure) {
        let mut reasons = self.reasons.lock().unwrap_or_else(PoisonError::into_inner);
        let is_counted = reasons.contains_key(&failure.reason) || reasons.len() < MAX_REASONS;
        let key = if is_counted { &failure.reason } else { OTHERS };
        let count = reasons.entry(key.to_owned()).or_default();
        *count += 1;
        let count = *count;
        drop(reasons);
        let mut fields = vec![("reason", Value::from(failure.reason.as_str()))];
        fields.extend(
            failure
                .status
                .map(|status| ("status", status.as_u16().into())),
        );
        fields.push(("count", count.into()));
        self.count(|counts| {
            counts.failed += 1;
            counts.last_failure = Some(failure);
        });
        if count.is_power_of_two() {
            self.event("session_failed", &fields);
        }
    }

    /// Writes why a request got no response from Port, or an agent no list of tools.
    pub(super) fn failure(&self, session: &str, reason: impl fmt::Display) {
        let reason = Quote::new(&reason.to_string()).to_string();
        let fields = [("session", session.into()), ("reason", reason.into())];
        self.event("failure", &fields);
    }

    /// Whether no agent has tried to connect yet.
    pub(super) fn is_unused(&self) -> bool {
        let counts = self.counts.lock().unwrap_or_else(PoisonError::into_inner);
        counts.sessions == 0 && counts.failed == 0
    }

    /// Writes that Port returned a new token.
    pub(super) fn renewal(&self, expires_at: Option<SystemTime>) {
        self.count(|counts| counts.renewals += 1);
        let expires_at = expires_at.map(|at| format_rfc3339_seconds(at).to_string());
        self.event("renewal", &[("expires_at", expires_at.into())]);
    }

    /// Writes that a message was rejected.
    pub(super) fn rejection(&self, session: &str, method: &str, tool: Option<&str>, reason: &str) {
        let tool = tool.map(|tool| Quote::new(tool).to_string());
        self.count(|counts| match &tool {
            Some(tool) => counts.tool(tool, false).rejected += 1,
            None => counts.rejected += 1,
        });
        let mut fields = Map::from_iter([
            ("session".to_owned(), session.into()),
            ("method".to_owned(), Quote::new(method).to_string().into()),
            ("reason".to_owned(), Quote::new(reason).to_string().into()),
        ]);
        if let Some(tool) = tool {
            fields.insert("tool".to_owned(), tool.into());
        }
        self.write("rejection", fields);
    }

    /// Counts a call that begins: the counts are complete also if the gateway stops before it ends.
    pub(super) fn call_begins(&self, call: &Call) {
        self.count(|counts| counts.tool(&call.tool, true).calls += 1);
    }

    /// Writes that a call ended.
    pub(super) fn call_ends(&self, call: &Call, outcome: Outcome, duration: Duration, bytes: u64) {
        let millis = u64::try_from(duration.as_millis()).unwrap_or(u64::MAX);
        self.count(|counts| {
            let tool = counts.tool(&call.tool, true);
            tool.errors += u64::from(outcome != Outcome::Result);
            tool.slowest = tool.slowest.max(millis);
        });
        let outcome = match outcome {
            Outcome::Result => "result",
            Outcome::Error => "error",
            Outcome::Aborted => "aborted",
            Outcome::Unknown => "unknown",
        };
        let mut fields = Map::from_iter([
            ("session".to_owned(), call.session.as_str().into()),
            ("tool".to_owned(), call.tool.as_str().into()),
            ("outcome".to_owned(), outcome.into()),
            ("milliseconds".to_owned(), millis.into()),
            ("bytes".to_owned(), bytes.into()),
        ]);
        fields.insert("arguments".to_owned(), call.arguments.clone());
        self.write("call", fields);
    }

    /// What a line shows of the arguments of a call: their names, or, if enabled, their values.
    pub(super) fn arguments(&self, arguments: Option<&RawValue>) -> Value {
        let Some(arguments) = arguments else {
            return Value::Array(Vec::new());
        };
        if !self.shows_arguments {
            let names: Names = serde_json::from_str(arguments.get()).unwrap_or_default();
            return names.0.into();
        }
        match arguments.get() {
            text if text.len() > LARGEST_LINE => TOO_LONG.into(),
            text => redact(text).into_owned().into(),
        }
    }

    /// Writes the final counts, a line for each tool so that none is too long, and returns them.
    pub(super) fn stop(&self) -> Counts {
        let counts = self
            .counts
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .clone();
        for (tool, counts) in &counts.tools {
            let fields = [("tool", tool.as_str().into()), ("counts", json!(counts))];
            self.event(COUNTS, &fields);
        }
        let fields = [
            ("sessions", counts.sessions.into()),
            ("failed", counts.failed.into()),
            ("last_failure", json!(counts.last_failure)),
            ("rejected", counts.rejected.into()),
            ("renewals", counts.renewals.into()),
        ];
        self.event(STOP, &fields);
        counts
    }

    fn count(&self, count: impl FnOnce(&mut Counts)) {
        count(&mut self.counts.lock().unwrap_or_else(PoisonError::into_inner));
    }

    fn write(&self, name: &str, mut fields: Map<String, Value>) {
        let time = format_rfc3339_millis(SystemTime::now()).to_string();
        let head = [("time", time.into()), ("event", name.into())];
        let mut line =
            Map::from_iter(head.map(|(key, value): (&str, Value)| (key.to_owned(), value)));
        line.append(&mut fields);
        let mut text = json!(line).to_string();
        if text.len() > LARGEST_LINE {
            line.insert("arguments".to_owned(), TOO_LONG.into());
            text = json!(line).to_string();
        }
        // A later step can print the audit.
        text = without_command(text);
        // One write for the line, so that a reader of the file never sees a part of it.
        text.push('\n');
        let mut outs = self.outs.lock().unwrap_or_else(PoisonError::into_inner);
        for out in outs.iter_mut() {
            // A full disk must not end the agent's session.
            let _ = out.write_all(text.as_bytes()).and_then(|()| out.flush());
        }
    }
}

impl Counts {
    /// Reads the counts from the last lines of an audit. `None` if the gateway did not write its last event.
    pub(crate) fn from_audit<'a>(lines: impl Iterator<Item = &'a str>) -> Option<Self> {
        let mut counts = Self::default();
        let mut is_complete = false;
        for line in lines {
            let Ok(event) = serde_json::from_str::<Value>(line) else {
                continue;
            };
            let number = |name: &str| event[name].as_u64().unwrap_or_default();
            match (event["event"].as_str(), event["tool"].as_str()) {
                (Some(COUNTS), Some(tool)) => {
                    let of_tool = serde_json::from_value(event["counts"].clone());
                    counts
                        .tools
                        .insert(tool.to_owned(), of_tool.unwrap_or_default());
                }
                (Some(STOP), _) => {
                    is_complete = true;
                    counts.sessions = number("sessions");
                    counts.failed = number("failed");
                    counts.last_failure = Failure::deserialize(&event["last_failure"]).ok();
                    counts.rejected = number("rejected");
                    counts.renewals = number("renewals");
                }
                _ => {}
            }
        }
        is_complete.then_some(counts)
    }

    /// The counts of a tool by its quoted name.
    fn tool(&mut self, name: &str, is_granted: bool) -> &mut ToolCounts {
        let limit = if is_granted { MAX_TOOLS } else { MAX_REJECTED };
        let others = self.tools.values();
        let others = others.filter(|counts| (counts.calls > 0) == is_granted);
        let is_counted = self.tools.contains_key(name) || others.count() < limit;
        let name = if is_counted { name } else { OTHERS };
        self.tools.entry(name.to_owned()).or_default()
    }
}

/// The names of the first arguments, quoted. The values are not kept, which can be many.
#[derive(Default)]
struct Names(Vec<String>);

impl<'de> Deserialize<'de> for Names {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Arguments;
        impl<'de> Visitor<'de> for Arguments {
            type Value = Names;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an object")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Names, A::Error> {
                let mut names = Vec::new();
                while let Some((name, _)) = map.next_entry::<String, IgnoredAny>()? {
                    if names.len() < MAX_ARGUMENTS {
                        names.push(Quote::new(&name).to_string());
                    }
                }
                Ok(Names(names))
            }
        }
        deserializer.deserialize_map(Arguments)
    }
}

/// A call that was forwarded.
pub(super) struct Call {
    pub(super) session: String,
    /// The quoted name.
    pub(super) tool: String,
    pub(super) arguments: Value,
}
