//! The main phase: exchanges credentials for a masked token and writes an MCP configuration.

mod endpoint;
mod enforcement;
pub(crate) mod policy;
mod report;
mod token;

use std::collections::HashSet;
use std::time::Duration;

use anyhow::anyhow;
use secrecy::{ExposeSecret as _, SecretString};

use crate::access::source::PolicySource;
use crate::access::{self, AccessErrors, Decision, Grants, KnownTools, Resolution};
use crate::agents::{self, AgentOutputs};
use crate::error::with_causes;
use crate::http::{Http, IGNORED_VARIABLES, ProxySettings};
use crate::inputs::{Inputs, Settings};
use crate::mcp::{self, Tool};
use crate::port::{self, Endpoints, Token};
use crate::runner::summary::{self, Summary};
use crate::runner::temp::NewFile;
use crate::runner::{Environment, Log, files, state, temp};
use crate::text::secrets;
use crate::tool::{FunctionName, ToolName};
use crate::{Connection, Error};
use endpoint::{AgentEndpoint, Granted};
use enforcement::{check_base_config, check_enforcement};
use policy::PolicyDecision;

/// The time limit for a request that only improves an error.
const WRITABLE_TIMEOUT: Duration = Duration::from_secs(3);

/// Runs the main phase.
///
/// # Errors
/// Invalid inputs, a policy that does not allow the request or cannot be read, tools that are not
/// available, a server that cannot be used, or outputs that cannot be written. Outputs are written
/// last, so a step that fails has no outputs and leaves no file.
pub async fn run(environment: &Environment, log: &mut Log<'_>) -> Result<(), Error> {
    let connected = connect(environment, log).await;
    if let Err(error) = &connected
        && summary::is_wanted(environment.get("INPUT_SUMMARY"))
        && let Err(error) = report::failure(error, environment).write(environment)
    {
        log.debug(format!("no job summary: {error:#}"));
    }
    connected
}

async fn connect(environment: &Environment, log: &mut Log<'_>) -> Result<(), Error> {
    // An error is reported below if the step needs to save something.
    let cleared = state::clear(environment);
    let settings = settings(environment, log)?;
    if let Err(error) = cleared {
        log.debug(format!("no state: {error:#}"));
    }
    check_runner(&settings, environment)?;
    warn_of_environment(&settings, environment, log);
    let http = Http::new(settings.http.clone())?;

    let (decision, endpoints, token) = policy_and_token(&settings, environment, &http, log).await?;
    let headers = port::mcp_headers(settings.request.read_only, &decision.actions);
    let (token, offered) = if settings.verify {
        token::preflight(&settings, &endpoints, &http, &headers, token, log).await?
    } else {
        (token, unverified_tools(&settings))
    };
    let can_use_gateway = can_use_gateway(&settings, &decision);
    report::warn_of_token(&settings, &token, can_use_gateway, log);

    let writable = writable_tools(&settings, &endpoints, &http, &decision, &token, &offered).await;
    let (resolution, granted) = decide(&settings, &decision, &offered, &writable);
    let grants = granted?;
    check_enforcement(&settings, &decision, &resolution, log)?;
    report::warn_of_tools(&settings, &decision, &resolution, can_use_gateway, log);

    let tools: Vec<ToolName> = grants.names().cloned().collect();
    check_base_config(&settings, &decision, &endpoints, &tools, log)?;
    let is_gateway = settings.request.connection == Connection::Gateway;
    // Behind the gateway, there are no others.
    let ungranted = if is_gateway {
        Vec::new()
    } else {
        resolution.ungranted()
    };
    let endpoint = AgentEndpoint::new(
        &settings,
        environment,
        &endpoints,
        &token,
        &headers,
        &Granted {
            rule: decision.rule.as_ref(),
            grants: &grants,
        },
        log,
    )
    .await?;
    let rendered = render_masked(&settings, &endpoint, &tools, &ungranted, log)?;
    let expiry = endpoint.expires_at.zip(endpoint.valid_for);
    let closing_line = report::closing_line(&settings, &endpoints, token.flow, &endpoint, &tools);
    write_outputs(
        &settings,
        environment,
        endpoint,
        &tools,
        &ungranted,
        &rendered,
        log,
    )?;
    log.info(closing_line);
    if settings.summary {
        let summary = report::summary(
            &settings,
            &decision,
            &endpoints,
            &token,
            &resolution,
            expiry,
            rendered.limits.filter(|_| !is_gateway),
        );
        write_summary(&summary, is_gateway, environment, log);
    }
    Ok(())
}

