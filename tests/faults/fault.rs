//! The faults, and what a server with a fault sends.

use std::io::{self, Read, Write};
use std::sync::LazyLock;
use std::time::{Duration, SystemTime};

use flate2::Compression;
use flate2::write::GzEncoder;
use serde_json::json;

use crate::request::Request;

/// A fault of a server, of the network, or of a proxy.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Fault {
    Dns,
    Refused,
    ResetBefore,
    ResetWithin,
    ResetAfter,
    UnknownAuthority,
    Expired,
    WrongHost,
    HandshakeStall,
    ProxyRefuses,
    ProxyForbids,
    ProxyPassword,
    Status(u16),
    /// A status and a header that says when to try again.
    Wait(u16, Wait),
    SlowFirstByte,
    OneBytePerSecond,
    EndlessBody,
    Truncated,
    WrongType,
    InvalidUtf8,
    NotJson,
    WrongShape,
    NestingBomb,
    HugeBody,
    HeaderBomb,
    Endless1xx,
    CompressedBomb,
}

/// The forms in which a server requests a wait.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Wait {
    Seconds,
    Date,
    Reset,
    ResetTime,
    Hour,
    Invalid,
}

/// Where a connection fails, if it does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Layer {
    /// The name of the host, or the connection.
    Connection,
    Tls,
    Proxy,
    /// The response.
    Http,
}

impl Fault {
    pub(crate) const ALL: [Self; 49] = [
        Self::Dns,
        Self::Refused,
        Self::ResetBefore,
        Self::ResetWithin,
        Self::ResetAfter,
        Self::UnknownAuthority,
        Self::Expired,
        Self::WrongHost,
        Self::HandshakeStall,
        Self::ProxyRefuses,
        Self::ProxyForbids,
        Self::ProxyPassword,
        Self::Status(301),
        Self::Status(302),
        Self::Status(307),
        Self::Status(308),
        Self::Status(400),
        Self::Status(401),
        Self::Status(403),
        Self::Status(404),
        Self::Status(408),
        Self::Status(413),
        Self::Status(422),
        Self::Status(429),
        Self::Wait(429, Wait::Seconds),
        Self::Wait(429, Wait::Date),
        Self::Wait(429, Wait::Reset),
        Self::Wait(429, Wait::ResetTime),
        Self::Wait(429, Wait::Hour),
        Self::Wait(429, Wait::Invalid),
        Self::Status(500),
        Self::Status(502),
        Self::Status(503),
        Self::Wait(503, Wait::Seconds),
        Self::Wait(503, Wait::Date),
        Self::Status(504),
        Self::SlowFirstByte,
        Self::OneBytePerSecond,
        Self::EndlessBody,
        Self::Truncated,
        Self::WrongType,
        Self::InvalidUtf8,
        Self::NotJson,
        Self::WrongShape,
        Self::NestingBomb,
        Self::HugeBody,
        Self::HeaderBomb,
        Self::Endless1xx,
        Self::CompressedBomb,
    ];

    /// The fault in the table and in the names of tests.
    pub(crate) fn title(self) -> String {
        let title = match self {
            Self::Dns => "DNS: unknown name",
            Self::Refused => "connection refused",
            Self::ResetBefore => "reset before the headers",
            Self::ResetWithin => "reset within the headers",
            Self::ResetAfter => "reset after the headers",
            Self::UnknownAuthority => "TLS: unknown authority",
            Self::Expired => "TLS: expired",
            Self::WrongHost => "TLS: another host",
            Self::HandshakeStall => "TLS: handshake stalls",
            Self::ProxyRefuses => "proxy: connection refused",
            Self::ProxyForbids => "proxy: 403",
            Self::ProxyPassword => "proxy: 407",
            Self::Status(status) => return status.to_string(),
            Self::Wait(status, wait) => return format!("{status}, {}", wait.title()),
            Self::SlowFirstByte => "no first byte",
            Self::OneBytePerSecond => "one byte per second",
            Self::EndlessBody => "endless body",
            Self::Truncated => "truncated body",
            Self::WrongType => "HTML",
            Self::InvalidUtf8 => "invalid UTF-8",
            Self::NotJson => "not JSON",
            Self::WrongShape => "JSON of another shape",
            Self::NestingBomb => "100,000 nested arrays",
            Self::HugeBody => "100 MB body",
            Self::HeaderBomb => "10,000 headers",
            Self::Endless1xx => "endless 1xx",
            Self::CompressedBomb => "compressed 100 MB",
        };
        title.to_owned()
    }

