//! The port as a process of its own.

#![expect(
    clippy::unwrap_used,
    reason = "a failed step is a failed test, in helpers too"
)]

use std::{
    collections::HashMap,
    io::{BufRead, BufReader, Write},
    process::{Child, Command, Stdio},
};

use reqwest::Client;
use serde_json::{Value, json};
use tempfile::NamedTempFile;

/// A running program, and what it printed; dropping it ends the process.
struct Program {
    process: Child,
    printed: HashMap<String, String>,
}

impl Program {
    fn start(arguments: &[&str], lines: usize) -> Self {
        let mut process = command(arguments).stdout(Stdio::piped()).spawn().unwrap();
        let stdout = BufReader::new(process.stdout.take().unwrap());
        let printed = stdout
            .lines()
            .take(lines)
            .map(|line| {
                let line = line.unwrap();
                let (key, value) = line.split_once('=').unwrap();
                (key.to_owned(), value.to_owned())
            })
            .collect();
        Self { process, printed }
    }
}

impl Drop for Program {
    fn drop(&mut self) {
        // It may have ended by itself.
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

fn command(arguments: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_fake-port"));
    command.args(arguments);
    command
}

#[tokio::test]
async fn serves_a_policy_and_an_identity_with_a_role() {
    let mut local = NamedTempFile::new().unwrap();
    local.write_all(b"version: 1\n").unwrap();
    let file = format!(
        "acme/policies:ci/port-mcp.yml:main={}",
        local.path().display()
    );
    let credentials = ["--client-id", "id", "--client-secret", "secret"];
    let arguments = [
        &["--role", "none", "--policy-file", &file],
        &credentials[..],
    ]
    .concat();
    let program = Program::start(&arguments, 3);
    let client = Client::builder()
        .tls_certs_only([])
        .user_agent("test")
        .build()
        .unwrap();

    let github = &program.printed["GITHUB_API_URL"];
    let policy = client
        .get(format!(
            "{github}/repos/acme/policies/contents/ci/port-mcp.yml"
        ))
        .header("accept", "application/vnd.github.raw+json");
    let policy = policy.send().await.unwrap().text().await.unwrap();
    assert_eq!(policy, "version: 1\n");

    let exchange = format!("{}/v1/auth/access_token", program.printed["API_URL"]);
    let credentials = json!({"clientId": "id", "clientSecret": "secret"});
    let token = client
        .post(exchange)
        .json(&credentials)
        .send()
        .await
        .unwrap();
    let token: Value = token.json().await.unwrap();
    let list = json!({
        "jsonrpc": "2.0", "id": 1, "method": "tools/list",
        "params": {"_meta": {
            "io.modelcontextprotocol/protocolVersion": "2026-07-28",
            "io.modelcontextprotocol/clientInfo": {"name": "test", "version": "0"},
            "io.modelcontextprotocol/clientCapabilities": {},
        }},
    });
    let tools = client
        .post(&program.printed["MCP_URL"])
        .bearer_auth(token["accessToken"].as_str().unwrap())
        .header("accept", "application/json, text/event-stream")
        .header("mcp-protocol-version", "2026-07-28")
        .header("mcp-method", "tools/list")
        .json(&list);
    let tools = tools.send().await.unwrap().text().await.unwrap();
    assert!(tools.contains(r#""tools":[]"#), "{tools}");
}

#[test]
fn says_what_is_wrong_with_a_policy_file() {
    for (argument, wrong) in [
        (
            "acme/policies:port-mcp.yml",
            "expected REPO:PATH:REF=LOCALFILE",
        ),
        (
            "acme/policies:a.yml:main=/nowhere.yml",
            "/nowhere.yml: No such file",
        ),
    ] {
        let output = command(&["--policy-file", argument]).output().unwrap();
        assert_eq!(output.status.code(), Some(2));
        let error = String::from_utf8(output.stderr).unwrap();
        assert!(error.contains(wrong), "{error}");
    }
}
