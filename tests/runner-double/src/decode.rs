//! How the runner reads bytes: the streams of a step, and the files of its file commands.

/// The text of bytes. A byte order mark (UTF-8, UTF-16, UTF-32) decides the encoding; without one, it is
/// UTF-8. What is invalid becomes U+FFFD.
///
/// Source: `StreamReader` of .NET, which detects encodings for the streams in
/// `src/Runner.Sdk/ProcessInvoker.cs` and for the files in `src/Runner.Worker/FileCommandManager.cs`.
pub(crate) fn decode(bytes: &[u8]) -> String {
    match bytes {
        [0xff, 0xfe, 0, 0, rest @ ..] => utf32(rest, u32::from_le_bytes),
        [0, 0, 0xfe, 0xff, rest @ ..] => utf32(rest, u32::from_be_bytes),
        [0xff, 0xfe, rest @ ..] => utf16(rest, u16::from_le_bytes),
        [0xfe, 0xff, rest @ ..] => utf16(rest, u16::from_be_bytes),
        [0xef, 0xbb, 0xbf, rest @ ..] => String::from_utf8_lossy(rest).into_owned(),
        _ => String::from_utf8_lossy(bytes).into_owned(),
    }
}

fn utf16(bytes: &[u8], unit: fn([u8; 2]) -> u16) -> String {
    let (pairs, rest) = bytes.as_chunks();
    let mut text: String = char::decode_utf16(pairs.iter().map(|pair| unit(*pair)))
        .map(|decoded| decoded.unwrap_or(char::REPLACEMENT_CHARACTER))
        .collect();
    text.extend((!rest.is_empty()).then_some(char::REPLACEMENT_CHARACTER));
    text
}

fn utf32(bytes: &[u8], value: fn([u8; 4]) -> u32) -> String {
    let (words, rest) = bytes.as_chunks();
    let decoded = words.iter().map(|word| char::from_u32(value(*word)));
    let cut = (!rest.is_empty()).then_some(None);
    decoded
        .chain(cut)
        .map(|decoded| decoded.unwrap_or(char::REPLACEMENT_CHARACTER))
        .collect()
}

/// The lines of a text. A carriage return alone also ends a line, so a command can be in the
/// apparent middle of a line.
///
/// Source: `StreamReader.ReadLine` of .NET.
pub(crate) fn lines(text: &str) -> impl Iterator<Item = &str> {
    let mut rest = text;
    std::iter::from_fn(move || {
        let (line, tail, _) = split_line(rest)?;
        rest = tail;
        Some(line)
    })
}

/// The lines that have ended. A carriage return at the end can be the first half of a line end.
pub(crate) fn ended_lines(text: &str) -> impl Iterator<Item = &str> {
    let mut rest = text;
    std::iter::from_fn(move || {
        let (line, tail, end) = split_line(rest)?;
        rest = tail;
        let is_over = end == "\r" && tail.is_empty();
        (!end.is_empty() && !is_over).then_some(line)
    })
}

/// The first line, the text after it, and the end of the line.
fn split_line(text: &str) -> Option<(&str, &str, &str)> {
    if text.is_empty() {
        return None;
    }
    let (line, rest) = text.split_at(text.find(['\r', '\n']).unwrap_or(text.len()));
    let end = ["\r\n", "\r", "\n"]
        .into_iter()
        .find(|end| rest.starts_with(end))
        .unwrap_or_default();
    Some((line, &rest[end.len()..], end))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_byte_order_mark_decides_the_encoding() {
        assert_eq!(decode(b"\xef\xbb\xbfa"), "a");
        assert_eq!(decode(b"\xff\xfea\0b\0"), "ab");
        assert_eq!(decode(b"\xfe\xff\0a\0b"), "ab");
        assert_eq!(decode(b"\xff\xfe\0\0a\0\0\0"), "a");
        assert_eq!(decode(b"\0\0\xfe\xff\0\0\0a"), "a");
        assert_eq!(decode(b"a\xef\xbb\xbf"), "a\u{feff}");
    }

    #[test]
    fn invalid_bytes_become_replacement_characters() {
        assert_eq!(decode(b"a\xed\xa0\xbdb"), "a\u{fffd}\u{fffd}\u{fffd}b");
        assert_eq!(decode(b"\xff\xfea\0\x3d\xd8b\0c"), "a\u{fffd}b\u{fffd}");
        assert_eq!(decode(b"\xff\xfe\0\0\0\xd8\0\0a"), "\u{fffd}\u{fffd}");
    }

    #[test]
    fn a_carriage_return_ends_a_line() {
        assert_eq!(
            lines("a\r\nb\rc\n\nd").collect::<Vec<_>>(),
            ["a", "b", "c", "", "d"]
        );
    }

    #[test]
    fn a_line_without_an_end_has_not_ended() {
        assert_eq!(ended_lines("a\nb").collect::<Vec<_>>(), ["a"]);
        assert_eq!(ended_lines("a\nb\r").collect::<Vec<_>>(), ["a"]);
        assert_eq!(ended_lines("a\nb\rc").collect::<Vec<_>>(), ["a", "b"]);
    }
}
