//! Shared by the tests: a gateway that a step has started, as an agent uses it, and MCP servers behind it that a test
//! answers by hand.

use std::fs;
use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::{TcpListener, TcpStream};
use std::ops::Deref;
use std::sync::mpsc::{Receiver, Sender, channel};

use fake_port::client::Agent;
use fake_port::{Builder, FakePort};
use reqwest::header::HeaderMap;
use runner_double::Finished;
use serde_json::{Value, json};

use crate::harness::Step;

pub(crate) use fake_port::client::message;

const TOOLS: &str = "list_blueprints, list_entities";

/// A gateway that a step has started, and its agent.
pub(crate) struct Gateway {
    pub(crate) step: Step,
    pub(crate) run: Finished,
    agent: Agent,
}

impl Deref for Gateway {
    type Target = Agent;

    fn deref(&self) -> &Agent {
        &self.agent
    }
}

impl Gateway {
    pub(crate) fn start() -> Self {
        Self::against(FakePort::builder())
    }

    pub(crate) fn against(port: Builder) -> Self {
        Self::of(Step::against(port))
    }

    pub(crate) fn of(step: Step) -> Self {
        let step = step
            .input("connection", "gateway")
            .input("allowed_tools", TOOLS);
        let run = step.succeed();
        let agent = Agent::new(&run.outputs["mcp_url"], &run.outputs["access_token"]);
        Self { step, run, agent }
    }

    /// Opens a session, which offers only tools. Returns its headers.
    pub(crate) async fn open(&self) -> HeaderMap {
        let (session, response) = self.initialize().await;
        let capabilities = &response["result"]["capabilities"];
        assert!(capabilities.get("tools").is_some(), "{response}");
        for hidden in ["prompts", "resources", "completions", "logging"] {
            assert!(capabilities.get(hidden).is_none(), "{response}");
        }
        session
    }

    /// The text of the audit.
    pub(crate) fn audit(&self) -> String {
        let file = &self.run.outputs["audit_file"];
        fs::read_to_string(self.step.job.temp().join(file)).unwrap()
    }

    /// The events of the audit, whose lines are all whole.
    pub(crate) fn events(&self) -> Vec<Value> {
        let audit = self.audit();
        assert!(audit.ends_with('\n') || audit.is_empty());
        let lines = audit.lines();
        lines
            .map(|line| serde_json::from_str(line).unwrap())
            .collect()
    }

    /// The post step, while the test answers its other tasks.
    pub(crate) async fn stopped(self) -> (Self, Finished) {
        let stopped = tokio::task::spawn_blocking(move || {
            let finished = self.step.clean_up();
            (self, finished)
        });
        stopped.await.unwrap()
    }

    /// The number of token exchanges that Port received.
    pub(crate) fn exchanges(&self) -> usize {
        let requests = self.step.port.received();
        let paths = requests.iter().map(|request| request.path.as_str());
        paths.filter(|path| path.ends_with("/access_token")).count()
    }

    /// The methods that reached Port's MCP server, and their tools.
    pub(crate) fn reached(&self) -> Vec<String> {
        let requests = self.step.port.received();
        let bodies = requests.iter().filter(|request| request.path == "/v1");
        let messages = bodies.filter_map(|request| serde_json::from_str(&request.body).ok());
        messages
            .map(|message: Value| {
                let method = message["method"].as_str().unwrap_or_default();
                let tool = message["params"]["name"].as_str().unwrap_or_default();
                format!("{method} {tool}").trim().to_owned()
            })
            .collect()
    }
}

/// A request that an upstream of a test received.
pub(crate) struct Seen {
    pub(crate) head: String,
    pub(crate) body: String,
    stream: TcpStream,
}

/// An MCP server that the test answers by hand: one request per connection.
pub(crate) fn upstream() -> (String, Receiver<Seen>) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}/v1", listener.local_addr().unwrap());
    let (sender, receiver) = channel();
    std::thread::spawn(move || {
        for stream in listener.incoming() {
            let sender: Sender<Seen> = sender.clone();
            std::thread::spawn(move || read_request(stream.unwrap(), &sender));
        }
    });
    (url, receiver)
}

fn read_request(stream: TcpStream, sender: &Sender<Seen>) {
    let mut reader = BufReader::new(stream.try_clone().unwrap());
    let (mut head, mut length) = (String::new(), 0);
    loop {
        let start = head.len();
        if reader.read_line(&mut head).unwrap_or_default() == 0 {
            return;
        }
        let line = head[start..].to_lowercase();
        if let Some(value) = line.strip_prefix("content-length:") {
            length = value.trim().parse().unwrap();
        }
        if line == "\r\n" {
            break;
        }
    }
    let mut body = vec![0; length];
    reader.read_exact(&mut body).unwrap();
    let body = String::from_utf8(body).unwrap();
    let _ = sender.send(Seen { head, body, stream });
}

impl Seen {
    pub(crate) fn write(&mut self, text: &str) {
        self.stream.write_all(text.as_bytes()).unwrap();
    }

    pub(crate) fn event(&mut self, message: &Value) {
        self.write(&format!("data: {message}\n\n"));
    }

    /// Whether the gateway closed the connection.
    pub(crate) fn is_closed(&mut self) -> bool {
        self.stream
            .read(&mut [0; 16])
            .map_or(true, |read| read == 0)
    }
}

pub(crate) const STREAM: &str =
    "HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nConnection: close\r\n\r\n";

/// A gateway in front of an MCP server of the test, without the preflight check.
pub(crate) fn in_front_of(url: &str) -> Gateway {
    Gateway::of(Step::new().input("mcp_url", url).input("verify", "false"))
}

pub(crate) fn call_of(tool: &str) -> String {
    json!({"jsonrpc": "2.0", "id": 7, "method": "tools/call", "params": {"name": tool, "_meta": {"progressToken": "p"}}})
        .to_string()
}
