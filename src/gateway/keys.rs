//! Random keys.

use secrecy::SecretString;

/// The characters of a key: no notation escapes them.
const CHARACTERS: &[u8; 62] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789";
/// The length of a key: more than 256 bits.
const LENGTH: usize = 43;

/// A key of 43 letters and digits.
///
/// # Errors
/// When the operating system returns no random numbers.
pub(crate) fn random() -> anyhow::Result<SecretString> {
    let mut key = String::with_capacity(LENGTH);
    while key.len() < LENGTH {
        let mut bytes = [0; 64];
        getrandom::fill(&mut bytes).map_err(|error| {
            anyhow::anyhow!(
                "the operating system returned no random numbers ({error})\n\
                 hint: check the runner's operating system"
            )
        })?;
        let characters = bytes
            .iter()
            // The largest multiple of 62 below 256: every character is equally likely.
            .filter(|byte| **byte < 248)
            .map(|byte| char::from(CHARACTERS[usize::from(*byte) % 62]));
        key.extend(characters.take(LENGTH - key.len()));
    }
    Ok(key.into())
}
