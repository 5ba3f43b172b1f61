//! What a run says to people: annotations, the closing line, the job summary.

use std::time::{Duration, SystemTime};

use humantime::{format_duration, format_rfc3339_seconds};
use secrecy::{ExposeSecret as _, SecretString};

use super::{Admission, TITLE};
use crate::access::{self, Grant};
use crate::agents::{TOKEN_VARIABLE, TokenPlacement, Written};
use crate::inputs::Settings;
use crate::mcp::Tool;
use crate::port::{Actions, Endpoints, Identity, Token};
use crate::runner::Log;
use crate::runner::summary::{Cell, Summary};

/// What Linux lets one variable hold (`MAX_ARG_STRLEN`); outputs reach the next step as variables.
const LARGEST_VARIABLE: usize = 128 * 1024;

/// No call can make the token live longer, so the warning says what can be done instead.
pub(super) fn warn_of_token(
    settings: &Settings,
    token: &Token,
    now: SystemTime,
    log: &mut Log<'_>,
) {
    if settings.credentials.is_personal() || token.identity == Identity::Person {
        log.warning(
            TITLE,
            "These look like a person's own credentials: the agent acts with that person's rights, \
             and stops when they leave. Create a service account in Port for CI.",
        );
    }
    let Some((left, at)) = token.valid_for(now).zip(token.expires_at) else {
        log.warning(
            TITLE,
            "Port did not say how long the token is valid, so `expires_at` and `expires_in` are \
             empty.",
        );
        return;
    };
    if left < settings.min_validity {
        log.warning(
            TITLE,
            format!(
                "The token lapses in {}, sooner than `min_validity` ({}). Port hands out the same \
                 token until it lapses, so no request gets a fresher one before {}: a longer job \
                 has to start after that.",
                format_duration(Duration::from_secs(left.as_secs())),
                format_duration(settings.min_validity),
                format_rfc3339_seconds(at),
            ),
        );
    }
}

pub(super) fn warn_of_tools(
    settings: &Settings,
    admission: &Admission,
    offered: &[Tool],
    grant: &Grant<'_>,
    log: &mut Log<'_>,
) {
    let risky: Vec<&str> = offered
        .iter()
        .filter(|tool| tool.may_write())
        .map(name)
        .collect();
    if settings.read_only && settings.verify && !risky.is_empty() {
        log.warning(
            TITLE,
            format!(
                "In read-only mode the server still offers tools that may change something, or do not \
                 say that they only read: {}. They are granted only where `allowed_tools` names \
                 them, never by a pattern; granted here: {}.",
                access::list(risky.iter().copied()),
                none_or(grant.tools.iter().copied().filter(|tool| tool.may_write())),
            ),
        );
    }
    if !grant.narrowed.is_empty() {
        log.notice(
            TITLE,
            format!(
                "`allowed_tools` was narrowed to what {} allows, without {}.",
                admission.rule.as_deref().unwrap_or_default(),
                access::list(grant.narrowed.iter().copied().map(name)),
            ),
        );
    }
    if !grant.colliding.is_empty() {
        log.warning(
            TITLE,
            format!(
                "`{}` cannot tell these tools from others that the server offers, so no pattern \
                 grants them: {}.",
                settings.agent,
                access::list(grant.colliding.iter().copied().map(name)),
            ),
        );
    }
    if !grant.misnamed.is_empty() {
        log.warning(
            TITLE,
            format!(
                "The server offers tools under names that MCP does not allow, and which an agent's \
                 list could misread. They are never granted: {}.",
                access::list(grant.misnamed.iter().copied().map(name)),
            ),
        );
    }
}

fn name(tool: &Tool) -> &str {
    &tool.name
}

fn none_or<'a>(tools: impl Iterator<Item = &'a Tool>) -> String {
    match access::list(tools.map(name)) {
        empty if empty.is_empty() => "none".to_owned(),
        names => names,
    }
}

