//! Gemini CLI: `mcpServers` of its `settings.json`.
//!
//! `google-github-actions/run-gemini-cli` takes `mcp_config` as its `settings`, which replace the
//! workspace's `.gemini/settings.json`: hand that file in as `base_config`. Both the action and the
//! program want `GEMINI_CLI_TRUST_WORKSPACE: 'true'` before they read it.
//!
//! A tool runs unasked only where its server is trusted; `includeTools` hides the others, also with
//! `--yolo`.
//!
//! Source: `docs/tools/mcp-server.md` in the package `@google/gemini-cli`.

use serde_json::{Value, json};

use super::config::{Config, Shape};
use super::format::Format;
use super::{Agent, Connection, List, Server, braced, no_args};

const SERVERS: &str = "mcpServers";

pub(super) const AGENT: Agent = Agent {
    name: "gemini-cli",
    format: Format::Json,
    shapes: &[(SERVERS, Shape::Map)],
    expands_variables: true,
    runs_here: true,
    sends_headers: true,
    install: |server, config| config.put(SERVERS, server.name, entry(server)),
    tool: |server, tool| format!("mcp_{server}_{tool}"),
    line: Config::one_line,
    args: no_args,
    list: List::Kept,
    limits: None,
};

/// The server as Gemini CLI and its descendants read it.
pub(super) fn entry(server: &Server<'_>) -> Value {
    let mut entry = match server.connection {
        Connection::Direct => json!({
            "httpUrl": server.url.as_str(),
            "headers": server.headers(&server.authorization(braced)),
        }),
        Connection::McpRemote => server.entry(braced),
    };
    entry["includeTools"] = json!(server.tools);
    entry["trust"] = true.into();
    entry
}
