//! Which snapshots are too old, or too many.

use std::collections::BTreeMap;

use super::snapshot::{Family, Snapshot};

/// What goes of a machine's snapshots. Of names that anklume did not give, nothing does.
#[derive(Debug, Clone)]
pub(crate) struct Rule {
    /// The newest that stay, of each family.
    pub(crate) keep: usize,
    /// Only what was taken before: seconds after the beginning of 1970.
    pub(crate) before: Option<u64>,
    pub(crate) families: Vec<Family>,
}

impl Rule {
    /// Those of a machine that go. What is left of one that was cut off does not count for those that stay.
    pub(crate) fn pruned<'s>(&self, of_machine: &'s [Snapshot]) -> Vec<&'s Snapshot> {
        let mut newer: BTreeMap<Family, usize> = BTreeMap::new();
        let mut named: Vec<(Family, u64, &Snapshot)> = of_machine.iter().filter_map(in_family).collect();
        named.sort_by_key(|(_, taken, _)| std::cmp::Reverse(*taken));
        let goes = |(family, taken, snapshot): &(Family, u64, &Snapshot)| {
            let newer = newer.entry(*family).or_default();
            let is_surplus = *newer >= self.keep;
            *newer += usize::from(snapshot.own.is_some());
            is_surplus && self.families.contains(family) && self.before.is_none_or(|before| *taken < before)
        };
        let mut gone: Vec<_> = named.into_iter().filter(goes).collect();
        gone.reverse();
        gone.into_iter().map(|(_, _, snapshot)| snapshot).collect()
    }
}

fn in_family(snapshot: &Snapshot) -> Option<(Family, u64, &Snapshot)> {
    Family::of(&snapshot.name).map(|(family, taken)| (family, taken, snapshot))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::lifecycle::snapshot::Own;
    use crate::plan::{Id, Kind};

    fn snapshot(name: &str) -> Snapshot {
        let machine = Id::within(Kind::Instance, "pro", "dev");
        let volumes = [].into();
        Snapshot { machine, name: name.into(), own: Some(Own::default()), volumes, of_volumes: None }
    }

    const NAMES: [&str; 8] = [
        "snap-20261101-000000",
        "snap0",
        "snap-20261103-000000",
        "monday",
        "pre-apply-20261102-000000",
        "snap-20261102-000000",
        "pre-apply-20261101-000000",
        "pre-upgrade-20261101-000000",
    ];

    fn pruned(keep: usize, before: Option<&str>, families: &[Family]) -> Vec<String> {
        let all = NAMES.map(snapshot);
        let before = before.and_then(crate::host::clock::read);
        let rule = Rule { keep, before, families: families.to_vec() };
        rule.pruned(&all).into_iter().map(|one| one.name.clone()).collect()
    }

    #[test]
    fn the_newest_of_each_family_stay() {
        let expected = ["snap-20261101-000000", "pre-apply-20261101-000000", "snap-20261102-000000"];
        let mut told = pruned(1, None, &Family::ALL);
        told.sort_by_key(|name| expected.iter().position(|one| one == name));
        assert_eq!(told, expected);
        assert_eq!(pruned(2, None, &Family::ALL), ["snap-20261101-000000"]);
        assert_eq!(pruned(1, None, &[Family::PreApply]), ["pre-apply-20261101-000000"]);
        assert_eq!(pruned(9, None, &Family::ALL), [""; 0]);
    }

    #[test]
    fn only_what_is_both_old_and_too_many_goes() {
        let before = Some("20261102-000000");
        let all = ["snap-20261101-000000", "pre-apply-20261101-000000", "pre-upgrade-20261101-000000"];
        let mut told = pruned(0, before, &Family::ALL);
        told.sort_by_key(|name| all.iter().position(|one| one == name));
        assert_eq!(told, all);
        assert_eq!(pruned(2, before, &Family::ALL), ["snap-20261101-000000"]);
    }

    #[test]
    fn what_others_named_never_goes() {
        let all = pruned(0, None, &Family::ALL);
        assert!(!all.iter().any(|name| ["snap0", "monday"].contains(&name.as_str())), "{all:?}");
        assert_eq!(all.len(), NAMES.len() - 2);
    }

    #[test]
    fn what_a_run_left_that_was_cut_off_does_not_count() {
        let mut all = ["snap-20261101-000000", "snap-20261102-000000", "snap-20261103-000000"].map(snapshot);
        all[2].own = None;
        let rule = Rule { keep: 1, before: None, families: vec![Family::Snap] };
        let names: Vec<&str> = rule.pruned(&all).into_iter().map(|one| one.name.as_str()).collect();
        assert_eq!(names, ["snap-20261101-000000"]);
    }
}
