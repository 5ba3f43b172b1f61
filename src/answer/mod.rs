//! `port-mcp answer`: passes on an agent's answer from the file that its own action writes.
//!
//! The answer becomes an output for the next steps and a file for an artifact, unless it contains a secret
//! of the job, or the agent answered without Port: then the step fails.

mod code;
pub(crate) mod links;
mod report;

use std::io;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, anyhow, bail};
use secrecy::{ExposeSecret as _, SecretString};
use serde::Deserialize;
use url::Url;

use crate::agents::Agent;
use crate::file::{self, Links, ReadError};
use crate::inputs::choice;
use crate::runner::{Environment, Log, files, temp};
use crate::text::as_given;
use crate::text::disguise::Search;
use crate::text::secrets::{MIN_LENGTH, is_public};
use links::{Disarmed, disarm};
use report::{Connection, Report};

/// The maximum size of the file in bytes. Conversations can have several MiB.
const MAX_FILE: u64 = 64 * 1024 * 1024;

/// The maximum size of the output in bytes: it fits into a comment on GitHub (65 536 characters) and, with
/// other text, into an environment variable (128 KiB).
const MAX_OUTPUT: usize = 60_000;

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
    links: Option<String>,
}

const INPUTS: &[&str] = &[
    "agent",
    "file",
    "server_name",
    "audit_file",
    "secrets",
    "links",
];

impl Inputs {
    fn read(environment: &Environment) -> anyhow::Result<Self> {
        let mut values = Vec::new();
        for (name, value) in environment.inputs() {
            match value.to_str().map(str::trim) {
                Some("") => {}
                Some(value) => values.push((name, value.to_owned())),
                None if INPUTS.contains(&name.as_str()) => {
                    bail!("input `{name}` is not UTF-8\nhint: use UTF-8 text")
                }
                // A variable of the job for another program.
                None => {}
            }
        }
        // Every field is an optional string, so this cannot fail.
        Ok(envy::from_iter(values).unwrap_or_default())
    }

    /// The secrets, one per line of the input, after the log masks them.
    fn mask_secrets(&self, log: &mut Log<'_>) -> anyhow::Result<Vec<SecretString>> {
        let Some(given) = &self.secrets else {
            return Ok(Vec::new());
        };
        let mut secrets = Vec::new();
        for line in given.expose_secret().lines().map(str::trim) {
            if !is_public(line) {
                let secret = SecretString::from(line);
                log.mask(&secret)?;
                secrets.push(secret);
            }
        }
        Ok(secrets)
    }
}

/// The values of `links`.
const KEEP: &str = "keep";
const DISARM: &str = "disarm";

/// Reads the answer, searches it for secrets, and passes it on.
///
/// # Errors
/// When there is no answer, when it contains a secret, or when it cannot be written.
pub async fn run(environment: &Environment, log: &mut Log<'_>) -> anyhow::Result<()> {
    let inputs = Inputs::read(environment)?;
    let secrets = inputs.mask_secrets(log)?;
    files::path(environment, files::OUTPUT)?;
    let links = choice(
        "links",
        inputs.links.as_deref().unwrap_or(KEEP),
        &[KEEP, DISARM],
    )?;
    let agent = inputs.agent.as_deref().unwrap_or("generic");
    let file = inputs
        .file
        .context("the agent returned no answer: input `file` is empty\nhint: check the log of the agent's step")?;
    let is_long = |secret: &SecretString| secret.expose_secret().chars().count() >= MIN_LENGTH;
    let is_searched = secrets.iter().any(is_long);
    let judgment = Judgment {
        agent: choice("agent", agent, Agent::ALL)?.to_string(),
        server: inputs.server_name.unwrap_or_else(|| "port".to_owned()),
        file: file.into(),
        audit: match &inputs.audit_file {
            Some(name) => Some(temp::directory(environment)?.join(name)),
            None => None,
        },
        secrets,
        github: (links == DISARM).then(|| github(environment)),
    };
    let server = as_given(&judgment.server);
    // This thread gets the signals, and a search can take seconds.
    let judged = tokio::task::spawn_blocking(move || judgment.run()).await;
    let (answer, connection) =
        judged.unwrap_or_else(|panic| std::panic::resume_unwind(panic.into_panic()))?;
    if connection == Connection::Unknown {
        log.notice(
            format!(
                "The file does not say whether the agent connected to the MCP server {server}: its answer may not be \
                 based on Port. With `connection: gateway`, pass `audit_file` to this step to check it."
            ),
        );
    }
    if !is_searched {
        log.notice(
            "The answer was not searched for secrets: pass all secrets of the job as the input `secrets`, which ignores shorter ones than 8 characters.",
        );
    }
    let Passed {
        text,
        beginning,
        disarmed,
    } = answer;
    let file = temp::create(environment, ".md", &format!("{text}\n").into())?;
    if let Some(beginning) = &beginning {
        log.notice(format!(
                "The answer is {} KiB. The output `answer` contains the first {} KiB; the file contains all of it.",
                text.len().div_ceil(1024),
                beginning.len() / 1024
            ),
        );
    }
    files::set(
        environment,
        files::OUTPUT,
        &[
            ("answer", beginning.as_deref().unwrap_or(&text).into()),
            ("answer_file", file.name.as_str().into()),
            ("disarmed", disarmed.to_string().as_str().into()),
        ],
    )?;
    if disarmed > 0 {
        log.info(format!("Disarmed images, links, and mentions: {disarmed}."));
    }
    log.info("Passed on the agent's answer.");
    file.keep()
}

