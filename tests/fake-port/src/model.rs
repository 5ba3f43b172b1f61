//! A scripted language model, for tests of agents without the key of a real model.
//!
//! The script is in the path, so the server keeps no state between requests: at
//! `/model/list_blueprints,delete_entity/`, the model calls the first tool, then the second, and
//! then responds with a text. The number of calls in the conversation decides which is next. A number
//! instead of a name is the status of an error, with which the model then ends: `/model/401/`.
//! Instead of the names, the path can contain the path of a file, encoded as one segment, that begins
//! with a slash: JSON with a list of calls, each with a `tool` and, optionally, its `arguments`. The last
//! element can be an object with a `text`, the model's answer, or with a `status`.
//!
//! It supports four APIs, each with and without event streams: Anthropic's Messages, `OpenAI`'s
//! Responses and chat completions, and Gemini's `generateContent`. In Codex's code mode, in which
//! the tools are functions of a program that the model writes, it responds with such a program.

use std::fs;

use axum::{
    Json,
    extract::Path,
    http::{StatusCode, header},
    response::{IntoResponse, Response},
};
use serde::Deserialize;
use serde_json::{Value, json};

pub(crate) const ROUTE: &str = "/model/{script}/{*rest}";

const MODEL: &str = "port-model";
const FINAL_TEXT: &str = "That is all.";

/// The response to the first request of Gemini CLI, which asks a small model for a rating to choose
/// a large model.
const RATING: &str = r#"{"complexity_reasoning": "It is a script.", "complexity_score": 1}"#;

/// What the model does in a conversation.
struct Script {
    calls: Vec<Call>,
    end: End,
}

/// A call in the script.
#[derive(Deserialize)]
struct Call {
    tool: String,
    /// Without them, it is a call of one of Port's tools.
    arguments: Option<Value>,
}

/// How the model ends a conversation.
#[derive(Deserialize)]
#[serde(rename_all = "lowercase")]
enum End {
    Text(String),
    Status(u16),
}

/// An element of the script in a file.
#[derive(Deserialize)]
#[serde(untagged)]
enum Element {
    Call(Call),
    End(End),
}

impl Script {
    /// The script in the path of a request.
    fn parse(path: &str) -> Self {
        let elements = if path.starts_with('/') {
            let text = fs::read(path).expect("the file of the script");
            serde_json::from_slice(&text).expect("a list of calls")
        } else {
            path.split(',').map(Element::parse).collect::<Vec<_>>()
        };
        let mut script = Self {
            calls: Vec::new(),
            end: End::Text(FINAL_TEXT.to_owned()),
        };
        for element in elements {
            match element {
                Element::Call(call) => script.calls.push(call),
                Element::End(end) => script.end = end,
            }
        }
        script
    }
}

impl Element {
    fn parse(name: &str) -> Self {
        name.parse().map_or_else(
            |_| {
                Self::Call(Call {
                    tool: name.to_owned(),
                    arguments: None,
                })
            },
            |status| Self::End(End::Status(status)),
        )
    }
}

impl Call {
    fn arguments(&self) -> Value {
        let of_port = || json!({"blueprintIdentifier": "service", "identifier": "checkout"});
        self.arguments.clone().unwrap_or_else(of_port)
    }
}

/// The model's next action.
enum Turn {
    /// It calls a tool.
    Call {
        /// The number of the call in the conversation, from 0.
        number: usize,
        /// The tool, with the name that the agent uses.
        tool: Tool,
        arguments: Value,
    },
    /// It writes a program that calls a tool.
    Program {
        /// The number of the call in the conversation, from 0.
        number: usize,
        /// The tool that runs programs.
        tool: Tool,
        /// The program, in JavaScript.
        text: String,
    },
    /// It ends the conversation with a text.
    End(String),
}

/// A tool that the agent offers to the model. Some agents put a server's tools into a namespace.
#[derive(Clone)]
struct Tool {
    namespace: Option<String>,
    name: String,
    /// Whether it accepts text in any format, such as a program.
    is_custom: bool,
}

