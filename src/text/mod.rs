//! Foreign text, made fit to be shown.
//!
//! What a server, a file or a user's input says may hold a secret (an error that echoes the
//! request), terminal escapes, a workflow command, or a megabyte. Whoever quotes such text passes
//! it through [`Quote`] first; whoever prints passes every line through [`redact`].

use std::fmt;

use secrecy::{ExposeSecret, SecretString};

/// What stands where a secret stood; the same three stars that GitHub's runner prints.
pub const REDACTED: &str = "***";

/// The longest quote, in characters. Long enough for any of Port's error messages, short enough
/// for an annotation.
const LONGEST_QUOTE: usize = 300;

/// Text from outside, safe to print: on one line, without secrets, control or direction-changing
/// characters, and cut to 300 characters.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Quote(String);

impl Quote {
    /// Quotes `text`, which is known to hold none of our secrets.
    #[must_use]
    pub fn new(text: &str) -> Self {
        Self::without(text, &[])
    }

    /// Quotes `text` with every occurrence of `secrets` replaced by [`REDACTED`].
    ///
    /// The secrets go before the cut: a secret cut in half would no longer be recognised, by us or
    /// by the runner.
    #[must_use]
    pub fn without(text: &str, secrets: &[&SecretString]) -> Self {
        let text = redact(text, secrets.iter().copied());
        let visible: String = text
            .chars()
            .map(|c| if is_visible(c) { c } else { ' ' })
            .collect();
        let one_line = visible.split_whitespace().collect::<Vec<_>>().join(" ");
        let mut quote: String = one_line.chars().take(LONGEST_QUOTE).collect();
        if quote.len() < one_line.len() {
            quote.push('…');
        }
        Self(quote)
    }

    /// Whether nothing worth showing was left.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

impl fmt::Display for Quote {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// Replaces every occurrence of each secret in `text` by [`REDACTED`]: as it is, and as JSON, a form
/// or a URL writes it, since a server may repeat our request in its answer. The longest goes first,
/// so that a secret that contains another leaves nothing behind.
pub fn redact<'a>(text: &str, secrets: impl IntoIterator<Item = &'a SecretString>) -> String {
    let mut forms: Vec<String> = secrets
        .into_iter()
        .map(ExposeSecret::expose_secret)
        .filter(|secret| !secret.is_empty())
        .flat_map(written_forms)
        .collect();
    forms.sort_by_key(|form| std::cmp::Reverse(form.len()));
    forms
        .iter()
        .fold(text.to_owned(), |text, form| text.replace(form, REDACTED))
}

fn written_forms(secret: &str) -> [String; 4] {
    let json = serde_json::Value::from(secret).to_string();
    let form: String = url::form_urlencoded::byte_serialize(secret.as_bytes()).collect();
    [
        secret.to_owned(),
        json[1..json.len() - 1].to_owned(),
        form.replace('+', "%20"),
        form,
    ]
}

/// Whether a character may appear in a line of the log: no control characters (C0, C1), and none
/// of the invisible ones that reorder or hide text (Unicode's bidirectional controls, zero-width
/// characters, line separators, tags).
fn is_visible(c: char) -> bool {
    !c.is_control()
        && !matches!(
            c,
            '\u{ad}'
                | '\u{61c}'
                | '\u{180e}'
                | '\u{200b}'..='\u{200f}'
                | '\u{2028}'..='\u{202e}'
                | '\u{2060}'..='\u{206f}'
                | '\u{feff}'
                | '\u{fff9}'..='\u{fffb}'
                | '\u{e0000}'..='\u{e007f}'
        )
}

/// Joins names as a sentence does: `a`, `a or b`, `a, b or c`.
#[must_use]
pub fn either<T: fmt::Display>(choices: &[T]) -> String {
    match choices {
        [] => String::new(),
        [only] => format!("`{only}`"),
        [first @ .., last] => {
            let first: Vec<String> = first.iter().map(|choice| format!("`{choice}`")).collect();
            format!("{} or `{last}`", first.join(", "))
        }
    }
}

/// The candidate that `word` was most likely meant to be, if any is near: a third of the word may
/// differ, or it is the same word but for case, hyphens and underscores (`clientId`, `client-id`).
pub fn nearest<'a>(word: &str, candidates: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    let letters = |text: &str| text.to_lowercase().replace(['_', '-', ' '], "");
    let bare = letters(word);
    candidates
        .into_iter()
        .map(|candidate| (strsim::osa_distance(&bare, &letters(candidate)), candidate))
        .filter(|(distance, candidate)| *distance <= candidate.len().min(word.len()) / 3)
        .min_by_key(|(distance, _)| *distance)
        .map(|(_, candidate)| candidate)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn a_quote_is_one_visible_line() {
        let hostile = "a\u{1b}[31mred\r\n::error::x\u{202e}\u{200b}\u{2028}end\u{7f}\u{9b}";
        assert_eq!(Quote::new(hostile).to_string(), "a [31mred ::error::x end");
    }

    #[test]
    fn a_secret_at_the_cut_leaves_nothing_behind() {
        let secret = SecretString::from("s3cr3t-value-of-some-length");
        let text = format!(
            "{}s3cr3t-value-of-some-length",
            "x".repeat(LONGEST_QUOTE - 5)
        );
        let quote = Quote::without(&text, &[&secret]).to_string();
        assert!(!quote.contains("s3cr"), "{quote}");
    }

    #[test]
    fn the_longer_secret_goes_first() {
        let secrets = [SecretString::from("abc"), SecretString::from("abcdef")];
        assert_eq!(redact("x abcdef y abc", &secrets), "x *** y ***");
    }

    #[test]
    fn near_misses_are_found_and_strangers_are_not() {
        let known = ["client_id", "client_secret", "allowed_tools", "region"];
        assert_eq!(nearest("clientId", known), Some("client_id"));
        assert_eq!(nearest("client-secret", known), Some("client_secret"));
        assert_eq!(nearest("allowed_tool", known), Some("allowed_tools"));
        assert_eq!(nearest("regoin", known), Some("region"));
        assert_eq!(nearest("prompt", known), None);
    }

    #[test]
    fn a_secret_is_found_as_json_forms_and_urls_write_it() {
        let secret = SecretString::from(r#"a+b"c /d"#);
        let text = r#"{"x":"a+b\"c /d"} x=a%2Bb%22c+%2Fd&y=a%2Bb%22c%20%2Fd"#;
        assert_eq!(redact(text, [&secret]), r#"{"x":"***"} x=***&y=***"#);
    }

    proptest! {
        #[test]
        fn nothing_of_a_secret_survives(
            before in ".{0,400}", secret in "[A-Za-z0-9+/=._-]{8,40}", after in ".{0,400}",
        ) {
            let hidden = SecretString::from(secret.clone());
            let quote = Quote::without(&format!("{before}{secret}{after}"), &[&hidden]).to_string();
            prop_assert!(!quote.contains(&secret));
            prop_assert!(quote.chars().count() <= LONGEST_QUOTE + 1);
            prop_assert!(quote.chars().all(is_visible));
        }
    }
}
