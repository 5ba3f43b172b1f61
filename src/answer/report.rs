//! What the file of an agent's own action says: the answer, and whether the agent had Port's tools.

use std::borrow::Cow;
use std::collections::{HashMap, HashSet};

use anyhow::{Context as _, anyhow, bail};
use serde_json::Value;
use serde_json::value::RawValue;

use crate::text::{Quote, is_visible, or_list, well_formed};

/// How Gemini CLI's line about a server begins, which is on its standard error if it debugs. Otherwise, it prints only
/// `MCP issues detected`, for any server, and nothing if a server rejects the token.
const MCP_ERROR: &str = "[MCP error] ";

/// The kind of a result of an agent that may take no more turns.
const MAX_TURNS: &str = "error_max_turns";

/// What an agent's file says.
pub(super) struct Report {
    pub(super) answer: String,
    pub(super) connection: Connection,
}

/// What an agent's file says about its connection to Port's MCP server.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Connection {
    /// The agent had tools of the server.
    Established,
    /// It had none. The text says what the file contains about the server.
    Missing(String),
    /// The agent reports only results of tools, and the server has none.
    Unproven,
    /// The file contains only the answer.
    Unknown,
}

impl Report {
    /// Reads the file of an agent. `stderr` is what Gemini CLI printed on its standard error.
    ///
    /// # Errors
    /// When the file is not in the agent's format, contains no answer, or contains the agent's error.
    pub(super) fn read(
        agent: &str,
        server: &str,
        text: &str,
        stderr: &str,
    ) -> anyhow::Result<Self> {
        let bytes = well_formed(text.as_bytes());
        let json = &*String::from_utf8_lossy(&bytes);
        if let Some(writers) = writers_of(json).filter(|writers| !writers.contains(&agent)) {
            bail!(
                "the file is the output of {}, but the input `agent` is `{agent}`\n\
                 hint: set `agent` to the agent that wrote the file",
                or_list(writers)
            );
        }
        let report = match agent {
            "claude-code" | "qwen-code" => conversation(agent, server, json)?,
            "gemini-cli" => gemini_cli(server, json, stderr)?,
            "copilot-cli" => copilot_cli(server, text)?,
            // The configuration of this action requires the server, so that Codex fails without it. Nothing shows
            // whether Codex had this configuration.
            "codex" => Self::new(text, Connection::Established),
            _ => Self::new(text, Connection::Unknown),
        };
        if !has_text(&report.answer) {
            return Err(no_answer(text));
        }
        Ok(report)
    }

    fn new(answer: &str, connection: Connection) -> Self {
        Self {
            answer: answer.trim().to_owned(),
            connection,
        }
    }
}

impl Connection {
    /// The connection to a server that the agent lists with this status, or does not list.
    fn of_status(status: Option<&str>) -> Self {
        match status {
            Some("connected") => Self::Established,
            Some(status) => Self::Missing(format!("its status is `{}`", Quote::new(status))),
            None => Self::Missing("the agent's configuration does not contain it".to_owned()),
        }
    }

    /// The same with what the audit says, which does not know whether the agent got the tools before the model answered.
    pub(super) fn and(self, audit: Self) -> Self {
        match (self, audit) {
            (_, Self::Missing(reason)) | (Self::Missing(reason), _) => Self::Missing(reason),
            (_, audit) => audit,
        }
    }

    /// What the audit of the gateway says (`docs/gateway.md`). The last line can be incomplete.
    pub(super) fn in_audit(text: &str) -> Self {
        let events = || {
            text.lines()
                .rev()
                .filter_map(|line| serde_json::from_str::<Value>(line).ok())
        };
        let has_tools = |event: &Value| {
            event["event"] == "list" && event["tools"].as_u64().is_some_and(|tools| tools > 0)
        };
        if events().any(|event| has_tools(&event)) {
            return Self::Established;
        }
        let is_failure = |event: &Value| {
            ["session_failed", "failure"]
                .iter()
                .any(|kind| event["event"] == *kind)
        };
        let failure = events().find(is_failure);
        let reason = failure.as_ref().and_then(|event| event["reason"].as_str());
        Self::Missing(reason.map_or_else(
            || "the audit of the gateway has no list of tools".to_owned(),
            |reason| Quote::new(reason).to_string(),
        ))
    }
}

