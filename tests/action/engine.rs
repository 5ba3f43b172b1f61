//! The gateway as a container: what the action requests of a Docker engine. A stub engine with recorded
//! responses, whose address only a test binary takes (the feature `stub-engine`). In the stub, a container with the machine's network is
//! the real gateway as a process. `tests/e2e/run` uses a real engine, and skips these tests.

use std::collections::HashMap;
use std::io::{BufRead as _, BufReader, Read, Write as _};
use std::net::{TcpListener, TcpStream};
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::sync::{Arc, Mutex, OnceLock, PoisonError};

use runner_double::Finished;
use rustix::process::{Pid, Signal, kill_process};
use serde_json::{Value, json};

use crate::harness::{Step, annotations, assert_snapshot};

/// What a stub engine knows, and what it was asked.
pub(crate) struct Engine {
    address: String,
    pub(crate) state: Arc<Mutex<State>>,
}

#[derive(Default)]
pub(crate) struct State {
    /// The oldest and the newest version of the API.
    versions: [&'static str; 2],
    pub(crate) network: &'static str,
    /// Where the temporary directory of the test is mounted.
    mount: PathBuf,
    /// Whether the first list shows the container of the step as not yet running.
    lists_late: bool,
    has_listed: bool,
    /// Gateways of other steps, or of an earlier phase, as `GET /containers/json` returns them.
    pub(crate) gateways: Vec<Value>,
    /// The state of a gateway in its post phase.
    ended: Value,
    /// The lines of a gateway's log.
    pub(crate) log: String,
    /// What the engine does instead of creating a container.
    fault: Option<EngineFault>,
    /// A request, and what the engine does in place of its response.
    pub(crate) hostile: Option<(Request, Hostile)>,
    /// The published ports of a gateway, if they are not the usual ones.
    pub(crate) ports: Option<Value>,
    /// What a gateway writes, if it is not a gateway: frames of the engine.
    pub(crate) output: Option<Vec<u8>>,
    /// Words before the program of a gateway.
    pub(crate) wrapper: Vec<String>,
    pub(crate) requests: Vec<String>,
    /// The body of the request that created a container.
    created: Value,
    /// The settings that a container received.
    handed_over: Value,
    processes: Vec<Child>,
    /// What real gateways have written after their reply.
    pub(crate) written: Arc<Mutex<Vec<u8>>>,
    is_over: bool,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum EngineFault {
    NoResponse,
    CannotCreate,
    EndsAtOnce,
    NotFound,
    PublishesNothing,
    CannotRemove,
}

/// A request, and its number from 1 among those with the same method and path.
pub(crate) type Request = (String, usize);

/// Requests without the random name of the gateway.
pub(crate) fn numbered(requests: &[String]) -> Vec<Request> {
    let mut seen: HashMap<String, usize> = HashMap::new();
    let numbered = requests.iter().map(|request| {
        let parts = request.split('/');
        let parts = parts.map(|part| if part.starts_with(NAMED) { NAMED } else { part });
        let request = parts.collect::<Vec<_>>().join("/");
        let number = seen.entry(request.clone()).or_default();
        *number += 1;
        (request, *number)
    });
    numbered.collect()
}

/// What a hostile engine does in place of its response.
#[derive(Clone)]
pub(crate) enum Hostile {
    /// Nothing.
    Stall,
    /// It sends a signal to the step, and then responds.
    Signal(Arc<OnceLock<Pid>>, Signal),
    /// This response, and then this text as often.
    Respond(&'static str, &'static str, usize),
}

impl Hostile {
    fn respond(self, mut stream: &TcpStream, mut input: impl Read) -> Option<()> {
        let Self::Respond(head, text, times) = self else {
            // Until the action closes the connection.
            let _ = input.read(&mut [0; 1]);
            return None;
        };
        stream.write_all(head.as_bytes()).ok()?;
        let chunk = text.repeat(1024);
        for _ in 0..times.div_ceil(1024) {
            stream.write_all(chunk.as_bytes()).ok()?;
        }
        None
    }
}

impl Drop for Engine {
    fn drop(&mut self) {
        let state = self.state.lock();
        let mut state = state.unwrap_or_else(PoisonError::into_inner);
        state.kill_gateways();
        state.is_over = true;
        drop(state);
        // The listener waits for a connection.
        let _ = TcpStream::connect(&self.address);
    }
}

const OWN: &str = "0a0a0a0a0a0a";
const NAMED: &str = "port-mcp-";
/// The label by which the action finds its own container.
const IMAGE_LABEL: &str = "port-mcp-action.image";

impl Engine {
    pub(crate) fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap().to_string();
        let state = Arc::new(Mutex::new(State {
            versions: ["1.12", "1.41"],
            network: "host",
            mount: std::env::temp_dir(),
            ..State::default()
        }));
        let shared = Arc::clone(&state);
        std::thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                if shared.lock().is_ok_and(|state| state.is_over) {
                    return;
                }
                let shared = Arc::clone(&shared);
                std::thread::spawn(move || while answer(&stream, &shared).is_some() {});
            }
        });
        Self { address, state }
    }

    pub(crate) fn with(self, change: impl FnOnce(&mut State)) -> Self {
        change(&mut self.state.lock().unwrap());
        self
    }

    /// A step in a container of this engine.
    pub(crate) fn step(&self) -> Step {
        self.run(Step::new())
    }

    /// Runs a step in a container of this engine.
    pub(crate) fn run(&self, step: Step) -> Step {
        step.input("connection", "gateway")
            .input("allowed_tools", "list_blueprints")
            .variable("GITHUB_ACTION", "connect")
            .variable("PORT_MCP_STUB_ENGINE", &self.address)
    }

    pub(crate) fn requests(&self) -> Vec<String> {
        self.state.lock().unwrap().requests.clone()
    }

    pub(crate) fn created(&self) -> Value {
        self.state.lock().unwrap().created.clone()
    }

    fn handed_over(&self) -> Value {
        self.state.lock().unwrap().handed_over.clone()
    }

    pub(crate) fn removed(&self) -> Vec<String> {
        let requests = self.requests();
        let removed = requests
            .iter()
            .filter_map(|request| request.strip_prefix("DELETE /containers/"));
        removed.map(str::to_owned).collect()
    }
}

