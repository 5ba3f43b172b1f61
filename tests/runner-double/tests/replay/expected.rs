//! Compares values with those of a vector.

use std::collections::BTreeMap;

use runner_double::{Annotation, Job};
use serde_json::{Map, Value, json};
use sha2::{Digest, Sha256};

/// The double's form of the long messages of the runner, by the digest of each.
const LONG_MESSAGES: [(&str, &str); 6] = [
    (
        "4e02768207b929c187adff7ea037ba066b442786d1fceb8bd5d5343eaa1a37c8",
        "The `set-output` command is deprecated…",
    ),
    (
        "6e5d5994709ff22c0eb7624f9d4fb8a82927446ebe52ab612f96f54e98eca591",
        "The `save-state` command is deprecated…",
    ),
    (
        "1a5c5b618bf394bd322808271e71607a096105ad5218403d89a43d8ffa298a3f",
        "The `set-env` command is disabled…",
    ),
    (
        "46ce766bf16ce15d480bf609e5b2622ae38231ece1a0dd946031580110cd71fa",
        "The `add-path` command is disabled…",
    ),
    (
        "24ae72d28bf54f07561eec8151aadf7c9af18d1471af7dad69789c4b0795c551",
        "You cannot use this token…",
    ),
    (
        "62bc2f520764a959cd8d154aa4f6d51ff7e75683a0d5ac2288bc417d26ad6e9e",
        "$GITHUB_STEP_SUMMARY upload aborted…",
    ),
];
/// The length of a difference, in characters.
const MAX_SHOWN: usize = 400;

