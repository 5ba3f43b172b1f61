//! The three responses that the gateway rewrites, and the event streams that carry them.
//!
//! Everything else in a message keeps its bytes: objects are taken apart one level at a time, and their
//! values stay as the server wrote them.

use std::collections::HashSet;
use std::fmt;

use serde::de::{Deserializer, MapAccess, Visitor};
use serde::ser::{SerializeMap as _, Serializer};
use serde::{Deserialize, Serialize};
use serde_json::value::{RawValue, to_raw_value};

/// The capabilities of a server that the gateway does not pass on.
const HIDDEN_CAPABILITIES: [&str; 4] = ["prompts", "resources", "completions", "logging"];

/// An object whose values keep their bytes.
#[derive(Debug, Default)]
pub(super) struct RawObject(Vec<(String, Box<RawValue>)>);

impl RawObject {
    pub(super) fn parse(text: &str) -> Option<Self> {
        serde_json::from_str(text).ok()
    }

    pub(super) fn get(&self, key: &str) -> Option<&RawValue> {
        let mut entries = self.0.iter();
        entries
            .find(|(name, _)| name == key)
            .map(|(_, value)| &**value)
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
                let mut entries = Vec::new();
                while let Some(entry) = map.next_entry()? {
                    entries.push(entry);
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
        for hidden in HIDDEN_CAPABILITIES {
            capabilities.remove(hidden);
        }
        result.set("capabilities", &capabilities);
    }
    result.make_private();
    message.set("result", &result);
    Some(message.to_string())
}

/// A list of tools in a replayed event, reduced to the granted ones. `None` if `message` has no list.
pub(super) fn with_granted_tools(message: &str, granted: &HashSet<String>) -> Option<String> {
    let mut message = RawObject::parse(message)?;
    let mut page = Page::parse(message.get("result")?.get())?;
    page.tools.retain(|tool| is_granted(tool, granted));
    message.set("result", &page.into_result(true));
    Some(message.to_string())
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
        let next_cursor = result.get("nextCursor");
        let next_cursor = next_cursor.and_then(|cursor| serde_json::from_str(cursor.get()).ok());
        Some(Self {
            result,
            tools,
            next_cursor: next_cursor.flatten(),
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
pub(super) fn is_granted(tool: &RawValue, granted: &HashSet<String>) -> bool {
    #[derive(Deserialize)]
    struct Named {
        name: String,
    }
    serde_json::from_str::<Named>(tool.get()).is_ok_and(|tool| granted.contains(&tool.name))
}

/// Splits an event stream into events, each with its bytes.
#[derive(Debug, Default)]
pub(super) struct Events {
    pending: Vec<u8>,
    /// How many of the pending bytes contain no end of an event.
    searched: usize,
}

impl Events {
    /// Adds bytes, and returns the events that are complete.
    pub(super) fn push(&mut self, bytes: &[u8]) -> Vec<Vec<u8>> {
        self.pending.extend_from_slice(bytes);
        let mut events = Vec::new();
        while let Some(end) = end_of_event(&self.pending[self.searched..]) {
            let rest = self.pending.split_off(self.searched + end);
            events.push(std::mem::replace(&mut self.pending, rest));
            self.searched = 0;
        }
        // An end has up to four bytes.
        self.searched = self.pending.len().saturating_sub(3);
        events
    }

    /// The number of bytes of the incomplete event.
    pub(super) fn pending(&self) -> usize {
        self.pending.len()
    }

    /// The bytes after the last complete event.
    pub(super) fn rest(&mut self) -> Vec<u8> {
        self.searched = 0;
        std::mem::take(&mut self.pending)
    }
}

/// The end of the first event: after the first empty line.
fn end_of_event(bytes: &[u8]) -> Option<usize> {
    let ends: [&[u8]; 3] = [b"\n\n", b"\r\n\r\n", b"\r\r"];
    let found = ends.iter().filter_map(|end| {
        let start = bytes.windows(end.len()).position(|window| window == *end)?;
        Some(start + end.len())
    });
    found.min()
}

/// The data of an event.
pub(super) fn data(event: &[u8]) -> Option<String> {
    let text = std::str::from_utf8(event).ok()?;
    let lines = text.split(['\n', '\r']).filter_map(|line| {
        let data = line.strip_prefix("data:")?;
        Some(data.strip_prefix(' ').unwrap_or(data))
    });
    let data: Vec<&str> = lines.collect();
    (!data.is_empty()).then(|| data.join("\n"))
}

/// The event with other data. Its id, its type, and its comments stay.
pub(super) fn with_data(event: &[u8], data: &str) -> Vec<u8> {
    let text = String::from_utf8_lossy(event);
    let lines = text.lines();
    let others = lines.filter(|line| !line.starts_with("data:") && !line.is_empty());
    let mut event: String = others.flat_map(|line| [line, "\n"]).collect();
    event.push_str("data: ");
    event.push_str(data);
    event.push_str("\n\n");
    event.into_bytes()
}
