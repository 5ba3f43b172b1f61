//! The job summary.

use fake_port::{FakePort, Tool};

use crate::harness::{Step, assert_snapshot};

#[test]
fn it_says_what_was_granted() {
    let run = Step::new()
        .input("allowed_tools", "list_blueprints, list_entities")
        .succeed();
    assert_snapshot!("summary", run.summary);
}

#[test]
fn it_says_what_was_held_back_and_why() {
    let run = Step::new()
        .input("allowed_tools", "get_page, run_*")
        .succeed();
    let held_back = run.summary.split("| Not granted").nth(1).unwrap();
    assert_snapshot!(held_back.trim_end(), @"
     | Reason |
    |---|---|
    | `run_action` | not annotated as read-only: must be listed by name |
    ");
}

#[test]
fn it_stays_below_githubs_limit_whatever_the_server_sends() {
    let long = "<&>".repeat(500_000);
    let port = FakePort::builder()
        .tools(12_000)
        .offer(Tool::new("get_all").description(long));
    let run = Step::against(port).succeed();
    assert!(run.summary.len() < 1024 * 1024, "{}", run.summary.len());
    assert!(run.summary.contains("more | | |"));
}

#[test]
fn it_can_be_left_out() {
    assert_eq!(Step::new().input("summary", "false").succeed().summary, "");
}
