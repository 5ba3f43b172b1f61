use std::collections::BTreeSet;

use base64::{Engine, engine::general_purpose::STANDARD};

/// Replaces every registered secret, also in the encodings of common tools, by `***`.
///
/// Source: `src/Sdk/DTLogging/Logging/SecretMasker.cs`, with the encoders that
/// `src/Runner.Common/HostContext.cs` registers.
#[derive(Debug, Clone, Default)]
pub struct Masker {
    secrets: BTreeSet<String>,
}

impl Masker {
    /// A masker without secrets.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Registers `secret` and its encodings. There is no minimum length: a secret of one character
    /// masks that character everywhere. An empty secret is ignored.
    ///
    /// Source: `AddValue` in `SecretMasker.cs`.
    pub fn add(&mut self, secret: &str) {
        let encoded = ENCODERS.iter().map(|(_, encode)| encode(secret));
        let all = encoded.chain([secret.to_owned()]);
        self.secrets.extend(all.filter(|form| !form.is_empty()));
    }

    /// Masks `text`. Secrets that overlap or are adjacent become a single `***`, so the number of
    /// stars does not reveal the number of secrets.
    ///
    /// Source: `MaskSecrets` in `SecretMasker.cs`.
    #[must_use]
    pub fn mask(&self, text: &str) -> String {
        let mut hits: Vec<(usize, usize)> = self
            .secrets
            .iter()
            .flat_map(|secret| occurrences(text, secret))
            .collect();
        hits.sort_unstable();

        let mut masked = String::with_capacity(text.len());
        let mut shown = 0;
        for (start, end) in hits {
            if start > shown || masked.is_empty() {
                masked.push_str(&text[shown..start]);
                masked.push_str("***");
            }
            shown = shown.max(end);
        }
        masked.push_str(&text[shown..]);
        masked
    }
}

/// The start and end of each occurrence of `secret` in `text`. Occurrences can overlap: `aaa`
/// contains `aa` twice.
///
/// Source: `src/Sdk/DTLogging/Logging/ValueSecret.cs`.
fn occurrences<'a>(text: &'a str, secret: &'a str) -> impl Iterator<Item = (usize, usize)> + 'a {
    let step = secret.chars().next().map_or(1, char::len_utf8);
    let mut from = 0;
    std::iter::from_fn(move || {
        let start = from + text.get(from..)?.find(secret)?;
        from = start + step;
        Some((start, start + secret.len()))
    })
}

/// The masks that one `add-mask` command, or one secret of the repository, registers: the value and
/// each of its lines, because programs print line by line.
///
/// Source: `AddMaskCommandExtension` in `src/Runner.Worker/ActionCommandManager.cs`.
pub(crate) fn masks_of(value: &str) -> Vec<String> {
    let lines = value
        .split(['\r', '\n'])
        .map(str::trim)
        .filter(|line| !line.is_empty());
    let mut masks = vec![value.to_owned()];
    for line in lines {
        if !masks.iter().any(|mask| mask == line) {
            masks.push(line.to_owned());
        }
    }
    masks
}

type Encoder = fn(&str) -> String;

