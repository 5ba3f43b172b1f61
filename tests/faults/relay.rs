//! A relay between the action and the fake Port server, with one fault.
//!
//! It forwards every request on a connection of its own, so that the connection of each request can fail.

use std::io::{self, BufReader, Read, Write};
use std::net::{Ipv4Addr, Shutdown, SocketAddr, TcpListener, TcpStream};
use std::path::PathBuf;
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard};
use std::thread;
use std::time::Duration;

use rustls::{ServerConnection, StreamOwned};
use serde_json::json;

use crate::fault::{self, Fault, Layer};
use crate::request::Request;
use crate::tls;

/// How often a stream with a slow fault sends, and looks for the end of the connection.
const PACE: Duration = Duration::from_secs(1);

pub(crate) struct Relay(Arc<Shared>);

struct Shared {
    address: SocketAddr,
    upstream: SocketAddr,
    target: Request,
    fault: Fault,
    state: Mutex<State>,
    changed: Condvar,
}

#[derive(Default)]
struct State {
    /// `None` while nothing listens.
    listener: Option<TcpListener>,
    /// How often the fault still happens.
    left: usize,
    /// Whether the connection of the next request is the one that fails.
    is_next: bool,
    /// Whether the requests are those of the gateway.
    is_gateway: bool,
    hits: usize,
    /// The connections with the fault that have ended.
    ended: usize,
    /// Whether the session was reported as lost.
    has_lost_session: bool,
    requests: Vec<String>,
}

impl Relay {
    /// Starts a relay at `address` whose requests to `target` have the fault, `times` times.
    pub(crate) fn start(
        address: Ipv4Addr,
        upstream: SocketAddr,
        target: Request,
        fault: Fault,
        times: usize,
    ) -> Self {
        let listener = TcpListener::bind((address, 0)).unwrap();
        let shared = Arc::new(Shared {
            address: listener.local_addr().unwrap(),
            upstream,
            target,
            fault,
            state: Mutex::new(State {
                listener: Some(listener.try_clone().unwrap()),
                left: times,
                ..State::default()
            }),
            changed: Condvar::new(),
        });
        let accepting = Arc::clone(&shared);
        thread::spawn(move || {
            for stream in listener.incoming() {
                let Ok(stream) = stream else {
                    return;
                };
                let shared = Arc::clone(&accepting);
                thread::spawn(move || shared.serve(&stream));
            }
        });
        if target.previous().is_none() && !target.is_of_gateway() {
            shared.fail_next();
        }
        Self(shared)
    }

    pub(crate) fn address(&self) -> SocketAddr {
        self.0.address
    }

    /// From now on, the requests are those of the gateway.
    pub(crate) fn expect_gateway(&self) {
        self.0.state().is_gateway = true;
        if self.0.target == Request::Call {
            self.0.fail_next();
        }
    }

    /// How often a request met the fault. `None` if nothing listened.
    pub(crate) fn hits(&self) -> Option<usize> {
        let state = self.0.state();
        state.listener.as_ref().map(|_| state.hits)
    }

    /// The method and path of each request.
    pub(crate) fn requests(&self) -> Vec<String> {
        self.0.state().requests.clone()
    }

    /// Waits until a request has met the fault.
    pub(crate) fn wait_for_hit(&self) {
        let state = self.0.state();
        drop(self.0.changed.wait_while(state, |state| state.hits == 0));
    }

    /// Waits until the connections with the fault are closed.
    pub(crate) fn wait_for_end(&self) {
        let state = self.0.state();
        let is_open = |state: &mut State| state.ended < state.hits;
        drop(self.0.changed.wait_while(state, is_open));
    }
}

impl Drop for Relay {
    fn drop(&mut self) {
        self.0.close();
    }
}

/// A loopback address that no other relay uses: a closed port is not opened again by another test.
pub(crate) fn next_address() -> Ipv4Addr {
    static LAST: AtomicU32 = AtomicU32::new(0);
    let number = LAST.fetch_add(1, Ordering::Relaxed) + 1;
    let process = std::process::id().to_be_bytes();
    let [.., high, low] = number.to_be_bytes();
    Ipv4Addr::new(127, 1 + process[3] % 250, high, low)
}

