//! The address of every machine: written, else what Incus holds, else the lowest free one of `.1` to `.99`.

use std::collections::{BTreeMap, BTreeSet};
use std::net::Ipv4Addr;

use ipnet::Ipv4Net;

use super::subnets::host;
use super::{Holds, machine_path};
use crate::infra::problem::Problem;

/// Where addresses are given out.
#[derive(Clone, Copy)]
pub(super) struct Place<'a> {
    pub(super) domain: &'a str,
    pub(super) project: &'a str,
    pub(super) bridge: &'a str,
    pub(super) subnet: Ipv4Net,
    pub(super) gateway: Ipv4Addr,
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
        let mut free = machine_part(place).filter(unsettled).filter(|ip| !standing.contains(ip));
        // An instance that is moving away holds its old address until it has moved: taken only when there is no other.
        let mut given_up = machine_part(place).filter(unsettled).filter(|ip| leaving.contains(ip));
        if let Some(ip) = free.next().or_else(|| given_up.next()) {
            settled.insert(wish.machine, ip);
        } else {
            problems.push(no_address_left(place, wish.machine));
        }
    }
    settled
}

fn machine_part(place: Place<'_>) -> impl Iterator<Item = Ipv4Addr> {
    let Place { subnet, gateway, .. } = place;
    let usable = move |ip: &Ipv4Addr| subnet.contains(ip) && *ip != gateway && *ip != subnet.broadcast();
    (1..=99).map(move |part| host(subnet, part)).filter(usable)
}