/// Every encoding in which the runner recognizes a secret, by name. There is none for base64url,
/// hexadecimal, or a part of the secret: the log contains these without a mask.
///
/// Source: `src/Runner.Common/HostContext.cs` for the list, and
/// `src/Sdk/DTLogging/Logging/ValueEncoders.cs` for each entry.
pub(crate) const ENCODERS: [(&str, Encoder); 11] = [
    ("base64", |secret| base64_from(secret, 0)),
    ("base64 from the second byte", |secret| {
        base64_from(secret, 1)
    }),
    ("base64 from the third byte", |secret| {
        base64_from(secret, 2)
    }),
    ("command-line argument", |secret| {
        secret.replace('"', "\\\"")
    }),
    ("expression string", |secret| secret.replace('\'', "''")),
    ("JSON string", json_string),
    ("URI data", uri_data),
    ("XML data", xml_data),
    ("without its double quotes", without_double_quotes),
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
fn json_string(secret: &str) -> String {
    let mut json = String::with_capacity(secret.len());
    for character in secret.chars() {
        match character {
            '"' => json.push_str("\\\""),
            '\\' => json.push_str("\\\\"),
            '\t' => json.push_str("\\t"),
            '\n' => json.push_str("\\n"),
            '\r' => json.push_str("\\r"),
            '\u{c}' => json.push_str("\\f"),
            '\u{8}' => json.push_str("\\b"),
            '\0'..' ' | '\u{85}' | '\u{2028}' | '\u{2029}' => {
                json.extend(format!("\\u{:04x}", u32::from(character)).chars());
            }
            _ => json.push(character),
        }
    }
    json
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
fn without_double_quotes(secret: &str) -> String {
    let inner = secret
        .strip_prefix('"')
        .and_then(|rest| rest.strip_suffix('"'));
    inner
        .filter(|_| units(secret) > 8)
        .unwrap_or_default()
        .to_owned()
}

/// `PowerShell` cuts an invalid command at `&`, and colors the character after `&+`. Without this
/// mask, the log would show the secret in two halves that match no mask.
fn up_to_ampersand(secret: &str) -> String {
    let half = match (secret.find("&+"), secret.rfind('&')) {
        (Some(at), _) => &secret[..at + 2],
        (None, Some(at)) => &secret[..=at],
        (None, None) => "",
    };
    unless_short(half)
}

/// The second half; see [`up_to_ampersand`].
fn after_ampersand(secret: &str) -> String {
    let half = match (secret.find("&+"), secret.rfind('&')) {
        (Some(at), _) => {
            let mut colored = secret[at + 2..].chars();
            colored.next();
            colored.as_str()
        }
        (None, Some(at)) => &secret[at + 1..],
        (None, None) => "",
    };
    unless_short(half)
}

fn unless_short(half: &str) -> String {
    if units(half) < 6 {
        String::new()
    } else {
        half.to_owned()
    }
}

/// The length as in .NET, in UTF-16 units.
fn units(text: &str) -> usize {
    text.encode_utf16().count()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn encoded(name: &str, secret: &str) -> String {
        let encoder = ENCODERS.iter().find(|(known, _)| *known == name);
        encoder.expect("an encoder of that name").1(secret)
    }

    fn masker(secrets: &[&str]) -> Masker {
        let mut masker = Masker::new();
        for secret in secrets {
            masker.add(secret);
        }
        masker
    }

    #[test]
    fn base64_hides_at_each_alignment() {
        let masker = masker(&["Password123!"]);
        for prefix in ["", "a", "ab", "abc"] {
            let text = STANDARD.encode(format!("{prefix}Password123!"));
            assert!(masker.mask(&text).ends_with("***"), "{prefix}: {text}");
        }
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
    fn overlapping_and_touching_hits_become_one() {
        assert_eq!(masker(&["abcd", "cdef"]).mask("<abcdef>"), "<***>");
        assert_eq!(masker(&["abc", "def"]).mask("<abcdef>"), "<***>");
        assert_eq!(masker(&["abcdef", "cd"]).mask("<abcdef>"), "<***>");
        assert_eq!(masker(&["aa"]).mask("<aaa>"), "<***>");
        assert_eq!(masker(&["abc", "def"]).mask("abc-def"), "***-***");
    }

    #[test]
    fn text_without_a_secret_stays() {
        assert_eq!(masker(&["secret"]).mask("nothing"), "nothing");
        assert_eq!(masker(&[""]).mask("nothing"), "nothing");
        assert_eq!(masker(&["é"]).mask("aéb"), "a***b");
    }

    #[test]
    fn base64url_and_hexadecimal_are_not_hidden() {
        let masker = masker(&["??>>secret"]);
        assert_eq!(masker.mask("Pz8-PnNlY3JldA"), "Pz8-PnNlY3JldA");
        assert_eq!(masker.mask("3f3f3e3e736563726574"), "3f3f3e3e736563726574");
    }

    #[test]
    fn each_line_of_a_mask_is_a_mask() {
        assert_eq!(masks_of("a"), ["a"]);
        assert_eq!(
            masks_of("one\r\n\n  two \n"),
            ["one\r\n\n  two \n", "one", "two"]
        );
    }
}
