//! `port-mcp answer` (`answer/action.yml`): checks an agent's answer and passes it on.

mod connection;
mod links;
mod secrets;

use std::fs;
use std::path::Path;

use port_mcp_action::agents::Agent;
use runner_double::{Finished, Job, Phase};
use serde_json::{Value, json};

use crate::harness::{annotations, assert_explained, errors, ours, program};

const TOKEN: &str = "eyJhbGciOiJIUzI1NiJ9.eyJpc01hY2hpbmUiOnRydWV9.c2lnbmF0dXJlX29mX3RoZQ-_x";

/// Runs the step on a file in the job's temporary directory.
fn run_step(agent: &str, contents: &[u8], secrets: &str) -> (Job, Finished) {
    run_with(agent, contents, &[("secrets", secrets)], &[])
}

/// The same with more inputs, and more files next to it.
fn run_with(
    agent: &str,
    contents: &[u8],
    more: &[(&str, &str)],
    files: &[(&str, &str)],
) -> (Job, Finished) {
    let job = Job::new();
    let file = job.temp().join("answer");
    fs::write(&file, contents).unwrap();
    for (name, text) in files {
        fs::write(job.temp().join(name), text).unwrap();
    }
    let mut inputs = vec![("agent", agent), ("file", file.to_str().unwrap())];
    inputs.extend(more);
    let run = job.step(&program(), Phase::Other("answer"), &inputs);
    assert_explained(&run);
    (job, run)
}

/// The first message of Claude Code and Qwen Code, if the server has this status.
fn start(status: &str, tools: &[&str]) -> Value {
    let servers =
        json!([{"name": "other", "status": "connected"}, {"name": "port", "status": status}]);
    json!({"type": "system", "subtype": "init", "mcp_servers": servers, "tools": tools})
}

/// A call of a tool, and its result. A result without an error has no key `is_error` in Claude Code.
fn call(tool: &str, is_error: Option<bool>) -> [Value; 2] {
    let mut result = json!({"type": "tool_result", "tool_use_id": "toolu_0", "content": "[]"});
    if let Some(is_error) = is_error {
        result["is_error"] = is_error.into();
    }
    [
        json!({"type": "assistant", "message": {"content": [{"type": "tool_use", "id": "toolu_0", "name": tool}]}}),
        json!({"type": "user", "message": {"content": [result]}}),
    ]
}

/// A conversation of Claude Code or Qwen Code that ends with this result.
fn conversation(messages: impl IntoIterator<Item = Value>, result: &str) -> String {
    let last = json!({"type": "result", "subtype": "success", "is_error": false, "result": result});
    let mut messages: Vec<Value> = messages.into_iter().collect();
    messages.push(last);
    json!(messages).to_string()
}

/// The events of Copilot CLI that follow on each other, and an answer.
fn events(events: &[Value]) -> String {
    let answer = json!({"type": "assistant.message", "data": {"content": "Hello."}});
    let empty = json!({"type": "assistant.message", "data": {"content": "", "toolRequests": []}});
    let end = json!({"type": "result", "exitCode": 0});
    let lines = events.iter().chain([&answer, &empty, &end]);
    lines.map(|event| format!("{event}\n")).collect()
}

fn loaded(servers: &Value) -> Value {
    json!({"type": "session.mcp_servers_loaded", "data": {"servers": servers}})
}

fn changed(status: &str) -> Value {
    json!({"type": "session.mcp_server_status_changed", "data": {"serverName": "port", "status": status}})
}

/// The output of Gemini CLI after a successful call of this tool.
fn gemini(response: &str, tool: &str, success: u64) -> String {
    let counts = json!({"count": 1, "success": success, "fail": 1 - success});
    json!({"response": response, "stats": {"tools": {"byName": {tool: counts}}}}).to_string()
}

const PORT_TOOL: &str = "mcp__port__list_blueprints";
const NOT_CONNECTED: &str = "the agent could not connect to the MCP server `port`";
const UNPROVEN: &str = "the agent got no result from the MCP server `port`";

