//! Runs scripts with the official Rust client: see `clients.js`. Reads a JSON array of them, and
//! prints the outcomes of each.

#![expect(clippy::print_stdout, reason = "the caller reads the outcomes")]

use std::collections::HashMap;
use std::error::Error;
use std::fmt::Display;
use std::io;
use std::time::Duration;

use futures_util::{StreamExt as _, stream};
use rmcp::model::{CallToolRequestParams, ClientConfig, PaginatedRequestParams, ProtocolVersion};
use rmcp::service::{ClientLifecycleMode, ClientServiceExt as _, RoleClient, RunningService};
use rmcp::transport::StreamableHttpClientTransport;
use rmcp::transport::streamable_http_client::StreamableHttpClientTransportConfig;
use serde::Deserialize;
use serde_json::{Map, Value, json};

/// The number of scripts that run at the same time.
const SLOTS: usize = 12;

#[derive(Deserialize)]
struct Script {
    url: String,
    mode: String,
    headers: HashMap<String, String>,
    /// In seconds.
    limit: u64,
    steps: Vec<Step>,
}

#[derive(Deserialize)]
struct Step {
    method: String,
    params: Parameters,
    /// In seconds.
    limit: u64,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct Parameters {
    name: String,
    arguments: Map<String, Value>,
    cursor: Option<String>,
    message: String,
}

type Failure = Box<dyn Error>;
type Client = RunningService<RoleClient, ClientConfig>;

/// What became of an action, and its value.
async fn outcome<T, E: Display>(
    limit: u64,
    action: impl Future<Output = Result<T, E>>,
) -> (String, Option<T>) {
    match tokio::time::timeout(Duration::from_secs(limit), action).await {
        Err(_) => ("no answer".to_owned(), None),
        Ok(Err(error)) => (error.to_string(), None),
        Ok(Ok(value)) => ("a result".to_owned(), Some(value)),
    }
}

async fn connect(script: &Script) -> Result<Client, Failure> {
    let mut headers = HashMap::new();
    for (name, value) in &script.headers {
        headers.insert(name.parse()?, value.parse()?);
    }
    let settings = StreamableHttpClientTransportConfig::with_uri(script.url.clone());
    let transport = StreamableHttpClientTransport::with_client(
        reqwest::Client::builder().no_proxy().build()?,
        settings.custom_headers(headers),
    );
    let mode = match &*script.mode {
        "auto" => ClientLifecycleMode::Auto {
            preferred_versions: vec![ProtocolVersion::V_2026_07_28],
            legacy_version: None,
        },
        _ => ClientLifecycleMode::Initialize,
    };
    let client = ClientConfig::default();
    Ok(client.serve_with_lifecycle(transport, mode).await?)
}

async fn perform(client: &Client, method: &str, parameters: Parameters) -> Result<(), Failure> {
    match method {
        "tools/call" => {
            let request = CallToolRequestParams::new(parameters.name);
            let request = request.with_arguments(parameters.arguments);
            client.call_tool(request).await?;
        }
        "tools/list" => {
            let request = PaginatedRequestParams::default().with_cursor(parameters.cursor);
            client.list_tools(Some(request)).await?;
        }
        "notifications/progress" => {
            let progress =
                json!({"progressToken": "x", "progress": 1, "message": parameters.message});
            client
                .notify_progress(serde_json::from_value(progress)?)
                .await?;
        }
        _ => {
            client.list_prompts(None).await?;
        }
    }
    Ok(())
}

async fn run(script: Script) -> Vec<String> {
    let (connected, client) = outcome(script.limit, Box::pin(connect(&script))).await;
    let mut outcomes = vec![connected];
    if let Some(client) = client {
        for step in script.steps {
            let action = perform(&client, &step.method, step.params);
            outcomes.push(outcome(step.limit, action).await.0);
        }
    }
    outcomes
}

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Failure> {
    let scripts: Vec<Script> = serde_json::from_reader(io::stdin())?;
    let outcomes = stream::iter(scripts).map(run).buffered(SLOTS);
    let outcomes: Vec<_> = outcomes.collect().await;
    println!("{}", serde_json::to_string(&outcomes)?);
    Ok(())
}
