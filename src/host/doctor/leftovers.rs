//! What carries a mark and nothing holds: copies that were cut off, machines that were set aside, bridges that Incus began,
//! domains of which only a part is there, cards of machines that are gone.

use std::collections::BTreeSet;

use super::{Answers, Check, Line, Readings};
use crate::firewall::fence::Table;
use crate::plan::{Id, Kind};
use crate::resources::{Found, journey, volume};

pub(super) fn lines(readings: &Readings, answers: &Answers) -> Vec<Line> {
    let live = &answers.live;
    let marked = || live.found.values().filter(|found| found.marks.is_some());
    let mut lines: Vec<Line> = marked().filter_map(of_one).collect();
    let unfinished = live.unfinished().map(|bridge| {
        Line::warning(Check::Leftovers, format!("Incus began the bridge {bridge} and never finished it"))
            .mend(["anklume apply"])
            .note("which makes it anew")
    });
    lines.extend(unfinished);
    lines.extend(marked().filter(|found| found.id.kind == Kind::Network).filter_map(|bridge| widowed(answers, bridge)));
    let host_names: BTreeSet<&str> = answers.host_names.iter().map(String::as_str).collect();
    let stale = readings.ports.iter().filter(|(_, port)| !host_names.contains(port.as_str()));
    let stale = stale.filter(|(bridge, _)| is_marked(answers, bridge)).map(|(bridge, port)| {
        Line::warning(
            Check::Leftovers,
            format!("{port} in {bridge} is of no machine: it may take packets that are for one"),
        )
        .mend([format!("ip link delete {port}")])
        .note("left of a machine that Incus lost sight of; it cuts off whoever is behind it")
    });
    lines.extend(stale);
    lines.extend(table(answers));
    if lines.is_empty() {
        lines.push(Line::ok(Check::Leftovers, "nothing was left half done"));
    }
    lines
}

/// A table for domains none of which is there, or what loads one at boot.
fn table(answers: &Answers) -> Option<Line> {
    let live = &answers.live;
    let any = live.found.values().any(|found| found.id.kind == Kind::Network && found.marks.is_some());
    let stands = matches!(live.table, Table::Known(Some(_)));
    if any || answers.elsewhere || !(stands || live.keeping.file.is_some() || live.keeping.service.is_some()) {
        return None;
    }
    let told = Line::warning(Check::Leftovers, "the table, or what loads it at boot, is there, and no domain is");
    Some(told.mend(["anklume flush --force"]).note("which takes it away; before a first apply it does no harm"))
}

fn is_marked(answers: &Answers, bridge: &str) -> bool {
    let found = answers.live.found.get(&Id::global(Kind::Network, bridge));
    found.is_some_and(|found| found.marks.is_some())
}

fn of_one(found: &Found) -> Option<Line> {
    let name = &found.id.name;
    let destroy = format!("anklume destroy {name} --force");
    if journey::is_part(found) {
        let by = found.marks.as_ref().and_then(|marks| marks.journey.as_ref()).map(|journey| journey.by.clone());
        let line = Line::warning(Check::Leftovers, format!("{name} is a copy of a machine that was cut off"));
        let by = by.filter(|by| !by.is_empty());
        let note = if by.is_some() {
            format!("which goes on from there; `{destroy}` deletes it instead")
        } else {
            String::new()
        };
        return Some(line.mend([by.unwrap_or(destroy)]).note(note));
    }
    if found.id.kind == Kind::Volume && name.ends_with(volume::PART) {
        let line = Line::warning(Check::Leftovers, format!("{} is a copy of a volume that was cut off", found.id));
        return Some(line.mend([volume::deletion_by_hand(&found.id)]).note("or run again what made it"));
    }
    found.is_set_aside().then(|| {
        Line::warning(Check::Leftovers, format!("{name} was set aside when it was made anew, and holds its disk still"))
            .mend([destroy])
            .note("once nothing in it is needed any more")
    })
}

/// A bridge whose domain has no project: of a run that was cut off, or of a project that was deleted by hand.
fn widowed(answers: &Answers, bridge: &Found) -> Option<Line> {
    let marks = bridge.marks.as_ref()?;
    let of_domain = |found: &&Found| {
        found.id.kind == Kind::Project
            && found.marks.as_ref().is_some_and(|own| own.infra == marks.infra && own.domain == marks.domain)
    };
    if answers.live.found.values().any(|found| of_domain(&found)) {
        return None;
    }
    let message = format!("the bridge {} of {} stands without its domain", bridge.id.name, marks.infra);
    let line = Line::warning(Check::Leftovers, message).mend(["anklume apply"]);
    Some(line.note(format!("which makes the rest; `anklume flush --infra {}` takes away what there is", marks.infra)))
}
