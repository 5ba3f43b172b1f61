//! `port-mcp answer`: passes on an agent's answer from the file that its own action writes.
//!
//! The answer becomes an output for the next steps and a file for an artifact, unless it contains a secret
//! of the job, or the agent answered without Port: then the step fails.

mod report;

use std::fs;
use std::io::Read as _;
use std::path::Path;

use anyhow::{Context as _, anyhow, bail};
use secrecy::{ExposeSecret as _, SecretString};
use serde::Deserialize;

use crate::runner::{Environment, Log, files, temp};
use crate::text::{as_given, disguise};
use report::{Connection, Report};

const TITLE: &str = "Port MCP";

/// The maximum size of the file in bytes. Conversations can have several MiB.
const LARGEST: u64 = 64 * 1024 * 1024;

/// The maximum size of the output in bytes: it fits into a comment on GitHub (65 536 characters) and, with
/// other text, into an environment variable (128 KiB).
const LARGEST_OUTPUT: usize = 60_000;

/// The file that Gemini CLI's action writes next to the answer (its `action.yml`).
const STDERR_LOG: &str = "stderr.log";

/// The inputs of `answer/action.yml`.
#[derive(Debug, Default, Deserialize)]
struct Inputs {
    agent: Option<String>,
    file: Option<String>,
    server_name: Option<String>,
    audit_file: Option<String>,
    secrets: Option<SecretString>,
}

/// Reads the answer, searches it for secrets, and passes it on.
///
/// # Errors
/// When there is no answer, when it contains a secret, or when it cannot be written.
pub fn run(environment: &Environment, log: &mut Log<'_>) -> anyhow::Result<()> {
    let values = environment
        .inputs()
        .filter_map(|(name, value)| Some((name, value.to_str()?.trim().to_owned())))
        .filter(|(_, value)| !value.is_empty());
    // Every field is an optional string, so this cannot fail.
    let inputs: Inputs = envy::from_iter(values).unwrap_or_default();
    let mut secrets = Vec::new();
    if let Some(given) = &inputs.secrets {
        for secret in given.expose_secret().lines().map(str::trim) {
            let secret = SecretString::from(secret);
            log.mask(&secret)?;
            secrets.push(secret);
        }
    }
    files::path(environment, files::OUTPUT)?;
    let agent = inputs.agent.as_deref().unwrap_or("generic");
    let path = inputs
        .file
        .context("the agent returned no answer: input `file` is empty\nhint: check the log of the agent's step")?;
    let text = read_answer(Path::new(&path))?;
    let server = inputs.server_name.as_deref().unwrap_or("port");
    let stderr_log = Path::new(&path).with_file_name(STDERR_LOG);
    let stderr = if agent == "gemini-cli" && stderr_log.is_file() {
        read_answer(&stderr_log)?
    } else {
        String::new()
    };
    let Report { answer, connection } = Report::read(agent, server, &text, &stderr)?;
    let connection = match &inputs.audit_file {
        Some(name) => connection.and(in_audit(environment, name)?),
        None => connection,
    };
    check(&connection, server, log)?;
    if secrets
        .iter()
        .any(|secret| disguise::is_in(secret, &answer))
    {
        bail!(
            "the agent's answer contains a secret of this job, and was not passed on\n\
             hint: check what in the prompt caused this; rotate the secret if anyone has seen it"
        );
    }
    let file = temp::create(environment, ".md", &format!("{answer}\n").into())?;
    let output = cut(&answer);
    if output.len() < answer.len() {
        log.notice(
            TITLE,
            format!(
                "The answer is {} KiB. The output `answer` contains the first {} KiB; the file contains all of it.",
                answer.len().div_ceil(1024),
                LARGEST_OUTPUT / 1024
            ),
        );
    }
    files::set(
        environment,
        files::OUTPUT,
        &[
            ("answer", output.into()),
            ("answer_file", file.name.as_str().into()),
        ],
    )?;
    log.info("Passed on the agent's answer.");
    file.keep()
}

/// The connection in the audit of the gateway, a file of the main action.
fn in_audit(environment: &Environment, name: &str) -> anyhow::Result<Connection> {
    let text = read(&temp::directory(environment)?.join(name)).map_err(|error| {
        anyhow!(
            "the audit could not be read: {error}\n\
             hint: as the input `audit_file`, pass the output `audit_file` of the main action"
        )
    })?;
    Ok(Connection::in_audit(&text))
}

/// Fails if the agent answered without the tools of the server.
fn check(connection: &Connection, server: &str, log: &mut Log<'_>) -> anyhow::Result<()> {
    let server = as_given(server);
    match connection {
        Connection::Established => {}
        Connection::Missing(detail) => bail!(
            "the agent could not connect to the MCP server {server} ({detail}), so its answer is not based on Port\n\
             hint: run the job again; if the error persists, check the log of the agent's step"
        ),
        Connection::Unproven => bail!(
            "the agent got no result from the MCP server {server} and does not report whether it connected, so its \
             answer may not be based on Port\n\
             hint: run the job again; if the prompt needs no data of Port, set `connection: gateway` and pass \
             its `audit_file` to this step"
        ),
        Connection::Unknown => log.notice(
            TITLE,
            format!(
                "The file does not say whether the agent connected to the MCP server {server}: its answer may not be \
                 based on Port. With `connection: gateway`, pass `audit_file` to this step to check it."
            ),
        ),
    }
    Ok(())
}

/// Reads what an agent wrote.
fn read_answer(path: &Path) -> anyhow::Result<String> {
    read(path).map_err(|error| {
        anyhow!(
            "the agent returned no answer: {error}\n\
             hint: check the log of the agent's step, and the input `file`"
        )
    })
}

fn read(path: &Path) -> anyhow::Result<String> {
    let shown = as_given(&path.to_string_lossy());
    let metadata =
        fs::metadata(path).with_context(|| format!("the file {shown} does not exist"))?;
    if !metadata.is_file() {
        bail!("{shown} is not a file");
    }
    let mut bytes = Vec::new();
    fs::File::open(path)
        .and_then(|file| file.take(LARGEST + 1).read_to_end(&mut bytes))
        .map_err(|error| anyhow!("{shown} cannot be read ({error})"))?;
    if bytes.len() as u64 > LARGEST {
        bail!("{shown} is larger than {} MiB", LARGEST / 1024 / 1024);
    }
    Ok(String::from_utf8_lossy(&bytes).into_owned())
}

/// The beginning of the answer that fits into the output, cut between characters.
fn cut(answer: &str) -> &str {
    if answer.len() <= LARGEST_OUTPUT {
        return answer;
    }
    let mut end = LARGEST_OUTPUT;
    while !answer.is_char_boundary(end) {
        end -= 1;
    }
    &answer[..end]
}
