//! What machines keep and see: disks that are volumes of theirs, their own directories of the host, and shared ones.

use std::collections::BTreeMap;

use indexmap::IndexMap;

use super::cards::says;
use super::scene::{Scene, is_applied};
use super::thing::{Keys, Thing, field, is_note, keys};
use crate::infra::bytes;
use crate::infra::model::{Config, Domain, Infra, PersistentData, SharedVolume, Volume};
use crate::plan::Id;
use crate::resources::fields::Key;
use crate::resources::volume;

/// The file's own directory for what machines keep, unless most of them have another one.
pub(super) const DATA: &str = "/srv/anklume/data";
/// Keys that the driver of a pool sets by itself begin so.
const DRIVERS: [&str; 4] = ["block.", "zfs.", "lvm.", "btrfs."];
const SHARES: &str = "/srv/anklume/shares";

/// The directory that most machines keep their data under. Each: domain, machine and its devices.
pub(super) fn base<'a>(machines: impl Iterator<Item = (&'a str, &'a str, &'a BTreeMap<String, Keys>)>) -> String {
    let mut bases: BTreeMap<&str, usize> = BTreeMap::new();
    for (domain, machine, devices) in machines {
        for (name, keys) in devices {
            let own = name.strip_prefix("pd-").map(|own| format!("/{domain}/{machine}/{own}"));
            let base = own.and_then(|own| keys.get("source")?.strip_suffix(&own));
            *bases.entry(base.filter(|base| base.starts_with('/')).unwrap_or(DATA)).or_default() += 1;
        }
    }
    bases.remove(DATA);
    let most = bases.into_iter().max_by_key(|(base, count)| (*count, std::cmp::Reverse(*base)));
    most.map_or(DATA, |(base, _)| base).to_owned()
}

/// A disk that is a volume of its own machine, as the file says one.
pub(super) fn volume(scene: &Scene<'_>, instance: &Id, device: &str, disk: &Keys, home_pool: &str) -> Option<Volume> {
    let (pool, source) = (disk.get("pool")?, disk.get("source")?);
    let is_own = source.strip_prefix(&instance.name).and_then(|rest| rest.strip_prefix('-')) == Some(device);
    let plain = disk.keys().all(|key| ["type", "pool", "source", "path"].contains(&key.as_str()));
    if !is_own || !plain || !says(disk, "type", "disk") || is_note(device) {
        return None;
    }
    let found = scene.found(&volume::id(&instance.project, pool, source))?;
    let mut config = Thing::of(found).config;
    match &found.marks {
        // What its pool's driver set by itself is not the file's.
        Some(marks) => config.retain(|key, _| is_applied(Some(marks), &Key::Config(key.clone()))),
        None => {
            config.retain(|key, _| !DRIVERS.iter().any(|start| key.starts_with(start)));
        }
    }
    let size = config.get("size").filter(|size| bytes(size).is_some()).cloned();
    config.retain(|key, _| key != "size" || size.is_none());
    Some(Volume {
        pool: Some(pool.clone()).filter(|pool| pool != home_pool),
        size,
        path: disk.get("path").cloned(),
        config: super::thing::written(&config),
        block: field(&found.fields, &Key::Type) == "block",
    })
}

/// A directory of the host, as a disk has it: where it comes from and goes to, whether it is written and shifted.
struct Directory<'k> {
    source: &'k String,
    path: &'k String,
    writes: bool,
    shift: bool,
}

fn directory(disk: &Keys) -> Option<Directory<'_>> {
    let (source, path) = (disk.get("source")?, disk.get("path")?);
    let mut whole = keys([("type", "disk")]);
    whole.extend([("source".to_owned(), source.clone()), ("path".to_owned(), path.clone())]);
    let (writes, shift) = (!says(disk, "readonly", "true"), says(disk, "shift", "true"));
    whole.extend(keys([("readonly", "true")]).into_iter().filter(|_| !writes));
    whole.extend(keys([("shift", "true")]).into_iter().filter(|_| shift));
    (whole == *disk).then_some(Directory { source, path, writes, shift })
}

/// A machine's own directory of the host. `home`: where its directories are.
pub(super) fn data(
    scene: &Scene<'_>,
    home: &str,
    device: &str,
    disk: &Keys,
    vm: bool,
) -> Option<(String, PersistentData)> {
    let name = device.strip_prefix("pd-").filter(|name| !is_note(name))?;
    let found = directory(disk)?;
    let is_own = *found.source == format!("{home}/{name}") && found.shift != vm;
    // The file would have one made that is not there.
    (is_own && (scene.is_dir)(found.source))
        .then(|| (name.to_owned(), PersistentData { path: found.path.clone(), readonly: !found.writes }))
}

