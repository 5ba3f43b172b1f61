//! A signal, or a failed write, at each system call of a phase. `strace` injects them into the main thread,
//! which runs everything except lookups of host names. `HOSTILE_STRIDE=1` tests each call, otherwise each 7th.

use std::collections::BTreeSet;
use std::fs;
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};

use fake_port::{FakePort, Flow};
use runner_double::{Finished, Program};

use super::{Lives, has_secret};
use crate::harness::{BINARY, Step, ours};

/// A kind of step: its name, and a new one.
type Kind = (&'static str, fn() -> Step);

/// The steps of which each system call is interrupted.
fn steps() -> [Kind; 3] {
    let config_file = || Step::new().input("config_file", "true");
    let policy = || {
        let text = "version: 1\nrules: [{allow: {tools: ['*'], servers: [127.0.0.1]}}]";
        let port = FakePort::builder().policy_file("acme/.github", "p.yml", "main", text);
        let step = Step::against(port).input("policy", "acme/.github/p.yml@main");
        step.input("config_file", "true")
    };
    let gateway = || {
        let step = Step::new().input("connection", "gateway");
        step.input("audit_file", "true")
            .input("config_file", "true")
            .variable("https_proxy", "http://127.0.0.1:9")
    };
    [
        ("config_file", config_file),
        ("policy", policy),
        ("gateway", gateway),
    ]
}

/// The binary under `strace` with these options. Its gateway is not traced, but holds the lock.
fn traced(lives: &Lives, options: &[&str]) -> Program {
    let mut words = lives.words().to_vec();
    words.extend(["strace", "-qqq", "--signal=none"].map(str::to_owned));
    words.extend(options.iter().map(|option| (*option).to_owned()));
    words.extend(["--".to_owned(), BINARY.to_owned()]);
    Program::wrapped(words)
}

/// How often the main thread of `run` makes one of these calls.
fn count(step: Step, calls: &str, run: impl Fn(&Step) -> Finished) -> usize {
    let directory = tempfile::tempdir().unwrap();
    let trace = directory.path().join("trace");
    let lives = Lives::new(&step);
    let options = [&format!("--trace={calls}"), "-o", trace.to_str().unwrap()];
    let step = step.program(traced(&lives, &options));
    assert_eq!(run(&step).exit, Some(0));
    fs::read_to_string(trace).unwrap().lines().count()
}

/// Runs `test` for each number up to `last`, in steps of `stride`, on two threads.
fn sweep(last: usize, stride: usize, test: impl Fn(usize) + Sync) -> usize {
    let next = AtomicUsize::new(0);
    std::thread::scope(|scope| {
        for _ in 0..2 {
            scope.spawn(|| {
                loop {
                    let number = next.fetch_add(1, Ordering::Relaxed) * stride + 1;
                    if number > last {
                        return;
                    }
                    test(number);
                }
            });
        }
    });
    last.div_ceil(stride)
}

/// How many points were tested.
#[expect(clippy::print_stderr, reason = "`--nocapture` shows it")]
fn report(text: &str) {
    eprintln!("{text}");
}

fn stride() -> usize {
    let stride = std::env::var("HOSTILE_STRIDE").ok();
    stride.map_or(7, |stride| stride.parse().unwrap())
}

/// The binary, which gets a signal at the system call with this number, and what this is. The runner sends
/// SIGINT first.
fn interrupted(lives: &Lives, number: usize) -> (Program, String) {
    let signal = if number.is_multiple_of(2) {
        "SIGINT"
    } else {
        "SIGTERM"
    };
    let inject = format!("--inject=all:signal={signal}:when={number}");
    let program = traced(lives, &[&inject, "-o", "/dev/null"]);
    (program, format!("{signal} at call {number}"))
}

/// A step that succeeds has all of its outputs, and its post phase removes everything. A step that does not
/// has no outputs and leaves nothing, except what its post phase removes.
fn assert_whole(what: &str, step: Step, run: &Finished, lives: &Lives) {
    let succeeded = run.exit == Some(0);
    assert_eq!(has_secret(run), succeeded, "{what}: {}", run.log());
    assert_eq!(run.outputs.is_empty(), !succeeded, "{what}");
    let mut files = ours(&step.job);
    // The post phase reads and removes it.
    files.retain(|file| run.state.get("gateway_audit") != Some(file));
    assert_eq!(files.is_empty(), !succeeded, "{what}: {files:?}");
    if succeeded {
        let name = &run.outputs["config_file"];
        assert!(files.contains(name), "{what}: {files:?}");
        assert_eq!(run.state["config_file"], *name, "{what}");
    } else if !run.state.contains_key("gateway_url") {
        lives.assert_over();
    }
    let step = step.program(Program::binary(BINARY));
    assert_eq!(step.clean_up().exit, Some(0), "{what}");
    let audit = run.outputs.get("audit_file");
    let audit: Vec<String> = audit
        .filter(|name| !name.is_empty())
        .cloned()
        .into_iter()
        .collect();
    assert_eq!(ours(&step.job), audit, "{what}");
    lives.assert_over();
}

#[test]
#[ignore = "requires strace"]
fn a_signal_at_any_system_call_of_the_step() {
    for (name, new) in steps() {
        let last = count(new(), "all", Step::run);
        let exits = Mutex::new(BTreeSet::new());
        let points = sweep(last, stride(), |number| {
            let step = new();
            let lives = Lives::new(&step);
            let (program, what) = interrupted(&lives, number);
            let step = step.program(program);
            let run = step.run();
            let what = format!("{name}, {what}");
            // Without an exit code, the signal ended the process before it installed its handlers.
            assert!(
                matches!(run.exit, Some(0 | 130) | None),
                "{what}: {:?}",
                run.exit
            );
            if run.exit.is_none() {
                assert!(run.stdout.is_empty(), "{what}: {}", run.stdout);
            }
            exits.lock().unwrap().insert(run.exit);
            assert_whole(&what, step, &run, &lives);
        });
        report(&format!("{name}: {points} of {last} system calls"));
        let exits = exits.into_inner().unwrap();
        assert!(
            exits.contains(&Some(130)) && exits.contains(&None),
            "{exits:?}"
        );
    }
}

#[test]
#[ignore = "requires strace"]
fn a_signal_at_any_system_call_of_the_post_phase() {
    let (_, new) = steps()[2];
    let main = |step: Step| {
        let lives = Lives::new(&step);
        let words = lives.words().into_iter().chain([BINARY.to_owned()]);
        let step = step.program(Program::wrapped(words));
        step.succeed();
        (step, lives)
    };
    let last = count(main(new()).0, "all", Step::clean_up);
    let points = sweep(last, stride(), |number| {
        let (step, lives) = main(new());
        let (program, what) = interrupted(&lives, number);
        let step = step.program(program);
        let post = step.clean_up();
        match post.exit {
            // It ends its work first.
            Some(0) => {
                assert_eq!(ours(&step.job).len(), 1, "{what}: only the audit");
                lives.assert_over();
            }
            exit => assert_eq!(exit, None, "{what}"),
        }
    });
    report(&format!("post phase: {points} of {last} system calls"));
}

/// The disk or the reader of the log can fail at any time.
#[test]
#[ignore = "requires strace"]
fn any_write_of_the_step_can_fail() {
    for (name, new) in steps() {
        let last = count(new(), "write", Step::run);
        let exits = Mutex::new(BTreeSet::new());
        let points = sweep(last, 1, |number| {
            let step = new();
            let lives = Lives::new(&step);
            let directory = tempfile::tempdir().unwrap();
            let trace = directory.path().join("trace");
            let write = format!("--inject=write:error=ENOSPC:when={number}");
            let options = [&write, "--trace=write", "-y", "-o", trace.to_str().unwrap()];
            let step = step.program(traced(&lives, &options));
            let run = step.spawn().wait();
            let trace = fs::read_to_string(trace).unwrap();
            let failed = trace.lines().find(|line| line.ends_with("(INJECTED)"));
            if failed.is_none_or(|line| line.contains("[eventfd]")) {
                // The number was not reached, or this was no write to a file: the system never fails it.
                return;
            }
            let what = format!("{name}, write {number}");
            assert!(matches!(run.exit, Some(0 | 1)), "{what}: {:?}", run.exit);
            exits.lock().unwrap().insert(run.exit);
            step.assert_no_leaks(&run);
            let token = step.port.token(Flow::Rest);
            let gives_token = run.outputs.values().any(|value| value.contains(&token));
            assert!(!gives_token || run.masks.contains(&token), "{what}");
            assert_whole(&what, step, &run, &lives);
        });
        report(&format!("{name}: {points} of {last} writes"));
        assert_eq!(exits.into_inner().unwrap().len(), 2);
    }
}
