//! GitHub Copilot CLI: `mcpServers` of `~/.copilot/mcp-config.json` and `--additional-mcp-config`.
//!
//! Two settings control the tools: the server's `tools` lists those that the model sees, and
//! `--allow-tool` those that run without a user's approval.
//!
//! Source: `copilot help permissions` and `copilot help config`.

use serde_json::json;

use super::config::Config;
use super::format::{Leniency, single_quotable};
use super::{Agent, BASE, Server, Transport, braced};

const SERVERS: &str = "mcpServers";

pub(super) const AGENT: Agent = Agent {
    name: "copilot-cli",
    setup: "`agent_args` → command line",
    leniency: Leniency::CommentsAndCommas,
    add_server,
    notation: |server, tool| format!("{server}({tool})"),
    function_name,
    cli_args,
    ..BASE
};

fn add_server(server: &Server<'_>, config: &mut Config) {
    let mut entry = server.entry(braced);
    if server.transport == Transport::McpRemote {
        entry["type"] = "local".into();
    }
    entry["tools"] = json!(server.tools);
    config.insert(SERVERS, server.name, entry);
}

/// The function's name: `.` and all other characters that are invalid in such a name become
/// hyphens. The name is cut to 64 characters.
fn function_name(server: &str, tool: &str) -> String {
    let name = format!("{server}-{tool}");
    let is_kept = |c: char| c.is_ascii_alphanumeric() || c == '_' || c == '-';
    name.chars()
        .map(|c| if is_kept(c) { c } else { '-' })
        .take(64)
        .collect()
}

/// `--available-tools` hides Copilot's own tools, such as a shell that runs `printenv` without
/// approval.
fn cli_args(server: &Server<'_>, config: &Config) -> String {
    let allowed = server.tools.iter().map(|tool| {
        format!(
            " '--allow-tool={}({tool})' --available-tools={}",
            server.name,
            function_name(server.name, tool.as_str())
        )
    });
    format!(
        "--additional-mcp-config '{}'{}",
        single_quotable(&config.one_line()),
        allowed.collect::<String>()
    )
}
