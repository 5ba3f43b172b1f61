//! `OpenCode`: `mcp` of `opencode.json`, and the same in the variable `OPENCODE_CONFIG_CONTENT`.
//!
//! Every tool is allowed unless `permission` denies it; of the rules that fit, the last counts.
//! Without `oauth: false` a refused token starts a login instead of an error.
//!
//! Source: the schema at <https://opencode.ai/config.json> and [its
//! documentation](https://opencode.ai/docs/mcp-servers/).

use serde_json::json;

use super::config::{Config, Shape};
use super::format::Format;
use super::{Agent, Connection, List, MCP_REMOTE_VARIABLE, Server, braced, no_args};

const SERVERS: &str = "mcp";
const PERMISSION: &str = "permission";

pub(super) const AGENT: Agent = Agent {
    name: "opencode",
    format: Format::Json,
    shapes: &[(SERVERS, Shape::Map)],
    expands_variables: true,
    runs_here: true,
    sends_headers: true,
    install,
    tool,
    line: Config::one_line,
    args: no_args,
    list: List::Kept,
    limits: None,
};

fn variable(name: &str) -> String {
    format!("{{env:{name}}}")
}

fn tool(server: &str, tool: &str) -> String {
    format!("{server}_{tool}")
}

fn install(server: &Server<'_>, config: &mut Config) -> bool {
    let authorization = server.authorization(variable);
    let entry = match server.connection {
        Connection::Direct => json!({
            "type": "remote",
            "url": server.url.as_str(),
            "enabled": true,
            "oauth": false,
            "headers": server.headers(&authorization),
        }),
        Connection::McpRemote => {
            let mut command = vec!["npx".to_owned()];
            command.extend(server.bridge(&braced(MCP_REMOTE_VARIABLE)));
            json!({
                "type": "local",
                "command": command,
                "enabled": true,
                "environment": {MCP_REMOTE_VARIABLE: authorization},
            })
        }
    };
    config.default("$schema", "https://opencode.ai/config.json");
    // One word stands for every tool.
    let for_all = config
        .get(PERMISSION)
        .filter(|rule| rule.is_string())
        .cloned();
    let permission = config.map(PERMISSION);
    if let Some(rule) = for_all {
        permission.insert("*".to_owned(), rule);
    }
    let denied = (tool(server.name, "*"), "deny");
    let allowed = server
        .tools
        .iter()
        .map(|name| (tool(server.name, name), "allow"));
    for (pattern, rule) in [denied].into_iter().chain(allowed) {
        permission.shift_remove(&pattern);
        permission.insert(pattern, rule.into());
    }
    config.put(SERVERS, server.name, entry)
}
