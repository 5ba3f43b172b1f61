//! Every setting that could override the grant is found at every place where an agent's program reads it, in every
//! spelling that the program accepts, and so is every spelling of the server's address.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use port_mcp_action::agents::{Agent, Effect, Finding};
use port_mcp_action::port::is_same_server;
use port_mcp_action::tool::ToolName;
use proptest::prelude::*;
use serde_json::{Map, Value, json};
use url::Url;

fn agent(name: &str) -> &'static Agent {
    let mut agents = Agent::ALL.iter();
    agents.find(|agent| agent.to_string() == name).unwrap()
}

fn findings(name: &str, base: &Value, ours: &Url) -> Vec<Finding> {
    let agent = agent(name);
    let text = match name {
        "codex" => toml::to_string(base).unwrap(),
        _ => base.to_string(),
    };
    let config = agent.parse_base_config(&text).unwrap();
    let tools = [ToolName::new("list_blueprints").unwrap()];
    agent.findings("port", &tools, &config, &|url| is_same_server(url, ours))
}

/// How a program reads a value.
#[derive(Clone, Copy, Debug)]
enum Reads {
    /// A word, in any case and with whitespace around it.
    Word(&'static str),
    /// A list of names, with whitespace around them and arguments in parentheses.
    Names(&'static [&'static str]),
    /// Anything that is not empty or false.
    Anything,
    /// Anything except `false`.
    Switch,
    /// The name of a package or an address of its code.
    Code,
}

use Reads::{Anything, Code, Names, Switch, Word};

const QWEN_SHELLS: Reads = Names(&[
    "run_shell_command",
    "Shell",
    "ShellTool",
    "Bash",
    "exec",
    "Exec",
    "monitor",
]);

/// The places in the schema or the source of each program. `*` is any key.
const PLACES: &[(&str, &str, Reads)] = &[
    ("codex", "sandbox_mode", Word("danger-full-access")),
    (
        "codex",
        "profiles/*/sandbox_mode",
        Word("danger-full-access"),
    ),
    ("codex", "projects/*/trust_level", Word("trusted")),
    ("codex", "agents/*/config_file", Anything),
    ("codex", "model_providers/*/auth/command", Anything),
    ("codex", "experimental_thread_config_endpoint", Anything),
    ("codex", "sandbox_workspace_write", Anything),
    ("codex", "default_permissions", Anything),
    ("codex", "permissions", Anything),
    ("codex", "notify", Anything),
    ("codex", "hooks", Anything),
    ("codex", "plugins", Anything),
    ("codex", "marketplaces", Anything),
    (
        "gemini-cli",
        "tools/allowed",
        Names(&["run_shell_command", "ShellTool"]),
    ),
    ("gemini-cli", "tools/discoveryCommand", Anything),
    ("gemini-cli", "tools/callCommand", Anything),
    ("gemini-cli", "mcp/serverCommand", Anything),
    ("gemini-cli", "hooks", Anything),
    (
        "gemini-cli",
        "experimental/gemmaModelRouter/binaryPath",
        Anything,
    ),
    ("qwen-code", "tools/approvalMode", Word("yolo")),
    ("qwen-code", "approvalMode", Word("yolo")),
    ("qwen-code", "tools/allowed", QWEN_SHELLS),
    ("qwen-code", "allowedTools", QWEN_SHELLS),
    ("qwen-code", "permissions/allow", QWEN_SHELLS),
    ("qwen-code", "tools/discoveryCommand", Anything),
    ("qwen-code", "toolDiscoveryCommand", Anything),
    ("qwen-code", "tools/callCommand", Anything),
    ("qwen-code", "toolCallCommand", Anything),
    ("qwen-code", "mcp/serverCommand", Anything),
    ("qwen-code", "mcpServerCommand", Anything),
    ("qwen-code", "hooks", Anything),
    ("opencode", "plugin", Anything),
    ("opencode", "plugins", Anything),
    ("opencode", "experimental/hook", Anything),
    ("opencode", "formatter", Switch),
    ("opencode", "lsp", Switch),
    ("opencode", "provider/*/npm", Code),
    ("opencode", "provider/*/models/*/provider/npm", Code),
    ("amp", "amp.dangerouslyAllowAll", Anything),
    ("goose", "GOOSE_PROVIDER", Word("claude-code")),
    ("goose", "GOOSE_PLANNER_PROVIDER", Word("gemini-cli")),
    ("goose", "GOOSE_LEAD_PROVIDER", Word("cursor-agent")),
    ("goose", "GOOSE_LEAD_PROVIDER", Word("amp-acp")),
    ("goose", "CLAUDE_CODE_COMMAND", Anything),
    ("goose", "CODEX_COMMAND", Anything),
    ("goose", "CURSOR_AGENT_COMMAND", Anything),
    ("goose", "GEMINI_CLI_COMMAND", Anything),
];

