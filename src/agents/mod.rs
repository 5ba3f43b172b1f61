//! How each agent is configured to use an MCP server: one file per agent, each with its [`Agent`].
//!
//! To add an agent, add its file and its line in [`Agent::ALL`]. Tests name what else is required: an
//! end-to-end test, a workflow and a page in `docs/`, and the name in `action.yml`.

mod amp;
mod anthropic_api;
mod claude_code;
mod cline;
mod codex;
pub mod config;
mod r#continue;
mod copilot_cli;
mod cursor;
mod findings;
pub mod format;
mod gemini_cli;
mod generic;
mod goose;
mod masks;
mod openai_responses;
mod opencode;
mod qwen_code;
#[cfg(test)]
mod table;

use std::fmt;

use secrecy::{ExposeSecret as _, SecretString};
use serde_json::{Map, Value, json};
use url::Url;

use crate::Connection;
use crate::text::or_list;
use crate::tool::{FunctionName, Notation, ToolName};
pub use findings::{Effect, Finding};

use config::{Config, Shape};
use findings::Override;
use format::{BaseConfigError, Format, Leniency};

/// The variable that contains the token if the configuration only refers to it.
pub const TOKEN_VARIABLE: &str = "PORT_MCP_TOKEN";

/// The tested version of the bridge for agents that support only stdio servers.
const MCP_REMOTE: &str = "mcp-remote@0.15.1";

/// The variable with the `Authorization` header for `mcp-remote`, which expands it: the token is not on a
/// command line, and no argument contains a space.
const MCP_REMOTE_VARIABLE: &str = "PORT_MCP_AUTHORIZATION";

/// How the agent connects to a URL.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Transport {
    /// With its own HTTP client.
    Http,
    /// With `npx mcp-remote`, which it starts.
    McpRemote,
}

impl From<Connection> for Transport {
    /// How the agent connects to the URL that it gets.
    fn from(connection: Connection) -> Self {
        match connection {
            Connection::Direct | Connection::Gateway => Self::Http,
            Connection::McpRemote => Self::McpRemote,
        }
    }
}

/// Where the token is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TokenPlacement {
    /// In the configuration, which is then a secret.
    Inline,
    /// In the variable [`TOKEN_VARIABLE`] of the agent's step. The configuration only refers to it.
    Env,
}

impl TokenPlacement {
    /// Every placement, in the order of the documentation.
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

/// The MCP server to configure.
#[derive(Debug)]
pub struct Server<'a> {
    /// Its name in the agent's configuration.
    pub name: &'a str,
    /// Its URL.
    pub url: &'a Url,
    /// The headers that limit what it offers, in addition to `Authorization`.
    pub headers: &'a [(&'static str, String)],
    /// The token, without `Bearer`.
    pub token: &'a SecretString,
    /// How the agent connects to it.
    pub transport: Transport,
    /// Where the token is.
    pub token_placement: TokenPlacement,
    /// The granted tools: explicit names, never a pattern.
    pub tools: &'a [ToolName],
    /// The other tools that the server offers, for agents that can hide a tool. Their names can be any text.
    pub ungranted: &'a [String],
}

/// What the agent's own action or command line reads. All of it can contain the token.
#[derive(Debug)]
pub struct AgentOutputs {
    /// The configuration on one line.
    pub mcp_config: SecretString,
    /// The configuration as the content of a file.
    pub config_file_text: SecretString,
    /// The suffix of that file's name, including the dot.
    pub config_file_suffix: &'static str,
    /// The granted tools in the agent's notation.
    pub allowed_tools: String,
    /// The command-line arguments.
    pub agent_args: SecretString,
    /// Parts of the base configuration in the form in which `agent_args` contains them, if the runner
    /// would not mask that form.
    pub masks: Vec<SecretString>,
    /// Whether the base configuration had servers of the same name, which were replaced.
    pub has_replaced: bool,
    /// The limits of the tool enforcement, for the job summary.
    pub limits: Option<&'static str>,
}

