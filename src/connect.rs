//! The main phase: credentials in, a masked token and a ready-made MCP configuration out.

use std::time::{Duration, SystemTime};

use anyhow::Context as _;
use humantime::{format_duration, format_rfc3339_seconds};
use secrecy::SecretString;

use crate::access::Tools;
use crate::agents::{Server, TOKEN_VARIABLE, TokenPlacement, Written};
use crate::cleanup;
use crate::inputs::{Inputs, Settings};
use crate::port::{self, Http, Token};
use crate::runner::summary::Summary;
use crate::runner::{Environment, Log, files, temp};

/// Runs the main phase.
///
/// # Errors
/// [`Mistakes`](crate::inputs::Mistakes) in the inputs, a [`port::Error`], or a runner that could
/// not be handed something. Outputs are written last, so a step that fails has none.
pub async fn run(environment: &Environment, log: &mut Log<'_>) -> anyhow::Result<()> {
    let inputs = Inputs::read(environment);
    if let Some(secret) = &inputs.client_secret {
        log.mask(secret)?;
    }
    let mut settings = Settings::check(inputs, environment)?;
    warn_of_settings(&settings, log);

    let http = Http::new(std::mem::take(&mut settings.http))
        .context("TLS could not be set up: a CA certificate is broken, or the system has none")?;
    let (endpoints, flow) = (&settings.endpoints, settings.auth_method.flow());
    log.debug(format!(
        "asking for a token by `{flow}`: {} {}",
        endpoints.api, endpoints.mcp
    ));
    let token = port::fetch_token(&http, endpoints, &settings.credentials, flow).await?;
    log.mask(&token.secret)?;
    for (number, why) in (1..).zip(&token.failed_tries) {
        log.info(format!("Try {number} for a token failed: {why}."));
    }
    let now = SystemTime::now();
    warn_of_validity(&settings, &token, now, log);

    let headers = port::mcp_headers(settings.read_only, &settings.allowed_actions);
    let granted_tools = match &settings.allowed_tools {
        Tools::Whole => &["*".to_owned()][..],
        Tools::Named(names) => names,
    };
    let server = Server {
        name: &settings.server_name,
        url: &endpoints.mcp,
        headers: &headers,
        token: &token.secret,
        connection: settings.connection,
        token_placement: settings.token_placement,
        tools: granted_tools,
        withheld: &[],
    };
    let written = settings.agent.write(&server, settings.base_config.clone());
    if written.replaced {
        log.notice(
            "Port MCP",
            format!(
                "`base_config` already had a server named `{}`; this step's took its place. Set \
                 `server_name` to keep both.",
                settings.server_name
            ),
        );
    }
    let config_file = settings
        .config_file
        .then(|| write_config_file(environment, &written))
        .transpose()?;

    let expires_at = token
        .expires_at
        .map(|at| format_rfc3339_seconds(at).to_string());
    log.info(closing_line(&settings, expires_at.as_deref()));
    if settings.summary {
        summary(&settings, &token, now, written.limits).write(environment, log)?;
    }
    let expires_in = token.valid_for(now).map(|left| left.as_secs().to_string());
    let tools = match &settings.allowed_tools {
        Tools::Whole => serde_json::json!(["*"]),
        Tools::Named(names) => serde_json::json!(names),
    };
    files::set(
        environment,
        files::OUTPUT,
        &[
            ("access_token", &token.secret),
            ("expires_at", &expires_at.unwrap_or_default().into()),
            ("expires_in", &expires_in.unwrap_or_default().into()),
            ("mcp_url", &endpoints.mcp.as_str().into()),
            ("server_name", &settings.server_name.as_str().into()),
            ("mcp_config", &written.mcp_config),
            ("config_file", &config_file.unwrap_or_default().into()),
            ("allowed_tools", &written.allowed_tools.as_str().into()),
            ("tools", &tools.to_string().into()),
            ("agent_args", &written.agent_args),
        ],
    )
}

fn warn_of_settings(settings: &Settings, log: &mut Log<'_>) {
    if settings.credentials.is_personal() {
        log.warning(
            "Port MCP",
            "`client_id` looks like a person's own credentials: the agent acts with that person's \
             rights, and stops when they leave. Create a service account in Port for CI.",
        );
    }
}

/// No call can make the token live longer, so the warning says what can be done instead.
fn warn_of_validity(settings: &Settings, token: &Token, now: SystemTime, log: &mut Log<'_>) {
    let Some((left, at)) = token.valid_for(now).zip(token.expires_at) else {
        log.warning(
            "Port MCP",
            "Port did not say how long the token is valid, so `expires_at` and `expires_in` are \
             empty.",
        );
        return;
    };
    if left < settings.min_validity {
        log.warning(
            "Port MCP",
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

/// Writes the file and saves its name for the post phase, which removes it.
fn write_config_file(environment: &Environment, written: &Written) -> anyhow::Result<String> {
    let name = temp::create(
        environment,
        written.config_file_suffix,
        &written.config_file_text,
    )?;
    let saved = SecretString::from(name.as_str());
    if let Err(error) = files::set(environment, files::STATE, &[(cleanup::CONFIG_FILE, &saved)]) {
        temp::remove(environment, &name)?;
        return Err(error);
    }
    Ok(name)
}

fn closing_line(settings: &Settings, expires_at: Option<&str>) -> String {
    let until = expires_at
        .map(|at| format!(" until {at}"))
        .unwrap_or_default();
    let condition = match settings.token_placement {
        TokenPlacement::Inline => String::new(),
        TokenPlacement::Env => format!(
            ", with `{TOKEN_VARIABLE}` set to the output `access_token` in the agent's step"
        ),
    };
    format!(
        "Authenticated with Port, region {}. `{}` may use {} of {}{until}{condition}.",
        settings.endpoints.region,
        settings.agent,
        granted(&settings.allowed_tools),
        settings.endpoints.mcp,
    )
}

fn granted(tools: &Tools) -> String {
    match tools {
        Tools::Whole => "every tool".to_owned(),
        Tools::Named(names) => format!("{} ({})", count(names.len()), names.join(", ")),
    }
}

fn count(tools: usize) -> String {
    match tools {
        1 => "1 tool".to_owned(),
        n => format!("{n} tools"),
    }
}

fn summary(
    settings: &Settings,
    token: &Token,
    now: SystemTime,
    limits: Option<&'static str>,
) -> Summary {
    let endpoints = &settings.endpoints;
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
    let mut summary = Summary::new("Port MCP");
    summary.table([
        ("Agent", Some(settings.agent.to_string())),
        ("Region", Some(endpoints.region.to_string())),
        (
            "MCP server",
            Some(format!("{} as {}", endpoints.mcp, settings.server_name)),
        ),
        ("Connection", Some(settings.connection.to_string())),
        ("Tools", Some(granted(&settings.allowed_tools))),
        ("Limits", limits.map(str::to_owned)),
        (
            "Read only",
            Some(if settings.read_only { "yes" } else { "no" }.to_owned()),
        ),
        ("Port actions", Some(settings.allowed_actions.to_string())),
        ("Token lapses", expiry),
    ]);
    summary
}
