use base64::{Engine, engine::general_purpose::STANDARD};

use crate::culture::{find, rfind};
use crate::utf16::{Units, units};

/// An encoding of a secret. Empty if there is none.
type Encoder = fn(&str) -> Units;

/// Every encoding in which the runner recognizes a secret, by name. There is none for base64url,
/// hexadecimal, or a part of the secret: the log contains these without a mask.
///
/// Source: `src/Runner.Common/HostContext.cs` for the list, and
/// `src/Sdk/DTLogging/Logging/ValueEncoders.cs` for each entry.
pub(crate) const ENCODERS: [(&str, Encoder); 11] = [
    ("base64", |secret| units(&base64_from(secret, 0))),
    ("base64 from the second byte", |secret| {
        units(&base64_from(secret, 1))
    }),
    ("base64 from the third byte", |secret| {
        units(&base64_from(secret, 2))
    }),
    ("command-line argument", |secret| {
        units(&secret.replace('"', "\\\""))
    }),
    ("expression string", |secret| {
        units(&secret.replace('\'', "''"))
    }),
    ("JSON string", |secret| json_string(&units(secret))),
    ("URI data", |secret| units(&uri_data(secret))),
    ("XML data", |secret| units(&xml_data(secret))),
    ("without its double quotes", |secret| {
        units(without_double_quotes(secret))
    }),
    ("PowerShell, up to an ampersand", up_to_ampersand),
    ("PowerShell, after an ampersand", after_ampersand),
];

/// Base64 has three alignments: one for each length, modulo 3, of the text before the secret, as in
/// `base64(user:secret)`.
fn base64_from(secret: &str, shift: usize) -> String {
    let bytes = secret.as_bytes();
    STANDARD.encode(if bytes.len() > shift {
        &bytes[shift..]
    } else {
        bytes
    })
}

/// As in `Newtonsoft.Json`, which also escapes the three line ends of Unicode.
pub(crate) fn json_string(text: &[u16]) -> Units {
    let mut json = Units::with_capacity(text.len());
    for decoded in char::decode_utf16(text.iter().copied()) {
        match decoded {
            Ok(character) => json.extend(json_character(character).encode_utf16()),
            Err(half) => json.push(half.unpaired_surrogate()),
        }
    }
    json
}

fn json_character(character: char) -> String {
    match character {
        '"' => "\\\"".into(),
        '\\' => "\\\\".into(),
        '\t' => "\\t".into(),
        '\n' => "\\n".into(),
        '\r' => "\\r".into(),
        '\u{c}' => "\\f".into(),
        '\u{8}' => "\\b".into(),
        '\0'..' ' | '\u{85}' | '\u{2028}' | '\u{2029}' => {
            format!("\\u{:04x}", u32::from(character))
        }
        _ => character.into(),
    }
}

/// As in .NET's `Uri.EscapeDataString`, which escapes all characters except the unreserved ones of
/// RFC 3986.
fn uri_data(secret: &str) -> String {
    let mut escaped = String::with_capacity(secret.len());
    for byte in secret.bytes() {
        if byte.is_ascii_alphanumeric() || b"-._~".contains(&byte) {
            escaped.push(char::from(byte));
        } else {
            escaped.extend(format!("%{byte:02X}").chars());
        }
    }
    escaped
}

/// As in .NET's `SecurityElement.Escape`.
fn xml_data(secret: &str) -> String {
    secret
        .replace('&', "&amp;")
        .replace('<', "&lt;")
        .replace('>', "&gt;")
        .replace('"', "&quot;")
        .replace('\'', "&apos;")
}

/// The secret without its double quotes. Empty, which means no mask, if it has no quotes, or not
/// more than eight characters including the quotes.
fn without_double_quotes(secret: &str) -> &str {
    let inner = secret
        .strip_prefix('"')
        .and_then(|rest| rest.strip_suffix('"'));
    inner
        .filter(|_| units(secret).len() > 8)
        .unwrap_or_default()
}

/// `PowerShell` cuts an invalid command at `&`, and colors the character after `&+`. Without this
/// mask, the log would show the secret in two halves that match no mask.
fn up_to_ampersand(secret: &str) -> Units {
    let mut half = units(secret);
    half.truncate(ampersand(secret).map_or(0, |at| at.end));
    unless_short(half)
}

/// The second half; see [`up_to_ampersand`]. It can begin with half of a pair, because the runner
/// skips one unit for the colored character.
fn after_ampersand(secret: &str) -> Units {
    let half = ampersand(secret).and_then(|at| units(secret).get(at.next..).map(Units::from));
    unless_short(half.unwrap_or_default())
}

/// Where the halves of a secret with an ampersand are, in units.
struct Ampersand {
    /// The end of the first half.
    end: usize,
    /// The begin of the second half.
    next: usize,
}

