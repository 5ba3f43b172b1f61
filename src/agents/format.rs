//! The formats of configurations: from text to values and back.
//!
//! In every format, the values are JSON values, from which every agent's entry is built. A base
//! configuration with values that JSON cannot represent is rejected.

use std::fmt::{self, Write as _};

use jsonc_parser::ParseOptions;
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::{Map, Value};

use crate::text::without_mark;

/// The key with which the `toml` crate represents a date, which JSON cannot represent.
const TOML_DATE: &str = "$__toml_private_datetime";

/// The format of a configuration.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Format {
    /// JSON without comments.
    Json,
    /// TOML 1.
    Toml,
    /// YAML 1.2.
    Yaml,
}

/// What a program accepts in JSON beyond the standard. A byte-order mark is always accepted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Leniency {
    /// Nothing.
    Strict,
    /// `// …` and `/* … */`.
    Comments,
    /// Comments and trailing commas.
    CommentsAndCommas,
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
    /// The suffix of file names in this format, including the dot.
    #[must_use]
    pub fn suffix(self) -> &'static str {
        match self {
            Self::Json => ".json",
            Self::Toml => ".toml",
            Self::Yaml => ".yaml",
        }
    }

    /// Whether an input's value is text in this format, not the path of a file.
    #[must_use]
    pub fn is_text(self, value: &str) -> bool {
        value.starts_with(['{', '['])
            || value.contains('\n')
            || value == "null"
            || (self == Self::Json && value.starts_with("//"))
            || match self {
                Self::Json => false,
                Self::Toml => value.contains('='),
                Self::Yaml => value.contains(": "),
            }
    }

    /// Parses the values of a configuration. An empty text is an empty object.
    ///
    /// # Errors
    /// When the text is not in the format, or not an object.
    pub fn parse(
        self,
        text: &str,
        leniency: Leniency,
    ) -> Result<Map<String, Value>, BaseConfigError> {
        let text = without_mark(text);
        let value = match self {
            _ if text.trim().is_empty() => Value::Null,
            Self::Json if leniency == Leniency::Strict => json(text)?,
            Self::Json => lenient_json(text, leniency)?,
            Self::Toml => toml(text)?,
            Self::Yaml => yaml(text)?,
        };
        if levels(&value) > MAX_DEPTH {
            return Err(BaseConfigError::TooDeep);
        }
        if self == Self::Yaml && !is_read_again(&value) {
            return Err(BaseConfigError::Ambiguous);
        }
        match value {
            Value::Object(values) => Ok(values),
            Value::Null => Ok(Map::new()),
            _ => Err(BaseConfigError::NotObject(self)),
        }
    }

    /// A configuration as the content of a file.
    #[must_use]
    pub fn write(self, values: &Map<String, Value>) -> String {
        let text = match self {
            Self::Json => Some(one_line(values)),
            Self::Toml => {
                converted::<toml::Table>(values).and_then(|table| toml::to_string(&table).ok())
            }
            Self::Yaml => yaml_serde::to_string(values).ok(),
        };
        // Every value came from this format, or is a string, a list, or an object.
        text.unwrap_or_default()
    }
}

/// Why a base configuration is invalid. Quotes none of its text, which can be secret.
#[derive(Debug, thiserror::Error)]
pub enum BaseConfigError {
    /// It is not in the agent's format.
    #[error("is not valid {format}: syntax error{}", at(*.line, *.column))]
    Syntax {
        /// The format.
        format: Format,
        /// The line, from 1; 0 is unknown.
        line: usize,
        /// The column, from 1.
        column: usize,
    },
    /// It is incomplete.
    #[error("is not valid {format}: unexpected end{}", at(*.line, *.column))]
    Incomplete {
        /// The format.
        format: Format,
        /// The line, from 1.
        line: usize,
        /// The column, from 1.
        column: usize,
    },
    /// It contains a value that only its own format can represent.
    #[error(
        "contains a {0} value that JSON cannot represent, such as a tag, an infinity, or a key that is \
         not a string"
    )]
    NotJson(Format),
    /// It is nested too deeply.
    #[error("is nested deeper than {MAX_DEPTH} levels")]
    TooDeep,
    /// It is YAML that a parser would read differently after it is written.
    #[error(
        "contains a key that cannot be written as YAML, such as `<<` that is not a merge, or a key of more than \
         1000 bytes"
    )]
    Ambiguous,
    /// It is not an object.
    #[error("must be a {0} object")]
    NotObject(Format),
    /// A key has a value of another shape.
    #[error("contains a key `{0}` whose value is not {1}")]
    Shape(&'static str, &'static str),
}

fn at(line: usize, column: usize) -> String {
    match line {
        0 => String::new(),
        line => format!(" at line {line}, column {column}"),
    }
}

