//! Small edits of the text of the file: an entry taken out, put in, one key set. Whoever makes them reads the text again,
//! to see what it says then; what cannot be done here is left to the file's author.

use std::fmt::Write as _;

use super::node::{Entry, Kind, Node};
use super::problem::Place;
use super::source::{Source, Sources};

/// A part of a file that becomes another text.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Splice {
    file: usize,
    start: usize,
    end: usize,
    text: String,
}

impl Splice {
    /// What stands at a place becomes this text.
    pub(super) fn new(place: Place, text: &str) -> Self {
        Self { file: place.file, start: place.start, end: place.end, text: text.to_owned() }
    }

    /// All of those of a file, made on its text.
    pub(super) fn all(splices: &[Self], file: usize, text: &str) -> String {
        let mut of_file: Vec<&Self> = splices.iter().filter(|splice| splice.file == file).collect();
        of_file.sort_by_key(|splice| splice.start);
        let mut text = text.to_owned();
        for Self { start, end, text: new, .. } in of_file.into_iter().rev() {
            text.replace_range(*start..*end, new);
        }
        text
    }
}

/// The lines of an entry of the file, counted from 0.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Block {
    file: usize,
    first: usize,
    /// The line behind it.
    end: usize,
    /// How far its key is indented.
    depth: usize,
}

impl Node {
    /// The same without `ip` and without notes.
    pub(super) fn without_address(&self) -> Self {
        let mut node = self.clone();
        if let Kind::Map(entries) = &mut node.kind {
            entries.retain(|entry| entry.key != "ip" && !entry.is_note());
        }
        if node.is_null() {
            node.kind = Kind::Map(Vec::new());
        }
        node
    }
}

impl Sources {
    /// The entry at a path.
    pub(super) fn find(&self, path: &[&str]) -> Option<&Entry> {
        let mut node: &Node = self.root();
        let mut entry = None;
        for step in path {
            entry = Some(node.get(step)?);
            node = &entry?.value;
        }
        entry
    }

    /// `lines 12 to 17 of infra.yml`, of an entry with lines of its own.
    pub(super) fn lines(&self, path: &[&str]) -> Option<String> {
        let Block { file, first, end, .. } = self.block(self.find(path)?)?;
        let name = &self.files[file].name;
        Some(if end == first + 1 {
            format!("line {end} of {name}")
        } else {
            format!("lines {} to {end} of {name}", first + 1)
        })
    }

    /// The lines of a `key: value` pair; nothing where the key does not begin its line, as in `{a: 1, b: 2}`.
    fn block(&self, entry: &Entry) -> Option<Block> {
        let source = self.files.get(entry.place.file)?;
        let first = source.line_of(entry.place.start);
        let begin = source.line_start(first);
        if !source.text[begin..entry.place.start].chars().all(|c| c == ' ') {
            return None;
        }
        let depth = entry.place.start - begin;
        let lines: Vec<&str> = source.text.lines().collect();
        let of_it = |line: &&&str| {
            let text = line.trim_start_matches(' ');
            text.is_empty() || text.starts_with('#') || line.len() - text.len() > depth
        };
        let rest: Vec<&&str> = lines.get(first + 1..)?.iter().take_while(of_it).collect();
        // Blank lines and comments at its end belong to what comes next.
        let says = |line: &&&str| !line.trim().is_empty() && !line.trim_start().starts_with('#');
        let length = rest.iter().rposition(says).map_or(0, |at| at + 1);
        Some(Block { file: entry.place.file, first, end: first + 1 + length, depth })
    }

    /// The comment lines right above an entry belong to it.
    fn with_comments(&self, block: Block) -> Block {
        let source = &self.files[block.file];
        let lines: Vec<&str> = source.text.lines().take(block.first).collect();
        let indent = " ".repeat(block.depth);
        let is_comment = |line: &&&str| line.strip_prefix(&indent).is_some_and(|rest| rest.starts_with('#'));
        let count = lines.iter().rev().take_while(is_comment).count();
        Block { first: block.first - count, ..block }
    }

    fn machine(&self, domain: &str, name: &str) -> Option<Block> {
        self.block(self.find(&["domains", domain, "machines", name])?)
    }

    /// Takes a machine out of its domain.
    pub(super) fn removal(&self, domain: &str, name: &str) -> Option<Vec<Splice>> {
        let Block { file, first, end, .. } = self.with_comments(self.machine(domain, name)?);
        let source = &self.files[file];
        let (start, end) = (source.line_start(first), source.line_start(end));
        let mut splices = vec![Splice { file, start, end, text: String::new() }];
        let machines = self.find(&["domains", domain, "machines"])?;
        if machines.value.entries().len() == 1 {
            splices.push(self.behind_key(machines, " {}")?);
        }
        Some(splices)
    }

    fn behind_key(&self, entry: &Entry, text: &str) -> Option<Splice> {
        let place = entry.place;
        let source = self.files.get(place.file)?;
        source.text[place.end..].starts_with(':').then(|| Splice {
            file: place.file,
            start: place.end + 1,
            end: place.end + 1,
            text: text.to_owned(),
        })
    }

    /// Puts a machine at the end of a domain; `text` gives its lines, so far indented.
    pub(super) fn insertion(&self, domain: &str, text: impl Fn(usize) -> Option<String>) -> Option<Vec<Splice>> {
        let home = self.find(&["domains", domain])?;
        if let Some(machines) = home.value.get("machines") {
            if let Some(last) = machines.value.entries().last() {
                let block = self.block(last)?;
                return Some(vec![self.after(block, text(block.depth)?)]);
            }
            let block = self.block(machines)?;
            let line = self.after(Block { end: block.first + 1, ..block }, text(block.depth + 2)?);
            return Some([self.emptied(machines)?, vec![line]].concat());
        }
        let block = self.block(home)?;
        let (depth, emptied) = match home.value.entries().first() {
            Some(first) => (self.block(first)?.depth, Vec::new()),
            None => (block.depth + 2, self.emptied(home)?),
        };
        let lines = format!("{}machines:\n{}", " ".repeat(depth), text(depth + 2)?);
        Some([emptied, vec![self.after(block, lines)]].concat())
    }

