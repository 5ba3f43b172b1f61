//! Gemini CLI: `mcpServers` of its `settings.json`.
//!
//! `google-github-actions/run-gemini-cli` takes `mcp_config` as its `settings`, which replace the
//! workspace's `.gemini/settings.json`: hand that file in as `base_config`. Both the action and the
//! program want `GEMINI_CLI_TRUST_WORKSPACE: 'true'` before they read it.
//!
//! A tool runs unasked only where its server is trusted; `includeTools` hides the others, also with
//! `--yolo`.
//!
//! Source: `docs/tools/mcp-server.md` in the package `@google/gemini-cli`.

use serde_json::{Value, json};

use super::config::Config;
use super::findings::{Effect, Override, anything, means_our_tools, names_our_server};
use super::format::{Format, Leniency};
use super::{Agent, Connection, List, Server, Servers, braced, no_args};

const SERVERS: &str = "mcpServers";

pub(super) const AGENT: Agent = Agent {
    name: "gemini-cli",
    format: Format::Json,
    leniency: Leniency::Comments,
    servers: Servers::map(SERVERS),
    shapes: &[],
    overrides: OVERRIDES,
    expands_variables: true,
    runs_here: true,
    sends_headers: true,
    reserved: &[],
    install,
    tool,
    known_as: tool,
    line: Config::one_line,
    args: no_args,
    list: List::Kept,
    limits: None,
};

const OVERRIDES: &[Override] = &[
    Override::new(Effect::Hides, &["mcp", "excluded"], names_our_server),
    Override::new(Effect::Hides, &["tools", "exclude"], means_our_tools),
    Override::new(
        Effect::Hides,
        &["tools", "confirmationRequired"],
        means_our_tools,
    ),
    Override::new(Effect::Hides, &["policyPaths"], anything),
    Override::new(Effect::Hides, &["adminPolicyPaths"], anything),
    // Its action starts it with `--yolo`, and it ends where that is switched off.
    Override::new(Effect::Hides, &["security", "disableYoloMode"], anything),
    Override::new(Effect::Opens, &["mcp", "serverCommand"], anything),
    Override::new(Effect::Opens, &["tools", "discoveryCommand"], anything),
    Override::new(Effect::Opens, &["tools", "callCommand"], anything),
    Override::new(Effect::Opens, &["hooks"], anything),
];

/// The function's name (`generateValidName`): `.` and `:` stay, and a long name loses its middle.
fn tool(server: &str, tool: &str) -> String {
    let is_kept = |c: char| c.is_ascii_alphanumeric() || "_-.:".contains(c);
    let name = format!("mcp_{server}_{tool}");
    let name: String = name
        .chars()
        .map(|c| if is_kept(c) { c } else { '_' })
        .collect();
    if name.len() <= 63 {
        return name;
    }
    format!("{}...{}", &name[..30], &name[name.len() - 30..])
}

fn install(server: &Server<'_>, config: &mut Config) -> bool {
    // Without a name in it, the list allows every server.
    let is_list = config.get("mcp").and_then(|mcp| mcp["allowed"].as_array());
    if is_list.is_some_and(|list| !list.is_empty()) {
        config.add_to_list(&["mcp", "allowed"], &[server.name.to_owned()]);
    }
    let is_list = config
        .get("tools")
        .and_then(|tools| tools["core"].as_array());
    if is_list.is_some() {
        let notation: Vec<String> = server
            .tools
            .iter()
            .map(|name| tool(server.name, name))
            .collect();
        config.add_to_list(&["tools", "core"], &notation);
    }
    config.put(SERVERS, server.name, entry(server))
}

/// The server as Gemini CLI and its descendants read it.
pub(super) fn entry(server: &Server<'_>) -> Value {
    let mut entry = match server.connection {
        Connection::Direct => json!({
            "httpUrl": server.url.as_str(),
            "headers": server.headers(&server.authorization(braced)),
        }),
        Connection::McpRemote => server.entry(braced),
    };
    entry["includeTools"] = json!(server.tools);
    entry["trust"] = true.into();
    entry
}
