//! What the file of an agent's own action says: the answer, and whether the agent had Port's tools.

use std::collections::HashSet;

use anyhow::{Context as _, anyhow, bail};
use serde_json::Value;

use crate::text::Quote;

/// Gemini CLI's message, only on its standard error, about a server that it cannot use. A server that
/// rejects the token causes no message.
const MCP_ISSUES: &str = "MCP issues detected";

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
    /// The agent reports only results of tools, and there is none of the server's.
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
        let report = match agent {
            "claude-code" | "qwen-code" => conversation(agent, server, text)?,
            "gemini-cli" => gemini_cli(server, text, stderr)?,
            "copilot-cli" => copilot_cli(server, text),
            // The configuration of this action requires the server, so that Codex fails without it. Nothing shows
            // whether Codex had this configuration.
            "codex" => Self::new(text, Connection::Established),
            _ => Self::new(text, Connection::Unknown),
        };
        if report.answer.is_empty() {
            let what = if text.trim().is_empty() {
                "the file is empty"
            } else {
                "the file contains none"
            };
            bail!("the agent returned no answer: {what}\nhint: check the log of the agent's step");
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
            let lines = text.lines().rev();
            lines.filter_map(|line| serde_json::from_str::<Value>(line).ok())
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
    let messages: Vec<Value> = serde_json::from_str(text)
        .map_err(|_| invalid_format(agent, "a JSON array of messages"))?;
    let result = messages.iter().rfind(|message| message["type"] == "result");
    let result =
        result.context("the agent returned no answer: the conversation has no result\nhint: check the log of the agent's step")?;
    if result["is_error"] == true {
        bail!(failed(result));
    }
    let connection = if has_result(server, &messages) {
        Connection::Established
    } else {
        at_the_start(server, &messages)
    };
    let answer = result["result"].as_str().unwrap_or_default();
    Ok(Report::new(answer, connection))
}

/// The connection to the server when the agent started.
fn at_the_start(server: &str, messages: &[Value]) -> Connection {
    let is_init = |message: &&Value| message["mcp_servers"].is_array();
    let init = messages.iter().rfind(is_init).unwrap_or(&Value::Null);
    let servers = init["mcp_servers"].as_array().into_iter().flatten();
    let status = servers
        .filter(|known| known["name"] == server)
        .find_map(|known| known["status"].as_str());
    let mut tools = init["tools"].as_array().into_iter().flatten();
    match Connection::of_status(status) {
        Connection::Established if !tools.any(|tool| is_tool_of(server, tool)) => {
            Connection::Missing("it connected, but got no tools".to_owned())
        }
        connection => connection,
    }
}

/// Whether the conversation contains a result, which is no error, of a tool of the server.
fn has_result(server: &str, messages: &[Value]) -> bool {
    let blocks = || {
        let contents = messages
            .iter()
            .map(|message| &message["message"]["content"]);
        contents.filter_map(Value::as_array).flatten()
    };
    let calls: HashSet<&str> = blocks()
        .filter(|block| block["type"] == "tool_use" && is_tool_of(server, &block["name"]))
        .filter_map(|block| block["id"].as_str())
        .collect();
    blocks()
        .filter(|block| block["type"] == "tool_result" && block["is_error"] != true)
        .filter_map(|block| block["tool_use_id"].as_str())
        .any(|id| calls.contains(id))
}

fn is_tool_of(server: &str, name: &Value) -> bool {
    let rest = name.as_str().and_then(|name| name.strip_prefix("mcp__"));
    let rest = rest.and_then(|rest| rest.strip_prefix(server));
    rest.is_some_and(|rest| rest.starts_with("__"))
}

/// The output of Gemini CLI with `--output-format json` (`gemini-artifacts/stdout.log` of its action). It counts
/// the calls of each tool, but does not list the servers.
fn gemini_cli(server: &str, text: &str, stderr: &str) -> anyhow::Result<Report> {
    let output: Value = serde_json::from_str(text.trim())
        .map_err(|_| invalid_format("gemini-cli", "a JSON object with `response`"))?;
    if let Some(error) = output["error"]["message"]
        .as_str()
        .or(output["error"].as_str())
    {
        bail!(failure(error));
    }
    let prefix = format!("mcp_{server}_");
    let mut tools = output["stats"]["tools"]["byName"]
        .as_object()
        .into_iter()
        .flatten();
    let connection = if tools.any(|(name, counts)| {
        name.starts_with(&prefix) && counts["success"].as_u64().is_some_and(|count| count > 0)
    }) {
        Connection::Established
    } else if stderr.contains(MCP_ISSUES) {
        Connection::Missing(MCP_ISSUES.to_owned())
    } else {
        Connection::Unproven
    };
    let answer = output["response"].as_str().unwrap_or_default();
    Ok(Report::new(answer, connection))
}

/// The output of Copilot CLI: events with `--output-format json`, one per line, otherwise only the answer.
fn copilot_cli(server: &str, text: &str) -> Report {
    let lines = text.lines();
    let events = lines.filter_map(|line| serde_json::from_str::<Value>(line).ok());
    let events: Vec<Value> = events.filter(is_event).collect();
    if events.is_empty() {
        return Report::new(text, Connection::Unknown);
    }
    let of_type = |kind: &'static str| {
        events
            .iter()
            .filter(move |event| event["type"] == kind)
            .map(|event| &event["data"])
    };
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
    Report::new(answer.unwrap_or_default(), connection)
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
        "session.mcp_servers_loaded" => {
            let mut servers = data["servers"].as_array()?.iter();
            servers.find(|known| known["name"] == server)?
        }
        _ => return None,
    };
    known["status"].as_str()
}

/// The error of a conversation's result. It is in one of several fields, depending on its kind.
fn failed(result: &Value) -> String {
    let errors = result["errors"].as_array().into_iter().flatten();
    let errors: Vec<&str> = errors.filter_map(Value::as_str).collect();
    let error = match (result["result"].as_str(), errors.is_empty()) {
        (Some(error), _) if !error.is_empty() => error.to_owned(),
        (_, false) => errors.join("; "),
        _ => result["subtype"]
            .as_str()
            .unwrap_or("unknown error")
            .to_owned(),
    };
    failure(&error)
}

fn failure(error: &str) -> String {
    format!(
        "the agent failed: {}\nhint: check the log of the agent's step",
        Quote::new(error)
    )
}

fn invalid_format(agent: &str, expected: &str) -> anyhow::Error {
    anyhow!(
        "the agent's answer is not {expected}, the format of `{agent}`\n\
         hint: check that `file` belongs to this agent, and check the log of its step"
    )
}
