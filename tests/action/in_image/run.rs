//! The run is named where somebody looks for it: in the requests to Port, and in the first line of an audit.

use std::io::{Read as _, Write as _};
use std::net::TcpListener;
use std::thread;

use fake_port::{FakePort, GITHUB_TOKEN};
use reqwest::header::{HeaderValue, USER_AGENT};
use runner_double::Finished;
use serde_json::{Value, json};

use crate::gateway::Gateway;
use crate::harness::Step;

const POLICY: &str = "version: 1\nrules:\n  - name: agents read\n    allow: { tools: [list_*], servers: [127.0.0.1] }\n";
const ID: &str = "16209841352";

fn ours(run: &str) -> String {
    format!("port-mcp-action/{}{run}", env!("CARGO_PKG_VERSION"))
}

fn with_run(attempt: &str) -> String {
    ours(&format!(" (acme/catalog; {ID}/{attempt})"))
}

/// The different values of `User-Agent` in the requests whose path begins with `path`.
fn user_agents(port: &FakePort, path: &str) -> Vec<String> {
    let received = port.received();
    let requests = received
        .iter()
        .filter(|request| request.path.starts_with(path));
    let agents = requests.map(|request| request.header("user-agent").unwrap().to_owned());
    let mut agents: Vec<String> = agents.collect();
    agents.sort();
    agents.dedup();
    agents
}

#[test]
fn requests_to_port_name_the_run() {
    for method in ["api", "oauth"] {
        let step = Step::new()
            .variable("GITHUB_RUN_ATTEMPT", "3")
            .input("auth_method", method);
        step.succeed();
        assert_eq!(user_agents(&step.port, "/v1"), [with_run("3")]);
    }
}

#[test]
fn requests_to_github_do_not_name_the_run() {
    let port = FakePort::builder().policy_file("acme/.github", "port-mcp.yml", "main", POLICY);
    let step = Step::against(port)
        .input("policy", "acme/.github/port-mcp.yml@main")
        .input("github_token", GITHUB_TOKEN);
    step.succeed();
    assert_eq!(user_agents(&step.port, "/repos"), ["octocrab"]);
    assert_eq!(user_agents(&step.port, "/v1"), [with_run("1")]);
}

#[test]
fn a_proxy_does_not_learn_the_run() {
    let proxy = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}", proxy.local_addr().unwrap());
    let head = thread::spawn(move || {
        let (mut client, _) = proxy.accept().unwrap();
        let mut head = Vec::new();
        let mut buffer = [0; 1024];
        while !head.windows(4).any(|end| end == b"\r\n\r\n") {
            let read = client.read(&mut buffer).unwrap();
            head.extend_from_slice(&buffer[..read]);
        }
        client
            .write_all(b"HTTP/1.1 403 Forbidden\r\ncontent-length: 0\r\n\r\n")
            .unwrap();
        String::from_utf8(head).unwrap()
    });
    Step::behind_a_proxy(FakePort::builder())
        .variable("https_proxy", &url)
        .input("region", "eu")
        .input("timeout", "2s")
        .fail();
    let head = head.join().unwrap();
    assert!(head.starts_with("CONNECT api.port.io:443 "), "{head}");
    assert!(!head.contains("catalog") && !head.contains(ID), "{head}");
}

/// The comment cannot end early, and a part that is missing says nothing.
#[test]
fn a_run_that_is_no_name_is_not_named() {
    for (variable, value) in [
        ("GITHUB_REPOSITORY", "acme/catalog) evil/1 ("),
        ("GITHUB_REPOSITORY", "acme/\u{e9}"),
        ("GITHUB_RUN_ID", "1\\"),
        ("GITHUB_RUN_ATTEMPT", ""),
    ] {
        let step = Step::new().variable(variable, value);
        step.succeed();
        assert_eq!(user_agents(&step.port, "/v1"), [ours("")], "{value}");
    }
}

#[tokio::test]
async fn the_gateway_adds_the_run_to_the_agents_own_name() {
    let gateway = Gateway::of(Step::new());
    let session = gateway.open().await;
    for (agent, expected) in [
        (
            Some("claude-code/2.1 (cli)"),
            format!("claude-code/2.1 (cli) {}", with_run("1")),
        ),
        (None, with_run("1")),
    ] {
        let mut headers = session.clone();
        headers.extend(agent.map(|agent| (USER_AGENT, HeaderValue::from_static(agent))));
        let result = gateway.call(&headers, "list_blueprints").await;
        assert!(result["result"].is_object(), "{result}");
        let agents = user_agents(&gateway.step.port, "/v1");
        assert!(agents.contains(&expected), "{agents:?}");
    }
    // Also the requests of the gateway itself.
    gateway.step.port.expire_tokens();
    gateway.call(&session, "list_blueprints").await;
    assert_eq!(user_agents(&gateway.step.port, "/v1/auth"), [with_run("1")]);
}

fn first_line(step: &Step, run: &Finished) -> Value {
    let file = step.job.temp().join(&run.outputs["audit_file"]);
    let audit = std::fs::read_to_string(file).unwrap();
    serde_json::from_str(audit.lines().next().unwrap()).unwrap()
}

#[test]
fn the_first_line_of_an_audit_says_where_it_comes_from() {
    let port = FakePort::builder().policy_file("acme/.github", "port-mcp.yml", "main", POLICY);
    let step = Step::against(port)
        .input("policy", "acme/.github/port-mcp.yml@main")
        .input("allowed_tools", "list_entities, list_blueprints")
        .input("connection", "gateway")
        .input("audit_file", "true");
    let mut line = first_line(&step, &step.succeed());
    let time = line.as_object_mut().unwrap().remove("time").unwrap();
    assert!(time.as_str().unwrap().ends_with('Z'));
    assert_eq!(
        line,
        json!({
            "event": "start",
            "repository": "acme/catalog",
            "run_id": ID,
            "run_attempt": "1",
            "job": "agent",
            "workflow": "acme/catalog/.github/workflows/agent.yml@refs/heads/main",
            "version": env!("CARGO_PKG_VERSION"),
            "agent": "claude-code",
            "connection": "gateway",
            "rule": "rule 1 (`agents read`) of acme/.github/port-mcp.yml@main",
            "tools": ["list_blueprints", "list_entities"],
        })
    );
}

#[test]
fn without_a_policy_there_is_no_rule_and_many_tools_are_counted() {
    let step = Step::against(FakePort::builder().tools(2_000))
        .input("connection", "gateway")
        .input("audit_file", "true")
        .variable("GITHUB_JOB", "##[error]x");
    let run = step.succeed();
    let granted: Vec<String> = serde_json::from_str(&run.outputs["tools"]).unwrap();
    let line = first_line(&step, &run);
    assert_eq!(line["rule"], Value::Null);
    assert_eq!(line["tools"], granted.len());
    assert_eq!(line["job"], "##[error]x");
}
