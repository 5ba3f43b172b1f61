//! The stand-in Port as a process of its own, for end-to-end runs and demonstrations.

#![expect(
    clippy::print_stdout,
    reason = "whoever started the program reads the URLs from its output"
)]

use std::{
    io::{self, Write},
    time::Duration,
};

use clap::Parser;
use port_sandbox::{CLIENT_ID, CLIENT_SECRET, Sandbox};
use tempfile::NamedTempFile;
use tokio::signal::unix::{SignalKind, signal};

/// Serves a stand-in Port on the loopback interface until it is interrupted or terminated.
///
/// It prints `API_URL`, `MCP_URL` and, with TLS, `CA_FILE` as lines of the form KEY=value. While it
/// runs, POST /sandbox/fault takes {"endpoint": "rest", "fault": "hang"}, and
/// GET /sandbox/received lists the requests.
#[derive(Parser)]
#[command(name = "port-sandbox")]
struct Arguments {
    /// The port to listen on; 0 takes a free one
    #[arg(long, default_value_t = 0)]
    port: u16,

    /// Serve HTTPS, with a certificate from a throw-away authority
    #[arg(long)]
    tls: bool,

    /// The client id that gets a token
    #[arg(long, default_value = CLIENT_ID)]
    client_id: String,

    /// The client secret that gets a token
    #[arg(long, default_value = CLIENT_SECRET)]
    client_secret: String,

    /// How long a new token is valid, such as 90s or 2h
    #[arg(long, default_value = "3h", value_parser = humantime::parse_duration)]
    token_lifetime: Duration,
}

#[tokio::main(flavor = "current_thread")]
async fn main() -> io::Result<()> {
    let arguments = Arguments::parse();
    let mut interrupt = signal(SignalKind::interrupt())?;
    let mut terminate = signal(SignalKind::terminate())?;

    let sandbox = Sandbox::builder()
        .port(arguments.port)
        .tls(arguments.tls)
        .credentials(arguments.client_id, arguments.client_secret)
        .token_lifetime(arguments.token_lifetime)
        .try_start()?;

    println!("API_URL={}", sandbox.api_url());
    println!("MCP_URL={}", sandbox.mcp_url());
    // Kept until the end: dropping the handle deletes the file.
    let _ca_file = match sandbox.ca_pem() {
        None => None,
        Some(pem) => {
            let mut file = NamedTempFile::with_suffix(".pem")?;
            file.write_all(pem.as_bytes())?;
            println!("CA_FILE={}", file.path().display());
            Some(file)
        }
    };

    tokio::select! {
        _ = interrupt.recv() => {}
        _ = terminate.recv() => {}
    }
    Ok(())
}
