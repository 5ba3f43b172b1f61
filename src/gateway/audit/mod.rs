//! The audit: one line of JSON per event, and the counts for the job summary.
//!
//! An agent cannot remove what the audit says of it: each line is whole, no line is removed, and what an agent can cause
//! at any number is written a limited number of times and then counted.

mod counts;
mod failure;
mod sink;

use std::collections::{BTreeMap, HashMap};
use std::fmt;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, SystemTime};

use humantime::{format_rfc3339_millis, format_rfc3339_seconds};
use serde::Deserialize;
use serde::Serialize;
use serde::de::{Deserializer, IgnoredAny, MapAccess, Visitor};
use serde_json::value::RawValue;
use serde_json::{Map, Value, json};

pub(crate) use counts::{Counts, End};
pub(crate) use failure::Failure;
pub(super) use sink::Sink;

use crate::access::Grants;
use crate::text::secrets::redact;
use crate::text::{Quote, without_command, written};
use crate::tool::QuotedName;

/// The maximum length of a line in bytes.
const MAX_LINE: usize = 8 * 1024;
/// What a line contains in place of arguments that are too long for it.
const TOO_LONG: &str = "too long";
/// The maximum number of argument names in a line.
const MAX_ARGUMENTS: usize = 32;
/// The maximum number of lines of an event that an agent can cause without a call of a tool.
const MAX_LINES: u64 = 1_000;
/// The maximum number of reasons of failed connections with counts of their own.
const MAX_REASONS: usize = 20;

/// The first event.
const START: &str = "start";
const SESSION: &str = "session";
const SESSION_FAILED: &str = "session_failed";
const LIST: &str = "list";
const CALL: &str = "call";
const REJECTION: &str = "rejection";
const FAILURE: &str = "failure";
const RENEWAL: &str = "renewal";
/// Lines are missing.
const GAP: &str = "gap";
const EXPIRED: &str = "expired";
/// The counts of one tool.
const COUNTS: &str = "counts";
/// The last event.
const STOP: &str = "stop";

/// For what a gateway was started: the first line of its audit, so that an audit says where it comes from.
#[derive(Clone, Debug, Default, Deserialize, Serialize)]
pub(crate) struct Start {
    /// The workflow run, as the runner names it.
    pub(crate) repository: Option<String>,
    pub(crate) run_id: Option<String>,
    pub(crate) run_attempt: Option<String>,
    pub(crate) job: Option<String>,
    pub(crate) workflow: Option<String>,
    /// The version of the action.
    pub(crate) version: String,
    pub(crate) agent: String,
    pub(crate) connection: String,
    /// The rule of the policy. `None` without a policy.
    pub(crate) rule: Option<String>,
}

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

/// The audit of a gateway.
pub(super) struct Audit {
    /// Where the lines go. None after the last line.
    sinks: Mutex<Vec<Sink>>,
    state: Mutex<State>,
    /// Whether lines contain the values of arguments.
    shows_arguments: bool,
}

#[derive(Default)]
struct State {
    counts: Counts,
    /// How often an attempt to connect failed for each reason.
    reasons: HashMap<String, u64>,
    /// How often each event happened whose lines are limited.
    events: BTreeMap<&'static str, u64>,
}

impl Audit {
    pub(super) fn new(sinks: Vec<Sink>, shows_arguments: bool) -> Self {
        Self {
            sinks: Mutex::new(sinks),
            state: Mutex::default(),
            shows_arguments,
        }
    }

    /// Writes the first line, with the granted tools. It contains their number in place of their names if those are too
    /// long.
    pub(super) fn start(&self, start: &Start, granted: &Grants) {
        let quoted = |text: &String| Value::from(Quote::new(text).to_string());
        let optional = |text: &Option<String>| text.as_ref().map_or(Value::Null, quoted);
        let of_tools = |tools: Value| {
            let fields = [
                ("repository", optional(&start.repository)),
                ("run_id", optional(&start.run_id)),
                ("run_attempt", optional(&start.run_attempt)),
                ("job", optional(&start.job)),
                ("workflow", optional(&start.workflow)),
                ("version", quoted(&start.version)),
                ("agent", quoted(&start.agent)),
                ("connection", quoted(&start.connection)),
                ("rule", optional(&start.rule)),
                ("tools", tools),
            ];
            line(START, map(fields))
        };
        let names: Vec<QuotedName> = granted
            .names()
            .map(|name| QuotedName::new(name.as_str()))
            .collect();
        let mut text = of_tools(json!(names));
        if text.len() > MAX_LINE {
            text = of_tools(granted.names().len().into());
        }
        self.write(&text);
    }

