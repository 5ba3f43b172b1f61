//! Cases 5: misleading errors.

use std::process::Command;
use std::time::{Duration, Instant};

use fake_port::{Endpoint, FakePort, Fault, Tool};
use serde_json::json;

use super::{RawServer, flood};
use crate::harness::{Step, annotations, program};

#[test]
fn u01_a_missing_runner_is_reported_before_any_request() {
    let mut step = Step::new();
    step.job.without("GITHUB_OUTPUT");
    let errors = step.fail();
    assert!(errors.contains("`GITHUB_OUTPUT` is not set"), "{errors}");
    assert!(errors.contains("update the runner"), "{errors}");
    assert!(step.port.received().is_empty(), "no request was sent");

    let mut step = Step::new().input("config_file", "true");
    step.job.without("GITHUB_STATE");
    assert!(step.fail().contains("`GITHUB_STATE` is not set"));
    assert!(step.port.received().is_empty());
}

#[test]
fn u01_a_missing_temporary_directory_is_reported_before_any_request() {
    if program().is_image() {
        // In a container, `HOME` is always set, to the root directory if necessary.
        return;
    }
    let mut step = Step::new().input("config_file", "true");
    step.job.without("RUNNER_TEMP").without("HOME");
    assert!(
        step.fail()
            .starts_with("no temporary directory: neither `RUNNER_TEMP` nor `HOME` is mounted")
    );
    assert!(step.port.received().is_empty());
}

#[test]
fn u04_a_notation_and_a_rename_are_reported_together() {
    for (entry, expected) in [
        (
            "mcp__port-prod__get_entities",
            "use `get_entities`; but Port replaced that tool with `list_entities`",
        ),
        (
            "port(get_blueprints)",
            "use `get_blueprints`; but Port replaced that tool with `list_blueprints`",
        ),
        ("Mcp(port:list_entities)", "use `list_entities`\nhint:"),
        (
            "mcp__port__invoke_ai_agent",
            "use `invoke_ai_agent`; but Port removed that tool",
        ),
        ("mcp__port__*", "use `*`\nhint:"),
    ] {
        let errors = Step::new().input("allowed_tools", entry).fail();
        assert!(errors.contains(expected), "{errors}");
    }
}

#[test]
fn u05_tool_names_of_2025() {
    for (name, expected) in [
        (
            "search_docs_sources",
            "use `search_port_knowledge_sources`, which replaced it",
        ),
        (
            "ask_docs_question",
            "use `search_port_knowledge_sources`, which replaced it",
        ),
        (
            "describe_organization",
            "Port removed this tool: use one of the available tools: ",
        ),
        (
            "invoke_ai_agent",
            "Port removed this tool: use one of the available tools: ",
        ),
    ] {
        let errors = Step::new().input("allowed_tools", name).fail();
        assert!(
            errors.contains(&format!("tool `{name}` is not available\nhint: {expected}")),
            "{errors}"
        );
    }
}

#[test]
fn u07_the_hint_of_a_policy_error_is_about_that_error() {
    let hint = |text: &str| {
        let errors = Step::new()
            .file("p.yml", text)
            .input("policy", "p.yml")
            .fail();
        errors.rsplit_once("hint: ").unwrap().1.to_owned()
    };
    assert!(
        hint("version: 1\nrules:\n- allow: {tools: [*]}").contains("quote entries that begin with")
    );
    assert!(hint("version: 1\nrules:\n- allow: {tools: ['*', !x y]}").contains("quote exclusions"));
    assert!(
        hint("version: 1\nrules:\n- allow:\n    tools: ['*']\n    regions:\n")
            .contains("add a value")
    );
    assert!(
        hint("version: 1\nrules:\n- when: {ref: ['!x']}\n  allow: {tools: ['*']}")
            .contains("a list that includes before it excludes")
    );
    for text in [
        "version: 2\nrules: []",
        "version: 1\nrules: []",
        "version: 1\nrule: []",
        "version: 1\nrules: x",
    ] {
        assert!(!hint(text).contains("quotes"), "{text}: {}", hint(text));
    }
}

