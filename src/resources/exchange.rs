//! Addresses that change hands: Incus refuses one that another machine still has.

use std::collections::BTreeMap;

use super::fields::{Fields, Key};
use super::planner::Conflict;
use super::{Found, Wanted, instance};
use crate::incus::edit::Edit;
use crate::incus::live::Live;
use crate::plan::{Action, Field, Id, Impact, Kind, Verb};

/// What is to be done about an address that somebody else holds.
pub(crate) enum Taking {
    /// The holder is to have another one, and gives this one up first.
    Release {
        holder: Id,
        action: Box<Action>,
    },
    Conflict(Conflict),
}

/// A static address of a NIC, and the bridge it is on.
type Seat<'a> = (&'a str, &'a str);

/// Looks at every machine that is to get an address which it does not have.
pub(crate) fn taken(all: &[Wanted], live: &Live, deleted: &[&Found], restart: bool) -> Vec<Taking> {
    let machines = || live.found.values().filter(|found| found.id.kind == Kind::Instance);
    let mut holders: BTreeMap<Seat, &Found> = BTreeMap::new();
    for found in machines() {
        for (_, seat) in seats(&found.fields) {
            holders.insert(seat, found);
        }
    }
    let mut takings = Vec::new();
    for wanted in all.iter().filter(|wanted| wanted.id.kind == Kind::Instance) {
        for (_, seat) in seats(&wanted.fields) {
            let Some(holder) = holders.get(&seat).filter(|holder| holder.id != wanted.id) else { continue };
            if deleted.iter().any(|found| found.id == holder.id) {
                continue;
            }
            let stays = all.iter().all(|wanted| wanted.id != holder.id);
            takings.extend(taking(wanted, seat, holder, live, restart, stays));
        }
    }
    takings.sort_by_key(|taking| match taking {
        Taking::Release { holder, .. } => Some(holder.clone()),
        Taking::Conflict(_) => None,
    });
    takings.dedup_by(
        |a, b| matches!((a, b), (Taking::Release { holder: a, .. }, Taking::Release { holder: b, .. }) if a == b),
    );
    takings
}

fn taking(wanted: &Wanted, seat: Seat, holder: &Found, live: &Live, restart: bool, stays: bool) -> Option<Taking> {
    let waits = |found: &Found| found.is_up() && !restart;
    if stays || waits(holder) {
        let taker_waits = live.found.get(&wanted.id).is_some_and(waits);
        return (!taker_waits).then(|| Taking::Conflict(conflict(wanted, seat, holder, stays)));
    }
    Some(Taking::Release { holder: holder.id.clone(), action: Box::new(release(wanted, seat, holder)) })
}

fn conflict(wanted: &Wanted, (_, address): Seat, holder: &Found, stays: bool) -> Conflict {
    let help = if stays {
        format!("delete {} (`--prune`, if it left the file), or give {} another `ip`", holder.id.name, wanted.id.name)
    } else {
        "`anklume apply --restart` moves both".to_owned()
    };
    Conflict { message: format!("{address} of {} is still held by {}", wanted.id, holder.id), help }
}

fn release(wanted: &Wanted, seat: Seat, holder: &Found) -> Action {
    use super::Resource;
    let mut edit = Edit::default();
    let mut fields = Vec::new();
    for (device, _) in seats(&holder.fields).filter(|(_, held)| *held == seat) {
        edit.unset_in_device.entry(device.to_owned()).or_default().insert("ipv4.address".into());
        fields.push(Field {
            key: format!("{device} ipv4.address"),
            before: Some(seat.1.to_owned()),
            after: None,
            impact: Impact::Live,
        });
    }
    Action {
        id: holder.id.clone(),
        domain: wanted.domain.clone(),
        verb: Verb::Release,
        fields,
        impact: Impact::Live,
        note: format!("for {}", wanted.id.name),
        heavy: false,
        calls: vec![instance::Instances.edit(&holder.id, edit)],
        after: Vec::new(),
    }
}

/// The NICs with a static address: device, bridge and address.
fn seats(fields: &Fields) -> impl Iterator<Item = (&str, Seat<'_>)> {
    fields.iter().filter_map(|(key, address)| match key {
        Key::Device(device, key) if key == "ipv4.address" => {
            let network = fields.get(&Key::Device(device.clone(), "network".into()))?;
            Some((device.as_str(), (network.as_str(), address.as_str())))
        }
        _ => None,
    })
}
