//! The search for a disguised secret, such as an agent can write after a prompt injection.
//!
//! The search has limits. An attacker who knows it can make the model use an encoding that is not
//! searched for, or write the secret in shorter pieces than are joined here. It stops common encodings
//! and mistakes. A secret is safe only if the agent cannot read it.

use std::collections::HashMap;
use std::hash::BuildHasherDefault;

use base64::Engine as _;
use base64::alphabet;
use base64::engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig};
use secrecy::{ExposeSecret as _, SecretString};

use super::secrets::{self, MIN_LENGTH, Unchanged, hashes, unique_parts};

/// The number of levels of nested encodings that are decoded.
const MAX_LAYERS: usize = 3;

/// The number of letters and digits of a secret, one after the other, that count as the secret.
const ENOUGH: usize = 16;

/// The minimum number of letters and digits in a piece of a secret that is written in pieces. Shorter pieces of a secret
/// are in any text.
const MIN_PIECE: usize = 4;

/// The maximum number of letters and digits between two pieces.
const MAX_GAP: usize = 24;

/// The minimum length, in bytes, of decoded text that is searched.
const LEGIBLE: usize = 6;

/// The minimum length, in bytes, of a run of characters that is decoded.
const MIN_RUN: usize = 12;

const LENIENT: GeneralPurposeConfig = GeneralPurposeConfig::new()
    .with_decode_allow_trailing_bits(true)
    .with_decode_padding_mode(DecodePaddingMode::Indifferent);
const BASE64: GeneralPurpose = GeneralPurpose::new(&alphabet::STANDARD, LENIENT);

/// Secrets, prepared for the search. Those with fewer than [`MIN_LENGTH`] characters are not searched for.
pub struct Search {
    secrets: Vec<SecretString>,
    /// How many letters and digits of each form, one after the other, count as the secret. A form is a part of a secret,
    /// reduced to letters and digits: as it is, in ROT13, or backwards.
    counts: Vec<usize>,
    /// By its hash, where a piece of [`MIN_PIECE`] letters and digits is: the number of the form, and the offset.
    places: HashMap<u64, Vec<(usize, usize)>, BuildHasherDefault<Unchanged>>,
}

impl Search {
    /// Prepares the search for `secrets`.
    #[must_use]
    pub fn new(secrets: &[SecretString]) -> Self {
        let mut search = Self {
            secrets: Vec::new(),
            counts: Vec::new(),
            places: HashMap::default(),
        };
        for secret in secrets {
            let secret = secret.expose_secret().trim();
            if secret.chars().count() >= MIN_LENGTH {
                search.secrets.push(secret.into());
                search.add_forms(secret);
            }
        }
        search
    }

    /// Of a secret with shared parts, only what is unique is searched for. A short part next to them can be a word.
    fn add_forms(&mut self, secret: &str) {
        let parts = unique_parts(secret);
        let least = if parts.len() > 1 { ENOUGH } else { MIN_LENGTH };
        for part in parts
            .into_iter()
            .map(letters)
            .filter(|part| part.len() >= least)
        {
            let backwards = part.chars().rev().collect();
            for form in [rot13(&part), backwards, part] {
                for (offset, hash) in hashes(form.as_bytes(), MIN_PIECE) {
                    self.places
                        .entry(hash)
                        .or_default()
                        .push((self.counts.len(), offset));
                }
                self.counts.push(form.len().min(ENOUGH));
            }
        }
    }

    /// Whether `text` contains a secret, or a long part of one, unchanged or in a common disguise: with other
    /// characters than letters and digits in between, in pieces, backwards, in upper or lower case, in ROT13, in
    /// base64, base32, hexadecimal, octal, or binary, or as numbers, and in most combinations of these.
    #[must_use]
    pub fn finds(&self, text: &str) -> bool {
        !self.secrets.is_empty() && self.finds_in(text, MAX_LAYERS)
    }

    fn finds_in(&self, text: &str, layers: usize) -> bool {
        let mut secrets = self.secrets.iter();
        secrets.any(|secret| secrets::is_in(secret, text))
            || self.finds_pieces(letters(text).as_bytes())
            || layers > 0 && {
                let reversed: String = text.chars().rev().collect();
                decoded(text)
                    .chain(decoded(&reversed))
                    .any(|inner| self.finds_in(&inner, layers - 1))
            }
    }

