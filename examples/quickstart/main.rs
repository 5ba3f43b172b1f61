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
use port_mcp_action::runner::{Environment, Log};
use port_mcp_action::{cleanup, connect, gateway};
use reqwest::header::{HeaderMap, HeaderName};
use rmcp::model::CallToolRequestParams;
use rmcp::service::RunningService;
use rmcp::transport::StreamableHttpClientTransport;
use rmcp::transport::streamable_http_client::StreamableHttpClientTransportConfig;
use rmcp::{RoleClient, ServiceExt as _};
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
    // The step starts its own program as the gateway.
    if std::env::args().nth(1).as_deref() == Some("gateway") {
        return gateway::serve::run(std::future::pending()).await;
    }
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
    let agent = agent(&outputs["mcp_config"]).await?;
    for tool in agent.list_all_tools().await? {
        let is_granted = tools.contains(&tool.name.to_string());
        println!(
            "  {}: {}",
            tool.name,
            if is_granted { "granted" } else { "not granted" }
        );
    }
    agent.cancel().await?;
    println!();
    through_the_gateway(&port, workspace.path()).await?;
    println!(
        "\nTo use your own Port organization: add PORT_CLIENT_ID and PORT_CLIENT_SECRET to the \
         repository's\nsecrets, and copy the workflow from the README."
    );
    Ok(())
}

/// Runs a step with the gateway, an agent that calls two tools, and the post phase.
async fn through_the_gateway(port: &FakePort, workspace: &Path) -> anyhow::Result<()> {
    println!("4. The same step with the gateway, which enforces the granted tools itself:\n");
    let inputs = [
        ("allowed_tools", "list_*, !list_plugins"),
        ("policy", "port-mcp.yml"),
        ("connection", "gateway"),
    ];
    let step = Step::run(port, workspace, &inputs).await?;
    ensure!(step.succeeded, "the gateway did not start");
    let outputs: HashMap<String, String> = step.outputs.iter().cloned().collect();
    println!("An agent connects, and the token expires while it works:\n");
    let agent = agent(&outputs["mcp_config"]).await?;
    for tool in ["list_blueprints", "delete_entity", "list_entities"] {
        if tool == "list_entities" {
            port.expire_tokens();
            println!("  (the token expires)");
        }
        let result = agent.call_tool(CallToolRequestParams::new(tool)).await;
        match result {
            Ok(_) => println!("  {tool}: called"),
            Err(error) => println!("  {tool}: {error}"),
        }
    }
    agent.cancel().await?;
    let (log, summary) = step.clean_up().await?;
    println!("\nThe post phase of the step:\n\n{}", indented(&log));
    println!("Its part of the job summary:\n\n{}", indented(&summary));
    Ok(())
}

/// A completed step of a workflow.
struct Step {
    succeeded: bool,
    runner: Runner,
    outputs: Vec<(String, String)>,
    state: Vec<(String, String)>,
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
                ("GITHUB_STATE".to_owned(), file("state")),
                ("GITHUB_STEP_SUMMARY".to_owned(), file("summary")),
                ("GITHUB_WORKSPACE".to_owned(), workspace.into()),
                ("GITHUB_REPOSITORY".to_owned(), "acme/catalog".into()),
            ])
            .collect();
        let mut printed = Vec::new();
        let mut log = Log::new(&environment, &mut printed);
        let result = connect::run(&environment, &mut log).await;
        if let Err(error) = &result {
            error.report(&mut log);
        }
        drop(log);

        let runner = Runner::from_stream(&String::from_utf8(printed)?);
        println!("\n  Its log:\n\n{}", indented(&runner.log));
        let read = |name| fs::read_to_string(file(name)).unwrap_or_default();
        Ok(Self {
            succeeded: result.is_ok(),
            runner,
            outputs: pairs(&read("outputs")).map_err(|error| anyhow!(error))?,
            state: pairs(&read("state")).map_err(|error| anyhow!(error))?,
            summary: read("summary"),
        })
    }

    /// Runs the post phase, and returns its log and its part of the job summary.
    async fn clean_up(&self) -> anyhow::Result<(String, String)> {
        let files = tempfile::tempdir()?;
        let summary = files.path().join("summary");
        let state = self.state.iter();
        let environment: Environment = state
            .map(|(name, value)| (format!("STATE_{name}"), value.into()))
            .chain([(
                "GITHUB_STEP_SUMMARY".to_owned(),
                summary.clone().into_os_string(),
            )])
            .collect();
        let mut printed = Vec::new();
        cleanup::run(&environment, &mut Log::new(&environment, &mut printed)).await?;
        let runner = Runner::from_stream(&String::from_utf8(printed)?);
        Ok((runner.log, fs::read_to_string(summary)?))
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

/// Connects with `mcp_config` alone, as an agent does.
async fn agent(mcp_config: &str) -> anyhow::Result<RunningService<RoleClient, ()>> {
    let config: Value = serde_json::from_str(mcp_config)?;
    let server = &config["mcpServers"]["port"];
    let url = server["url"].as_str().context("no url")?;
    let mut headers = HeaderMap::new();
    for (name, value) in server["headers"].as_object().context("no headers")? {
        let value = value.as_str().context("a header is not a string")?;
        headers.insert(name.parse::<HeaderName>()?, value.parse()?);
    }
    let http = reqwest::Client::builder()
        .default_headers(headers)
        .no_proxy()
        .build()?;
    let settings = StreamableHttpClientTransportConfig::with_uri(url);
    let transport = StreamableHttpClientTransport::with_client(http, settings);
    Ok(().serve(transport).await?)
}

fn indented(text: &str) -> String {
    text.lines().flat_map(|line| ["    ", line, "\n"]).collect()
}
