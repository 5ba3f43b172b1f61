//! The ways from an agent to Port's MCP server.

use std::fmt;

use serde::Deserialize;

/// How the agent connects to the server.
#[derive(Clone, Copy, Debug, Deserialize, PartialEq, Eq)]
#[serde(rename_all = "kebab-case")]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub enum Connection {
    /// With the agent's own HTTP client.
    Direct,
    /// With `npx mcp-remote`, which the agent starts.
    McpRemote,
    /// With the agent's own HTTP client, to the gateway of this action.
    Gateway,
}

impl Connection {
    /// Every connection, in the order of the documentation.
    pub const ALL: [Self; 3] = [Self::Direct, Self::McpRemote, Self::Gateway];

    /// Its name in the input `connection`.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Direct => "direct",
            Self::McpRemote => "mcp-remote",
            Self::Gateway => "gateway",
        }
    }
}

impl fmt::Display for Connection {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}
