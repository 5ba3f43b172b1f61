//! The three responses that the gateway rewrites, and the event streams that carry them.
//!
//! Everything else in a message keeps its bytes: objects are taken apart one level at a time, and their
//! values stay as the server wrote them.

use std::borrow::Cow;
use std::collections::HashSet;
use std::fmt;

use serde::de::{Deserializer, Error as _, MapAccess, Visitor};
use serde::ser::{SerializeMap as _, Serializer};
use serde::{Deserialize, Serialize};
use serde_json::value::{RawValue, to_raw_value};

use crate::access::Grants;

/// The capabilities of a server that the gateway passes on: it forwards the methods of no other.
const PASSED_CAPABILITIES: &[&str] = &["tools", "tasks", "extensions", "experimental"];

/// The extension whose clients read resources, which the gateway rejects.
const RESOURCES_EXTENSION: &str = "io.modelcontextprotocol/ui";

/// An object whose values keep their bytes. Its keys are unique: parsers disagree about repeated keys.
#[derive(Debug, Default)]
pub(super) struct RawObject(Vec<(String, Box<RawValue>)>);

/// The number of keys up to which comparing each with all others is cheaper than a set.
const FEW: usize = 8;

impl RawObject {
    pub(super) fn parse(text: &str) -> Option<Self> {
        serde_json::from_str(text).ok()
    }

    pub(super) fn get(&self, key: &str) -> Option<&RawValue> {
        self.0
            .iter()
            .find(|(name, _)| name == key)
            .map(|(_, value)| &**value)
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = (&str, &RawValue)> {
        self.0.iter().map(|(key, value)| (key.as_str(), &**value))
    }

    pub(super) fn remove(&mut self, key: &str) {
        self.0.retain(|(name, _)| name != key);
    }

    /// Sets a key, at its place if it exists.
    pub(super) fn set(&mut self, key: &str, value: &impl Serialize) {
        let Ok(value) = to_raw_value(value) else {
            return;
        };
        match self.0.iter_mut().find(|(name, _)| name == key) {
            Some((_, old)) => *old = value,
            None => self.0.push((key.to_owned(), value)),
        }
    }

    fn retain(&mut self, keeps: impl Fn(&str) -> bool) {
        self.0.retain(|(name, _)| keeps(name));
    }

    fn contains(&self, key: &str) -> bool {
        self.get(key).is_some()
    }

    /// Marks a result as valid only for this agent, if it says how it can be cached.
    fn make_private(&mut self) {
        if self.contains("cacheScope") {
            self.set("cacheScope", &"private");
        }
        if self.contains("ttlMs") {
            self.set("ttlMs", &0);
        }
    }
}

impl fmt::Display for RawObject {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&serde_json::to_string(self).unwrap_or_default())
    }
}

impl Serialize for RawObject {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(Some(self.0.len()))?;
        for (key, value) in &self.0 {
            map.serialize_entry(key, value)?;
        }
        map.end()
    }
}

impl<'de> Deserialize<'de> for RawObject {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Entries;
        impl<'de> Visitor<'de> for Entries {
            type Value = RawObject;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an object")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<RawObject, A::Error> {
                let mut entries: Vec<(String, _)> = Vec::new();
                // Of an object with many keys.
                let mut keys = HashSet::new();
                while let Some((key, value)) = map.next_entry::<String, _>()? {
                    let is_new = if entries.len() < FEW {
                        !entries.iter().any(|(other, _)| *other == key)
                    } else {
                        if keys.is_empty() {
                            keys.extend(entries.iter().map(|(key, _)| key.clone()));
                        }
                        keys.insert(key.clone())
                    };
                    if !is_new {
                        return Err(A::Error::custom("a key is repeated"));
                    }
                    entries.push((key, value));
                }
                Ok(RawObject(entries))
            }
        }
        deserializer.deserialize_map(Entries)
    }
}

/// The response to `initialize` or `server/discover`, without the capabilities that are not available
/// through the gateway. `None` if `message` is not such a response.
pub(super) fn without_capabilities(message: &str) -> Option<String> {
    let mut message = RawObject::parse(message)?;
    let mut result = RawObject::parse(message.get("result")?.get())?;
    if let Some(capabilities) = result.get("capabilities") {
        let mut capabilities = RawObject::parse(capabilities.get())?;
        capabilities.retain(|name| PASSED_CAPABILITIES.contains(&name));
        for (name, hidden) in [("tasks", "list"), ("extensions", RESOURCES_EXTENSION)] {
            let members = capabilities.get(name).map(RawValue::get);
            if let Some(mut members) = members.and_then(RawObject::parse) {
                members.remove(hidden);
                capabilities.set(name, &members);
            }
        }
        result.set("capabilities", &capabilities);
    }
    result.make_private();
    message.set("result", &result);
    Some(message.to_string())
}

