//! The step's inputs: variables of the environment, then strings, then checked settings.
//!
//! Names, defaults and descriptions stand in `action.yml`; a test compares them with this file.

mod endpoints;
mod file;

use std::collections::BTreeMap;
use std::fmt::{self, Display};
use std::path::PathBuf;
use std::time::Duration;

use humantime::format_duration;
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject as _;
use secrecy::{ExposeSecret, SecretString};
use serde::Deserialize;
use url::Url;

use crate::access::source::{GitHub, LARGEST_POLICY, Location, Source};
use crate::access::{NotAPattern, Patterns};
use crate::agents::config::Config;
use crate::agents::format::Format;
use crate::agents::{Agent, Connection, TokenPlacement};
use crate::http::{HttpSettings, ProxySettings};
use crate::port::{self, Actions, Credentials, Endpoints, Flow};
use crate::runner::Environment;
use crate::runner::missing::Reason;
use crate::text::{Quote, either, nearest, secrets, without_mark};
use endpoints::{Choice, invalid, is_loopback_http};
use file::FileProblem;

/// Every input's name and default; the empty string is no default.
pub const INPUTS: [(&str, &str); 23] = [
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

/// Names that users bring along from Port's own action and from older guides.
const FORMER_NAMES: [(&str, &str); 4] = [
    ("baseurl", "api_url"),
    ("base_url", "api_url"),
    ("tools", "allowed_tools"),
    ("mcp_server_url", "mcp_url"),
];

const CLIENT_SECRET: &str = "client_secret";

/// The largest file that an input may name. A configuration ends up in a variable of the next
/// step, and Linux lets one hold 128 KiB.
const LARGEST_BASE_CONFIG: u64 = 64 * 1024;
const LARGEST_CA_FILE: u64 = 1024 * 1024;

/// The inputs as they arrive: without defaults, the empty ones left out.
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
    pub token_placement: Option<String>,
    pub server_name: Option<String>,
    pub base_config: Option<SecretString>,
    pub config_file: Option<String>,
    pub verify: Option<String>,
    pub min_validity: Option<String>,
    pub timeout: Option<String>,
    pub ca_certificate: Option<String>,
    pub summary: Option<String>,
    /// What is wrong with the names or the bytes of the inputs.
    #[serde(skip)]
    mistakes: Mistakes,
}

/// An input that cannot be used: its name, what was found (never a secret), what is accepted.
#[derive(Debug)]
pub struct Mistake {
    input: String,
    found: String,
    accepted: String,
}

impl Display for Mistake {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "input `{}` {}; {}",
            self.input, self.found, self.accepted
        )
    }
}

/// Everything that is wrong with the inputs, in the order of `action.yml`.
#[derive(Debug, Default)]
pub struct Mistakes(Vec<Mistake>);

impl std::error::Error for Mistakes {}

impl Display for Mistakes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let lines: Vec<String> = self.0.iter().map(ToString::to_string).collect();
        f.write_str(&lines.join("\n"))
    }
}

impl Mistakes {
    /// Each mistake.
    pub fn iter(&self) -> impl Iterator<Item = &Mistake> {
        self.0.iter()
    }

    fn add_misplaced(&mut self, input: &str) {
        self.add(
            input,
            "holds the client secret",
            "accepted: the secret in `client_secret` and nowhere else",
        );
    }

    fn add(&mut self, input: &str, found: impl Into<String>, accepted: impl Into<String>) {
        self.0.push(Mistake {
            input: input.to_owned(),
            found: found.into(),
            accepted: accepted.into(),
        });
    }
}