impl Shared {
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap()
    }

    /// Stops listening.
    fn close(&self) {
        if let Some(listener) = self.state().listener.take() {
            // Also ends the thread that accepts connections.
            let _ = rustix::net::shutdown(&listener, rustix::net::Shutdown::Both);
        }
    }

    /// Makes the next connection fail, if that is the fault.
    fn fail_next(&self) {
        self.state().is_next = true;
        if matches!(self.fault, Fault::Refused | Fault::ProxyRefuses) {
            self.close();
        }
    }

    /// Uses the fault once, if it is at this layer and still happens.
    fn takes_fault(&self, layer: Layer) -> bool {
        let mut state = self.state();
        let happens = self.fault.layer() == layer && state.left > 0;
        if happens {
            state.left -= 1;
            state.hits += 1;
            self.changed.notify_all();
        }
        happens
    }

    fn end(&self) {
        self.state().ended += 1;
        self.changed.notify_all();
    }

    fn serve(&self, stream: &TcpStream) {
        let _ = stream.set_nodelay(true);
        let layer = self.fault.layer();
        let is_next = self.state().is_next;
        let fails = |at| layer == at && is_next && self.takes_fault(at);
        if layer == Layer::Proxy {
            if fails(Layer::Proxy) {
                let status = match self.fault {
                    Fault::ProxyPassword => {
                        "407 Proxy Authentication Required\r\nproxy-authenticate: Basic"
                    }
                    _ => "403 Forbidden",
                };
                let _ = read_head(&mut BufReader::new(stream));
                let response = format!("HTTP/1.1 {status}\r\ncontent-length: 0\r\n\r\n");
                let _ = (&mut &*stream).write_all(response.as_bytes());
                return self.end();
            }
            let tunnel = read_head(&mut BufReader::new(stream));
            if tunnel.is_none_or(|head| !head.starts_with("CONNECT ")) {
                return;
            }
            let _ = (&mut &*stream).write_all(b"HTTP/1.1 200 OK\r\n\r\n");
        }
        let fault = fails(Layer::Tls).then_some(self.fault);
        if fault == Some(Fault::HandshakeStall) {
            let _ = fault::wait_for_end(stream);
            return self.end();
        }
        if matches!(layer, Layer::Proxy | Layer::Tls) {
            let config = tls::config(self.address.ip(), fault);
            let connection = ServerConnection::new(config).unwrap();
            let tls = StreamOwned::new(connection, stream.try_clone().unwrap());
            self.exchange(tls, stream);
        } else {
            self.exchange(stream, stream);
        }
        if fault.is_some() {
            self.end();
        }
    }

    /// Receives one request on `stream`, which uses the connection `tcp`, and responds.
    fn exchange(&self, stream: impl Read + Write, tcp: &TcpStream) {
        let mut reader = BufReader::new(stream);
        let Some(head) = read_head(&mut reader) else {
            return;
        };
        let header = |name: &str| {
            head.lines().find_map(|line| {
                let (known, value) = line.split_once(':')?;
                known.eq_ignore_ascii_case(name).then(|| value.trim())
            })
        };
        let length = header("content-length").and_then(|length| length.parse().ok());
        let mut body = vec![0; length.unwrap_or(0)];
        if reader.read_exact(&mut body).is_err() {
            return;
        }
        let mut words = head.split(' ');
        let (method, path) = (words.next().unwrap(), words.next().unwrap());
        let received = Request::received(method, path, &body);
        let mut stream = reader.into_inner();

        let mut state = self.state();
        state.requests.push(format!("{method} {path}"));
        let received = match received {
            Some(Request::Rest) if state.is_gateway => Some(Request::Renewal),
            Some(Request::Initialize) if state.is_gateway => Some(Request::Reopen),
            other => other,
        };
        let loses_session = received == Some(Request::Call)
            && self.target == Request::Reopen
            && !std::mem::replace(&mut state.has_lost_session, true);
        drop(state);
        if received.is_some() && received == self.target.previous() {
            self.fail_next();
        }
        if loses_session {
            let _ = stream.write_all(
                b"HTTP/1.1 404 Not Found\r\nconnection: close\r\ncontent-length: 4\r\n\r\ngone",
            );
            let _ = stream.flush();
            return;
        }
        if received == Some(self.target) && self.takes_fault(Layer::Http) {
            let echo = format!(
                "{} {}",
                header("authorization").unwrap_or_default(),
                String::from_utf8_lossy(&body)
            );
            let _ = tcp.set_read_timeout(Some(PACE));
            let _ = fault::respond(&mut stream, self.fault, self.target, &echo);
            let _ = stream.flush();
            if matches!(
                self.fault,
                Fault::ResetBefore | Fault::ResetWithin | Fault::ResetAfter
            ) {
                let _ = rustix::net::sockopt::set_socket_linger(tcp, Some(Duration::ZERO));
            } else {
                let _ = tcp.shutdown(Shutdown::Write);
                let _ = fault::wait_for_end(&mut stream);
            }
            return self.end();
        }
        let _ = if self.target == Request::Engine && path != "/v1" && !path.starts_with("/v1/") {
            respond_as_engine(&mut stream, method, path)
        } else {
            self.forward(&mut stream, &head, &body)
        };
        let _ = stream.flush();
    }

    /// Forwards a request to the fake Port server, which closes the connection after its response.
    fn forward(&self, stream: &mut impl Write, head: &str, body: &[u8]) -> io::Result<()> {
        let mut upstream = TcpStream::connect(self.upstream)?;
        let head = head.replacen("\r\n", "\r\nconnection: close\r\n", 1);
        upstream.write_all(head.as_bytes())?;
        upstream.write_all(body)?;
        io::copy(&mut upstream, stream).map(drop)
    }
}

