//! The step's inputs: from environment variables to strings ([`Inputs`]) to typed [`Settings`].
//!
//! The names, defaults, and descriptions are in `action.yml`. A test compares them with this module.

mod agent;
mod endpoints;
mod error;
mod file;
mod parse;

use std::collections::BTreeMap;
use std::fmt::Display;
use std::path::Path;
use std::time::Duration;

use secrecy::{ExposeSecret, SecretString};
use serde::Deserialize;
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
use crate::text::{Quote, invisible_in, nearest, secrets};
use endpoints::RegionChoice;
use error::ValueError;
pub use error::{InputError, InputErrors};
use parse::PolicyLocation;

/// The name and the default of every input. An empty string means no default.
pub const INPUTS: [(&str, &str); 28] = [
    ("client_id", ""),
    ("client_secret", ""),
    ("region", "auto"),
    ("api_url", ""),
    ("mcp_url", ""),
    ("auth_method", "auto"),
    ("allowed_tools", "*"),
    ("read_only", "true"),
    ("allowed_actions", ""),
    ("policy", ""),
    ("github_token", "${{ github.token }}"),
    ("environment", ""),
    ("agent", "claude-code"),
    ("connection", "direct"),
    ("gateway_lifetime", "6h"),
    ("audit_arguments", "false"),
    ("audit_file", "false"),
    ("require_connection", "false"),
    ("job_container", "${{ job.container.id }}"),
    ("token_placement", "inline"),
    ("server_name", "port"),
    ("base_config", ""),
    ("config_file", "false"),
    ("verify", "true"),
    ("min_validity", "10m"),
    ("timeout", "60s"),
    ("ca_certificate", ""),
    ("summary", "true"),
];

/// Names of inputs in Port's own action and in older guides, and the inputs that replace them.
const FORMER_NAMES: [(&str, &str); 4] = [
    ("baseurl", "api_url"),
    ("base_url", "api_url"),
    ("tools", "allowed_tools"),
    ("mcp_server_url", "mcp_url"),
];

const CLIENT_SECRET: &str = "client_secret";

/// The inputs that are always secrets.
const SECRETS: [&str; 2] = [CLIENT_SECRET, "github_token"];

/// The inputs as the step passes them: without defaults, and without empty values.
#[derive(Debug, Default, Deserialize)]
#[expect(
    missing_docs,
    reason = "the fields are the inputs that action.yml describes"
)]
pub struct Inputs {
    pub client_id: Option<String>,
    pub client_secret: Option<SecretString>,
    pub region: Option<String>,
    pub api_url: Option<String>,
    pub mcp_url: Option<String>,
    pub auth_method: Option<String>,
    pub allowed_tools: Option<String>,
    pub read_only: Option<String>,
    pub allowed_actions: Option<String>,
    pub policy: Option<String>,
    pub github_token: Option<SecretString>,
    pub environment: Option<String>,
    pub agent: Option<String>,
    pub connection: Option<String>,
    pub gateway_lifetime: Option<String>,
    pub audit_arguments: Option<String>,
    pub audit_file: Option<String>,
    pub require_connection: Option<String>,
    pub job_container: Option<String>,
    pub token_placement: Option<String>,
    pub server_name: Option<String>,
    pub base_config: Option<SecretString>,
    pub config_file: Option<String>,
    pub verify: Option<String>,
    pub min_validity: Option<String>,
    pub timeout: Option<String>,
    pub ca_certificate: Option<String>,
    pub summary: Option<String>,
    /// Whether `allowed_tools` is set to an empty text, as an expression without a value does.
    #[serde(skip)]
    pub has_empty_tools: bool,
    /// Errors in the names and the encoding of the inputs.
    #[serde(skip)]
    errors: InputErrors,
}

