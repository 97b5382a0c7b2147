//! From `network_policies` to the openings in the wall between domains.

use std::collections::{BTreeMap, BTreeSet};
use std::net::Ipv4Addr;

use super::desired::Domain;
use super::subnets::gateway;
use super::{Ground, machine_path};
use crate::firewall::wall::{End, Opening, Wall};
use crate::infra::model::Policy;
use crate::infra::problem::{Path, Problem};

/// The whole isolation: every bridge of ours that stands or will, and the openings between them.
pub(super) fn wall(ground: Ground<'_>, domains: &[Domain], problems: &mut Vec<Problem>) -> Wall {
    let mut bridges: BTreeMap<String, String> = BTreeMap::new();
    for (bridge, held) in &ground.holds.bridges {
        bridges.insert(bridge.clone(), held.domain.clone().unwrap_or_else(|| bridge.clone()));
    }
    bridges.extend(domains.iter().map(|domain| (domain.bridge.clone(), domain.name.clone())));
    Wall {
        offline: offline(ground, &bridges),
        gateways: gateways(ground, domains),
        others: others(ground, &bridges),
        openings: openings(ground, domains, problems),
        bridges,
    }
}

/// Those that stand and those that are wanted: a bridge that moves has both for a moment.
fn gateways(ground: Ground<'_>, domains: &[Domain]) -> BTreeSet<Ipv4Addr> {
    let held = ground.holds.bridges.values().filter_map(|held| held.subnet.map(gateway));
    held.chain(domains.iter().map(|domain| domain.gateway)).collect()
}

/// Incus bridges of others. The host's other bridges are not among them: one of them may be its way out.
fn others(ground: Ground<'_>, bridges: &BTreeMap<String, String>) -> BTreeSet<String> {
    let foreign = ground.holds.foreign.iter().map(|(bridge, _)| bridge);
    foreign.filter(|bridge| !bridges.contains_key(*bridge)).cloned().collect()
}

/// Bridges of `internet: false`, also of disabled domains that stand.
fn offline(ground: Ground<'_>, bridges: &BTreeMap<String, String>) -> BTreeSet<String> {
    let cut_off = ground.infra.domains.iter().filter(|(_, domain)| !domain.internet);
    cut_off.map(|(name, _)| ground.names.bridge(name)).filter(|bridge| bridges.contains_key(bridge)).collect()
}

fn openings(ground: Ground<'_>, domains: &[Domain], problems: &mut Vec<Problem>) -> Vec<Opening> {
    let ends = ends(domains);
    let mut openings = Vec::new();
    for (index, policy) in ground.infra.network_policies.iter().enumerate() {
        let path = Path::of(["network_policies"]).to(index);
        let mut end = |key: &str, name: &str| match ends.get(name) {
            Some(Some(end)) => Some(end.clone()),
            Some(None) => {
                problems.push(not_fixed(ground, path.to(key), name));
                None
            }
            // An end in a disabled domain; one that is nowhere in the file was refused when it was read.
            None => None,
        };
        let (from, to) = (end("from", &policy.from), end("to", &policy.to));
        let (Some(from), Some(to)) = (from, to) else { continue };
        openings.push(opening(policy, from.clone(), to.clone(), &policy.from, &policy.to));
        if policy.bidirectional {
            openings.push(opening(policy, to, from, &policy.to, &policy.from));
        }
    }
    openings
}

/// Everything that a policy can name; a machine without a fixed address is `None`.
fn ends(domains: &[Domain]) -> BTreeMap<&str, Option<End>> {
    let machines = domains.iter().flat_map(|domain| {
        domain.machines.iter().map(|machine| {
            let end = machine.address.map(|address| End::Machine { bridge: domain.bridge.clone(), address });
            (machine.name.as_str(), end)
        })
    });
    let domains =
        domains.iter().map(|domain| (domain.name.as_str(), Some(End::Domain { bridge: domain.bridge.clone() })));
    machines.chain(domains).chain([("host", Some(End::Host))]).collect()
}

fn opening(policy: &Policy, from: End, to: End, from_name: &str, to_name: &str) -> Opening {
    let ends = format!("{from_name} -> {to_name}");
    let policy_text = if policy.description.is_empty() { ends } else { format!("{ends}: {}", policy.description) };
    Opening { from, to, protocol: policy.protocol, ports: policy.ports.clone(), policy: policy_text }
}

fn not_fixed(ground: Ground<'_>, path: Path, machine: &str) -> Problem {
    let message = format!("`{machine}` has no fixed address, so no policy can name it");
    let home = ground.infra.domains.iter().find(|(_, domain)| domain.machines.contains_key(machine));
    let problem = Problem::error(path, message).help(format!("write an `ip` for `{machine}`, or name its domain"));
    match home {
        Some((domain, _)) => problem.also(machine_path(domain, machine), "this one gets its address by DHCP"),
        None => problem,
    }
}
