//! Values on a page of YAML: what is short stands on one line, what is to be said about it above it, and what is not meant
//! to count is a comment.

use super::super::emit;

/// How wide a line may be.
const WIDTH: usize = 110;

/// A value to be written.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Value {
    Text(String),
    List(Vec<Entry>, Style),
    Map(Vec<Entry>, Style),
}

/// A pair of a map, or an item of a list, which has no key.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Entry {
    pub(super) key: String,
    pub(super) value: Value,
    /// Comments above it.
    pub(super) notes: Vec<String>,
    /// It is written as a comment itself.
    pub(super) off: bool,
    /// An empty line comes before it.
    pub(super) apart: bool,
}

/// How a list or a map is laid out.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Style {
    /// Each entry on lines of its own.
    Block,
    /// On one line where it fits and has no more entries than that.
    Line(usize),
}

impl Entry {
    pub(super) fn new(key: impl Into<String>, value: Value) -> Self {
        Self { key: key.into(), value, notes: Vec::new(), off: false, apart: false }
    }
}

impl Value {
    /// A text, a number, a word.
    pub(super) fn text(text: &(impl ToString + ?Sized)) -> Self {
        Self::Text(text.to_string())
    }

    /// Texts on one line.
    pub(super) fn words<S: ToString>(words: impl IntoIterator<Item = S>) -> Self {
        let items = words.into_iter().map(|word| Entry::new("", Self::text(&word)));
        Self::List(items.collect(), Style::Line(usize::MAX))
    }
}

/// The entries of the file itself.
pub(super) fn page(entries: &[Entry]) -> String {
    let mut out = String::new();
    for entry in entries {
        put(&mut out, entry, 0, false);
    }
    out
}

fn put(out: &mut String, entry: &Entry, depth: usize, is_item: bool) {
    if entry.apart && !out.is_empty() {
        out.push('\n');
    }
    let indent = "  ".repeat(depth);
    for line in &entry.notes {
        out.push_str(&indent);
        out.push_str(if line.is_empty() { "#" } else { "# " });
        out.push_str(line);
        out.push('\n');
    }
    if !entry.off {
        out.push_str(&pair(entry, depth, is_item));
        return;
    }
    for line in pair(entry, 0, is_item).lines() {
        out.push_str(&indent);
        out.push_str(if line.is_empty() { "#" } else { "# " });
        out.push_str(line);
        out.push('\n');
    }
}

/// `key: value` or `- value`, its lines indented so far.
fn pair(entry: &Entry, depth: usize, is_item: bool) -> String {
    let indent = "  ".repeat(depth);
    let head = if is_item { format!("{indent}-") } else { format!("{indent}{}:", key(&entry.key)) };
    let room = WIDTH.saturating_sub(head.chars().count() + 1);
    if let Some(line) = on_line(&entry.value, false).filter(|line| line.chars().count() <= room || is_word(entry)) {
        return format!("{head} {line}\n");
    }
    match &entry.value {
        Value::Text(text) => {
            let mut out = head;
            emit::scalar(&mut out, text, false, depth + 1);
            out
        }
        Value::List(items, _) => {
            let mut out = format!("{head}\n");
            for item in items {
                put(&mut out, item, depth + 1, true);
            }
            out
        }
        Value::Map(entries, _) if is_item => {
            let mut block = String::new();
            for entry in entries {
                put(&mut block, entry, depth + 1, false);
            }
            format!("{head} {}", block.trim_start_matches(' '))
        }
        Value::Map(entries, _) => {
            let mut out = format!("{head}\n");
            for entry in entries {
                put(&mut out, entry, depth + 1, false);
            }
            out
        }
    }
}

/// A text of one line has no other way to be written, however long it is.
fn is_word(entry: &Entry) -> bool {
    matches!(entry.value, Value::Text(_))
}

