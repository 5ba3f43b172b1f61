//! Goose: `extensions` of `~/.config/goose/config.yaml`.
//!
//! A header can contain a variable only if `env_keys` names it. An extension's program inherits the
//! job's variables. `available_tools` hides all other tools.
//!
//! Sources: `crates/goose/src/agents/extension.rs` and `extension_manager.rs`, and `config/base.rs` of `block/goose`.

use serde_json::{Map, Value, json};

use super::config::{Config, Shape};
use super::findings::{Effect, Given, Override, any_value, reads_as, trimmed};
use super::format::Format;
use super::{
    Agent, BASE, MCP_REMOTE_VARIABLE, Server, Servers, TOKEN_VARIABLE, Tested, TokenPlacement,
    Transport, braced,
};

const EXTENSIONS: &str = "extensions";

/// The time limit of a call, in seconds.
const TIMEOUT: u64 = 300;

pub(super) const AGENT: Agent = Agent {
    name: "goose",
    setup: "`mcp_config` → `~/.config/goose/config.yaml`",
    tested: Tested::ConfigSchema,
    format: Format::Yaml,
    servers: Servers {
        key: EXTENSIONS,
        shape: Shape::Map,
        name: Some("name"),
        alternative: None,
    },
    overrides: OVERRIDES,
    add_server,
    function_name,
    ..BASE
};

const OVERRIDES: &[Override] = &[
    // Without a user, all modes except `auto` stop at a question or call no tool.
    Override::new(Effect::Hides, &["GOOSE_MODE"], |mode, _| {
        mode.as_str() != Some("auto")
    }),
    // Other agents, with shells of their own, in place of a model.
    Override::new(Effect::Opens, &["GOOSE_PROVIDER"], is_another_agent),
    Override::new(Effect::Opens, &["GOOSE_LEAD_PROVIDER"], is_another_agent),
    Override::new(Effect::Opens, &["GOOSE_PLANNER_PROVIDER"], is_another_agent),
    // Their programs.
    Override::new(Effect::Opens, &["CLAUDE_CODE_COMMAND"], any_value),
    Override::new(Effect::Opens, &["CODEX_COMMAND"], any_value),
    Override::new(Effect::Opens, &["CURSOR_AGENT_COMMAND"], any_value),
    Override::new(Effect::Opens, &["GEMINI_CLI_COMMAND"], any_value),
    Override::new(Effect::Opens, &[EXTENSIONS, SHELLS[0]], is_enabled),
    Override::new(Effect::Opens, &[EXTENSIONS, SHELLS[1]], is_enabled),
    Override::new(Effect::Opens, &[EXTENSIONS], has_shell_by_name),
];

/// Goose's own extensions with a shell.
const SHELLS: [&str; 2] = ["developer", "computercontroller"];

fn is_another_agent(provider: &Value, _: &Given<'_>) -> bool {
    let agents = ["claude-code", "codex", "cursor-agent", "gemini-cli"];
    reads_as(provider, &agents)
        || provider
            .as_str()
            .is_some_and(|name| trimmed(name).ends_with("-acp"))
}

fn is_enabled(extension: &Value, _: &Given<'_>) -> bool {
    extension.get("enabled").and_then(Value::as_bool) != Some(false)
}

/// Whether an extension with a shell is at another key: Goose knows it by its `name`.
fn has_shell_by_name(extensions: &Value, given: &Given<'_>) -> bool {
    let mut extensions = extensions.as_object().into_iter().flatten();
    extensions.any(|(key, extension)| {
        let name = extension.get("name").and_then(Value::as_str);
        let name = name_to_key(name.unwrap_or(key));
        SHELLS.contains(&name.as_str())
            && !SHELLS.contains(&key.as_str())
            && is_enabled(extension, given)
    })
}

/// The key by which Goose knows an extension.
fn name_to_key(name: &str) -> String {
    let key = name.chars().filter(|c| !c.is_whitespace());
    let is_kept = |c: char| c.is_ascii_alphanumeric() || c == '_' || c == '-';
    let key: String = key.map(|c| if is_kept(c) { c } else { '_' }).collect();
    key.to_lowercase()
}

/// `name_to_key` of the extension's name, followed by the tool's name.
fn function_name(server: &str, tool: &str) -> String {
    format!("{}__{tool}", name_to_key(server))
}

fn add_server(server: &Server<'_>, config: &mut Config) {
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
    match server.transport {
        Transport::Http => {
            entry["type"] = "streamable_http".into();
            entry["uri"] = server.url.as_str().into();
            entry["headers"] = server.headers(&authorization).into();
        }
        Transport::McpRemote => {
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
    config.insert(EXTENSIONS, server.name, entry);
}
