//! `OpenCode`: `mcp` of `opencode.json`, and the same in the variable `OPENCODE_CONFIG_CONTENT`.
//!
//! Every tool is allowed unless `permission` denies it; of the rules that fit, the last counts.
//! Without `oauth: false` a refused token starts a login instead of an error.
//!
//! Source: the schema at <https://opencode.ai/config.json> and [its
//! documentation](https://opencode.ai/docs/mcp-servers/).

use serde_json::{Map, Value, json};

use super::config::Config;
use super::findings::{Effect, Override, anything, means_our_tools};
use super::format::{Format, Leniency};
use super::{
    Agent, Connection, List, MCP_REMOTE_VARIABLE, Server, Servers, braced, no_args, sanitized,
};

const SERVERS: &str = "mcp";
const PERMISSION: &str = "permission";

pub(super) const AGENT: Agent = Agent {
    name: "opencode",
    format: Format::Json,
    leniency: Leniency::CommentsAndCommas,
    servers: Servers::map(SERVERS),
    shapes: &[],
    overrides: OVERRIDES,
    expands_variables: true,
    runs_here: true,
    sends_headers: true,
    reserved: &[],
    install,
    tool,
    known_as: tool,
    line: Config::one_line,
    args: no_args,
    list: List::Kept,
    limits: None,
};

/// What stands in an agent's own rules counts more than the rules for all, so ours are put behind
/// those too; see [`install`].
const OVERRIDES: &[Override] = &[
    Override::new(Effect::Widens, &["agent", "*", PERMISSION], means_our_tools),
    Override::new(Effect::Widens, &["agent", "*", "tools"], means_our_tools),
    Override::new(Effect::Widens, &["mode", "*", PERMISSION], means_our_tools),
    Override::new(Effect::Widens, &["mode", "*", "tools"], means_our_tools),
    Override::new(Effect::Widens, &["tools"], means_our_tools),
    // It ends at these, which are of a later version.
    Override::new(Effect::Hides, &["permissions"], anything),
    Override::new(Effect::Hides, &["agents", "*", "permissions"], anything),
    Override::new(Effect::Opens, &["plugin"], anything),
    Override::new(Effect::Opens, &["plugins"], anything),
    Override::new(Effect::Opens, &["experimental", "hook"], anything),
    Override::new(Effect::Opens, &["provider", "*", "npm"], |package, _| {
        package
            .as_str()
            .is_some_and(|name| name.starts_with("file:"))
    }),
];

fn variable(name: &str) -> String {
    format!("{{env:{name}}}")
}

/// The function's name, which a rule has to match as a whole.
fn tool(server: &str, tool: &str) -> String {
    format!("{}_{}", sanitized(server), sanitized(tool))
}

fn install(server: &Server<'_>, config: &mut Config) -> bool {
    let authorization = server.authorization(variable);
    let entry = match server.connection {
        Connection::Direct => json!({
            "type": "remote",
            "url": server.url.as_str(),
            "enabled": true,
            "oauth": false,
            "headers": server.headers(&authorization),
        }),
        Connection::McpRemote => {
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
    config.default("$schema", "https://opencode.ai/config.json");
    restrict(server, config.values_mut());
    for key in ["agent", "mode"] {
        let agents = config.values_mut().get_mut(key);
        let agents = agents.and_then(Value::as_object_mut).into_iter();
        for agent in agents.flat_map(|agents| agents.values_mut()) {
            if let Some(agent) = agent.as_object_mut() {
                restrict(server, agent);
            }
        }
    }
    config.put(SERVERS, server.name, entry)
}

/// Puts our rules behind all others of a configuration or of an agent in it, since the last that fits
/// counts, and those of the older form (`tools`) before them.
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
        // One word stands for every tool.
        Value::String(rule) => drop(permission.insert("*".to_owned(), rule.into())),
        _ => {}
    }
    let denied = (format!("{}*", tool(server.name, "")), "deny");
    let allowed = server
        .tools
        .iter()
        .map(|name| (tool(server.name, name), "allow"));
    for (pattern, rule) in [denied].into_iter().chain(allowed) {
        permission.shift_remove(&pattern);
        permission.insert(pattern, rule.into());
    }
    *rules = permission.into();
}
