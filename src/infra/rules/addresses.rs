//! Networks and addresses, as far as the file alone can tell.

use std::collections::{BTreeMap, HashMap};
use std::net::Ipv4Addr;

use ipnet::Ipv4Net;

use super::super::model::{Addressing, Domain, Infra, TrustLevel};
use super::super::problem::{Path, Problem};
use super::{Spot, domain_path, machines};

pub(super) fn check(infra: &Infra) -> Vec<Problem> {
    let mut problems = zones_fit(&infra.global.addressing);
    if problems.is_empty() {
        problems.extend(machines(infra).filter_map(|spot| address(infra, spot)));
    }
    problems.extend(subnet_ids(infra));
    problems.extend(infra.domains.iter().flat_map(|(name, domain)| bridge(name, domain)));
    problems.extend(bridges_over_each_other(infra));
    problems.extend(twice(infra));
    problems
}

/// The second octet of a trust level's networks.
pub(in crate::infra) fn zone(base: u8, step: u8, trust: TrustLevel) -> u32 {
    let offset = match trust {
        TrustLevel::Admin => 0,
        TrustLevel::Trusted => 1,
        TrustLevel::SemiTrusted => 2,
        TrustLevel::Untrusted => 4,
        TrustLevel::Disposable => 5,
    };
    u32::from(base) + offset * u32::from(step)
}

fn zones_fit(addressing: &Addressing) -> Vec<Problem> {
    let &Addressing::Zones { base, step } = addressing else { return Vec::new() };
    let last = zone(base, step, TrustLevel::Disposable);
    if last <= 255 {
        return Vec::new();
    }
    let path = Path::of(["global", "addressing", "zone_step"]);
    let message = format!("the zones do not fit: `disposable` would be 10.{last}.…");
    let help = match (255 - u32::from(base)) / 5 {
        0 => "make `zone_base` smaller".to_owned(),
        most => format!("with `zone_base: {base}`, `zone_step` can be {most} at most"),
    };
    vec![Problem::error(path, message).help(help)]
}

/// Each `subnet_id` once in its zone, or once in all with `base_subnet`.
fn subnet_ids(infra: &Infra) -> Vec<Problem> {
    let mut problems = Vec::new();
    let mut seen: HashMap<(Option<TrustLevel>, u8), &str> = HashMap::new();
    let mut sizes: BTreeMap<TrustLevel, usize> = BTreeMap::new();
    for (name, domain) in &infra.domains {
        let zone = match infra.global.addressing {
            Addressing::Zones { .. } => Some(domain.trust_level),
            Addressing::BaseSubnet(..) => None,
        };
        let path = domain_path(name).to("subnet_id");
        if zone.is_some() {
            let size = sizes.entry(domain.trust_level).or_default();
            *size += 1;
            if *size == 256 {
                let message = format!("`{name}` is the 256th domain of its trust level, and there are 255 networks");
                problems
                    .push(Problem::error(domain_path(name), message).at_key().help("give some another trust level"));
            }
        }
        match domain.subnet_id {
            Some(id) => match seen.get(&(zone, id)) {
                Some(first) => {
                    let message = format!("`{name}` and `{first}` have the same network: subnet_id {id}");
                    let problem = Problem::error(path, message).also(domain_path(first).to("subnet_id"), "taken here");
                    problems.push(problem.help(free(infra, zone)));
                }
                None => {
                    seen.insert((zone, id), name);
                }
            },
            None if zone.is_none() && domain.bridge.address.is_none() => {
                let message = format!("with `base_subnet`, `{name}` must have a `subnet_id`");
                problems.push(Problem::error(path, message).help(free(infra, zone)));
            }
            None => {}
        }
    }
    problems
}

/// The lowest number that no domain of the zone has.
fn free(infra: &Infra, zone: Option<TrustLevel>) -> String {
    let of_zone = |domain: &&Domain| zone.is_none_or(|zone| domain.trust_level == zone);
    let taken: Vec<u8> = infra.domains.values().filter(of_zone).filter_map(|domain| domain.subnet_id).collect();
    match (0..=254).find(|id| !taken.contains(id)) {
        Some(id) => format!("{id} is free"),
        None => "all 255 are taken".to_owned(),
    }
}