/// The conversation of Claude Code (`execution_file` of its action) or Qwen Code (`--output-format json`), a
/// list of messages. The first one contains the status of the servers when the agent started, and the last one of
/// type `result` the answer. No message says that a server connected later.
fn conversation(agent: &str, server: &str, text: &str) -> anyhow::Result<Report> {
    let messages = Lazy::parse(text)
        .items()
        .ok_or_else(|| invalid_format(agent, text, "a JSON array of messages"))?;
    let is_result = |message: &&Lazy<'_>| message.get("type").is("result");
    let result = messages
        .iter()
        .rfind(is_result)
        .context("the agent returned no answer: the conversation has no result\nhint: check the log of the agent's step")?;
    if let Some(error) = error_of(*result) {
        bail!(error);
    }
    let connection = if has_result(server, &messages) {
        Connection::Established
    } else {
        at_the_start(server, &messages)
    };
    let answer = result.get("result").text().unwrap_or_default();
    Ok(Report::new(&answer, connection))
}

/// The connection to the server when the agent started.
fn at_the_start(server: &str, messages: &[Lazy<'_>]) -> Connection {
    let Some(init) = messages
        .iter()
        .rfind(|message| message.get("mcp_servers").items().is_some())
    else {
        return Connection::of_status(None);
    };
    let status = init
        .get("mcp_servers")
        .items()
        .unwrap_or_default()
        .into_iter()
        .filter(|known| known.get("name").is(server))
        .find_map(|known| known.get("status").text());
    let tools = init.get("tools").items().unwrap_or_default();
    match Connection::of_status(status.as_deref()) {
        Connection::Established if !tools.iter().any(|tool| is_tool_of(server, *tool)) => {
            Connection::Missing("it connected, but got no tools".to_owned())
        }
        connection => connection,
    }
}

/// Whether the conversation contains a result, which is no error, of a tool of the server.
fn has_result(server: &str, messages: &[Lazy<'_>]) -> bool {
    let blocks: Vec<Lazy<'_>> = messages
        .iter()
        .filter_map(|message| message.get("message").get("content").items())
        .flatten()
        .collect();
    let of_type = |kind: &'static str| {
        blocks
            .iter()
            .filter(move |block| block.get("type").is(kind))
    };
    let calls: HashSet<String> = of_type("tool_use")
        .filter(|block| is_tool_of(server, block.get("name")))
        .filter_map(|block| block.get("id").text())
        .collect();
    of_type("tool_result")
        .filter(|block| !block.get("is_error").is_true())
        .filter_map(|block| block.get("tool_use_id").text())
        .any(|id| calls.contains(&id))
}

fn is_tool_of(server: &str, name: Lazy<'_>) -> bool {
    name.text()
        .unwrap_or_default()
        .strip_prefix("mcp__")
        .and_then(|rest| rest.strip_prefix(server))
        .is_some_and(|rest| rest.starts_with("__"))
}

/// The output of Gemini CLI with `--output-format json` (`gemini-artifacts/stdout.log` of its action). It counts
/// the calls of each tool, but does not list the servers.
fn gemini_cli(server: &str, text: &str, stderr: &str) -> anyhow::Result<Report> {
    let output = Lazy::parse(text.trim());
    let is_object = output.entries().is_some();
    let error = error_in(output).or_else(|| error_on(stderr).filter(|_| !is_object));
    if let Some(error) = error {
        bail!(failure(&error));
    }
    if !is_object {
        let expected = "a JSON object with `response`";
        return Err(invalid_format("gemini-cli", text, expected));
    }
    let prefix = format!("mcp_{server}_");
    let has_result = output
        .get("stats")
        .get("tools")
        .get("byName")
        .entries()
        .into_iter()
        .flatten()
        .any(|(name, counts)| {
            let success = counts.get("success").number();
            name.starts_with(&prefix) && success.is_some_and(|count| count > 0)
        });
    let connection = if has_result {
        Connection::Established
    } else {
        let name = format!("MCP server '{server}'");
        stderr
            .lines()
            .filter_map(|line| line.strip_prefix(MCP_ERROR))
            .find(|error| error.contains(&name))
            .map_or(Connection::Unproven, |error| {
                Connection::Missing(Quote::new(error).to_string())
            })
    };
    let answer = output.get("response").text().unwrap_or_default();
    Ok(Report::new(&answer, connection))
}

/// The error in an output of Gemini CLI.
fn error_in(output: Lazy<'_>) -> Option<String> {
    let error = output.get("error");
    error.get("message").text().or_else(|| error.text())
}

/// The error that Gemini CLI printed between other lines.
fn error_on(stderr: &str) -> Option<String> {
    stderr
        .match_indices('{')
        .map(|(at, _)| at)
        .filter(|at| *at == 0 || stderr[..*at].ends_with('\n'))
        .filter_map(|at| {
            serde_json::Deserializer::from_str(&stderr[at..])
                .into_iter::<&RawValue>()
                .next()?
                .ok()
        })
        .find_map(|object| error_in(Lazy(Some(object))))
}

/// The output of Copilot CLI: events with `--output-format json`, one per line, otherwise the answer, and the calls of
/// tools. The line `result` says whether it failed, and the last `session.error` why.
fn copilot_cli(server: &str, text: &str) -> anyhow::Result<Report> {
    let (events, others): (Vec<Value>, Vec<Value>) = text
        .lines()
        .filter_map(|line| serde_json::from_str::<Value>(line).ok())
        .partition(is_event);
    if events.is_empty() {
        return Ok(Report::new(text, Connection::Unknown));
    }
    let of_type = |kind: &'static str| {
        events
            .iter()
            .filter(move |event| event["type"] == kind)
            .map(|event| &event["data"])
    };
    let exit_code = others
        .iter()
        .rfind(|line| line["type"] == "result")
        .and_then(|line| line["exitCode"].as_i64());
    if let Some(code) = exit_code.filter(|code| *code != 0) {
        let error = of_type("session.error")
            .filter_map(|error| error["message"].as_str())
            .next_back()
            .map(str::to_owned);
        bail!(failure(
            &error.unwrap_or_else(|| format!("its exit code is {code}"))
        ));
    }
    let calls: HashSet<&str> = of_type("tool.execution_start")
        .filter(|call| call["mcpServerName"] == server)
        .filter_map(|call| call["toolCallId"].as_str())
        .collect();
    let has_result = of_type("tool.execution_complete")
        .filter(|call| call["success"] == true)
        .filter_map(|call| call["toolCallId"].as_str())
        .any(|id| calls.contains(id));
    // The last status counts: a server that connected and then failed to list its tools has failed.
    let status = events
        .iter()
        .rev()
        .find_map(|event| status_in(event, server));
    let lists_servers = of_type("session.mcp_servers_loaded").next().is_some();
    let connection = if has_result {
        Connection::Established
    } else if status.is_none() && !lists_servers {
        Connection::Unproven
    } else {
        Connection::of_status(status)
    };
    let answer = of_type("assistant.message")
        .filter_map(|message| message["content"].as_str())
        .rfind(|content| !content.trim().is_empty());
    Ok(Report::new(answer.unwrap_or_default(), connection))
}

