//! Further masks of a credential.
//!
//! GitHub's runner masks a value unchanged and in some encodings of exactly this value. People print it in others:
//! `echo "$TOKEN" | base64` also encodes a line break, and wraps. The runner masks line by line.

use anyhow::bail;
use base64::Engine as _;
use base64::prelude::BASE64_STANDARD_NO_PAD;
use secrecy::{ExposeSecret, SecretString};

use crate::text::is_beyond_bmp;
use crate::text::secrets::{hexadecimal, stems, whole_groups};

/// The maximum number of masks of a step, unless more secrets are masked. Each mask delays every later line of the
/// job: 100 of them by about 0.15 ms.
pub(super) const MAX: usize = 50;

/// The number of them up to which credentials are masked in encodings that the next steps do not get. It is enough for
/// five of them, and leaves room for the base64 of the one that they get.
pub(super) const MAX_OTHERS: usize = 30;

/// The minimum length of a credential that is masked in encodings, in bytes.
const MIN_CREDENTIAL: usize = 16;

/// The minimum length of a further mask. A shorter one could occur in any log: the last line of a wrapped text can be
/// `fQ==`.
const MIN_MASK: usize = 16;

/// The number of bytes in a line of `base64` (76 characters), and of `xxd -p` (60 characters).
const BASE64_LINE: usize = 57;
const XXD_LINE: usize = 30;

/// A credential as it is in a longer text in base64, base64url, or hexadecimal ([`stems`]).
pub(super) fn encoded(credential: &SecretString) -> Vec<SecretString> {
    let bytes = credential.expose_secret().trim().as_bytes();
    if bytes.len() < MIN_CREDENTIAL {
        return Vec::new();
    }
    let mut all = stems(bytes);
    let lower = hexadecimal(bytes);
    all.extend([lower.to_uppercase(), lower]);
    all.dedup();
    long_enough(all)
}

/// The lines that `base64` and `xxd -p` print of a credential, each from the last one: a part of a credential is worth
/// nothing without its end.
pub(super) fn lines(credential: &SecretString) -> Vec<SecretString> {
    let bytes = credential.expose_secret().as_bytes();
    // One line is the whole credential.
    let lines_of = |size| bytes.chunks(size).filter(move |_| bytes.len() > size);
    let base64 =
        lines_of(BASE64_LINE).map(|line| BASE64_STANDARD_NO_PAD.encode(whole_groups(line)));
    let xxd = lines_of(XXD_LINE).map(hexadecimal);
    let [base64, xxd]: [Vec<String>; 2] = [base64.collect(), xxd.collect()];
    long_enough(base64.into_iter().rev().chain(xxd.into_iter().rev()))
}

/// Fails for a value that can end the runner when it is masked: it also masks what PowerShell shows of a value with
/// `&+`, and can cut a character in half, wherever it is if combining marks follow.
///
/// Source: `PowerShellPostAmpersandEscape` in `src/Sdk/DTLogging/Logging/ValueEncoders.cs` of the runner.
pub(super) fn check(value: &str) -> anyhow::Result<()> {
    if value.contains("&+") && value.contains(is_beyond_bmp) {
        bail!(
            "a secret contains `&+` and a character beyond U+FFFF, such as an emoji: GitHub's runner cannot mask \
             it, and would end the job without a message\n\
             hint: replace the credential by one without this character"
        );
    }
    Ok(())
}

fn long_enough(forms: impl IntoIterator<Item = String>) -> Vec<SecretString> {
    forms
        .into_iter()
        .filter(|form| form.len() >= MIN_MASK)
        .map(SecretString::from)
        .collect()
}

#[cfg(test)]
mod tests {
    use base64::prelude::BASE64_STANDARD;

    use super::*;

    fn texts(masks: &[SecretString]) -> Vec<&str> {
        masks.iter().map(ExposeSecret::expose_secret).collect()
    }

    #[test]
    fn stems_do_not_depend_on_the_neighbors() {
        let credential = "a-credential~of~27~letters!?";
        let masks = encoded(&credential.into());
        let masks = texts(&masks);
        for before in ["", "x", "xy", "Bearer "] {
            for after in ["", "\n", "@host"] {
                let text = BASE64_STANDARD.encode(format!("{before}{credential}{after}"));
                let text = masks.iter().fold(text, |text, mask| text.replace(mask, ""));
                let most = before.len() * 4 / 3 + after.len() * 4 / 3 + 12;
                assert!(text.len() <= most, "{before:?} {after:?}: {text}");
            }
        }
        assert!(masks.contains(&hexadecimal(credential.as_bytes()).as_str()));
    }

    #[test]
    fn no_further_mask_is_short() {
        assert!(encoded(&"fifteen letters".into()).is_empty());
        for length in 1..200 {
            let credential = SecretString::from("?".repeat(length));
            let masks = [encoded(&credential), lines(&credential)].concat();
            assert!(texts(&masks).iter().all(|mask| mask.len() >= MIN_MASK));
        }
    }

    #[test]
    fn values_that_end_the_runner() {
        for value in ["a&+\u{1f600}", "a&+b&+\u{1f600}", "\u{1f600}&+\u{301}c"] {
            assert!(check(value).is_err(), "{value}");
        }
        for value in ["a&\u{1f600}", "&+\u{ffff}", "a&+b"] {
            assert!(check(value).is_ok(), "{value}");
        }
    }
}
