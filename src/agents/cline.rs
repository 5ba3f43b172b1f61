//! Cline CLI: `mcpServers` of `cline_mcp_settings.json`.
//!
//! Source: the package `cline`, and `cline mcp install`.

use serde_json::json;

use super::config::{Config, Format, Shape};
use super::{Agent, Connection, Server, braced, no_args, plain};

const SERVERS: &str = "mcpServers";

pub(super) const AGENT: Agent = Agent {
    name: "cline",
    format: Format::Json,
    shapes: &[(SERVERS, Shape::Map)],
    // Its editor extension expands variables, the program does not.
    variable: None,
    runs_here: true,
    sends_headers: true,
    install,
    tool: plain,
    line: Config::one_line,
    args: no_args,
    limits: Some("Cline has no list of tools: it runs whatever the server offers."),
};

fn install(server: &Server<'_>, config: &mut Config) -> bool {
    let entry = match server.connection {
        Connection::Direct => json!({
            "type": "streamableHttp",
            "url": server.url.as_str(),
            "headers": server.headers(&server.authorization(braced)),
        }),
        Connection::McpRemote => server.entry(braced),
    };
    config.put(SERVERS, server.name, entry)
}
