//! Each agent's own way to be told of an MCP server: one file per agent, each with its [`Agent`].
//!
//! To add one, write its file and its line in [`Agent::ALL`]. Tests then ask for its proof, its
//! workflow in `docs/agents.md`, and its name in `action.yml`.

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
mod openai_responses;
mod opencode;
mod qwen_code;

use std::fmt;

use secrecy::{ExposeSecret as _, SecretString};
use serde::Deserialize;
use serde_json::{Map, Value, json};
use url::Url;

use crate::text::either;
pub use findings::{Effect, Finding};

use config::{Config, Shape};
use findings::Override;
use format::{BaseConfigError, Format, Leniency};

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
    /// What the agent is granted: always explicit names, never a wildcard.
    pub tools: &'a [String],
    /// What the server offers beside them, for agents that can be told to hide a tool.
    pub withheld: &'a [String],
}

/// What an agent's own action or command line reads. All of it may hold the token.
#[derive(Debug)]
pub struct Written {
    /// The configuration, on one line.
    pub mcp_config: SecretString,
    /// The configuration as a file holds it.
    pub config_file_text: SecretString,
    /// How that file's name ends, dot included.
    pub config_file_suffix: &'static str,
    /// The granted tools in the agent's notation.
    pub allowed_tools: String,
    /// The arguments that carry what the agent takes on its command line.
    pub agent_args: SecretString,
    /// How `agent_args` writes texts of the base configuration in forms that the runner does not mask by
    /// itself.
    pub masks: Vec<SecretString>,
    /// Whether a server of the same name in the base configuration had to give way.
    pub replaced: bool,
    /// What the list of tools cannot do with this agent, for the job summary.
    pub limits: Option<&'static str>,
}

/// What is known of one agent.
#[derive(Debug)]
pub struct Agent {
    /// Its name in the input `agent`.
    name: &'static str,
    /// What its configuration is written in.
    format: Format,
    /// What its program reads beyond strict JSON.
    leniency: Leniency,
    /// Where its servers stand.
    servers: Servers,
    /// What the other keys that we write to have to hold in a base configuration.
    shapes: &'static [(&'static str, Shape)],
    /// The keys of its configuration that could undo the grant.
    overrides: &'static [Override],
    /// Whether its configuration can stand for the value of a variable.
    expands_variables: bool,
    /// Whether it runs in the job, where it can start a bridge; a model provider's service does not.
    runs_here: bool,
    /// Whether it sends the headers that it is given beside `Authorization`.
    sends_headers: bool,
    /// Names of servers that its program keeps for itself.
    reserved: &'static [&'static str],
    /// Puts the server into the configuration. Says whether it took another's place.
    install: fn(&Server<'_>, &mut Config) -> bool,
    /// A tool in its notation.
    tool: fn(&str, &str) -> String,
    /// A tool as its program tells it from all others.
    known_as: fn(&str, &str) -> String,
    /// Its configuration on one line.
    line: fn(&Config) -> String,
    /// Its arguments.
    args: fn(&Server<'_>, &Config) -> String,
    /// What it does with the list of tools.
    list: List,
    /// What the list cannot do with it, for people.
    limits: Option<&'static str>,
}

/// Where an agent's configuration has its servers.
#[derive(Clone, Copy, Debug)]
struct Servers {
    /// The key.
    key: &'static str,
    /// What it holds.
    shape: Shape,
    /// The key of an entry that names it; where an entry has none, it is named by its own key.
    name: Option<&'static str>,
    /// The key that takes the place of the first where servers stand there and not under that.
    or_else: Option<&'static str>,
}

impl Servers {
    /// Servers by name.
    const fn map(key: &'static str) -> Self {
        Self {
            key,
            shape: Shape::Map,
            name: None,
            or_else: None,
        }
    }

    /// Servers in a list, each with its name under a key.
    const fn list(key: &'static str, name: &'static str) -> Self {
        Self {
            key,
            shape: Shape::List,
            name: Some(name),
            or_else: None,
        }
    }

    /// The key under which they stand in a configuration.
    fn key_in(&self, config: &Config) -> &'static str {
        let other = self.or_else.filter(|other| {
            config.get(self.key).is_none() && config.get(other).is_some_and(findings::is_servers)
        });
        other.unwrap_or(self.key)
    }

    /// The name of an entry that stands under `key`.
    fn name_of<'a>(&self, key: &'a str, entry: &'a Value) -> Option<&'a str> {
        let inner = self.name.and_then(|name| entry.get(name)?.as_str());
        inner.or((self.shape == Shape::Map).then_some(key))
    }
}

