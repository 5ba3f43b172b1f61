//! The main phase: credentials in, a masked token and a ready-made MCP configuration out.

mod report;
mod token;

use std::collections::HashSet;
use std::time::SystemTime;

use anyhow::bail;
use secrecy::{ExposeSecret as _, SecretString};

use crate::access::policy::{Ask, Run};
use crate::access::{self, Grant, Lore, Patterns, Refusal, Refusals, source};
use crate::agents::{self, Agent, List, Written};
use crate::cleanup;
use crate::http::{Http, ProxySettings, ROOTS_VARIABLES};
use crate::inputs::{Inputs, Settings};
use crate::mcp::{self, Tool};
use crate::port::{self, Actions, Endpoints, Token};
use crate::runner::temp::NewFile;
use crate::runner::{Environment, Log, files, temp};
use crate::text::{Quote, secrets};

/// The title of every annotation.
const TITLE: &str = "Port MCP";

/// Runs the main phase.
///
/// # Errors
/// [`Mistakes`](crate::inputs::Mistakes) in the inputs, a policy that refuses or cannot be read,
/// [`Refusals`] of tools, a server that cannot be used, or a runner that could not
/// be handed something. The next steps are handed what they need last, so a step that fails has no
/// outputs, leaves no file, and says nothing of a grant.
pub async fn run(environment: &Environment, log: &mut Log<'_>) -> anyhow::Result<()> {
    let mut settings = settings(environment, log)?;
    files::find(environment, files::OUTPUT)?;
    if settings.config_file {
        files::find(environment, files::STATE)?;
        temp::check(environment)?;
    }
    warn_of_surroundings(&settings, environment, log);
    let http = Http::new(std::mem::take(&mut settings.http))?;

    let (admission, endpoints, token) =
        admission_and_token(&settings, environment, &http, log).await?;
    let headers = port::mcp_headers(settings.read_only, &admission.actions);
    let (token, offered) = if settings.verify {
        token::preflight(&settings, &endpoints, &http, &headers, token, log).await?
    } else {
        (token, unverified(&settings))
    };
    let now = SystemTime::now();
    report::warn_of_token(&settings, &token, now, log);

    let writable = writable_tools(&settings, &endpoints, &http, &admission, &token, &offered).await;
    let lore = Lore {
        writable: &writable,
        replacements: port::replacements,
        is_gone: port::is_gone,
    };
    let notation = |tool: &str| settings.agent.known_as(&settings.server_name, tool);
    let grant = access::grant(
        &settings.allowed_tools,
        &offered,
        admission.ceiling.as_ref(),
        settings.read_only,
        &notation,
        &lore,
    )?;
    let withheld = grant.withheld(&offered);
    check_list(&settings, &admission, &grant, &withheld, log)?;
    report::warn_of_tools(&settings, &admission, &offered, &grant, log);

    let tools: Vec<String> = grant.tools.iter().map(|tool| tool.name.clone()).collect();
    check_configuration(&settings, &admission, &endpoints, &tools, log)?;
    let server = agents::Server {
        name: &settings.server_name,
        url: &endpoints.mcp,
        headers: &headers,
        token: &token.secret,
        connection: settings.connection,
        token_placement: settings.token_placement,
        tools: &tools,
        withheld: &withheld,
    };
    let written = settings.agent.write(&server, settings.base_config.clone());
    for form in &written.masks {
        log.mask(form)?;
    }
    hand_over(
        &settings,
        environment,
        &endpoints,
        &token,
        &tools,
        &written,
        now,
        log,
    )?;
    log.info(report::closing_line(&settings, &endpoints, &token, &tools));
    if settings.summary {
        let summary = report::summary(
            &settings,
            &admission,
            &endpoints,
            &token,
            &grant,
            written.limits,
            now,
        );
        if let Err(error) = summary.write(environment) {
            log.warning(TITLE, format!("The job summary is missing: {error:#}"));
        }
    }
    Ok(())
}

