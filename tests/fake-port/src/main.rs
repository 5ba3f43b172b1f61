//! The fake Port server as a separate process, for end-to-end tests and demonstrations.

#![expect(
    clippy::print_stdout,
    reason = "the caller reads the URLs from the output"
)]

use std::{
    fs,
    io::{self, Write},
    time::Duration,
};

use clap::Parser;
use fake_port::{CLIENT_ID, CLIENT_SECRET, FakePort, Role};
use tempfile::NamedTempFile;

/// Runs a fake Port server on the loopback interface until SIGINT, SIGTERM, or Ctrl+C.
///
/// Prints `API_URL`, `MCP_URL`, `GITHUB_API_URL`, and, with TLS, `CA_FILE`, as lines of the form
/// KEY=value. To control the server: POST /control/fault accepts a fault, such as {"endpoint":
/// "rest", "fault": "hang"}. POST /control/outage accepts a fault, such as "hang", for every client
/// of the MCP server except the action, or null. GET /control/received lists the requests.
#[derive(Parser)]
#[command(name = "fake-port")]
struct Arguments {
    /// The port to listen on; 0 means a free port
    #[arg(long, default_value_t = 0)]
    port: u16,

    /// Serve HTTPS, with a certificate from a temporary authority
    #[arg(long)]
    tls: bool,

    /// The client id that gets a token
    #[arg(long, default_value = CLIENT_ID)]
    client_id: String,

    /// The client secret that gets a token
    #[arg(long, default_value = CLIENT_SECRET)]
    client_secret: String,

    /// The lifetime of a new token, such as 90s or 2h
    #[arg(long, default_value = "3h", value_parser = humantime::parse_duration)]
    token_lifetime: Duration,

    /// The role of the identity behind the credentials
    #[arg(long, value_enum, default_value_t)]
    role: Role,

    /// Offer this many generated tools instead of Port's
    #[arg(long)]
    tools: Option<usize>,

    /// The number of tools on a page of the list; all tools by default
    #[arg(long, value_parser = clap::value_parser!(u32).range(1..))]
    page_size: Option<u32>,

    /// Support `server/discover`, the first request of protocol version 2026-07-28
    #[arg(long)]
    discovers: bool,

    /// A file on GitHub, and the local file with its content; can be repeated
    #[arg(long, value_name = "REPO:PATH:REF=LOCALFILE", value_parser = PolicyFile::read)]
    policy_file: Vec<PolicyFile>,
}

/// A file at a reference of a repository on GitHub.
#[derive(Clone)]
struct PolicyFile {
    repository: String,
    path: String,
    reference: String,
    content: Vec<u8>,
}

impl PolicyFile {
    /// Reads the local file that `--policy-file` names.
    fn read(argument: &str) -> Result<Self, String> {
        let parts = || {
            let (place, local) = argument.split_once('=')?;
            let (repository, file) = place.split_once(':')?;
            let (path, reference) = file.rsplit_once(':')?;
            Some([repository, path, reference, local].map(str::to_owned))
        };
        let [repository, path, reference, local] =
            parts().ok_or("expected REPO:PATH:REF=LOCALFILE")?;
        let content = fs::read(&local).map_err(|error| format!("{local}: {error}"))?;
        Ok(Self {
            repository,
            path,
            reference,
            content,
        })
    }
}

#[tokio::main(flavor = "current_thread")]
async fn main() -> io::Result<()> {
    let arguments = Arguments::parse();
    let stopped = stopped()?;

    let mut port = FakePort::builder();
    for file in arguments.policy_file {
        port = port.policy_file(file.repository, file.path, file.reference, file.content);
    }
    if let Some(count) = arguments.tools {
        port = port.tools(count);
    }
    if let Some(tools) = arguments.page_size {
        port = port.page_size(tools as usize);
    }
    let port = port
        .port(arguments.port)
        .tls(arguments.tls)
        .credentials(arguments.client_id, arguments.client_secret)
        .token_lifetime(arguments.token_lifetime)
        .role(arguments.role)
        .discovers(arguments.discovers)
        .try_start()?;

    let mut lines = vec![
        format!("API_URL={}\n", port.api_url()),
        format!("MCP_URL={}\n", port.mcp_url()),
        format!("GITHUB_API_URL={}\n", port.github_url()),
    ];
    // Kept until the end: dropping the handle deletes the file.
    let _ca_file = match port.ca_pem() {
        None => None,
        Some(pem) => {
            let mut file = NamedTempFile::with_suffix(".pem")?;
            file.write_all(pem.as_bytes())?;
            lines.push(format!("CA_FILE={}\n", file.path().display()));
            Some(file)
        }
    };
    // Printed together, so that all lines are there when a reader sees the first one.
    print!("{}", lines.concat());

    stopped.await;
    Ok(())
}

#[cfg(unix)]
fn stopped() -> io::Result<impl Future<Output = ()>> {
    use tokio::signal::unix::{SignalKind, signal};

    let mut interrupt = signal(SignalKind::interrupt())?;
    let mut terminate = signal(SignalKind::terminate())?;
    Ok(async move {
        tokio::select! {
            _ = interrupt.recv() => {}
            _ = terminate.recv() => {}
        }
    })
}

#[cfg(windows)]
fn stopped() -> io::Result<impl Future<Output = ()>> {
    let mut interrupt = tokio::signal::windows::ctrl_c()?;
    Ok(async move {
        interrupt.recv().await;
    })
}
