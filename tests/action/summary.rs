//! The job summary.

use crate::harness::{Step, assert_snapshot};

#[test]
fn it_says_what_was_granted() {
    let run = Step::new()
        .input("allowed_tools", "list_blueprints, list_entities")
        .succeed();
    assert_snapshot!("summary", run.summary);
}

#[test]
fn it_can_be_left_out() {
    assert_eq!(Step::new().input("summary", "false").succeed().summary, "");
}
