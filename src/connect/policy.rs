//! What the policy allows of the request, before the server's tools are known.

use crate::Error;
use crate::access::policy::{AccessRequest, AgentTraits, Allowed, Contact, Rule, RunContext};
use crate::access::{AccessErrors, Patterns, source};
use crate::agents::{Agent, ToolEnforcement};
use crate::http::Http;
use crate::inputs::{Request, Settings};
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
    /// Whom to ask if it does not allow a run.
    pub(super) contact: Contact,
    /// Whether it allows `connection: gateway`.
    pub(super) allows_gateway: bool,
}

/// Reads the policy, if there is one, and checks everything that does not depend on the server.
pub(super) async fn evaluate(
    settings: &Settings,
    environment: &Environment,
    http: &Http,
) -> Result<PolicyDecision, Error> {
    let endpoints = &settings.request.endpoints;
    let Some(source) = &settings.policy else {
        return Ok(PolicyDecision {
            rule: None,
            actions: settings.request.allowed_actions.clone(),
            endpoints: endpoints.clone(),
        });
    };
    let policy = source::read(source, http).await?;
    let rule = policy.rule_for(&run_context(settings, environment))?;
    let allowed = check(&rule, &settings.request)?;
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
            allows_gateway: rule.allows_gateway(),
            contact: rule.contact,
            title: rule.title,
        }),
    })
}

/// Whether a rule allows a request, without the tools that only the server knows.
///
/// # Errors
/// Everything that the rule does not allow.
fn check(rule: &Rule<'_>, request: &Request) -> Result<Allowed, AccessErrors> {
    with_request(request, |request| rule.check(request))
}

/// As a step decides on a request, without a server.
///
/// # Errors
/// Why the step would fail.
pub(crate) fn check_without_server(rule: &Rule<'_>, request: &Request) -> Result<(), AccessErrors> {
    with_request(request, |request| rule.check_without_server(request))
}

/// Calls `check` with what a rule compares.
fn with_request<T>(request: &Request, check: impl FnOnce(&AccessRequest<'_>) -> T) -> T {
    let endpoints = &request.endpoints;
    let regions: Vec<_> = endpoints
        .iter()
        .filter_map(|candidate| candidate.region)
        .collect();
    let custom_hosts: Vec<_> = endpoints.iter().flat_map(Endpoints::custom_hosts).collect();
    check(&AccessRequest {
        tools: &request.allowed_tools,
        actions: &request.allowed_actions,
        read_only: request.read_only,
        regions: &regions,
        custom_hosts: &custom_hosts,
        connection: request.connection,
        agent: traits(request.agent),
    })
}

/// What matters of an agent for a rule.
pub(crate) fn traits(agent: &Agent) -> AgentTraits {
    AgentTraits {
        name: agent.name(),
        enforces_tools: agent.enforcement != ToolEnforcement::None,
        sends_headers: agent.sends_headers,
        runs_on_runner: agent.runs_on_runner,
    }
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
