//! Small looks at YAML text around a known place, to find where a value starts and ends on its line.

use std::ops::Range;

/// What stands before a value: where the value itself starts, and the tag on the way.
pub(super) struct Lead {
    pub(super) at: usize,
    pub(super) tag: Option<Range<usize>>,
}

/// The start of the next value after `from`: past blanks, comments, punctuation, `&anchors` and `!tags`.
pub(super) fn lead(text: &str, from: usize) -> Lead {
    properties(text, punctuation(text, from, b",:[]{}-?"))
}

/// The same for a list or map, whose own `[`, `{` or first `-` is its start.
pub(super) fn opening(text: &str, from: usize) -> Lead {
    properties(text, punctuation(text, from, b",:?"))
}

/// Past the `,` or the `- ` before the next item of a list.
pub(super) fn item(text: &str, from: usize) -> usize {
    let at = punctuation(text, from, b",");
    let rest = &text[at..];
    if rest.starts_with('-') && rest[1..].starts_with([' ', '\t', '\r', '\n']) { at + 1 } else { at }
}

/// Passes blanks, comments and these marks; `-`, `?` and `:` only where a blank follows.
fn punctuation(text: &str, from: usize, marks: &[u8]) -> usize {
    let bytes = text.as_bytes();
    let mut at = from;
    while let Some(&byte) = bytes.get(at) {
        let blank_follows = bytes.get(at + 1).is_none_or(u8::is_ascii_whitespace);
        match byte {
            b' ' | b'\t' | b'\r' | b'\n' => at += 1,
            b'#' if at == 0 || bytes[at - 1].is_ascii_whitespace() => at = end_of_line(text, at),
            b'-' | b'?' if marks.contains(&byte) && blank_follows => at += 1,
            b'-' if text[at..].starts_with("---") => at += 3,
            b',' | b':' | b'[' | b']' | b'{' | b'}' if marks.contains(&byte) => at += 1,
            0xEF if text[at..].starts_with('\u{feff}') => at += 3,
            _ => break,
        }
    }
    at
}

/// Passes `&anchor` and `!tag`, and the blanks behind them.
fn properties(text: &str, mut at: usize) -> Lead {
    let mut tag = None;
    while let Some(b'&' | b'!') = text.as_bytes().get(at) {
        let length = text[at..].find([' ', '\t', '\r', '\n', ',', ']', '}']).unwrap_or(text.len() - at);
        if text.as_bytes()[at] == b'!' {
            tag = Some(at..at + length);
        }
        at = punctuation(text, at + length, b"");
    }
    Lead { at, tag }
}

/// The end of a scalar that starts at `at`, and whether it is quoted or a block (`|`, `>`): for the caret, so a value
/// of many lines ends with its first.
pub(super) fn scalar_end(text: &str, at: usize) -> (usize, bool) {
    let bytes = text.as_bytes();
    match bytes.get(at) {
        Some(&quote @ (b'"' | b'\'')) => (closing_quote(text, at, quote), true),
        Some(b'|' | b'>') => (line_end(text, at), true),
        _ => (line_end(text, at), false),
    }
}

fn closing_quote(text: &str, at: usize, quote: u8) -> usize {
    let bytes = text.as_bytes();
    let mut end = at + 1;
    while let Some(&byte) = bytes.get(end) {
        match byte {
            b'\\' if quote == b'"' => end += 1,
            _ if byte == quote && quote == b'\'' && bytes.get(end + 1) == Some(&quote) => end += 1,
            _ if byte == quote => return end + 1,
            _ => {}
        }
        end += 1;
    }
    text.len()
}

/// Where reading goes on after a scalar from `start` to `end`: a block's lines are indented deeper than its first.
pub(super) fn scalar_after(text: &str, start: usize, end: usize) -> usize {
    if !matches!(text.as_bytes().get(start), Some(b'|' | b'>')) {
        return end;
    }
    let line = text[..start].rfind('\n').map_or(0, |newline| newline + 1);
    let indent = |line: &str| line.len() - line.trim_start_matches(' ').len();
    let own = indent(&text[line..]);
    let mut after = end_of_line(text, start);
    for line in text[after..].split_inclusive('\n').skip(1) {
        if !line.trim().is_empty() && indent(line) <= own {
            break;
        }
        after += line.len();
    }
    after
}

/// The end of what is written on the line of `at`, its comment and trailing blanks left out.
pub(super) fn line_end(text: &str, at: usize) -> usize {
    let line = &text[at..end_of_line(text, at)];
    let line = line.find(" #").map_or(line, |comment| &line[..comment]);
    at + line.trim_end().len()
}

fn end_of_line(text: &str, at: usize) -> usize {
    text[at..].find('\n').map_or(text.len(), |length| at + length)
}
