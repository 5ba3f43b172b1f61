//! One request with one fault: runs the action, and where it belongs to the gateway, an agent.

use std::io::{BufRead as _, BufReader, Read as _};
use std::net::{SocketAddr, TcpStream};
use std::time::{Duration, Instant};

use fake_port::client::{Agent, block_on};
use fake_port::{CLIENT_ID, CLIENT_SECRET, FakePort, Flow, GITHUB_TOKEN};
use runner_double::{Finished, Job, Phase, Place, Program, Running};
use rustix::process::{Pid, Resource, Rlimit, prlimit};

use crate::fault::{Fault, Layer};
use crate::relay::{Relay, next_address};
use crate::request::Request;
use crate::tls::TRUSTED;
use crate::verdict::Verdict;

/// The input `timeout`. A second attempt fits into it: one has a time limit of 10 seconds, and a preflight check whose
/// responses begin in time one of 30 seconds.
fn timeout(request: Request, fault: Fault) -> Duration {
    let is_check = matches!(
        request,
        Request::Initialize | Request::Initialized | Request::List
    );
    let is_slow = matches!(
        fault,
        Fault::OneBytePerSecond | Fault::SlowFirstByte | Fault::HandshakeStall | Fault::Endless1xx
    );
    Duration::from_secs(match (is_slow, is_check) {
        (true, true) => 45,
        (true, false) => 18,
        (false, _) => 30,
    })
}

/// How much later than its time limit a step may end on a machine with a high load.
const TOLERANCE: Duration = Duration::from_secs(30);
/// The memory that a process may allocate, in bytes. The kernel enforces it.
const MEMORY: u64 = 96 << 20;
/// How much of a response an agent reads, in bytes.
const MAX_RESPONSE: u64 = 128 << 20;

/// What was seen of a cell.
#[derive(Debug)]
pub(crate) struct Seen {
    pub(crate) exit: Option<i32>,
    /// The error of the step.
    pub(crate) error: String,
    /// How often the request was sent, if this can be known.
    pub(crate) attempts: Option<usize>,
    /// What the agent of the gateway received.
    pub(crate) agent: String,
    /// Whether the response to the agent ended too early.
    pub(crate) is_broken_off: bool,
}

/// A step of the action in front of a relay.
struct Step {
    port: FakePort,
    relay: Relay,
    job: Job,
    inputs: Vec<(&'static str, String)>,
}

/// Runs a cell whose fault happens `times` times.
pub(crate) fn run(request: Request, fault: Fault, times: usize) -> Seen {
    let step = Step::new(request, fault, times);
    let started = Instant::now();
    let running = step.spawn(Phase::Main);
    let finished = running.wait();
    assert!(
        started.elapsed() < timeout(request, fault) + TOLERANCE,
        "the step ended {:?} after its start",
        started.elapsed()
    );
    let agent = if request.is_of_gateway() && finished.exit == Some(0) {
        let agent = step.act(&finished, request, fault);
        let post = step.spawn(Phase::Post).wait();
        step.assert_no_leaks(&post);
        assert_eq!(post.exit, Some(0), "{}", post.log());
        assert!(post.log().contains("Stopped the gateway"), "{}", post.log());
        agent
    } else {
        String::new()
    };
    step.assert_no_leaks(&finished);
    let requests = step.relay.requests();
    assert!(
        !requests.iter().any(|request| request.contains("elsewhere")),
        "a redirect was followed: {requests:?}"
    );
    let errors: Vec<&str> = finished
        .commands_of("error")
        .map(|command| command.data.as_str())
        .collect();
    let error = errors.join("\n\n");
    Seen {
        exit: finished.exit,
        attempts: if error.is_empty() {
            // After a rejection, the proxy is asked once for its status.
            let questions = usize::from(fault == Fault::ProxyForbids);
            step.relay.hits().map(|hits| hits.div_ceil(1 + questions))
        } else {
            Some(attempts(&error).unwrap_or(1))
        },
        error,
        is_broken_off: request.is_of_gateway() && !is_complete(&agent),
        agent,
    }
}

/// Whether a response to the agent has the end that its headers announce.
fn is_complete(response: &str) -> bool {
    response.ends_with("0\r\n\r\n") || !response.is_empty() && !response.contains("chunked")
}

/// The number of attempts in an error.
fn attempts(text: &str) -> Option<usize> {
    let (before, _) = text.split_once(" attempts)")?;
    before.rsplit_once('(')?.1.parse().ok()
}

impl Step {
    fn new(request: Request, fault: Fault, times: usize) -> Self {
        let address = next_address();
        let policy = format!(
            "version: 1\nrules:\n  - name: all\n    allow: {{tools: ['*'], servers: ['{address}']}}\n"
        );
        let port = FakePort::builder()
            .page_size(10)
            .read_only_hides_runs(true)
            .policy_file("acme/.github", "port-mcp.yml", "main", policy)
            .start();
        let upstream: SocketAddr = port
            .api_url()
            .strip_prefix("http://")
            .unwrap()
            .parse()
            .unwrap();
        let relay = Relay::start(address, upstream, request, fault, times);
        let layer = fault.layer();
        let scheme = if layer == Layer::Tls { "https" } else { "http" };
        let origin = match request {
            Request::Engine => port.api_url().to_owned(),
            _ => format!("{scheme}://{}", relay.address()),
        };
        let is_unknown = |hosts: &[Request]| fault == Fault::Dns && hosts.contains(&request);
        let origin_of = |requests: &[Request]| {
            if is_unknown(requests) {
                "https://port.invalid"
            } else {
                &origin
            }
        };
        let mut job = Job::new();
        // Without a region, the policy is read before a token is requested.
        let region = if request == Request::Policy {
            "auto"
        } else {
            "eu"
        };
        let auth_method = if request == Request::Oauth {
            "oauth"
        } else {
            "api"
        };
        let mut inputs = vec![
            ("client_id", CLIENT_ID.to_owned()),
            ("client_secret", CLIENT_SECRET.to_owned()),
            ("region", region.to_owned()),
            ("timeout", format!("{}s", timeout(request, fault).as_secs())),
            ("allowed_tools", "list_blueprints, list_entities".to_owned()),
            ("auth_method", auth_method.to_owned()),
        ];
        if layer == Layer::Proxy {
            job.var(
                "https_proxy",
                &format!("http://user:hush-hush@{}", relay.address()),
            );
        } else {
            let mcp = origin_of(&[Request::Oauth, Request::Initialize, Request::Call]);
            inputs.push(("api_url", origin_of(&[Request::Rest]).to_owned()));
            inputs.push(("mcp_url", format!("{mcp}/v1")));
            job.var("GITHUB_API_URL", origin_of(&[Request::Policy]));
        }
        if matches!(layer, Layer::Proxy | Layer::Tls) {
            inputs.push(("ca_certificate", TRUSTED.pem.clone()));
        }
        if request == Request::Policy {
            inputs.push(("policy", "acme/.github/port-mcp.yml@main".to_owned()));
            inputs.push(("github_token", GITHUB_TOKEN.to_owned()));
        }
        if request.is_of_gateway() || request == Request::Engine {
            inputs.push(("connection", "gateway".to_owned()));
        }
        if is_unknown(&[Request::Call]) {
            inputs.push(("verify", "false".to_owned()));
        }
        if request == Request::Engine {
            job.var("GITHUB_ACTION", "connect")
                .var("PORT_MCP_STUB_ENGINE", &relay.address().to_string());
        }
        Self {
            port,
            relay,
            job,
            inputs,
        }
    }

