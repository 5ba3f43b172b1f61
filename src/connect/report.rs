//! What a run reports: annotations, the closing line, the job summary.

use std::time::{Duration, SystemTime};

use humantime::{format_duration, format_rfc3339_seconds};
use secrecy::{ExposeSecret as _, SecretString};

use super::endpoint::AgentEndpoint;
use super::policy::PolicyDecision;
use crate::access::{Decision, RUNS_EVERYTHING, Resolution};
use crate::agents::{AgentOutputs, TOKEN_VARIABLE, TokenPlacement, ToolEnforcement};
use crate::inputs::Settings;
use crate::port::{Actions, Endpoints, Flow, Identity, Token};
use crate::runner::summary::{Cell, Summary};
use crate::runner::{Environment, Log};
use crate::text::{Quote, comma_list, verbatim, written};
use crate::tool::ToolName;
use crate::{Connection, Error};

const VERSION: &str = env!("CARGO_PKG_VERSION");

/// Linux's limit for one environment variable in bytes (`MAX_ARG_STRLEN`). Outputs reach the next step as
/// variables.
const MAX_VARIABLE: usize = 128 * 1024;

pub(super) fn warn_of_token(
    settings: &Settings,
    token: &Token,
    can_use_gateway: bool,
    log: &mut Log<'_>,
) {
    if settings.credentials.is_personal() || token.identity == Identity::User {
        log.warning(
            "The credentials look like a user's own: the agent acts as that user, and stops \
             working when the user is removed. Create a service account in Port for CI.",
        );
    }
    if settings.request.connection == Connection::Gateway {
        // The gateway renews the token.
        return;
    }
    let Some((left, at)) = token.valid_for().zip(token.expires_at) else {
        log.warning(
            "Port did not report when the token expires, so `expires_at` and `expires_in` are empty.",
        );
        return;
    };
    warn_of_clock(token, log);
    if left < settings.min_validity {
        log.warning(format!(
            "The token expires in {} (less than `min_validity`, {}). Port returns the same token \
                 until it expires; {}start longer jobs after {}.",
            format_duration(Duration::from_secs(left.as_secs())),
            format_duration(settings.min_validity),
            if can_use_gateway {
                "set `connection: gateway`, which renews it, or "
            } else {
                ""
            },
            format_rfc3339_seconds(at),
        ));
    }
}

/// The time by which the clocks of the runner and of Port may differ.
const CLOCK_TOLERANCE: Duration = Duration::from_mins(5);

/// Warns if the clock of the runner is wrong: users compare `expires_at` with it, and TLS depends on it.
fn warn_of_clock(token: &Token, log: &mut Log<'_>) {
    let Some(server_now) = token.server_now() else {
        return;
    };
    let (difference, direction) = match SystemTime::now().duration_since(server_now) {
        Ok(ahead) => (ahead, "ahead of"),
        Err(error) => (error.duration(), "behind"),
    };
    if difference > CLOCK_TOLERANCE {
        log.warning(format!(
                "The runner's clock is {} {direction} Port's, and `expires_at` is a time by Port's clock. \
                 Correct the runner's clock.",
                format_duration(Duration::from_secs(difference.as_secs()))
            ),
        );
    }
}

/// Says that the policy limits `allowed_actions: *`, as the job summary does.
pub(super) fn log_actions(settings: &Settings, decision: &PolicyDecision, log: &mut Log<'_>) {
    if let Some(rule) = &decision.rule
        && settings.request.allowed_actions != decision.actions
    {
        log.info(format!(
            "`allowed_actions: *` is limited to what {} allows: {}.",
            rule.title, decision.actions
        ));
    }
}

