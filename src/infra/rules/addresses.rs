//! Networks and addresses, as far as the file alone can tell.

use std::collections::{BTreeMap, HashMap};
use std::net::Ipv4Addr;

use super::super::model::{Addressing, Domain, Infra, TrustLevel};
use super::super::problem::{Path, Problem};
use super::{Spot, domain_path, machines};

pub(super) fn check(infra: &Infra) -> Vec<Problem> {
    let mut problems = zones_fit(&infra.global.addressing);
    if problems.is_empty() {
        problems.extend(machines(infra).filter_map(|spot| address(infra, spot)));
    }
    problems.extend(subnet_ids(infra));
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
            None if zone.is_none() => {
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

/// A written address: in its domain's network, where the file says which, and a host's.
fn address(infra: &Infra, spot: Spot<'_>) -> Option<Problem> {
    let Spot { domain_name, domain, .. } = spot;
    let ip = spot.machine.ip?;
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
