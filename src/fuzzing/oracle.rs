//! How other programs read the same text: the oracle of the invariants. Written without the code that is
//! tested.

use std::collections::HashSet;
use std::fmt;

use serde::Deserialize;
use serde::de::{Deserializer, MapAccess, Visitor};
use serde_json::Value;
use serde_json::value::RawValue;

/// A parser of JSON, by how it looks up a key.
#[derive(Clone, Copy)]
pub(super) struct Reader {
    /// Whether the first of repeated keys counts, not the last.
    takes_first: bool,
    /// Which keys are the same to it.
    reads: fn(&str) -> String,
    /// Whether a key that an object does not have is looked up in its `__proto__`, as after JavaScript's
    /// `Object.assign`.
    has_prototypes: bool,
}

/// The first two read keys as they are.
pub(super) const READERS: [Reader; 10] = [
    Reader::new(true, str::to_owned),
    Reader::new(false, str::to_owned),
    Reader::new(true, without_case),
    Reader::new(false, without_case),
    Reader::new(true, without_case_and_marks),
    Reader::new(false, without_case_and_marks),
    Reader::new(true, up_to_nul),
    Reader::new(false, up_to_nul),
    Reader::new(true, str::to_owned).with_prototypes(),
    Reader::new(false, str::to_owned).with_prototypes(),
];

const PROTOTYPE: &str = "__proto__";

/// As Go compares keys.
fn without_case(key: &str) -> String {
    key.to_uppercase().to_lowercase()
}

/// As Go's JSON v2 does with `MatchCaseInsensitiveNames`.
fn without_case_and_marks(key: &str) -> String {
    without_case(key).replace(['-', '_'], "")
}

/// As C does.
fn up_to_nul(key: &str) -> String {
    key.split('\0').next().unwrap_or_default().to_owned()
}

impl Reader {
    const fn new(takes_first: bool, reads: fn(&str) -> String) -> Self {
        Self {
            takes_first,
            reads,
            has_prototypes: false,
        }
    }

    const fn with_prototypes(self) -> Self {
        Self {
            has_prototypes: true,
            ..self
        }
    }

    fn get<'a>(&self, object: &'a str, key: &str) -> Option<&'a str> {
        let Entries(entries) = serde_json::from_str(object).ok()?;
        let mut found = entries
            .iter()
            .filter(|(name, _)| (self.reads)(name) == (self.reads)(key));
        let entry = if self.takes_first {
            found.next()
        } else {
            found.next_back()
        };
        match entry {
            Some((_, value)) => Some(value.get()),
            None if self.has_prototypes && key != PROTOTYPE => {
                self.get(self.get(object, PROTOTYPE)?, key)
            }
            None => None,
        }
    }

    /// The method of a message, and the tool that it calls.
    pub(super) fn call(&self, message: &str) -> (Option<Value>, Option<Value>) {
        let value = |json| serde_json::from_str(json).ok();
        let params = self.get(message, "params").unwrap_or_default();
        let method = self.get(message, "method").and_then(value);
        (method, self.get(params, "name").and_then(value))
    }

    /// The tools that a message, or a message in a batch, lists.
    pub(super) fn tools(&self, message: &str) -> Vec<String> {
        if let Ok(batch) = serde_json::from_str::<Vec<&RawValue>>(message) {
            return batch
                .iter()
                .flat_map(|message| self.tools(message.get()))
                .collect();
        }
        let result = self.get(message, "result").unwrap_or_default();
        let tools = self.get(result, "tools").unwrap_or_default();
        serde_json::from_str::<Vec<&RawValue>>(tools)
            .unwrap_or_default()
            .into_iter()
            .filter_map(|tool| self.get(tool.get(), "name"))
            .filter_map(|name| serde_json::from_str(name).ok())
            .collect()
    }
}

/// Whether a text is an object without repeated keys or escapes.
pub(super) fn is_unambiguous(json: &str) -> bool {
    let Ok(Entries(entries)) = serde_json::from_str(json) else {
        return false;
    };
    let keys: HashSet<_> = entries.iter().map(|(key, _)| key).collect();
    keys.len() == entries.len() && !json.contains('\\')
}

/// The entries of an object, including repeated ones.
struct Entries<'a>(Vec<(String, &'a RawValue)>);

impl<'de> Deserialize<'de> for Entries<'de> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Object;
        impl<'de> Visitor<'de> for Object {
            type Value = Entries<'de>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an object")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Entries<'de>, A::Error> {
                let mut entries = Vec::new();
                while let Some(entry) = map.next_entry()? {
                    entries.push(entry);
                }
                Ok(Entries(entries))
            }
        }
        deserializer.deserialize_map(Object)
    }
}