/// Whitespace that JavaScript trims.
fn whitespace() -> impl Strategy<Value = String> {
    "[ \t\n\u{a0}\u{2003}\u{feff}]{0,2}"
}

/// A word in any case, with whitespace around it.
fn in_any_case(word: &'static str) -> impl Strategy<Value = Value> {
    let cases = prop::collection::vec(any::<bool>(), word.len());
    (whitespace(), cases, whitespace()).prop_map(move |(before, cases, after)| {
        let letters = word.chars().zip(cases);
        let letters =
            letters.map(|(c, is_upper)| if is_upper { c.to_ascii_uppercase() } else { c });
        format!("{before}{}{after}", letters.collect::<String>()).into()
    })
}

/// Values that a program reads alike.
fn values(reads: Reads) -> BoxedStrategy<Value> {
    match reads {
        Word(word) => prop_oneof![in_any_case(word), Just(json!("${MODE:-x}"))].boxed(),
        Names(names) => {
            let arguments = prop::sample::select(vec!["", "()", "(git)", " (git *)"]);
            let name = (
                whitespace(),
                prop::sample::select(names),
                whitespace(),
                arguments,
            );
            let name = name.prop_map(|(before, name, after, arguments)| {
                format!("{before}{name}{after}{arguments}")
            });
            name.prop_map(|name| json!(["read_file", name])).boxed()
        }
        Anything => prop_oneof![
            "[a-z/.]{1,9}".prop_map(Value::from),
            Just(json!(true)),
            Just(json!("false")),
            Just(json!(["x"])),
            Just(json!({"x": {"y": "z"}})),
        ]
        .boxed(),
        Switch => prop_oneof![
            Just(json!(true)),
            Just(json!({})),
            Just(json!({"prettier": {"disabled": true}})),
            Just(json!({"x": {"command": ["x"], "extensions": [".x"]}})),
        ]
        .boxed(),
        Code => prop::sample::select(vec![
            "file:///x.mjs",
            "file:/x.mjs",
            "FILE:///x.mjs",
            "./x.mjs",
            "/x",
            "x",
            "@x/y@1",
            "github:x/y",
            "x/y",
            "https://x.example/x.tgz",
            "git+ssh://x/y.git",
            "npm:x@1",
            "@ai-sdk/openai@file:/x",
            "@AI-SDK/openai",
        ])
        .prop_map(Value::from)
        .boxed(),
    }
}

/// A configuration with a value at a place, and the place as messages show it.
fn at_place(path: &str, keys: &[String], value: Value) -> (Value, String) {
    let mut keys = keys.iter();
    let path: Vec<String> = path
        .split('/')
        .map(|key| {
            if key == "*" {
                keys.next().unwrap().clone()
            } else {
                key.to_owned()
            }
        })
        .collect();
    let nested = |inner, key: &String| Value::Object(Map::from_iter([(key.clone(), inner)]));
    let config = path.iter().rev().fold(value, nested);
    (config, format!("`{}`", path.join(".")))
}

fn places() -> impl Strategy<Value = (&'static str, &'static str, Value)> {
    prop::sample::select(PLACES).prop_flat_map(|(agent, path, reads)| {
        values(reads).prop_map(move |value| (agent, path, value))
    })
}