/// Collects the differences of a vector.
pub(crate) struct Compare<'a> {
    vector: &'a Value,
    places: [(String, &'static str); 3],
    pub(crate) differences: Vec<String>,
}

impl<'a> Compare<'a> {
    pub(crate) fn new(vector: &'a Value, job: &Job) -> Self {
        let temp = job.temp().display().to_string();
        Self {
            vector,
            places: [
                (format!("{temp}/_runner_file_commands"), "{file_commands}"),
                (temp, "{temp}"),
                (job.workspace().display().to_string(), "{workspace}"),
            ],
            differences: Vec::new(),
        }
    }

    pub(crate) fn text(&mut self, field: &str, actual: &str) {
        self.value(field, &json!(actual));
    }

    pub(crate) fn map(&mut self, field: &str, actual: &BTreeMap<String, String>) {
        self.value(field, &json!(actual));
    }

    pub(crate) fn lines(&mut self, field: &str, actual: &[String]) {
        self.list(field, actual.iter().map(|line| json!(line)).collect());
    }

    /// Compares a list. With `timing`, its order does not count.
    pub(crate) fn list(&mut self, field: &str, actual: Vec<Value>) {
        if self.vector["timing"] != true {
            self.value(field, &Value::Array(actual));
            return;
        }
        let mut rest: Vec<Value> = actual.iter().map(|value| self.shown(value)).collect();
        let expected = self.vector[field].as_array().cloned().unwrap_or_default();
        let are_found = expected.iter().all(|wanted| {
            let at = rest.iter().position(|value| agrees(wanted, value));
            at.map(|at| rest.remove(at)).is_some()
        });
        if !are_found || !rest.is_empty() {
            self.differ(field, &Value::Array(expected), &Value::Array(actual));
        }
    }

    /// Compares a value. An absent one is empty, except the log, which cannot always be observed.
    pub(crate) fn value(&mut self, field: &str, actual: &Value) {
        let is_unknown = |known: &Value| {
            known
                .as_array()
                .is_some_and(|names| names.contains(&json!(field)))
        };
        let is_absent = self.vector.get(field).is_none();
        if is_unknown(&self.vector["not_observed"]) || (field == "log" && is_absent) {
            return;
        }
        let expected = self
            .vector
            .get(field)
            .cloned()
            .unwrap_or_else(|| empty(actual));
        let actual = self.shown(actual);
        if !agrees(&expected, &actual) {
            self.differ(field, &expected, &actual);
        }
    }

    /// A value with placeholders for what depends on the machine.
    fn shown(&self, value: &Value) -> Value {
        match value {
            Value::String(text) => {
                let text = self
                    .places
                    .iter()
                    .fold(text.clone(), |text, (path, name)| text.replace(path, name));
                json!((1..9).fold(text, |text, step| {
                    text.replace(&format!("00000000-0000-0000-0000-{step:012}"), "{id}")
                }))
            }
            Value::Array(values) => values.iter().map(|value| self.shown(value)).collect(),
            Value::Object(values) => {
                let shown = values
                    .iter()
                    .map(|(name, value)| (name.clone(), self.shown(value)));
                Value::Object(shown.collect())
            }
            _ => value.clone(),
        }
    }

    fn differ(&mut self, field: &str, expected: &Value, actual: &Value) {
        let cut = |value: &Value| {
            value
                .to_string()
                .chars()
                .take(MAX_SHOWN)
                .collect::<String>()
        };
        let name = self.vector["name"].as_str().unwrap_or_default();
        self.differences.push(format!(
            "- {name}: {field}\n    expected {}\n    actual   {}",
            cut(expected),
            cut(actual)
        ));
    }
}

/// The texts of a map.
pub(crate) fn texts(map: &Value) -> Vec<(String, String)> {
    let pairs = map.as_object().into_iter().flatten();
    pairs
        .map(|(name, value)| (name.clone(), joined(value).expect("a text")))
        .collect()
}

/// An annotation in the format of the vectors.
pub(crate) fn annotation(annotation: &Annotation) -> Value {
    let values = [
        ("level", json!(annotation.level.to_string())),
        ("message", json!(annotation.message)),
        ("title", json!(annotation.title)),
        ("file", json!(annotation.file)),
        ("line", json!(annotation.line)),
        ("end_line", json!(annotation.end_line)),
        ("column", json!(annotation.column)),
        ("end_column", json!(annotation.end_column)),
    ];
    let set = values.into_iter().filter(|(_, value)| !value.is_null());
    Value::Object(set.map(|(name, value)| (name.to_owned(), value)).collect())
}

fn empty(like: &Value) -> Value {
    match like {
        Value::Array(_) => json!([]),
        Value::Object(_) => json!({}),
        _ => json!(""),
    }
}

fn agrees(expected: &Value, actual: &Value) -> bool {
    match (expected, actual) {
        (Value::Object(description), Value::String(text)) => describes(description, text),
        (Value::Object(expected), Value::Object(actual)) => {
            expected.len() == actual.len()
                && expected.iter().all(|(name, value)| {
                    actual.get(name).is_some_and(|actual| agrees(value, actual))
                })
        }
        (Value::Array(expected), Value::Array(actual)) => {
            expected.len() == actual.len()
                && expected
                    .iter()
                    .zip(actual)
                    .all(|(expected, actual)| agrees(expected, actual))
        }
        _ => expected == actual,
    }
}

/// Whether a text is the described one.
fn describes(description: &Map<String, Value>, text: &str) -> bool {
    let description = &Value::Object(description.clone());
    if let Some(expected) = joined(description) {
        return expected == text;
    }
    let head = description["head"].as_str();
    let Some(rest) = text.strip_prefix(head.unwrap_or_default()) else {
        return false;
    };
    let digest = description["sha256"].as_str().unwrap_or_default();
    let has_digest = || {
        let bytes = Sha256::digest(rest);
        let hexadecimal: Vec<String> = bytes.iter().map(|byte| format!("{byte:02x}")).collect();
        hexadecimal.concat() == digest && description["length"] == rest.chars().count()
    };
    let known = LONG_MESSAGES.iter().find(|(known, _)| *known == digest);
    match known {
        Some((_, message)) => rest == *message,
        // The length of a summary is part of its message.
        None if head.is_some() => rest.ends_with('…') || has_digest(),
        None => has_digest(),
    }
}

/// The text of a string, or of its parts.
fn joined(value: &Value) -> Option<String> {
    if let Some(text) = value.as_str() {
        return Some(text.to_owned());
    }
    if let Some(repeat) = value["repeat"].as_array() {
        let count = usize::try_from(repeat[1].as_u64()?).ok()?;
        return Some(repeat[0].as_str()?.repeat(count));
    }
    value["parts"].as_array()?.iter().map(joined).collect()
}
