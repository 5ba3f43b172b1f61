//! The files of the step, where there is no temporary directory.

use crate::harness::{Step, annotations};

/// In a container, `HOME` is always set, to the root directory if necessary.
#[test]
fn a_missing_temporary_directory_is_reported_before_any_request() {
    let mut step = Step::new().input("config_file", "true");
    step.job.without("RUNNER_TEMP").without("HOME");
    assert!(
        step.fail()
            .starts_with("no temporary directory: neither `RUNNER_TEMP` nor `HOME` is mounted")
    );
    assert!(step.port.received().is_empty());
}

#[test]
fn a_temporary_directory_that_is_gone_needs_no_clean_up() {
    let mut step = Step::new().input("config_file", "true");
    step.succeed();
    std::fs::remove_dir_all(step.job.temp()).unwrap();
    step.job.without("HOME");
    let run = step.clean_up();
    assert_eq!(run.exit, Some(0), "{}", run.log());
    assert!(run.log().contains("was already removed"), "{}", run.log());
    for kind in ["error", "warning", "notice"] {
        assert_eq!(annotations(&run, kind), "");
    }
}

#[test]
fn the_hint_names_the_input_that_needs_the_directory() {
    let mut step = Step::new()
        .input("connection", "gateway")
        .input("audit_file", "true");
    step.job.without("RUNNER_TEMP").without("HOME");
    let errors = step.fail();
    assert!(errors.contains("hint: remove `audit_file`"), "{errors}");
    assert!(!errors.contains("config_file"), "{errors}");
}
