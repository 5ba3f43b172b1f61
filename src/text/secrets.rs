//! The registry of this process's secrets: all masked values are registered here, and redacted from
//! all text before it is shown.
//!
//! There is one registry, so code that quotes, cuts, or escapes text does not need to know the
//! secrets. A secret is found in any common notation: unchanged, with other upper and lower case,
//! with any of its characters escaped as in JSON, URLs, HTML, Markdown, shells, or programs, and in
//! base64 or hexadecimal. It is also found with whitespace and invisible characters in between. Of
//! credentials, also a part is found: some servers shorten the values that they quote.

use std::borrow::Cow;
use std::collections::HashSet;
use std::fmt::Write as _;
use std::hash::{BuildHasherDefault, Hasher};
use std::sync::{PoisonError, RwLock};

use base64::Engine as _;
use base64::prelude::{BASE64_STANDARD_NO_PAD, BASE64_URL_SAFE_NO_PAD};
use secrecy::{ExposeSecret as _, SecretString};

use super::is_visible;

/// The replacement for a secret: the same three stars that GitHub's runner prints.
pub const REDACTED: &str = "***";

/// The minimum length, in characters, of a secret that is searched for in other inputs and in
/// encodings. A shorter one occurs in ordinary text by chance.
pub const SHORTEST: usize = 8;

/// The number of levels of nested escapes that are recognized, such as JSON in a string of JSON.
const MOST_NESTED: usize = 8;

/// The number of levels of nested JSON, beginning with none, in which a stream is redacted.
const MOST_NESTED_JSON: usize = 4;

/// At most this many characters at either end of a secret in base64 also depend on the neighboring
/// text.
const BASE64_SHARED: usize = 3;

/// The length, in bytes, of a part of a credential that counts as the credential: as base64, 72 bits.
const PART: usize = 12;

static REGISTRY: RwLock<Vec<Pattern>> = RwLock::new(Vec::new());

/// Registers a credential (a random text of which no part is public) and each of its lines, since GitHub's runner
/// masks both.
pub fn register(credential: &SecretString) {
    add(credential, Pattern::of_credential);
}

/// Registers any other text that is masked, as [`register`] does. A part of it can be ordinary text.
pub fn register_text(secret: &SecretString) {
    add(secret, Pattern::new);
}

fn add(secret: &SecretString, pattern: fn(&str) -> Pattern) {
    let mut registry = REGISTRY.write().unwrap_or_else(PoisonError::into_inner);
    let whole = secret.expose_secret();
    for line in std::iter::once(whole).chain(whole.lines()) {
        let pattern = pattern(line.trim());
        if !pattern.is_empty() && !registry.contains(&pattern) {
            registry.push(pattern);
        }
    }
}

/// Replaces every registered secret in `text` with [`REDACTED`].
pub fn redact(text: &str) -> Cow<'_, str> {
    let registry = REGISTRY.read().unwrap_or_else(PoisonError::into_inner);
    let mut found: Vec<(usize, usize)> = Vec::new();
    let dense = Dense::new(text);
    for pattern in registry.iter() {
        pattern.find_all(text, &mut found);
        match &dense {
            Some(dense) => dense.find(pattern, &mut found),
            None => pattern.find_parts(text, &mut found),
        }
    }
    if found.is_empty() {
        return Cow::Borrowed(text);
    }
    found.sort_unstable();
    let mut redacted = String::with_capacity(text.len());
    let mut end = 0;
    for (from, to) in found {
        if from >= end {
            redacted.push_str(&text[end..from]);
            redacted.push_str(REDACTED);
        }
        end = end.max(to);
    }
    redacted.push_str(&text[end..]);
    Cow::Owned(redacted)
}

/// Redacts registered secrets of at least [`SHORTEST`] characters in a stream, as plain text and in strings of
/// JSON: other notations need the whole text. A secret may arrive in several parts.
#[derive(Default)]
pub struct Redactor {
    /// The end of the stream so far, if it can be the beginning of a secret.
    held: Vec<u8>,
}

impl Redactor {
    /// Adds a part, and returns what can be passed on.
    pub fn push(&mut self, part: &[u8]) -> Vec<u8> {
        self.take(part, false)
    }

