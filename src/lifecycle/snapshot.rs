//! Snapshots of machines: what they are called, and the calls that take, restore and delete one.
//!
//! A snapshot of a machine and those of its volumes that are taken with it have the same name. The volumes' ones come
//! first: where the machine has its own, they are all there.

use std::collections::BTreeSet;

use serde_json::json;

use crate::host::clock;
use crate::incus::call::Call;
use crate::plan::{Action, Id, Kind, Verb};
use crate::resources::fields::Marks;
use crate::resources::{Found, volume};

/// Snapshots that anklume names by itself, each family for a purpose of its own.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, clap::ValueEnum)]
pub(crate) enum Family {
    /// Taken by hand, without a name.
    Snap,
    /// Before a risky action of `apply`.
    PreApply,
    /// Before a guest is upgraded.
    PreUpgrade,
}

impl Family {
    pub(crate) const ALL: [Self; 3] = [Self::Snap, Self::PreApply, Self::PreUpgrade];

    /// How its names begin.
    pub(crate) fn prefix(self) -> &'static str {
        match self {
            Self::Snap => "snap-",
            Self::PreApply => "pre-apply-",
            Self::PreUpgrade => "pre-upgrade-",
        }
    }

    /// The name of one that is taken now: `snap-20261124-190000`.
    pub(crate) fn name(self, now: &str) -> String {
        format!("{}{now}", self.prefix())
    }

    /// The family of a name, and when that was given. What only looks like one is the user's own.
    pub(crate) fn of(name: &str) -> Option<(Self, u64)> {
        let time = |family: &Self| Some((*family, clock::read(name.strip_prefix(family.prefix())?)?));
        Self::ALL.iter().find_map(time)
    }
}

/// A snapshot of a machine with those of its volumes that carry its name.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Snapshot {
    pub(crate) machine: Id,
    pub(crate) name: String,
    /// Nothing where only those of volumes are there: what a run left that was cut off, or what Incus took of a volume by
    /// itself.
    pub(crate) own: Option<Own>,
    /// The volumes that have one of this name.
    pub(crate) volumes: BTreeSet<Id>,
    /// When the first of its volumes' was taken.
    pub(crate) of_volumes: Option<u64>,
}

/// What the machine's own snapshot says. Times are seconds after the beginning of 1970.
#[derive(Debug, Clone, Default, PartialEq)]
pub(crate) struct Own {
    pub(crate) created: Option<u64>,
    pub(crate) expires: Option<u64>,
    /// In bytes; most pools do not tell.
    pub(crate) size: Option<u64>,
    /// The machine was running, or paused, when it was taken.
    pub(crate) ran: bool,
    /// What anklume had written on the machine by then.
    pub(crate) marks: Option<Marks>,
    /// The volumes that the machine had by then.
    pub(crate) attached: BTreeSet<Id>,
    /// The bridges that it was on by then, and is not on now; the volumes that it had, and another machine has now.
    pub(crate) elsewhere: BTreeSet<String>,
    /// It was taken of another machine, which this one is a copy of.
    pub(crate) inherited: bool,
}

impl Snapshot {
    /// When it was taken.
    pub(crate) fn taken(&self) -> Option<u64> {
        let of_name = Family::of(&self.name).map(|(_, time)| time);
        of_name.or_else(|| self.own.as_ref().and_then(|own| own.created)).or(self.of_volumes)
    }
}

/// Takes one of the machine and of these volumes; the name has to be free. Without `expires`, a time as Incus reads it, it never goes by itself,
/// whatever the machine's own `snapshots.expiry` says of those that Incus takes.
pub(crate) fn create(machine: &Id, volumes: &BTreeSet<Id>, name: &str, expires: Option<&str>) -> Vec<Call> {
    let expiring = |args: Vec<&str>| match expires {
        Some(time) => Call::incus(args).body(json!({"expires_at": time})),
        None => Call::incus([args, vec!["--no-expiry"]].concat()),
    };
    let of_volume = |id: &Id| {
        let (pool, volume) = volume::parts(id);
        expiring(vec!["storage", "volume", "snapshot", "create", pool, volume, name, "--project", &id.project])
    };
    // What was taken of the volumes goes where the rest cannot be taken. Of what was not taken this fails too, and the
    // first failure is the one that is told.
    let undo = volumes.iter().map(|id| delete_of_volume(id, name).rescue());
    let own = expiring(vec!["snapshot", "create", &machine.name, name, "--project", &machine.project]);
    volumes.iter().map(of_volume).chain([own]).chain(undo).collect()
}

/// Brings the machine back: its disk, its config, its devices and profiles. One that runs is stopped for it, and started
/// again, by Incus itself; a paused one runs then.
pub(crate) fn restore(machine: &Id, name: &str) -> Call {
    Call::incus(["snapshot", "restore", &machine.name, name, "--project", &machine.project])
}

