//! Checks whether an agent supports the inputs.

use super::error::InputErrors;
use crate::Connection;
use crate::agents::{Agent, TokenPlacement, ToolEnforcement};
use crate::port::Actions;
use crate::text::or_list;

/// Inputs beside the request that not every agent supports. `None` is an invalid value, which is reported elsewhere.
pub(super) struct Requested<'a> {
    pub(super) server_name: Option<&'a str>,
    pub(super) token_placement: Option<TokenPlacement>,
    pub(super) verify: Option<bool>,
}

/// The limits that need a header. `None` is an invalid value.
pub(super) struct Limits<'a> {
    pub(super) read_only: Option<bool>,
    pub(super) allowed_actions: Option<&'a Actions>,
}

/// Adds an error for each of the inputs that `agent` does not support.
pub(super) fn check(
    agent: &Agent,
    connection: Option<Connection>,
    requested: &Requested<'_>,
    limits: &Limits<'_>,
    errors: &mut InputErrors,
) {
    if let Some(name) = requested.server_name
        && agent.reserved.contains(&name)
    {
        errors.add(
            "server_name",
            format!("is `{name}`, which `{agent}` reserves"),
            "use another name, such as `port`",
        );
    }
    if let Some(connection) = connection
        && connection != Connection::Direct
        && !agent.runs_on_runner
    {
        errors.add(
            "connection",
            format!(
                "is `{connection}`, which `{agent}` cannot use: it connects from outside the job"
            ),
            format!(
                "use `direct`, or an agent that runs in the job: {}",
                or_list(&Agent::filter(|agent| agent.runs_on_runner))
            ),
        );
    }
    if requested.token_placement == Some(TokenPlacement::Env) && !agent.expands_variables {
        errors.add(
            "token_placement",
            format!("is `env`, but `{agent}` does not expand variables in its configuration"),
            format!(
                "use `inline`, or an agent that expands variables: {}",
                or_list(&Agent::filter(|agent| agent.expands_variables))
            ),
        );
    }
    let is_gateway = connection == Some(Connection::Gateway);
    if agent.enforcement == ToolEnforcement::Denylist
        && requested.verify == Some(false)
        && !is_gateway
    {
        errors.add(
            "verify",
            format!(
                "is `false`, but `{agent}` can only exclude tools, so the list of available tools is \
                 required"
            ),
            format!(
                "{}use `true`, or an agent that enforces an allowlist: {}",
                gateway(agent),
                Agent::enforcing_allowlist()
            ),
        );
    }
    if !agent.sends_headers && !is_gateway {
        check_limits(agent, limits, errors);
    }
}

/// Adds an error for each limit that an agent cannot pass on, because it sends no headers.
fn check_limits(agent: &Agent, limits: &Limits<'_>, errors: &mut InputErrors) {
    let limited = [
        ("read_only", limits.read_only == Some(true)),
        (
            "allowed_actions",
            limits
                .allowed_actions
                .is_some_and(|actions| *actions != Actions::All),
        ),
    ];
    for (input, _) in limited.into_iter().filter(|(_, is_limited)| *is_limited) {
        errors.add(
            input,
            format!("is not supported by `{agent}`, which cannot send the required header"),
            format!(
                "{}set `read_only: false` and `allowed_actions: '*'`, so that only `allowed_tools` \
                 limits the agent; or use an agent that sends headers: {}",
                gateway(agent),
                or_list(&Agent::filter(|agent| agent.sends_headers))
            ),
        );
    }
}

/// The beginning of a hint: the gateway enforces what an agent does not.
fn gateway(agent: &Agent) -> &'static str {
    if agent.runs_on_runner {
        "set `connection: gateway`; or "
    } else {
        ""
    }
}