/// An agent.
#[derive(Debug)]
pub struct Agent {
    /// Its name in the input `agent`.
    name: &'static str,
    /// Which output goes to which setting of the agent, for the documentation.
    #[cfg_attr(not(test), expect(dead_code, reason = "for the documentation"))]
    setup: &'static str,
    /// How the configuration was tested, for the documentation.
    #[cfg_attr(not(test), expect(dead_code, reason = "for the documentation"))]
    tested: Tested,
    /// The format of its configuration.
    format: Format,
    /// What it accepts beyond strict JSON.
    leniency: Leniency,
    /// Where its configuration lists servers.
    servers: Servers,
    /// The shapes of the other keys that are written.
    expected_shapes: &'static [(&'static str, Shape)],
    /// The settings that could override the grant.
    overrides: &'static [Override],
    /// Whether its configuration can refer to variables.
    pub(crate) expands_variables: bool,
    /// Whether it runs in the job, where it can start a bridge. A model provider's service does not.
    pub(crate) runs_on_runner: bool,
    /// Whether it sends headers other than `Authorization`.
    pub(crate) sends_headers: bool,
    /// The list of the variables that it hides from its shell, to which the token's is added.
    hidden_variables: Option<(&'static str, &'static str)>,
    /// Names of servers that it reserves.
    pub(crate) reserved: &'static [&'static str],
    /// Adds the server to the configuration, which has no other entry with its name except at its key.
    add_server: fn(&Server<'_>, &mut Config),
    /// A tool in the agent's notation ([`Notation`]), given the server and the tool.
    notation: fn(&str, &str) -> String,
    /// The name of a tool's function for the model ([`FunctionName`]), by which the agent distinguishes tools.
    function_name: fn(&str, &str) -> String,
    /// Its configuration on one line.
    one_line: fn(&Config) -> String,
    /// Its command-line arguments.
    cli_args: fn(&Server<'_>, &Config) -> String,
    /// How it enforces the granted tools.
    pub(crate) enforcement: ToolEnforcement,
    /// The limits of the enforcement, for the job summary.
    limits: Option<&'static str>,
}

/// The most common properties of an agent. Each descriptor contains only its differences.
const BASE: Agent = Agent {
    name: "",
    setup: "",
    tested: Tested::EndToEnd,
    format: Format::Json,
    leniency: Leniency::Strict,
    servers: Servers::map("mcpServers"),
    expected_shapes: &[],
    overrides: &[],
    expands_variables: true,
    runs_on_runner: true,
    sends_headers: true,
    hidden_variables: None,
    reserved: &[],
    add_server: |server, config| config.insert("mcpServers", server.name, server.entry(braced)),
    notation: plain,
    function_name: plain,
    one_line: Config::one_line,
    cli_args: |_, _| String::new(),
    enforcement: ToolEnforcement::Allowlist,
    limits: None,
};

/// How the configuration of an agent was tested.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Tested {
    /// With the real program and a scripted model.
    EndToEnd,
    /// With the real program but without a model: the program does not let a test choose one.
    EndToEndWithoutModel,
    /// By comparing the keys with the agent's documentation or source.
    ConfigSchema,
    /// By the types of the provider's own package.
    ApiTypes,
}

/// Where an agent's configuration lists servers.
#[derive(Clone, Copy, Debug)]
struct Servers {
    /// The key.
    key: &'static str,
    /// The shape of its value.
    shape: Shape,
    /// The key in an entry that contains its name. Without it, the key of the entry is its name.
    name: Option<&'static str>,
    /// An alternative key, which is used if the configuration has servers there and not at `key`.
    alternative: Option<&'static str>,
}

impl Servers {
    /// Servers by name.
    const fn map(key: &'static str) -> Self {
        Self {
            key,
            shape: Shape::Map,
            name: None,
            alternative: None,
        }
    }

