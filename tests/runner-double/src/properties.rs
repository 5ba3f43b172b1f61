//! The properties of a command. Their names have no case.

use crate::culture::same_name;

pub(crate) type Properties = Vec<(String, String)>;

pub(crate) fn get<'a>(properties: &'a [(String, String)], name: &str) -> Option<&'a str> {
    let mut known = properties.iter();
    known
        .find(|(known, _)| same_name(known, name))
        .map(|(_, value)| value.as_str())
}

/// Sets a property. A property that is known keeps its place and the case of its name.
pub(crate) fn set(properties: &mut Properties, name: &str, value: String) {
    match properties
        .iter_mut()
        .find(|(known, _)| same_name(known, name))
    {
        Some((_, earlier)) => *earlier = value,
        None => properties.push((name.to_owned(), value)),
    }
}

pub(crate) fn remove(properties: &mut Properties, name: &str) {
    properties.retain(|(known, _)| !same_name(known, name));
}

/// The number in a property, as `int.TryParse` reads it.
pub(crate) fn number(properties: &[(String, String)], name: &str) -> Option<i32> {
    let is_space = |c: char| matches!(c, '\t'..='\r' | ' ');
    let text = get(properties, name)?.trim_end_matches('\0');
    text.trim_matches(is_space).parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_can_have_a_sign_and_spaces() {
        let number = |text: &str| number(&[("line".into(), text.into())], "LINE");
        assert_eq!(number(" -3 "), Some(-3));
        assert_eq!(number("+3"), Some(3));
        for other in ["", "3.5", "99999999999", "1e3", "0x10", "３", "\u{a0}3"] {
            assert_eq!(number(other), None, "{other}");
        }
    }
}
