//! The process: signals, and what the runner does not provide.

use std::process::Command;

use fake_port::{Endpoint, Fault};

use crate::harness::{Step, annotations, ours};

#[test]
fn a_cancelled_run_stops_at_once() {
    let step = Step::new().variable("RUNNER_DEBUG", "1");
    step.port.fault(Endpoint::Rest, Fault::Hang);
    let running = step.spawn();
    running.wait_for_line("requesting a token");
    running.terminate();
    let finished = running.wait();
    assert_eq!(finished.exit, Some(130));
    assert!(finished.outputs.is_empty());

    step.port.fault(Endpoint::Rest, Fault::Hang);
    let running = step.spawn();
    running.wait_for_line("requesting a token");
    running.interrupt();
    assert_eq!(running.wait().exit, Some(130));
}

#[test]
fn a_missing_runner_is_reported_before_any_request() {
    let mut step = Step::new();
    step.job.without("GITHUB_OUTPUT");
    let errors = step.fail();
    assert!(errors.contains("`GITHUB_OUTPUT` is not set"), "{errors}");
    assert!(errors.contains("update the runner"), "{errors}");
    assert!(step.port.received().is_empty(), "no request was sent");

    let mut step = Step::new().input("config_file", "true");
    step.job.without("GITHUB_STATE");
    assert!(step.fail().contains("`GITHUB_STATE` is not set"));
    assert!(step.port.received().is_empty());
}

#[test]
fn without_a_summary_file_the_step_succeeds() {
    let mut step = Step::new();
    step.job.without("GITHUB_STEP_SUMMARY");
    let run = step.succeed();
    assert!(run.outputs["mcp_config"].contains("mcpServers"));
    assert!(annotations(&run, "warning").contains("The job summary was not written"));
}

#[test]
fn a_pipe_instead_of_a_runner_file_does_not_block_the_step() {
    for variable in ["GITHUB_OUTPUT", "GITHUB_STATE", "GITHUB_STEP_SUMMARY"] {
        let step = Step::new().input("config_file", "true");
        let pipe = step.job.workspace().join("pipe");
        assert!(
            Command::new("mkfifo")
                .arg(&pipe)
                .status()
                .unwrap()
                .success()
        );
        let step = step.variable(variable, pipe.to_str().unwrap());
        let run = step.run();
        if variable == "GITHUB_STEP_SUMMARY" {
            assert_eq!(run.exit, Some(0), "{}", run.log());
            assert!(annotations(&run, "warning").contains("does not name a file"));
        } else {
            assert!(annotations(&run, "error").contains("does not name a file"));
            assert!(step.port.received().is_empty());
        }
    }
}

#[test]
fn a_pipe_instead_of_an_event_or_a_workflow_does_not_block_the_step() {
    let step = Step::new()
        .input("client_secret", "")
        .file(".github/workflows/x", "");
    let pipes =
        ["event", ".github/workflows/agent.yml"].map(|name| step.job.workspace().join(name));
    assert!(
        Command::new("mkfifo")
            .args(&pipes)
            .status()
            .unwrap()
            .success()
    );
    let event = pipes[0].to_str().unwrap().to_owned();
    let errors = step.variable("GITHUB_EVENT_PATH", &event).fail();
    assert!(
        errors.contains("input `client_secret` is empty"),
        "{errors}"
    );
}

#[test]
fn no_file_remains_if_the_step_fails() {
    let step = Step::new().input("config_file", "true");
    step.succeed();
    assert_eq!(ours(&step.job).len(), 1);

    // The outputs cannot be written, because the path of their file is a directory.
    let step = Step::new().input("config_file", "true");
    let outputs = step.job.workspace().join("outputs");
    std::fs::create_dir(&outputs).unwrap();
    let step = step.variable("GITHUB_OUTPUT", outputs.to_str().unwrap());
    step.fail();
    assert_eq!(ours(&step.job).len(), 0);
    for variable in ["GITHUB_OUTPUT", "GITHUB_STATE"] {
        let step = Step::new()
            .input("config_file", "true")
            .variable(variable, "/dev/full");
        step.fail();
        assert_eq!(ours(&step.job).len(), 0, "{variable}");
        let step = Step::new()
            .input("config_file", "true")
            .variable(variable, "/proc/no/such");
        step.fail();
        assert_eq!(ours(&step.job).len(), 0, "{variable}");
    }
}