    /// Writes that a session was opened.
    pub(super) fn session(&self, session: &str) {
        self.count(|counts| counts.sessions += 1);
        self.event(SESSION, [("session", session.into())]);
    }

    /// Writes that an agent could not connect. A client without the key can cause this as often as it likes, so a
    /// repeated reason is written the first, second, fourth, and each later time that doubles its count.
    pub(super) fn session_failed(&self, failure: Failure) {
        let mut state = self.state();
        let is_counted =
            state.reasons.contains_key(&failure.reason) || state.reasons.len() < MAX_REASONS;
        let reason = if is_counted {
            failure.reason.clone()
        } else {
            counts::OTHERS.to_owned()
        };
        let count = state.reasons.entry(reason.clone()).or_default();
        *count += 1;
        let count = *count;
        let mut fields = vec![("reason", Value::from(reason))];
        fields.extend(
            failure
                .status
                .map(|status| ("status", status.as_u16().into())),
        );
        fields.push(("count", count.into()));
        state.counts.failed += 1;
        state.counts.last_failure = Some(failure);
        drop(state);
        if count.is_power_of_two() {
            self.write(&line(SESSION_FAILED, map(fields)));
        }
    }

    /// Writes why a request got no response from Port, or an agent no list of tools.
    pub(super) fn failure(&self, session: &str, reason: impl fmt::Display) {
        let reason = Quote::new(&reason.to_string()).to_string();
        self.count(|counts| {
            counts.failures += 1;
            counts.last_error = Some(reason.clone());
        });
        self.event(
            FAILURE,
            [("session", session.into()), ("reason", reason.into())],
        );
    }

    /// Whether no agent has tried to connect yet.
    pub(super) fn is_unused(&self) -> bool {
        let counts = &self.state().counts;
        counts.sessions == 0 && counts.failed == 0
    }

    /// Writes that Port returned a new token.
    pub(super) fn renewal(&self, expires_at: Option<SystemTime>) {
        self.count(|counts| counts.renewals += 1);
        let expires_at = expires_at.map(|at| format_rfc3339_seconds(at).to_string());
        self.event(RENEWAL, [("expires_at", expires_at.into())]);
    }

    /// Writes that Port responded to an agent. One that uses no sessions connects so, with any request.
    pub(super) fn responded(&self, session: Option<&str>) {
        if session.is_none() && self.state().counts.sessions == 0 {
            self.session("-");
        }
    }

    /// Writes that an agent got the list of tools.
    pub(super) fn list(&self, session: Option<&str>, tools: usize) {
        self.responded(session);
        let session = session.unwrap_or("-");
        self.event(LIST, [("session", session.into()), ("tools", tools.into())]);
    }

