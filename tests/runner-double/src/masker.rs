use std::collections::BTreeSet;

use crate::encoders::ENCODERS;
use crate::utf16::{Units, shown, units};

/// Replaces every registered secret, also in the encodings of common tools, by `***`.
///
/// Source: `src/Sdk/DTLogging/Logging/SecretMasker.cs`, with the encoders that
/// `src/Runner.Common/HostContext.cs` registers.
#[derive(Debug, Clone, Default)]
pub struct Masker {
    secrets: BTreeSet<Units>,
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
        let all = encoded.chain([units(secret)]);
        self.secrets.extend(all.filter(|form| !form.is_empty()));
    }

    /// Masks `text`. Secrets that overlap or are adjacent become a single `***`, so the number of
    /// stars does not reveal the number of secrets. If a mask cuts a surrogate pair, the rest of the
    /// pair becomes U+FFFD, as in the log.
    ///
    /// Source: `MaskSecrets` in `SecretMasker.cs`.
    #[must_use]
    pub fn mask(&self, text: &str) -> String {
        shown(&self.mask_units(&units(text)))
    }

    pub(crate) fn mask_units(&self, text: &[u16]) -> Units {
        let mut hits: Vec<(usize, usize)> = self
            .secrets
            .iter()
            .flat_map(|secret| occurrences(text, secret).map(|at| (at, at + secret.len())))
            .collect();
        hits.sort_unstable();

        let mut masked = Units::with_capacity(text.len());
        let mut shown = 0;
        for (start, end) in hits {
            if start > shown || masked.is_empty() {
                masked.extend_from_slice(&text[shown..start]);
                masked.extend("***".encode_utf16());
            }
            shown = shown.max(end);
        }
        masked.extend_from_slice(&text[shown..]);
        masked
    }

    /// Whether `text` contains a secret.
    pub(crate) fn changes(&self, text: &str) -> bool {
        self.mask(text) != text
    }

    pub(crate) fn extend(&mut self, other: Self) {
        self.secrets.extend(other.secrets);
    }
}

/// The start of each occurrence of `secret` in `text`. Occurrences can overlap: `aaa` contains `aa`
/// twice. They are compared unit by unit, so one can begin with half of a pair.
///
/// Source: `src/Sdk/DTLogging/Logging/ValueSecret.cs`.
fn occurrences<'a>(text: &'a [u16], secret: &'a [u16]) -> impl Iterator<Item = usize> + 'a {
    let first = secret.first().copied();
    let starts = text.len().saturating_sub(secret.len().saturating_sub(1));
    text[..starts]
        .iter()
        .enumerate()
        .filter(move |(_, unit)| Some(**unit) == first)
        .map(|(at, _)| at)
        .filter(move |at| text[*at..].starts_with(secret))
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

#[cfg(test)]
mod tests {
    use super::*;
    use base64::{Engine, engine::general_purpose::STANDARD};

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

    #[test]
    fn a_mask_can_cut_a_pair() {
        let masker = masker(&["abcdefgh&+😀abcdefgh"]);
        assert_eq!(masker.mask("[😀abcdefgh]"), "[\u{fffd}***]");
        assert_eq!(masker.mask("[abcdefgh]"), "[abcdefgh]");
    }
}
