//! The main phase: credentials in, a masked token and a ready-made MCP configuration out.

mod report;

use std::collections::HashSet;
use std::fmt;
use std::time::SystemTime;

use anyhow::{Context as _, bail};
use secrecy::SecretString;

use crate::access::policy::{Ask, Run};
use crate::access::{self, Grant, Lore, Patterns, Refusal, Refusals, source};
use crate::agents::{self, Agent, List, Written};
use crate::cleanup;
use crate::http::Http;
use crate::inputs::{AuthMethod, Inputs, Settings};
use crate::mcp::{self, Tool, Verdict};
use crate::port::{self, Actions, Flow, Token};
use crate::runner::{Environment, Log, files, temp};

/// The title of every annotation.
const TITLE: &str = "Port MCP";

/// Runs the main phase.
///
/// # Errors
/// [`Mistakes`](crate::inputs::Mistakes) in the inputs, a policy that refuses or cannot be read,
/// [`Refusals`] of tools, a server that cannot be used, or a runner that could not
/// be handed something. Outputs are written last, so a step that fails has none.
pub async fn run(environment: &Environment, log: &mut Log<'_>) -> anyhow::Result<()> {
    let inputs = Inputs::read(environment);
    for secret in [&inputs.client_secret, &inputs.github_token]
        .into_iter()
        .flatten()
    {
        log.mask(secret)?;
    }
    let mut settings = Settings::check(inputs, environment)?;
    let http = Http::new(std::mem::take(&mut settings.http))
        .context("TLS could not be set up: a CA certificate is broken, or the system has none")?;

    let (admission, token) = admission_and_token(&settings, environment, &http, log).await?;
    let headers = port::mcp_headers(settings.read_only, &admission.actions);
    let (token, offered) = if settings.verify {
        preflight(&settings, &http, &headers, token, log).await?
    } else {
        (token, unverified(&settings))
    };
    let now = SystemTime::now();
    report::warn_of_token(&settings, &token, now, log);

    let writable = writable_tools(&settings, &http, &admission, &token, &offered).await;
    let lore = Lore {
        writable: &writable,
        replacements: port::replacements,
    };
    let ceiling = admission.ceiling.as_ref();
    let grant = access::grant(
        &settings.allowed_tools,
        &offered,
        ceiling,
        settings.read_only,
        &lore,
    )?;
    let withheld = grant.withheld(&offered);
    check_list(&settings, &admission, &grant, &withheld, log)?;
    report::warn_of_tools(&settings, &admission, &offered, &grant, log);

    let tools: Vec<String> = grant.tools.iter().map(|tool| tool.name.clone()).collect();
    let server = agents::Server {
        name: &settings.server_name,
        url: &settings.endpoints.mcp,
        headers: &headers,
        token: &token.secret,
        connection: settings.connection,
        token_placement: settings.token_placement,
        tools: &tools,
        withheld: &withheld,
    };
    let written = settings.agent.write(&server, settings.base_config.clone());
    report::warn_of_configuration(&settings, &written, log);
    let config_file = settings
        .config_file
        .then(|| write_config_file(environment, &written))
        .transpose()?;

    log.info(report::closing_line(&settings, &token, &tools));
    if settings.summary {
        report::summary(&settings, &admission, &token, &grant, written.limits, now)
            .write(environment, log)?;
    }
    let expires_in = token.valid_for(now).map(|left| left.as_secs().to_string());
    files::set(
        environment,
        files::OUTPUT,
        &[
            ("access_token", &token.secret),
            (
                "expires_at",
                &report::expires_at(&token).unwrap_or_default().into(),
            ),
            ("expires_in", &expires_in.unwrap_or_default().into()),
            ("mcp_url", &settings.endpoints.mcp.as_str().into()),
            ("server_name", &settings.server_name.as_str().into()),
            ("mcp_config", &written.mcp_config),
            ("config_file", &config_file.unwrap_or_default().into()),
            ("allowed_tools", &written.allowed_tools.as_str().into()),
            ("tools", &serde_json::json!(tools).to_string().into()),
            ("agent_args", &written.agent_args),
        ],
    )
}

/// What the run may ask for, as far as it is known before the server is asked.
struct Admission {
    /// The rule of the policy, for people.
    rule: Option<String>,
    /// The tools of the rule.
    ceiling: Option<Patterns>,
    /// The actions that the agent may run.
    actions: Actions,
}

