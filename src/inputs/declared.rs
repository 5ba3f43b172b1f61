//! The inputs that `action.yml` declares: their names, their order, and their defaults.

use std::sync::LazyLock;

use yaml_serde::Value;

/// An input of the action.
#[derive(Debug)]
pub struct Input {
    /// The name, in lower case.
    pub name: String,
    /// The value if the step sets none. Empty for none.
    pub default: String,
}

/// Every input, in the order of `action.yml`.
pub static INPUTS: LazyLock<Vec<Input>> = LazyLock::new(|| {
    let action: Value = yaml_serde::from_str(include_str!("../../action.yml"))
        .expect("action.yml is part of the program, and each test reads it");
    action["inputs"]
        .as_mapping()
        .into_iter()
        .flatten()
        .map(|(name, about)| {
            let text = |value: &Value| value.as_str().expect("a string").to_owned();
            Input {
                name: text(name),
                default: about.get("default").map(text).unwrap_or_default(),
            }
        })
        .collect()
});

/// The input with this name.
pub(super) fn find(name: &str) -> Option<&'static Input> {
    INPUTS.iter().find(|input| input.name == name)
}

/// The default of an input. Empty for none.
pub(super) fn default_of(name: &str) -> &'static str {
    find(name).map_or("", |input| &input.default)
}
