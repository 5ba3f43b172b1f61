//! A forwarded call of a tool: what its response says, for the audit.

use std::sync::Arc;

use tokio::time::Instant;

use super::audit::{Audit, Call, Outcome};

/// A call until its end. Dropping it writes the audit line: also if the agent closes the connection.
pub(super) struct OngoingCall {
    audit: Arc<Audit>,
    call: Call,
    started: Instant,
    bytes: u64,
    response: ResponseReader,
    outcome: Option<Outcome>,
}

impl OngoingCall {
    pub(super) fn new(audit: Arc<Audit>, call: Call) -> Self {
        audit.call_begins(&call);
        Self {
            audit,
            call,
            started: Instant::now(),
            bytes: 0,
            response: ResponseReader::default(),
            outcome: None,
        }
    }

    /// Adds a part of the response, which is an event stream or JSON.
    pub(super) fn add(&mut self, part: &[u8], is_stream: bool) {
        self.bytes += part.len() as u64;
        for byte in part {
            if is_stream {
                self.response.push_of_stream(*byte);
            } else {
                self.response.push(*byte);
            }
        }
    }

    /// The call ended with `outcome`, unless there was a response before.
    pub(super) fn end(&mut self, outcome: Outcome) {
        self.outcome
            .get_or_insert(self.response.outcome.unwrap_or(outcome));
    }
}

impl Drop for OngoingCall {
    fn drop(&mut self) {
        let outcome = self.outcome.or(self.response.outcome);
        let outcome = outcome.unwrap_or(Outcome::Aborted);
        let duration = self.started.elapsed();
        self.audit
            .call_ends(&self.call, outcome, duration, self.bytes);
    }
}

/// Longer than each key that matters.
const LONGEST_KEY: usize = 8;

/// Finds the JSON-RPC response in a body of any length as it arrives, and whether it reports an error: it has `error`,
/// or `isError` in its `result`.
#[derive(Default)]
#[expect(clippy::struct_excessive_bools, reason = "the state of a parser")]
struct ResponseReader {
    depth: usize,
    is_in_string: bool,
    is_after_backslash: bool,
    /// The beginning of the last string.
    text: Vec<u8>,
    /// Whether the last string is the key of the next value.
    is_key: bool,
    is_in_result: bool,
    has_result: bool,
    has_error: bool,
    /// The beginning of the line of an event stream.
    line: Vec<u8>,
    last: u8,
    /// What the first response says.
    outcome: Option<Outcome>,
}

impl ResponseReader {
    /// Adds a byte of an event stream ([specification](https://html.spec.whatwg.org/multipage/server-sent-events.html)).
    fn push_of_stream(&mut self, byte: u8) {
        let last = std::mem::replace(&mut self.last, byte);
        match byte {
            b'\n' if last == b'\r' => {}
            b'\r' | b'\n' if self.line.is_empty() => self.begin_message(),
            b'\r' | b'\n' => self.line.clear(),
            _ if self.line == b"data:" => self.push(byte),
            _ if self.line.len() <= b"data:".len() => self.line.push(byte),
            _ => {}
        }
    }

    /// Adds a byte of JSON.
    fn push(&mut self, byte: u8) {
        if self.is_in_string {
            match byte {
                _ if self.is_after_backslash => self.is_after_backslash = false,
                b'\\' => self.is_after_backslash = true,
                b'"' => self.is_in_string = false,
                _ if self.text.len() < LONGEST_KEY => self.text.push(byte),
                _ => {}
            }
            return;
        }
        match byte {
            byte if byte.is_ascii_whitespace() => {}
            b':' => self.is_key = true,
            b',' => self.is_key = false,
            b'}' | b']' => {
                self.depth = self.depth.saturating_sub(1);
                if self.depth == 0 {
                    self.end_message();
                }
            }
            _ => {
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
        if !std::mem::take(&mut self.is_key) {
            return;
        }
        if self.depth == 1 {
            self.is_in_result = self.text == b"result";
            self.has_result |= self.is_in_result;
            self.has_error |= self.text == b"error" && first != b'n';
        } else if self.depth == 2 && self.is_in_result {
            self.has_error |= self.text == b"isError" && first == b't';
        }
    }

    fn end_message(&mut self) {
        let outcome = match (self.has_error, self.has_result) {
            (true, _) => Some(Outcome::Error),
            (false, true) => Some(Outcome::Result),
            (false, false) => None,
        };
        self.outcome = self.outcome.or(outcome);
        self.begin_message();
    }

    fn begin_message(&mut self) {
        self.depth = 0;
        self.is_in_string = false;
        self.is_after_backslash = false;
        self.is_key = false;
        self.is_in_result = false;
        self.has_result = false;
        self.has_error = false;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_outcome_is_that_of_the_response() {
        let (result, error) = (Some(Outcome::Result), Some(Outcome::Error));
        for (json, expected) in [
            (
                r#"{"jsonrpc":"2.0","id":1,"result":{"content":[]}}"#,
                result,
            ),
            (r#"{"result":{"isError": true},"id":1}"#, error),
            (
                r#"{"result":{"isError":false,"x":{"isError":true}}}"#,
                result,
            ),
            (
                r#"{"result":{"structuredContent":{"error":{"code":1}}}}"#,
                result,
            ),
            (
                r#"{"result":{"x":[{"isError":true}],"y":"\"isError\":true"}}"#,
                result,
            ),
            (r#"{"error":{"message":"x","code":1},"id":1}"#, error),
            (r#"{"error":null,"result":{}}"#, result),
            (
                r#"{"method":"ping","params":{"result":{},"error":{}},"id":1}"#,
                None,
            ),
            (r#"{"result":{"isError":tr"#, None),
            (r#"{"x":"error","result":"error"}"#, result),
            ("", None),
        ] {
            let mut plain = ResponseReader::default();
            json.bytes().for_each(|byte| plain.push(byte));
            assert_eq!(plain.outcome, expected, "{json}");
            for end in ["\n", "\r", "\r\n"] {
                let mut stream = ResponseReader::default();
                let lines = json.replace(",\"", &format!(",{end}data:\""));
                let text = format!(
                    ": {{\"error\":1}}{end}data: {{\"method\":\"x\",\"params\":{{}}}}{end}{end}id: 1{end}data: {lines}{end}{end}"
                );
                text.bytes().for_each(|byte| stream.push_of_stream(byte));
                assert_eq!(stream.outcome, expected, "{text}");
            }
        }
    }
}