impl Turn {
    /// The next turn in a conversation with this many calls. A tool that the agent does not offer
    /// is called by the name that it would have. Fails with the status that ends the script, if it has one.
    fn next(
        Script { calls: script, end }: &Script,
        offered: &[Tool],
        calls: usize,
    ) -> Result<Self, StatusCode> {
        let find = |wanted: &str| offered.iter().find(|tool| is_called(&tool.name, wanted));
        // Requests for a title or a summary have no tools.
        let Some(call) = script.get(calls).filter(|_| !offered.is_empty()) else {
            return match end {
                End::Text(text) => Ok(Self::End(text.clone())),
                End::Status(status) => Err(StatusCode::from_u16(*status).expect("a status")),
            };
        };
        let interpreter = offered
            .iter()
            .find(|tool| tool.is_custom && tool.name == "exec");
        let is_in_program = find(&call.tool).is_none_or(|tool| tool.is_custom);
        if let Some(interpreter) = interpreter.filter(|_| is_in_program) {
            return Ok(Self::Program {
                number: calls,
                tool: interpreter.clone(),
                text: program(script, call),
            });
        }
        let named = |name: &str| Tool {
            namespace: None,
            name: name.to_owned(),
            is_custom: false,
        };
        let tool = find(&call.tool).cloned().unwrap_or_else(|| {
            let of_port = script.iter().filter(|other| other.arguments.is_none());
            let sibling = of_port
                .filter(|_| call.arguments.is_none())
                .find_map(|other| Some((&other.tool, find(&other.tool)?)));
            sibling.map_or_else(
                || named(&call.tool),
                |(other, tool)| Tool {
                    name: tool.name.replace(other, &call.tool),
                    ..tool.clone()
                },
            )
        });
        Ok(Self::Call {
            number: calls,
            tool,
            arguments: call.arguments(),
        })
    }
}

/// A program that calls the tool, by the name that the tool has or would have there. If the call is
/// of the interpreter itself, its arguments are the program.
fn program(script: &[Call], call: &Call) -> String {
    if let Some(program) = call.arguments.as_ref().and_then(Value::as_str) {
        return program.to_owned();
    }
    let of_port = script.iter().filter(|call| call.arguments.is_none());
    let siblings: Vec<&str> = of_port.map(|call| call.tool.as_str()).collect();
    format!(
        "const names = ALL_TOOLS.map(({{ name }}) => name);\n\
         const find = (tool) => names.find((name) => name === tool || name.endsWith(`__${{tool}}`));\n\
         const sibling = {siblings}.find(find) ?? '';\n\
         const name = find('{wanted}') ?? (find(sibling) ?? '').replace(sibling, '{wanted}');\n\
         text(await tools[name]({arguments}));\n",
        siblings = json!(siblings),
        wanted = call.tool,
        arguments = call.arguments(),
    )
}

/// Whether an agent's name for a tool ends with the tool's own name.
fn is_called(name: &str, wanted: &str) -> bool {
    name.strip_suffix(wanted)
        .is_some_and(|prefix| !prefix.ends_with(|c: char| c.is_ascii_alphanumeric()))
}

/// Responds to the API that `rest` of the path belongs to.
pub(crate) async fn respond(
    Path((script, rest)): Path<(String, String)>,
    body: Option<Json<Value>>,
) -> Response {
    let Some(Json(request)) = body else {
        // Some agents first request the list of models.
        return Json(json!({"object": "list", "data": [{"id": MODEL, "object": "model"}]}))
            .into_response();
    };
    take_turn(&Script::parse(&script), &rest, &request).unwrap_or_else(|status| {
        // Anthropic's format. The others have the same `error`.
        let error = json!({"type": "api_error", "message": "The script ends with this error."});
        (status, Json(json!({"type": "error", "error": error}))).into_response()
    })
}

fn take_turn(script: &Script, rest: &str, request: &Value) -> Result<Response, StatusCode> {
    let streams = request["stream"] == true || rest.contains("stream");
    let turn = |offered: &[Tool], calls| Turn::next(script, offered, calls);
    Ok(match rest.rsplit(['/', ':']).next().unwrap_or_default() {
        "messages" => messages(
            &turn(
                &tools_in(&request["tools"]),
                count(&request["messages"], "tool_use"),
            )?,
            streams,
        ),
        "responses" => {
            let mut offered = tools_in(&request["tools"]);
            offered.extend(tools_in(&parts(&request["input"], "tools").collect()));
            let input = &request["input"];
            let calls = count(input, "function_call") + count(input, "custom_tool_call");
            responses(&turn(&offered, calls)?, streams)
        }
        "completions" => completions(
            &turn(
                &tools_in(&request["tools"]),
                tool_calls(&request["messages"]),
            )?,
            streams,
        ),
        "generateContent" | "streamGenerateContent" => {
            let declarations: Value = parts(&request["tools"], "functionDeclarations").collect();
            let calls = parts(&request["contents"], "parts")
                .filter(|part| part.get("functionCall").is_some())
                .count();
            let wants_json = request["generationConfig"]["responseMimeType"] == "application/json";
            let next = match turn(&tools_in(&declarations), calls)? {
                Turn::End(_) if wants_json => Turn::End(RATING.to_owned()),
                next => next,
            };
            generate_content(&next, streams)
        }
        "count_tokens" | "countTokens" => {
            Json(json!({"input_tokens": 1, "totalTokens": 1})).into_response()
        }
        _ => StatusCode::NOT_FOUND.into_response(),
    })
}

