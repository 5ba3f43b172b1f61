//! Errors about empty credentials give the cause.

use serde_json::json;

use crate::harness::{Step, assert_snapshot};

fn without_secrets() -> Step {
    Step::new()
        .input("client_id", "")
        .input("client_secret", "")
}

#[test]
fn a_pull_request_from_a_fork() {
    let event =
        json!({"pull_request": {"head": {"repo": {"fork": true, "full_name": "someone/catalog"}}}});
    assert_snapshot!(without_secrets().event("pull_request", &event).fail(), @"
    input `client_id` is empty
    hint: skip the step for forks (`if: github.event.pull_request.head.repo.fork == false`): GitHub does not pass secrets to workflows of pull requests from forks
    see: https://github.com/acme/port-mcp-action/blob/v1/docs/troubleshooting.md#input--is-empty

    input `client_secret` is empty
    hint: skip the step for forks (`if: github.event.pull_request.head.repo.fork == false`): GitHub does not pass secrets to workflows of pull requests from forks
    see: https://github.com/acme/port-mcp-action/blob/v1/docs/troubleshooting.md#input--is-empty
    ");
}

#[test]
fn a_pull_request_from_a_deleted_fork() {
    let event = json!({"pull_request": {"head": {"repo": null}}});
    let errors = without_secrets().event("pull_request", &event).fail();
    assert!(errors.contains("pull requests from forks"), "{errors}");
}

#[test]
fn a_pull_request_from_the_same_repository() {
    // If the repository itself is a fork, its own branches have `fork: true`.
    let event =
        json!({"pull_request": {"head": {"repo": {"fork": true, "full_name": "acme/catalog"}}}});
    let errors = without_secrets().event("pull_request", &event).fail();
    assert!(!errors.contains("from a fork"), "{errors}");
}

#[test]
fn a_run_that_dependabot_started() {
    let step = without_secrets()
        .variable("GITHUB_ACTOR", "dependabot[bot]")
        .variable("GITHUB_TRIGGERING_ACTOR", "a-person");
    assert_snapshot!(step.fail(), @"
    input `client_id` is empty
    hint: add the secret under Settings > Secrets and variables > Dependabot, or skip the step (`if: github.actor != 'dependabot[bot]'`): runs started by Dependabot can read only Dependabot secrets, even if a user re-runs them
    see: https://github.com/acme/port-mcp-action/blob/v1/docs/troubleshooting.md#input--is-empty

    input `client_secret` is empty
    hint: add the secret under Settings > Secrets and variables > Dependabot, or skip the step (`if: github.actor != 'dependabot[bot]'`): runs started by Dependabot can read only Dependabot secrets, even if a user re-runs them
    see: https://github.com/acme/port-mcp-action/blob/v1/docs/troubleshooting.md#input--is-empty
    ");
}

#[test]
fn a_reusable_workflow_of_another_repository() {
    let reference = "acme/.github/.github/workflows/agent.yml@refs/heads/main";
    assert_snapshot!(without_secrets().variable("GITHUB_WORKFLOW_REF", reference).fail(), @"
    input `client_id` is empty
    hint: in the calling job, list the secret under `secrets:` or set `secrets: inherit`: a reusable workflow can read only the secrets that its caller passes; for an environment secret, set `environment:` on the job in the reusable workflow
    see: https://github.com/acme/port-mcp-action/blob/v1/docs/troubleshooting.md#input--is-empty

    input `client_secret` is empty
    hint: in the calling job, list the secret under `secrets:` or set `secrets: inherit`: a reusable workflow can read only the secrets that its caller passes; for an environment secret, set `environment:` on the job in the reusable workflow
    see: https://github.com/acme/port-mcp-action/blob/v1/docs/troubleshooting.md#input--is-empty
    ");
}

const WORKFLOW: &str = ".github/workflows/ask.yml";

fn from_workflow(text: &str) -> String {
    without_secrets()
        .variable(
            "GITHUB_WORKFLOW_REF",
            &format!("acme/catalog/{WORKFLOW}@refs/heads/main"),
        )
        .variable("GITHUB_JOB", "agent")
        .file(WORKFLOW, text)
        .fail()
}

#[test]
fn a_reusable_workflow_of_the_same_repository() {
    let errors = from_workflow("jobs:\n  ask:\n    uses: ./.github/workflows/agent.yml\n");
    assert!(
        errors.contains("reusable workflow can read only the secrets"),
        "{errors}"
    );
}

#[test]
fn an_environment_secret() {
    assert_snapshot!(from_workflow("jobs:\n  agent:\n    environment: prod\n    steps: []\n"), @"
    input `client_id` is empty
    hint: set the secret for this repository, its organization, or the environment; check its spelling, and that the job with this step sets `environment:`
    see: https://github.com/acme/port-mcp-action/blob/v1/docs/troubleshooting.md#input--is-empty

    input `client_secret` is empty
    hint: set the secret for this repository, its organization, or the environment; check its spelling, and that the job with this step sets `environment:`
    see: https://github.com/acme/port-mcp-action/blob/v1/docs/troubleshooting.md#input--is-empty
    ");
}

#[test]
fn a_secret_that_is_not_set() {
    assert_snapshot!(without_secrets().fail(), @"
    input `client_id` is empty
    hint: set the secret for this repository or its organization, and check its spelling; for an environment secret, the job must set `environment:`
    see: https://github.com/acme/port-mcp-action/blob/v1/docs/troubleshooting.md#input--is-empty

    input `client_secret` is empty
    hint: set the secret for this repository or its organization, and check its spelling; for an environment secret, the job must set `environment:`
    see: https://github.com/acme/port-mcp-action/blob/v1/docs/troubleshooting.md#input--is-empty
    ");
    let errors = from_workflow("jobs:\n  agent:\n    steps: []\n");
    assert!(errors.contains("check its spelling"), "{errors}");
}

#[test]
fn a_secret_with_whitespace() {
    assert_snapshot!(Step::new().input("client_secret", "two words").fail(), @"
    input `client_secret` contains whitespace or non-ASCII characters
    hint: copy the exact value from Port
    see: https://github.com/acme/port-mcp-action/blob/v1/docs/troubleshooting.md#input--contains-whitespace-or-non-ascii-characters
    ");
}

#[test]
fn personal_credentials_are_warned_of() {
    let port = fake_port::FakePort::builder().credentials("jo@acme.example", "s3cret-of-a-person");
    let run = Step::against(port.read_only_hides_runs(true)).succeed();
    assert_snapshot!(crate::harness::annotations(&run, "warning"), @"The credentials look like a user's own: the agent acts as that user, and stops working when the user is removed. Create a service account in Port for CI.");
}
