//! GitHub Copilot CLI: `mcpServers` of `~/.copilot/mcp-config.json` and `--additional-mcp-config`.
//!
//! Two gates stand before a tool: `tools` of the server says which the model sees, `--allow-tool`
//! which run without a person's approval.
//!
//! Source: `copilot help permissions` and `copilot help config`.

use serde_json::json;

use super::config::Config;
use super::format::{Format, Leniency, quoted};
use super::{Agent, Connection, List, Server, Servers, braced};

const SERVERS: &str = "mcpServers";

pub(super) const AGENT: Agent = Agent {
    name: "copilot-cli",
    format: Format::Json,
    leniency: Leniency::CommentsAndCommas,
    servers: Servers::map(SERVERS),
    shapes: &[],
    overrides: &[],
    expands_variables: true,
    runs_here: true,
    sends_headers: true,
    reserved: &[],
    install,
    tool: |server, tool| format!("{server}({tool})"),
    known_as,
    line: Config::one_line,
    args,
    list: List::Kept,
    limits: None,
};

fn install(server: &Server<'_>, config: &mut Config) -> bool {
    let mut entry = server.entry(braced);
    if server.connection == Connection::McpRemote {
        entry["type"] = "local".into();
    }
    entry["tools"] = json!(server.tools);
    config.put(SERVERS, server.name, entry)
}

/// The function's name: `.` and whatever else none may hold becomes a hyphen, and it is cut.
fn known_as(server: &str, tool: &str) -> String {
    let name = format!("{server}-{tool}");
    let is_kept = |c: char| c.is_ascii_alphanumeric() || c == '_' || c == '-';
    let kept = name.chars().map(|c| if is_kept(c) { c } else { '-' });
    kept.take(64).collect()
}

/// `--available-tools` hides what Copilot brings along, such as a shell that runs `printenv` unasked.
fn args(server: &Server<'_>, config: &Config) -> String {
    let allowed = server.tools.iter().map(|tool| {
        format!(
            " '--allow-tool={}({tool})' --available-tools={}",
            server.name,
            known_as(server.name, tool)
        )
    });
    format!(
        "--additional-mcp-config '{}'{}",
        quoted(&config.one_line()),
        allowed.collect::<String>()
    )
}
