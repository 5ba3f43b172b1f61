//! Codex: the `mcp_servers` table of `config.toml`, and the same as values for `--config`.
//!
//! `openai/codex-action` refuses an `mcp_servers` among its `codex-args` from v1.12 on, and keeps what
//! it finds in the `config.toml` of its `codex-home`.
//!
//! `codex exec` refuses every tool without a read-only annotation unless the server's tools are
//! approved beforehand, and goes on without a server that fails unless it is required.
//!
//! Source: [Codex configuration](https://developers.openai.com/codex/mcp).

use serde_json::{Value, json};

use super::config::{Config, Shape};
use super::findings::{Effect, Override, anything};
use super::format::{Format, Leniency, inline_toml, one_line, toml_key};
use super::{
    Agent, Connection, List, Server, Servers, TOKEN_VARIABLE, TokenPlacement, braced,
    double_underscored, plain,
};

const SERVERS: &str = "mcp_servers";
const SHELL_ENVIRONMENT: &str = "shell_environment_policy";

pub(super) const AGENT: Agent = Agent {
    name: "codex",
    format: Format::Toml,
    leniency: Leniency::Strict,
    servers: Servers::map(SERVERS),
    shapes: &[(SHELL_ENVIRONMENT, Shape::Map)],
    overrides: OVERRIDES,
    expands_variables: true,
    runs_here: true,
    sends_headers: true,
    reserved: &[],
    install,
    tool: plain,
    known_as: double_underscored,
    line,
    args,
    list: List::Kept,
    limits: None,
};

const OVERRIDES: &[Override] = &[
    // The checkout's own configuration then counts, and stands above ours.
    Override::new(
        Effect::Widens,
        &["projects", "*", "trust_level"],
        |level, _| level.as_str() == Some("trusted"),
    ),
    Override::new(
        Effect::Widens,
        &["experimental_thread_config_endpoint"],
        anything,
    ),
    // It also takes every other gate away.
    Override::new(Effect::Opens, &["sandbox_mode"], |mode, _| {
        mode.as_str() == Some("danger-full-access")
    }),
    Override::new(Effect::Opens, &["sandbox_workspace_write"], anything),
    Override::new(Effect::Opens, &["default_permissions"], anything),
    Override::new(Effect::Opens, &["permissions"], anything),
    Override::new(Effect::Opens, &["notify"], anything),
    Override::new(Effect::Opens, &["hooks"], anything),
    Override::new(Effect::Opens, &["plugins"], anything),
    Override::new(Effect::Opens, &["marketplaces"], anything),
    Override::new(
        Effect::Opens,
        &["model_providers", "*", "auth", "command"],
        anything,
    ),
    Override::new(Effect::Widens, &["agents", "*", "config_file"], anything),
    // It ends at once, since profiles have a file of their own now.
    Override::new(Effect::Hides, &["profile"], anything),
];

fn install(server: &Server<'_>, config: &mut Config) -> bool {
    let mut entry = match (server.connection, server.token_placement) {
        (Connection::Direct, TokenPlacement::Inline) => json!({
            "url": server.url.as_str(),
            "http_headers": server.headers(&server.authorization(str::to_owned)),
        }),
        (Connection::Direct, TokenPlacement::Env) => json!({
            "url": server.url.as_str(),
            "bearer_token_env_var": TOKEN_VARIABLE,
            "http_headers": server.narrowing(),
        }),
        (Connection::McpRemote, TokenPlacement::Inline) => server.entry(braced),
        // A server's program gets no variable but those that are named here.
        (Connection::McpRemote, TokenPlacement::Env) => json!({
            "command": "npx",
            "args": server.bridge(&server.authorization(braced)),
            "env_vars": [TOKEN_VARIABLE],
        }),
    };
    entry["enabled_tools"] = json!(server.tools);
    entry["default_tools_approval_mode"] = "approve".into();
    entry["required"] = true.into();
    if server.token_placement == TokenPlacement::Env {
        // The model's commands get all other variables.
        config.put_in_inner_list(SHELL_ENVIRONMENT, "exclude", TOKEN_VARIABLE);
    }
    config.put(SERVERS, server.name, entry)
}

/// The servers as one value for `--config`. TOML cannot hold a whole document on one line.
fn line(config: &Config) -> String {
    let servers = config.get(SERVERS).unwrap_or(&Value::Null);
    assignment(SERVERS, servers)
}

fn args(_server: &Server<'_>, config: &Config) -> String {
    let args: Vec<String> = config
        .iter()
        .flat_map(|(key, value)| ["--config".to_owned(), assignment(key, value)])
        .collect();
    one_line(&args)
}

fn assignment(key: &str, value: &Value) -> String {
    format!("{}={}", toml_key(key), inline_toml(value))
}
