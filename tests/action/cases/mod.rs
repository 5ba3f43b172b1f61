//! What broke in real use: each case by its id, and for each kind a property or a table of other
//! members of it.

mod errors;
mod grants;
mod right_use;
mod robustness;
mod secrets;

use std::io::{Read as _, Write as _};
use std::net::{TcpListener, TcpStream};

use crate::harness::Step;

/// A server that answers every connection by hand, for what no well-behaved server sends.
struct RawServer {
    url: String,
}

impl RawServer {
    /// `answer` is given the stream once the request's header and body have come.
    fn start(answer: impl Fn(&mut TcpStream) + Send + Sync + Clone + 'static) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        std::thread::spawn(move || {
            for stream in listener.incoming() {
                let answer = answer.clone();
                std::thread::spawn(move || {
                    let mut stream = stream.unwrap();
                    let mut request = vec![0; 64 * 1024];
                    // One read holds the small requests of these tests.
                    if stream.read(&mut request).is_ok() {
                        answer(&mut stream);
                    }
                });
            }
        });
        Self { url }
    }

    /// A step whose tokens come from the fake Port server, and whose MCP server this is.
    fn step(&self) -> Step {
        Step::new().input("mcp_url", format!("{}/v1", self.url))
    }
}

/// Writes until the other side is gone.
fn flood(stream: &mut TcpStream, head: &str, again: &str) {
    let chunk = again.repeat(64);
    let _ = stream.write_all(head.as_bytes());
    while stream.write_all(chunk.as_bytes()).is_ok() {}
}
