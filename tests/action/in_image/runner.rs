//! What GitHub's own runner does with what the action prints, and what else of a workflow reaches the action.

use fake_port::{FakePort, GITHUB_TOKEN, Token, Tool};
use port_mcp_action::inputs::{INPUTS, Input};
use runner_double::{Finished, Phase, Program};
use serde_json::json;

use crate::gateway::Gateway;
use crate::harness::{BINARY, Step, annotations, errors};

/// A character for which UTF-16 needs two units.
const EMOJI: &str = "\u{1f600}";

/// How an annotation shows it.
const SHOWN: &str = "\u{2039}U+1F600\u{203a}";

/// A policy with one rule.
fn policy(rule: &str) -> String {
    format!("version: 1\nrules:\n  - {rule}\n")
}

#[test]
fn an_input_with_an_emoji_is_named_and_not_shown() {
    for Input { name: input, .. } in INPUTS.iter() {
        let step = Step::new().input(input, format!("{}{EMOJI}", "x".repeat(236)));
        let run = step.run();
        assert!(!run.log().contains(SHOWN), "{input}: {}", run.log());
        assert!(!errors(&run).contains("xxx"), "{input}: {}", run.log());
    }
    let errors = Step::new().input("region", format!("eu{EMOJI}")).fail();
    let expected =
        "input `region` is invalid: a text that is not shown (it contains U+1F600)\nhint: ";
    assert!(errors.starts_with(expected), "{errors}");
}

#[test]
fn tools_of_a_server_with_emoji_do_not_end_the_runner() {
    let name = |number: usize| format!("{}{number}{EMOJI}", EMOJI.repeat(number % 7));
    let port = (0..60).fold(FakePort::builder(), |port, number| {
        port.offer(Tool::new(name(number)))
    });
    let step = Step::against(port);
    let warnings = annotations(&step.succeed(), "warning");
    assert!(warnings.contains("tools with invalid names"), "{warnings}");
    assert!(warnings.contains(SHOWN), "{warnings}");
    assert!(warnings.contains(" more."), "{warnings}");
    let error = step.input("allowed_tools", "other_*").fail();
    assert!(error.contains("\nhint: "), "{error}");
}

#[tokio::test]
async fn calls_of_tools_with_emoji_do_not_end_the_runner() {
    let gateway = Gateway::of(Step::new());
    let session = gateway.open().await;
    for number in 0..60 {
        let tool = format!("{}-{number}", EMOJI.repeat(1 + number % 7));
        gateway.call(&session, &tool).await;
    }
    let post = gateway.step.clean_up();
    let warnings = annotations(&post, "warning");
    assert!(warnings.contains(SHOWN), "{warnings}");
    assert!(warnings.ends_with("and 20 more."), "{warnings}");
    assert!(post.summary.contains(EMOJI), "{}", post.summary);
}

#[test]
fn a_policy_with_emoji_does_not_end_the_runner() {
    for rule in [
        format!(
            "name: {EMOJI} agents\n    when: {{ repository: acme/other-{EMOJI} }}\n    allow: {{ tools: ['*'] }}"
        ),
        format!("name: {EMOJI}\n    allow: {{ tools: [list_blueprints], actions: [] }}"),
        format!("name: a\n    {EMOJI}: 1\n    allow: {{ tools: [x] }}"),
        format!("name: a\n    allow: {{ tools: ['{EMOJI}'] }}"),
    ] {
        let step = Step::new()
            .file("policy.yml", &policy(&rule))
            .input("policy", "policy.yml")
            .input("environment", "production")
            .input("allowed_actions", "restart_service")
            .input("read_only", "false");
        let run = step.run();
        assert_eq!(run.exit, Some(1), "{}", run.log());
        let is_shown = rule.starts_with(&format!("name: {EMOJI}\n"));
        assert_eq!(
            errors(&run).contains(SHOWN),
            is_shown,
            "{rule}: {}",
            errors(&run)
        );
    }
    let step = Step::new()
        .file(
            "policy.yml",
            &policy("name: a\n    when: { environment: x }\n    allow: { tools: ['*'] }"),
        )
        .input("policy", "policy.yml")
        .input("environment", format!("{EMOJI} production"));
    let errors = step.fail();
    assert!(
        errors.contains("environment a text that is not shown (it contains U+1F600)"),
        "{errors}"
    );
}

/// A program that the action is started as, with what a runner passes on of `args` in the caller's `with:`.
fn under_the_name(name: &str, step: &Step, args: &[&str]) -> Program {
    let link = step.job.temp().join(name);
    std::os::unix::fs::symlink(BINARY, &link).unwrap();
    let words = [link.to_str().unwrap()]
        .into_iter()
        .chain(args.iter().copied());
    Program::wrapped(words)
}

