//! The configuration file.

use std::os::unix::fs::MetadataExt as _;

use crate::harness::{Step, annotations, assert_snapshot};

fn step() -> Step {
    Step::new().input("config_file", "true")
}

#[test]
fn the_file_is_private_and_removed_after_the_job() {
    let step = step();
    let run = step.succeed();
    let name = &run.outputs["config_file"];
    assert!(!name.contains('/'), "{name}");
    let path = step.job.temp().join(name);
    assert_eq!(
        std::fs::read_to_string(&path).unwrap(),
        run.outputs["mcp_config"]
    );
    let (file, owner) = (
        path.metadata().unwrap(),
        step.job.temp().metadata().unwrap(),
    );
    assert_eq!(file.mode() & 0o777, 0o600);
    assert_eq!((file.uid(), file.gid()), (owner.uid(), owner.gid()));

    let post = step.clean_up();
    assert_eq!(post.exit, Some(0));
    assert_snapshot!(post.log(), @"Removed the MCP configuration file.");
    assert!(!path.exists());
}

#[test]
fn each_run_writes_a_file_with_another_name() {
    let step = step();
    let names = [step.succeed(), step.succeed()].map(|run| run.outputs["config_file"].clone());
    assert_ne!(names[0], names[1]);
}

#[test]
fn with_older_runners_the_file_is_in_home() {
    let mut step = step();
    step.job.without("RUNNER_TEMP");
    let run = step.succeed();
    let name = &run.outputs["config_file"];
    let path = step.job.temp().join(name);
    assert!(name.starts_with("_github_home/port-mcp-"), "{name}");
    assert_eq!(
        std::fs::read_to_string(&path).unwrap(),
        run.outputs["mcp_config"]
    );
    step.clean_up();
    assert!(!path.exists());
}

#[test]
fn without_a_file_there_is_nothing_to_clean_up() {
    let step = Step::new();
    step.succeed();
    let post = step.clean_up();
    assert_eq!((post.exit, post.log()), (Some(0), ""));
}

#[test]
fn a_file_that_was_already_removed_is_not_an_error() {
    let step = step();
    let run = step.succeed();
    std::fs::remove_file(step.job.temp().join(&run.outputs["config_file"])).unwrap();
    assert_eq!(step.clean_up().exit, Some(0));
}

#[test]
fn the_post_phase_removes_only_files_of_this_action() {
    let step = Step::new().variable("STATE_config_file", "../catalog/precious.txt");
    let step = step.file("precious.txt", "x");
    let post = step.clean_up();
    assert_eq!(post.exit, Some(0));
    assert_snapshot!(annotations(&post, "warning"), @"The saved state names the configuration file `../catalog/precious.txt`, but this action writes no file of that name, so nothing was removed. Check whether a step sets the variable `STATE_config_file`.");
    assert!(step.job.workspace().join("precious.txt").exists());
}