    /// What is left at the end of the stream.
    pub fn finish(&mut self) -> Vec<u8> {
        self.take(&[], true)
    }

    fn take(&mut self, part: &[u8], is_end: bool) -> Vec<u8> {
        let registry = REGISTRY.read().unwrap_or_else(PoisonError::into_inner);
        let secrets = registry.iter().flat_map(|pattern| &pattern.json);
        let secrets: Vec<&[u8]> = secrets.map(String::as_bytes).collect();
        let mut bytes = std::mem::take(&mut self.held);
        bytes.extend_from_slice(part);
        let (passed, until) = redact_parts(&secrets, &bytes, is_end);
        bytes.drain(..until);
        self.held = bytes;
        passed
    }
}

/// Redacts `secrets` in `bytes`, up to the beginning of what can be a secret that continues after them.
/// Returns the redacted bytes, and where they end.
fn redact_parts(secrets: &[&[u8]], bytes: &[u8], is_end: bool) -> (Vec<u8>, usize) {
    let mut is_first = [false; 256];
    for secret in secrets {
        is_first[usize::from(secret[0])] = true;
    }
    let mut passed = Vec::with_capacity(bytes.len());
    let mut at = 0;
    while at < bytes.len() {
        let rest = &bytes[at..];
        let plain = rest.iter().position(|byte| is_first[usize::from(*byte)]);
        if plain != Some(0) {
            let plain = plain.unwrap_or(rest.len());
            passed.extend_from_slice(&rest[..plain]);
            at += plain;
            continue;
        }
        let begins = || secrets.iter().filter(|secret| secret[0] == rest[0]);
        if !is_end && begins().any(|secret| secret.len() > rest.len() && secret.starts_with(rest)) {
            break;
        }
        let found = begins().filter(|secret| rest.starts_with(secret));
        if let Some(length) = found.map(|secret| secret.len()).max() {
            passed.extend_from_slice(REDACTED.as_bytes());
            at += length;
        } else {
            passed.push(rest[0]);
            at += 1;
        }
    }
    (passed, at)
}

/// Whether `text` contains `secret`, which need not be registered, in any notation. Always false
/// for a secret with fewer than [`SHORTEST`] characters.
#[must_use]
pub fn is_in(secret: &SecretString, text: &str) -> bool {
    let pattern = Pattern::new(secret.expose_secret().trim());
    let mut found = Vec::new();
    if pattern.is_long() {
        pattern.find_all(text, &mut found);
    }
    !found.is_empty()
}

/// Whether `text` contains a registered secret of at least [`SHORTEST`] characters. For text that
/// is used, not only shown.
pub fn is_any_in(text: &str) -> bool {
    let registry = REGISTRY.read().unwrap_or_else(PoisonError::into_inner);
    let mut found = Vec::new();
    let dense = Dense::new(text);
    registry.iter().any(|pattern| {
        if pattern.is_long() {
            pattern.find_all(text, &mut found);
            match &dense {
                Some(dense) => dense.find(pattern, &mut found),
                None => pattern.find_parts(text, &mut found),
            }
        }
        !found.is_empty()
    })
}

/// Text without whitespace and invisible characters, which a server can add (in a line break) and a display can hide.
struct Dense {
    text: String,
    /// Where each byte of the text is in the original.
    places: Vec<u32>,
}

impl Dense {
    /// `None` if nothing is removed.
    fn new(original: &str) -> Option<Self> {
        let is_removed = |c: char| c.is_whitespace() || !is_visible(c);
        if !original.contains(is_removed) || u32::try_from(original.len()).is_err() {
            return None;
        }
        let mut dense = Self {
            text: String::with_capacity(original.len()),
            places: Vec::with_capacity(original.len()),
        };
        for (at, c) in original.char_indices().filter(|(_, c)| !is_removed(*c)) {
            dense.text.push(c);
            let places = at..at + c.len_utf8();
            dense
                .places
                .extend(places.filter_map(|place| u32::try_from(place).ok()));
        }
        Some(dense)
    }

