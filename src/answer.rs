//! `port-mcp answer`: takes over what an agent answered, from the file that its own action leaves.
//!
//! The answer is an output for the next steps and a file for an artifact, unless it holds a secret of
//! the job: then it stays in the job, and the step fails.

use std::fs;
use std::io::Read as _;
use std::path::Path;

use anyhow::{Context as _, bail};
use secrecy::{ExposeSecret as _, SecretString};
use serde::Deserialize;
use serde_json::Value;

use crate::runner::{Environment, Log, files, temp};
use crate::text::{Quote, disguise};

/// The most that is read of what an agent left. Conversations have been seen with some MiB.
const LARGEST: u64 = 64 * 1024 * 1024;

/// The most of the answer that the output holds, in bytes: as much as a comment on GitHub takes
/// (65 536 characters), and an environment variable (128 KiB) with room for what stands beside it.
const LARGEST_OUTPUT: usize = 60_000;

/// What Gemini CLI's action leaves beside the answer (its `action.yml`).
const STDERR_LOG: &str = "stderr.log";

/// What Gemini CLI says there, and nowhere else, of a server that it cannot connect to.
const MCP_ISSUES: &str = "MCP issues detected";

/// The inputs of `answer/action.yml`.
#[derive(Debug, Default, Deserialize)]
struct Inputs {
    agent: Option<String>,
    file: Option<String>,
    server_name: Option<String>,
    secrets: Option<SecretString>,
}

/// Reads the answer, looks for secrets in it, and hands it on.
///
/// # Errors
/// When there is none, when it holds a secret, or when the runner cannot be handed it.
pub fn run(environment: &Environment, log: &mut Log<'_>) -> anyhow::Result<()> {
    let values = environment
        .inputs()
        .filter_map(|(name, value)| Some((name, value.to_str()?.trim().to_owned())))
        .filter(|(_, value)| !value.is_empty());
    // Every field is an optional string, so none can fail.
    let inputs: Inputs = envy::from_iter(values).unwrap_or_default();
    let mut secrets = Vec::new();
    if let Some(given) = &inputs.secrets {
        for secret in given.expose_secret().lines().map(str::trim) {
            let secret = SecretString::from(secret);
            log.mask(&secret)?;
            secrets.push(secret);
        }
    }
    files::find(environment, files::OUTPUT)?;
    let agent = inputs.agent.as_deref().unwrap_or("generic");
    let path = inputs
        .file
        .context("input `file` is empty: the agent's step left no answer; its log says why")?;
    let text = read(Path::new(&path))?;
    let server = inputs.server_name.as_deref().unwrap_or("port");
    let errors = Path::new(&path).with_file_name(STDERR_LOG);
    if agent == "gemini-cli" && errors.is_file() && read(&errors)?.contains(MCP_ISSUES) {
        bail!(unreached(server, MCP_ISSUES));
    }
    let answer = extract(agent, server, &text)?;
    if secrets
        .iter()
        .any(|secret| disguise::is_in(secret, &answer))
    {
        bail!(
            "The answer holds a secret of this job and is withheld.\n\
             hint: read the prompt for what made the agent say it; change the secret if anyone else \
             has seen it"
        );
    }
    let file = temp::create(environment, ".md", &format!("{answer}\n").into())?;
    let cut = cut(&answer);
    if cut.len() < answer.len() {
        log.notice(
            "Port MCP",
            format!(
                "The answer takes {} KiB. The output `answer` has its first {}; the file has it whole.",
                answer.len().div_ceil(1024),
                LARGEST_OUTPUT / 1024
            ),
        );
    }
    files::set(
        environment,
        files::OUTPUT,
        &[
            ("answer", cut.into()),
            ("answer_file", file.name.as_str().into()),
        ],
    )?;
    log.info("Took over the agent's answer.");
    file.keep()
}

fn read(path: &Path) -> anyhow::Result<String> {
    let shown = Quote::new(&path.to_string_lossy()).to_string();
    let metadata = fs::metadata(path).with_context(|| {
        format!(
            "the agent left no file {shown}, so there is no answer; the log of its step says why"
        )
    })?;
    if !metadata.is_file() {
        bail!("{shown}, where the agent's answer has to be, is no file");
    }
    let mut bytes = Vec::new();
    fs::File::open(path)
        .and_then(|file| file.take(LARGEST + 1).read_to_end(&mut bytes))
        .with_context(|| format!("{shown} cannot be read"))?;
    if bytes.len() as u64 > LARGEST {
        bail!(
            "{shown} is larger than {} MiB, which is no answer",
            LARGEST / 1024 / 1024
        );
    }
    Ok(String::from_utf8_lossy(&bytes).into_owned())
}

/// The answer in what an agent's own action leaves.
fn extract(agent: &str, server: &str, text: &str) -> anyhow::Result<String> {
    let answer = match agent {
        "claude-code" => of_claude_code(server, text)?,
        "gemini-cli" | "qwen-code" => of_gemini_cli(text)?,
        _ => text.to_owned(),
    };
    let answer = answer.trim();
    if answer.is_empty() {
        bail!("the agent's answer is empty; the log of its step says why");
    }
    Ok(answer.to_owned())
}

/// The conversation of Claude Code's action (`execution_file`): a list of messages, of which the last
/// of the type `result` has the answer and the first says which servers were reached.
fn of_claude_code(server: &str, text: &str) -> anyhow::Result<String> {
    let messages: Vec<Value> = serde_json::from_str(text)
        .map_err(|_| no_form("claude-code", "a JSON array of messages"))?;
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
        bail!(unreached(
            server,
            &format!("its status is `{}`", Quote::new(status))
        ));
    }
    let result = messages.iter().rfind(|message| message["type"] == "result");
    let result =
        result.context("the agent ended without a result; the log of its step says why")?;
    if result["is_error"] == true {
        bail!(
            "the agent ended with an error: {}",
            Quote::new(result["result"].as_str().unwrap_or("it does not say which"))
        );
    }
    Ok(result["result"].as_str().unwrap_or_default().to_owned())
}

/// What Gemini CLI prints with `--output-format json` (`gemini-artifacts/stdout.log` of its action).
fn of_gemini_cli(text: &str) -> anyhow::Result<String> {
    let answer: Value = serde_json::from_str(text.trim())
        .map_err(|_| no_form("gemini-cli", "a JSON object with `response`"))?;
    if let Some(error) = answer["error"]["message"]
        .as_str()
        .or(answer["error"].as_str())
    {
        bail!("the agent ended with an error: {}", Quote::new(error));
    }
    Ok(answer["response"].as_str().unwrap_or_default().to_owned())
}

fn unreached(server: &str, sign: &str) -> String {
    format!(
        "the agent did not reach the MCP server `{server}` ({sign}), so its answer is not from Port\n\
         hint: run the job again; if it stays, look for what its step's log says of the server"
    )
}

fn no_form(agent: &str, form: &str) -> anyhow::Error {
    anyhow::anyhow!(
        "what the agent left is not {form}, as `{agent}` writes it\n\
         hint: check that `file` is of this agent; the log of its step may say why it broke off"
    )
}

/// As much of the answer as the output may hold, without a character cut in half.
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
