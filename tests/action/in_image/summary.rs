//! The job summary.

use fake_port::{FakePort, Tool};

use crate::harness::{Step, assert_snapshot};

#[test]
fn granted_tools_are_listed() {
    let run = Step::new()
        .input("allowed_tools", "list_blueprints, list_entities")
        .succeed();
    assert_snapshot!("summary", run.summary);
}

#[test]
fn tools_that_are_not_granted_are_listed_with_a_reason() {
    let run = Step::new()
        .input("allowed_tools", "get_page, run_*")
        .succeed();
    let not_granted = run.summary.split("| Not granted").nth(1).unwrap();
    assert_snapshot!(not_granted.trim_end(), @"
     | Reason |
    |:--|:--|
    | `run_action` | not annotated as read-only: must be listed by name |
    ");
}

#[test]
fn a_large_summary_stays_below_githubs_limit() {
    let long = "<&>".repeat(500_000);
    let port = FakePort::builder()
        .tools(12_000)
        .offer(Tool::new("get_all").description(long));
    let run = Step::against(port).succeed();
    assert!(run.summary.len() < 1024 * 1024, "{}", run.summary.len());
    assert!(run.summary.contains("more | | |"));
}

#[test]
fn the_summary_can_be_disabled() {
    let step = Step::new().input("summary", " False ");
    assert_eq!(step.succeed().summary, "");
    let step = step.input("allowed_tools", "none");
    assert_eq!(step.run().exit, Some(1));
    assert_eq!(step.run().summary, "");
}

/// What a step requested, and every error, quoted as code: a name of an input can be any text.
#[test]
fn the_summary_of_a_failed_step_says_why() {
    let step = Step::new()
        .input("agent", "clade-code")
        .input("connection", "![x](https://evil.example)|`<b>")
        .input("policy", "");
    let run = step.run();
    assert_eq!(run.exit, Some(1));
    assert_snapshot!("summary.failed", run.summary);

    let step = Step::new().input("allowed_tools", "list_entity");
    assert_snapshot!("summary.failed.tool", step.run().summary);
    let step = Step::new().input("client_secret", "wrong-s3cret-of-the-step");
    assert_snapshot!("summary.failed.credentials", step.run().summary);
}
