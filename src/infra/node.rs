//! A YAML file as a tree that forgets nothing: every value with its place, every key, also those written twice.

use super::problem::{Path, Place, Problem};

/// A value in the file.
#[derive(Debug, Clone)]
pub(super) struct Node {
    pub(super) place: Place,
    /// `!!binary` and the like, as written.
    pub(super) tag: Option<String>,
    pub(super) kind: Kind,
}

/// What the value is.
#[derive(Debug, Clone)]
pub(super) enum Kind {
    /// The text as it was written: `0755` is `0755`, `1.10` is `1.10`. Plain means without quotes.
    Scalar {
        text: String,
        plain: bool,
    },
    List(Vec<Node>),
    Map(Vec<Entry>),
}

/// A `key: value` pair.
#[derive(Debug, Clone)]
pub(super) struct Entry {
    pub(super) key: String,
    pub(super) plain: bool,
    pub(super) place: Place,
    pub(super) value: Node,
}

impl Node {
    /// An empty map, for a file without a word in it.
    pub(super) fn empty(file: usize) -> Self {
        Self { place: Place { file, start: 0, end: 0 }, tag: None, kind: Kind::Map(Vec::new()) }
    }

    /// Nothing was written, or `null` or `~`.
    pub(super) fn is_null(&self) -> bool {
        matches!(&self.kind, Kind::Scalar { text, plain: true } if matches!(text.as_str(), "" | "~" | "null" | "Null" | "NULL"))
    }

    /// What it is, for people.
    pub(super) fn what(&self) -> &'static str {
        match &self.kind {
            _ if self.is_null() => "nothing",
            Kind::Scalar { text, plain: true } if matches!(text.as_str(), "true" | "false") => "true or false",
            Kind::Scalar { text, plain: true } if text.parse::<f64>().is_ok() => "a number",
            Kind::Scalar { .. } => "a text",
            Kind::List(_) => "a list",
            Kind::Map(_) => "a map",
        }
    }

    /// The entries of a map, none for anything else.
    pub(super) fn entries(&self) -> &[Entry] {
        match &self.kind {
            Kind::Map(entries) => entries,
            _ => &[],
        }
    }

    /// The text of a scalar.
    pub(super) fn text(&self) -> Option<&str> {
        match &self.kind {
            Kind::Scalar { text, .. } if !self.is_null() => Some(text),
            _ => None,
        }
    }

    /// The value of a key of a map.
    pub(super) fn get(&self, key: &str) -> Option<&Entry> {
        self.entries().iter().find(|entry| entry.key == key)
    }

    /// Replaces merge keys (`<<: *base`) by what they stand for; what the map says itself wins.
    pub(super) fn merge(&mut self, problems: &mut Vec<Problem>) {
        match &mut self.kind {
            Kind::Scalar { .. } => {}
            Kind::List(items) => {
                for item in items {
                    item.merge(problems);
                }
            }
            Kind::Map(entries) => {
                for entry in entries.iter_mut() {
                    entry.value.merge(problems);
                }
                if entries.iter().any(Entry::is_merge) {
                    let (merges, own) = std::mem::take(entries).into_iter().partition(Entry::is_merge);
                    *entries = merged(merges, own, problems);
                }
            }
        }
    }
}

impl Entry {
    /// `x-…`: the user's own note or anchor, not for anklume.
    pub(super) fn is_note(&self) -> bool {
        self.key.starts_with("x-")
    }

    fn is_merge(&self) -> bool {
        self.plain && self.key == "<<"
    }
}

/// The entries of a map with merge keys: first what it takes over, then its own. Of several sources the first wins.
fn merged(merges: Vec<Entry>, own: Vec<Entry>, problems: &mut Vec<Problem>) -> Vec<Entry> {
    let mut all: Vec<Entry> = Vec::new();
    for (count, merge) in merges.into_iter().enumerate() {
        if count > 0 {
            problems.push(
                Problem::error(Path::default(), "`<<` is written twice in one map")
                    .at_place(merge.place)
                    .help("write one list: `<<: [*first, *second]`"),
            );
        }
        let place = merge.value.place;
        let sources = match merge.value.kind {
            Kind::List(items) => items,
            _ => vec![merge.value],
        };
        for source in sources {
            let Kind::Map(entries) = source.kind else {
                problems.push(
                    Problem::error(
                        Path::default(),
                        format!("`<<` takes over a map or a list of maps, and this is {}", source.what()),
                    )
                    .at_place(place)
                    .help("write `<<: *name`, where `&name` stands at a map above"),
                );
                continue;
            };
            let new = |entry: &Entry| !entry.is_note() && !own.iter().chain(&all).any(|other| other.key == entry.key);
            let entries: Vec<Entry> = entries.into_iter().filter(new).collect();
            all.extend(entries);
        }
    }
    all.extend(own);
    all
}