/// The address of a server in a notation that `Url` and the programs accept.
fn notations(address: Ipv4Addr) -> Vec<String> {
    let [a, b, c, d] = address.octets();
    let number = u32::from(address);
    let mapped = address.to_ipv6_mapped();
    let [.., high, low] = mapped.segments();
    vec![
        address.to_string(),
        format!("{address}."),
        number.to_string(),
        format!("{number:#x}"),
        format!("{number:#X}"),
        format!("0{number:o}"),
        format!("{a}.{}", number & 0x00ff_ffff),
        format!("{a}.{b}.{}", number & 0xffff),
        format!("{a:#x}.0{b:o}.{c}.{d:#x}"),
        address.to_string().replace('.', "%2E"),
        format!("[{mapped}]"),
        format!("[::FFFF:{high:x}:{low:x}]"),
        format!("[0:0:0:0:0:ffff:{high:04x}:{low:04x}]"),
    ]
}

const LOOPBACK: [&str; 16] = [
    "localhost",
    "LocalHost",
    "localhost.",
    "x.localhost",
    "localhost.localdomain",
    "ip6-localhost",
    "127.1",
    "127.255.255.254",
    "0.0.0.0",
    "0",
    "0x0",
    "[::]",
    "[::1]",
    "[0:0::1]",
    "[::ffff:0.0.0.0]",
    "[::ffff:7f00:2]",
];

/// A URL with this host, in the spellings of people and of clients.
fn spellings(host: &str, port: u16) -> Vec<String> {
    vec![
        format!("http://{host}:{port}/v1"),
        format!("HTTP://user:x@{host}:{port}?x=y"),
        format!("http:\\\\{host}:0{port}/v1"),
        format!("{host}:{port}/v1"),
        format!("npx mcp-remote 'http://{host}:{port}/'"),
        format!("--url=http://{host}:{port}/v1"),
        format!("${{PORT_URL:-http://{host}:{port}/v1}}"),
    ]
}

fn is_found(text: &str, ours: &str) -> bool {
    let base = json!({"mcpServers": {"other": {"url": text}}});
    let found = findings("claude-code", &base, &ours.parse().unwrap());
    found.iter().any(|finding| {
        finding.effect == Effect::SameServer && finding.what == "`mcpServers.other.url`"
    })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(512))]

    #[test]
    fn a_setting_is_found_in_every_spelling_and_at_every_place(
        (agent, path, value) in places(),
        keys in prop::collection::vec("[a-z][a-z0-9-]{0,5}", 2),
    ) {
        let (base, place) = at_place(path, &keys, value);
        let found = findings(agent, &base, &"https://mcp.port.io/v1".parse().unwrap());
        let is_found = found.iter().any(|finding| finding.what == place && matches!(finding.effect, Effect::Opens | Effect::Widens));
        prop_assert!(is_found, "{}: {}: {:?}", agent, base, found);
    }

    #[test]
    fn the_same_address_is_found_in_every_notation(
        address in any::<[u8; 4]>(),
        other in any::<[u8; 4]>(),
        port in 1024_u16..,
    ) {
        let (address, other) = (Ipv4Addr::from(address), Ipv4Addr::from(other));
        let ours = format!("http://{address}:{port}/v1");
        for text in notations(address).iter().flat_map(|host| spellings(host, port)) {
            prop_assert!(is_found(&text, &ours), "{} is {}", text, ours);
        }
        let is_local = |address: Ipv4Addr| address.is_loopback() || address.is_unspecified();
        prop_assume!(address != other && !(is_local(address) && is_local(other)));
        for host in notations(other) {
            let text = format!("http://{host}:{port}/v1");
            prop_assert!(!is_found(&text, &ours), "{} is not {}", text, ours);
        }
        let text = format!("http://{address}:{}/v1", port - 1);
        prop_assert!(!is_found(&text, &ours), "{} is not {}", text, ours);
    }
}

