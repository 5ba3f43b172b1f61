//! An organization's policy: how it is read, and what it denies.

use fake_port::{Endpoint, FakePort, Fault, GITHUB_TOKEN};

use crate::harness::{Step, annotations, assert_snapshot};

const POLICY: &str = "acme/.github/policies/port-mcp.yml@main";

const TEXT: &str = r#"
version: 1
rules:
  - name: production is for nobody
    when: {environment: production*}
    allow: {tools: [list_blueprints], regions: [us]}
  - name: agents on main
    when: {repository: acme/*, ref: refs/heads/main, event: [workflow_dispatch, schedule]}
    allow:
      tools: ["list_*", get_page, "!list_plugins"]
      actions: [deploy, restart]
      servers: [127.0.0.1]
      connection: [direct]
"#;

fn port(text: &str) -> fake_port::Builder {
    FakePort::builder().policy_file("acme/.github", "policies/port-mcp.yml", "main", text)
}

fn step() -> Step {
    Step::against(port(TEXT)).input("policy", POLICY)
}

fn requests(step: &Step) -> Vec<String> {
    step.port
        .received()
        .into_iter()
        .map(|request| request.path)
        .collect()
}

#[test]
fn a_request_within_the_policy_is_granted() {
    let run = step()
        .input("allowed_tools", "list_entities, get_page")
        .succeed();
    assert_eq!(run.outputs["tools"], r#"["list_entities","get_page"]"#);
    assert_eq!(annotations(&run, "notice"), "");
}

/// A rule that limits actions does not allow the tool that runs every action.
#[test]
fn a_policy_that_limits_actions_does_not_allow_a_tool_that_runs_all() {
    let policy = |actions: &str| {
        format!(
            "version: 1\nrules:\n  - when: {{repository: acme/*}}\n    allow: {{tools: ['*', trigger_run], \
             write: true, servers: [127.0.0.1]{actions}}}\n"
        )
    };
    let step = |actions: &str, tools: &str| {
        Step::against(port(&policy(actions)))
            .input("policy", POLICY)
            .input("read_only", "false")
            .input("allowed_tools", tools)
    };
    for actions in ["", ", actions: [deploy]"] {
        let errors = step(actions, "run_action, trigger_run").fail();
        let expected = "tool `trigger_run` is not allowed by rule 1 of acme/.github/policies/port-mcp.yml@main, \
                        which limits `actions`: this tool runs every action and workflow";
        assert!(errors.starts_with(expected), "{errors}");
        let run = step(actions, "*").succeed();
        assert!(!run.outputs["tools"].contains("trigger_run"));
        assert!(run.log().contains("Not granted: `trigger_run`"));
    }
    let run = step(", actions: ['*']", "trigger_run").succeed();
    assert!(annotations(&run, "warning").contains("`trigger_run` can run every"));
}

#[test]
fn everything_that_the_policy_does_not_allow_is_reported_at_once() {
    let step = step()
        .input(
            "allowed_tools",
            "list_entities, upsert_entity, list_plugins",
        )
        .input("read_only", "false")
        .input("allowed_actions", "deploy, destroy")
        .input("connection", "mcp-remote");
    assert_snapshot!(step.fail(), @"
    `allowed_tools: upsert_entity, list_plugins` is not allowed by rule 2 (`agents on main`) of acme/.github/policies/port-mcp.yml@main, which allows `get_page`, `list_*` and `!list_plugins`
    hint: request less, or ask the policy owner
    see: https://github.com/acme/port-mcp-action/blob/v1/docs/troubleshooting.md#is-not-allowed-by

    `read_only: false` is not allowed by rule 2 (`agents on main`) of acme/.github/policies/port-mcp.yml@main
    hint: set `read_only: true`, or ask the policy owner
    see: https://github.com/acme/port-mcp-action/blob/v1/docs/troubleshooting.md#is-not-allowed-by

    `connection: mcp-remote` is not allowed by rule 2 (`agents on main`) of acme/.github/policies/port-mcp.yml@main, which allows `direct`
    hint: set `connection: direct`, or ask the policy owner
    see: https://github.com/acme/port-mcp-action/blob/v1/docs/troubleshooting.md#is-not-allowed-by

    `allowed_actions: destroy` is not allowed by rule 2 (`agents on main`) of acme/.github/policies/port-mcp.yml@main, which allows `deploy` and `restart`
    hint: request less, or ask the policy owner
    see: https://github.com/acme/port-mcp-action/blob/v1/docs/troubleshooting.md#is-not-allowed-by
    ");
    assert_eq!(requests(&step).len(), 1, "no credentials were sent");
}

#[test]
fn patterns_are_limited_to_what_the_policy_allows() {
    let run = step()
        .input("allowed_tools", "list_*, get_*")
        .input("allowed_actions", "*")
        .succeed();
    assert!(!run.outputs["tools"].contains("list_plugins"));
    assert!(run.outputs["mcp_config"].contains(r#""x-allowed-actions-to-run":"deploy,restart""#));
    assert_eq!(annotations(&run, "notice"), "", "nothing is wrong");
    let limits = run.log();
    let limits: Vec<&str> = limits
        .lines()
        .filter(|line| line.contains(" is limited to "))
        .collect();
    assert_snapshot!(limits.join("\n"), @"
    `allowed_actions: *` is limited to what rule 2 (`agents on main`) of acme/.github/policies/port-mcp.yml@main allows: `deploy`, `restart`.
    `allowed_tools` is limited to what rule 2 (`agents on main`) of acme/.github/policies/port-mcp.yml@main allows. Not granted: `get_action_permissions`, `get_workflow_run`, `get_integration_sync_metrics`, `get_sidebar`, `list_plugins`.
    ");
    assert_snapshot!("policy.summary", run.summary);
}

#[test]
fn an_agent_that_cannot_send_the_limit_is_denied() {
    let text = TEXT.replace("      actions", "      write: true\n      actions");
    let step = Step::against(port(&text))
        .input("policy", POLICY)
        .input("agent", "anthropic-api")
        .input("read_only", "false")
        .input("allowed_actions", "*");
    assert_snapshot!(step.fail(), @"
    `allowed_actions: *` is not allowed by rule 2 (`agents on main`) of acme/.github/policies/port-mcp.yml@main, and `anthropic-api` cannot send the header that would limit it
    hint: use another agent, or ask the policy owner
    see: https://github.com/acme/port-mcp-action/blob/v1/docs/troubleshooting.md#is-not-allowed-by
    ");
}

#[test]
fn an_agent_without_tool_enforcement_is_denied() {
    for agent in ["cline", "generic"] {
        let step = step().input("allowed_tools", "list_entities");
        let errors = step.input("agent", agent).fail();
        assert!(
            errors.starts_with(&format!("`{agent}` does not enforce `allowed_tools`")),
            "{errors}"
        );
    }
}

#[test]
fn a_policy_that_allows_nothing_requested() {
    assert_snapshot!(step().input("allowed_tools", "describe_*, load_*").fail(), @"
    `allowed_tools: describe_*, load_*` is not allowed by rule 2 (`agents on main`) of acme/.github/policies/port-mcp.yml@main, which allows `get_page`, `list_*` and `!list_plugins`
    hint: request less, or ask the policy owner
    see: https://github.com/acme/port-mcp-action/blob/v1/docs/troubleshooting.md#is-not-allowed-by
    ");
}

#[test]
fn no_rule_matches_the_run() {
    assert_snapshot!(step().variable("GITHUB_REF", "refs/pull/1/merge").fail(), @"
    no rule in policy acme/.github/policies/port-mcp.yml@main matches this run: repository `acme/catalog`, ref `refs/pull/1/merge`, environment unknown, workflow `acme/catalog/.github/workflows/agent.yml@refs/heads/main`, event `workflow_dispatch`
    hint: ask the policy owner to add a rule; `port-mcp policy explain` shows why each rule does not match
    see: https://github.com/acme/port-mcp-action/blob/v1/docs/troubleshooting.md#no-rule-in-policy--matches-this-run
    ");
}

#[test]
fn the_first_rule_that_matches_applies() {
    let step = step()
        .input("environment", "Production-EU")
        .input("allowed_tools", "list_blueprints");
    assert_snapshot!(step.fail(), @"
    a custom server without `region` is not allowed by rule 1 (`production is for nobody`) of acme/.github/policies/port-mcp.yml@main, which allows `us`
    hint: set `region: us`, or ask the policy owner
    see: https://github.com/acme/port-mcp-action/blob/v1/docs/troubleshooting.md#is-not-allowed-by

    the server 127.0.0.1 is not allowed by rule 1 (`production is for nobody`) of acme/.github/policies/port-mcp.yml@main, which allows no custom servers
    hint: correct `api_url` and `mcp_url`, or remove them, or ask the policy owner
    see: https://github.com/acme/port-mcp-action/blob/v1/docs/troubleshooting.md#is-not-allowed-by
    ");
}

#[test]
fn a_server_that_the_policy_does_not_list_receives_no_credentials() {
    let text = "version: 1\nrules: [{allow: {tools: ['*']}}]";
    let step = Step::against(port(text)).input("policy", POLICY);
    assert_snapshot!(step.fail(), @"
    the server 127.0.0.1 is not allowed by rule 1 of acme/.github/policies/port-mcp.yml@main, which allows no custom servers
    hint: correct `api_url` and `mcp_url`, or remove them, or ask the policy owner
    see: https://github.com/acme/port-mcp-action/blob/v1/docs/troubleshooting.md#is-not-allowed-by
    ");
    assert_eq!(requests(&step).len(), 1, "no credentials were sent");
}

#[test]
fn a_private_policy_requires_a_token_that_can_read_it() {
    let private = || Step::against(port(TEXT).private("acme/.github")).input("policy", POLICY);
    private().input("github_token", GITHUB_TOKEN).succeed();
    assert_snapshot!(private().fail(), @"
    the policy was not found on GitHub (404 Not Found)
    request: GET http://[PORT]/repos/acme/.github/contents/policies/port-mcp.yml?ref=main
    X-GitHub-Request-Id: [TRACE]
    hint: check the spelling of `policy` (`owner/repo/path@ref`); for a private repository, pass the token of a GitHub App with `contents: read` on it as `github_token`, since the default token can read only this repository and public ones
    see: https://github.com/acme/port-mcp-action/blob/v1/docs/troubleshooting.md#the-policy-was-not-found-on-github
    ");
    assert_snapshot!(private().input("github_token", "ghs_wrong").fail(), @"
    GitHub rejected `github_token` (401 Unauthorized: Bad credentials)
    request: GET http://[PORT]/repos/acme/.github/contents/policies/port-mcp.yml?ref=main
    X-GitHub-Request-Id: [TRACE]
    hint: remove `github_token` to use the default token, or renew it: it is expired or invalid
    see: https://github.com/acme/port-mcp-action/blob/v1/docs/troubleshooting.md#github-rejected-github_token
    ");
}

#[test]
fn a_policy_on_github_enterprise_server() {
    let step = step();
    let api = step.port.ghes_url().to_owned();
    let step = step.variable("GITHUB_API_URL", &api);
    step.succeed();
    assert!(requests(&step)[0].starts_with("/api/v3/repos/acme/.github/contents/"));
}

#[test]
fn a_policy_in_the_workspace() {
    let step = Step::new()
        .file("ci/port-mcp.yml", TEXT)
        .input("policy", "ci/port-mcp.yml");
    step.succeed();
    assert_snapshot!(step.input("allowed_tools", "run_action").fail(), @"
    tool `run_action` is not allowed by rule 2 (`agents on main`) of ci/port-mcp.yml, which allows `get_page`, `list_*` and `!list_plugins`
    hint: request less, or ask the policy owner
    see: https://github.com/acme/port-mcp-action/blob/v1/docs/troubleshooting.md#is-not-allowed-by
    ");
    let errors = Step::new().input("policy", "ci/missing.yml").fail();
    assert_snapshot!(errors, @"
    input `policy` names the file `ci/missing.yml`, which does not exist (does `actions/checkout` run before this step?)
    hint: use `owner/repo/path@ref`, or the path of a file in the workspace
    see: https://github.com/acme/port-mcp-action/blob/v1/docs/troubleshooting.md#input--names--which-does-not-exist
    ");
    let step = Step::new();
    let outside = step.job.temp().join("policy.yml");
    std::fs::write(&outside, TEXT).unwrap();
    let errors = step.input("policy", outside.to_str().unwrap()).fail();
    assert!(errors.contains("is outside the workspace"), "{errors}");
}

#[test]
fn an_invalid_policy_fails_the_step() {
    let broken = TEXT.replace(
        "allow: {tools: [list_blueprints]",
        "allow: {tool: [list_blueprints]",
    );
    let step = Step::against(port(&broken)).input("policy", POLICY);
    assert_snapshot!(step.fail(), @"
    policy acme/.github/policies/port-mcp.yml@main is invalid (line 6, column 12): the key `tools` is missing
    hint: see the format in docs/policy.md; run `port-mcp policy check` before you commit a policy
    see: https://github.com/acme/port-mcp-action/blob/v1/docs/troubleshooting.md#policy--is-invalid

    policy acme/.github/policies/port-mcp.yml@main is invalid (line 6, column 13): unknown key in `allow`: expected `tools`, `actions`, `write`, `regions`, `servers`, or `connection` (did you mean `tools`?)
    hint: see the format in docs/policy.md; run `port-mcp policy check` before you commit a policy
    see: https://github.com/acme/port-mcp-action/blob/v1/docs/troubleshooting.md#policy--is-invalid
    ");
    let huge = format!("{TEXT}#{}", "x".repeat(300 * 1024));
    let step = Step::against(port(&huge)).input("policy", POLICY);
    assert_snapshot!(step.fail(), @"
    the policy is larger than 256 KiB
    request: GET http://[PORT]/repos/acme/.github/contents/policies/port-mcp.yml?ref=main
    hint: check that `policy` names the right file: policies are short
    see: https://github.com/acme/port-mcp-action/blob/v1/docs/troubleshooting.md#the-policy-is-
    ");
}

#[test]
fn a_policy_that_cannot_be_read_fails_the_step() {
    let failing = |fault: Fault| {
        // A request without a response lasts until the timeout.
        let limit = if fault == Fault::Hang { "2s" } else { "60s" };
        let step = step().input("timeout", limit);
        for _ in 0..5 {
            step.port.fault(Endpoint::Github, fault.clone());
        }
        let errors = step.fail();
        assert!(
            !requests(&step)
                .iter()
                .any(|path| path == "/v1/auth/access_token")
        );
        errors
    };
    assert_snapshot!(failing(Fault::status(404).text("").into()), @"
    the policy was not found on GitHub (404 Not Found)
    request: GET http://[PORT]/repos/acme/.github/contents/policies/port-mcp.yml?ref=main
    X-GitHub-Request-Id: [TRACE]
    hint: check the spelling of `policy` (`owner/repo/path@ref`); for a private repository, pass the token of a GitHub App with `contents: read` on it as `github_token`, since the default token can read only this repository and public ones
    see: https://github.com/acme/port-mcp-action/blob/v1/docs/troubleshooting.md#the-policy-was-not-found-on-github
    ");
    assert_snapshot!(failing(Fault::status(403).header("x-ratelimit-remaining", "0").into()), @"
    GitHub's rate limit was exceeded (403 Forbidden)
    request: GET http://[PORT]/repos/acme/.github/contents/policies/port-mcp.yml?ref=main
    X-GitHub-Request-Id: [TRACE]
    hint: run the job again later, or pass another token as `github_token`
    see: https://github.com/acme/port-mcp-action/blob/v1/docs/troubleshooting.md#githubs-rate-limit-was-exceeded
    ");
    assert_snapshot!(failing(Fault::status(403).into()), @"
    GitHub denied access (403 Forbidden)
    request: GET http://[PORT]/repos/acme/.github/contents/policies/port-mcp.yml?ref=main
    X-GitHub-Request-Id: [TRACE]
    hint: give the job `permissions: contents: read`; authorize a personal access token for the organization's single sign-on
    see: https://github.com/acme/port-mcp-action/blob/v1/docs/troubleshooting.md#github-denied-access
    ");
    assert_snapshot!(failing(Fault::status(503).header("retry-after", "0").into()), @"
    GitHub returned an error for the policy (503 Service Unavailable)
    request: GET http://[PORT]/repos/acme/.github/contents/policies/port-mcp.yml?ref=main (5 attempts)
    X-GitHub-Request-Id: [TRACE]
    hint: check https://www.githubstatus.com and run the job again later
    see: https://github.com/acme/port-mcp-action/blob/v1/docs/troubleshooting.md#github-returned-an-error-for-the-policy
    ");
    assert_snapshot!(failing(Fault::Redirect("https://api.github.com/repositories/1".to_owned())), @"
    the repository of the policy moved to https://api.github.com/repositories/1 (307 Temporary Redirect)
    request: GET http://[PORT]/repos/acme/.github/contents/policies/port-mcp.yml?ref=main
    hint: use the new name in `policy`
    see: https://github.com/acme/port-mcp-action/blob/v1/docs/troubleshooting.md#the-repository-of-the-policy-moved
    ");
    assert!(failing(Fault::Hang).starts_with("the policy could not be read: no response within"));
    assert!(
        failing(Fault::Close).starts_with("the policy could not be read: the connection closed")
    );
}

#[test]
fn transient_errors_are_retried() {
    let step = step();
    step.port.fault(
        Endpoint::Github,
        Fault::status(502).header("retry-after", "0"),
    );
    step.port.fault(Endpoint::Github, Fault::Close);
    step.succeed();
}

/// With Port's own addresses, the token is requested even if GitHub does not respond.
#[test]
fn the_policy_and_the_token_are_fetched_at_the_same_time() {
    let text = TEXT.replace("servers", "servers: []\n      #");
    let step = Step::behind_a_proxy(port(&text))
        .input("policy", POLICY)
        .input("region", "eu");
    step.port.fault(Endpoint::Github, Fault::Hang);
    let step = step.input("timeout", "8s");
    step.fail();
    assert!(step.port.tunneled().contains(&"api.port.io:443".to_owned()));
    step.input("timeout", "60s").succeed();
}
