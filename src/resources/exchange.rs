//! Names and addresses that change hands: given up before somebody takes them, since Incus refuses what another machine
//! or bridge still has, and its DHCP server an address that another machine had a moment ago.

use std::collections::{BTreeMap, BTreeSet};
use std::net::Ipv4Addr;

use ipnet::Ipv4Net;

use super::fields::Fields;
use super::network::{Nic, nics, subnet};
use super::planner::Conflict;
use super::release::Release;
use super::sides::Sides;
use super::weigh::{AllWeighed, Weighed, after};
use super::{Found, Wanted, devices};
use crate::infra::model::RunState;
use crate::plan::{Id, Kind};

/// What is to be done about names and addresses that somebody else has.
#[derive(Default)]
pub(crate) struct Exchange<'a> {
    pub(crate) releases: BTreeMap<&'a Id, Release<'a>>,
    /// Who waits until a machine is deleted that has what they get, or goes elsewhere, itself or with a profile.
    pub(crate) heirs: BTreeMap<&'a Id, BTreeSet<Id>>,
    pub(crate) conflicts: Vec<Conflict>,
}

/// What only one machine on a bridge can have; Incus looks for it when one starts.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Claim<'f> {
    Address(Ipv4Addr),
    /// Its DNS name.
    Name(&'f str),
}

/// The claim of a NIC: its device, its bridge and what it claims there.
type Seat<'f, 'd> = (&'d str, (&'d str, Claim<'f>));

fn seats<'f, 'd>(id: &'f Id, devices: &'d Fields) -> impl Iterator<Item = Seat<'f, 'd>> {
    nics(devices).flat_map(|nic| {
        let address = nic.address().map(Claim::Address);
        [Some(Claim::Name(&id.name)), address].into_iter().flatten().map(move |claim| (nic.device, (nic.bridge, claim)))
    })
}

/// A machine that is there, with its devices and those of its profiles.
struct Standing<'a> {
    found: &'a Found,
    now: Fields,
    /// When the plan is done.
    then: Fields,
}

impl<'a> Standing<'a> {
    fn new(sides: &Sides<'a>, all: &AllWeighed<'_>, found: &'a Found) -> Self {
        let then = devices::then(sides, all, &found.id, after(all, found));
        Self { found, now: devices::now(sides, found), then }
    }
}

/// Looks at everything that is to get a name or an address which it does not have.
pub(super) fn exchange<'a>(sides: &Sides<'a>, all: &AllWeighed<'_>, deleted: &[&Found]) -> Exchange<'a> {
    let mut exchange = Exchange::default();
    exchange.machines(sides, all);
    exchange.bridges(sides, all, deleted);
    exchange
}

impl<'a> Exchange<'a> {
    fn machines(&mut self, sides: &Sides<'a>, all: &AllWeighed<'_>) {
        let machines = sides.live.found.values().filter(|found| found.id.kind == Kind::Instance);
        let standing: Vec<Standing<'a>> = machines.map(|found| Standing::new(sides, all, found)).collect();
        let mut holders: BTreeMap<(&str, Claim<'_>), Vec<(&Standing<'a>, &str)>> = BTreeMap::new();
        for machine in &standing {
            let now = seats(&machine.found.id, &machine.now);
            for (device, claim) in now.chain(seats(&machine.found.id, &machine.then)) {
                holders.entry(claim).or_default().push((machine, device));
            }
        }
        for wanted in sides.wanted.iter().filter(|wanted| wanted.id.kind == Kind::Instance) {
            for (bridge, claim) in claims(sides, all, wanted) {
                for (holder, device) in holders.get(&(bridge.as_str(), claim)).into_iter().flatten() {
                    if holder.found.id != wanted.id {
                        self.machine(sides, wanted, (&bridge, claim), holder, device);
                    }
                }
            }
        }
    }

