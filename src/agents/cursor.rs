//! Cursor's `cursor-agent`: `mcpServers` of `.cursor/mcp.json`.
//!
//! The permissions are in another file, `.cursor/cli.json`. `allowed_tools` contains the entries of
//! the list `permissions.allow`.
//!
//! Source: [MCP](https://cursor.com/docs/cli/mcp) and
//! [permissions](https://cursor.com/docs/cli/reference/permissions).

use serde_json::json;

use super::config::Config;
use super::{Agent, BASE, Server, Tested, Transport};

const SERVERS: &str = "mcpServers";

pub(super) const AGENT: Agent = Agent {
    name: "cursor",
    setup: "`mcp_config` → `.cursor/mcp.json`",
    tested: Tested::ConfigSchema,
    add_server,
    notation: |server, tool| format!("Mcp({server}:{tool})"),
    function_name: |server, tool| format!("{server}:{tool}").to_lowercase(),
    cli_args: |_, _| "--approve-mcps".to_owned(),
    limits: Some(
        "Cursor reads the list from `permissions.allow` in `.cursor/cli.json`, which the workflow \
         writes. With `--force`, it runs every tool that `permissions.deny` does not name.",
    ),
    ..BASE
};

fn variable(name: &str) -> String {
    format!("${{env:{name}}}")
}

fn add_server(server: &Server<'_>, config: &mut Config) {
    let entry = match server.transport {
        Transport::Http => json!({
            "url": server.url.as_str(),
            "headers": server.headers(&server.authorization(variable)),
        }),
        Transport::McpRemote => server.entry(variable),
    };
    config.insert(SERVERS, server.name, entry);
}
