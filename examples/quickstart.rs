//! The main job of the action, against a Port of its own: `cargo run --example quickstart`.
//!
//! It starts a fake Port server in this process, gives the main phase the environment that GitHub's
//! runner would, and shows what a reader of the workflow would see: first the request of an old
//! guide, whose tool has another name by now, then one that the organization's policy refuses, then
//! one that is granted. Last it connects with exactly the configuration that came out, as the agent
//! would.

#![expect(clippy::print_stdout, reason = "this is what it is for")]

use std::collections::HashMap;
use std::fs;
use std::path::Path;

use anyhow::{Context as _, anyhow, ensure};
use fake_port::FakePort;
use port_mcp_action::runner::{Environment, Log};
use port_mcp_action::{connect, report};
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
    ceiling:
      tools: ["list_*", "get_*"]
      servers: [127.0.0.1]
"#;

#[tokio::main(flavor = "current_thread")]
async fn main() -> anyhow::Result<()> {
    let port = FakePort::start();
    let workspace = tempfile::tempdir()?;
    fs::write(workspace.path().join("port-mcp.yml"), POLICY)?;
    println!(
        "The policy of the organization, port-mcp.yml:\n\n{}",
        indented(POLICY)
    );

    let run = async |about: &str, inputs: &[(&str, &str)]| {
        println!("{about}\n");
        Step::run(&port, workspace.path(), inputs).await
    };
    let refused = run(
        "1. A step with a tool from an old guide:",
        &[("allowed_tools", "list_blueprints, get_entities")],
    )
    .await?;
    ensure!(!refused.succeeded, "a tool that is not offered was granted");
    let refused = run(
        "2. A step that asks for more than the policy allows:",
        &[
            ("allowed_tools", "list_*, upsert_entity"),
            ("read_only", "false"),
            ("policy", "port-mcp.yml"),
        ],
    )
    .await?;
    ensure!(!refused.succeeded, "the policy was passed over");
    let granted = run(
        "3. A step within the policy:",
        &[
            ("allowed_tools", "list_*, !list_plugins"),
            ("policy", "port-mcp.yml"),
        ],
    )
    .await?;
    ensure!(granted.succeeded, "the main phase failed");

    println!("Its outputs, as a later step would print them:\n");
    for (name, value) in &granted.outputs {
        println!("  {name}: {}", granted.runner.masker.mask(value));
    }
    println!(
        "\nIts job summary:\n\n{}",
        indented(&granted.runner.masker.mask(&granted.summary))
    );

    let outputs: HashMap<String, String> = granted.outputs.into_iter().collect();
    let tools: Vec<String> = serde_json::from_str(&outputs["tools"])?;
    println!("What an agent that connects with this `mcp_config` is offered and granted:\n");
    for tool in offered(&outputs["mcp_config"]).await? {
        let is_granted = tools.contains(&tool);
        println!(
            "  {tool}: {}",
            if is_granted { "granted" } else { "not granted" }
        );
    }
    println!(
        "\nThe same against your own Port organization: put PORT_CLIENT_ID and PORT_CLIENT_SECRET \
         into the\nrepository's secrets, set `region`, leave `api_url` and `mcp_url` out, and copy \
         the workflow from the README."
    );
    Ok(())
}

/// A step of a workflow that has ended.
struct Step {
    succeeded: bool,
    runner: Runner,
    outputs: Vec<(String, String)>,
    summary: String,
}

impl Step {
    /// Runs the main phase with these inputs and the fake Port server's addresses, and shows the step and its
    /// log.
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
        let given = [
            ("client_id", port.client_id()),
            ("client_secret", port.client_secret()),
            ("api_url", port.api_url()),
            ("mcp_url", port.mcp_url()),
        ];
        let files = tempfile::tempdir()?;
        let file = |name: &str| files.path().join(name).into_os_string();
        let environment: Environment = given
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
            report(&mut log, error);
        }
        drop(log);

        let runner = Runner::reading(&String::from_utf8(printed)?);
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

/// What of GitHub's runner a reader of the log sees: commands are obeyed, masks hide values.
struct Runner {
    masker: Masker,
    log: String,
}

impl Runner {
    fn reading(stream: &str) -> Self {
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

/// Connects with what `mcp_config` says and nothing else, and lists the tools that are offered.
async fn offered(mcp_config: &str) -> anyhow::Result<Vec<String>> {
    let config: Value = serde_json::from_str(mcp_config)?;
    let server = &config["mcpServers"]["port"];
    let url = server["url"].as_str().context("no url")?;
    let mut headers = HeaderMap::new();
    for (name, value) in server["headers"].as_object().context("no headers")? {
        let value = value.as_str().context("a header is no text")?;
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
