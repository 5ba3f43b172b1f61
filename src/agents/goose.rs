//! Goose: `extensions` of `~/.config/goose/config.yaml`.
//!
//! A header may hold a variable only where `env_keys` names it. An extension's program inherits the
//! job's variables. `available_tools` hides all others.
//!
//! Source: `crates/goose/src/agents/extension.rs` and `extension_manager.rs` of `block/goose`.

use serde_json::{Map, Value, json};

use super::config::{Config, Shape};
use super::format::Format;
use super::{
    Agent, Connection, List, MCP_REMOTE_VARIABLE, Server, TOKEN_VARIABLE, TokenPlacement, braced,
    no_args, plain,
};

const EXTENSIONS: &str = "extensions";

/// Seconds that a call may take.
const TIMEOUT: u64 = 300;

pub(super) const AGENT: Agent = Agent {
    name: "goose",
    format: Format::Yaml,
    shapes: &[(EXTENSIONS, Shape::Map)],
    expands_variables: true,
    runs_here: true,
    sends_headers: true,
    install,
    tool: plain,
    line: Config::one_line,
    args: no_args,
    list: List::Kept,
    limits: None,
};

fn install(server: &Server<'_>, config: &mut Config) -> bool {
    let authorization = server.authorization(braced);
    let inline = server.token_placement == TokenPlacement::Inline;
    let env_keys: &[&str] = if inline { &[] } else { &[TOKEN_VARIABLE] };
    let mut entry = json!({
        "enabled": true,
        "name": server.name,
        "description": "Port",
        "timeout": TIMEOUT,
        "env_keys": env_keys,
        "available_tools": server.tools,
    });
    match server.connection {
        Connection::Direct => {
            entry["type"] = "streamable_http".into();
            entry["uri"] = server.url.as_str().into();
            entry["headers"] = server.headers(&authorization).into();
        }
        Connection::McpRemote => {
            let (header, envs) = if inline {
                let envs = Map::from_iter([(MCP_REMOTE_VARIABLE.to_owned(), authorization.into())]);
                (braced(MCP_REMOTE_VARIABLE), envs)
            } else {
                (authorization, Map::new())
            };
            entry["type"] = "stdio".into();
            entry["cmd"] = "npx".into();
            entry["args"] = json!(server.bridge(&header));
            entry["envs"] = Value::Object(envs);
        }
    }
    config.put(EXTENSIONS, server.name, entry)
}
