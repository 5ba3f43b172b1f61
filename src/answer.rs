//! `port-mcp answer`: passes on an agent's answer from the file that its own action writes.
//!
//! The answer becomes an output for the next steps and a file for an artifact, unless it contains a secret
//! of the job: then the step fails.

use std::fs;
use std::io::Read as _;
use std::path::Path;

use anyhow::{Context as _, anyhow, bail};
use secrecy::{ExposeSecret as _, SecretString};
use serde::Deserialize;
use serde_json::Value;

use crate::runner::{Environment, Log, files, temp};
use crate::text::{Quote, as_given, disguise};

/// The maximum size of the file in bytes. Conversations can have several MiB.
const LARGEST: u64 = 64 * 1024 * 1024;

/// The maximum size of the output in bytes: it fits into a comment on GitHub (65 536 characters) and, with
/// other text, into an environment variable (128 KiB).
const LARGEST_OUTPUT: usize = 60_000;

/// The file that Gemini CLI's action writes next to the answer (its `action.yml`).
const STDERR_LOG: &str = "stderr.log";

/// Gemini CLI's message, only in that file, about a server to which it cannot connect.
const MCP_ISSUES: &str = "MCP issues detected";

/// The inputs of `answer/action.yml`.
#[derive(Debug, Default, Deserialize)]
struct Inputs {
    agent: Option<String>,
    file: Option<String>,
    server_name: Option<String>,
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
    let text = read(Path::new(&path))?;
    let server = inputs.server_name.as_deref().unwrap_or("port");
    let stderr_log = Path::new(&path).with_file_name(STDERR_LOG);
    if agent == "gemini-cli" && stderr_log.is_file() && read(&stderr_log)?.contains(MCP_ISSUES) {
        bail!(not_connected(server, MCP_ISSUES));
    }
    let answer = extract(agent, server, &text)?;
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
            "Port MCP",
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

fn read(path: &Path) -> anyhow::Result<String> {
    let shown = as_given(&path.to_string_lossy());
    let metadata = fs::metadata(path).with_context(|| {
        format!(
            "the agent returned no answer: the file {shown} does not exist\n\
             hint: check the log of the agent's step"
        )
    })?;
    if !metadata.is_file() {
        bail!("the agent returned no answer: {shown} is not a file\nhint: check the input `file`");
    }
    let mut bytes = Vec::new();
    fs::File::open(path)
        .and_then(|file| file.take(LARGEST + 1).read_to_end(&mut bytes))
        .map_err(|error| {
            anyhow!("the agent returned no answer: {shown} cannot be read ({error})\nhint: check the input `file`")
        })?;
    if bytes.len() as u64 > LARGEST {
        bail!(
            "the agent returned no answer: {shown} is larger than {} MiB\nhint: check the input `file`",
            LARGEST / 1024 / 1024
        );
    }
    Ok(String::from_utf8_lossy(&bytes).into_owned())
}

/// The answer in the file of an agent's own action.
fn extract(agent: &str, server: &str, text: &str) -> anyhow::Result<String> {
    let answer = match agent {
        "claude-code" => of_claude_code(server, text)?,
        "gemini-cli" | "qwen-code" => of_gemini_cli(text)?,
        _ => text.to_owned(),
    };
    let answer = answer.trim();
    if answer.is_empty() {
        bail!(
            "the agent returned no answer: the file is empty\nhint: check the log of the agent's step"
        );
    }
    Ok(answer.to_owned())
}

/// The answer in the conversation of Claude Code's action (`execution_file`), a list of messages. The
/// last message of type `result` contains the answer, and the first message the status of the servers.
fn of_claude_code(server: &str, text: &str) -> anyhow::Result<String> {
    let messages: Vec<Value> = serde_json::from_str(text)
        .map_err(|_| invalid_format("claude-code", "a JSON array of messages"))?;
    let servers = messages
        .iter()
        .filter_map(|message| message["mcp_servers"].as_array())
        .flatten();
    let ours = servers.filter(|known| known["name"] == server);
    if let Some(status) = ours
        .filter_map(|known| known["status"].as_str())
        .next_back()
        && status != "connected"
        && status != "pending"
    {
        bail!(not_connected(
            server,
            &format!("its status is `{}`", Quote::new(status))
        ));
    }
    let result = messages.iter().rfind(|message| message["type"] == "result");
    let result =
        result.context("the agent returned no answer: the conversation has no result\nhint: check the log of the agent's step")?;
    if result["is_error"] == true {
        let error = result["result"].as_str().unwrap_or("unknown error");
        bail!(failed(error));
    }
    Ok(result["result"].as_str().unwrap_or_default().to_owned())
}

/// The answer in the output of Gemini CLI with `--output-format json` (`gemini-artifacts/stdout.log` of its
/// action).
fn of_gemini_cli(text: &str) -> anyhow::Result<String> {
    let answer: Value = serde_json::from_str(text.trim())
        .map_err(|_| invalid_format("gemini-cli", "a JSON object with `response`"))?;
    if let Some(error) = answer["error"]["message"]
        .as_str()
        .or(answer["error"].as_str())
    {
        bail!(failed(error));
    }
    Ok(answer["response"].as_str().unwrap_or_default().to_owned())
}

fn failed(error: &str) -> String {
    format!(
        "the agent failed: {}\nhint: check the log of the agent's step",
        Quote::new(error)
    )
}

fn not_connected(server: &str, detail: &str) -> String {
    format!(
        "the agent could not connect to the MCP server {} ({detail}), so its answer is not based on \
         Port\n\
         hint: run the job again; if the error persists, check the log of the agent's step",
        as_given(server)
    )
}

fn invalid_format(agent: &str, expected: &str) -> anyhow::Error {
    anyhow!(
        "the agent's answer is not {expected}, the format of `{agent}`\n\
         hint: check that `file` belongs to this agent, and check the log of its step"
    )
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