/// Whether a line of Copilot CLI is one of its events.
fn is_event(line: &Value) -> bool {
    let kind = line["type"].as_str().unwrap_or_default();
    ["session.", "assistant.", "tool.", "user."]
        .iter()
        .any(|prefix| kind.starts_with(prefix))
}

/// The status of the server in an event of Copilot CLI.
fn status_in<'a>(event: &'a Value, server: &str) -> Option<&'a str> {
    let data = &event["data"];
    let known = match event["type"].as_str()? {
        "session.mcp_server_status_changed" if data["serverName"] == server => data,
        "session.mcp_servers_loaded" => data["servers"]
            .as_array()?
            .iter()
            .find(|known| known["name"] == server)?,
        _ => return None,
    };
    known["status"].as_str()
}

/// The error of a conversation's result, if it is one: some errors do not say `is_error`. Its text is in one of several
/// fields, depending on its kind.
fn error_of(result: Lazy<'_>) -> Option<String> {
    let subtype = result.get("subtype").text().unwrap_or_default();
    let errors = result.get("errors").items().unwrap_or_default();
    let is_success = ["", "success"].contains(&subtype.as_str());
    if is_success && errors.is_empty() && !result.get("is_error").is_true() {
        return None;
    }
    let text_of = |error: Lazy<'_>| error.text().or_else(|| error.get("message").text());
    let errors: Vec<String> = errors.into_iter().filter_map(text_of).collect();
    let error = if errors.is_empty() {
        // Of Qwen Code.
        text_of(result.get("error")).unwrap_or_default()
    } else {
        errors.join("; ")
    };
    if subtype == MAX_TURNS {
        let error = [subtype, error].join(": ");
        return Some(format!(
            "the agent failed: {}\nhint: raise `--max-turns` in the arguments of the agent, or ask for less",
            Quote::new(error.trim_end_matches(": "))
        ));
    }
    let text = result.get("result").text().unwrap_or_default();
    let error = [error, text, subtype]
        .into_iter()
        .find(|error| !error.is_empty());
    Some(failure(error.as_deref().unwrap_or("unknown error")))
}