/// The output of the step for an answer that it passes on.
fn passed_on(agent: &str, contents: &str) -> String {
    let (job, run) = run_step(agent, contents.as_bytes(), TOKEN);
    assert_eq!(run.exit, Some(0), "{}", run.log());
    let file = std::fs::read_to_string(job.temp().join(&run.outputs["answer_file"])).unwrap();
    assert!(file.starts_with(run.outputs["answer"].as_str()));
    run.outputs["answer"].clone()
}

/// The error of the step for an answer that it rejects.
fn rejected(agent: &str, contents: &[u8]) -> String {
    let (job, run) = run_step(agent, contents, TOKEN);
    assert_eq!(run.exit, Some(1), "{}", run.log());
    assert!(run.outputs.is_empty());
    assert!(ours(&job).is_empty(), "no file remains");
    errors(&run)
}

#[test]
fn the_format_of_each_agent_is_read() {
    let connected = || conversation([start("connected", &["Read", PORT_TOOL])], "Hello.\nWorld");
    for agent in ["claude-code", "qwen-code"] {
        assert_eq!(passed_on(agent, &connected()), "Hello.\nWorld");
    }
    let tool = "mcp_port_list_blueprints";
    assert_eq!(
        passed_on("gemini-cli", &gemini("Hello.", tool, 1)),
        "Hello."
    );
    let copilot = events(&[loaded(&json!([{"name": "port", "status": "connected"}]))]);
    assert_eq!(passed_on("copilot-cli", &copilot), "Hello.");
    for agent in ["codex", "copilot-cli", "generic"] {
        assert_eq!(passed_on(agent, "\n Hello.\n\n"), "Hello.");
    }
    for agent in Agent::ALL {
        // Every agent is supported, and an empty file is an error.
        let errors = rejected(&agent.to_string(), b"");
        assert!(
            errors.contains("empty") || errors.contains("is not a JSON"),
            "{agent}: {errors}"
        );
    }
}

/// It explains why the file has no answer.
#[test]
fn a_file_without_an_answer_is_one_annotation() {
    for (agent, contents, expected) in [
        (
            "claude-code",
            "not json",
            "the agent's answer is not a JSON array of messages",
        ),
        (
            "claude-code",
            "{}",
            "the agent's answer is not a JSON array of messages",
        ),
        (
            "claude-code",
            "[{\"type\": \"system\"}",
            "the agent's answer is not a JSON array of messages",
        ),
        ("claude-code", "[]", "the conversation has no result"),
        (
            "claude-code",
            "[{\"type\": \"result\", \"result\": \"\"}]",
            "the agent returned no answer: the file contains none",
        ),
        (
            "claude-code",
            "[{\"type\": \"result\", \"is_error\": true, \"result\": \"no credit\"}]",
            "the agent failed: no credit",
        ),
        (
            "claude-code",
            r#"[{"type": "result", "subtype": "error_max_turns", "is_error": true, "errors": ["Reached maximum number of turns (1)"]}]"#,
            "the agent failed: error_max_turns: Reached maximum number of turns (1)",
        ),
        (
            "claude-code",
            r#"[{"type": "result", "subtype": "error_during_execution", "is_error": true}]"#,
            "the agent failed: error_during_execution",
        ),
        (
            "gemini-cli",
            "Loaded cached credentials.",
            "is not a JSON object with `response`",
        ),
        (
            "gemini-cli",
            "{\"response\": \"\", \"stats\": {}}",
            "the agent returned no answer: the file contains none",
        ),
        (
            "gemini-cli",
            "{\"error\": {\"message\": \"no quota\"}}",
            "the agent failed: no quota",
        ),
        (
            "codex",
            " \n",
            "the agent returned no answer: the file is empty",
        ),
    ] {
        assert!(
            rejected(agent, contents.as_bytes()).contains(expected),
            "{agent} {contents}"
        );
    }
    let job = Job::new();
    let inputs = |file: &str| {
        let run = job.step(
            &program(),
            Phase::Other("answer"),
            &[("agent", "codex"), ("file", file)],
        );
        assert_eq!(run.exit, Some(1));
        assert_explained(&run);
        errors(&run)
    };
    assert!(inputs("").contains("input `file` is empty"));
    assert!(inputs("/no/such/file").contains("the file `/no/such/file` does not exist"));
    assert!(inputs(".").contains("is not a file"));
}