/// Answers one request. `None` if the connection is over.
fn answer(mut stream: &TcpStream, shared: &Mutex<State>) -> Option<()> {
    let mut reader = BufReader::new(stream);
    let mut head = String::new();
    while !head.ends_with("\r\n\r\n") {
        if reader.read_line(&mut head).ok()? == 0 {
            return None;
        }
    }
    let length = head.lines().find_map(|line| {
        let (name, value) = line.split_once(':')?;
        let is_length = name.eq_ignore_ascii_case("content-length");
        is_length.then(|| value.trim().parse().unwrap())
    });
    let mut body = vec![0; length.unwrap_or(0)];
    reader.read_exact(&mut body).ok()?;
    let mut words = head.split(' ');
    let (method, target) = (words.next()?, words.next()?);
    let (path, query) = target.split_once('?').unwrap_or((target, ""));
    let mut state = shared.lock().unwrap();
    state.requests.push(format!("{method} {path}"));
    let fault = state.fault;
    match state.now_hostile() {
        Some(Hostile::Signal(step, signal)) => kill_process(*step.wait(), signal).unwrap(),
        Some(hostile) => {
            drop(state);
            return hostile.respond(stream, reader);
        }
        None => {}
    }
    let parts: Vec<&str> = path.trim_start_matches('/').split('/').collect();
    let (status, body, headers) = match (method, parts.as_slice()) {
        ("GET", ["version"]) => {
            let [oldest, newest] = state.versions;
            (
                200,
                json!({"ApiVersion": newest, "MinAPIVersion": oldest}),
                "",
            )
        }
        ("GET", ["containers", "json"]) if query.contains(IMAGE_LABEL) => (200, state.list(), ""),
        ("GET", ["containers", "json"]) => (200, json!(state.gateways), ""),
        ("GET", ["containers", id, "changes"]) => {
            let is_own = *id == OWN && fault != Some(EngineFault::NotFound);
            (200, if is_own { markers() } else { json!([]) }, "")
        }
        ("GET", ["containers", id, "json"]) if *id == OWN => (200, own(&state), ""),
        ("GET", ["containers", _, "json"]) => {
            let published = match fault {
                Some(EngineFault::PublishesNothing) => json!({}),
                _ => json!({"8787/tcp": [{"HostIp": "127.0.0.1", "HostPort": "49321"}]}),
            };
            let published = state.ports.clone().unwrap_or(published);
            let endpoint = json!({"IPAddress": "172.18.0.3", "GlobalIPv6Address": ""});
            let networks = json!({state.network: endpoint});
            let settings = json!({"Ports": published, "Networks": networks});
            let body = json!({"State": state.ended, "NetworkSettings": settings});
            (200, body, "")
        }
        ("POST", ["containers", "create"]) if fault == Some(EngineFault::CannotCreate) => {
            (409, json!({"message": "no space left on device"}), "")
        }
        ("POST", ["containers", "create"]) => {
            state.created = serde_json::from_slice(&body).unwrap();
            (201, json!({"Id": "b1b1", "Warnings": []}), "")
        }
        ("POST", ["containers", _, "attach"]) => {
            drop(state);
            attach(stream, reader, shared);
            return None;
        }
        ("GET", ["containers", _, "logs"]) => {
            let bytes = frame(&state.log);
            let head = format!(
                "HTTP/1.1 200 OK\r\nContent-Type: application/vnd.docker.raw-stream\r\nContent-Length: {}\r\n\r\n",
                bytes.len()
            );
            stream.write_all(head.as_bytes()).ok()?;
            return stream.write_all(&bytes).ok();
        }
        ("DELETE", ["containers", _]) if fault == Some(EngineFault::CannotRemove) => {
            (500, json!({"message": "device or resource busy"}), "")
        }
        ("POST", ["containers", _, "start" | "stop"]) | ("DELETE", ["containers", _]) => {
            (204, Value::Null, "")
        }
        _ => (404, json!({"message": "page not found"}), ""),
    };
    let body = if body.is_null() {
        String::new()
    } else {
        body.to_string()
    };
    let head = format!("HTTP/1.1 {status} X\r\nContent-Type: application/json\r\n{headers}");
    let head = match status {
        204 => format!("{head}\r\n"),
        _ => format!("{head}Content-Length: {}\r\n\r\n", body.len()),
    };
    stream.write_all((head + &body).as_bytes()).ok()
}

