//! Any other agent: the `mcpServers` object in its most common form.
//!
//! Nothing can be said of what such an agent does with it, so `tools` and `allowed_tools` are plain
//! names.

use super::config::{Config, Shape};
use super::format::Format;
use super::{Agent, List, braced, no_args, plain};

pub(super) const AGENT: Agent = Agent {
    name: "generic",
    format: Format::Json,
    shapes: &[("mcpServers", Shape::Map)],
    expands_variables: true,
    runs_here: true,
    sends_headers: true,
    install: |server, config| config.put("mcpServers", server.name, server.entry(braced)),
    tool: plain,
    line: Config::one_line,
    args: no_args,
    list: List::Ignored,
    limits: Some(
        "The list of tools is only handed on: whether the agent keeps to it is for the agent's own \
         documentation to say.",
    ),
};
