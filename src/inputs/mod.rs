//! The step's inputs: from environment variables to texts ([`Inputs`]) to typed [`Settings`].
//!
//! | module | contents |
//! |---|---|
//! | `declared` | the inputs that `action.yml` declares |
//! | `given` | the values that the step sets |
//! | `parse` | the parsers for single values |
//! | `endpoints` | the servers, from three inputs |
//! | `agent` | whether the agent supports the inputs |
//! | `file` | files that inputs name |
//! | `error` | the errors, which are reported at once |
//!
//! A new input is an entry in `action.yml`, a field here, and the line that parses it.

mod agent;
mod declared;
mod endpoints;
mod error;
mod file;
mod given;
mod parse;

use std::fmt::Display;
use std::path::Path;
use std::time::Duration;

use url::Url;

use crate::Connection;
use crate::access::Patterns;
use crate::access::source::{GitHub, PolicySource};
use crate::agents::config::Config;
use crate::agents::{Agent, TokenPlacement};
use crate::http::{HttpSettings, ProxySettings};
use crate::port::{self, Actions, AuthMethod, Credentials, Endpoints, Service};
use crate::runner::empty_secret::EmptySecretCause;
use crate::runner::{Environment, Run};
use agent::Requested;
pub use declared::{INPUTS, Input};
use endpoints::RegionChoice;
use error::ValueError;
pub use error::{InputError, InputErrors};
pub use given::Inputs;
use given::{CLIENT_ID, CLIENT_SECRET, GITHUB_TOKEN};
use parse::PolicyLocation;

/// The parsed inputs. `action.yml` describes the fields.
#[derive(Debug)]
#[expect(
    missing_docs,
    reason = "the fields are the inputs that action.yml describes"
)]
pub struct Settings {
    pub credentials: Credentials,
    pub request: Request,
    pub auth_method: AuthMethod,
    pub policy: Option<PolicySource>,
    pub environment: Option<String>,
    pub gateway: GatewayInputs,
    pub token_placement: TokenPlacement,
    pub server_name: String,
    pub base_config: Config,
    pub config_file: bool,
    pub verify: bool,
    pub min_validity: Duration,
    pub http: HttpSettings,
    pub summary: bool,
}

/// The inputs that concern only the gateway.
#[derive(Debug)]
#[expect(missing_docs, reason = "`action.yml` describes the fields")]
pub struct GatewayInputs {
    pub lifetime: Duration,
    pub audit_arguments: bool,
    pub audit_file: bool,
    /// Whether the job runs in a container (`job_container`).
    pub has_job_container: bool,
}

impl Settings {
    /// Checks `inputs`. `environment` provides the workspace, the address of GitHub's API, and the reason why
    /// a secret is empty.
    ///
    /// # Errors
    /// Every invalid input.
    pub fn from_inputs(mut inputs: Inputs, environment: &Environment) -> Result<Self, InputErrors> {
        let settings = settings(&mut inputs, environment);
        inputs.finish(settings)
    }
}

/// The inputs that say what the agent may do. `action.yml` describes the fields.
#[derive(Debug)]
#[expect(
    missing_docs,
    reason = "the fields are the inputs that action.yml describes"
)]
pub struct Request {
    /// The servers to try, in this order: more than one only if the region is unknown.
    pub endpoints: Vec<Endpoints>,
    pub allowed_tools: Patterns,
    pub read_only: bool,
    pub allowed_actions: Actions,
    pub agent: &'static Agent,
    pub connection: Connection,
}

impl Request {
    /// Checks the inputs of a request, without those that a run needs in addition.
    ///
    /// # Errors
    /// Every invalid input.
    pub fn from_inputs(mut inputs: Inputs) -> Result<Self, InputErrors> {
        let agent = agent(&mut inputs);
        let requested = Requested {
            server_name: None,
            token_placement: None,
            verify: Some(true),
        };
        let request = request(&mut inputs, agent, &requested);
        inputs.finish(request)
    }
}

fn agent(inputs: &mut Inputs) -> Option<&'static Agent> {
    inputs.parse("agent", |v| parse::one_of(v, Agent::ALL))
}

/// `requested` has the other inputs that the agent must support. `None` if an input is invalid.
fn request(
    inputs: &mut Inputs,
    agent: Option<&'static Agent>,
    requested: &Requested<'_>,
) -> Option<Request> {
    let endpoints = endpoints(inputs);
    let allowed_tools = inputs.parse("allowed_tools", |v| parse::tools(v, requested.verify));
    let read_only = inputs.parse("read_only", parse::boolean);
    let allowed_actions = inputs.parse("allowed_actions", parse::actions);
    let connection = inputs.parse("connection", |v| parse::one_of(v, &Connection::ALL));
    if let Some(agent) = agent {
        let limits = agent::Limits {
            read_only,
            allowed_actions: allowed_actions.as_ref(),
        };
        agent::check(agent, connection, requested, &limits, inputs.errors());
    }
    Some(Request {
        endpoints: endpoints?,
        allowed_tools: allowed_tools?,
        read_only: read_only?,
        allowed_actions: allowed_actions?,
        agent: agent?,
        connection: connection?,
    })
}