/// The files that this test has created, as far as the action can have created them.
fn markers() -> Value {
    let directories = [PathBuf::from("/"), std::env::temp_dir()];
    let files = directories.iter().filter_map(|path| path.read_dir().ok());
    let paths = files.flatten().flatten().map(|file| file.path());
    let markers = paths.filter(|path| path.to_string_lossy().contains("/port-mcp-"));
    markers
        .map(|path| json!({"Path": path, "Kind": 1}))
        .collect()
}

impl State {
    /// The state of a gateway in its post phase.
    pub(crate) fn ended(&mut self, state: Value) {
        self.ended = state;
    }

    /// A gateway runs, and stops when it is asked to.
    pub(crate) fn stops(&mut self) {
        self.ended = json!({"Running": true});
        self.log =
            String::from("{\"event\":\"stop\",\"sessions\":1,\"rejected\":0,\"renewals\":0}\n");
    }

    /// What the engine does in place of its response to this request.
    fn now_hostile(&self) -> Option<Hostile> {
        if self.fault == Some(EngineFault::NoResponse) {
            return Some(Hostile::Stall);
        }
        let (request, hostile) = self.hostile.as_ref()?;
        (numbered(&self.requests).last() == Some(request)).then(|| hostile.clone())
    }

    pub(crate) fn kill_gateways(&mut self) {
        for mut process in self.processes.drain(..) {
            let _ = process.kill();
            let _ = process.wait();
        }
    }

    /// The labels of the container that was created.
    pub(crate) fn created_labels(&self) -> Value {
        self.created["Labels"].clone()
    }

    /// The containers of the image. As an engine does, it lists one as running a moment after its process has
    /// started.
    fn list(&mut self) -> Value {
        let is_late = self.lists_late && !std::mem::replace(&mut self.has_listed, true);
        json!([
            {"Id": "other", "State": "running"},
            {"Id": OWN, "State": if is_late { "created" } else { "running" }},
            {"Id": "starting", "State": "created"},
            {"Id": "ended", "State": "exited"},
        ])
    }
}

/// Output of a container in the form of the engine: a header of 8 bytes and the bytes.
pub(crate) fn frame(text: &str) -> Vec<u8> {
    let mut bytes = vec![1, 0, 0, 0];
    bytes.extend(u32::try_from(text.len()).unwrap().to_be_bytes());
    bytes.extend(text.as_bytes());
    bytes
}