/// The elements of the lists at `key` of each element.
fn parts<'a>(list: &'a Value, key: &'a str) -> impl Iterator<Item = Value> + 'a {
    let elements = list.as_array().into_iter().flatten();
    elements
        .filter_map(move |element| element[key].as_array())
        .flatten()
        .cloned()
}

/// The tools in a list, in any of the APIs' formats.
fn tools_in(tools: &Value) -> Vec<Tool> {
    let name = |tool: &Value| {
        let name = tool["name"].as_str().or(tool["function"]["name"].as_str());
        name.map(str::to_owned)
    };
    let tool = |tool: &Value, namespace: Option<String>| {
        Some(Tool {
            namespace,
            name: name(tool)?,
            is_custom: tool["type"] == "custom",
        })
    };
    let mut found = Vec::new();
    for outer in tools.as_array().into_iter().flatten() {
        match outer["tools"].as_array() {
            Some(inner) => found.extend(inner.iter().filter_map(|inner| tool(inner, name(outer)))),
            None => found.extend(tool(outer, None)),
        }
    }
    found
}

/// The number of items of this type in a conversation, in its messages or between them.
fn count(conversation: &Value, kind: &str) -> usize {
    let within = parts(conversation, "content");
    let between = conversation.as_array().into_iter().flatten().cloned();
    within
        .chain(between)
        .filter(|item| item["type"] == kind)
        .count()
}

fn tool_calls(messages: &Value) -> usize {
    parts(messages, "tool_calls").count()
}

/// Anthropic's Messages.
fn messages(turn: &Turn, streams: bool) -> Response {
    let (content, stop_reason) = match turn {
        Turn::Call {
            number,
            tool,
            arguments,
        } => (
            json!({"type": "tool_use", "id": format!("toolu_{number}"), "name": tool.name, "input": arguments}),
            "tool_use",
        ),
        Turn::Program { text, .. } | Turn::End(text) => {
            (json!({"type": "text", "text": text}), "end_turn")
        }
    };
    let usage = json!({"input_tokens": 1, "output_tokens": 1});
    let mut message = json!({
        "id": "msg_fake", "type": "message", "role": "assistant", "model": MODEL,
        "content": [content], "stop_reason": stop_reason, "stop_sequence": null, "usage": usage,
    });
    if !streams {
        return Json(message).into_response();
    }
    message["content"] = json!([]);
    message["stop_reason"] = Value::Null;
    let (start, delta) = match turn {
        Turn::Call { arguments, .. } => {
            let mut start = content;
            start["input"] = json!({});
            let partial = arguments.to_string();
            (
                start,
                json!({"type": "input_json_delta", "partial_json": partial}),
            )
        }
        Turn::Program { text, .. } | Turn::End(text) => (
            json!({"type": "text", "text": ""}),
            json!({"type": "text_delta", "text": text}),
        ),
    };
    events(&[
        json!({"type": "message_start", "message": message}),
        json!({"type": "content_block_start", "index": 0, "content_block": start}),
        json!({"type": "content_block_delta", "index": 0, "delta": delta}),
        json!({"type": "content_block_stop", "index": 0}),
        json!({"type": "message_delta", "delta": {"stop_reason": stop_reason, "stop_sequence": null}, "usage": usage}),
        json!({"type": "message_stop"}),
    ])
}

