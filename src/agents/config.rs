//! A configuration in the format that an agent reads: parsed, added to, written.
//!
//! Whatever the format, the values are held as JSON's: that is what every agent's entry is made of.
//! A base configuration with values that JSON has no form for is refused rather than changed.

use std::fmt::{self, Write as _};

use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::{Map, Value};

/// What a configuration is written in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Format {
    /// JSON without comments.
    Json,
    /// TOML 1.
    Toml,
    /// YAML 1.2.
    Yaml,
}

impl fmt::Display for Format {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Json => "JSON",
            Self::Toml => "TOML",
            Self::Yaml => "YAML",
        })
    }
}

impl Format {
    /// How the name of a file in this format ends, dot included.
    #[must_use]
    pub fn suffix(self) -> &'static str {
        match self {
            Self::Json => ".json",
            Self::Toml => ".toml",
            Self::Yaml => ".yaml",
        }
    }

    /// Whether an input's value is text in this format, and not the path of a file.
    #[must_use]
    pub fn is_text(self, value: &str) -> bool {
        value.starts_with(['{', '['])
            || value.contains('\n')
            || match self {
                Self::Json => false,
                Self::Toml => value.contains('='),
                Self::Yaml => value.contains(": "),
            }
    }
}

/// The key under which the `toml` crate hands over a date, for which JSON has no form.
const TOML_DATE: &str = "$__toml_private_datetime";

/// What a key of a configuration has to hold, if it is there.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Shape {
    /// Values by name.
    Map,
    /// Values in a row.
    List,
}

/// Why a base configuration cannot be merged into. Holds none of its text, which may be secret.
#[derive(Debug, thiserror::Error)]
pub enum BaseConfigError {
    /// It is not in the agent's format.
    #[error("no {format}: a syntax error{}", at(*.line, *.column))]
    Syntax {
        /// The format.
        format: Format,
        /// The line, from 1; 0 is unknown.
        line: usize,
        /// The column, from 1.
        column: usize,
    },
    /// It breaks off.
    #[error("no {format}: it ends too early{}", at(*.line, *.column))]
    Incomplete {
        /// The format.
        format: Format,
        /// The line, from 1.
        line: usize,
        /// The column, from 1.
        column: usize,
    },
    /// It holds what only its own format has.
    #[error(
        "{0} with a value that JSON has no form for, such as a tag, an infinity or a key that is no text"
    )]
    Foreign(Format),
    /// It has another shape.
    #[error("{0} in which {1} is no {2}")]
    Shape(Format, &'static str, &'static str),
}

fn at(line: usize, column: usize) -> String {
    match line {
        0 => String::new(),
        line => format!(" at line {line}, column {column}"),
    }
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
        let value = match format {
            Format::Json => json(text)?,
            Format::Toml => toml(text)?,
            Format::Yaml => yaml(text)?,
        };
        let Value::Object(values) = value else {
            return Err(BaseConfigError::Shape(format, "the whole", "object"));
        };
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
    /// no form for it; see [`inline_toml`].
    #[must_use]
    pub fn one_line(&self) -> String {
        one_line(&self.values)
    }

    /// The configuration as a file holds it.
    #[must_use]
    pub fn file_text(&self) -> String {
        let text = match self.format {
            Format::Json => Some(self.one_line()),
            Format::Toml => converted::<toml::Table>(&self.values)
                .and_then(|table| toml::to_string(&table).ok()),
            Format::Yaml => yaml_serde::to_string(&self.values).ok(),
        };
        // Each value came from this format or is text, a list or a map, which every format has.
        text.unwrap_or_default()
    }
}

/// JSON on one line without a single quote in it, so that it may stand between two: `'` can only
/// appear inside a JSON string, where `\u0027` means the same. YAML readers refuse a few characters
/// that JSON allows, so these are escaped too.
#[must_use]
pub fn one_line(value: &impl Serialize) -> String {
    let json = serde_json::to_string(value).unwrap_or_default();
    json.chars().fold(String::new(), |mut line, c| {
        if c == '\'' || is_no_yaml(c) {
            // Writing to a string cannot fail.
            let _ = write!(line, "\\u{:04x}", u32::from(c));
        } else {
            line.push(c);
        }
        line
    })
}

