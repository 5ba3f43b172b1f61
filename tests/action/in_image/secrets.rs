//! Secrets are only in the outputs and files that are meant for them. The harness checks this after
//! every run of every test. The runs in this file try to break it.

use fake_port::{CLIENT_SECRET, Endpoint, FakePort, Fault, Flow, Tool};

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

#[test]
fn a_secret_that_markdown_would_escape_is_not_in_the_summary() {
    for secret in [
        "c2ln_bmF0_dXJl",
        r"a\b|c*d[e]f!g~h",
        "$a@b#c&d<e>f`g",
        "__a__b__c__",
    ] {
        let tool = Tool::new("list_it")
            .description(format!("It repeats {secret}."))
            .read_only(true);
        let step = Step::against(FakePort::builder().credentials("id", secret).offer(tool));
        let run = step.succeed();
        assert!(run.summary.contains("`It repeats ***.`"), "{}", run.summary);
    }
}

#[test]
fn the_client_secret_in_another_input_is_one_error_and_not_shown() {
    for input in [
        "region",
        "server_name",
        "agent",
        "timeout",
        "read_only",
        "base_config",
        "ca_certificate",
    ] {
        Step::new().input(input, CLIENT_SECRET).fail();
    }
    for (name, value) in [
        ("client_id", "{}"),
        (
            "base_config",
            r#"{"mcpServers":{"x":{"headers":{"K":"{}"}}}}"#,
        ),
        ("allowed_tools", "list_*, {}"),
        ("server_name", "{}"),
        ("policy", "acme/{}/x.yml@main"),
        ("environment", "{}"),
        ("mcp_url", "https://mcp.port.io/v1?{}"),
    ] {
        let step = Step::against(FakePort::builder().credentials("id", "s3cr3t-value"));
        let errors = step.input(name, value.replace("{}", "s3cr3t-value")).fail();
        let first = format!("input `{name}` contains the client secret\n");
        assert!(errors.contains(&first), "{errors}");
        assert!(!errors.contains("is empty"), "{errors}");
    }
    // A shorter secret can occur in other inputs by chance.
    Step::against(FakePort::builder().credentials("id", "abc1234"))
        .input("environment", "abc1234")
        .succeed();
}