/// Whether there is an ampersand is compared character by character, but its place is searched for in
/// the culture, which does not find one with a combining mark. The runner then adds the length to -1.
fn ampersand(secret: &str) -> Option<Ampersand> {
    let end = |place: Option<usize>, sign: &str| match place {
        Some(at) => units(&secret[..at]).len() + sign.len(),
        None => sign.len() - 1,
    };
    if secret.contains("&+") {
        let end = end(find(secret, "&+"), "&+");
        Some(Ampersand { end, next: end + 1 })
    } else if secret.contains('&') {
        let end = end(rfind(secret, "&"), "&");
        Some(Ampersand { end, next: end })
    } else {
        None
    }
}

fn unless_short(half: Units) -> Units {
    if half.len() < 6 { Units::new() } else { half }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::utf16::shown;

    #[track_caller]
    fn encoded(name: &str, secret: &str) -> String {
        let encoder = ENCODERS.iter().find(|(known, _)| *known == name);
        shown(&encoder.expect("an encoder of that name").1(secret))
    }

    #[test]
    fn base64_begins_at_each_byte_of_a_group() {
        assert_eq!(encoded("base64 from the second byte", "abc"), "YmM=");
        assert_eq!(encoded("base64 from the third byte", "abc"), "Yw==");
    }

    #[test]
    fn base64_of_a_secret_shorter_than_the_shift_is_that_of_the_whole_secret() {
        assert_eq!(encoded("base64 from the third byte", "ab"), "YWI=");
    }

    #[test]
    fn quotes_are_escaped_for_a_command_line() {
        assert_eq!(encoded("command-line argument", r#"a"b"#), r#"a\"b"#);
    }

    #[test]
    fn apostrophes_are_doubled_in_an_expression() {
        assert_eq!(encoded("expression string", "it's"), "it''s");
    }

    #[test]
    fn json_escapes_quotes_controls_and_unicode_line_ends_but_no_slash() {
        assert_eq!(
            encoded(
                "JSON string",
                "/\"\\\t\n\r\u{c}\u{8}\u{b}\u{7f}\u{85}\u{2028}é"
            ),
            "/\\\"\\\\\\t\\n\\r\\f\\b\\u000b\u{7f}\\u0085\\u2028é"
        );
    }

    #[test]
    fn uri_keeps_only_unreserved_characters() {
        assert_eq!(
            encoded("URI data", "aZ9-._~ !*'()+/é"),
            "aZ9-._~%20%21%2A%27%28%29%2B%2F%C3%A9"
        );
    }

    #[test]
    fn xml_has_five_entities() {
        assert_eq!(
            encoded("XML data", "<a b=\"c\" d='e'>&"),
            "&lt;a b=&quot;c&quot; d=&apos;e&apos;&gt;&amp;"
        );
    }

    #[test]
    fn double_quotes_are_trimmed_from_more_than_eight_characters() {
        assert_eq!(
            encoded("without its double quotes", "\"1234567\""),
            "1234567"
        );
        assert_eq!(encoded("without its double quotes", "\"123456\""), "");
        assert_eq!(encoded("without its double quotes", "\"123456789"), "");
    }

    #[test]
    fn powershell_splits_at_the_last_ampersand() {
        assert_eq!(
            encoded("PowerShell, up to an ampersand", "part1&part2&secret3"),
            "part1&part2&"
        );
        assert_eq!(
            encoded("PowerShell, after an ampersand", "part1&part2&secret3"),
            "secret3"
        );
        assert_eq!(
            encoded("PowerShell, after an ampersand", "part1&part2&part3"),
            ""
        );
    }

    #[test]
    fn powershell_splits_at_the_first_ampersand_plus_and_loses_a_letter() {
        assert_eq!(
            encoded("PowerShell, up to an ampersand", "part1&+part2&part3"),
            "part1&+"
        );
        assert_eq!(
            encoded("PowerShell, after an ampersand", "part1&+part2&part3"),
            "art2&part3"
        );
        assert_eq!(encoded("PowerShell, after an ampersand", "part1&+"), "");
        assert_eq!(
            encoded("PowerShell, up to an ampersand", "no ampersand"),
            ""
        );
    }

    #[test]
    fn powershell_can_cut_a_pair() {
        assert_eq!(
            encoded("PowerShell, after an ampersand", "abcdefgh&+😀abcdefgh"),
            "\u{fffd}abcdefgh"
        );
    }

    #[test]
    fn an_ampersand_with_a_combining_mark_is_not_found() {
        assert_eq!(
            encoded(
                "PowerShell, after an ampersand",
                "abcdefgh&+\u{301}abcdefgh"
            ),
            "cdefgh&+\u{301}abcdefgh"
        );
    }
}
