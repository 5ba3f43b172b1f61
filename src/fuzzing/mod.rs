//! The parsers of foreign text, each as a function of arbitrary bytes that panics if an invariant does not
//! hold.
//!
//! `cargo test --lib` runs each function with the seeds in `tests/fuzz/corpus` and with random changes of
//! them, and `tests/fuzz/run` runs each under libFuzzer. To add a function, also add its name in
//! `tests/fuzz/Cargo.toml`, its file in `tests/fuzz/targets`, and its seeds: a test compares them.
#![expect(
    clippy::missing_panics_doc,
    reason = "a panic is how each function reports a finding"
)]

mod oracle;
mod streams;

use std::fs;
use std::time::{Duration, SystemTime};

use base64::Engine as _;
use base64::prelude::BASE64_URL_SAFE_NO_PAD;
use comrak::nodes::NodeValue;
use http::{HeaderMap, HeaderName, HeaderValue, StatusCode};
use runner_double::Command;
use secrecy::{ExposeSecret as _, SecretString};
use serde_json::Value;
use url::Url;

use crate::Connection;
use crate::access::policy::{AccessRequest, Policy, Rule, RunContext};
use crate::access::{Grants, Patterns};
use crate::agents::config::Config;
use crate::agents::{Agent, Server, TokenPlacement, Transport};
use crate::answer::links::{Disarmed, disarm};
use crate::connect::policy::traits;
use crate::gateway::gate::{self, Action};
use crate::gateway::message::Message;
use crate::http::{Response, Service, StatusError};
use crate::port::token::parse as parse_token;
use crate::port::{Actions, Flow, Region, TokenError};
use crate::runner::empty_secret::EmptySecretCause;
use crate::runner::summary::{Cell, Summary};
use crate::runner::{Environment, Log};
use crate::text::secrets::{is_in, redact};
use crate::text::{Quote, is_beyond_bmp, utf16_len};
use crate::tool::ToolName;
use oracle::{READERS, glob};
pub use streams::sse;

/// The only granted tool.
const GRANTED: &str = "list_it";
/// The registered secret. It has characters that notations escape.
const SECRET: &str = "s3cr3t/value+1";
/// The current time, in seconds since the Unix epoch.
const NOW: u64 = 1_800_000_000;

fn granted() -> Grants {
    ToolName::new(GRANTED).into_iter().collect()
}

/// A response to the exchange of credentials, and the claims of a token: a token expires in the future, at a
/// time that can be shown, and no error quotes it.
pub fn jwt(data: &[u8]) {
    let now = SystemTime::UNIX_EPOCH + Duration::from_secs(NOW);
    let parse = |flow, status, body: &[u8]| {
        let response = Response {
            status,
            headers: HeaderMap::new(),
            body: body.to_vec(),
            failed_attempts: Vec::new(),
        };
        let token = parse_token(response, flow, now);
        if let Ok(token) = &token
            && let Some(at) = token.expires_at
        {
            assert!(at > now && token.valid_for().is_some());
            let _ = humantime::format_rfc3339_seconds(at).to_string();
        }
        token
    };
    let claims = format!("e30.{}.c2ln", BASE64_URL_SAFE_NO_PAD.encode(data));
    for (flow, field) in [(Flow::Rest, "accessToken"), (Flow::Oauth, "access_token")] {
        let body: Value = serde_json::from_slice(data).unwrap_or_default();
        match parse(flow, StatusCode::OK, data) {
            Ok(token) => assert_eq!(body[field], token.secret.expose_secret()),
            Err(error) => {
                let secret = body[field].as_str().filter(|secret| secret.len() >= 16);
                assert!(!secret.is_some_and(|secret| error.to_string().contains(secret)));
            }
        }
        for status in [StatusCode::BAD_REQUEST, StatusCode::TOO_MANY_REQUESTS] {
            let error = parse(flow, status, data).map(drop);
            assert!(error.is_err_and(|error| !error.to_string().contains(['\r', '\n'])));
        }
        let body = serde_json::json!({field: claims}).to_string();
        let token = parse(flow, StatusCode::OK, body.as_bytes());
        assert!(matches!(
            token,
            Ok(_) | Err(TokenError::Expired(..) | TokenError::TooShort(_))
        ));
    }
}