    /// Takes the `{}` away from behind a key.
    fn emptied(&self, entry: &Entry) -> Option<Vec<Splice>> {
        match &entry.value.kind {
            Kind::Scalar { text, plain: true } if text.is_empty() => Some(Vec::new()),
            Kind::Map(entries) if entries.is_empty() => {
                let (from, place) = (self.behind_key(entry, "")?, entry.value.place);
                (place.file == from.file).then(|| vec![Splice { end: place.end, ..from }])
            }
            _ => None,
        }
    }

    fn after(&self, block: Block, text: String) -> Splice {
        let source = &self.files[block.file];
        let at = source.line_start(block.end);
        let text = if at == source.text.len() && !source.text.ends_with('\n') { format!("\n{text}") } else { text };
        Splice { file: block.file, start: at, end: at, text }
    }

    /// The lines of a machine as they are, but for its name and its address, indented for another place.
    pub(super) fn verbatim(&self, domain: &str, name: &str, new: &str, comments: bool, depth: usize) -> Option<String> {
        let block = self.machine(domain, name)?;
        let whole = if comments { self.with_comments(block) } else { block };
        let address = self.find(&["domains", domain, "machines", name, "ip"]).and_then(|entry| self.block(entry));
        let lines = self.files[block.file].text.lines().enumerate();
        let mut text = String::new();
        for (at, line) in lines.skip(whole.first).take(whole.end - whole.first) {
            if address.is_some_and(|ip| ip.file == block.file && (ip.first..ip.end).contains(&at)) {
                continue;
            }
            let line = line.get(block.depth..).unwrap_or_default();
            let line = if at == block.first { line.replacen(name, new, 1) } else { line.to_owned() };
            let indent = if line.is_empty() { 0 } else { depth };
            let _ = writeln!(text, "{}{line}", " ".repeat(indent));
        }
        Some(text)
    }

    /// A whole `key: value` pair becomes this text.
    pub(super) fn pair(&self, path: &[&str], text: &str) -> Option<Splice> {
        let Entry { place: key, value, .. } = self.find(path)?;
        (key.file == value.place.file).then(|| Splice::new(Place { end: value.place.end, ..*key }, text))
    }

    /// Sets a key of the map at a path.
    pub(super) fn set(&self, path: &[&str], key: &str, value: &str) -> Option<Splice> {
        let entry = self.find(path)?;
        let place = entry.value.place;
        let source = self.files.get(place.file)?;
        let splice = |start, end, text| Some(Splice { file: place.file, start, end, text });
        match &entry.value.kind {
            Kind::Map(entries) if entries.is_empty() => splice(place.start, place.end, format!("{{{key}: {value}}}")),
            Kind::Map(_) if entry.value.get(key).is_some() => {
                let old = &entry.value.get(key)?.value;
                let is_scalar = matches!(old.kind, Kind::Scalar { .. });
                is_scalar.then(|| Splice {
                    file: old.place.file,
                    start: old.place.start,
                    end: old.place.end,
                    text: value.into(),
                })
            }
            Kind::Map(_) if source.text[place.start..].starts_with('{') => {
                splice(place.start + 1, place.start + 1, format!("{key}: {value}, "))
            }
            Kind::Map(entries) => {
                let Block { file, first, depth, .. } = self.block(entries.first()?)?;
                let at = self.files[file].line_start(first);
                Some(Splice { file, start: at, end: at, text: format!("{}{key}: {value}\n", " ".repeat(depth)) })
            }
            Kind::Scalar { text, plain: true } if text.is_empty() => {
                self.behind_key(entry, &format!(" {{{key}: {value}}}"))
            }
            _ => None,
        }
    }

    /// The lines that go and those that come, by file.
    pub(super) fn shown(&self, splices: &[Splice]) -> String {
        let mut splices: Vec<&Splice> = splices.iter().collect();
        splices.sort_by_key(|splice| (splice.file, splice.start));
        let mut shown = String::new();
        for splice in splices {
            let source = &self.files[splice.file];
            let line = source.line_of(splice.start);
            let (old, new) = (whole_lines(source, splice), whole_new_lines(source, splice));
            let _ = writeln!(shown, "{}:{}", source.name, line + 1);
            old.lines().for_each(|line| shown.push_str(&format!("  - {line}\n")));
            new.lines().for_each(|line| shown.push_str(&format!("  + {line}\n")));
        }
        shown
    }
}

/// The bounds of the lines that a splice changes.
fn bounds(source: &Source, splice: &Splice) -> (usize, usize) {
    let start = source.line_start(source.line_of(splice.start));
    let starts_line = start == splice.start;
    let whole = starts_line && (splice.end == source.text.len() || source.text[..splice.end].ends_with('\n'));
    let end = if whole || splice.start == source.text.len() {
        splice.end
    } else {
        source.line_start(source.line_of(splice.end.max(1) - usize::from(splice.end > splice.start)) + 1)
    };
    (if splice.start == source.text.len() { splice.start } else { start }, end)
}

fn whole_lines(source: &Source, splice: &Splice) -> String {
    let (start, end) = bounds(source, splice);
    source.text[start..end].to_owned()
}

fn whole_new_lines(source: &Source, splice: &Splice) -> String {
    let (start, end) = bounds(source, splice);
    [&source.text[start..splice.start], splice.text.as_str(), &source.text[splice.end..end]].concat()
}