/// An event, with any list of tools reduced to the granted ones. `None` if its data is not a message that
/// every client reads in the same way, such as a batch: it could contain a list.
pub(crate) fn with_granted_tools(event: &[u8], granted: &Grants) -> Option<Vec<u8>> {
    let event = &*without_marked_lines(event);
    let text = data(event).unwrap_or_default();
    if text.trim().is_empty() {
        return Some(event.to_vec());
    }
    let mut message = RawObject::parse(&text)?;
    let result = message.get("result").map(RawValue::get);
    let Some(result) = result.filter(|result| result.starts_with('{')) else {
        return Some(event.to_vec());
    };
    if !RawObject::parse(result)?.contains("tools") {
        return Some(event.to_vec());
    }
    let mut page = Page::parse(result)?;
    page.tools.retain(|tool| is_granted(tool, granted));
    message.set("result", &page.into_result(true));
    Some(with_data(event, &message.to_string()))
}

/// One page of the list of tools.
#[derive(Debug)]
pub(super) struct Page {
    result: RawObject,
    /// The tools as the server wrote them.
    pub(super) tools: Vec<Box<RawValue>>,
    /// The cursor of the next page.
    pub(super) next_cursor: Option<String>,
}

impl Page {
    /// Parses the result of `tools/list`.
    pub(super) fn parse(result: &str) -> Option<Self> {
        let result = RawObject::parse(result)?;
        let tools = serde_json::from_str(result.get("tools")?.get()).ok()?;
        let next_cursor = result
            .get("nextCursor")
            .and_then(|cursor| serde_json::from_str(cursor.get()).ok())
            .flatten();
        Some(Self {
            result,
            tools,
            next_cursor,
        })
    }

    /// The result with these tools, as the only page unless `keeps_cursor`.
    pub(super) fn into_result(self, keeps_cursor: bool) -> RawObject {
        let mut result = self.result;
        result.set("tools", &self.tools);
        if !keeps_cursor {
            result.remove("nextCursor");
        }
        result.make_private();
        result
    }
}

/// Whether a tool of the server is granted.
pub(super) fn is_granted(tool: &RawValue, granted: &Grants) -> bool {
    #[derive(Deserialize)]
    struct Named {
        name: String,
    }
    serde_json::from_str::<Named>(tool.get()).is_ok_and(|tool| granted.contains(&tool.name))
}

/// An event without the lines that begin with a byte-order mark. They have no meaning, except at the beginning of
/// a stream, to which they move if all events before are dropped.
fn without_marked_lines(event: &[u8]) -> Cow<'_, [u8]> {
    if !event.windows(MARK.len()).any(|window| window == MARK) {
        return Cow::Borrowed(event);
    }
    let kept = event
        .split_inclusive(|byte| matches!(byte, b'\n' | b'\r'))
        .filter(|line| !line.starts_with(MARK));
    Cow::Owned(kept.flatten().copied().collect())
}

/// The byte-order mark.
pub(super) const MARK: &[u8] = "\u{feff}".as_bytes();

/// Splits an event stream into events, each with its bytes. A byte-order mark at the beginning of the stream is
/// dropped, as a client drops it.
///
/// A line ends with LF, CR, or CRLF, and an event with an empty line. What has no meaning and must not wait for an event
/// is returned as one of its own: the LF after a CR that ended an event, and a comment before an event.
#[derive(Debug, Default)]
#[expect(clippy::struct_excessive_bools, reason = "the state of a parser")]
pub(crate) struct Events {
    pending: Vec<u8>,
    /// Whether an event was complete.
    has_begun: bool,
    /// Whether the current event has bytes.
    is_in_event: bool,
    /// Whether the current event is so far one comment.
    is_comment: bool,
    /// Whether the current line has bytes.
    is_in_line: bool,
    /// Whether the last byte was a CR.
    is_after_cr: bool,
}

impl Events {
    /// As the default, with the byte-order mark.
    pub(super) fn with_mark() -> Self {
        Self {
            has_begun: true,
            ..Self::default()
        }
    }

    /// Adds bytes, and returns the events that are complete.
    pub(crate) fn push(&mut self, bytes: &[u8]) -> Vec<Vec<u8>> {
        let mut events = Vec::new();
        let mut start = 0;
        for (at, byte) in bytes.iter().enumerate() {
            if self.is_end(*byte) {
                self.pending.extend_from_slice(&bytes[start..=at]);
                let mut event = std::mem::take(&mut self.pending);
                if !std::mem::replace(&mut self.has_begun, true) && event.starts_with(MARK) {
                    event.drain(..MARK.len());
                }
                events.push(event);
                start = at + 1;
            }
        }
        self.pending.extend_from_slice(&bytes[start..]);
        events
    }

