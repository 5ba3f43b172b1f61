//! What the policy allows of the request, before the server's tools are known.

use crate::Error;
use crate::access::policy::{AccessRequest, RunContext};
use crate::access::{AccessError, AccessErrors, Patterns, source};
use crate::agents::Connection;
use crate::http::Http;
use crate::inputs::Settings;
use crate::port::{Actions, Endpoints};
use crate::runner::Environment;

/// The decision of the policy. Without a policy, everything that was requested.
pub(super) struct PolicyDecision {
    /// The rule that applies. `None` without a policy.
    pub(super) rule: Option<AppliedRule>,
    /// The actions that the agent may run.
    pub(super) actions: Actions,
    /// The servers that may receive the credentials.
    pub(super) endpoints: Vec<Endpoints>,
}

/// The rule of the policy that matches the run.
pub(super) struct AppliedRule {
    /// The rule in messages.
    pub(super) title: String,
    /// The tools that it allows.
    pub(super) tools: Patterns,
}

/// Reads the policy, if there is one, and checks everything that does not depend on the server.
pub(super) async fn evaluate(
    settings: &Settings,
    environment: &Environment,
    http: &Http,
) -> Result<PolicyDecision, Error> {
    let endpoints = &settings.endpoints;
    let Some(source) = &settings.policy else {
        return Ok(PolicyDecision {
            rule: None,
            actions: settings.allowed_actions.clone(),
            endpoints: endpoints.clone(),
        });
    };
    let policy = source::read(source, http).await?;
    let rule = policy.rule_for(&run_context(settings, environment))?;
    let regions: Vec<_> = endpoints
        .iter()
        .filter_map(|candidate| candidate.region)
        .collect();
    let custom_hosts: Vec<_> = endpoints.iter().flat_map(Endpoints::custom_hosts).collect();
    let allowed = rule.check(&AccessRequest {
        tools: &settings.allowed_tools,
        actions: &settings.allowed_actions,
        read_only: settings.read_only,
        regions: &regions,
        custom_hosts: &custom_hosts,
        connection: settings.connection,
    })?;
    let sends_headers = settings.agent.sends_headers || settings.connection == Connection::Gateway;
    if allowed.actions != settings.allowed_actions && !sends_headers {
        let error = AccessError::NotAllowed {
            what: "`allowed_actions: *`".to_owned(),
            rule: rule.title,
            allowed: format!(
                ", and `{}` cannot send the header that would limit it",
                settings.agent
            ),
        };
        return Err(AccessErrors(vec![error]).into());
    }
    let is_allowed = |candidate: &&Endpoints| {
        candidate
            .region
            .is_none_or(|region| allowed.regions.contains(&region))
    };
    Ok(PolicyDecision {
        endpoints: endpoints.iter().filter(is_allowed).cloned().collect(),
        actions: allowed.actions,
        rule: Some(AppliedRule {
            tools: rule.tools(),
            title: rule.title,
        }),
    })
}

fn run_context(settings: &Settings, environment: &Environment) -> RunContext {
    let variable = |name| environment.get(name).map(str::to_owned);
    RunContext {
        repository: variable("GITHUB_REPOSITORY"),
        reference: variable("GITHUB_REF"),
        environment: settings.environment.clone(),
        workflow: variable("GITHUB_WORKFLOW_REF"),
        event: variable("GITHUB_EVENT_NAME"),
    }
}
