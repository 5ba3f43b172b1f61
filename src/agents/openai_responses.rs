//! `OpenAI`'s Responses API: its `mcp` tool, for programs that call the API themselves.
//!
//! The configuration is the part of the request's body that names the server. `OpenAI`'s servers
//! connect to Port.
//!
//! Source: `Tool.Mcp` in `resources/responses` of the package `openai`.

use secrecy::ExposeSecret as _;
use serde_json::json;

use super::config::Config;
use super::{Agent, BASE, Server, Servers, Tested};

const TOOLS: &str = "tools";

pub(super) const AGENT: Agent = Agent {
    name: "openai-responses",
    setup: "`mcp_config` → request body",
    tested: Tested::ApiTypes,
    servers: Servers::list(TOOLS, "server_label"),
    expands_variables: false,
    runs_on_runner: false,
    add_server,
    ..BASE
};

fn add_server(server: &Server<'_>, config: &mut Config) {
    let entry = json!({
        "type": "mcp",
        "server_label": server.name,
        "server_url": server.url.as_str(),
        "authorization": server.token.expose_secret(),
        "headers": server.limiting_headers(),
        "allowed_tools": server.tools,
        // No user can approve a call.
        "require_approval": "never",
    });
    config.prepend(TOOLS, vec![entry]);
}
