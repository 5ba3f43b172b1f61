//! Untrusted text, made safe to show.
//!
//! Text from a server, a file, or an input can contain a secret (an error that repeats the request),
//! terminal escapes, or a workflow command, and can be a megabyte long. Use [`Quote`] for all such text.
//! The registry ([`secrets`]) contains the secrets of this process.

pub mod disguise;
pub mod secrets;

use std::borrow::Cow;
use std::fmt::{self, Write as _};

use secrets::redact;

/// The maximum length of a quote in characters: enough for Port's error messages, and short enough for an
/// annotation.
const MAX_QUOTE: usize = 300;

/// The maximum length of the text that a quote keeps, in bytes: longer than the text that it shows, so that
/// a secret that is registered later can still be recognized as a whole.
const MAX_KEPT: usize = 4096;

/// The maximum length of the text that is read, in bytes. The rest is not shown, even if this contains only spaces.
const MAX_READ: usize = 64 * 1024;

/// Untrusted text that is safe to print: one line of at most 300 characters, without secrets and without
/// control or bidirectional characters.
///
/// Secrets are redacted before the cut, and again when the quote is shown: neither this process nor the
/// runner would recognize half a secret.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Quote(String);

impl Quote {
    /// Quotes `text`.
    #[must_use]
    pub fn new(text: &str) -> Self {
        let is_cut = text.len() > MAX_READ;
        let redacted = redact(&text[..text.floor_char_boundary(MAX_READ)]);
        let visible = redacted
            .chars()
            .map(|c| if is_visible(c) { c } else { ' ' });
        let mut line = String::new();
        let mut is_space = true;
        for c in visible.filter(|c| {
            let was_space = std::mem::replace(&mut is_space, c.is_whitespace());
            !(is_space && was_space)
        }) {
            if line.len() >= MAX_KEPT {
                break;
            }
            line.push(if c.is_whitespace() { ' ' } else { c });
        }
        if is_cut && line.len() < MAX_KEPT {
            // Its last word can be the beginning of a secret.
            line.truncate(line.rfind(' ').unwrap_or_default());
        }
        line.truncate(line.trim_end().len());
        Self(line)
    }

    /// Quotes a name. Spaces and characters that are not visible are shown by their numbers, so that no other name
    /// looks like this one. If the name contains a secret, it is quoted as any text.
    #[must_use]
    pub fn of_name(name: &str) -> Self {
        let is_plain = |c: char| is_visible(c) && !c.is_whitespace() && !is_blank(c);
        let start = &name[..name.floor_char_boundary(MAX_KEPT)];
        if start.chars().all(is_plain) || redact(start) != start {
            return Self::new(name);
        }
        let shown = start.chars().map(|c| match c {
            c if is_plain(c) => c.to_string(),
            c => c.escape_unicode().to_string(),
        });
        Self::new(&shown.collect::<String>())
    }

    /// Whether there is nothing to show.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

impl fmt::Display for Quote {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let text = redact(&self.0);
        match text.char_indices().nth(MAX_QUOTE) {
            Some((end, _)) => write!(f, "{}…", &text[..end]),
            None => f.write_str(&text),
        }
    }
}

/// A value of an input or a variable, as a message names it: `` `value` ``, or why it is not shown.
///
/// It can be any secret of the repository. GitHub's runner masks a secret only as it is, so this shows the value
/// only as it is: on one line, whole, and without characters that the log replaces.
#[must_use]
pub fn as_given(value: &str) -> String {
    match verbatim(value) {
        Ok(value) => format!("`{value}`"),
        Err(reason) => reason,
    }
}

/// As [`as_given`], without the backticks.
///
/// # Errors
/// What a message shows in place of the value.
pub fn verbatim(value: &str) -> Result<&str, String> {
    let length = value.chars().count();
    let reason = if let Some(c) = value.chars().find(|c| is_beyond_bmp(*c)) {
        format!("it contains U+{:04X}", u32::from(c))
    } else if length > MAX_QUOTE {
        format!("it has {length} characters")
    } else if redact(value) != value {
        "it contains a secret".to_owned()
    } else if Quote::new(value).to_string() == value {
        return Ok(value);
    } else {
        "it contains line breaks, repeated spaces, or invisible characters".to_owned()
    };
    Err(format!("a text that is not shown ({reason})"))
}

