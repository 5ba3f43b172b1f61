//! What passes: granted tools, messages that all parsers read alike, and the list of tools.

use fake_port::FakePort;
use reqwest::header::HeaderValue;
use serde_json::json;

use crate::gateway::{Gateway, message};
use crate::harness::Step;

#[tokio::test]
async fn only_granted_tools_reach_port() {
    let gateway = Gateway::start();
    let session = gateway.open().await;
    let granted = gateway.call(&session, "list_blueprints").await;
    assert!(granted["result"]["content"].is_array(), "{granted}");
    assert_eq!(granted["id"], "a-1");
    for tool in ["delete_entity", "run_action", "list_Blueprints", ""] {
        let denied = gateway.call(&session, tool).await;
        assert_eq!(denied["error"]["code"], -32602, "{denied}");
        let text = denied["error"]["message"].as_str().unwrap();
        assert!(
            text.contains("granted tools: `list_blueprints`, `list_entities`"),
            "{text}"
        );
    }
    for method in [
        "prompts/list",
        "resources/read",
        "completion/complete",
        "logging/setLevel",
        "x",
    ] {
        let denied = gateway.request(&session, method, json!({})).await;
        assert_eq!(denied["error"]["code"], -32601, "{denied}");
    }
    let calls: Vec<String> = gateway
        .reached()
        .into_iter()
        .filter(|method| !method.starts_with("tools/list") && !method.starts_with("initialize"))
        .filter(|method| !method.starts_with("notifications/"))
        .collect();
    assert_eq!(calls, ["tools/call list_blueprints"]);
}

#[tokio::test]
async fn messages_that_parsers_read_differently_are_rejected() {
    let gateway = Gateway::start();
    let before = gateway.reached().len();
    for body in [
        r#"[{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{"name":"list_blueprints"}}]"#,
        r#"{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{"name":"list_blueprints","name":"delete_entity"}}"#,
        r#"{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{"name":"list_blueprints","Name":"delete_entity"}}"#,
        r#"{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{"name":"list_blueprints"},"Params":{"name":"x"}}"#,
        "{\"jsonrpc\":\"2.0\",\"id\":1,\"method\":\"tools/call\",\"param\u{17f}\":{\"name\":\"x\"}}",
        r#"{"jsonrpc":"2.0","id":1,"method":"ping","method":"tools/call"}"#,
        r#"{"jsonrpc":"1.0","id":1,"method":"ping"}"#,
        r#"{"jsonrpc":"2.0","id":1,"method":"ping"} {}"#,
        r#"{"jsonrpc":"2.0","id":1,"method":"ping""#,
        r#"{"jsonrpc":"2.0","id":{},"method":"ping"}"#,
        r#"{"jsonrpc":"2.0","id":1,"method":"tools/call","params":["list_blueprints"]}"#,
        "",
        "null",
    ] {
        let (status, text) = gateway.raw(body).await;
        // A client waits for a response to its request.
        let has_id = body.starts_with('{') && body.contains(r#""id":1"#) && !body.ends_with(" {}");
        let expected = if has_id { 200 } else { 400 };
        assert_eq!(status, expected, "{body}: {text}");
        assert!(message(&text)["error"]["code"].is_i64(), "{text}");
    }
    let deep = format!(
        r#"{{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{{"name":"list_blueprints","arguments":{}{}}}}}"#,
        "[".repeat(100),
        "]".repeat(100)
    );
    assert_eq!(gateway.raw(&deep).await.0, 200);
    let large = format!(
        r#"{{"jsonrpc":"2.0","id":[],"method":"{}"}}"#,
        "x".repeat(5 * 1024 * 1024)
    );
    assert_eq!(gateway.raw(&large).await.0, 413);
    for (name, value) in [("mcp-method", "tools/list"), ("mcp-name", "delete_entity")] {
        let mut headers = gateway.headers();
        headers.insert(name, HeaderValue::from_static(value));
        let call =
            r#"{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{"name":"list_blueprints"}}"#;
        let response = gateway.post(headers, call).await;
        assert_eq!(response.status(), 200, "{name}");
        let error = message(&response.text().await.unwrap());
        assert_eq!(error["error"]["code"], -32020, "{name}");
    }
    assert_eq!(gateway.reached().len(), before);
}

#[tokio::test]
async fn the_list_has_one_page_with_the_granted_tools() {
    let gateway = Gateway::against(FakePort::builder().page_size(1));
    let session = gateway.open().await;
    let list = gateway.request(&session, "tools/list", json!({})).await;
    let tools = list["result"]["tools"].as_array().unwrap();
    let names: Vec<&str> = tools
        .iter()
        .map(|tool| tool["name"].as_str().unwrap())
        .collect();
    assert_eq!(names, ["list_blueprints", "list_entities"]);
    assert!(list["result"].get("nextCursor").is_none(), "{list}");
    assert!(tools[0]["inputSchema"].is_object(), "{list}");
}

#[tokio::test]
async fn a_repeated_cursor_ends_in_an_error() {
    let port = FakePort::builder().page_size(5).cursor_loop(true);
    let gateway = Gateway::of(Step::against(port).input("verify", "false"));
    let session = gateway.open().await;
    let list = gateway.request(&session, "tools/list", json!({})).await;
    let text = list["error"]["message"].as_str().unwrap();
    assert_eq!(text, "Port's list of tools is endless");
    let stale = gateway
        .request(&session, "tools/list", json!({"cursor": "x"}))
        .await;
    assert_eq!(stale["error"]["code"], -32602);
}
