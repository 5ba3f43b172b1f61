//! Port's responses on their way to the agent: as they arrive, or whole.

use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use futures_util::FutureExt as _;
use futures_util::stream::{Peekable, Stream, StreamExt as _};
use http::{Response, StatusCode};
use http_body_util::{BodyExt as _, StreamBody};
use hyper::body::Frame;

use super::Gateway;
use super::audit::Outcome;
use super::call::OngoingCall;
use super::inspect::{Inspector, MAX_ERROR, without_secrets};
use super::memory::{Memory, Relay, Reserved};
use super::reply::{Body, BoxError, full, has_type, json_text, returned};
use super::rewrite::{self, Events, RawObject};
use crate::mcp::headers::EVENT_STREAM;
use crate::text::without_command;

/// The maximum length of a list of tools, and of an event that can contain one, in bytes.
pub(super) const MAX_LIST: usize = 8 * 1024 * 1024;
/// The time limit for the body of an error response.
const ERROR_TIMEOUT: Duration = Duration::from_secs(10);
/// The time limit for the body of a response that the gateway reads whole.
pub(super) const WHOLE_TIMEOUT: Duration = Duration::from_mins(1);

/// Passes a response to the agent: as it arrives, or, if its status is an error, without the secrets that its
/// text may repeat in any notation.
pub(super) async fn relay(
    response: reqwest::Response,
    mut call: Option<OngoingCall>,
    filter: Option<Filter>,
    memory: Relay,
) -> Response<Body> {
    if !response.status().is_success() {
        let (response, text) = relay_error(response, memory).await;
        if let Some(call) = &mut call {
            call.add(text.as_bytes(), false);
            call.end(Outcome::Error);
        }
        return response;
    }
    let relayed = head(&response);
    // Port accepted the call and returns nothing (transports, sending messages, 4): a request should get a response.
    let is_empty = [StatusCode::ACCEPTED, StatusCode::NO_CONTENT].contains(&response.status());
    if let Some(call) = call.as_mut().filter(|_| is_empty) {
        call.end(Outcome::Unknown);
    }
    let is_stream = has_type(response.headers(), EVENT_STREAM);
    // The stream owns the call: it is dropped when the client disconnects, and nothing else tells so.
    let state = (Box::pin(chunks(response, Some(memory))), call, filter);
    let stream =
        futures_util::stream::unfold(state, move |(mut bytes, mut call, mut filter)| async move {
            let Some(chunk) = bytes.next().await else {
                if let Some(call) = &mut call {
                    call.end(Outcome::Unknown);
                }
                return None;
            };
            let chunk: Result<Bytes, BoxError> = match chunk {
                Ok(chunk) => {
                    if let Some(call) = &mut call {
                        call.add(&chunk, is_stream);
                    }
                    match &mut filter {
                        Some(filter) => filter.push(&chunk),
                        None => Ok(chunk),
                    }
                }
                Err(error) => {
                    if let Some(call) = &mut call {
                        call.end(Outcome::Unknown);
                    }
                    Err(error)
                }
            };
            Some((chunk.map(Frame::data), (bytes, call, filter)))
        });
    relayed.map(|()| StreamBody::new(stream).boxed_unsync())
}

/// Reduces the lists of tools in the events of a stream.
pub(super) struct Filter {
    gateway: Arc<Gateway>,
    events: Events,
}

impl Filter {
    pub(super) fn new(gateway: Arc<Gateway>) -> Self {
        Self {
            gateway,
            events: Events::default(),
        }
    }

    fn push(&mut self, chunk: &[u8]) -> Result<Bytes, BoxError> {
        let mut passed = Vec::new();
        for event in self.events.push(chunk) {
            let event = rewrite::with_granted_tools(&event, &self.gateway.grants);
            passed.extend(event.unwrap_or_default());
        }
        if self.events.pending() > MAX_LIST {
            return Err("an event is too large".into());
        }
        Ok(passed.into())
    }
}

/// The response to the agent without a body.
fn head(response: &reqwest::Response) -> Response<()> {
    let mut head = Response::new(());
    *head.status_mut() = response.status();
    *head.headers_mut() = returned(response.headers());
    head
}

/// As [`relay`], for a status that is an error. Also returns Port's text.
pub(super) async fn relay_error(
    response: reqwest::Response,
    mut memory: Relay,
) -> (Response<Body>, String) {
    let head = head(&response);
    let read = whole(response, MAX_ERROR, ERROR_TIMEOUT, memory.memory()).await;
    let (text, reserved) = read.unwrap_or_default();
    let redacted = without_secrets(&text).into_owned();
    memory.hold(reserved);
    (head.map(|()| kept(redacted, memory)), text)
}

/// The length of a part of a text that is kept until a client has read it, in bytes.
const PART: usize = 16 * 1024;

/// JSON that is kept in reserved memory until a client has read it.
pub(super) fn kept_json(json: String, mut memory: Relay, reserved: Reserved) -> Response<Body> {
    memory.hold(reserved);
    json_text(StatusCode::OK, String::new()).map(|_| kept(without_command(json), memory))
}

/// A text that is kept until a client has read it.
fn kept(text: String, memory: Relay) -> Body {
    if text.len() <= PART {
        return full(text.into());
    }
    let state = (Bytes::from(text), memory);
    let parts = futures_util::stream::unfold(state, async |(mut text, mut memory)| {
        // Its memory is reserved.
        let _ = memory.next().await;
        let part = text.split_to(PART.min(text.len()));
        memory.passed();
        (!part.is_empty()).then(|| (Ok(Frame::data(part)), (text, memory)))
    });
    StreamBody::new(parts).boxed_unsync()
}

