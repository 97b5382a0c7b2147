//! The snapshots that an upgrade takes, and what to do with those of one that was cut off.

use crate::lifecycle::snapshot::{Family, Snapshot};

/// So long after it was taken, a snapshot is one of a run that was cut off and is begun again; after that, too much has
/// happened in the machine to go back to it.
const FRESH: u64 = 24 * 60 * 60;

/// The snapshots of a machine that upgrades took.
#[derive(Debug, Clone, Default, PartialEq)]
pub(crate) struct Leftover {
    /// How the machine was before the run that was cut off: nothing newer is taken.
    pub(crate) fresh: Option<Snapshot>,
    /// Cut off while it was taken or deleted: of no use to anybody.
    pub(crate) parts: Vec<Snapshot>,
    /// Whole ones that are too old to go back to, and go once an upgrade was good.
    pub(crate) old: Vec<Snapshot>,
}

impl Leftover {
    /// Sorts the snapshots of a machine, given from the oldest to the newest.
    pub(crate) fn of(snapshots: &[Snapshot], now: u64) -> Self {
        let mut leftover = Self::default();
        for snapshot in snapshots {
            let Some((Family::PreUpgrade, taken)) = Family::of(&snapshot.name) else { continue };
            if snapshot.own.is_none() {
                leftover.parts.push(snapshot.clone());
            } else if now.saturating_sub(taken) > FRESH {
                leftover.old.push(snapshot.clone());
            } else if leftover.fresh.is_none() {
                leftover.fresh = Some(snapshot.clone());
            } else {
                // What was taken after the first one is of a machine in the middle of its upgrade.
                leftover.old.push(snapshot.clone());
            }
        }
        leftover
    }
}

/// So many at once.
pub(crate) fn batches<T>(all: Vec<T>, size: usize) -> Vec<Vec<T>> {
    let mut batches: Vec<Vec<T>> = Vec::new();
    for one in all {
        match batches.last_mut().filter(|batch| batch.len() < size.max(1)) {
            Some(batch) => batch.push(one),
            None => batches.push(vec![one]),
        }
    }
    batches
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::lifecycle::snapshot::Own;
    use crate::plan::{Id, Kind};

    fn taken(name: &str, whole: bool) -> Snapshot {
        Snapshot {
            machine: Id::within(Kind::Instance, "pro", "dev"),
            name: name.to_owned(),
            own: whole.then(Own::default),
            volumes: [].into(),
            of_volumes: None,
        }
    }

    fn names(snapshots: &[Snapshot]) -> Vec<&str> {
        snapshots.iter().map(|snapshot| snapshot.name.as_str()).collect()
    }

    #[test]
    fn only_a_whole_one_of_today_is_gone_back_to() {
        // 2026-11-24, 19:04:01.
        let now = 1_795_547_041;
        let all = [
            ("pre-upgrade-20261120-000000", true),
            ("pre-upgrade-20261121-000000", false),
            ("mine", true),
            ("snap-20261124-190000", true),
            ("pre-upgrade-20261124-180000", true),
            ("pre-upgrade-20261124-190000", true),
            ("pre-upgrade-mine", true),
        ];
        let leftover = Leftover::of(&all.map(|(name, whole)| taken(name, whole)), now);
        assert_eq!(leftover.fresh.unwrap().name, "pre-upgrade-20261124-180000");
        assert_eq!(names(&leftover.parts), ["pre-upgrade-20261121-000000"]);
        assert_eq!(names(&leftover.old), ["pre-upgrade-20261120-000000", "pre-upgrade-20261124-190000"]);
        assert_eq!(Leftover::of(&[], now), Leftover::default());
    }

    #[test]
    fn batches_are_full_but_for_the_last() {
        assert_eq!(batches(vec![1, 2, 3, 4, 5], 2), [vec![1, 2], vec![3, 4], vec![5]]);
        assert_eq!(batches(vec![1, 2], 0), [vec![1], vec![2]]);
        assert_eq!(batches(Vec::<u8>::new(), 3), [[0; 0]; 0]);
    }
}
