//! Addresses that change: given up before somebody takes them, since Incus refuses one that another machine still has,
//! and its DHCP server one that another machine had a moment ago.

use std::collections::{BTreeMap, BTreeSet};

use super::difference::Change;
use super::fields::{Fields, Key};
use super::planner::Conflict;
use super::{Found, Resource, Wanted, instance};
use crate::incus::edit::Edit;
use crate::incus::live::Live;
use crate::plan::{Action, Field, Id, Impact, Kind, Verb};

/// What is to be done about addresses that somebody else holds.
#[derive(Default)]
pub(crate) struct Exchange<'a> {
    pub(crate) releases: BTreeMap<&'a Id, Release<'a>>,
    pub(crate) conflicts: Vec<Conflict>,
}

/// A machine that is to have other addresses and gives these up first.
pub(crate) struct Release<'a> {
    holder: &'a Found,
    /// Its NICs.
    devices: BTreeSet<&'a str>,
    /// Who gets the addresses.
    pub(crate) takers: BTreeSet<Id>,
}

/// A static address of a NIC, and the bridge it is on.
type Seat<'a> = (&'a str, &'a str);

/// Looks at every machine that is to get an address which it does not have.
pub(crate) fn taken<'a>(all: &[Wanted], live: &'a Live, deleted: &[&Found], restart: bool) -> Exchange<'a> {
    let mut holders: BTreeMap<Seat, (&Found, &str)> = BTreeMap::new();
    for found in live.found.values().filter(|found| found.id.kind == Kind::Instance) {
        holders.extend(seats(&found.fields).map(|(device, seat)| (seat, (found, device))));
    }
    let stays: BTreeSet<&Id> = holders.values().map(|(found, _)| &found.id).collect();
    let stays: BTreeSet<&Id> = stays.into_iter().filter(|id| all.iter().all(|wanted| wanted.id != **id)).collect();
    let waits = |found: &Found| found.is_up() && !restart;
    let mut exchange = Exchange::default();
    for wanted in all.iter().filter(|wanted| wanted.id.kind == Kind::Instance) {
        for (_, seat) in seats(&wanted.fields) {
            let Some((holder, device)) = holders.get(&seat).filter(|(holder, _)| holder.id != wanted.id) else {
                continue;
            };
            let goes = deleted.iter().any(|found| found.id == holder.id);
            if goes || live.found.get(&wanted.id).is_some_and(waits) {
                continue;
            }
            let stays = stays.contains(&holder.id);
            if stays || waits(holder) {
                exchange.conflicts.push(conflict(wanted, seat, holder, stays));
                continue;
            }
            let release = || Release { holder, devices: BTreeSet::new(), takers: BTreeSet::new() };
            let release = exchange.releases.entry(&holder.id).or_insert_with(release);
            release.devices.insert(device);
            release.takers.insert(wanted.id.clone());
        }
    }
    exchange
}

fn conflict(wanted: &Wanted, (_, address): Seat, holder: &Found, stays: bool) -> Conflict {
    let help = if stays {
        format!("delete {} (`--prune`, if it left the file), or give {} another `ip`", holder.id.name, wanted.id.name)
    } else {
        "`anklume apply --restart` moves both".to_owned()
    };
    Conflict { message: format!("{address} of {} is still held by {}", wanted.id, holder.id), help }
}

impl Release<'_> {
    /// The action; one that runs stops for it, and starts again when it gets what it is to have.
    pub(crate) fn action(&self) -> Action {
        let Self { holder, devices, takers } = self;
        let field = |device: &&str| Field {
            key: format!("{device} ipv4.address"),
            before: holder.fields.get(&address_of(device)).cloned(),
            after: None,
            impact: Impact::Live,
        };
        let takers: Vec<&str> = takers.iter().map(|taker| taker.name.as_str()).collect();
        let stops = holder.is_up() && !holder.is_ephemeral();
        let mut calls: Vec<_> = stops.then(|| instance::Instances::stop(holder)).into_iter().collect();
        calls.push(instance::Instances.edit(&holder.id, give_up(&holder.fields, devices)));
        Action {
            id: holder.id.clone(),
            domain: holder.marks.as_ref().map(|marks| marks.domain.clone()).unwrap_or_default(),
            verb: Verb::Release,
            fields: devices.iter().map(field).collect(),
            impact: if holder.is_up() { Impact::Restart } else { Impact::Live },
            note: format!("for {}", takers.join(", ")),
            heavy: false,
            calls,
            after: Vec::new(),
        }
    }
}

