//! Qwen Code, a fork of Gemini CLI: `mcpServers` of its `settings.json`.
//!
//! `QwenLM/qwen-code-action` accepts `mcp_config` as its `settings`. Servers in the workspace's
//! file require an approval. Servers in the user's file, `~/.qwen/settings.json`, do not.
//!
//! Sources: `docs/developers/tools/mcp-server.md` of `QwenLM/qwen-code`, and `SETTINGS_SCHEMA`,
//! `V1_TO_V2_MIGRATION_MAP`, `parseApprovalModeValue`, and `parseRule` in `@qwen-code/qwen-code` 0.24.4.

use serde_json::Value;

use super::config::Config;
use super::findings::{
    Effect, Given, Override, any_value, lists_one_of, matches_our_tools, names_our_server, reads_as,
};
use super::format::Leniency;
use super::{Agent, BASE, Server, comma_separated, double_underscored, gemini_cli};

const SERVERS: &str = "mcpServers";

pub(super) const AGENT: Agent = Agent {
    name: "qwen-code",
    setup: "`mcp_config` → `~/.qwen/settings.json`, `agent_args`",
    leniency: Leniency::Comments,
    overrides: OVERRIDES,
    add_server,
    notation: double_underscored,
    function_name: double_underscored,
    cli_args,
    ..BASE
};

/// Each setting has a current key and a key of earlier versions, which Qwen Code still reads.
const OVERRIDES: &[Override] = &[
    Override::new(Effect::Hides, &["mcp", "excluded"], names_our_server),
    Override::new(Effect::Hides, &["excludeMCPServers"], names_our_server),
    Override::new(Effect::Hides, &["permissions", "deny"], matches_our_tools),
    Override::new(Effect::Hides, &["permissions", "ask"], matches_our_tools),
    Override::new(Effect::Hides, &["tools", "exclude"], matches_our_tools),
    Override::new(Effect::Hides, &["excludeTools"], matches_our_tools),
    Override::new(Effect::Hides, &["tools", "disabled"], matches_our_tools),
    Override::new(
        Effect::Hides,
        &["security", "folderTrust", "enabled"],
        any_value,
    ),
    Override::new(Effect::Hides, &["folderTrust"], any_value),
    Override::new(Effect::Hides, &["tools", "codeModeOnly"], any_value),
    Override::new(Effect::Hides, &["tools", "executionSandbox"], any_value),
    // Qwen Code trims this value and ignores its case.
    Override::new(Effect::Opens, &["tools", "approvalMode"], is_yolo),
    Override::new(Effect::Opens, &["approvalMode"], is_yolo),
    Override::new(Effect::Opens, &["tools", "allowed"], names_shell),
    Override::new(Effect::Opens, &["allowedTools"], names_shell),
    Override::new(Effect::Opens, &["permissions", "allow"], names_shell),
    Override::new(Effect::Opens, &["mcp", "serverCommand"], any_value),
    Override::new(Effect::Opens, &["mcpServerCommand"], any_value),
    Override::new(Effect::Opens, &["tools", "discoveryCommand"], any_value),
    Override::new(Effect::Opens, &["toolDiscoveryCommand"], any_value),
    Override::new(Effect::Opens, &["tools", "callCommand"], any_value),
    Override::new(Effect::Opens, &["toolCallCommand"], any_value),
    Override::new(Effect::Opens, &["hooks"], any_value),
];

/// The names of tools that run programs (`TOOL_NAME_ALIASES` in Qwen Code).
const SHELLS: &[&str] = &[
    "run_shell_command",
    "Shell",
    "ShellTool",
    "Bash",
    "exec",
    "Exec",
    "ExecTool",
    "monitor",
    "Monitor",
    "MonitorTool",
];

fn is_yolo(mode: &Value, _: &Given<'_>) -> bool {
    reads_as(mode, &["yolo"])
}

/// A list of rules that includes one for a tool that runs programs.
fn names_shell(rules: &Value, _: &Given<'_>) -> bool {
    lists_one_of(rules, SHELLS)
}

fn add_server(server: &Server<'_>, config: &mut Config) {
    // An empty list allows no server.
    let name = [server.name.to_owned()];
    config.extend_list(&["mcp", "allowed"], &name);
    config.extend_list(&["allowMCPServers"], &name);
    config.insert(SERVERS, server.name, gemini_cli::entry(server));
}

fn cli_args(server: &Server<'_>, _config: &Config) -> String {
    format!(
        "--allowed-tools {}",
        comma_separated(&server.granted(double_underscored))
    )
}
