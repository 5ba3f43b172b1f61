//! A gateway with 64 clients. Its token expires every 2 to 3 seconds, Port sometimes rejects a token that is
//! still valid, and sometimes forgets a session: no call is lost, repeated, or mixed up.

use std::fs;
use std::path::Path;
use std::time::{Duration, Instant};

use fake_port::client::{Agent, message};
use fake_port::{Endpoint, FakePort, Fault, Flow, RateLimit, Tool};
use futures_util::future::join_all;
use reqwest::header::HeaderMap;
use runner_double::{Finished, Job, Phase};
use serde_json::{Value, json};

use crate::{is_full, program, turn};

const CLIENTS: usize = 64;
/// The calls of each client, if the test does not run in full.
const CALLS: usize = 30;
/// The time of a full run.
const FULL: Duration = Duration::from_mins(10);
/// How long Port needs for a call. It also limits the number of calls in a full run.
const CALL_TIME: Duration = Duration::from_millis(100);
/// The gateway replaces a token that Port rejects before its expiry once in 30 seconds. So many calls of one
/// client take longer.
const BETWEEN_REJECTIONS: usize = 400;
/// The calls of one client between two sessions that Port forgets.
const BETWEEN_LOST_SESSIONS: usize = 50;
/// The maximum memory of the gateway in KiB.
const MAX_MEMORY: u64 = 64 * 1024;

/// A step with a gateway. Dropping it stops the gateway, also after a failed test.
struct Gateway {
    port: FakePort,
    job: Job,
    run: Finished,
    agent: Agent,
}

impl Drop for Gateway {
    fn drop(&mut self) {
        let _ = self.job.step(&program(), Phase::Post, &[]);
    }
}

impl Gateway {
    fn start() -> Self {
        let limit = RateLimit {
            most: usize::MAX,
            window: Duration::from_nanos(1),
            at_once: None,
            ..RateLimit::of(Flow::Rest)
        };
        let port = FakePort::builder()
            .token_lifetime(Duration::from_secs(3))
            .offer(Tool::new("echo"))
            .call_time(CALL_TIME)
            .rate_limit(Flow::Rest, limit)
            .records(false)
            .start();
        let job = Job::new();
        let inputs = [
            ("allowed_tools", "echo"),
            ("api_url", port.api_url()),
            ("client_id", port.client_id()),
            ("client_secret", port.client_secret()),
            ("connection", "gateway"),
            ("mcp_url", port.mcp_url()),
            ("min_validity", "0s"),
            ("verify", "false"),
        ];
        let run = job.step(&program(), Phase::Main, &inputs);
        assert_eq!(run.exit, Some(0), "{}", run.log());
        let agent = Agent::new(&run.outputs["mcp_url"], &run.outputs["access_token"]);
        Self {
            port,
            job,
            run,
            agent,
        }
    }

    /// Calls the tool in a loop, and checks that every answer is the one to its call. Returns how long each
    /// call took.
    async fn call_in_a_loop(&self, number: usize, session: &HeaderMap) -> Vec<Duration> {
        let started = Instant::now();
        let mut durations = Vec::new();
        loop {
            let call = durations.len();
            let is_over = if is_full() {
                started.elapsed() >= FULL
            } else {
                call == CALLS
            };
            if is_over {
                return durations;
            }
            if number == 0 && call % BETWEEN_REJECTIONS == 10 {
                self.port.expire_tokens();
            }
            if number == 1 && call % BETWEEN_LOST_SESSIONS == 25 {
                let fault = Fault::status(404).text("gone");
                self.port.fault(Endpoint::Mcp, fault);
            }
            let marker = format!("{number}-{call}");
            let params = json!({"name": "echo", "arguments": {"marker": marker}});
            let body =
                json!({"jsonrpc": "2.0", "id": call, "method": "tools/call", "params": params});
            let sent = Instant::now();
            let text = self.agent.post(session.clone(), body.to_string()).await;
            let text = text.text().await.unwrap();
            durations.push(sent.elapsed());
            assert_eq!(answer(&text), (json!(call), json!(marker)), "{text}");
        }
    }