/// The data of the events in a stream, by the
/// [specification](https://html.spec.whatwg.org/multipage/server-sent-events.html#parsing-an-event-stream).
pub(super) fn events(stream: &[u8]) -> Vec<String> {
    let text = String::from_utf8_lossy(stream);
    let lines = text
        .strip_prefix('\u{feff}')
        .unwrap_or(&text)
        .replace("\r\n", "\n")
        .replace('\r', "\n");
    let (mut events, mut data) = (Vec::new(), Vec::new());
    for line in lines.split_inclusive('\n') {
        // The end of the stream does not end a line or an event.
        let Some(line) = line.strip_suffix('\n') else {
            break;
        };
        match line.split_once(':').unwrap_or((line, "")) {
            ("", "") if line.is_empty() && !data.is_empty() => {
                events.push(std::mem::take(&mut data).join("\n"));
            }
            ("data", value) => data.push(value.strip_prefix(' ').unwrap_or(value).to_owned()),
            _ => {}
        }
    }
    events
}

/// Whether `pattern` matches the whole of `text`. `*` matches any characters.
pub(super) fn glob(pattern: &str, text: &str) -> bool {
    let Some((start, rest)) = pattern.split_once('*') else {
        return pattern == text;
    };
    let rest = rest.trim_start_matches('*');
    text.strip_prefix(start).is_some_and(|text| {
        (0..=text.len())
            .filter(|end| text.is_char_boundary(*end))
            .any(|end| glob(rest, &text[end..]))
    })
}

/// A rule of a policy as it is written.
pub(super) struct Rule {
    allow: yaml_serde::Value,
}

impl Rule {
    /// The first rule of a policy whose conditions these attributes meet. The other attributes of a run are
    /// in `acme/catalog`.
    pub(super) fn first(policy: &str, event: &str, reference: &str) -> Option<Self> {
        let unmarked = policy.strip_prefix('\u{feff}').unwrap_or(policy);
        let policy: yaml_serde::Value = yaml_serde::from_str(unmarked).ok()?;
        let workflow = "acme/catalog/.github/workflows/agent.yml";
        let rule = policy.get("rules")?.as_sequence()?.iter().find(|rule| {
            let is_met = |name: &str, matches: &dyn Fn(&str) -> bool| {
                let Some(condition) = rule.get("when").and_then(|when| when.get(name)) else {
                    return true;
                };
                let (excludes, includes): (Vec<&str>, Vec<&str>) = texts(condition)
                    .into_iter()
                    .partition(|pattern| pattern.starts_with('!'));
                includes.iter().any(|pattern| matches(pattern))
                    && !excludes
                        .iter()
                        .any(|pattern| matches(pattern[1..].trim_start()))
            };
            let is = |text: &str| {
                let text = text.to_lowercase();
                move |pattern: &str| glob(&pattern.to_lowercase(), &text)
            };
            is_met("event", &is(event))
                && is_met("repository", &is("acme/catalog"))
                && is_met("environment", &|_| false)
                && is_met("ref", &|pattern| glob(pattern, reference))
                && is_met("workflow", &|pattern| match pattern.split_once('@') {
                    None => is(workflow)(pattern),
                    Some((path, branch)) => is(workflow)(path) && glob(branch, reference),
                })
        })?;
        Some(Self {
            allow: rule.get("allow")?.clone(),
        })
    }

    /// Whether a list contains an entry, in upper or lower case. A list that is missing contains `default`.
    pub(super) fn lists(&self, key: &str, entry: &str, default: bool) -> bool {
        let list = self.allow.get(key).map(texts);
        list.map_or(default, |list| {
            list.iter().any(|known| known.eq_ignore_ascii_case(entry))
        })
    }

    pub(super) fn is_true(&self, key: &str) -> bool {
        self.allow.get(key).and_then(yaml_serde::Value::as_bool) == Some(true)
    }

    pub(super) fn includes_tool(&self, name: &str) -> bool {
        let entries = self.allow.get("tools").map(texts).unwrap_or_default();
        let matches = |entry: &str| glob(entry.trim_start_matches(['!', ' ']), name);
        let (excludes, includes): (Vec<&str>, Vec<&str>) = entries
            .into_iter()
            .partition(|entry| entry.starts_with('!'));
        includes.into_iter().any(matches) && !excludes.into_iter().any(matches)
    }
}

/// A text, or the texts of a list.
fn texts(value: &yaml_serde::Value) -> Vec<&str> {
    match value {
        yaml_serde::Value::Sequence(list) => {
            list.iter().filter_map(|entry| entry.as_str()).collect()
        }
        one => one.as_str().into_iter().collect(),
    }
}
