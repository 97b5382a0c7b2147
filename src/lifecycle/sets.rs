//! `rollback`: the machines of an `apply --snapshot` go back to how they were before it.

use std::collections::BTreeMap;

use super::reading::Snapshots;
use super::restoring::Restoring;
use super::snapshot::{Family, Snapshot};
use crate::incus::call::Call;
use crate::incus::live::Live;
use crate::plan::{Action, Id};
use crate::resources::fields::Marks;
use crate::resources::{Found, FoundInstance, Status, aside, removal};

/// The snapshots of this infrastructure's machines that were taken before each `apply`, by the time in their names.
pub(crate) fn sets<'s>(live: &Live, snapshots: &'s Snapshots, infra: &str) -> BTreeMap<&'s str, Vec<&'s Snapshot>> {
    let is_ours = |id: &Id| {
        let marks = live.found.get(id).and_then(|found| found.marks.as_ref());
        marks.is_some_and(|marks| marks.infra == infra)
    };
    let mut sets: BTreeMap<&str, Vec<&Snapshot>> = BTreeMap::new();
    // A copy has the snapshots of its source, and was no part of that apply.
    let is_own = |one: &Snapshot| one.own.as_ref().is_some_and(|own| !own.inherited);
    for snapshot in snapshots.all().filter(|one| is_own(one) && is_ours(&one.machine)) {
        let of_family = Family::of(&snapshot.name).is_some_and(|(family, _)| family == Family::PreApply);
        if let Some(time) = snapshot.name.strip_prefix(Family::PreApply.prefix()).filter(|_| of_family) {
            sets.entry(time).or_default().push(snapshot);
        }
    }
    sets
}

/// A machine on its way back.
#[derive(Debug)]
pub(crate) struct Back<'a> {
    /// The machine as it is when its turn comes.
    pub(crate) found: Found,
    pub(crate) snapshot: &'a Snapshot,
    /// What it is called now, where it was set aside.
    kept: Option<&'a Id>,
    /// The one that was made in its place.
    new: Option<&'a Found>,
    /// How many snapshots go with that.
    lost: usize,
    then: Status,
}

impl<'a> Back<'a> {
    /// `freezes` says of a machine whether the file has it frozen.
    pub(crate) fn new(
        live: &'a Live,
        snapshots: &Snapshots,
        snapshot: &'a Snapshot,
        freezes: impl Fn(&Id) -> bool,
    ) -> Option<Self> {
        let now = live.found.get(&snapshot.machine)?;
        let is_aside = now.is_set_aside();
        let mut found = now.clone();
        if is_aside {
            aside::was(now).clone_into(&mut found.id.name);
            found.marks = found.marks.map(|marks| Marks { kept: None, ..marks });
            found.instance = found.instance.map(|instance| FoundInstance { status: Status::Stopped, ..instance });
        }
        let new = live.found.get(&found.id).filter(|_| is_aside);
        let ran = snapshot.own.as_ref().is_some_and(|own| own.ran);
        let then = match ran {
            true if now.is_frozen() || freezes(&found.id) => Status::Frozen,
            true => Status::Running,
            false => Status::Stopped,
        };
        let lost = new.map_or(0, |new| snapshots.of(&new.id).len());
        Some(Self { found, snapshot, kept: is_aside.then_some(&now.id), new, lost, then })
    }

