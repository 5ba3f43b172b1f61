//! An organization's policy: its conditions, its files, and the hints of its errors.

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use fake_port::{Endpoint, FakePort, Fault};
use serde_json::{Value, json};

use crate::harness::Step;

const POLICY: &str = "acme/.github/port-mcp.yml@main";

#[test]
fn the_hint_of_a_policy_error_is_about_that_error() {
    let hint = |text: &str| {
        let errors = Step::new()
            .file("p.yml", text)
            .input("policy", "p.yml")
            .fail();
        errors.rsplit_once("hint: ").unwrap().1.to_owned()
    };
    assert!(
        hint("version: 1\nrules:\n- allow: {tools: [*]}").contains("quote entries that begin with")
    );
    assert!(hint("version: 1\nrules:\n- allow: {tools: ['*', !x y]}").contains("quote exclusions"));
    assert!(
        hint("version: 1\nrules:\n- allow:\n    tools: ['*']\n    regions:\n")
            .contains("add a value")
    );
    assert!(
        hint("version: 1\nrules:\n- when: {ref: ['!x']}\n  allow: {tools: ['*']}")
            .contains("a list that includes before it excludes")
    );
    for text in [
        "version: 2\nrules: []",
        "version: 1\nrules: []",
        "version: 1\nrule: []",
        "version: 1\nrules: x",
    ] {
        assert!(!hint(text).contains("quotes"), "{text}: {}", hint(text));
    }
}

/// Wherever the gateway is the way out, the message names it.
#[test]
fn a_denial_says_what_is_allowed_and_whom_to_ask() {
    let policy = |limits: &str| {
        format!(
            "version: 1\ncontact: 'Ask @platform\u{202e} ::error::'\nrules:\n- allow: {{tools: ['list_*'], servers: \
             [127.0.0.1]{limits}}}\n"
        )
    };
    let denied = |limits: &str, inputs: &[(&str, &str)]| {
        let step = Step::new()
            .file("p.yml", &policy(limits))
            .input("policy", "p.yml");
        let inputs = inputs.iter();
        let step = inputs.fold(step, |step, (name, value)| step.input(name, *value));
        let errors = step.fail();
        assert!(
            errors.contains("the policy owner (`Ask @platform ::error::`)"),
            "{errors}"
        );
        errors
    };
    let errors = denied(
        ", connection: [gateway]",
        &[("allowed_tools", "list_entities")],
    );
    assert!(
        errors.contains("which allows `gateway`\nhint: set `connection: gateway`, or ask"),
        "{errors}"
    );
    for agent in ["generic", "cline"] {
        let errors = denied("", &[("agent", agent), ("allowed_tools", "list_entities")]);
        assert!(
            errors.contains("hint: set `connection: gateway`, or use an agent that"),
            "{errors}"
        );
    }
    // What the policy does not allow either is no way out.
    let errors = denied(
        ", connection: [direct]",
        &[("agent", "cline"), ("allowed_tools", "list_entities")],
    );
    assert!(
        errors.contains("hint: use an agent that enforces an allowlist"),
        "{errors}"
    );
    // At most 20 names, and then their number.
    let names: Vec<String> = (0..30).map(|number| format!("tool_{number}")).collect();
    let many = policy("").replace("['list_*']", &json!(names).to_string());
    let step = Step::new().file("p.yml", &many).input("policy", "p.yml");
    let errors = step.input("allowed_tools", "list_entities").fail();
    assert!(
        errors.contains("`tool_19` and 10 more\nhint: request less, or ask"),
        "{errors}"
    );
}

#[test]
fn exclusions_work_in_conditions() {
    let text = "version: 1\nrules:\n- when: {ref: ['refs/heads/*', '!refs/heads/dependabot/*']}\n  allow: {tools: ['*'], servers: [127.0.0.1]}\n";
    let at = |reference: &str| {
        Step::against(FakePort::builder().policy_file("acme/.github", "port-mcp.yml", "main", text))
            .input("policy", POLICY)
            .variable("GITHUB_REF", reference)
    };
    at("refs/heads/main").succeed();
    let errors = at("refs/heads/dependabot/npm/x").fail();
    assert!(errors.starts_with("no rule in policy"), "{errors}");
}

#[test]
fn only_documented_characters_are_wildcards() {
    let with = |text: &str| {
        let port = FakePort::builder().policy_file("acme/.github", "p.yml", "main", text);
        Step::against(port).input("policy", "acme/.github/p.yml@main")
    };
    for servers in [
        "'*'",
        "'127.0.0.*'",
        "'*.0.0.1'",
        r#""127.0.0.\0""#,
        "'127.0.0.1:80'",
        "'http://127.0.0.1'",
    ] {
        let text = format!("version: 1\nrules:\n- allow: {{tools: ['*'], servers: [{servers}]}}\n");
        assert!(with(&text).fail().contains("`servers`"), "{servers}");
    }
    for condition in [
        r#""refs/heads/mai\0""#,
        r#"["refs/heads/*", "!refs/heads/x\0"]"#,
    ] {
        let text = format!(
            "version: 1\nrules:\n- when: {{ref: {condition}}}\n  allow: {{tools: ['*'], servers: [127.0.0.1]}}\n"
        );
        assert!(with(&text).fail().contains("contains a control character"));
    }
    let text = "version: 1\nrules:\n- when: {ref: 'refs/heads/mai?'}\n  allow: {tools: ['*'], servers: [127.0.0.1]}\n";
    assert!(with(text).fail().starts_with("no rule in policy"));
}

/// Gitea always returns the content of a file in JSON, as base64. GitHub does so unless the request names
/// another media type.
#[test]
fn a_policy_is_read_from_gitea() {
    let text = "version: 1\nrules:\n- allow: {tools: ['*'], servers: [127.0.0.1]}\n";
    let base64 = BASE64_STANDARD.encode(text);
    let file = json!({
        "name": "p.yml", "path": "p.yml", "sha": "f00", "last_commit_sha": "ba5", "type": "file",
        "size": text.len(), "encoding": "base64", "content": base64, "target": null,
        "url": "https://gitea.example/api/v1/repos/acme/x/contents/p.yml?ref=main",
        "html_url": "https://gitea.example/acme/x/src/branch/main/p.yml",
        "git_url": "https://gitea.example/api/v1/repos/acme/x/git/blobs/f00",
        "download_url": "https://gitea.example/acme/x/raw/branch/main/p.yml",
        "submodule_git_url": null,
        "_links": {
            "self": "https://gitea.example/api/v1/repos/acme/x/contents/p.yml?ref=main",
            "git": "https://gitea.example/api/v1/repos/acme/x/git/blobs/f00",
            "html": "https://gitea.example/acme/x/src/branch/main/p.yml"
        }
    });
    let with = |file: &Value| {
        let step = Step::new().input("policy", "acme/x/p.yml@main");
        step.port
            .fault(Endpoint::Github, Fault::status(200).json(file));
        step
    };
    with(&file).succeed();
    let mut other = file.clone();
    other["type"] = "symlink".into();
    assert!(with(&other).fail().contains("is not a file"));
    other["type"] = "file".into();
    other["content"] = "%%%".into();
    assert!(with(&other).fail().contains("is not UTF-8"));
    assert!(with(&json!([file, file])).fail().contains("is not a file"));
    assert!(
        with(&json!({"unexpected": true}))
            .fail()
            .contains("not from GitHub's API")
    );
}