impl Inputs {
    /// Reads the `INPUT_*` variables. Keeps errors for [`Settings::from_inputs`], so that the caller can
    /// mask the secrets before it reports them.
    #[must_use]
    pub fn from_env(environment: &Environment) -> Self {
        let mut errors = InputErrors::default();
        let mut values: BTreeMap<String, String> = BTreeMap::new();
        let mut has_empty_tools = false;
        let mut unknown = Vec::new();
        for (name, value) in environment.inputs() {
            if !INPUTS.iter().any(|(known, _)| *known == name) {
                unknown.push(name);
                continue;
            }
            match value.to_str() {
                None => errors.add(&name, "is not UTF-8", "use UTF-8 text"),
                Some(value) if value.trim().is_empty() => {
                    has_empty_tools |= name == "allowed_tools";
                }
                Some(value) => {
                    let value = value.trim().to_owned();
                    check_visible(&name, &value, &mut errors);
                    values.insert(name, value);
                }
            }
        }
        for name in unknown {
            // Variables of the job, for other programs, can have the same prefix as inputs.
            let likely = likely_input(&name).filter(|likely| !is_given(likely, &values));
            if let Some(likely) = likely {
                errors.add(
                    &Quote::new(&name).to_string(),
                    "is not an input of this action",
                    format!("did you mean `{likely}`?"),
                );
            }
        }
        let secret = values
            .get(CLIENT_SECRET)
            .map(|secret| SecretString::from(secret.as_str()));
        if let Some(secret) = secret {
            values.retain(|name, value| {
                let is_misplaced = name != CLIENT_SECRET && secrets::is_in(&secret, value);
                if is_misplaced {
                    errors.check::<()>(name, Err(ValueError::contains_secret()));
                }
                !is_misplaced
            });
        }
        // Every field is an optional string, so this cannot fail.
        let mut inputs: Self = envy::from_iter(values).unwrap_or_default();
        inputs.errors = errors;
        inputs.has_empty_tools = has_empty_tools;
        inputs
    }
}

/// Adds an error if a value contains a character that nobody sees in it. The files that some inputs can contain as text
/// have their own rules, and credentials are never quoted.
fn check_visible(input: &str, value: &str, errors: &mut InputErrors) {
    let has_own_rules = SECRETS.contains(&input)
        || ["client_id", "base_config", "ca_certificate", "policy"].contains(&input);
    if let Some(c) = invisible_in(value).filter(|_| !has_own_rules) {
        errors.add(
            input,
            format!("contains an invisible character (U+{:04X})", u32::from(c)),
            "type the value again",
        );
    }
}

/// The default of an input in `action.yml`.
fn default_of(input: &str) -> &'static str {
    let found = INPUTS.iter().find(|(name, _)| *name == input);
    found.map_or("", |(_, default)| default)
}

/// Whether the step sets an input: GitHub's runner passes the defaults of the others (`ActionRunner.cs`).
fn is_given(input: &str, values: &BTreeMap<String, String>) -> bool {
    let default = default_of(input);
    let is_default = |value: &String| value == default || default.contains("${{");
    values.get(input).is_some_and(|value| !is_default(value))
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
    let found = errors.check(input, parse::one_of(value, all));
    found.ok_or(errors)
}

/// The input that `name` most likely means.
fn likely_input(name: &str) -> Option<&'static str> {
    // Keys under `with:` that GitHub uses itself to start a container.
    if name == "entrypoint" || name == "args" {
        return None;
    }
    let former = FORMER_NAMES.iter().find(|(former, _)| *former == name);
    let known = INPUTS.iter().map(|(known, _)| *known);
    former
        .map(|(_, input)| *input)
        .or_else(|| nearest(name, known))
}

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
    pub gateway: GatewaySettings,
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
pub struct GatewaySettings {
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
        let mut errors = std::mem::take(&mut inputs.errors);
        match parse_all(&inputs, environment, &mut errors) {
            Some(settings) if errors.is_empty() => Ok(settings),
            _ => {
                errors.sort();
                Err(errors)
            }
        }
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
        let mut errors = std::mem::take(&mut inputs.errors);
        let request = request(&inputs, Some(true), &mut errors);
        if let Some(agent) = request.agent {
            let requested = agent::Requested {
                server_name: None,
                connection: request.connection,
                token_placement: None,
                verify: Some(true),
                read_only: request.read_only,
                allowed_actions: request.allowed_actions.as_ref(),
            };
            agent::check(agent, &requested, &mut errors);
        }
        match request.complete() {
            Some(request) if errors.is_empty() => Ok(request),
            _ => {
                errors.sort();
                Err(errors)
            }
        }
    }
}

