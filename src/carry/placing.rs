//! Puts a complete copy in its place: each step can have been done by an earlier run already.

use super::action;
use crate::incus::call::Call;
use crate::incus::edit::Edit;
use crate::incus::live::Live;
use crate::plan::{Action, Id, Kind, Plan, Verb};
use crate::resolve::desired::Devices;
use crate::resources::instance::Instances;
use crate::resources::journey::{Journey, part, volume_part};
use crate::resources::{Resource, volume};

/// The copy's volumes get their names, the source goes if it is to go, the copy gets its name. The copy's own name is the
/// last to change: until then, what is written on it tells what is left to do.
pub(crate) fn placing(live: &Live, place: &Id, journey: &Journey, domain: &str) -> Plan {
    let there = |id: &Id| live.found.contains_key(id);
    let mut actions: Vec<Action> = Vec::new();
    for load in &journey.volumes {
        let to = Id::within(Kind::Volume, &place.project, &load.to);
        let part = volume_part(&to);
        if there(&part) {
            let ((pool, old), (_, new)) = (volume::parts(&part), volume::parts(&to));
            let words = ["storage", "volume", "rename", pool, old, new, "--project", &place.project];
            actions.push(action(Verb::Move, to.clone(), domain, "in its place".into(), vec![Call::incus(words)]));
        }
    }
    if let Some(source) = journey.source().filter(|_| journey.moves) {
        let note = || "what was copied".to_owned();
        if let Some(found) = live.found.get(&source) {
            actions.push(action(Verb::Delete, source.clone(), domain, note(), Instances.delete(found)));
        }
        for load in &journey.volumes {
            let from = Id::within(Kind::Volume, &source.project, &load.from);
            if there(&from) {
                actions.push(action(Verb::Delete, from.clone(), domain, note(), vec![volume::deletion(&from)]));
            }
        }
    }
    let copy = part(place);
    let words = ["rename", &copy.name, &place.name, "--project", &place.project];
    let calls = disks(&copy, journey).into_iter().chain([Call::incus(words)]).collect();
    actions.push(action(Verb::Move, place.clone(), domain, "in its place".into(), calls));
    super::in_a_row(actions)
}

/// Gives it its volumes, by their own names.
fn disks(copy: &Id, journey: &Journey) -> Option<Call> {
    let known = journey.volumes.iter().filter(|load| !load.keys.is_empty());
    let disks = known.map(|load| {
        let (pool, name) = load.to.split_once('/').unwrap_or_default();
        let volume = [("pool", pool), ("source", name)].map(|(key, value)| (key.to_owned(), value.to_owned()));
        (load.device.clone(), load.keys.clone().into_iter().chain(volume).collect())
    });
    let devices: Devices = disks.collect();
    let edit = Edit { remove_devices: devices.keys().cloned().collect(), devices, ..Edit::default() };
    (!edit.devices.is_empty()).then(|| Instances.edit(copy, edit))
}
