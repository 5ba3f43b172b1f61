//! Amp: `amp.mcpServers` of its `settings.json`.
//!
//! `--mcp-config` accepts only the servers, as a plain map: `agent_args` contains only these.
//! `mcp_config` is for `--settings-file`, which also contains the permissions.
//!
//! Sources: `amp --help` of `@ampcode/cli` 0.0.1790142911 and [the manual](https://ampcode.com/manual).

use serde_json::{Value, json};

use super::config::{Config, Shape};
use super::findings::{Effect, Given, Override, any_value, can_match, matches_our_tools, reads_as};
use super::format::{Leniency, one_line, single_quotable};
use super::{Agent, BASE, Server, Servers, Tested, Transport, braced, double_underscored};

const SERVERS: &str = "amp.mcpServers";
const PERMISSIONS: &str = "amp.permissions";

pub(super) const AGENT: Agent = Agent {
    name: "amp",
    setup: "`config_file` → `AMP_SETTINGS_FILE`",
    tested: Tested::EndToEndWithoutModel,
    leniency: Leniency::CommentsAndCommas,
    servers: Servers::map(SERVERS),
    expected_shapes: &[(PERMISSIONS, Shape::List)],
    overrides: OVERRIDES,
    add_server,
    notation: tool_name,
    function_name: tool_name,
    cli_args,
    limits: Some(
        "Amp enforces the list through `amp.permissions`, which only the settings file contains. No \
         call of a tool was tested, since Amp's model runs only in Amp's own service.",
    ),
    ..BASE
};

const OVERRIDES: &[Override] = &[
    Override::new(Effect::Widens, &["amp.dangerouslyAllowAll"], any_value),
    // Our rules come first and cover all tools of our server, so only rules for programs matter.
    Override::new(Effect::Opens, &[PERMISSIONS, "*"], runs_programs),
    Override::new(Effect::Hides, &["amp.mcpPermissions", "*"], |rule, _| {
        rule.get("action")
            .is_some_and(|action| reads_as(action, &["reject"]))
    }),
    Override::new(Effect::Hides, &["amp.tools.disable"], matches_our_tools),
];

/// Amp's own tool that runs programs has two names.
const SHELLS: &[&str] = &["Bash", "shell_command"];

/// Whether a rule delegates a decision to a program, or allows Amp's own shell. The tool is a glob in any case, with
/// classes and alternatives (tried with `amp permissions test`).
fn runs_programs(rule: &Value, _: &Given<'_>) -> bool {
    let is_action = |action| {
        rule.get("action")
            .is_some_and(|value| reads_as(value, &[action]))
    };
    let tool = rule.get("tool").and_then(Value::as_str);
    let is_shell = tool.is_some_and(|tool| SHELLS.iter().any(|shell| can_match(tool, shell)));
    is_action("delegate") || (is_action("allow") && is_shell)
}

/// The function's name, as `hv` in Amp's own code creates it: all characters except letters,
/// digits, and single underscores become one underscore, and are removed at the ends. If the name
/// has 64 or more characters, the function has the name of the tool only.
fn tool_name(server: &str, tool: &str) -> String {
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

fn add_server(server: &Server<'_>, config: &mut Config) {
    let entry = match server.transport {
        Transport::Http => json!({
            "url": server.url.as_str(),
            "headers": server.headers(&server.authorization(braced)),
        }),
        Transport::McpRemote => server.entry(braced),
    };
    // The first rule that matches applies.
    let rule =
        |name: &str, action: &str| json!({"tool": tool_name(server.name, name), "action": action});
    let mut rules: Vec<Value> = server
        .tools
        .iter()
        .map(|tool| rule(tool.as_str(), "allow"))
        .collect();
    let prefix = tool_name(server.name, "");
    // Names that are too long for the prefix.
    rules.extend(
        server
            .ungranted
            .iter()
            .filter(|tool| !tool_name(server.name, tool).starts_with(&prefix))
            .map(|tool| rule(tool, "reject")),
    );
    rules.push(json!({"tool": format!("{prefix}*"), "action": "reject"}));
    config.prepend(PERMISSIONS, rules);
    config.extend_list(&["amp.tools.enable"], &server.granted(tool_name));
    config.insert(SERVERS, server.name, entry);
}

fn cli_args(_server: &Server<'_>, config: &Config) -> String {
    format!(
        "--mcp-config '{}'",
        single_quotable(&one_line(&config.get(SERVERS)))
    )
}
