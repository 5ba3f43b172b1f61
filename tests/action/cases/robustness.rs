//! Cases 6: files that remained, and missing limits.

use std::process::Command;
use std::time::{Duration, Instant};

use fake_port::{Endpoint, FakePort, Fault, Token, Tool};
use runner_double::Running;

use super::{RawServer, flood};
use crate::harness::{Step, annotations, rendered};

#[test]
fn m5_no_file_remains_if_the_step_fails() {
    let left = |step: &Step| {
        let entries = std::fs::read_dir(step.job.temp()).unwrap();
        let names = entries.map(|entry| entry.unwrap().file_name().into_string().unwrap());
        names.filter(|name| name.starts_with("port-mcp-")).count()
    };
    let step = Step::new().input("config_file", "true");
    step.succeed();
    assert_eq!(left(&step), 1);

    // The outputs cannot be written, because the path of their file is a directory.
    let step = Step::new().input("config_file", "true");
    let outputs = step.job.workspace().join("outputs");
    std::fs::create_dir(&outputs).unwrap();
    let step = step.variable("GITHUB_OUTPUT", outputs.to_str().unwrap());
    step.fail();
    assert_eq!(left(&step), 0);
    for variable in ["GITHUB_OUTPUT", "GITHUB_STATE"] {
        let step = Step::new()
            .input("config_file", "true")
            .variable(variable, "/dev/full");
        step.fail();
        assert_eq!(left(&step), 0, "{variable}");
        let step = Step::new()
            .input("config_file", "true")
            .variable(variable, "/proc/no/such");
        step.fail();
        assert_eq!(left(&step), 0, "{variable}");
    }
}

#[test]
fn l1_a_lifetime_beyond_the_year_9999() {
    for seconds in [251_611_000_000, 253_402_300_799, u64::MAX, u64::MAX / 1000] {
        for token in [Token::Opaque, Token::Jwt] {
            let port = FakePort::builder().token(token).expires_in(seconds);
            let run = Step::against(port).succeed();
            assert!(!run.log().contains("bug in port-mcp"), "{}", run.log());
        }
        let port = FakePort::builder().token(Token::Opaque).expires_in(seconds);
        assert_eq!(Step::against(port).succeed().outputs["expires_at"], "");
    }
}

const EVENTS: &str = "HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\n\r\n";
const PING: &str = "data: {\"jsonrpc\":\"2.0\",\"id\":1,\"method\":\"ping\"}\n\n";

/// The peak memory of a run in KiB, and its duration.
fn used(step: &Step) -> (u64, Duration) {
    let running = step.spawn();
    let status = format!("/proc/{}/status", running.id());
    let started = Instant::now();
    let mut peak = 0;
    while let Ok(status) = std::fs::read_to_string(&status) {
        let line = status.lines().find(|line| line.starts_with("VmHWM:"));
        let Some(kib) = line.and_then(|line| line.split_whitespace().nth(1)) else {
            break;
        };
        peak = peak.max(kib.parse().unwrap());
        std::thread::yield_now();
    }
    let _ = running.wait();
    (peak, started.elapsed())
}

/// A server that never stops sending cannot make the step exceed a limit of memory, or its deadline.
#[test]
fn l13_l14_floods_are_bounded() {
    if crate::harness::program().is_image() {
        // This test cannot read the memory of a process in a container.
        return;
    }
    let floods: [(&str, &str, &str); 5] = [
        (
            "early hints",
            "",
            "HTTP/1.1 103 Early Hints\r\nlink: </x>\r\n\r\n",
        ),
        ("pings", EVENTS, PING),
        ("comments", EVENTS, ": nothing\n\n"),
        (
            "one endless line",
            EVENTS,
            "data: xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx",
        ),
        (
            "endless headers",
            "HTTP/1.1 200 OK\r\n",
            "x-a: bbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbb\r\n",
        ),
    ];
    for (what, head, repeated) in floods {
        let server = RawServer::start(move |stream| flood(stream, head, repeated));
        let (peak, time) = used(&server.step().input("timeout", "4s"));
        assert!(peak < 96 * 1024, "{what}: {peak} KiB");
        assert!(time < Duration::from_secs(45), "{what}: {time:?}");
    }
}

#[test]
fn l14_too_many_pings_end_the_preflight_check() {
    let server = RawServer::start(|stream| {
        flood(
            stream,
            EVENTS,
            "data: {\"jsonrpc\":\"2.0\",\"id\":1,\"method\":\"ping\"}\n\n",
        );
    });
    let errors = server.step().input("timeout", "60s").fail();
    assert!(errors.contains("100 other messages"), "{errors}");
}

/// The signal handlers are installed first, so a signal right after the start ends the process.
#[test]
fn l15_a_signal_right_after_the_start_ends_the_step() {
    if crate::harness::program().is_image() {
        // Docker starts a process too slowly for this test. tests/e2e/run tests signals to a container.
        return;
    }
    for signal in [Running::terminate, Running::interrupt] {
        for _ in 0..20 {
            let step = Step::new();
            step.port.fault(Endpoint::Rest, Fault::Hang);
            let started = Instant::now();
            let running = step.spawn();
            signal(&running);
            let run = running.wait();
            assert!(matches!(run.exit, None | Some(130)), "{:?}", run.exit);
            assert!(started.elapsed() < Duration::from_secs(5));
        }
    }
}

