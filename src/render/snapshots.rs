//! The snapshots of machines as a table.

use serde::Serialize;

use crate::host::clock;
use crate::lifecycle::snapshot::{Family, Snapshot};
use crate::ui::{Style, Surface};

/// A snapshot as it is shown.
#[derive(Debug, Serialize)]
pub(crate) struct Row {
    machine: String,
    project: String,
    domain: String,
    snapshot: String,
    /// `snap`, `pre-apply` or `pre-upgrade`; nothing for names that anklume did not give.
    family: Option<&'static str>,
    /// When it was taken, and when it goes, as Incus writes it.
    taken: Option<String>,
    #[serde(skip)]
    age: Option<u64>,
    expires: Option<String>,
    #[serde(skip)]
    left: Option<u64>,
    /// In bytes, where the pool knows.
    size: Option<u64>,
    /// False where only those of volumes are there.
    of_machine: bool,
    volumes: Vec<String>,
}

/// A snapshot at this time.
pub(crate) fn row(snapshot: &Snapshot, domain: &str, now: u64) -> Row {
    let own = snapshot.own.as_ref();
    let (taken, expires) = (snapshot.taken(), own.and_then(|own| own.expires));
    Row {
        machine: snapshot.machine.name.clone(),
        project: snapshot.machine.project.clone(),
        domain: domain.to_owned(),
        snapshot: snapshot.name.clone(),
        family: Family::of(&snapshot.name).map(|(family, _)| family.prefix().trim_end_matches('-')),
        taken: taken.map(clock::for_incus),
        age: taken.map(|taken| now.saturating_sub(taken)),
        expires: expires.map(clock::for_incus),
        left: expires.map(|expires| expires.saturating_sub(now)),
        size: own.and_then(|own| own.size),
        of_machine: own.is_some(),
        volumes: snapshot.volumes.iter().map(|id| id.name.clone()).collect(),
    }
}

const HEADINGS: [&str; 6] = ["MACHINE", "SNAPSHOT", "AGE", "SIZE", "EXPIRES", "VOLUMES"];

/// A line for each, below their headings.
pub(crate) fn text(rows: &[Row], surface: &Surface) -> String {
    if rows.is_empty() {
        return "There are no snapshots.\n".into();
    }
    let cells: Vec<[String; 6]> = rows.iter().map(cells).collect();
    let width = |column: usize| {
        let longest = cells.iter().map(|cells| cells[column].chars().count()).max().unwrap_or_default();
        longest.max(HEADINGS[column].len())
    };
    let widths: Vec<usize> = (0..HEADINGS.len()).map(width).collect();
    let line = |cells: &[String]| {
        let padded = cells.iter().zip(&widths).map(|(cell, width)| format!("{cell:width$}"));
        padded.collect::<Vec<_>>().join("  ").trim_end().to_owned()
    };
    let headings = line(&HEADINGS.map(str::to_owned));
    let mut text = format!("{}\n", surface.paint(Style::Bold, headings));
    for cells in &cells {
        text.push_str(&line(cells));
        text.push('\n');
    }
    text
}

fn cells(row: &Row) -> [String; 6] {
    let or_none = |text: Option<String>| text.unwrap_or_else(|| "-".into());
    let volumes = row.volumes.join(", ");
    let volumes = match (volumes.is_empty(), row.of_machine) {
        (true, _) => "-".to_owned(),
        (false, true) => volumes,
        (false, false) => format!("{volumes} (only of these)"),
    };
    [
        row.machine.clone(),
        row.snapshot.clone(),
        or_none(row.age.map(span)),
        or_none(row.size.map(size)),
        or_none(row.left.map(|left| format!("in {}", span(left)))),
        volumes,
    ]
}

/// Seconds as a short word.
fn span(seconds: u64) -> String {
    match seconds {
        0..60 => format!("{seconds}s"),
        60..3600 => format!("{}m", seconds / 60),
        3600..172_800 => format!("{}h", seconds / 3600),
        _ => format!("{}d", seconds / 86_400),
    }
}

fn size(bytes: u64) -> String {
    match bytes / 1024 / 1024 {
        0 => format!("{}KiB", bytes / 1024),
        mebibytes @ 1..10_240 => format!("{mebibytes}MiB"),
        mebibytes => format!("{}GiB", mebibytes / 1024),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::lifecycle::snapshot::Own;
    use crate::plan::{Id, Kind};
    use crate::resources::volume;

    #[test]
    fn what_is_known_of_a_snapshot_is_shown_and_the_rest_is_a_dash() {
        let machine = Id::within(Kind::Instance, "pro", "dev");
        let of = |name: &str, own: Option<Own>, volumes: &[&str]| {
            let volumes = volumes.iter().map(|name| volume::id("pro", "p", name)).collect();
            Snapshot { machine: machine.clone(), name: name.into(), own, volumes, of_volumes: Some(1_795_547_000) }
        };
        let known = Own { expires: Some(1_795_547_041 + 7200), size: Some(3 << 20), ..Own::default() };
        let all = [of("snap-20261124-190401", Some(known), &["dev-data"]), of("monday", None, &["dev-data"])];
        let rows: Vec<Row> = all.iter().map(|one| row(one, "pro", 1_795_547_100)).collect();
        let plain = Surface { terminal: false, color: false, width: 80 };
        assert_eq!(
            text(&rows, &plain),
            "\
MACHINE  SNAPSHOT              AGE  SIZE  EXPIRES  VOLUMES
dev      snap-20261124-190401  59s  3MiB  in 1h    p/dev-data
dev      monday                1m   -     -        p/dev-data (only of these)
"
        );
        assert_eq!(text(&[], &plain), "There are no snapshots.\n");
        assert_eq!((span(172_799), span(172_800)), ("47h".into(), "2d".into()));
    }
}
