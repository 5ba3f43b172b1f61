//! The leak hunt: whole runs with arbitrary credentials, tokens, server texts, policies, and configurations.
//! Everything that a run leaves is searched for secrets, and for texts of a server that became more than text.
//!
//! `LEAK_CASES=100000 cargo test --release --test action leaks` runs many cases. With `LEAK_SUMMARIES=FILE`, the
//! job summaries are appended to a file as JSON, one per line, for another renderer (`.ci/gfm`).

use std::fs::{self, OpenOptions};
use std::io::Write as _;

use base64::Engine as _;
use base64::prelude::{BASE64_STANDARD, BASE64_URL_SAFE};
use fake_port::client::{self, block_on};
use fake_port::{Builder, Endpoint, FakePort, Fault, GITHUB_TOKEN, Token, Tool};
use port_mcp_action::agents::Agent;
use proptest::prelude::*;
use proptest::test_runner::{RngSeed, TestRunner};
use runner_double::{Finished, Place};
use serde_json::{Value, json};

use crate::engine::Engine;
use crate::harness::{Step, assert_explained, is_meant, rendered};

/// The number of threads of each test: most of a case is waiting for a process.
const THREADS: u32 = 4;

/// Checks random cases: few, or the number in a variable, divided by `share`.
fn hunt<S: Strategy>(few: u32, share: u32, strategy: fn() -> S, check: fn(S::Value)) {
    let all = std::env::var("LEAK_CASES").ok();
    let all = all.map(|all| all.parse::<u32>().unwrap() / share);
    let strategy = &strategy;
    std::thread::scope(|scope| {
        for thread in 0..THREADS {
            scope.spawn(move || {
                let mut runner = TestRunner::new(ProptestConfig {
                    cases: all.unwrap_or(few).div_ceil(THREADS),
                    max_shrink_iters: 200,
                    failure_persistence: None,
                    // Without a number of cases, each run tests the same ones: it fails always or never.
                    rng_seed: match all {
                        Some(_) => RngSeed::Random,
                        None => RngSeed::Fixed(thread.into()),
                    },
                    ..ProptestConfig::default()
                });
                let result = runner.run(&strategy(), |case| {
                    check(case);
                    Ok(())
                });
                result.unwrap_or_else(|error| panic!("{error}\n{runner}"));
            });
        }
    });
}

/// Texts that mean something to the runner, to Markdown, to a shell, or to a terminal.
const HOSTILE: [&str; 45] = [
    "::set-output name=x::y",
    "\n::add-mask::x",
    "\r::set-env name=X::y",
    "::stop-commands::x",
    "##[add-path]/tmp",
    "x ##[set-env name=X]y",
    "[x](https://evil.example)",
    "[x]: https://evil.example",
    "![x](https://evil.example/x.png)",
    "<img src=https://evil.example/x.png>",
    "<script>alert(1)</script>",
    "<a href='https://evil.example'>x</a>",
    "</td></tr></table>",
    "</details>",
    "<!--",
    "-->",
    "https://evil.example/x",
    "www.evil.example",
    "evil@evil.example",
    "@octocat",
    "`",
    "```\n",
    "~~~",
    "|",
    "\\|",
    "\\",
    "*_~",
    "[^1]",
    "- [ ] x",
    "&#60;img&#62;",
    "&lt;b&gt;",
    "%0A::error::x",
    "${{ secrets.X }}",
    "$(id)",
    "\u{202e}",
    "\u{1b}[31m",
    "\0",
    "\u{2028}",
    "\u{feff}",
    "EOF\n",
    // What ends the runner if it cuts it, and what makes a command none.
    "\u{1f600}\u{1f600}\u{1f600}",
    "x\u{10ffff}x",
    "&+\u{1f600}",
    "\u{300}",
    "\u{1f3fb}\u{2039}U+1F600\u{203a}",
];

/// The names of all outputs are in it.
const ACTION: &str = include_str!("../../action.yml");

/// What is unknown about a run.
#[derive(Clone, Debug)]
struct Case {
    secret: String,
    token: String,
    /// What servers and files say.
    texts: [String; 4],
    /// A response of a server in place of the right one.
    fault: Option<(Endpoint, u16)>,
    agent: String,
    token_placement: &'static str,
    has_policy: bool,
    is_debug: bool,
}

