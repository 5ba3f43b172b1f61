//! The audit: the calls of the agent, without secrets and, by default, without values.

use fake_port::{FakePort, Flow};
use serde_json::json;

use crate::gateway::Gateway;
use crate::harness::{Step, annotations};

#[tokio::test]
async fn the_post_phase_stops_it_and_reports_the_calls() {
    let gateway = Gateway::of(Step::against(FakePort::builder()).input("audit_file", "true"));
    let session = gateway.open().await;
    gateway.call(&session, "list_blueprints").await;
    gateway.call(&session, "list_blueprints").await;
    gateway.call(&session, "delete_entity").await;
    let events = gateway.events();
    let names: Vec<&str> = events
        .iter()
        .map(|event| event["event"].as_str().unwrap())
        .collect();
    assert_eq!(names, ["start", "session", "call", "call", "rejection"]);
    assert_eq!(events[2]["tool"], "list_blueprints");
    assert_eq!(events[2]["outcome"], "result");
    assert_eq!(events[4]["tool"], "delete_entity");

    let post = gateway.step.clean_up();
    let warning = annotations(&post, "warning");
    assert_eq!(
        warning,
        "The gateway rejected calls of tools that are not granted: `delete_entity` (1)."
    );
    assert!(
        post.summary.contains("| `list_blueprints` | 2 | 0 | 0 |"),
        "{}",
        post.summary
    );
    assert!(
        post.summary.contains("| `delete_entity` | 0 | 0 | 1 |"),
        "{}",
        post.summary
    );
    let ping = gateway.http.get(gateway.url()).send().await;
    assert!(ping.is_err(), "it is gone");
    for secret in [
        gateway.key(),
        &gateway.step.port.token(Flow::Rest),
        gateway.step.port.client_secret(),
    ] {
        assert!(!gateway.audit().contains(secret));
    }
}

#[tokio::test]
async fn the_audit_shows_no_secret_and_no_value() {
    for shows_values in [false, true] {
        let step = Step::new()
            .input("audit_file", "true")
            .input("audit_arguments", shows_values.to_string());
        let gateway = Gateway::of(step);
        let session = gateway.open().await;
        gateway.step.port.expire_tokens();
        gateway.call(&session, "list_entities").await;
        // The runner cannot mask this token.
        let token = gateway.step.port.token(Flow::Rest);
        let arguments = json!({"query": format!("a value, {token}"), "long": "x".repeat(20_000)});
        let params = json!({"name": "list_entities", "arguments": arguments});
        gateway.request(&session, "tools/call", params).await;
        let params = json!({"name": format!("x{}", "y".repeat(20_000)), "arguments": {}});
        gateway.request(&session, "tools/call", params).await;
        let params =
            json!({"name": "list_entities", "arguments": {"query": format!("a value, {token}")}});
        gateway.request(&session, "tools/call", params).await;
        let text = gateway.audit();
        assert!(!text.contains(&token), "{text}");
        assert!(text.lines().all(|line| line.len() <= 8 * 1024), "{text}");
        assert_eq!(text.contains("a value, ***"), shows_values, "{text}");
        assert!(text.contains("query"), "{text}");
        assert!(
            text.contains(r#""event":"renewal","expires_at":"20"#),
            "{text}"
        );
    }
}
