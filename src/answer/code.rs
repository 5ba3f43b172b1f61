//! What is code in a Markdown text, as far as parsers agree on it.

use std::ops::Range;

use comrak::nodes::{NodeCode, NodeCodeBlock, NodeValue};
use comrak::{Arena, Options, parse_document};

/// Code in a text, with the backticks or fences around it.
pub(super) struct Code {
    pub(super) start: usize,
    pub(super) end: usize,
    pub(super) kind: Kind,
}

#[derive(PartialEq)]
pub(super) enum Kind {
    Span,
    Indented,
    /// `info`: where the info string begins, at the end of the opening fence.
    Fenced {
        info: usize,
    },
}

/// The code in a text, in order. What is not found where the parser says is not code.
pub(super) fn code(text: &str) -> Vec<Code> {
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
    found.extend(
        spans
            .into_iter()
            .filter(|(line, _)| is_clear[*line])
            .map(|(_, code)| code),
    );
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

/// What ends a URL and is in empty lines, for all parsers.
pub(super) fn is_space(c: char) -> bool {
    matches!(c, ' ' | '\n' | '\t')
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
        let opening = lines[line].get(start - offsets[line]..)?;
        let after = opening.trim_start_matches(char::from(code.fence_char));
        let fence = opening.len() - after.len();
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
