//! A made-up release, and the mirror of its binary, which listens on loopback.

use std::fs;
use std::io::{BufRead as _, BufReader, Write as _};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::sync::{Arc, Mutex};
use std::thread;

use runner_double::Program;
use tempfile::TempDir;

pub(super) const FILE: &str = "port-mcp-linux-x64";

/// A shell script. The shell stops reading at `exit`. The rest makes the download large enough to be
/// interrupted.
pub(super) fn script(commands: &str) -> Vec<u8> {
    let mut script = format!("#!/bin/sh\n{commands}\nexit\n").into_bytes();
    script.resize(1 << 20, b'#');
    script
}

fn digest(contents: &[u8]) -> String {
    let mut program = Command::new("sh")
        .args([
            "-c",
            "if command -v sha256sum >&2; then sha256sum; else shasum -a 256; fi",
        ])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    program.stdin.take().unwrap().write_all(contents).unwrap();
    let printed = String::from_utf8(program.wait_with_output().unwrap().stdout).unwrap();
    printed[..64].to_owned()
}

/// The directory of the action at the commit of a release.
pub(super) struct Release {
    pub(super) directory: TempDir,
    pub(super) digest: String,
}

impl Release {
    pub(super) fn of(binary: &[u8]) -> Self {
        let directory = TempDir::new().unwrap();
        let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("binary");
        for name in ["main.js", "post.js", "binary.js"] {
            fs::copy(source.join(name), directory.path().join(name)).unwrap();
        }
        let digest = digest(binary);
        let url = format!("https://github.com/acme/port-mcp-action/releases/download/v1/{FILE}");
        let assets = directory.path().join("assets");
        fs::write(assets, format!("{digest} {url}\n")).unwrap();
        Self { directory, digest }
    }

    pub(super) fn program(&self) -> Program {
        Program::javascript(self.directory.path())
    }
}

/// A file server whose response depends on the first part of the path.
pub(super) struct Mirror {
    pub(super) address: SocketAddr,
    /// The head of each request, sent before its response.
    pub(super) requests: Receiver<String>,
    /// Sends the second half of one held response.
    pub(super) resume: Sender<()>,
}

impl Mirror {
    pub(super) fn start(binary: Vec<u8>) -> Self {
        let listener = TcpListener::bind(("127.0.0.1", 0)).unwrap();
        let address = listener.local_addr().unwrap();
        let (sender, requests) = channel();
        let (resume, gate) = channel();
        let (binary, gate) = (Arc::new(binary), Arc::new(Mutex::new(gate)));
        thread::spawn(move || {
            for (number, stream) in listener.incoming().enumerate() {
                let (binary, sender, gate) = (binary.clone(), sender.clone(), Arc::clone(&gate));
                // The client may have been stopped before the response.
                thread::spawn(move || {
                    Self::respond(&stream.unwrap(), number, &binary, &sender, &gate).ok()
                });
            }
        });
        Self {
            address,
            requests,
            resume,
        }
    }

    fn respond(
        mut stream: &TcpStream,
        number: usize,
        binary: &[u8],
        sender: &Sender<String>,
        gate: &Mutex<Receiver<()>>,
    ) -> std::io::Result<()> {
        let mut head = String::new();
        let mut reader = BufReader::new(stream);
        while reader.read_line(&mut head)? > 2 {}
        let kind = head.split(['/', '?', ' ']).nth(2).unwrap_or_default();
        let (status, body): (_, &[u8]) = match kind {
            "missing" => ("404 Not Found", b"no such file"),
            "other" => ("200 OK", b"another file"),
            "empty" => ("200 OK", b""),
            _ => ("200 OK", binary),
        };
        let is_held = kind == "held";
        // A connection that breaks twice, or always.
        let is_broken = number < 2 || head.contains("always");
        let is = |fault: &str| is_broken && kind == fault;
        let (is_silent, is_short) = (is("silent"), is("short"));
        sender.send(head).ok();
        if is_silent {
            return Ok(());
        }
        write!(
            stream,
            "HTTP/1.1 {status}\r\nContent-Length: {}\r\nConnection: close\r\n\r\n",
            body.len()
        )?;
        let (half, rest) = body.split_at(body.len() / 2);
        stream.write_all(half)?;
        if is_short {
            return Ok(());
        }
        if is_held {
            gate.lock().unwrap().recv().ok();
        }
        stream.write_all(rest)
    }

    pub(super) fn url(&self, path: &str) -> String {
        format!("http://{}{path}", self.address)
    }

    pub(super) fn downloads(&self) -> usize {
        self.requests.try_iter().count()
    }
}
