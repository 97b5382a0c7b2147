//! Writes a tree as YAML again, every scalar as it was written: for cloud-init documents given as maps.

use std::fmt::Write as _;

use super::node::{Entry, Kind, Node};

/// The tree as a YAML document.
pub(super) fn yaml(node: &Node) -> String {
    let mut text = String::new();
    value(&mut text, node, 0);
    text.trim_start_matches('\n').to_owned()
}

/// Writes what comes behind `key:` or `-`, its line end included.
fn value(out: &mut String, node: &Node, depth: usize) {
    if let Some(tag) = &node.tag {
        out.push(' ');
        out.push_str(tag);
    }
    match &node.kind {
        Kind::Scalar { text, plain } => scalar(out, text, *plain, depth),
        Kind::List(items) if items.is_empty() => out.push_str(" []\n"),
        Kind::Map(entries) if entries.is_empty() => out.push_str(" {}\n"),
        Kind::List(items) => {
            out.push('\n');
            for item in items {
                indent(out, depth);
                out.push('-');
                let mut text = String::new();
                value(&mut text, item, depth + 1);
                // `- key: value`, not a dash on a line of its own.
                match text.strip_prefix('\n') {
                    Some(block) => {
                        out.push(' ');
                        out.push_str(block.trim_start_matches(' '));
                    }
                    None => out.push_str(&text),
                }
            }
        }
        Kind::Map(entries) => {
            out.push('\n');
            for Entry { key, plain, value: node, .. } in entries {
                indent(out, depth);
                if *plain && !key.contains('\n') {
                    out.push_str(key);
                } else {
                    quote(out, key);
                }
                out.push(':');
                value(out, node, depth + 1);
            }
        }
    }
}

fn indent(out: &mut String, depth: usize) {
    out.extend(std::iter::repeat_n("  ", depth));
}

pub(super) fn scalar(out: &mut String, text: &str, plain: bool, depth: usize) {
    if plain && text.is_empty() {
        out.push('\n');
    } else if plain && !text.contains('\n') {
        let _ = writeln!(out, " {text}");
    } else if is_literal(text) {
        literal(out, text, depth);
    } else {
        out.push(' ');
        quote(out, text);
        out.push('\n');
    }
}

/// May the text stand as it is behind a `|`?
fn is_literal(text: &str) -> bool {
    let printable =
        |c: char| c == '\n' || c == '\t' || !(c.is_control() || matches!(c, '\u{2028}' | '\u{2029}' | '\u{feff}'));
    text.contains('\n') && !text.starts_with([' ', '\n', '\t']) && text.chars().all(printable)
}

fn literal(out: &mut String, text: &str, depth: usize) {
    let body = text.trim_end_matches('\n');
    out.push_str(match text.len() - body.len() {
        0 => " |-\n",
        1 => " |\n",
        _ => " |+\n",
    });
    let ends = text.strip_suffix('\n').unwrap_or(text);
    for line in ends.split('\n') {
        if !line.is_empty() {
            indent(out, depth.max(1));
            out.push_str(line);
        }
        out.push('\n');
    }
}

pub(super) fn quote(out: &mut String, text: &str) {
    out.push('"');
    for c in text.chars() {
        match c {
            '"' => out.push_str("\\\""),
            '\\' => out.push_str("\\\\"),
            '\n' => out.push_str("\\n"),
            '\t' => out.push_str("\\t"),
            c if c.is_control() || matches!(c, '\u{2028}' | '\u{2029}' | '\u{feff}') => {
                let _ = write!(out, "\\u{:04x}", u32::from(c));
            }
            c => out.push(c),
        }
    }
    out.push('"');
}