    /// Writes that a message was rejected.
    pub(super) fn rejection(&self, session: &str, method: &str, tool: Option<&str>, reason: &str) {
        let tool = tool.map(QuotedName::new);
        self.count(|counts| match &tool {
            Some(tool) => counts.tool(tool, false).rejected += 1,
            None => counts.rejected += 1,
        });
        let fields = [
            ("session", session.into()),
            ("method", Quote::new(method).to_string().into()),
            ("reason", Quote::new(reason).to_string().into()),
        ];
        let tool = tool.map(|tool| ("tool", json!(tool)));
        self.event(REJECTION, fields.into_iter().chain(tool));
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
        let too_long = Value::from(TOO_LONG);
        let line = |arguments| {
            let line = CallLine {
                time: now(),
                event: CALL,
                session: &call.session,
                tool: &call.tool,
                outcome,
                milliseconds: millis,
                bytes,
                arguments,
            };
            text_of(&line)
        };
        let mut text = line(&call.arguments);
        if text.len() > MAX_LINE {
            text = line(&too_long);
        }
        self.write(&ended(text));
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
            text if text.len() > MAX_LINE => TOO_LONG.into(),
            text => redact(text).into_owned().into(),
        }
    }

    /// Writes the final counts, a line for each tool so that none is too long, and returns them. Later events are not
    /// written.
    pub(super) fn stop(&self, end: End) -> Counts {
        if end == End::GatewayLifetime {
            self.event(EXPIRED, []);
        }
        let mut sinks = self.sinks.lock().unwrap_or_else(PoisonError::into_inner);
        let mut counts = std::mem::take(&mut self.state().counts);
        counts.end = Some(end);
        counts.missing = sinks.iter().map(Sink::missing).max().unwrap_or_default();
        let tools = std::mem::take(&mut counts.tools);
        let of_tools = tools.iter().map(|(tool, counts)| {
            let fields = [("tool", json!(tool)), ("counts", json!(counts))];
            line(COUNTS, map(fields))
        });
        let totals = match json!(counts) {
            Value::Object(totals) => totals,
            _ => Map::new(),
        };
        let mut lines: Vec<String> = of_tools.collect();
        lines.push(line(STOP, totals));
        for mut sink in sinks.drain(..) {
            for line in &lines {
                sink.write_last(line);
            }
        }
        Counts { tools, ..counts }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn count(&self, count: impl FnOnce(&mut Counts)) {
        count(&mut self.state().counts);
    }

    /// Writes an event whose lines are limited: from then on, a line says how many there are, each time that doubles
    /// their number.
    fn event(&self, name: &'static str, fields: impl IntoIterator<Item = (&'static str, Value)>) {
        let mut state = self.state();
        let count = state.events.entry(name).or_default();
        *count += 1;
        let Some(beyond @ 1..) = count.checked_sub(MAX_LINES) else {
            drop(state);
            return self.write(&line(name, map(fields)));
        };
        state.counts.gaps.insert(name.to_owned(), beyond);
        drop(state);
        if beyond.is_power_of_two() {
            let reason = format!("the audit contains the first {MAX_LINES} lines of this event");
            let fields = [
                ("of", name.into()),
                ("lines", beyond.into()),
                ("reason", reason.into()),
            ];
            self.write(&line(GAP, map(fields)));
        }
    }

    fn write(&self, line: &str) {
        let mut sinks = self.sinks.lock().unwrap_or_else(PoisonError::into_inner);
        sinks.iter_mut().for_each(|sink| sink.write(line));
    }
}

fn map(fields: impl IntoIterator<Item = (&'static str, Value)>) -> Map<String, Value> {
    fields
        .into_iter()
        .map(|(key, value)| (key.to_owned(), value))
        .collect()
}

/// The line of a call, of which there are the most.
#[derive(Serialize)]
struct CallLine<'a> {
    time: String,
    event: &'static str,
    session: &'a str,
    tool: &'a QuotedName,
    outcome: &'static str,
    milliseconds: u64,
    bytes: u64,
    arguments: &'a Value,
}

fn now() -> String {
    written(format_rfc3339_millis(SystemTime::now()))
        .unwrap_or_else(|| "after the year 9999".to_owned())
}

fn text_of(line: &impl Serialize) -> String {
    // Text and numbers always can be written.
    serde_json::to_string(line).unwrap_or_default()
}

/// The line of an event.
fn line(name: &str, mut fields: Map<String, Value>) -> String {
    let mut line = map([("time", now().into()), ("event", name.into())]);
    line.append(&mut fields);
    let mut text = text_of(&line);
    if text.len() > MAX_LINE {
        line.insert("arguments".to_owned(), TOO_LONG.into());
        text = text_of(&line);
    }
    ended(text)
}

/// A line that a later step can print.
fn ended(text: String) -> String {
    let mut text = without_command(text);
    text.push('\n');
    text
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
    pub(super) tool: QuotedName,
    pub(super) arguments: Value,
}
