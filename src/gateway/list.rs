//! The list of tools: all pages of Port's list as one page, with the granted tools.

use std::fmt::Display;

use http::{Response, StatusCode};
use serde::Deserialize;
use serde_json::Value;
use serde_json::value::RawValue;

use super::memory::Reserved;
use super::message::Message;
use super::post::Post;
use super::relay::{MAX_LIST, WHOLE_TIMEOUT, kept_json, relay_error, response_in, whole};
use super::reply::{Body, error_message, has_type, json_text};
use super::rewrite::{self, Page};
use crate::mcp::error_text;
use crate::mcp::headers::EVENT_STREAM;

/// The maximum number of pages of the list of tools.
const MAX_PAGES: usize = 250;
/// The maximum length of `_meta` in a request for the list, in bytes: it is sent with each page.
const MAX_META: usize = 64 * 1024;

/// The parameters of a request for the list. Port gets nothing else, of which an agent can send any number.
#[derive(Default, Deserialize)]
struct Params<'a> {
    #[serde(borrow, default)]
    cursor: Option<&'a RawValue>,
    #[serde(borrow, default, rename = "_meta")]
    meta: Option<&'a RawValue>,
}

impl Params<'_> {
    /// What is wrong with the parameters, if anything is.
    fn problem(&self) -> Option<&'static str> {
        let is_first = |cursor: &RawValue| matches!(cursor.get(), "null" | r#""""#);
        if !self.cursor.is_none_or(is_first) {
            Some("invalid cursor: the list has one page")
        } else if self.meta.is_some_and(|meta| meta.get().len() > MAX_META) {
            Some("`_meta` is larger than 64 KiB")
        } else {
            None
        }
    }

    /// The request for a page.
    fn request(&self, id: &str, cursor: Option<&str>) -> String {
        let cursor = cursor.map(|cursor| format!(r#""cursor":{}"#, Value::from(cursor)));
        let meta = self.meta.map(|meta| format!(r#""_meta":{meta}"#));
        let params = cursor.into_iter().chain(meta).collect::<Vec<_>>().join(",");
        format!(r#"{{"jsonrpc":"2.0","id":{id},"method":"tools/list","params":{{{params}}}}}"#)
    }
}

impl Post<'_> {
    /// Reads all pages of the list of tools, and answers with the granted tools on one page.
    pub(super) async fn list(&self, message: &Message<'_>) -> Response<Body> {
        let record = |reason: &dyn Display| self.gateway.audit.failure(self.label(), reason);
        let fail = |text: &str| {
            record(&text);
            json_text(StatusCode::OK, error_message(message.id, -32000, text))
        };
        let params: Params =
            serde_json::from_str(message.params.map_or("{}", RawValue::get)).unwrap_or_default();
        if let Some(error) = params.problem() {
            return json_text(StatusCode::OK, error_message(message.id, -32602, error));
        }
        let id = message.id.map_or("null", RawValue::get);
        let mut first: Option<Page> = None;
        let mut cursors: Vec<String> = Vec::new();
        let (mut left, mut memory) = (MAX_LIST, Reserved::default());
        loop {
            let request = params.request(id, cursors.last().map(String::as_str));
            let response = match self.send_body(request.into()).await {
                Ok(response) => response,
                Err(error) => return self.failed(message, &error),
            };
            if !response.status().is_success() {
                record(&format_args!(
                    "Port returned no list of tools ({})",
                    response.status()
                ));
                return relay_error(response, self.relay()).await.0;
            }
            let is_stream = has_type(response.headers(), EVENT_STREAM);
            let read = whole(response, left, WHOLE_TIMEOUT, &self.gateway.memory).await;
            let Ok((text, reserved)) = read else {
                return fail("Port's list of tools is too large or incomplete");
            };
            left -= text.len();
            memory.add(reserved);
            let Some(response) = response_in(&text, is_stream) else {
                return fail("Port's response is not a list of tools");
            };
            drop(text);
            let Some(result) = response.get("result") else {
                let text = response.to_string();
                let error: Value = serde_json::from_str(&text).unwrap_or_default();
                record(&format_args!(
                    "Port returned no list of tools ({})",
                    error_text(&error)
                ));
                return kept_json(text, self.relay(), memory);
            };
            let Some(mut page) = Page::parse(result.get()) else {
                return fail("Port's response is not a list of tools");
            };
            page.tools
                .retain(|tool| rewrite::is_granted(tool, &self.gateway.grants));
            let next = page.next_cursor.take();
            let page = match &mut first {
                None => first.insert(page),
                Some(first) => {
                    first.tools.append(&mut page.tools);
                    first
                }
            };
            // Some servers mark the end by an empty cursor.
            let Some(next) = next.filter(|next| !next.is_empty()) else {
                self.gateway
                    .audit
                    .list(self.session_label(), page.tools.len());
                break;
            };
            if cursors.contains(&next) || cursors.len() + 1 == MAX_PAGES {
                return fail("Port's list of tools is endless");
            }
            cursors.push(next);
        }
        let result = first
            .map(|page| page.into_result(false).to_string())
            .unwrap_or_default();
        let text = format!(r#"{{"jsonrpc":"2.0","id":{id},"result":{result}}}"#);
        kept_json(text, self.relay(), memory)
    }
}
