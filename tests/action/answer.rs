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
    let job = Job::new();
    let file = job.temp().join("answer");
    std::fs::write(&file, contents).unwrap();
    let inputs = [
        ("agent", agent),
        ("file", file.to_str().unwrap()),
        ("secrets", secrets),
    ];
    let run = job.step(&program(), Phase::Other("answer"), &inputs);
    assert_explained(&run);
    (job, run)
}

/// A conversation of Claude Code.
fn claude_conversation(result: &Value, status: &str) -> String {
    let init = json!({"type": "system", "subtype": "init", "mcp_servers": [{"name": "port", "status": status}]});
    json!([init, {"type": "assistant"}, {"type": "result", "result": result}]).to_string()
}

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
    assert_eq!(
        passed_on(
            "claude-code",
            &claude_conversation(&json!("Hello.\nWorld"), "connected")
        ),
        "Hello.\nWorld"
    );
    assert_eq!(
        passed_on("gemini-cli", r#"{"response": "Hello.", "stats": {"x": 1}}"#),
        "Hello."
    );
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

/// If the server returns a 503, Gemini CLI 0.61.0 prints this message and succeeds.
#[test]
fn a4_an_answer_without_a_connection_to_port_is_an_error() {
    let job = Job::new();
    let directory = job.temp().join("gemini-artifacts");
    fs::create_dir(&directory).unwrap();
    let file = directory.join("stdout.log");
    fs::write(&file, r#"{"response": "There are none."}"#).unwrap();
    let step = || {
        let file = file.to_str().unwrap();
        let inputs = [("agent", "gemini-cli"), ("file", file)];
        job.step(&program(), Phase::Other("answer"), &inputs)
    };
    let log = directory.join("stderr.log");
    fs::write(&log, "YOLO mode is enabled.\n").unwrap();
    assert_eq!(step().exit, Some(0));
    fs::write(&log, "MCP issues detected. Run /mcp list for status.\n").unwrap();
    let run = step();
    assert_eq!(run.exit, Some(1));
    assert!(errors(&run).starts_with("the agent could not connect to the MCP server `port`"));
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
            "the agent returned no answer: the file is empty",
        ),
        (
            "claude-code",
            "[{\"type\": \"result\", \"is_error\": true, \"result\": \"no credit\"}]",
            "the agent failed: no credit",
        ),
        (
            "gemini-cli",
            "Loaded cached credentials.",
            "is not a JSON object with `response`",
        ),
        (
            "gemini-cli",
            "{\"response\": \"\", \"stats\": {}}",
            "the agent returned no answer: the file is empty",
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
fn an_answer_without_a_connection_to_the_server_is_an_error() {
    for status in ["failed", "needs-auth", "disabled"] {
        let errors = rejected(
            "claude-code",
            claude_conversation(&json!("made up"), status).as_bytes(),
        );
        assert!(
            errors.contains("the agent could not connect to the MCP server `port`"),
            "{errors}"
        );
    }
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
    assert_eq!(keys("inputs"), ["agent", "file", "server_name", "secrets"]);
    let (_, run) = run_step("codex", b"Hello.", "");
    assert_eq!(
        keys("outputs"),
        run.outputs.keys().cloned().collect::<Vec<_>>()
    );
}