/// `OpenAI`'s Responses.
fn responses(turn: &Turn, streams: bool) -> Response {
    let item = match turn {
        Turn::Call {
            number,
            tool,
            arguments,
        } => {
            let mut item = json!({
                "type": "function_call", "id": format!("fc_{number}"), "call_id": format!("call_{number}"),
                "name": tool.name, "arguments": arguments.to_string(), "status": "completed",
            });
            if let Some(namespace) = &tool.namespace {
                item["namespace"] = namespace.as_str().into();
            }
            item
        }
        Turn::Program { number, tool, text } => json!({
            "type": "custom_tool_call", "id": format!("ctc_{number}"), "call_id": format!("call_{number}"),
            "namespace": tool.namespace, "name": tool.name, "input": text, "status": "completed",
        }),
        Turn::End(text) => json!({
            "type": "message", "id": "msg_fake", "role": "assistant", "status": "completed",
            "content": [{"type": "output_text", "text": text, "annotations": []}],
        }),
    };
    let response = |status: &str, output: &[&Value]| {
        json!({
            "id": "resp_fake", "object": "response", "created_at": 0, "model": MODEL, "status": status,
            "output": output, "parallel_tool_calls": false, "tool_choice": "auto", "tools": [],
            "usage": {
                "input_tokens": 1, "input_tokens_details": {"cached_tokens": 0},
                "output_tokens": 1, "output_tokens_details": {"reasoning_tokens": 0}, "total_tokens": 2,
            },
        })
    };
    let completed = response("completed", &[&item]);
    if !streams {
        return Json(completed).into_response();
    }
    events(&[
        json!({"type": "response.created", "sequence_number": 0, "response": response("in_progress", &[])}),
        json!({"type": "response.output_item.added", "sequence_number": 1, "output_index": 0, "item": item}),
        json!({"type": "response.output_item.done", "sequence_number": 2, "output_index": 0, "item": item}),
        json!({"type": "response.completed", "sequence_number": 3, "response": completed}),
    ])
}

/// `OpenAI`'s chat completions.
fn completions(turn: &Turn, streams: bool) -> Response {
    let (message, finish_reason) = match turn {
        Turn::Call {
            number,
            tool,
            arguments,
        } => (
            json!({"role": "assistant", "content": null, "tool_calls": [{
                "index": 0, "id": format!("call_{number}"), "type": "function",
                "function": {"name": tool.name, "arguments": arguments.to_string()},
            }]}),
            "tool_calls",
        ),
        Turn::Program { text, .. } | Turn::End(text) => {
            (json!({"role": "assistant", "content": text}), "stop")
        }
    };
    let envelope = |object: &str, choices: &[Value]| {
        json!({
            "id": "chatcmpl-port", "object": object, "created": 0, "model": MODEL, "choices": choices,
        })
    };
    let usage = json!({"prompt_tokens": 1, "completion_tokens": 1, "total_tokens": 2});
    if !streams {
        let choice = json!({"index": 0, "message": message, "finish_reason": finish_reason});
        let mut completion = envelope("chat.completion", &[choice]);
        completion["usage"] = usage;
        return Json(completion).into_response();
    }
    let chunk = |delta, finish_reason: Value| {
        let choice = json!({"index": 0, "delta": delta, "finish_reason": finish_reason});
        envelope("chat.completion.chunk", &[choice])
    };
    // The usage is a separate event at the end: clients stop reading after it.
    let mut last = envelope("chat.completion.chunk", &[]);
    last["usage"] = usage;
    events(&[
        chunk(message, Value::Null),
        chunk(json!({}), finish_reason.into()),
        last,
        json!("[DONE]"),
    ])
}

/// Gemini's `generateContent`.
fn generate_content(turn: &Turn, streams: bool) -> Response {
    let part = match turn {
        Turn::Call {
            tool, arguments, ..
        } => {
            json!({"functionCall": {"name": tool.name, "args": arguments}})
        }
        Turn::Program { text, .. } | Turn::End(text) => json!({"text": text}),
    };
    let response = json!({
        "candidates": [{"index": 0, "content": {"role": "model", "parts": [part]}, "finishReason": "STOP"}],
        "usageMetadata": {"promptTokenCount": 1, "candidatesTokenCount": 1, "totalTokenCount": 2},
        "modelVersion": MODEL,
    });
    if streams {
        events(&[response])
    } else {
        Json(response).into_response()
    }
}

/// An event stream. The name of an event is its type, if it has one.
fn events(events: &[Value]) -> Response {
    let body: Vec<String> = events
        .iter()
        .map(|event| {
            let name = event["type"].as_str();
            let name = name.map(|name| format!("event: {name}\n"));
            let data = event
                .as_str()
                .map_or_else(|| event.to_string(), str::to_owned);
            format!("{}data: {data}\n\n", name.unwrap_or_default())
        })
        .collect();
    ([(header::CONTENT_TYPE, "text/event-stream")], body.concat()).into_response()
}