    fn machine(
        &mut self,
        sides: &Sides<'_>,
        wanted: &Wanted,
        claim: (&str, Claim<'_>),
        holder: &Standing<'a>,
        device: &str,
    ) {
        let found = holder.found;
        if sides.goes(&found.id) {
            self.heirs.entry(&found.id).or_default().insert(wanted.id.clone());
        } else if seats(&found.id, &holder.then).any(|(_, other)| other == claim) {
            let conflict = conflict(sides, wanted, &told(claim, wanted), found);
            if !self.conflicts.contains(&conflict) {
                self.conflicts.push(conflict);
            }
        } else if let Claim::Address(_) = claim.1 {
            let release = self.release(found);
            release.stands = true;
            release.takers.insert(wanted.id.clone());
            release.devices.insert(device.to_owned());
        } else {
            let profiles = found.needs.iter().filter(|need| need.kind == Kind::Profile);
            for id in profiles.chain([&found.id]) {
                self.heirs.entry(id).or_default().insert(wanted.id.clone());
            }
        }
    }

    fn release(&mut self, holder: &'a Found) -> &mut Release<'a> {
        self.releases.entry(&holder.id).or_insert_with(|| Release::of(holder))
    }

    /// A bridge answers DNS and DHCP on its address, and cannot on one that another bridge has.
    fn bridges(&mut self, sides: &Sides<'a>, all: &AllWeighed<'_>, deleted: &[&Found]) {
        let networks = sides.live.found.values().filter(|found| found.id.kind == Kind::Network);
        let gateway = |fields: &Fields| subnet(fields).map(|net| net.addr());
        let holders: BTreeMap<Ipv4Addr, &Found> =
            networks.filter_map(|found| Some((gateway(&found.fields)?, found))).collect();
        let deleted: BTreeSet<&Id> = deleted.iter().map(|found| &found.id).collect();
        for wanted in sides.wanted.iter().filter(|wanted| wanted.id.kind == Kind::Network) {
            let found = sides.live.found.get(&wanted.id);
            let then = found.map_or(&wanted.fields, |found| after(all, found));
            let before = found.and_then(|found| gateway(&found.fields));
            let Some(address) = gateway(then).filter(|address| before != Some(*address)) else { continue };
            if let (Some(found), Some(net)) = (found, subnet(then)) {
                self.move_out(sides, all, &found.id, net);
            }
            let Some(holder) = holders.get(&address) else { continue };
            if !deleted.contains(&holder.id) && gateway(after(all, holder)) == Some(address) {
                let what = format!("{address}, the gateway of {},", wanted.id);
                self.conflicts.push(conflict(sides, wanted, &what, holder));
            } else {
                self.release(holder).takers.insert(wanted.id.clone());
            }
        }
    }

    /// A machine whose bridge goes to another network can be changed only while it is stopped, and its profiles not at
    /// all: so it gives up its address while it is one of its bridge's, unless it simply stops for another one. One that
    /// gets no other one now goes on as it runs.
    fn move_out(&mut self, sides: &Sides<'a>, all: &AllWeighed<'_>, bridge: &'a Id, net: Ipv4Net) {
        let machines = sides.users(bridge).iter().filter(|user| user.id.kind == Kind::Instance);
        for machine in machines.filter(|user| sides.is_ours(user) && !sides.goes(&user.id)) {
            let is_out = |nic: &Nic<'_>| {
                nic.bridge == bridge.name && nic.address().is_some_and(|address| !net.contains(&address))
            };
            let devices: BTreeSet<String> =
                nics(&machine.fields).filter(is_out).map(|nic| nic.device.to_owned()).collect();
            let stays_out = nics(after(all, machine)).any(|nic| is_out(&nic));
            let mut profiles = machine.needs.iter().filter(|need| need.kind == Kind::Profile);
            let is_profile_changed = profiles.any(|profile| all.get(profile).is_some_and(Weighed::is_changed));
            let simply_stops = !(stays_out || is_profile_changed || machine.is_ephemeral());
            if devices.is_empty() || simply_stops {
                continue;
            }
            let release = self.release(machine);
            release.stands |= !stays_out;
            release.devices.extend(devices);
            release.takers.insert(bridge.clone());
        }
    }
}

/// What a machine claims that it does not have; all of it when it starts. By bridge.
fn claims<'f>(sides: &Sides<'_>, all: &AllWeighed<'_>, wanted: &'f Wanted) -> BTreeSet<(String, Claim<'f>)> {
    let of = |devices: &Fields| -> BTreeSet<(String, Claim<'f>)> {
        seats(&wanted.id, devices).map(|(_, (bridge, claim))| (bridge.to_owned(), claim)).collect()
    };
    let Some(found) = sides.live.found.get(&wanted.id) else {
        return of(&devices::then(sides, all, &wanted.id, &wanted.fields));
    };
    let stays_down = wanted.instance.as_ref().is_some_and(|instance| instance.state == RunState::Stopped);
    let then = of(&devices::then(sides, all, &wanted.id, after(all, found)));
    if found.is_up() || stays_down { &then - &of(&devices::now(sides, found)) } else { then }
}

fn told((bridge, claim): (&str, Claim<'_>), wanted: &Wanted) -> String {
    match claim {
        Claim::Address(address) => format!("{address} of {}", wanted.id),
        Claim::Name(name) => format!("the name {name} on {bridge}"),
    }
}

fn conflict(sides: &Sides<'_>, wanted: &Wanted, what: &str, holder: &Found) -> Conflict {
    let (name, project) = (&holder.id.name, &holder.id.project);
    let domain = holder.marks.as_ref().map(|marks| &marks.domain);
    let help = if let Some(domain) = domain.filter(|domain| sides.desired.disabled.contains(*domain)) {
        format!("it stays as it is while {domain} is disabled: enable {domain}, or give {} another one", wanted.id)
    } else if sides.wanted_of(&holder.id).is_none() {
        format!("delete {name} (`--prune`, if it left the file), or give {} another one", wanted.id)
    } else if !sides.options.restart {
        "`anklume apply --restart` moves both".to_owned()
    } else {
        format!("`anklume destroy {name}` and `anklume apply` make {name} anew")
    };
    let is_here = project.is_empty() || *project == wanted.id.project;
    let place = if is_here { String::new() } else { format!(" of {project}") };
    let message = format!("{what} is still held by {}{place}", holder.id);
    Conflict { id: wanted.id.clone(), domain: wanted.domain.clone(), message, help }
}

#[cfg(test)]
pub(super) mod tests;