#[test]
fn arguments_of_a_caller_are_ignored() {
    for args in [
        &["--help"][..],
        &["tools"],
        &["policy", "check"],
        &["--version", "x"],
    ] {
        let step = Step::new();
        let program = under_the_name("connect", &step, args);
        let step = step.program(program);
        let run = step.succeed();
        assert!(!run.outputs["access_token"].is_empty());
        let warnings = annotations(&run, "warning");
        assert!(
            warnings.contains("The action takes no arguments: remove `args`"),
            "{warnings}"
        );
    }
    let step = Step::new().input("config_file", "true");
    let file = step.job.temp().join(&step.succeed().outputs["config_file"]);
    let program = under_the_name("cleanup", &step, &["--help"]);
    let step = step.program(program);
    assert_eq!(step.clean_up().exit, Some(0));
    assert!(!file.exists());
    let step = Step::new().file("answer.txt", "an answer");
    let program = under_the_name("answer", &step, &["--help"]);
    let run = step
        .job
        .step(&program, Phase::Other("answer"), &[("file", "answer.txt")]);
    assert_eq!(run.outputs["answer"], "an answer");
}

/// What the log shows of the token if the next step prints it by `command`.
fn printed(step: &Step, run: &Finished, command: &str) -> String {
    let token = [("token", run.outputs["access_token"].as_str())];
    let later = Phase::Other("print");
    let printed = step.job.step(&Program::run(command), later, &token);
    printed.log().to_owned()
}

const PROXIES: [&str; 6] = [
    "https_proxy",
    "HTTPS_PROXY",
    "http_proxy",
    "HTTP_PROXY",
    "all_proxy",
    "ALL_PROXY",
];

/// `xxd` is not on every machine.
const XXD: &str = "od -An -tx1 -v | tr -d ' \\n' | fold -w 60";

#[test]
fn the_token_is_masked_as_people_print_it() {
    let texts = [40, 41, 42, 57, 120, 299, 900, 901, 902];
    for length in texts {
        let token: String = ('a'..='z')
            .chain('0'..='9')
            .chain('A'..='Z')
            .cycle()
            .take(length)
            .collect();
        let token = token.chars().rev().collect::<String>();
        let mut step = Step::against(FakePort::builder().token(Token::Literal(token.clone())));
        // Other secrets do not take the place of the token's masks.
        if length % 2 == 0 {
            step = step.input("github_token", GITHUB_TOKEN);
            for name in PROXIES {
                step = step.variable(name, "http://u:a-long-password-of-a-proxy@127.0.0.1:9");
            }
        }
        let run = step.succeed();
        assert!(run.masks.len() <= 50, "{} masks", run.masks.len());
        // A last line of fewer than 16 characters has no mask.
        for (command, visible) in [
            ("printf %s \"$INPUT_TOKEN\" | base64", 19),
            ("echo \"$INPUT_TOKEN\" | base64", 19),
            ("echo \"$INPUT_TOKEN\" | base64 -w0", 4),
            ("printf 'Bearer %s\\n' \"$INPUT_TOKEN\" | base64 -w0", 16),
            (
                "printf 'x:%s@host' \"$INPUT_TOKEN\" | base64 -w0 | tr '+/' '-_'",
                16,
            ),
            (
                "printf %s \"$INPUT_TOKEN\" | od -An -tx1 -v | tr -d ' \\n'",
                0,
            ),
            (
                "printf %s \"$INPUT_TOKEN\" | od -An -tx1 -v | tr -d ' \\n' | tr a-f A-F",
                0,
            ),
        ] {
            let log = printed(&step, &run, command);
            let shown: String = log.replace("***", "").split_whitespace().collect();
            assert!(shown.len() <= visible, "{length}, {command}: {log}");
        }
        let log = printed(&step, &run, &format!("printf %s \"$INPUT_TOKEN\" | {XXD}"));
        let end = log.lines().rev().take(6).filter(|line| *line != "***");
        // The last line can be too short for a mask.
        assert!(end.map(str::len).sum::<usize>() < 16, "{length}: {log}");
        if length <= 300 {
            assert!(log.replace("***", "").trim().len() < 16, "{length}: {log}");
        }
    }
}

#[test]
fn a_secret_that_begins_with_any_character_is_masked() {
    // Combining marks, which make a line no command if they follow its colons, and a skin tone.
    for first in [
        "\u{300}",
        "\u{e33}",
        "\u{ff9e}",
        "\u{1f3fb}",
        "\u{200d}",
        ":",
        " ",
        "é",
    ] {
        let secret = format!("{first}-a-secret-of-some-length");
        let step = Step::new().input("client_secret", secret.clone());
        let run = step.run();
        assert!(
            run.masks.iter().any(|mask| mask.trim() == secret.trim()),
            "{first:?}: {:?}",
            run.stdout
        );
        assert!(
            !run.log().contains("-a-secret-of"),
            "{first:?}: {}",
            run.log()
        );
    }
    let step = Step::new().input("client_secret", format!("a-secret&+{EMOJI}-of-some-length"));
    let run = step.run();
    assert!(
        errors(&run).contains("a secret contains `&+` and a character beyond U+FFFF"),
        "{}",
        run.log()
    );
    assert!(run.masks.is_empty());
}

