//! The registry of this process's secrets: all masked values are registered here, and redacted from
//! all text before it is shown.
//!
//! There is one registry, so code that quotes, cuts, or escapes text does not need to know the
//! secrets. A secret is found in any common notation: unchanged, with other upper and lower case,
//! with any of its characters escaped as in JSON, URLs, HTML, Markdown, shells, or programs, and in
//! base64 or hexadecimal. It is also found with whitespace and invisible characters in between. Of
//! credentials, also a part is found: some servers shorten the values that they quote.
//!
//! | module | contents |
//! |---|---|
//! | `pattern` | a secret, prepared for the search |
//! | `notation` | how a character of a secret can be written |
//! | `stream` | the search in a stream |

mod notation;
mod pattern;
mod stream;

use std::borrow::Cow;
use std::sync::{PoisonError, RwLock};

use secrecy::{ExposeSecret as _, SecretString};

use super::is_visible;
pub(crate) use notation::{hexadecimal, stems, whole_groups};
use pattern::Pattern;
pub use pattern::is_public;
pub(super) use pattern::{Unchanged, hashes, unique_parts};
pub use stream::Redactor;

/// The replacement for a secret: the same three stars that GitHub's runner prints.
pub const REDACTED: &str = "***";

/// The minimum length, in characters, of a secret that is searched for in other inputs and in
/// encodings. A shorter one occurs in ordinary text by chance.
pub const MIN_LENGTH: usize = 8;

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

/// Whether `text` contains `secret`, which need not be registered, in any notation. Always false
/// for a secret with fewer than [`MIN_LENGTH`] characters.
#[must_use]
pub fn is_in(secret: &SecretString, text: &str) -> bool {
    let pattern = Pattern::new(secret.expose_secret().trim());
    let mut found = Vec::new();
    if pattern.is_long() {
        pattern.find_all(text, &mut found);
    }
    !found.is_empty()
}

/// Whether `text` contains a registered secret of at least [`MIN_LENGTH`] characters. For text that
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

#[cfg(test)]
mod tests {
    use super::*;

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