#[test]
fn the_loopback_interface_has_many_names() {
    for ours in [
        "http://127.0.0.1:8787/v1",
        "http://localhost:8787/v1",
        "http://[::1]:8787/v1",
    ] {
        for text in LOOPBACK.iter().flat_map(|host| spellings(host, 8787)) {
            assert!(is_found(&text, ours), "{text} is {ours}");
        }
    }
    let addresses =
        ["10.0.0.1", "::ffff:10.0.0.1", "::2"].map(|text| text.parse::<IpAddr>().unwrap());
    for address in addresses.iter().map(|address| match address {
        IpAddr::V4(address) => address.to_string(),
        IpAddr::V6(address) => format!("[{}]", Ipv6Addr::from(address.octets())),
    }) {
        let text = format!("http://{address}:8787/v1");
        assert!(!is_found(&text, "http://127.0.0.1:8787/v1"), "{text}");
    }
}

#[test]
fn a_default_port_is_the_same_port() {
    for text in [
        "https://mcp.port.io:443/v1",
        "https://MCP.getport.io.",
        "wss://mcp.port.io",
        "mcp.port.io/v1",
    ] {
        assert!(is_found(text, "https://mcp.port.io/v1"), "{text}");
    }
    assert!(!is_found(
        "http://mcp.port.io:8443/v1",
        "https://mcp.port.io/v1"
    ));
}

/// What a program does not read as a setting that could override the grant.
#[test]
fn harmless_values_are_not_found() {
    for (agent, base) in [
        (
            "opencode",
            json!({"lsp": false, "formatter": false, "plugin": []}),
        ),
        (
            "opencode",
            json!({"provider": {"x": {
                "npm": "@ai-sdk/openai-compatible",
                "models": {"y": {"provider": {"npm": "@ai-sdk/anthropic"}}},
            }}}),
        ),
        (
            "qwen-code",
            json!({"tools": {"approvalMode": "auto-edit"}, "permissions": {"allow": ["Read", "Bashful"]}}),
        ),
        (
            "gemini-cli",
            json!({"tools": {"allowed": ["read_file"], "core": []}, "hooks": {}}),
        ),
        (
            "codex",
            json!({"sandbox_mode": "workspace-write", "projects": {"/w": {"trust_level": "untrusted"}}}),
        ),
        (
            "amp",
            json!({"amp.dangerouslyAllowAll": false, "amp.permissions": [{"tool": "Read", "action": "allow"}]}),
        ),
        (
            "goose",
            json!({"GOOSE_PROVIDER": "anthropic", "GOOSE_MODE": "auto"}),
        ),
    ] {
        let found = findings(agent, &base, &"https://mcp.port.io/v1".parse().unwrap());
        assert_eq!(found, [], "{agent}: {base}");
    }
}

/// Patterns of rules, with everything that the program's globs support.
#[test]
fn patterns_are_read_as_globs() {
    for tool in [
        "Bash",
        "bash",
        "B*",
        "Ba??",
        "[B]ash",
        "{Bash,x}",
        "*",
        "shell_command",
    ] {
        let base = json!({"amp.permissions": [{"tool": "x", "action": "ask"}, {"tool": tool, "action": "allow"}]});
        let found = findings("amp", &base, &"https://mcp.port.io/v1".parse().unwrap());
        assert_eq!(found[0].what, "`amp.permissions.1`", "{tool}");
    }
    for pattern in [
        "port", " PORT ", "po*", "p?rt", "[p]ort", "{port,x}", "!docs", "$SERVER",
    ] {
        let base = json!({"mcp": {"excluded": ["docs", pattern]}});
        let found = findings(
            "qwen-code",
            &base,
            &"https://mcp.port.io/v1".parse().unwrap(),
        );
        assert_eq!(found[0].what, "`mcp.excluded`", "{pattern}");
    }
    for pattern in [
        "mcp__port",
        " mcp__port__* ",
        "mcp__port__list_blueprints()",
        "MCP__PORT",
        "{mcp__port__x,y}",
    ] {
        let base = json!({"permissions": {"deny": ["Read", pattern]}});
        let found = findings(
            "qwen-code",
            &base,
            &"https://mcp.port.io/v1".parse().unwrap(),
        );
        assert_eq!(found[0].what, "`permissions.deny`", "{pattern}");
    }
}
