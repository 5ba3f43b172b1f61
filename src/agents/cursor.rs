//! Cursor's `cursor-agent`: `mcpServers` of `.cursor/mcp.json`.
//!
//! What it may run stands in another file, `.cursor/cli.json`, as `permissions.allow`; `allowed_tools`
//! has the entries of that list.
//!
//! Source: [MCP](https://cursor.com/docs/cli/mcp) and
//! [permissions](https://cursor.com/docs/cli/reference/permissions).

use serde_json::json;

use super::config::Config;
use super::format::{Format, Leniency};
use super::{Agent, Connection, List, Server, Servers};

const SERVERS: &str = "mcpServers";

pub(super) const AGENT: Agent = Agent {
    name: "cursor",
    format: Format::Json,
    leniency: Leniency::Strict,
    servers: Servers::map(SERVERS),
    shapes: &[],
    overrides: &[],
    expands_variables: true,
    runs_here: true,
    sends_headers: true,
    reserved: &[],
    install,
    tool: |server, tool| format!("Mcp({server}:{tool})"),
    known_as: |server, tool| format!("{server}:{tool}").to_lowercase(),
    line: Config::one_line,
    args: |_, _| "--approve-mcps".to_owned(),
    list: List::Kept,
    limits: Some(
        "Cursor reads the list from `permissions.allow` of `.cursor/cli.json`, which the workflow \
         writes; with `--force` every tool runs that `permissions.deny` does not name.",
    ),
};

fn variable(name: &str) -> String {
    format!("${{env:{name}}}")
}

fn install(server: &Server<'_>, config: &mut Config) -> bool {
    let entry = match server.connection {
        Connection::Direct => json!({
            "url": server.url.as_str(),
            "headers": server.headers(&server.authorization(variable)),
        }),
        Connection::McpRemote => server.entry(variable),
    };
    config.put(SERVERS, server.name, entry)
}