/// What the MCP server offers to the credentials in `environment`, without anything for a next step.
///
/// # Errors
/// As for [`run`], as far as that comes to the server's offer.
pub async fn offered(environment: &Environment, log: &mut Log<'_>) -> anyhow::Result<Vec<Tool>> {
    let mut settings = settings(environment, log)?;
    let http = Http::new(std::mem::take(&mut settings.http))?;
    let (admission, endpoints, token) =
        admission_and_token(&settings, environment, &http, log).await?;
    let headers = port::mcp_headers(settings.read_only, &admission.actions);
    let (_, tools) = token::preflight(&settings, &endpoints, &http, &headers, token, log).await?;
    Ok(tools)
}

/// The checked inputs, with every secret among them masked before anything is said.
fn settings(environment: &Environment, log: &mut Log<'_>) -> anyhow::Result<Settings> {
    let inputs = Inputs::read(environment);
    for secret in [&inputs.client_secret, &inputs.github_token]
        .into_iter()
        .flatten()
    {
        log.mask(secret)?;
    }
    let settings = Settings::check(inputs, environment)?;
    let proxy = settings.http.proxy.as_ref();
    if let Some(password) = proxy.and_then(ProxySettings::password) {
        log.mask(&password)?;
    }
    Ok(settings)
}

/// Hands everything to the next steps: the file first, which goes again if the outputs fail.
#[expect(clippy::too_many_arguments, reason = "all that the next steps get")]
fn hand_over(
    settings: &Settings,
    environment: &Environment,
    endpoints: &Endpoints,
    token: &Token,
    tools: &[String],
    written: &Written,
    now: SystemTime,
    log: &mut Log<'_>,
) -> anyhow::Result<()> {
    let file = settings
        .config_file
        .then(|| write_config_file(environment, written))
        .transpose()?;
    let text = |text: &str| SecretString::from(text);
    let expires_in = token.valid_for(now).map(|left| left.as_secs().to_string());
    let outputs: [(&str, SecretString); 10] = [
        ("access_token", token.secret.clone()),
        (
            "expires_at",
            text(&report::expires_at(token).unwrap_or_default()),
        ),
        ("expires_in", text(&expires_in.unwrap_or_default())),
        ("mcp_url", text(endpoints.mcp.as_str())),
        ("server_name", text(&settings.server_name)),
        ("mcp_config", written.mcp_config.clone()),
        (
            "config_file",
            text(file.as_ref().map_or("", |file| &file.name)),
        ),
        ("allowed_tools", text(&written.allowed_tools)),
        ("tools", text(&serde_json::json!(tools).to_string())),
        ("agent_args", written.agent_args.clone()),
    ];
    report::warn_of_configuration(settings, written, &outputs, log);
    files::set(environment, files::OUTPUT, &outputs)?;
    file.map_or(Ok(()), NewFile::keep)
}

/// Says what an earlier step, or whoever set the secret, may not have meant.
fn warn_of_surroundings(settings: &Settings, environment: &Environment, log: &mut Log<'_>) {
    let length = settings
        .credentials
        .client_secret
        .expose_secret()
        .chars()
        .count();
    if length < secrets::SHORTEST {
        log.warning(
            TITLE,
            format!(
                "`client_secret` has {length} characters, and Port's have more. Whatever reads the \
                 same in the log is hidden, and in other inputs it is not looked for."
            ),
        );
    }
    for variable in ROOTS_VARIABLES {
        if let Some(path) = environment.path(variable) {
            log.notice(
                TITLE,
                format!(
                    "`{variable}` chooses the certificate authorities that are trusted here: {}. If \
                     that is not meant, look for the step that set it.",
                    Quote::new(&path.to_string_lossy())
                ),
            );
        }
    }
}

