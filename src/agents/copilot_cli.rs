//! GitHub Copilot CLI: `mcpServers` of `~/.copilot/mcp-config.json` and `--additional-mcp-config`.
//!
//! Two gates stand before a tool: `tools` of the server says which the model sees, `--allow-tool`
//! which run without a person's approval.
//!
//! Source: `copilot help permissions` and `copilot help config`.

use serde_json::json;

use super::config::{Config, Shape};
use super::format::Format;
use super::{Agent, Connection, List, Server, braced};

const SERVERS: &str = "mcpServers";

pub(super) const AGENT: Agent = Agent {
    name: "copilot-cli",
    format: Format::Json,
    shapes: &[(SERVERS, Shape::Map)],
    expands_variables: true,
    runs_here: true,
    sends_headers: true,
    install,
    tool: |server, tool| format!("{server}({tool})"),
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

fn args(server: &Server<'_>, config: &Config) -> String {
    let allowed = server.tools.iter();
    let allowed = allowed.map(|tool| format!(" '--allow-tool={}({tool})'", server.name));
    format!(
        "--additional-mcp-config '{}'{}",
        config.one_line(),
        allowed.collect::<String>()
    )
}
