//! Empty credentials say why they are empty.

use serde_json::json;

use crate::harness::{Step, assert_snapshot};

fn without_secrets() -> Step {
    Step::new()
        .input("client_id", "")
        .input("client_secret", "")
}

#[test]
fn a_fork() {
    let event =
        json!({"pull_request": {"head": {"repo": {"fork": true, "full_name": "someone/catalog"}}}});
    assert_snapshot!(without_secrets().event("pull_request", &event).fail(), @"
    input `client_id` is empty; this run belongs to a pull request from a fork, and GitHub gives those no secrets. Skip the step for forks: `if: github.event.pull_request.head.repo.fork == false`

    input `client_secret` is empty; this run belongs to a pull request from a fork, and GitHub gives those no secrets. Skip the step for forks: `if: github.event.pull_request.head.repo.fork == false`
    ");
}

#[test]
fn a_fork_that_was_deleted() {
    let event = json!({"pull_request": {"head": {"repo": null}}});
    let errors = without_secrets().event("pull_request", &event).fail();
    assert!(errors.contains("pull request from a fork"), "{errors}");
}

#[test]
fn a_pull_request_of_the_repository_itself_is_no_fork() {
    // A repository that is itself a fork of another says `fork: true` for its own branches.
    let event =
        json!({"pull_request": {"head": {"repo": {"fork": true, "full_name": "acme/catalog"}}}});
    let errors = without_secrets().event("pull_request", &event).fail();
    assert!(!errors.contains("from a fork"), "{errors}");
}

#[test]
fn dependabot() {
    let step = without_secrets()
        .variable("GITHUB_ACTOR", "dependabot[bot]")
        .variable("GITHUB_TRIGGERING_ACTOR", "a-person");
    assert_snapshot!(step.fail(), @"
    input `client_id` is empty; this run was started by Dependabot, which reads Dependabot secrets only, even when a person re-runs it. Add the secret under Settings > Secrets and variables > Dependabot, or skip the step: `if: github.actor != 'dependabot[bot]'`

    input `client_secret` is empty; this run was started by Dependabot, which reads Dependabot secrets only, even when a person re-runs it. Add the secret under Settings > Secrets and variables > Dependabot, or skip the step: `if: github.actor != 'dependabot[bot]'`
    ");
}

#[test]
fn a_workflow_of_another_repository() {
    let reference = "acme/.github/.github/workflows/agent.yml@refs/heads/main";
    assert_snapshot!(without_secrets().variable("GITHUB_WORKFLOW_REF", reference).fail(), @"
    input `client_id` is empty; the step runs in a reusable workflow, which sees only the secrets that its caller hands over. In the calling job write `secrets: inherit` or name the secret under `secrets:`; a secret of an environment is seen only where the called workflow's own job says `environment:`

    input `client_secret` is empty; the step runs in a reusable workflow, which sees only the secrets that its caller hands over. In the calling job write `secrets: inherit` or name the secret under `secrets:`; a secret of an environment is seen only where the called workflow's own job says `environment:`
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
    assert!(errors.contains("runs in a reusable workflow"), "{errors}");
}

#[test]
fn a_secret_of_an_environment() {
    assert_snapshot!(from_workflow("jobs:\n  agent:\n    environment: prod\n    steps: []\n"), @"
    input `client_id` is empty; the secret is not set for this repository or its organization, nor in the environment that the job names; check its spelling, and that the job that runs this step is the one that says `environment:`

    input `client_secret` is empty; the secret is not set for this repository or its organization, nor in the environment that the job names; check its spelling, and that the job that runs this step is the one that says `environment:`
    ");
}

#[test]
fn simply_unset() {
    assert_snapshot!(without_secrets().fail(), @"
    input `client_id` is empty; the secret is not set for this repository or its organization, or its name is misspelled. If it is a secret of an environment, the job must say `environment: NAME`

    input `client_secret` is empty; the secret is not set for this repository or its organization, or its name is misspelled. If it is a secret of an environment, the job must say `environment: NAME`
    ");
    let errors = from_workflow("jobs:\n  agent:\n    steps: []\n");
    assert!(errors.contains("its name is misspelled"), "{errors}");
}

#[test]
fn a_secret_that_was_not_pasted_well() {
    assert_snapshot!(Step::new().input("client_secret", "two words").fail(), @"input `client_secret` holds a blank, a line break or a character that is not ASCII; accepted: the value as Port shows it, one plain word");
}

#[test]
fn personal_credentials_are_warned_of() {
    let port = fake_port::FakePort::builder().credentials("jo@acme.example", "s3cret-of-a-person");
    let run = Step::against(port.read_only_hides_runs(true)).succeed();
    assert_snapshot!(crate::harness::annotations(&run, "warning"), @"These look like a person's own credentials: the agent acts with that person's rights, and stops when they leave. Create a service account in Port for CI.");
}