/// The container's standard streams. On the machine's network, they are those of a real gateway.
fn attach(mut stream: &TcpStream, mut input: impl std::io::BufRead, shared: &Mutex<State>) {
    stream
        .write_all(b"HTTP/1.1 101 UPGRADED\r\nContent-Type: application/vnd.docker.raw-stream\r\nConnection: Upgrade\r\nUpgrade: tcp\r\n\r\n")
        .unwrap();
    let mut line = String::new();
    if input.read_line(&mut line).unwrap_or_default() == 0 {
        return;
    }
    let mut state = shared.lock().unwrap();
    state.handed_over = serde_json::from_str(&line).unwrap();
    if let Some(output) = state.output.clone() {
        drop(state);
        // Until the action closes the connection.
        while stream.write_all(&output).is_ok() {}
        return;
    }
    let reply = if state.fault == Some(EngineFault::EndsAtOnce) {
        String::new()
    } else if state.network == "host" {
        let mut words = state.wrapper.clone();
        words.push(env!("CARGO_BIN_EXE_port-mcp").to_owned());
        let mut gateway = Command::new("env")
            .args(words)
            .arg("gateway")
            .env_clear()
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let mut input = gateway.stdin.take().unwrap();
        input.write_all(line.as_bytes()).unwrap();
        let mut output = BufReader::new(gateway.stdout.take().unwrap());
        let mut reply = String::new();
        output.read_line(&mut reply).unwrap();
        // A real engine can send both lines at once.
        let mut first = String::new();
        output.read_line(&mut first).unwrap();
        reply.push_str(&first);
        state.processes.push(gateway);
        let written = Arc::clone(&state.written);
        written.lock().unwrap().extend(first.into_bytes());
        std::thread::spawn(move || {
            let mut line = Vec::new();
            while output.read_until(b'\n', &mut line).unwrap_or_default() > 0 {
                written.lock().unwrap().append(&mut line);
            }
        });
        reply
    } else {
        let listen = state.handed_over["place"]["listen"].as_str().unwrap();
        json!({"url": format!("http://{listen}/v1")}).to_string() + "\n"
    };
    if !reply.is_empty() {
        stream.write_all(&frame(&reply)).unwrap();
    }
}

/// The container of the step, as recorded from Docker 20.10, without what the action does not read.
fn own(state: &State) -> Value {
    json!({
        "Id": OWN,
        "Image": "sha256:4242424242424242424242424242424242424242424242424242424242424242",
        "HostConfig": {
            "NetworkMode": state.network,
            "Dns": ["10.0.0.53"],
            "DnsOptions": [],
            "DnsSearch": [],
            "ExtraHosts": ["api.port.internal:10.0.0.9"],
        },
        "Mounts": [
            {"Type": "bind", "Source": "/var/run/docker.sock", "Destination": "/var/run/docker.sock"},
            {"Type": "bind", "Source": "/home/runner/work", "Destination": "/github"},
            {"Type": "bind", "Source": "/srv/runner-1", "Destination": state.mount},
        ],
    })
}

/// The JSON with sorted keys: the order of labels is random.
fn sorted(mut value: Value) -> String {
    value.sort_all_objects();
    serde_json::to_string_pretty(&value).unwrap()
}

#[test]
fn r17_engines_of_different_ages_start_the_gateway() {
    for versions in [["1.12", "1.41"], ["1.44", "1.52"]] {
        let engine = Engine::start().with(|state| state.versions = versions);
        let run = engine.step().succeed();
        assert!(run.outputs["mcp_url"].starts_with("http://127.0.0.1:"));
        let requests = engine.requests();
        assert!(requests.iter().any(|request| request == "GET /version"));
        assert!(engine.removed().is_empty(), "{requests:?}");
    }
}

/// The engine lists the container of the step as running a moment after its process has started.
#[test]
fn only_running_containers_are_searched() {
    let engine = Engine::start().with(|state| state.lists_late = true);
    let step = engine.step();
    step.succeed();
    let requests = engine.requests();
    let searched: Vec<&String> = requests
        .iter()
        .filter(|request| request.ends_with("/changes"))
        .collect();
    assert_eq!(
        searched,
        [
            "GET /containers/other/changes",
            &format!("GET /containers/{OWN}/changes")
        ]
    );
}

#[test]
fn a_gateway_has_only_the_rights_that_it_needs() {
    let engine = Engine::start();
    let step = engine.step();
    let run = step.succeed();
    let mut created = engine.created();
    let labels = created["Labels"].as_object_mut().unwrap();
    let end = labels["port-mcp-action.gateway.end"].as_str().unwrap();
    assert!(end.parse::<u64>().unwrap() > 1_700_000_000, "{end}");
    labels["port-mcp-action.gateway.end"] = json!("[END]");
    let mount = labels["port-mcp-action.gateway.mount"].as_str().unwrap();
    assert!(mount.starts_with("/srv/runner-1/"), "{mount}");
    labels["port-mcp-action.gateway.mount"] = json!("[MOUNT]");
    assert_snapshot!("engine_create", sorted(created.clone()));
    // Nothing secret is where `docker inspect` shows it.
    let text = created.to_string();
    for secret in [step.port.client_secret(), &*run.outputs["access_token"]] {
        assert!(!text.contains(secret));
    }
    assert!(engine.handed_over()["key"] == run.outputs["access_token"].as_str());
}

