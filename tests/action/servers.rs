//! Servers that send what no valid server sends: too much, nothing, or another response.

use std::io::{Read as _, Write as _};
use std::net::{TcpListener, TcpStream};
use std::time::{Duration, Instant};

use fake_port::{Endpoint, FakePort, Fault, Token};
use serde_json::{Value, json};

use crate::harness::{Step, annotations};

/// A server that handles each connection in the test, to send what no valid server sends.
struct RawServer {
    url: String,
}

impl RawServer {
    /// `respond` receives the stream after the request.
    fn start(respond: impl Fn(&mut TcpStream) + Send + Sync + Clone + 'static) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        std::thread::spawn(move || {
            for stream in listener.incoming() {
                let respond = respond.clone();
                std::thread::spawn(move || {
                    let mut stream = stream.unwrap();
                    let mut request = vec![0; 64 * 1024];
                    // The requests of these tests are small enough for one read.
                    if stream.read(&mut request).is_ok() {
                        respond(&mut stream);
                    }
                });
            }
        });
        Self { url }
    }

    /// A step with a token of the fake Port server, and with this MCP server.
    fn step(&self) -> Step {
        Step::new().input("mcp_url", format!("{}/v1", self.url))
    }
}

/// Writes `head`, then `repeated` until the client closes the connection.
fn flood(stream: &mut TcpStream, head: &str, repeated: &str) {
    let chunk = repeated.repeat(64);
    let _ = stream.write_all(head.as_bytes());
    while stream.write_all(chunk.as_bytes()).is_ok() {}
}

#[test]
fn a_lifetime_beyond_the_year_9999_is_no_error() {
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
fn floods_exceed_neither_the_memory_nor_the_deadline() {
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
fn too_many_pings_end_the_preflight_check() {
    let server = RawServer::start(|stream| flood(stream, EVENTS, PING));
    let errors = server.step().input("timeout", "60s").fail();
    assert!(errors.contains("100 other messages"), "{errors}");
}

#[test]
fn a_server_that_never_responds_is_a_timeout() {
    let server = RawServer::start(|stream| flood(stream, "", ""));
    let errors = server.step().input("timeout", "3s").fail();
    assert!(errors.contains("no response within"), "{errors}");
    assert_eq!(
        annotations(&server.step().input("timeout", "1s").run(), "warning"),
        ""
    );
}

#[test]
fn a_response_to_another_request_ends_the_check() {
    let started = Instant::now();
    let body = |id: &Value| json!({"jsonrpc": "2.0", "id": id, "result": {"protocolVersion": "2025-06-18", "capabilities": {}, "serverInfo": {"name": "x", "version": "1"}}});
    for id in [json!(4711), json!("other")] {
        let step = Step::new();
        step.port
            .fault(Endpoint::Mcp, Fault::status(200).json(body(&id)));
        let errors = step.fail();
        assert!(errors.contains("no request has the ID"), "{errors}");
        assert!(!errors.contains("firewall"), "{errors}");

        let events = format!("data: {}\n\n", body(&id));
        let step = Step::new();
        let fault = Fault::status(200).events(events);
        step.port.fault(Endpoint::Mcp, fault);
        let errors = step.fail();
        assert!(errors.contains("no request has the ID"), "{errors}");
    }
    // A stream, or a response, that ends without the expected message.
    for fault in [
        Fault::status(200).events("data: {\"jsonrpc\":\"2.0\",\"method\":\"notifications/message\",\"params\":{\"level\":\"info\",\"data\":\"x\"}}\n\n"),
        Fault::status(200).events(""),
    ] {
        let step = Step::new();
        step.port.fault(Endpoint::Mcp, fault);
        assert!(step.fail().contains("the event stream ended without a response"));
    }
    let step = Step::new();
    step.port.fault(Endpoint::Mcp, Fault::status(202));
    assert!(step.fail().contains("202 Accepted without a body"));
    assert!(
        started.elapsed() < Duration::from_secs(30),
        "no step waited until the deadline"
    );
}

#[test]
fn no_hint_says_to_wait_for_0_seconds() {
    let step = Step::new();
    for _ in 0..5 {
        let limited = Fault::status(429).header("retry-after", "0");
        step.port.fault(Endpoint::Rest, limited);
    }
    let errors = step.fail();
    assert!(
        errors.contains("Port's rate limit was exceeded"),
        "{errors}"
    );
    assert!(!errors.contains("wait 0"), "{errors}");
}
