//! When the changes of a thing are made: now, once nothing needs what they take away, or not without a word of the user.

use std::collections::BTreeMap;
use std::net::Ipv4Addr;

use super::difference::{self, Change};
use super::fields::{Fields, Key, Marks};
use super::network::{nics, subnet};
use super::sides::Sides;
use super::{Found, Resource, Wanted, devices, instance, network, resource};
use crate::infra;
use crate::plan::{Id, Impact, Kind};

/// The changes of one thing, by when they are made.
#[derive(Debug, Default)]
pub(super) struct Weighed {
    pub(super) now: Vec<Change>,
    /// What takes something away that others may need until they have changed too.
    pub(super) late: Vec<Change>,
    pub(super) held: Vec<Change>,
    /// Its fields once all that is made has been made.
    pub(super) after: Fields,
    /// The marks that it carries when what is made now has been made.
    pub(super) marks: Marks,
    /// Those are not the ones that it has.
    pub(super) is_marked_anew: bool,
}

impl Weighed {
    /// Is it changed at all?
    pub(super) fn is_changed(&self) -> bool {
        !self.now.is_empty() || !self.late.is_empty() || self.is_marked_anew
    }
}

/// The changes of everything that is there.
pub(super) type AllWeighed<'a> = BTreeMap<&'a Id, Weighed>;

/// Compares everything that is wanted and there.
pub(super) fn all<'a>(sides: &Sides<'a>) -> AllWeighed<'a> {
    let mut all = AllWeighed::new();
    for wanted in sides.wanted {
        if let Some(found) = sides.live.found.get(&wanted.id).filter(|found| !sides.is_anothers(found)) {
            let weighed = weigh(sides, &all, wanted, found);
            all.insert(&wanted.id, weighed);
        }
    }
    all
}

/// The fields of something that is there, once the plan is done.
pub(super) fn after<'f>(all: &'f AllWeighed<'_>, found: &'f Found) -> &'f Fields {
    all.get(&found.id).map_or(&found.fields, |weighed| &weighed.after)
}

fn weigh(sides: &Sides<'_>, all: &AllWeighed<'_>, wanted: &Wanted, found: &Found) -> Weighed {
    let resource = resource(&wanted.id).expect("only Incus objects are wanted");
    let mut changes = difference::changes(wanted, found, resource, sides.server);
    // It takes no change at all now, not even of its marks.
    let mut is_closed = false;
    match wanted.id.kind {
        Kind::Instance => is_closed = of_instance(sides, all, wanted, found, &mut changes),
        Kind::Profile => of_profile(sides, wanted, found, &mut changes),
        Kind::Network => of_network(sides, wanted, &mut changes),
        Kind::Volume => of_volume(sides, wanted, &mut changes),
        _ => {}
    }
    let (made, held): (Vec<_>, Vec<_>) = changes.into_iter().partition(|change| match change.impact {
        Impact::Live => true,
        Impact::Restart => sides.options.restart,
        Impact::Rebuild(_) | Impact::Refused(_) => false,
    });
    let mut after = found.fields.clone();
    for change in &made {
        match &change.after {
            Some(value) => after.insert(change.key.clone(), value.clone()),
            None => after.remove(&change.key),
        };
    }
    let (late, now): (Vec<_>, Vec<_>) = made.into_iter().partition(|change| takes_away(sides, wanted, found, change));
    let marks = difference::marks(wanted, found, &sides.desired.infra, held.iter().chain(&late));
    let is_marked_anew = !is_closed && found.marks.as_ref() != Some(&marks);
    Weighed { now, late, held, after, marks, is_marked_anew }
}

/// Raises what would be made at once to what it takes.
fn raise(changes: &mut [Change], impact: &Impact, picked: impl Fn(&Key) -> bool) {
    for change in changes.iter_mut().filter(|change| change.impact < *impact && picked(&change.key)) {
        change.impact = impact.clone();
    }
}

