//! Amp: `amp.mcpServers` of its `settings.json`.
//!
//! `--mcp-config` takes the servers alone, as a bare map: that is `agent_args`. The whole of
//! `mcp_config` is for `--settings-file`, which carries the permissions too.
//!
//! Source: `amp --help` and [the manual](https://ampcode.com/manual).

use serde_json::{Value, json};

use super::config::{Config, Shape};
use super::format::{Format, one_line};
use super::{Agent, Connection, List, Server, braced, double_underscored};

const SERVERS: &str = "amp.mcpServers";
const PERMISSIONS: &str = "amp.permissions";

pub(super) const AGENT: Agent = Agent {
    name: "amp",
    format: Format::Json,
    shapes: &[(SERVERS, Shape::Map), (PERMISSIONS, Shape::List)],
    expands_variables: true,
    runs_here: true,
    sends_headers: true,
    install,
    tool,
    line: Config::one_line,
    args,
    list: List::Kept,
    limits: Some(
        "Amp enforces the list through `amp.permissions`, which only `--settings-file` carries; it \
         has not been seen at work, since Amp runs with its own service alone.",
    ),
};

/// Amp's own names have no hyphen.
fn tool(server: &str, tool: &str) -> String {
    double_underscored(&server.replace('-', "_"), tool)
}

fn install(server: &Server<'_>, config: &mut Config) -> bool {
    let entry = match server.connection {
        Connection::Direct => json!({
            "url": server.url.as_str(),
            "headers": server.headers(&server.authorization(braced)),
        }),
        Connection::McpRemote => server.entry(braced),
    };
    // Of the rules that fit, the first counts.
    let rule =
        |name: &str, action: &str| json!({"tool": tool(server.name, name), "action": action});
    let mut rules: Vec<Value> = server
        .tools
        .iter()
        .map(|tool| rule(tool, "allow"))
        .collect();
    rules.push(rule("*", "reject"));
    config.put_first(PERMISSIONS, rules);
    config.put(SERVERS, server.name, entry)
}

fn args(_server: &Server<'_>, config: &Config) -> String {
    format!("--mcp-config '{}'", one_line(&config.get(SERVERS)))
}
