//! A stub Docker engine with recorded responses, whose address only a test binary takes (the feature `stub-engine`). A
//! container with the machine's network is the real gateway as a process.

use std::collections::HashMap;
use std::io::{BufRead as _, BufReader, Read, Write as _};
use std::net::{TcpListener, TcpStream};
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::sync::{Arc, Mutex, OnceLock, PoisonError};

use rustix::process::{Pid, Signal, kill_process};
use serde_json::{Value, json};

use crate::harness::{BINARY, Step};

/// What a stub engine knows, and what it was asked.
pub(crate) struct Engine {
    address: String,
    pub(crate) state: Arc<Mutex<State>>,
}

#[derive(Default)]
pub(crate) struct State {
    /// The oldest and the newest version of the API.
    pub(super) versions: [&'static str; 2],
    pub(crate) network: &'static str,
    /// Where the temporary directory of the test is mounted.
    pub(super) mount: PathBuf,
    /// Whether the first list shows the container of the step as not yet running.
    pub(super) lists_late: bool,
    has_listed: bool,
    /// Gateways of other steps, or of an earlier phase, as `GET /containers/json` returns them.
    pub(crate) gateways: Vec<Value>,
    /// The state of a gateway in its post phase.
    pub(super) ended: Value,
    /// The lines of a gateway's log.
    pub(crate) log: String,
    /// What the engine does instead of creating a container.
    pub(super) fault: Option<EngineFault>,
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
    pub(super) created: Value,
    /// The settings that a container received.
    pub(super) handed_over: Value,
    processes: Vec<Child>,
    /// What real gateways have written after their reply.
    pub(crate) written: Arc<Mutex<Vec<u8>>>,
    is_over: bool,
}

#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum EngineFault {
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

pub(super) const OWN: &str = "0a0a0a0a0a0a";
pub(super) const NAMED: &str = "port-mcp-";
/// The label by which the action finds its own container.
pub(super) const IMAGE_LABEL: &str = "port-mcp-action.image";

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

    pub(super) fn handed_over(&self) -> Value {
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
        words.push(BINARY.to_owned());
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
        let listen = state.handed_over["placement"]["listen"].as_str().unwrap();
        json!({"url": format!("http://{listen}/v1")}).to_string() + "\n"
    };
    if !reply.is_empty() {
        stream.write_all(&frame(&reply)).unwrap();
    }
}

/// The container of the step, as recorded from Docker 20.10, without what the action does not read.
pub(super) fn own(state: &State) -> Value {
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