/// An entry of a list in an input, as a message names it. As [`as_given`], but it is a part of the value: so it is shown
/// only if it looks like a name or a pattern, and not like a line of a secret.
#[must_use]
pub fn as_entry(entry: &str) -> String {
    let is_plain = |c: char| c.is_alphanumeric() || "_-.:;,/@+*?![](){} ".contains(c);
    if entry.chars().all(is_plain) && !entry.contains(": ") {
        as_given(entry)
    } else {
        let length = entry.chars().count();
        format!("an entry that is not shown (it has {length} characters)")
    }
}

/// Whether UTF-16 needs two units for a character, as for most emoji.
#[must_use]
pub fn is_beyond_bmp(c: char) -> bool {
    c > '\u{ffff}'
}

/// The length of a text in UTF-16 units, which the runner counts.
#[must_use]
pub fn utf16_len(text: &str) -> usize {
    text.chars().map(char::len_utf16).sum()
}

/// The maximum number of entries of a list in a message.
const MAX_LISTED: usize = 40;

/// The maximum length of a list in a message, in bytes. A character beyond U+FFFF counts as ten, since the log shows
/// its number. Two such lists fit into an annotation.
const MAX_LIST: usize = 1_500;

/// Names in backticks, separated by commas: at most 40, and then how many more there are. The names come from a
/// server or an input and are quoted.
#[must_use]
pub fn comma_list<'a>(names: impl IntoIterator<Item = &'a str>) -> String {
    let names = names.into_iter();
    comma_list_of(names.map(|name| format!("`{}`", Quote::new(name))))
}

/// As [`comma_list`], for entries that are already quoted.
#[must_use]
pub fn comma_list_of(entries: impl IntoIterator<Item = String>) -> String {
    let (mut shown, more) = bounded(entries);
    match (shown.len(), more) {
        (_, 0) => {}
        (0, more) => shown.push(format!("{more} too long to show")),
        (_, more) => shown.push(format!("and {more} more")),
    }
    shown.join(", ")
}

/// The text of a value whose [`Display`](fmt::Display) can fail, such as that of a time after the year 9999, which a wrong
/// clock can show. `None` if it does.
pub fn written(value: impl fmt::Display) -> Option<String> {
    let mut text = String::new();
    write!(text, "{value}").ok()?;
    Some(text)
}

/// The length of the longest series of backticks: a longer one begins and ends Markdown's code that contains the text.
#[must_use]
pub fn longest_backticks(text: &str) -> usize {
    text.split(|c| c != '`')
        .map(str::len)
        .max()
        .unwrap_or_default()
}

/// JSON in which `##[` is escaped: in a line of the log of GitHub's runner, it can begin a command. Outside of strings,
/// JSON does not contain it.
#[must_use]
pub fn without_command(json: String) -> String {
    if json.contains("##[") {
        json.replace("##[", r"\u0023#[")
    } else {
        json
    }
}

/// Joins values as in a sentence: `a`, `a or b`, `a, b, or c`. As many as in a [`comma_list`].
#[must_use]
pub fn or_list<T: fmt::Display>(choices: &[T]) -> String {
    let (mut shown, more) = bounded(choices.iter().map(|choice| format!("`{choice}`")));
    if more > 0 {
        shown.push(format!("{more} more"));
    }
    match shown.as_slice() {
        [] => String::new(),
        [only] => only.clone(),
        [first, last] => format!("{first} or {last}"),
        [first @ .., last] => format!("{}, or {last}", first.join(", ")),
    }
}

/// The first entries of a list that a message can contain, and how many others there are. One long entry does not hide
/// the ones after it.
fn bounded(entries: impl IntoIterator<Item = String>) -> (Vec<String>, usize) {
    // As long as the log shows it (`runner::log`).
    let length = |c: char| match c {
        '\u{2039}' => 8,
        c if is_beyond_bmp(c) => 10,
        c => c.len_utf8(),
    };
    let mut left = MAX_LIST;
    let mut shown = Vec::new();
    let mut more = 0;
    for entry in entries {
        let room = left.checked_sub(entry.chars().map(length).sum());
        match room.filter(|_| shown.len() < MAX_LISTED) {
            Some(room) => {
                left = room;
                shown.push(entry);
            }
            None => more += 1,
        }
    }
    (shown, more)
}

