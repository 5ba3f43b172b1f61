//! Continue's `cn`: `mcpServers` of the file that `--config` names.
//!
//! `cn` runs every tool that it sees. `--exclude` hides one tool, by its plain name.
//!
//! Source: [reference of config.yaml](https://docs.continue.dev/reference).

use serde_json::json;

use super::config::Config;
use super::format::Format;
use super::{Agent, BASE, Server, Servers, ToolEnforcement, Transport};

const SERVERS: &str = "mcpServers";

pub(super) const AGENT: Agent = Agent {
    name: "continue",
    setup: "`config_file` → `--config`, `agent_args`",
    format: Format::Yaml,
    servers: Servers::list(SERVERS, "name"),
    add_server,
    cli_args: |server, _| {
        let hidden = server
            .ungranted
            .iter()
            .map(|tool| format!("--exclude {tool}"));
        hidden.collect::<Vec<_>>().join(" ")
    },
    enforcement: ToolEnforcement::Denylist,
    limits: Some(
        "Continue runs every tool that the server offers, except those that `agent_args` excludes. A \
         tool that the server adds later also runs.",
    ),
    ..BASE
};

/// A variable in the syntax of `cn`, which reads its secrets from the environment.
fn variable(name: &str) -> String {
    format!("${{{{ secrets.{name} }}}}")
}

fn add_server(server: &Server<'_>, config: &mut Config) {
    let mut entry = match server.transport {
        Transport::Http => json!({
            "type": "streamable-http",
            "url": server.url.as_str(),
            "requestOptions": {"headers": server.headers(&server.authorization(variable))},
        }),
        Transport::McpRemote => server.entry(variable),
    };
    entry["name"] = server.name.into();
    for (key, value) in [("name", "port"), ("version", "1.0.0"), ("schema", "v1")] {
        config.set_default(key, value);
    }
    config.prepend(SERVERS, vec![entry]);
}