    pub(crate) fn layer(self) -> Layer {
        match self {
            Self::Dns | Self::Refused => Layer::Connection,
            Self::UnknownAuthority | Self::Expired | Self::WrongHost | Self::HandshakeStall => {
                Layer::Tls
            }
            Self::ProxyRefuses | Self::ProxyForbids | Self::ProxyPassword => Layer::Proxy,
            _ => Layer::Http,
        }
    }
}

impl Wait {
    fn title(self) -> &'static str {
        match self {
            Self::Seconds => "`Retry-After: 1`",
            Self::Date => "`Retry-After` as a date",
            Self::Reset => "`x-ratelimit-reset: 1`",
            Self::ResetTime => "`x-ratelimit-reset` as a time",
            Self::Hour => "`Retry-After: 3600`",
            Self::Invalid => "`Retry-After: soon`",
        }
    }

    fn header(self) -> String {
        let soon = SystemTime::now() + Duration::from_secs(1);
        match self {
            Self::Seconds => "retry-after: 1".to_owned(),
            Self::Date => format!("retry-after: {}", httpdate::fmt_http_date(soon)),
            Self::Reset => "x-ratelimit-reset: 1".to_owned(),
            Self::ResetTime => {
                let since = soon.duration_since(SystemTime::UNIX_EPOCH).unwrap();
                format!("x-ratelimit-reset: {}", since.as_secs())
            }
            Self::Hour => "retry-after: 3600".to_owned(),
            Self::Invalid => "retry-after: soon".to_owned(),
        }
    }
}

/// The size of a large body in bytes.
const LARGE: usize = 100 * 1_000_000;

/// 100 MB, compressed: the same member again and again, which a decoder reads as one text.
static BOMB: LazyLock<Vec<u8>> = LazyLock::new(|| {
    let mut member = GzEncoder::new(Vec::new(), Compression::fast());
    member.write_all(&[b'A'; 100_000]).unwrap();
    member.finish().unwrap().repeat(LARGE / 100_000)
});

const END: &str = "connection: close\r\nx-trace-id: 5a4db0c5000000000000000000000000";

/// Sends the response with the fault to `request`. `echo` is what the server has received, which every error
/// repeats.
///
/// # Errors
/// When the client has closed the connection.
pub(crate) fn respond(
    mut stream: impl Read + Write,
    fault: Fault,
    request: Request,
    echo: &str,
) -> io::Result<()> {
    let (kind, prefix) = match (fault, request.is_mcp()) {
        (Fault::WrongType, _) => ("text/html", ""),
        (_, true) => ("text/event-stream", "data: "),
        (_, false) => ("application/json", ""),
    };
    let start = format!("HTTP/1.1 200 OK\r\n{END}\r\ncontent-type: {kind}\r\n");
    if let Some(body) = short_body(fault, prefix) {
        write!(stream, "{start}content-length: {}\r\n\r\n", body.len())?;
        return stream.write_all(&body);
    }
    match fault {
        Fault::Status(status) => send_status(stream, status, None, echo),
        Fault::Wait(status, wait) => send_status(stream, status, Some(wait), echo),
        Fault::ResetBefore => Ok(()),
        Fault::ResetWithin => stream.write_all(b"HTTP/1.1 200 OK\r\ncontent-ty"),
        Fault::ResetAfter => {
            write!(stream, "{start}content-length: 1000\r\n\r\n")?;
            stream.flush()
        }
        Fault::Truncated => {
            write!(
                stream,
                "{start}content-length: 1000\r\n\r\n{prefix}{{\"ok\":true,\"acc"
            )
        }
        Fault::SlowFirstByte => wait_for_end(stream),
        Fault::OneBytePerSecond => {
            write!(
                stream,
                "{start}content-length: 1000000\r\n\r\n{prefix}{{\"ok\":\""
            )?;
            trickle(stream, b"A")
        }
        Fault::Endless1xx => trickle(
            stream,
            "HTTP/1.1 103 Early Hints\r\nlink: </a>\r\n\r\n"
                .repeat(100)
                .as_bytes(),
        ),
        Fault::EndlessBody => {
            write!(
                stream,
                "{start}transfer-encoding: chunked\r\n\r\n7\r\n{prefix:<7.7}\r\n"
            )?;
            let chunk = format!("10000\r\n{}\r\n", "A".repeat(0x10000));
            loop {
                stream.write_all(chunk.as_bytes())?;
            }
        }
        Fault::HugeBody => {
            write!(
                stream,
                "{start}content-length: {}\r\n\r\n{prefix}",
                LARGE + prefix.len()
            )?;
            io::copy(&mut io::repeat(b'A').take(LARGE as u64), &mut stream).map(drop)
        }
        Fault::HeaderBomb => {
            stream.write_all(start.as_bytes())?;
            for number in 0..10_000 {
                write!(stream, "x-header-{number}: {}\r\n", "A".repeat(100))?;
            }
            stream.write_all(b"content-length: 0\r\n\r\n")
        }
        Fault::CompressedBomb => {
            write!(
                stream,
                "{start}content-encoding: gzip\r\ncontent-length: {}\r\n\r\n",
                BOMB.len()
            )?;
            stream.write_all(&BOMB)
        }
        _ => unreachable!("{fault:?} is not a fault of a response"),
    }
}