pub(super) fn warn_of_tools(
    settings: &Settings,
    decision: &PolicyDecision,
    resolution: &Resolution<'_>,
    can_use_gateway: bool,
    log: &mut Log<'_>,
) {
    let may_write = comma_list(
        resolution
            .with(Decision::Granted)
            .filter(|tool| tool.may_write())
            .map(|tool| tool.name.as_str()),
    );
    if settings.request.read_only && settings.verify && !may_write.is_empty() {
        log.warning(format!(
                "Tools that are not annotated as read-only are granted, although `read_only` is `true`: {may_write}. \
                 Port's server offers them in read-only mode. If this is not intended, remove them from `allowed_tools`."
            ),
        );
    }
    let everything: Vec<&str> = resolution
        .names(Decision::Granted)
        .filter(|name| RUNS_EVERYTHING.contains(name))
        .collect();
    if !everything.is_empty() && decision.actions != Actions::All {
        let exclusions: Vec<String> = everything.iter().map(|name| format!("!{name}")).collect();
        log.warning(format!(
                "{} can run every action and workflow that Port lets the credentials run: `allowed_actions` limits \
                 only `run_action`. If this is not intended, remove it from `allowed_tools`, or exclude it: {}. If it \
                 is, set `allowed_actions: '*'`.",
                comma_list(everything),
                comma_list(exclusions.iter().map(String::as_str))
            ),
        );
    }
    let not_allowed = resolution.list(Decision::NotAllowed);
    if let Some(rule) = &decision.rule
        && !not_allowed.is_empty()
    {
        log.info(format!(
            "`allowed_tools` is limited to what {} allows. Not granted: {not_allowed}.",
            rule.title
        ));
    }
    let ambiguous = resolution.list(Decision::Ambiguous);
    if !ambiguous.is_empty() {
        log.warning(format!(
            "`{}` cannot distinguish these tools from others, so patterns do not grant them: \
                 {ambiguous}.{}",
            settings.request.agent,
            if can_use_gateway {
                " With `connection: gateway`, it sees only the granted tools."
            } else {
                ""
            }
        ));
    }
    let invalid = resolution.list(Decision::InvalidName);
    if !invalid.is_empty() {
        log.warning(format!(
            "The server offers tools with invalid names, which are never granted: {invalid}."
        ));
    }
}

pub(super) fn warn_of_outputs(
    settings: &Settings,
    rendered: &AgentOutputs,
    outputs: &[(&str, SecretString)],
    ungranted: &[String],
    log: &mut Log<'_>,
) {
    if rendered.has_replaced {
        log.notice(format!(
            "`base_config` already contains a server named `{}`, which was replaced. To keep both, \
                 set `server_name`.",
            settings.server_name
        ));
    }
    for (name, value) in outputs {
        let size = value.expose_secret().len();
        // The next step uses the file then.
        let is_used = *name != "mcp_config" || !settings.config_file;
        if size > MAX_VARIABLE && is_used {
            log.warning(format!(
                    "The output `{name}` is {} KiB; the limit for an environment variable is {} KiB, so \
                     a step that uses it may not start. {}.",
                    size / 1024,
                    MAX_VARIABLE / 1024,
                    shorter(name, settings, rendered, ungranted)
                ),
            );
        }
    }
}

/// How the output `name` becomes shorter: a clause about the largest part of it.
fn shorter(
    name: &str,
    settings: &Settings,
    rendered: &AgentOutputs,
    ungranted: &[String],
) -> &'static str {
    let is_list = matches!(name, "allowed_tools" | "tools");
    let hidden: usize = ungranted.iter().map(String::len).sum();
    let base_config = settings.base_config.file_text().len();
    let granted = rendered.allowed_tools.len();
    if is_list || granted >= hidden.max(base_config) {
        match name {
            "mcp_config" => "Grant fewer tools, or use `config_file`",
            _ => "Grant fewer tools",
        }
    } else if base_config > hidden {
        "Shorten `base_config`, or use `config_file` if the agent can read a file"
    } else {
        "Most of it is the names of the tools that are not granted, which the agent hides: set `connection: gateway`, \
         which hides them itself"
    }
}

pub(super) fn rfc3339(time: Option<SystemTime>) -> Option<String> {
    written(format_rfc3339_seconds(time?))
}

pub(super) fn closing_line(
    settings: &Settings,
    endpoints: &Endpoints,
    flow: Flow,
    endpoint: &AgentEndpoint,
    tools: &[ToolName],
) -> String {
    let region = endpoints
        .region
        .map(|region| format!(", region `{region}`"));
    let until = rfc3339(endpoint.expires_at).map(|at| format!(" until {at}"));
    let condition = match settings.token_placement {
        TokenPlacement::Inline => String::new(),
        TokenPlacement::Env => {
            format!(", if the agent's step sets `{TOKEN_VARIABLE}` to the output `access_token`")
        }
    };
    let count = match tools.len() {
        1 => "1 tool".to_owned(),
        n => format!("{n} tools"),
    };
    format!(
        "Authenticated to Port (`{}`{}). Granted {count} on {} to `{}`{}{condition}: {}.",
        flow,
        region.unwrap_or_default(),
        endpoint.url,
        settings.request.agent,
        until.unwrap_or_default(),
        comma_list(tools.iter().map(ToolName::as_str)),
    )
}