    /// How it goes back, once it has its name.
    pub(crate) fn restoring(&self) -> Restoring<'_> {
        Restoring { found: &self.found, snapshot: self.snapshot, volumes: true, then: self.then.clone() }
    }

    /// The actions, each after the one before: what was made in its place goes, it gets its name, it goes back. Wherever
    /// that is cut off, the next run finds it there.
    pub(crate) fn actions(&self) -> Vec<Action> {
        let mut restore = self.restoring().action();
        let mut actions = Vec::new();
        if let Some(kept) = self.kept {
            let rename = Call::incus(["rename", &kept.name, &self.found.id.name, "--project", &kept.project]);
            restore.calls.insert(0, rename);
            restore.note = format!("{} as it was, {}", kept.name, restore.note);
        }
        if let Some(new) = self.new {
            let lost = if self.lost > 0 { format!(", and its {} snapshots", self.lost) } else { String::new() };
            let note = format!("the one that was made since, with what is in it{lost}");
            actions.push(Action { note, ..removal::action(new) });
        }
        actions.push(restore);
        actions
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::resources::Resource;
    use crate::resources::instance::Instances;
    use serde_json::{Value, json};

    fn machine(name: &str, status: &str, kept: Option<&str>, snapshots: &[&str]) -> Value {
        let snapshots = snapshots.iter().map(|name| {
            json!({"name": name, "config": {"user.anklume.infra": "lab", "volatile.last_state.power": "RUNNING"}})
        });
        let mut listed = json!({"name": name, "project": "pro", "type": "container", "status": status, "profiles": [],
            "config": {"user.anklume.infra": "lab"}, "devices": {}, "snapshots": snapshots.collect::<Vec<_>>()});
        if let Some(kept) = kept {
            listed["config"]["user.anklume.kept"] = json!(json!({"name": kept}).to_string());
            listed["config"]["security.protection.delete"] = json!("true");
        }
        listed
    }

    const OLD: &str = "pre-apply-20261101-000000";
    const LAST: &str = "pre-apply-20261102-000000";

    /// What is done, in order.
    fn rolled_back(listed: &[Value], time: &str) -> Vec<String> {
        let found = listed.iter().filter_map(|one| Instances.found(one));
        let live = Live { found: found.map(|found| (found.id.clone(), found)).collect(), ..Live::empty() };
        let snapshots = Snapshots::parse(&json!(listed), &json!([]), [].into_iter());
        let mut actions = Vec::new();
        for snapshot in &sets(&live, &snapshots, "lab")[time] {
            let back = Back::new(&live, &snapshots, snapshot, |_| false).unwrap();
            actions.extend(back.actions());
        }
        let words = |call: &Call| call.args.iter().take(4).cloned().collect::<Vec<_>>().join(" ");
        let told = |action: &Action| {
            let calls: Vec<String> = action.calls.iter().map(words).collect();
            format!("{} {}: {}", action.verb.word(), action.id.name, calls.join("; "))
        };
        actions.iter().map(told).collect()
    }

    #[test]
    fn each_machine_of_a_set_goes_back_and_runs_as_it_did() {
        let listed = [
            machine("a", "Stopped", None, &[OLD, LAST, "monday"]),
            machine("b", "Running", None, &[LAST]),
            machine("c", "Running", None, &[OLD, "snap-20261102-000000"]),
        ];
        let of_a = "restore a: snapshot restore a pre-apply-20261102-000000; start a --project pro";
        let of_b = "restore b: snapshot restore b pre-apply-20261102-000000";
        assert_eq!(rolled_back(&listed, "20261102-000000"), [of_a, of_b]);
        assert_eq!(rolled_back(&listed, "20261101-000000").len(), 2);
    }

    #[test]
    fn a_machine_that_was_made_anew_gives_its_place_back() {
        let kept = "a-before-replace-20261102-000000";
        let restore =
            format!("rename {kept} a --project; snapshot restore a pre-apply-20261102-000000; start a --project pro");
        let both = [machine("a", "Running", None, &["monday"]), machine(kept, "Stopped", Some("a"), &[LAST])];
        let expected = ["delete a: delete a --force --project".to_owned(), format!("restore a: {restore}")];
        assert_eq!(rolled_back(&both, "20261102-000000"), expected);
        // Cut off in between.
        assert_eq!(rolled_back(&both[1..], "20261102-000000"), [format!("restore a: {restore}")]);
        let renamed = [machine("a", "Stopped", Some("a"), &[LAST])];
        let expected = "restore a: snapshot restore a pre-apply-20261102-000000; start a --project pro";
        assert_eq!(rolled_back(&renamed, "20261102-000000"), [expected]);
    }
}
