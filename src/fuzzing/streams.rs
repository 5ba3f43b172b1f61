//! The target with the event streams of servers, as the preflight check and the gateway read them.

use std::sync::LazyLock;

use futures_util::{FutureExt as _, StreamExt as _, stream};
use rmcp::model::RequestId;
use secrecy::SecretString;

use super::oracle::{self, READERS};
use super::{GRANTED, granted};
use crate::gateway::inspect::Inspector;
use crate::gateway::rewrite::{Events, with_granted_tools};
use crate::http::{Http, HttpSettings};
use crate::mcp;
use crate::mcp::transport::Transport as Preflight;

/// An event stream, after one byte with the size of the chunks. The size has no effect, neither on the
/// preflight check nor on the gateway, whose client gets only granted tools, and all other messages, and every event
/// as soon as it is complete.
pub fn sse(data: &[u8]) {
    let Some((size, stream)) = data.split_first() else {
        return;
    };
    let (size, whole) = (usize::from(size % 16).max(1), stream.len().max(1));

    let passed = filtered(stream, size);
    let text = String::from_utf8_lossy(&passed);
    assert_eq!(text, String::from_utf8_lossy(&filtered(stream, whole)));
    for event in oracle::events(&passed) {
        // The others read other keys as the same, as no client of MCP does.
        for reader in &READERS[..2] {
            for tool in reader.tools(&event) {
                assert_eq!(tool, GRANTED, "{event} in {text}");
            }
        }
    }
    let others = |stream| {
        let mut events = oracle::events(stream);
        events.retain(|event| oracle::is_unambiguous(event) && !event.contains("result"));
        events
    };
    assert_eq!(others(stream), others(&passed));

    let inspected = inspected(stream, size);
    assert_eq!(inspected, stream, "there is no secret in it");

    let (events, again) = (preflight(stream, size), preflight(stream, whole));
    // If a line is invalid, the parser drops all events of its chunk.
    let is_invalid = [&events, &again].iter().any(|(_, error)| {
        error
            .as_ref()
            .is_some_and(|error| !error.starts_with("body error"))
    });
    assert!(events == again || (is_invalid && events.1.is_some() && again.1.is_some()));
    let (events, error) = events;
    assert!(!events.is_empty() || error.is_some());
}

/// What the gateway passes of a stream without secrets. After each chunk, it holds no complete event.
fn inspected(stream: &[u8], size: usize) -> Vec<u8> {
    let (mut inspector, mut passed) = (Inspector::new(true), Vec::new());
    for (number, chunk) in stream.chunks(size).enumerate() {
        passed.extend(inspector.push(chunk).expect("it is short"));
        let arrived = &stream[..(number * size + chunk.len())];
        let held = &arrived[passed.len()..];
        let lines = String::from_utf8_lossy(held)
            .replace("\r\n", "\n")
            .replace('\r', "\n");
        assert!(
            !lines.starts_with('\n') && !lines.contains("\n\n"),
            "{lines:?} is complete"
        );
    }
    passed.extend(inspector.finish().expect("it is short"));
    passed
}

/// What the gateway passes of a stream of server messages.
fn filtered(stream: &[u8], size: usize) -> Vec<u8> {
    let (mut events, mut passed) = (Events::default(), Vec::new());
    for event in stream.chunks(size).flat_map(|chunk| events.push(chunk)) {
        passed.extend(with_granted_tools(&event, &granted()).unwrap_or_default());
    }
    passed
}

/// The data of the events that the preflight check reads as the response to request 1, then the error, if
/// there is one.
fn preflight(stream: &[u8], size: usize) -> (Vec<Option<String>>, Option<String>) {
    static TRANSPORT: LazyLock<Preflight> = LazyLock::new(|| {
        let server = mcp::Server {
            url: &"https://mcp.port.io/v1".parse().expect("a URL"),
            headers: &[],
            token: &SecretString::from("token"),
        };
        let http = Http::new(HttpSettings::default()).expect("an HTTP client");
        Preflight::new(&http, &server).expect("valid headers")
    });
    let chunks: Vec<_> = stream.chunks(size).map(<[u8]>::to_vec).collect();
    let body = stream::iter(chunks.into_iter().map(Ok::<_, std::io::Error>));
    let response = http::Response::new(reqwest::Body::wrap_stream(body));
    let events: Vec<_> = TRANSPORT
        .reset()
        .events(response.into(), RequestId::Number(1))
        .collect()
        .now_or_never()
        .expect("all chunks are available");
    let error = events.iter().position(Result::is_err);
    assert!(error.is_none_or(|error| error + 1 == events.len()));
    let error = events
        .last()
        .and_then(|event| Some(event.as_ref().err()?.to_string()));
    (
        events
            .into_iter()
            .flatten()
            .map(|event| event.data)
            .collect(),
        error,
    )
}
