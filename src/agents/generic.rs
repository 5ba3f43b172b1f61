//! Any other agent: the `mcpServers` object in its most common form.
//!
//! The behavior of such an agent is unknown, so `tools` and `allowed_tools` contain plain names.

use super::{Agent, BASE, Servers, ToolEnforcement, braced};

/// VS Code uses the key `servers`.
const SERVERS: Servers = Servers {
    alternative: Some("servers"),
    ..Servers::map("mcpServers")
};

pub(super) const AGENT: Agent = Agent {
    name: "generic",
    setup: "`mcp_config` or `config_file`",
    servers: SERVERS,
    add_server: |server, config| {
        config.insert(SERVERS.key_in(config), server.name, server.entry(braced));
    },
    function_name: |server, tool| format!("{server}/{tool}"),
    enforcement: ToolEnforcement::None,
    limits: Some(
        "The action only returns the list of tools. The agent's documentation says whether the agent \
         enforces it.",
    ),
    ..BASE
};