    /// Servers in a list. Each entry contains its name at the key `name`.
    const fn list(key: &'static str, name: &'static str) -> Self {
        Self {
            key,
            shape: Shape::List,
            name: Some(name),
            alternative: None,
        }
    }

    /// The key of the servers in a configuration.
    fn key_in(&self, config: &Config) -> &'static str {
        self.alternative
            .filter(|other| {
                config.get(self.key).is_none() && config.get(other).is_some_and(config::is_servers)
            })
            .unwrap_or(self.key)
    }

    /// The name of the entry at `key`.
    fn name_of<'a>(&self, key: &'a str, entry: &'a Value) -> Option<&'a str> {
        self.name
            .and_then(|name| entry.get(name)?.as_str())
            .or((self.shape == Shape::Map).then_some(key))
    }
}

/// How an agent enforces the granted tools.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ToolEnforcement {
    /// It runs only the granted tools.
    Allowlist,
    /// It can only exclude tools, so the tools that the server offers must be known.
    Denylist,
    /// As far as known, it runs every tool that the server offers.
    None,
}

impl fmt::Display for Agent {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name)
    }
}

impl Agent {
    /// Every agent, in the order of the documentation. The first is the default.
    pub const ALL: &'static [&'static Self] = &[
        &claude_code::AGENT,
        &codex::AGENT,
        &gemini_cli::AGENT,
        &qwen_code::AGENT,
        &copilot_cli::AGENT,
        &opencode::AGENT,
        &cursor::AGENT,
        &goose::AGENT,
        &amp::AGENT,
        &r#continue::AGENT,
        &cline::AGENT,
        &anthropic_api::AGENT,
        &openai_responses::AGENT,
        &generic::AGENT,
    ];

    /// The format of its configuration.
    #[must_use]
    pub fn format(&self) -> Format {
        self.format
    }

    /// The agents that enforce an allowlist, as a sentence lists them.
    #[must_use]
    pub fn enforcing_allowlist() -> String {
        or_list(&Self::filter(|agent| {
            agent.enforcement == ToolEnforcement::Allowlist
        }))
    }

    /// Its name in the input `agent`.
    #[must_use]
    pub fn name(&self) -> &'static str {
        self.name
    }

    /// The agents for which `is` returns true.
    pub(crate) fn filter(is: impl Fn(&Self) -> bool) -> Vec<&'static Self> {
        Self::ALL
            .iter()
            .copied()
            .filter(|agent| is(agent))
            .collect()
    }

    /// Parses a base configuration.
    ///
    /// # Errors
    /// When it is not in the agent's format, or has a shape that the agent does not read.
    pub fn parse_base_config(&self, text: &str) -> Result<Config, BaseConfigError> {
        let mut config = Config::parse(self.format, self.leniency, text)?;
        let servers = (self.servers.key, self.servers.shape);
        config.check(&[&[servers], self.expected_shapes].concat())?;
        if self.servers.shape == Shape::Map {
            config.wrap_servers(self.servers.key);
        }
        Ok(config)
    }

    /// The name of a tool's function for the model. The agent cannot distinguish two tools with the same
    /// function name.
    #[must_use]
    pub fn function_name(&self, server: &str, tool: &str) -> FunctionName {
        FunctionName((self.function_name)(server, tool))
    }

    /// Renders everything that the agent reads.
    #[must_use]
    pub fn render(&self, server: &Server<'_>, mut config: Config) -> AgentOutputs {
        // Several entries can have the name, and an agent may use any of them. The one at the same key keeps its place.
        let (servers, mut has_replaced) = (self.servers, false);
        config.retain(servers.key_in(&config), |key, entry| {
            let is_same_key = key == server.name;
            let is_replaced = is_same_key || servers.name_of(key, entry) == Some(server.name);
            has_replaced |= is_replaced;
            is_same_key || !is_replaced
        });
        (self.add_server)(server, &mut config);
        let mcp_config = (self.one_line)(&config);
        let agent_args = (self.cli_args)(server, &config);
        AgentOutputs {
            masks: masks::unmasked_forms(&config, &agent_args),
            agent_args: agent_args.into(),
            config_file_text: config.file_text().into(),
            config_file_suffix: self.format.suffix(),
            mcp_config: mcp_config.into(),
            allowed_tools: comma_separated(&server.granted(self.notation)),
            has_replaced,
            limits: self.limits,
        }
    }
}