/// A [`Request`] of which some inputs are invalid.
struct Partial {
    endpoints: Option<Vec<Endpoints>>,
    allowed_tools: Option<Patterns>,
    read_only: Option<bool>,
    allowed_actions: Option<Actions>,
    agent: Option<&'static Agent>,
    connection: Option<Connection>,
}

impl Partial {
    fn complete(self) -> Option<Request> {
        Some(Request {
            endpoints: self.endpoints?,
            allowed_tools: self.allowed_tools?,
            read_only: self.read_only?,
            allowed_actions: self.allowed_actions?,
            agent: self.agent?,
            connection: self.connection?,
        })
    }
}

fn request(inputs: &Inputs, verify: Option<bool>, errors: &mut InputErrors) -> Partial {
    let region = errors.parse("region", inputs.region.as_deref(), |v| {
        parse::one_of(v, &RegionChoice::ALL)
    });
    Partial {
        endpoints: endpoints(inputs, region, errors),
        allowed_tools: errors.parse("allowed_tools", inputs.allowed_tools.as_deref(), |v| {
            parse::tools(v, verify)
        }),
        read_only: errors.parse("read_only", inputs.read_only.as_deref(), parse::boolean),
        allowed_actions: errors.parse(
            "allowed_actions",
            inputs.allowed_actions.as_deref(),
            parse::actions,
        ),
        agent: errors.parse("agent", inputs.agent.as_deref(), |v| {
            parse::one_of(v, &Agent::ALL)
        }),
        connection: errors.parse("connection", inputs.connection.as_deref(), |v| {
            parse::one_of(v, &Connection::ALL)
        }),
    }
}

/// Parses each input, and adds every error. `None` if an input is invalid.
fn parse_all(
    inputs: &Inputs,
    environment: &Environment,
    errors: &mut InputErrors,
) -> Option<Settings> {
    let workspace = environment.path("GITHUB_WORKSPACE").unwrap_or_default();
    let seconds = |from, to| Duration::from_secs(from)..=Duration::from_secs(to);

    let credentials = credentials(inputs, environment, errors);
    let auth_method = errors.parse("auth_method", inputs.auth_method.as_deref(), |v| {
        parse::one_of(v, &AuthMethod::ALL)
    });
    let verify = errors.parse("verify", inputs.verify.as_deref(), parse::boolean);
    let request = request(inputs, verify, errors);
    check_github_token(inputs, errors);
    let policy = match &inputs.policy {
        None => Some(None),
        Some(value) => policy(value, inputs, &workspace, environment, errors).map(Some),
    };
    let agent = request.agent;
    let gateway = gateway(inputs, errors);
    let token_placement = errors.parse("token_placement", inputs.token_placement.as_deref(), |v| {
        parse::one_of(v, &TokenPlacement::ALL)
    });
    let server_name = errors.parse(
        "server_name",
        inputs.server_name.as_deref(),
        parse::server_name,
    );
    let base_config = agent.and_then(|agent| base_config(inputs, agent, &workspace, errors));
    let config_file = errors.parse("config_file", inputs.config_file.as_deref(), parse::boolean);
    let min_validity = errors.parse("min_validity", inputs.min_validity.as_deref(), |v| {
        parse::duration(v, &seconds(0, 3 * 3600))
    });
    let timeout = errors.parse("timeout", inputs.timeout.as_deref(), |v| {
        parse::duration(v, &seconds(1, 600))
    });
    let ca_certificates = match &inputs.ca_certificate {
        None => Some(Vec::new()),
        Some(value) => {
            let certificates = parse::ca_certificates(value, &workspace);
            errors.check("ca_certificate", certificates)
        }
    };
    let summary = errors.parse("summary", inputs.summary.as_deref(), parse::boolean);

    if let Some(agent) = agent {
        let requested = agent::Requested {
            server_name: server_name.as_deref(),
            connection: request.connection,
            token_placement,
            verify,
            read_only: request.read_only,
            allowed_actions: request.allowed_actions.as_ref(),
        };
        agent::check(agent, &requested, errors);
    }
    Some(Settings {
        credentials: credentials?,
        request: request.complete()?,
        auth_method: auth_method?,
        policy: policy?,
        environment: inputs.environment.clone(),
        gateway: gateway?,
        token_placement: token_placement?,
        server_name: server_name?,
        base_config: base_config?,
        config_file: config_file?,
        verify: verify?,
        min_validity: min_validity?,
        http: HttpSettings {
            timeout: timeout?,
            ca_certificates: ca_certificates?,
            proxy: ProxySettings::from_env(|name| environment.get(name)),
            run: Run::from_env(environment).comment(),
        },
        summary: summary?,
    })
}

