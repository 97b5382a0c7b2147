//! Says what is wrong with text that is not YAML, or not the YAML that anklume reads, in words for people.

use super::problem::{Path, Place, Problem};
use super::scan;
use super::yaml::MAX_VALUES;

/// How deep `[` and `{` may nest: the parser's time grows with the square of it.
const MAX_DEPTH: usize = 1000;

/// What stopped the reading.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Why {
    /// The YAML parser: `error` says what.
    Yaml,
    Tag,
    Key,
    TooMany,
    SecondDocument,
}

/// Reading stopped here.
#[derive(Debug)]
pub(super) struct Broken {
    pub(super) why: Why,
    pub(super) error: serde_yaml::Error,
}

/// Text that is not given to the YAML parser at all.
pub(super) fn refused(text: &str, file: usize) -> Option<Problem> {
    let control = |c: char| c.is_control() && !matches!(c, '\t' | '\n' | '\r' | '\u{85}');
    if let Some((start, c)) = text.char_indices().find(|&(_, c)| control(c)) {
        let message = format!("the character U+{:04X} is not allowed in YAML", u32::from(c));
        let help = format!("remove it, or write `\\u{:04X}` between double quotes", u32::from(c));
        return Some(problem(message, Place { file, start, end: start + c.len_utf8() }).help(help));
    }
    let mut depth = 0_usize;
    for (start, byte) in text.bytes().enumerate() {
        match byte {
            b'[' | b'{' => depth += 1,
            b']' | b'}' => depth = depth.saturating_sub(1),
            _ => {}
        }
        if depth > MAX_DEPTH {
            return Some(problem("lists and maps are nested too deeply", Place { file, start, end: start + 1 }));
        }
    }
    None
}

/// What the reading stopped at, and what was probably meant.
pub(super) fn explain(broken: &Broken, text: &str, file: usize) -> Problem {
    let start = broken.error.location().map_or(0, |location| location.index()).min(text.len());
    let start = (0..=start).rev().find(|&at| text.is_char_boundary(at)).unwrap_or(0);
    let end = scan::line_end(text, start).max(start);
    let place = Place { file, start, end };
    match broken.why {
        Why::Tag => problem("tags such as `!name` mean nothing here", place).help("remove the tag"),
        Why::TooMany => {
            let message = format!("this file holds more than {MAX_VALUES} values once its aliases are written out");
            problem(message, place).help("aliases of aliases grow very fast")
        }
        Why::SecondDocument if broken.error.to_string().contains("second") || is_second(&broken.error) => {
            problem("a second YAML document starts here", place)
                .help("write one document per file, without `---` between")
        }
        Why::Key if broken.error.to_string().contains("a key") => {
            problem("a key is a single word, not a list or a map", place)
                .help("a value that starts with `{` or `[` goes between quotes: \"{{ name }}\"")
        }
        _ => explain_parser(&broken.error.to_string(), text, place),
    }
}

/// The second document was read without an error of its own but the one that was asked for.
fn is_second(error: &serde_yaml::Error) -> bool {
    error.to_string().contains("expected nothing")
}

/// The words of the YAML parser, and words for the usual reasons.
fn explain_parser(said: &str, text: &str, place: Place) -> Problem {
    let line = &text[text[..place.start].rfind('\n').map_or(0, |newline| newline + 1)..];
    let line = line.lines().next().unwrap_or_default();
    let here = text[place.start..].chars().next();
    let one = Place { end: place.start + here.map_or(0, char::len_utf8), ..place };
    if line.trim_start_matches(' ').starts_with('\t') || here == Some('\t') {
        let tab = text[..place.start].rfind('\n').map_or(0, |newline| newline + 1) + line.find('\t').unwrap_or(0);
        return problem("a tab cannot indent YAML", Place { start: tab, end: tab + 1, ..place })
            .help("use spaces instead of tabs");
    }
    if said.contains("cannot start any token") {
        let what = here.map_or_else(String::new, |c| format!(" `{c}`"));
        return problem(format!("a value cannot start with{what}"), one).help("put the value between quotes");
    }
    if said.contains("unknown anchor") {
        return problem("this alias names no anchor above it", place)
            .help("`*name` repeats what is marked `&name`; a value that starts with `*` goes between quotes");
    }
    if said.contains("alphabetic or numeric") {
        return problem("a name is missing here", one)
            .help("a value that starts with `*` or `&` goes between quotes: \"*/5 * * * *\"");
    }
    if said.contains("recursion limit") {
        return problem("this is nested too deeply", place).help("an alias cannot stand inside what it repeats");
    }
    if said.contains("repetition limit") {
        return problem("the aliases of this file grow too large", place).help("aliases of aliases grow very fast");
    }
    let (message, help) = explain_words(said);
    // A key without its colon and a quote without its end are noticed later than where they stand.
    let begun = ["could not find expected ':'", "unexpected end of stream"].iter().any(|words| said.contains(words));
    let problem = problem(
        message,
        context(said, text).filter(|_| begun).map_or(place, |start| Place {
            start,
            end: scan::line_end(text, start),
            ..place
        }),
    );
    match help {
        Some(help) => problem.help(help),
        None => problem,
    }
}

/// Where the thing begins that the parser was reading: its words end with `, while … at line 2 column 1`.
fn context(said: &str, text: &str) -> Option<usize> {
    let (_, context) = said.split_once(", while ")?;
    let (_, place) = context.rsplit_once(" at line ")?;
    let (line, column) = place.split_once(" column ")?;
    let (line, column): (usize, usize) = (line.parse().ok()?, column.parse().ok()?);
    let line_start = text.split_inclusive('\n').take(line.checked_sub(1)?).map(str::len).sum::<usize>();
    let (within, _) = text.get(line_start..)?.char_indices().nth(column.checked_sub(1)?)?;
    Some(line_start + within)
}

/// What the parser says most often, and what it means.
fn explain_words(said: &str) -> (String, Option<&'static str>) {
    const WORDS: [(&str, &str, &str); 9] = [
        (
            "mapping values are not allowed",
            "a `key: value` pair cannot stand here",
            "look at the indentation; a text with `: ` in it goes between quotes",
        ),
        (
            "did not find expected key",
            "this does not belong to the map above it",
            "keys of one map start in the same column",
        ),
        (
            "did not find expected '-' indicator",
            "this does not belong to the list above it",
            "every item of a list starts with `- `, in the same column",
        ),
        (
            "could not find expected ':'",
            "a `:` is missing after this key",
            "write `key: value`, with a blank after the `:`",
        ),
        ("expected ',' or ']'", "a list is not closed", "write `]` at its end and `,` between its items"),
        ("expected ',' or '}'", "a map is not closed", "write `}` at its end and `,` between its pairs"),
        ("unexpected end of stream", "a quoted text is not closed", "write the closing quote"),
        (
            "block sequence entries are not allowed",
            "a list item cannot stand here",
            "start the list on a line of its own",
        ),
        ("undefined tag handle", "tags mean nothing here", "remove the tag, or put the value between quotes"),
    ];
    for (words, message, help) in WORDS {
        if said.contains(words) {
            return (message.to_owned(), Some(help));
        }
    }
    let said = said.split(" at line ").next().unwrap_or(said);
    (format!("this is not YAML: {said}"), None)
}

fn problem(message: impl Into<String>, place: Place) -> Problem {
    Problem::error(Path::default(), message).at_place(place)
}
