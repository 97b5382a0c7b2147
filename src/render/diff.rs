//! Two texts as the lines that go and come, with a few around them.

use crate::ui::{Style, Surface};

/// How many lines that stay are shown around those that do not.
const AROUND: usize = 2;

#[derive(Clone, Copy, PartialEq, Eq)]
enum Line<'a> {
    Stays(&'a str),
    Goes(&'a str),
    Comes(&'a str),
}

/// The difference, each line indented by two; what is left out between two places shows as `…`.
pub(crate) fn diff(before: &str, after: &str, surface: &Surface) -> String {
    let lines = lines(&before.lines().collect::<Vec<_>>(), &after.lines().collect::<Vec<_>>());
    let changed: Vec<usize> = (0..lines.len()).filter(|at| !matches!(lines[*at], Line::Stays(_))).collect();
    let mut text = String::new();
    let mut last = None;
    for (at, line) in lines.iter().enumerate() {
        if !changed.iter().any(|changed| changed.abs_diff(at) <= AROUND) {
            continue;
        }
        if last.is_some_and(|last| last + 1 != at) {
            text.push_str("  …\n");
        }
        last = Some(at);
        let shown = match line {
            Line::Stays(line) => format!("  {line}"),
            Line::Goes(line) => surface.paint(Style::Red, format!("- {line}")),
            Line::Comes(line) => surface.paint(Style::Green, format!("+ {line}")),
        };
        text.push_str(&format!("  {}\n", shown.trim_end()));
    }
    text
}

/// What both begin and end with stays; between these, the longest that they share.
fn lines<'a>(before: &[&'a str], after: &[&'a str]) -> Vec<Line<'a>> {
    let same = |pairs: &mut dyn Iterator<Item = (&&'a str, &&'a str)>| pairs.take_while(|(a, b)| a == b).count();
    let head = same(&mut before.iter().zip(after));
    let (before, after) = (&before[head..], &after[head..]);
    let tail = same(&mut before.iter().rev().zip(after.iter().rev()));
    let (before, ending) = before.split_at(before.len() - tail);
    let start = ending.len();
    let (after, ending) = after.split_at(after.len() - start);
    let mut all = between(before, after);
    all.extend(ending.iter().map(|line| Line::Stays(line)));
    all
}

fn between<'a>(before: &[&'a str], after: &[&'a str]) -> Vec<Line<'a>> {
    // The length of the longest that two ends share, for each pair of places.
    let mut shared = vec![vec![0_usize; after.len() + 1]; before.len() + 1];
    for (a, old) in before.iter().enumerate().rev() {
        for (b, new) in after.iter().enumerate().rev() {
            shared[a][b] = if old == new { shared[a + 1][b + 1] + 1 } else { shared[a + 1][b].max(shared[a][b + 1]) };
        }
    }
    let (mut a, mut b) = (0, 0);
    let mut all = Vec::new();
    while a < before.len() || b < after.len() {
        if a < before.len() && b < after.len() && before[a] == after[b] {
            all.push(Line::Stays(before[a]));
            (a, b) = (a + 1, b + 1);
        } else if b == after.len() || (a < before.len() && shared[a + 1][b] >= shared[a][b + 1]) {
            all.push(Line::Goes(before[a]));
            a += 1;
        } else {
            all.push(Line::Comes(after[b]));
            b += 1;
        }
    }
    all
}

#[cfg(test)]
mod tests {
    use super::*;

    const PLAIN: Surface = Surface { terminal: false, color: false, width: 80 };

    #[test]
    fn only_what_goes_and_comes_is_shown_with_a_little_around_it() {
        let before = "a\nb\nc\nd\ne\nf\ng\nh\ni\nj\n";
        let after = "a\nB\nc\nd\ne\nf\ng\nh\ni\nj\nk\n";
        let expected = "  - b\n  + B\n    c\n    d\n  …\n    i\n    j\n  + k\n";
        assert_eq!(diff(before, after, &PLAIN), expected);
    }

    #[test]
    fn a_text_that_comes_whole_is_shown_whole() {
        assert_eq!(diff("", "a\n\nb\n", &PLAIN), "  + a\n  +\n  + b\n");
        assert_eq!(diff("a\n", "", &PLAIN), "  - a\n");
        assert_eq!(diff("a\n", "a\n", &PLAIN), "");
    }
}