    /// Starts a phase with limited memory, which its gateway inherits.
    fn spawn(&self, phase: Phase) -> Running {
        let program = Program::binary(env!("CARGO_BIN_EXE_port-mcp"));
        let inputs: Vec<_> = self
            .inputs
            .iter()
            .map(|(name, value)| (*name, value.as_str()))
            .collect();
        let running = self.job.spawn(&program, phase, &inputs);
        let limit = Rlimit {
            current: Some(MEMORY),
            maximum: Some(MEMORY),
        };
        let id = Pid::from_raw(running.id().cast_signed());
        // A process that has ended needs no limit.
        let _ = prlimit(id, Resource::Data, limit);
        running
    }

    /// Calls a tool through the gateway, as an agent does, and returns what the agent receives.
    fn act(&self, finished: &Finished, request: Request, fault: Fault) -> String {
        let agent = Agent::new(
            &finished.outputs["mcp_url"],
            &finished.outputs["access_token"],
        );
        let headers = if fault == Fault::Dns {
            agent.headers()
        } else {
            block_on(agent.open())
        };
        self.relay.expect_gateway();
        if request == Request::Renewal {
            self.port.expire_tokens();
        }
        let framing = format!("connection: close\r\ncontent-length: {}", CALL.len());
        let response = agent.send_as(&headers, &framing, CALL);
        let mut response = BufReader::new(response);
        let mut text = String::new();
        if Verdict::of(request, fault) == Verdict::UntilAgentEnds {
            self.relay.wait_for_hit();
            if fault == Fault::EndlessBody {
                read(&mut response, &mut text);
            }
            drop(response);
            self.relay.wait_for_end();
            "the agent ended the call".clone_into(&mut text);
        } else {
            read(&mut response, &mut text);
        }
        for secret in [CLIENT_SECRET, &self.port.token(Flow::Rest)] {
            assert!(
                !text.contains(secret),
                "the agent received a secret: {text:.2000}"
            );
        }
        text
    }

    fn assert_no_leaks(&self, finished: &Finished) {
        let is_meant = |place: &Place| match place {
            Place::Output(name) => {
                matches!(name.as_str(), "access_token" | "mcp_config" | "agent_args")
            }
            _ => false,
        };
        let token = self.port.token(Flow::Rest);
        let oauth = self.port.token(Flow::Oauth);
        for secret in [CLIENT_SECRET, GITHUB_TOKEN, "hush-hush", &token, &oauth] {
            let mut leaks = finished.leaks(secret);
            leaks.retain(|leak| !is_meant(&leak.place));
            assert!(leaks.is_empty(), "a secret leaked: {leaks:?}");
        }
        for error in finished.commands_of("error") {
            assert!(error.data.contains("\nhint: "), "no hint: {}", error.data);
            assert!(error.data.contains("\nsee: "), "no link: {}", error.data);
        }
        assert!(
            !finished.outputs.contains_key("x"),
            "the server's text became an output"
        );
    }
}

const CALL: &str = r#"{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{"name":"list_blueprints","arguments":{}}}"#;

/// Reads a response, up to a limit. It can end early.
fn read(response: &mut BufReader<TcpStream>, text: &mut String) {
    let mut bytes = Vec::new();
    let _ = response.fill_buf();
    let _ = response.take(MAX_RESPONSE).read_to_end(&mut bytes);
    text.push_str(&String::from_utf8_lossy(&bytes));
}
