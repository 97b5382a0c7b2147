//! The files that Ansible reads: what is to be in each, and what would have to change. Nothing here reads or writes.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::{Map, Value, json};

use super::section::{self, Section};
use super::variables::{self, Home, Variables};
use crate::infra::from_json::yaml;
use crate::infra::model::Infra;
use crate::resolve::desired::Desired;

/// The directories that they are in.
pub(crate) const DIRECTORIES: [&str; 3] = ["inventory", "group_vars", "host_vars"];

/// What is in those directories: relative paths of the `.yml` files and their bytes.
pub(crate) type There = BTreeMap<String, Vec<u8>>;

/// A file that is to be another one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Change {
    /// `host_vars/pro-dev.yml`.
    pub(crate) path: String,
    /// Nothing where there is no file.
    pub(crate) before: Option<Vec<u8>>,
    /// Nothing where there will be none.
    pub(crate) after: Option<Vec<u8>>,
    /// The section that was there is not as it was written: the file is to be kept beside the new one.
    pub(crate) lost: Option<Lost>,
}

/// What goes with the old section.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Lost {
    /// What somebody changed in it.
    ByHand,
    /// An earlier anklume wrote it, without a digest: nobody can tell.
    Unknown,
}

/// A file with a section that nothing in the infrastructure asks for any more.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Orphan {
    pub(crate) path: String,
    /// Why it is not removed.
    pub(crate) kept: Option<Kept>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kept {
    /// Somebody wrote more into it.
    Somebodys,
    /// It is of a machine or a domain that is not ephemeral.
    Protected,
}

/// What a sync does, and what it tells.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Sync {
    pub(crate) changes: Vec<Change>,
    /// All of them; a sync that prunes has those that go among its changes.
    pub(crate) orphans: Vec<Orphan>,
    /// Keys that stand both in the section of a file and around it.
    pub(crate) written_twice: Vec<(String, Vec<String>)>,
    /// The files that are to be there.
    pub(crate) wanted: Vec<String>,
}

/// Every file with its section, in the order in which they are shown.
pub(crate) fn wanted(infra: &Infra, desired: &Desired) -> Vec<(String, String)> {
    let homes: Vec<Home<'_>> = variables::homes(infra, desired).collect();
    let mut files = Vec::new();
    let mut add = |directory: &str, name: &str, variables: Variables| {
        files.push((format!("{directory}/{name}.yml"), yaml(&Value::Object(variables))));
    };
    for home in &homes {
        add("inventory", &home.1.name, inventory(*home));
    }
    add("group_vars", "all", variables::of_all(infra, desired));
    for home in &homes {
        add("group_vars", &home.1.name, variables::of_domain(*home));
        for guest in variables::guests(*home) {
            add("host_vars", &guest.1.name, variables::of_machine(*home, guest));
        }
    }
    files
}

/// A domain as a group, its machines with the way to them; under a second name where Ansible warns about the first.
fn inventory(home: Home<'_>) -> Variables {
    let domain = home.1;
    let hosts: Map<String, Value> = variables::guests(home)
        .map(|(_, machine)| (machine.name.clone(), Value::Object(variables::of_connection(domain, machine))))
        .collect();
    let mut groups = Map::from_iter([(domain.name.clone(), json!({ "hosts": hosts }))]);
    if let Some(alias) = super::groups::alias(&domain.name) {
        groups.insert(alias, json!({ "children": { &domain.name: {} } }));
    }
    groups
}

/// Compares what is to be there with what is.
pub(crate) fn sync(infra: &Infra, desired: &Desired, there: &There, prune: bool) -> Sync {
    let wanted = wanted(infra, desired);
    let mut sync = Sync::default();
    for (path, body) in &wanted {
        let before = there.get(path);
        let after = before.map_or_else(|| section::new_file(body), |before| section::put(before, body));
        let twice = section::written_twice(&after);
        if !twice.is_empty() {
            sync.written_twice.push((path.clone(), twice));
        }
        if before != Some(&after) {
            let lost = before.and_then(|before| section::find(before)).and_then(|section| lost(&section));
            sync.changes.push(Change { path: path.clone(), before: before.cloned(), after: Some(after), lost });
        }
    }
    sync.wanted = wanted.into_iter().map(|(path, _)| path).collect();
    sync.orphans = orphans(infra, there, &sync.wanted.iter().map(String::as_str).collect());
    if prune {
        let gone = sync.orphans.iter().filter(|orphan| orphan.kept.is_none());
        sync.changes.extend(gone.map(|orphan| without(&orphan.path, &there[&orphan.path])));
    }
    sync
}

