//! The search for secrets in a response as it arrives.
//!
//! A JSON-RPC message that is not a result is an error, whatever the status says: it is looked through in all notations.
//! For that, a message (the body, or an event) waits until it is complete, as a client does too. A message that is too
//! long for that passes as it arrives if it is a result, and an error in its place if it is not.

use std::borrow::Cow;

use serde_json::Value;
use serde_json::value::RawValue;

use super::reply::{BoxError, error_message};
use super::rewrite::{self, DataLines, Events, MARK, Part, RawObject};
use super::scan::Scanner;
use super::strict::folded;
use crate::text::secrets::{Redactor, redact};

/// The maximum length of a message that is not a result, in bytes.
pub(super) const MAX_ERROR: usize = 64 * 1024;

/// Looks through a response.
pub(crate) struct Inspector {
    /// Splits the response into messages. `None` if it is one.
    events: Option<Events>,
    /// The message so far, if it is the whole response.
    body: Vec<u8>,
    /// The message so far, if it is too long to wait for its end.
    long: Option<LongMessage>,
}

impl Inspector {
    pub(crate) fn new(is_stream: bool) -> Self {
        Self {
            events: is_stream.then(Events::with_mark),
            body: Vec::new(),
            long: None,
        }
    }

    /// Adds a part of the response, and returns what can be passed on.
    ///
    /// # Errors
    /// When something that is no result follows on a long result in the same message.
    pub(crate) fn push(&mut self, part: &[u8]) -> Result<Vec<u8>, BoxError> {
        let mut passed = Vec::new();
        let complete = self.events.as_mut().map(|events| events.push(part));
        // First, since the incomplete event is a message of its own.
        for event in complete.into_iter().flatten() {
            passed.extend(self.end(event)?);
        }
        let rest = if let Some(events) = &mut self.events {
            let is_long = self.long.is_some() || events.pending() > MAX_ERROR;
            is_long.then(|| events.rest())
        } else {
            self.body.extend_from_slice(part);
            let is_long = self.long.is_some() || self.body.len() > MAX_ERROR;
            is_long.then(|| std::mem::take(&mut self.body))
        };
        if let Some(rest) = rest.filter(|rest| !rest.is_empty()) {
            passed.extend(self.add_to_long(&rest)?);
        }
        Ok(passed)
    }

    /// Whether it holds nothing of the response.
    pub(super) fn is_empty(&self) -> bool {
        let pending = self.events.as_ref().map_or(0, Events::pending);
        pending == 0 && self.body.is_empty() && self.long.is_none()
    }

    /// What remains at the end of the response.
    ///
    /// # Errors
    /// As [`Inspector::push`].
    pub(crate) fn finish(&mut self) -> Result<Vec<u8>, BoxError> {
        let rest = self
            .events
            .as_mut()
            .map_or_else(|| std::mem::take(&mut self.body), Events::rest);
        self.end(rest)
    }

    fn add_to_long(&mut self, part: &[u8]) -> Result<Vec<u8>, BoxError> {
        let is_stream = self.events.is_some();
        self.long
            .get_or_insert_with(|| LongMessage::new(is_stream))
            .push(part)
    }

    /// The end of a message.
    fn end(&mut self, rest: Vec<u8>) -> Result<Vec<u8>, BoxError> {
        if self.long.is_none() && rest.len() <= MAX_ERROR {
            return Ok(inspected(rest, self.events.is_some()));
        }
        let mut passed = self.add_to_long(&rest)?;
        if let Some(long) = self.long.take() {
            passed.extend(long.finish());
        }
        Ok(passed)
    }
}

/// A complete message without secrets.
fn inspected(message: Vec<u8>, is_stream: bool) -> Vec<u8> {
    let unmarked = message.strip_prefix(MARK).unwrap_or(&message);
    let text = String::from_utf8_lossy(unmarked);
    let data = if is_stream {
        Cow::Owned(rewrite::data(unmarked).unwrap_or_default())
    } else {
        Cow::Borrowed(&*text)
    };
    if !data.trim_start().starts_with(['{', '[']) || is_result(&data) {
        let mut redactor = Redactor::default();
        let mut passed = redactor.push(&message);
        passed.extend(redactor.finish());
        return passed;
    }
    match without_secrets(&data) {
        Cow::Owned(data) if is_stream => {
            let event = rewrite::with_data(unmarked, &data);
            redact(&String::from_utf8_lossy(&event))
                .into_owned()
                .into_bytes()
        }
        Cow::Owned(data) => data.into_bytes(),
        Cow::Borrowed(_) => match redact(&text) {
            Cow::Owned(text) => text.into_bytes(),
            Cow::Borrowed(_) => message,
        },
    }
}

