//! Anthropic's Messages API: its MCP connector, for programs that call the API themselves.
//!
//! The configuration is the part of the request's body that names the server: `mcp_servers`, and in
//! `tools` the toolset with every tool off but those that are granted. It wants the beta
//! `mcp-client-2025-11-20`. Anthropic's servers connect to Port, and send no header but the token.
//!
//! Source: `resources/beta/messages` of the package `@anthropic-ai/sdk`.

use secrecy::ExposeSecret as _;
use serde_json::{Map, Value, json};

use super::config::{Config, Shape};
use super::format::{Format, Leniency};
use super::{Agent, List, Server, Servers, no_args, plain};

const SERVERS: &str = "mcp_servers";
const TOOLS: &str = "tools";

pub(super) const AGENT: Agent = Agent {
    name: "anthropic-api",
    format: Format::Json,
    leniency: Leniency::Strict,
    servers: Servers::list(SERVERS, "name"),
    shapes: &[(TOOLS, Shape::List)],
    overrides: &[],
    expands_variables: false,
    runs_here: false,
    sends_headers: false,
    reserved: &[],
    install,
    tool: plain,
    known_as: plain,
    line: Config::one_line,
    args: no_args,
    list: List::Kept,
    limits: None,
};

fn install(server: &Server<'_>, config: &mut Config) -> bool {
    let granted: Map<String, Value> = server
        .tools
        .iter()
        .map(|tool| (tool.clone(), json!({"enabled": true})))
        .collect();
    let toolset = json!({
        "type": "mcp_toolset",
        "mcp_server_name": server.name,
        "default_config": {"enabled": false},
        "configs": granted,
    });
    config.put_in_list(TOOLS, &["type", "mcp_server_name"], toolset);
    let entry = json!({
        "type": "url",
        "name": server.name,
        "url": server.url.as_str(),
        "authorization_token": server.token.expose_secret(),
    });
    config.put_in_list(SERVERS, &["name"], entry)
}
