//! The main job of the action, against a Port of its own: `cargo run --example quickstart`.
//!
//! It starts a stand-in Port in this process, gives the main phase the environment that GitHub's
//! runner would, and shows what a reader of the workflow would see. Then it connects with exactly
//! the configuration that came out, as the agent would.

#![expect(clippy::print_stdout, reason = "this is what it is for")]

use std::collections::HashMap;
use std::fs;

use actions_runner_double::{Command, Masker, pairs};
use anyhow::{Context as _, anyhow, bail};
use port_mcp_action::runner::{Environment, Log};
use port_mcp_action::{connect, report};
use port_sandbox::Sandbox;
use reqwest::header::{HeaderMap, HeaderName};
use rmcp::ServiceExt as _;
use rmcp::transport::StreamableHttpClientTransport;
use rmcp::transport::streamable_http_client::StreamableHttpClientTransportConfig;
use serde_json::Value;

#[tokio::main(flavor = "current_thread")]
async fn main() -> anyhow::Result<()> {
    let port = Sandbox::start();
    let job = tempfile::tempdir()?;
    let file = |name: &str| job.path().join(name).into_os_string();

    println!("The step, as in a workflow:\n");
    let inputs = [
        ("client_id", port.client_id()),
        ("client_secret", port.client_secret()),
        ("api_url", port.api_url()),
        ("mcp_url", port.mcp_url()),
        ("allowed_tools", "list_blueprints, list_entities"),
    ];
    println!("  - id: port\n    uses: OWNER/port-mcp-action@v1\n    with:");
    for (name, value) in inputs {
        let value = match name {
            "client_id" => "${{ secrets.PORT_CLIENT_ID }}",
            "client_secret" => "${{ secrets.PORT_CLIENT_SECRET }}",
            _ => value,
        };
        println!("      {name}: {value}");
    }

    let variables = inputs
        .iter()
        .map(|(name, value)| (format!("INPUT_{}", name.to_uppercase()), (*value).into()))
        .chain([
            ("GITHUB_OUTPUT".to_owned(), file("outputs")),
            ("GITHUB_STEP_SUMMARY".to_owned(), file("summary")),
            ("GITHUB_WORKSPACE".to_owned(), job.path().into()),
        ]);
    let environment: Environment = variables.collect();
    let mut printed = Vec::new();
    let mut log = Log::new(&environment, &mut printed);
    let result = connect::run(&environment, &mut log).await;
    if let Err(error) = &result {
        report(&mut log, error);
    }
    drop(log);

    let runner = Runner::reading(&String::from_utf8(printed)?);
    println!("\nIts log:\n\n{}", indented(&runner.log));
    if result.is_err() {
        bail!("the main phase failed");
    }
    let outputs = pairs(&fs::read_to_string(file("outputs"))?).map_err(|error| anyhow!(error))?;
    println!("Its outputs, as a later step would print them:\n");
    for (name, value) in &outputs {
        println!("  {name}: {}", runner.masker.mask(value));
    }
    let summary = fs::read_to_string(file("summary"))?;
    println!(
        "\nIts job summary:\n\n{}",
        indented(&runner.masker.mask(&summary))
    );

    let outputs: HashMap<String, String> = outputs.into_iter().collect();
    let granted: Vec<String> = serde_json::from_str(&outputs["tools"])?;
    println!("What an agent that connects with this `mcp_config` is offered and granted:\n");
    for tool in offered(&outputs["mcp_config"]).await? {
        let mark = if granted.contains(&tool) {
            "granted"
        } else {
            "not granted"
        };
        println!("  {tool}: {mark}");
    }
    println!(
        "\nThe same against your own Port organisation: put PORT_CLIENT_ID and PORT_CLIENT_SECRET \
         into the\nrepository's secrets, set `region`, leave `api_url` and `mcp_url` out, and copy \
         the workflow from the README."
    );
    Ok(())
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
    text.lines().flat_map(|line| ["  ", line, "\n"]).collect()
}
