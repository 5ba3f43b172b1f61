//! The commands for people: what they print in a terminal, to programs, and to a runner.

use fake_port::{FakePort, Tool};
use serde_json::Value;

use crate::harness::{assert_snapshot, port_mcp, port_mcp_with};

const POLICY: &str = r##"
version: 1
contact: "#platform on Slack"
rules:
  - name: production is for nobody
    when: {environment: production*}
    allow: {tools: [list_blueprints], regions: [us]}
  - name: agents on main
    when: {repository: acme/*, ref: refs/heads/main, event: [workflow_dispatch, schedule]}
    allow:
      tools: ["list_*", get_page, "!list_plugins"]
      actions: [deploy, restart]
      servers: [127.0.0.1]
      connection: [gateway]
"##;

/// A run that the second rule matches.
const ON_MAIN: [&str; 6] = [
    "--repository",
    "acme/catalog",
    "--ref",
    "refs/heads/main",
    "--event",
    "schedule",
];

/// A directory with files.
struct Files(tempfile::TempDir);

impl Files {
    fn new(files: &[(&str, &str)]) -> Self {
        let directory = tempfile::tempdir().unwrap();
        for (name, text) in files {
            std::fs::write(directory.path().join(name), text).unwrap();
        }
        Self(directory)
    }

    fn path(&self, name: &str) -> String {
        self.0.path().join(name).to_str().unwrap().to_owned()
    }

    /// Text with the names of the files only.
    fn shown(&self, text: &str) -> String {
        let directory = format!("{}/", self.0.path().to_str().unwrap());
        let text = text.replace(&directory, "");
        text.replace(&format!("/v{}/", env!("CARGO_PKG_VERSION")), "/[VERSION]/")
    }
}

/// Runs `policy COMMAND FILE`. Returns the exit status and the output.
fn policy(files: &Files, command: &str, file: &str, options: &[&str]) -> (Option<i32>, String) {
    let path = files.path(file);
    let (code, text) = port_mcp(&[&["policy", command, &path], options].concat());
    (code, files.shown(&text))
}

/// Runs `tools` against a fake Port server.
fn tools(port: &FakePort, options: &[&str], variables: &[(&str, &str)]) -> (Option<i32>, String) {
    let urls = [
        "tools",
        "--api-url",
        port.api_url(),
        "--mcp-url",
        port.mcp_url(),
    ];
    let credentials = [
        ("PORT_CLIENT_ID", port.client_id()),
        ("PORT_CLIENT_SECRET", port.client_secret()),
    ];
    let variables = [&credentials[..], variables].concat();
    let (code, text) = port_mcp_with(&[&urls[..], options].concat(), &variables);
    assert!(!text.contains(port.client_secret()), "{text}");
    let is_mask = |line: &str| line.starts_with("::add-mask::");
    assert!(!text.lines().any(is_mask), "a terminal shows masks: {text}");
    (code, text)
}

#[test]
fn the_tools_can_be_listed_before_the_first_run() {
    let hostile = Tool::new("list_it")
        .description("::error::x ##[add-mask]y")
        .read_only(true);
    let port = FakePort::builder().offer(hostile).start();
    let (code, text) = tools(&port, &[], &[]);
    assert_eq!(code, Some(0), "{text}");
    assert_snapshot!("tools", text);
    assert!(!text.contains("upsert_entity"));
    for options in [&["--write"][..], &["--read-only", "false"]] {
        assert!(tools(&port, options, &[]).1.contains("upsert_entity"));
    }
    let wrong = [("PORT_CLIENT_SECRET", "wrong-secret")];
    let (code, text) = tools(&port, &[], &wrong);
    assert_eq!(code, Some(1));
    assert!(text.contains("Port rejected the credentials"), "{text}");
    assert!(!text.contains("wrong-secret"), "{text}");
}

/// People get the words of the command line, on standard error, and a link that they can open.
#[test]
fn errors_speak_of_options_and_variables() {
    let files = Files::new(&[]);
    let (code, text) = port_mcp_with(
        &[
            "tools",
            "--ca-certificate",
            "/missing.pem",
            "--timeout",
            "7",
        ],
        &[("PORT_CLIENT_ID", "$PORT_CLIENT_ID")],
    );
    assert_eq!(code, Some(2), "{text}");
    assert_snapshot!("terminal.errors", files.shown(&text));
    for word in ["secrets", "checkout", "`client_id`", "::error", "workspace"] {
        assert!(!text.contains(word), "{word}: {text}");
    }
    // A runner reads commands.
    let (code, text) = port_mcp_with(&["tools"], &[("GITHUB_ACTIONS", "true")]);
    assert_eq!(code, Some(2));
    assert!(
        text.starts_with(
            "::error title=Port MCP [input-empty]::`PORT_CLIENT_ID` is empty%0Ahint: "
        ),
        "{text}"
    );
    // A program reads JSON.
    let (code, text) = port_mcp(&["tools", "--format", "json"]);
    assert_eq!(code, Some(2));
    for line in text.lines() {
        let message: Value = serde_json::from_str(line).unwrap();
        assert_eq!(message["level"], "error");
        assert_eq!(message["code"], "input-empty");
    }
}

/// `tools` is a dry run of the grant.
#[test]
fn the_tools_are_a_dry_run_of_the_grant() {
    let port = FakePort::builder().start();
    let files = Files::new(&[("port-mcp.yml", POLICY)]);
    let request = ["--allowed-tools", "list_*, run_action, !list_p*"];
    let (code, text) = tools(&port, &request, &[]);
    assert_eq!(code, Some(0), "{text}");
    assert_snapshot!("terminal.dry-run", text);

    let (code, text) = tools(
        &port,
        &["--allowed-tools", "list_entitys, list_x_*, nothing"],
        &[],
    );
    assert_eq!(code, Some(1), "{text}");
    assert!(text.contains("did you mean `list_entities`?"), "{text}");
    let list = "use one of the available tools: ";
    assert_eq!(text.matches(list).count(), 1, "they share one list: {text}");

    // The policy decides as for a step: first without the server, then for each tool.
    let path = files.path("port-mcp.yml");
    let run = [&["--policy", &path][..], &ON_MAIN].concat();
    let (code, text) = tools(
        &port,
        &[&run[..], &["--allowed-tools", "get_page, run_action"]].concat(),
        &[],
    );
    assert_eq!(code, Some(1), "{text}");
    assert_snapshot!("terminal.denied", files.shown(&text));
    let granted = [
        &run[..],
        &[
            "--allowed-tools",
            "*",
            "--connection",
            "gateway",
            "--format",
            "json",
        ],
    ];
    let (code, text) = tools(&port, &granted.concat(), &[]);
    assert_eq!(code, Some(0), "{text}");
    let result: Value = serde_json::from_str(text.lines().next().unwrap()).unwrap();
    let reason = |name: &str| {
        let mut tools = result.as_array().unwrap().iter();
        let tool = tools.find(|tool| tool["name"] == name).unwrap();
        (tool["granted"] == true, tool["reason"].as_str().unwrap())
    };
    assert_eq!(reason("list_entities"), (true, "granted"));
    assert_eq!(reason("get_sidebar"), (false, "not allowed by the policy"));

    // An agent that enforces nothing is not granted anything under a policy.
    let without_gateway = POLICY.replace("      connection: [gateway]\n", "");
    let files = Files::new(&[("port-mcp.yml", &without_gateway)]);
    let path = files.path("port-mcp.yml");
    let cline = [&["--policy", &path, "--agent", "cline"][..], &ON_MAIN].concat();
    let (code, text) = tools(&port, &cline, &[]);
    assert_eq!(code, Some(1), "{text}");
    assert!(
        text.contains("hint: set `--connection gateway`, or use an agent"),
        "{text}"
    );
    assert!(
        text.contains("or ask the policy owner (`#platform on Slack`)"),
        "{text}"
    );
}

/// The arguments of each tool, from the server.
#[test]
fn the_arguments_of_each_tool_are_listed() {
    let port = FakePort::builder().start();
    let (code, text) = tools(
        &port,
        &["--arguments", "list_entities", "run_action", "--write"],
        &[],
    );
    assert_eq!(code, Some(0), "{text}");
    assert_snapshot!("terminal.arguments", text);
    let (code, text) = tools(&port, &["--arguments"], &[]);
    assert_eq!(code, Some(0), "{text}");
    assert!(text.contains("\nlist_entities\n"), "{text}");
    let (code, text) = tools(&port, &["--arguments", "list_entitys"], &[]);
    assert_eq!(code, Some(1), "{text}");
    assert!(text.contains("did you mean `list_entities`?"), "{text}");
    let (code, text) = tools(
        &port,
        &["--arguments", "run_action", "--format", "json"],
        &[],
    );
    assert_eq!(code, Some(0), "{text}");
    let result: Value = serde_json::from_str(&text).unwrap();
    assert_eq!(result[0]["name"], "run_action");
    assert_eq!(result[0]["arguments"][0]["path"][0], "actionIdentifier");
}

/// Everything that is wrong with a policy, with annotations on the file as the repository names it.
#[test]
fn each_problem_of_a_policy_is_at_its_place() {
    let broken = POLICY
        .replace("version: 1", "version: 1\nname: x")
        .replace("[list_blueprints]", "[mcp__port__list_entities]")
        .replace("[workflow_dispatch, schedule]", "cron");
    let files = Files::new(&[("port-mcp.yml", POLICY), ("broken.yml", &broken)]);
    let valid = policy(&files, "check", "port-mcp.yml", &[]);
    assert_eq!(
        valid,
        (Some(0), "port-mcp.yml is valid (2 rules).\n".to_owned())
    );
    let (code, text) = policy(&files, "check", "broken.yml", &[]);
    assert_eq!(code, Some(1));
    assert_snapshot!("terminal.check", text);
    let (code, text) = policy(&files, "check", "broken.yml", &["--format", "json"]);
    assert_eq!(code, Some(1));
    assert_eq!(
        text.lines().next(),
        Some(r#"{"file":"broken.yml","valid":false,"rules":0}"#)
    );
    let path = files.path("broken.yml");
    let workspace = files.0.path().to_str().unwrap();
    let runner = [("GITHUB_ACTIONS", "true"), ("GITHUB_WORKSPACE", workspace)];
    let (code, text) = port_mcp_with(&["policy", "check", &path], &runner);
    assert_eq!(code, Some(1));
    assert!(
        text.starts_with("::error file=broken.yml,line=3,col=1,title=Port MCP [policy-invalid]::"),
        "{text}"
    );
    let (code, text) = policy(&files, "check", "missing.yml", &[]);
    assert_eq!(code, Some(2));
    assert!(
        text.contains("policy missing.yml could not be read"),
        "{text}"
    );
}

/// Whether a policy allows a request is the exit status.
#[test]
fn the_exit_status_says_whether_a_policy_allows_a_request() {
    let files = Files::new(&[("port-mcp.yml", POLICY)]);
    let explain = |options: &[&str]| {
        let run = ["--repository", "acme/catalog", "--event", "schedule"];
        policy(
            &files,
            "explain",
            "port-mcp.yml",
            &[&run[..], options].concat(),
        )
    };
    let main = ["--ref", "refs/heads/main"];
    let on_main = |options: &[&str]| explain(&[&main[..], options].concat());
    let (code, text) = on_main(&[]);
    assert_eq!(code, Some(0));
    assert_snapshot!(text, @"
    rule 1 (`production is for nobody`) of port-mcp.yml does not match: environment is unknown, expected `production*`.
    rule 2 (`agents on main`) of port-mcp.yml matches. It allows:
      tools: get_page, list_*, !list_plugins
      actions: deploy, restart
      write: false
      regions: any
      servers: 127.0.0.1
      connection: gateway
    ");
    let (code, text) = explain(&["--ref", "refs/heads/dev"]);
    assert_eq!(code, Some(1));
    assert_snapshot!(text, @"
    rule 1 (`production is for nobody`) of port-mcp.yml does not match: environment is unknown, expected `production*`.
    rule 2 (`agents on main`) of port-mcp.yml does not match: ref is `refs/heads/dev`, expected `refs/heads/main`.
    No rule matches this run, so the step would fail.
    ");
    let gateway = ["--connection", "gateway", "--allowed-tools"];
    let (code, text) = on_main(&[&gateway[..], &["get_page"]].concat());
    assert_eq!(code, Some(0));
    assert!(text.ends_with("\nIt allows the request.\n"), "{text}");
    let denied = [
        &["--allowed-tools", "get_page", "--connection", "direct"][..],
        &["--allowed-tools", "run_action", "--connection", "gateway"],
        &["--read-only", "false", "--connection", "gateway"],
        &["--allowed-actions", "destroy", "--connection", "gateway"],
        &[
            "--region",
            "eu",
            "--api-url",
            "https://port.acme.example",
            "--connection",
            "gateway",
        ],
    ];
    let texts = denied.map(|options| {
        let (code, text) = on_main(options);
        assert_eq!(code, Some(1), "{text}");
        text.split_once("It does not allow the request.\n")
            .unwrap()
            .1
            .to_owned()
    });
    assert_snapshot!("terminal.explain", texts.join("\n"));
    for invalid in [
        &["--allowed-tools", "["][..],
        &["--agent", "claude"],
        &["--reff", "x"],
    ] {
        let (code, text) = on_main(invalid);
        assert_eq!(code, Some(2), "{text}");
    }
    let (code, text) = on_main(&["--allowed-tools", "run_action", "--format", "json"]);
    assert_eq!(code, Some(1));
    let result: Value = serde_json::from_str(text.lines().next().unwrap()).unwrap();
    assert_eq!(
        (&result["allowed"], &result["rule"]["number"]),
        (&false.into(), &2.into())
    );
}

#[test]
fn the_policies_in_docs_do_what_they_say() {
    let examples = concat!(env!("CARGO_MANIFEST_DIR"), "/docs/examples/");
    for entry in std::fs::read_dir(examples).unwrap() {
        let path = entry.unwrap().path();
        let name = path.file_name().unwrap().to_str().unwrap();
        let command = match name.split('-').next() {
            Some("policy") => "check",
            Some("test") => "test",
            _ => continue,
        };
        let (code, text) = port_mcp(&["policy", command, path.to_str().unwrap()]);
        assert_eq!(code, Some(0), "{text}");
    }
}

/// The expectations of a policy's owner, kept beside it.
#[test]
fn a_policy_is_tested_against_examples() {
    let tests = r#"
policy: port-mcp.yml
tests:
  - name: agents on main read
    run: {repository: acme/catalog, ref: refs/heads/main, event: schedule}
    request: {allowed_tools: ["list_*", get_page], connection: gateway}
    expect: allowed
    rule: agents on main
  - name: nobody writes
    run: {repository: acme/catalog, ref: refs/heads/main, event: schedule}
    request: {read_only: false, connection: gateway}
    expect: refused
    rule: 2
  - name: other organizations have no rule
    run: {repository: other/catalog, ref: refs/heads/main, event: schedule}
    expect: refused
"#;
    let wrong = tests
        .replace("expect: refused\n    rule: 2", "expect: allowed")
        .replace("rule: agents on main", "rule: 1")
        .replace("other/catalog", "acme/catalog")
        .replace(
            "schedule}\n    expect: refused",
            "schedule}\n    request: {connection: gateway}\n    expect: refused",
        );
    let files = Files::new(&[
        ("port-mcp.yml", POLICY),
        ("tests.yml", tests),
        ("wrong.yml", &wrong),
    ]);
    let (code, text) = policy(&files, "test", "tests.yml", &[]);
    assert_eq!(code, Some(0), "{text}");
    assert_snapshot!(text, @"
    passed  agents on main read
    passed  nobody writes
    passed  other organizations have no rule
    3 passed, 0 failed.
    ");
    let (code, text) = policy(&files, "test", "wrong.yml", &[]);
    assert_eq!(code, Some(1), "{text}");
    assert_snapshot!("terminal.test", text);
    let (code, text) = policy(&files, "test", "wrong.yml", &["--format", "json"]);
    assert_eq!(code, Some(1), "{text}");
    assert!(
        text.starts_with(r#"{"passed":0,"failed":3,"tests":[{"name":"#),
        "{text}"
    );

    for (text, expected) in [
        ("policy: port-mcp.yml\ntests: []", "`tests` is empty"),
        (
            "policy: missing.yml\ntests: [{name: a, expect: allowed}]",
            "policy missing.yml could not be read",
        ),
        (
            "policy: port-mcp.yml\ntests: [{name: a, expect: maybe}]",
            "test file tests.yml is invalid: tests[0].expect: unknown variant `maybe`, expected `allowed` or `refused` at line 2 column 27",
        ),
        (
            "policy: port-mcp.yml\ntests: [{name: a, expect: allowed, reqest: {}}]",
            "unknown field `reqest`",
        ),
        (
            "policy: port-mcp.yml\ntests: [{name: a, expect: allowed, request: {agent: claude, region: x}}]",
            "in `a`, input `agent` is invalid: `claude`: use",
        ),
    ] {
        let files = Files::new(&[("port-mcp.yml", POLICY), ("tests.yml", text)]);
        let (code, output) = policy(&files, "test", "tests.yml", &[]);
        assert_eq!(code, Some(2), "{output}");
        assert!(output.contains(expected), "{expected}: {output}");
    }
}

#[test]
fn shells_complete_words() {
    for shell in ["bash", "zsh", "fish", "powershell", "elvish"] {
        let (code, text) = port_mcp(&["completions", shell]);
        assert_eq!(code, Some(0));
        for word in ["allowed-tools", "explain"] {
            assert!(text.contains(word), "{shell}: {word}");
        }
        let has_values = ["bash", "zsh", "fish"].contains(&shell);
        assert!(!has_values || text.contains("mcp-remote"), "{shell}");
    }
    assert_eq!(port_mcp(&["completions", "tcsh"]).0, Some(2));
}

/// What the terminal has for other steps does not count, and an empty option is not a missing one.
#[test]
fn only_options_request_something() {
    let port = FakePort::builder().start();
    let others = [
        ("INPUT_TIMEOUT", "zz"),
        ("INPUT_ALLOWED_TOOLS", "list_entities"),
        ("GITHUB_REPOSITORY", "acme/catalog"),
    ];
    let (code, text) = tools(&port, &[], &others);
    assert_eq!(code, Some(0), "{text}");
    assert!(!text.contains("granted"), "{text}");
    let files = Files::new(&[("port-mcp.yml", POLICY)]);
    for policy in ["", "..", "/missing.yml"] {
        let (code, text) = tools(&port, &["--policy", policy], &[]);
        assert_eq!(code, Some(2), "{policy}: {text}");
        assert!(text.contains("could not be read"), "{text}");
    }
    let link = files.path("link.yml");
    #[cfg(unix)]
    std::os::unix::fs::symlink(files.path("port-mcp.yml"), &link).unwrap();
    let (code, text) = tools(&port, &["--policy", &link], &others);
    assert_eq!(code, Some(1), "{text}");
    assert!(
        text.contains("no rule in policy") && text.contains("repository unknown"),
        "{text}"
    );
    let (code, text) = tools(
        &port,
        &["--arguments", "--allowed-tools", "nothing_like_it"],
        &[],
    );
    assert_eq!(code, Some(1), "{text}");
    assert!(
        text.contains("tool `nothing_like_it` is not available"),
        "{text}"
    );
}

/// A runner also reads the output of a container that a step runs without its variables.
#[test]
fn no_output_is_a_command() {
    let hostile = "a\n::add-mask::x ##[add-mask]y \u{1b}[31m \u{9b}31m \u{202e}";
    let tests = serde_json::json!({
        "policy": "port-mcp.yml",
        "tests": [{"name": hostile, "expect": "allowed"}],
    });
    let files = Files::new(&[("port-mcp.yml", POLICY), ("tests.yml", &tests.to_string())]);
    let port = FakePort::builder()
        .offer(Tool::new(hostile).description(hostile))
        .start();
    let outputs = [
        policy(&files, "test", "tests.yml", &[]).1,
        policy(&files, "test", "tests.yml", &["--format", "json"]).1,
        policy(&files, "explain", "port-mcp.yml", &["--region", hostile]).1,
        policy(
            &files,
            "explain",
            "port-mcp.yml",
            &["--repository", hostile],
        )
        .1,
        tools(&port, &[], &[]).1,
        tools(&port, &["--format", "json"], &[]).1,
        tools(&port, &["--allowed-tools", hostile], &[]).1,
        port_mcp(&["policy", "check", hostile]).1,
    ];
    for text in outputs {
        let is_command = |line: &str| line.trim_start().starts_with("::") || line.contains("##[");
        assert!(!text.lines().any(is_command), "{text}");
        assert!(!text.contains(['\u{1b}', '\u{9b}', '\u{202e}']), "{text}");
    }
}

/// What a step could never grant is not allowed.
#[test]
fn a_policy_without_a_server_decides_as_a_step() {
    let policy_text = POLICY.replace("      connection: [gateway]\n", "");
    let files = Files::new(&[("port-mcp.yml", &policy_text)]);
    let explain = |options: &[&str]| {
        policy(
            &files,
            "explain",
            "port-mcp.yml",
            &[&ON_MAIN[..], options].concat(),
        )
    };
    for denied in [
        &["--allowed-tools", "delete_*, upsert_*"][..],
        &["--allowed-tools", "list_entities", "--agent", "cline"],
        &["--agent", "generic"],
    ] {
        let (code, text) = explain(denied);
        assert_eq!(code, Some(1), "{denied:?}: {text}");
    }
    for allowed in [
        &["--allowed-tools", "*_entities, delete_*"][..],
        &[
            "--allowed-tools",
            "list_entities",
            "--agent",
            "cline",
            "--connection",
            "gateway",
        ],
    ] {
        let (code, text) = explain(allowed);
        assert_eq!(code, Some(0), "{allowed:?}: {text}");
    }
}

/// A mistake in a test is not a test that passes.
#[test]
fn a_test_file_is_read_strictly() {
    for test in [
        "name: a, expect: denied",
        "name: a, expect: refused, run: ",
        "name: a, expect: refused, request: {allowed_tools: []}",
        "name: a, expect: refused, request: {region: eu, region: us}",
        "name: a, expect: refused, request: {policy: x}",
        "name: a",
        "expect: refused",
    ] {
        let text = format!("policy: port-mcp.yml\ntests: [{{{test}}}]\n");
        let files = Files::new(&[("port-mcp.yml", POLICY), ("tests.yml", &text)]);
        let (code, output) = policy(&files, "test", "tests.yml", &[]);
        assert_eq!(code, Some(2), "{test}: {output}");
    }
    // Annotations name files as the repository does.
    let text = "policy: ../port-mcp.yml\ntests: [{name: a, expect: allowed}]\n";
    let files = Files::new(&[("port-mcp.yml", "version: 2\n")]);
    let directory = files.0.path().join("tests");
    std::fs::create_dir(&directory).unwrap();
    std::fs::write(directory.join("t.yml"), text).unwrap();
    let workspace = files.0.path().to_str().unwrap();
    let runner = [("GITHUB_ACTIONS", "true"), ("GITHUB_WORKSPACE", workspace)];
    let path = directory.join("t.yml");
    let (code, text) = port_mcp_with(&["policy", "test", path.to_str().unwrap()], &runner);
    assert_eq!(code, Some(2), "{text}");
    assert!(
        text.starts_with("::error file=port-mcp.yml,line="),
        "{text}"
    );
}

/// A policy of any size is checked in time: not each of its problems is shown.
#[test]
fn many_problems_are_found_quickly() {
    let text = format!("version: 1\nrules: [{}]\n", "~,".repeat(50_000));
    let files = Files::new(&[("port-mcp.yml", &text)]);
    let (code, text) = policy(&files, "check", "port-mcp.yml", &[]);
    assert_eq!(code, Some(1));
    assert_eq!(text.matches("error[policy-invalid]").count(), 50);
}

#[test]
fn rules_without_effect_are_found() {
    let directory = tempfile::tempdir().unwrap();
    let check = |text: &str| {
        let file = directory.path().join("p.yml");
        std::fs::write(&file, text).unwrap();
        port_mcp(&["policy", "check", file.to_str().unwrap()])
    };
    let shown = directory.path().join("p.yml").display().to_string();
    let rule =
        |when: &str| format!("version: 1\nrules:\n- when: {when}\n  allow: {{tools: ['*']}}\n");
    for (text, found) in [
        (rule("{ref: main}"), "write the full ref"),
        (
            rule("{event: pull-request}"),
            "did you mean `pull_request`?",
        ),
        (rule("{repository: catalog}"), "`owner/name`"),
        (
            rule("{}") + "- when: {event: push}\n  allow: {tools: ['*']}\n",
            "rule 1 matches all of its runs first",
        ),
        (
            "version: 1\nrules:\n- allow: {tools: [trigger_run], actions: [deploy]}\n".to_owned(),
            "rule 1 does not allow `trigger_run`: this tool runs every action and workflow",
        ),
    ] {
        let (code, output) = check(&text);
        assert_eq!(code, Some(1), "{output}");
        let header = format!("policy {shown} contains rules without effect (line ");
        assert!(output.contains(&header), "{output}");
        assert!(output.contains(found), "{output}");
    }
    let (code, output) = check(&rule("{ref: 'refs/heads/*', event: [push, schedule]}"));
    assert_eq!(
        (code, output.contains("is valid (1 rule)")),
        (Some(0), true),
        "{output}"
    );
}
