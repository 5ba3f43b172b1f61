//! The process: signals, arguments, and running without a runner.

use std::process::Command;

use fake_port::{Endpoint, Fault};

use crate::harness::{Step, assert_snapshot, port_mcp};

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
fn help_and_version() {
    let (code, text) = port_mcp(&["--version"]);
    assert_eq!(
        (code, text),
        (Some(0), format!("port-mcp {}\n", env!("CARGO_PKG_VERSION")))
    );
    let (code, text) = port_mcp(&["--help"]);
    assert_eq!(code, Some(0));
    assert_snapshot!("help", text);
    assert_eq!(port_mcp(&["conect"]).0, Some(2));
    assert_eq!(port_mcp(&[]).0, Some(2));
}

#[test]
fn running_without_a_runner_is_an_error() {
    let step = Step::new();
    let output = Command::new(env!("CARGO_BIN_EXE_port-mcp"))
        .arg("connect")
        .env_clear()
        .envs([
            ("INPUT_CLIENT_ID", step.port.client_id()),
            ("INPUT_CLIENT_SECRET", step.port.client_secret()),
            ("INPUT_API_URL", step.port.api_url()),
            ("INPUT_MCP_URL", step.port.mcp_url()),
            ("INPUT_SUMMARY", "false"),
        ])
        .output()
        .unwrap();
    assert_eq!(output.status.code(), Some(1));
    assert!(output.stdout.is_empty(), "nothing reads commands");
    let text = String::from_utf8(output.stderr).unwrap();
    assert!(!text.contains(step.port.client_secret()), "{text}");
    assert!(
        text.contains("`GITHUB_OUTPUT` is not set: not running in GitHub Actions"),
        "{text}"
    );
    assert!(text.contains("cargo run --example quickstart"), "{text}");
}
