//! How a secret, or a character of it, can be written: in JSON, URLs, HTML, Markdown, shells, and programs, in base64,
//! and in hexadecimal.

use std::fmt::Write as _;

use base64::Engine as _;
use base64::prelude::{BASE64_STANDARD_NO_PAD, BASE64_URL_SAFE_NO_PAD};

/// The number of levels of nested escapes that are recognized, such as JSON in a string of JSON.
const MAX_NESTED: usize = 8;

/// `text` in a string of JSON, without the quotation marks.
pub(super) fn in_json(text: &str) -> String {
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
pub(super) fn may_begin(c: char, wanted: char) -> bool {
    is_same(c, wanted) || matches!(c, '\\' | '%' | '&')
}

/// Calls `ends` with the length of each notation of `c` with which `text` starts.
pub(super) fn written(text: &str, c: char, mut ends: impl FnMut(usize)) {
    let Some(first) = text.chars().next() else {
        return;
    };
    if is_same(first, c) {
        ends(first.len_utf8());
    }
    if c.is_whitespace() {
        // A quote replaces whitespace with one space, and a form writes a space as a plus sign.
        let end = text
            .find(|c: char| !c.is_whitespace() && c != '+')
            .unwrap_or(text.len());
        if end > 0 {
            ends(end);
        }
    }
    match first {
        '\\' => {
            let backslashes = text.bytes().take(MAX_NESTED).take_while(|b| *b == b'\\');
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
        '%' => (0..MAX_NESTED)
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
    for _ in 0..MAX_NESTED {
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
