//! The position of a part of a YAML document.
//!
//! The parser gives positions only in errors. So this reads the document again, up to the part, and fails there.

use std::fmt;

use serde::de::{DeserializeSeed, Deserializer, Error, IgnoredAny, MapAccess, SeqAccess, Visitor};

/// A step from a part of a document to a part of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Step {
    /// The value of a key of a mapping.
    Key(String),
    /// The key itself, which is a last step.
    KeyItself(String),
    /// An element of a list, from 0.
    Element(usize),
}

/// The line and the column of a part of `text`, from 1. `None` if there is no such part.
#[must_use]
pub fn position(text: &str, path: &[Step]) -> Option<(usize, usize)> {
    let document = yaml_serde::Deserializer::from_str(text);
    let error = Probe(path).deserialize(document).err()?;
    let place = error.location()?;
    error
        .to_string()
        .contains(HERE)
        .then(|| (place.line(), place.column()))
}

/// The text of the error at the part. The parser adds the path and the position.
const HERE: &str = "this is the part";

/// Reads a part of the document, and fails at the end of the path.
struct Probe<'a>(&'a [Step]);

impl<'de> DeserializeSeed<'de> for Probe<'_> {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<(), D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl Probe<'_> {
    /// Fails if the path ends here.
    fn at<E: Error>(&self) -> Result<(), E> {
        if self.0.is_empty() {
            Err(E::custom(HERE))
        } else {
            Ok(())
        }
    }
}

macro_rules! scalars {
    ($($visit:ident: $type:ty),+) => {
        $(fn $visit<E: Error>(self, _: $type) -> Result<(), E> {
            self.at()
        })+
    };
}

impl<'de> Visitor<'de> for Probe<'_> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("any value")
    }

    scalars!(visit_bool: bool, visit_i64: i64, visit_u64: u64, visit_f64: f64, visit_str: &str);

    fn visit_unit<E: Error>(self) -> Result<(), E> {
        self.at()
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<(), A::Error> {
        self.at()?;
        let [Step::Element(wanted), rest @ ..] = self.0 else {
            return Ok(());
        };
        for _ in 0..*wanted {
            list.next_element::<IgnoredAny>()?;
        }
        list.next_element_seed(Probe(rest)).map(drop)
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<(), A::Error> {
        self.at()?;
        let (wanted, rest) = match self.0 {
            [Step::Key(wanted), rest @ ..] => (wanted, Some(rest)),
            [Step::KeyItself(wanted)] => (wanted, None),
            _ => return Ok(()),
        };
        let key = || Key {
            wanted,
            fails: rest.is_none(),
        };
        while let Some(is_wanted) = map.next_key_seed(key())? {
            match rest.filter(|_| is_wanted) {
                Some(rest) => return map.next_value_seed(Probe(rest)),
                None => map.next_value::<IgnoredAny>().map(drop)?,
            }
        }
        Ok(())
    }
}

/// Whether a key is the wanted one.
struct Key<'a> {
    wanted: &'a str,
    fails: bool,
}

impl<'de> DeserializeSeed<'de> for Key<'_> {
    type Value = bool;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<bool, D::Error> {
        deserializer.deserialize_str(self)
    }
}

impl Visitor<'_> for Key<'_> {
    type Value = bool;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a key")
    }

    fn visit_str<E: Error>(self, key: &str) -> Result<bool, E> {
        if key != self.wanted {
            Ok(false)
        } else if self.fails {
            Err(E::custom(HERE))
        } else {
            Ok(true)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parts_are_found() {
        let text = "a: 1\nb:\n  - x\n  - {c: [~, true]}\n'k': ! y\n3: z\n";
        let key = |key: &str| Step::Key(key.to_owned());
        let itself = |key: &str| Step::KeyItself(key.to_owned());
        for (path, expected) in [
            (vec![], Some((1, 1))),
            (vec![key("a")], Some((1, 4))),
            (vec![itself("b")], Some((2, 1))),
            (vec![key("b"), Step::Element(1)], Some((4, 5))),
            (vec![key("b"), Step::Element(1), itself("c")], Some((4, 6))),
            (
                vec![key("b"), Step::Element(1), key("c"), Step::Element(1)],
                Some((4, 13)),
            ),
            (
                vec![key("b"), Step::Element(1), key("c"), Step::Element(0)],
                Some((4, 10)),
            ),
            (vec![itself("3")], Some((6, 1))),
            (vec![key("a"), key("b")], None),
            (vec![key("missing")], None),
            (vec![key("b"), Step::Element(7)], None),
        ] {
            assert_eq!(position(text, &path), expected, "{path:?}");
        }
    }
}
