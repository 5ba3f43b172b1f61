//! The shell steps of the reusable workflow, as the runner starts them.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::process::Command;

use fake_port::{Endpoint, FakePort, Fault, GITHUB_TOKEN};
use port_mcp_action::inputs::INPUTS;
use yaml_serde::Value;

/// The script of a step of `.github/workflows/port-agent.yml`.
fn script(step: &str) -> String {
    let workflow = include_str!("../../.github/workflows/port-agent.yml");
    let workflow: Value = yaml_serde::from_str(workflow).unwrap();
    let steps = workflow["jobs"]["agent"]["steps"].as_sequence().unwrap();
    let step = steps.iter().find(|known| known["name"] == step).unwrap();
    assert_eq!(step["shell"], "bash");
    step["run"].as_str().unwrap().to_owned()
}

/// A call of the reusable workflow: the variables of its first step.
struct Call {
    github: FakePort,
    variables: BTreeMap<&'static str, String>,
    sudo: &'static str,
}

impl Call {
    fn new(agent: &str) -> Self {
        let github = FakePort::start();
        let variables = BTreeMap::from([
            ("AGENT", agent.to_owned()),
            ("CONNECTION", "gateway".to_owned()),
            ("GITHUB_EVENT_NAME", "workflow_dispatch".to_owned()),
            ("GITHUB_ACTOR", "octocat".to_owned()),
            ("GITHUB_REPOSITORY", "acme/shop".to_owned()),
            ("GITHUB_API_URL", github.github_url().to_owned()),
            ("GITHUB_TOKEN", GITHUB_TOKEN.to_owned()),
        ]);
        Self {
            github,
            variables,
            sudo: "exit 0",
        }
    }

    fn set(mut self, name: &'static str, value: &str) -> Self {
        self.variables.insert(name, value.to_owned());
        self
    }

    /// The errors of the step, one per line.
    fn errors(&self) -> String {
        let programs = tempfile::tempdir().unwrap();
        let sudo = programs.path().join("sudo");
        fs::write(&sudo, format!("#!/bin/sh\n{}\n", self.sudo)).unwrap();
        fs::set_permissions(&sudo, fs::Permissions::from_mode(0o700)).unwrap();
        let path = std::env::var("PATH").unwrap();
        let output = Command::new("bash")
            .args(["--noprofile", "--norc", "-eo", "pipefail", "-c"])
            .arg(script("Check the call"))
            .envs(&self.variables)
            .env("PATH", format!("{}:{path}", programs.path().display()))
            .output()
            .unwrap();
        let errors = String::from_utf8(output.stdout).unwrap();
        assert_eq!(String::from_utf8(output.stderr).unwrap(), "");
        assert_eq!(
            output.status.code(),
            Some(i32::from(!errors.is_empty())),
            "{errors}"
        );
        let lines = errors.lines().map(|line| {
            let rest = line.strip_prefix("::error title=Port agent [").unwrap();
            rest.split_once("]::").unwrap().1
        });
        lines.collect::<Vec<_>>().join("\n")
    }

    fn assert_allowed(&self) {
        assert_eq!(self.errors(), "", "{:?}", self.variables);
    }

    fn assert_error(&self, expected: &str) {
        let errors = self.errors();
        assert!(errors.contains(expected), "{expected}: {errors}");
        assert_eq!(errors.lines().count(), 1, "{errors}");
    }
}

const ENTITIES: [&str; 6] = [
    "issues",
    "issue_comment",
    "pull_request",
    "pull_request_target",
    "pull_request_review",
    "pull_request_review_comment",
];

#[test]
fn an_event_that_claude_code_does_not_support_is_an_error() {
    for event in ["push", "merge_group", "release", "workflow_call"] {
        let call = |agent| Call::new(agent).set("GITHUB_EVENT_NAME", event);
        call("claude-code").assert_error(&format!("does not support the event `{event}`"));
        call("codex").assert_allowed();
        call("gemini-cli").assert_allowed();
    }
    let others = [
        "workflow_dispatch",
        "repository_dispatch",
        "schedule",
        "workflow_run",
    ];
    for event in ENTITIES.into_iter().chain(others) {
        Call::new("claude-code")
            .set("GITHUB_EVENT_NAME", event)
            .assert_allowed();
    }
}

