//! Variables that are not text, too many, or too large.

use port_mcp_action::inputs::INPUTS;

use super::after;
use crate::harness::{Step, annotations, assert_explained, errors};

/// The longest string that Linux passes to a program, with its name and the byte at its end.
const LARGEST: usize = 128 * 1024;

/// A script that sets a variable to a byte that is not UTF-8.
fn not_utf8(name: &str) -> String {
    format!("export {name}=\"$(printf 'a\\377')\"")
}

/// Every variable that the program reads, except the inputs.
const VARIABLES: [&str; 27] = [
    "ALL_PROXY",
    "DOCKER_HOST",
    "GITHUB_ACTION",
    "GITHUB_ACTION_REF",
    "GITHUB_ACTION_REPOSITORY",
    "GITHUB_ACTOR",
    "GITHUB_API_URL",
    "GITHUB_EVENT_NAME",
    "GITHUB_EVENT_PATH",
    "GITHUB_JOB",
    "GITHUB_REF",
    "GITHUB_REPOSITORY",
    "GITHUB_RUN_ATTEMPT",
    "GITHUB_RUN_ID",
    "GITHUB_SERVER_URL",
    "GITHUB_STEP_SUMMARY",
    "GITHUB_WORKFLOW_REF",
    "GITHUB_WORKSPACE",
    "HOME",
    "HTTPS_PROXY",
    "NO_PROXY",
    "PORT_MCP_IMAGE_GATEWAY",
    "RUNNER_DEBUG",
    "RUNNER_TEMP",
    "SSL_CERT_DIR",
    "SSL_CERT_FILE",
    "STATE_config_file",
];

#[test]
fn variables_that_are_not_utf8_are_not_ignored() {
    for variable in VARIABLES {
        let step = Step::new().program(after(&not_utf8(variable)));
        let step = step.input("policy", "acme/.github/p.yml@main");
        assert_eq!(step.run().exit, Some(1), "{variable}: there is no policy");
        let step = step.input("policy", "");
        let run = step.run();
        let expected = match variable {
            "ALL_PROXY" | "HTTPS_PROXY" => "`https_proxy` is not a URL of an HTTP proxy",
            "SSL_CERT_DIR" | "SSL_CERT_FILE" => "TLS could not be set up",
            _ => "",
        };
        assert_eq!(
            run.exit,
            Some(i32::from(!expected.is_empty())),
            "{variable}"
        );
        assert!(errors(&run).contains(expected), "{variable}: {}", run.log());
        let expected = i32::from(variable == "STATE_config_file");
        assert_eq!(step.clean_up().exit, Some(expected), "{variable}");
    }
    let step = Step::new().input("policy", "acme/.github/p.yml@main");
    let errors = step.program(after(&not_utf8("GITHUB_API_URL"))).fail();
    assert!(
        errors.contains("GITHUB_API_URL is not an https URL"),
        "{errors}"
    );
}

#[test]
fn inputs_that_are_not_utf8_are_named() {
    for (input, _) in INPUTS {
        let variable = format!("INPUT_{}", input.to_uppercase());
        let step = Step::new().program(after(&not_utf8(&variable)));
        let errors = step.fail();
        let expected = format!("input `{input}` is not UTF-8");
        assert!(errors.contains(&expected), "{errors}");
    }
    let script =
        "exec env \"$(printf 'INPUT_\\377=x')\" \"$(printf '\\377\\376=x')\" \"$0\" \"$@\"";
    Step::new().program(after(script)).succeed();
}

#[test]
fn a_temporary_directory_whose_name_is_not_utf8() {
    let script = "export RUNNER_TEMP=\"$PWD/$(printf 'a\\377')\" && mkdir -p \"$RUNNER_TEMP\"";
    let step = Step::new().input("config_file", "true");
    let step = step.program(after(script));
    step.succeed();
    assert_eq!(step.clean_up().exit, Some(0));

    let step = Step::new()
        .input("connection", "gateway")
        .input("audit_file", "true");
    let errors = step.program(after(script)).fail();
    assert!(errors.contains("audit file is not UTF-8"), "{errors}");
}

#[test]
fn ten_thousand_inputs() {
    for name in ["INPUT_OF_THE_JOB", "INPUT_ALLOWED_TOOLS_"] {
        let script = format!(
            "ulimit -d 98304; i=0; while [ $i -lt 10000 ]; do export {name}$i=x; i=$((i + 1)); done"
        );
        let run = Step::new().program(after(&script)).run();
        assert_explained(&run);
        assert!(matches!(run.exit, Some(0 | 1)), "{:?}", run.exit);
    }
}

#[test]
fn each_input_can_be_as_large_as_a_variable() {
    for (input, _) in INPUTS {
        for unit in ["x", "a,"] {
            let size = LARGEST - "INPUT_=".len() - input.len() - 1;
            let mut text = unit.repeat(size);
            text.truncate(size);
            let step = Step::new().input(input, text);
            let run = step.program(after("ulimit -d 98304")).run();
            assert_explained(&run);
            let errors = errors(&run);
            assert!(!errors.contains("bug in"), "{input}: {errors}");
            assert!(errors.len() < 64 * 1024, "{input}: {} bytes", errors.len());
            assert!(matches!(run.exit, Some(0 | 1)), "{input}: {:?}", run.exit);
            assert_eq!(annotations(&run, "error").is_empty(), run.exit == Some(0));
        }
    }
    let step = Step::new();
    let file = std::fs::File::create(step.job.workspace().join("large.json")).unwrap();
    file.set_len(100 << 20).unwrap();
    let step = step.program(after("ulimit -d 98304"));
    let errors = step.input("base_config", "large.json").fail();
    assert!(errors.contains("is larger than 64 KiB"), "{errors}");
}
