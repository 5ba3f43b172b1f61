//! Takes the effect of what a reader of an answer does not expect from it: what is fetched when the text is read, what
//! leads to another host, and what notifies users.
//!
//! Markdown has many forms of links, and parsers disagree on some. Therefore, no form is recognized here: outside of
//! code, each character that all forms of a kind need is broken, such as the colon of `://`. Comrak, which is written
//! after GitHub's parser, says what is code. The two disagree on where some paragraphs end, so a code span counts only if
//! that makes no difference. A change can make other text code, so the text is read again until nothing changes. If that
//! needs too many readings, the whole text becomes a code block.

use std::ops::Range;

use url::Url;

use super::code::{Code, Kind, code, is_space};
use crate::port;
use crate::text::longest_backticks;

/// The maximum size of a text that stays Markdown, in bytes. GitHub shows no larger one: it is the limit of a job
/// summary. It also limits the memory of the parser.
const MAX_TEXT: usize = 1024 * 1024;

/// The maximum number of times that a text is read.
const MAX_PASSES: usize = 8;

/// The languages of code blocks that GitHub draws, or that a click applies.
const DRAWN: &[&str] = &[
    "geojson",
    "math",
    "mermaid",
    "stl",
    "suggestion",
    "topojson",
];

/// The entities that are kept. Others can be a part of a link or of a mention.
const ENTITIES: &[&str] = &[
    "#39", "amp", "apos", "bull", "copy", "deg", "euro", "gt", "hellip", "larr", "lt", "mdash",
    "middot", "nbsp", "ndash", "quot", "rarr", "times",
];

/// A text without effect, and how many places of it were changed.
pub(crate) struct Disarmed {
    pub(crate) text: String,
    pub(crate) places: usize,
}

/// Takes the effect of images, HTML, formulas, diagrams, mentions, and links to other hosts than that of `github` and
/// Port's. Code stays as it is. The result can be longer.
pub(crate) fn disarm(text: &str, github: &Url) -> Disarmed {
    let mut text = text
        .trim_start_matches('\u{feff}')
        .replace("\r\n", "\n")
        .replace('\r', "\n")
        .replace('\0', "\u{fffd}");
    let mut places = 0;
    if text.len() > MAX_TEXT {
        let mut writer = Writer::new(&text, github);
        writer.write(&text, 0..text.len(), false);
        places = writer.places;
    } else {
        for _ in 0..MAX_PASSES {
            let changed = pass(&text, github);
            places += changed.places;
            if changed.text == text {
                return Disarmed { text, places };
            }
            text = changed.text;
        }
    }
    Disarmed {
        text: in_code_block(&text),
        places,
    }
}

/// The text as a code block.
fn in_code_block(text: &str) -> String {
    let fence = "`".repeat(longest_backticks(text).max(2) + 1);
    format!("{fence}\n{text}\n{fence}")
}

/// Changes the text outside of what is code in it.
fn pass(text: &str, github: &Url) -> Disarmed {
    let mut writer = Writer::new(text, github);
    let mut from = 0;
    for Code { start, end, kind } in code(text) {
        writer.write(text, from..start, kind == Kind::Span);
        match kind {
            Kind::Fenced { info } if is_drawn(&text[info..line_end(text, info)]) => {
                writer.places += 1;
                writer.out.push_str(&text[start..info]);
                writer.out.push_str("text");
                writer.out.push_str(&text[line_end(text, info)..end]);
            }
            _ => writer.out.push_str(&text[start..end]),
        }
        from = end;
    }
    writer.write(text, from..text.len(), false);
    Disarmed {
        text: writer.out,
        places: writer.places,
    }
}

/// Whether GitHub can draw a code block with this info string. It begins with the language, in any case, and can contain
/// entities and escapes.
fn is_drawn(info: &str) -> bool {
    let info = info.trim_start();
    let end = info.find(|c: char| !c.is_ascii_alphanumeric());
    let language = &info[..end.unwrap_or(info.len())];
    info.contains(['&', '\\'])
        || DRAWN
            .iter()
            .any(|drawn| drawn.eq_ignore_ascii_case(language))
}

fn line_end(text: &str, from: usize) -> usize {
    text[from..].find('\n').map_or(text.len(), |at| from + at)
}

