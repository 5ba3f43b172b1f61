//! GitHub's contents endpoint, which returns an organization's policy.

#![expect(
    clippy::unwrap_used,
    reason = "a failed step is a failed test, in helpers too"
)]

use base64::{Engine, engine::general_purpose::STANDARD};
use fake_port::{Endpoint, FakePort, Fault, GITHUB_TOKEN};
use reqwest::{Client, RequestBuilder, Response};
use serde_json::{Value, json};

const POLICY: &str = "version: 1\nrules: []\n# A line long enough for base64 to be broken: é\n";

fn port() -> FakePort {
    FakePort::builder()
        .policy_file("acme/policies", "ci/port-mcp.yml", "main", POLICY)
        .policy_file("acme/policies", "ci/port-mcp.yml", "v2", "version: 2\n")
        .policy_file("acme/policies", "README.md", "main", "Policies\n")
        .policy_file("acme/vault", "port-mcp.yml", "main", POLICY)
        .private("acme/vault")
        .start()
}

fn get(base: &str, path: &str) -> RequestBuilder {
    let client = Client::builder().tls_certs_only([]).build().unwrap();
    client
        .get(format!("{base}/repos/{path}"))
        .header("user-agent", "test")
}

async fn json(request: RequestBuilder) -> (u16, Value) {
    let response = request.send().await.unwrap();
    (response.status().as_u16(), response.json().await.unwrap())
}

async fn raw(request: RequestBuilder) -> Response {
    let raw = "application/vnd.github.raw+json";
    request.header("accept", raw).send().await.unwrap()
}

fn rejected(status: u16, message: &str, documentation: &str) -> (u16, Value) {
    let documentation = format!("https://docs.github.com/{documentation}");
    let body = json!({
        "message": message,
        "documentation_url": documentation,
        "status": status.to_string(),
    });
    (status, body)
}

fn not_found() -> (u16, Value) {
    rejected(
        404,
        "Not Found",
        "rest/repos/contents#get-repository-content",
    )
}

#[tokio::test]
async fn a_file_comes_as_json_or_raw_from_both_editions() {
    let port = port();
    assert!(port.ghes_url().ends_with("/api/v3"));
    for base in [port.github_url(), port.ghes_url()] {
        let request = || get(base, "acme/policies/contents/ci/port-mcp.yml?ref=main");

        let (status, file) = json(request()).await;
        assert_eq!(status, 200);
        assert_eq!(
            (&file["type"], &file["encoding"]),
            (&json!("file"), &json!("base64"))
        );
        assert_eq!(
            (&file["name"], &file["path"]),
            (&json!("port-mcp.yml"), &json!("ci/port-mcp.yml"))
        );
        assert_eq!(file["size"], POLICY.len());
        let content = file["content"].as_str().unwrap();
        assert!(content.lines().count() > 1 && content.lines().all(|line| line.len() <= 60));
        assert_eq!(
            STANDARD.decode(content.replace('\n', "")).unwrap(),
            POLICY.as_bytes()
        );

        for accept in [
            "application/vnd.github.raw+json",
            "application/vnd.github.v3.raw",
            "application/vnd.github.raw, */*;q=0.1",
        ] {
            let response = request().header("accept", accept).send().await.unwrap();
            let kind = response.headers()["content-type"].to_str().unwrap();
            assert!(
                kind.starts_with("application/vnd.github."),
                "{accept}: {kind}"
            );
            assert_eq!(response.text().await.unwrap(), POLICY, "{accept}");
        }
        let ordinary = request().header("accept", "application/vnd.github.v3+json");
        assert_eq!(json(ordinary).await, (200, file));
    }
}

#[tokio::test]
async fn a_reference_chooses_the_version() {
    let port = port();
    let file = "acme/policies/contents/ci/port-mcp.yml";
    for (query, expected) in [
        ("", POLICY),
        ("?ref=refs/heads/main", POLICY),
        ("?ref=v2", "version: 2\n"),
        ("?ref=refs%2Ftags%2Fv2", "version: 2\n"),
    ] {
        let response = raw(get(port.github_url(), &format!("{file}{query}"))).await;
        assert_eq!(response.text().await.unwrap(), expected, "{query}");
    }
    assert_eq!(
        json(get(port.github_url(), &format!("{file}?ref=v3"))).await,
        rejected(404, "No commit found for the ref v3", "v3/repos/contents/")
    );
}

