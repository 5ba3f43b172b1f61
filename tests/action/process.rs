//! The process of this machine: arguments, running without a runner, and a signal at its start.

use std::process::Command;
use std::time::{Duration, Instant};

use fake_port::{Endpoint, Fault};
use runner_double::Running;

use crate::harness::{BINARY, Step, assert_snapshot, port_mcp};

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
    let output = Command::new(BINARY)
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

/// The signal handlers are installed first, so a signal right after the start ends the process. Docker starts a process too
/// slowly for this test: `tests/e2e/run` tests signals to a container.
#[test]
fn a_signal_right_after_the_start_ends_the_step() {
    for signal in [Running::terminate, Running::interrupt] {
        for _ in 0..20 {
            let step = Step::new();
            step.port.fault(Endpoint::Rest, Fault::Hang);
            let started = Instant::now();
            let running = step.spawn();
            signal(&running);
            let run = running.wait();
            assert!(matches!(run.exit, None | Some(130)), "{:?}", run.exit);
            assert!(started.elapsed() < Duration::from_secs(5));
        }
    }
}
