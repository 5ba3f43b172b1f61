//! Text in UTF-16, as .NET has it. A cut or a mask can leave half of a surrogate pair in it.

/// The UTF-16 units of a text.
pub(crate) type Units = Vec<u16>;

pub(crate) fn units(text: &str) -> Units {
    text.encode_utf16().collect()
}

/// The text as the runner writes it to the log and sends it to GitHub. Half of a pair becomes
/// U+FFFD.
pub(crate) fn shown(units: &[u16]) -> String {
    String::from_utf16_lossy(units)
}

/// The place and the value of the first half of a pair without the other half.
pub(crate) fn half_pair(units: &[u16]) -> Option<(usize, u16)> {
    let mut at = 0;
    for decoded in char::decode_utf16(units.iter().copied()) {
        match decoded {
            Ok(character) => at += character.len_utf16(),
            Err(error) => return Some((at, error.unpaired_surrogate())),
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn half_a_pair_is_found_and_shown_as_a_replacement_character() {
        let mut text = units("a😀b");
        assert_eq!(half_pair(&text), None);
        text.remove(1);
        assert_eq!(half_pair(&text), Some((1, 0xde00)));
        assert_eq!(shown(&text), "a\u{fffd}b");
    }
}
