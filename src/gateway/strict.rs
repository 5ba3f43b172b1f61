//! The walk through a message that finds where parsers could disagree.
//!
//! It accepts only messages that every other parser reads in the same way: no batches, no duplicate keys, no key in the
//! envelope that JSON-RPC does not define there, and no key in the parameters that a lenient parser could read as
//! another.

use std::collections::HashSet;
use std::fmt;
use std::hash::{BuildHasher as _, RandomState};

use serde::de::{DeserializeSeed, Deserializer, Error as _, MapAccess, SeqAccess, Visitor};

use crate::text::comma_list;

/// The maximum nesting of a message.
const MAX_DEPTH: usize = 64;

/// The keys of the envelope.
const ENVELOPE_KEYS: &[&str] = &["jsonrpc", "id", "method", "params", "result", "error"];

/// The keys of the parameters that decide what a message does.
const PARAMS_KEYS: &[&str] = &[
    "name",
    "uri",
    "arguments",
    "cursor",
    "notifications",
    "_meta",
];

/// The key whose value JavaScript's `Object.assign` and many others take as the prototype: keys that an object does not
/// have are looked up there.
const PROTOTYPE: &str = "__proto__";

/// Fails where parsers could read a message in different ways.
///
/// # Errors
/// What they could disagree on, or what is not JSON.
pub(super) fn check(body: &[u8]) -> serde_json::Result<()> {
    let mut deserializer = serde_json::Deserializer::from_slice(body);
    Strict::envelope().deserialize(&mut deserializer)?;
    deserializer.end()
}

/// Walks a message, and fails where parsers could disagree.
#[derive(Clone, Copy)]
struct Strict {
    depth: usize,
    scope: Scope,
}

/// The part of a message.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Scope {
    Envelope,
    Params,
    Other,
}

impl Strict {
    fn envelope() -> Self {
        Self {
            depth: 0,
            scope: Scope::Envelope,
        }
    }

    fn inner<E: serde::de::Error>(self, scope: Scope) -> Result<Self, E> {
        let depth = self.depth + 1;
        if depth > MAX_DEPTH {
            return Err(E::custom(format!("nested deeper than {MAX_DEPTH} levels")));
        }
        Ok(Self { depth, scope })
    }
}

impl<'de> DeserializeSeed<'de> for Strict {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<(), D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Strict {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self.scope {
            Scope::Envelope => "one JSON-RPC message (batches are not supported)",
            Scope::Params => "an object with the parameters",
            Scope::Other => "JSON",
        })
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<(), A::Error> {
        // Their hashes: a message can have a million keys.
        let (hasher, mut keys) = (RandomState::new(), HashSet::new());
        while let Some(key) = map.next_key::<String>()? {
            self.check_key(&key)?;
            let scope = match self.scope {
                Scope::Envelope if key == "params" => Scope::Params,
                _ => Scope::Other,
            };
            if !keys.insert(hasher.hash_one(&key)) {
                return Err(A::Error::custom("a key is repeated"));
            }
            map.next_value_seed(self.inner(scope)?)?;
        }
        Ok(())
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<(), A::Error> {
        if self.scope != Scope::Other {
            return Err(A::Error::invalid_type(serde::de::Unexpected::Seq, &self));
        }
        while list.next_element_seed(self.inner(Scope::Other)?)?.is_some() {}
        Ok(())
    }

    fn visit_bool<E: serde::de::Error>(self, _: bool) -> Result<(), E> {
        self.scalar()
    }

    fn visit_i64<E: serde::de::Error>(self, _: i64) -> Result<(), E> {
        self.scalar()
    }

    fn visit_u64<E: serde::de::Error>(self, _: u64) -> Result<(), E> {
        self.scalar()
    }

    fn visit_f64<E: serde::de::Error>(self, _: f64) -> Result<(), E> {
        self.scalar()
    }

    fn visit_str<E: serde::de::Error>(self, _: &str) -> Result<(), E> {
        self.scalar()
    }

    fn visit_unit<E: serde::de::Error>(self) -> Result<(), E> {
        match self.scope {
            // As if there were none.
            Scope::Params => Ok(()),
            _ => self.scalar(),
        }
    }
}

impl Strict {
    /// Whether every parser that knows a key of the envelope or the parameters reads it as this one, or as none.
    fn check_key<E: serde::de::Error>(self, key: &str) -> Result<(), E> {
        let keys: &[&str] = match self.scope {
            Scope::Envelope => ENVELOPE_KEYS,
            Scope::Params => PARAMS_KEYS,
            Scope::Other => return Ok(()),
        };
        if keys.contains(&key) {
            return Ok(());
        }
        if let Some(similar) = keys.iter().find(|known| folded(known) == folded(key)) {
            return Err(E::custom(format!(
                "a key differs from `{similar}` only by its case or its punctuation"
            )));
        }
        if key == PROTOTYPE {
            return Err(E::custom(format!("`{PROTOTYPE}` is not allowed as a key")));
        }
        if self.scope == Scope::Envelope {
            let known = comma_list(keys.iter().copied());
            return Err(E::custom(format!("a message has only the keys {known}")));
        }
        Ok(())
    }

    fn scalar<E: serde::de::Error>(self) -> Result<(), E> {
        match self.scope {
            Scope::Other => Ok(()),
            _ => Err(E::custom(format!("expected {}", Expected(self)))),
        }
    }
}

struct Expected(Strict);

impl fmt::Display for Expected {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.expecting(f)
    }
}

/// A key as the most lenient parser compares it: up to a NUL, as in C; without `-` and `_`, as in Go's JSON v2; and
/// without the case of Unicode letters: `ſ` is an `s`, and the Kelvin sign a `k`.
pub(super) fn folded(key: &str) -> String {
    key.split('\0')
        .next()
        .unwrap_or_default()
        .chars()
        .filter(|c| c.is_alphanumeric())
        .collect::<String>()
        .to_uppercase()
        .to_lowercase()
}