/// The configuration of the agent. Masks the secret in it before it is written.
fn render_masked(
    settings: &Settings,
    endpoint: &AgentEndpoint,
    tools: &[ToolName],
    ungranted: &[String],
    log: &mut Log<'_>,
) -> anyhow::Result<AgentOutputs> {
    let server = agents::Server {
        name: &settings.server_name,
        url: &endpoint.url,
        headers: &endpoint.headers,
        token: &endpoint.secret,
        transport: settings.request.connection.into(),
        token_placement: settings.token_placement,
        tools,
        ungranted,
    };
    let rendered = settings
        .request
        .agent
        .render(&server, settings.base_config.clone());
    log.mask_for_next_steps(&endpoint.secret)?;
    for form in &rendered.masks {
        log.mask_text(form)?;
    }
    Ok(rendered)
}

fn write_summary(
    summary: &Summary,
    is_gateway: bool,
    environment: &Environment,
    log: &mut Log<'_>,
) {
    if let Err(error) = summary.write(environment) {
        log.warning(format!(
            "The job summary was not written: {}",
            with_causes(&error)
        ));
    } else if is_gateway && let Err(error) = summary.keep(environment) {
        log.debug(format!(
            "the post phase replaces the job summary: {error:#}"
        ));
    }
}

/// What a step would grant.
#[derive(Debug)]
pub struct DryRun {
    /// Each tool that the server offers, with the decision on it.
    pub decisions: Vec<(Tool, Decision)>,
    /// Why the step would fail, if it would.
    pub checked: Result<(), Error>,
}

/// Decides which tools a step with the inputs in `environment` would grant, without outputs. `policy` replaces the input
/// of this name. Unless `is_request`, the inputs request nothing, so nothing is checked.
///
/// # Errors
/// As for [`run`], up to the list of tools.
pub async fn dry_run(
    environment: &Environment,
    policy: Option<PolicySource>,
    is_request: bool,
    log: &mut Log<'_>,
) -> Result<DryRun, Error> {
    let mut settings = settings(environment, log)?;
    settings.policy = policy.or(settings.policy);
    let http = Http::new(settings.http.clone())?;
    let (decision, endpoints, token) = policy_and_token(&settings, environment, &http, log).await?;
    let headers = port::mcp_headers(settings.request.read_only, &decision.actions);
    let (token, offered) =
        token::preflight(&settings, &endpoints, &http, &headers, token, log).await?;
    let writable = if is_request {
        writable_tools(&settings, &endpoints, &http, &decision, &token, &offered).await
    } else {
        HashSet::new()
    };
    let (resolution, granted) = decide(&settings, &decision, &offered, &writable);
    let checked = match granted {
        _ if !is_request => Ok(()),
        Err(error) => Err(error),
        Ok(_) => {
            let can_use_gateway = can_use_gateway(&settings, &decision);
            report::warn_of_tools(&settings, &decision, &resolution, can_use_gateway, log);
            check_enforcement(&settings, &decision, &resolution, log).map_err(Error::from)
        }
    };
    Ok(DryRun {
        decisions: resolution
            .iter()
            .map(|(tool, decision)| (tool.clone(), decision))
            .collect(),
        checked,
    })
}

/// Checks that the server offers the tools `names`.
///
/// # Errors
/// Every tool that it does not offer.
pub fn check_offered<'a>(
    names: &[String],
    offered: impl Iterator<Item = &'a Tool>,
) -> Result<(), AccessErrors> {
    let offered: Vec<Tool> = offered.cloned().collect();
    let none = HashSet::new();
    let known = known_tools(&none, false);
    AccessErrors::check(access::unavailable(names.iter(), &offered, &known))
}

