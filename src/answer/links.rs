//! Takes the effect of what a reader of an answer does not expect from it: what is fetched when the text is read, what
//! leads to another host, and what notifies users.
//!
//! Markdown has many forms of links, and parsers disagree on some. Therefore, no form is recognized here: outside of
//! code, each character that all forms of a kind need is broken, such as the colon of `://`. Comrak, which is written
//! after GitHub's parser, says what is code. The two disagree on where some paragraphs end, so a code span counts only if
//! that makes no difference. A change can make other text code, so the text is read again until nothing changes. If that
//! needs too many readings, the whole text becomes a code block.

use std::ops::Range;

use comrak::nodes::{NodeCode, NodeCodeBlock, NodeValue};
use comrak::{Arena, Options, parse_document};
use url::Url;

use crate::port;
use crate::text::longest_backticks;

/// The maximum size of a text that stays Markdown, in bytes. GitHub shows no larger one: it is the limit of a job
/// summary. It also limits the memory of the parser.
const LARGEST: usize = 1024 * 1024;

/// The maximum number of times that a text is read.
const MOST_PASSES: usize = 8;

/// The languages of code blocks that GitHub draws, or that a click applies.
const DRAWN: [&str; 6] = [
    "geojson",
    "math",
    "mermaid",
    "stl",
    "suggestion",
    "topojson",
];