/// Whether a line of the log may contain a character: no control characters (C0, C1), and no invisible
/// characters that reorder or hide text (Unicode's bidirectional controls, zero-width characters, line
/// separators, tags).
pub(crate) fn is_visible(c: char) -> bool {
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

/// Whether a character has no shape of its own in a name, although it counts as a letter or a mark: fillers of Hangul,
/// vowels of Khmer that no font shows, and selectors of variants.
fn is_blank(c: char) -> bool {
    matches!(
        c,
        '\u{34f}'
            | '\u{115f}'
            | '\u{1160}'
            | '\u{17b4}'
            | '\u{17b5}'
            | '\u{3164}'
            | '\u{fe00}'..='\u{fe0f}'
            | '\u{ffa0}'
            | '\u{e0100}'..='\u{e01ef}'
    )
}

/// The first invisible character of a text that is not a space, a tab, or a line break.
#[must_use]
pub fn invisible_in(text: &str) -> Option<char> {
    let is_layout = |c: &char| matches!(c, '\t' | '\n' | '\r');
    text.chars()
        .filter(|c| !is_layout(c))
        .find(|c| !is_visible(*c))
}

/// Text without the byte-order mark that some editors add.
#[must_use]
pub fn without_mark(text: &str) -> &str {
    text.strip_prefix('\u{feff}').unwrap_or(text)
}

/// JSON in which U+FFFD replaces each escape of half a character, as JavaScript's `toWellFormed` does. JavaScript writes
/// such an escape for text that was cut within an emoji, and other parsers reject it.
#[must_use]
pub fn well_formed(json: &[u8]) -> Cow<'_, [u8]> {
    let unit = |at: usize| {
        let digits = json.get(at..at + 6)?.strip_prefix(br"\u")?;
        u32::from_str_radix(str::from_utf8(digits).ok()?, 16).ok()
    };
    let mut json_with = Cow::Borrowed(json);
    let mut at = 0;
    while let Some(found) = json[at..].iter().position(|byte| *byte == b'\\') {
        at += found;
        at += match (unit(at), unit(at + 6)) {
            (Some(0xd800..0xdc00), Some(0xdc00..0xe000)) => 12,
            (Some(0xd800..0xe000), _) => {
                json_with.to_mut()[at + 2..at + 6].copy_from_slice(b"fffd");
                6
            }
            _ => 2,
        };
        at = at.min(json.len());
    }
    json_with
}

