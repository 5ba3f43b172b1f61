//! The configuration of each agent, with every connection and token placement.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;

use fake_port::{FakePort, Flow, Tool};
use port_mcp_action::Connection;
use port_mcp_action::agents::{Agent, TokenPlacement};
use runner_double::Finished;
use serde_json::Value;

use crate::harness::{Step, annotations, assert_snapshot, settings};

fn step(agent: &Agent) -> Step {
    let step = Step::new()
        .input("agent", agent.to_string())
        .input("allowed_tools", "list_blueprints, list_entities")
        .input("config_file", "true");
    // Its connector cannot send the headers that limit the tools.
    if agent.to_string() == "anthropic-api" {
        step.input("read_only", "false")
            .input("allowed_actions", "*")
    } else {
        step
    }
}

/// Every combination of connection and token placement.
fn forms() -> impl Iterator<Item = (Connection, TokenPlacement)> {
    Connection::ALL
        .into_iter()
        .flat_map(|connection| TokenPlacement::ALL.map(|placement| (connection, placement)))
}

fn in_form(step: Step, connection: Connection, placement: TokenPlacement) -> Step {
    step.input("connection", connection.to_string())
        .input("token_placement", placement.to_string())
}

fn file(step: &Step, run: &Finished) -> String {
    fs::read_to_string(step.job.temp().join(&run.outputs["config_file"])).unwrap()
}

/// The outputs of a run that the snapshots show.
fn shown(step: &Step, run: &Finished) -> String {
    let suffix = run.outputs["config_file"].rsplit('.').next().unwrap();
    let lines = ["allowed_tools", "agent_args", "mcp_config"]
        .map(|name| format!("{name}={}", run.outputs[name]))
        .join("\n");
    match suffix {
        // The file has the same content as `mcp_config`.
        "json" => lines,
        suffix => format!("{lines}\n.{suffix} file:\n{}", file(step, run).trim_end()),
    }
}

#[test]
fn every_agent_with_every_connection_and_token_placement() {
    for agent in Agent::ALL {
        let forms = forms().filter(|(connection, _)| *connection != Connection::Gateway);
        let text: Vec<String> = forms.map(|form| outputs_in_form(agent, form)).collect();
        settings().bind(|| insta::assert_snapshot!(format!("agent_{agent}"), text.join("\n\n")));
    }
}

/// For configurations that somebody writes.
#[test]
fn the_values_of_the_headers_are_outputs() {
    for (read_only, actions, expected) in [
        ("true", "", ["1", ""]),
        ("false", "b, a", ["0", "b,a"]),
        ("true", "*", ["1", ""]),
    ] {
        let step = step(Agent::ALL[0])
            .input("read_only", read_only)
            .input("allowed_actions", actions);
        let of = |run: &Finished| {
            ["read_only_header", "allowed_actions_header"].map(|name| run.outputs[name].clone())
        };
        let run = step.succeed();
        assert_eq!(of(&run), expected);
        let config: Value = serde_json::from_str(&run.outputs["mcp_config"]).unwrap();
        let headers = &config["mcpServers"]["port"]["headers"];
        assert_eq!(headers["x-read-only-mode"], expected[0]);
        let sent = headers["x-allowed-actions-to-run"].as_str();
        assert_eq!(sent, (actions != "*").then_some(expected[1]));
        // The gateway sends them itself.
        let run = step.input("connection", "gateway").succeed();
        assert_eq!(of(&run), ["", ""]);
    }
}

#[test]
fn every_agent_with_the_gateway() {
    for agent in Agent::ALL {
        let forms = forms().filter(|(connection, _)| *connection == Connection::Gateway);
        let text: Vec<String> = forms.map(|form| outputs_in_form(agent, form)).collect();
        settings().bind(|| insta::assert_snapshot!(format!("gateway_{agent}"), text.join("\n\n")));
    }
}

fn outputs_in_form(agent: &Agent, (connection, placement): (Connection, TokenPlacement)) -> String {
    let step = in_form(step(agent), connection, placement);
    let run = step.run();
    let what = match run.exit {
        Some(0) => shown(&step, &run),
        _ => annotations(&run, "error"),
    };
    format!("# {connection}, {placement}\n{what}")
}

