//! The model that follows a script, in each of its dialects.

use fake_port::FakePort;
use reqwest::Client;
use serde_json::{Value, json};

/// A dialect: its path, the request after so many calls, and where an answer names a tool.
struct Dialect {
    path: &'static str,
    streamed_path: &'static str,
    request: fn(usize) -> Value,
    call: fn(&Value) -> Option<&Value>,
}

const DIALECTS: [Dialect; 4] = [
    Dialect {
        path: "v1/messages",
        streamed_path: "v1/messages?beta=true",
        request: |calls| {
            let call = json!({"role": "assistant", "content": [{"type": "tool_use"}]});
            json!({"tools": [{"name": "mcp__port__list_blueprints"}], "messages": vec![call; calls]})
        },
        call: |answer| {
            answer
                .pointer("/content/0/name")
                .or(answer.pointer("/content_block/name"))
        },
    },
    Dialect {
        path: "v1/responses",
        streamed_path: "v1/responses",
        request: |calls| {
            let tools = json!([{"type": "namespace", "name": "mcp__port", "tools": [{"name": "list_blueprints"}]}]);
            json!({"tools": tools, "input": vec![json!({"type": "function_call"}); calls]})
        },
        call: |answer| {
            answer
                .pointer("/output/0/name")
                .or(answer.pointer("/item/name"))
        },
    },
    Dialect {
        path: "v1/chat/completions",
        streamed_path: "v1/chat/completions",
        request: |calls| {
            let call = json!({"role": "assistant", "tool_calls": [{}]});
            let tools = json!([{"type": "function", "function": {"name": "port-list_blueprints"}}]);
            json!({"tools": tools, "messages": vec![call; calls]})
        },
        call: |answer| {
            let message =
                |kind| answer.pointer(&format!("/choices/0/{kind}/tool_calls/0/function/name"));
            message("message").or(message("delta"))
        },
    },
    Dialect {
        path: "v1beta/models/m:generateContent",
        streamed_path: "v1beta/models/m:streamGenerateContent?alt=sse",
        request: |calls| {
            let call = json!({"role": "model", "parts": [{"functionCall": {}}]});
            let tools = json!([{"functionDeclarations": [{"name": "mcp_port_list_blueprints"}]}]);
            json!({"tools": tools, "contents": vec![call; calls]})
        },
        call: |answer| answer.pointer("/candidates/0/content/parts/0/functionCall/name"),
    },
];

/// The values of an event stream.
fn events(stream: &str) -> Vec<Value> {
    let data = stream
        .lines()
        .filter_map(|line| line.strip_prefix("data: "));
    data.filter_map(|data| serde_json::from_str(data).ok())
        .collect()
}

#[tokio::test]
async fn it_asks_for_the_tools_of_its_script_and_then_ends() {
    let port = FakePort::start();
    let model = format!("{}/model/list_blueprints,delete_entity", port.api_url());
    let ask = async |path: &str, request: &Value| {
        let answer = Client::new()
            .post(format!("{model}/{path}"))
            .json(request)
            .send();
        answer.await.unwrap().text().await.unwrap()
    };
    for dialect in DIALECTS {
        let offered = (dialect.request)(0);
        let name = offered.to_string();
        for (calls, wanted) in [
            (0, Some("list_blueprints")),
            (1, Some("delete_entity")),
            (2, None),
        ] {
            let mut request = (dialect.request)(calls);
            let answer = ask(dialect.path, &request).await;
            let answer: Value = serde_json::from_str(&answer).unwrap();
            let called = (dialect.call)(&answer)
                .and_then(Value::as_str)
                .map(str::to_owned);
            assert_eq!(
                called.is_some(),
                wanted.is_some(),
                "{}: {answer}",
                dialect.path
            );
            if let Some((called, wanted)) = called.as_deref().zip(wanted) {
                // As the agent calls the tool, or would.
                assert!(called.ends_with(wanted), "{called}");
                assert!(
                    name.contains(&called.replace(wanted, "list_blueprints")),
                    "{called}"
                );
            }

            request["stream"] = true.into();
            let events = events(&ask(dialect.streamed_path, &request).await);
            let streamed = events.iter().find_map(|event| (dialect.call)(event));
            assert_eq!(
                streamed.and_then(Value::as_str),
                called.as_deref(),
                "{}",
                dialect.path
            );
        }
    }
}