/// Looks for what in `base_config` could undo the grant: under a policy it is refused, without one it
/// is said.
fn check_configuration(
    settings: &Settings,
    admission: &Admission,
    endpoints: &Endpoints,
    tools: &[String],
    log: &mut Log<'_>,
) -> anyhow::Result<()> {
    let is_ours = |url: &url::Url| port::is_same_server(url, &endpoints.mcp);
    let findings = settings.agent.findings(
        &settings.server_name,
        tools,
        &settings.base_config,
        &is_ours,
    );
    if let Some(rule) = &admission.rule
        && !findings.is_empty()
    {
        let refusal = |finding: agents::Finding| Refusal::Configuration {
            what: finding.what,
            effect: finding.effect.to_string(),
            rule: rule.clone(),
            hint: finding.effect.hint().to_owned(),
        };
        return Err(Refusals(findings.into_iter().map(refusal).collect()).into());
    }
    for finding in findings {
        log.warning(
            TITLE,
            format!(
                "{} of `base_config` {}. If that is not meant: {}.",
                finding.what,
                finding.effect,
                finding.effect.hint()
            ),
        );
    }
    for notice in settings.agent.unread(&settings.base_config) {
        log.notice(TITLE, notice);
    }
    Ok(())
}

/// What the run may ask for, as far as it is known before the server is asked.
struct Admission {
    /// The rule of the policy, for people.
    rule: Option<String>,
    /// The tools of the rule.
    ceiling: Option<Patterns>,
    /// The actions that the agent may run.
    actions: Actions,
    /// The servers that may be asked.
    endpoints: Vec<Endpoints>,
}

/// Asks the policy and Port at the same time; but the policy first where it has a say in which
/// servers are asked: where the inputs name one that is not Port's own, or leave the region open.
async fn admission_and_token(
    settings: &Settings,
    environment: &Environment,
    http: &Http,
    log: &mut Log<'_>,
) -> anyhow::Result<(Admission, Endpoints, Token)> {
    let admit = admit(settings, environment, http);
    let is_settled = match settings.endpoints.as_slice() {
        [only] => only.foreign_hosts().is_empty(),
        _ => settings.policy.is_none(),
    };
    let (admission, (endpoints, token)) = if is_settled {
        tokio::try_join!(
            admit,
            token::fetch(settings, &settings.endpoints, http, log)
        )?
    } else {
        let admission = admit.await?;
        let found = token::fetch(settings, &admission.endpoints, http, log).await?;
        (admission, found)
    };
    if settings.allowed_actions != admission.actions {
        log.notice(
            TITLE,
            format!(
                "`allowed_actions: *` was narrowed to what {} allows: {}.",
                admission.rule.as_deref().unwrap_or_default(),
                admission.actions
            ),
        );
    }
    Ok((admission, endpoints, token))
}

/// Reads the policy, if there is one, and checks all that does not depend on the server.
async fn admit(
    settings: &Settings,
    environment: &Environment,
    http: &Http,
) -> anyhow::Result<Admission> {
    let Some(source) = &settings.policy else {
        return Ok(Admission {
            rule: None,
            ceiling: None,
            actions: settings.allowed_actions.clone(),
            endpoints: settings.endpoints.clone(),
        });
    };
    let policy = source::read(source, &settings.github, http).await?;
    let rule = policy.rule_for(&this_run(settings, environment))?;
    let endpoints = &settings.endpoints;
    let regions: Vec<_> = endpoints.iter().filter_map(|at| at.region).collect();
    let foreign_hosts: Vec<_> = endpoints
        .iter()
        .flat_map(Endpoints::foreign_hosts)
        .collect();
    let allowed = rule.check(&Ask {
        tools: &settings.allowed_tools,
        actions: &settings.allowed_actions,
        read_only: settings.read_only,
        regions: &regions,
        foreign_hosts: &foreign_hosts,
        connection: settings.connection,
    })?;
    let actions = allowed.actions;
    if actions != settings.allowed_actions && !settings.agent.sends_headers() {
        let refusal = Refusal::AboveCeiling {
            what: "`allowed_actions: *`".to_owned(),
            rule: rule.title,
            allowed: format!(
                ", and `{}` sends the server no header that would narrow it",
                settings.agent
            ),
        };
        return Err(Refusals(vec![refusal]).into());
    }
    Ok(Admission {
        ceiling: Some(rule.tools().clone()),
        rule: Some(rule.title),
        actions,
        endpoints: endpoints
            .iter()
            .filter(|at| {
                at.region
                    .is_none_or(|region| allowed.regions.contains(&region))
            })
            .cloned()
            .collect(),
    })
}