/// JSON on one line. Escapes the few characters that JSON allows and YAML does not.
#[must_use]
pub fn one_line(value: &impl Serialize) -> String {
    escaped(
        &serde_json::to_string(value).unwrap_or_default(),
        is_invalid_in_yaml,
    )
}

/// JSON for use between single quotes: `'` can only be part of a JSON string, in which `\u0027` means the
/// same. Private-use characters are escaped too: the npm package `shell-quote`, which Claude Code's action
/// uses to split arguments, uses some of them internally.
#[must_use]
pub fn single_quotable(json: &str) -> String {
    escaped(json, is_unsafe_in_quotes)
}

fn escaped(json: &str, is_escaped: fn(char) -> bool) -> String {
    json.chars().fold(String::new(), |mut line, c| {
        if is_escaped(c) {
            for unit in c.encode_utf16(&mut [0; 2]) {
                // Writing to a string cannot fail.
                let _ = write!(line, "\\u{unit:04x}");
            }
        } else {
            line.push(c);
        }
        line
    })
}

fn is_unsafe_in_quotes(c: char) -> bool {
    matches!(
        c,
        '\'' | '\u{e000}'..='\u{f8ff}' | '\u{f0000}'..='\u{ffffd}' | '\u{100000}'..='\u{10fffd}'
    )
}

fn is_invalid_in_yaml(c: char) -> bool {
    matches!(
        c,
        '\u{7f}'..='\u{9f}' | '\u{2028}' | '\u{2029}' | '\u{feff}' | '\u{fffe}' | '\u{ffff}'
    )
}

/// A value as TOML on one line, with inline tables. The `toml` crate writes multi-line strings, but a JSON
/// string is also a TOML string.
#[must_use]
pub fn inline_toml(value: &Value) -> String {
    match value {
        Value::Object(table) => table.get(TOML_DATE).and_then(Value::as_str).map_or_else(
            || {
                let pairs: Vec<String> = table
                    .iter()
                    .map(|(key, value)| format!("{}={}", toml_key(key), inline_toml(value)))
                    .collect();
                format!("{{{}}}", pairs.join(","))
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

/// A key in TOML, bare if possible.
#[must_use]
pub fn toml_key(key: &str) -> String {
    let is_bare = |b: u8| b.is_ascii_alphanumeric() || b == b'_' || b == b'-';
    if !key.is_empty() && key.bytes().all(is_bare) {
        key.to_owned()
    } else {
        one_line(&key)
    }
}

/// The value in the types of another format, if that can represent it.
fn converted<T: DeserializeOwned>(value: &impl Serialize) -> Option<T> {
    serde_json::from_value(serde_json::to_value(value).ok()?).ok()
}

/// A value of another format as JSON, if the conversion is lossless.
fn to_json<T>(format: Format, value: &T) -> Result<Value, BaseConfigError>
where
    T: Serialize + DeserializeOwned + PartialEq,
{
    serde_json::to_value(value)
        .ok()
        .filter(|json| converted::<T>(json).is_some_and(|restored| restored == *value))
        .ok_or(BaseConfigError::NotJson(format))
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

/// The maximum nesting: below the limits of all parsers, also after the server was added.
const MAX_DEPTH: usize = 64;

/// The nesting of a value.
fn levels(value: &Value) -> usize {
    let inner = match value {
        Value::Array(list) => list.iter().map(levels).max(),
        Value::Object(map) => map.values().map(levels).max(),
        _ => return 0,
    };
    inner.unwrap_or_default() + 1
}

/// Whether a parser reads the values again from YAML, as a file and on one line. It does not if a key is `<<`, which
/// merges, or longer than 1024 bytes, within which libyaml looks for the colon (YAML 1.2.2, 7.4.2).
fn is_read_again(value: &Value) -> bool {
    let file = yaml_serde::to_string(value).unwrap_or_default();
    let texts = [file, one_line(value)];
    let mut again = texts.iter().map(|text| yaml(text));
    again.all(|again| again.is_ok_and(|again| again == *value))
}

fn lenient_json(text: &str, leniency: Leniency) -> Result<Value, BaseConfigError> {
    let options = ParseOptions {
        allow_comments: true,
        allow_trailing_commas: leniency == Leniency::CommentsAndCommas,
        allow_loose_object_property_names: false,
        allow_missing_commas: false,
        allow_single_quoted_strings: false,
        allow_hexadecimal_numbers: false,
        allow_unary_plus_numbers: false,
        allow_bare_decimal_point_numbers: false,
        allow_non_finite_numbers: false,
        allow_extended_string_escapes: false,
    };
    let value: Option<Value> =
        jsonc_parser::parse_to_serde_value(text, &options).map_err(|error| {
            BaseConfigError::Syntax {
                format: Format::Json,
                line: error.line_display(),
                column: error.column_display(),
            }
        })?;
    Ok(value.unwrap_or_default())
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