/// The candidate that is most similar to `word`: up to a third of the word may differ. Case, hyphens, and
/// underscores are ignored (`clientId`, `client-id`).
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
    use base64::Engine as _;
    use base64::prelude::BASE64_STANDARD;
    use proptest::prelude::*;
    use secrecy::SecretString;

    #[test]
    fn a_quote_is_one_visible_line() {
        let hostile = "a\u{1b}[31mred\r\n::error::x\u{202e}\u{200b}\u{2028}end\u{7f}\u{9b}";
        assert_eq!(Quote::new(hostile).to_string(), "a [31mred ::error::x end");
    }

    #[test]
    fn a_secret_at_the_cut_is_redacted_as_a_whole() {
        secrets::register(&SecretString::from("s3cr3t-value-of-some-length"));
        let text = format!("{}s3cr3t-value-of-some-length", "x".repeat(MAX_QUOTE - 5));
        let quote = Quote::new(&text).to_string();
        assert!(!quote.contains("s3cr"), "{quote}");
    }

    #[test]
    fn a_secret_that_is_registered_after_the_quote_is_not_shown() {
        let text = format!("{}late-registered-value", "x".repeat(MAX_QUOTE - 5));
        let quote = Quote::new(&text);
        secrets::register(&SecretString::from("late-registered-value"));
        assert!(!quote.to_string().contains("late-"), "{quote}");
    }

    #[test]
    fn lists_end_after_40_names_or_before_they_are_too_long() {
        let names: Vec<String> = (0..50).map(|n| format!("tool_{n}")).collect();
        let text = comma_list(names.iter().map(String::as_str));
        assert!(text.ends_with("`tool_39`, and 10 more"), "{text}");
        let long = "\u{1f600}".repeat(100);
        let text = comma_list([long.as_str(), &long]);
        assert_eq!(text, format!("`{long}`, and 1 more"));
        let longest = "\u{1f600}".repeat(MAX_QUOTE);
        assert_eq!(comma_list([longest.as_str(), "a"]), "`a`, and 1 more");
        assert_eq!(comma_list([longest.as_str()]), "1 too long to show");
        assert_eq!(or_list(&["a", "b", "c"]), "`a`, `b`, or `c`");
        assert!(or_list(&[7; 50]).ends_with("`7`, or 10 more"));
        assert_eq!(comma_list([]), "");
    }

    #[test]
    fn an_input_is_shown_only_as_it_is() {
        for (value, expected) in [
            ("europe", "`europe`"),
            ("gr\u{fc}n", "`gr\u{fc}n`"),
            (
                "a  b",
                "a text that is not shown (it contains line breaks, repeated spaces, or invisible characters)",
            ),
            (
                "a\nb",
                "a text that is not shown (it contains line breaks, repeated spaces, or invisible characters)",
            ),
            (
                "a\u{1f600}",
                "a text that is not shown (it contains U+1F600)",
            ),
        ] {
            assert_eq!(as_given(value), expected);
        }
        assert_eq!(as_entry("list_?"), "`list_?`");
        assert_eq!(
            as_entry("\"key\": \"value\""),
            "an entry that is not shown (it has 14 characters)"
        );
        assert_eq!(
            as_entry("password: x"),
            "an entry that is not shown (it has 11 characters)"
        );
        let long = "x".repeat(MAX_QUOTE + 1);
        assert_eq!(
            as_given(&long),
            "a text that is not shown (it has 301 characters)"
        );
    }

    #[test]
    fn halves_of_characters_are_replaced() {
        for (json, expected) in [
            (r#""a\ud83d""#, r#""a\ufffd""#),
            (
                r#""\ude00\ud83d\ude00\ud83d\n""#,
                r#""\ufffd\ud83d\ude00\ufffd\n""#,
            ),
            (r#""\\ud83d \u00e9 \""#, r#""\\ud83d \u00e9 \""#),
            (r#""\ud83""#, r#""\ud83""#),
        ] {
            let well_formed = well_formed(json.as_bytes());
            assert_eq!(str::from_utf8(&well_formed).unwrap(), expected);
        }
    }

    #[test]
    fn similar_words_are_found_and_others_are_not() {
        let known = ["client_id", "client_secret", "allowed_tools", "region"];
        assert_eq!(nearest("clientId", known), Some("client_id"));
        assert_eq!(nearest("client-secret", known), Some("client_secret"));
        assert_eq!(nearest("allowed_tool", known), Some("allowed_tools"));
        assert_eq!(nearest("regoin", known), Some("region"));
        assert_eq!(nearest("prompt", known), None);
    }

    proptest! {
        // Every secret stays registered, so many cases would make the other tests slow.
        #![proptest_config(ProptestConfig::with_cases(32))]

        #[test]
        fn a_part_of_a_credential_is_redacted_in_any_text(
            before in "[ .]{0,20}", credential in "[0-9A-Za-z+/]{40}", after in "[ .]{0,20}",
            from in 0..14_usize, to in 26..40_usize, separator in "[ \n\u{200b}\u{ad}]{0,3}",
        ) {
            secrets::register(&SecretString::from(credential.clone()));
            let is_shown = |text: &str| {
                let quote = Quote::new(text).to_string();
                let dense: String = quote.chars().filter(|c| !c.is_whitespace()).collect();
                credential.as_bytes().windows(12).any(|part| dense.contains(str::from_utf8(part).unwrap()))
            };
            let (start, end) = (&credential[from..20], &credential[20..to]);
            let text = format!("{before}{start}{separator}{end}{after}");
            prop_assert!(!is_shown(&text), "{}", text);
            let base64 = BASE64_STANDARD.encode(&credential);
            let quote = Quote::new(&base64[from..to]).to_string();
            prop_assert!(!base64[from..to].contains(&quote), "{}", quote);
        }

        #[test]
        fn a_secret_is_redacted_in_any_text(
            before in ".{0,400}", secret in "[!-~]{24,40}", after in ".{0,400}",
        ) {
            secrets::register(&SecretString::from(secret.clone()));
            let quote = Quote::new(&format!("{before}{secret}{after}")).to_string();
            prop_assert!(!quote.contains(&secret));
            prop_assert!(quote.chars().count() <= MAX_QUOTE + 1);
            prop_assert!(quote.chars().all(is_visible));
        }
    }
}