#[test]
fn a_user_without_write_access_is_an_error() {
    let error = "does not start for `outsider`, who cannot write to this repository";
    for event in ENTITIES {
        let call = |agent| {
            Call::new(agent)
                .set("GITHUB_EVENT_NAME", event)
                .set("GITHUB_ACTOR", "outsider")
        };
        for agent in ["claude-code", "codex"] {
            call(agent).assert_error(error);
            call(agent)
                .set("ALLOWED_NON_WRITE_USERS", "other, outsider")
                .assert_allowed();
            call(agent)
                .set("ALLOWED_NON_WRITE_USERS", " * ")
                .assert_allowed();
            for other in ["out", "outsider2", "*outsider", "o*"] {
                call(agent)
                    .set("ALLOWED_NON_WRITE_USERS", other)
                    .assert_error(error);
            }
            // Only for bots.
            if agent == "claude-code" {
                call(agent).set("ALLOWED_BOTS", "*").assert_error(error);
            }
            call(agent)
                .set("ALLOWED_BOTS", "outsider")
                .assert_error(error);
        }
        // Claude Code compares the case.
        call("claude-code")
            .set("ALLOWED_NON_WRITE_USERS", "Outsider")
            .assert_error(error);
        call("codex")
            .set("ALLOWED_NON_WRITE_USERS", "Outsider")
            .assert_allowed();
        call("gemini-cli").assert_allowed();
    }
    // For these events, only Codex requires write access.
    for event in ["workflow_dispatch", "repository_dispatch", "schedule"] {
        let call = |agent| {
            Call::new(agent)
                .set("GITHUB_EVENT_NAME", event)
                .set("GITHUB_ACTOR", "outsider")
        };
        call("claude-code").assert_allowed();
        call("codex").assert_error(error);
    }
}

#[test]
fn the_actor_of_the_upstream_run_needs_write_access() {
    let call = |upstream| {
        let call = Call::new("claude-code").set("GITHUB_EVENT_NAME", "workflow_run");
        call.set("UPSTREAM_ACTOR", upstream)
    };
    call("octocat").assert_allowed();
    call("renovate[bot]").assert_allowed();
    call("outsider").assert_error("does not start for `outsider`");
    call("outsider")
        .set("GITHUB_ACTOR", "outsider")
        .assert_error("does not start for `outsider`");
    call("Copilot").assert_error("does not start for `Copilot`");
    call("Copilot")
        .set("ALLOWED_BOTS", "copilot")
        .assert_allowed();
    call("outsider")
        .set("ALLOWED_NON_WRITE_USERS", "outsider")
        .assert_allowed();
}

#[test]
fn a_bot_is_an_error_unless_it_is_allowed() {
    for bot in ["renovate[bot]", "Copilot"] {
        for event in ["schedule", "issues"] {
            let call = |agent| {
                Call::new(agent)
                    .set("GITHUB_EVENT_NAME", event)
                    .set("GITHUB_ACTOR", bot)
            };
            let errors = call("claude-code").errors();
            assert!(
                errors.contains(&format!("`{bot}`, which is a bot")),
                "{errors}"
            );
            call("codex").assert_error(&format!("`{bot}`, who cannot write"));
            for list in ["renovate, copilot", "RENOVATE[bot],Copilot[bot]", "*"] {
                call("claude-code")
                    .set("ALLOWED_BOTS", list)
                    .assert_allowed();
            }
            let other = call("claude-code")
                .set("ALLOWED_BOTS", "renovat, copilot2, [bot]")
                .errors();
            assert!(other.contains("which is a bot"), "{other}");
        }
    }
    Call::new("codex")
        .set("GITHUB_ACTOR", "Copilot")
        .set("ALLOWED_BOTS", "copilot")
        .assert_error("`Copilot`, who cannot write");
    let call = |list| {
        Call::new("codex")
            .set("GITHUB_ACTOR", "renovate[bot]")
            .set("ALLOWED_BOTS", list)
    };
    call("Renovate").assert_allowed();
    call("renovate[bot]").assert_allowed();
    assert!(
        call("*")
            .errors()
            .contains("does not support `*` in `allowed_bots`")
    );
}