fn secret() -> impl Strategy<Value = String> {
    prop_oneof![
        4 => "[!-~]{8,48}",
        1 => "[a-z]{8}",
        1 => "[A-Za-z0-9+/]{16,44}={0,2}",
        1 => "[!-~]{4}[%:&<>\"'`$|#]{4}[!-~]{4}",
        1 => "(ab){4,8}",
        1 => "[\u{300}\u{e33}\u{1f3fb}\u{200d}][!-~]{8,48}",
        1 => "[!-~]{4,20}&[+]?[\u{1f600}a][!-~]{4,20}",
    ]
}

fn token() -> impl Strategy<Value = String> {
    prop_oneof![
        4 => "eyJ[A-Za-z0-9_-]{10,40}\\.[A-Za-z0-9_-]{2,60}\\.[A-Za-z0-9_-]{10,40}",
        2 => "[A-Za-z0-9._~+/-]{12,60}={0,2}",
        1 => "[A-Za-z0-9._~+/-]{400,1000}",
        1 => "[ -~]{12,40}",
        1 => "\\PC{12,20}",
    ]
}

/// A text of a server, which repeats a secret or not.
fn text(secret: String, token: String) -> impl Strategy<Value = String> {
    let upper = secret.to_uppercase();
    let encoded: String = url::form_urlencoded::byte_serialize(secret.as_bytes()).collect();
    let json = json!(secret).to_string();
    let repeated = vec![secret, token, upper, encoded, json];
    let piece = prop_oneof![
        3 => prop::sample::select(&HOSTILE[..]).prop_map(str::to_owned),
        2 => prop::sample::select(repeated),
        2 => "[ -~]{0,12}",
        1 => "\\PC{0,12}",
        1 => Just("x".repeat(290)),
    ];
    prop::collection::vec(piece, 0..5).prop_map(|pieces| pieces.concat())
}

fn case() -> impl Strategy<Value = Case> {
    let agents: Vec<String> = Agent::ALL.iter().map(ToString::to_string).collect();
    let endpoints = vec![Endpoint::Rest, Endpoint::Mcp, Endpoint::Github];
    let statuses = vec![200, 301, 400, 401, 403, 404, 418, 422];
    let fault = (
        prop::sample::select(endpoints),
        prop::sample::select(statuses),
    );
    (secret(), token()).prop_flat_map(move |(secret, token)| {
        let texts = || text(secret.clone(), token.clone());
        (
            [texts(), texts(), texts(), texts()],
            prop::option::weighted(0.3, fault.clone()),
            prop::sample::select(agents.clone()),
            prop::sample::select(vec!["inline", "env"]),
            prop::bool::weighted(0.3),
            any::<bool>(),
            Just((secret.clone(), token.clone())),
        )
            .prop_map(
                |(texts, fault, agent, token_placement, has_policy, is_debug, (secret, token))| {
                    Case {
                        secret,
                        token,
                        texts,
                        fault,
                        agent,
                        token_placement,
                        has_policy,
                        is_debug,
                    }
                },
            )
    })
}

impl Case {
    /// What is read before the exchange, which cannot contain the token.
    fn early(&self, text: &str) -> String {
        text.replace(&self.token, "")
    }

    fn port(&self) -> Builder {
        let [name, title, description, rule] = &self.texts;
        let tool = Tool::new(name)
            .title(title)
            .description(description)
            .read_only(true);
        let policy = format!(
            "version: 1\nrules:\n- name: {}\n  allow: {{tools: ['*'], servers: [127.0.0.1]}}\n",
            json!(self.early(rule))
        );
        FakePort::builder()
            .credentials("q7Tn2vXzR4mLk9Wb", &self.secret)
            .token(Token::Literal(self.token.clone()))
            .expires_in(3600)
            .offer(tool)
            .policy_file("acme/.github", "port-mcp.yml", "main", policy)
    }

