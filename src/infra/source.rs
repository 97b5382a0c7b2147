//! The files that were read, and where in them a path stands.

use super::files::Role;
use super::node::{Kind, Node};
use super::problem::{Path, Place, Problem, Spot};

/// One file.
#[derive(Debug, Clone)]
pub(crate) struct Source {
    /// As the user calls it: `infra/domains/pro.yml`.
    pub(crate) name: String,
    pub(crate) text: String,
    pub(super) role: Role,
    /// Where each line starts.
    lines: Vec<usize>,
}

impl Source {
    pub(super) fn new(role: Role, name: String, text: String) -> Self {
        let lines = std::iter::once(0).chain(text.match_indices('\n').map(|(at, _)| at + 1)).collect();
        Self { name, text, role, lines }
    }

    /// The line of a byte, from 0.
    pub(super) fn line_of(&self, at: usize) -> usize {
        self.lines.partition_point(|&start| start <= at).saturating_sub(1)
    }

    /// Where a line starts; the end of the text for lines after the last.
    pub(super) fn line_start(&self, line: usize) -> usize {
        self.lines.get(line).copied().unwrap_or(self.text.len())
    }

    #[cfg(test)]
    fn column_of(&self, at: usize) -> usize {
        let start = self.line_start(self.line_of(at));
        self.text[start..at].chars().count()
    }
}

/// Everything that was read.
#[derive(Debug, Clone)]
pub(crate) struct Sources {
    /// What the whole is called: `infra.yml` or `infra/`.
    pub(crate) name: String,
    pub(crate) files: Vec<Source>,
    root: Node,
}

impl Sources {
    pub(super) fn new(name: String, files: Vec<Source>, root: Node) -> Self {
        Self { name, files, root }
    }

    pub(super) fn root(&self) -> &Node {
        &self.root
    }

    /// `infra.yml:12:9`.
    #[cfg(test)]
    pub(super) fn locate(&self, problem: &Problem) -> String {
        let Place { file, start, .. } = self.place_of(problem);
        let source = &self.files[file];
        format!("{}:{}:{}", source.name, source.line_of(start) + 1, source.column_of(start) + 1)
    }

    /// `infra.yml:12`, where a path stands; `None` for what is not in the file.
    pub(crate) fn line(&self, path: &Path) -> Option<String> {
        let mut node = &self.root;
        for step in &path.0 {
            node = match &node.kind {
                Kind::Map(_) => &node.get(step)?.value,
                Kind::List(items) => items.get(step.parse::<usize>().ok()?)?,
                Kind::Scalar { .. } => return None,
            };
        }
        let source = self.files.get(node.place.file)?;
        Some(format!("{}:{}", source.name, source.line_of(node.place.start) + 1))
    }

    /// Where the caret of a problem stands.
    pub(super) fn place_of(&self, problem: &Problem) -> Place {
        problem.at.unwrap_or_else(|| self.place(&problem.path.0, problem.spot))
    }

    /// Where a path stands. What is not in the file stands at the nearest thing around it.
    pub(super) fn place(&self, path: &[String], spot: Spot) -> Place {
        let (mut node, mut key, mut spot) = (&self.root, None, spot);
        for step in path {
            let next = match &node.kind {
                Kind::Map(_) => node.get(step).map(|entry| (&entry.value, Some(entry.place))),
                Kind::List(items) => step.parse().ok().and_then(|at: usize| items.get(at)).map(|item| (item, None)),
                Kind::Scalar { .. } => None,
            };
            let Some(next) = next else {
                spot = Spot::Key;
                break;
            };
            (node, key) = next;
        }
        match key {
            Some(key) if spot == Spot::Key || node.is_null() || self.is_named_by_key(node) => key,
            _ => node.place,
        }
    }

    /// A map, or a list over several lines: its key says better where it is than its first line.
    fn is_named_by_key(&self, node: &Node) -> bool {
        let Some(source) = self.files.get(node.place.file) else { return false };
        matches!(node.kind, Kind::Map(_))
            || matches!(node.kind, Kind::List(_))
                && !matches!(source.text.as_bytes().get(node.place.start), Some(b'[' | b'{' | b'*'))
    }
}
