//! Anthropic's Messages API: its MCP connector, for programs that call the API themselves.
//!
//! The configuration is the part of the request's body that names the server: `mcp_servers`, and in
//! `tools` a toolset in which only the granted tools are enabled. It requires the beta
//! `mcp-client-2025-11-20`. Anthropic's servers connect to Port, and send only the token, no other
//! headers.
//!
//! Source: `resources/beta/messages` of the package `@anthropic-ai/sdk`.

use secrecy::ExposeSecret as _;
use serde_json::{Map, Value, json};

use super::config::{Config, Shape};
use super::{Agent, BASE, Server, Servers, Tested};

const SERVERS: &str = "mcp_servers";
const TOOLS: &str = "tools";

pub(super) const AGENT: Agent = Agent {
    name: "anthropic-api",
    setup: "`mcp_config` → request body",
    tested: Tested::ApiTypes,
    servers: Servers::list(SERVERS, "name"),
    expected_shapes: &[(TOOLS, Shape::List)],
    expands_variables: false,
    runs_on_runner: false,
    sends_headers: false,
    add_server,
    ..BASE
};

fn add_server(server: &Server<'_>, config: &mut Config) {
    let granted: Map<String, Value> = server
        .tools
        .iter()
        .map(|tool| (tool.to_string(), json!({"enabled": true})))
        .collect();
    let toolset = json!({
        "type": "mcp_toolset",
        "mcp_server_name": server.name,
        "default_config": {"enabled": false},
        "configs": granted,
    });
    config.retain(TOOLS, |_, tool| tool["mcp_server_name"] != server.name);
    config.prepend(TOOLS, vec![toolset]);
    let entry = json!({
        "type": "url",
        "name": server.name,
        "url": server.url.as_str(),
        "authorization_token": server.token.expose_secret(),
    });
    config.prepend(SERVERS, vec![entry]);
}
