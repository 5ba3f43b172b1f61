//! A JSON-RPC message of any length as it arrives: which keys it has, and its id.
//!
//! Nothing else of it is kept, and it need not be valid.

use serde_json::value::RawValue;

use super::strict::folded;

/// The maximum length of a key that is read, in bytes: longer than each key that matters, with all characters escaped.
const MAX_KEY: usize = 64;
/// The maximum length of an id that is read, in bytes.
const MAX_ID: usize = 1024;

/// What the bytes so far say.
#[derive(Default)]
#[expect(clippy::struct_excessive_bools, reason = "the state of a parser")]
pub(super) struct Scanner {
    depth: usize,
    is_in_string: bool,
    is_after_backslash: bool,
    /// The beginning of the last string, as it is written.
    text: Vec<u8>,
    /// Whether the last string is the key of the next value.
    is_key: bool,
    is_in_id: bool,
    is_in_result: bool,
    /// The number of keys that a parser could read as `id`.
    ids: usize,
    /// The value of the last `id`, up to one byte more than [`MAX_ID`].
    id: Vec<u8>,
    /// The first byte that is not whitespace.
    first: Option<u8>,
    /// Whether the object has ended.
    is_complete: bool,
    /// Whether there is anything but one object.
    has_more: bool,
    pub(super) has_method: bool,
    pub(super) has_params: bool,
    pub(super) has_result: bool,
    /// Whether there is an error that is not null.
    pub(super) has_error: bool,
    /// Whether the result says that it is an error.
    pub(super) is_error_result: bool,
}

impl Scanner {
    pub(super) fn of(json: &[u8]) -> Self {
        let mut scanner = Self::default();
        scanner.add(json);
        scanner
    }

    /// Adds bytes.
    pub(super) fn add(&mut self, mut json: &[u8]) {
        while !json.is_empty() {
            json = self.add_some(json);
        }
    }

    /// Adds bytes up to the end of an object. Returns the rest.
    pub(super) fn add_object<'a>(&mut self, mut json: &'a [u8]) -> &'a [u8] {
        while !json.is_empty() && !self.is_complete {
            json = self.add_some(json);
        }
        json
    }

    /// Adds a byte, or what a long string has until its end. Returns the rest.
    fn add_some<'a>(&mut self, json: &'a [u8]) -> &'a [u8] {
        let is_long = self.is_in_string && self.text.len() >= MAX_KEY;
        if is_long && !self.is_after_backslash && !self.is_in_id {
            let end = json
                .iter()
                .position(|byte| matches!(byte, b'"' | b'\\'))
                .unwrap_or(json.len());
            if end > 0 {
                return &json[end..];
            }
        }
        self.push(json[0]);
        &json[1..]
    }

    /// Adds a byte.
    fn push(&mut self, byte: u8) {
        if self.is_in_id && !(self.depth == 1 && !self.is_in_string && matches!(byte, b',' | b'}'))
        {
            if self.id.len() <= MAX_ID {
                self.id.push(byte);
            }
        } else {
            self.is_in_id = false;
        }
        if self.is_in_string {
            let is_escaped = std::mem::take(&mut self.is_after_backslash);
            match byte {
                b'"' if !is_escaped => {
                    self.is_in_string = false;
                    return;
                }
                b'\\' if !is_escaped => self.is_after_backslash = true,
                _ => {}
            }
            if self.text.len() < MAX_KEY {
                self.text.push(byte);
            }
            return;
        }
        match byte {
            // Whitespace, and a byte-order mark.
            byte if byte.is_ascii_whitespace() => {}
            0xEF | 0xBB | 0xBF if self.first.is_none() => {}
            b':' => self.is_key = true,
            b',' => self.is_key = false,
            b'}' | b']' => {
                self.depth = self.depth.saturating_sub(1);
                self.is_complete |= self.depth == 0;
            }
            _ => {
                self.first.get_or_insert(byte);
                self.has_more |= self.depth == 0 && (byte != b'{' || self.is_complete);
                self.begin_value(byte);
                match byte {
                    b'{' | b'[' => self.depth += 1,
                    b'"' => {
                        self.is_in_string = true;
                        self.text.clear();
                    }
                    _ => {}
                }
            }
        }
    }

    /// `first` is the first byte of a value, or a later one if it is no longer the value of a key.
    fn begin_value(&mut self, first: u8) {
        if !std::mem::take(&mut self.is_key) || self.depth > 2 {
            return;
        }
        let key = self.key();
        if self.depth == 1 {
            self.is_in_result = key == "result";
            self.has_result |= self.is_in_result;
            self.has_method |= key == "method";
            self.has_params |= key == "params";
            self.has_error |= folded(&key) == "error" && first != b'n';
            self.ids += usize::from(folded(&key) == "id");
            self.is_in_id = key == "id";
            if self.is_in_id {
                self.id = vec![first];
            }
        } else if self.depth == 2 && self.is_in_result {
            self.is_error_result |= folded(&key) == "iserror" && first == b't';
        }
    }

    /// The last string.
    fn key(&self) -> String {
        let quoted = [b"\"", &*self.text, b"\""].concat();
        serde_json::from_slice(&quoted)
            .unwrap_or_else(|_| String::from_utf8_lossy(&self.text).into_owned())
    }

    /// Whether an object has ended.
    pub(super) fn is_complete(&self) -> bool {
        self.is_complete
    }

    /// Whether the text is no JSON-RPC message, however it goes on.
    pub(super) fn is_text(&self) -> bool {
        self.first.is_some_and(|byte| !matches!(byte, b'{' | b'['))
    }

    /// Whether there is anything but one object.
    pub(super) fn has_more(&self) -> bool {
        self.has_more
    }

    /// Whether the text begins as one object.
    pub(super) fn is_object(&self) -> bool {
        !self.has_more && (self.depth > 0 || self.is_complete)
    }

    /// The id. `None` if there is none, or if parsers could disagree about it.
    pub(super) fn id(&self) -> Option<&RawValue> {
        if self.has_more || self.is_in_id || self.ids != 1 || self.id.len() > MAX_ID {
            return None;
        }
        let id: &RawValue = serde_json::from_slice(&self.id).ok()?;
        is_id(id).then_some(id)
    }

    /// The id with which a message of the agent can be answered: that of a response belongs to a request of the server.
    pub(super) fn id_of_request(&self) -> Option<&RawValue> {
        self.id().filter(|_| !self.is_response())
    }

    /// Whether the message is a notification.
    pub(super) fn is_notification(&self) -> bool {
        !self.has_more && self.is_complete && self.has_method && self.ids == 0
    }

    /// Whether the message is a response, and not a request with keys of one.
    pub(super) fn is_response(&self) -> bool {
        self.is_object() && (self.has_result || self.has_error) && !self.has_method
    }
}

