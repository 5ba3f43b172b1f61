//! The gateway as a process of this machine: what others see of it, and how it fares with few resources.

use std::fs;
use std::io::Read as _;
use std::net::TcpStream;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::Duration;

use fake_port::{FakePort, Flow};
use serde_json::Value;

use crate::gateway::{Gateway, call_of};
use crate::harness::{BINARY, Step, after, annotations};

/// `tests/e2e/run` tests the container of a gateway.
#[cfg(target_os = "linux")]
#[tokio::test]
async fn no_secret_is_where_other_processes_can_read_it() {
    let gateway = Gateway::start();
    let secrets = [
        gateway.key().to_owned(),
        gateway.step.port.token(Flow::Rest),
        gateway.step.port.client_secret().to_owned(),
    ];
    let mut found = 0;
    for process in fs::read_dir("/proc").unwrap().flatten() {
        let read = |name: &str| fs::read(process.path().join(name)).unwrap_or_default();
        let command = String::from_utf8_lossy(&read("cmdline")).into_owned();
        if !command.ends_with("port-mcp\0gateway\0") {
            continue;
        }
        if stat(&process.path(), STARTED_AT) < stat(Path::new("/proc/self"), STARTED_AT) {
            // Another program started it.
            continue;
        }
        found += 1;
        let environment = String::from_utf8_lossy(&read("environ")).into_owned();
        for secret in &secrets {
            assert!(!command.contains(secret) && !environment.contains(secret));
        }
        // It leads a session of its own, so that a signal to the step's session does not end it. The gateway
        // of another test may still be starting.
        let session = || stat(&process.path(), SESSION);
        let is_leader = || session().is_none_or(|id| *id.to_string() == *process.file_name());
        assert!((0..10_000).any(|_| is_leader()), "{:?}", session());
    }
    assert!(found >= 1, "the gateway's process was not found");
}

/// The indexes of fields after the name of the program (`proc_pid_stat(5)`).
const SESSION: usize = 3;
const STARTED_AT: usize = 19;

/// A field of a process in `/proc`. `None` if the process has ended.
fn stat(process: &Path, field: usize) -> Option<u64> {
    let stat = fs::read_to_string(process.join("stat")).ok()?;
    let fields = stat.rsplit_once(") ")?.1;
    fields.split(' ').nth(field)?.parse().ok()
}

#[test]
fn a_gateway_that_cannot_start_says_why() {
    let output = Command::new(BINARY)
        .arg("gateway")
        .stdin(Stdio::null())
        .output()
        .unwrap();
    assert_eq!(output.status.code(), Some(1));
    let text = String::from_utf8(output.stdout).unwrap();
    let reply: Value = serde_json::from_str(text.lines().next().unwrap()).unwrap();
    let error = reply["error"].as_str().unwrap();
    assert!(
        error.starts_with("the gateway received no settings"),
        "{error}"
    );
}

/// A gateway with two calls that has ended, and its audit for the post step as `change` leaves it.
async fn ended(change: impl FnOnce(String) -> String) -> Gateway {
    let gateway = Gateway::of(Step::new().input("gateway_lifetime", "1h"));
    let session = gateway.open().await;
    gateway.call(&session, "list_entities").await;
    gateway.call(&session, "delete_entity").await;
    let url = gateway.url().replace("/v1", "/stop");
    let stop = gateway
        .http
        .post(url)
        .bearer_auth(&gateway.run.state["gateway_stop_key"]);
    assert_eq!(stop.send().await.unwrap().status(), 200);
    // Until nothing listens any more.
    while TcpStream::connect(gateway.address()).is_ok() {}
    let audit = gateway
        .step
        .job
        .temp()
        .join(&gateway.run.state["gateway_audit"]);
    let text = fs::read_to_string(&audit).unwrap();
    fs::write(audit, change(text)).unwrap();
    gateway
}

