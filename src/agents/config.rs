//! The configuration to which the server is added.

use serde_json::{Map, Value, json};

use super::format::{BaseConfigError, Format, Leniency, one_line};

/// The expected shape of a value.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Shape {
    /// An object.
    Map,
    /// A list.
    List,
}

/// A configuration in one agent's format.
#[derive(Clone, Debug)]
pub struct Config {
    format: Format,
    values: Map<String, Value>,
}

impl Config {
    /// An empty configuration.
    #[must_use]
    pub fn empty(format: Format) -> Self {
        Self {
            format,
            values: Map::new(),
        }
    }

    /// Parses a configuration.
    ///
    /// # Errors
    /// When the text is not in the format.
    pub fn parse(format: Format, leniency: Leniency, text: &str) -> Result<Self, BaseConfigError> {
        let values = format.parse(text, leniency)?;
        Ok(Self { format, values })
    }

    /// Checks the shapes of these keys, and removes the ones that are null.
    ///
    /// # Errors
    /// The first key with another shape.
    pub fn check(&mut self, shapes: &[(&'static str, Shape)]) -> Result<(), BaseConfigError> {
        for (key, shape) in shapes {
            let expected = match (shape, self.values.get(*key)) {
                (_, Some(Value::Null)) => {
                    self.values.shift_remove(*key);
                    continue;
                }
                (Shape::Map, Some(value)) if !value.is_object() => "an object",
                (Shape::List, Some(value)) if !value.is_array() => "a list",
                _ => continue,
            };
            return Err(BaseConfigError::Shape(key, expected));
        }
        Ok(())
    }

    /// Moves servers below `key`, if the configuration consists only of servers by name: some programs write
    /// them without that key.
    pub fn wrap_servers(&mut self, key: &str) {
        let all = Value::Object(std::mem::take(&mut self.values));
        self.values = if is_servers(&all) && all.get(key).is_none() {
            Map::from_iter([(key.to_owned(), all)])
        } else if let Value::Object(values) = all {
            values
        } else {
            Map::new()
        };
    }

    /// The format.
    #[must_use]
    pub fn format(&self) -> Format {
        self.format
    }

    /// The value of a key.
    #[must_use]
    pub fn get(&self, key: &str) -> Option<&Value> {
        self.values.get(key)
    }

    /// The values of the configuration, by key.
    pub fn values_mut(&mut self) -> &mut Map<String, Value> {
        &mut self.values
    }

    /// Every key with its value, in order.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &Value)> {
        self.values.iter().map(|(key, value)| (key.as_str(), value))
    }

    /// Sets a key, unless it is set.
    pub fn set_default(&mut self, key: &str, value: impl Into<Value>) {
        self.values.entry(key).or_insert_with(|| value.into());
    }

    /// The object of a key. Creates it if necessary.
    pub fn object_mut(&mut self, key: &str) -> &mut Map<String, Value> {
        let value = self
            .values
            .entry(key)
            .or_insert_with(|| Value::Object(Map::new()));
        // A configuration with another shape is rejected when it is parsed.
        if !value.is_object() {
            *value = Value::Object(Map::new());
        }
        match value {
            Value::Object(map) => map,
            _ => unreachable!("the value is an object"),
        }
    }

    /// Inserts a value into the object of a key, at the place of another with the same name.
    pub fn insert(&mut self, key: &str, name: &str, value: Value) {
        self.object_mut(key).insert(name.to_owned(), value);
    }

    /// Keeps the values in the object or list of a key for which `is_kept` returns true, given their key, which is
    /// empty in a list.
    pub fn retain(&mut self, key: &str, mut is_kept: impl FnMut(&str, &Value) -> bool) {
        match self.values.get_mut(key) {
            Some(Value::Array(list)) => list.retain(|value| is_kept("", value)),
            Some(Value::Object(map)) => map.retain(|key, value| is_kept(key, value)),
            _ => {}
        }
    }

    /// Adds texts to the list at `path`, if the list exists.
    pub fn extend_list(&mut self, path: &[&str], texts: &[impl ToString]) {
        let Some((first, rest)) = path.split_first() else {
            return;
        };
        let list = rest.iter().fold(self.values.get_mut(*first), |value, key| {
            value?.get_mut(key)
        });
        if let Some(Value::Array(list)) = list {
            for text in texts.iter().map(ToString::to_string) {
                if !list.iter().any(|known| known.as_str() == Some(&text)) {
                    list.push(text.into());
                }
            }
        }
    }

    /// Adds a text to the list at `key.inner`. Creates the object and the list if necessary.
    pub fn extend_inner_list(&mut self, key: &str, inner: &str, text: &str) {
        let list = self
            .object_mut(key)
            .entry(inner)
            .or_insert_with(|| json!([]));
        if !list.is_array() {
            *list = json!([]);
        }
        self.extend_list(&[key, inner], &[text.to_owned()]);
    }

    /// Inserts values at the beginning of the list of a key.
    pub fn prepend(&mut self, key: &str, mut values: Vec<Value>) {
        let list = self.values.entry(key).or_insert_with(|| json!([]));
        if let Value::Array(others) = list.take() {
            let others: Vec<Value> = others
                .into_iter()
                .filter(|other| !values.contains(other))
                .collect();
            values.extend(others);
        }
        *list = values.into();
    }

    /// The configuration on one line, as JSON, which is also YAML. For TOML, see
    /// [`inline_toml`](super::format::inline_toml).
    #[must_use]
    pub fn one_line(&self) -> String {
        one_line(&self.values)
    }

    /// The configuration as the content of a file.
    #[must_use]
    pub fn file_text(&self) -> String {
        self.format.write(&self.values)
    }
}

/// Whether a value is an object of servers by name, in the form of any agent.
pub(super) fn is_servers(value: &Value) -> bool {
    let is_server = |value: &Value| {
        let keys = ["command", "cmd", "url", "uri", "httpUrl", "serverUrl"];
        keys.iter().any(|key| value.get(key).is_some())
    };
    value
        .as_object()
        .is_some_and(|map| !map.is_empty() && map.values().all(is_server))
}