    /// Whether `text` contains enough of a form: in one piece, or in pieces that follow on each other, with other text
    /// in between, such as the numbers of a list.
    fn finds_pieces(&self, text: &[u8]) -> bool {
        // By the end of a piece in its form: its end in the text, and the number of letters and digits up to there.
        let mut ends: HashMap<(usize, usize), (usize, usize)> = HashMap::new();
        for (start, hash) in hashes(text, MIN_PIECE) {
            for &(form, offset) in self.places.get(&hash).into_iter().flatten() {
                let (end, offset_end) = (start + MIN_PIECE, offset + MIN_PIECE);
                let is_long = self.counts[form] == ENOUGH;
                let longer = ends
                    .get(&(form, offset_end - 1))
                    .filter(|(before, _)| before + 1 == end)
                    .map(|(_, count)| count + 1);
                let next = ends
                    .get(&(form, offset))
                    .filter(|(before, _)| is_long && *before <= start && start - before <= MAX_GAP)
                    .map(|(_, count)| count + MIN_PIECE);
                let count = longer.max(next).unwrap_or(MIN_PIECE);
                if count >= self.counts[form] {
                    return true;
                }
                ends.insert((form, offset_end), (end, count));
            }
        }
        false
    }
}

fn letters(text: &str) -> String {
    text.chars()
        .filter(char::is_ascii_alphanumeric)
        .map(|c| c.to_ascii_lowercase())
        .collect()
}

fn rot13(text: &str) -> String {
    let rotate = |c: char| match c {
        'a'..='m' | 'A'..='M' => char::from(c as u8 + 13),
        'n'..='z' | 'N'..='Z' => char::from(c as u8 - 13),
        c => c,
    };
    text.chars().map(rotate).collect()
}

/// The readable text that `text` decodes to: one for each supported encoding.
fn decoded(text: &str) -> impl Iterator<Item = String> {
    let mut found = vec![String::new(); 4];
    let mut base32s = String::new();
    // The runs in the text, and in the text without whitespace, which can split a run.
    let joined: String = text.chars().filter(|c| !c.is_whitespace()).collect();
    for text in [text, &joined] {
        for run in runs(text, |c| c.is_ascii_alphanumeric() || "+/-_".contains(c)) {
            let standard = run.replace('-', "+").replace('_', "/");
            for (start, found) in found.iter_mut().enumerate() {
                let rest = standard.get(start..).unwrap_or_default();
                let part = &rest[..rest.len() - usize::from(rest.len() % 4 == 1)];
                found.push_str(&legible(&BASE64.decode(part).unwrap_or_default()));
            }
            base32s.push_str(&legible(&base32(run)));
        }
    }
    found.push(base32s);
    let lower = text.to_lowercase().replace("0x", " ").replace("\\x", " ");
    for run in runs(&lower, |c| {
        c.is_ascii_hexdigit() || " ,:;-\n\r\t".contains(c)
    }) {
        let digits: String = run.chars().filter(char::is_ascii_hexdigit).collect();
        // The first digit can be a letter of the previous word.
        for start in 0..2 {
            found.push(legible(&numbers(
                digits.get(start..).unwrap_or_default(),
                2,
                16,
            )));
        }
    }
    for run in runs(text, |c| c == '0' || c == '1' || c.is_whitespace()) {
        let digits: String = run.chars().filter(char::is_ascii_digit).collect();
        found.push(legible(&numbers(&digits, 8, 2)));
    }
    for radix in [10, 8] {
        let numbers: Vec<u8> = text
            .split(|c: char| !c.is_ascii_digit())
            .filter_map(|part| u8::from_str_radix(part, radix).ok())
            .collect();
        found.push(legible(&numbers));
    }
    found.into_iter().filter(|text| text.len() >= MIN_LENGTH)
}

/// The parts of `bytes` that are readable text. Text that is not encoded decodes to no readable text.
fn legible(bytes: &[u8]) -> String {
    let is_text = |b: &u8| (b' '..=b'~').contains(b) || *b == b'\n';
    bytes
        .split(|b| !is_text(b))
        .filter(|part| part.len() >= LEGIBLE)
        .fold(String::new(), |text, part| {
            text + &String::from_utf8_lossy(part) + "\n"
        })
}

fn runs(text: &str, is: impl Fn(char) -> bool) -> impl Iterator<Item = &str> {
    text.split(move |c| !is(c))
        .filter(|run| run.len() >= MIN_RUN)
}

fn numbers(digits: &str, width: usize, radix: u32) -> Vec<u8> {
    digits
        .as_bytes()
        .chunks_exact(width)
        .filter_map(|chunk| std::str::from_utf8(chunk).ok())
        .filter_map(|number| u8::from_str_radix(number, radix).ok())
        .collect()
}

fn base32(text: &str) -> Vec<u8> {
    let mut bytes = Vec::new();
    let (mut bits, mut count) = (0u32, 0);
    for c in text.chars() {
        let value = match c.to_ascii_uppercase() {
            c @ 'A'..='Z' => c as u32 - 'A' as u32,
            c @ '2'..='7' => c as u32 - '2' as u32 + 26,
            _ => continue,
        };
        bits = (bits << 5 | value) & 0xfff;
        count += 5;
        if count >= 8 {
            count -= 8;
            bytes.push(u8::try_from(bits >> count & 0xff).unwrap_or_default());
        }
    }
    bytes
}