/// Raises the changes of a machine; does it take none at all now?
fn of_instance(
    sides: &Sides<'_>,
    all: &AllWeighed<'_>,
    wanted: &Wanted,
    found: &Found,
    changes: &mut Vec<Change>,
) -> bool {
    // A machine of the other type may not even have the keys that this one is to have.
    if changes.iter().any(|change| change.key == Key::Type) {
        changes.retain(|change| change.key == Key::Type);
        return true;
    }
    if let Some(refused) = devices::refusal(sides, all, wanted, found) {
        let root = |key: &Key| devices::is_of_root(key, &wanted.fields) || devices::is_of_root(key, &found.fields);
        raise(changes, &refused, |key| *key == Key::Profiles || root(key));
    }
    // While it runs with an address that its bridge no longer has, Incus refuses every change of it.
    let is_stuck = found.is_up() && is_astray(sides, all, found);
    if is_stuck {
        raise(changes, &Impact::Restart, |_| true);
    }
    is_stuck && !sides.options.restart
}

/// Has a machine an address that its bridge has not?
fn is_astray(sides: &Sides<'_>, all: &AllWeighed<'_>, found: &Found) -> bool {
    nics(&found.fields).any(|nic| {
        let bridge = sides.live.found.get(&Id::global(Kind::Network, nic.bridge));
        let net = bridge.and_then(|bridge| subnet(after(all, bridge)));
        net.zip(nic.address()).is_some_and(|(net, address)| !net.contains(&address))
    })
}

/// What a profile changes reaches every machine that has it.
fn of_profile(sides: &Sides<'_>, wanted: &Wanted, found: &Found, changes: &mut [Change]) {
    for change in changes.iter_mut() {
        for user in sides.running_users(&wanted.id) {
            let impact = match instance::Instances.impact(&change.key, wanted, user, sides.server) {
                Impact::Restart if sides.is_ours(user) => Impact::Restart,
                Impact::Restart if is_vm(user) => Impact::Refused(format!(
                    "{} has to stop for it, and anklume did not make it: `incus stop {} --project {}`",
                    user.id, user.id.name, user.id.project
                )),
                _ => continue,
            };
            raise(std::slice::from_mut(change), &impact, |_| true);
        }
    }
    let root = |key: &Key| devices::is_of_root(key, &wanted.fields) || devices::is_of_root(key, &found.fields);
    if changes.iter().any(|change| root(&change.key))
        && let Some(user) = sides.users(&wanted.id).iter().find(|user| devices::loses_root(sides, user, wanted))
    {
        raise(changes, &devices::refused(user), root);
    }
}

fn is_vm(found: &Found) -> bool {
    found.instance.as_ref().is_some_and(|instance| instance.vm)
}

/// A bridge that moves to other addresses takes them from the machines that run on it.
fn of_network(sides: &Sides<'_>, wanted: &Wanted, changes: &mut [Change]) {
    let address = network::address();
    let moves = changes.iter().any(|change| change.key == address && change.before.is_some());
    if moves && !moved_along(sides, wanted).is_empty() {
        let range = Key::Config("ipv4.dhcp.ranges".into());
        raise(changes, &Impact::Restart, |key| *key == address || *key == range);
    }
}

/// What a volume takes only unused is made at once where nobody uses it.
fn of_volume(sides: &Sides<'_>, wanted: &Wanted, changes: &mut [Change]) {
    if sides.running_users(&wanted.id).next().is_none() {
        for change in changes.iter_mut().filter(|change| change.impact == Impact::Restart) {
            change.impact = Impact::Live;
        }
    }
}

/// The machines that run on a bridge and lose their addresses when it is as wanted.
pub(super) fn moved_along<'a>(sides: &Sides<'a>, network: &Wanted) -> Vec<&'a Found> {
    let running = on_bridge(sides, &network.id).into_iter().filter(|user| user.is_up());
    running.filter(|user| loses_address(sides, user, network)).collect()
}

