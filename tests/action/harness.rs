//! Shared by the tests: a step with its job, its inputs, and a fake Port server.

use std::net::{Ipv4Addr, SocketAddr, SocketAddrV4};
use std::os::fd::OwnedFd;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::process::Command;

use fake_port::{Builder, FakePort, Flow, GITHUB_TOKEN};
use runner_double::{Finished, Job, Phase, Place, Program, Running};
use rustix::net::{AddressFamily, SocketType};
use serde_json::Value;

/// A step of the action. It runs in a job, against a fake Port server.
pub(crate) struct Step {
    pub(crate) port: FakePort,
    pub(crate) job: Job,
    inputs: Vec<(String, String)>,
    program: Program,
}

impl Drop for Step {
    /// A gateway outlives its step: the post phase stops it, also after a failed test.
    fn drop(&mut self) {
        let has_gateway =
            |(name, value): &(String, String)| name == "connection" && value == "gateway";
        if self.inputs.iter().any(has_gateway) {
            // Not with a program that a test has wrapped, for example to end it.
            self.program = program();
            let _ = catch_unwind(AssertUnwindSafe(|| self.clean_up()));
        }
    }
}

impl Step {
    /// A step with the addresses of the fake Port server, and with credentials that it accepts.
    pub(crate) fn new() -> Self {
        Self::against(FakePort::builder())
    }

    /// As [`Step::new`], with another fake Port server.
    pub(crate) fn against(port: Builder) -> Self {
        let step = Self::on(port.start());
        let [api, mcp, github] = [
            step.port.api_url(),
            step.port.mcp_url(),
            step.port.github_url(),
        ]
        .map(str::to_owned);
        step.input("api_url", api)
            .input("mcp_url", mcp)
            .variable("GITHUB_API_URL", &github)
    }

    /// A step with Port's own addresses, which a proxy connects to the fake Port server.
    pub(crate) fn behind_a_proxy(port: Builder) -> Self {
        let step = Self::on(port.tls(true).start());
        let proxy = step.port.proxy_url().to_owned();
        let ca = step.port.ca_pem().unwrap().to_owned();
        step.input("ca_certificate", ca)
            .variable("https_proxy", &proxy)
    }

    fn on(port: FakePort) -> Self {
        let step = Self {
            job: Job::new(),
            inputs: Vec::new(),
            port,
            program: program(),
        };
        let [id, secret] = [step.port.client_id(), step.port.client_secret()].map(str::to_owned);
        step.input("client_id", id).input("client_secret", secret)
    }

    /// Sets an input. Replaces an earlier value.
    pub(crate) fn input(mut self, name: &str, value: impl Into<String>) -> Self {
        self.inputs.retain(|(known, _)| known != name);
        self.inputs.push((name.to_owned(), value.into()));
        self
    }

    pub(crate) fn variable(mut self, name: &str, value: &str) -> Self {
        self.job.var(name, value);
        self
    }

    pub(crate) fn event(mut self, name: &str, event: &Value) -> Self {
        self.job.var("GITHUB_EVENT_NAME", name).event(event);
        self
    }

    /// Runs another program in place of the binary or the image.
    pub(crate) fn program(mut self, program: Program) -> Self {
        self.program = program;
        self
    }

    /// Writes a file in the workspace.
    pub(crate) fn file(self, path: &str, contents: &str) -> Self {
        let path = self.job.workspace().join(path);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, contents).unwrap();
        self
    }

    pub(crate) fn run(&self) -> Finished {
        let finished = self.job.step(&self.program, Phase::Main, &self.inputs());
        self.assert_no_leaks(&finished);
        finished
    }

    /// Runs a step that must succeed.
    pub(crate) fn succeed(&self) -> Finished {
        let finished = self.run();
        assert_eq!(finished.exit, Some(0), "{}", finished.log());
        finished
    }

    /// Runs a step that must fail. Returns its error annotations as one text.
    pub(crate) fn fail(&self) -> String {
        let finished = self.run();
        assert_eq!(finished.exit, Some(1), "{}", finished.log());
        assert!(finished.outputs.is_empty(), "a failed step has no outputs");
        errors(&finished)
    }

    pub(crate) fn clean_up(&self) -> Finished {
        self.job.step(&self.program, Phase::Post, &self.inputs())
    }

    /// Runs a shell script as an earlier step of the job.
    pub(crate) fn earlier_step(&self, script: &str) {
        let earlier = Phase::Other("earlier");
        let run = self.job.step(&Program::run(script), earlier, &[]);
        assert_eq!(run.exit, Some(0), "{}", run.log());
    }

    pub(crate) fn spawn(&self) -> Running {
        self.job.spawn(&self.program, Phase::Main, &self.inputs())
    }

    fn inputs(&self) -> Vec<(&str, &str)> {
        let pairs = self.inputs.iter();
        pairs
            .map(|(name, value)| (name.as_str(), value.as_str()))
            .collect()
    }

    /// Fails if a secret is anywhere except in the outputs and files that are meant for it.
    pub(crate) fn assert_no_leaks(&self, finished: &Finished) {
        let tokens = [Flow::Rest, Flow::Oauth].map(|flow| self.port.token(flow));
        for token in tokens.iter().filter(|token| !token.trim().is_empty()) {
            let leaks = finished.leaks(token);
            let leaks: Vec<_> = leaks.iter().filter(|leak| !is_meant(&leak.place)).collect();
            assert!(leaks.is_empty(), "the token leaked: {leaks:?}");
        }
        let secret = self.inputs.iter().find(|(name, _)| name == "client_secret");
        // A shorter secret occurs in ordinary text by chance.
        if let Some((_, secret)) = secret.filter(|(_, secret)| secret.len() >= 8) {
            let leaks = finished.leaks(secret);
            assert!(leaks.is_empty(), "the client secret leaked: {leaks:?}");
            assert_explained(finished);
        }
        let html = rendered(&finished.summary);
        for tag in ["<a ", "<img", "<script"] {
            assert!(!html.contains(tag), "the summary contains {tag}: {html}");
        }
        let leaks = finished.leaks(GITHUB_TOKEN);
        assert!(leaks.is_empty(), "the GitHub token leaked: {leaks:?}");
    }
}

