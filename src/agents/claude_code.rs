//! Claude Code: the `mcpServers` object of `.mcp.json` and `--mcp-config`.
//!
//! * `anthropics/claude-code-action@v1` takes `agent_args` as (part of) its `claude_args`. It
//!   splits them with the npm package `shell-quote`, in which nothing between single quotes has a
//!   meaning. It drops a `--mcp-config` that names a file when it adds servers of its own, so the
//!   configuration stands inline.
//! * `anthropics/claude-code-action@beta` takes `mcp_config` and `allowed_tools` as they are.
//!
//! Sources: [MCP in Claude Code](https://docs.claude.com/en/docs/claude-code/mcp) and
//! `base-action/src/parse-sdk-options.ts` of the action.

use super::config::Config;
use super::format::{Format, Leniency, quoted};
use super::{Agent, List, Server, Servers, braced, double_underscored, sanitized};

pub(super) const AGENT: Agent = Agent {
    name: "claude-code",
    format: Format::Json,
    leniency: Leniency::Strict,
    servers: Servers::map("mcpServers"),
    shapes: &[],
    overrides: &[],
    expands_variables: true,
    runs_here: true,
    sends_headers: true,
    reserved: &[
        "workspace",
        "ide",
        "remote-devices",
        "claude-in-chrome",
        "computer-use",
    ],
    install: |server, config| config.put("mcpServers", server.name, server.entry(braced)),
    tool,
    known_as: tool,
    line: Config::one_line,
    args,
    list: List::Kept,
    limits: Some(
        "Claude Code's list is a permission: what the server offers beside it is hidden by \
         `--disallowedTools`, but a tool that appears there later is not, and runs where a workflow \
         skips permissions.",
    ),
};

/// The function's name, in which other characters than letters, digits, `_` and `-` are underscores
/// (also in a permission, where the name as it is would match nothing).
fn tool(server: &str, tool: &str) -> String {
    double_underscored(&sanitized(server), &sanitized(tool))
}

fn args(server: &Server<'_>, config: &Config) -> String {
    let list = |tools: &[String]| {
        let notation = tools.iter().map(|name| tool(server.name, name));
        notation.collect::<Vec<_>>().join(",")
    };
    let hidden = if server.withheld.is_empty() {
        String::new()
    } else {
        format!(" --disallowedTools \"{}\"", list(server.withheld))
    };
    format!(
        "--mcp-config '{}' --allowedTools \"{}\"{hidden}",
        quoted(&config.one_line()),
        list(server.tools)
    )
}