#[test]
fn a_gateway_has_the_network_of_its_step() {
    for (network, job_container, url, publishes) in [
        ("host", "", "http://127.0.0.1:[PORT]/v1", false),
        ("bridge", "", "http://127.0.0.1:49321/v1", true),
        ("github_network_1", "", "http://127.0.0.1:49321/v1", true),
        ("github_network_1", "c1", "http://[NAME]:8787/v1", true),
        ("container:c1", "c1", "http://127.0.0.1:0/v1", false),
    ] {
        let engine = Engine::start().with(|state| state.network = network);
        let step = engine.step().input("job_container", job_container);
        let run = step
            .variable("https_proxy", "http://127.0.0.1:9")
            .input("verify", "false")
            .succeed();
        let name = run.state["gateway_name"].clone();
        assert!(name.starts_with(NAMED), "{name}");
        let shown = run.outputs["mcp_url"].replace(&name, "[NAME]");
        let port = shown.rsplit([':', '/']).nth(1).unwrap();
        assert_eq!(shown, url.replace("[PORT]", port));
        let in_containers = if publishes {
            "http://172.18.0.3:8787/v1"
        } else {
            ""
        };
        assert_eq!(run.outputs["mcp_url_in_containers"], in_containers);
        let created = engine.created();
        let host = &created["HostConfig"];
        assert_eq!(host["NetworkMode"], network);
        let binding = json!([{"HostIp": "127.0.0.1"}]);
        let bindings = host["PortBindings"].get("8787/tcp");
        assert_eq!(bindings, publishes.then_some(&binding), "{host}");
        let aliases = &created["NetworkingConfig"]["EndpointsConfig"][network]["Aliases"];
        let has_names = network == "github_network_1";
        assert_eq!(aliases.is_array(), has_names, "{aliases}");
        let is_shared = network.starts_with("container:");
        for (setting, value) in own(&engine.state.lock().unwrap())["HostConfig"]
            .as_object()
            .unwrap()
        {
            let expected = if is_shared && setting != "NetworkMode" {
                &Value::Null
            } else {
                value
            };
            assert_eq!(&host[setting], expected, "{network}: {setting}");
        }
        let place = engine.handed_over()["place"].clone();
        let listen = if publishes {
            "0.0.0.0:8787"
        } else {
            "127.0.0.1:0"
        };
        assert_eq!(place["listen"], listen);
        let hosts = place["hosts"].to_string();
        assert_eq!(
            hosts.contains(&format!("{name}:8787")),
            publishes,
            "{hosts}"
        );
        for known in [
            "127.0.0.1:49321",
            "host.docker.internal:49321",
            "172.18.0.3:8787",
        ] {
            assert_eq!(hosts.contains(known), publishes, "{hosts}");
        }
        let exempt = &run.env["NO_PROXY"];
        assert_eq!(exempt.contains("172.18.0.3"), publishes, "{exempt}");
        assert_eq!(exempt.contains(&name), url.contains("[NAME]"), "{exempt}");
    }
}

/// A gateway with these labels of the step, as the list of containers shows it.
pub(crate) fn listed(id: &str, state: &str, labels: &Value) -> Value {
    let mut all = json!({
        "port-mcp-action.gateway": "port-mcp-0123456789abcdef",
        "port-mcp-action.gateway.end": "4102444800",
    });
    for (name, value) in labels.as_object().unwrap() {
        all[format!("port-mcp-action.gateway.{name}")] = value.clone();
    }
    labeled(id, state, &all)
}

/// A gateway with these labels, as the list of containers shows it.
pub(crate) fn labeled(id: &str, state: &str, labels: &Value) -> Value {
    let name = labels["port-mcp-action.gateway"].as_str().unwrap();
    json!({
        "Id": id,
        "State": state,
        "Names": [format!("/{name}")],
        "Command": "/port-mcp gateway",
        "Labels": labels,
    })
}

