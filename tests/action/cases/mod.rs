//! Regression tests. Each case has the ID of a problem that occurred. For each kind of problem, a property
//! or a table covers similar cases.

mod errors;
mod grants;
mod right_use;
mod robustness;
mod secrets;

use std::io::{Read as _, Write as _};
use std::net::{TcpListener, TcpStream};

use crate::harness::Step;

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