#[test]
fn l16_a_pipe_instead_of_a_runner_file_does_not_block_the_step() {
    for variable in ["GITHUB_OUTPUT", "GITHUB_STATE", "GITHUB_STEP_SUMMARY"] {
        let step = Step::new().input("config_file", "true");
        let pipe = step.job.workspace().join("pipe");
        assert!(
            Command::new("mkfifo")
                .arg(&pipe)
                .status()
                .unwrap()
                .success()
        );
        let step = step.variable(variable, pipe.to_str().unwrap());
        let run = step.run();
        if variable == "GITHUB_STEP_SUMMARY" {
            assert_eq!(run.exit, Some(0), "{}", run.log());
            assert!(annotations(&run, "warning").contains("does not name a file"));
        } else {
            assert!(annotations(&run, "error").contains("does not name a file"));
            assert!(step.port.received().is_empty());
        }
    }
}

#[test]
fn l16_a_pipe_instead_of_an_event_or_a_workflow_does_not_block_the_step() {
    let step = Step::new()
        .input("client_secret", "")
        .file(".github/workflows/x", "");
    let pipes =
        ["event", ".github/workflows/agent.yml"].map(|name| step.job.workspace().join(name));
    assert!(
        Command::new("mkfifo")
            .args(&pipes)
            .status()
            .unwrap()
            .success()
    );
    let event = pipes[0].to_str().unwrap().to_owned();
    let errors = step.variable("GITHUB_EVENT_PATH", &event).fail();
    assert!(
        errors.contains("input `client_secret` is empty"),
        "{errors}"
    );
}

#[test]
fn l18_markdown_from_the_server_is_not_rendered_in_a_cell() {
    for text in [
        "a `code` b",
        "``` fence",
        "`",
        "``",
        "a\\`b`c\\",
        "x | y \\| z",
        "[x](https://evil.example)",
        "![x](https://evil.example/x.png)",
        "<img src=x onerror=y><script>z</script>",
        "https://evil.example www.evil.example me@evil.example",
        "a`[x](https://evil.example)`b ``c` [y](z)",
        "`|` [x](y) |",
        "</code></td></tr></table><a href=x>y</a>",
        "&lt;a href=x&gt; &#60;b&#62;",
        "^[note] [^1] - [ ] task ~~x~~ **b** _i_ $$m$$",
    ] {
        let tool = Tool::new("list_it").description(text).read_only(true);
        let run = Step::against(FakePort::builder().offer(tool)).succeed();
        let html = rendered(&run.summary).replace(" align=\"left\"", "");
        let rows = html.split("<tr>").filter(|row| row.contains("list_it"));
        let rows: Vec<&str> = rows.collect();
        assert_eq!(rows.len(), 1, "{text}: {html}");
        assert_eq!(rows[0].matches("<td>").count(), 3, "{text}: {}", rows[0]);
        let cell = rows[0].split("<td>").nth(3).unwrap();
        assert!(cell.starts_with("<code>"), "{text}: {cell}");
        let inner = &cell["<code>".len()..cell.find("</code>").unwrap()];
        assert!(!inner.contains('<'), "{text}: {inner}");
        // The whole text is in the code element, as the server wrote it.
        let shown = inner
            .replace("&lt;", "<")
            .replace("&gt;", ">")
            .replace("&quot;", "\"")
            .replace("&amp;", "&");
        assert_eq!(shown, text.replace('|', "¦"), "{cell}");
    }
}

#[test]
fn l19_only_documented_characters_are_wildcards() {
    let with = |text: &str| {
        let port = FakePort::builder().policy_file("acme/.github", "p.yml", "main", text);
        Step::against(port).input("policy", "acme/.github/p.yml@main")
    };
    for servers in [
        "'*'",
        "'127.0.0.*'",
        "'*.0.0.1'",
        r#""127.0.0.\0""#,
        "'127.0.0.1:80'",
        "'http://127.0.0.1'",
    ] {
        let text = format!("version: 1\nrules:\n- allow: {{tools: ['*'], servers: [{servers}]}}\n");
        assert!(with(&text).fail().contains("`servers`"), "{servers}");
    }
    for condition in [
        r#""refs/heads/mai\0""#,
        r#"["refs/heads/*", "!refs/heads/x\0"]"#,
    ] {
        let text = format!(
            "version: 1\nrules:\n- when: {{ref: {condition}}}\n  allow: {{tools: ['*'], servers: [127.0.0.1]}}\n"
        );
        assert!(with(&text).fail().contains("contains a control character"));
    }
    let text = "version: 1\nrules:\n- when: {ref: 'refs/heads/mai?'}\n  allow: {tools: ['*'], servers: [127.0.0.1]}\n";
    assert!(with(text).fail().starts_with("no rule in policy"));
}