#[test]
fn what_earlier_jobs_have_left_is_removed() {
    let engine = Engine::start();
    let step = engine.step();
    step.succeed();
    let created = engine.created();
    let of = |name: &str| created["Labels"][format!("port-mcp-action.gateway.{name}")].clone();
    let own = |change: &[(&str, &str)]| {
        let names = ["mount", "run", "attempt", "job", "step"];
        let mut labels = json!({});
        for name in names {
            labels[name] = of(name);
        }
        for (name, value) in change {
            labels[*name] = json!(value);
        }
        labels
    };
    let elsewhere = ("mount", "/srv/runner-2/_temp");
    engine.state.lock().unwrap().gateways = vec![
        listed("same-job", "running", &own(&[("step", "other")])),
        listed("same-job-ended", "exited", &own(&[("step", "other")])),
        listed("earlier-attempt", "running", &own(&[("attempt", "0")])),
        listed("earlier-job", "running", &own(&[("job", "before")])),
        listed("earlier-run", "running", &own(&[("run", "1")])),
        listed("other-runner", "running", &own(&[elsewhere])),
        listed("other-runner-starting", "created", &own(&[elsewhere])),
        listed("other-runner-ended", "exited", &own(&[elsewhere])),
        listed(
            "other-runner-outlived",
            "running",
            &own(&[elsewhere, ("end", "1700000000")]),
        ),
    ];
    step.succeed();
    assert_eq!(
        engine.removed(),
        [
            "earlier-attempt",
            "earlier-job",
            "earlier-run",
            "other-runner-ended",
            "other-runner-outlived"
        ]
    );
}

/// Its own post phase may be reading its log.
#[test]
fn a_gateway_that_has_just_ended_is_kept() {
    let now = humantime::format_rfc3339(std::time::SystemTime::now()).to_string();
    let engine = Engine::start().with(|state| {
        let elsewhere = json!({"mount": "/srv/runner-2/_temp"});
        state.gateways = vec![listed("ended", "exited", &elsewhere)];
        state.ended = json!({"Running": false, "FinishedAt": now});
    });
    engine.step().succeed();
    assert!(engine.removed().is_empty());
}

/// Runs the main phase, then the post phase with this gateway and these others.
fn stopped(engine: &Engine, step: &Step, others: &[Value]) -> Finished {
    step.succeed();
    clean_up(engine, step, others)
}

/// Runs the post phase with the gateway that the main phase has created, and these others.
pub(crate) fn clean_up(engine: &Engine, step: &Step, others: &[Value]) -> Finished {
    let mut state = engine.state.lock().unwrap();
    let labels = state.created["Labels"].clone();
    state.gateways = vec![labeled("ours", "running", &labels)];
    state.gateways.extend(others.iter().cloned());
    state.requests.clear();
    drop(state);
    step.clean_up()
}

#[test]
fn the_post_phase_stops_its_own_gateway_and_reads_the_counts_in_its_log() {
    let engine = Engine::start().with(|state| {
        state.ended = json!({"Running": true});
        state.log = "{\"event\":\"counts\",\"tool\":\"list_blueprints\",\"counts\":{\"calls\":3,\"errors\":1,\"rejected\":0,\"slowest\":12}}\n\
             {\"event\":\"counts\",\"tool\":\"delete_entity\",\"counts\":{\"calls\":0,\"errors\":0,\"rejected\":2,\"slowest\":0}}\n\
             {\"event\":\"stop\",\"sessions\":1,\"rejected\":4,\"renewals\":1}\n"
            .to_owned();
    });
    let other = listed("other", "running", &json!({"mount": "/srv/runner-2"}));
    let step = engine.step();
    let finished = stopped(&engine, &step, &[other]);
    assert_eq!(finished.exit, Some(0), "{}", finished.log());
    let requests = engine.requests();
    let changes: Vec<&String> = requests
        .iter()
        .filter(|request| !request.starts_with("GET"))
        .collect();
    assert_eq!(
        changes,
        ["POST /containers/ours/stop", "DELETE /containers/ours"]
    );
    let log = finished.log();
    assert!(
        log.contains("Sessions: 1, calls: 3, errors: 1, rejected messages: 6, token renewals: 1.")
    );
    let warnings = annotations(&finished, "warning");
    assert!(warnings.contains("`delete_entity` (2)"), "{warnings}");
    assert!(
        finished.summary.contains("| `list_blueprints` |"),
        "{}",
        finished.summary
    );
}

#[test]
fn k89_the_post_phase_reads_in_the_log_why_no_agent_connected() {
    let engine = Engine::start().with(|state| {
        state.stops();
        state.log = "{\"event\":\"session_failed\",\"reason\":\"x\",\"count\":1}\n\
             {\"event\":\"stop\",\"sessions\":0,\"failed\":3,\"last_failure\":{\"reason\":\"the MCP server denied access (403 Forbidden)\",\"hint\":\"ask\"},\"rejected\":0,\"renewals\":0}\n"
            .to_owned();
    });
    let step = engine.step();
    let warnings = annotations(&stopped(&engine, &step, &[]), "warning");
    let expected = "Failed attempts: 3. The last one: the MCP server denied access (403 Forbidden)\nhint: ask\nsee: ";
    assert!(warnings.contains(expected), "{warnings}");
}