/// Whether an output or a file is meant for a secret. The audit, which is a file too, is not.
pub(crate) fn is_meant(place: &Place) -> bool {
    match place {
        Place::Output(name) => {
            matches!(name.as_str(), "access_token" | "mcp_config" | "agent_args")
        }
        Place::File(path) => {
            let name = path.to_string_lossy();
            name.contains("port-mcp-") && !name.ends_with(".jsonl")
        }
        _ => false,
    }
}

/// Every message has the code of its kind, and every error ends in a hint and in a link to its section of the
/// documentation.
pub(crate) fn assert_explained(finished: &Finished) {
    let kinds = ["error", "warning", "notice"];
    let is_message = |command: &&runner_double::Command| kinds.iter().any(|kind| command.is(kind));
    for message in finished.commands.iter().filter(is_message) {
        let mut properties = message.properties.iter();
        let title = properties.find(|(name, _)| name == "title");
        let code = title.and_then(|(_, title)| title.strip_prefix("Port MCP ["));
        assert!(code.is_some(), "no code: {message:?}");
    }
    for error in finished
        .commands
        .iter()
        .filter(|command| command.is("error"))
    {
        let (text, link) = error.data.rsplit_once("\nsee: ").unwrap_or_default();
        assert!(text.contains("\nhint: "), "no hint: {}", error.data);
        let is_section = link.contains("docs/troubleshooting.md#");
        assert!(is_section, "no link to a section: {}", error.data);
    }
}

/// Markdown as GitHub renders it, including any HTML in it.
pub(crate) fn rendered(markdown: &str) -> String {
    let mut options = comrak::Options::default();
    options.extension.table = true;
    options.extension.strikethrough = true;
    options.extension.autolink = true;
    options.extension.tasklist = true;
    options.extension.footnotes = true;
    options.render.r#unsafe = true;
    comrak::markdown_to_html(markdown, &options)
}

/// Everything that people read of a step: the printed log, the data of each command, and the rendered
/// text of the summary.
pub(crate) fn readable(finished: &Finished) -> String {
    let is_mask = |line: &&str| line.trim_start().starts_with("::add-mask::");
    let lines = finished.stdout.lines().filter(|line| !is_mask(line));
    let commands = finished
        .commands
        .iter()
        .filter(|command| !command.is("add-mask"));
    let mut text: Vec<String> = lines.map(str::to_owned).collect();
    text.extend(commands.map(|command| command.data.clone()));
    text.push(finished.stderr.clone());
    text.push(without_tags(&rendered(&finished.summary)));
    text.join("\n")
}

fn without_tags(html: &str) -> String {
    let mut text = String::new();
    for part in html.split('<') {
        text.push_str(part.split_once('>').map_or(part, |(_, text)| text));
    }
    let entities = [
        ("&lt;", "<"),
        ("&gt;", ">"),
        ("&quot;", "\""),
        ("&#39;", "'"),
        ("&amp;", "&"),
    ];
    entities
        .iter()
        .fold(text, |text, (entity, c)| text.replace(entity, c))
}

/// The error annotations as one text.
pub(crate) fn errors(finished: &Finished) -> String {
    annotations(finished, "error")
}

pub(crate) fn annotations(finished: &Finished, kind: &str) -> String {
    let texts: Vec<&str> = finished
        .commands
        .iter()
        .filter(|command| command.is(kind))
        .map(|command| command.data.as_str())
        .collect();
    texts.join("\n\n")
}

