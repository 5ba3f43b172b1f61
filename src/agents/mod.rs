//! Each agent's own way to be told of an MCP server: one file per agent.

pub mod claude_code;

use std::fmt;

use secrecy::{ExposeSecret as _, SecretString};
use serde::Deserialize;
use serde_json::{Map, Value, json};
use url::Url;

/// The variable that holds the token where the configuration only names it.
pub const TOKEN_VARIABLE: &str = "PORT_MCP_TOKEN";

/// The bridge for agents that speak to a server on their standard streams only, at the version that
/// was tried.
const MCP_REMOTE: &str = "mcp-remote@0.15.1";

/// The variable that hands the `Authorization` header to `mcp-remote`, which expands it itself: so
/// the token stands on no command line, and no argument holds a blank.
const MCP_REMOTE_VARIABLE: &str = "PORT_MCP_AUTHORIZATION";

/// How the agent reaches the server.
#[derive(Clone, Copy, Debug, Deserialize, PartialEq, Eq)]
#[serde(rename_all = "kebab-case")]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub enum Connection {
    /// By the agent's own HTTP client.
    Direct,
    /// By `npx mcp-remote`, which the agent starts.
    McpRemote,
}

impl Connection {
    /// Every way, in the order in which they are offered.
    pub const ALL: [Self; 2] = [Self::Direct, Self::McpRemote];
}

impl fmt::Display for Connection {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Direct => "direct",
            Self::McpRemote => "mcp-remote",
        })
    }
}

/// Where the token stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TokenPlacement {
    /// In the configuration, which is then a secret.
    Inline,
    /// In the variable [`TOKEN_VARIABLE`] of the agent's step; the configuration only names it.
    Env,
}

impl TokenPlacement {
    /// Every place, in the order in which they are offered.
    pub const ALL: [Self; 2] = [Self::Inline, Self::Env];
}

impl fmt::Display for TokenPlacement {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Inline => "inline",
            Self::Env => "env",
        })
    }
}

/// The MCP server that the agent is to use.
#[derive(Debug)]
pub struct Server<'a> {
    /// What the agent calls it.
    pub name: &'a str,
    /// Where it is.
    pub url: &'a Url,
    /// The headers that narrow what it offers, beside `Authorization`.
    pub headers: &'a [(&'static str, String)],
    /// The token, without `Bearer`.
    pub token: &'a SecretString,
    /// How the agent reaches it.
    pub connection: Connection,
    /// Where the token stands.
    pub token_placement: TokenPlacement,
    /// What the agent is granted: always explicit names.
    pub tools: &'a [String],
}

/// What an agent's own action or command line reads. All of it may hold the token.
#[derive(Debug)]
pub struct Written {
    /// The configuration, on one line.
    pub mcp_config: SecretString,
    /// The granted tools in the agent's notation.
    pub allowed_tools: String,
    /// The arguments that carry both.
    pub agent_args: SecretString,
    /// Whether a server of the same name in the base configuration had to give way.
    pub replaced: bool,
}

/// A configuration to merge the server into: an agent's JSON, with its servers under one key.
#[derive(Clone, Debug, Default)]
pub struct BaseConfig(Map<String, Value>);

/// Why a base configuration cannot be merged into. Holds none of its text, which may be secret.
#[derive(Debug, thiserror::Error)]
pub enum BaseConfigError {
    /// It is not JSON.
    #[error("no JSON: {} at line {line}, column {column}", kind(*.category))]
    Syntax {
        /// What kind of error.
        category: serde_json::error::Category,
        /// The line, from 1.
        line: usize,
        /// The column, from 1.
        column: usize,
    },
    /// It is JSON of another shape.
    #[error("JSON in which {0} is no object")]
    Shape(&'static str),
}

fn kind(category: serde_json::error::Category) -> &'static str {
    match category {
        serde_json::error::Category::Eof => "it ends too early",
        _ => "a syntax error",
    }
}

impl BaseConfig {
    /// Reads JSON whose servers stand under `key`.
    fn parse(text: &str, key: &'static str) -> Result<Self, BaseConfigError> {
        let value: Value = serde_json::from_str(text).map_err(|error| BaseConfigError::Syntax {
            category: error.classify(),
            line: error.line(),
            column: error.column(),
        })?;
        let Value::Object(config) = value else {
            return Err(BaseConfigError::Shape("the whole"));
        };
        if config.get(key).is_some_and(|servers| !servers.is_object()) {
            return Err(BaseConfigError::Shape(key));
        }
        Ok(Self(config))
    }

    /// The configuration with `server` under `key` and `name`, and whether one was there before.
    fn with_server(mut self, key: &str, name: &str, server: Value) -> (Value, bool) {
        let servers = self
            .0
            .entry(key)
            .or_insert_with(|| Value::Object(Map::new()));
        let previous = servers
            .as_object_mut()
            .and_then(|servers| servers.insert(name.to_owned(), server));
        (Value::Object(self.0), previous.is_some())
    }
}

impl Server<'_> {
    /// The value of the `Authorization` header; `variable` is the agent's syntax for a variable.
    fn authorization(&self, variable: impl Fn(&str) -> String) -> String {
        match self.token_placement {
            TokenPlacement::Inline => format!("Bearer {}", self.token.expose_secret()),
            TokenPlacement::Env => format!("Bearer {}", variable(TOKEN_VARIABLE)),
        }
    }

    /// The server as a command that the agent starts: `npx -y mcp-remote`, with the token in its
    /// environment.
    fn bridge(&self, authorization: &str) -> Value {
        let mut args = vec!["-y".to_owned(), MCP_REMOTE.to_owned(), self.url.to_string()];
        let mut header = |name: &str, value: &str| {
            args.extend(["--header".to_owned(), format!("{name}:{value}")]);
        };
        header("Authorization", &format!("${{{MCP_REMOTE_VARIABLE}}}"));
        for (name, value) in self.headers {
            header(name, value);
        }
        json!({
            "command": "npx",
            "args": args,
            "env": {MCP_REMOTE_VARIABLE: authorization},
        })
    }
}