/// The value on one line, where it is to be written so. `inside`: within brackets.
fn on_line(value: &Value, inside: bool) -> Option<String> {
    let bare = |entry: &Entry| entry.notes.is_empty() && !entry.off;
    match value {
        // An empty line at its end would be taken for one between two entries.
        Value::Text(text) if text.contains('\n') && !inside && !text.ends_with("\n\n") => None,
        Value::Text(text) => Some(scalar(text, inside)),
        Value::List(items, style) | Value::Map(items, style) => {
            let most = match style {
                Style::Block if items.is_empty() => 0,
                Style::Block => return None,
                Style::Line(most) => *most,
            };
            let is_list = matches!(value, Value::List(..));
            if items.len() > most || !items.iter().all(bare) {
                return None;
            }
            let one = |entry: &Entry| {
                let text = on_line(&entry.value, true).filter(|text| !text.contains('\n'))?;
                Some(if is_list { text } else { format!("{}: {text}", key(&entry.key)) })
            };
            // Many lines of text are not pressed into one.
            let many = |entry: &Entry| matches!(&entry.value, Value::Text(text) if text.contains('\n'));
            if items.iter().any(many) {
                return None;
            }
            let parts = items.iter().map(one).collect::<Option<Vec<_>>>()?.join(", ");
            Some(if is_list { format!("[{parts}]") } else { format!("{{{parts}}}") })
        }
    }
}

fn key(text: &str) -> String {
    scalar(text, true)
}

fn scalar(text: &str, inside: bool) -> String {
    if is_plain(text, inside) {
        return text.to_owned();
    }
    let mut quoted = String::new();
    emit::quote(&mut quoted, text);
    quoted
}

/// Is it read as the same text without quotes, by every reader of YAML? What looks like a number or a truth is one for some
/// of them, which does no harm: Incus takes texts only.
fn is_plain(text: &str, inside: bool) -> bool {
    let is_nothing = matches!(text, "" | "null" | "Null" | "NULL");
    let first = text.starts_with(|c: char| c.is_alphanumeric() || c == '/');
    let fits = |c: char| c.is_alphanumeric() || " _./+%=@()'-:".contains(c) || (c == ',' && !inside);
    let colon = text.ends_with(':') || text.contains(": ");
    !is_nothing && first && text.chars().all(fits) && !colon && !text.ends_with(' ')
}

#[cfg(test)]
mod tests {
    use super::*;

    fn map<const N: usize>(entries: [(&str, Value); N], style: Style) -> Value {
        Value::Map(entries.map(|(key, value)| Entry::new(key, value)).into(), style)
    }

    #[test]
    fn what_is_short_stands_on_one_line_and_notes_stand_above() {
        let nic = map([("type", Value::text("nic")), ("network", Value::text("net-pro"))], Style::Line(9));
        let mut devices = Entry::new("devices", map([("eth0", nic)], Style::Block));
        devices.notes.push("by hand".into());
        let cron = Entry::new("snapshots_schedule", Value::text("0 12 * * *"));
        let text = page(&[devices, cron, Entry::new("empty", map([], Style::Block))]);
        let expected = "# by hand\ndevices:\n  eth0: {type: nic, network: net-pro}\n\
                        snapshots_schedule: \"0 12 * * *\"\nempty: {}\n";
        assert_eq!(text, expected);
    }

    #[test]
    fn a_text_of_many_lines_is_a_block_and_what_does_not_count_a_comment() {
        let config = map([("user.note", Value::text("one\n two\n")), ("limits.cpu", Value::text(&2))], Style::Line(3));
        let mut dev = Entry::new("dev", map([("config", config)], Style::Line(3)));
        dev.off = true;
        let text = page(&[Entry::new("machines", Value::Map(vec![dev], Style::Block))]);
        let expected = "machines:\n  # dev:\n  #   config:\n  #     user.note: |\n  #       one\n  #        two\n  #     limits.cpu: 2\n";
        assert_eq!(text, expected);
    }

    #[test]
    fn an_item_that_is_too_long_is_written_line_by_line() {
        let long = "a way ".repeat(20);
        let item = map([("from", Value::text("a")), ("description", Value::text(long.trim()))], Style::Line(9));
        let text = page(&[Entry::new("list", Value::List(vec![Entry::new("", item)], Style::Block))]);
        assert_eq!(text, format!("list:\n  - from: a\n    description: {}\n", long.trim()));
    }
}
