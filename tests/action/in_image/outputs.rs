//! The outputs: those that `action.yml` declares, and those that are too large for a variable.

use std::collections::BTreeMap;

use fake_port::FakePort;
use yaml_serde::Value;

use crate::harness::{Step, annotations, assert_snapshot};
use crate::interface::section;

#[test]
fn the_outputs_are_those_that_are_declared() {
    let declared: BTreeMap<String, Value> = section("outputs").into_iter().collect();
    let written = Step::new().input("config_file", "true").succeed().outputs;
    assert_eq!(
        declared.keys().collect::<Vec<_>>(),
        written.keys().collect::<Vec<_>>()
    );
}

#[test]
fn outputs_that_exceed_the_limit_of_variables() {
    let run = Step::against(FakePort::builder().tools(10_000).page_size(1000)).succeed();
    assert_snapshot!(annotations(&run, "warning"), @"
    The output `allowed_tools` is 145 KiB; the limit for an environment variable is 128 KiB, so a step that uses it may not start. Grant fewer tools.

    The output `agent_args` is 145 KiB; the limit for an environment variable is 128 KiB, so a step that uses it may not start. Grant fewer tools.
    ");
    assert!(run.log().len() < 20_000);
}

#[test]
fn the_hint_names_what_makes_an_output_long() {
    let port = FakePort::builder().tools(12_000).page_size(1000);
    let one = Step::against(port).input("allowed_tools", "list_service_0");
    let warning = annotations(&one.succeed(), "warning");
    let expected = "Most of it is the names of the tools that are not granted, which the agent hides: set `connection: gateway`, which hides them itself.";
    assert!(
        warning.starts_with("The output `agent_args` is "),
        "{warning}"
    );
    assert!(warning.ends_with(expected), "{warning}");

    let base_config =
        serde_json::json!({"mcpServers": {"a": {"command": "x".repeat(60_000)}}}).to_string();
    let args = format!("{}\n", base_config.replace("xx", "'x"));
    let long = Step::new()
        .input("allowed_tools", "list_blueprints")
        .input("base_config", args);
    let warning = annotations(&long.succeed(), "warning");
    assert!(
        warning.contains("Shorten `base_config`, or use `config_file`"),
        "{warning}"
    );
}
