//! Secrets are only in the outputs and files that are meant for them. The harness checks this after
//! every run of every test. The runs in this file try to break it.

use fake_port::{Endpoint, FakePort, Fault, Flow};

use crate::harness::{Step, annotations};

#[test]
fn masks_are_printed_first() {
    let step = Step::new();
    let run = step.succeed();
    let first = run.stdout.lines().next().unwrap();
    assert!(
        first.starts_with("::add-mask::"),
        "the client secret's mask is the first line"
    );
    for secret in [step.port.client_secret(), &step.port.token(Flow::Rest)] {
        assert!(run.masks.iter().any(|mask| mask == secret));
    }
    assert_eq!(
        run.stderr, "",
        "the runner reads both output streams concurrently"
    );
}

#[test]
fn the_secret_is_masked_even_if_inputs_are_invalid() {
    let run = Step::new().input("region", "mars").run();
    assert!(run.stdout.starts_with("::add-mask::"));
}

#[test]
fn debug_logging_shows_no_secret() {
    let run = Step::new().variable("RUNNER_DEBUG", "1").succeed();
    assert!(!annotations(&run, "debug").is_empty());
    let run = Step::new().succeed();
    assert_eq!(annotations(&run, "debug"), "");
}

#[test]
fn a_secret_in_another_input_is_not_shown() {
    let step = Step::new();
    let secret = step.port.client_secret().to_owned();
    for input in [
        "region",
        "server_name",
        "agent",
        "timeout",
        "read_only",
        "base_config",
        "ca_certificate",
    ] {
        Step::new().input(input, secret.as_str()).fail();
    }
}

#[test]
fn a_token_in_an_unexpected_response_is_not_shown() {
    for status in [200, 201, 400, 500] {
        let step = Step::against(FakePort::builder()).input("timeout", "2s");
        let token = step.port.token(Flow::Rest);
        for _ in 0..5 {
            let response = Fault::status(status).header("retry-after", "0");
            step.port.fault(
                Endpoint::Rest,
                response.text(format!("here you are: {token}")),
            );
        }
        step.fail();
    }
}

#[test]
fn a_configuration_in_another_format_is_not_quoted() {
    let other = r#"mcp_servers={port={http_headers={Authorization="Bearer hush-hush"}}}"#;
    let errors = Step::new().input("base_config", other).fail();
    assert!(
        errors.contains("is neither valid text nor the path of a file"),
        "{errors}"
    );
    assert!(!errors.contains("hush"), "{errors}");
}
