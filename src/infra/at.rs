//! A value at its place: asks the file for a type, and notes every problem on the way instead of stopping.

use std::cell::RefCell;
use std::collections::HashSet;
use std::rc::Rc;

use indexmap::IndexMap;

use super::near::nearest;
use super::node::{Entry, Kind, Node};
use super::problem::{Path, Problem};

fn unquoted(value: &str) -> String {
    format!("write `{value}`, without quotes")
}

/// The problems found so far.
pub(super) type Log = RefCell<Vec<Problem>>;

/// The way to a value, written out only where there is something to say.
#[derive(Clone)]
struct Way<'n>(Option<Rc<(Self, Step<'n>)>>);

#[derive(Clone, Copy)]
enum Step<'n> {
    Key(&'n str),
    Index(usize),
}

impl<'n> Way<'n> {
    fn to(&self, step: Step<'n>) -> Self {
        Self(Some(Rc::new((self.clone(), step))))
    }

    fn path(&self) -> Path {
        let mut steps = Vec::new();
        let mut way = self;
        while let Some(link) = &way.0 {
            steps.push(match link.1 {
                Step::Key(key) => key.to_owned(),
                Step::Index(index) => index.to_string(),
            });
            way = &link.0;
        }
        steps.reverse();
        Path(steps)
    }
}

/// A value of the file, the way to it, and where its problems go.
#[derive(Clone)]
pub(super) struct At<'n> {
    pub(super) node: &'n Node,
    way: Way<'n>,
    log: &'n Log,
}

impl<'n> At<'n> {
    pub(super) fn root(node: &'n Node, log: &'n Log) -> Self {
        Self { node, way: Way(None), log }
    }

    fn step(&self, node: &'n Node, step: Step<'n>) -> Self {
        At { node, way: self.way.to(step), log: self.log }
    }

    /// The path of this value.
    pub(super) fn path(&self) -> Path {
        self.way.path()
    }

    /// Notes a problem.
    pub(super) fn note(&self, problem: Problem) {
        self.log.borrow_mut().push(problem);
    }

    /// Notes an error at this value.
    pub(super) fn error(&self, message: impl Into<String>, help: impl Into<String>) {
        let help = help.into();
        let problem = Problem::error(self.path(), message);
        self.note(if help.is_empty() { problem } else { problem.help(help) });
    }