#[test]
fn u13_an_action_with_characters_that_are_invalid_in_a_header() {
    for name in ["déployer_service", "deploy service", "部署"] {
        let errors = Step::new().input("allowed_actions", name).fail();
        assert!(
            errors.contains("which is not a valid identifier of an action"),
            "{errors}"
        );
        assert!(errors.contains("ASCII letters"), "{errors}");
    }
}

#[test]
fn u15_characters_that_the_agents_action_uses_internally_are_escaped() {
    let base = json!({"mcpServers": {"docs": {"command": "x", "args": ["\u{e000}a\u{f8ff}\u{f0000}it's"]}}});
    for agent in ["claude-code", "copilot-cli"] {
        let run = Step::new()
            .input("agent", agent)
            .input("base_config", base.to_string())
            .succeed();
        let args = &run.outputs["agent_args"];
        assert!(
            args.contains(r"\ue000a\uf8ff\udb80\udc00it\u0027s"),
            "{args}"
        );
        // The other outputs contain the text unchanged.
        assert!(run.outputs["mcp_config"].contains("\u{e000}a\u{f8ff}\u{f0000}it's"));
    }
}

#[test]
fn l3_an_input_in_two_spellings() {
    // The runner writes the names in upper case: the other one is a variable of an earlier step.
    let step = Step::new().variable("INPUT_client_id", "another");
    step.variable("INPUT_Region", "mars").succeed();
}

#[test]
fn l9_a_response_to_another_request_ends_the_check() {
    let started = Instant::now();
    let body = |id: &serde_json::Value| json!({"jsonrpc": "2.0", "id": id, "result": {"protocolVersion": "2025-06-18", "capabilities": {}, "serverInfo": {"name": "x", "version": "1"}}});
    for id in [json!(4711), json!("other")] {
        let step = Step::new();
        step.port
            .fault(Endpoint::Mcp, Fault::status(200).json(body(&id)));
        let errors = step.fail();
        assert!(errors.contains("no request has the ID"), "{errors}");
        assert!(!errors.contains("firewall"), "{errors}");

        let events = format!("data: {}\n\n", body(&id));
        let step = Step::new();
        let fault = Fault::status(200).events(events);
        step.port.fault(Endpoint::Mcp, fault);
        let errors = step.fail();
        assert!(errors.contains("no request has the ID"), "{errors}");
    }
    // A stream, or a response, that ends without the expected message.
    for fault in [
        Fault::status(200).events("data: {\"jsonrpc\":\"2.0\",\"method\":\"notifications/message\",\"params\":{\"level\":\"info\",\"data\":\"x\"}}\n\n"),
        Fault::status(200).events(""),
    ] {
        let step = Step::new();
        step.port.fault(Endpoint::Mcp, fault);
        assert!(step.fail().contains("the event stream ended without a response"));
    }
    let step = Step::new();
    step.port.fault(Endpoint::Mcp, Fault::status(202));
    assert!(step.fail().contains("202 Accepted without a body"));
    assert!(
        started.elapsed() < Duration::from_secs(30),
        "no step waited until the deadline"
    );
}

#[test]
fn l10_invalid_names_are_given_as_the_reason() {
    let port = FakePort::builder().offer(Tool::new("bad name").read_only(true));
    let errors = Step::against(port).input("allowed_tools", "bad*").fail();
    assert!(
        errors.contains("these are not valid tool names: `bad name`"),
        "{errors}"
    );
    assert!(!errors.contains("exclusions"), "{errors}");
}

