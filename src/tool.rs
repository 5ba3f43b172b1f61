//! The names of a tool. Each is a type of its own, so that none stands where another is meant.

use std::borrow::Borrow;
use std::fmt;

use serde::{Deserialize, Serialize};

use crate::text::Quote;

/// The maximum length of a name in bytes.
pub(crate) const MAX_NAME: usize = 128;

/// The name of a tool at the server: a valid one by the
/// [MCP specification](https://modelcontextprotocol.io/specification/2025-11-25/server/tools#tool-names). None of its
/// characters is special to a shell, to JSON, or to an agent's list.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Deserialize, Serialize)]
#[serde(try_from = "String")]
pub struct ToolName(String);

impl ToolName {
    /// The name, if it is valid.
    #[must_use]
    pub fn new(name: &str) -> Option<Self> {
        Self::is_valid(name).then(|| Self(name.to_owned()))
    }

    pub(crate) fn is_valid(name: &str) -> bool {
        (1..=MAX_NAME).contains(&name.len())
            && name
                .bytes()
                .all(|b| b.is_ascii_alphanumeric() || b"_-.".contains(&b))
    }

    /// The name as text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl TryFrom<String> for ToolName {
    type Error = &'static str;

    fn try_from(name: String) -> Result<Self, Self::Error> {
        Self::new(&name).ok_or("not a valid name of a tool")
    }
}

// A map of tools is searched for the name in a message, which need not be valid.
impl Borrow<str> for ToolName {
    fn borrow(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for ToolName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// The name of a tool as an agent writes it in its settings, such as `mcp__port__list_blueprints`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Notation(pub(crate) String);

impl fmt::Display for Notation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// The name of a tool's function for the model. An agent cannot distinguish two tools whose functions have the same name.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct FunctionName(pub(crate) String);

impl FunctionName {
    /// The function of an agent that uses the plain names of tools.
    #[must_use]
    pub fn plain(tool: &str) -> Self {
        Self(tool.to_owned())
    }
}

impl fmt::Display for FunctionName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// What a server or an agent sends as the name of a tool, which can be any text, as the audit and its counts show it.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Deserialize, Serialize)]
#[serde(transparent)]
pub(crate) struct QuotedName(String);

impl QuotedName {
    /// Quotes a name: see [`Quote::of_name`].
    pub(crate) fn new(name: &str) -> Self {
        Self(Quote::of_name(name).to_string())
    }

    /// A name as an audit contains it.
    pub(crate) fn recorded(name: &str) -> Self {
        Self(name.to_owned())
    }

    /// The quoted name, to be quoted again where it is shown: it may come from a file.
    pub(crate) fn as_str(&self) -> &str {
        &self.0
    }
}