/// What the machine's instance has now, if it can stay there.
fn held(place: Place<'_>, wish: &Wish<'_>, holds: &Holds) -> Option<Ipv4Addr> {
    let (bridge, ip) = holds.addresses.get(&(place.project.to_owned(), wish.instance.clone()))?;
    let usable = place.subnet.contains(ip)
        && *ip != place.gateway
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

#[cfg(test)]
mod tests {
    use crate::infra::model::{Addressing, Domain, Infra, Machine, TrustLevel};
    use crate::resolve::sample::{
        address, applied, at, domain, infra, keys, machine, named, resolved, sound, sound_over,
    };

    fn one<'a>(machines: impl IntoIterator<Item = (&'a str, Machine)>) -> Infra {
        infra([("pro", domain(machines))])
    }

    #[test]
    fn free_addresses_go_out_in_the_files_order_around_the_written_ones() {
        let desired = sound(&one([("z", machine()), ("a", machine()), ("m", at("10.120.0.2"))]));
        assert_eq!(address(&desired, "z"), "10.120.0.1");
        assert_eq!(address(&desired, "a"), "10.120.0.3");
        assert_eq!(address(&desired, "m"), "10.120.0.2");
    }

    #[test]
    fn a_machine_put_in_the_middle_moves_nobody() {
        let before = applied(&sound(&one([("a", machine()), ("c", machine())])));
        let desired = sound_over(&one([("a", machine()), ("b", machine()), ("c", machine())]), &before);
        assert_eq!(address(&desired, "c"), "10.120.0.2");
        assert_eq!(address(&desired, "b"), "10.120.0.3");
    }

    #[test]
    fn an_address_that_leaves_the_file_stays_with_its_machine() {
        let before = applied(&sound(&one([("a", at("10.120.0.230"))])));
        assert_eq!(address(&sound_over(&one([("a", machine())]), &before), "a"), "10.120.0.230");
    }

    #[test]
    fn a_written_address_takes_its_place_from_who_had_it() {
        let before = applied(&sound(&one([("a", machine()), ("b", machine())])));
        let desired = sound_over(&one([("a", at("10.120.0.2")), ("b", machine())]), &before);
        assert_eq!(address(&desired, "a"), "10.120.0.2");
        assert_eq!(address(&desired, "b"), "10.120.0.3", "the old address of `a` is not free before it has moved");
    }

    #[test]
    fn an_orphan_keeps_its_address_until_it_is_gone() {
        let before = applied(&sound(&one([("old", machine())])));
        assert_eq!(address(&sound_over(&one([("new", machine())]), &before), "new"), "10.120.0.2");
    }

    #[test]
    fn a_domain_that_moves_renumbers_its_machines() {
        let before = applied(&sound(&one([("a", machine())])));
        let moved = Domain { trust_level: TrustLevel::Admin, ..domain([("a", machine())]) };
        assert_eq!(address(&sound_over(&infra([("pro", moved)]), &before), "a"), "10.100.0.1");
    }

    #[test]
    fn a_held_address_that_is_the_gateways_is_not_kept() {
        let mut before = applied(&sound(&one([("a", machine())])));
        before.addresses.values_mut().for_each(|(_, ip)| *ip = "10.120.0.254".parse().unwrap());
        assert_eq!(address(&sound_over(&one([("a", machine())]), &before), "a"), "10.120.0.1");
    }

    #[test]
    fn the_hundredth_machine_finds_no_address() {
        let mut infra = one([]);
        infra.domains["pro"].machines.extend((1..=100).map(|number| (format!("m{number}"), machine())));
        let (desired, problems) = resolved(&infra);
        assert_eq!(address(&desired, "m99"), "10.120.0.99");
        assert_eq!(problems.len(), 1);
        assert_eq!(problems[0].path.to_string(), "domains.pro.machines.m100");
        assert!(problems[0].help.as_ref().unwrap().contains("10.120.0.200 and 10.120.0.249"));
    }

    #[test]
    fn with_a_base_subnet_only_written_addresses_are_fixed() {
        let mut infra = one([("a", machine()), ("b", at("10.20.5.9"))]);
        infra.global.addressing = Addressing::BaseSubnet(10, 20);
        infra.domains["pro"].subnet_id = Some(5);
        let desired = sound(&infra);
        assert_eq!(address(&desired, "a"), "DHCP");
        assert_eq!(address(&desired, "b"), "10.20.5.9");
    }

    #[test]
    fn a_host_part_is_an_address_in_whatever_network_the_domain_gets() {
        let firewall = Machine { host_part: Some(253), ..machine() };
        assert_eq!(address(&sound(&one([("anklume-firewall", firewall)])), "anklume-firewall"), "10.120.0.253");
    }

    #[test]
    fn an_address_in_the_device_counts_as_written() {
        let mut own = machine();
        own.devices = named([("eth0", keys([("type", "nic"), ("ipv4.address", "10.120.0.1")]))]);
        let desired = sound(&one([("a", machine()), ("own", own)]));
        assert_eq!(address(&desired, "own"), "10.120.0.1");
        assert_eq!(address(&desired, "a"), "10.120.0.2");
    }

    #[test]
    fn written_addresses_that_cannot_be_are_problems_at_their_place() {
        let device = |ip: &str| {
            let eth0 = keys([("type", "nic"), ("ipv4.address", ip)]);
            Machine { devices: named([("eth0", eth0)]), ..machine() }
        };
        let elsewhere = named([("eth0", keys([("type", "nic"), ("network", "incusbr0")]))]);
        let wrong = [
            ("outside", at("10.120.5.1"), "ip", "write `subnet_id: 5` for `pro`, or an address between 10.120.0.1"),
            ("far", at("192.168.1.1"), "ip", "write an address between 10.120.0.1 and 10.120.0.99"),
            ("gateway", device("10.120.0.254"), "devices.eth0.ipv4.address", "write an address between"),
            ("word", device("dhcp"), "devices.eth0.ipv4.address", "write `ip` instead"),
            (
                "two",
                Machine { ip: at("10.120.0.4").ip, ..device("10.120.0.5") },
                "devices.eth0.ipv4.address",
                "keep `ip`",
            ),
            ("no-card", Machine { devices: elsewhere, ..at("10.120.0.6") }, "ip", "take `ip` out"),
        ];
        for (name, machine, place, help) in wrong {
            let (_, problems) = resolved(&one([(name, machine)]));
            assert_eq!(problems.len(), 1, "{name}: {problems:?}");
            assert_eq!(problems[0].path.to_string(), format!("domains.pro.machines.{name}.{place}"));
            assert!(problems[0].help.as_ref().unwrap().contains(help), "{:?}", problems[0].help);
        }
        let (_, problems) = resolved(&one([("one", at("10.120.0.7")), ("two", device("10.120.0.7"))]));
        assert_eq!(problems[0].message, "`one` and `two` both get 10.120.0.7");
    }
}
