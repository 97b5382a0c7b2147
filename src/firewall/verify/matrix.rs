//! Who reaches whom, as a table: a row for each sender, a column for each target.

use std::collections::BTreeMap;

use super::judge::{Finding, Verdict};
use super::scene::Scene;
use super::{Expected, Origin, Target};
use crate::ui::{Style, Surface};

/// What is said of one pair.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Cell {
    Untried,
    Untold,
    /// Everything was dropped, as declared.
    Closed,
    /// Everything passed, as declared.
    Open,
    /// Some passed and some did not, as declared.
    InPart,
    Shut,
    Leak,
}

impl Cell {
    pub(super) fn word(self) -> &'static str {
        match self {
            Self::Untried => "-",
            Self::Untold => "untold",
            Self::Closed => "closed",
            Self::Open => "open",
            Self::InPart => "in part",
            Self::Shut => "SHUT",
            Self::Leak => "LEAK",
        }
    }

    pub(super) fn style(self) -> Style {
        match self {
            Self::Untried | Self::Closed => Style::Dim,
            Self::Untold => Style::Yellow,
            Self::Open | Self::InPart => Style::Green,
            Self::Shut | Self::Leak => Style::Red,
        }
    }

    fn of(findings: &[&Finding]) -> Self {
        let any = |verdict: Verdict| findings.iter().any(|finding| finding.verdict == verdict);
        let good = || findings.iter().filter(|finding| finding.verdict == Verdict::AsDeclared);
        let passes = good().any(|finding| matches!(finding.probe.expected, Expected::Pass { .. }));
        let drops = good().any(|finding| matches!(finding.probe.expected, Expected::Drop { .. }));
        match (passes, drops) {
            _ if any(Verdict::Leak) => Self::Leak,
            _ if any(Verdict::Shut) => Self::Shut,
            (true, true) => Self::InPart,
            (true, false) => Self::Open,
            (false, true) => Self::Closed,
            (false, false) => Self::Untold,
        }
    }
}

/// A row or a column.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum End {
    Domain(usize),
    OwnGateway,
    OtherGateways,
    Host,
    Outside,
}

impl End {
    /// The ends of a finding.
    pub(super) fn pair(finding: &Finding, scene: &Scene) -> (Self, Self) {
        let home = |machine: usize| scene.machines[machine].home;
        let from = match finding.probe.from {
            Origin::Host => Self::Host,
            Origin::Machine(at) => Self::Domain(home(at)),
        };
        let to = match finding.probe.to {
            Target::Machine(at) => Self::Domain(home(at)),
            Target::Gateway(at) if from == Self::Domain(at) => Self::OwnGateway,
            Target::Gateway(_) => Self::OtherGateways,
            Target::Host(_) => Self::Host,
            Target::Outside => Self::Outside,
        };
        (from, to)
    }

    pub(super) fn name(self, scene: &Scene) -> &str {
        match self {
            Self::Domain(at) => &scene.domains[at].name,
            Self::OwnGateway => "own gateway",
            Self::OtherGateways => "other gateways",
            Self::Host => "host",
            Self::Outside => "outside",
        }
    }
}

/// All pairs of which anything was tried.
pub(super) struct Matrix<'a> {
    scene: &'a Scene,
    pub(super) cells: BTreeMap<(End, End), Cell>,
}

impl<'a> Matrix<'a> {
    pub(super) fn new(findings: &[Finding], scene: &'a Scene) -> Self {
        let mut by_pair: BTreeMap<(End, End), Vec<&Finding>> = BTreeMap::new();
        for finding in findings {
            by_pair.entry(End::pair(finding, scene)).or_default().push(finding);
        }
        let cells = by_pair.into_iter().map(|(pair, findings)| (pair, Cell::of(&findings))).collect();
        Self { scene, cells }
    }

    fn rows(&self) -> Vec<End> {
        let mut rows: Vec<End> = self.cells.keys().map(|(from, _)| *from).collect();
        rows.dedup();
        rows
    }

    fn columns(&self) -> Vec<End> {
        let mut columns: Vec<End> = self.cells.keys().map(|(_, to)| *to).collect();
        columns.sort();
        columns.dedup();
        columns
    }

    fn cell(&self, from: End, to: End) -> Cell {
        self.cells.get(&(from, to)).copied().unwrap_or(Cell::Untried)
    }

    /// As a table; as a list where that is too wide.
    pub(super) fn text(&self, surface: &Surface) -> String {
        let (rows, columns) = (self.rows(), self.columns());
        let lengths = rows.iter().map(|row| self.name(*row).len());
        let first = lengths.max().unwrap_or_default().max("from".len());
        let widest = Cell::InPart.word().len();
        let widths: Vec<usize> = columns.iter().map(|column| self.name(*column).len().max(widest)).collect();
        if first + widths.iter().map(|width| width + 2).sum::<usize>() > surface.width {
            return self.list(surface);
        }
        let mut heading = format!("{:first$}", "from");
        for (column, width) in columns.iter().zip(&widths) {
            heading.push_str(&format!("  {:width$}", self.name(*column)));
        }
        let mut text = format!("{}\n", surface.paint(Style::Bold, heading.trim_end()));
        for row in rows {
            let mut line = format!("{:first$}", self.name(row));
            for (column, width) in columns.iter().zip(&widths) {
                let cell = self.cell(row, *column);
                line.push_str(&format!("  {}", surface.paint(cell.style(), format!("{:width$}", cell.word()))));
            }
            text.push_str(&format!("{}\n", line.trim_end()));
        }
        text
    }

    fn list(&self, surface: &Surface) -> String {
        let mut text = String::new();
        for row in self.rows() {
            text.push_str(&format!("from {}\n", surface.paint(Style::Bold, self.name(row))));
            let mut groups: BTreeMap<Cell, Vec<&str>> = BTreeMap::new();
            for column in self.columns() {
                groups.entry(self.cell(row, column)).or_default().push(self.name(column));
            }
            for (cell, names) in groups.into_iter().filter(|(cell, _)| *cell != Cell::Untried).rev() {
                let word = surface.paint(cell.style(), format!("{:7}", cell.word()));
                text.push_str(&format!("  {word}  {}\n", names.join(", ")));
            }
        }
        text
    }

    pub(super) fn name(&self, end: End) -> &'a str {
        end.name(self.scene)
    }
}
