//! The memory of the gateway. Its container has 128 MiB, and no client with the key may spend it.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use futures_util::future::{join, join_all};
use reqwest::Client;
use reqwest::header::HeaderMap;
use serde_json::json;
use tokio::io::{AsyncBufReadExt as _, AsyncReadExt as _, AsyncWriteExt as _, BufReader};
use tokio::net::{TcpListener, TcpStream};

use crate::gateway::Gateway;
use crate::harness::{Step, after, annotations, is_image};

/// The numbers of lists, of calls, and of clients that do not read the results of their calls. Enough to end a gateway that
/// reserves no memory, and, for the container, ten times as many. A build for tests is slow.
const FEW: [usize; 3] = [2, 4, 200];
const MANY: [usize; 3] = [20, 40, 440];
/// The length of a large result.
const RESULT: usize = 512 * 1024;

/// An MCP server that returns large results. Counts the calls.
struct Server {
    url: String,
    calls: Arc<AtomicUsize>,
}

impl Server {
    async fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}/v1", listener.local_addr().unwrap());
        let calls = Arc::new(AtomicUsize::new(0));
        let counted = Arc::clone(&calls);
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                tokio::spawn(serve(stream, Arc::clone(&counted)));
            }
        });
        Self { url, calls }
    }
}

/// Serves a connection until it ends.
async fn serve(stream: TcpStream, calls: Arc<AtomicUsize>) -> Option<()> {
    let mut stream = BufReader::new(stream);
    loop {
        let mut length = 0;
        let mut line = String::new();
        while line != "\r\n" {
            line.clear();
            if stream.read_line(&mut line).await.ok()? == 0 {
                return None;
            }
            if let Some(value) = line.to_lowercase().strip_prefix("content-length:") {
                length = value.trim().parse().ok()?;
            }
        }
        let mut body = vec![0; length];
        stream.read_exact(&mut body).await.ok()?;
        let body = String::from_utf8(body).ok()?;
        if !body.contains("\"id\"") {
            let accepted = b"HTTP/1.1 202 Accepted\r\nContent-Length: 0\r\n\r\n";
            stream.write_all(accepted).await.ok()?;
            continue;
        }
        let result = if body.contains("\"tools/call\"") {
            calls.fetch_add(1, Ordering::Relaxed);
            let text = if body.contains("\"large\"") {
                "x".repeat(RESULT)
            } else {
                String::new()
            };
            json!({"content": [{"type": "text", "text": text}]})
        } else if body.contains("\"tools/list\"") {
            json!({"tools": [{"name": "list_entities", "inputSchema": {"type": "object"}}]})
        } else {
            json!({"protocolVersion": "2025-06-18", "capabilities": {"tools": {}}, "serverInfo": {"name": "t", "version": "1"}})
        };
        let body = json!({"jsonrpc": "2.0", "id": 1, "result": result}).to_string();
        let head = format!(
            "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nMcp-Session-Id: s\r\nContent-Length: {}\r\n\r\n",
            body.len()
        );
        stream.write_all((head + &body).as_bytes()).await.ok()?;
    }
}

/// A request of nearly 4 MiB with as many keys as possible in one object.
fn many_keys(method: &str, params: impl FnOnce(String) -> String) -> String {
    let keys: Vec<String> = (0..340_000).map(|key| format!("\"{key:x}\":0")).collect();
    let params = params(format!("{{{}}}", keys.join(",")));
    let body = format!(r#"{{"jsonrpc":"2.0","id":1,"method":"{method}","params":{params}}}"#);
    assert!((3 << 20..4 << 20).contains(&body.len()), "{}", body.len());
    body
}

fn call(size: &str) -> String {
    let params = json!({"name": "list_entities", "arguments": {"size": size}});
    json!({"jsonrpc": "2.0", "id": 1, "method": "tools/call", "params": params}).to_string()
}

/// Sends a call on a connection of its own, and reads nothing.
async fn without_reading(gateway: &Gateway, session: &HeaderMap) -> TcpStream {
    let body = call("large");
    let framing = format!("content-length: {}", body.len());
    let request = gateway.written(session, &framing, &body);
    let mut stream = TcpStream::connect(gateway.address()).await.unwrap();
    stream.write_all(&request).await.unwrap();
    stream
}

#[tokio::test]
async fn a_client_cannot_spend_the_memory_of_the_gateway() {
    let server = Server::start().await;
    let [lists, calls, idle] = if is_image() { MANY } else { FEW };
    let step = Step::new()
        .input("mcp_url", &server.url)
        .input("verify", "false");
    let step = if is_image() {
        step
    } else {
        // 100 MiB of data.
        step.program(after("ulimit -d 102400"))
    };
    let gateway = Gateway::of(step);
    let session = gateway.open().await;
    let list = many_keys("tools/list", |keys| keys);
    let large = many_keys("tools/call", |keys| {
        format!(r#"{{"name":"list_entities","arguments":{{}},"notifications":{keys}}}"#)
    });
    // The gateway does not read from a client that waits for memory.
    let client = Client::builder().no_proxy().tcp_user_timeout(None);
    let client = client.build().unwrap();
    let requests = std::iter::repeat_n(&list, lists).chain(std::iter::repeat_n(&large, calls));
    let requests = requests.map(|body| async {
        let request = client.post(gateway.url()).headers(session.clone());
        // The gateway can reject it, but not end. It closes connections beyond its maximum.
        let response = request.body(body.clone()).send().await.ok()?;
        response.text().await.ok()
    });
    let expected = idle * 4 / 5;
    let idle = join_all((0..idle).map(|_| without_reading(&gateway, &session)));
    let (_, idle) = join(join_all(requests), idle).await;
    // More clients than the gateway has connections: it rejects some, and on a slow machine more, which wait too long for
    // memory.
    let have_called = async {
        while server.calls.load(Ordering::Relaxed) < expected {
            tokio::task::yield_now().await;
        }
    };
    let _ = tokio::time::timeout(Duration::from_mins(1), have_called).await;
    let result = gateway.call(&session, "list_entities").await;
    assert!(result["result"]["content"].is_array(), "{result}");
    drop(idle);
    let post = gateway.step.clean_up();
    assert!(
        post.log().contains("Stopped the gateway."),
        "{}",
        post.log()
    );
    assert_eq!(annotations(&post, "error"), "");
}
