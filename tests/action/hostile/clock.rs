//! A clock that is wrong, or that jumps. `faketime` sets it.

use std::fs;
use std::process::Command;
use std::sync::Arc;

use fake_port::{Endpoint, FakePort, Fault, Token};
use runner_double::{Finished, Program};
use serde_json::{Value, json};

use super::has_secret;
use crate::engine::{Engine, clean_up};
use crate::gateway::Gateway;
use crate::harness::{BINARY, Step, annotations, assert_explained, ours};

/// The start of the step, and whether it is in the future.
const CLOCKS: [(&str, bool); 7] = [
    ("1970-01-02 00:00:00", false),
    ("2000-01-01 00:00:00", false),
    // The last second of 32 bits.
    ("2038-01-19 03:14:07", true),
    ("2100-01-01 00:00:00", true),
    // The last second that Linux can be set to.
    ("2232-01-01 00:00:00", true),
    ("9999-06-01 00:00:00", true),
    ("9999-12-31 23:00:00", true),
];

/// The words before a program with these settings of `libfaketime`. `faketime` itself would wait for the gateway.
fn fake(settings: &[&str]) -> Vec<String> {
    let library = Command::new("faketime")
        .args(["-f", "+0", "printenv", "LD_PRELOAD"])
        .output()
        .unwrap();
    let library = String::from_utf8(library.stdout).unwrap();
    let library = format!("LD_PRELOAD={}", library.trim());
    let words = ["env", &library]
        .into_iter()
        .chain(settings.iter().copied());
    words.map(str::to_owned).collect()
}

/// The words before a program whose clock is the difference in a file.
fn jumping(file: &str) -> Vec<String> {
    // Linux never changes the monotonic clock.
    let file = format!("FAKETIME_TIMESTAMP_FILE={file}");
    fake(&[
        &file,
        "FAKETIME_NO_CACHE=1",
        "FAKETIME_DONT_FAKE_MONOTONIC=1",
    ])
}

fn at(clock: &str) -> Program {
    let mut words = fake(&[&format!("FAKETIME=@{clock}")]);
    words.push(BINARY.to_owned());
    Program::wrapped(words)
}

fn assert_sound(what: &str, step: &Step, run: &Finished) {
    assert_explained(run);
    assert!(
        !run.log().contains("bug in port-mcp"),
        "{what}: {}",
        run.log()
    );
    assert!(matches!(run.exit, Some(0 | 1)), "{what}: {:?}", run.exit);
    assert_eq!(has_secret(run), run.exit == Some(0), "{what}");
    assert_eq!(ours(&step.job).is_empty(), run.exit != Some(0), "{what}");
}

#[test]
#[ignore = "requires faketime"]
fn a_wrong_clock_is_named() {
    for (clock, is_late) in CLOCKS {
        for token in [Token::Jwt, Token::Opaque] {
            let what = format!("{clock}, {token:?}");
            let step = Step::against(FakePort::builder().token(token));
            let step = step.input("config_file", "true").program(at(clock));
            let run = step.run();
            assert_sound(&what, &step, &run);
            assert_eq!(run.exit, Some(0), "{what}: {}", run.log());
            let warnings = annotations(&run, "warning");
            let direction = if is_late { "ahead of" } else { "behind" };
            let expected = format!(" {direction} Port's, and `expires_at` is");
            let is_warned =
                warnings.contains("The runner's clock is ") && warnings.contains(&expected);
            assert!(is_warned, "{what}: {warnings}");
            assert_eq!(step.clean_up().exit, Some(0), "{what}");
        }
    }
}

#[test]
#[ignore = "requires faketime"]
fn a_step_with_a_gateway_at_a_wrong_clock() {
    for (clock, _) in CLOCKS {
        let step = Step::new()
            .input("connection", "gateway")
            .input("config_file", "true");
        let step = step.program(at(clock));
        let run = step.run();
        assert_sound(clock, &step, &run);
        assert_eq!(run.exit, Some(0), "{clock}: {}", run.log());
        assert_eq!(step.clean_up().exit, Some(0), "{clock}");
    }
}