/// The entities that are kept. Others can be a part of a link or of a mention.
const ENTITIES: [&str; 18] = [
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
    let text = text.trim_start_matches('\u{feff}');
    let text = text.replace("\r\n", "\n").replace('\r', "\n");
    let mut text = text.replace('\0', "\u{fffd}");
    let mut places = 0;
    if text.len() > LARGEST {
        let mut writer = Writer::new(&text, github);
        writer.write(&text, 0..text.len(), false);
        places = writer.places;
    } else {
        for _ in 0..MOST_PASSES {
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

/// Code in a text, with the backticks or fences around it.
struct Code {
    start: usize,
    end: usize,
    kind: Kind,
}

#[derive(PartialEq)]
enum Kind {
    Span,
    Indented,
    /// `info`: where the info string begins, at the end of the opening fence.
    Fenced {
        info: usize,
    },
}

/// The code in a text, in order. What is not found where the parser says is not code.
fn code(text: &str) -> Vec<Code> {
    let mut options = Options::default();
    options.extension.footnotes = true;
    options.extension.strikethrough = true;
    options.extension.table = true;
    options.extension.tasklist = true;
    let arena = Arena::new();
    let lines: Vec<&str> = text.split_inclusive('\n').collect();
    let mut offsets = vec![0];
    for line in &lines {
        offsets.push(offsets[offsets.len() - 1] + line.len());
    }
    let at = |line: usize, column: usize| {
        Some(offsets.get(line.checked_sub(1)?)? + column.checked_sub(1)?)
    };
    let mut cell = None;
    // Whether each line is a part of a code block.
    let mut is_block = vec![false; lines.len()];
    let mut found: Vec<Code> = Vec::new();
    let mut spans = Vec::new();
    for node in parse_document(&arena, text, &options).descendants() {
        let node = node.data();
        let (first, last) = (node.sourcepos.start, node.sourcepos.end);
        let Some(start) = at(first.line, first.column) else {
            continue;
        };
        let line = first.line - 1;
        match &node.value {
            NodeValue::TableCell => {
                cell = Some(Cell {
                    line,
                    read: start,
                    at: start,
                });
            }
            NodeValue::Code(code) if first.line == last.line => {
                let mut span = start..start + 1 + last.column.saturating_sub(first.column);
                if let Some(cell) = cell.as_mut().filter(|cell| cell.line == line) {
                    span = cell.position(text, span.start)..cell.position(text, span.end);
                }
                spans.extend(code_span(text, code, span).map(|code| (line, code)));
            }
            NodeValue::CodeBlock(code) => {
                if let Some((block, end)) = code_block(code, start, line, &lines, &offsets) {
                    let closing = usize::from(code.fenced && code.closed);
                    let end = (end + closing).min(lines.len());
                    is_block[line..end].fill(true);
                    found.push(block);
                }
            }
            _ => {}
        }
    }
    let is_clear = clear_lines(&lines, &is_block);
    let spans = spans.into_iter().filter(|(line, _)| is_clear[*line]);
    found.extend(spans.map(|(_, code)| code));
    // The parser moves footnotes to the end.
    found.sort_by_key(|code| code.start);
    let mut end = 0;
    found.retain(|code| {
        let follows = code.start >= end;
        if follows {
            end = code.end;
        }
        follows
    });
    found
}

/// A cell of a table. The parser reads it without the backslashes of `\|`, and counts positions without them.
struct Cell {
    line: usize,
    /// A position as the parser counts, and the position in the text.
    read: usize,
    at: usize,
}

impl Cell {
    /// The position in the text. The positions that are asked for increase.
    fn position(&mut self, text: &str, read: usize) -> usize {
        while self.read < read {
            let is_escaped = text.as_bytes()[self.at.min(text.len())..].starts_with(br"\|");
            self.at += 1 + usize::from(is_escaped);
            self.read += 1;
        }
        self.at
    }
}

/// The code span, if it is there.
fn code_span(text: &str, code: &NodeCode, Range { start, end }: Range<usize>) -> Option<Code> {
    let source = text.get(start..end)?;
    let fence = "`".repeat(code.num_backticks);
    let inner = source.strip_prefix(&*fence)?.strip_suffix(&*fence)?;
    // In a table, `|` is escaped.
    let is_text = |c: &char| !c.is_whitespace() && *c != '\\';
    let is_same = inner
        .chars()
        .filter(is_text)
        .eq(code.literal.chars().filter(is_text));
    // `]:` can be a part of a definition, which a parser finds before code.
    let is_ambiguous = inner.starts_with('`') || inner.ends_with('`') || inner.contains("]:");
    (is_same && !is_ambiguous).then_some(Code {
        start,
        end,
        kind: Kind::Span,
    })
}

/// Of each line, whether its code spans are the same wherever a paragraph or a cell of a table begins: no backtick before
/// them, back to an empty line or a code block, is without its pair in its own line and cell.
fn clear_lines(lines: &[&str], is_block: &[bool]) -> Vec<bool> {
    let is_end = |index: &usize| is_block[*index] || lines[*index].chars().all(is_space);
    let mut clear = vec![false; lines.len()];
    let mut start = 0;
    while start < lines.len() {
        let end = (start..lines.len()).find(is_end).unwrap_or(lines.len());
        let paragraph = &lines[start..end];
        let has_cells = paragraph.iter().any(|line| may_begin_table(line));
        let mut cells = paragraph.iter().flat_map(|line| cells(line));
        let is_clear =
            paragraph.iter().all(|line| is_paired(line)) && (!has_cells || cells.all(is_paired));
        clear[start..end].fill(is_clear);
        start = end + 1;
    }
    clear
}

/// Whether a line is empty, except for the marks of quotes.
fn is_empty(line: &str) -> bool {
    line.chars().all(|c| c == '>' || is_space(c))
}

/// Whether the line can be the second one of a table, also in a list or a quote.
fn may_begin_table(line: &str) -> bool {
    let is_mark = |c: char| c.is_ascii_digit() || c.is_whitespace() || "|:->+*.)".contains(c);
    line.contains('-') && line.chars().all(is_mark)
}

/// The cells of a line, if it is a row of a table.
fn cells(line: &str) -> impl Iterator<Item = &str> {
    let mut is_escaped = false;
    line.split(move |c| {
        let is_end = c == '|' && !is_escaped;
        is_escaped = c == '\\';
        is_end
    })
}

/// Whether each backtick belongs to a code span in the text, or is escaped.
fn is_paired(text: &str) -> bool {
    let mut rest = text;
    while let Some(at) = rest.find(['`', '\\']) {
        if rest[at..].starts_with('\\') {
            // The escaped character can be a backtick.
            rest = rest[at + 1..]
                .strip_prefix(['`', '\\'])
                .unwrap_or(&rest[at + 1..]);
            continue;
        }
        let inner = rest[at..].trim_start_matches('`');
        let length = rest.len() - at - inner.len();
        let Some(end) = closing(inner, length) else {
            return false;
        };
        rest = &inner[end..];
    }
    true
}

/// Where the code span ends whose opening backticks are before the text.
fn closing(text: &str, length: usize) -> Option<usize> {
    let mut from = 0;
    loop {
        let start = from + text[from..].find('`')?;
        let run = text[start..].len() - text[start..].trim_start_matches('`').len();
        from = start + run;
        if run == length {
            return Some(from);
        }
    }
}

/// The code block that begins in the line with this index, if it is there, and the line that follows on it.
fn code_block(
    code: &NodeCodeBlock,
    start: usize,
    line: usize,
    lines: &[&str],
    offsets: &[usize],
) -> Option<(Code, usize)> {
    let mut kind = Kind::Indented;
    let mut next = line;
    if code.fenced {
        let fence = lines[line].get(start - offsets[line]..)?;
        let fence = fence.len() - fence.trim_start_matches(char::from(code.fence_char)).len();
        if fence < 3 {
            return None;
        }
        kind = Kind::Fenced {
            info: start + fence,
        };
        next += 1;
    } else if line > 0 && !is_empty(lines[line - 1]) {
        // For another parser, it could continue a paragraph.
        return None;
    }
    for expected in code.literal.lines() {
        // A tab is in the text as spaces, if only a part of it belongs to the code. Before a line can be the marks of
        // quotes.
        let (line, expected) = (lines.get(next)?.trim_end(), expected.trim());
        let is_same = match expected {
            "" => is_empty(line),
            _ => line.ends_with(expected),
        };
        is_same.then_some(())?;
        next += 1;
    }
    let end = *offsets.get(next)?;
    (start < end).then_some((Code { start, end, kind }, next))
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
        let mut dollars = text.match_indices('$').rev();
        let last = dollars.find(|(at, _)| text[..*at].ends_with(|c: char| !c.is_whitespace()));
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

    /// Writes a part of a text that is not code. `before_span`: a code span follows.
    fn write(&mut self, text: &str, Range { start, end }: Range<usize>, before_span: bool) {
        let mut word = Word::default();
        let mut at = start;
        while let Some(c) = text[at..end].chars().next() {
            let next = at + c.len_utf8();
            let after = &text[next..end];
            if self.counted_until == Some(c)
                || c == '\n'
                || c == ' ' && self.counted_until == Some(')')
            {
                self.counted_until = None;
            }
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
                '[' => {
                    self.brackets.push(false);
                    // GitHub's parser ends a task that has no text: the next line begins a paragraph.
                    let is_escaped = self.out.ends_with('\\');
                    if is_empty_task(after, before_span) && !is_escaped {
                        self.out.push('\\');
                    }
                    self.out.push(c);
                    // A reference to a footnote: GitHub's parser makes text of the code in it.
                    if after.trim_start_matches('\\').starts_with('^') {
                        self.out.push(' ');
                    }
                }
                ']' => {
                    let is_image = self.brackets.pop().unwrap_or_default();
                    self.out.push(c);
                    if after.starts_with('(') && known(next + 1).is_none() {
                        if is_image {
                            self.counted_until = Some(')');
                        } else {
                            self.count(Some(')'));
                        }
                    } else if after.starts_with('(') {
                        self.out.push('(');
                        skipped = 1;
                    }
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
                        self.out.push_str(&text[at..at + url.length]);
                        if url.needs_slash {
                            self.out.push('/');
                        }
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

/// What ends a URL and is in empty lines, for all parsers.
fn is_space(c: char) -> bool {
    matches!(c, ' ' | '\n' | '\t')
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
    let host = &rest[..length(rest, |c| {
        c.is_ascii_alphanumeric() || matches!(c, '-' | '.')
    })];
    // At the end of a sentence.
    let host = host.trim_end_matches('.');
    let digits = rest[host.len()..].strip_prefix(':');
    let digits = digits.map(|digits| &digits[..length(digits, |c| c.is_ascii_digit())]);
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
    let rest = after.strip_prefix([' ', 'x', 'X']);
    let Some(rest) = rest.and_then(|rest| rest.strip_prefix(']')) else {
        return false;
    };
    let rest = rest.trim_start_matches(|c: char| c != '\n' && c.is_whitespace());
    rest.starts_with('\n') || rest.is_empty() && !before_span
}

/// Whether this is the rest of an entity that is not kept.
fn is_entity(after: &str) -> bool {
    let end = after.find(|c: char| !c.is_ascii_alphanumeric() && c != '#');
    end.is_some_and(|end| {
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
