//! Inputs: their names, their notations, and the hints of their errors.

use std::process::Command;

use fake_port::FakePort;

use crate::harness::{Step, annotations};

#[test]
fn variables_with_the_prefix_of_inputs_are_errors_only_if_they_resemble_an_input() {
    let step = Step::new()
        .variable("INPUT_TAG", "v1")
        .variable("INPUT_PROMPT", "x")
        .variable("INPUT_NODE_VERSION", "24");
    assert_eq!(
        annotations(&step.succeed(), "warning")
            .matches("INPUT")
            .count(),
        0
    );
    for (near, meant) in [
        ("INPUT_ALLOWED_TOOL", "allowed_tools"),
        ("INPUT_READONLY", "read_only"),
    ] {
        let errors = Step::new().variable(near, "x").fail();
        assert!(
            errors.contains(&format!("did you mean `{meant}`?")),
            "{errors}"
        );
    }
}

/// The runner passes the default of an input that the step does not set.
#[test]
fn a_misspelled_input_is_an_error_whatever_the_default_of_the_right_one() {
    for (near, meant, default) in [
        ("allowed_tool", "allowed_tools", "*"),
        ("readonly", "read_only", "true"),
        ("connections", "connection", "direct"),
        ("require_conection", "require_connection", "false"),
        ("githubtoken", "github_token", "ghs_token-of-the-job"),
    ] {
        let step = Step::new().input(near, "x").input(meant, default);
        let errors = step.fail();
        assert!(
            errors.contains(&format!("did you mean `{meant}`?")),
            "{errors}"
        );
    }
}

#[test]
fn variables_for_other_programs_do_not_stop_a_step_whose_inputs_are_right() {
    let run = Step::new()
        .variable(
            "INPUT_PORT_CLIENT_SECRET",
            "another-s3cret-of-another-program",
        )
        .variable("INPUT_CLIENT-ID", "x")
        .variable("INPUT_BASEURL", "https://example.com")
        .succeed();
    assert_eq!(annotations(&run, "warning"), "");
}

#[test]
fn values_are_case_insensitive() {
    let step = Step::behind_a_proxy(FakePort::builder());
    let run = step.input("region", "US").succeed();
    assert!(run.log().contains("region `us`"));
    Step::new()
        .input("agent", "Claude-Code")
        .input("connection", "DIRECT")
        .input("token_placement", "Env")
        .input("auth_method", "API")
        .succeed();
}

#[test]
fn a_json_array_is_a_list() {
    let run = Step::new()
        .input("allowed_tools", r#"["list_entities", "list_blueprints"]"#)
        .succeed();
    assert_eq!(
        run.outputs["tools"],
        r#"["list_blueprints","list_entities"]"#
    );
    let run = Step::new()
        .input("allowed_tools", "[\n  \"list_*\",\n  \"!list_p*\"\n]")
        .input("allowed_actions", r#"["deploy","restart"]"#)
        .succeed();
    assert!(run.outputs["mcp_config"].contains(r#""x-allowed-actions-to-run":"deploy,restart""#));
    for wrong in [r#"["a""#, "[1]", "[list_entities]"] {
        let errors = Step::new().input("allowed_tools", wrong).fail();
        assert!(
            errors.contains("starts like a JSON array, but is not an array of strings"),
            "{errors}"
        );
    }
}

#[test]
fn a_variable_that_spells_an_input_in_lower_case_changes_nothing() {
    // The runner writes the names in upper case: the other one is a variable of an earlier step.
    let step = Step::new().variable("INPUT_client_id", "another");
    step.variable("INPUT_Region", "mars").succeed();
}

#[test]
fn directories_and_pipes_are_named_in_the_error() {
    let step = || {
        let step = Step::new().file("directory/x", "");
        let pipe = step.job.workspace().join("pipe");
        assert!(Command::new("mkfifo").arg(pipe).status().unwrap().success());
        step
    };
    for input in ["base_config", "policy", "ca_certificate"] {
        let errors = step().input(input, "directory").fail();
        assert!(
            errors.contains("names `directory`, which is a directory"),
            "{input}: {errors}"
        );
        let errors = step().input(input, "pipe").fail();
        assert!(
            errors.contains("names `pipe`, which is a pipe"),
            "{input}: {errors}"
        );
        let errors = step().input(input, "missing").fail();
        assert!(errors.contains("which does not exist"), "{input}: {errors}");
        let errors = step().input(input, "directory/x/y").fail();
        assert!(errors.contains("which does not exist"), "{input}: {errors}");
    }
}

#[test]
fn an_action_with_characters_that_are_invalid_in_a_header_is_rejected() {
    for name in ["déployer_service", "deploy service", "部署"] {
        let errors = Step::new().input("allowed_actions", name).fail();
        assert!(
            errors.contains("which is not a valid identifier of an action"),
            "{errors}"
        );
        assert!(errors.contains("ASCII letters"), "{errors}");
    }
}

/// On GitHub, or with `act`.
#[test]
fn the_hint_for_an_empty_secret_is_about_the_runner() {
    let empty = |name: &str, value: &str| {
        let step = Step::new().input("client_secret", "").variable(name, value);
        step.fail()
    };
    let errors = empty("ACT", "true");
    assert!(
        errors.contains("hint: pass the secret to act with `--secret NAME`"),
        "{errors}"
    );
    let errors = empty("ACT", "");
    assert!(
        errors.contains("hint: set the secret for this repository"),
        "{errors}"
    );
}

#[test]
fn a_name_that_an_agent_reserves_is_rejected() {
    for name in ["workspace", "ide", "computer-use"] {
        let errors = Step::new().input("server_name", name).fail();
        assert!(errors.contains("which `claude-code` reserves"), "{errors}");
    }
    Step::new()
        .input("agent", "codex")
        .input("server_name", "workspace")
        .succeed();
}
