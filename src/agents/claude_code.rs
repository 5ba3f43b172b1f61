//! Claude Code: the `mcpServers` object of `.mcp.json` and `--mcp-config`.
//!
//! * `anthropics/claude-code-action@v1` accepts `agent_args` as its `claude_args`, or as a part of
//!   them. It splits them with the npm package `shell-quote`, which does not interpret text between
//!   single quotes. When it adds servers of its own, it drops a `--mcp-config` that names a file, so
//!   the configuration is inline.
//! * `anthropics/claude-code-action@beta` accepts `mcp_config` and `allowed_tools` unchanged.
//!
//! Sources: [MCP in Claude Code](https://docs.claude.com/en/docs/claude-code/mcp) and
//! `base-action/src/parse-sdk-options.ts` of the action.

use super::config::Config;
use super::format::single_quotable;
use super::{Agent, BASE, Server, braced, comma_separated, double_underscored, sanitized};

pub(super) const AGENT: Agent = Agent {
    name: "claude-code",
    setup: "`agent_args` → `claude_args`",
    reserved: &[
        "workspace",
        "ide",
        "remote-devices",
        "claude-in-chrome",
        "computer-use",
    ],
    add_server: |server, config| config.insert("mcpServers", server.name, server.entry(braced)),
    notation: tool_name,
    function_name: tool_name,
    cli_args,
    limits: Some(
        "Claude Code treats the list as permissions. `--disallowedTools` hides the other tools that the \
         server offers now, but not a tool that it adds later: that tool runs if the workflow skips \
         permissions.",
    ),
    ..BASE
};

/// The function's name, in which all characters except letters, digits, `_`, and `-` become
/// underscores. Permissions also use this name: the unchanged name would match nothing.
fn tool_name(server: &str, tool: &str) -> String {
    double_underscored(&sanitized(server), &sanitized(tool))
}

fn cli_args(server: &Server<'_>, config: &Config) -> String {
    let hidden = if server.ungranted.is_empty() {
        String::new()
    } else {
        let names: Vec<String> = server
            .ungranted
            .iter()
            .map(|name| tool_name(server.name, name))
            .collect();
        format!(" --disallowedTools \"{}\"", names.join(","))
    };
    format!(
        "--mcp-config '{}' --allowedTools \"{}\"{hidden}",
        single_quotable(&config.one_line()),
        comma_separated(&server.granted(tool_name))
    )
}