/// Checks that the runner can take everything that will be written.
fn check_runner(settings: &Settings, environment: &Environment) -> anyhow::Result<()> {
    files::path(environment, files::OUTPUT)?;
    let has_files = settings.config_file || settings.gateway.audit_file;
    if has_files || settings.request.connection == Connection::Gateway {
        files::path(environment, files::STATE)?;
    }
    if has_files {
        let instead = if settings.config_file {
            "remove `config_file`, and use the output `mcp_config`"
        } else {
            "remove `audit_file`: the gateway writes the audit to the log of its container"
        };
        temp::directory(environment).map_err(|error| {
            let text = error.to_string();
            let what = text.lines().next().unwrap_or_default();
            anyhow!("{what}\nhint: {instead}")
        })?;
    }
    Ok(())
}

/// Decides which tools are granted, or why the step fails.
fn decide<'a>(
    settings: &Settings,
    decision: &PolicyDecision,
    offered: &'a [Tool],
    writable: &HashSet<String>,
) -> (Resolution<'a>, Result<Grants, Error>) {
    let request = &settings.request;
    let is_gateway = request.connection == Connection::Gateway;
    let function_name = |tool: &str| request.agent.function_name(&settings.server_name, tool);
    // Behind the gateway, the agent sees only granted tools, which are compared below.
    let functions: access::Functions<'_> = if is_gateway {
        &FunctionName::plain
    } else {
        &function_name
    };
    let (resolution, granted) = access::resolve(
        &request.allowed_tools,
        offered,
        decision.rule.as_ref().map(|rule| &rule.tools),
        request.read_only,
        functions,
        &known_tools(writable, can_use_gateway(settings, decision)),
    );
    let granted = granted.and_then(|grants| {
        if is_gateway {
            access::check_distinct(&grants, &function_name)?;
        }
        Ok(grants)
    });
    (resolution, granted.map_err(Error::from))
}

/// What is known about tools that the server does not offer in the mode of the step.
fn known_tools(writable: &HashSet<String>, can_be_hidden: bool) -> KnownTools<'_> {
    KnownTools {
        writable,
        replacements: port::replacements,
        is_removed: port::is_removed,
        can_be_hidden,
    }
}

/// Parses the inputs, and masks every secret among them before anything is printed.
fn settings(environment: &Environment, log: &mut Log<'_>) -> Result<Settings, Error> {
    let inputs = Inputs::from_env(environment);
    let passwords = ProxySettings::passwords_in(|name| environment.get(name));
    for secret in inputs.secrets().chain(&passwords) {
        log.mask(secret)?;
    }
    if inputs.has_empty_tools() {
        log.warning(
            "Input `allowed_tools` is empty, so its default `*` is used. If this is not intended, check the \
             expression that sets it.",
        );
    }
    Ok(Settings::from_inputs(inputs, environment)?)
}

/// Warns of a short secret, and reports variables that do not count.
fn warn_of_environment(settings: &Settings, environment: &Environment, log: &mut Log<'_>) {
    let length = settings
        .credentials
        .client_secret
        .expose_secret()
        .chars()
        .count();
    if length < secrets::MIN_LENGTH {
        log.warning(format!(
            "`client_secret` has only {length} characters; Port's secrets are longer. The log will \
                 hide every text that equals it, and other inputs are not checked for it."
        ));
    }
    for variable in IGNORED_VARIABLES {
        if environment.path(variable).is_some() {
            log.info(format!(
                "`{variable}` is ignored, because any earlier step can set it. To trust another certificate \
                 authority, set `ca_certificate`."
            ));
        }
    }
}

/// Reads the policy and obtains a token at the same time. If the inputs name custom servers, or do not
/// determine the region, the policy is read first: it limits which servers receive the credentials.
async fn policy_and_token(
    settings: &Settings,
    environment: &Environment,
    http: &Http,
    log: &mut Log<'_>,
) -> Result<(PolicyDecision, Endpoints, Token), Error> {
    let decision = policy::evaluate(settings, environment, http);
    let can_overlap = match settings.request.endpoints.as_slice() {
        [only] => only.custom_hosts().is_empty(),
        _ => settings.policy.is_none(),
    };
    let (decision, (endpoints, token)) = if can_overlap {
        let token = token::fetch(settings, &settings.request.endpoints, http, log);
        tokio::try_join!(decision, token)?
    } else {
        let decision = decision.await?;
        let fetched = token::fetch(settings, &decision.endpoints, http, log).await?;
        (decision, fetched)
    };
    report::log_actions(settings, &decision, log);
    Ok((decision, endpoints, token))
}