#[test]
fn the_post_phase_works_without_the_saved_state() {
    let engine = Engine::start().with(State::stops);
    let step = engine.step().variable("STATE_gateway_name", "");
    let finished = stopped(&engine, &step, &[]);
    assert!(finished.log().contains("Stopped the gateway. Sessions: 1"));
    assert_eq!(engine.removed(), ["ours"]);
}

#[test]
fn the_post_phase_says_how_a_gateway_ended() {
    for (ended, expected) in [
        (
            json!({"Running": false, "ExitCode": 137, "OOMKilled": true}),
            "ran out of memory",
        ),
        (
            json!({"Running": false, "ExitCode": 137, "OOMKilled": false}),
            "exited with code 137",
        ),
        (
            json!({"Running": false, "ExitCode": 0}),
            "another program stopped it",
        ),
    ] {
        let engine = Engine::start().with(|state| state.ended = ended);
        let step = engine.step();
        let finished = stopped(&engine, &step, &[]);
        assert_eq!(finished.exit, Some(0));
        let warnings = annotations(&finished, "warning");
        assert!(warnings.contains(expected), "{warnings}");
        assert_eq!(engine.removed(), ["ours"]);
    }
    let engine = Engine::start();
    let step = engine.step();
    step.succeed();
    let warnings = annotations(&step.clean_up(), "warning");
    assert!(warnings.contains("its container was removed"), "{warnings}");

    let engine = Engine::start().with(|state| state.ended = json!({"Status": "created"}));
    let step = engine.step();
    let finished = stopped(&engine, &step, &[]);
    assert_eq!(annotations(&finished, "warning"), "");
    assert_eq!(engine.removed(), ["ours"]);
}

#[test]
fn the_log_says_that_gateway_lifetime_ended_the_gateway() {
    let engine = Engine::start().with(|state| {
        state.ended = json!({"Running": false, "ExitCode": 0});
        state.log = "{\"event\":\"session\",\"session\":\"s1\"}\n\
             {\"event\":\"expired\"}\n\
             {\"event\":\"counts\",\"tool\":\"list_entities\",\"counts\":{\"calls\":3,\"errors\":1,\"rejected\":0,\"slowest\":12}}\n\
             {\"event\":\"stop\",\"end\":\"gateway_lifetime\",\"sessions\":1,\"rejected\":0,\"renewals\":0}\n"
            .to_owned();
    });
    let step = engine.step().input("gateway_lifetime", "1h");
    step.succeed();
    let post = clean_up(&engine, &step, &[]);
    assert_eq!(
        annotations(&post, "warning"),
        "The gateway ended `1h` after its start (`gateway_lifetime`), before the job did, so later calls failed.\n\
         hint: set `gateway_lifetime` to the time limit of the job"
    );
    assert!(
        post.summary.contains("| `list_entities` | 3 | 1 | 0 |"),
        "{}",
        post.summary
    );
}

/// The engine killed the container, so the log has no last lines, and its last one is not whole.
#[test]
fn the_log_of_a_killed_container_is_reported() {
    let engine = Engine::start().with(|state| {
        state.ended = json!({"Running": false, "ExitCode": 137, "OOMKilled": true});
        state.log = "{\"url\":\"http://0.0.0.0:8787/v1\"}\n\
             {\"event\":\"session\",\"session\":\"s1\"}\n\
             {\"event\":\"call\",\"tool\":\"list_entities\",\"outcome\":\"error\",\"milliseconds\":7}\n\
             {\"event\":\"rejection\",\"tool\":\"delete_entity\",\"method\":\"tools/call\"}\n\
             {\"event\":\"rejection\",\"method\":\"prompts/list\"}\n\
             {\"event\":\"call\",\"to"
            .to_owned();
    });
    let step = engine.step();
    step.succeed();
    let post = clean_up(&engine, &step, &[]);
    let warnings = annotations(&post, "warning");
    assert!(
        warnings.contains("its container ran out of memory"),
        "{warnings}"
    );
    assert!(warnings.contains("`delete_entity` (1)"), "{warnings}");
    assert!(
        post.summary
            .contains("| `list_entities` | 1 | 1 | 0 | 7 ms |"),
        "{}",
        post.summary
    );
    assert!(
        post.log()
            .contains("Sessions: 1, calls: 1, errors: 1, rejected messages: 2"),
        "{}",
        post.log()
    );
}

