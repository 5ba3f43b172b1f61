//! Any other agent: the `mcpServers` object in its most common form.
//!
//! Nothing can be said of what such an agent does with it, so `tools` and `allowed_tools` are plain
//! names.

use super::config::Config;
use super::format::{Format, Leniency};
use super::{Agent, List, Servers, braced, no_args, plain};

/// VS Code has them under a key of its own.
const SERVERS: Servers = Servers {
    or_else: Some("servers"),
    ..Servers::map("mcpServers")
};

pub(super) const AGENT: Agent = Agent {
    name: "generic",
    format: Format::Json,
    leniency: Leniency::Strict,
    servers: SERVERS,
    shapes: &[],
    overrides: &[],
    expands_variables: true,
    runs_here: true,
    sends_headers: true,
    reserved: &[],
    install: |server, config| config.put(SERVERS.key_in(config), server.name, server.entry(braced)),
    tool: plain,
    known_as: |server, tool| format!("{server}/{tool}"),
    line: Config::one_line,
    args: no_args,
    list: List::Ignored,
    limits: Some(
        "The list of tools is only handed on: whether the agent keeps to it is for the agent's own \
         documentation to say.",
    ),
};
