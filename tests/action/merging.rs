//! Merging keeps all contents of a base configuration, in the agent's own format and in the arguments.

use port_mcp_action::Connection;
use port_mcp_action::agents::format::Format;
use port_mcp_action::agents::{Agent, AgentOutputs, Server, TokenPlacement};
use port_mcp_action::tool::ToolName;
use proptest::prelude::*;
use secrecy::ExposeSecret as _;
use serde_json::{Map, Value, json};

/// The key of an agent's servers, and the key of a server's name if the servers are a list.
fn servers_of(agent: &str) -> (&'static str, Option<&'static str>) {
    match agent {
        "codex" => ("mcp_servers", None),
        "opencode" => ("mcp", None),
        "goose" => ("extensions", None),
        "amp" => ("amp.mcpServers", None),
        "continue" => ("mcpServers", Some("name")),
        "anthropic-api" => ("mcp_servers", Some("name")),
        "openai-responses" => ("tools", Some("server_label")),
        _ => ("mcpServers", None),
    }
}

fn render(
    agent: &Agent,
    base: &str,
    connection: Connection,
    token_placement: TokenPlacement,
) -> AgentOutputs {
    let server = Server {
        name: "port",
        url: &"https://mcp.port.io/v1".parse().unwrap(),
        headers: &[("x-read-only-mode", "1".to_owned())],
        token: &"t0ken".into(),
        transport: connection.into(),
        token_placement,
        tools: &[ToolName::new("list_blueprints").unwrap()],
        ungranted: &["delete_entity".to_owned()],
    };
    agent.render(&server, agent.parse_base_config(base).unwrap())
}

fn text(format: Format, value: &Value) -> String {
    match format {
        Format::Json => value.to_string(),
        Format::Toml => toml::to_string(value).unwrap(),
        Format::Yaml => yaml_serde::to_string(value).unwrap(),
    }
}

fn parsed(format: Format, text: &str) -> Value {
    match format {
        Format::Json => serde_json::from_str(text).unwrap(),
        Format::Toml => toml::from_str(text).unwrap(),
        Format::Yaml => yaml_serde::from_str(text).unwrap(),
    }
}

/// The words of arguments. Fails if shells, `xargs`, and `shell-quote` could split them differently: at a
/// quote within quotes, or at `\`, `$`, or a glob outside of quotes.
fn words(args: &str) -> Vec<String> {
    let mut words = Vec::new();
    let mut rest = args.trim();
    while !rest.is_empty() {
        let quote = rest.chars().next().filter(|c| ['\'', '"'].contains(c));
        let (word, after) = match quote {
            Some(quote) => rest[1..].split_once(quote).unwrap(),
            None => rest.split_once(' ').unwrap_or((rest, "")),
        };
        match quote {
            Some('"') => assert!(!word.contains(['$', '`', '\\']), "{word}"),
            Some(_) => {}
            None => assert!(
                word.bytes()
                    .all(|b| b.is_ascii_alphanumeric() || b"-_,=.".contains(&b)),
                "{word}"
            ),
        }
        assert!(
            after.is_empty() || quote.is_none() || after.starts_with(' '),
            "{args}"
        );
        words.push(word.to_owned());
        rest = after.trim_start();
    }
    words
}

/// The configuration in an agent's arguments, if they contain one.
fn in_arguments(agent: &str, args: &str) -> Option<Value> {
    if agent == "codex" {
        let words: Vec<String> = serde_json::from_str(args).unwrap();
        let mut config = Map::new();
        for pair in words.chunks(2) {
            assert_eq!(pair[0], "--config");
            let assignment: Map<String, Value> = toml::from_str(&pair[1]).unwrap();
            config.extend(assignment);
        }
        return Some(config.into());
    }
    let words = words(args);
    let json = words.iter().find(|word| word.starts_with('{'))?;
    let json = serde_json::from_str(json).unwrap();
    Some(match agent {
        "amp" => json!({"amp.mcpServers": json}),
        _ => json,
    })
}

/// Any key except YAML's merge key.
fn any_key() -> impl Strategy<Value = String> {
    "[^\u{0}]{1,8}".prop_filter("a merge key", |key| key != "<<")
}

/// Any JSON except `null`, which TOML cannot represent.
fn any_value() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        any::<bool>().prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        (-1e9..1e9).prop_map(Value::from),
        ".{0,20}".prop_map(Value::from),
        "['\"\\\\$`{}\n\t #\u{85}\u{2028}]{0,8}".prop_map(Value::from),
    ];
    leaf.prop_recursive(3, 20, 4, |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..4).prop_map(Value::from),
            prop::collection::hash_map(any_key(), inner, 0..4)
                .prop_map(|map| Value::Object(map.into_iter().collect())),
        ]
    })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn the_rest_of_a_base_configuration_is_kept(
        other in any_value(),
        key in "[a-z][a-zA-Z0-9_-]{6,12}",
        neighbor in any_key(),
        command in any_value(),
        connection in prop::sample::select(&Connection::ALL),
        placement in prop::sample::select(&TokenPlacement::ALL),
    ) {
        prop_assume!(neighbor != "port");
        for agent in Agent::ALL {
            let (servers, identity) = servers_of(&agent.to_string());
            let others = match identity {
                None => json!({(neighbor.clone()): {"command": command}}),
                Some(identity) => json!([{(identity): neighbor, "command": command}]),
            };
            let base = json!({(key.clone()): other, (servers): others});
            let format = agent.format();
            let rendered = render(agent, &text(format, &base), connection, placement);

            let config = parsed(format, rendered.config_file_text.expose_secret());
            prop_assert_eq!(&config[&key], &base[&key], "{}", agent);
            let (kept, ours) = match identity {
                None => (&config[servers][&neighbor], &config[servers]["port"]),
                Some(_) => (&config[servers][1], &config[servers][0]),
            };
            prop_assert_eq!(&kept["command"], &command, "{}", agent);
            prop_assert!(ours.is_object(), "{}", agent);
            prop_assert!(!rendered.has_replaced);

            let line = rendered.mcp_config.expose_secret();
            prop_assert!(!line.contains('\n'));
            let one_line = parsed(format, line);
            for (key, value) in one_line.as_object().unwrap() {
                prop_assert_eq!(value, &config[key], "{}", agent);
            }

            let args = rendered.agent_args.expose_secret();
            prop_assert!(!args.contains('\n'));
            if let Some(merged) = in_arguments(&agent.to_string(), args) {
                for (key, value) in merged.as_object().unwrap() {
                    prop_assert_eq!(value, &config[key], "{}", agent);
                }
                prop_assert!(merged.get(servers).is_some());
            }
        }
    }
}