/// The binary of this machine.
pub(crate) const BINARY: &str = env!("CARGO_BIN_EXE_port-mcp");

/// The program under test: the image that `PORT_MCP_IMAGE` names, otherwise the binary of this machine.
pub(crate) fn program() -> Program {
    Program::image_from("PORT_MCP_IMAGE").unwrap_or_else(|| Program::binary(BINARY))
}

/// The binary of this machine, started by a shell after `script`.
pub(crate) fn after(script: &str) -> Program {
    Program::wrapped(["sh", "-c", &format!("{script}; exec \"$0\" \"$@\""), BINARY])
}

/// The names of our files in the temporary directory of a job.
pub(crate) fn ours(job: &Job) -> Vec<String> {
    let entries = job.temp().read_dir().unwrap();
    let names = entries.map(|entry| entry.unwrap().file_name().into_string().unwrap());
    names.filter(|name| name.starts_with("port-mcp-")).collect()
}

/// Runs the binary without a runner, as a user does in a terminal. Returns its exit status, and its output with the
/// messages after it.
pub(crate) fn port_mcp(arguments: &[&str]) -> (Option<i32>, String) {
    port_mcp_with(arguments, &[])
}

/// As [`port_mcp`], with these environment variables only.
pub(crate) fn port_mcp_with(
    arguments: &[&str],
    variables: &[(&str, &str)],
) -> (Option<i32>, String) {
    let output = Command::new(BINARY)
        .args(arguments)
        .env_clear()
        .envs(variables.iter().copied())
        .output()
        .unwrap();
    let is_runner = variables.iter().any(|(name, _)| *name == "GITHUB_ACTIONS");
    assert!(
        !is_runner || output.stderr.is_empty(),
        "the runner reads both output streams concurrently"
    );
    let text = [output.stdout, output.stderr].concat();
    (output.status.code(), String::from_utf8(text).unwrap())
}

/// Compares a value with a snapshot. Placeholders replace what changes from run to run.
macro_rules! assert_snapshot {
    ($value:expr, @$snapshot:literal) => {
        $crate::harness::settings().bind(|| insta::assert_snapshot!($value, @$snapshot))
    };
    ($name:literal, $value:expr) => {
        $crate::harness::settings().bind(|| insta::assert_snapshot!($name, $value))
    };
}
pub(crate) use assert_snapshot;

pub(crate) fn settings() -> insta::Settings {
    let mut settings = insta::Settings::clone_current();
    settings.set_omit_expression(true);
    settings.set_prepend_module_to_snapshot(false);
    for (pattern, name) in [
        (r"127\.0\.0\.1:\d+", "[PORT]"),
        (r"\b5a4db0c5[0-9a-f]{24}\b", "[TRACE]"),
        (r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ", "[TIME]"),
        (r"\beyJ[\w-]+\.[\w-]+\.[\w-]+", "[TOKEN]"),
        (r"\b[A-Za-z0-9]{43}\b", "[KEY]"),
        (r"port-mcp-[A-Za-z0-9]{16}\b", "port-mcp-[RANDOM]"),
        (r"\(in 2h 59m\)|\(in 3h\)", "(in [LEFT])"),
        (r"(expires in )[\dhms ]+ \(less", "$1[LEFT] (less"),
        (r"(expires_in=)\d+", "$1[SECONDS]"),
        (r"\bE9C2:3A1F5B:[0-9A-F]{8}:6924A1C3\b", "[TRACE]"),
    ] {
        settings.add_filter(pattern, name);
    }
    settings
}

/// The outputs, one per line, as the next step reads them.
pub(crate) fn outputs(finished: &Finished) -> String {
    let lines: Vec<String> = finished
        .outputs
        .iter()
        .map(|(name, value)| format!("{name}={value}"))
        .collect();
    lines.join("\n")
}

pub(crate) fn config(finished: &Finished) -> Value {
    serde_json::from_str(&finished.outputs["mcp_config"]).expect("the configuration is JSON")
}

/// The container action ends with its step: there, the gateway is a container of its own.
pub(crate) fn is_image() -> bool {
    program().is_image()
}

/// A loopback address at which nothing listens. It stays reserved as long as the first value lives: a free port
/// could soon be the port of another test.
pub(crate) fn closed_port() -> (OwnedFd, SocketAddr) {
    let socket = rustix::net::socket(AddressFamily::INET, SocketType::STREAM, None).unwrap();
    rustix::net::bind(&socket, &SocketAddrV4::new(Ipv4Addr::LOCALHOST, 0)).unwrap();
    let address = rustix::net::getsockname(&socket).unwrap();
    (socket, address.try_into().unwrap())
}