pub(super) fn summary(
    settings: &Settings,
    decision: &PolicyDecision,
    endpoints: &Endpoints,
    token: &Token,
    resolution: &Resolution<'_>,
    expiry: Option<(SystemTime, Duration)>,
    limits: Option<&'static str>,
) -> Summary {
    let expiry = expiry.and_then(|(at, left)| {
        let minutes = Duration::from_secs(left.as_secs() / 60 * 60);
        let at = rfc3339(Some(at))?;
        Some(format!("{at} (in {})", format_duration(minutes)))
    });
    let mode = if settings.request.read_only {
        "yes"
    } else {
        "no"
    };
    let mut summary = Summary::new("Port MCP");
    let is_gateway = settings.request.connection == Connection::Gateway;
    let server = format!("{} at {}", settings.server_name, endpoints.mcp);
    let actions = match &decision.actions {
        Actions::Only(actions) if !actions.is_empty() => Cell::untrusted(&actions.join(", ")),
        all_or_none => Cell::text(all_or_none),
    };
    // With the gateway, it is only the gateway's key.
    let is_readable = !is_gateway && settings.token_placement == TokenPlacement::Inline;
    let readers = is_readable.then(|| {
        Cell::text(
            "in the configuration: anyone who can see the agent's arguments or files can read it, \
             also a model that can run commands or read files",
        )
    });
    let rule = decision.rule.as_ref();
    summary.facts([
        ("Agent", Some(Cell::text(settings.request.agent))),
        ("Connection", Some(Cell::text(settings.request.connection))),
        ("Enforced by", Some(Cell::text(enforcement(settings)))),
        (
            "Policy",
            Some(rule.map_or(Cell::text("none"), |rule| Cell::untrusted(&rule.title))),
        ),
        ("Read\u{2011}only", Some(Cell::text(mode))),
        ("Port actions", Some(actions)),
        ("MCP server", Some(Cell::untrusted(&server))),
        ("Region", endpoints.region.map(Cell::text)),
        ("Identity", Some(Cell::text(token.identity))),
        ("Token", readers),
        (
            if is_gateway {
                "Gateway ends"
            } else {
                "Token expires"
            },
            expiry.map(Cell::text),
        ),
        ("Version", Some(Cell::text(VERSION))),
    ]);
    if let Some(limits) = limits {
        summary.paragraph(limits);
    }
    add_tools(&mut summary, resolution);
    summary
}

/// The tables of the tools that are granted, and of those that are not.
fn add_tools(summary: &mut Summary, resolution: &Resolution<'_>) {
    let granted = resolution.with(Decision::Granted).map(|tool| {
        let description = tool.description.as_ref().or(tool.title.as_ref());
        [
            Cell::untrusted(&tool.name),
            // A hyphen would break the line.
            Cell::text(tool.access().replace('-', "\u{2011}")),
            description.cloned().map_or(Cell::text(""), Cell::Untrusted),
        ]
    });
    summary.table(["Tool", "Access", "Description (from the server)"], granted);
    let reasons = [
        (Decision::NotAllowed, "not allowed by the policy"),
        (
            Decision::NotListed,
            "not annotated as read-only: must be listed by name",
        ),
        (
            Decision::Ambiguous,
            "the agent cannot distinguish it from another tool",
        ),
        (Decision::InvalidName, "invalid tool name"),
    ];
    let not_granted = reasons.into_iter().filter_map(|(decision, reason)| {
        let tools: Vec<Quote> = resolution.names(decision).map(Quote::new).collect();
        (!tools.is_empty()).then(|| [Cell::Names(tools), Cell::text(reason)])
    });
    summary.table(["Not granted", "Reason"], not_granted);
}

/// Who enforces the granted tools.
fn enforcement(settings: &Settings) -> &'static str {
    if settings.request.connection == Connection::Gateway {
        return "the gateway";
    }
    match settings.request.agent.enforcement {
        ToolEnforcement::Allowlist => "the agent (allowlist)",
        ToolEnforcement::Denylist => "the agent (denylist)",
        ToolEnforcement::None => "nothing: the agent can use every tool that the server offers",
    }
}

/// The section of a step that failed: what it requested, as its inputs say, and why it failed.
pub(super) fn failure(error: &Error, environment: &Environment) -> Summary {
    let mut summary = Summary::new("Port MCP: failed");
    summary.messages(&error.texts());
    // A cell does not contain every text as it is.
    let input = |name: &str| {
        let value = environment.get(name).filter(|value| !value.contains('|'))?;
        verbatim(value).ok().map(Cell::untrusted)
    };
    summary.facts([
        ("Agent", input("INPUT_AGENT")),
        ("Connection", input("INPUT_CONNECTION")),
        ("Policy", input("INPUT_POLICY")),
        ("Version", Some(Cell::text(VERSION))),
    ]);
    summary
}