    /// The key that this value stands under.
    pub(super) fn key(&self) -> &'n str {
        match self.way.0.as_deref() {
            Some((_, Step::Key(key))) => key,
            _ => "",
        }
    }

    /// What to call this value: "`ip`", or "an item of `roles`".
    fn called(&self) -> String {
        match self.way.0.as_deref() {
            Some((_, Step::Key(key))) => quoted(key),
            Some((up, Step::Index(_))) => match up.0.as_deref() {
                Some((_, Step::Key(key))) => format!("an item of {}", quoted(key)),
                _ => "an item".to_owned(),
            },
            None => "the file".to_owned(),
        }
    }

    fn wrong(&self, wanted: &str, help: &str) {
        self.error(format!("{} must be {wanted}, and this is {}", self.called(), self.node.what()), help);
    }

    /// Refuses `key:` with nothing behind it, and tags.
    fn scalar(&self, wanted: &str, help: &str) -> Option<(&'n str, bool)> {
        match &self.node.kind {
            _ if self.is_tagged() => None,
            _ if self.node.is_null() => {
                let help = if help.is_empty() { "write a value, or remove the line" } else { help };
                self.error(format!("{} has no value", self.called()), help);
                None
            }
            Kind::Scalar { text, plain } => Some((text, *plain)),
            Kind::List(_) | Kind::Map(_) => {
                self.wrong(wanted, help);
                None
            }
        }
    }

    /// Is something written that is neither a list nor a map?
    pub(super) fn is_scalar(&self) -> bool {
        matches!(self.node.kind, Kind::Scalar { .. }) && !self.node.is_null()
    }

    /// Refuses a tag.
    fn is_tagged(&self) -> bool {
        if let Some(tag) = &self.node.tag {
            self.error(format!("the tag {} means nothing here", quoted(tag)), "remove it; quotes make a text");
        }
        self.node.tag.is_some()
    }

    /// A text, as it is written; a number or `true` is taken as it is written too.
    pub(super) fn text(&self) -> Option<&'n str> {
        self.scalar("a text", "").map(|(text, _)| text)
    }

    /// A text with something in it.
    pub(super) fn filled(&self) -> Option<&'n str> {
        let text = self.text()?;
        if text.trim().is_empty() {
            self.error(format!("{} is empty", self.called()), "write a value, or remove the line");
            return None;
        }
        Some(text)
    }

    /// `true` or `false`.
    pub(super) fn boolean(&self) -> Option<bool> {
        let (text, plain) = self.scalar("true or false", "")?;
        match text {
            "true" | "True" | "TRUE" if plain => return Some(true),
            "false" | "False" | "FALSE" if plain => return Some(false),
            _ => {}
        }
        let meant = match text.to_lowercase().as_str() {
            "true" | "yes" | "on" | "1" | "y" => "true",
            "false" | "no" | "off" | "0" | "n" => "false",
            _ => "",
        };
        let message = format!("{} must be true or false, and this is {}", self.called(), quoted(text));
        match meant {
            "" => self.error(message, "write `true` or `false`, without quotes"),
            meant => self.note(Problem::error(self.path(), message).help(unquoted(meant)).instead(meant)),
        }
        None
    }

    /// A whole number between two others, both included.
    pub(super) fn number(&self, low: u32, high: u32) -> Option<u32> {
        let wanted = if high == u32::MAX {
            format!("a whole number from {low}")
        } else {
            format!("a whole number from {low} to {high}")
        };
        let (text, plain) = self.scalar(&wanted, "")?;
        let is_number = text.bytes().all(|byte| byte.is_ascii_digit()) && (text == "0" || !text.starts_with('0'));
        let number = text.parse().ok().filter(|number| is_number && (low..=high).contains(number));
        match number {
            Some(number) if plain => Some(number),
            Some(number) => {
                let message = format!("{} must be a number, and this is a text", self.called());
                let number = number.to_string();
                self.note(Problem::error(self.path(), message).help(unquoted(&number)).instead(number));
                None
            }
            None => {
                self.error(format!("{} must be {wanted}, and this is {}", self.called(), quoted(text)), "");
                None
            }
        }
    }

    /// One of some words.
    pub(super) fn word<T: Copy>(&self, words: &[(&'static str, T)]) -> Option<T> {
        let known: Vec<&str> = words.iter().map(|(word, _)| *word).collect();
        let list = one_of(&known);
        let (text, _) = self.scalar(&format!("one of {list}"), &format!("write {list}"))?;
        if let Some((_, value)) = words.iter().find(|(word, _)| *word == text) {
            return Some(*value);
        }
        let help = match nearest(text, known) {
            Some(word) => format!("did you mean {}? It can be {list}", quoted(word)),
            None => format!("it can be {list}"),
        };
        self.error(format!("{} cannot be {}", self.called(), quoted(text)), help);
        None
    }

    /// The items of a list; nothing written is an empty one.
    pub(super) fn items(&self) -> Vec<Self> {
        match &self.node.kind {
            _ if self.is_tagged() => Vec::new(),
            Kind::List(items) => items.iter().enumerate().map(|(at, item)| self.step(item, Step::Index(at))).collect(),
            Kind::Scalar { text, .. } if !self.node.is_null() => {
                self.wrong("a list", &format!("write `[{}]`", shortened(text)));
                Vec::new()
            }
            Kind::Map(_) => {
                self.wrong("a list", "each item starts with `- `");
                Vec::new()
            }
            Kind::Scalar { .. } => Vec::new(),
        }
    }

    /// A list of texts.
    pub(super) fn texts(&self) -> Vec<String> {
        self.items().iter().filter_map(|item| item.filled().map(str::to_owned)).collect()
    }

    /// The pairs of a map whose keys are the user's. Notes (`x-…`) are left out, keys written twice are an error.
    pub(super) fn pairs(&self) -> Vec<Self> {
        match &self.node.kind {
            _ if self.is_tagged() => Vec::new(),
            Kind::Map(entries) => self.distinct(entries),
            Kind::Scalar { .. } if self.node.is_null() => Vec::new(),
            Kind::List(_) => {
                self.wrong("a map", "write `name: …` lines, without `- `");
                Vec::new()
            }
            Kind::Scalar { .. } => {
                self.wrong("a map", "write `name: …` lines under it");
                Vec::new()
            }
        }
    }

    fn distinct(&self, entries: &'n [Entry]) -> Vec<Self> {
        let mut seen = HashSet::new();
        let mut pairs = Vec::new();
        for entry in entries.iter().filter(|entry| !entry.is_note()) {
            let pair = self.step(&entry.value, Step::Key(&entry.key));
            if seen.insert(entry.key.as_str()) {
                pairs.push(pair);
            } else {
                let problem = Problem::error(pair.path(), format!("{} is written twice", quoted(&entry.key)))
                    .at_key()
                    .at_place(entry.place)
                    .help("remove one of them, or give it another name");
                self.note(problem.also(pair.path(), "first written here"));
            }
        }
        pairs
    }

    /// A map whose keys are the language's.
    pub(super) fn fields(&self, known: &'static [&'static str]) -> Fields<'n> {
        let pairs = self.pairs();
        #[cfg(test)]
        super::asked::note(known, &pairs);
        for pair in &pairs {
            if !known.contains(&pair.key()) {
                pair.note(unknown_key(pair, known));
            }
        }
        Fields { map: self.clone(), pairs }
    }
}