/// Writes text without effect.
struct Writer<'a> {
    github: &'a Url,
    out: String,
    places: usize,
    /// Of each open bracket, whether it is that of an image.
    brackets: Vec<bool>,
    /// A place was counted, and the next ones belong to it, up to this character.
    counted_until: Option<char>,
    /// Until where each `$` can begin a formula.
    formulas_until: usize,
}

impl<'a> Writer<'a> {
    fn new(text: &str, github: &'a Url) -> Self {
        // A `$` after whitespace ends no formula.
        let last = text
            .match_indices('$')
            .rfind(|(at, _)| text[..*at].ends_with(|c: char| !c.is_whitespace()));
        Self {
            github,
            out: String::with_capacity(text.len() + text.len() / 8),
            places: 0,
            brackets: Vec::new(),
            counted_until: None,
            formulas_until: last.map_or(0, |(at, _)| at),
        }
    }

    fn count(&mut self, until: Option<char>) {
        if self.counted_until.is_none() {
            self.places += 1;
            self.counted_until = until;
        }
    }

    /// Ends the place that was counted, if this is its last character.
    fn end_place(&mut self, c: char) {
        if self.counted_until == Some(c) || c == '\n' || c == ' ' && self.counted_until == Some(')')
        {
            self.counted_until = None;
        }
    }

    /// Writes the opening bracket before `after`. `before_span`: a code span follows.
    fn open_bracket(&mut self, after: &str, before_span: bool) {
        self.brackets.push(false);
        // GitHub's parser ends a task that has no text: the next line begins a paragraph.
        let is_escaped = self.out.ends_with('\\');
        if is_empty_task(after, before_span) && !is_escaped {
            self.out.push('\\');
        }
        self.out.push('[');
        // A reference to a footnote: GitHub's parser makes text of the code in it.
        if after.trim_start_matches('\\').starts_with('^') {
            self.out.push(' ');
        }
    }

    /// Writes the closing bracket before `after`. `is_known`: it leads to a URL of a known server, and the opening
    /// parenthesis is written too.
    fn close_bracket(&mut self, after: &str, is_known: bool) {
        let is_image = self.brackets.pop().unwrap_or_default();
        self.out.push(']');
        if is_known {
            self.out.push('(');
        } else if after.starts_with('(') {
            if is_image {
                self.counted_until = Some(')');
            } else {
                self.count(Some(')'));
            }
        }
    }

    /// Writes the beginning of a URL of a known server.
    fn known_url(&mut self, url: &str, needs_slash: bool) {
        self.out.push_str(url);
        if needs_slash {
            self.out.push('/');
        }
    }

    /// Writes a part of a text that is not code. `before_span`: a code span follows.
    fn write(&mut self, text: &str, Range { start, end }: Range<usize>, before_span: bool) {
        let mut word = Word::default();
        let mut at = start;
        while let Some(c) = text[at..end].chars().next() {
            let next = at + c.len_utf8();
            let after = &text[next..end];
            self.end_place(c);
            let mut known = |from: usize| {
                word.move_to(&text[..end], from, before_span);
                (!word.has_backtick)
                    .then(|| known(&text[from..end], self.github))
                    .flatten()
            };
            let mut skipped = 0;
            match c {
                // HTML, and links in angle brackets.
                '<' if after
                    .starts_with(|c: char| c.is_ascii_alphabetic() || "/!?".contains(c))
                    && known(next).is_none() =>
                {
                    if !after.starts_with('/') {
                        self.count(Some('>'));
                    }
                    self.out.push_str("&lt;");
                }
                '&' if is_entity(after) => {
                    self.count(None);
                    self.out.push_str("&amp;");
                }
                '!' if after.starts_with('[') => {
                    self.count(None);
                    self.brackets.push(true);
                    self.out.push_str(r"!\[");
                    skipped = 1;
                }
                '[' => self.open_bracket(after, before_span),
                ']' => {
                    let is_known = after.starts_with('(') && known(next + 1).is_some();
                    self.close_bracket(after, is_known);
                    skipped = usize::from(is_known);
                }
                ':' if is_slashes(after) => {
                    self.count(None);
                    self.out.push_str("[:]");
                }
                // The destination of a link, and a definition.
                '(' | ':' if self.out.ends_with(']') => {
                    self.out.push('\\');
                    self.out.push(c);
                }
                'h' | 'H' => match known(at) {
                    Some(url) => {
                        self.known_url(&text[at..at + url.length], url.needs_slash);
                        skipped = url.length - 1;
                    }
                    None => self.out.push(c),
                },
                'w' | 'W' if is_www(&text[at..end]) => {
                    self.count(None);
                    self.out.push_str(&text[at..at + 3]);
                    self.out.push_str("[.]");
                    skipped = after.find('.').map_or(0, |dot| dot + 1);
                }
                '@' if after.starts_with(|c: char| !c.is_whitespace() && c != ']') => {
                    self.count(None);
                    self.out.push_str("[@]");
                }
                '$' if at < self.formulas_until => {
                    self.count(None);
                    self.out.push('\u{ff04}');
                }
                _ => self.out.push(c),
            }
            at = next + skipped;
        }
    }
}

