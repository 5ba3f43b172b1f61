//! The end of a gateway: what its audit contains then, and what the post step says.

use std::time::Duration;

use fake_port::{Endpoint, FakePort, Fault};
use futures_util::future::join_all;
use serde_json::{Value, json};

use crate::gateway::{Gateway, call_of};
use crate::harness::{Step, annotations, errors, is_image};

fn start() -> Gateway {
    Gateway::of(Step::new().input("audit_file", "true"))
}

fn of<'a>(audit: &'a [Value], event: &str) -> Vec<&'a Value> {
    audit.iter().filter(|line| line["event"] == event).collect()
}

/// Waits until Port has received so many calls.
async fn received(gateway: &Gateway, calls: usize) {
    let is_call = |body: &str| body.contains("tools/call");
    loop {
        let requests = gateway.step.port.received();
        if requests
            .iter()
            .filter(|request| is_call(&request.body))
            .count()
            >= calls
        {
            return;
        }
        tokio::task::yield_now().await;
    }
}

#[tokio::test]
async fn every_call_is_in_the_audit_before_its_last_line() {
    const CALLS: usize = 150;
    let port = FakePort::builder().call_time(Duration::from_hours(1));
    let gateway = Gateway::of(Step::against(port).input("audit_file", "true"));
    let session = gateway.open().await;
    let (client, url) = (gateway.http.clone(), gateway.url().to_owned());
    let calls = (0..CALLS).map(|_| {
        let request = client.post(&url).headers(session.clone());
        let request = request.body(call_of("list_entities"));
        async { request.send().await?.text().await }
    });
    let calls = tokio::spawn(join_all(calls));
    received(&gateway, CALLS).await;
    let (gateway, ended) = gateway.stopped().await;
    let answers = calls.await.unwrap();
    assert!(
        answers.iter().all(Result::is_err),
        "the gateway closed them"
    );
    let audit = gateway.events();
    let calls = of(&audit, "call");
    assert_eq!(calls.len(), CALLS);
    assert!(calls.iter().all(|call| call["outcome"] == "unknown"));
    let last = audit.last().unwrap();
    assert_eq!(last["event"], "stop");
    if !is_image() {
        assert_eq!(last["end"], "request");
    }
    let row = format!("| `list_entities` | {CALLS} | {CALLS} | 0 |");
    assert!(ended.summary.contains(&row), "{}", ended.summary);
}

#[tokio::test]
async fn a_flood_of_rejected_calls_removes_no_earlier_line() {
    const REJECTED: usize = 1_300;
    let gateway = start();
    let session = gateway.open().await;
    gateway.call(&session, "list_entities").await;
    for _ in 0..REJECTED {
        gateway.call(&session, "delete_entity").await;
    }
    gateway.call(&session, "list_blueprints").await;
    let post = gateway.step.clean_up();
    let audit = gateway.events();
    assert_eq!(audit[2]["tool"], "list_entities");
    assert_eq!(of(&audit, "rejection").len(), 1_000);
    assert_eq!(of(&audit, "call").len(), 2);
    let gaps = of(&audit, "gap");
    let lines: Vec<u64> = gaps
        .iter()
        .map(|gap| gap["lines"].as_u64().unwrap())
        .collect();
    assert_eq!(lines, [1, 2, 4, 8, 16, 32, 64, 128, 256]);
    assert!(gaps.iter().all(|gap| gap["of"] == "rejection"));
    assert_eq!(audit.last().unwrap()["gaps"], json!({"rejection": 300}));
    assert!(
        post.summary.contains("| `delete_entity` | 0 | 0 | 1300 |"),
        "{}",
        post.summary
    );
    assert!(
        post.log().contains("lines that the audit only counts: 300"),
        "{}",
        post.log()
    );
}

#[tokio::test]
async fn a_name_that_looks_like_a_granted_one_is_shown_apart() {
    let gateway = start();
    let session = gateway.open().await;
    gateway.call(&session, "list_entities").await;
    for name in [
        "list_entities\u{200b}",
        "list_entities ",
        "list_\u{ad}entities",
        "list_entities\u{fe0f}",
    ] {
        gateway.call(&session, name).await;
    }
    let summary = gateway.step.clean_up().summary;
    assert!(
        summary.contains("| `list_entities` | 1 | 0 | 0 |"),
        "{summary}"
    );
    for shown in ["200b", "20", "ad", "fe0f"] {
        assert!(summary.contains(&format!(r"\u{{{shown}}}")), "{summary}");
    }
}