#[tokio::test]
async fn a_directory_is_a_list() {
    let port = port();
    let list = async |path: &str| {
        let (status, entries) = json(get(port.github_url(), path)).await;
        assert_eq!(status, 200);
        entries
            .as_array()
            .unwrap()
            .iter()
            .map(|entry| {
                format!(
                    "{} {}",
                    entry["type"].as_str().unwrap(),
                    entry["path"].as_str().unwrap()
                )
            })
            .collect::<Vec<_>>()
    };
    assert_eq!(
        list("acme/policies/contents/ci").await,
        ["file ci/port-mcp.yml"]
    );
    for root in ["acme/policies/contents", "Acme/Policies/contents/"] {
        assert_eq!(list(root).await, ["file README.md", "dir ci"]);
    }
}

#[tokio::test]
async fn what_may_not_be_seen_does_not_exist() {
    let port = port();
    for path in [
        "acme/policies/contents/ci/other.yml",
        "acme/nothing/contents/port-mcp.yml",
        "acme/vault/contents/port-mcp.yml",
    ] {
        assert_eq!(
            json(get(port.github_url(), path)).await,
            not_found(),
            "{path}"
        );
    }
    for path in [
        "acme/vault/contents/port-mcp.yml",
        "acme/policies/contents/README.md",
    ] {
        let wrong = get(port.github_url(), path).bearer_auth("ghs_wrong");
        assert_eq!(json(wrong).await, rejected(401, "Bad credentials", "rest"));
        let right = get(port.github_url(), path).bearer_auth(GITHUB_TOKEN);
        assert_eq!(raw(right).await.status(), 200);
    }
    assert_eq!(
        json(get(port.github_url(), "acme/policies/commits/main")).await,
        rejected(404, "Not Found", "rest")
    );
}

#[tokio::test]
async fn a_large_file_is_only_there_in_raw_form() {
    let large = "#".repeat(1024 * 1024 + 1);
    let port = FakePort::builder()
        .policy_file("acme/policies", "large.yml", "main", large.as_str())
        .start();
    let request = || get(port.github_url(), "acme/policies/contents/large.yml");
    let (_, file) = json(request()).await;
    assert_eq!(
        (&file["encoding"], &file["content"]),
        (&json!("none"), &json!(""))
    );
    assert_eq!(raw(request()).await.text().await.unwrap(), large);
}

#[tokio::test]
async fn requests_are_recorded_traced_and_may_fail() {
    let port = port();
    let path = "acme/policies/contents/README.md";
    port.fault(Endpoint::Github, Fault::status(502));
    port.fault(Endpoint::Github, Fault::NotJson);
    for (base, status) in [
        (port.ghes_url(), 502),
        (port.github_url(), 200),
        (port.github_url(), 200),
    ] {
        let response = get(base, path).send().await.unwrap();
        assert_eq!(response.status(), status);
        assert!(response.headers().contains_key("x-github-request-id"));
        assert!(!response.headers().contains_key("x-trace-id"));
    }
    let received = port.received();
    assert_eq!(received.len(), 3);
    assert_eq!(received[0].path, format!("/api/v3/repos/{path}"));
    assert_eq!(received[1].path, format!("/repos/{path}"));

    let url = format!("{}/repos/{path}", port.github_url());
    let client = Client::builder().tls_certs_only([]).build().unwrap();
    let nameless = client.get(url).send().await.unwrap();
    assert_eq!(nameless.status(), 403);
    assert!(nameless.text().await.unwrap().contains("User-Agent"));
}

#[tokio::test]
async fn the_name_of_a_user_says_who_it_is() {
    let port = port();
    let base = port.github_url();
    for (name, kind, permission) in [
        ("octocat", Some("User"), Some("write")),
        ("outsider", Some("User"), Some("read")),
        ("renovate[bot]", Some("Bot"), Some("none")),
        ("Copilot", None, None),
    ] {
        let user = Client::new()
            .get(format!("{base}/users/{name}"))
            .header("user-agent", "test");
        assert_eq!(json(user).await.1["type"].as_str(), kind, "{name}");
        let (_, response) = json(get(
            base,
            &format!("acme/any/collaborators/{name}/permission"),
        ))
        .await;
        assert_eq!(response["permission"].as_str(), permission, "{name}");
    }
}
