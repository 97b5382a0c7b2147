//! Draws problems for people: the line of the file, a caret under the offending text, and what to do about it.

use std::collections::HashSet;
use std::fmt::Write as _;
use std::ops::Range;

use annotate_snippets::{AnnotationKind, Group, Level as Word, Renderer, Snippet};

use super::problem::{Level, Place, Problem};
use super::source::{Source, Sources};

/// Lines between two places that are still drawn as one stretch of the file.
const NEAR: usize = 8;

/// All problems, in the order of the files, and how many they are.
pub(crate) fn draw(problems: &[Problem], sources: &Sources, color: bool, width: usize) -> String {
    let mut placed: Vec<(Place, &Problem)> =
        problems.iter().map(|problem| (sources.place_of(problem), problem)).collect();
    placed.sort_by_key(|&(place, problem)| (place.file, place.start, problem.level));
    // What is wrong in an anchor is wrong wherever it is repeated: once is enough.
    let mut seen = HashSet::new();
    placed.retain(|&(place, problem)| seen.insert((place, problem.message.as_str())));
    let renderer = if color { Renderer::styled() } else { Renderer::plain() }.term_width(width);
    let mut text = String::new();
    for &(place, problem) in &placed {
        text.push_str(&renderer.render(&[group(place, problem, sources, width)]));
        text.push_str("\n\n");
    }
    text.push_str(&count(&placed, &sources.name));
    text.push('\n');
    text
}

/// A text over several lines, none longer than the width if words allow. What stands in backticks is there to be typed
/// and counts as one word.
fn wrapped(text: &str, width: usize) -> String {
    let mut lines = String::new();
    let mut length = 0;
    let mut open = false;
    let is_gap = |letter: char| {
        open ^= letter == '`';
        letter == ' ' && !open
    };
    for word in text.split(is_gap) {
        let word_length = word.chars().count();
        if length > 0 && length + 1 + word_length > width.max(20) {
            lines.push('\n');
            length = 0;
        } else if length > 0 {
            lines.push(' ');
            length += 1;
        }
        lines.push_str(word);
        length += word_length;
    }
    lines
}

/// `3 errors, 1 warning in infra.yml`.
fn count(placed: &[(Place, &Problem)], name: &str) -> String {
    let mut text = String::new();
    for (level, word) in [(Level::Error, "error"), (Level::Warning, "warning")] {
        let count = placed.iter().filter(|(_, problem)| problem.level == level).count();
        if count > 0 {
            let _ = write!(
                text,
                "{}{count} {word}{}",
                if text.is_empty() { "" } else { ", " },
                if count == 1 { "" } else { "s" }
            );
        }
    }
    if text.is_empty() {
        text.push_str("no problems");
    }
    let _ = write!(text, " in {name}");
    text
}

fn group<'a>(place: Place, problem: &'a Problem, sources: &'a Sources, width: usize) -> Group<'a> {
    let level = match problem.level {
        Level::Error => Word::ERROR,
        Level::Warning => Word::WARNING,
    };
    let mut group = Group::with_title(level.primary_title(problem.message.as_str()));
    let mut marks = vec![(place, None)];
    for (path, label) in &problem.also {
        let place = sources.place(&path.0, super::problem::Spot::Value);
        marks.push((place, Some(label.as_str())));
    }
    while let Some(&(first, _)) = marks.first() {
        let Some(source) = sources.files.get(first.file) else { break };
        let (near, far): (Vec<_>, Vec<_>) = marks.into_iter().partition(|&(mark, _)| is_near(source, first, mark));
        group = group.element(snippet(source, &near, place));
        marks = far;
    }
    match &problem.help {
        Some(help) => group.element(Word::HELP.message(wrapped(help, width.saturating_sub(14)))),
        None => group,
    }
}

fn is_near(source: &Source, one: Place, other: Place) -> bool {
    one.file == other.file && source.line_of(one.start).abs_diff(source.line_of(other.start)) <= NEAR
}

/// The lines around some places of one file.
fn snippet<'a>(
    source: &'a Source,
    marks: &[(Place, Option<&'a str>)],
    main: Place,
) -> Snippet<'a, annotate_snippets::Annotation<'a>> {
    let lines = marks.iter().map(|(place, _)| source.line_of(place.start));
    let first = lines.clone().min().unwrap_or_default();
    let last = lines.max().unwrap_or_default();
    let (start, end) = (source.line_start(first), source.line_start(last + 1));
    let annotations = marks.iter().map(|&(place, label)| {
        let kind = if place == main { AnnotationKind::Primary } else { AnnotationKind::Context };
        kind.span(within(place, start..end)).label(label)
    });
    Snippet::source(&source.text[start..end]).path(source.name.as_str()).line_start(first + 1).annotations(annotations)
}

/// The stretch of a place in the lines that are drawn.
fn within(place: Place, lines: Range<usize>) -> Range<usize> {
    let length = lines.end - lines.start;
    let start = place.start.saturating_sub(lines.start).min(length);
    start..place.end.saturating_sub(lines.start).clamp(start, length)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_help_is_broken_between_words_and_not_within_what_is_to_be_typed() {
        assert_eq!(wrapped("lists what there is here: `incus list`", 34), "lists what there is here:\n`incus list`");
        assert_eq!(wrapped("write `a: 1`, or leave it out", 20), "write `a: 1`, or\nleave it out");
    }
}
