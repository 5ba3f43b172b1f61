//! A secret, prepared for the search.

use std::collections::HashSet;
use std::hash::{BuildHasherDefault, Hasher};

use base64::Engine as _;
use base64::prelude::BASE64_URL_SAFE_NO_PAD;

use super::notation::{hexadecimal, in_json, may_begin, stems, written};
use super::{Dense, MIN_LENGTH};

/// The number of levels of nested JSON, beginning with none, in which a stream is redacted.
const MAX_NESTED_JSON: usize = 4;

/// At most this many characters at either end of a secret in base64 also depend on the neighboring
/// text.
const BASE64_SHARED: usize = 3;

/// The length, in bytes, of a part of a credential that counts as the credential: as base64, 72 bits.
const PART: usize = 12;

/// A secret, prepared for the search.
pub(super) struct Pattern {
    plain: String,
    /// The secret unchanged, in a string of JSON, in JSON in such a string, and so on. Like the other encodings,
    /// empty for a short secret.
    pub(super) json: Vec<String>,
    /// The secret in base64 from each offset, without the ends that depend on the neighboring text.
    base64: Vec<String>,
    hexadecimal: Option<String>,
    /// The hashes of all parts of [`PART`] bytes, unchanged and in the encodings, without what [`Dense`] removes.
    parts: HashSet<u64, BuildHasherDefault<Unchanged>>,
}

impl PartialEq for Pattern {
    fn eq(&self, other: &Self) -> bool {
        self.plain == other.plain && self.parts.is_empty() == other.parts.is_empty()
    }
}

impl Pattern {
    pub(super) fn of_credential(secret: &str) -> Self {
        let mut pattern = Self::new(secret);
        if pattern.is_long() {
            for unique in unique_parts(secret).into_iter().map(Self::new) {
                let encoded = unique.base64.iter().chain(&unique.hexadecimal);
                let dense = Dense::new(&unique.plain).map(|dense| dense.text);
                let plain = dense.as_ref().unwrap_or(&unique.plain);
                for form in std::iter::once(plain).chain(encoded) {
                    pattern.parts.extend(parts(form).map(|(_, hash)| hash));
                }
            }
        }
        pattern
    }

    pub(super) fn new(secret: &str) -> Self {
        let mut pattern = Self {
            plain: secret.to_owned(),
            json: Vec::new(),
            hexadecimal: None,
            base64: Vec::new(),
            parts: HashSet::default(),
        };
        if pattern.is_long() {
            let mut json = secret.to_owned();
            for _ in 0..MAX_NESTED_JSON {
                pattern.json.push(json.clone());
                json = in_json(&json);
            }
            pattern.json.dedup();
            let bytes = secret.as_bytes();
            pattern.hexadecimal = Some(hexadecimal(bytes));
            pattern.base64 = stems(bytes);
        }
        pattern
    }

    pub(super) fn is_empty(&self) -> bool {
        self.plain.is_empty()
    }

    pub(super) fn is_long(&self) -> bool {
        self.plain.chars().count() >= MIN_LENGTH
    }

    /// Adds the start and the end of each occurrence in `text`.
    pub(super) fn find_all(&self, text: &str, found: &mut Vec<(usize, usize)>) {
        let Some(first) = self.plain.chars().next() else {
            return;
        };
        let mut after = 0;
        for (at, c) in text.char_indices() {
            if at >= after
                && may_begin(c, first)
                && let Some(end) = self.end_of_match(text, at)
            {
                found.push((at, end));
                after = end;
            }
        }
        // Most texts are shorter than a token: preparing a search costs more than the search.
        for form in self.base64.iter().filter(|form| form.len() <= text.len()) {
            found.extend(text.match_indices(form).map(|(at, form)| {
                let shared = |c: &char| c.is_ascii_alphanumeric() || "+/-_=".contains(*c);
                let before = text[..at].chars().rev().take(BASE64_SHARED);
                let end = at + form.len();
                let following = text[end..].chars().take(BASE64_SHARED);
                (
                    at - before.take_while(shared).count(),
                    end + following.take_while(shared).count(),
                )
            }));
        }
        if let Some(form) = &self.hexadecimal
            && text.len() >= form.len()
        {
            let lower = text.to_ascii_lowercase();
            let matches = lower.match_indices(form.as_str());
            found.extend(matches.map(|(at, form)| (at, at + form.len())));
        }
    }

