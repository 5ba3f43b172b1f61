//! Claude Code: the `mcpServers` object of `.mcp.json` and `--mcp-config`.
//!
//! * `anthropics/claude-code-action@v1` takes `agent_args` as (part of) its `claude_args`. It
//!   splits them with the npm package `shell-quote`, in which nothing between single quotes has a
//!   meaning. It drops a `--mcp-config` that names a file when it adds servers of its own, so the
//!   configuration stands inline.
//! * `anthropics/claude-code-action@beta` takes `mcp_config` and `allowed_tools` as they are.
//!
//! Sources: [MCP in Claude Code](https://docs.claude.com/en/docs/claude-code/mcp) and
//! `base-action/src/parse-sdk-options.ts` of the action.

use serde_json::{Map, Value, json};

use super::{BaseConfig, BaseConfigError, Connection, Server, Written};

/// The key under which the servers stand.
const SERVERS: &str = "mcpServers";

/// Reads a configuration to merge into.
///
/// # Errors
/// When it is not a JSON object whose `mcpServers`, if there, is an object.
pub fn base_config(text: &str) -> Result<BaseConfig, BaseConfigError> {
    BaseConfig::parse(text, SERVERS)
}

/// Writes what Claude Code reads.
#[must_use]
pub fn write(server: &Server<'_>, base: BaseConfig) -> Written {
    let authorization = server.authorization(|variable| format!("${{{variable}}}"));
    let entry = match server.connection {
        Connection::Direct => {
            let mut headers = Map::from_iter([("Authorization".to_owned(), authorization.into())]);
            for (name, value) in server.headers {
                headers.insert((*name).to_owned(), value.as_str().into());
            }
            json!({"type": "http", "url": server.url.as_str(), "headers": headers})
        }
        Connection::McpRemote => server.bridge(&authorization),
    };
    let (config, replaced) = base.with_server(SERVERS, server.name, entry);
    let mcp_config = one_line(&config);
    let allowed_tools = allowed_tools(server.name, server.tools);
    let agent_args = format!("--mcp-config '{mcp_config}' --allowedTools \"{allowed_tools}\"");
    Written {
        agent_args: agent_args.into(),
        mcp_config: mcp_config.into(),
        allowed_tools,
        replaced,
    }
}

/// JSON on one line without a single quote in it, so that it may stand between two: `'` can only
/// appear inside a JSON string, where `\u0027` means the same.
fn one_line(config: &Value) -> String {
    config.to_string().replace('\'', "\\u0027")
}

/// `mcp__<server>__<tool>` each.
fn allowed_tools(server: &str, tools: &[String]) -> String {
    let names = tools.iter().map(|name| format!("mcp__{server}__{name}"));
    names.collect::<Vec<_>>().join(",")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::agents::TokenPlacement;
    use proptest::prelude::*;
    use secrecy::ExposeSecret as _;

    fn written(base: &str) -> Written {
        let server = Server {
            name: "port",
            url: &"https://mcp.port.io/v1".parse().unwrap(),
            headers: &[("x-read-only-mode", "1".to_owned())],
            token: &"t0ken".into(),
            connection: Connection::Direct,
            token_placement: TokenPlacement::Inline,
            tools: &["list_blueprints".to_owned()],
        };
        write(&server, base_config(base).unwrap())
    }

    /// What `shell-quote` gives for single-quoted text: everything up to the next single quote.
    fn single_quoted(args: &str) -> &str {
        args.split('\'').nth(1).unwrap()
    }

    proptest! {
        #[test]
        fn the_arguments_hold_the_configuration_whatever_the_base(name in ".{1,20}", value in ".{0,60}") {
            let base = json!({SERVERS: {(name.clone()): {"command": value}}, "other": [value]});
            let written = written(&base.to_string());
            let args = written.agent_args.expose_secret();
            prop_assert_eq!(args.matches('\'').count(), 2);
            prop_assert!(!args.contains('\n'));
            let config: Value = serde_json::from_str(single_quoted(args)).unwrap();
            let direct: Value = serde_json::from_str(written.mcp_config.expose_secret()).unwrap();
            prop_assert_eq!(&config, &direct);
            prop_assert_eq!(&config["other"], &base["other"]);
            if name != "port" {
                prop_assert_eq!(&config[SERVERS][&name], &base[SERVERS][&name]);
            }
            prop_assert_eq!(&config[SERVERS]["port"]["type"], "http");
        }
    }
}
