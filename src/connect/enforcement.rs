//! Whether the agent keeps to the granted tools: by its own means, and with the settings in its `base_config`.

use anyhow::bail;

use super::can_use_gateway;
use super::policy::PolicyDecision;
use crate::Connection;
use crate::access::{self, AccessError, AccessErrors, Decision, Resolution};
use crate::agents::{self, Agent, Effect, ToolEnforcement};
use crate::inputs::Settings;
use crate::port::{self, Endpoints};
use crate::runner::Log;
use crate::text::comma_list;
use crate::tool::ToolName;

/// Checks whether the agent enforces the granted tools. If it does not, the step warns, or fails under a
/// policy.
pub(super) fn check_enforcement(
    settings: &Settings,
    decision: &PolicyDecision,
    resolution: &Resolution<'_>,
    log: &mut Log<'_>,
) -> anyhow::Result<()> {
    if settings.request.connection == Connection::Gateway {
        return Ok(());
    }
    let ungranted = resolution.ungranted();
    let agent = settings.request.agent;
    let others = Agent::enforcing_allowlist();
    let instead = access::instead_of_no_enforcement(can_use_gateway(settings, decision));
    match agent.enforcement {
        ToolEnforcement::Allowlist => {}
        ToolEnforcement::Denylist => {
            // A denylist can exclude every other tool.
            let names = comma_list(resolution.names(Decision::InvalidName));
            if !names.is_empty() {
                bail!(
                    "`{agent}` can only exclude tools, and tools with invalid names cannot be \
                     excluded: {names}\n\
                     hint: {instead}: {others}"
                );
            }
        }
        ToolEnforcement::None => {
            let names = comma_list(ungranted.iter().map(String::as_str));
            if names.is_empty() && settings.verify {
                return Ok(());
            }
            let names = if names.is_empty() {
                "every tool that the server offers".to_owned()
            } else {
                names
            };
            if let Some(rule) = &decision.rule {
                bail!(
                    "`{agent}` does not enforce `allowed_tools`, as {} requires; it could also use: \
                     {names}\n\
                     hint: {instead}: {others}; or ask {}",
                    rule.title,
                    rule.contact
                );
            }
            log.warning(format!(
                "`{agent}` does not enforce `allowed_tools`; it can also use: {names}. Only \
                     `read_only`, `allowed_actions`, and the permissions of the credentials are \
                     enforced. If this is not intended, {instead}: {others}."
            ));
        }
    }
    Ok(())
}

/// Searches `base_config` for settings that could override the grant. If there are any, the step warns, or
/// fails under a policy.
pub(super) fn check_base_config(
    settings: &Settings,
    decision: &PolicyDecision,
    endpoints: &Endpoints,
    tools: &[ToolName],
    log: &mut Log<'_>,
) -> Result<(), AccessErrors> {
    let is_ours = |url: &url::Url| port::is_same_server(url, &endpoints.mcp);
    let mut findings = settings.request.agent.findings(
        &settings.server_name,
        tools,
        &settings.base_config,
        &is_ours,
    );
    if settings.request.connection == Connection::Gateway {
        // The agent cannot use more than the gateway allows.
        findings.retain(|finding| finding.effect != Effect::Widens);
    }
    if let Some(rule) = &decision.rule
        && !findings.is_empty()
    {
        let error = |finding: agents::Finding| AccessError::Configuration {
            what: finding.what,
            effect: finding.effect.to_string(),
            rule: rule.title.clone(),
            hint: match finding.effect {
                Effect::Widens if can_use_gateway(settings, decision) => {
                    format!("{}, or set `connection: gateway`", finding.effect.hint())
                }
                effect => effect.hint().to_owned(),
            },
        };
        return Err(AccessErrors(findings.into_iter().map(error).collect()));
    }
    for finding in findings {
        log.warning(format!(
            "{} in `base_config` {}. If this is not intended: {}.",
            finding.what,
            finding.effect,
            finding.effect.hint()
        ));
    }
    for notice in settings
        .request
        .agent
        .ignored_servers(&settings.base_config)
    {
        log.notice(notice);
    }
    Ok(())
}
