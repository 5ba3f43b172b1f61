//! The gateway in its job: when a step starts one, what the next steps get, and how the post phase stops it.

use std::process::Command;

use fake_port::{FakePort, Tool};

use crate::gateway::Gateway;
use crate::harness::{Step, annotations, is_image};

#[tokio::test]
async fn without_a_readable_policy_no_gateway_starts() {
    let step = Step::new()
        .input("connection", "gateway")
        .input("policy", "acme/.github/missing.yml@main");
    let run = step.run();
    assert_eq!(run.exit, Some(1));
    assert!(run.state.values().all(|value| value == "none"));
    assert!(run.outputs.is_empty());
}

#[test]
fn agents_outside_the_job_cannot_use_it() {
    for agent in ["anthropic-api", "openai-responses"] {
        let step = Step::new().input("connection", "gateway");
        let errors = step.input("agent", agent).fail();
        let expected = format!("input `connection` is `gateway`, which `{agent}` cannot use");
        assert!(errors.contains(&expected), "{errors}");
    }
}

#[tokio::test]
async fn an_agent_without_a_list_of_its_own_is_accepted_under_a_policy() {
    let text = "version: 1\nrules: [{allow: {tools: ['list_*'], servers: [127.0.0.1], connection: [gateway]}}]";
    let port = FakePort::builder()
        .policy_file("acme/.github", "p.yml", "main", text)
        .offer(Tool::new("a.b").destructive(true));
    let step = Step::against(port)
        .input("policy", "acme/.github/p.yml@main")
        .input("agent", "cline");
    let gateway = Gateway::of(step);
    assert_eq!(
        annotations(&gateway.run, "warning")
            .matches("enforce")
            .count(),
        0
    );
    assert!(gateway.run.outputs["mcp_config"].contains(gateway.key()));
    assert!(!gateway.run.outputs["mcp_config"].contains("x-read-only-mode"));
}

#[tokio::test]
async fn the_next_steps_use_no_proxy_for_it() {
    let step = Step::new();
    let step = step
        .variable("https_proxy", "http://127.0.0.1:9")
        .variable("NO_PROXY", "a.example,localhost")
        .variable("no_proxy", "b.example, 127.0.0.1");
    let gateway = Gateway::of(step);
    // Each keeps its value: programs disagree about which one counts.
    let upper = "a.example,localhost,127.0.0.1";
    let lower = "b.example, 127.0.0.1,localhost";
    let env: Vec<(&str, &str)> = gateway
        .run
        .env
        .iter()
        .map(|(name, value)| (name.as_str(), value.as_str()))
        .collect();
    assert_eq!(env, [("NO_PROXY", upper), ("no_proxy", lower)]);
    assert_eq!(annotations(&gateway.run, "notice"), "", "nothing is wrong");
    let log = gateway.run.log();
    assert!(
        log.contains("`NO_PROXY` and `no_proxy` contain it"),
        "{log}"
    );
    assert!(
        Gateway::start().run.env.is_empty(),
        "only if there is a proxy"
    );
}

/// A list that contains `*` and other hosts is no longer a wildcard for curl, Python, and Node.js.
#[tokio::test]
async fn a_wildcard_in_no_proxy_stays_one() {
    let with = |variables: &[(&str, &str)]| {
        let step = Step::new().variable("https_proxy", "http://127.0.0.1:9");
        let step = variables
            .iter()
            .fold(step, |step, (name, value)| step.variable(name, value));
        Gateway::of(step)
    };
    for variables in [
        &[("no_proxy", "*")][..],
        &[("NO_PROXY", " *")],
        &[("no_proxy", "*"), ("NO_PROXY", "*")],
    ] {
        let gateway = with(variables);
        assert!(gateway.run.env.is_empty(), "{:?}", gateway.run.env);
        assert_eq!(annotations(&gateway.run, "notice"), "");
    }
    let gateway = with(&[("no_proxy", "*"), ("NO_PROXY", "a.example")]);
    let env: Vec<_> = gateway.run.env.into_iter().collect();
    let upper = "a.example,127.0.0.1,localhost".to_owned();
    assert_eq!(env, [("NO_PROXY".to_owned(), upper)]);
    // One that is not set gets what counts in its place.
    let gateway = with(&[("NO_PROXY", "a.example,*")]);
    let value = "a.example,*,127.0.0.1,localhost";
    assert!(gateway.run.env.iter().all(|(_, found)| found == value));
    assert_eq!(gateway.run.env.len(), 2);
}

#[tokio::test]
async fn a_gateway_that_was_ended_is_reported() {
    let gateway = Gateway::start();
    let step = &gateway.step;
    step.clean_up();
    let again = step.clean_up();
    let warning = annotations(&again, "warning");
    assert!(
        warning.starts_with("The gateway exited before the job did"),
        "{warning}"
    );
}

#[test]
fn the_exit_code_of_a_killed_container_is_reported() {
    if !is_image() {
        return;
    }
    let gateway = Gateway::start();
    let killed = Command::new("docker")
        .args(["kill", &gateway.run.state["gateway_name"]])
        .output()
        .unwrap();
    assert!(killed.status.success());
    let warning = annotations(&gateway.step.clean_up(), "warning");
    assert!(warning.contains("exited with code 137"), "{warning}");
}