#[test]
#[ignore = "requires faketime"]
fn a_clock_that_jumps_during_the_step() {
    for jump in ["-20y", "-1d", "+1h", "+1d", "+100y"] {
        let clock = tempfile::NamedTempFile::new().unwrap();
        fs::write(clock.path(), "+0").unwrap();
        let mut words = jumping(clock.path().to_str().unwrap());
        words.push(BINARY.to_owned());
        let step = Step::new()
            .input("config_file", "true")
            .variable("RUNNER_DEBUG", "1")
            .program(Program::wrapped(words));
        let fault = Fault::status(503).header("retry-after", "1");
        step.port.fault(Endpoint::Mcp, fault);
        let running = step.spawn();
        // The token is known, and the preflight check waits.
        running.wait_for_line("::add-mask::ey");
        fs::write(clock.path(), jump).unwrap();
        let run = running.wait();
        assert_sound(jump, &step, &run);
        assert_eq!(run.exit, Some(0), "{jump}: {}", run.log());
        let warnings = annotations(&run, "warning");
        assert!(
            warnings.contains("The runner's clock is"),
            "{jump}: {warnings}"
        );
    }
}

/// The gateway at a wrong clock, which jumps while it runs. Its own process has this clock, and the step has the
/// right one.
#[tokio::test]
#[ignore = "requires faketime"]
async fn a_clock_that_jumps_under_the_gateway() {
    let clock = tempfile::NamedTempFile::new().unwrap();
    for start in ["+0", "-50y"] {
        fs::write(clock.path(), start).unwrap();
        let engine = Engine::start().with(|state| {
            state.wrapper = jumping(clock.path().to_str().unwrap());
        });
        let gateway = Gateway::of(engine.step());
        let session = gateway.open().await;
        for jump in [
            "+0", "-50y", "+2h", "-1h", "+1y", "+7000y", "-20y", "+0", "+4h",
        ] {
            fs::write(clock.path(), jump).unwrap();
            let answer: Value = gateway.call(&session, "list_blueprints").await;
            assert!(answer["result"].is_object(), "{start}, {jump}: {answer}");
        }
        // It does not ask for a token for each request: Port would return the same.
        let before = gateway.exchanges();
        for _ in 0..3 {
            gateway.call(&session, "list_blueprints").await;
        }
        assert_eq!(gateway.exchanges(), before);
        gateway.step.port.expire_tokens();
        let answer = gateway.call(&session, "list_blueprints").await;
        assert!(answer["result"].is_object(), "{start}: {answer}");
        let health = gateway.http.get(gateway.url().replace("/v1", "/health"));
        assert_eq!(health.send().await.unwrap().text().await.unwrap(), "ok");
    }
}

/// A clock that is sixty times as fast: the gateway ends after a second.
#[tokio::test]
#[ignore = "requires faketime"]
async fn the_end_of_gateway_lifetime_is_reported_with_the_calls() {
    let engine = Engine::start().with(|state| {
        state.network = "host";
        state.wrapper = fake(&["FAKETIME=+0 x60"]);
    });
    let gateway = Gateway::of(engine.step().input("gateway_lifetime", "1m"));
    let session = gateway.open().await;
    gateway.call(&session, "list_entities").await;
    let log = || {
        let written = Arc::clone(&engine.state.lock().unwrap().written);
        let written = written.lock().unwrap();
        String::from_utf8(written.clone()).unwrap()
    };
    while !log().contains(r#""event":"stop""#) {
        std::thread::yield_now();
    }
    let log = log();
    assert!(log.contains(r#""event":"expired""#), "{log}");
    let mut state = engine.state.lock().unwrap();
    state.log = log;
    state.ended(json!({"Running": false, "ExitCode": 0}));
    drop(state);
    let post = clean_up(&engine, &gateway.step, &[]);
    let warning = annotations(&post, "warning");
    assert!(
        warning.starts_with("The gateway ended `1m` after its start"),
        "{warning}"
    );
    assert!(
        post.summary.contains("| `list_entities` | 1 | 0 | 0 |"),
        "{}",
        post.summary
    );
}