    /// The largest memory that the gateway's process has used, in KiB.
    fn peak_memory(&self) -> u64 {
        let url = &self.run.outputs["mcp_url"];
        let (_, port) = url.rsplit_once(':').unwrap();
        let port: u16 = port.trim_end_matches("/v1").parse().unwrap();
        let status = fs::read_to_string(process_of(port).join("status")).unwrap();
        let line = status.lines().find(|line| line.starts_with("VmHWM:"));
        line.unwrap()
            .split_whitespace()
            .nth(1)
            .unwrap()
            .parse()
            .unwrap()
    }
}

/// The id and the marker of a successful answer.
fn answer(text: &str) -> (Value, Value) {
    let message = message(text);
    let text = message["result"]["content"][0]["text"].as_str();
    let result: Value = serde_json::from_str(text.unwrap_or_default()).unwrap_or_default();
    (message["id"].clone(), result["arguments"]["marker"].clone())
}

/// The directory in `/proc` of the process that listens on this port of the loopback interface.
fn process_of(port: u16) -> Box<Path> {
    let sockets = fs::read_to_string("/proc/net/tcp").unwrap();
    let local = format!("0100007F:{port:04X}");
    let mut fields = sockets
        .lines()
        .map(|line| line.split_whitespace().collect());
    // The state 0A is LISTEN. The tenth field is the inode (proc_net(5)).
    let listener = fields.find(|fields: &Vec<&str>| fields[1] == local && fields[3] == "0A");
    let socket = format!("socket:[{}]", listener.unwrap()[9]);
    let has_socket = |process: &Path| {
        let files = fs::read_dir(process.join("fd"))
            .into_iter()
            .flatten()
            .flatten();
        files
            .filter_map(|file| fs::read_link(file.path()).ok())
            .any(|file| *file == *socket)
    };
    let processes = fs::read_dir("/proc").unwrap().flatten();
    let mut processes = processes.map(|process| process.path());
    let process = processes.find(|process| has_socket(process));
    process.unwrap().into()
}

#[tokio::test]
async fn sixty_four_clients_lose_nothing_across_renewals() {
    let _turn = turn();
    let gateway = Gateway::start();
    let sessions = join_all((0..CLIENTS).map(|_| gateway.agent.open())).await;
    let started = Instant::now();
    let loops = sessions.iter().enumerate();
    let loops = loops.map(|(number, session)| gateway.call_in_a_loop(number, session));
    let mut durations = join_all(loops).await.concat();
    let elapsed = started.elapsed();
    durations.sort_unstable();

    let calls = durations.len();
    let port = &gateway.port;
    // Each answer contained the marker of its call, so each call was executed, and none twice.
    assert_eq!(port.executed_calls(), calls as u64);
    let renewals = port.created_tokens() - 1;
    assert!(renewals >= 1);
    let exchanges = port.exchanges(Flow::Rest).len();
    assert_eq!(exchanges as u64, renewals + 1, "one for each token");
    let memory = cfg!(target_os = "linux").then(|| gateway.peak_memory());
    assert!(
        memory.is_none_or(|memory| memory < MAX_MEMORY),
        "{memory:?}"
    );

    let stopped = gateway.job.step(&program(), Phase::Post, &[]);
    let counts = format!(
        "Sessions: {CLIENTS}, calls: {calls}, errors: 0, rejected messages: 0, token renewals: {renewals}."
    );
    assert!(stopped.log().contains(&counts), "{}", stopped.log());
    println!(
        "gateway: {CLIENTS} clients, {calls} calls in {elapsed:.1?} ({:.0} per second), {renewals} renewals, \
         latency p50 {:.1?}, p99 {:.1?}, longest {:.1?} (including {CALL_TIME:?} of the fake Port server), \
         peak memory {} KiB",
        f64::from(u32::try_from(calls).unwrap()) / elapsed.as_secs_f64(),
        durations[calls / 2],
        durations[calls * 99 / 100],
        durations[calls - 1],
        memory.unwrap_or_default(),
    );
}
