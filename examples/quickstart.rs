//! Runs the action against a built-in fake Port server: `cargo run --example quickstart`.
//!
//! It starts the server in this process, gives the main phase the environment of GitHub's runner, and shows
//! what a user of the workflow sees: a request with an outdated tool name, one that the organization's
//! policy does not allow, and one that is granted. Then it connects with the resulting configuration, as
//! the agent would.

#![expect(clippy::print_stdout, reason = "the output is the purpose")]

use std::collections::HashMap;
use std::fs;
use std::path::Path;

use anyhow::{Context as _, anyhow, ensure};
use fake_port::FakePort;
use port_mcp_action::connect;
use port_mcp_action::runner::{Environment, Log};
use reqwest::header::{HeaderMap, HeaderName};
use rmcp::ServiceExt as _;
use rmcp::transport::StreamableHttpClientTransport;
use rmcp::transport::streamable_http_client::StreamableHttpClientTransportConfig;
use runner_double::{Command, Masker, pairs};
use serde_json::Value;

const POLICY: &str = r#"version: 1
rules:
  - name: agents read
    when: { repository: acme/* }
    allow:
      tools: ["list_*", "get_*"]
      servers: [127.0.0.1]
"#;

#[tokio::main(flavor = "current_thread")]
async fn main() -> anyhow::Result<()> {
    let port = FakePort::start();
    let workspace = tempfile::tempdir()?;
    fs::write(workspace.path().join("port-mcp.yml"), POLICY)?;
    println!(
        "The organization's policy, port-mcp.yml:\n\n{}",
        indented(POLICY)
    );

    let run = async |about: &str, inputs: &[(&str, &str)]| {
        println!("{about}\n");
        Step::run(&port, workspace.path(), inputs).await
    };
    let failed = run(
        "1. A step with an outdated tool name:",
        &[("allowed_tools", "list_blueprints, get_entities")],
    )
    .await?;
    ensure!(
        !failed.succeeded,
        "a tool that is not available was granted"
    );
    let failed = run(
        "2. A step that requests more than the policy allows:",
        &[
            ("allowed_tools", "list_*, upsert_entity"),
            ("read_only", "false"),
            ("policy", "port-mcp.yml"),
        ],
    )
    .await?;
    ensure!(!failed.succeeded, "the policy was not applied");
    let granted = run(
        "3. A step within the policy:",
        &[
            ("allowed_tools", "list_*, !list_plugins"),
            ("policy", "port-mcp.yml"),
        ],
    )
    .await?;
    ensure!(granted.succeeded, "the main phase failed");

    println!("Its outputs, as masked in the log:\n");
    for (name, value) in &granted.outputs {
        println!("  {name}: {}", granted.runner.masker.mask(value));
    }
    println!(
        "\nIts job summary:\n\n{}",
        indented(&granted.runner.masker.mask(&granted.summary))
    );

    let outputs: HashMap<String, String> = granted.outputs.into_iter().collect();
    let tools: Vec<String> = serde_json::from_str(&outputs["tools"])?;
    println!("What an agent that connects with this `mcp_config` can see and may use:\n");
    for tool in offered(&outputs["mcp_config"]).await? {
        let is_granted = tools.contains(&tool);
        println!(
            "  {tool}: {}",
            if is_granted { "granted" } else { "not granted" }
        );
    }
    println!(
        "\nTo use your own Port organization: add PORT_CLIENT_ID and PORT_CLIENT_SECRET to the \
         repository's\nsecrets, and copy the workflow from the README."
    );
    Ok(())
}

/// A completed step of a workflow.
struct Step {
    succeeded: bool,
    runner: Runner,
    outputs: Vec<(String, String)>,
    summary: String,
}

impl Step {
    /// Runs the main phase with these inputs and the URLs of the fake Port server, and shows the step and
    /// its log.
    async fn run(
        port: &FakePort,
        workspace: &Path,
        inputs: &[(&str, &str)],
    ) -> anyhow::Result<Self> {
        println!("  - uses: OWNER/port-mcp-action@v1\n    with:");
        println!("      client_id: ${{{{ secrets.PORT_CLIENT_ID }}}}");
        println!("      client_secret: ${{{{ secrets.PORT_CLIENT_SECRET }}}}");
        for (name, value) in inputs {
            println!("      {name}: \"{value}\"");
        }
        let credentials_and_urls = [
            ("client_id", port.client_id()),
            ("client_secret", port.client_secret()),
            ("api_url", port.api_url()),
            ("mcp_url", port.mcp_url()),
        ];
        let files = tempfile::tempdir()?;
        let file = |name: &str| files.path().join(name).into_os_string();
        let environment: Environment = credentials_and_urls
            .iter()
            .chain(inputs)
            .map(|(name, value)| (format!("INPUT_{}", name.to_uppercase()), (*value).into()))
            .chain([
                ("GITHUB_OUTPUT".to_owned(), file("outputs")),
                ("GITHUB_STEP_SUMMARY".to_owned(), file("summary")),
                ("GITHUB_WORKSPACE".to_owned(), workspace.into()),
                ("GITHUB_REPOSITORY".to_owned(), "acme/catalog".into()),
            ])
            .collect();
        let mut printed = Vec::new();
        let mut log = Log::new(&environment, &mut printed);
        let result = connect::run(&environment, &mut log).await;
        if let Err(error) = &result {
            error.report(&environment, &mut log);
        }
        drop(log);

        let runner = Runner::from_stream(&String::from_utf8(printed)?);
        println!("\n  Its log:\n\n{}", indented(&runner.log));
        let read = |name| fs::read_to_string(file(name)).unwrap_or_default();
        Ok(Self {
            succeeded: result.is_ok(),
            runner,
            outputs: pairs(&read("outputs")).map_err(|error| anyhow!(error))?,
            summary: read("summary"),
        })
    }
}

/// The log as GitHub's runner shows it: commands are interpreted, and masked values are hidden.
struct Runner {
    masker: Masker,
    log: String,
}

impl Runner {
    fn from_stream(stream: &str) -> Self {
        let mut runner = Self {
            masker: Masker::new(),
            log: String::new(),
        };
        for line in stream.lines() {
            let shown = match Command::parse(line) {
                Some(mask) if mask.is("add-mask") => {
                    runner.masker.add(&mask.data);
                    "::add-mask::***".to_owned()
                }
                Some(annotation) => format!("{}: {}", annotation.name, annotation.data),
                None => line.to_owned(),
            };
            let shown = runner.masker.mask(&shown);
            runner.log.push_str(&shown);
            runner.log.push('\n');
        }
        runner
    }
}

/// Connects with `mcp_config` alone, and lists the tools that the server offers.
async fn offered(mcp_config: &str) -> anyhow::Result<Vec<String>> {
    let config: Value = serde_json::from_str(mcp_config)?;
    let server = &config["mcpServers"]["port"];
    let url = server["url"].as_str().context("no url")?;
    let mut headers = HeaderMap::new();
    for (name, value) in server["headers"].as_object().context("no headers")? {
        let value = value.as_str().context("a header is not text")?;
        headers.insert(name.parse::<HeaderName>()?, value.parse()?);
    }
    let http = reqwest::Client::builder()
        .default_headers(headers)
        .no_proxy()
        .build()?;
    let settings = StreamableHttpClientTransportConfig::with_uri(url);
    let agent = ().serve(StreamableHttpClientTransport::with_client(http, settings)).await?;
    let tools = agent.list_all_tools().await?;
    agent.cancel().await?;
    Ok(tools
        .into_iter()
        .map(|tool| tool.name.into_owned())
        .collect())
}

fn indented(text: &str) -> String {
    text.lines().flat_map(|line| ["    ", line, "\n"]).collect()
}
