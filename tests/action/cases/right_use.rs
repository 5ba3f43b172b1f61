//! Cases 4: valid use that was rejected, and the choice of the region.

use fake_port::{Endpoint, FakePort, Fault};
use serde_json::json;

use crate::harness::{Step, annotations, config};

#[test]
fn b05_variables_of_the_job_with_the_prefix_of_inputs() {
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
fn k34_a_misspelled_input_is_an_error_whatever_the_default_of_the_right_one() {
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
fn k34_variables_for_other_programs_do_not_stop_a_step_whose_inputs_are_right() {
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
fn b06_githubs_own_keys_of_a_step_are_not_inputs() {
    Step::new()
        .input("entrypoint", "/connect")
        .input("args", "")
        .succeed();
    Step::new().input("args", "connect").succeed();
}

#[test]
fn b07_b08_a_configuration_is_parsed_as_leniently_as_by_its_agent() {
    let servers = |agent: &str| match agent {
        "opencode" => "mcp",
        "amp" => "amp.mcpServers",
        _ => "mcpServers",
    };
    let with_comments = |agent: &str| {
        format!(
            "// mine\n{{\n  /* all */ \"{}\": {{\"docs\": {{\"command\": \"//no\"}}}} // end\n}}",
            servers(agent)
        )
    };
    let with_commas = |agent: &str| {
        format!(
            "{{\"{}\": {{\"docs\": {{\"command\": \"x\",}},}},}}",
            servers(agent)
        )
    };
    let with_mark = |agent: &str| format!("\u{feff}{{\"{}\": {{\"docs\": {{}}}}}}", servers(agent));
    let step =
        |agent: &str, base: String| Step::new().input("agent", agent).input("base_config", base);
    for (agent, comments, commas) in [
        ("opencode", true, true),
        ("copilot-cli", true, true),
        ("amp", true, true),
        ("gemini-cli", true, false),
        ("qwen-code", true, false),
        ("claude-code", false, false),
        ("cline", false, false),
    ] {
        for (base, is_read) in [
            (with_comments(agent), comments),
            (with_commas(agent), commas),
            (with_mark(agent), true),
            (format!("\u{feff}{}", with_comments(agent)), comments),
        ] {
            if is_read {
                let run = step(agent, base).succeed();
                assert!(config(&run)[servers(agent)]["docs"].is_object(), "{agent}");
            } else {
                assert!(
                    step(agent, base).fail().contains("syntax error at line"),
                    "{agent}"
                );
            }
            // Text that is not JSON is rejected for every agent.
            step(
                agent,
                format!("{{\"{}\": {{'docs': {{}}}}}}", servers(agent)),
            )
            .fail();
        }
    }
}

#[test]
fn b08_a_byte_order_mark_is_ignored() {
    let text = "\u{feff}version: 1\nrules:\n- allow: {tools: ['*'], servers: [127.0.0.1]}\n";
    Step::new()
        .file("p.yml", text)
        .input("policy", "p.yml")
        .succeed();
    let port = FakePort::builder().policy_file("acme/.github", "p.yml", "main", text);
    Step::against(port)
        .input("policy", "acme/.github/p.yml@main")
        .succeed();
    for (agent, name, base) in [
        ("codex", "c.toml", "\u{feff}model = \"x\"\n"),
        ("goose", "c.yaml", "\u{feff}GOOSE_MODE: auto\n"),
        ("claude-code", "c.json", "\u{feff}{\"mcpServers\": {}}"),
    ] {
        let step = Step::new().input("agent", agent);
        step.file(name, base).input("base_config", name).succeed();
    }
}

#[test]
fn u08_an_empty_configuration_is_valid() {
    for (agent, name, texts) in [
        (
            "claude-code",
            "c.json",
            vec!["", "null", " \n", "{}", "{\"mcpServers\": null}"],
        ),
        (
            "opencode",
            "c.json",
            vec![
                "",
                "// nothing yet",
                "null // yet",
                "{\"mcp\": null, \"permission\": null}",
            ],
        ),
        ("codex", "c.toml", vec!["", "# nothing yet\n"]),
        (
            "goose",
            "c.yaml",
            vec![
                "",
                "# nothing yet\n",
                "null",
                "~",
                "---\n",
                "extensions:\n",
                "extensions: ~\n",
            ],
        ),
        ("continue", "c.yaml", vec!["", "mcpServers:\n"]),
        ("amp", "c.json", vec!["", "{\"amp.permissions\": null}"]),
    ] {
        for text in texts {
            let step = Step::new().input("agent", agent).file(name, text);
            let run = step.input("base_config", name).succeed();
            assert!(
                run.outputs["mcp_config"].contains("list_blueprints")
                    || run.outputs["mcp_config"].contains("/v1")
            );
        }
    }
}

#[test]
fn b11_without_a_summary_file_the_step_succeeds() {
    let mut step = Step::new();
    step.job.without("GITHUB_STEP_SUMMARY");
    let run = step.succeed();
    assert!(run.outputs["mcp_config"].contains("mcpServers"));
    assert!(annotations(&run, "warning").contains("The job summary was not written"));
}

#[test]
fn b12_b13_all_names_of_ports_hosts_are_known() {
    let text = "version: 1\nrules:\n- allow: {tools: ['*'], regions: [eu]}\n";
    for (api, mcp, region) in [
        ("", "https://mcp.getport.io/v1", "eu"),
        ("https://api.getport.io", "https://mcp.port.io", "eu"),
        ("https://api.port.io./v1", "", "eu"),
        (
            "https://api.us.getport.io/v1",
            "https://mcp.us.port.io/v1",
            "us",
        ),
        ("", "https://mcp.us.getport.io", "us"),
        ("https://API.US.PORT.IO", "", "us"),
    ] {
        let port = || FakePort::builder().policy_file("acme/.github", "p.yml", "main", text);
        let step = Step::behind_a_proxy(port())
            .input("api_url", api)
            .input("mcp_url", mcp);
        let run = step.succeed();
        assert!(
            run.log().contains(&format!(", region `{region}`).")),
            "{api} {mcp}: {}",
            run.log()
        );
        let step = step.input("policy", "acme/.github/p.yml@main");
        if region == "eu" {
            step.succeed();
        } else {
            assert!(step.fail().contains("`region: us` is not allowed by"));
        }
    }
}

#[test]
fn b14_a_path_may_contain_a_space() {
    let step = Step::new().file("ci config/mcp.json", "{\"mcpServers\": {\"docs\": {}}}");
    let run = step.input("base_config", "ci config/mcp.json").succeed();
    assert!(config(&run)["mcpServers"]["docs"].is_object());
    for path in ["a,b.json", "it's.json", "a=b.json", "{x}/y.json"] {
        let step = Step::new()
            .file(path, "{\"mcpServers\": {\"docs\": {}}}")
            .input("base_config", path);
        if path.starts_with('{') {
            // This value begins like JSON, so it is parsed as JSON.
            step.fail();
        } else {
            step.succeed();
        }
    }
    let step = Step::new()
        .input("agent", "codex")
        .file("my codex=1.toml", "model = \"x\"\n");
    assert!(
        step.input("base_config", "./my codex=1.toml")
            .run()
            .exit
            .is_some()
    );
}

#[test]
fn u02_values_are_case_insensitive() {
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
fn u03_a_json_array_is_a_list() {
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

/// Gitea always returns the content of a file in JSON, as base64. GitHub does so unless the request names
/// another media type.
#[test]
fn u12_a_policy_on_gitea() {
    let text = "version: 1\nrules:\n- allow: {tools: ['*'], servers: [127.0.0.1]}\n";
    let base64 = {
        use base64::Engine as _;
        base64::prelude::BASE64_STANDARD.encode(text)
    };
    let file = json!({
        "name": "p.yml", "path": "p.yml", "sha": "f00", "last_commit_sha": "ba5", "type": "file",
        "size": text.len(), "encoding": "base64", "content": base64, "target": null,
        "url": "https://gitea.example/api/v1/repos/acme/x/contents/p.yml?ref=main",
        "html_url": "https://gitea.example/acme/x/src/branch/main/p.yml",
        "git_url": "https://gitea.example/api/v1/repos/acme/x/git/blobs/f00",
        "download_url": "https://gitea.example/acme/x/raw/branch/main/p.yml",
        "submodule_git_url": null,
        "_links": {
            "self": "https://gitea.example/api/v1/repos/acme/x/contents/p.yml?ref=main",
            "git": "https://gitea.example/api/v1/repos/acme/x/git/blobs/f00",
            "html": "https://gitea.example/acme/x/src/branch/main/p.yml"
        }
    });
    let with = |file: &serde_json::Value| {
        let step = Step::new().input("policy", "acme/x/p.yml@main");
        step.port
            .fault(Endpoint::Github, Fault::status(200).json(file));
        step
    };
    with(&file).succeed();
    let mut other = file.clone();
    other["type"] = "symlink".into();
    assert!(with(&other).fail().contains("is not a file"));
    other["type"] = "file".into();
    other["content"] = "%%%".into();
    assert!(with(&other).fail().contains("is not UTF-8"));
    assert!(with(&json!([file, file])).fail().contains("is not a file"));
    assert!(
        with(&json!({"unexpected": true}))
            .fail()
            .contains("not from GitHub's API")
    );
}

mod region {
    use super::*;

    /// A step with the default servers. The first request to `endpoint`, in region `eu`, gets this fault.
    fn failing_in_the_eu(endpoint: Endpoint, fault: Fault) -> Step {
        let step = Step::behind_a_proxy(FakePort::builder());
        step.port.fault(endpoint, fault);
        step
    }

    /// The hosts that received requests.
    fn hosts(step: &Step) -> Vec<String> {
        let received = step.port.received();
        let host = |headers: &[(String, String)]| {
            let host = headers.iter().find(|(name, _)| name == "host");
            host.map(|(_, host)| host.trim_end_matches(":443").to_owned())
                .unwrap()
        };
        received
            .iter()
            .map(|request| host(&request.headers))
            .collect()
    }

    #[test]
    fn auto_tries_the_eu_and_then_the_us() {
        let step = failing_in_the_eu(Endpoint::Rest, Fault::status(401).into());
        let run = step.succeed();
        let contacted = hosts(&step);
        assert_eq!(contacted[..2], ["api.port.io", "api.us.port.io"]);
        assert!(
            contacted[2..].iter().all(|host| host == "mcp.us.port.io"),
            "{contacted:?}"
        );
        assert_eq!(run.outputs["mcp_url"], "https://mcp.us.port.io/v1");
        assert_eq!(annotations(&run, "notice"), "", "nothing is wrong");
        let log = run.log();
        assert!(
            log.contains("belong to region `us`") && log.contains("Set `region: us`"),
            "{log}"
        );

        let step = Step::behind_a_proxy(FakePort::builder());
        let run = step.succeed();
        assert!(!hosts(&step).iter().any(|host| host.contains("us.")));
        assert_eq!(annotations(&run, "notice"), "");
    }

    #[test]
    fn an_unknown_oauth_client_is_treated_as_a_401() {
        let error = json!({"error": "invalid_client"});
        let step = failing_in_the_eu(Endpoint::Oauth, Fault::status(400).json(error).into());
        step.input("auth_method", "oauth").succeed();
    }

    #[test]
    fn a_401_from_both_regions_reports_both() {
        let step = failing_in_the_eu(Endpoint::Rest, Fault::status(401).into());
        step.port.fault(Endpoint::Rest, Fault::status(401));
        let errors = step.fail();
        assert!(
            errors.contains("with `region: eu`: Port rejected the credentials"),
            "{errors}"
        );
        assert!(
            errors.contains("with `region: us`: Port rejected the credentials"),
            "{errors}"
        );
        assert!(errors.contains("both regions rejected them"), "{errors}");
        assert_eq!(hosts(&step).len(), 2, "each region once");
    }

    #[test]
    fn only_after_a_401_the_other_region_is_tried() {
        for status in [403, 422, 404, 418] {
            let step = failing_in_the_eu(Endpoint::Rest, Fault::status(status).into());
            step.fail();
            assert_eq!(hosts(&step), ["api.port.io"], "{status}");
        }
        let step = failing_in_the_eu(Endpoint::Rest, Fault::status(401).into());
        step.port.fault(Endpoint::Rest, Fault::status(403));
        let errors = step.fail();
        assert!(
            errors.contains("`region: us`: Port denied access"),
            "{errors}"
        );
    }

    #[test]
    fn an_explicit_region_is_the_only_one() {
        for region in ["eu", "us"] {
            let step = failing_in_the_eu(Endpoint::Rest, Fault::status(401).into());
            let step = step.input("region", region);
            step.fail();
            assert_eq!(hosts(&step).len(), 1);
        }
        let errors = Step::behind_a_proxy(FakePort::builder())
            .input("region", "eu")
            .input("mcp_url", "https://mcp.us.port.io/v1")
            .fail();
        assert!(
            errors.contains("input `region` is `eu`, but `api_url` or `mcp_url` is in region `us`"),
            "{errors}"
        );
    }

    #[test]
    fn addresses_of_two_regions_are_an_error() {
        let errors = Step::behind_a_proxy(FakePort::builder())
            .input("api_url", "https://api.port.io")
            .input("mcp_url", "https://mcp.us.port.io/v1")
            .fail();
        assert!(
            errors.contains("is in region `eu`, but `mcp_url` is in region `us`"),
            "{errors}"
        );
    }

    #[test]
    fn a_custom_address_requires_the_other_address_or_a_region() {
        for (given, missing) in [("api_url", "mcp_url"), ("mcp_url", "api_url")] {
            let step = || {
                Step::behind_a_proxy(FakePort::builder()).input(given, "https://port.acme.example")
            };
            let errors = step().fail();
            assert!(
                errors.contains(&format!(
                    "the custom `{given}` does not determine the region"
                )),
                "{errors}"
            );
            assert!(
                errors.contains(&format!("or set `{missing}` too")),
                "{errors}"
            );
            let run = step().input("region", "us").run();
            assert!(!run.log().contains("does not determine the region"));
        }
    }

    #[test]
    fn custom_servers_require_a_region_if_the_policy_limits_regions() {
        let text =
            "version: 1\nrules:\n- allow: {tools: ['*'], regions: [eu], servers: [127.0.0.1]}\n";
        let port = || FakePort::builder().policy_file("acme/.github", "p.yml", "main", text);
        let step = || Step::against(port()).input("policy", "acme/.github/p.yml@main");
        assert!(
            step()
                .fail()
                .contains("a custom server without `region` is not allowed by")
        );
        step().input("region", "eu").succeed();
        step().input("region", "us").fail();
    }

    #[test]
    fn u14_an_address_of_another_service_is_an_error() {
        for (input, url, what) in [
            ("api_url", "https://app.getport.io", "Port's web app"),
            ("api_url", "https://app.us.port.io/v1", "Port's web app"),
            ("api_url", "https://mcp.port.io/v1", "Port's MCP server"),
            ("mcp_url", "https://api.us.port.io/v1", "Port's REST API"),
            ("mcp_url", "https://app.port.io", "Port's web app"),
        ] {
            let errors = Step::behind_a_proxy(FakePort::builder())
                .input(input, url)
                .fail();
            assert!(
                errors.contains(&format!("input `{input}` is the address of {what}")),
                "{errors}"
            );
        }
    }
}