/// The edits of a machine of which these changes are made: those addresses that change are given up in one of their own.
pub(crate) fn edits(wanted: &Wanted, found: &Found, now: &[Change], edit: Edit, released: bool) -> Vec<Edit> {
    let moving = now.iter().filter_map(|change| match &change.key {
        Key::Device(device, key) if key == "ipv4.address" && change.before.is_some() => Some(device.as_str()),
        _ => None,
    });
    // A device that goes whole takes its lease along.
    let stays = |device: &&str| wanted.fields.contains_key(&Key::Device((*device).to_owned(), "type".into()));
    let moving: BTreeSet<&str> = moving.filter(stays).collect();
    if wanted.id.kind != Kind::Instance || moving.is_empty() {
        return vec![edit];
    }
    let first = (!released).then(|| give_up(&found.fields, &moving));
    let mut last = edit;
    for device in moving {
        match wanted.fields.get(&name_of(device)) {
            Some(name) => {
                last.devices.entry(device.to_owned()).or_default().insert("name".into(), name.clone());
            }
            None => {
                last.unset_in_device.entry(device.to_owned()).or_default().insert("name".into());
            }
        }
    }
    first.into_iter().chain([last]).collect()
}

/// Takes the addresses off some NICs. The DHCP server keeps an address for whom it leased it to, for an hour after the
/// last word; Incus ends the lease only where it takes a NIC out, and that it does when its name changes, while the MAC
/// address stays.
fn give_up(fields: &Fields, devices: &BTreeSet<&str>) -> Edit {
    let mut edit = Edit::default();
    for device in devices {
        let unset = edit.unset_in_device.entry((*device).to_owned()).or_default();
        unset.insert("ipv4.address".into());
        if fields.contains_key(&name_of(device)) {
            unset.insert("name".into());
        } else {
            edit.devices.insert((*device).to_owned(), [("name".to_owned(), (*device).to_owned())].into());
        }
    }
    edit
}

fn address_of(device: &str) -> Key {
    Key::Device(device.to_owned(), "ipv4.address".into())
}

fn name_of(device: &str) -> Key {
    Key::Device(device.to_owned(), "name".into())
}

/// Has a machine a static address on this bridge?
pub(crate) fn has_seat_on(found: &Found, bridge: &Id) -> bool {
    bridge.kind == Kind::Network && seats(&found.fields).any(|(_, (network, _))| network == bridge.name)
}

