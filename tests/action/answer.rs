//! `port-mcp answer`, where a test needs a process of this machine.

use std::fs;
use std::time::{Duration, Instant};

use runner_double::{Job, Phase, Program};
use serde_json::json;

use crate::harness::{BINARY, Step, after, errors, ours};

const SECRET: &str = "eyJhbGciOiJIUzI1NiJ9.eyJpc01hY2hpbmUiOnRydWV9.c2lnbmF0dXJlX29mX3RoZQ-_x";

/// Docker forwards a signal too slowly for this test.
#[test]
fn a_signal_ends_the_search() {
    let job = Job::new();
    let file = job.temp().join("answer");
    let answer = "The service 0x41 has QUJDREVGR0hJSktMTU5PUA== in row 12. ".repeat(200_000);
    fs::write(&file, answer).unwrap();
    let inputs = [
        ("agent", "codex"),
        ("file", file.to_str().unwrap()),
        ("secrets", SECRET),
    ];
    let program = Program::binary(BINARY);
    let running = job.spawn(&program, Phase::Other("answer"), &inputs);
    // The search follows on it.
    running.wait_for_line(SECRET);
    let started = Instant::now();
    running.terminate();
    let run = running.wait();
    assert!(started.elapsed() < Duration::from_secs(5));
    assert_eq!(run.exit, Some(130), "{}", run.log());
    assert!(run.outputs.is_empty());
    assert!(ours(&job).is_empty());
}

#[test]
fn an_answer_with_emoji_does_not_end_the_runner() {
    let text = json!([{"type": "result", "is_error": true, "result": "\u{1f600}".repeat(300)}]);
    let step = Step::new().file("answer.json", &text.to_string());
    let program = Program::binary(BINARY);
    let inputs = [("agent", "claude-code"), ("file", "answer.json")];
    let run = step.job.step(&program, Phase::Other("answer"), &inputs);
    assert_eq!(run.exit, Some(1));
    let shown = "\u{2039}U+1F600\u{203a}";
    assert!(errors(&run).contains(shown), "{}", run.log());
    assert!(errors(&run).contains("\nhint: "), "{}", run.log());
}

#[test]
fn secrets_that_are_not_utf8_are_an_error() {
    let step = Step::new().file("answer.txt", "Hello.");
    let program = after("export INPUT_SECRETS=\"$(printf 's3cret\\377')\"");
    let inputs = [("agent", "codex"), ("file", "answer.txt")];
    let run = step.job.step(&program, Phase::Other("answer"), &inputs);
    assert_eq!(run.exit, Some(1));
    assert!(errors(&run).starts_with("input `secrets` is not UTF-8"));
}