impl Inputs {
    /// Reads the `INPUT_*` variables. What is wrong with them is kept for [`Settings::check`], so
    /// that a secret that did arrive can be masked before anything is said.
    #[must_use]
    pub fn read(environment: &Environment) -> Self {
        let mut mistakes = Mistakes::default();
        let mut values: BTreeMap<String, String> = BTreeMap::new();
        for (name, value) in environment.inputs() {
            if !INPUTS.iter().any(|(known, _)| *known == name) {
                // Whoever sets variables for a whole job may have some that begin as inputs do.
                if let Some(meant) = meant(&name) {
                    mistakes.add(
                        &Quote::new(&name).to_string(),
                        "is not an input of this action",
                        format!("did you mean `{meant}`?"),
                    );
                }
                continue;
            }
            match value.to_str() {
                None => mistakes.add(&name, "is not UTF-8", "accepted: text"),
                Some(value) if value.trim().is_empty() => {}
                Some(value) => {
                    let value = value.trim().to_owned();
                    let other = values.insert(name.clone(), value.clone());
                    if other.is_some_and(|other| other != value) {
                        mistakes.add(
                            &name,
                            "is given twice, with different values",
                            "accepted: one value. Look for a variable `INPUT_…` of the job in other \
                             letters",
                        );
                    }
                }
            }
        }
        let secret = values
            .get(CLIENT_SECRET)
            .map(|secret| SecretString::from(secret.as_str()));
        if let Some(secret) = secret {
            values.retain(|name, value| {
                let is_misplaced = name != CLIENT_SECRET && secrets::is_in(&secret, value);
                if is_misplaced {
                    mistakes.add_misplaced(name);
                }
                !is_misplaced
            });
        }
        // Every field is an optional string, so nothing in `values` can fail.
        let mut inputs: Self = envy::from_iter(values).unwrap_or_default();
        inputs.mistakes = mistakes;
        inputs
    }
}

/// The input that `name` was most likely meant to be.
fn meant(name: &str) -> Option<&'static str> {
    // GitHub's own keys of a step, which go to no action.
    if name == "entrypoint" || name == "args" {
        return None;
    }
    let former = FORMER_NAMES.iter().find(|(former, _)| *former == name);
    let known = INPUTS.iter().map(|(known, _)| *known);
    former.map(|(_, now)| *now).or_else(|| nearest(name, known))
}

/// How to get a token.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AuthMethod {
    /// The REST exchange, and OAuth where the MCP server refuses its token.
    Auto,
    /// This flow.
    Only(Flow),
}

impl AuthMethod {
    const ALL: [Self; 3] = [Self::Auto, Self::Only(Flow::Rest), Self::Only(Flow::Oauth)];
}

impl Display for AuthMethod {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Auto => f.write_str("auto"),
            Self::Only(flow) => flow.fmt(f),
        }
    }
}

/// The inputs, checked. The fields are the inputs that `action.yml` describes, in their own types.
#[derive(Debug)]
#[expect(
    missing_docs,
    clippy::struct_excessive_bools,
    reason = "the fields are the inputs that action.yml describes"
)]
pub struct Settings {
    pub credentials: Credentials,
    /// The servers to ask, in this order; more than one only where `region` is to be found out.
    pub endpoints: Vec<Endpoints>,
    pub auth_method: AuthMethod,
    pub allowed_tools: Patterns,
    pub read_only: bool,
    pub allowed_actions: Actions,
    pub policy: Option<Source>,
    pub github: GitHub,
    pub environment: String,
    pub agent: &'static Agent,
    pub connection: Connection,
    pub token_placement: TokenPlacement,
    pub server_name: String,
    pub base_config: Config,
    pub config_file: bool,
    pub verify: bool,
    pub min_validity: Duration,
    pub http: HttpSettings,
    pub summary: bool,
}