    /// Adds the start and the end of each part of a credential in `text`.
    pub(super) fn find_parts(&self, text: &str, found: &mut Vec<(usize, usize)>) {
        if self.parts.is_empty() {
            return;
        }
        let parts = parts(text).filter(|(_, hash)| self.parts.contains(hash));
        found.extend(parts.map(|(from, _)| (from, from + PART)));
    }

    /// The end of the secret that starts at `start`, if there is one there. If there are several
    /// ways to read it, the longest.
    ///
    /// One notation of a character can be the beginning of another (a backslash, and a backslash
    /// that escapes the next character), so this tracks all positions at which the characters so
    /// far can end.
    fn end_of_match(&self, text: &str, start: usize) -> Option<usize> {
        let mut ends = vec![start];
        let mut next = Vec::new();
        for c in self.plain.chars() {
            next.clear();
            for end in &ends {
                written(&text[*end..], c, |length| next.push(end + length));
            }
            next.sort_unstable();
            next.dedup();
            std::mem::swap(&mut ends, &mut next);
            if ends.is_empty() {
                return None;
            }
        }
        ends.last().copied()
    }
}

/// The hash of a value that is a hash.
#[derive(Default)]
pub(in crate::text) struct Unchanged(u64);

impl Hasher for Unchanged {
    fn write(&mut self, bytes: &[u8]) {
        let hash = bytes.try_into().map(u64::from_ne_bytes);
        self.0 = hash.unwrap_or_default();
    }

    fn finish(&self) -> u64 {
        self.0
    }
}

/// The start and the hash of each part of [`PART`] bytes.
fn parts(text: &str) -> impl Iterator<Item = (usize, u64)> {
    hashes(text.as_bytes(), PART)
        .filter(|(from, _)| text.is_char_boundary(*from) && text.is_char_boundary(from + PART))
}

/// The start and the hash of each part of `length` bytes. Each hash follows from the previous one (Rabin-Karp).
pub(in crate::text) fn hashes(bytes: &[u8], length: usize) -> impl Iterator<Item = (usize, u64)> {
    const BASE: u64 = 0x0100_0000_01b3;
    let first = (0..length).fold(1_u64, |power, _| power.wrapping_mul(BASE));
    let mut hash = 0_u64;
    bytes
        .iter()
        .enumerate()
        .map(move |(end, byte)| {
            let gone = end
                .checked_sub(length)
                .map_or(0, |at| u64::from(bytes[at]) + 1);
            hash = hash.wrapping_mul(BASE).wrapping_add(u64::from(*byte) + 1);
            hash = hash.wrapping_sub(gone.wrapping_mul(first));
            (end + 1, hash)
        })
        .skip(length.saturating_sub(1))
        .map(move |(end, hash)| (end - length, hash))
}

/// Whether a line of a secret is no secret: a line around the key of a PEM, or a bracket of JSON.
#[must_use]
pub fn is_public(line: &str) -> bool {
    let parts = unique_parts(line);
    let has_letters = |part: &&str| part.contains(char::is_alphanumeric);
    let may_be_secret = parts.len() == 1 && line.chars().count() >= MIN_LENGTH;
    !may_be_secret && !parts.iter().any(has_letters)
}

/// The parts of a secret between those that other secrets share.
pub(in crate::text) fn unique_parts(secret: &str) -> Vec<&str> {
    let mut parts = Vec::new();
    let mut rest = secret;
    while let Some((from, to)) = [shared_header(rest), shared_line(rest)]
        .into_iter()
        .flatten()
        .min()
    {
        parts.push(&rest[..from]);
        rest = &rest[to..];
    }
    parts.push(rest);
    parts
}

/// The start and the end of the header of a JSON Web Token. A token of GitHub contains one after its own prefix.
fn shared_header(text: &str) -> Option<(usize, usize)> {
    text.match_indices("eyJ").find_map(|(from, _)| {
        let to = from + text[from..].find('.')?;
        let json = BASE64_URL_SAFE_NO_PAD.decode(&text[from..to]).ok()?;
        let header: serde_json::Value = serde_json::from_slice(&json).ok()?;
        header["alg"].is_string().then_some((from, to + 1))
    })
}

/// The start and the end of the first or the last line of a PEM.
fn shared_line(text: &str) -> Option<(usize, usize)> {
    const DASHES: &str = "-----";
    ["BEGIN ", "END "]
        .into_iter()
        .filter_map(|word| {
            let from = text.find(&format!("{DASHES}{word}"))?;
            let label = from + DASHES.len() + word.len();
            let to = label + text[label..].find(DASHES)? + DASHES.len();
            Some((from, to))
        })
        .min()
}

