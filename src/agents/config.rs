//! A configuration that the server is put into.

use serde_json::{Map, Value};

use super::format::{BaseConfigError, Format, one_line};

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

    /// Reads a configuration whose keys have these shapes where they are there.
    ///
    /// # Errors
    /// When the text is not in the format, or of another shape.
    pub fn parse(
        format: Format,
        text: &str,
        shapes: &[(&'static str, Shape)],
    ) -> Result<Self, BaseConfigError> {
        let values = format.read(text)?;
        for (key, shape) in shapes {
            let wanted = match (shape, values.get(*key)) {
                (Shape::Map, Some(value)) if !value.is_object() => "object",
                (Shape::List, Some(value)) if !value.is_array() => "list",
                _ => continue,
            };
            return Err(BaseConfigError::Shape(format, key, wanted));
        }
        Ok(Self { format, values })
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
    /// `identity`, or at the end. Says whether it took another's place.
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
        list.push(value);
        false
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

    /// The configuration on one line, without a single quote in it: JSON, which is YAML too. TOML has
    /// no form for it; see [`inline_toml`](super::format::inline_toml).
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
