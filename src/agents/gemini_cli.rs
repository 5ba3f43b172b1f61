//! Gemini CLI: `mcpServers` of its `settings.json`.
//!
//! `google-github-actions/run-gemini-cli` accepts `mcp_config` as its `settings`, which replace the
//! workspace's `.gemini/settings.json`: pass that file as `base_config`. Both the action and the
//! program read it only with `GEMINI_CLI_TRUST_WORKSPACE: 'true'`.
//!
//! A tool runs without approval only if its server is trusted. `includeTools` hides all other
//! tools, even with `--yolo`.
//!
//! Sources: `docs/tools/mcp-server.md` and `SETTINGS_SCHEMA` in the package `@google/gemini-cli` 0.61.0.

use serde_json::{Value, json};

use super::config::Config;
use super::findings::{
    Effect, Override, any_value, lists_one_of, matches_our_tools, names_our_server,
};
use super::format::Leniency;
use super::{Agent, BASE, Server, Transport, braced, replaced};

const SERVERS: &str = "mcpServers";

pub(super) const AGENT: Agent = Agent {
    name: "gemini-cli",
    setup: "`mcp_config` → `settings`",
    leniency: Leniency::Comments,
    overrides: OVERRIDES,
    add_server,
    notation: tool_name,
    function_name: tool_name,
    ..BASE
};

const OVERRIDES: &[Override] = &[
    Override::new(Effect::Hides, &["mcp", "excluded"], names_our_server),
    Override::new(Effect::Hides, &["tools", "exclude"], matches_our_tools),
    Override::new(
        Effect::Hides,
        &["tools", "confirmationRequired"],
        matches_our_tools,
    ),
    Override::new(Effect::Hides, &["policyPaths"], any_value),
    Override::new(Effect::Hides, &["adminPolicyPaths"], any_value),
    // The action starts Gemini CLI with `--yolo`. Gemini CLI exits if that is disabled.
    Override::new(Effect::Hides, &["security", "disableYoloMode"], any_value),
    Override::new(Effect::Opens, &["mcp", "serverCommand"], any_value),
    Override::new(Effect::Opens, &["tools", "discoveryCommand"], any_value),
    Override::new(Effect::Opens, &["tools", "callCommand"], any_value),
    Override::new(Effect::Opens, &["hooks"], any_value),
    // Without `--yolo`, the shell runs only if this list names it.
    Override::new(Effect::Opens, &["tools", "allowed"], |rules, _| {
        lists_one_of(rules, &["run_shell_command", "ShellTool"])
    }),
    Override::new(
        Effect::Opens,
        &["experimental", "gemmaModelRouter", "binaryPath"],
        any_value,
    ),
];

/// The function's name (`generateValidName`): `.` and `:` are kept, and `...` replaces the middle
/// of a long name.
fn tool_name(server: &str, tool: &str) -> String {
    let is_kept = |c: char| c.is_ascii_alphanumeric() || "_-.:".contains(c);
    let name = replaced(&format!("mcp_{server}_{tool}"), is_kept);
    if name.len() <= 63 {
        return name;
    }
    format!("{}...{}", &name[..30], &name[name.len() - 30..])
}

fn add_server(server: &Server<'_>, config: &mut Config) {
    // An empty list allows every server.
    let servers = config.get("mcp").and_then(|mcp| mcp["allowed"].as_array());
    if servers.is_some_and(|list| !list.is_empty()) {
        config.extend_list(&["mcp", "allowed"], &[server.name.to_owned()]);
    }
    let tools = config
        .get("tools")
        .and_then(|tools| tools["core"].as_array());
    if tools.is_some() {
        config.extend_list(&["tools", "core"], &server.granted(tool_name));
    }
    config.insert(SERVERS, server.name, entry(server));
}

/// The server in the format of Gemini CLI and its forks.
pub(super) fn entry(server: &Server<'_>) -> Value {
    let mut entry = match server.transport {
        Transport::Http => json!({
            "httpUrl": server.url.as_str(),
            "headers": server.headers(&server.authorization(braced)),
        }),
        Transport::McpRemote => server.entry(braced),
    };
    entry["includeTools"] = json!(server.tools);
    entry["trust"] = true.into();
    entry
}