fn is_no_yaml(c: char) -> bool {
    matches!(
        c,
        '\u{7f}'..='\u{9f}' | '\u{2028}' | '\u{2029}' | '\u{feff}' | '\u{fffe}' | '\u{ffff}'
    )
}

/// A value on one line of TOML, tables inline. The `toml` crate breaks strings over lines; but what
/// JSON writes for text is TOML too.
#[must_use]
pub fn inline_toml(value: &Value) -> String {
    match value {
        Value::Object(table) => table.get(TOML_DATE).and_then(Value::as_str).map_or_else(
            || {
                let pairs = table.iter();
                let pairs =
                    pairs.map(|(key, value)| format!("{}={}", toml_key(key), inline_toml(value)));
                format!("{{{}}}", pairs.collect::<Vec<_>>().join(","))
            },
            str::to_owned,
        ),
        Value::Array(list) => {
            let values: Vec<String> = list.iter().map(inline_toml).collect();
            format!("[{}]", values.join(","))
        }
        value => one_line(value),
    }
}

/// A key in TOML, bare where it can be.
#[must_use]
pub fn toml_key(key: &str) -> String {
    let is_bare = |b: u8| b.is_ascii_alphanumeric() || b == b'_' || b == b'-';
    if !key.is_empty() && key.bytes().all(is_bare) {
        key.to_owned()
    } else {
        one_line(&key)
    }
}

/// The same value in the terms of another format; none where it has no form there.
fn converted<T: DeserializeOwned>(value: &impl Serialize) -> Option<T> {
    serde_json::from_value(serde_json::to_value(value).ok()?).ok()
}

/// A value of another format in the terms of JSON, if it survives the way there and back.
fn to_json<T>(format: Format, value: &T) -> Result<Value, BaseConfigError>
where
    T: Serialize + DeserializeOwned + PartialEq,
{
    serde_json::to_value(value)
        .ok()
        .filter(|json| converted::<T>(json).is_some_and(|back| back == *value))
        .ok_or(BaseConfigError::Foreign(format))
}

fn json(text: &str) -> Result<Value, BaseConfigError> {
    serde_json::from_str(text).map_err(|error| {
        let (format, line, column) = (Format::Json, error.line(), error.column());
        if error.is_eof() {
            BaseConfigError::Incomplete {
                format,
                line,
                column,
            }
        } else {
            BaseConfigError::Syntax {
                format,
                line,
                column,
            }
        }
    })
}

fn toml(text: &str) -> Result<Value, BaseConfigError> {
    let table: toml::Table = toml::from_str(text).map_err(|error: toml::de::Error| {
        let before = error.span().and_then(|span| text.get(..span.start));
        let (line, column) = before.map_or((0, 0), |before| {
            let line_start = before.rfind('\n').map_or(0, |end| end + 1);
            (
                before.matches('\n').count() + 1,
                before[line_start..].chars().count() + 1,
            )
        });
        BaseConfigError::Syntax {
            format: Format::Toml,
            line,
            column,
        }
    })?;
    to_json(Format::Toml, &table)
}

fn yaml(text: &str) -> Result<Value, BaseConfigError> {
    let syntax = |error: yaml_serde::Error| {
        let place = error.location();
        BaseConfigError::Syntax {
            format: Format::Yaml,
            line: place.as_ref().map_or(0, yaml_serde::Location::line),
            column: place.as_ref().map_or(0, yaml_serde::Location::column),
        }
    };
    let mut value: yaml_serde::Value = yaml_serde::from_str(text).map_err(syntax)?;
    value.apply_merge().map_err(syntax)?;
    to_json(Format::Yaml, &value)
}
