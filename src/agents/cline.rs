//! Cline CLI: `mcpServers` of `cline_mcp_settings.json`.
//!
//! The variable `CLINE_MCP_SETTINGS_PATH` names the file.
//!
//! Source: the file that `cline mcp install` writes.

use serde_json::json;

use super::config::Config;
use super::{Agent, BASE, Server, ToolEnforcement, Transport, braced};

const SERVERS: &str = "mcpServers";

/// The time limit of a connection, in seconds.
const TIMEOUT: u64 = 60;

pub(super) const AGENT: Agent = Agent {
    name: "cline",
    setup: "`config_file` → `CLINE_MCP_SETTINGS_PATH`",
    // The editor extension expands variables, but the command-line program does not.
    expands_variables: false,
    add_server,
    function_name: |server, tool| format!("{server}__{tool}"),
    enforcement: ToolEnforcement::None,
    limits: Some(
        "Cline does not enforce `allowed_tools`: it runs every tool that the server offers.",
    ),
    ..BASE
};

fn add_server(server: &Server<'_>, config: &mut Config) {
    let mut transport = server.entry(braced);
    transport["type"] = match server.transport {
        Transport::Http => "streamableHttp",
        Transport::McpRemote => "stdio",
    }
    .into();
    // Cline starts without a server that is not ready in time, and `npx` starts slowly.
    let entry = json!({"transport": transport, "timeout": TIMEOUT});
    config.insert(SERVERS, server.name, entry);
}
