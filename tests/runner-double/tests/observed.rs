//! Compares the double with what GitHub's runner 2.336.0 did with small scripts.
//!
//! `observed.json` is an array with a record in each line. The first record is a header. `RUNNER_VECTORS`
//! names another file of the same format to replay instead. What each other record says:
//!
//! | key | meaning |
//! |---|---|
//! | `name` | Unique. The part before the colon is a group |
//! | `script` | What `sh -e` runs in the workspace: a `run` step or, with `post`, a JavaScript action |
//! | `post` | The script of the post phase |
//! | `debug` | Step debugging is on |
//! | `step_env` | Variables of the step |
//! | `secrets` | Secrets of the repository. Each is also a variable of the step |
//! | `step` | The name of the step, if it has another one, or none |
//! | `job_outputs` | The outputs that the job passes on |
//! | `timing` | The order of lines depends on pauses: only the lines are compared |
//! | `not_observed` | Results that are not compared |
//! | `conclusion` | `success`, `failure`, or `crash`: the runner died, and reported nothing |
//! | `log` | The lines after those that begin a step; with `debug`, until the end of the program's files |
//! | `annotations` | As GitHub got them |
//! | `outputs`, `env`, `path` | What the next step had because of this one: `path` before the job's own `PATH`, or `{"whole": …}`. The next step hid variables whose names are none in a shell, unless `env` has such a name |
//! | `summary` | The job summary as GitHub got it |
//! | `job`, `job_log` | The outputs that the job passed on, and what the runner said of the others |
//! | `post_conclusion`, `post_log`, `post_annotations` | The same of the post phase |
//!
//! A text with a run of one character is `{"parts": ["text", {"repeat": ["x", 4096]}]}`. Another long text is
//! `{"length": N, "sha256": "…"}`, in characters. A long message of the runner is the same after `head`: the
//! double shortens these. `{workspace}`, `{temp}`, `{file_commands}`, and `{id}` are placeholders.

mod replay;

use std::collections::BTreeSet;
use std::panic::catch_unwind;
use std::path::{Path, PathBuf};
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;

use serde_json::Value;

/// The vectors in which the double differs on purpose, and why.
const DELIBERATE: [(&str, &str); 0] = [];

/// The vectors whose result depends on the user: the runner ran as root.
const AS_ROOT: [&str; 1] = ["output: unreadable file"];

/// Most vectors wait: for a process to start, or for a pause in a script.
const THREADS: usize = 16;

#[test]
fn the_double_does_what_the_runner_did() {
    let own = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/observed.json");
    let other = std::env::var_os("RUNNER_VECTORS").map(PathBuf::from);
    let mut vectors = load(other.as_ref().unwrap_or(&own));
    let is_root = rustix::process::geteuid().is_root();
    vectors.retain(|vector| is_root || !AS_ROOT.contains(&name(vector)));
    let (deliberate, differences): (Vec<_>, Vec<_>) = replay_all(&vectors)
        .into_iter()
        .partition(|(name, _)| DELIBERATE.iter().any(|(known, _)| known == name));
    let names: BTreeSet<&String> = differences.iter().map(|(name, _)| name).collect();
    let report: Vec<&str> = differences.iter().map(|(_, text)| text.as_str()).collect();
    assert!(
        report.is_empty(),
        "{} of {} vectors differ:\n{}",
        names.len(),
        vectors.len(),
        report.join("\n")
    );
    if other.is_none() {
        for (known, reason) in DELIBERATE {
            let differs = deliberate.iter().any(|(name, _)| name == known);
            assert!(differs, "{known} does not differ any more: {reason}");
        }
    }
}

fn name(vector: &Value) -> &str {
    vector["name"].as_str().unwrap_or_default()
}

/// A relative path can be one from the root of the repository, although tests run in their package.
fn load(path: &Path) -> Vec<Value> {
    let from_root = Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("../..")
        .join(path);
    let path = if path.exists() { path } else { &from_root };
    let text = std::fs::read_to_string(path).expect("a file with vectors");
    let mut records: Vec<Value> = serde_json::from_str(&text).expect("an array of vectors");
    records.retain(|record| record.get("script").is_some());
    assert!(!records.is_empty(), "a file without vectors");
    records
}

/// The differences: the name of the vector, and a text.
fn replay_all(vectors: &[Value]) -> Vec<(String, String)> {
    let next = AtomicUsize::new(0);
    let differences = Mutex::new(Vec::new());
    thread::scope(|scope| {
        for _ in 0..THREADS {
            scope.spawn(|| {
                while let Some(vector) = vectors.get(next.fetch_add(1, Ordering::Relaxed)) {
                    let name = name(vector);
                    let found = catch_unwind(|| replay::differences(vector))
                        .unwrap_or_else(|_| vec![format!("- {name}: the double panics")]);
                    let found = found.into_iter().map(|text| (name.to_owned(), text));
                    differences
                        .lock()
                        .expect("no thread has failed")
                        .extend(found);
                }
            });
        }
    });
    let mut differences = differences.into_inner().expect("no thread has failed");
    differences.sort();
    differences
}