/// What an agent does with the list of granted tools.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum List {
    /// It keeps to the list.
    Kept,
    /// It runs everything but what it is told to leave out, so it has to be known what is offered.
    Excluded,
    /// It runs whatever the server offers, as far as we know.
    Ignored,
}

impl fmt::Display for Agent {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name)
    }
}

/// A combination of inputs that an agent cannot honor.
#[derive(Debug)]
pub struct Unsupported {
    /// The input that cannot be honored.
    pub input: &'static str,
    /// What was found.
    pub found: String,
    /// What is accepted.
    pub accepted: String,
}

impl Agent {
    /// Every agent, in the order in which they are offered; the first is the default.
    pub const ALL: [&'static Self; 14] = [
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

    /// What its configuration is written in.
    #[must_use]
    pub fn format(&self) -> Format {
        self.format
    }

    /// What it does with the list of tools.
    #[must_use]
    pub fn list(&self) -> List {
        self.list
    }

    /// Those that keep to the list of tools, as a sentence names them.
    #[must_use]
    pub fn that_keep_the_list() -> String {
        either(&Self::all_that(|agent| agent.list == List::Kept))
    }

    /// Whether it sends the headers that narrow what the server offers and runs.
    #[must_use]
    pub fn sends_headers(&self) -> bool {
        self.sends_headers
    }

    /// Reads a configuration to merge into.
    ///
    /// # Errors
    /// When it is not in the agent's format, or of a shape that the agent does not read.
    pub fn base_config(&self, text: &str) -> Result<Config, BaseConfigError> {
        let mut config = Config::parse(self.format, self.leniency, text)?;
        let servers = (self.servers.key, self.servers.shape);
        config.check(&[&[servers], self.shapes].concat())?;
        if self.servers.shape == Shape::Map {
            config.wrap_servers(self.servers.key);
        }
        Ok(config)
    }

    /// How the agent's program names a tool of the server: two that get one name are one to it.
    #[must_use]
    pub fn known_as(&self, server: &str, tool: &str) -> String {
        (self.known_as)(server, tool)
    }

    /// What this agent cannot honor of these inputs. `narrowing` names the inputs that only a header
    /// can carry to the server; `verify` says whether it will be known what the server offers.
    #[must_use]
    pub fn unsupported(
        &self,
        server_name: &str,
        connection: Connection,
        token_placement: TokenPlacement,
        verify: bool,
        narrowing: &[&'static str],
    ) -> Vec<Unsupported> {
        let mut found = Vec::new();
        if self.reserved.contains(&server_name) {
            found.push(Unsupported {
                input: "server_name",
                found: format!("is `{server_name}`, a name that `{self}` keeps for itself"),
                accepted: "accepted: another name, such as `port`".to_owned(),
            });
        }
        if connection == Connection::McpRemote && !self.runs_here {
            found.push(Unsupported {
                input: "connection",
                found: format!(
                    "is `{connection}`, a program that `{self}` cannot start: it reaches the \
                     server from outside the job"
                ),
                accepted: format!(
                    "accepted: `direct`, or an agent that can: {}",
                    either(&Self::all_that(|agent| agent.runs_here))
                ),
            });
        }
        if token_placement == TokenPlacement::Env && !self.expands_variables {
            found.push(Unsupported {
                input: "token_placement",
                found: format!(
                    "is `{token_placement}`, but `{self}` does not expand variables in its \
                     configuration"
                ),
                accepted: format!(
                    "accepted: `inline`, or an agent that does: {}",
                    either(&Self::all_that(|agent| agent.expands_variables))
                ),
            });
        }
        if self.list == List::Excluded && !verify {
            found.push(Unsupported {
                input: "verify",
                found: format!(
                    "is `false`, but `{self}` runs every tool that it is not told to leave out, so \
                     the server has to be asked what it offers"
                ),
                accepted: format!(
                    "accepted: `true`, or an agent that keeps to a list: {}",
                    Self::that_keep_the_list()
                ),
            });
        }
        if !self.sends_headers {
            found.extend(narrowing.iter().map(|input| Unsupported {
                input,
                found: format!(
                    "cannot be honored: `{self}` sends the server no header that would carry it"
                ),
                accepted: format!(
                    "accepted: `read_only: false` with `allowed_actions: '*'`, where \
                     `allowed_tools` is then all that narrows the grant; or an agent that sends \
                     headers: {}",
                    either(&Self::all_that(|agent| agent.sends_headers))
                ),
            }));
        }
        found
    }

    fn all_that(is: impl Fn(&Self) -> bool) -> Vec<&'static Self> {
        Self::ALL.into_iter().filter(|agent| is(agent)).collect()
    }

    /// Writes what the agent reads.
    #[must_use]
    pub fn write(&self, server: &Server<'_>, mut config: Config) -> Written {
        let replaced = (self.install)(server, &mut config);
        let mcp_config = (self.line)(&config);
        let notation = |tools: &[String]| {
            let notation = tools.iter().map(|tool| (self.tool)(server.name, tool));
            notation.collect::<Vec<_>>().join(",")
        };
        let agent_args = (self.args)(server, &config);
        Written {
            masks: format::unmasked_forms(&config, &agent_args),
            agent_args: agent_args.into(),
            config_file_text: config.file_text().into(),
            config_file_suffix: self.format.suffix(),
            mcp_config: mcp_config.into(),
            allowed_tools: notation(server.tools),
            replaced,
            limits: self.limits,
        }
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

    /// The headers that narrow what the server offers.
    fn narrowing(&self) -> Map<String, Value> {
        let headers = self.headers.iter();
        headers
            .map(|(name, value)| ((*name).to_owned(), value.as_str().into()))
            .collect()
    }

    /// Every header, with this value of `Authorization`.
    fn headers(&self, authorization: &str) -> Map<String, Value> {
        let mut headers = Map::from_iter([("Authorization".to_owned(), authorization.into())]);
        headers.extend(self.narrowing());
        headers
    }

    /// The server in the form that most agents share: an HTTP server, or the bridge as a command with
    /// the token in its environment.
    fn entry(&self, variable: impl Fn(&str) -> String) -> Value {
        let authorization = self.authorization(variable);
        match self.connection {
            Connection::Direct => json!({
                "type": "http",
                "url": self.url.as_str(),
                "headers": self.headers(&authorization),
            }),
            Connection::McpRemote => json!({
                "command": "npx",
                "args": self.bridge(&braced(MCP_REMOTE_VARIABLE)),
                "env": {MCP_REMOTE_VARIABLE: authorization},
            }),
        }
    }

    /// What `npx` is given to start the bridge, which expands `${VARIABLE}` in `authorization`.
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

/// A variable as shells, and most agents, write it.
fn braced(variable: &str) -> String {
    format!("${{{variable}}}")
}

/// The notation of agents that list the plain names of a server's tools.
fn plain(_server: &str, tool: &str) -> String {
    tool.to_owned()
}

/// A name as most programs write it in a function's name: what no function may have in its name
/// becomes an underscore.
fn sanitized(name: &str) -> String {
    let is_kept = |c: char| c.is_ascii_alphanumeric() || c == '_' || c == '-';
    name.chars()
        .map(|c| if is_kept(c) { c } else { '_' })
        .collect()
}

/// The notation that Claude Code began.
fn double_underscored(server: &str, tool: &str) -> String {
    format!("mcp__{server}__{tool}")
}

/// The arguments of agents that take none from us.
fn no_args(_server: &Server<'_>, _config: &Config) -> String {
    String::new()
}