/// A bridge that is otherwise than anklume makes one: its name, and its address.
fn bridge(name: &str, domain: &Domain) -> Vec<Problem> {
    let path = domain_path(name).to("bridge");
    let mut problems = Vec::new();
    if let Some(bridge) = &domain.bridge.name {
        let fits = |c: char| c.is_ascii_alphanumeric() || "-_.".contains(c);
        if !((2..=15).contains(&bridge.len()) && bridge.chars().all(fits)) {
            let problem = Problem::error(path.to("name"), format!("`{bridge}` cannot be the name of an interface"));
            problems.push(problem.help("2 to 15 letters, digits, `-`, `_` and `.`"));
        }
    }
    if let Some(net) = domain.bridge.address {
        let path = path.to("address");
        if !(8..=29).contains(&net.prefix_len()) || [net.network(), net.broadcast()].contains(&net.addr()) {
            let problem = Problem::error(path.clone(), format!("{net} cannot be the address of a bridge"));
            problems.push(problem.help("write its own address in a network of /8 to /29, such as `10.5.0.1/24`"));
        }
        if domain.subnet_id.is_some() {
            let message = format!("`{name}` would have two networks");
            let problem = Problem::error(path, message).also(domain_path(name).to("subnet_id"), "the other one");
            problems.push(problem.help("keep one of them"));
        }
    }
    problems
}

/// Networks that are written out and have addresses in common.
fn bridges_over_each_other(infra: &Infra) -> Vec<Problem> {
    let written = || infra.domains.iter().filter_map(|(name, domain)| Some((name, domain.bridge.address?)));
    let mut problems = Vec::new();
    for (at, (name, net)) in written().enumerate() {
        let over = |other: &Ipv4Net| net.contains(&other.network()) || other.contains(&net.network());
        if let Some((first, _)) = written().take(at).find(|(_, other)| over(other)) {
            let path = domain_path(name).to("bridge").to("address");
            let message = format!("`{name}` and `{first}` have addresses in common");
            let first = domain_path(first).to("bridge").to("address");
            problems.push(Problem::error(path, message).also(first, "the other one").help("one of them has to move"));
        }
    }
    problems
}

/// A written address: in its domain's network, where the file says which, and a host's.
fn address(infra: &Infra, spot: Spot<'_>) -> Option<Problem> {
    let Spot { domain_name, domain, .. } = spot;
    let ip = spot.machine.ip?;
    if let Some(net) = domain.bridge.address {
        return not_of_bridge(spot, ip, net);
    }
    let [a, b, c, d] = ip.octets();
    let (first, second) = match infra.global.addressing {
        Addressing::Zones { base, step } => (10, zone(base, step, domain.trust_level)),
        Addressing::BaseSubnet(a, b) => (a, u32::from(b)),
    };
    let third = domain.subnet_id.unwrap_or(c);
    let path = spot.path().to("ip");
    let example = format!("write an address from {first}.{second}.{third}.1 to {first}.{second}.{third}.99");
    if (a, u32::from(b)) != (first, second) || c != third {
        let network = match domain.subnet_id {
            Some(id) => format!("{first}.{second}.{id}.0/24"),
            None => format!("{first}.{second}.x.0/24"),
        };
        let problem = Problem::error(path, format!("{ip} is not in the network of `{domain_name}`, {network}"));
        let help = match domain.subnet_id {
            Some(_) => example,
            None => format!("write an address that starts with {first}.{second}, or change the trust level"),
        };
        let known = domain.subnet_id.map(|_| domain_path(domain_name).to("subnet_id"));
        let problem = problem.help(help);
        return Some(match known {
            Some(path) => problem.also(path, "its network comes from here"),
            None => problem,
        });
    }
    let taken = match d {
        0 => "the network address",
        254 => "the gateway",
        255 => "the broadcast address",
        _ => return None,
    };
    Some(Problem::error(path, format!("{ip} is {taken} of `{domain_name}`")).help(example))
}

/// The same in a network that is written out.
fn not_of_bridge(spot: Spot<'_>, ip: Ipv4Addr, net: Ipv4Net) -> Option<Problem> {
    let message = match ip {
        _ if !net.contains(&ip) => format!("{ip} is not in the network of `{}`, {}", spot.domain_name, net.trunc()),
        _ if ip == net.addr() => format!("{ip} is the gateway of `{}`", spot.domain_name),
        _ if ip == net.network() || ip == net.broadcast() => format!("{ip} is no address of a machine in {net}"),
        _ => return None,
    };
    let known = domain_path(spot.domain_name).to("bridge").to("address");
    let problem = Problem::error(spot.path().to("ip"), message).also(known, "its network comes from here");
    Some(problem.help("write another address of that network"))
}

fn twice(infra: &Infra) -> Vec<Problem> {
    let mut seen: HashMap<Ipv4Addr, Spot<'_>> = HashMap::new();
    let mut problems = Vec::new();
    for spot in machines(infra) {
        let Some(ip) = spot.machine.ip else { continue };
        if let Some(first) = seen.get(&ip) {
            let message = format!("`{}` and `{}` both have {ip}", first.name, spot.name);
            let problem = Problem::error(spot.path().to("ip"), message).also(first.path().to("ip"), "taken here");
            problems.push(problem.help("leave `ip` out, and anklume picks a free one"));
        } else {
            seen.insert(ip, spot);
        }
    }
    problems
}
