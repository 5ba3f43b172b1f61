//! `port-mcp answer` (`answer/action.yml`): checks an agent's answer and passes it on.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;
use std::time::{Duration, Instant};

use port_mcp_action::agents::Agent;
use runner_double::{Finished, Job, Phase, Program};
use serde_json::{Value, json};

use crate::harness::{annotations, assert_explained, errors, is_image, program};

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
    let left = fs::read_dir(job.temp()).unwrap().filter(is_ours);
    assert_eq!(left.count(), 0, "no file remains");
    errors(&run)
}

/// Whether the step wrote a file.
fn is_ours(file: &std::io::Result<fs::DirEntry>) -> bool {
    let name = file.as_ref().unwrap().file_name();
    name.to_string_lossy().starts_with("port-mcp-")
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

/// Claude Code's status is only that of the start: a server that connects later has a result.
#[test]
fn k93_an_answer_without_tools_of_port_is_an_error() {
    for agent in ["claude-code", "qwen-code"] {
        for status in [
            "pending",
            "failed",
            "disconnected",
            "needs-auth",
            "disabled",
        ] {
            let text = conversation([start(status, &["Read"])], "made up");
            let errors = rejected(agent, text.as_bytes());
            assert!(
                errors.contains(&format!("{NOT_CONNECTED} (its status is `{status}`)")),
                "{errors}"
            );
            for is_error in [None, Some(false)] {
                let [request, result] = call(PORT_TOOL, is_error);
                let later = [start(status, &[]), request, result];
                assert_eq!(passed_on(agent, &conversation(later, "Hello.")), "Hello.");
            }
            for (tool, is_error) in [
                (PORT_TOOL, Some(true)),
                ("mcp__other__list_blueprints", None),
                ("mcp__port-eu__list_blueprints", None),
                ("Read", None),
            ] {
                let [request, result] = call(tool, is_error);
                let text = conversation([start(status, &[]), request, result], "made up");
                assert!(
                    rejected(agent, text.as_bytes()).contains(NOT_CONNECTED),
                    "{tool}"
                );
            }
        }
        let missing = json!({"type": "system", "subtype": "init", "mcp_servers": [], "tools": []});
        for start in [missing, json!({"type": "assistant"})] {
            let errors = rejected(agent, conversation([start], "made up").as_bytes());
            assert!(
                errors.contains("the agent's configuration does not contain it"),
                "{errors}"
            );
        }
        let errors = rejected(
            agent,
            conversation([start("connected", &["Read"])], "made up").as_bytes(),
        );
        assert!(
            errors.contains("it connected, but got no tools"),
            "{errors}"
        );
    }
}

/// Gemini CLI reports only failed servers, and not those that reject the token.
#[test]
fn k93_an_answer_of_gemini_cli_without_a_result_of_port_is_an_error() {
    let tool = "mcp_port_list_blueprints";
    let run = |text: &str, log: &str| {
        run_with("gemini-cli", text.as_bytes(), &[], &[("stderr.log", log)]).1
    };
    let issues = "YOLO mode is enabled.\nMCP issues detected. Run /mcp list for status.\n";
    for (text, log, expected) in [
        (r#"{"response": "made up"}"#.to_owned(), "", UNPROVEN),
        (r#"{"response": "made up"}"#.to_owned(), issues, UNPROVEN),
        (gemini("made up", tool, 0), "", UNPROVEN),
        (gemini("made up", "read_file", 1), "", UNPROVEN),
        (
            gemini("made up", "mcp_other_list_blueprints", 1),
            issues,
            UNPROVEN,
        ),
    ] {
        let finished = run(&text, log);
        assert_eq!(finished.exit, Some(1), "{text} {log}");
        assert!(
            errors(&finished).starts_with(expected),
            "{}",
            errors(&finished)
        );
    }
    // Another server has issues.
    assert_eq!(run(&gemini("Hello.", tool, 1), issues).exit, Some(0));
}

#[test]
fn k93_an_answer_of_copilot_cli_without_a_connection_is_an_error() {
    let server = |status: &str| loaded(&json!([{"name": "port", "status": status}]));
    let connected = [
        changed("pending"),
        changed("connected"),
        server("connected"),
    ];
    assert_eq!(passed_on("copilot-cli", &events(&connected)), "Hello.");
    let other = json!([{"name": "other", "status": "connected"}]);
    for (lines, detail) in [
        (
            vec![changed("pending"), server("pending"), changed("needs-auth")],
            "its status is `needs-auth`",
        ),
        // It did not get the list of tools.
        (
            vec![changed("connected"), changed("failed"), server("failed")],
            "its status is `failed`",
        ),
        (
            vec![loaded(&json!([]))],
            "the agent's configuration does not contain it",
        ),
        (
            vec![loaded(&other)],
            "the agent's configuration does not contain it",
        ),
    ] {
        let errors = rejected("copilot-cli", events(&lines).as_bytes());
        assert!(
            errors.contains(&format!("{NOT_CONNECTED} ({detail})")),
            "{errors}"
        );
    }
    let execution = |server: &str, success: bool| {
        [
            server_start(server),
            json!({"type": "tool.execution_complete", "data": {"toolCallId": "call_0", "success": success}}),
        ]
    };
    let with = |calls: [Value; 2]| {
        let [request, result] = calls;
        events(&[server("pending"), request, result])
    };
    assert_eq!(
        passed_on("copilot-cli", &with(execution("port", true))),
        "Hello."
    );
    rejected("copilot-cli", with(execution("port", false)).as_bytes());
    rejected("copilot-cli", with(execution("other", true)).as_bytes());
}

/// A line of another program, or an end in the middle, does not hide the events.
#[test]
fn k93_events_of_copilot_cli_are_found_between_other_lines() {
    let failed = loaded(&json!([{"name": "port", "status": "failed"}]));
    let text = format!("npm notice\n{}{{\"type\":\"sess", events(&[failed]));
    assert!(rejected("copilot-cli", text.as_bytes()).contains(NOT_CONNECTED));
    assert!(rejected("copilot-cli", events(&[]).as_bytes()).contains(UNPROVEN));
    let silent = loaded(&json!([{"name": "port", "status": "connected"}]));
    let errors = rejected("copilot-cli", silent.to_string().as_bytes());
    assert!(errors.contains("the file contains none"), "{errors}");
}

fn server_start(server: &str) -> Value {
    json!({"type": "tool.execution_start", "data": {"toolCallId": "call_0", "mcpServerName": server}})
}

/// Codex fails without its required server. The files of the others contain only the answer.
#[test]
fn k93_the_step_says_if_it_cannot_know_whether_the_agent_connected() {
    for agent in Agent::ALL.iter().map(ToString::to_string) {
        let (_, run) = run_step(&agent, b"Hello.", TOKEN);
        let is_text = !["claude-code", "qwen-code", "gemini-cli"].contains(&agent.as_str());
        assert_eq!(run.exit, Some(i32::from(!is_text)), "{agent}");
        let notice = annotations(&run, "notice");
        let expected = is_text && agent != "codex";
        assert_eq!(
            notice.contains("The file does not say whether the agent connected"),
            expected,
            "{agent}: {notice}"
        );
    }
}

/// The audit of the gateway decides for every agent.
#[test]
fn k93_the_audit_says_whether_the_agent_had_tools() {
    let session = r#"{"event":"session","session":"s1"}"#;
    let list = r#"{"event":"list","session":"s1","tools":2}"#;
    let failed = r#"{"event":"session_failed","reason":"the MCP server returned a server error (503 Service Unavailable)","status":503,"count":1}"#;
    let failure =
        r#"{"event":"failure","session":"s1","reason":"the MCP server closed the connection"}"#;
    let answers = [
        ("generic", "Hello.".to_owned()),
        ("copilot-cli", "Hello.".to_owned()),
        ("gemini-cli", r#"{"response": "Hello."}"#.to_owned()),
        (
            "claude-code",
            conversation([start("connected", &[PORT_TOOL])], "Hello."),
        ),
    ];
    for (agent, answer) in answers {
        let run = |lines: &[&str]| {
            let audit = lines.join("\n");
            let files = [("audit.jsonl", audit.as_str())];
            let more = [("audit_file", "audit.jsonl"), ("secrets", TOKEN)];
            run_with(agent, answer.as_bytes(), &more, &files).1
        };
        let run_fine = run(&[failed, session, list, r#"{"event":"call","#]);
        assert_eq!(run_fine.exit, Some(0), "{}", run_fine.log());
        assert_eq!(annotations(&run_fine, "notice"), "");
        for (lines, reason) in [
            (
                &[session][..],
                "the audit of the gateway has no list of tools",
            ),
            (
                &[failed],
                "the MCP server returned a server error (503 Service Unavailable)",
            ),
            (
                &[failed, session, failure],
                "the MCP server closed the connection",
            ),
            (
                &[r#"{"event":"list","session":"s1","tools":0}"#],
                "the audit of the gateway has no list of tools",
            ),
            (
                &[r#"{"event":"call","tool":"x\"event\":\"list\",\"tools\":2"}"#],
                "the audit of the gateway has no list of tools",
            ),
            (&[""], "the audit of the gateway has no list of tools"),
        ] {
            let run = run(lines);
            assert_eq!(run.exit, Some(1), "{agent} {lines:?}");
            let errors = errors(&run);
            assert!(
                errors.starts_with(&format!("{NOT_CONNECTED} ({reason})")),
                "{errors}"
            );
        }
    }
}

/// The list that the audit contains can be later than the answer.
#[test]
fn k93_a_server_that_was_not_connected_in_time_is_an_error_whatever_the_audit_says() {
    let answer = conversation([start("pending", &[])], "made up");
    let files = [(
        "audit.jsonl",
        r#"{"event":"list","session":"s1","tools":2}"#,
    )];
    let more = [("audit_file", "audit.jsonl")];
    let (_, run) = run_with("claude-code", answer.as_bytes(), &more, &files);
    assert_eq!(run.exit, Some(1));
    assert!(
        errors(&run).contains("its status is `pending`"),
        "{}",
        errors(&run)
    );
}

/// What is wrong with the audit is not the agent's fault.
#[test]
fn k93_an_audit_that_cannot_be_read_is_an_error() {
    for file in ["port-mcp-none/audit.jsonl", "."] {
        let (_, run) = run_with("generic", b"Hello.", &[("audit_file", file)], &[]);
        assert_eq!(run.exit, Some(1), "{file}");
        assert!(
            errors(&run).starts_with("the audit could not be read: "),
            "{}",
            errors(&run)
        );
    }
}

/// L17, and similar cases: one annotation explains why the file has no answer.
#[test]
fn l17_a_file_without_an_answer_is_an_annotation() {
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
fn k60_the_agent_is_checked() {
    let text = conversation([start("connected", &[PORT_TOOL])], "Hello.");
    assert_eq!(passed_on("Claude-Code", &text), "Hello.");
    for agent in ["claude", "gpt"] {
        let errors = rejected(agent, text.as_bytes());
        assert!(
            errors.starts_with(&format!("input `agent` is `{agent}`")),
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
fn k61_the_kind_of_a_result_decides_whether_it_is_an_error() {
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
fn k42_k59_the_recorded_files_of_the_programs_are_read() {
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
fn k59_an_error_of_copilot_cli_decides() {
    let connected = || loaded(&json!([{"name": "port", "status": "connected"}]));
    let failed = |more: &[Value]| {
        let text = events(more).replace(r#""exitCode":0"#, r#""exitCode":1"#);
        rejected("copilot-cli", text.as_bytes())
    };
    let error = json!({"type": "session.error", "data": {"message": "no quota"}});
    assert!(failed(&[connected(), error]).starts_with("the agent failed: no quota\n"));
    assert!(failed(&[connected()]).starts_with("the agent failed: its exit code is 1\n"));
}

#[test]
fn k63_a_server_that_the_agent_does_not_list_is_an_error() {
    let servers = json!([{"name": "port-eu", "status": "connected"}, {"name": "Port", "status": "connected"}]);
    let tools = [
        "mcp__port-eu__list_blueprints",
        "mcp__Port__list_blueprints",
    ];
    let start =
        json!({"type": "system", "subtype": "init", "mcp_servers": servers, "tools": tools});
    for agent in ["claude-code", "qwen-code"] {
        let [request, result] = call(tools[0], None);
        let text = conversation([start.clone(), request, result], "made up");
        let errors = rejected(agent, text.as_bytes());
        assert!(
            errors.starts_with(&format!(
                "{NOT_CONNECTED} (the agent's configuration does not contain it)"
            )),
            "{errors}"
        );
    }
    let errors = rejected("copilot-cli", events(&[loaded(&servers)]).as_bytes());
    assert!(
        errors.contains("the agent's configuration does not contain it"),
        "{errors}"
    );
}

/// Only if it debugs, Gemini CLI says which server has an issue.
#[test]
fn k63_an_issue_of_another_server_is_not_one_of_port() {
    let run = |name: &str| {
        let log = format!(
            "MCP server 'port': connecting\n[MCP error] Error during discovery for MCP server '{name}': fetch failed\n\
             MCP issues detected. Run /mcp list for status.\n"
        );
        let text = gemini("made up", "read_file", 1);
        let (_, run) = run_with("gemini-cli", text.as_bytes(), &[], &[("stderr.log", &log)]);
        assert_eq!(run.exit, Some(1));
        errors(&run)
    };
    for other in ["other", "port-eu", "Port", "my-port"] {
        assert!(run(other).starts_with(UNPROVEN), "{other}");
    }
    let errors = run("port");
    let expected = "(Error during discovery for MCP server 'port': fetch failed)";
    assert!(
        errors.starts_with(&format!("{NOT_CONNECTED} {expected}")),
        "{errors}"
    );
}

/// The header of a token is the same in the tokens of all jobs.
#[test]
fn k64_the_header_of_a_token_is_no_secret() {
    let header = "eyJ0eXAiOiJKV1QiLCJhbGciOiJSUzI1NiJ9";
    let payload = "eyJpc3MiOiJnaXRodWIiLCJleHAiOjE3OTYwODMyMDB9";
    let signature = "Qm7xT2vK9pLwR4nZ8cYh-sJ1dFg5PaE3uBt6_iVo0XqMkNzHyW";
    let token = format!("ghs_1234567_{header}.{payload}.{signature}");
    let bearer = format!("Bearer {header}.{payload}.{signature}");
    for secret in [&token, &bearer] {
        let run = |answer: &str| run_step("codex", answer.as_bytes(), secret).1;
        for answer in [
            format!("A token begins with `{header}`."),
            format!("A token begins with `ghs_1234567_{header}.` and ends with a signature."),
            "eyJhbGciOiJIUzI1NiJ9 is another header.".to_owned(),
        ] {
            let run = run(&answer);
            assert_eq!(run.exit, Some(0), "{answer}: {}", run.log());
            assert_eq!(run.outputs["answer"], answer);
        }
        for part in [payload, signature, &payload[20..], &signature[..24]] {
            let reversed: String = part.chars().rev().collect();
            for answer in [part, &reversed, &part.to_uppercase()] {
                assert_eq!(run(answer).exit, Some(1), "{answer}");
            }
        }
        let failed = json!([{"type": "result", "is_error": true, "result": format!("invalid header {header}")}]);
        let (_, run) = run_step("claude-code", failed.to_string().as_bytes(), secret);
        let errors = errors(&run);
        assert!(
            errors.starts_with(&format!("the agent failed: invalid header {header}\n")),
            "{errors}"
        );
    }
}

/// docs/security.md states the lengths.
#[test]
fn k65_a_secret_in_pieces_is_not_passed_on() {
    let secret = "ghs_c4Rw9ZqK2mXv7TbN0sYhF5uJgL8pDe3AoV1i";
    let separators: [fn(usize) -> String; 5] = [
        |number| format!("\n{number}. "),
        |number| format!(" |\n| {number} | row | "),
        |number| format!("\", \"key_{number}\": \""),
        |number| format!("\nPart {number}: "),
        |_| "\n".to_owned() + &"and then ".repeat(3),
    ];
    for length in 4..=12 {
        for (number, separator) in separators.iter().enumerate() {
            let pieces = secret.as_bytes().chunks(length).enumerate();
            let answer: String = pieces
                .map(|(number, piece)| separator(number + 1) + std::str::from_utf8(piece).unwrap())
                .collect();
            for answer in [answer.chars().rev().collect(), answer] {
                let (_, run) = run_step("codex", answer.as_bytes(), secret);
                assert_eq!(run.exit, Some(1), "{length}, {number}: {answer}");
            }
        }
    }
    // Pieces in another order, and the words of a secret in a sentence.
    let words = "blue-team-workflow";
    for answer in [
        "The tokens begin with ghs_, c4Rw and 9ZqK are no words, and 7TbN is one.",
        "The workflow of the team is blue. A blue service has a team.",
    ] {
        let (_, run) = run_step("codex", answer.as_bytes(), &format!("{secret}\n{words}"));
        assert_eq!(run.exit, Some(0), "{}", run.log());
    }
}

#[test]
fn k66_a_signal_ends_the_search() {
    if is_image() {
        // Docker forwards the signal too slowly for this test.
        return;
    }
    let job = Job::new();
    let file = job.temp().join("answer");
    let answer = "The service 0x41 has QUJDREVGR0hJSktMTU5PUA== in row 12. ".repeat(200_000);
    fs::write(&file, answer).unwrap();
    let inputs = [
        ("agent", "codex"),
        ("file", file.to_str().unwrap()),
        ("secrets", TOKEN),
    ];
    let running = job.spawn(&program(), Phase::Other("answer"), &inputs);
    // The search follows on it.
    running.wait_for_line(TOKEN);
    let started = Instant::now();
    running.terminate();
    let run = running.wait();
    assert!(started.elapsed() < Duration::from_secs(5));
    assert_eq!(run.exit, Some(130), "{}", run.log());
    assert!(run.outputs.is_empty());
    assert_eq!(fs::read_dir(job.temp()).unwrap().filter(is_ours).count(), 0);
}

/// What a tool returned does not decide whether the answer can be read.
#[test]
fn k62_only_what_is_needed_is_read() {
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

#[test]
fn k66_secrets_that_cannot_be_read_are_an_error() {
    let job = Job::new();
    let file = job.temp().join("answer");
    fs::write(&file, "Hello.").unwrap();
    let file = file.to_str().unwrap();
    let inputs = [("agent", "codex"), ("file", file)];
    let run = job.step(&program(), Phase::Other("answer"), &inputs);
    assert_eq!(run.exit, Some(0));
    assert!(annotations(&run, "notice").contains("The answer was not searched for secrets"));
    if is_image() {
        return;
    }
    let with_invalid = [
        "sh",
        "-c",
        "export INPUT_SECRETS=\"$(printf 's3cret\\377')\"; exec \"$0\" \"$@\"",
        env!("CARGO_BIN_EXE_port-mcp"),
    ];
    let program = Program::wrapped(with_invalid);
    let run = job.step(&program, Phase::Other("answer"), &inputs);
    assert_eq!(run.exit, Some(1));
    assert!(errors(&run).starts_with("input `secrets` is not UTF-8"));
}

#[test]
fn k67_an_error_is_searched_like_an_answer() {
    let error = |text: &str| {
        let result =
            json!({"type": "result", "subtype": "success", "is_error": true, "result": text});
        rejected("claude-code", json!([result]).to_string().as_bytes())
    };
    let reversed: String = TOKEN.chars().rev().collect();
    let errors = error(&reversed);
    assert!(
        errors.starts_with("the agent failed, and its error contains a secret of this job"),
        "{errors}"
    );
    assert!(error(TOKEN).starts_with("the agent failed: ***"));
    for text in ["\u{feff}", "\0", "\u{200b} \n"] {
        let errors = rejected("codex", text.as_bytes());
        assert!(errors.contains("the file is empty"), "{errors}");
    }
}

/// The lines around a key are in every key, and brackets are in every text.
#[test]
fn k67_the_public_lines_of_a_key_are_no_secrets() {
    let lines = [
        "MIIEvQIBADANBgkqhkiG9w0BAQEFAASCBKcwggSjAgEAAoIBAQC7VJTUt9Us8cKj",
        "MzEfYyjiWA4R4hA7TbN0sYhF5uJgL8pDe3AoV1ic4Rw9ZqK2mXv7Qm7xT2vK9pLw",
        "R4nZ8cYhsJ1dFg5PaE3uBt6iVo0XqMk=",
    ];
    let [begin, end] = ["BEGIN", "END"].map(|word| format!("-----{word} PRIVATE KEY-----"));
    let pem = format!("{begin}\n{}\n{end}", lines.join("\n"));
    let json = json!({"type": "service_account", "private_key": format!("{pem}\n")});
    let json = serde_json::to_string_pretty(&json).unwrap();
    let public = format!(
        "Write `{begin}`, then the key, and then `{end}`:\n{{\n  \"private_key\": \"{begin}\\n...\\n{end}\\n\"\n}}"
    );
    for secrets in [&pem, &json, &pem.replace('\n', "\r\n")] {
        let run = |answer: &str| run_step("codex", answer.as_bytes(), secrets).1;
        let passed = run(&public);
        assert_eq!(passed.exit, Some(0), "{}", passed.log());
        assert_eq!(passed.outputs["answer"], public);
        for line in ["{", "}", &begin, &end] {
            assert!(!passed.masks.iter().any(|mask| mask == line), "{line}");
        }
        for line in lines {
            let reversed: String = line.chars().rev().collect();
            for answer in [line, &reversed, &line[8..28]] {
                assert_eq!(
                    run(&format!("{public}\n{answer}")).exit,
                    Some(1),
                    "{answer}"
                );
            }
        }
    }
    // Of punctuation alone, a long secret is one.
    let (_, run) = run_step("codex", b"It is {[(<$%&?!>)]}.", "{[(<$%&?!>)]}");
    assert_eq!(run.exit, Some(1));
}

/// L6: the output is cut by bytes, between characters. The file contains the whole answer.
#[test]
fn l6_a_large_answer_is_cut_by_bytes() {
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

/// M2: every secret of the job, in every common disguise.
#[test]
fn m2_a_disguised_secret_is_not_passed_on() {
    use base64::Engine as _;
    use base64::prelude::BASE64_STANDARD;

    let secrets = BTreeMap::from([
        ("token", TOKEN),
        (
            "client secret",
            r#"kJ8+vQ2/xT6&nB4=mR0%wL9"zC3-sF7_hD1~gY5.pA8"#,
        ),
        ("github.token", "ghs_c4Rw9ZqK2mXv7TbN0sYhF5uJgL8pDe3AoV1i"),
        ("POLICY_TOKEN", "github_pat_11ABCDEFG0hIjKlMnOpQrS_tUvWxYz"),
    ]);
    let all = secrets.values().copied().collect::<Vec<_>>().join("\n");
    let disguises: [fn(&str) -> String; 12] = [
        str::to_owned,
        |secret| BASE64_STANDARD.encode(secret),
        |secret| BASE64_STANDARD.encode(BASE64_STANDARD.encode(secret)),
        |secret| secret.bytes().map(|b| format!("{b:02x}")).collect(),
        |secret| secret.bytes().map(|b| format!("{b:02X}:")).collect(),
        |secret| secret.chars().rev().collect(),
        |secret| secret.chars().map(|c| format!("{c} ")).collect(),
        |secret| secret.chars().map(|c| format!("{c}\n")).collect(),
        |secret| secret.bytes().map(|b| format!("{b} ")).collect(),
        |secret| secret.bytes().map(|b| format!("%{b:02x}")).collect(),
        str::to_uppercase,
        |secret| {
            format!(
                "first {}, then {}",
                &secret[..secret.len() / 2],
                &secret[secret.len() / 2..]
            )
        },
    ];
    for (name, secret) in secrets {
        for (number, disguise) in disguises.iter().enumerate() {
            let answer = format!("Of course:\n\n{}\n", disguise(secret));
            let (_, run) = run_step("codex", answer.as_bytes(), &all);
            assert_eq!(run.exit, Some(1), "{name}, disguise {number}");
            assert!(errors(&run).starts_with("the agent's answer contains a secret of this job"));
            assert!(
                !run.stdout
                    .lines()
                    .any(|line| !line.starts_with("::add-mask::") && line.contains(secret))
            );
        }
    }
    assert_eq!(
        passed_on("codex", "An ordinary answer of 12 services, 0x2f and QUJD."),
        "An ordinary answer of 12 services, 0x2f and QUJD."
    );
}

#[test]
fn the_step_matches_its_declaration() {
    let action: yaml_serde::Value =
        yaml_serde::from_str(include_str!("../../answer/action.yml")).unwrap();
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