impl Server<'_> {
    /// The granted tools in an agent's notation.
    fn granted(&self, notation: fn(&str, &str) -> String) -> Vec<Notation> {
        self.tools
            .iter()
            .map(|tool| Notation(notation(self.name, tool.as_str())))
            .collect()
    }

    /// The value of the `Authorization` header; `variable` is the agent's syntax for a variable.
    fn authorization(&self, variable: impl Fn(&str) -> String) -> String {
        match self.token_placement {
            TokenPlacement::Inline => format!("Bearer {}", self.token.expose_secret()),
            TokenPlacement::Env => format!("Bearer {}", variable(TOKEN_VARIABLE)),
        }
    }

    /// The headers that limit what the server offers.
    fn limiting_headers(&self) -> Map<String, Value> {
        self.headers
            .iter()
            .map(|(name, value)| ((*name).to_owned(), value.as_str().into()))
            .collect()
    }

    /// All headers, with this value of `Authorization`.
    fn headers(&self, authorization: &str) -> Map<String, Value> {
        let mut headers = Map::from_iter([("Authorization".to_owned(), authorization.into())]);
        headers.extend(self.limiting_headers());
        headers
    }

    /// The server in the most common form: an HTTP server, or the command of the bridge with the token in
    /// its environment.
    fn entry(&self, variable: impl Fn(&str) -> String) -> Value {
        let authorization = self.authorization(variable);
        match self.transport {
            Transport::Http => json!({
                "type": "http",
                "url": self.url.as_str(),
                "headers": self.headers(&authorization),
            }),
            Transport::McpRemote => json!({
                "command": "npx",
                "args": self.bridge(&braced(MCP_REMOTE_VARIABLE)),
                "env": {MCP_REMOTE_VARIABLE: authorization},
            }),
        }
    }

    /// The arguments of `npx` that start the bridge, which expands `${VARIABLE}` in `authorization`.
    fn bridge(&self, authorization: &str) -> Vec<String> {
        let mut args = vec!["-y".to_owned(), MCP_REMOTE.to_owned(), self.url.to_string()];
        let mut header = |name: &str, value: &str| {
            args.extend(["--header".to_owned(), format!("{name}:{value}")]);
        };
        header("Authorization", authorization);
        for (name, value) in self.headers {
            header(name, value);
        }
        args
    }
}

/// Tools in a list of an agent's command line.
fn comma_separated(tools: &[Notation]) -> String {
    tools
        .iter()
        .map(|Notation(name)| name.as_str())
        .collect::<Vec<_>>()
        .join(",")
}

/// A variable in the syntax of shells and of most agents.
fn braced(variable: &str) -> String {
    format!("${{{variable}}}")
}

/// The notation of agents that use the plain names of tools.
fn plain(_server: &str, tool: &str) -> String {
    tool.to_owned()
}

/// A name as part of a function name, in which most agents replace invalid characters with underscores.
fn sanitized(name: &str) -> String {
    replaced(name, |c| c.is_ascii_alphanumeric() || c == '_' || c == '-')
}

/// `name` with an underscore in place of each UTF-16 code unit of the other characters: what JavaScript's `replace`
/// does.
fn replaced(name: &str, is_kept: impl Fn(char) -> bool) -> String {
    name.chars().fold(String::new(), |mut name, c| {
        if is_kept(c) {
            name.push(c);
        } else {
            name.extend(std::iter::repeat_n('_', c.len_utf16()));
        }
        name
    })
}

/// The notation of Claude Code, which other agents also use.
fn double_underscored(server: &str, tool: &str) -> String {
    format!("mcp__{server}__{tool}")
}
