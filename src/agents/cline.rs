//! Cline CLI: `mcpServers` of `cline_mcp_settings.json`.
//!
//! The variable `CLINE_MCP_SETTINGS_PATH` names the file.
//!
//! Source: what `cline mcp install` writes.

use serde_json::json;

use super::config::Config;
use super::format::{Format, Leniency};
use super::{Agent, Connection, List, Server, Servers, braced, no_args, plain};

const SERVERS: &str = "mcpServers";

/// Seconds that a connection may take.
const TIMEOUT: u64 = 60;

pub(super) const AGENT: Agent = Agent {
    name: "cline",
    format: Format::Json,
    leniency: Leniency::Strict,
    servers: Servers::map(SERVERS),
    shapes: &[],
    overrides: &[],
    // Its editor extension expands variables, the program does not.
    expands_variables: false,
    runs_here: true,
    sends_headers: true,
    reserved: &[],
    install,
    tool: plain,
    known_as: |server, tool| format!("{server}__{tool}"),
    line: Config::one_line,
    args: no_args,
    list: List::Ignored,
    limits: Some("Cline has no list of tools: it runs whatever the server offers."),
};

fn install(server: &Server<'_>, config: &mut Config) -> bool {
    let mut transport = server.entry(braced);
    transport["type"] = match server.connection {
        Connection::Direct => "streamableHttp",
        Connection::McpRemote => "stdio",
    }
    .into();
    // Cline starts without a server that is not there at once, and `npx` is not.
    let entry = json!({"transport": transport, "timeout": TIMEOUT});
    config.put(SERVERS, server.name, entry)
}