/// A message of the agent: if it passes the gate, every parser reads it in the same way, and a call is a
/// call of the granted tool.
pub fn gate(data: &[u8]) {
    let headers = HeaderMap::new();
    let Ok(message) = Message::parse(data, &headers) else {
        return;
    };
    let text = std::str::from_utf8(data).expect("JSON is UTF-8");
    let calls = READERS.map(|reader| reader.call(text));
    for call in &calls {
        assert_eq!(call, &calls[0], "{text}");
    }
    let [(method, tool), ..] = &calls;
    let action = gate::decide(&message, &headers, &granted());
    if action.is_ok_and(|action| action != Action::Drop) && *method == Some("tools/call".into()) {
        assert_eq!(*tool, Some(GRANTED.into()), "{text}");
    }
}

/// A policy: what it allows is written in the first rule whose conditions the run meets.
pub fn policy(data: &[u8]) {
    let text = String::from_utf8_lossy(data);
    let policy = match Policy::parse("port-mcp.yml", &text) {
        Ok(policy) => policy,
        Err(errors) => {
            for message in errors.messages() {
                assert_eq!(message.lines().count(), 2, "{message}");
            }
            return assert!(errors.messages().next().is_some());
        }
    };
    let _ = Policy::check("port-mcp.yml", &text);
    for (event, reference) in [("push", "refs/heads/main"), ("schedule", "refs/tags/v1")] {
        let run = RunContext {
            repository: Some("acme/catalog".to_owned()),
            reference: Some(reference.to_owned()),
            environment: None,
            workflow: Some(format!(
                "acme/catalog/.github/workflows/agent.yml@{reference}"
            )),
            event: Some(event.to_owned()),
        };
        let _ = policy.explain(&run);
        let Ok(rule) = policy.rule_for(&run) else {
            continue;
        };
        let written = oracle::Rule::first(&text, event, reference).expect("a rule matches the run");
        check_allowed(&rule, &written);
    }
}

/// Panics if a rule allows what is not written in it.
fn check_allowed(rule: &Rule<'_>, written: &oracle::Rule) {
    let tools = Patterns::parse([GRANTED]).expect("a name");
    let least = AccessRequest {
        tools: &tools,
        actions: &Actions::Only(Vec::new()),
        read_only: true,
        regions: &[Region::Eu],
        custom_hosts: &[],
        connection: Connection::Direct,
        agent: traits(Agent::ALL[0]),
    };
    let allows = |request: &AccessRequest<'_>| rule.check(request).is_ok();
    if !allows(&least) {
        return;
    }
    assert!(written.includes_tool(GRANTED));
    assert!(written.lists("regions", "eu", true) && written.lists("connection", "direct", true));
    let request = AccessRequest {
        read_only: false,
        ..least
    };
    assert!(!allows(&request) || written.is_true("write"));
    let request = AccessRequest {
        regions: &[Region::Us],
        ..least
    };
    assert!(!allows(&request) || written.lists("regions", "us", true));
    let request = AccessRequest {
        connection: Connection::Gateway,
        ..least
    };
    assert!(!allows(&request) || written.lists("connection", "gateway", true));
    let request = AccessRequest {
        custom_hosts: &["port.acme.example"],
        ..least
    };
    assert!(!allows(&request) || written.lists("servers", "port.acme.example", false));
    let actions = Actions::Only(vec!["deploy".to_owned()]);
    let request = AccessRequest {
        actions: &actions,
        ..least
    };
    let is_listed = |action| written.lists("actions", action, false);
    assert!(!allows(&request) || is_listed("deploy") || is_listed("*"));
    let request = AccessRequest {
        actions: &Actions::All,
        ..least
    };
    match rule.check(&request).map(|allowed| allowed.actions) {
        Ok(Actions::All) => assert!(is_listed("*")),
        Ok(Actions::Only(all)) => assert!(all.iter().all(|action| is_listed(action))),
        Err(_) => {}
    }
}