/// Whether a message is a result, and does not say that it is an error.
fn is_result(message: &str) -> bool {
    let is_error = |object: &RawObject, name: &str, none: &[&str]| {
        object
            .iter()
            .any(|(key, value)| folded(key) == name && !none.contains(&value.get()))
    };
    let Some(message) = RawObject::parse(message) else {
        return false;
    };
    let Some(result) = message.get("result").map(RawValue::get) else {
        return false;
    };
    let is_error_result = match RawObject::parse(result) {
        Some(result) => is_error(&result, "iserror", &["false", "null"]),
        // Repeated keys: another parser could read it.
        None => result.starts_with('{'),
    };
    !is_error_result && !is_error(&message, "error", &["null"])
}

/// An error without secrets, also in its texts as a program reads them.
pub(super) fn without_secrets(error: &str) -> Cow<'_, str> {
    let json: Option<Value> = serde_json::from_str(error).ok();
    let is_json = json.is_some();
    let read = json.and_then(|mut json| redact_texts(&mut json).then(|| json.to_string()));
    let redacted = match &read {
        Some(read) => redact(read),
        None => redact(error),
    };
    let Cow::Owned(redacted) = redacted else {
        return read.map_or(Cow::Borrowed(error), Cow::Owned);
    };
    if is_json && serde_json::from_str::<&RawValue>(&redacted).is_err() {
        return replacement(&Scanner::of(error.as_bytes())).into();
    }
    redacted.into()
}

/// Redacts the texts in JSON. Returns whether it has.
fn redact_texts(json: &mut Value) -> bool {
    match json {
        Value::String(text) => match redact(text) {
            Cow::Owned(redacted) => {
                *text = redacted;
                true
            }
            Cow::Borrowed(_) => false,
        },
        Value::Array(list) => {
            let redacted = list.iter_mut().map(redact_texts);
            redacted.filter(|is_redacted| *is_redacted).count() > 0
        }
        Value::Object(entries) => {
            let mut has = false;
            *entries = std::mem::take(entries)
                .into_iter()
                .map(|(key, mut value)| {
                    let redacted = redact(&key).into_owned();
                    has |= redact_texts(&mut value) || redacted != key;
                    (redacted, value)
                })
                .collect();
            has
        }
        _ => false,
    }
}

/// The error in the place of one that cannot be passed. Empty for a message without an id.
fn replacement(message: &Scanner) -> String {
    let id = message.id().filter(|_| message.is_object());
    id.map_or_else(String::new, |id| {
        let text = "Port returned an error that is too long, or that repeats a secret";
        error_message(Some(id), -32000, text)
    })
}

/// A message that passes as it arrives, or is dropped.
struct LongMessage {
    message: Scanner,
    /// The lines of an event.
    lines: Option<DataLines>,
    redactor: Redactor,
    /// `None` at the beginning.
    is_result: Option<bool>,
}

impl LongMessage {
    fn new(is_stream: bool) -> Self {
        Self {
            message: Scanner::default(),
            lines: is_stream.then(DataLines::default),
            redactor: Redactor::default(),
            is_result: None,
        }
    }

    fn push(&mut self, part: &[u8]) -> Result<Vec<u8>, BoxError> {
        match &mut self.lines {
            Some(lines) => lines.push(part, |part| {
                if let Part::Data(data) = part {
                    self.message.add(data);
                }
            }),
            None => self.message.add(part),
        }
        let message = &self.message;
        let is_result = message.is_text() || message.has_result || message.has_params;
        let is_error = !message.is_text() && (message.has_error || message.has_more());
        match *self.is_result.get_or_insert(is_result && !is_error) {
            true if is_error => Err("something follows on a result".into()),
            true => Ok(self.redactor.push(part)),
            false => Ok(Vec::new()),
        }
    }

    fn finish(mut self) -> Vec<u8> {
        if self.is_result == Some(true) {
            return self.redactor.finish();
        }
        let error = replacement(&self.message);
        match self.lines {
            Some(_) if !error.is_empty() => format!("data: {error}\n\n").into_bytes(),
            _ => error.into_bytes(),
        }
    }
}

#[cfg(test)]
mod tests {
    use base64::Engine as _;
    use base64::prelude::BASE64_STANDARD;
    use secrecy::SecretString;

    use super::*;
    use crate::text::secrets::register;

    const SECRET: &str = "inspected-s3cret.value/42";

    fn passed(response: &str, is_stream: bool, size: usize) -> Result<String, BoxError> {
        register(&SecretString::from(SECRET));
        let (mut inspector, mut passed) = (Inspector::new(is_stream), Vec::new());
        for part in response.as_bytes().chunks(size) {
            passed.extend(inspector.push(part)?);
        }
        passed.extend(inspector.finish()?);
        Ok(String::from_utf8(passed)?)
    }

    /// What passes of a message, as a body and as an event, whatever the sizes of the parts.
    fn passed_of(message: &str) -> Option<String> {
        let body = passed(message, false, 7).ok();
        for size in [1, 1000, message.len()] {
            assert_eq!(passed(message, false, size).ok(), body);
        }
        for end in ["\n", "\r", "\r\n"] {
            let event = format!("id: 1{end}data: {message}{end}{end}: x{end}{end}");
            for size in [1, 1000, event.len()] {
                let event = passed(&event, true, size).ok();
                assert_eq!(event.is_some(), body.is_some());
                let data = event.and_then(|event| rewrite::data(event.as_bytes()));
                assert_eq!(data.unwrap_or_default(), body.clone().unwrap_or_default());
            }
        }
        body
    }

