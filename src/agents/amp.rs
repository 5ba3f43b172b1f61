//! Amp: `amp.mcpServers` of its `settings.json`.
//!
//! `--mcp-config` takes the servers alone, as a bare map: that is `agent_args`. The whole of
//! `mcp_config` is for `--settings-file`, which carries the permissions too.
//!
//! Source: `amp --help` and [the manual](https://ampcode.com/manual).

use serde_json::{Value, json};
use wildmatch::WildMatch;

use super::config::{Config, Shape};
use super::findings::{Effect, Given, Override, anything, means_our_tools};
use super::format::{Format, Leniency, one_line, quoted};
use super::{Agent, Connection, List, Server, Servers, braced, double_underscored};

const SERVERS: &str = "amp.mcpServers";
const PERMISSIONS: &str = "amp.permissions";

pub(super) const AGENT: Agent = Agent {
    name: "amp",
    format: Format::Json,
    leniency: Leniency::CommentsAndCommas,
    servers: Servers::map(SERVERS),
    shapes: &[(PERMISSIONS, Shape::List)],
    overrides: OVERRIDES,
    expands_variables: true,
    runs_here: true,
    sends_headers: true,
    reserved: &[],
    install,
    tool,
    known_as: tool,
    line: Config::one_line,
    args,
    list: List::Kept,
    limits: Some(
        "Amp enforces the list through `amp.permissions`, which only `--settings-file` carries; it \
         has not been seen at work, since Amp runs with its own service alone.",
    ),
};

const OVERRIDES: &[Override] = &[
    Override::new(Effect::Widens, &["amp.dangerouslyAllowAll"], anything),
    // Ours stand before them and say all there is to say of our server.
    Override::new(Effect::Opens, &[PERMISSIONS, "*"], runs_programs),
    Override::new(Effect::Hides, &["amp.mcpPermissions", "*"], |rule, _| {
        rule.get("action").and_then(Value::as_str) == Some("reject")
    }),
    Override::new(Effect::Hides, &["amp.tools.disable"], means_our_tools),
];

/// Whether a rule hands a decision to a program, or lets Amp's own shell run.
fn runs_programs(rule: &Value, _: &Given<'_>) -> bool {
    let text = |key: &str| rule.get(key).and_then(Value::as_str).unwrap_or_default();
    let is_shell = ["Bash", "shell_command"]
        .iter()
        .any(|shell| WildMatch::new_case_insensitive(text("tool")).matches(shell));
    text("action") == "delegate" || (text("action") == "allow" && is_shell)
}

/// The function's name in `hv` of Amp's own code: other characters than letters, digits and single
/// underscores become one underscore, or go at the ends. From 64 characters on it is the tool's alone.
fn tool(server: &str, tool: &str) -> String {
    let name = double_underscored(&plain_name(server), &plain_name(tool));
    if name.len() < 64 {
        name
    } else {
        plain_name(tool).chars().take(64).collect()
    }
}

fn plain_name(name: &str) -> String {
    let mut plain = String::new();
    for c in name.chars() {
        let c = if c.is_ascii_alphanumeric() { c } else { '_' };
        if c != '_' || !(plain.is_empty() || plain.ends_with('_')) {
            plain.push(c);
        }
    }
    plain.truncate(plain.trim_end_matches('_').len());
    plain
}

fn install(server: &Server<'_>, config: &mut Config) -> bool {
    let entry = match server.connection {
        Connection::Direct => json!({
            "url": server.url.as_str(),
            "headers": server.headers(&server.authorization(braced)),
        }),
        Connection::McpRemote => server.entry(braced),
    };
    // Of the rules that fit, the first counts.
    let rule =
        |name: &str, action: &str| json!({"tool": tool(server.name, name), "action": action});
    let mut rules: Vec<Value> = server
        .tools
        .iter()
        .map(|tool| rule(tool, "allow"))
        .collect();
    let every = format!("{}*", tool(server.name, ""));
    rules.push(json!({"tool": every, "action": "reject"}));
    config.put_first(PERMISSIONS, rules);
    let notation: Vec<String> = server
        .tools
        .iter()
        .map(|name| tool(server.name, name))
        .collect();
    config.add_to_list(&["amp.tools.enable"], &notation);
    config.put(SERVERS, server.name, entry)
}

fn args(_server: &Server<'_>, config: &Config) -> String {
    format!("--mcp-config '{}'", quoted(&one_line(&config.get(SERVERS))))
}
