//! Inputs: all errors are reported at once, before any request is sent.

use crate::harness::{Step, annotations, assert_snapshot, errors};

#[test]
fn an_invisible_character_is_named() {
    for (name, value, code) in [
        ("region", "e\u{200b}u", "U+200B"),
        ("timeout", "60s\u{202e}", "U+202E"),
        ("allowed_tools", "\u{feff}list_*", "U+FEFF"),
        ("mcp_url", "https://mcp.port.io/v1\u{ad}", "U+00AD"),
    ] {
        let errors = Step::new().input(name, value).fail();
        let expected = format!("input `{name}` contains an invisible character ({code})\n");
        assert!(errors.contains(&expected), "{errors}");
    }
}

/// The runner passes the default if the step does not set the input.
#[test]
fn an_empty_text_for_all_tools_is_warned_of() {
    let warnings = annotations(
        &Step::new().input("allowed_tools", " ").succeed(),
        "warning",
    );
    assert!(
        warnings.contains("Input `allowed_tools` is empty, so its default `*` is used."),
        "{warnings}"
    );
    let unset = annotations(&Step::new().succeed(), "warning");
    assert!(!unset.contains("is empty"), "{unset}");
}

#[test]
fn very_many_errors_are_not_all_shown() {
    let tools: Vec<String> = (0..3000).map(|number| format!("listed_{number}")).collect();
    let run = Step::new().input("allowed_tools", tools.join(",")).run();
    assert_eq!(errors(&run).matches("is not available").count(), 50);
    assert!(run.log().contains("2950 more errors are not shown."));
}

#[test]
fn each_invalid_input_has_an_annotation() {
    let step = Step::new()
        .input("region", "europe")
        .input("api_url", "http://api.port.io")
        .input("mcp_url", "https://user:pass@mcp.port.io/v1")
        .input("auth_method", "o-auth")
        .input("allowed_tools", "list_?, mcp__port__get_page, a b")
        .input("read_only", "yes")
        .input("allowed_actions", "deploy, two words")
        .input("policy", "acme/.github/port-mcp.yml")
        .input("github_token", "ghs token")
        .input("agent", "claude")
        .input("connection", "gateway")
        .input("token_placement", "file")
        .input("server_name", "Port Prod")
        .input("base_config", "{\"mcpServers\": {},\n  \"broken\": }")
        .input("config_file", "1")
        .input("min_validity", "10")
        .input("timeout", "1h")
        .input("ca_certificate", "certs/missing.pem")
        .input("summary", "on")
        .input("verify", "no");
    let run = step.run();
    assert_snapshot!("every_mistake.log", run.log());
    assert_eq!(run.exit, Some(1));
    assert!(step.port.received().is_empty());
}

#[test]
fn unknown_inputs_are_rejected_with_a_suggestion() {
    let step = Step::new()
        .input("allowed_tool", "list_blueprints")
        .input("readOnly", "false")
        .input("polcy", "port-mcp.yml")
        .input("prompt", "hello");
    assert_snapshot!(step.fail(), @"
    input `allowed_tool` is not an input of this action
    hint: did you mean `allowed_tools`?
    see: https://github.com/acme/port-mcp-action/blob/v1/docs/troubleshooting.md#input--is-not-an-input-of-this-action

    input `polcy` is not an input of this action
    hint: did you mean `policy`?
    see: https://github.com/acme/port-mcp-action/blob/v1/docs/troubleshooting.md#input--is-not-an-input-of-this-action

    input `readonly` is not an input of this action
    hint: did you mean `read_only`?
    see: https://github.com/acme/port-mcp-action/blob/v1/docs/troubleshooting.md#input--is-not-an-input-of-this-action
    ");
}

#[test]
fn what_is_no_credential_is_not_sent() {
    for (value, problem) in [
        ("\"s3cret-value-in-quotes\"", "is in quotes"),
        ("'s3cret-value-in-quotes'", "is in quotes"),
        ("{\"clientSecret\": \"s3cret-value\"}", "is JSON"),
        ("$PORT_CLIENT_SECRET", "is the name of a variable"),
        ("${PORT_CLIENT_SECRET}", "is the name of a variable"),
        ("$env:PORT_CLIENT_SECRET", "is the name of a variable"),
        ("%PORT_CLIENT_SECRET%", "is the name of a variable"),
        (
            "${{ secrets.PORT_CLIENT_SECRET }}",
            "contains an expression that was not evaluated",
        ),
    ] {
        for input in ["client_id", "client_secret"] {
            let step = Step::new().input(input, value);
            let errors = step.fail();
            let expected = format!("input `{input}` {problem}");
            assert!(errors.starts_with(&expected), "{value}: {errors}");
            assert!(!errors.contains("s3cret"), "{errors}");
            assert!(step.port.received().is_empty());
        }
    }
}

/// Port's guides for `curl` name this URL.
#[test]
fn the_url_of_the_token_exchange_is_accepted_as_api_url() {
    for suffix in ["/v1/auth/access_token", "/v1/auth/access_token/", "/v1", ""] {
        let step = Step::new();
        let url = format!("{}{suffix}", step.port.api_url());
        let step = step.input("api_url", url);
        step.succeed();
    }
}

#[test]
fn empty_inputs_have_defaults_and_booleans_are_those_of_yaml() {
    let step = Step::new()
        .input("region", "")
        .input("allowed_tools", "")
        .input("read_only", "True")
        .input("summary", "FALSE")
        .input("timeout", " ");
    let run = step.succeed();
    assert!(run.outputs["allowed_tools"].starts_with("mcp__port__list_blueprints,"));
    assert_eq!(run.summary, "");
}

#[test]
fn an_empty_list_of_tools_is_an_error() {
    assert_snapshot!(Step::new().input("allowed_tools", ",").fail(), @"
    input `allowed_tools` lists no tools
    hint: use tool names, globs (`list_*`), and exclusions (`!delete_*`), separated by commas or newlines, or a JSON array
    see: https://github.com/acme/port-mcp-action/blob/v1/docs/troubleshooting.md#input-allowed_tools
    ");
}

#[test]
fn a_base_configuration_must_be_inside_the_workspace() {
    let step = Step::new();
    let outside = step.job.temp().join("outside.json");
    std::fs::write(&outside, "{}").unwrap();
    let errors = step.input("base_config", outside.to_str().unwrap()).fail();
    assert!(
        errors.contains("which is outside the workspace"),
        "{errors}"
    );

    let step = Step::new().input("base_config", "link.json");
    std::os::unix::fs::symlink(
        // This file also exists in the image.
        "/proc/self/status",
        step.job.workspace().join("link.json"),
    )
    .unwrap();
    let errors = step.fail();
    assert!(
        errors.contains("which is outside the workspace"),
        "{errors}"
    );
}

#[test]
fn a_base_configuration_of_another_shape_is_rejected() {
    for (text, expected) in [
        ("[]", "must be a JSON object"),
        (
            "{\"mcpServers\": []}",
            "contains a key `mcpServers` whose value is not an object",
        ),
        ("{\"mcpServers\": {", "unexpected end at line 1, column 16"),
        (
            "missing.json",
            "names the file `missing.json`, which does not exist",
        ),
    ] {
        let errors = Step::new().input("base_config", text).fail();
        assert!(errors.contains(expected), "{errors}");
    }
}

#[test]
fn githubs_own_keys_of_a_step_are_no_inputs() {
    Step::new()
        .input("entrypoint", "/connect")
        .input("args", "")
        .succeed();
    Step::new().input("args", "connect").succeed();
}