/// The server of GitHub.
fn github(environment: &Environment) -> Url {
    let server = environment
        .get("GITHUB_SERVER_URL")
        .and_then(|server| Url::parse(server).ok());
    #[expect(clippy::expect_used, reason = "a constant")]
    server.unwrap_or_else(|| Url::parse("https://github.com").expect("a constant URL is a URL"))
}

/// An answer that is passed on.
struct Passed {
    text: String,
    /// The beginning that fits into the output, if the text does not.
    beginning: Option<String>,
    /// How many images, links, and mentions were disarmed.
    disarmed: usize,
}

impl Passed {
    fn unchanged(text: String) -> Self {
        let beginning = cut(&text, MAX_OUTPUT);
        Self {
            beginning: (beginning.len() < text.len()).then(|| beginning.to_owned()),
            text,
            disarmed: 0,
        }
    }

    /// The beginning is cut before it is disarmed: the cut can end code, so that other text gets an effect.
    fn disarmed(answer: &str, github: &Url) -> Self {
        // Otherwise, the beginning could consist of these only.
        let answer = answer.trim_start_matches('\u{feff}');
        let Disarmed { text, places } = disarm(answer, github);
        let mut passed = Self {
            text,
            beginning: None,
            disarmed: places,
        };
        let (mut length, mut fits) = (MAX_OUTPUT, passed.text.len() <= MAX_OUTPUT);
        while !fits {
            let beginning = disarm(cut(answer, length), github).text;
            fits = beginning.len() <= MAX_OUTPUT;
            if !fits {
                length = (length * MAX_OUTPUT / beginning.len()).saturating_sub(64);
            }
            passed.beginning = Some(beginning);
        }
        passed
    }
}

/// What decides whether an answer is passed on.
struct Judgment {
    agent: String,
    server: String,
    file: PathBuf,
    audit: Option<PathBuf>,
    secrets: Vec<SecretString>,
    /// The server of GitHub, if links to others are disarmed.
    github: Option<Url>,
}

impl Judgment {
    /// The answer, if it can be passed on, and what is known about the agent's connection.
    fn run(&self) -> anyhow::Result<(Passed, Connection)> {
        let text = read_answer(&self.file)?;
        let stderr_log = self.file.with_file_name(STDERR_LOG);
        let stderr = if self.agent == "gemini-cli" && stderr_log.is_file() {
            read_answer(&stderr_log)?
        } else {
            String::new()
        };
        let search = Search::new(&self.secrets);
        let Report { answer, connection } = Report::read(&self.agent, &self.server, &text, &stderr)
            .map_err(|error| shown(error, &search))?;
        let connection = match &self.audit {
            Some(file) => connection.and(in_audit(file)?),
            None => connection,
        };
        check(&connection, &self.server).map_err(|error| shown(error, &search))?;
        if search.finds(&answer) {
            bail!(
                "the agent's answer contains a secret of this job, and was not passed on\n\
                 hint: check what in the prompt caused this; rotate the secret if anyone has seen it"
            );
        }
        // After the search: it needs the text as the agent wrote it.
        let passed = match &self.github {
            Some(github) => Passed::disarmed(&answer, github),
            None => Passed::unchanged(answer),
        };
        Ok((passed, connection))
    }
}

/// An error that can contain text of the agent, as far as it can be shown: the log masks only plain secrets.
fn shown(error: anyhow::Error, search: &Search) -> anyhow::Error {
    if !search.finds(&error.to_string()) {
        return error;
    }
    anyhow!(
        "the agent failed, and its error contains a secret of this job, so that it is not shown\n\
         hint: check the log of the agent's step; rotate the secret if anyone has seen it"
    )
}

/// The connection in the audit of the gateway, a file of the main action.
fn in_audit(file: &Path) -> anyhow::Result<Connection> {
    let text = read(file).map_err(|error| {
        anyhow!(
            "the audit could not be read: {error}\n\
             hint: as the input `audit_file`, pass the output `audit_file` of the main action"
        )
    })?;
    Ok(Connection::in_audit(&text))
}

/// Fails if the agent answered without the tools of the server.
fn check(connection: &Connection, server: &str) -> anyhow::Result<()> {
    let server = as_given(server);
    match connection {
        Connection::Established | Connection::Unknown => Ok(()),
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
    }
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
    let bytes = file::read(path, MAX_FILE, Links::Follow).map_err(|error| match error {
        ReadError::Io(error) if error.kind() == io::ErrorKind::NotFound => {
            anyhow!("the file {shown} does not exist")
        }
        ReadError::Io(error) => anyhow!("{shown} cannot be read ({error})"),
        ReadError::Directory | ReadError::Special => anyhow!("{shown} is not a file"),
        ReadError::TooLarge(limit) => anyhow!("{shown} is larger than {} MiB", limit / 1024 / 1024),
    })?;
    Ok(String::from_utf8_lossy(&bytes).into_owned())
}

/// The first bytes of the answer, cut between characters.
fn cut(answer: &str, length: usize) -> &str {
    &answer[..answer.floor_char_boundary(length)]
}