    fn step(&self) -> Step {
        let [name, title, description, rule] = &self.texts;
        let step = Step::against(self.port())
            .input("github_token", GITHUB_TOKEN)
            .input("timeout", "20s")
            .input("agent", &self.agent)
            .input("token_placement", self.token_placement)
            .input("config_file", "true")
            .variable("GITHUB_REPOSITORY", &self.early(rule).replace('\0', ""))
            .variable("RUNNER_DEBUG", if self.is_debug { "1" } else { "" });
        if let Some((endpoint, status)) = self.fault {
            let known = |text: &str| match endpoint {
                Endpoint::Mcp => text.to_owned(),
                _ => self.early(text),
            };
            let message = json!({
                "message": known(name), "error": known(title), "error_description": known(description),
            });
            let fault = Fault::status(status).json(message);
            step.port.fault(endpoint, fault);
        }
        if self.has_policy {
            step.input("policy", "acme/.github/port-mcp.yml@main")
        } else {
            step
        }
    }

    /// Fails if a run has left a secret, or if a text of a server became more than text.
    fn assert_clean(&self, run: &Finished, keys: &[&str]) {
        for secret in [self.secret.as_str(), &self.token, GITHUB_TOKEN]
            .into_iter()
            .chain(keys.iter().copied())
        {
            let is_meant = |place: &Place| {
                is_meant(place) || *place == Place::State("gateway_stop_key".to_owned())
            };
            let mut leaks = run.leaks(secret);
            leaks.retain(|leak| secret == self.secret || !is_meant(&leak.place));
            assert!(
                leaks.is_empty(),
                "{secret:?} leaked: {leaks:?}\n{}",
                run.stdout
            );
            let shown = run.unmasked_outputs(secret);
            assert!(
                shown.is_empty(),
                "{secret:?} is not masked: {shown:?}\n{}",
                run.stdout
            );
        }
        let known = [
            "add-mask", "debug", "error", "warning", "notice", "group", "endgroup",
        ];
        for command in &run.commands {
            assert!(known.contains(&command.name.as_str()), "{command:?}");
        }
        assert_eq!(run.command_errors, Vec::<String>::new());
        assert_eq!(run.stderr, "");
        assert!(
            run.path.is_empty() && run.env.is_empty(),
            "{:?} {:?}",
            run.path,
            run.env
        );
        for name in run.outputs.keys() {
            let is_known = ACTION.contains(&format!("\n  {name}:\n"));
            assert!(is_known, "output {name}");
        }
        assert_plain(&run.summary);
        assert_explained(run);
        keep_summary(&run.summary);
    }
}

/// Fails if a later step shows more than the ends of the token by printing it in base64 or hexadecimal.
fn assert_masked_as_printed(run: &Finished) {
    let Some(token) = run.outputs.get("access_token") else {
        return;
    };
    for (before, after) in [("", ""), ("", "\n"), ("Bearer ", "\n"), ("x:", "@host")] {
        let text = format!("{before}{token}{after}");
        let hexadecimal: String = text.bytes().map(|byte| format!("{byte:02X}")).collect();
        let edges = 2 * (before.len() + after.len());
        for (printed, most) in [
            (BASE64_STANDARD.encode(&text), edges + 8),
            (BASE64_URL_SAFE.encode(&text), edges + 8),
            (hexadecimal.to_lowercase(), edges),
            (hexadecimal, edges),
        ] {
            let shown = run.mask(&printed).replace("***", "");
            assert!(shown.len() <= most, "{text:?}: {shown}");
        }
    }
}

/// Fails if a summary contains more than text, tables, and headings.
fn assert_plain(summary: &str) {
    const TAGS: [&str; 12] = [
        "table", "thead", "tbody", "tr", "th", "td", "h2", "h3", "p", "code", "strong", "br",
    ];
    let html = rendered(summary);
    for tag in html.split('<').skip(1) {
        let name: String = tag
            .trim_start_matches('/')
            .chars()
            .take_while(char::is_ascii_alphanumeric)
            .collect();
        assert!(TAGS.contains(&name.as_str()), "<{tag} in {html}");
    }
}

fn keep_summary(summary: &str) {
    let Some(path) = std::env::var_os("LEAK_SUMMARIES") else {
        return;
    };
    let mut file = OpenOptions::new()
        .append(true)
        .create(true)
        .open(path)
        .unwrap();
    file.write_all(format!("{}\n", json!(summary)).as_bytes())
        .unwrap();
}