#[test]
fn l20_directories_and_pipes_are_named_in_the_error() {
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
fn a_server_that_never_responds_is_a_timeout() {
    let server = RawServer::start(|stream| flood(stream, "", ""));
    let errors = server.step().input("timeout", "3s").fail();
    assert!(errors.contains("no response within"), "{errors}");
    assert_eq!(
        annotations(&server.step().input("timeout", "1s").run(), "warning"),
        ""
    );
}

/// K37: what is gone needs no removal.
#[test]
fn k37_a_temporary_directory_that_is_gone_needs_no_clean_up() {
    let mut step = Step::new().input("config_file", "true");
    step.succeed();
    std::fs::remove_dir_all(step.job.temp()).unwrap();
    step.job.without("HOME");
    let run = step.clean_up();
    assert_eq!(run.exit, Some(0), "{}", run.log());
    assert!(run.log().contains("was already removed"), "{}", run.log());
    for kind in ["error", "warning", "notice"] {
        assert_eq!(annotations(&run, kind), "");
    }
}

/// K41: wherever the gateway is the way out, the message names it, and whom to ask.
#[test]
fn k41_a_denial_says_what_is_allowed_and_whom_to_ask() {
    let policy = |limits: &str| {
        format!(
            "version: 1\ncontact: 'Ask @platform\u{202e} ::error::'\nrules:\n- allow: {{tools: ['list_*'], servers: \
             [127.0.0.1]{limits}}}\n"
        )
    };
    let denied = |limits: &str, inputs: &[(&str, &str)]| {
        let step = Step::new()
            .file("p.yml", &policy(limits))
            .input("policy", "p.yml");
        let inputs = inputs.iter();
        let step = inputs.fold(step, |step, (name, value)| step.input(name, *value));
        let errors = step.fail();
        assert!(
            errors.contains("the policy owner (`Ask @platform ::error::`)"),
            "{errors}"
        );
        errors
    };
    let errors = denied(
        ", connection: [gateway]",
        &[("allowed_tools", "list_entities")],
    );
    assert!(
        errors.contains("which allows `gateway`\nhint: set `connection: gateway`, or ask"),
        "{errors}"
    );
    for agent in ["generic", "cline"] {
        let errors = denied("", &[("agent", agent), ("allowed_tools", "list_entities")]);
        assert!(
            errors.contains("hint: set `connection: gateway`, or use an agent that"),
            "{errors}"
        );
    }
    // What the policy does not allow either is no way out.
    let errors = denied(
        ", connection: [direct]",
        &[("agent", "cline"), ("allowed_tools", "list_entities")],
    );
    assert!(
        errors.contains("hint: use an agent that enforces an allowlist"),
        "{errors}"
    );
    // At most 20 names, and then their number.
    let names: Vec<String> = (0..30).map(|number| format!("tool_{number}")).collect();
    let many = policy("").replace("['list_*']", &serde_json::json!(names).to_string());
    let step = Step::new().file("p.yml", &many).input("policy", "p.yml");
    let errors = step.input("allowed_tools", "list_entities").fail();
    assert!(
        errors.contains("`tool_19` and 10 more\nhint: request less, or ask"),
        "{errors}"
    );
}

/// K43: a hint names the input that is set, and no wait is of 0 seconds.
#[test]
fn k43_hints_are_about_the_cause() {
    let step = Step::new();
    for _ in 0..5 {
        let limited = Fault::status(429).header("retry-after", "0");
        step.port.fault(Endpoint::Rest, limited);
    }
    let errors = step.fail();
    assert!(
        errors.contains("Port's rate limit was exceeded"),
        "{errors}"
    );
    assert!(!errors.contains("wait 0"), "{errors}");

    if program().is_image() {
        return;
    }
    let mut step = Step::new()
        .input("connection", "gateway")
        .input("audit_file", "true");
    step.job.without("RUNNER_TEMP").without("HOME");
    let errors = step.fail();
    assert!(errors.contains("hint: remove `audit_file`"), "{errors}");
    assert!(!errors.contains("config_file"), "{errors}");
}

/// K43: several missing tools share one list.
#[test]
fn k43_only_one_error_lists_the_available_tools() {
    let errors = Step::new()
        .input(
            "allowed_tools",
            "nothing_like_it, x_*, another_one, invoke_ai_agent",
        )
        .fail();
    assert_eq!(errors.matches("hint: ").count(), 4, "{errors}");
    assert_eq!(errors.matches("`list_blueprints`").count(), 1, "{errors}");
    assert_eq!(
        errors
            .matches("which another error of this step lists")
            .count(),
        3,
        "{errors}"
    );
}

/// K44: the hint is about where the step runs.
#[test]
fn k44_the_hint_for_an_empty_secret_is_about_the_runner() {
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