    fn error(text: &str) -> String {
        serde_json::json!({"jsonrpc": "2.0", "id": 1, "error": {"code": -32000, "message": text}})
            .to_string()
    }

    fn result(text: &str, is_error: bool) -> String {
        let content = serde_json::json!([{"type": "text", "text": text}]);
        serde_json::json!({"jsonrpc": "2.0", "id": 1, "result": {"content": content, "isError": is_error}})
            .to_string()
    }

    #[test]
    fn an_error_is_looked_through_in_all_notations() {
        let broken = SECRET
            .split_inclusive(['-', '.'])
            .collect::<Vec<_>>()
            .join("\n");
        let hex = |c: char| format!("\\u{:04x}", u32::from(c));
        let escaped = SECRET.chars().map(hex).collect::<Vec<_>>().concat();
        for text in [
            SECRET.to_owned(),
            broken,
            escaped,
            SECRET.to_uppercase(),
            BASE64_STANDARD.encode(SECRET),
            BASE64_STANDARD.encode(format!("Bearer {SECRET}")),
        ] {
            for message in [error(&text), result(&text, true)] {
                let passed = passed_of(&message).unwrap();
                assert!(passed.contains("***"), "{passed}");
                let passed: Value = serde_json::from_str(&passed).unwrap();
                assert_eq!(passed["id"], 1);
            }
        }
        let escaped = SECRET.replace('.', "\\u002e");
        let message = error("x").replace('x', &escaped);
        assert!(passed_of(&message).unwrap().contains("***"));
    }

    #[test]
    fn what_repeats_no_secret_keeps_its_bytes() {
        let long = "x".repeat(MAX_ERROR);
        let large = format!("{{\"id\":1, \"result\":{{\"x\":[1E2,\"{long}\"]}},\"more\":[ ]}}");
        let notice = format!("{{\"method\":\"x\",\"params\":{{\"x\":\"{long}\"}}}}");
        for message in [
            &error("x"),
            &result("x", false),
            &large,
            &notice,
            &format!("<html>{long}"),
            "not JSON",
            "[1, 2]",
        ] {
            assert_eq!(passed_of(message).unwrap(), *message);
        }
    }

    #[test]
    fn a_long_error_has_no_text() {
        let long = "x".repeat(MAX_ERROR);
        let text = error(&long);
        for message in [
            text.as_str(),
            &format!("{{\"more\":\"{long}\",\"id\":1,\"error\":{{}}}}"),
            &format!("{{\"error\":{{}},\"id\":1,\"result\":\"{long}\"}}"),
        ] {
            let passed: Value = serde_json::from_str(&passed_of(message).unwrap()).unwrap();
            assert_eq!(passed["id"], 1);
            let text = passed["error"]["message"].as_str().unwrap();
            assert_eq!(
                text,
                "Port returned an error that is too long, or that repeats a secret"
            );
        }
        for message in [format!("[{text}]"), format!("{{\"id\":\"{long}\"}}")] {
            assert_eq!(passed_of(&message).as_deref(), Some(""));
        }
    }

    /// Whatever parts of both are in one part of the stream.
    #[test]
    fn the_event_after_a_long_one_is_a_message_of_its_own() {
        let long = result(&"x".repeat(MAX_ERROR), false);
        let encoded = BASE64_STANDARD.encode(SECRET);
        for (next, expected) in [
            (result("done", false), "done"),
            (error("failed"), "failed"),
            (result(&encoded, true), "***"),
            (r#"{"method":"x","params":{}}"#.to_owned(), "method"),
        ] {
            let stream = format!("data: {long}\n\ndata: {next}\n\n");
            let end = stream.len() - next.len();
            // The second part has the end of the long event and the beginning of the next one.
            for cut in (end..stream.len()).step_by(7) {
                let parts = [&stream[..end - 20], &stream[end - 20..cut], &stream[cut..]];
                register(&SecretString::from(SECRET));
                let (mut inspector, mut passed) = (Inspector::new(true), Vec::new());
                for part in parts {
                    passed.extend(inspector.push(part.as_bytes()).unwrap());
                }
                passed.extend(inspector.finish().unwrap());
                let passed = String::from_utf8(passed).unwrap();
                let (_, last) = passed.trim_end().rsplit_once("\n\n").unwrap();
                assert!(last.contains(expected), "{cut}: {last}");
                assert!(!last.contains(&encoded), "{cut}");
            }
        }
    }

    #[test]
    fn an_error_after_a_long_result_does_not_pass() {
        let long = "x".repeat(2 * MAX_ERROR);
        let after = |key: &str| format!("{{\"result\":\"{long}\",\"{key}\":{{\"x\":1}}}}");
        assert!(passed_of(&after("more")).is_some());
        let broken = passed(&after("error"), false, 1000).unwrap_err();
        assert_eq!(broken.to_string(), "something follows on a result");
    }
}
