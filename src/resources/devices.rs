//! Devices as a machine has them: its own, and those of its profiles. One of them is the root disk, which Incus moves to
//! no other pool in place.

use std::collections::BTreeSet;

use super::fields::{Fields, Key, split};
use super::instance::anew;
use super::sides::Sides;
use super::weigh::{AllWeighed, after};
use super::{Found, Wanted};
use crate::plan::{Id, Impact, Kind};

/// The devices that a machine has now.
pub(super) fn now(sides: &Sides<'_>, found: &Found) -> Fields {
    expanded(&found.id, &found.fields, |id| sides.live.found.get(id).map(|profile| &profile.fields))
}

/// The devices that a machine with these fields has when the plan is done.
pub(super) fn then(sides: &Sides<'_>, all: &AllWeighed<'_>, id: &Id, fields: &Fields) -> Fields {
    expanded(id, fields, |id| match sides.live.found.get(id) {
        Some(profile) => Some(after(all, profile)),
        None => sides.wanted_of(id).map(|profile| &profile.fields),
    })
}

/// The devices that the file gives a machine.
pub(super) fn declared(sides: &Sides<'_>, wanted: &Wanted) -> Fields {
    expanded(&wanted.id, &wanted.fields, |id| sides.wanted_of(id).map(|profile| &profile.fields))
}

/// A device replaces another one of its name whole; the last profile wins over the others, the machine over all.
fn expanded<'f>(id: &Id, own: &'f Fields, profile: impl Fn(&Id) -> Option<&'f Fields>) -> Fields {
    let mut taken: BTreeSet<&str> = BTreeSet::new();
    let mut devices = Fields::new();
    for fields in [Some(own)].into_iter().chain(profiles(id, own).map(|id| profile(&id))).flatten() {
        let each = fields.iter().filter_map(|(key, value)| match key {
            Key::Device(device, _) if !taken.contains(device.as_str()) => Some((device.as_str(), key, value)),
            _ => None,
        });
        let each: Vec<_> = each.collect();
        taken.extend(each.iter().map(|(device, ..)| *device));
        devices.extend(each.into_iter().map(|(_, key, value)| (key.clone(), value.clone())));
    }
    devices
}

/// The profiles of an instance, the one that counts most first.
fn profiles<'i>(id: &'i Id, fields: &Fields) -> impl Iterator<Item = Id> + use<'i> {
    let names = fields.get(&Key::Profiles).map(|list| split(list)).unwrap_or_default();
    names.into_iter().rev().map(|name| Id::within(Kind::Profile, &id.project, name))
}

/// The device that is the root disk.
fn root(fields: &Fields) -> Option<&str> {
    fields.iter().find_map(|(key, value)| match key {
        Key::Device(device, key) if key == "path" && value == "/" => Some(device.as_str()),
        _ => None,
    })
}

fn pool(fields: &Fields) -> Option<&String> {
    fields.get(&Key::Device(root(fields)?.to_owned(), "pool".into()))
}

/// Is this a key of the device that is the root disk among these fields?
pub(super) fn is_of_root(key: &Key, fields: &Fields) -> bool {
    matches!(key, Key::Device(name, _) if root(fields) == Some(name))
}

/// Why a machine keeps the root disk that it has; `None` where it is to stay on its pool.
pub(super) fn refusal(sides: &Sides<'_>, all: &AllWeighed<'_>, wanted: &Wanted, found: &Found) -> Option<Impact> {
    let (before, after) = (now(sides, found), then(sides, all, &wanted.id, &wanted.fields));
    (pool(&before)? != pool(&after)?).then(|| refused(found))
}

/// That this machine's root disk would have to move.
pub(super) fn refused(found: &Found) -> Impact {
    let (name, anew) = (&found.id.name, anew(&found.id.name));
    Impact::Refused(format!(
        "Incus cannot move a root disk to another pool in place; `anklume move {name}` brings it there with its data, or \
         {anew}"
    ))
}

/// Would a machine lose its root disk, or find it on another pool, with a profile as it is wanted?
pub(super) fn loses_root(sides: &Sides<'_>, user: &Found, profile: &Wanted) -> bool {
    if sides.goes(&user.id) {
        return false;
    }
    let before = now(sides, user);
    // One that is to be made anew stays as it is until then, and one whose own root disk would move keeps what it has.
    let wanted = sides.wanted_of(&user.id).filter(|wanted| {
        let same_type = wanted.fields.get(&Key::Type) == user.fields.get(&Key::Type);
        same_type && pool(&wanted.fields).is_none_or(|own| Some(own) == pool(&before))
    });
    let fields = wanted.map_or(&user.fields, |wanted| &wanted.fields);
    let of_profile = |id: &Id| match sides.wanted_of(id) {
        Some(wanted) => Some(&wanted.fields),
        None => sides.live.found.get(id).map(|profile| &profile.fields),
    };
    let after = expanded(&user.id, fields, of_profile);
    if pool(&after) != pool(&before) {
        return true;
    }
    // Incus asks no further than the last profile that gives the root disk now.
    let live = sides.live.found.get(&profile.id).map(|profile| &profile.fields);
    let goes = live.and_then(root).is_some() && root(&profile.fields).is_none();
    let gives = |id: &Id| sides.live.found.get(id).is_some_and(|profile| root(&profile.fields).is_some());
    goes && pool(fields).is_none() && profiles(&user.id, fields).find(gives).is_some_and(|id| id == profile.id)
}
