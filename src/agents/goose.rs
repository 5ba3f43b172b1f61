//! Goose: `extensions` of `~/.config/goose/config.yaml`.
//!
//! A header can contain a variable only if `env_keys` names it. An extension's program inherits the
//! job's variables. `available_tools` hides all other tools.
//!
//! Goose has extensions of its own (`"type": "platform"`). Most are on unless the configuration turns
//! them off: one has a shell, and another can turn that one on.
//!
//! Sources: `crates/goose/src/agents/extension.rs`, `extension_manager.rs`, and
//! `platform_extensions/mod.rs`, and `config/base.rs`, of `aaif-goose/goose`.

use serde_json::{Map, Value, json};

use super::config::{Config, Shape};
use super::findings::{Effect, Given, Override, any_value, reads_as, trimmed};
use super::format::Format;
use super::{
    Agent, BASE, MCP_REMOTE_VARIABLE, Server, Servers, TOKEN_VARIABLE, TokenPlacement, Transport,
    braced,
};

const EXTENSIONS: &str = "extensions";

/// The time limit of a call, in seconds.
const TIMEOUT: u64 = 300;

pub(super) const AGENT: Agent = Agent {
    name: "goose",
    setup: "`mcp_config` → `~/.config/goose/config.yaml`",
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

/// Goose's own extensions, and the settings that could override the grant. Each extension that is on
/// counts as a shell: it has one, turns others on, writes programs, or reads files.
macro_rules! own_extensions {
    ($($key:literal)*) => {
        const OWN: &[&str] = &[$($key),*];

        const OVERRIDES: &[Override] = &[
            // Without a user, all modes except `auto` stop at a question or call no tool.
            Override::new(Effect::Hides, &["GOOSE_MODE"], |mode, _| mode.as_str() != Some("auto")),
            // Other agents, with shells of their own, in place of a model.
            Override::new(Effect::Opens, &["GOOSE_PROVIDER"], is_another_agent),
            Override::new(Effect::Opens, &["GOOSE_LEAD_PROVIDER"], is_another_agent),
            Override::new(Effect::Opens, &["GOOSE_PLANNER_PROVIDER"], is_another_agent),
            // Their programs.
            Override::new(Effect::Opens, &["CLAUDE_CODE_COMMAND"], any_value),
            Override::new(Effect::Opens, &["CODEX_COMMAND"], any_value),
            Override::new(Effect::Opens, &["CURSOR_AGENT_COMMAND"], any_value),
            Override::new(Effect::Opens, &["GEMINI_CLI_COMMAND"], any_value),
            $(Override::new(Effect::Opens, &[EXTENSIONS, $key], is_enabled),)*
            Override::new(Effect::Opens, &[EXTENSIONS], is_own_by_name),
        ];
    };
}

// The platform extensions of version 1.52.0, and `computercontroller`, which is built in.
own_extensions! {
    "analyze" "apps" "chatrecall" "code_execution" "computercontroller" "developer" "extensionmanager"
    "orchestrator" "scheduler" "skills" "summarize" "summon" "todo" "tom"
}

/// An extension of Goose that is built in. It is off unless the configuration turns it on.
const BUILT_IN: &str = "computercontroller";

fn is_another_agent(provider: &Value, _: &Given<'_>) -> bool {
    let agents = ["claude-code", "codex", "cursor-agent", "gemini-cli"];
    reads_as(provider, &agents)
        || provider
            .as_str()
            .is_some_and(|name| trimmed(name).to_lowercase().ends_with("acp"))
}

fn is_enabled(extension: &Value, _: &Given<'_>) -> bool {
    extension.get("enabled").and_then(Value::as_bool) != Some(false)
}

/// Whether one of Goose's own extensions is at another key: Goose knows it by its `name`.
fn is_own_by_name(extensions: &Value, given: &Given<'_>) -> bool {
    extensions
        .as_object()
        .into_iter()
        .flatten()
        .any(|(key, extension)| {
            let name = extension.get("name").and_then(Value::as_str);
            let known_key = name_to_key(name.unwrap_or(key));
            OWN.contains(&known_key.as_str())
                && !OWN.contains(&key.as_str())
                && is_enabled(extension, given)
        })
}

/// The key by which Goose knows an extension.
fn name_to_key(name: &str) -> String {
    let is_kept = |c: char| c.is_ascii_alphanumeric() || c == '_' || c == '-';
    name.chars()
        .filter(|c| !c.is_whitespace())
        .map(|c| if is_kept(c) { c } else { '_' })
        .collect::<String>()
        .to_lowercase()
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
    let extensions = config.object_mut(EXTENSIONS);
    for name in OWN.iter().filter(|name| **name != BUILT_IN) {
        let off = || json!({"enabled": false, "type": "platform", "name": name, "description": ""});
        extensions.entry(*name).or_insert_with(off);
    }
    config.insert(EXTENSIONS, server.name, entry);
}