#[test]
fn a_file_of_another_agent_is_an_error() {
    let text = conversation([start("connected", &[PORT_TOOL])], "Hello.");
    assert_eq!(passed_on("Claude-Code", &text), "Hello.");
    for agent in ["claude", "gpt"] {
        let errors = rejected(agent, text.as_bytes());
        assert!(
            errors.starts_with(&format!("input `agent` is invalid: `{agent}`")),
            "{errors}"
        );
    }
    // Otherwise, all results of tools would be passed on.
    let copilot = events(&[loaded(&json!([]))]);
    let gemini = gemini("Hello.", "mcp_port_list_blueprints", 1);
    for (text, writer) in [
        (text, "`claude-code` or `qwen-code`"),
        (gemini, "`gemini-cli`"),
        (copilot, "`copilot-cli`"),
    ] {
        for agent in ["", "generic", "codex", "goose", "cline"] {
            let errors = rejected(agent, text.as_bytes());
            let expected = format!("the file is the output of {writer}");
            assert!(errors.starts_with(&expected), "{agent}: {errors}");
        }
    }
    // Answers that look similar.
    for text in [
        "[]",
        "[1, 2]",
        r#"{"response": "x"}"#,
        r#"{"type": "result"}"#,
        r#"[{"type": "service"}, {"type": "result"}]"#,
        "A webhook:\n{\"type\": \"user.created\", \"data\": {\"id\": 1}}",
    ] {
        assert_eq!(passed_on("generic", text), text);
    }
}

#[test]
fn the_kind_of_a_result_decides_whether_it_is_an_error() {
    let run = |result: Value| {
        let messages = json!([start("connected", &[PORT_TOOL]), result]);
        rejected("claude-code", messages.to_string().as_bytes())
    };
    for is_error in [true, false] {
        let errors =
            run(json!({"type": "result", "subtype": "error_max_turns", "is_error": is_error}));
        assert!(
            errors.starts_with("the agent failed: error_max_turns\nhint: raise `--max-turns`"),
            "{errors}"
        );
        let errors = run(
            json!({"type": "result", "subtype": "error_max_turns", "is_error": is_error, "result": "half"}),
        );
        assert!(
            errors.starts_with("the agent failed: error_max_turns\n"),
            "{errors}"
        );
        let errors = run(
            json!({"type": "result", "subtype": "success", "is_error": is_error, "errors": ["no credit", "x"], "result": "half"}),
        );
        assert!(
            errors.starts_with("the agent failed: no credit; x\n"),
            "{errors}"
        );
        for (field, value) in [
            ("result", json!("no credit")),
            ("error", json!({"message": "no credit"})),
            ("errors", json!([{"message": "no credit"}])),
        ] {
            let mut result = json!({"type": "result", "subtype": "error_during_execution", "is_error": is_error});
            result[field] = value;
            let errors = run(result);
            assert!(
                errors.starts_with("the agent failed: no credit\n"),
                "{errors}"
            );
        }
    }
}

/// What the real programs wrote (tests/e2e/agents/record.js) is read as tests/e2e/agents/ends.js expects.
#[test]
fn the_recorded_files_of_the_programs_are_read() {
    let recorded = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/action/recorded");
    for directory in fs::read_dir(recorded).unwrap() {
        let directory = directory.unwrap().path();
        let read = |name: &str| fs::read_to_string(directory.join(name)).unwrap();
        let list: Value = serde_json::from_str(&read("recorded.json")).unwrap();
        let agent = list["agent"].as_str().unwrap();
        for entry in list["files"].as_array().unwrap() {
            let name = entry["file"].as_str().unwrap();
            let text = read(name);
            let stderr = entry["stderr"].as_str().map(read);
            let files: Vec<(&str, &str)> =
                stderr.iter().map(|text| ("stderr.log", &**text)).collect();
            let (_, run) = run_with(agent, text.as_bytes(), &[("secrets", TOKEN)], &files);
            let what = format!("{agent}, {name}: {}", run.log());
            if let Some(answer) = entry["passes"].as_str() {
                assert_eq!(run.exit, Some(0), "{what}");
                assert!(run.outputs["answer"].ends_with(answer), "{what}");
            } else {
                assert_eq!(run.exit, Some(1), "{what}");
                assert!(run.outputs.is_empty(), "{what}");
                let expected = entry["fails"].as_str().unwrap();
                assert!(errors(&run).starts_with(expected), "{what}");
            }
        }
    }
}

