//! The options that say what an agent may do: the inputs of the action, under the same names.

use std::ffi::OsString;

use clap::Args;
use clap::builder::PossibleValuesParser;
use serde::{Deserialize, Deserializer};

use crate::Connection;
use crate::agents::Agent;
use crate::inputs::{InputErrors, Inputs, Request};
use crate::port::Region;
use crate::runner::Environment;

/// What an agent may do: in options, or under the names of the inputs in a file.
#[derive(Args, Clone, Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields, expecting = "inputs by their names")]
pub(super) struct RequestOptions {
    /// Tools: names, patterns (`list_*`), and exclusions (`!delete_*`), separated by commas
    #[arg(long, value_name = "LIST", help_heading = "Request")]
    #[serde(deserialize_with = "text")]
    allowed_tools: Option<String>,
    /// Whether Port hides the tools that write
    #[arg(long, value_name = "BOOLEAN", value_parser = PossibleValuesParser::new(["true", "false"]), help_heading = "Request")]
    #[serde(deserialize_with = "text")]
    read_only: Option<String>,
    /// Port actions that the agent may run, separated by commas, or `*` for all
    #[arg(long, value_name = "LIST", help_heading = "Request")]
    #[serde(deserialize_with = "text")]
    allowed_actions: Option<String>,
    /// Agent that connects
    #[arg(long, value_parser = PossibleValuesParser::new(Agent::ALL.iter().map(|agent| agent.name())), help_heading = "Request")]
    #[serde(deserialize_with = "text")]
    agent: Option<String>,
    /// How the agent connects
    #[arg(long, value_parser = PossibleValuesParser::new(Connection::ALL.map(Connection::name)), help_heading = "Request")]
    #[serde(deserialize_with = "text")]
    connection: Option<String>,
    /// Region of Port
    #[arg(long, value_parser = PossibleValuesParser::new(["auto", Region::ALL[0].name(), Region::ALL[1].name()]), help_heading = "Servers")]
    #[serde(deserialize_with = "text")]
    region: Option<String>,
    /// Base URL of the Port API
    #[arg(long, value_name = "URL", help_heading = "Servers")]
    #[serde(deserialize_with = "text")]
    api_url: Option<String>,
    /// URL of Port's MCP server
    #[arg(long, value_name = "URL", help_heading = "Servers")]
    #[serde(deserialize_with = "text")]
    mcp_url: Option<String>,
}

impl RequestOptions {
    /// Whether an option says which tools the agent requests.
    pub(super) fn is_given(&self) -> bool {
        let options = [
            &self.allowed_tools,
            &self.allowed_actions,
            &self.agent,
            &self.connection,
        ];
        options.into_iter().any(Option::is_some)
    }

    /// Whether an option is given.
    pub(super) fn is_any_given(&self) -> bool {
        self.inputs().next().is_some()
    }

    /// The inputs that the options set.
    pub(super) fn inputs(&self) -> impl Iterator<Item = (&'static str, &str)> {
        let inputs = [
            ("allowed_tools", &self.allowed_tools),
            ("read_only", &self.read_only),
            ("allowed_actions", &self.allowed_actions),
            ("agent", &self.agent),
            ("connection", &self.connection),
            ("region", &self.region),
            ("api_url", &self.api_url),
            ("mcp_url", &self.mcp_url),
        ];
        inputs
            .into_iter()
            .filter_map(|(name, value)| Some((name, value.as_deref()?)))
    }

    /// The request. What no option says has the default of its input.
    ///
    /// # Errors
    /// Every invalid option.
    pub(super) fn parse(&self) -> Result<Request, InputErrors> {
        let environment: Environment = variables(self.inputs()).collect();
        Request::from_inputs(Inputs::from_env(&environment))
    }
}

/// The value of an input in a file.
#[derive(Deserialize)]
#[serde(untagged, expecting = "a string, a boolean, or a list of strings")]
enum Value {
    Boolean(bool),
    Text(String),
    List(Vec<String>),
}

/// Reads the value of an input as the text that a step passes.
fn text<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<String>, D::Error> {
    Ok(Some(match Value::deserialize(deserializer)? {
        Value::Boolean(value) => value.to_string(),
        Value::Text(text) => text,
        Value::List(entries) => entries.join("\n"),
    }))
}

/// The variables that the runner sets for inputs.
pub(super) fn variables<'a>(
    inputs: impl Iterator<Item = (&'static str, &'a str)>,
) -> impl Iterator<Item = (OsString, OsString)> {
    inputs.map(|(name, value)| {
        let variable = format!("INPUT_{}", name.to_uppercase());
        (variable.into(), value.into())
    })
}
