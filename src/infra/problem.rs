//! What is wrong with an infrastructure, and where in the file it was written.

use std::fmt;

/// The way to a value in the file: `domains.pro.machines.pro-dev.ip`. List places are numbers.
#[derive(Debug, Clone, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct Path(pub(crate) Vec<String>);

impl Path {
    /// A path from its steps: `Path::of(["domains", "pro"])`.
    pub(crate) fn of<S: Into<String>>(steps: impl IntoIterator<Item = S>) -> Self {
        Self(steps.into_iter().map(Into::into).collect())
    }

    /// This path and one step more.
    pub(crate) fn to(&self, step: impl fmt::Display) -> Self {
        let mut steps = self.0.clone();
        steps.push(step.to_string());
        Self(steps)
    }
}

impl fmt::Display for Path {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0.join("."))
    }
}

/// A stretch of one of the files that were read: the file's number, the first byte and the byte after the last.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct Place {
    pub(crate) file: usize,
    pub(crate) start: usize,
    pub(crate) end: usize,
}

/// Does it stop everything, or is it only worth saying?
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Level {
    Error,
    Warning,
}

/// Which part of a `key: value` pair the caret stands under.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Spot {
    Key,
    Value,
}

/// One violated rule. Every rule returns all of its problems; the place is looked up only when they are shown.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Problem {
    pub(crate) level: Level,
    pub(crate) path: Path,
    pub(crate) spot: Spot,
    /// The place itself, where `path` cannot name it: broken YAML, the second of two equal keys.
    pub(crate) at: Option<Place>,
    /// What is wrong, in the user's words; no full stop.
    pub(crate) message: String,
    /// What to write instead.
    pub(crate) help: Option<String>,
    /// The value in the form of this anklume, where there is no doubt about it.
    pub(crate) instead: Option<String>,
    /// Other places that belong to it, each with a word of its own ("first defined here").
    pub(crate) also: Vec<(Path, String)>,
}

impl Problem {
    /// An error at the value of `path`.
    pub(crate) fn error(path: Path, message: impl Into<String>) -> Self {
        Self {
            level: Level::Error,
            path,
            spot: Spot::Value,
            at: None,
            message: message.into(),
            help: None,
            instead: None,
            also: Vec::new(),
        }
    }

    /// A warning at the value of `path`.
    pub(crate) fn warning(path: Path, message: impl Into<String>) -> Self {
        Self { level: Level::Warning, ..Self::error(path, message) }
    }

    /// The same, with the caret under the key.
    pub(crate) fn at_key(self) -> Self {
        Self { spot: Spot::Key, ..self }
    }

    /// The same, with the caret under `place`.
    pub(crate) fn at_place(self, place: Place) -> Self {
        Self { at: Some(place), ..self }
    }

    /// The same, with a suggestion.
    pub(crate) fn help(self, help: impl Into<String>) -> Self {
        Self { help: Some(help.into()), ..self }
    }

    /// The same, with what the value is in the form of this anklume.
    pub(crate) fn instead(self, value: impl Into<String>) -> Self {
        Self { instead: Some(value.into()), ..self }
    }

    /// The same, with one more place to look at.
    pub(crate) fn also(mut self, path: Path, label: impl Into<String>) -> Self {
        self.also.push((path, label.into()));
        self
    }
}