/// Whether a value can be the id of a request.
pub(super) fn is_id(id: &RawValue) -> bool {
    id.get().starts_with(['"', '-']) || id.get().as_bytes()[0].is_ascii_digit()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_id_is_that_of_the_request() {
        let deep = "[".repeat(100);
        for (json, expected) in [
            (r#"{"id":1,"method":"x"}"#, Some("1")),
            (r#" {"method":"x", "id" : "a,}\"" } "#, Some(r#""a,}\"""#)),
            (r#"{"i\u0064":-1.5e3,"method":"x"}"#, Some("-1.5e3")),
            (
                r#"{"params":{"id":2},"id":1,"method":"x","method":"y"}"#,
                Some("1"),
            ),
            (r#"{"id":1,"method":"ping""#, Some("1")),
            (&format!(r#"{{"id":1,"params":{deep}"#), Some("1")),
            ("\u{feff}{\"id\":1}", Some("1")),
            (r#"{"method":"x","id":1"#, None),
            (r#"{"method":"x","id":"a"#, None),
            (r#"{"id":1,"id":2,"method":"x"}"#, None),
            (r#"{"id":1,"ID":2,"method":"x"}"#, None),
            (r#"{"Id":1,"method":"x"}"#, None),
            (r#"{"id":null,"method":"x"}"#, None),
            (r#"{"id":{},"method":"x"}"#, None),
            (r#"{"id":[1],"method":"x"}"#, None),
            (r#"{"id":1 2,"method":"x"}"#, None),
            (r#"{"id":1,"result":{}}"#, None),
            (r#"{"id":1,"error":{}}"#, None),
            (r#"{"id":1,"method":"x"} {}"#, None),
            (r#"[{"id":1,"method":"x"}]"#, None),
            (r#""id":1"#, None),
            ("", None),
        ] {
            let scanner = Scanner::of(json.as_bytes());
            let id = scanner.id_of_request().map(RawValue::get);
            assert_eq!(id, expected, "{json}");
        }
        for (length, is_read) in [(MAX_ID - 2, true), (MAX_ID - 1, false)] {
            let json = format!(r#"{{"id":"{}","method":"x"}}"#, "x".repeat(length));
            assert_eq!(Scanner::of(json.as_bytes()).id().is_some(), is_read);
        }
    }
}
