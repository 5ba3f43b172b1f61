//! Codex: the `mcp_servers` table of `config.toml`, and the same as values for `--config`.
//!
//! Since v1.12, `openai/codex-action` rejects `mcp_servers` in its `codex-args`. It keeps the
//! contents of the `config.toml` in its `codex-home`.
//!
//! `codex exec` rejects all tools without a read-only annotation, unless the server's tools are
//! approved in the configuration. It continues without a server that fails, unless it is
//! `required`.
//!
//! Sources: [Codex configuration](https://developers.openai.com/codex/mcp), `config.schema.json` of `openai/codex`, and
//! `codex exec --strict-config` 0.171.0, which names the keys that it does not know.

use serde_json::{Value, json};

use super::config::{Config, Shape};
use super::findings::{Effect, Given, Override, any_value, reads_as};
use super::format::{Format, inline_toml, one_line, toml_key};
use super::{
    Agent, BASE, Server, Servers, TOKEN_VARIABLE, TokenPlacement, Transport, braced,
    double_underscored,
};

const SERVERS: &str = "mcp_servers";
const SHELL_ENVIRONMENT: &str = "shell_environment_policy";
const EXCLUDED: &str = "exclude";

pub(super) const AGENT: Agent = Agent {
    name: "codex",
    setup: "`config_file` → `codex-home`",
    format: Format::Toml,
    servers: Servers::map(SERVERS),
    expected_shapes: &[(SHELL_ENVIRONMENT, Shape::Map)],
    overrides: OVERRIDES,
    hidden_variables: Some((SHELL_ENVIRONMENT, EXCLUDED)),
    add_server,
    function_name: double_underscored,
    one_line: one_line_assignment,
    cli_args,
    ..BASE
};

const OVERRIDES: &[Override] = &[
    // Codex then also reads the checkout's configuration, which takes precedence over ours.
    Override::new(
        Effect::Widens,
        &["projects", "*", "trust_level"],
        |level, _| reads_as(level, &["trusted"]),
    ),
    Override::new(
        Effect::Widens,
        &["experimental_thread_config_endpoint"],
        any_value,
    ),
    // This also disables all other protection.
    Override::new(Effect::Opens, &["sandbox_mode"], is_unprotected),
    // Codex accepts profiles here, although it no longer uses them.
    Override::new(
        Effect::Opens,
        &["profiles", "*", "sandbox_mode"],
        is_unprotected,
    ),
    Override::new(Effect::Opens, &["sandbox_workspace_write"], any_value),
    Override::new(Effect::Opens, &["default_permissions"], any_value),
    Override::new(Effect::Opens, &["permissions"], any_value),
    Override::new(Effect::Opens, &["notify"], any_value),
    Override::new(Effect::Opens, &["hooks"], any_value),
    Override::new(Effect::Opens, &["plugins"], any_value),
    Override::new(Effect::Opens, &["marketplaces"], any_value),
    Override::new(
        Effect::Opens,
        &["model_providers", "*", "auth", "command"],
        any_value,
    ),
    Override::new(Effect::Widens, &["agents", "*", "config_file"], any_value),
    // Codex exits if it is set: profiles are in a separate file now.
    Override::new(Effect::Hides, &["profile"], any_value),
];

fn is_unprotected(mode: &Value, _: &Given<'_>) -> bool {
    reads_as(mode, &["danger-full-access"])
}

fn add_server(server: &Server<'_>, config: &mut Config) {
    let mut entry = match (server.transport, server.token_placement) {
        (Transport::Http, TokenPlacement::Inline) => json!({
            "url": server.url.as_str(),
            "http_headers": server.headers(&server.authorization(str::to_owned)),
        }),
        (Transport::Http, TokenPlacement::Env) => json!({
            "url": server.url.as_str(),
            "bearer_token_env_var": TOKEN_VARIABLE,
            "http_headers": server.limiting_headers(),
        }),
        (Transport::McpRemote, TokenPlacement::Inline) => server.entry(braced),
        // A server's program gets only the variables that are named here.
        (Transport::McpRemote, TokenPlacement::Env) => json!({
            "command": "npx",
            "args": server.bridge(&server.authorization(braced)),
            "env_vars": [TOKEN_VARIABLE],
        }),
    };
    entry["enabled_tools"] = json!(server.tools);
    entry["default_tools_approval_mode"] = "approve".into();
    entry["required"] = true.into();
    if server.token_placement == TokenPlacement::Env {
        // The model's commands get all other variables, but must not get the token.
        config.extend_inner_list(SHELL_ENVIRONMENT, EXCLUDED, TOKEN_VARIABLE);
    }
    config.insert(SERVERS, server.name, entry);
}

/// The servers as one value for `--config`. A whole TOML document cannot be on one line.
fn one_line_assignment(config: &Config) -> String {
    let servers = config.get(SERVERS).unwrap_or(&Value::Null);
    assignment(SERVERS, servers)
}

fn cli_args(_server: &Server<'_>, config: &Config) -> String {
    let args: Vec<String> = config
        .iter()
        .flat_map(|(key, value)| ["--config".to_owned(), assignment(key, value)])
        .collect();
    one_line(&args)
}

fn assignment(key: &str, value: &Value) -> String {
    format!("{}={}", toml_key(key), inline_toml(value))
}