#[test]
fn without_an_answer_of_github_the_agents_action_decides() {
    for fault in [
        Fault::status(503).into(),
        Fault::status(403).into(),
        Fault::NotJson,
        Fault::Close,
    ] {
        for agent in ["claude-code", "codex"] {
            let call = Call::new(agent)
                .set("GITHUB_EVENT_NAME", "issues")
                .set("GITHUB_ACTOR", "outsider");
            for _ in 0..6 {
                call.github.fault(Endpoint::Github, fault.clone());
            }
            call.assert_allowed();
        }
    }
    Call::new("codex")
        .set("GITHUB_API_URL", "http://127.0.0.1:1")
        .assert_allowed();
}

#[test]
fn a_checkout_that_the_agent_cannot_use_is_an_error() {
    let call = |agent| Call::new(agent).set("CHECKOUT", "true");
    for agent in ["claude-code", "codex"] {
        call(agent).assert_allowed();
        call(agent)
            .set("CONNECTION", "mcp-remote")
            .assert_error("cannot be used with `connection: mcp-remote`");
    }
    call("gemini-cli")
        .assert_error("cannot be used with `connection: mcp-remote` or `agent: gemini-cli`");
    call("copilot-cli").assert_error("has no tool to read files");
}

#[test]
fn everything_that_is_wrong_with_a_call_is_said_at_once() {
    let errors = Call::new("cursor")
        .set("MODEL", "--yolo")
        .set("CHECKOUT", "true")
        .errors();
    assert_eq!(errors.lines().count(), 2, "{errors}");
    let mut call = Call::new("codex")
        .set("GITHUB_ACTOR", "outsider")
        .set("ALLOWED_BOTS", "*")
        .set("MODEL", "a b");
    call.sudo = "exit 1";
    let errors = call.errors();
    assert_eq!(errors.lines().count(), 4, "{errors}");
    for (name, value) in [
        ("ALLOWED_BOTS", "renovate"),
        ("ALLOWED_NON_WRITE_USERS", "*"),
    ] {
        for agent in ["gemini-cli", "copilot-cli"] {
            Call::new(agent)
                .set(name, value)
                .assert_error("apply only to `claude-code` and `codex`");
        }
    }
}

#[test]
fn codex_without_sudo_is_an_error() {
    let mut call = Call::new("codex");
    call.sudo = "exit 1";
    call.assert_error("requires a runner on which `sudo` needs no password");
}

/// The inputs that a hint of the action tells a user to set.
fn inputs_in_hints() -> BTreeSet<String> {
    let mut directories = vec![Path::new(env!("CARGO_MANIFEST_DIR")).join("src")];
    let mut names = BTreeSet::new();
    while let Some(directory) = directories.pop() {
        for entry in fs::read_dir(directory).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                directories.push(path);
                continue;
            }
            let text = fs::read_to_string(&path).unwrap_or_default();
            let hints = ["et `", "raise `"].map(|verb| text.split(verb).skip(1));
            for hint in hints.into_iter().flatten() {
                let name = hint.split(['`', ':']).next().unwrap_or_default();
                names.insert(name.to_owned());
            }
        }
    }
    names.retain(|name| INPUTS.iter().any(|input| input.name == *name));
    names
}

#[test]
fn callers_can_set_what_hints_tell_them_to_set() {
    // The workflow sets these itself, so no hint about them applies to a caller.
    let set_by_the_workflow = [
        "gateway_lifetime",
        "server_name",
        "token_placement",
        "verify",
    ];
    let workflow = include_str!("../../.github/workflows/port-agent.yml");
    let workflow: Value = yaml_serde::from_str(workflow).unwrap();
    let inputs = &workflow["on"]["workflow_call"]["inputs"];
    let hints = inputs_in_hints();
    assert!(hints.contains("ca_certificate") && hints.contains("timeout"));
    for name in hints {
        let is_set = set_by_the_workflow.contains(&name.as_str());
        assert!(is_set || !inputs[&name].is_null(), "{name}");
    }
}
