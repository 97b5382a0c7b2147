//! The address of every machine: written, else what Incus holds, else the lowest free one of `.1` to `.99`.

use std::collections::{BTreeMap, BTreeSet};
use std::net::Ipv4Addr;

use ipnet::Ipv4Net;

use super::subnets::{gateway, host};
use super::{Holds, machine_path};
use crate::infra::problem::Problem;

/// Where addresses are given out.
#[derive(Clone, Copy)]
pub(super) struct Place<'a> {
    pub(super) domain: &'a str,
    pub(super) project: &'a str,
    pub(super) bridge: &'a str,
    pub(super) subnet: Ipv4Net,
}

/// A machine that is to have a fixed address.
pub(super) struct Wish<'a> {
    pub(super) machine: &'a str,
    pub(super) instance: String,
    pub(super) written: Option<Ipv4Addr>,
}

/// The address of each machine, by its name in the file. A machine that finds none free is missing from it.
pub(super) fn assign<'a>(
    place: Place<'_>,
    wishes: &[Wish<'a>],
    holds: &Holds,
    problems: &mut Vec<Problem>,
) -> BTreeMap<&'a str, Ipv4Addr> {
    let mut settled: BTreeMap<&str, Ipv4Addr> =
        wishes.iter().filter_map(|wish| Some((wish.machine, wish.written?))).collect();
    for wish in wishes {
        let held = held(place, wish, holds).filter(|ip| !settled.values().any(|one| one == ip));
        if let Some(ip) = held.filter(|_| wish.written.is_none()) {
            settled.insert(wish.machine, ip);
        }
    }
    let standing: BTreeSet<Ipv4Addr> =
        holds.addresses.values().filter(|(bridge, _)| bridge == place.bridge).map(|(_, ip)| *ip).collect();
    let leaving: BTreeSet<Ipv4Addr> = wishes.iter().filter_map(|wish| held(place, wish, holds)).collect();
    for wish in wishes {
        if settled.contains_key(wish.machine) {
            continue;
        }
        let unsettled = |ip: &Ipv4Addr| !settled.values().any(|one| one == ip);
        let mut free = machine_part(place.subnet).filter(unsettled).filter(|ip| !standing.contains(ip));
        // An instance that is moving away holds its old address until it has moved: taken only when there is no other.
        let mut given_up = machine_part(place.subnet).filter(unsettled).filter(|ip| leaving.contains(ip));
        if let Some(ip) = free.next().or_else(|| given_up.next()) {
            settled.insert(wish.machine, ip);
        } else {
            problems.push(no_address_left(place, wish.machine));
        }
    }
    settled
}

fn machine_part(subnet: Ipv4Net) -> impl Iterator<Item = Ipv4Addr> {
    (1..=99).map(move |part| host(subnet, part))
}

/// What the machine's instance has now, if it can stay there.
fn held(place: Place<'_>, wish: &Wish<'_>, holds: &Holds) -> Option<Ipv4Addr> {
    let (bridge, ip) = holds.addresses.get(&(place.project.to_owned(), wish.instance.clone()))?;
    let usable = place.subnet.contains(ip)
        && *ip != gateway(place.subnet)
        && *ip != place.subnet.network()
        && *ip != place.subnet.broadcast();
    (bridge == place.bridge && usable).then_some(*ip)
}

fn no_address_left(place: Place<'_>, machine: &str) -> Problem {
    let Place { domain, subnet, .. } = place;
    let (first, last) = (host(subnet, 1), host(subnet, 99));
    let message = format!("no address is left for `{machine}`: {first} to {last} are all taken in `{domain}`");
    let help = format!("write an `ip` of your own, between {} and {}", host(subnet, 200), host(subnet, 249));
    Problem::error(machine_path(domain, machine), message).at_key().help(help)
}