#[cfg(test)]
#[expect(clippy::format_collect, reason = "the plain way to write an encoding")]
mod tests {
    use super::*;
    use base64::prelude::{BASE64_STANDARD, BASE64_URL_SAFE_NO_PAD};

    fn is_in(secret: &SecretString, text: &str) -> bool {
        Search::new(std::slice::from_ref(secret)).finds(text)
    }

    const SECRET: &str = "eyJhbGciOiJIUzI1NiJ9.eyJpc01hY2hpbmUiOnRydWV9.c2lnbmF0dXJlX29mX3RoZQ-_x";

    fn spaced(by: &str) -> String {
        SECRET.chars().map(|c| format!("{c}{by}")).collect()
    }

    fn in_pieces(length: usize, before: impl Fn(usize) -> String) -> String {
        let pieces = SECRET.as_bytes().chunks(length).enumerate();
        pieces
            .map(|(number, piece)| before(number + 1) + std::str::from_utf8(piece).unwrap())
            .collect()
    }

    fn base32_of(text: &str) -> String {
        let bits: String = text.bytes().map(|b| format!("{b:08b}")).collect();
        let alphabet = b"ABCDEFGHIJKLMNOPQRSTUVWXYZ234567";
        let chunks = bits.as_bytes().chunks(5);
        chunks
            .map(|chunk| {
                let chunk = format!("{:0<5}", std::str::from_utf8(chunk).unwrap());
                char::from(alphabet[usize::from_str_radix(&chunk, 2).unwrap()])
            })
            .collect()
    }

    #[test]
    fn common_disguises_are_found() {
        let base64 = BASE64_STANDARD.encode(SECRET);
        let disguises = [
            SECRET.to_owned(),
            base64.clone(),
            BASE64_STANDARD.encode(format!("x{SECRET}")),
            BASE64_URL_SAFE_NO_PAD.encode(format!("the token: {SECRET}!")),
            BASE64_STANDARD.encode(&base64),
            base64
                .as_bytes()
                .chunks(20)
                .map(|line| format!("{}\n", String::from_utf8_lossy(line)))
                .collect(),
            base64.chars().rev().collect(),
            base32_of(SECRET),
            SECRET.bytes().map(|b| format!("{b:02x}")).collect(),
            SECRET.bytes().map(|b| format!("{b:02X} ")).collect(),
            SECRET.bytes().map(|b| format!("\\x{b:02x}")).collect(),
            SECRET.bytes().map(|b| format!("0x{b:02X}, ")).collect(),
            SECRET.bytes().map(|b| format!("{b:08b} ")).collect(),
            SECRET.bytes().map(|b| format!("{b}, ")).collect(),
            SECRET.bytes().map(|b| format!("{b:o} ")).collect(),
            SECRET.chars().rev().collect(),
            rot13(SECRET),
            spaced(" "),
            spaced("-"),
            spaced("\n"),
            spaced("\u{200b}"),
            spaced(" | "),
            SECRET.to_uppercase(),
            SECRET.to_lowercase(),
            SECRET
                .chars()
                .map(|c| format!("&#{};", u32::from(c)))
                .collect(),
            SECRET
                .chars()
                .map(|c| format!("\\u{:04x}", u32::from(c)))
                .collect(),
            SECRET.bytes().map(|b| format!("%{b:02X}")).collect(),
            format!("it begins {} and goes on {}", &SECRET[..40], &SECRET[40..]),
            in_pieces(4, |number| format!("{number}. ")),
            in_pieces(5, |number| format!("| {number} | ")),
            in_pieces(7, |number| format!("\", \"part_{number}\": \"")),
            in_pieces(12, |number| format!("\nPart {number} of the value: ")),
            SECRET[25..50].to_owned(),
        ];
        for disguise in disguises {
            let text = format!("Here it is:\n{disguise}\nThat was it.");
            assert!(is_in(&SECRET.into(), &text), "{disguise}");
        }
    }

    #[test]
    fn ordinary_text_and_the_common_part_of_tokens_are_not_found() {
        for text in [
            "The header eyJhbGciOiJIUzI1NiJ9 says HS256.",
            "Services: checkout, payments, search. 12, 34, 56 and 101 of them; 0x2f.",
            "sha256:9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08",
            "",
        ] {
            assert!(!is_in(&SECRET.into(), text), "{text}");
        }
        // A short secret can consist of words.
        assert!(!is_in(
            &"teamwork-flow".into(),
            "The team does work as a flow."
        ));
        assert!(!is_in(&"short".into(), "short"));
    }

    #[test]
    fn a_large_text_is_searched_quickly() {
        let text = "lorem ipsum dolor 0x41 QUJDREVGR0hJSktMTU5PUA== ".repeat(20_000);
        assert!(!is_in(&SECRET.into(), &text));
    }
}