/// The files without their sections; those that have nothing else in them go. What somebody changed in a section goes
/// with it.
pub(crate) fn cleared(there: &There) -> Vec<Change> {
    let ours = there.iter().filter(|(_, file)| section::find(file).is_some());
    ours.map(|(path, file)| without(path, file)).collect()
}

fn without(path: &str, file: &[u8]) -> Change {
    let after = if section::is_all_ours(file) { None } else { section::taken_out(file) };
    let lost = section::find(file).and_then(|section| lost(&section));
    Change { path: path.to_owned(), before: Some(file.to_vec()), after, lost }
}

fn lost(section: &Section) -> Option<Lost> {
    match (section.untouched, section.has_digest) {
        (true, _) => None,
        (false, true) => Some(Lost::ByHand),
        (false, false) => Some(Lost::Unknown),
    }
}

/// Files with a section that are not wanted, and not of a domain that is only switched off.
fn orphans(infra: &Infra, there: &There, wanted: &BTreeSet<&str>) -> Vec<Orphan> {
    let disabled = infra.domains.iter().filter(|(_, domain)| !domain.enabled);
    let resting: BTreeSet<String> = disabled
        .flat_map(|(name, domain)| {
            let machines = domain.machines.keys().map(|machine| format!("host_vars/{machine}.yml"));
            machines.chain([format!("inventory/{name}.yml"), format!("group_vars/{name}.yml")])
        })
        .collect();
    let mut orphans = Vec::new();
    for (path, file) in there {
        if wanted.contains(path.as_str()) || resting.contains(path) {
            continue;
        }
        let Some(section) = section::find(file) else { continue };
        let kept = if is_protected(path, &section, there) {
            Some(Kept::Protected)
        } else {
            let changed = lost(&section) == Some(Lost::ByHand);
            (changed || !section::is_all_ours(file)).then_some(Kept::Somebodys)
        };
        orphans.push(Orphan { path: path.clone(), kept });
    }
    orphans
}