/// An answer before the error is not the last one.
#[test]
fn an_error_of_copilot_cli_counts_and_not_an_earlier_answer() {
    let connected = || loaded(&json!([{"name": "port", "status": "connected"}]));
    let failed = |more: &[Value]| {
        let text = events(more).replace(r#""exitCode":0"#, r#""exitCode":1"#);
        rejected("copilot-cli", text.as_bytes())
    };
    let error = json!({"type": "session.error", "data": {"message": "no quota"}});
    assert!(failed(&[connected(), error]).starts_with("the agent failed: no quota\n"));
    assert!(failed(&[connected()]).starts_with("the agent failed: its exit code is 1\n"));
}

/// What a tool returned does not decide whether the answer can be read.
#[test]
fn what_a_tool_returned_does_not_decide_whether_the_answer_is_read() {
    let deep = format!("{}{}", "[".repeat(200), "]".repeat(200));
    for value in [r#""\ud83d""#, "1e999", deep.as_str(), r#"{"a": 1, "a": 2}"#] {
        let text = conversation(
            [
                start("connected", &[PORT_TOOL]),
                json!({"type": "user", "x": "HERE"}),
            ],
            "Hello.",
        );
        let text = text.replace("\"HERE\"", value);
        assert_eq!(passed_on("claude-code", &text), "Hello.", "{value}");
        let text = gemini("Hello.", "mcp_port_list_blueprints", 1);
        let text = text.replacen('{', &format!("{{\"x\": {value}, "), 1);
        assert_eq!(passed_on("gemini-cli", &text), "Hello.", "{value}");
    }
    let text = conversation([start("connected", &[PORT_TOOL])], "Hello.");
    let text = text.replace("Hello.", r"Hello \ud83d.");
    assert_eq!(passed_on("claude-code", &text), "Hello \u{fffd}.");
    // Of a plain text, each character is kept.
    assert_eq!(passed_on("generic", r"Use \ud83d."), r"Use \ud83d.");
}

/// The file contains the whole answer.
#[test]
fn a_large_answer_is_cut_by_bytes_between_characters() {
    for (text, length) in [
        ("😀".repeat(60_000), 60_000),
        ("a".repeat(200_000), 60_000),
        ("ä".repeat(50_000), 60_000),
        (format!("a{}", "€".repeat(40_000)), 59_998),
    ] {
        let (job, run) = run_step("codex", text.as_bytes(), TOKEN);
        assert_eq!(run.exit, Some(0), "{}", run.log());
        assert_eq!(run.outputs["answer"].len(), length);
        assert!(text.starts_with(run.outputs["answer"].as_str()));
        let file = std::fs::read_to_string(job.temp().join(&run.outputs["answer_file"])).unwrap();
        assert_eq!(file.trim_end(), text);
        let notice = annotations(&run, "notice");
        let expected =
            "The output `answer` contains the first 58 KiB; the file contains all of it.";
        assert!(notice.contains(expected), "{notice}");
    }
}

#[test]
fn the_step_matches_its_declaration() {
    let action: yaml_serde::Value =
        yaml_serde::from_str(include_str!("../../../../answer/action.yml")).unwrap();
    let keys = |section: &str| -> Vec<String> {
        let section = action[section].as_mapping().unwrap();
        section
            .keys()
            .map(|key| key.as_str().unwrap().to_owned())
            .collect()
    };
    assert_eq!(
        keys("inputs"),
        [
            "agent",
            "file",
            "server_name",
            "audit_file",
            "secrets",
            "links"
        ]
    );
    let (_, run) = run_step("codex", b"Hello.", "");
    assert_eq!(
        keys("outputs"),
        run.outputs.keys().cloned().collect::<Vec<_>>()
    );
}
