//! Shows what was tried and what became of it: the table, the matrix, and every difference.

use std::collections::BTreeMap;

use serde_json::{Value, json};

use super::judge::{Finding, Seen, Verdict};
use super::matrix::{Cell, End, Matrix};
use super::scene::Scene;
use super::{Expected, Origin, Target, Trial};
use crate::plan::Field;
use crate::render::json::pretty;
use crate::ui::{Style, Surface};

/// Everything that there is to say.
#[derive(Debug)]
pub(crate) struct Report<'a> {
    pub(crate) scene: &'a Scene,
    pub(crate) trial: &'a Trial,
    pub(crate) table: TableState,
}

/// How the table in force compares with the one that the file asks for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum TableState {
    AsWanted,
    Missing,
    Differs(Vec<Field>),
}

/// How many lines of differences one pair gets as text.
const EXAMPLES: usize = 3;

impl Report<'_> {
    /// Is everything as the policies say?
    pub(crate) fn is_good(&self) -> bool {
        self.table == TableState::AsWanted && self.differences().next().is_none()
    }

    fn differences(&self) -> impl Iterator<Item = &Finding> {
        self.trial.findings.iter().filter(|finding| matches!(finding.verdict, Verdict::Leak | Verdict::Shut))
    }

    /// For people.
    pub(crate) fn text(&self, surface: &Surface) -> String {
        let matrix = Matrix::new(&self.trial.findings, self.scene).text(surface);
        let parts = [
            self.table_text(surface) + &self.tried_text(),
            matrix,
            self.differences_text(surface),
            self.untried_text(surface),
            self.result(surface),
        ];
        parts.into_iter().filter(|part| !part.is_empty()).collect::<Vec<_>>().join("\n")
    }

    fn table_text(&self, surface: &Surface) -> String {
        let bad = |message: &str| format!("table: {}\n", surface.paint(Style::Red, message));
        match &self.table {
            TableState::AsWanted => "table: in force, as the file says\n".to_owned(),
            TableState::Missing => bad("GONE: nothing keeps the domains apart; `anklume apply` restores it"),
            TableState::Differs(fields) => {
                let mut text = bad("not as the file says; `anklume apply` corrects it");
                for Field { key, before, after, .. } in fields {
                    let shown = |value: &Option<String>| value.clone().unwrap_or_else(|| "-".to_owned());
                    text.push_str(&format!("  {key}: {} → {}\n", shown(before), shown(after)));
                }
                text
            }
        }
    }

    fn tried_text(&self) -> String {
        let Scene { machines, skipped, domains, outside, .. } = self.scene;
        let outside = match outside {
            Some(address) => format!("outside is {address} (`--outside ADDRESS` takes another)"),
            None => "outside was not tried: no default route, and no `--outside ADDRESS`".to_owned(),
        };
        let (packets, up, all) = (self.trial.findings.len(), machines.len(), machines.len() + skipped.len());
        format!("tried: {packets} packets between {up} of {all} machines in {} domains; {outside}\n", domains.len())
    }

    fn differences_text(&self, surface: &Surface) -> String {
        let mut pairs: BTreeMap<(End, End), Vec<&Finding>> = BTreeMap::new();
        for finding in self.differences() {
            pairs.entry(End::pair(finding, self.scene)).or_default().push(finding);
        }
        if pairs.is_empty() {
            return String::new();
        }
        let mut text = format!("{}\n", surface.paint(Style::Bold, "differences"));
        for findings in pairs.into_values() {
            let groups: Vec<&[&Finding]> = findings.chunk_by(|one, next| is_alike(one, next)).collect();
            for group in groups.iter().take(EXAMPLES) {
                let cell = if group[0].verdict == Verdict::Leak { Cell::Leak } else { Cell::Shut };
                let word = surface.paint(cell.style(), cell.word());
                text.push_str(&format!("  {word}  {}\n", self.sentence(group)));
            }
            let more: usize = groups.iter().skip(EXAMPLES).map(|group| group.len()).sum();
            if more > 0 {
                text.push_str(&format!("        and {more} more packets of this pair; `--format json` has all\n"));
            }
        }
        text
    }

    /// `home-a -> pro-dev (10.110.0.1) ping, 9/tcp passed, and was answered; to be dropped: from home to another domain`
    fn sentence(&self, group: &[&Finding]) -> String {
        let wanted = match &group[0].probe.expected {
            Expected::Pass { why, .. } => format!("to pass: {why}"),
            Expected::Drop { why } => format!("to be dropped: {why}"),
            Expected::Control => String::new(),
        };
        let packets: Vec<String> = group.iter().map(|finding| finding.probe.packet.to_string()).collect();
        format!("{} {} {}; {wanted}", self.ends(group[0]), packets.join(", "), told(&group[0].seen))
    }

    /// `home-a -> pro-dev (10.110.0.1)`
    fn ends(&self, finding: &Finding) -> String {
        let probe = &finding.probe;
        format!("{} -> {} ({})", self.origin(probe.from), self.target(probe.to), probe.address)
    }

    fn origin(&self, origin: Origin) -> &str {
        match origin {
            Origin::Host => "host",
            Origin::Machine(at) => &self.scene.machines[at].name,
        }
    }

    fn target(&self, target: Target) -> String {
        match target {
            Target::Machine(at) => self.scene.machines[at].name.clone(),
            Target::Gateway(at) => format!("gateway of {}", self.scene.domains[at].name),
            Target::Host(at) => format!("host on {}", self.scene.host[at].interface),
            Target::Outside => "outside".to_owned(),
        }
    }

    fn untried_text(&self, surface: &Surface) -> String {
        let skipped = self.scene.skipped.iter().map(|one| format!("{} of {}: it {}", one.name, one.domain, one.why));
        let machines = self.scene.machines.iter().filter(|machine| machine.pid.is_none());
        let silent =
            machines.map(|one| format!("from {}: a virtual machine, nothing can be sent from there", one.name));
        let policies = self.trial.untried.iter().map(|(policy, why)| format!("policy `{policy}`: {why}"));
        let untold = self.trial.findings.iter().filter_map(|finding| match &finding.verdict {
            Verdict::Untold(why) => Some(format!("{} {}: {why}", self.ends(finding), finding.probe.packet)),
            _ => None,
        });
        let lines: Vec<String> =
            skipped.chain(silent).chain(policies).chain(untold).map(|line| format!("  {line}\n")).collect();
        if lines.is_empty() {
            return String::new();
        }
        format!("{}\n{}", surface.paint(Style::Bold, "could not be tried"), lines.concat())
    }

    fn result(&self, surface: &Surface) -> String {
        let (style, line) = match self.differences().count() {
            0 if self.is_good() && self.trial.findings.is_empty() => {
                (Style::Yellow, "Nothing could be tried.".to_owned())
            }
            0 if self.is_good() => (Style::Green, "Every packet went as the policies say.".to_owned()),
            0 => (Style::Red, "Every packet went as the policies say, but the table is not theirs.".to_owned()),
            1 => (Style::Red, "1 packet did not go as the policies say.".to_owned()),
            count => (Style::Red, format!("{count} packets did not go as the policies say.")),
        };
        format!("{}\n", surface.paint(style, line))
    }

    /// For programs.
    pub(crate) fn json(&self) -> String {
        let matrix = Matrix::new(&self.trial.findings, self.scene);
        let cells = matrix.cells.iter().map(|((from, to), cell)| {
            json!({"from": matrix.name(*from), "to": matrix.name(*to), "state": cell.word().to_lowercase()})
        });
        let skipped = self.scene.skipped.iter();
        let skipped = skipped.map(|one| json!({"domain": one.domain, "machine": one.name, "why": one.why}));
        let untried = self.trial.untried.iter().map(|(policy, why)| json!({"policy": policy, "why": why}));
        pretty(&json!({
            "good": self.is_good(),
            "table": self.table_json(),
            "outside": self.scene.outside,
            "matrix": cells.collect::<Vec<_>>(),
            "probes": self.trial.findings.iter().map(|finding| self.finding_json(finding)).collect::<Vec<_>>(),
            "skipped": skipped.collect::<Vec<_>>(),
            "untried": untried.collect::<Vec<_>>(),
        }))
    }

    fn table_json(&self) -> Value {
        match &self.table {
            TableState::AsWanted => json!({"state": "in force", "differences": []}),
            TableState::Missing => json!({"state": "missing", "differences": []}),
            TableState::Differs(fields) => json!({"state": "differs", "differences": fields}),
        }
    }

    fn finding_json(&self, finding: &Finding) -> Value {
        let (wanted, why) = match &finding.probe.expected {
            Expected::Pass { why, .. } => ("pass", why.as_str()),
            Expected::Drop { why } => ("drop", why.as_str()),
            Expected::Control => ("", ""),
        };
        let (verdict, untold) = match &finding.verdict {
            Verdict::AsDeclared => ("as declared", None),
            Verdict::Leak => ("leak", None),
            Verdict::Shut => ("shut", None),
            Verdict::Untold(why) => ("untold", Some(why)),
        };
        let (from, to) = End::pair(finding, self.scene);
        json!({
            "from": self.origin(finding.probe.from),
            "to": self.target(finding.probe.to),
            "pair": [from.name(self.scene), to.name(self.scene)],
            "address": finding.probe.address,
            "packet": finding.probe.packet.to_string(),
            "wanted": wanted,
            "why": why,
            "seen": told(&finding.seen),
            "verdict": verdict,
            "untold": untold,
        })
    }
}

/// Differs nothing but the packet?
fn is_alike(one: &Finding, other: &Finding) -> bool {
    let all = |finding: &Finding| {
        let probe = &finding.probe;
        (probe.from, probe.to, probe.address, finding.seen.clone(), probe.expected.clone())
    };
    all(one) == all(other)
}

fn told(seen: &Seen) -> &'static str {
    match seen {
        Seen::Answered => "passed, and was answered",
        Seen::Arrived => "passed, and was not answered",
        Seen::AnswerLost => "passed, and its answer did not come back",
        Seen::Dropped => "was dropped",
        Seen::Rejected => "was refused on the way",
        Seen::Unsent(_) => "was not sent",
        Seen::Silent => "got no answer",
    }
}
