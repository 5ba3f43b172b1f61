//! The search for registered secrets in a stream.

use std::sync::PoisonError;

use super::{REDACTED, REGISTRY};

/// Redacts registered secrets of at least [`MIN_LENGTH`](super::MIN_LENGTH) characters in a stream, as plain text and in strings of
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

    /// What remains at the end of the stream.
    pub fn finish(&mut self) -> Vec<u8> {
        self.take(&[], true)
    }

    fn take(&mut self, part: &[u8], is_end: bool) -> Vec<u8> {
        let registry = REGISTRY.read().unwrap_or_else(PoisonError::into_inner);
        let secrets: Vec<&[u8]> = registry
            .iter()
            .flat_map(|pattern| &pattern.json)
            .map(String::as_bytes)
            .collect();
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

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

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
}