impl Settings {
    /// Checks `inputs`; `environment` says where the workspace is and why a secret may be empty.
    ///
    /// # Errors
    /// All that is wrong, at once.
    pub fn check(inputs: Inputs, environment: &Environment) -> Result<Self, Mistakes> {
        let workspace = environment.path("GITHUB_WORKSPACE").unwrap_or_default();
        let mut check = Check {
            mistakes: inputs.mistakes,
            workspace,
            secret: inputs.client_secret.clone(),
        };
        let client_id = inputs.client_id;
        let client_secret = inputs.client_secret;
        check.credentials(environment, client_id.as_deref(), client_secret.as_ref());
        let region = check.one_of("region", inputs.region, &Choice::ALL);
        let endpoints =
            check.endpoints(region, inputs.api_url.as_deref(), inputs.mcp_url.as_deref());
        let verify = check.boolean("verify", inputs.verify);
        let policy = check.policy(inputs.policy.as_deref());
        let github = check.github(environment, policy.as_ref(), inputs.github_token);
        let agent = check.one_of("agent", inputs.agent, &Agent::ALL);
        let settings = Self {
            auth_method: check.one_of("auth_method", inputs.auth_method, &AuthMethod::ALL),
            allowed_tools: check.tools(inputs.allowed_tools, verify),
            read_only: check.boolean("read_only", inputs.read_only),
            allowed_actions: check.actions(inputs.allowed_actions),
            policy,
            github,
            environment: inputs.environment.unwrap_or_default(),
            agent,
            connection: check.one_of("connection", inputs.connection, &Connection::ALL),
            token_placement: check.one_of(
                "token_placement",
                inputs.token_placement,
                &TokenPlacement::ALL,
            ),
            server_name: check.server_name(inputs.server_name),
            base_config: check.base_config(agent, inputs.base_config.as_ref()),
            config_file: check.boolean("config_file", inputs.config_file),
            verify,
            min_validity: check.duration("min_validity", inputs.min_validity, 0, 3 * 3600),
            http: HttpSettings {
                timeout: check.duration("timeout", inputs.timeout, 1, 600),
                ca_certificates: check.ca_certificates(inputs.ca_certificate.as_deref()),
                proxy: ProxySettings::from_env(|name| environment.get(name)),
            },
            summary: check.boolean("summary", inputs.summary),
            credentials: Credentials {
                client_id: client_id.unwrap_or_default(),
                client_secret: client_secret.unwrap_or_default(),
            },
            endpoints,
        };
        check.agent(&settings);
        if check.mistakes.0.is_empty() {
            Ok(settings)
        } else {
            Err(check.mistakes)
        }
    }
}

/// Turns strings into values. A string that is wrong becomes a mistake and some value, so that the
/// check goes on and finds the others.
struct Check {
    mistakes: Mistakes,
    workspace: PathBuf,
    secret: Option<SecretString>,
}

impl Check {
    fn credentials(
        &mut self,
        environment: &Environment,
        id: Option<&str>,
        secret: Option<&SecretString>,
    ) {
        let values = [
            ("client_id", id),
            ("client_secret", secret.map(ExposeSecret::expose_secret)),
        ];
        for (input, value) in values {
            match value {
                None => {
                    let why = Reason::find(environment).to_string();
                    self.mistakes.add(input, "is empty", why);
                }
                Some(value) if value.bytes().all(|b| b.is_ascii_graphic()) => {}
                Some(_) => self.mistakes.add(
                    input,
                    "holds a blank, a line break or a character that is not ASCII",
                    "accepted: the value as Port shows it, one plain word",
                ),
            }
        }
    }

    fn one_of<T: Copy + Display>(&mut self, input: &str, value: Option<String>, all: &[T]) -> T {
        let value = or_default(input, value);
        if let Some(choice) = all
            .iter()
            .find(|choice| choice.to_string().eq_ignore_ascii_case(&value))
        {
            return *choice;
        }
        let near = all.iter().map(ToString::to_string).collect::<Vec<_>>();
        let near = nearest(&value, near.iter().map(String::as_str))
            .map(|choice| format!(" (did you mean `{choice}`?)"))
            .unwrap_or_default();
        self.mistakes.add(
            input,
            format!("is `{}`", Quote::new(&value)),
            format!("accepted: {}{near}", either(all)),
        );
        all[0]
    }

    /// The booleans of YAML 1.2's core schema, which is what a workflow is written in.
    fn boolean(&mut self, input: &str, value: Option<String>) -> bool {
        let value = or_default(input, value);
        match value.as_str() {
            "true" | "True" | "TRUE" => true,
            "false" | "False" | "FALSE" => false,
            _ => {
                let found = format!("is `{}`", Quote::new(&value));
                self.mistakes
                    .add(input, found, "accepted: `true` or `false`");
                false
            }
        }
    }

    fn duration(&mut self, input: &str, value: Option<String>, least: u64, most: u64) -> Duration {
        let value = or_default(input, value);
        let range = Duration::from_secs(least)..=Duration::from_secs(most);
        match humantime::parse_duration(&value) {
            Ok(duration) if range.contains(&duration) => duration,
            _ => {
                self.mistakes.add(
                    input,
                    format!("is `{}`", Quote::new(&value)),
                    format!(
                        "accepted: a time with its unit, such as `90s` or `10m`, from {} to {}",
                        format_duration(*range.start()),
                        format_duration(*range.end())
                    ),
                );
                *range.end()
            }
        }
    }