fn unknown_key(pair: &At<'_>, known: &[&'static str]) -> Problem {
    let help = match nearest(pair.key(), known.iter().copied()) {
        Some(word) => format!("did you mean {}?", quoted(word)),
        None => format!("the keys here are {}; keys that start with `x-` are ignored", listed(known)),
    };
    Problem::error(pair.path(), format!("unknown key {}", quoted(pair.key()))).at_key().help(help)
}

/// A map whose keys are the language's: each can be asked for by name.
pub(super) struct Fields<'n> {
    pub(super) map: At<'n>,
    pairs: Vec<At<'n>>,
}

impl<'n> Fields<'n> {
    /// The value of a key, when it is there.
    pub(super) fn get(&self, key: &str) -> Option<&At<'n>> {
        self.pairs.iter().find(|pair| pair.key() == key)
    }

    /// The value of a key that must be there.
    pub(super) fn required(&self, key: &str, help: &str) -> Option<&At<'n>> {
        let found = self.get(key);
        if found.is_none() && (self.map.node.is_null() || matches!(self.map.node.kind, Kind::Map(_))) {
            let path = self.map.path().to(key);
            self.map.note(Problem::error(path, format!("{} is missing", quoted(key))).help(help));
        }
        found
    }

    /// A text, or nothing.
    pub(super) fn text(&self, key: &str) -> Option<String> {
        self.get(key)?.filled().map(str::to_owned)
    }

    /// A text, empty when there is none: descriptions.
    pub(super) fn words(&self, key: &str) -> String {
        self.get(key).and_then(At::text).unwrap_or_default().to_owned()
    }

    /// `true` or `false`.
    pub(super) fn flag(&self, key: &str, default: bool) -> bool {
        self.get(key).and_then(At::boolean).unwrap_or(default)
    }

    /// A list of texts.
    pub(super) fn texts(&self, key: &str) -> Vec<String> {
        self.get(key).map(At::texts).unwrap_or_default()
    }

    /// A map from the user's names to something, in the user's order.
    pub(super) fn each<T>(&self, key: &str, mut read: impl FnMut(&At<'n>) -> T) -> IndexMap<String, T> {
        let pairs = self.get(key).map(At::pairs).unwrap_or_default();
        pairs.iter().map(|pair| (pair.key().to_owned(), read(pair))).collect()
    }
}

/// A word of the user between back-ticks, safe to print: shortened, without control characters.
pub(super) fn quoted(text: &str) -> String {
    format!("`{}`", shortened(text))
}

fn shortened(text: &str) -> String {
    let mut short = String::new();
    for (count, c) in text.chars().enumerate() {
        if count == 60 {
            short.push('…');
            break;
        }
        if c.is_control() { short.extend(c.escape_default()) } else { short.push(c) }
    }
    short
}

/// `a`, `b` or `c`.
pub(super) fn one_of(words: &[&str]) -> String {
    joined(words, "or")
}

/// `a`, `b` and `c`.
pub(super) fn listed(words: &[&str]) -> String {
    joined(words, "and")
}

fn joined(words: &[&str], last_word: &str) -> String {
    match words {
        [] => String::new(),
        [word] => quoted(word),
        [first @ .., last] => {
            let first: Vec<String> = first.iter().map(|word| quoted(word)).collect();
            format!("{} {last_word} {}", first.join(", "), quoted(last))
        }
    }
}
