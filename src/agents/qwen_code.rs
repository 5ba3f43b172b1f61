//! Qwen Code, which descends from Gemini CLI: `mcpServers` of its `settings.json`.
//!
//! `QwenLM/qwen-code-action` takes `mcp_config` as its `settings`. A workspace's file waits for an
//! approval; the user's own, `~/.qwen/settings.json`, does not.
//!
//! Source: `docs/developers/tools/mcp-server.md` of `QwenLM/qwen-code`.

use super::config::Config;
use super::findings::{
    Effect, Override, anything, is_yolo, means_our_tools, names_a_shell, names_our_server,
};
use super::format::{Format, Leniency};
use super::{Agent, List, Server, Servers, double_underscored, gemini_cli};

const SERVERS: &str = "mcpServers";

pub(super) const AGENT: Agent = Agent {
    name: "qwen-code",
    format: Format::Json,
    leniency: Leniency::Comments,
    servers: Servers::map(SERVERS),
    shapes: &[],
    overrides: OVERRIDES,
    expands_variables: true,
    runs_here: true,
    sends_headers: true,
    reserved: &[],
    install,
    tool: double_underscored,
    known_as: double_underscored,
    line: Config::one_line,
    args,
    list: List::Kept,
    limits: None,
};

/// Each in today's place and in that of earlier versions, which the program still reads.
const OVERRIDES: &[Override] = &[
    Override::new(Effect::Hides, &["mcp", "excluded"], names_our_server),
    Override::new(Effect::Hides, &["excludeMCPServers"], names_our_server),
    Override::new(Effect::Hides, &["permissions", "deny"], means_our_tools),
    Override::new(Effect::Hides, &["permissions", "ask"], means_our_tools),
    Override::new(Effect::Hides, &["tools", "exclude"], means_our_tools),
    Override::new(Effect::Hides, &["excludeTools"], means_our_tools),
    Override::new(Effect::Hides, &["tools", "disabled"], means_our_tools),
    Override::new(
        Effect::Hides,
        &["security", "folderTrust", "enabled"],
        anything,
    ),
    Override::new(Effect::Hides, &["folderTrust"], anything),
    Override::new(Effect::Hides, &["tools", "codeModeOnly"], anything),
    Override::new(Effect::Hides, &["tools", "executionSandbox"], anything),
    Override::new(Effect::Opens, &["tools", "approvalMode"], is_yolo),
    Override::new(Effect::Opens, &["approvalMode"], is_yolo),
    Override::new(Effect::Opens, &["tools", "allowed"], names_a_shell),
    Override::new(Effect::Opens, &["allowedTools"], names_a_shell),
    Override::new(Effect::Opens, &["permissions", "allow"], names_a_shell),
    Override::new(Effect::Opens, &["mcp", "serverCommand"], anything),
    Override::new(Effect::Opens, &["mcpServerCommand"], anything),
    Override::new(Effect::Opens, &["tools", "discoveryCommand"], anything),
    Override::new(Effect::Opens, &["toolDiscoveryCommand"], anything),
    Override::new(Effect::Opens, &["tools", "callCommand"], anything),
    Override::new(Effect::Opens, &["toolCallCommand"], anything),
    Override::new(Effect::Opens, &["hooks"], anything),
];

fn install(server: &Server<'_>, config: &mut Config) -> bool {
    // An empty list allows no server.
    let name = [server.name.to_owned()];
    config.add_to_list(&["mcp", "allowed"], &name);
    config.add_to_list(&["allowMCPServers"], &name);
    config.put(SERVERS, server.name, gemini_cli::entry(server))
}

fn args(server: &Server<'_>, _config: &Config) -> String {
    let tools: Vec<String> = server
        .tools
        .iter()
        .map(|tool| double_underscored(server.name, tool))
        .collect();
    format!("--allowed-tools {}", tools.join(","))
}