pub(super) fn warn_of_configuration(
    settings: &Settings,
    written: &Written,
    outputs: &[(&str, SecretString)],
    log: &mut Log<'_>,
) {
    if written.replaced {
        log.notice(
            TITLE,
            format!(
                "`base_config` already had a server named `{}`; this step's took its place. Set \
                 `server_name` to keep both.",
                settings.server_name
            ),
        );
    }
    for (name, value) in outputs {
        let size = value.expose_secret().len();
        if size > LARGEST_VARIABLE {
            log.warning(
                TITLE,
                format!(
                    "The output `{name}` takes {} KiB, and Linux lets a variable hold {}: a step \
                     that is handed it so will not start. Narrow `allowed_tools`, or use \
                     `config_file`.",
                    size / 1024,
                    LARGEST_VARIABLE / 1024
                ),
            );
        }
    }
}

pub(super) fn expires_at(token: &Token) -> Option<String> {
    let at = token.expires_at?;
    Some(format_rfc3339_seconds(at).to_string())
}

pub(super) fn closing_line(
    settings: &Settings,
    endpoints: &Endpoints,
    token: &Token,
    tools: &[String],
) -> String {
    let until = expires_at(token).map(|at| format!(" until {at}"));
    let condition = match settings.token_placement {
        TokenPlacement::Inline => String::new(),
        TokenPlacement::Env => format!(
            ", with `{TOKEN_VARIABLE}` set to the output `access_token` in the agent's step"
        ),
    };
    format!(
        "Authenticated with Port by `{}`{}. `{}` is granted {} of {}{}{condition}: {}.",
        token.flow,
        endpoints
            .region
            .map_or_else(String::new, |region| format!(", region {region}")),
        settings.agent,
        count(tools.len()),
        endpoints.mcp,
        until.unwrap_or_default(),
        access::list(tools.iter().map(String::as_str)),
    )
}

fn count(tools: usize) -> String {
    match tools {
        1 => "1 tool".to_owned(),
        n => format!("{n} tools"),
    }
}

pub(super) fn summary(
    settings: &Settings,
    admission: &Admission,
    endpoints: &Endpoints,
    token: &Token,
    grant: &Grant<'_>,
    limits: Option<&'static str>,
    now: SystemTime,
) -> Summary {
    let expiry = token
        .expires_at
        .zip(token.valid_for(now))
        .map(|(at, left)| {
            let minutes = Duration::from_secs(left.as_secs() / 60 * 60);
            format!(
                "{} (in {})",
                format_rfc3339_seconds(at),
                format_duration(minutes)
            )
        });
    let mode = if settings.read_only { "yes" } else { "no" };
    let mut summary = Summary::new(TITLE);
    let server = format!("{} as {}", endpoints.mcp, settings.server_name);
    let actions = match &admission.actions {
        Actions::Only(actions) if !actions.is_empty() => Cell::foreign(&actions.join(", ")),
        all_or_none => Cell::words(all_or_none),
    };
    summary.facts([
        ("Agent", Some(Cell::words(settings.agent))),
        ("Region", endpoints.region.map(Cell::words)),
        ("MCP server", Some(Cell::foreign(&server))),
        ("Connection", Some(Cell::words(settings.connection))),
        ("Limits", limits.map(Cell::words)),
        ("Read only", Some(Cell::words(mode))),
        ("Port actions", Some(actions)),
        ("Identity", Some(Cell::words(token.identity))),
        ("Token lapses", expiry.map(Cell::words)),
        ("Policy", admission.rule.as_deref().map(Cell::foreign)),
    ]);
    let granted = grant.tools.iter().map(|tool| {
        let kind = match tool {
            tool if !tool.may_write() => "reads",
            Tool {
                read_only: None,
                destructive: None,
                ..
            } => "does not say",
            _ => "may change something",
        };
        let about = tool.description.as_ref().or(tool.title.as_ref());
        [
            Cell::foreign(&tool.name),
            Cell::words(kind),
            about.cloned().map_or(Cell::words(""), Cell::Foreign),
        ]
    });
    summary.table(["Granted", "It", "By the server's word"], granted);
    let held_back = [
        (&grant.narrowed, "above the policy's ceiling"),
        (
            &grant.risky,
            "may change something, and is granted by its name only",
        ),
        (&grant.colliding, "the agent cannot tell it from another"),
        (&grant.misnamed, "no name that MCP allows"),
    ];
    let held_back = held_back.into_iter().flat_map(|(tools, why)| {
        tools
            .iter()
            .map(move |tool| [Cell::foreign(&tool.name), Cell::words(why)])
    });
    summary.table(["Not granted", "Why"], held_back);
    summary
}
