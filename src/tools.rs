//! `port-mcp tools`: what the MCP server offers to these credentials, so that `allowed_tools` can be
//! written before the first run.

use std::ffi::OsString;

use clap::Args;

use crate::connect;
use crate::mcp::Tool;
use crate::runner::{Environment, Log};

/// What to ask, and how. The names and the meaning are those of the action's inputs.
#[derive(Args, Debug)]
pub struct Question {
    /// eu, us or auto
    #[arg(long, default_value = "auto")]
    region: String,
    /// Another address of Port's REST API
    #[arg(long, default_value = "")]
    api_url: String,
    /// Another address of Port's MCP server
    #[arg(long, default_value = "")]
    mcp_url: String,
    /// api, oauth or auto
    #[arg(long, default_value = "auto")]
    auth_method: String,
    /// A certificate authority to trust, as the path of a file
    #[arg(long, default_value = "")]
    ca_certificate: String,
    /// Lists the tools that `read_only: false` would add, too
    #[arg(long)]
    write: bool,
}

/// The variables from which the credentials come: on a command line every process could read them.
const CREDENTIALS: [(&str, &str); 2] = [
    ("PORT_CLIENT_ID", "INPUT_CLIENT_ID"),
    ("PORT_CLIENT_SECRET", "INPUT_CLIENT_SECRET"),
];

/// Lists the tools on `log`, one a line: the name, what it may do, and the server's description.
///
/// # Errors
/// As for [`connect::run`], as far as that comes to the server's offer.
pub async fn run(
    question: Question,
    environment: &Environment,
    log: &mut Log<'_>,
) -> anyhow::Result<()> {
    let inputs = [
        ("INPUT_REGION", question.region),
        ("INPUT_API_URL", question.api_url),
        ("INPUT_MCP_URL", question.mcp_url),
        ("INPUT_AUTH_METHOD", question.auth_method),
        ("INPUT_CA_CERTIFICATE", question.ca_certificate),
        ("INPUT_READ_ONLY", (!question.write).to_string()),
    ];
    let inputs = inputs.map(|(name, value)| (OsString::from(name), OsString::from(value)));
    let credentials = CREDENTIALS.iter().filter_map(|(variable, input)| {
        let value = environment.get(variable)?;
        Some((OsString::from(input), OsString::from(value)))
    });
    let asked = environment.with(inputs.into_iter().chain(credentials));
    let tools = connect::offered(&asked, log).await?;
    let width = tools.iter().map(|tool| tool.name.chars().count()).max();
    let width = width.unwrap_or_default().min(40);
    for tool in &tools {
        let about = tool.description.as_ref().or(tool.title.as_ref());
        log.info(format!(
            "{:width$}  {:9}  {}",
            crate::text::Quote::new(&tool.name).to_string(),
            access(tool),
            about.map(ToString::to_string).unwrap_or_default()
        ));
    }
    Ok(())
}

/// What a tool may do, by its own annotations.
fn access(tool: &Tool) -> &'static str {
    if tool.may_write() {
        "may write"
    } else {
        "reads"
    }
}