/// A base configuration, after a line with the name of the agent. The result contains the server, is valid
/// for the agent, and does not change if the server is added again.
pub fn base_config(data: &[u8]) {
    let text = String::from_utf8_lossy(data);
    let Some((name, text)) = text.split_once('\n') else {
        return;
    };
    let Some(agent) = Agent::ALL.iter().find(|agent| agent.to_string() == name) else {
        return;
    };
    let Ok(config) = agent.parse_base_config(text) else {
        return;
    };
    let granted: Vec<ToolName> = granted().names().cloned().collect();
    let ungranted = ["delete_it".to_owned()];
    let url = Url::parse("https://mcp.port.io/v1").expect("a URL");
    let _ = agent.findings("port", &granted, &config, &|other| *other == url);
    let _ = agent.ignored_servers(&config);
    for transport in [Transport::Http, Transport::McpRemote] {
        for token_placement in TokenPlacement::ALL {
            let server = Server {
                name: "port",
                url: &url,
                headers: &[("x-read-only-mode", "1".to_owned())],
                token: &SecretString::from("token"),
                transport,
                token_placement,
                tools: &granted,
                ungranted: &ungranted,
            };
            let rendered = agent.render(&server, config.clone());
            for line in [&rendered.mcp_config, &rendered.agent_args] {
                assert!(!line.expose_secret().contains(['\r', '\n']));
            }
            let parse = |text: &SecretString| {
                let text = text.expose_secret();
                agent
                    .parse_base_config(text)
                    .unwrap_or_else(|error| panic!("{error}: {text}"))
            };
            let (file, line) = (
                parse(&rendered.config_file_text),
                parse(&rendered.mcp_config),
            );
            assert!(mentions(&line, url.as_str()));
            for (key, value) in line.iter() {
                assert_eq!(file.get(key), Some(value), "{key}");
            }
            let again = agent.render(&server, file);
            let text = again.config_file_text.expose_secret();
            assert_eq!(text, rendered.config_file_text.expose_secret());
            assert!(again.has_replaced);
        }
    }
}

/// Whether one of the texts in a configuration is `text`.
fn mentions(config: &Config, text: &str) -> bool {
    fn is_in(value: &Value, text: &str) -> bool {
        match value {
            Value::String(found) => found == text,
            Value::Array(list) => list.iter().any(|value| is_in(value, text)),
            Value::Object(map) => map.values().any(|value| is_in(value, text)),
            _ => false,
        }
    }
    config.iter().any(|(_, value)| is_in(value, text))
}

/// The event of a run: it shows at most that the run comes from a fork, and none of its text is printed.
pub fn event(data: &[u8]) {
    let file = tempfile::NamedTempFile::new().expect("a file");
    fs::write(&file, data).expect("a file");
    let environment = Environment::from_iter([
        ("GITHUB_ACTIONS", "true".as_ref()),
        ("GITHUB_EVENT_PATH", file.path().as_os_str()),
        ("GITHUB_REPOSITORY", "acme/catalog".as_ref()),
    ]);
    let cause = EmptySecretCause::from_env(&environment);
    let text = String::from_utf8_lossy(data);
    assert!(match cause {
        EmptySecretCause::Fork => text.contains('{'),
        cause => cause == EmptySecretCause::Unset,
    });
    let commands = commands(&printed(|log| log.warning(cause.to_string())));
    assert_eq!(commands.len(), 1);
    assert_eq!(commands[0].data, cause.to_string());
}

/// Any text in the log and in the summary: no text becomes a command or the end of a table's cell, none ends the
/// runner, and none contains a secret.
pub fn log(data: &[u8]) {
    let text = String::from_utf8_lossy(data);
    let secret = SecretString::from(SECRET);
    let printed = printed(|log| {
        log.mask(&secret).expect("a buffer can be written");
        log.info(&text);
        log.result(&text);
        log.debug(&text);
        log.notice(&text);
        log.warning(&text);
        log.error(&text);
    });
    let shown = redact(&text).replace("##[", "## [");
    let (masks, others): (Vec<_>, Vec<_>) = commands(&printed)
        .into_iter()
        .partition(|command| command.is("add-mask"));
    assert_eq!(masks[0].data, SECRET);
    let names: Vec<_> = others.iter().map(|command| command.name.as_str()).collect();
    assert_eq!(names, ["debug", "notice", "warning", "error"]);
    assert_eq!(others[0].data.trim_start(), shown.trim_start());
    // An error ends in a link.
    let is_unchanged =
        utf16_len(&shown) <= 3_800 && !shown.contains(|c| is_beyond_bmp(c) || c == '\u{2039}');
    for command in &others[1..] {
        assert!(!command.data.contains(is_beyond_bmp), "{}", command.data);
        assert!(utf16_len(&command.data) <= 4_001);
        let data = match command.name.as_str() {
            "error" => command.data.rsplit_once("\nsee: ").expect("a link").0,
            _ => command.data.as_str(),
        };
        assert!(!is_unchanged || data.trim_start() == shown.trim_start());
        assert!(command.properties.iter().all(|(name, _)| name == "title"));
    }
    mask(&text);
    let mut summary = Summary::new(&text);
    let cells = || [Cell::text(&text), Cell::untrusted(&text)];
    summary.table(["", ""], [cells(), cells()]);
    let lines: Vec<&str> = summary.0.lines().collect();
    assert_eq!(lines.len(), 7, "{}", summary.0);
    for row in &lines[4..6] {
        let row = row.replace(r"\\", "");
        assert_eq!(row.replace(r"\|", "").matches('|').count(), 3, "{row}");
    }
    for text in printed.lines().skip(1).chain(lines) {
        assert!(
            !text.to_lowercase().contains(SECRET) && !is_in(&secret, text),
            "{text}"
        );
    }
}