/// Disks that may be shared ones: domain, machine, whether that is a virtual machine, and the disk.
#[derive(Debug, Clone)]
pub(super) struct Shared {
    pub(super) domain: String,
    pub(super) machine: String,
    pub(super) vm: bool,
    pub(super) disk: Keys,
}

/// The shared volumes that these disks are, by what they are called; those that are none are given back.
pub(super) fn shares(
    scene: &Scene<'_>,
    infra: &Infra,
    all: BTreeMap<String, Vec<Shared>>,
) -> (IndexMap<String, SharedVolume>, Vec<(String, Shared)>) {
    let (mut shares, mut back) = (IndexMap::new(), Vec::new());
    for (name, disks) in all {
        match share(scene, infra, &name, &disks) {
            Some(share) => drop(shares.insert(name, share)),
            None => back.extend(disks.into_iter().map(|disk| (name.clone(), disk))),
        }
    }
    (shares, back)
}

fn share(scene: &Scene<'_>, infra: &Infra, name: &str, disks: &[Shared]) -> Option<SharedVolume> {
    let read = disks.iter().map(|one| Some((one, directory(&one.disk)?))).collect::<Option<Vec<_>>>()?;
    let (_, first) = read.first()?;
    let shift = read.iter().find(|(one, _)| !one.vm).is_none_or(|(_, found)| found.shift);
    let fits = |(one, found): &(&Shared, Directory<'_>)| {
        found.source == first.source && found.path == first.path && found.shift == (shift && !one.vm)
    };
    if is_note(name) || !read.iter().all(fits) || !(scene.is_dir)(first.source) {
        return None;
    }
    let written = |text: &String, usual: String| Some(text.clone()).filter(|text| *text != usual);
    let mut share = SharedVolume {
        source: written(first.source, format!("{SHARES}/{name}")),
        path: written(first.path, format!("/shared/{name}")),
        shift,
        propagate: read.iter().any(|(one, _)| nests(infra, one)),
        consumers: IndexMap::new(),
    };
    let access: BTreeMap<(&str, &str), bool> =
        read.iter().map(|(one, found)| ((one.domain.as_str(), one.machine.as_str()), found.writes)).collect();
    for (domain, home) in &infra.domains {
        consume(&mut share, domain, home, &access);
    }
    Some(share)
}

fn nests(infra: &Infra, one: &Shared) -> bool {
    let home = infra.domains.get(&one.domain);
    home.and_then(|home| Some(home.machines.get(&one.machine)?.nests(home))).unwrap_or_default()
}

/// The consumers of one domain: the domain itself where that says the same of several machines.
fn consume(share: &mut SharedVolume, domain: &str, home: &Domain, access: &BTreeMap<(&str, &str), bool>) {
    let of = |machine: &str| access.get(&(domain, machine)).copied();
    let modes: Vec<bool> = home.machines.keys().filter_map(|machine| of(machine)).collect();
    if let [first, _, ..] = modes.as_slice() {
        let mut of_domain = share.clone();
        of_domain.consumers.insert(domain.to_owned(), *first);
        let mut machines = home.machines.iter();
        if machines.all(|(name, machine)| of_domain.access(domain, home, name, machine) == of(name)) {
            *share = of_domain;
            return;
        }
    }
    let single = home.machines.keys().filter_map(|machine| Some((machine.clone(), of(machine)?)));
    share.consumers.extend(single);
}

/// Volumes that no file says: the names of those on the pools of a project that no machine has.
pub(super) fn unsaid(scene: &Scene<'_>, project: &str) -> Vec<String> {
    let volumes = scene.within(crate::plan::Kind::Volume, project);
    let is_used = |id: &Id| scene.live.found.values().any(|found| found.needs.contains(id));
    volumes.into_iter().map(|found| &found.id).filter(|id| !is_used(id)).map(|id| id.name.clone()).collect()
}

/// Config keys without those that begin so.
pub(super) fn without_notes(keys: &Keys) -> Config {
    keys.iter().filter(|(key, _)| !is_note(key)).map(|(key, value)| (key.clone(), value.clone())).collect()
}