    /// Whether the next byte ends an event.
    fn is_end(&mut self, byte: u8) -> bool {
        let is_after_cr = std::mem::replace(&mut self.is_after_cr, byte == b'\r');
        let is_first = !std::mem::replace(&mut self.is_in_event, true);
        if is_first {
            self.is_comment = byte == b':';
        }
        // Event streams, 9.2.6: an empty line ends an event. A CR ends a line at once, without a wait for an LF: on a slow
        // stream, that can be the beginning of the next event.
        let is_end = match byte {
            b'\n' if is_after_cr => is_first,
            b'\n' | b'\r' => !std::mem::take(&mut self.is_in_line) || self.is_comment,
            _ => {
                self.is_in_line = true;
                false
            }
        };
        self.is_in_event &= !is_end;
        is_end
    }

    /// The number of bytes of the incomplete event.
    pub(super) fn pending(&self) -> usize {
        self.pending.len()
    }

    /// The bytes of the incomplete event, which goes on.
    pub(super) fn rest(&mut self) -> Vec<u8> {
        std::mem::take(&mut self.pending)
    }
}

/// The data of an event stream as it arrives, with a line break between two lines of data
/// ([specification](https://html.spec.whatwg.org/multipage/server-sent-events.html)).
#[derive(Default)]
pub(super) struct DataLines {
    /// The beginning of the line.
    line: Vec<u8>,
    last: u8,
}

/// What a part of an event stream means.
pub(super) enum Part<'a> {
    Data(&'a [u8]),
    /// The end of the event.
    End,
}

const DATA: &[u8] = b"data:";

impl DataLines {
    /// Adds bytes, and passes on what they mean.
    pub(super) fn push<'a>(&mut self, mut bytes: &'a [u8], mut found: impl FnMut(Part<'a>)) {
        while let Some((byte, rest)) = bytes.split_first() {
            let is_end = |byte: &u8| matches!(byte, b'\r' | b'\n');
            if self.line == DATA && !is_end(byte) {
                let end = bytes.iter().position(is_end).unwrap_or(bytes.len());
                let (data, rest) = bytes.split_at(end);
                found(Part::Data(data));
                self.last = data[data.len() - 1];
                bytes = rest;
                continue;
            }
            if let Some(part) = self.push_byte(*byte) {
                found(part);
            }
            bytes = rest;
        }
    }

    /// Adds a byte that is no data.
    fn push_byte(&mut self, byte: u8) -> Option<Part<'static>> {
        let last = std::mem::replace(&mut self.last, byte);
        match byte {
            b'\n' if last == b'\r' => None,
            b'\r' | b'\n' if self.line.is_empty() => Some(Part::End),
            b'\r' | b'\n' => {
                let is_data = self.line == DATA;
                self.line.clear();
                is_data.then_some(Part::Data(b"\n"))
            }
            // At the beginning of a stream, a client drops it.
            _ if self.line.is_empty() && MARK.contains(&byte) => None,
            _ => {
                if self.line.len() <= DATA.len() {
                    self.line.push(byte);
                }
                None
            }
        }
    }
}

/// The data of an event. As for a client, bytes that are not UTF-8 do not make the event invalid.
pub(super) fn data(event: &[u8]) -> Option<String> {
    let text = String::from_utf8_lossy(event);
    let data: Vec<&str> = text.split(['\n', '\r']).filter_map(data_of).collect();
    (!data.is_empty()).then(|| data.join("\n"))
}

/// The data in a line of an event.
fn data_of(line: &str) -> Option<&str> {
    match line.strip_prefix("data")? {
        "" => Some(""),
        rest => {
            let data = rest.strip_prefix(':')?;
            Some(data.strip_prefix(' ').unwrap_or(data))
        }
    }
}

/// The event with other data. Its id, its type, and its comments stay.
pub(super) fn with_data(event: &[u8], data: &str) -> Vec<u8> {
    let text = String::from_utf8_lossy(event);
    let mut event: String = text
        .split(['\n', '\r'])
        .filter(|line| !line.is_empty() && data_of(line).is_none())
        .flat_map(|line| [line, "\n"])
        .collect();
    for line in data.lines() {
        event.extend(["data: ", line, "\n"]);
    }
    event.push('\n');
    event.into_bytes()
}