/// Any value as a mask: the runner reads each line of it, or the step fails before it prints one. The value is not
/// registered: all tests of a process share the registry.
fn mask(value: &str) {
    let mut is_masked = true;
    let printed = printed(|log| is_masked = log.print_mask(&SecretString::from(value)).is_ok());
    if !is_masked {
        assert!(value.contains("&+") && printed.is_empty());
        return;
    }
    let masks = commands(&printed);
    let lines = |text: &str| {
        text.split(['\r', '\n'])
            .map(str::trim)
            .filter(|line| !line.is_empty())
            .map(str::to_owned)
            .collect::<Vec<_>>()
    };
    let masked: Vec<String> = masks.iter().flat_map(|mask| lines(&mask.data)).collect();
    assert_eq!(masked, lines(value));
    assert_eq!(printed.lines().count(), masks.len(), "a line is no mask");
}

/// An answer: without its effects, it has no image, HTML, mention, or link to another host, and a second time changes
/// nothing.
pub fn links(data: &[u8]) {
    let github = Url::parse("https://github.com").expect("a URL");
    let text = String::from_utf8_lossy(data);
    let Disarmed { text, .. } = disarm(&text, &github);
    let again = disarm(&text, &github);
    assert_eq!((again.text.as_str(), again.places), (text.as_str(), 0));
    let mut options = comrak::Options::default();
    let extension = &mut options.extension;
    extension.autolink = true;
    extension.footnotes = true;
    extension.strikethrough = true;
    extension.table = true;
    extension.tasklist = true;
    let arena = comrak::Arena::new();
    for node in comrak::parse_document(&arena, &text, &options).descendants() {
        let is_safe = match &node.data().value {
            NodeValue::Image(_) | NodeValue::HtmlBlock(_) | NodeValue::HtmlInline(_) => false,
            NodeValue::Link(link) => Url::parse(&link.url).is_ok_and(|url| {
                let host = url.host_str().unwrap_or_default();
                let domains = [".port.io", ".getport.io", ".github.com"];
                let is_known = domains
                    .iter()
                    .any(|domain| format!(".{host}").ends_with(domain));
                url.scheme() == "https" && url.username().is_empty() && is_known
            }),
            NodeValue::Text(text) => text
                .match_indices('@')
                .all(|(at, _)| !text[at + 1..].starts_with(|c: char| c.is_ascii_alphanumeric())),
            NodeValue::CodeBlock(code) => !code.info.eq_ignore_ascii_case("mermaid"),
            _ => true,
        };
        assert!(is_safe, "{:?} in {text}", node.data().value);
    }
}