/// Brings a volume back. No machine that has it may run meanwhile.
pub(crate) fn restore_of_volume(id: &Id, name: &str) -> Call {
    let (pool, volume) = volume::parts(id);
    Call::incus(["storage", "volume", "snapshot", "restore", pool, volume, name, "--project", &id.project])
}

/// Deletes it: the machine's own first, so that what is left of one that was cut off in the middle is none to be restored.
pub(crate) fn delete(snapshot: &Snapshot) -> Vec<Call> {
    let Id { project, name: machine, .. } = &snapshot.machine;
    let own =
        snapshot.own.iter().map(|_| Call::incus(["snapshot", "delete", machine, &snapshot.name, "--project", project]));
    own.chain(snapshot.volumes.iter().map(|id| delete_of_volume(id, &snapshot.name))).collect()
}

/// What the plan calls one.
fn id(machine: &Id, name: &str) -> Id {
    Id::within(Kind::Snapshot, &machine.project, format!("{}/{name}", machine.name))
}

/// The action that takes one.
pub(crate) fn taking(found: &Found, volumes: &BTreeSet<Id>, name: &str, expires: Option<&str>) -> Action {
    Action {
        domain: found.domain().to_owned(),
        note: with(volumes),
        ..Action::bare(id(&found.id, name), Verb::Create, create(&found.id, volumes, name, expires))
    }
}

/// The action that deletes one.
pub(crate) fn removal(snapshot: &Snapshot, domain: &str) -> Action {
    Action {
        domain: domain.to_owned(),
        note: with(&snapshot.volumes),
        ..Action::bare(id(&snapshot.machine, &snapshot.name), Verb::Delete, delete(snapshot))
    }
}

/// The volumes that a machine has.
pub(crate) fn volumes_of(found: &Found) -> BTreeSet<Id> {
    found.needs.iter().filter(|need| need.kind == Kind::Volume).cloned().collect()
}

fn with(volumes: &BTreeSet<Id>) -> String {
    let names: Vec<&str> = volumes.iter().map(|id| id.name.as_str()).collect();
    if names.is_empty() { String::new() } else { format!("with {}", names.join(", ")) }
}

fn delete_of_volume(id: &Id, name: &str) -> Call {
    let (pool, volume) = volume::parts(id);
    Call::incus(["storage", "volume", "snapshot", "delete", pool, volume, name, "--project", &id.project])
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::incus::call::{Input, When};
    use crate::plan::Kind;

    fn dev() -> Id {
        Id::within(Kind::Instance, "pro", "dev")
    }

    fn data() -> BTreeSet<Id> {
        [volume::id("pro", "fast", "dev-data")].into()
    }

    fn words(calls: &[Call]) -> Vec<String> {
        calls.iter().map(Call::words).collect()
    }

    #[test]
    fn a_family_is_told_by_its_names_and_only_by_whole_ones() {
        let name = Family::PreApply.name("20261124-190401");
        assert_eq!(name, "pre-apply-20261124-190401");
        assert_eq!(Family::of(&name), Some((Family::PreApply, 1_795_547_041)));
        assert_eq!(Family::of("snap-20261124-190401"), Some((Family::Snap, 1_795_547_041)));
        for own in ["snap0", "snap-before-the-move", "snap-20261124-190401-b", "pre-apply-", "monday"] {
            assert_eq!(Family::of(own), None, "{own}");
        }
    }

    #[test]
    fn volumes_come_first_and_go_again_where_the_machine_fails() {
        let calls = create(&dev(), &data(), "s", None);
        assert_eq!(
            words(&calls),
            [
                "incus storage volume snapshot create fast dev-data s --project pro --no-expiry",
                "incus snapshot create dev s --project pro --no-expiry",
                "incus storage volume snapshot delete fast dev-data s --project pro",
            ]
        );
        assert_eq!(calls.iter().map(|call| call.when).collect::<Vec<_>>(), [When::Next, When::Next, When::Rescue]);
        let expiring = create(&dev(), &data(), "s", Some("2026-12-01T00:00:00Z"));
        for call in &expiring[..2] {
            assert_eq!(call.input, Input::Body(json!({"expires_at": "2026-12-01T00:00:00Z"})));
        }
    }

    #[test]
    fn what_is_deleted_in_part_is_none_to_be_restored() {
        let own = Some(Own::default());
        let snapshot = Snapshot { machine: dev(), name: "s".into(), own, volumes: data(), of_volumes: None };
        let calls = [
            "incus snapshot delete dev s --project pro",
            "incus storage volume snapshot delete fast dev-data s --project pro",
        ];
        assert_eq!(words(&delete(&snapshot)), calls);
        assert_eq!(words(&delete(&Snapshot { own: None, ..snapshot })), calls[1..]);
    }
}
