//! What a run is granted: the result of every decision, and all that the gateway asks.

use indexmap::IndexMap;
use serde::{Deserialize, Serialize};

use crate::tool::ToolName;

/// The granted tools, in the server's order, each with what is allowed of it. A tool that is not in it is not granted.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize, Serialize)]
#[serde(transparent)]
pub struct Grants(IndexMap<ToolName, Arguments>);

/// The arguments with which a granted tool may be called.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Arguments {
    /// Any.
    #[default]
    Any,
}

impl Grants {
    /// Whether a tool is granted. `name` can be any text.
    #[must_use]
    pub fn contains(&self, name: &str) -> bool {
        self.0.contains_key(name)
    }

    /// The names of the granted tools.
    #[must_use]
    pub fn names(&self) -> impl ExactSizeIterator<Item = &ToolName> {
        self.0.keys()
    }
}

impl FromIterator<ToolName> for Grants {
    fn from_iter<I: IntoIterator<Item = ToolName>>(names: I) -> Self {
        Self(
            names
                .into_iter()
                .map(|name| (name, Arguments::default()))
                .collect(),
        )
    }
}
