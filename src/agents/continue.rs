//! Continue's `cn`: `mcpServers` of the file that `--config` names.
//!
//! `cn` runs every tool that it sees. `--exclude` hides one, by its plain name.
//!
//! Source: [reference of config.yaml](https://docs.continue.dev/reference).

use serde_json::json;

use super::config::Config;
use super::format::{Format, Leniency};
use super::{Agent, Connection, List, Server, Servers, plain};

const SERVERS: &str = "mcpServers";

pub(super) const AGENT: Agent = Agent {
    name: "continue",
    format: Format::Yaml,
    leniency: Leniency::Strict,
    servers: Servers::list(SERVERS, "name"),
    shapes: &[],
    overrides: &[],
    expands_variables: true,
    runs_here: true,
    sends_headers: true,
    reserved: &[],
    install,
    tool: plain,
    known_as: plain,
    line: Config::one_line,
    args: |server, _| {
        let hidden = server
            .withheld
            .iter()
            .map(|tool| format!("--exclude {tool}"));
        hidden.collect::<Vec<_>>().join(" ")
    },
    list: List::Excluded,
    limits: Some(
        "Continue runs every tool that the server offers but those that `agent_args` excludes, so a \
         tool that appears there later runs too.",
    ),
};

/// `cn` takes its secrets from the environment.
fn variable(name: &str) -> String {
    format!("${{{{ secrets.{name} }}}}")
}

fn install(server: &Server<'_>, config: &mut Config) -> bool {
    let mut entry = match server.connection {
        Connection::Direct => json!({
            "type": "streamable-http",
            "url": server.url.as_str(),
            "requestOptions": {"headers": server.headers(&server.authorization(variable))},
        }),
        Connection::McpRemote => server.entry(variable),
    };
    entry["name"] = server.name.into();
    for (key, value) in [("name", "port"), ("version", "1.0.0"), ("schema", "v1")] {
        config.default(key, value);
    }
    config.put_in_list(SERVERS, &["name"], entry)
}