/// The tools that `allowed_tools` lists, without a request to the server.
fn unverified_tools(settings: &Settings) -> Vec<Tool> {
    settings
        .request
        .allowed_tools
        .only_names()
        .unwrap_or_default()
        .iter()
        .map(|name| Tool::named(name))
        .collect()
}

/// The names of the tools that the server offers without read-only mode. Sends a request only if a listed
/// tool is missing and read-only mode may hide it. Empty after an error: the reason then stays unknown.
async fn writable_tools(
    settings: &Settings,
    endpoints: &Endpoints,
    http: &Http,
    decision: &PolicyDecision,
    token: &Token,
    offered: &[Tool],
) -> HashSet<String> {
    let is_offered = |name: &String| offered.iter().any(|tool| tool.name == *name);
    let is_complete = settings
        .request
        .allowed_tools
        .names()
        .iter()
        .all(is_offered);
    if !settings.verify || !settings.request.read_only || is_complete {
        return HashSet::new();
    }
    let server = mcp::Server {
        url: &endpoints.mcp,
        headers: &port::mcp_headers(false, &decision.actions),
        token: &token.secret,
    };
    mcp::offered_tools_once(http, &server, WRITABLE_TIMEOUT)
        .await
        .unwrap_or_default()
        .into_iter()
        .map(|tool| tool.name)
        .collect()
}

/// Whether the step could set `connection: gateway`.
fn can_use_gateway(settings: &Settings, decision: &PolicyDecision) -> bool {
    let rule = decision.rule.as_ref();
    settings.request.connection != Connection::Gateway
        && settings.request.agent.runs_on_runner
        && rule.is_none_or(|rule| rule.allows_gateway)
}

/// Writes the configuration file and the outputs. Removes the file if the outputs cannot be written.
fn write_outputs(
    settings: &Settings,
    environment: &Environment,
    endpoint: AgentEndpoint,
    tools: &[ToolName],
    ungranted: &[String],
    rendered: &AgentOutputs,
    log: &mut Log<'_>,
) -> anyhow::Result<()> {
    let file = settings
        .config_file
        .then(|| write_config_file(environment, rendered))
        .transpose()?;
    let text = |text: &str| SecretString::from(text);
    let expires_at = report::rfc3339(endpoint.expires_at).unwrap_or_default();
    let expires_in = endpoint.valid_for.map(|left| left.as_secs().to_string());
    let file_name = file.as_ref().map_or("", |file| &file.name);
    let audit_name = endpoint.audit_file.as_ref().map_or("", |file| &file.name);
    let url_in_containers = endpoint.url_in_containers.as_ref();
    let outputs: [(&str, SecretString); 14] = [
        ("access_token", endpoint.secret.clone()),
        ("expires_at", text(&expires_at)),
        ("expires_in", text(&expires_in.unwrap_or_default())),
        ("mcp_url", text(endpoint.url.as_str())),
        (
            "mcp_url_in_containers",
            text(url_in_containers.map_or("", url::Url::as_str)),
        ),
        ("read_only_header", text(endpoint.header(port::READ_ONLY))),
        (
            "allowed_actions_header",
            text(endpoint.header(port::ALLOWED_ACTIONS)),
        ),
        ("server_name", text(&settings.server_name)),
        ("mcp_config", rendered.mcp_config.clone()),
        ("config_file", text(file_name)),
        ("audit_file", text(audit_name)),
        ("allowed_tools", text(&rendered.allowed_tools)),
        ("tools", text(&serde_json::json!(tools).to_string())),
        ("agent_args", rendered.agent_args.clone()),
    ];
    report::warn_of_outputs(settings, rendered, &outputs, ungranted, log);
    files::set(environment, files::OUTPUT, &outputs)?;
    endpoint.audit_file.map_or(Ok(()), NewFile::keep)?;
    file.map_or(Ok(()), NewFile::keep)
}

/// Writes the file and saves its name for the post phase, which removes it.
fn write_config_file(
    environment: &Environment,
    rendered: &AgentOutputs,
) -> anyhow::Result<NewFile> {
    let file = temp::create(
        environment,
        rendered.config_file_suffix,
        &rendered.config_file_text,
    )?;
    let saved = SecretString::from(file.name.as_str());
    state::save(environment, &[(state::CONFIG_FILE, saved)])?;
    Ok(file)
}