/// The process was killed: its last line is not whole.
#[tokio::test]
async fn the_post_step_reports_the_calls_of_a_killed_process() {
    let gateway = ended(|text| {
        let (events, _) = text
            .split_once("{\"time\":")
            .map(|(_, rest)| rest.split_once("\"counts\"").unwrap())
            .unwrap();
        format!("{{\"time\":{events}")
    });
    let gateway = gateway.await;
    let post = gateway.step.clean_up();
    let warnings = annotations(&post, "warning");
    assert!(
        warnings.contains("The gateway exited before the job did"),
        "{warnings}"
    );
    assert!(warnings.contains("`delete_entity` (1)"), "{warnings}");
    assert!(
        post.summary.contains("| `list_entities` | 1 | 0 | 0 |"),
        "{}",
        post.summary
    );
    assert!(
        post.log()
            .contains("which can be incomplete. Sessions: 1, calls: 1"),
        "{}",
        post.log()
    );
    let left = gateway.step.job.temp().read_dir().unwrap();
    let mut left = left.map(|entry| entry.unwrap().file_name().into_string().unwrap());
    assert!(
        !left.any(|name| name.contains(".jsonl")),
        "the audit for the post step is removed"
    );
}

/// As outside GitHub's runner, such as in the quickstart.
#[tokio::test]
async fn a_process_without_a_temporary_directory_works_without_a_copy_of_the_audit() {
    let mut step = Step::new();
    step.job.without("RUNNER_TEMP").without("HOME");
    let gateway = Gateway::of(step);
    let session = gateway.open().await;
    gateway.call(&session, "list_entities").await;
    assert_eq!(gateway.run.state["gateway_audit"], "none");
    let post = gateway.step.clean_up();
    assert!(
        post.summary.contains("| `list_entities` | 1 | 0 | 0 |"),
        "{}",
        post.summary
    );
}

#[tokio::test]
async fn the_post_step_says_that_gateway_lifetime_ended_the_process() {
    let gateway = ended(|text| text.replace(r#""end":"request""#, r#""end":"gateway_lifetime""#));
    let gateway = gateway.await;
    let post = gateway.step.clean_up();
    let warnings = annotations(&post, "warning");
    assert!(
        warnings.starts_with("The gateway ended `1h` after its start (`gateway_lifetime`)"),
        "{warnings}"
    );
    assert!(
        post.summary.contains("| `list_entities` | 1 | 0 | 0 |"),
        "{}",
        post.summary
    );
}

/// More clients than descriptors: each call in progress needs two.
#[cfg(target_os = "linux")]
#[tokio::test]
async fn a_gateway_with_few_descriptors_serves_fewer_clients_and_can_be_stopped() {
    let port = FakePort::builder().call_time(Duration::from_hours(1));
    let step = Step::against(port).program(after("ulimit -n 256"));
    let gateway = Gateway::of(step);
    let session = gateway.open().await;
    let mut clients: Vec<TcpStream> = Vec::new();
    for _ in 0..125 {
        clients.push(gateway.send(&session, &call_of("list_entities")));
    }
    let rejected = clients.last_mut().unwrap();
    let mut answer = [0; 12];
    rejected.read_exact(&mut answer).unwrap();
    let (_gateway, ended) = gateway.stopped().await;
    assert!(
        ended.log().contains("Stopped the gateway. Sessions: 1"),
        "{}",
        ended.log()
    );
}

/// The limit of a file's size fails as a full disk does: after a part of a line.
#[cfg(target_os = "linux")]
#[tokio::test]
async fn a_line_that_does_not_fit_is_not_in_the_audit_and_is_counted() {
    let step = Step::new().program(after("ulimit -f 16"));
    let gateway = Gateway::of(step.input("audit_file", "true"));
    let session = gateway.open().await;
    for _ in 0..100 {
        gateway.call(&session, "list_entities").await;
    }
    // A file that a step empties has space again.
    let events = gateway.events();
    let lines = events.iter().filter(|event| event["event"] == "call");
    let lines = lines.count();
    assert!((20..100).contains(&lines), "{lines}");
    let file = gateway
        .step
        .job
        .temp()
        .join(&gateway.run.outputs["audit_file"]);
    fs::write(file, "").unwrap();
    gateway.call(&session, "list_entities").await;
    let audit = gateway.events();
    assert_eq!(audit[0]["event"], "gap");
    assert_eq!(audit[0]["lines"], 100 - lines);
    assert_eq!(audit[1]["event"], "call");
    let warning = annotations(&gateway.step.clean_up(), "warning");
    assert!(
        warning.contains("The audit of the gateway lacks lines"),
        "{warning}"
    );
}
