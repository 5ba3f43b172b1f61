//! `OpenAI`'s Responses API: its `mcp` tool, for programs that call the API themselves.
//!
//! The configuration is the part of the request's body that names the server. `OpenAI`'s servers
//! connect to Port.
//!
//! Source: `Tool.Mcp` in `resources/responses` of the package `openai`.

use secrecy::ExposeSecret as _;
use serde_json::json;

use super::config::Config;
use super::format::{Format, Leniency};
use super::{Agent, List, Server, Servers, no_args, plain};

const TOOLS: &str = "tools";

pub(super) const AGENT: Agent = Agent {
    name: "openai-responses",
    format: Format::Json,
    leniency: Leniency::Strict,
    servers: Servers::list(TOOLS, "server_label"),
    shapes: &[],
    overrides: &[],
    expands_variables: false,
    runs_here: false,
    sends_headers: true,
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
    let entry = json!({
        "type": "mcp",
        "server_label": server.name,
        "server_url": server.url.as_str(),
        "authorization": server.token.expose_secret(),
        "headers": server.narrowing(),
        "allowed_tools": server.tools,
        // There is no person to ask.
        "require_approval": "never",
    });
    config.put_in_list(TOOLS, &["type", "server_label"], entry)
}