/// Asks the policy and Port at the same time; but where the inputs name a server that is not Port's
/// own, no credentials go there before the policy has allowed it.
async fn admission_and_token(
    settings: &Settings,
    environment: &Environment,
    http: &Http,
    log: &mut Log<'_>,
) -> anyhow::Result<(Admission, Token)> {
    let flow = match settings.auth_method {
        AuthMethod::Auto => Flow::Rest,
        AuthMethod::Only(flow) => flow,
    };
    let admit = admit(settings, environment, http);
    let fetch = port::fetch_token(http, &settings.endpoints, &settings.credentials, flow);
    log.debug(format!(
        "asking for a token by `{flow}`: {} {}",
        settings.endpoints.api, settings.endpoints.mcp
    ));
    let fetch = async { Ok(fetch.await?) };
    let (admission, token) = if settings.endpoints.foreign_hosts().is_empty() {
        tokio::try_join!(admit, fetch)?
    } else {
        (admit.await?, fetch.await?)
    };
    take(&token, log)?;
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
    Ok((admission, token))
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
        });
    };
    let policy = source::read(source, &settings.github, http).await?;
    let rule = policy.rule_for(&this_run(settings, environment))?;
    let actions = rule.check(&Ask {
        tools: &settings.allowed_tools,
        actions: &settings.allowed_actions,
        read_only: settings.read_only,
        region: settings.endpoints.region,
        foreign_hosts: &settings.endpoints.foreign_hosts(),
        connection: settings.connection,
    })?;
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

/// Masks a token, before anything else is said about it.
fn take(token: &Token, log: &mut Log<'_>) -> anyhow::Result<()> {
    log.mask(&token.secret)?;
    for (number, why) in (1..).zip(&token.failed_tries) {
        log.info(format!("Try {number} for a token failed: {why}."));
    }
    Ok(())
}

/// Connects as the agent will. With `auth_method: auto`, a server that refuses the token of Port's
/// REST exchange is offered that of its own OAuth endpoint.
async fn preflight(
    settings: &Settings,
    http: &Http,
    headers: &[(&'static str, String)],
    token: Token,
    log: &mut Log<'_>,
) -> anyhow::Result<(Token, Vec<Tool>)> {
    let endpoints = &settings.endpoints;
    let look = async |token: &Token| {
        let server = mcp::Server {
            url: &endpoints.mcp,
            headers,
            token: &token.secret,
        };
        mcp::offered_tools(http, &server).await
    };
    let mut refused = Refused {
        stories: Vec::new(),
        hint: endpoints.refused_token_hint(),
    };
    let mut token = token;
    loop {
        match look(&token).await {
            Ok(tools) => {
                if !refused.stories.is_empty() {
                    log.notice(
                        TITLE,
                        "The MCP server refused the token of Port's REST exchange and accepted \
                         that of its own OAuth endpoint. `auth_method: oauth` asks there at once.",
                    );
                }
                return Ok((token, tools));
            }
            Err(error) if is_unauthorized(&error) => refused.add(token.flow, error.story()),
            Err(error) => return Err(error.into()),
        }
        if settings.auth_method != AuthMethod::Auto || token.flow == Flow::Oauth {
            return Err(refused.into());
        }
        token = match port::fetch_token(http, endpoints, &settings.credentials, Flow::Oauth).await {
            Ok(token) => token,
            Err(error) => {
                refused.add(Flow::Oauth, error.story());
                return Err(refused.into());
            }
        };
        take(&token, log)?;
    }
}

fn is_unauthorized(error: &mcp::Error) -> bool {
    matches!(error.cause(), Verdict::Unauthorized { .. })
}

/// Every way in that was tried, none of which the MCP server accepts.
#[derive(Debug)]
struct Refused {
    stories: Vec<(Flow, String)>,
    hint: String,
}

impl Refused {
    fn add(&mut self, flow: Flow, story: String) {
        self.stories.push((flow, story));
    }
}

impl std::error::Error for Refused {}

impl fmt::Display for Refused {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (flow, story) in &self.stories {
            if self.stories.len() > 1 {
                write!(f, "with `auth_method: {flow}`: ")?;
            }
            writeln!(f, "{story}")?;
        }
        write!(f, "hint: {}", self.hint)
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
    http: &Http,
    admission: &Admission,
    token: &Token,
    offered: &[Tool],
) -> HashSet<String> {
    let offers = |name: &String| offered.iter().any(|tool| tool.name == *name);
    if !settings.read_only || settings.allowed_tools.names().iter().all(offers) {
        return HashSet::new();
    }
    let server = mcp::Server {
        url: &settings.endpoints.mcp,
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