#[test]
fn with_token_placement_env_no_configuration_contains_the_token() {
    for agent in Agent::ALL {
        for connection in Connection::ALL {
            let step = in_form(step(agent), connection, TokenPlacement::Env);
            let run = step.run();
            if run.exit != Some(0) {
                continue;
            }
            let token = step.port.token(Flow::Rest);
            for name in ["mcp_config", "agent_args"] {
                let output = &run.outputs[name];
                assert!(!output.contains(&token), "{agent}: {name}");
                // GitHub passes an output without secrets to other jobs, unless it is empty.
                assert_eq!(run.job_output(name).unwrap_or_default(), output);
            }
            assert!(!file(&step, &run).contains(&token), "{agent}");
        }
    }
}

#[test]
fn outputs_are_one_line_and_the_file_has_the_suffix_of_its_format() {
    for agent in Agent::ALL {
        let step = step(agent);
        let run = step.succeed();
        for name in ["mcp_config", "agent_args", "allowed_tools"] {
            assert!(!run.outputs[name].contains('\n'), "{agent}: {name}");
        }
        let suffix = Path::new(&run.outputs["config_file"]).extension().unwrap();
        assert_eq!(format!(".{}", suffix.display()), agent.format().suffix());
    }
}

#[test]
fn unsupported_inputs_are_reported_before_any_request() {
    let step = Step::new()
        .input("agent", "anthropic-api")
        .input("connection", "mcp-remote")
        .input("token_placement", "env");
    assert_snapshot!("unsupported", step.fail());
    assert!(step.port.received().is_empty());
}

#[test]
fn the_summary_shows_the_limits_of_the_enforcement() {
    let limits = |agent: &str| {
        let summary = Step::new().input("agent", agent).succeed().summary;
        let mut paragraphs = summary.split("\n\n");
        let limits = paragraphs.find(|text| text.starts_with(char::is_alphabetic));
        limits.map(str::to_owned)
    };
    assert_eq!(limits("codex"), None);
    assert_snapshot!(limits("cline").unwrap(), @"Cline does not enforce `allowed_tools`: it runs every tool that the server offers.");
}

#[test]
fn errors_in_a_base_configuration_give_the_position_and_do_not_quote_it() {
    let deep = format!("{}\"s3cr3t\"{}", "{\"a\": ".repeat(65), "}".repeat(65));
    let long = format!("s3cr3t{}: 1", "\"".repeat(600));
    let bases = [
        ("codex", "model = \"s3cr3t\"\n[mcp_servers\n"),
        ("codex", "mcp_servers = \"s3cr3t\""),
        ("goose", "extensions:\n  s3cr3t: [\n"),
        ("goose", "extensions: !s3cr3t {}"),
        ("continue", "mcpServers: { s3cr3t: 1 }"),
        ("gemini-cli", "{\n\"s3cr3t\": tru }"),
        ("gemini-cli", "[\"s3cr3t\"]"),
        ("cursor", &deep),
        ("goose", &long),
    ];
    let errors = bases.map(|(agent, base)| {
        let errors = Step::new()
            .input("agent", agent)
            .input("base_config", base)
            .fail();
        assert!(!errors.contains("s3cr3t"), "{errors}");
        format!("{agent}: {errors}")
    });
    assert_snapshot!("base_config_errors", errors.join("\n"));
}

/// A typical base configuration, which already contains a server of the same name.
fn base(agent: &str) -> &'static str {
    match agent {
        "codex" => {
            "# ours\nmodel = \"gpt-5\"\nsince = 2026-11-24\n\n[mcp_servers.port]\nurl = \"https://old\"\n\n[mcp_servers.\"docs.v2\"]\ncommand = \"docs\"\nargs = [\n  \"it's\", # a comment\n]\n"
        }
        "goose" => {
            "GOOSE_PROVIDER: anthropic\nextensions:\n  developer: &builtin { enabled: true, type: builtin }\n  memory: { <<: *builtin, name: memory }\n  port: { enabled: false }\n"
        }
        "continue" => {
            "models:\n  - name: m\nmcpServers:\n  - name: docs\n    command: docs\n  - name: port\n    command: old\n"
        }
        "opencode" => {
            r#"{"permission": "ask", "mcp": {"port": {"type": "local"}, "docs": {"type": "local"}}}"#
        }
        "amp" => {
            r#"{"amp.permissions": [{"tool": "Bash", "action": "allow"}], "amp.mcpServers": {"port": {"url": "old"}}}"#
        }
        "anthropic-api" => {
            r#"{"tools": [{"type": "mcp_toolset", "mcp_server_name": "port"}, {"name": "mine"}], "mcp_servers": [{"name": "port"}]}"#
        }
        _ => unreachable!("no base configuration for {agent}"),
    }
}