#[test]
fn the_post_phase_says_what_it_could_not_do() {
    let engine = Engine::start().with(|state| state.ended = json!({"Running": true}));
    let step = engine.step();
    let warnings = annotations(&stopped(&engine, &step, &[]), "warning");
    let expected = "The gateway was stopped, but the numbers of its calls are incomplete: its log";
    assert!(warnings.starts_with(expected), "{warnings}");
    assert_eq!(engine.removed(), ["ours"]);

    let engine = Engine::start().with(|state| {
        state.ended = json!({"Running": true});
        state.fault = Some(EngineFault::CannotRemove);
    });
    let step = engine.step();
    let warnings = annotations(&stopped(&engine, &step, &[]), "warning");
    let expected = "The gateway could not be stopped. If it still runs, it ends at `gateway_lifetime`: the Docker engine could not remove a container: device or resource busy";
    assert!(warnings.starts_with(expected), "{warnings}");
}

#[test]
fn a_container_that_belongs_to_no_gateway_of_the_step_is_never_stopped() {
    let engine = Engine::start();
    let step = engine.step();
    step.succeed();
    // The saved state can be forged by an earlier step: the labels decide.
    let foreign = json!({"mount": "/srv/runner-2"});
    engine.state.lock().unwrap().gateways = vec![listed("victim", "running", &foreign)];
    let step = step.variable("STATE_gateway_name", "port-mcp-0123456789abcdef");
    step.clean_up();
    assert!(engine.removed().is_empty());
    assert!(
        !engine
            .requests()
            .iter()
            .any(|request| request.ends_with("/stop"))
    );
}

/// Labels are copied with an image, or with the settings of a container.
#[test]
fn k27_a_container_of_somebody_else_with_the_labels_of_a_gateway_is_never_touched() {
    let engine = Engine::start();
    let step = engine.step();
    step.succeed();
    let labels = engine.created()["Labels"].clone();
    let gateway = labeled("ours", "exited", &labels);
    let mut foreign = vec![];
    for (property, value) in [
        ("Names", json!(["/database"])),
        ("Names", json!([])),
        ("Names", Value::Null),
        ("Command", json!("/bin/sh -c /port-mcp gateway")),
        ("Command", json!("/port-mcp")),
        ("Command", Value::Null),
    ] {
        let mut other = gateway.clone();
        other["Id"] = json!(format!("foreign-{}", foreign.len()));
        other[property] = value;
        foreign.push(other);
    }
    // Its name is its label, but no name of a gateway.
    let mut named = labels;
    named["port-mcp-action.gateway"] = json!("database");
    foreign.push(labeled("foreign-named", "exited", &named));
    let mut podman = gateway.clone();
    podman["Id"] = json!("podman");
    podman["Command"] = json!("gateway");

    // The post phase.
    clean_up(&engine, &step, &foreign);
    let changes = |engine: &Engine| -> Vec<String> {
        let requests = engine.requests().into_iter();
        requests
            .filter(|request| !request.starts_with("GET"))
            .collect()
    };
    assert_eq!(changes(&engine), ["DELETE /containers/ours"]);

    // The main phase of the next job.
    let mut state = engine.state.lock().unwrap();
    state.requests.clear();
    state.gateways = foreign;
    state.gateways.extend([gateway, podman]);
    drop(state);
    step.variable("GITHUB_RUN_ID", "2").succeed();
    assert_eq!(engine.removed(), ["ours", "podman"]);
}

/// Who builds another image from ours replaces the labels of `org.opencontainers.image`.
#[test]
fn k27_the_image_has_a_label_of_its_own() {
    let dockerfile = include_str!("../../Dockerfile");
    assert!(dockerfile.contains(&format!("LABEL {IMAGE_LABEL}=")));
}

#[test]
fn without_a_usable_engine_the_error_says_what_to_do() {
    let mut texts = Vec::new();
    for fault in [
        EngineFault::CannotCreate,
        EngineFault::EndsAtOnce,
        EngineFault::NotFound,
        EngineFault::PublishesNothing,
        EngineFault::NoResponse,
    ] {
        let engine = Engine::start().with(|state| state.fault = Some(fault));
        if fault == EngineFault::PublishesNothing {
            engine.state.lock().unwrap().network = "bridge";
        }
        let step = engine.step();
        texts.push(match fault {
            EngineFault::NoResponse => step.input("timeout", "1s").fail(),
            _ => step.fail(),
        });
        let requests = engine.requests();
        let is_created = requests.contains(&"POST /containers/create".to_owned());
        assert_eq!(engine.removed().len(), usize::from(is_created));
    }
    let engine = Engine::start().with(|state| state.mount = "/elsewhere".into());
    texts.push(engine.step().input("audit_file", "true").fail());
    assert_snapshot!("engine_errors", texts.join("\n\n"));
}
