//! Whether the agent had Port's tools: by its own file, by its log, and by the audit of the gateway.

use port_mcp_action::agents::Agent;
use serde_json::{Value, json};

use super::*;

/// Claude Code's status is only that of the start: a server that connects later has a result.
#[test]
fn an_answer_without_tools_of_port_is_an_error() {
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
fn an_answer_of_gemini_cli_without_a_result_of_port_is_an_error() {
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
fn an_answer_of_copilot_cli_without_a_connection_is_an_error() {
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
fn events_of_copilot_cli_are_found_between_other_lines() {
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
fn the_step_says_if_it_cannot_know_whether_the_agent_connected() {
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
fn the_audit_says_whether_the_agent_had_tools() {
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
fn a_server_that_was_not_connected_in_time_is_an_error_whatever_the_audit_says() {
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
fn an_audit_that_cannot_be_read_is_an_error() {
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

#[test]
fn a_server_that_the_agent_does_not_list_is_an_error() {
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
fn an_issue_of_another_server_is_not_one_of_port() {
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