    fn tools(&mut self, value: Option<String>, verify: bool) -> Patterns {
        const INPUT: &str = "allowed_tools";
        let value = or_default(INPUT, value);
        let entries = self.entries(INPUT, &value);
        let patterns = Patterns::read(entries.iter().map(String::as_str)).unwrap_or_else(|wrong| {
            for why in wrong {
                self.mistakes.add(
                    INPUT,
                    format!("{why}{}", formerly(&why)),
                    "accepted: names of tools, globs (`list_*`) and exclusions (`!delete_*`), \
                     split by commas or line breaks, or a JSON array of them",
                );
            }
            Patterns::default()
        });
        if !verify && patterns.only_names().is_none() {
            self.mistakes.add(
                INPUT,
                format!("is `{}`", Quote::new(&value)),
                "accepted with `verify: false`: names of tools alone, since the server is not \
                 asked which tools a pattern stands for",
            );
        }
        patterns
    }

    fn policy(&mut self, value: Option<&str>) -> Option<Source> {
        let value = value?;
        if let Some(location) = Location::parse(value) {
            return Some(Source::Repository(location));
        }
        match file::read_within(&self.workspace, value, LARGEST_POLICY as u64) {
            Ok(text) => Some(Source::Workspace {
                path: value.to_owned(),
                text,
            }),
            Err(problem) => {
                let accepted =
                    "accepted: `owner/repo/path@ref`, or the path of a file in the workspace";
                self.mistakes.add("policy", problem.to_string(), accepted);
                None
            }
        }
    }

    /// GitHub's API is the runner's: github.com, or an Enterprise Server.
    fn github(
        &mut self,
        environment: &Environment,
        policy: Option<&Source>,
        token: Option<SecretString>,
    ) -> GitHub {
        let api = environment.get("GITHUB_API_URL");
        let api = Url::parse(api.unwrap_or("https://api.github.com"));
        let usable = api
            .ok()
            .filter(|url| url.scheme() == "https" || is_loopback_http(url));
        if usable.is_none() && matches!(policy, Some(Source::Repository(_))) {
            self.mistakes.add(
                "policy",
                "cannot be read: the runner's GITHUB_API_URL is no https URL",
                "accepted then: the path of a file in the workspace",
            );
        }
        let is_word =
            |token: &SecretString| token.expose_secret().bytes().all(|b| b.is_ascii_graphic());
        if token.as_ref().is_some_and(|token| !is_word(token)) {
            self.mistakes.add(
                "github_token",
                "holds a blank, a line break or a character that is not ASCII",
                "accepted: a token as GitHub gave it",
            );
        }
        GitHub {
            api: usable.unwrap_or_else(invalid),
            token,
        }
    }

    fn actions(&mut self, value: Option<String>) -> Actions {
        let value = value.unwrap_or_default();
        let entries = self.entries("allowed_actions", &value);
        if entries == ["*"] {
            return Actions::All;
        }
        for entry in &entries {
            if !Actions::is_identifier(entry) {
                self.mistakes.add(
                    "allowed_actions",
                    format!(
                        "holds `{}`, which no header can carry to Port",
                        Quote::new(entry)
                    ),
                    "accepted: identifiers of Port actions in ASCII letters, digits and `@_.+:/=-`, \
                     split by commas or line breaks, or a JSON array of them, or `*` by itself",
                );
            }
        }
        Actions::Only(entries)
    }

    fn server_name(&mut self, value: Option<String>) -> String {
        let name = or_default("server_name", value);
        let is_name = name.len() <= 20
            && name.starts_with(|c: char| c.is_ascii_lowercase())
            && name
                .bytes()
                .all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-');
        if !is_name {
            self.mistakes.add(
                "server_name",
                format!("is `{}`", Quote::new(&name)),
                "accepted: up to 20 lower-case letters, digits and hyphens, a letter first",
            );
        }
        name
    }

    /// What the agent cannot honor of the inputs.
    fn agent(&mut self, settings: &Settings) {
        let narrowing = [
            ("read_only", settings.read_only),
            ("allowed_actions", settings.allowed_actions != Actions::All),
        ];
        let narrowing: Vec<&str> = narrowing
            .iter()
            .filter_map(|(input, narrows)| narrows.then_some(*input))
            .collect();
        let (connection, placement) = (settings.connection, settings.token_placement);
        for wrong in settings.agent.unsupported(
            &settings.server_name,
            connection,
            placement,
            settings.verify,
            &narrowing,
        ) {
            self.mistakes.add(wrong.input, wrong.found, wrong.accepted);
        }
    }