fn printed(write: impl FnOnce(&mut Log<'_>)) -> String {
    let environment = Environment::from_iter([("RUNNER_DEBUG", "1")]);
    let mut out = Vec::new();
    write(&mut Log::new(&environment, &mut out));
    String::from_utf8(out).expect("the log is UTF-8")
}

/// The commands that the runner would run.
fn commands(printed: &str) -> Vec<Command> {
    printed
        .split(['\r', '\n'])
        .filter_map(Command::parse)
        .collect()
}

/// The lines as patterns of tools: they match by the definition of `*`, and their text has the same meaning.
pub fn patterns(data: &[u8]) {
    let text = String::from_utf8_lossy(data);
    let Ok(patterns) = Patterns::parse(text.lines()) else {
        return;
    };
    let shown = patterns.to_string();
    let again = Patterns::parse(shown.split(", ")).expect("the text of valid patterns");
    let entries = || {
        text.lines().map(|line| match line.strip_prefix('!') {
            Some(pattern) => (true, pattern.trim_start()),
            None => (false, line),
        })
    };
    for name in entries()
        .map(|(_, entry)| entry.replace('*', "x"))
        .chain([GRANTED.to_owned()])
    {
        let matches = |wanted| {
            entries().any(|(excludes, pattern)| excludes == wanted && glob(pattern, &name))
        };
        assert_eq!(
            patterns.allows(&name),
            matches(false) && !matches(true),
            "{name}"
        );
        assert_eq!(patterns.allows(&name), again.allows(&name), "{name}");
    }
}

/// The lines as the headers that request a wait.
pub fn retry(data: &[u8]) {
    const PORT: Service = Service {
        name: "Port",
        credentials: "the credentials",
        not_found: "not found",
    };
    let names = ["retry-after", "x-ratelimit-reset", "location"];
    let values = data.split(|byte| *byte == b'\n');
    let headers: HeaderMap = names
        .into_iter()
        .zip(values)
        .filter_map(|(name, value)| {
            let value = HeaderValue::from_bytes(value).ok()?;
            Some((HeaderName::from_static(name), value))
        })
        .collect();
    for status in [
        StatusCode::TOO_MANY_REQUESTS,
        StatusCode::SERVICE_UNAVAILABLE,
    ] {
        let error = StatusError::new(&PORT, status, &headers, Quote::new(""));
        for text in [error.to_string(), error.common_hint().unwrap_or_default()] {
            assert!(!text.contains(['\r', '\n']), "{text}");
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::collection::vec;
    use proptest::prelude::*;
    use proptest::sample::{Index, select};
    use proptest::test_runner::RngSeed;
    use std::path::Path;

    const FUZZ: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/fuzz");

    fn names_in(directory: &Path) -> Vec<String> {
        let files = fs::read_dir(directory).unwrap();
        let mut names: Vec<String> = files
            .map(|file| file.unwrap().file_name().into_string().unwrap())
            .collect();
        names.sort();
        names
    }

    /// Runs a target with each seed, and with seeds in which a part is replaced by a part of another or by
    /// random bytes.
    fn run(name: &str, target: fn(&[u8])) {
        let directory = Path::new(FUZZ).join("corpus").join(name);
        let names = names_in(&directory);
        let seeds: Vec<Vec<u8>> = names
            .iter()
            .map(|seed| fs::read(directory.join(seed)).unwrap())
            .collect();
        let fails = |seed: &[u8]| std::panic::catch_unwind(|| target(seed)).is_err();
        let failed = names.iter().zip(&seeds).filter(|(_, seed)| fails(seed));
        let failed: Vec<&String> = failed.map(|(name, _)| name).collect();
        assert!(failed.is_empty(), "{name} fails with the seeds {failed:?}");
        assert!(seeds.iter().all(|seed| seed.len() <= 4096));
        let at = any::<[Index; 4]>();
        let changed = (
            select(seeds.clone()),
            select(seeds),
            vec(any::<u8>(), 0..4),
            at,
        )
            .prop_map(|(seed, other, random, at)| {
                let [from, to, start, end] = at;
                let (from, to) = (from.index(seed.len() + 1), to.index(seed.len() + 1));
                let (start, end) = (start.index(other.len() + 1), end.index(other.len() + 1));
                let part = other.get(start..end).unwrap_or(&random);
                [&seed[..from.min(to)], part, &seed[from.max(to)..]].concat()
            });
        let mut config = ProptestConfig {
            failure_persistence: None,
            ..ProptestConfig::default()
        };
        // Without a number of cases, each run tests the same inputs: it fails always or never.
        if std::env::var_os("PROPTEST_CASES").is_none() {
            config.rng_seed = RngSeed::Fixed(0);
        }
        proptest!(config, |(input in changed)| target(&input));
    }

    macro_rules! targets {
        ($($name:ident),*) => {
            $(
                #[test]
                fn $name() {
                    run(stringify!($name), super::$name);
                }
            )*

            #[test]
            fn every_target_is_a_program_with_seeds() {
                let names = [$(stringify!($name)),*];
                assert_eq!(names_in(&Path::new(FUZZ).join("corpus")), names);
                let programs = names.map(|name| format!("{name}.rs"));
                assert_eq!(names_in(&Path::new(FUZZ).join("targets")), programs);
            }
        };
    }

    targets!(
        base_config,
        event,
        gate,
        jwt,
        links,
        log,
        patterns,
        policy,
        retry,
        sse
    );
}