#[cfg(test)]
#[expect(clippy::format_collect, reason = "the plain way to write an encoding")]
mod tests {
    use super::*;
    use base64::prelude::BASE64_STANDARD_NO_PAD;
    use proptest::prelude::*;

    fn found(secret: &str, text: &str) -> Vec<(usize, usize)> {
        let mut found = Vec::new();
        Pattern::new(secret).find_all(text, &mut found);
        found
    }

    fn is_whole(secret: &str, text: &str) -> bool {
        found(secret, text).contains(&(0, text.len()))
    }

    /// Notations that programs use. Each can be applied to the result of another.
    fn escapes() -> impl Strategy<Value = fn(&str) -> String> {
        prop::sample::select(vec![
            in_json as fn(&str) -> String,
            |text| in_json(text).replace('/', "\\/"),
            |text| {
                text.chars()
                    .map(|c| format!("\\u{:04x}", u32::from(c)))
                    .collect()
            },
            |text| url::form_urlencoded::byte_serialize(text.as_bytes()).collect(),
            |text| text.bytes().map(|b| format!("%{b:02x}")).collect(),
            |text| {
                let text = text
                    .replace('&', "&amp;")
                    .replace('<', "&lt;")
                    .replace('>', "&gt;");
                text.replace('"', "&quot;").replace('\'', "&#x27;")
            },
            |text| {
                text.chars()
                    .map(|c| format!("&#{};", u32::from(c)))
                    .collect()
            },
            |text| {
                let mark = |c: char| {
                    if c.is_ascii_punctuation() {
                        format!("\\{c}")
                    } else {
                        c.to_string()
                    }
                };
                text.chars().map(mark).collect()
            },
            str::to_lowercase,
            str::to_uppercase,
        ])
    }

    proptest! {
        #[test]
        fn a_secret_is_found_in_every_notation(
            secret in "[!-~]{8,40}", before in "[ -~]{0,20}", escape in escapes(),
        ) {
            let text = escape(&secret);
            prop_assert!(is_whole(&secret, &text), "{}", text);
            // After other text, all of the secret is found.
            let whole = format!("{before} {text} ");
            let covered = found(&secret, &whole)
                .iter()
                .any(|(from, to)| *from <= before.len() + 1 && *to >= whole.len() - 1);
            prop_assert!(covered, "{}", whole);
        }

        #[test]
        fn json_within_json_and_urls_within_urls(secret in "[!-~]{8,40}") {
            prop_assert!(is_whole(&secret, &in_json(&in_json(&secret))));
            let percent = |text: &str| url::form_urlencoded::byte_serialize(text.as_bytes()).collect::<String>();
            prop_assert!(is_whole(&secret, &percent(&percent(&secret))));
        }

        #[test]
        fn base64_and_hexadecimal(secret in "[!-~]{8,40}", before in "[ -~]{0,4}", after in "[ -~]{0,4}") {
            let bytes = format!("{before}{secret}{after}");
            for text in [BASE64_STANDARD_NO_PAD.encode(&bytes), BASE64_URL_SAFE_NO_PAD.encode(&bytes)] {
                prop_assert!(!found(&secret, &text).is_empty(), "{}", text);
            }
            let hexadecimal: String = secret.bytes().map(|b| format!("{b:02X}")).collect();
            prop_assert!(is_whole(&secret, &hexadecimal));
        }

        #[test]
        fn occurrences_start_and_end_between_characters(
            secret in "\\PC{1,12}", text in "\\PC{0,40}", before in "\\PC{0,4}",
        ) {
            for text in [text.clone(), format!("{before}{secret}{text}")] {
                for (from, to) in found(secret.trim(), &text) {
                    prop_assert!(text.get(from..to).is_some_and(|found| !found.is_empty()));
                }
            }
        }
    }

    #[test]
    fn ordinary_text_contains_no_secret() {
        let text = r"A path C:\temp, 100 %, a &amp; b, \u0041, &#65; and list_entities.";
        assert!(found("s3cr3t-value", text).is_empty());
    }

    #[test]
    fn a_long_run_of_escapes_is_searched_quickly() {
        let text = "\\".repeat(100_000) + &"%25".repeat(100_000) + &"&amp;".repeat(100_000);
        assert!(found(r"\\\\%%&&secret", &text).is_empty());
    }
}