/// The NICs with a static address: device, bridge and address.
fn seats(fields: &Fields) -> impl Iterator<Item = (&str, Seat<'_>)> {
    fields.iter().filter_map(|(key, address)| match key {
        Key::Device(device, key) if key == "ipv4.address" && address != "none" => {
            let link = |key: &str| fields.get(&Key::Device(device.clone(), key.into()));
            let bridge = link("network").or_else(|| link("parent"))?;
            Some((device.as_str(), (bridge.as_str(), address.as_str())))
        }
        _ => None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::incus::call::Call;
    use crate::resources::fields::listed;
    use crate::resources::instance::Instances;
    use serde_json::{Value, json};

    fn machine(name: &str, status: &str, device: &Value) -> Found {
        let listed = json!({"name": name, "project": "p", "type": "container", "status": status,
            "profiles": ["default"], "config": {}, "devices": {"eth0": device}});
        Instances.found(&listed).unwrap()
    }

    fn nic(address: &str) -> Value {
        json!({"type": "nic", "name": "eth0", "network": "net-p", "ipv4.address": address})
    }

    fn wanted(name: &str, device: &Value) -> Wanted {
        Wanted {
            id: Id::within(Kind::Instance, "p", name),
            domain: "p".into(),
            fields: listed(&json!({"devices": {"eth0": device}})),
            at_birth: BTreeMap::new(),
            needs: Vec::new(),
            protected: false,
            comes_with_project: false,
            note: String::new(),
            instance: None,
        }
    }

    fn live(machines: [Found; 2]) -> Live {
        Live { found: machines.map(|found| (found.id.clone(), found)).into(), ..Live::default() }
    }

    fn words(calls: &[Call]) -> Vec<String> {
        calls.iter().map(|call| call.args[..2].join(" ")).collect()
    }

    #[test]
    fn two_that_swap_both_give_up_what_they_have_and_stand_still_meanwhile() {
        let live = live([machine("a", "Running", &nic("10.0.0.1")), machine("b", "Stopped", &nic("10.0.0.2"))]);
        let all = [wanted("a", &nic("10.0.0.2")), wanted("b", &nic("10.0.0.1"))];
        let exchange = taken(&all, &live, &[], true);
        let actions: Vec<_> = exchange.releases.values().map(Release::action).collect();
        assert_eq!(actions.iter().map(|action| action.note.as_str()).collect::<Vec<_>>(), ["for b", "for a"]);
        assert_eq!(words(&actions[0].calls), ["stop a", "config edit"]);
        assert_eq!(words(&actions[1].calls), ["config edit"]);
        // Who runs is asked first.
        assert_eq!(taken(&all, &live, &[], false).conflicts.len(), 1);
    }

    #[test]
    fn an_address_of_somebody_who_stays_is_a_conflict_and_of_somebody_who_goes_is_free() {
        let live = live([machine("a", "Stopped", &nic("10.0.0.1")), machine("b", "Stopped", &nic("10.0.0.2"))]);
        let all = [wanted("b", &nic("10.0.0.1"))];
        let conflicts = taken(&all, &live, &[], true).conflicts;
        assert_eq!(conflicts[0].message, "10.0.0.1 of instance b is still held by instance a");
        let a = &live.found[&Id::within(Kind::Instance, "p", "a")];
        let exchange = taken(&all, &live, &[a], true);
        assert!(exchange.conflicts.is_empty() && exchange.releases.is_empty());
    }

    fn moved(before: &Value, after: &Value, released: bool) -> Vec<Value> {
        let found = machine("a", "Stopped", before);
        let wanted = wanted("a", after);
        let key = address_of("eth0");
        let change = Change {
            before: found.fields.get(&key).cloned(),
            after: wanted.fields.get(&key).cloned(),
            key,
            impact: Impact::Live,
        };
        let edit = Edit {
            devices: [("eth0".to_owned(), [("ipv4.address".to_owned(), "10.0.0.9".to_owned())].into())].into(),
            ..Edit::default()
        };
        let mut body = json!({"devices": {"eth0": before}});
        let edits = edits(&wanted, &found, &[change], edit, released);
        edits
            .iter()
            .map(|edit| {
                body = edit.apply(&body);
                body["devices"]["eth0"].clone()
            })
            .collect()
    }

    #[test]
    fn the_name_of_a_nic_goes_and_comes_with_its_address_so_that_incus_ends_the_lease() {
        let (before, after) = (nic("10.0.0.1"), nic("10.0.0.9"));
        assert_eq!(moved(&before, &after, false), [json!({"type": "nic", "network": "net-p"}), after.clone()]);
        assert_eq!(moved(&before, &after, true), [after]);
    }

    #[test]
    fn a_nic_without_a_name_has_one_only_in_between() {
        let nameless = |address: &str| json!({"type": "nic", "network": "net-p", "ipv4.address": address});
        let between = json!({"type": "nic", "network": "net-p", "name": "eth0"});
        assert_eq!(moved(&nameless("10.0.0.1"), &nameless("10.0.0.9"), false), [between, nameless("10.0.0.9")]);
    }
}
