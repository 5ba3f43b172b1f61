//! Qwen Code, which descends from Gemini CLI: `mcpServers` of its `settings.json`.
//!
//! `QwenLM/qwen-code-action` takes `mcp_config` as its `settings`. A workspace's file waits for an
//! approval; the user's own, `~/.qwen/settings.json`, does not.
//!
//! Source: `docs/developers/tools/mcp-server.md` of `QwenLM/qwen-code`.

use super::config::{Config, Shape};
use super::format::Format;
use super::{Agent, List, Server, double_underscored, gemini_cli};

const SERVERS: &str = "mcpServers";

pub(super) const AGENT: Agent = Agent {
    name: "qwen-code",
    format: Format::Json,
    shapes: &[(SERVERS, Shape::Map)],
    expands_variables: true,
    runs_here: true,
    sends_headers: true,
    install: |server, config| config.put(SERVERS, server.name, gemini_cli::entry(server)),
    tool: double_underscored,
    line: Config::one_line,
    args,
    list: List::Kept,
    limits: None,
};

fn args(server: &Server<'_>, _config: &Config) -> String {
    let tools: Vec<String> = server
        .tools
        .iter()
        .map(|tool| double_underscored(server.name, tool))
        .collect();
    format!("--allowed-tools {}", tools.join(","))
}