/// The command lines and the environments of all gateways on this machine.
#[cfg(target_os = "linux")]
fn gateways() -> String {
    let processes = fs::read_dir("/proc").unwrap().flatten();
    let directories = processes.map(|entry| entry.path());
    let texts = directories.filter_map(|directory| {
        let arguments = fs::read(directory.join("cmdline")).ok()?;
        arguments.ends_with(b"\0gateway\0").then(|| {
            let environment = fs::read(directory.join("environ")).unwrap_or_default();
            String::from_utf8_lossy(&[arguments, environment].concat()).into_owned()
        })
    });
    texts.collect()
}

#[cfg(not(target_os = "linux"))]
fn gateways() -> String {
    String::new()
}

#[test]
fn no_secret_leaves_a_step() {
    hunt(100, 1, case, |case| {
        let step = case.step();
        let run = step.run();
        case.assert_clean(&run, &[]);
        assert_masked_as_printed(&run);
        let post = step.clean_up();
        case.assert_clean(&post, &[]);
        assert!(post.files.is_empty(), "{:?}", post.files.keys());
    });
}

#[test]
fn no_secret_leaves_a_gateway() {
    let cases = || (case(), any::<bool>(), any::<bool>());
    hunt(30, 10, cases, |(case, in_container, audit_arguments)| {
        let engine = Engine::start();
        let step = case
            .step()
            .input("connection", "gateway")
            .input("token_placement", "inline")
            .input("audit_file", "true")
            .input("audit_arguments", audit_arguments.to_string());
        let step = if in_container { engine.run(step) } else { step };
        let run = step.run();
        let key = run.outputs.get("access_token").cloned().unwrap_or_default();
        let stop_key = run
            .state
            .get("gateway_stop_key")
            .cloned()
            .unwrap_or_default();
        let mut keys = vec![key.as_str(), &stop_key];
        keys.retain(|key| !key.is_empty() && *key != "none");
        case.assert_clean(&run, &keys);
        assert!(run.exit != Some(0) || key != case.token);
        let processes = gateways();
        let created = engine.created().to_string();
        for secret in keys
            .iter()
            .copied()
            .chain([case.secret.as_str(), &case.token])
        {
            assert!(!processes.contains(secret), "a process shows {secret:?}");
            assert!(
                !created.contains(secret),
                "the container shows {secret:?}: {created}"
            );
        }
        if let Some(url) = run.outputs.get("mcp_url") {
            call(&case, &step, url, &key);
        }
        case.assert_clean(&step.clean_up(), &keys);
    });
}

/// Calls tools through the gateway, with the texts in every place. The response of a server that repeats
/// secrets, in an error or in a result, reaches the agent without them.
fn call(case: &Case, step: &Step, url: &str, key: &str) {
    let agent = client::Agent::new(url, key);
    block_on(async {
        for (number, text) in case.texts.iter().enumerate() {
            if number == 0 {
                step.port.fault(Endpoint::Mcp, Fault::Echo);
            }
            if number == 2 {
                let text = format!("{} {}", case.token, json!({"secret": case.secret}));
                let content = json!([{"type": "text", "text": text}]);
                let result = json!({"jsonrpc": "2.0", "id": 2, "result": {"content": content}});
                step.port
                    .fault(Endpoint::Mcp, Fault::status(200).json(result));
            }
            let body = json!({
                "jsonrpc": "2.0", "id": text, "method": if number == 3 { text } else { "tools/call" },
                "params": {"name": if number == 1 { text } else { "list_blueprints" }, "arguments": {text: text}},
            });
            let response = agent.raw(&body.to_string()).await.1;
            let value = serde_json::from_str(&response).unwrap_or(Value::Null);
            let result = value["result"]["content"][0]["text"].as_str();
            assert!(
                number != 2 || result.is_none_or(|text| text.contains("***")),
                "{value}"
            );
            let response = format!("{response}\n{}", result.unwrap_or_default());
            // The agent may already know a secret that is in its own texts.
            let own = body.to_string();
            for secret in [&case.secret, &case.token] {
                let is_new = !own.contains(secret.as_str());
                assert!(
                    !is_new || !response.contains(secret.as_str()),
                    "the agent got {secret:?}: {response}"
                );
            }
        }
    });
}