/// The complete body of a response with a fault in its body.
fn short_body(fault: Fault, prefix: &str) -> Option<Vec<u8>> {
    let text = match fault {
        Fault::WrongType => {
            r#"<!doctype html><a href="https://evil.example">Sign in</a>"#.to_owned()
        }
        Fault::InvalidUtf8 => {
            let body = b"{\"accessToken\":\"\xff\xfe\",\"ok\":\"\xff\"}\n\n";
            return Some([prefix.as_bytes(), body].concat());
        }
        Fault::NotJson => "<html>::error::Sign in</html>".to_owned(),
        Fault::WrongShape => r#"{"accessToken":[1],"tools":7}"#.to_owned(),
        Fault::NestingBomb => "[".repeat(100_000) + &"]".repeat(100_000),
        _ => return None,
    };
    Some(format!("{prefix}{text}\n\n").into_bytes())
}

/// Sends an error in the form of every server, which repeats what was received, and redirects to a path that
/// must not be requested.
fn send_status(
    mut stream: impl Write,
    status: u16,
    wait: Option<Wait>,
    echo: &str,
) -> io::Result<()> {
    let message = format!("received {echo}\n::set-output name=x::y\n##[error]no");
    let body = json!({"ok": false, "error": "x", "message": message, "error_description": message})
        .to_string();
    let wait = wait.map_or_else(|| "x-wait: none".to_owned(), Wait::header);
    let length = body.len();
    // Only a redirect has a location.
    write!(
        stream,
        "HTTP/1.1 {status} X\r\n{END}\r\n{wait}\r\nlocation: /elsewhere\r\n\
         content-type: application/json\r\ncontent-length: {length}\r\n\r\n{body}"
    )
}

/// Sends nothing until the client closes the connection.
pub(crate) fn wait_for_end(mut stream: impl Read) -> io::Result<()> {
    loop {
        match stream.read(&mut [0; 1024]) {
            Ok(0) => return Ok(()),
            Ok(_) => {}
            // The stream has a time limit for reads.
            Err(error) if is_timeout(&error) => {}
            Err(error) => return Err(error),
        }
    }
}

/// Sends `piece` again and again, each time after the time limit of the stream for reads.
fn trickle(mut stream: impl Read + Write, piece: &[u8]) -> io::Result<()> {
    loop {
        stream.write_all(piece)?;
        stream.flush()?;
        match stream.read(&mut [0; 1024]) {
            Ok(0) => return Ok(()),
            Ok(_) => {}
            Err(error) if is_timeout(&error) => {}
            Err(error) => return Err(error),
        }
    }
}

fn is_timeout(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        io::ErrorKind::WouldBlock | io::ErrorKind::TimedOut
    )
}
