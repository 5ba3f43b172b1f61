//! A forwarded call of a tool: what its response says, for the audit.

use std::sync::Arc;

use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use super::audit::{Audit, Call, Outcome};
use super::rewrite::{DataLines, Part};
use super::scan::Scanner;

/// A call until its end. Dropping it writes the audit line: also if the agent, or the gateway at its end, closes the
/// connection.
pub(super) struct OngoingCall {
    audit: Arc<Audit>,
    /// Cancelled when the gateway closes its connections.
    closing: CancellationToken,
    call: Call,
    started: Instant,
    bytes: u64,
    response: ResponseReader,
    outcome: Option<Outcome>,
}

impl OngoingCall {
    pub(super) fn new(audit: Arc<Audit>, closing: CancellationToken, call: Call) -> Self {
        audit.call_begins(&call);
        Self {
            audit,
            closing,
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
        if is_stream {
            self.response.push_of_stream(part);
        } else {
            self.response.push(part);
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
        // The end of the gateway also drops the response, and then the agent did not give up the call.
        let cut = if self.closing.is_cancelled() {
            Outcome::Unknown
        } else {
            Outcome::Aborted
        };
        let outcome = outcome.unwrap_or(cut);
        let duration = self.started.elapsed();
        self.audit
            .call_ends(&self.call, outcome, duration, self.bytes);
    }
}

/// Finds the JSON-RPC response in a body of any length as it arrives, and whether it reports an error: it has `error`,
/// or `isError` in its `result`.
#[derive(Default)]
struct ResponseReader {
    message: Scanner,
    lines: DataLines,
    /// What the first response says.
    outcome: Option<Outcome>,
}

impl ResponseReader {
    /// Adds a part of an event stream.
    fn push_of_stream(&mut self, part: &[u8]) {
        let mut lines = std::mem::take(&mut self.lines);
        lines.push(part, |part| match part {
            Part::Data(data) => self.push(data),
            Part::End => self.message = Scanner::default(),
        });
        self.lines = lines;
    }

    /// Adds a part of JSON.
    fn push(&mut self, mut json: &[u8]) {
        while !json.is_empty() {
            json = self.message.add_object(json);
            if self.message.is_complete() {
                // Requests and notifications of the server can precede the response (transports, sending messages, 6): they
                // have neither `result` nor `error`.
                let message = std::mem::take(&mut self.message);
                let outcome = if message.has_error || message.is_error_result {
                    Some(Outcome::Error)
                } else {
                    message.has_result.then_some(Outcome::Result)
                };
                self.outcome = self.outcome.or(outcome);
            }
        }
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
            json.as_bytes().chunks(1).for_each(|part| plain.push(part));
            assert_eq!(plain.outcome, expected, "{json}");
            let mut plain = ResponseReader::default();
            plain.push(json.as_bytes());
            assert_eq!(plain.outcome, expected, "{json}");
            for end in ["\n", "\r", "\r\n"] {
                let lines = json.replace(",\"", &format!(",{end}data:\""));
                let text = format!(
                    ": {{\"error\":1}}{end}data: {{\"method\":\"x\",\"params\":{{}}}}{end}{end}id: 1{end}data: {lines}{end}{end}"
                );
                for size in [1, 7, text.len()] {
                    let mut stream = ResponseReader::default();
                    let parts = text.as_bytes().chunks(size);
                    parts.for_each(|part| stream.push_of_stream(part));
                    assert_eq!(stream.outcome, expected, "{text}");
                }
            }
        }
    }
}