#[tokio::test]
async fn a_gateway_that_no_agent_used_is_reported() {
    let gateway = Gateway::of(Step::new());
    let post = gateway.step.clean_up();
    assert_eq!(post.exit, Some(0));
    insta::assert_snapshot!(annotations(&post, "warning"), @"
    no agent connected to Port through the gateway, and none tried
    hint: check that the step of the agent ran, and that it uses the output `mcp_config`, or `mcp_url` and `access_token`; if an earlier step failed, see its error first
    see: https://github.com/acme/port-mcp-action/blob/v1/docs/troubleshooting.md#no-agent-connected-to-port-through-the-gateway
    ");
}

/// Gateways that require a connection, in front of a version without sessions, and how clients begin there.
fn without_sessions() -> [(Gateway, String); 2] {
    let list = json!({"jsonrpc": "2.0", "id": 1, "method": "tools/list"}).to_string();
    [call_of("list_entities"), list].map(|body| {
        let port = FakePort::builder().sessions(false);
        let step = Step::against(port).input("require_connection", "true");
        (Gateway::of(step), body)
    })
}

#[tokio::test]
async fn a_required_connection_fails_the_post_step_without_one() {
    let step = || Step::new().input("require_connection", "true");
    let gateway = Gateway::of(step());
    let finished = gateway.step.clean_up();
    assert_eq!(finished.exit, Some(1));
    let text = errors(&finished);
    assert!(
        text.starts_with("no agent connected to Port through the gateway, and none tried\n"),
        "{text}"
    );
    assert_eq!(annotations(&finished, "warning"), "");

    let gateway = Gateway::of(step());
    gateway.open().await;
    assert_eq!(gateway.step.clean_up().exit, Some(0));

    // A client of a version without sessions can begin with any request.
    for (gateway, body) in without_sessions() {
        let (status, text) = gateway.raw(&body).await;
        assert_eq!(status, 200, "{text}");
        assert_eq!(gateway.step.clean_up().exit, Some(0));
    }

    let gateway = Gateway::of(step());
    gateway.step.clean_up();
    let text = errors(&gateway.step.clean_up());
    assert!(text.contains("as far as is known"), "{text}");
}

/// Port is out of reach when a client of a version without sessions begins.
#[tokio::test]
async fn a_request_without_an_answer_is_no_connection() {
    for (gateway, body) in without_sessions() {
        gateway.step.port.fault(Endpoint::Mcp, Fault::Close);
        gateway.raw(&body).await;
        let text = errors(&gateway.step.clean_up());
        let expected = "no agent connected to Port through the gateway. Failed requests: 1. The last one: the connection to Port broke";
        assert!(text.starts_with(expected), "{text}");
    }
    let gateway = Gateway::of(Step::new());
    gateway.raw(&call_of("delete_entity")).await;
    let warnings = annotations(&gateway.step.clean_up(), "warning");
    assert!(
        warnings.contains("through the gateway. Its requests were rejected: 1\nhint: "),
        "{warnings}"
    );
}

#[test]
fn an_invalid_value_of_require_connection_is_an_error() {
    let errors = Step::new().input("require_connection", "maybe").fail();
    assert!(errors.contains("input `require_connection`"), "{errors}");
}

#[tokio::test]
async fn requests_that_port_does_not_answer_are_counted_and_reported() {
    let gateway = start();
    let session = gateway.open().await;
    for _ in 0..3 {
        gateway.step.port.fault(Endpoint::Mcp, Fault::Close);
        gateway.call(&session, "list_entities").await;
    }
    let post = gateway.step.clean_up();
    let warning = annotations(&post, "warning");
    assert!(
        warning.starts_with("Requests of the agent failed without an answer of Port: 3. The last one: the connection to Port broke"),
        "{warning}"
    );
    assert!(post.summary.contains("Failed requests"), "{}", post.summary);
    assert!(post.log().contains("failed requests: 3"), "{}", post.log());
}