#[tokio::test]
async fn a_request_without_tools_is_no_turn_of_the_script() {
    let port = FakePort::start();
    let answer = Client::new()
        .post(format!(
            "{}/model/list_blueprints/v1/messages",
            port.api_url()
        ))
        .json(&json!({"messages": []}))
        .send()
        .await
        .unwrap();
    let answer: Value = answer.json().await.unwrap();
    assert_eq!(answer["stop_reason"], "end_turn");
}

#[tokio::test]
async fn a_script_in_a_file_has_arguments() {
    let port = FakePort::start();
    let script = tempfile::NamedTempFile::new().unwrap();
    let calls = json!([{"tool": "Read", "arguments": {"path": "/x"}}, {"tool": "list_blueprints"}]);
    std::fs::write(&script, calls.to_string()).unwrap();
    let path = script.path().to_str().unwrap().replace('/', "%2F");
    let ask = async |calls: usize| -> Value {
        let call = json!({"role": "assistant", "content": [{"type": "tool_use"}]});
        let tools = json!([{"name": "mcp__port__list_blueprints"}]);
        let answer = Client::new()
            .post(format!("{}/model/{path}/v1/messages", port.api_url()))
            .json(&json!({"tools": tools, "messages": vec![call; calls]}))
            .send();
        let answer: Value = answer.await.unwrap().json().await.unwrap();
        answer["content"][0].clone()
    };
    // By its own name, even if it is not offered.
    let first = ask(0).await;
    assert_eq!(
        (&first["name"], &first["input"]),
        (&json!("Read"), &json!({"path": "/x"}))
    );
    assert_eq!(ask(1).await["name"], "mcp__port__list_blueprints");
    assert_eq!(ask(2).await["type"], "text");
}

#[tokio::test]
async fn a_script_can_end_with_an_error_or_with_another_text() {
    let port = FakePort::start();
    let file = tempfile::NamedTempFile::new().unwrap();
    let text = json!([{"tool": "list_blueprints"}, {"text": "The answer."}]);
    std::fs::write(&file, text.to_string()).unwrap();
    let path = file.path().to_str().unwrap().replace('/', "%2F");
    for dialect in DIALECTS {
        let ask = async |script: &str, calls: usize| {
            let answer = Client::new()
                .post(format!(
                    "{}/model/{script}/{}",
                    port.api_url(),
                    dialect.path
                ))
                .json(&(dialect.request)(calls))
                .send();
            let answer = answer.await.unwrap();
            (answer.status().as_u16(), answer.text().await.unwrap())
        };
        assert_eq!(ask("401", 0).await.0, 401, "{}", dialect.path);
        assert_eq!(
            ask("list_blueprints,529", 0).await.0,
            200,
            "{}",
            dialect.path
        );
        let (status, error) = ask("list_blueprints,529", 1).await;
        assert_eq!(status, 529, "{}", dialect.path);
        assert!(error.contains("\"error\""), "{error}");
        assert!(!ask(&path, 0).await.1.contains("The answer."));
        assert!(
            ask(&path, 1).await.1.contains("The answer."),
            "{}",
            dialect.path
        );
    }
}

/// Codex's default model gets its tools as functions of a program.
#[tokio::test]
async fn a_model_that_writes_programs_calls_the_tools_in_them() {
    let port = FakePort::start();
    let ask = async |calls: usize| -> Value {
        let tools = json!([{"type": "namespace", "name": "functions", "tools": [{"type": "custom", "name": "exec"}]}]);
        let mut input = vec![json!({"type": "additional_tools", "tools": tools})];
        input.extend(vec![
            json!({"type": "custom_tool_call", "name": "exec"});
            calls
        ]);
        let answer = Client::new()
            .post(format!(
                "{}/model/list_blueprints,delete_entity/v1/responses",
                port.api_url()
            ))
            .json(&json!({"input": input}))
            .send();
        let answer: Value = answer.await.unwrap().json().await.unwrap();
        answer["output"][0].clone()
    };
    for (calls, tool) in [(0, "list_blueprints"), (1, "delete_entity")] {
        let item = ask(calls).await;
        assert_eq!(item["type"], "custom_tool_call");
        assert_eq!(
            (&item["namespace"], &item["name"]),
            (&json!("functions"), &json!("exec"))
        );
        let program = item["input"].as_str().unwrap();
        assert!(program.contains(&format!("find('{tool}')")), "{program}");
    }
    assert_eq!(ask(2).await["type"], "message");
}