/// Parses each input, and adds every error. `None` if an input is invalid.
fn settings(inputs: &mut Inputs, environment: &Environment) -> Option<Settings> {
    let workspace = environment.path("GITHUB_WORKSPACE").unwrap_or_default();

    // Inputs on which others depend.
    let credentials = credentials(inputs, environment);
    let agent = agent(inputs);
    let verify = inputs.parse("verify", parse::boolean);
    let token_placement = inputs.parse("token_placement", |v| {
        parse::one_of(v, &TokenPlacement::ALL)
    });
    let server_name = inputs.parse("server_name", parse::server_name);
    let requested = Requested {
        server_name: server_name.as_deref(),
        token_placement,
        verify,
    };
    let request = request(inputs, agent, &requested);
    let policy = policy(inputs, &workspace, environment);
    let base_config = agent.and_then(|agent| base_config(inputs, agent, &workspace));
    // Only the post phase uses it, and reads it itself.
    inputs.parse("require_connection", parse::boolean);

    // The `?` come last, so that each line adds its errors.
    Some(Settings {
        auth_method: inputs.value("auth_method", |v| parse::one_of(v, &AuthMethod::ALL)),
        environment: inputs.text("environment").map(str::to_owned),
        gateway: GatewayInputs {
            lifetime: inputs.value("gateway_lifetime", |v| parse::duration(v, 60..=24 * 3600)),
            audit_arguments: inputs.value("audit_arguments", parse::boolean),
            audit_file: inputs.value("audit_file", parse::boolean),
            has_job_container: inputs.text("job_container").is_some(),
        },
        config_file: inputs.value("config_file", parse::boolean),
        min_validity: inputs.value("min_validity", |v| parse::duration(v, 0..=3 * 3600)),
        http: HttpSettings {
            timeout: inputs.value("timeout", |v| parse::duration(v, 1..=600)),
            ca_certificates: inputs
                .optional("ca_certificate", |v| parse::ca_certificates(v, &workspace))
                .flatten()
                .unwrap_or_default(),
            proxy: ProxySettings::from_env(|name| environment.get(name)),
            run: Run::from_env(environment).comment(),
        },
        summary: inputs.value("summary", parse::boolean),
        credentials: credentials?,
        request: request?,
        policy: policy?,
        token_placement: token_placement?,
        server_name: server_name?,
        base_config: base_config?,
        verify: verify?,
    })
}

fn credentials(inputs: &mut Inputs, environment: &Environment) -> Option<Credentials> {
    for input in [CLIENT_ID, CLIENT_SECRET] {
        let hint = "copy the exact value from Port";
        let value = inputs.optional(input, |v| parse::credential(v, hint));
        if value == Some(None) && !inputs.errors().has(input) {
            let cause = EmptySecretCause::from_env(environment);
            inputs.errors().add(input, "is empty", cause.to_string());
        }
    }
    Some(Credentials {
        client_id: inputs.text(CLIENT_ID)?.to_owned(),
        client_secret: inputs.secret(CLIENT_SECRET)?,
    })
}

fn endpoints(inputs: &mut Inputs) -> Option<Vec<Endpoints>> {
    let region = inputs.parse("region", |v| parse::one_of(v, &RegionChoice::ALL));
    let api = inputs.optional("api_url", |v| endpoints::url(v, Service::Api));
    let mcp = inputs.optional("mcp_url", |v| endpoints::url(v, Service::Mcp));
    match endpoints::select(region?, api?, mcp?) {
        Ok(endpoints) => Some(endpoints),
        Err((input, error)) => inputs.errors().check(input, Err(error)),
    }
}

#[expect(
    clippy::option_option,
    reason = "an invalid value is not a missing one"
)]
fn policy(
    inputs: &mut Inputs,
    workspace: &Path,
    environment: &Environment,
) -> Option<Option<PolicySource>> {
    let hint = "pass the token exactly as GitHub issued it";
    inputs.optional(GITHUB_TOKEN, |v| parse::credential(v, hint));
    let token = inputs.secret(GITHUB_TOKEN);
    inputs.optional("policy", |v| match parse::policy(v, workspace)? {
        PolicyLocation::Workspace { path, text } => Ok(PolicySource::Workspace { path, text }),
        PolicyLocation::Repository(location) => {
            let api = github_api(environment)?;
            let github = GitHub { api, token };
            Ok::<_, ValueError>(PolicySource::Repository { location, github })
        }
    })
}

/// The API of github.com, or of the GitHub Enterprise Server that the runner belongs to.
fn github_api(environment: &Environment) -> Result<Url, ValueError> {
    let api = environment.get("GITHUB_API_URL");
    Url::parse(api.unwrap_or("https://api.github.com"))
        .ok()
        .filter(|url| url.scheme() == "https" || port::is_loopback_http(url))
        .ok_or_else(|| {
            ValueError::new(
                "cannot be read: the runner's GITHUB_API_URL is not an https URL",
                "use the path of a file in the workspace",
            )
        })
}

fn base_config(inputs: &mut Inputs, agent: &'static Agent, workspace: &Path) -> Option<Config> {
    let secret = inputs.secret(CLIENT_SECRET);
    let given = inputs.optional("base_config", |v| {
        parse::base_config(agent, v, workspace, secret.as_ref())
    })?;
    Some(given.unwrap_or_else(|| Config::empty(agent.format())))
}

/// The one of `all` that the value of an input of another action names.
///
/// # Errors
/// When it names none.
pub(crate) fn choice<T: Copy + Display>(
    input: &str,
    value: &str,
    all: &[T],
) -> Result<T, InputErrors> {
    let mut errors = InputErrors::default();
    errors.check(input, parse::one_of(value, all)).ok_or(errors)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_declared_input_is_read() {
        let source = [include_str!("mod.rs"), include_str!("given.rs")].concat();
        assert!(INPUTS.len() > 20);
        for Input { name, .. } in INPUTS.iter() {
            assert!(source.contains(&format!("\"{name}\"")), "{name}");
        }
    }
}
