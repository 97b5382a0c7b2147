//! The address that the file itself gives a machine: `ip`, a host part, or one in the device `eth0`.

use std::collections::BTreeMap;
use std::net::Ipv4Addr;

use super::devices::{self, Card};
use super::subnets::{host, outside};
use super::{Ground, desired, machine_path};
use crate::infra::model::{Domain, Machine};
use crate::infra::problem::{Path, Problem};

/// Where the machine's address is written, the machine, and the address.
struct Written<'a> {
    machine: &'a str,
    path: Path,
    address: Ipv4Addr,
    /// It is an `ip`: the rules of the language have looked at it already, as far as they could.
    is_ip: bool,
}

/// The addresses written for a domain's machines, each on a card of its own `cards` entry; wrong ones are left out.
pub(super) fn addresses<'a>(
    ground: Ground<'_>,
    home: &desired::Domain,
    domain: &'a Domain,
    cards: &[Card],
    problems: &mut Vec<Problem>,
) -> BTreeMap<&'a str, Ipv4Addr> {
    let mut kept: Vec<Written<'a>> = Vec::new();
    for ((name, machine), card) in domain.machines.iter().zip(cards) {
        match address(home, name, machine, card) {
            Ok(Some(written)) => match wrong(ground, home, &written, &kept) {
                Some(problem) => problems.push(problem),
                None => kept.push(written),
            },
            Ok(None) => {}
            Err(problem) => problems.push(*problem),
        }
    }
    kept.into_iter().map(|written| (written.machine, written.address)).collect()
}

fn address<'a>(
    home: &desired::Domain,
    name: &'a str,
    machine: &Machine,
    card: &Card,
) -> Result<Option<Written<'a>>, Box<Problem>> {
    let path = machine_path(&home.name, name);
    let at_ip = path.to("ip");
    if *card == Card::Elsewhere {
        return machine.ip.map_or(Ok(None), |ip| Err(Box::new(no_place(at_ip, home, name, ip))));
    }
    let Some(text) = devices::written_address(card) else {
        let of_part = machine.host_part.map(|part| host(home.subnet, part));
        let (path, is_ip) = if machine.ip.is_some() { (at_ip, true) } else { (path, false) };
        return Ok(machine.ip.or(of_part).map(|address| Written { machine: name, path, address, is_ip }));
    };
    let path = path.to("devices").to("eth0").to("ipv4.address");
    let Ok(address) = text.parse::<Ipv4Addr>() else {
        let problem = Problem::error(path, format!("`{text}` is not an IPv4 address"));
        return Err(Box::new(problem.help("write `ip` instead, outside `devices`")));
    };
    if machine.ip.is_some_and(|ip| ip != address) {
        let problem = Problem::error(path, format!("`{name}` has two addresses for the same card"));
        return Err(Box::new(problem.help("keep `ip` and take this one out").also(at_ip, "the other one")));
    }
    Ok(Some(Written { machine: name, path, address, is_ip: false }))
}

fn no_place(path: Path, home: &desired::Domain, machine: &str, ip: Ipv4Addr) -> Problem {
    let message = format!("{ip} has no place: `eth0` of `{machine}` is not on the bridge of `{}`", home.name);
    Problem::error(path, message).help(format!("take `ip` out, or write `network: net-{}` in the device", home.name))
}

/// What is wrong with an address that only shows once the domain's network is known.
fn wrong(ground: Ground<'_>, home: &desired::Domain, written: &Written<'_>, others: &[Written<'_>]) -> Option<Problem> {
    let Written { path, address, is_ip, .. } = written;
    let subnet_written = ground.infra.domains.get(&home.name).is_some_and(|domain| domain.subnet_id.is_some());
    if let Some(problem) = outside(ground, path.clone(), *address, &home.name, home.subnet) {
        // With `subnet_id` in the file the rules of the language have said it already.
        return (!(*is_ip && subnet_written)).then_some(problem);
    }
    let reserved = [home.gateway, home.subnet.network(), home.subnet.broadcast()];
    if !is_ip && reserved.contains(address) {
        let message = format!("{address} is the gateway, the network or the broadcast address of `{}`", home.name);
        let range = format!("between {} and {}", host(home.subnet, 1), host(home.subnet, 99));
        return Some(Problem::error(path.clone(), message).help(format!("write an address {range}")));
    }
    let same = others.iter().find(|other| other.address == *address && !(other.is_ip && *is_ip))?;
    let message = format!("`{}` and `{}` both get {address}", same.machine, written.machine);
    let problem = Problem::error(path.clone(), message).also(same.path.clone(), "the other one");
    Some(problem.help("give one of them another `ip`"))
}