    /// The text of `base_config`, which is itself one or the path of a file with one.
    fn base_config_text(&mut self, format: Format, value: &str) -> Result<String, FileProblem> {
        let value = without_mark(value);
        let text = if format.is_text(value) {
            (value.len() as u64 <= LARGEST_BASE_CONFIG)
                .then(|| value.to_owned())
                .ok_or(FileProblem::TooLarge(LARGEST_BASE_CONFIG))?
        } else {
            match file::read_within(&self.workspace, value, LARGEST_BASE_CONFIG) {
                // It may be another agent's configuration, and hold a secret: it is not quoted.
                Err(FileProblem::Missing(_) | FileProblem::Unreadable(..))
                    if value.contains(|c: char| c.is_whitespace() || "{}\"'=,;".contains(c)) =>
                {
                    return Err(FileProblem::NoPath);
                }
                read => read?,
            }
        };
        if let Some(secret) = &self.secret
            && secrets::is_in(secret, &text)
        {
            self.mistakes.add_misplaced("base_config");
        }
        Ok(text)
    }

    fn base_config(&mut self, agent: &Agent, value: Option<&SecretString>) -> Config {
        const INPUT: &str = "base_config";
        let format = agent.format();
        let Some(value) = value.map(ExposeSecret::expose_secret) else {
            return Config::empty(format);
        };
        let text = self.base_config_text(format, value);
        let parsed = text
            .map_err(|problem| problem.to_string())
            .and_then(|text| {
                agent
                    .base_config(&text)
                    .map_err(|error| format!("holds {error}"))
            });
        parsed.unwrap_or_else(|found| {
            self.mistakes.add(
                INPUT,
                found,
                format!(
                    "accepted: a {format} object, or the path of a file in the workspace that holds \
                     one"
                ),
            );
            Config::empty(format)
        })
    }

    /// The entries of a list: split by commas or line breaks, or a JSON array.
    fn entries(&mut self, input: &str, list: &str) -> Vec<String> {
        if list.starts_with('[') {
            return serde_json::from_str(list).unwrap_or_else(|_| {
                self.mistakes.add(
                    input,
                    "begins as a JSON array and is none of texts",
                    "accepted: a JSON array such as `[\"list_pages\"]`, or a plain list",
                );
                Vec::new()
            });
        }
        let entries = list.split([',', '\n', '\r']).map(str::trim);
        let entries = entries.filter(|entry| !entry.is_empty());
        entries.map(str::to_owned).collect()
    }

    fn ca_certificates(&mut self, value: Option<&str>) -> Vec<CertificateDer<'static>> {
        let Some(value) = value else {
            return Vec::new();
        };
        let pem = if value.contains("-----BEGIN") {
            Ok(value.to_owned())
        } else if value.contains('\n') {
            Err(FileProblem::NoPath)
        } else {
            file::read(&self.workspace.join(value), value, LARGEST_CA_FILE)
        };
        let certificates = pem.map_err(|problem| problem.to_string()).and_then(|pem| {
            let certificates = CertificateDer::pem_slice_iter(pem.as_bytes());
            match certificates.collect::<Result<Vec<_>, _>>() {
                Ok(certificates) if !certificates.is_empty() => Ok(certificates),
                _ => Err("holds no PEM certificate".to_owned()),
            }
        });
        certificates.unwrap_or_else(|found| {
            let accepted = "accepted: PEM text (`-----BEGIN CERTIFICATE-----` …), or a file's path";
            self.mistakes.add("ca_certificate", found, accepted);
            Vec::new()
        })
    }
}

fn or_default(input: &str, value: Option<String>) -> String {
    value.unwrap_or_else(|| {
        let default = INPUTS.iter().find(|(name, _)| *name == input);
        default
            .map(|(_, default)| (*default).to_owned())
            .unwrap_or_default()
    })
}

/// What has become of a tool that was named in an agent's notation.
fn formerly(why: &NotAPattern) -> String {
    let NotAPattern::Prefixed(_, name) = why else {
        return String::new();
    };
    if port::is_gone(name) {
        return "; but Port has removed that tool".to_owned();
    }
    match port::replacement(name) {
        Some(now) => format!("; but Port has since replaced that tool by `{now}`"),
        None => String::new(),
    }
}