/// The first line and the headers of a request, to the empty line.
fn read_head(reader: &mut impl io::BufRead) -> Option<String> {
    let mut head = String::new();
    while !head.ends_with("\r\n\r\n") {
        if reader.read_line(&mut head).ok()? == 0 {
            return None;
        }
    }
    Some(head)
}

/// What a Docker engine answers until a container is created, and after that.
fn respond_as_engine(mut stream: impl Write, method: &str, path: &str) -> io::Result<()> {
    let path = path.split('?').next().unwrap_or_default();
    let body = match (method, path) {
        ("GET", "/version") => json!({"ApiVersion": "1.41", "MinAPIVersion": "1.12"}),
        ("GET", "/containers/json") => json!([{"Id": "0a0a", "State": "running"}]),
        ("GET", "/containers/0a0a/changes") => json!(markers()),
        ("GET", "/containers/0a0a/json") => {
            json!({"Id": "0a0a", "Image": "sha256:42", "HostConfig": {"NetworkMode": "host"}, "Mounts": []})
        }
        _ => json!({}),
    };
    let body = body.to_string();
    write!(
        stream,
        "HTTP/1.1 200 OK\r\nconnection: close\r\ncontent-type: application/json\r\ncontent-length: {}\r\n\r\n{body}",
        body.len()
    )
}

/// The files with which the action looks for its own container: in the root, or where that is not writable, among
/// the temporary files.
fn markers() -> Vec<serde_json::Value> {
    let markers = |directory: PathBuf| -> Vec<_> {
        let files = directory.read_dir().into_iter().flatten().flatten();
        let paths = files.map(|file| file.path());
        paths
            .filter(|path| path.to_string_lossy().contains("/port-mcp-"))
            .map(|path| json!({"Path": path, "Kind": 1}))
            .collect()
    };
    let found = markers(PathBuf::from("/"));
    if found.is_empty() {
        markers(std::env::temp_dir())
    } else {
        found
    }
}
