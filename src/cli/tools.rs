//! `port-mcp tools`: what the server offers, and what a step would grant of it.

use std::ffi::OsString;
use std::path::Path;

use clap::Args;
use clap::builder::PossibleValuesParser;
use serde_json::{Value, json};

use super::Outcome;
use super::policy_file::read;
use super::request::{RequestOptions, variables};
use crate::Error;
use crate::access::Decision;
use crate::access::policy::RunContext;
use crate::access::source::{Location, PolicySource};
use crate::connect::{self, DryRun};
use crate::mcp::Tool;
use crate::mcp::arguments::{self, Argument};
use crate::runner::{Environment, Format, Log};
use crate::text::Quote;

/// The variables with the credentials. A command line would show them to every process.
const CREDENTIALS: &[(&str, &str)] = &[
    ("PORT_CLIENT_ID", "client_id"),
    ("PORT_CLIENT_SECRET", "client_secret"),
    ("GITHUB_TOKEN", "github_token"),
];

/// The maximum number of values of an argument that a line shows.
const MAX_VALUES: usize = 20;

/// Options of `port-mcp tools`.
#[derive(Args, Debug)]
pub(super) struct Tools {
    #[command(flatten)]
    request: RequestOptions,
    /// Short for `--read-only false`
    #[arg(long, conflicts_with = "read_only", help_heading = "Request")]
    write: bool,
    /// Policy that limits the request: a file, or `owner/repo/path.yml@ref` (read with `GITHUB_TOKEN`)
    #[arg(long, value_name = "POLICY", help_heading = "Policy")]
    policy: Option<String>,
    #[command(flatten)]
    run: RunContext,
    /// How to obtain the token
    #[arg(long, value_parser = PossibleValuesParser::new(["auto", "api", "oauth"]), help_heading = "Servers")]
    auth_method: Option<String>,
    /// Path of a CA certificate to trust
    #[arg(long, value_name = "FILE", help_heading = "Servers")]
    ca_certificate: Option<String>,
    /// Time limit, such as `90s`
    #[arg(long, value_name = "DURATION", help_heading = "Servers")]
    timeout: Option<String>,
    /// List the arguments of these tools, or of all
    #[arg(long, value_name = "TOOL", num_args = 0..)]
    arguments: Option<Vec<String>>,
    /// Who reads the result
    #[arg(long, value_enum)]
    pub(super) format: Option<Format>,
}

impl Tools {
    /// Lists the tools, one per line. Reports itself that a request or a policy is invalid: then nothing is decided.
    ///
    /// # Errors
    /// Other errors, as for a step with this request.
    pub(super) async fn run(
        self,
        environment: &Environment,
        log: &mut Log<'_>,
    ) -> Result<Outcome, Error> {
        match self.list(environment, log).await {
            Err(error @ (Error::Inputs(_) | Error::Policy(_))) => {
                error.report(log);
                Ok(Outcome::Undecided)
            }
            ended => ended,
        }
    }

    async fn list(self, environment: &Environment, log: &mut Log<'_>) -> Result<Outcome, Error> {
        let policy = match self.local_policy() {
            Ok(policy) => policy,
            Err(error) => {
                Error::from(error).report(log);
                return Ok(Outcome::Undecided);
            }
        };
        let environment = self.environment(environment);
        let is_request = self.request.is_given() || self.policy.is_some();
        let dry_run = connect::dry_run(&environment, policy, is_request, log).await?;
        let DryRun { decisions, checked } = dry_run;
        if let Some(names) = &self.arguments {
            show_arguments(names, &decisions, log)?;
            checked?;
            return Ok(Outcome::Done);
        }
        if log.format() == Format::Json {
            let tools: Vec<Value> = decisions
                .iter()
                .map(|(tool, decision)| json_of(tool, is_request.then_some(*decision)))
                .collect();
            log.json(&Value::from(tools));
        } else {
            let width = |text: fn(&(Tool, Decision)) -> String, max: usize| {
                decisions
                    .iter()
                    .map(|row| text(row).chars().count())
                    .max()
                    .unwrap_or_default()
                    .min(max)
            };
            let name = |(tool, _): &(Tool, Decision)| Quote::new(&tool.name).to_string();
            let decision = |(_, decision): &(Tool, Decision)| reason(*decision).to_owned();
            let (names, reasons) = (width(name, 40), width(decision, 60));
            for row in &decisions {
                let (tool, _) = row;
                let description = tool.description.as_ref().or(tool.title.as_ref());
                let decision = if is_request {
                    format!("{:reasons$}  ", decision(row))
                } else {
                    String::new()
                };
                log.result(format!(
                    "{:names$}  {:13}  {decision}{}",
                    name(row),
                    tool.access(),
                    description.map(ToString::to_string).unwrap_or_default()
                ));
            }
        }
        checked?;
        Ok(Outcome::Done)
    }