/// The machines with a NIC on a bridge, their own or a profile's, that stay.
fn on_bridge<'a>(sides: &Sides<'a>, bridge: &Id) -> Vec<&'a Found> {
    let users = sides.users(bridge).iter().copied();
    let each = users.flat_map(|user| match user.id.kind {
        Kind::Profile => sides.users(&user.id).to_vec(),
        _ => vec![user],
    });
    let each: BTreeMap<&Id, &Found> = each.filter(|user| !sides.goes(&user.id)).map(|user| (&user.id, user)).collect();
    each.into_values().collect()
}

/// Has a machine an address of this bridge, its own or from DHCP, that is none of the bridge's when it is as wanted?
fn loses_address(sides: &Sides<'_>, user: &Found, network: &Wanted) -> bool {
    let stays = |address: Ipv4Addr| subnet(&network.fields).is_some_and(|net| net.contains(&address));
    nics(&devices::now(sides, user))
        .any(|nic| nic.bridge == network.id.name && !nic.is_without() && !nic.address().is_some_and(stays))
}

/// The machines that are up and stop and start for these changes: itself, or those that use it.
pub(super) fn restarted<'a>(sides: &Sides<'a>, wanted: &Wanted, changes: &[Change]) -> Vec<&'a Found> {
    let is_restart = |change: &Change| change.impact == Impact::Restart;
    let ours = |users: Vec<&'a Found>| users.into_iter().filter(|user| sides.is_ours(user));
    match wanted.id.kind {
        Kind::Instance if changes.iter().any(is_restart) => sides.live.found.get(&wanted.id).into_iter().collect(),
        Kind::Profile => {
            let restarts = |user: &&Found, change: &Change| {
                instance::Instances.impact(&change.key, wanted, user, sides.server) == Impact::Restart
            };
            let users = ours(sides.running_users(&wanted.id).collect());
            users.filter(|user| changes.iter().any(|change| restarts(user, change))).collect()
        }
        Kind::Volume if changes.iter().any(is_restart) => ours(sides.running_users(&wanted.id).collect()).collect(),
        Kind::Network if changes.iter().any(|change| change.key == network::address()) => {
            // Those with an address of their own restart when they get another one.
            let has_own = |user: &&Found| nics(&user.fields).any(|nic| nic.address().is_some());
            ours(moved_along(sides, wanted)).filter(|user| !has_own(user)).collect()
        }
        _ => Vec::new(),
    }
}

/// Does something else need, until it has changed too, what this change takes away? A project's limits are kept by
/// machines that say their shares; a key or a root disk of a profile goes once its machines have their own.
fn takes_away(sides: &Sides<'_>, wanted: &Wanted, found: &Found, change: &Change) -> bool {
    match (wanted.id.kind, &change.key) {
        (Kind::Project, Key::Config(_)) => is_tighter(change.before.as_deref(), change.after.as_deref()),
        (Kind::Profile, key) => {
            let goes = change.after.is_none() && change.impact == Impact::Live;
            let matters = matches!(key, Key::Config(_)) || devices::is_of_root(key, &found.fields);
            goes && matters && sides.users(&wanted.id).iter().any(|user| !sides.goes(&user.id))
        }
        _ => false,
    }
}

fn is_tighter(before: Option<&str>, after: Option<&str>) -> bool {
    match (before.map(infra::bytes), after.map(infra::bytes)) {
        (_, None) => false,
        (None, Some(_)) => true,
        (Some(before), Some(after)) => before.zip(after).is_none_or(|(before, after)| after < before),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_limit_is_tighter_when_it_is_new_or_lower() {
        assert!(is_tighter(None, Some("3")));
        assert!(is_tighter(Some("8GiB"), Some("4096MiB")));
        assert!(!is_tighter(Some("4096MiB"), Some("8GiB")));
        assert!(!is_tighter(Some("3"), None));
    }
}