    /// Adds the start and the end, in the original, of each occurrence of a secret. Ordinary words can contain a short
    /// one if they are joined.
    fn find(&self, pattern: &Pattern, found: &mut Vec<(usize, usize)>) {
        if pattern.is_long() {
            let mut inner = Vec::new();
            pattern.find_all(&self.text, &mut inner);
            pattern.find_parts(&self.text, &mut inner);
            let place = |at: usize| self.places[at] as usize;
            let places = inner.into_iter();
            found.extend(places.map(|(from, to)| (place(from), place(to - 1) + 1)));
        }
    }
}

/// A secret, prepared for the search.
struct Pattern {
    plain: String,
    /// The secret unchanged, in a string of JSON, in JSON in such a string, and so on. Like the other encodings,
    /// empty for a short secret.
    json: Vec<String>,
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
    fn of_credential(secret: &str) -> Self {
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

    fn new(secret: &str) -> Self {
        let mut pattern = Self {
            plain: secret.to_owned(),
            json: Vec::new(),
            hexadecimal: None,
            base64: Vec::new(),
            parts: HashSet::default(),
        };
        if pattern.is_long() {
            let mut json = secret.to_owned();
            for _ in 0..MOST_NESTED_JSON {
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

    fn is_empty(&self) -> bool {
        self.plain.is_empty()
    }

    fn is_long(&self) -> bool {
        self.plain.chars().count() >= SHORTEST
    }

    /// Adds the start and the end of each occurrence in `text`.
    fn find_all(&self, text: &str, found: &mut Vec<(usize, usize)>) {
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
    fn find_parts(&self, text: &str, found: &mut Vec<(usize, usize)>) {
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
pub(super) struct Unchanged(u64);

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
    let parts = hashes(text.as_bytes(), PART);
    parts.filter(|(from, _)| text.is_char_boundary(*from) && text.is_char_boundary(from + PART))
}

/// The start and the hash of each part of `length` bytes. Each hash follows from the previous one (Rabin-Karp).
pub(super) fn hashes(bytes: &[u8], length: usize) -> impl Iterator<Item = (usize, u64)> {
    const BASE: u64 = 0x0100_0000_01b3;
    let first = (0..length).fold(1_u64, |power, _| power.wrapping_mul(BASE));
    let mut hash = 0_u64;
    let hashes = bytes.iter().enumerate().map(move |(end, byte)| {
        let gone = end
            .checked_sub(length)
            .map_or(0, |at| u64::from(bytes[at]) + 1);
        hash = hash.wrapping_mul(BASE).wrapping_add(u64::from(*byte) + 1);
        hash = hash.wrapping_sub(gone.wrapping_mul(first));
        (end + 1, hash)
    });
    let parts = hashes.skip(length.saturating_sub(1));
    parts.map(move |(end, hash)| (end - length, hash))
}

/// Whether a line of a secret is no secret: a line around the key of a PEM, or a bracket of JSON.
#[must_use]
pub fn is_public(line: &str) -> bool {
    let parts = unique_parts(line);
    let has_letters = |part: &&str| part.contains(char::is_alphanumeric);
    let may_be_secret = parts.len() == 1 && line.chars().count() >= SHORTEST;
    !may_be_secret && !parts.iter().any(has_letters)
}

/// The parts of a secret between those that other secrets share.
pub(super) fn unique_parts(secret: &str) -> Vec<&str> {
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
        let header = BASE64_URL_SAFE_NO_PAD.decode(&text[from..to]).ok()?;
        let header: serde_json::Value = serde_json::from_slice(&header).ok()?;
        header["alg"].is_string().then_some((from, to + 1))
    })
}

/// The start and the end of the first or the last line of a PEM.
fn shared_line(text: &str) -> Option<(usize, usize)> {
    const DASHES: &str = "-----";
    let begins = ["BEGIN ", "END "].into_iter();
    begins
        .filter_map(|word| {
            let from = text.find(&format!("{DASHES}{word}"))?;
            let label = from + DASHES.len() + word.len();
            let to = label + text[label..].find(DASHES)? + DASHES.len();
            Some((from, to))
        })
        .min()
}

/// `text` in a string of JSON, without the quotation marks.
fn in_json(text: &str) -> String {
    let json = serde_json::Value::from(text).to_string();
    json[1..json.len() - 1].to_owned()
}

/// What is the same in base64 and base64url of any text that contains `bytes`: there, they begin at the first, second,
/// or third byte of a group, and their whole groups do not depend on the text around them.
pub(crate) fn stems(bytes: &[u8]) -> Vec<String> {
    let mut stems = Vec::new();
    for shift in 0..3.min(bytes.len()) {
        let whole = whole_groups(&bytes[shift..]);
        stems.push(BASE64_STANDARD_NO_PAD.encode(whole));
        let url_safe = BASE64_URL_SAFE_NO_PAD.encode(whole);
        if !stems.contains(&url_safe) {
            stems.push(url_safe);
        }
    }
    stems
}

/// The groups of three bytes that base64 encodes on their own.
pub(crate) fn whole_groups(bytes: &[u8]) -> &[u8] {
    &bytes[..bytes.len() / 3 * 3]
}

/// Bytes in hexadecimal, in lower case.
pub(crate) fn hexadecimal(bytes: &[u8]) -> String {
    bytes.iter().fold(String::new(), |mut text, byte| {
        // Writing to a string cannot fail.
        let _ = write!(text, "{byte:02x}");
        text
    })
}

fn is_same(a: char, b: char) -> bool {
    a == b || a.eq_ignore_ascii_case(&b)
}

/// Whether `c` can be the first character of `wanted` in any notation.
fn may_begin(c: char, wanted: char) -> bool {
    is_same(c, wanted) || matches!(c, '\\' | '%' | '&')
}

/// Calls `ends` with the length of each notation of `c` with which `text` starts.
fn written(text: &str, c: char, mut ends: impl FnMut(usize)) {
    let Some(first) = text.chars().next() else {
        return;
    };
    if is_same(first, c) {
        ends(first.len_utf8());
    }
    if c.is_whitespace() {
        // A quote replaces whitespace with one space, and a form writes a space as a plus sign.
        let end = text.find(|c: char| !c.is_whitespace() && c != '+');
        let end = end.unwrap_or(text.len());
        if end > 0 {
            ends(end);
        }
    }
    match first {
        '\\' => {
            let backslashes = text.bytes().take(MOST_NESTED).take_while(|b| *b == b'\\');
            for escapes in 1..=backslashes.count() {
                if escapes > 1 && c == '\\' {
                    ends(escapes);
                }
                let rest = &text[escapes..];
                if rest.starts_with('\\') {
                    continue;
                }
                if rest.chars().next().is_some_and(|next| is_same(next, c)) {
                    ends(escapes + c.len_utf8());
                }
                if let Some(length) = code_units(rest, c) {
                    ends(escapes + length);
                }
            }
        }
        '%' => (0..MOST_NESTED)
            .filter_map(|depth| percent(text, c, depth))
            .for_each(ends),
        '&' => entities(text, c, ends),
        _ => {}
    }
}

/// The length of `c` as `uXXXX` (a pair of them outside the Basic Multilingual Plane), `u{X}`, or
/// `xXX` after a backslash.
fn code_units(text: &str, c: char) -> Option<usize> {
    if let Some(braced) = text.strip_prefix("u{") {
        let end = braced.find('}').filter(|end| *end <= 6)?;
        let code = u32::from_str_radix(&braced[..end], 16).ok()?;
        return is_code(code, c).then_some(end + 3);
    }
    if let Some(hex) = text.strip_prefix(['x', 'X']) {
        let code = u32::from_str_radix(hex.get(..2)?, 16).ok()?;
        return is_code(code, c).then_some(3);
    }
    let mut units = [0; 2];
    let mut at = 0;
    for (number, unit) in c.encode_utf16(&mut units).iter().enumerate() {
        if number > 0 {
            at += text[at..].len() - text[at..].trim_start_matches('\\').len();
        }
        let hex = text.get(at..)?.strip_prefix(['u', 'U'])?.get(..4)?;
        let code = u32::from_str_radix(hex, 16).ok()?;
        let is_match = code == u32::from(*unit) || (c.is_ascii() && is_code(code, c));
        if !is_match {
            return None;
        }
        at += 5;
    }
    Some(at)
}

fn is_code(code: u32, c: char) -> bool {
    char::from_u32(code).is_some_and(|code| is_same(code, c))
}

/// The length of `c` in percent-encoding that was encoded `depth` more times.
fn percent(text: &str, c: char, depth: usize) -> Option<usize> {
    let mut bytes = [0; 4];
    let mut rest = text;
    for byte in c.encode_utf8(&mut bytes).bytes() {
        rest = rest.strip_prefix('%')?;
        for _ in 0..depth {
            rest = rest.strip_prefix("25")?;
        }
        let code = u8::from_str_radix(rest.get(..2)?, 16).ok()?;
        if code != byte && !(c.is_ascii() && code.eq_ignore_ascii_case(&byte)) {
            return None;
        }
        rest = &rest[2..];
    }
    Some(text.len() - rest.len())
}

/// Calls `ends` with the length of each notation of `c` in HTML and XML, including HTML in HTML.
fn entities(text: &str, c: char, mut ends: impl FnMut(usize)) {
    let mut rest = &text[1..];
    for _ in 0..MOST_NESTED {
        let Some(name) = entity_name(rest) else {
            return;
        };
        let is_match = match name.strip_prefix('#') {
            Some(number) => match number.strip_prefix(['x', 'X']) {
                Some(hex) => u32::from_str_radix(hex, 16),
                None => number.parse(),
            }
            .is_ok_and(|code| is_code(code, c)),
            None => matches!(
                (name.to_ascii_lowercase().as_str(), c),
                ("amp", '&') | ("lt", '<') | ("gt", '>') | ("quot", '"') | ("apos", '\'')
            ),
        };
        let after = &rest[name.len() + 1..];
        if is_match {
            ends(text.len() - after.len());
        }
        if name != "amp" {
            return;
        }
        rest = after;
    }
}

fn entity_name(text: &str) -> Option<&str> {
    let end = text.bytes().take(9).position(|b| b == b';')?;
    let name = text.get(..end)?;
    let is_name = name
        .strip_prefix('#')
        .unwrap_or(name)
        .bytes()
        .all(|b| b.is_ascii_alphanumeric());
    is_name.then_some(name)
}

#[cfg(test)]
#[expect(clippy::format_collect, reason = "the plain way to write an encoding")]
mod tests {
    use super::*;
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

    proptest! {
        #[test]
        fn a_stream_is_redacted_wherever_its_parts_end(
            secrets in prop::collection::vec("[ab]{2,5}", 1..4),
            text in "[abc]{0,60}",
            ends in prop::collection::vec(0..61_usize, 0..8),
        ) {
            let secrets: Vec<&[u8]> = secrets.iter().map(String::as_bytes).collect();
            let (whole, _) = redact_parts(&secrets, text.as_bytes(), true);
            for secret in &secrets {
                prop_assert!(!whole.windows(secret.len()).any(|window| window == *secret));
            }
            let mut ends: Vec<usize> = ends.into_iter().map(|end| end.min(text.len())).collect();
            ends.push(text.len());
            ends.sort_unstable();
            let (mut passed, mut held, mut start) = (Vec::new(), Vec::new(), 0);
            for end in ends {
                held.extend_from_slice(&text.as_bytes()[start..end]);
                start = end;
                let (part, until) = redact_parts(&secrets, &held, false);
                passed.extend(part);
                held.drain(..until);
            }
            passed.extend(redact_parts(&secrets, &held, true).0);
            prop_assert_eq!(passed, whole);
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

    #[test]
    fn the_registry_finds_each_secret_and_each_line() {
        register(&SecretString::from("registry-first\nregistry-second"));
        register(&SecretString::from("registry-first-and-more"));
        assert_eq!(
            redact("a registry-first-and-more b REGISTRY-SECOND c registry%2Dfirst d"),
            "a *** b *** c *** d"
        );
        assert_eq!(redact("nothing here"), "nothing here");
    }
}