    /// The environment of a step with these inputs. What the terminal has for other steps does not count.
    fn environment(&self, environment: &Environment) -> Environment {
        let options = [
            ("auth_method", &self.auth_method),
            ("ca_certificate", &self.ca_certificate),
            ("timeout", &self.timeout),
            ("environment", &self.run.environment),
        ]
        .into_iter()
        .filter_map(|(name, value)| Some((name, value.as_deref()?)));
        let is_everything = self.write || (self.arguments.is_some() && !self.request.is_given());
        let write = is_everything.then_some(("read_only", "false"));
        let policy = self.remote_policy().map(|policy| ("policy", policy));
        let credentials = CREDENTIALS
            .iter()
            .filter_map(|(variable, input)| Some((*input, environment.get(variable)?)));
        let inputs = write
            .into_iter()
            .chain(self.request.inputs())
            .chain(options)
            .chain(policy)
            .chain(credentials);
        let run = [
            ("GITHUB_REPOSITORY", &self.run.repository),
            ("GITHUB_REF", &self.run.reference),
            ("GITHUB_WORKFLOW_REF", &self.run.workflow),
            ("GITHUB_EVENT_NAME", &self.run.event),
        ];
        let given = run
            .into_iter()
            .filter_map(|(name, value)| Some((name.into(), value.as_ref()?.into())));
        let workspace = ("GITHUB_WORKSPACE".into(), OsString::from("."));
        environment
            .without(|name| {
                name.starts_with("INPUT_") || run.iter().any(|(variable, _)| *variable == name)
            })
            .with(variables(inputs).chain(given).chain([workspace]))
    }

    /// The policy, if it is in a repository on GitHub.
    fn remote_policy(&self) -> Option<&str> {
        self.policy
            .as_deref()
            .filter(|policy| Location::parse(policy).is_some())
    }

    /// The policy, if it is a file.
    fn local_policy(&self) -> anyhow::Result<Option<PolicySource>> {
        let Some(file) = self
            .policy
            .as_deref()
            .filter(|_| self.remote_policy().is_none())
        else {
            return Ok(None);
        };
        let text = read(Path::new(file), "policy")?;
        let path = file.to_owned();
        Ok(Some(PolicySource::Workspace { path, text }))
    }
}

/// The decision on a tool, in a few words.
fn reason(decision: Decision) -> &'static str {
    match decision {
        Decision::Granted => "granted",
        Decision::NotRequested => "not requested",
        Decision::NotAllowed => "not allowed by the policy",
        Decision::NotListed => "may write: must be listed by name",
        Decision::Ambiguous => "the agent cannot distinguish it from another tool",
        Decision::InvalidName => "invalid name",
    }
}

fn json_of(tool: &Tool, decision: Option<Decision>) -> Value {
    let text = |text: &Option<Quote>| text.as_ref().map(ToString::to_string);
    let mut object = json!({
        "name": tool.name,
        "title": text(&tool.title),
        "description": text(&tool.description),
        "access": tool.access(),
    });
    if let Some(decision) = decision {
        object["granted"] = (decision == Decision::Granted).into();
        object["reason"] = reason(decision).into();
    }
    object
}

/// Lists the arguments of the tools `names`, or of all tools.
fn show_arguments(
    names: &[String],
    offered: &[(Tool, Decision)],
    log: &mut Log<'_>,
) -> Result<(), Error> {
    connect::check_offered(names, offered.iter().map(|(tool, _)| tool))?;
    let shown: Vec<(&Tool, Vec<Argument>)> = offered
        .iter()
        .map(|(tool, _)| tool)
        .filter(|tool| names.is_empty() || names.contains(&tool.name))
        .map(|tool| (tool, arguments::of_schema(&tool.input_schema)))
        .collect();
    if log.format() == Format::Json {
        let tools = shown.iter().map(|(tool, arguments)| {
            let arguments: Vec<Value> = arguments.iter().map(json_of_argument).collect();
            json!({"name": tool.name, "arguments": arguments})
        });
        log.json(&tools.collect::<Value>());
        return Ok(());
    }
    for (tool, arguments) in shown {
        log.result(Quote::new(&tool.name).to_string());
        let width = arguments
            .iter()
            .map(|argument| path(argument).chars().count())
            .max()
            .unwrap_or_default()
            .min(50);
        for argument in &arguments {
            let description = argument.description.as_ref();
            log.result(format!(
                "  {:width$}  {}{}",
                path(argument),
                kind(argument),
                description.map_or_else(String::new, |text| format!("  {text}"))
            ));
        }
    }
    Ok(())
}

fn path(argument: &Argument) -> String {
    Quote::new(&argument.path.join(".")).to_string()
}

/// The types of an argument, whether it is required, and its values.
fn kind(argument: &Argument) -> String {
    let mut parts = vec![match argument.types.as_slice() {
        [] => "any type".to_owned(),
        types => Quote::new(&types.join(" or ")).to_string(),
    }];
    if argument.is_required {
        parts.push("required".to_owned());
    }
    if !argument.values.is_empty() {
        let more = argument.values.len().saturating_sub(MAX_VALUES);
        let shown = &argument.values[..argument.values.len() - more];
        let more = match more {
            0 => String::new(),
            more => format!(" or {more} more"),
        };
        parts.push(format!("{}{more}", Quote::new(&shown.join(" | "))));
    }
    parts.join(", ")
}

fn json_of_argument(argument: &Argument) -> Value {
    let values: Vec<Value> = argument
        .values
        .iter()
        .filter_map(|value| serde_json::from_str(value).ok())
        .collect();
    json!({
        "path": argument.path,
        "types": argument.types,
        "required": argument.is_required,
        "values": values,
        "description": argument.description.as_ref().map(ToString::to_string),
    })
}