#[test]
fn a_base_configuration_is_merged_in_the_agents_own_format() {
    for agent in [
        "codex",
        "goose",
        "continue",
        "opencode",
        "amp",
        "anthropic-api",
    ] {
        let agent = Agent::ALL
            .iter()
            .find(|known| known.to_string() == agent)
            .unwrap();
        let step = step(agent).input("base_config", base(&agent.to_string()));
        let run = step.succeed();
        let notice = annotations(&run, "notice");
        assert!(
            notice.contains("already contains a server named `port`"),
            "{agent}: {notice}"
        );
        settings().bind(|| insta::assert_snapshot!(format!("merged_{agent}"), shown(&step, &run)));
    }
}

/// Every path of keys in a value, with the type of the value at its end. `*` replaces the names of headers
/// and variables.
fn paths(value: &Value, path: &str, found: &mut BTreeSet<String>) {
    match value {
        Value::Object(map) => map.iter().for_each(|(key, value)| {
            let has_any_key =
                path.ends_with("/headers") || path.ends_with("/env") || path.ends_with("/envs");
            let key = if has_any_key { "*" } else { key };
            paths(value, &format!("{path}/{key}"), found);
        }),
        Value::Array(list) => list
            .iter()
            .for_each(|value| paths(value, &format!("{path}/[]"), found)),
        Value::String(_) => drop(found.insert(format!("{path}: text"))),
        Value::Number(_) => drop(found.insert(format!("{path}: number"))),
        Value::Bool(_) => drop(found.insert(format!("{path}: boolean"))),
        Value::Null => drop(found.insert(format!("{path}: null"))),
    }
}

/// Cursor is not in a package registry. Its configuration has only keys of an example, whose source
/// `docs/agents/cursor.md` names.
#[test]
fn configurations_have_only_documented_keys() {
    let (agent, key) = ("cursor", "mcpServers");
    let example: Value = serde_json::from_str(include_str!("../documented/cursor.json")).unwrap();
    // The gateway changes values, not keys.
    for (connection, placement) in forms().filter(|(way, _)| *way != Connection::Gateway) {
        let form = Step::new().input("agent", agent);
        let run = in_form(form, connection, placement).succeed();
        let config: Value = serde_json::from_str(&run.outputs["mcp_config"]).unwrap();
        assert_eq!(
            config.as_object().unwrap().keys().collect::<Vec<_>>(),
            [key]
        );
        let kind = if connection == Connection::Direct {
            "remote"
        } else {
            "local"
        };
        let (mut known, mut emitted) = (BTreeSet::new(), BTreeSet::new());
        paths(&example[key][kind], "", &mut known);
        paths(&config[key]["port"], "", &mut emitted);
        let unknown: Vec<_> = emitted.difference(&known).collect();
        assert!(
            unknown.is_empty(),
            "{agent}, {connection}, {placement}: {unknown:?}"
        );
    }
}

#[test]
fn an_agent_without_tool_enforcement_is_warned_of() {
    let run = Step::new()
        .input("agent", "cline")
        .input("allowed_tools", "list_entities")
        .succeed();
    let warnings = annotations(&run, "warning");
    assert!(
        warnings.contains(
            "`cline` does not enforce `allowed_tools`; it can also use: `list_blueprints`, "
        ),
        "{warnings}"
    );
}

#[test]
fn an_agent_with_a_denylist_requires_the_tools_of_the_server() {
    let step = || {
        Step::new()
            .input("agent", "continue")
            .input("allowed_tools", "list_entities")
    };
    let errors = step().input("verify", "false").fail();
    assert!(
        errors.starts_with("input `verify` is `false`, but `continue` can only exclude tools"),
        "{errors}"
    );

    let hostile = FakePort::builder().offer(Tool::new("a name,of no tool").read_only(true));
    let step = Step::against(hostile)
        .input("agent", "continue")
        .input("allowed_tools", "list_entities");
    let errors = step.fail();
    assert!(
        errors.contains("cannot be excluded: `a name,of no tool`"),
        "{errors}"
    );
}