fn this_run(settings: &Settings, environment: &Environment) -> Run {
    let variable = |name| environment.get(name).unwrap_or_default().to_owned();
    Run {
        repository: variable("GITHUB_REPOSITORY"),
        reference: variable("GITHUB_REF"),
        environment: settings.environment.clone(),
        workflow: variable("GITHUB_WORKFLOW_REF"),
        event: variable("GITHUB_EVENT_NAME"),
    }
}

/// The tools that the inputs name, taken for offered.
fn unverified(settings: &Settings) -> Vec<Tool> {
    let names = settings.allowed_tools.only_names().unwrap_or_default();
    names.iter().map(|name| Tool::named(name)).collect()
}

/// The names that the server offers without read-only mode. It is asked only where a tool is missing
/// that read-only mode may withhold; a failure leaves the reason unknown.
async fn writable_tools(
    settings: &Settings,
    endpoints: &Endpoints,
    http: &Http,
    admission: &Admission,
    token: &Token,
    offered: &[Tool],
) -> HashSet<String> {
    let offers = |name: &String| offered.iter().any(|tool| tool.name == *name);
    if !settings.verify || !settings.read_only || settings.allowed_tools.names().iter().all(offers)
    {
        return HashSet::new();
    }
    let server = mcp::Server {
        url: &endpoints.mcp,
        headers: &port::mcp_headers(false, &admission.actions),
        token: &token.secret,
    };
    let tools = mcp::offered_tools(http, &server).await.unwrap_or_default();
    tools.into_iter().map(|tool| tool.name).collect()
}

/// An agent that does not keep to a list of tools may use whatever the server offers: that is said,
/// and where a policy sets a ceiling, refused.
fn check_list(
    settings: &Settings,
    admission: &Admission,
    grant: &Grant<'_>,
    withheld: &[String],
    log: &mut Log<'_>,
) -> anyhow::Result<()> {
    let agent = settings.agent;
    let beyond = match agent.list() {
        List::Kept => return Ok(()),
        // Those that cannot be written into a list are all that one cannot exclude.
        List::Excluded => &[],
        List::Ignored => withheld,
    };
    let misnamed = grant.misnamed.iter().map(|tool| &tool.name);
    let beyond: Vec<&str> = beyond.iter().chain(misnamed).map(String::as_str).collect();
    if beyond.is_empty() && settings.verify {
        return Ok(());
    }
    let what = match access::list(beyond.into_iter()) {
        empty if empty.is_empty() => "whatever else the server offers".to_owned(),
        names => names,
    };
    let others = Agent::that_keep_the_list();
    if let (Some(rule), List::Ignored) = (&admission.rule, agent.list()) {
        bail!(
            "`{agent}` does not keep to a list of tools, so it could also use {what}, which is above \
             the ceiling of {rule} or was not asked for\n\
             hint: use an agent that keeps to the list: {others}"
        );
    }
    if agent.list() == List::Excluded {
        bail!(
            "`{agent}` runs every tool that it is not told to leave out, and these have names that no \
             list can hold: {what}\nhint: use an agent that keeps to a list: {others}"
        );
    }
    log.warning(
        TITLE,
        format!(
            "`{agent}` does not keep to a list of tools: it may also use {what}. What holds is \
             `read_only`, `allowed_actions` and the rights of the credentials; agents that keep to \
             the list are {others}."
        ),
    );
    Ok(())
}

/// Writes the file and saves its name for the post phase, which removes it.
fn write_config_file(environment: &Environment, written: &Written) -> anyhow::Result<NewFile> {
    let file = temp::create(
        environment,
        written.config_file_suffix,
        &written.config_file_text,
    )?;
    let saved = SecretString::from(file.name.as_str());
    files::set(environment, files::STATE, &[(cleanup::CONFIG_FILE, saved)])?;
    Ok(file)
}