fn failure(error: &str) -> String {
    format!(
        "the agent failed: {}\nhint: check the log of the agent's step",
        Quote::new(error)
    )
}

/// Whether a text has a character that a reader sees.
fn has_text(text: &str) -> bool {
    text.chars().any(|c| !c.is_whitespace() && is_visible(c))
}

/// The agents that write a file in this format. `None` for a text.
fn writers_of(text: &str) -> Option<&'static [&'static str]> {
    let json = Lazy::parse(text.trim());
    let messages = json.items().unwrap_or_default();
    let has_type = |kinds: &[&str]| {
        messages
            .iter()
            .map(|message| message.get("type"))
            .any(|found| kinds.iter().any(|kind| found.is(kind)))
    };
    if has_type(&["result"]) && has_type(&["system", "assistant", "user"]) {
        return Some(&["claude-code", "qwen-code"]);
    }
    if json.get("response").text().is_some() && json.get("stats").entries().is_some() {
        return Some(&["gemini-cli"]);
    }
    // Not an answer that quotes such a line.
    let events: Option<Vec<Value>> = text
        .lines()
        .filter(|line| !line.trim().is_empty())
        .map(|line| serde_json::from_str(line).ok())
        .collect();
    let has_message = |event: &Value| is_event(event) && event["data"].is_object();
    events
        .unwrap_or_default()
        .iter()
        .any(has_message)
        .then_some(&["copilot-cli"])
}

fn invalid_format(agent: &str, text: &str, expected: &str) -> anyhow::Error {
    if !has_text(text) {
        return no_answer(text);
    }
    anyhow!(
        "the agent's answer is not {expected}, the format of `{agent}`\n\
         hint: check that `file` belongs to this agent, start the agent with `--output-format json`, and check the \
         log of its step"
    )
}

fn no_answer(text: &str) -> anyhow::Error {
    let what = if has_text(text) {
        "the file contains none"
    } else {
        "the file is empty"
    };
    anyhow!("the agent returned no answer: {what}\nhint: check the log of the agent's step")
}

/// JSON of which only what is asked for is read: the results of tools can contain what a parser of all of it rejects, such as
/// many levels, or a number that is too large.
#[derive(Clone, Copy)]
struct Lazy<'a>(Option<&'a RawValue>);

impl<'a> Lazy<'a> {
    fn parse(text: &'a str) -> Self {
        Self(serde_json::from_str(text).ok())
    }

    fn read<T: serde::Deserialize<'a>>(self) -> Option<T> {
        serde_json::from_str(self.0?.get()).ok()
    }

    /// The value of a key.
    fn get(self, key: &str) -> Self {
        let fields = self.read::<HashMap<Cow<'a, str>, &'a RawValue>>();
        Self(fields.and_then(|fields| fields.get(key).copied()))
    }

    fn entries(self) -> Option<Vec<(String, Self)>> {
        let fields = self.read::<HashMap<String, &'a RawValue>>()?;
        Some(
            fields
                .into_iter()
                .map(|(key, value)| (key, Self(Some(value))))
                .collect(),
        )
    }

    fn items(self) -> Option<Vec<Self>> {
        let items = self.read::<Vec<&'a RawValue>>()?;
        Some(items.into_iter().map(|item| Self(Some(item))).collect())
    }

    fn text(self) -> Option<String> {
        self.read()
    }

    fn number(self) -> Option<u64> {
        self.read()
    }

    fn is(self, text: &str) -> bool {
        self.text().is_some_and(|own| own == text)
    }

    fn is_true(self) -> bool {
        self.read() == Some(true)
    }
}
