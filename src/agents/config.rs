//! A configuration that the server is put into.

use serde_json::{Map, Value, json};

use super::findings::is_servers;
use super::format::{BaseConfigError, Format, Leniency, one_line};

/// What a key of a configuration has to hold, if it is there.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Shape {
    /// Values by name.
    Map,
    /// Values in a row.
    List,
}

/// A configuration in one agent's format.
#[derive(Clone, Debug)]
pub struct Config {
    format: Format,
    values: Map<String, Value>,
}

impl Config {
    /// A configuration without anything in it.
    #[must_use]
    pub fn empty(format: Format) -> Self {
        Self {
            format,
            values: Map::new(),
        }
    }

    /// Reads a configuration.
    ///
    /// # Errors
    /// When the text is not in the format.
    pub fn parse(format: Format, leniency: Leniency, text: &str) -> Result<Self, BaseConfigError> {
        let values = format.read(text, leniency)?;
        Ok(Self { format, values })
    }

    /// Checks that keys have these shapes where they are there. One without a value is none.
    ///
    /// # Errors
    /// The first that has another shape.
    pub fn check(&mut self, shapes: &[(&'static str, Shape)]) -> Result<(), BaseConfigError> {
        for (key, shape) in shapes {
            let wanted = match (shape, self.values.get(*key)) {
                (_, Some(Value::Null)) => {
                    self.values.shift_remove(*key);
                    continue;
                }
                (Shape::Map, Some(value)) if !value.is_object() => "object",
                (Shape::List, Some(value)) if !value.is_array() => "list",
                _ => continue,
            };
            return Err(BaseConfigError::Shape(self.format, key, wanted));
        }
        Ok(())
    }

    /// Puts servers that stand there by name, and nothing beside them, below the key where the agent
    /// has its servers: some programs write them so.
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

    /// What stands under a key.
    #[must_use]
    pub fn get(&self, key: &str) -> Option<&Value> {
        self.values.get(key)
    }

    /// The configuration's keys, to be changed.
    pub fn values_mut(&mut self) -> &mut Map<String, Value> {
        &mut self.values
    }

    /// Every key with what stands under it, in their order.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &Value)> {
        self.values.iter().map(|(key, value)| (key.as_str(), value))
    }

    /// Sets a key where there is none.
    pub fn default(&mut self, key: &str, value: impl Into<Value>) {
        self.values.entry(key).or_insert_with(|| value.into());
    }

    /// The map under a key, which is made where there is none.
    pub fn map(&mut self, key: &str) -> &mut Map<String, Value> {
        let value = self
            .values
            .entry(key)
            .or_insert_with(|| Value::Object(Map::new()));
        // Shapes are checked when a configuration is read.
        if !value.is_object() {
            *value = Value::Object(Map::new());
        }
        match value {
            Value::Object(map) => map,
            _ => unreachable!("it has just become a map"),
        }
    }

    /// Puts a value into the map under a key. Says whether it took another's place.
    pub fn put(&mut self, key: &str, name: &str, value: Value) -> bool {
        self.map(key).insert(name.to_owned(), value).is_some()
    }

    /// Puts a value into the list under a key, in the place of the one that agrees with it on
    /// `identity`, or before all others, since some programs take the first. Says whether it took
    /// another's place.
    pub fn put_in_list(&mut self, key: &str, identity: &[&str], value: Value) -> bool {
        let list = self
            .values
            .entry(key)
            .or_insert_with(|| Value::Array(Vec::new()));
        let Value::Array(list) = list else {
            *list = Value::Array(vec![value]);
            return true;
        };
        let same = |other: &&mut Value| {
            identity
                .iter()
                .all(|part| other.get(part).is_some() && other.get(part) == value.get(part))
        };
        if let Some(other) = list.iter_mut().find(same) {
            *other = value;
            return true;
        }
        list.insert(0, value);
        false
    }

    /// Adds texts to a list where there is one that names what may be used: it would leave ours out.
    pub fn add_to_list(&mut self, path: &[&str], texts: &[String]) {
        let Some((first, rest)) = path.split_first() else {
            return;
        };
        let list = rest.iter().fold(self.values.get_mut(*first), |value, key| {
            value?.get_mut(key)
        });
        if let Some(Value::Array(list)) = list {
            for text in texts {
                if !list.iter().any(|known| known.as_str() == Some(text)) {
                    list.push(text.as_str().into());
                }
            }
        }
    }

    /// Adds a text to the list under a key of the map under another, both of which are made where there
    /// is none.
    pub fn put_in_inner_list(&mut self, key: &str, inner: &str, text: &str) {
        let list = self.map(key).entry(inner).or_insert_with(|| json!([]));
        if !list.is_array() {
            *list = json!([]);
        }
        self.add_to_list(&[key, inner], &[text.to_owned()]);
    }

    /// Puts values before all others of the list under a key.
    pub fn put_first(&mut self, key: &str, mut values: Vec<Value>) {
        if let Some(Value::Array(others)) = self.values.remove(key) {
            let others: Vec<Value> = others
                .into_iter()
                .filter(|other| !values.contains(other))
                .collect();
            values.extend(others);
        }
        self.values.insert(key.to_owned(), values.into());
    }

    /// The configuration on one line: JSON, which is YAML too. TOML has no form for it; see [`inline_toml`](super::format::inline_toml).
    #[must_use]
    pub fn one_line(&self) -> String {
        one_line(&self.values)
    }

    /// The configuration as a file holds it.
    #[must_use]
    pub fn file_text(&self) -> String {
        self.format.write(&self.values)
    }
}