/// Its own section says so; of an inventory, the section of the group.
fn is_protected(path: &str, section: &Section, there: &There) -> bool {
    let says = |section: &Section| {
        let mut lines = section.body.lines();
        lines.any(|line| line == "instance_ephemeral: false" || line == "domain_ephemeral: false")
    };
    let group = path.strip_prefix("inventory/").and_then(|name| there.get(&format!("group_vars/{name}")));
    says(section) || group.and_then(|file| section::find(file)).is_some_and(|section| says(&section))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::infra::model::{Domain, Machine};
    use crate::resolve::sample::{domain, infra, machine, sound};

    fn two() -> Infra {
        let brief = Domain { ephemeral: true, ..domain([("try-one", machine())]) };
        infra([("pro", domain([("dev", machine())])), ("play-ground", brief)])
    }

    fn done(there: &There, sync: &Sync) -> There {
        let mut there = there.clone();
        for change in &sync.changes {
            match &change.after {
                Some(after) => drop(there.insert(change.path.clone(), after.clone())),
                None => drop(there.remove(&change.path)),
            }
        }
        there
    }

    fn synced(infra: &Infra, there: &There) -> There {
        done(there, &sync(infra, &sound(infra), there, false))
    }

    fn paths(sync: &Sync) -> Vec<&str> {
        sync.changes.iter().map(|change| change.path.as_str()).collect()
    }

    #[test]
    fn every_domain_and_machine_has_its_files_and_the_second_time_nothing_is_written() {
        let infra = two();
        let there = synced(&infra, &There::new());
        let expected = [
            "group_vars/all.yml",
            "group_vars/play-ground.yml",
            "group_vars/pro.yml",
            "host_vars/dev.yml",
            "host_vars/try-one.yml",
            "inventory/play-ground.yml",
            "inventory/pro.yml",
        ];
        assert_eq!(there.keys().collect::<Vec<_>>(), expected);
        let again = sync(&infra, &sound(&infra), &there, true);
        assert_eq!((again.changes, again.orphans, again.wanted.len()), (vec![], vec![], 7));
    }

    #[test]
    fn a_group_with_a_hyphen_has_a_second_name() {
        let infra = two();
        let files = wanted(&infra, &sound(&infra));
        let body = &files.iter().find(|(path, _)| path == "inventory/play-ground.yml").unwrap().1;
        let expected = "play-ground:\n  hosts:\n    try-one:\n      ansible_host: \"10.120.0.1\"\n      \
            ansible_incus_host: try-one\n      ansible_incus_project: play-ground\nplay_ground:\n  children:\n    \
            play-ground: {}\n";
        assert_eq!(body, expected);
    }

    #[test]
    fn only_what_changed_in_the_file_is_written() {
        let mut infra = two();
        let there = synced(&infra, &There::new());
        infra.domains["pro"].machines["dev"].roles = vec!["web".into()];
        assert_eq!(paths(&sync(&infra, &sound(&infra), &there, false)), ["host_vars/dev.yml"]);
    }

    #[test]
    fn a_section_that_was_changed_by_hand_is_written_anew_and_said() {
        let infra = two();
        let mut there = synced(&infra, &There::new());
        let dev = String::from_utf8(there["host_vars/dev.yml"].clone()).unwrap();
        there.insert("host_vars/dev.yml".into(), dev.replace("dev\n", "other\n").into_bytes());
        let sync = sync(&infra, &sound(&infra), &there, false);
        assert_eq!((paths(&sync), sync.changes[0].lost), (vec!["host_vars/dev.yml"], Some(Lost::ByHand)));
        assert_eq!(done(&there, &sync)["host_vars/dev.yml"], dev.into_bytes());
    }

    #[test]
    fn what_left_the_file_is_listed_and_goes_only_where_nobody_misses_it() {
        let mut infra = two();
        infra.domains["play-ground"].machines.insert("try-two".into(), machine());
        let mut there = synced(&infra, &There::new());
        there.get_mut("host_vars/try-two.yml").unwrap().extend(b"mine: 1\n");
        there.insert("host_vars/by-hand.yml".into(), b"mine: 1\n".to_vec());
        infra.domains.clear();
        let found = sync(&infra, &sound(&infra), &there, true);
        let orphans: Vec<(&str, Option<Kept>)> =
            found.orphans.iter().map(|orphan| (orphan.path.as_str(), orphan.kept)).collect();
        let expected = [
            ("group_vars/play-ground.yml", None),
            ("group_vars/pro.yml", Some(Kept::Protected)),
            ("host_vars/dev.yml", Some(Kept::Protected)),
            ("host_vars/try-one.yml", None),
            ("host_vars/try-two.yml", Some(Kept::Somebodys)),
            ("inventory/play-ground.yml", None),
            ("inventory/pro.yml", Some(Kept::Protected)),
        ];
        assert_eq!(orphans, expected);
        let expected =
            ["group_vars/all.yml", "group_vars/play-ground.yml", "host_vars/try-one.yml", "inventory/play-ground.yml"];
        assert_eq!(paths(&found), expected);
        assert_eq!(paths(&sync(&infra, &sound(&infra), &there, false)), ["group_vars/all.yml"]);
    }

    #[test]
    fn the_files_of_a_domain_that_is_switched_off_stay_as_they_are() {
        let mut infra = two();
        let there = synced(&infra, &There::new());
        infra.domains["play-ground"].enabled = false;
        infra.domains["play-ground"].machines["try-one"] = Machine { roles: vec!["web".into()], ..machine() };
        let sync = sync(&infra, &sound(&infra), &there, true);
        assert_eq!((paths(&sync), &sync.orphans), (vec![], &vec![]));
    }

    #[test]
    fn cleared_files_have_what_was_their_owners_and_no_more() {
        let infra = two();
        let mut there = synced(&infra, &There::from([("host_vars/dev.yml".into(), b"mine: 1".to_vec())]));
        there.insert("group_vars/web.yml".into(), b"mine: 2\n".to_vec());
        let sync = Sync { changes: cleared(&there), ..Sync::default() };
        let expected = There::from([
            ("group_vars/web.yml".into(), b"mine: 2\n".to_vec()),
            ("host_vars/dev.yml".into(), b"mine: 1".to_vec()),
        ]);
        assert_eq!(done(&there, &sync), expected);
    }
}