#[test]
fn a_token_that_is_too_short_to_be_masked_is_rejected() {
    for token in ["e", "fifteen-letters"] {
        let step = Step::against(FakePort::builder().token(Token::Literal(token.to_owned())));
        // So short a text is everywhere, so it cannot be searched for.
        let run = step.spawn().wait();
        assert_eq!(run.exit, Some(1));
        let expected = format!("the token has only {} characters", token.len());
        assert!(errors(&run).contains(&expected), "{}", errors(&run));
        assert!(!run.masks.iter().any(|mask| mask == token));
    }
}

#[test]
fn in_a_composite_action_the_post_phase_keeps_the_summary_of_the_step() {
    let step = || {
        let step = Step::new().variable(
            "GITHUB_ACTION_PATH",
            "/home/runner/work/_actions/acme/wrap/v1",
        );
        Gateway::of(step)
    };
    let kept = |gateway: &Gateway| {
        let name = gateway.run.state["summary_file"].clone();
        gateway.step.job.temp().join(name)
    };
    let gateway = step();
    let file = kept(&gateway);
    assert_eq!(std::fs::read_to_string(&file).unwrap(), gateway.run.summary);
    let post = gateway.step.clean_up();
    let rest = post
        .summary
        .strip_prefix(&gateway.run.summary)
        .expect("the summary of the step");
    assert!(rest.starts_with("### Port MCP: calls\n"), "{rest}");
    assert!(!file.exists());

    for change in [
        |file: &std::path::Path| std::fs::write(file, "# forged").unwrap(),
        |file: &std::path::Path| std::fs::remove_file(file).unwrap(),
    ] {
        let gateway = step();
        let file = kept(&gateway);
        change(&file);
        let post = gateway.step.clean_up();
        assert!(
            post.summary.starts_with("### Port MCP: calls\n"),
            "{}",
            post.summary
        );
        assert!(!file.exists());
    }
    let gateway = Gateway::of(Step::new());
    assert_eq!(gateway.run.state["summary_file"], "none");
    let post = gateway.step.clean_up();
    assert!(
        post.summary.starts_with("### Port MCP: calls\n"),
        "{}",
        post.summary
    );
}

#[tokio::test]
async fn a_printed_audit_contains_no_command() {
    let step = Step::new()
        .input("audit_file", "true")
        .input("audit_arguments", "true");
    let gateway = Gateway::of(step);
    let session = gateway.open().await;
    let hostile = json!({"jsonrpc": "2.0", "id": "##[error]a", "method": "##[error]b"});
    let denied = gateway.raw(&hostile.to_string()).await.1;
    assert!(!denied.contains("##["), "{denied}");
    assert_eq!(
        serde_json::from_str::<serde_json::Value>(&denied).unwrap()["id"],
        "##[error]a"
    );
    for tool in ["##[error]x", "::error::x", "list_blueprints"] {
        let body = json!({
            "jsonrpc": "2.0", "id": 1, "method": "tools/call",
            "params": {"name": tool, "arguments": {"##[warning]y": "##[error]z"}},
        });
        let response = gateway.post(session.clone(), body.to_string()).await;
        assert!(!response.text().await.unwrap().contains("##[error]x"));
    }
    let post = gateway.step.clean_up();
    let audit = gateway.audit();
    assert!(audit.contains(r"\u0023#[error]x"), "{audit}");
    assert!(!audit.contains("##["), "{audit}");
    assert!(!post.stdout.contains("##["), "{}", post.stdout);
}

#[test]
fn a_list_with_a_secret_is_not_shown() {
    // The runner masks each line of a secret with its comma, and the list ends there.
    let secret = "{\n\"client_id\": \"x\",\n\"client_secret\": \"GOCSPX-abcdef\",\n}";
    for input in ["allowed_tools", "allowed_actions"] {
        let errors = Step::new()
            .input(input, secret)
            .input("read_only", "false")
            .fail();
        assert!(!errors.contains("GOCSPX"), "{errors}");
        assert!(
            errors.contains("an entry that is not shown (it has"),
            "{errors}"
        );
    }
}

#[test]
fn an_error_with_a_long_hint_keeps_its_beginning_and_the_link() {
    let url = format!("https://{}.example", "a".repeat(3000));
    let errors = Step::new()
        .input("api_url", url)
        .input("timeout", "1s")
        .fail();
    assert!(
        errors.contains("\nhint: ") && errors.contains("\nsee: https://"),
        "{errors}"
    );
}
