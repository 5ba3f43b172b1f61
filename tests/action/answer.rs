//! `port-mcp answer` (`answer/action.yml`): checks an agent's answer and passes it on.

use std::fs;

use std::collections::BTreeMap;

use port_mcp_action::agents::Agent;
use runner_double::{Finished, Job, Phase};
use serde_json::{Value, json};

use crate::harness::{annotations, assert_explained, errors, program};

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
    let left = std::fs::read_dir(job.temp()).unwrap();
    let left = left.filter(|entry| {
        let name = entry.as_ref().unwrap().file_name();
        name.to_string_lossy().starts_with("port-mcp-")
    });
    assert_eq!(left.count(), 0, "no file remains");
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
        (
            r#"{"response": "made up"}"#.to_owned(),
            issues,
            NOT_CONNECTED,
        ),
        (gemini("made up", tool, 0), "", UNPROVEN),
        (gemini("made up", "read_file", 1), "", UNPROVEN),
        (
            gemini("made up", "mcp_other_list_blueprints", 1),
            issues,
            NOT_CONNECTED,
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
            notice.contains("does not say whether the agent connected"),
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
            let more = [("audit_file", "audit.jsonl")];
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
            "the agent failed: Reached maximum number of turns (1)",
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
        assert!(annotations(&run, "notice").contains("the file contains all of it"));
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
        ["agent", "file", "server_name", "audit_file", "secrets"]
    );
    let (_, run) = run_step("codex", b"Hello.", "");
    assert_eq!(
        keys("outputs"),
        run.outputs.keys().cloned().collect::<Vec<_>>()
    );
}
