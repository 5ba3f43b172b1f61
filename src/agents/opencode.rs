//! `OpenCode`: `mcp` of `opencode.json`, and the same in the variable `OPENCODE_CONFIG_CONTENT`.
//!
//! Every tool is allowed unless `permission` denies it. The last rule that matches applies.
//! Without `oauth: false`, a rejected token starts a login instead of an error.
//!
//! Sources: the schema at <https://opencode.ai/config.json>, [its
//! documentation](https://opencode.ai/docs/mcp-servers/), and the code of `opencode-ai` 1.18.33.

use serde_json::{Map, Value, json};

use super::config::Config;
use super::findings::{Effect, Given, Override, any_value, matches_our_tools};
use super::format::Leniency;
use super::{Agent, BASE, MCP_REMOTE_VARIABLE, Server, Servers, Transport, braced, sanitized};
use crate::tool::Notation;

const SERVERS: &str = "mcp";
const PERMISSION: &str = "permission";

pub(super) const AGENT: Agent = Agent {
    name: "opencode",
    setup: "`mcp_config` → `OPENCODE_CONFIG_CONTENT`",
    leniency: Leniency::CommentsAndCommas,
    servers: Servers::map(SERVERS),
    overrides: OVERRIDES,
    add_server,
    notation: tool_name,
    function_name: tool_name,
    ..BASE
};

/// An agent's own rules take precedence over the rules for all agents, so our rules are added after
/// those too; see [`add_server`].
const OVERRIDES: &[Override] = &[
    Override::new(
        Effect::Widens,
        &["agent", "*", PERMISSION],
        matches_our_tools,
    ),
    Override::new(Effect::Widens, &["agent", "*", "tools"], matches_our_tools),
    Override::new(
        Effect::Widens,
        &["mode", "*", PERMISSION],
        matches_our_tools,
    ),
    Override::new(Effect::Widens, &["mode", "*", "tools"], matches_our_tools),
    Override::new(Effect::Widens, &["tools"], matches_our_tools),
    // OpenCode exits if it finds these keys, which only a later version knows.
    Override::new(Effect::Hides, &["permissions"], any_value),
    Override::new(Effect::Hides, &["agent", "*", "permissions"], any_value),
    Override::new(Effect::Hides, &["agents", "*", "permissions"], any_value),
    Override::new(Effect::Hides, &["mode", "*", "permissions"], any_value),
    Override::new(Effect::Opens, &["plugin"], any_value),
    Override::new(Effect::Opens, &["plugins"], any_value),
    Override::new(Effect::Opens, &["experimental", "hook"], any_value),
    // Programs that run when a file is read or changed. An object turns on the built-in ones too, also if it is empty.
    Override::new(Effect::Opens, &["formatter"], turns_on),
    Override::new(Effect::Opens, &["lsp"], turns_on),
    Override::new(Effect::Opens, &["provider", "*", "npm"], loads_code),
    Override::new(
        Effect::Opens,
        &["provider", "*", "models", "*", "provider", "npm"],
        loads_code,
    ),
];

/// The packages that are part of `OpenCode`. It installs any other package and runs its code: from a registry, a URL, a
/// repository, or a file.
const BUILT_IN_PROVIDERS: &[&str] = &[
    "@ai-sdk/alibaba",
    "@ai-sdk/amazon-bedrock",
    "@ai-sdk/amazon-bedrock/mantle",
    "@ai-sdk/anthropic",
    "@ai-sdk/azure",
    "@ai-sdk/cerebras",
    "@ai-sdk/cohere",
    "@ai-sdk/deepinfra",
    "@ai-sdk/gateway",
    "@ai-sdk/github-copilot",
    "@ai-sdk/google",
    "@ai-sdk/google-vertex",
    "@ai-sdk/google-vertex/anthropic",
    "@ai-sdk/groq",
    "@ai-sdk/mistral",
    "@ai-sdk/openai",
    "@ai-sdk/openai-compatible",
    "@ai-sdk/perplexity",
    "@ai-sdk/togetherai",
    "@ai-sdk/vercel",
    "@ai-sdk/xai",
    "@openrouter/ai-sdk-provider",
    "gitlab-ai-provider",
    "venice-ai-sdk-provider",
];

/// Whether a provider's package is not part of `OpenCode`, which compares the exact name.
fn loads_code(package: &Value, given: &Given<'_>) -> bool {
    let is_built_in = |name: &str| BUILT_IN_PROVIDERS.contains(&name);
    any_value(package, given) && !package.as_str().is_some_and(is_built_in)
}

/// Any value except null and `false`.
fn turns_on(value: &Value, _: &Given<'_>) -> bool {
    !matches!(value, Value::Null | Value::Bool(false))
}

fn variable(name: &str) -> String {
    format!("{{env:{name}}}")
}

/// The function's name. A rule must match the whole name.
fn tool_name(server: &str, tool: &str) -> String {
    format!("{}_{}", sanitized(server), sanitized(tool))
}

fn add_server(server: &Server<'_>, config: &mut Config) {
    let authorization = server.authorization(variable);
    let entry = match server.transport {
        Transport::Http => json!({
            "type": "remote",
            "url": server.url.as_str(),
            "enabled": true,
            "oauth": false,
            "headers": server.headers(&authorization),
        }),
        Transport::McpRemote => {
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
    config.set_default("$schema", "https://opencode.ai/config.json");
    restrict(server, config.values_mut());
    for key in ["agent", "mode"] {
        let agents = config
            .values_mut()
            .get_mut(key)
            .and_then(Value::as_object_mut)
            .into_iter()
            .flat_map(|agents| agents.values_mut());
        for agent in agents {
            if let Some(agent) = agent.as_object_mut() {
                restrict(server, agent);
            }
        }
    }
    config.insert(SERVERS, server.name, entry);
}

/// Adds our rules after all others of a configuration, or of an agent in it, since the last rule
/// that matches applies. Converts rules of the older form (`tools`), which come first.
fn restrict(server: &Server<'_>, owner: &mut Map<String, Value>) {
    let mut permission = Map::new();
    if let Some(Value::Object(tools)) = owner.shift_remove("tools") {
        for (pattern, is_on) in tools {
            let pattern = match pattern.as_str() {
                "write" | "patch" => "edit".to_owned(),
                _ => pattern,
            };
            let rule = if is_on == Value::Bool(false) {
                "deny"
            } else {
                "allow"
            };
            permission.insert(pattern, rule.into());
        }
    }
    let rules = owner.entry(PERMISSION).or_insert(Value::Null);
    match rules.take() {
        Value::Object(rules) => permission.extend(rules),
        // A single word applies to every tool.
        Value::String(rule) => drop(permission.insert("*".to_owned(), rule.into())),
        _ => {}
    }
    let denied = (format!("{}*", tool_name(server.name, "")), "deny");
    let allowed = server
        .granted(tool_name)
        .into_iter()
        .map(|Notation(name)| (name, "allow"));
    for (pattern, rule) in [denied].into_iter().chain(allowed) {
        permission.shift_remove(&pattern);
        permission.insert(pattern, rule.into());
    }
    *rules = permission.into();
}