/// A word, up to whitespace: a parser can take all of it as a link.
#[derive(Default)]
struct Word {
    end: usize,
    has_backtick: bool,
}

impl Word {
    /// Reads each word once.
    fn move_to(&mut self, text: &str, from: usize, before_span: bool) {
        if from < self.end {
            return;
        }
        let rest = &text[from..];
        let length = rest.find(is_space);
        let word = &rest[..length.unwrap_or(rest.len())];
        self.end = from + word.len();
        self.has_backtick = word.contains('`') || length.is_none() && before_span;
    }
}

/// The beginning of a URL of a known server, up to its path.
struct Known {
    length: usize,
    needs_slash: bool,
}

/// The URL at the beginning of the text, if its server is `github` or Port's. The host ends where all parsers agree.
fn known(text: &str, github: &Url) -> Option<Known> {
    let is_https = starts_with(text, "https://");
    let scheme = if is_https { "https://" } else { "http://" };
    if !starts_with(text, scheme) {
        return None;
    }
    let rest = &text[scheme.len()..];
    let length =
        |text: &str, is_part: fn(char) -> bool| text.find(|c| !is_part(c)).unwrap_or(text.len());
    let host_end = length(rest, |c| {
        c.is_ascii_alphanumeric() || matches!(c, '-' | '.')
    });
    // At the end of a sentence.
    let host = rest[..host_end].trim_end_matches('.');
    let digits = rest[host.len()..]
        .strip_prefix(':')
        .map(|digits| &digits[..length(digits, |c| c.is_ascii_digit())]);
    let is_github = is_https == (github.scheme() == "https")
        && github
            .host_str()
            .is_some_and(|known| known.eq_ignore_ascii_case(host))
        && github.port().map(|port| port.to_string()).as_deref() == digits;
    let is_port = is_https && digits.is_none() && port::owns(host);
    if !is_github && !is_port {
        return None;
    }
    let length = scheme.len() + host.len() + digits.map_or(0, |digits| 1 + digits.len());
    let next = text[length..].chars().next();
    let is_end = next.is_none_or(|c| is_space(c) || "/?#".contains(c));
    // The next character could become a part of the host.
    let needs_slash = next.is_some_and(|c| ")>].,;!*|\"'".contains(c));
    (is_end || needs_slash).then_some(Known {
        length,
        needs_slash,
    })
}

fn starts_with(text: &str, prefix: &str) -> bool {
    text.get(..prefix.len())
        .is_some_and(|start| start.eq_ignore_ascii_case(prefix))
}

/// Whether this is the rest of the mark of a task, without text after it. `before_span`: a code span follows.
fn is_empty_task(after: &str, before_span: bool) -> bool {
    let Some(rest) = after
        .strip_prefix([' ', 'x', 'X'])
        .and_then(|rest| rest.strip_prefix(']'))
    else {
        return false;
    };
    let text = rest.trim_start_matches(|c: char| c != '\n' && c.is_whitespace());
    text.starts_with('\n') || text.is_empty() && !before_span
}

/// Whether this is the rest of an entity that is not kept.
fn is_entity(after: &str) -> bool {
    after
        .find(|c: char| !c.is_ascii_alphanumeric() && c != '#')
        .is_some_and(|end| {
            after[end..].starts_with(';') && end > 0 && !ENTITIES.contains(&&after[..end])
        })
}

/// Whether the text begins with two slashes, also escaped.
fn is_slashes(after: &str) -> bool {
    fn without_slash(text: &str) -> Option<&str> {
        text.strip_prefix('\\').unwrap_or(text).strip_prefix('/')
    }
    without_slash(after).and_then(without_slash).is_some()
}

fn is_www(text: &str) -> bool {
    starts_with(text, "www") && text[3..].trim_start_matches('\\').starts_with('.')
}