fn credentials(
    inputs: &Inputs,
    environment: &Environment,
    errors: &mut InputErrors,
) -> Option<Credentials> {
    let secret = inputs.client_secret.as_ref();
    let values = [
        ("client_id", inputs.client_id.as_deref()),
        (CLIENT_SECRET, secret.map(ExposeSecret::expose_secret)),
    ];
    for (input, value) in values {
        let Some(value) = value else {
            if !errors.has(input) {
                let cause = EmptySecretCause::from_env(environment);
                errors.add(input, "is empty", cause.to_string());
            }
            continue;
        };
        let valid = parse::credential(value, "copy the exact value from Port");
        errors.check(input, valid);
    }
    Some(Credentials {
        client_id: inputs.client_id.clone()?,
        client_secret: inputs.client_secret.clone()?,
    })
}

fn endpoints(
    inputs: &Inputs,
    region: Option<RegionChoice>,
    errors: &mut InputErrors,
) -> Option<Vec<Endpoints>> {
    let mut url = |input, value: &Option<String>, service| match value {
        None => Some(None),
        Some(value) => errors
            .check(input, endpoints::url(value, service))
            .map(Some),
    };
    let api = url("api_url", &inputs.api_url, Service::Api);
    let mcp = url("mcp_url", &inputs.mcp_url, Service::Mcp);
    match endpoints::select(region?, api?, mcp?) {
        Ok(endpoints) => Some(endpoints),
        Err((input, error)) => errors.check(input, Err(error)),
    }
}

fn gateway(inputs: &Inputs, errors: &mut InputErrors) -> Option<GatewaySettings> {
    let range = Duration::from_mins(1)..=Duration::from_hours(24);
    let lifetime = errors.parse(
        "gateway_lifetime",
        inputs.gateway_lifetime.as_deref(),
        |v| parse::duration(v, &range),
    );
    let arguments = inputs.audit_arguments.as_deref();
    let audit_arguments = errors.parse("audit_arguments", arguments, parse::boolean);
    let audit_file = errors.parse("audit_file", inputs.audit_file.as_deref(), parse::boolean);
    let connection = inputs.require_connection.as_deref();
    // The post phase reads it itself.
    errors.parse("require_connection", connection, parse::boolean)?;
    Some(GatewaySettings {
        lifetime: lifetime?,
        audit_arguments: audit_arguments?,
        audit_file: audit_file?,
        has_job_container: inputs.job_container.is_some(),
    })
}

fn check_github_token(inputs: &Inputs, errors: &mut InputErrors) {
    if let Some(token) = &inputs.github_token {
        let hint = "pass the token exactly as GitHub issued it";
        errors.check(
            "github_token",
            parse::credential(token.expose_secret(), hint),
        );
    }
}

fn policy(
    value: &str,
    inputs: &Inputs,
    workspace: &Path,
    environment: &Environment,
    errors: &mut InputErrors,
) -> Option<PolicySource> {
    match errors.check("policy", parse::policy(value, workspace))? {
        PolicyLocation::Workspace { path, text } => Some(PolicySource::Workspace { path, text }),
        PolicyLocation::Repository(location) => {
            let api = errors.check("policy", github_api(environment))?;
            let token = inputs.github_token.clone();
            let github = GitHub { api, token };
            Some(PolicySource::Repository { location, github })
        }
    }
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

fn base_config(
    inputs: &Inputs,
    agent: &'static Agent,
    workspace: &Path,
    errors: &mut InputErrors,
) -> Option<Config> {
    let Some(value) = &inputs.base_config else {
        return Some(Config::empty(agent.format()));
    };
    let config = parse::base_config(agent, value, workspace, inputs.client_secret.as_ref());
    errors.check("base_config", config)
}