/// Keeps a value until the body of a response ends.
pub(super) fn hold<T: Send + Unpin + 'static>(
    response: Response<Body>,
    value: T,
) -> Response<Body> {
    response.map(|body| {
        Held {
            body,
            _value: value,
        }
        .boxed_unsync()
    })
}

struct Held<T> {
    body: Body,
    _value: T,
}

impl<T: Unpin> hyper::body::Body for Held<T> {
    type Data = Bytes;
    type Error = BoxError;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BoxError>>> {
        Pin::new(&mut self.body).poll_frame(context)
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> hyper::body::SizeHint {
        self.body.size_hint()
    }
}

/// The body of a response as it arrives, without the secrets that it may repeat.
fn chunks(
    response: reqwest::Response,
    memory: Option<Relay>,
) -> impl Stream<Item = Result<Bytes, BoxError>> + Send {
    let inspector = Inspector::new(has_type(response.headers(), EVENT_STREAM));
    let bytes = Box::pin(response.bytes_stream().peekable());
    let state = Some((bytes, inspector, memory));
    futures_util::stream::try_unfold(state, async |state| {
        let Some((mut bytes, mut inspector, mut memory)) = state else {
            return Ok(None);
        };
        loop {
            if let Some(memory) = &mut memory {
                memory.next().await?;
            }
            // A client is only slow while something for it is kept: a wait for Port may take as long as Port takes.
            let next = match (bytes.next().now_or_never(), &mut memory) {
                (Some(next), _) => next,
                (None, None) => bytes.next().await,
                (None, Some(memory)) => {
                    if inspector.is_empty() {
                        memory.wait_for_port();
                    }
                    bytes.next().await
                }
            };
            let Some(chunk) = next else {
                let rest = Bytes::from(inspector.finish()?);
                return Ok((!rest.is_empty()).then_some((rest, None)));
            };
            let chunk = chunk.map_err(reqwest::Error::without_url)?;
            let passed = inspector.push(&chunk)?;
            if let Some(memory) = &mut memory {
                memory.received(chunk.len());
            }
            if !passed.is_empty() {
                if inspector.is_empty() && memory.as_ref().is_some_and(Relay::is_small) {
                    look_ahead(bytes.as_mut()).await;
                }
                if let Some(memory) = &memory {
                    memory.passed();
                }
                return Ok(Some((passed.into(), Some((bytes, inspector, memory)))));
            }
        }
    })
}

/// How many turns of the scheduler the connection to Port gets to pass on what it has read.
const TURNS: usize = 3;

/// Gets what Port has sent already, without waiting for more: the last part of a response and its end leave together.
async fn look_ahead<S: Stream>(mut stream: Pin<&mut Peekable<S>>) {
    for _ in 0..TURNS {
        tokio::task::yield_now().await;
        if stream.as_mut().peek().now_or_never().is_some() {
            return;
        }
    }
}

/// Reads a response to its end, or, of an event stream, up to the event with the JSON-RPC response.
/// The memory for it is reserved, unless it is small.
pub(super) async fn whole(
    response: reqwest::Response,
    length: usize,
    time: Duration,
    memory: &Memory,
) -> Result<(String, Reserved), ()> {
    let whole = tokio::time::timeout(time, read_whole(response, length, memory));
    whole.await.map_err(drop)?
}

async fn read_whole(
    response: reqwest::Response,
    limit: usize,
    memory: &Memory,
) -> Result<(String, Reserved), ()> {
    let mut reserved = Reserved::default();
    let is_stream = has_type(response.headers(), EVENT_STREAM);
    let mut bytes = Box::pin(chunks(response, None));
    let (mut text, mut events) = (Vec::new(), Events::default());
    while let Some(chunk) = bytes.next().await {
        let chunk = chunk.map_err(drop)?;
        if text.len() + chunk.len() > limit {
            return Err(());
        }
        let part = memory.whole(text.len(), chunk.len()).await;
        reserved.add(part.map_err(drop)?);
        text.extend_from_slice(&chunk);
        let events = events.push(if is_stream { &chunk } else { &[] });
        if events.iter().any(|event| response_of(event).is_some()) {
            break;
        }
    }
    let text = String::from_utf8(text).map_err(drop)?;
    Ok((text, reserved))
}

/// The JSON-RPC response in a body: the body itself, or an event.
pub(super) fn response_in(text: &str, is_stream: bool) -> Option<RawObject> {
    if is_stream {
        return Events::default()
            .push(text.as_bytes())
            .iter()
            .find_map(|event| response_of(event));
    }
    RawObject::parse(text).filter(is_response)
}

/// The JSON-RPC response in an event.
fn response_of(event: &[u8]) -> Option<RawObject> {
    RawObject::parse(&rewrite::data(event)?).filter(is_response)
}

fn is_response(message: &RawObject) -> bool {
    message.get("result").is_some() || message.get("error").is_some()
}

#[cfg(test)]
mod tests {
    use futures_util::stream::{iter, pending};

    use super::*;

    #[tokio::test]
    async fn what_is_read_whole_has_a_time_limit() {
        let memory = Memory::default();
        let head = [Ok::<_, std::io::Error>("{\"jsonrpc\":\"2.0\",")];
        let body = reqwest::Body::wrap_stream(iter(head).chain(pending()));
        let response = http::Response::new(body).into();
        let read = whole(response, MAX_LIST, Duration::ZERO, &memory).await;
        assert!(read.is_err());
        let response = http::Response::new("{}").into();
        let (text, _) = whole(response, MAX_LIST, WHOLE_TIMEOUT, &memory)
            .await
            .unwrap();
        assert_eq!(text, "{}");
    }
}
