//! From `network_policies` to the openings in the wall between domains.

use std::collections::{BTreeMap, BTreeSet};
use std::net::Ipv4Addr;

use super::desired::Domain;
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
    let mut wall = Wall {
        offline: offline(ground, &bridges),
        gateways: gateways(ground, domains),
        others: others(ground, &bridges),
        openings: openings(ground, domains, problems),
        bridges,
    };
    add_neighbours(&mut wall, &ground.holds.neighbours);
    wall
}

/// The table is one for the whole host: what it is for other infrastructures, it stays.
fn add_neighbours(wall: &mut Wall, neighbours: &Wall) {
    let theirs = neighbours.bridges.iter().filter(|(bridge, _)| !wall.bridges.contains_key(*bridge));
    let theirs: BTreeMap<String, String> = theirs.map(|(bridge, name)| (bridge.clone(), name.clone())).collect();
    let of_them = |bridge: &String| theirs.contains_key(bridge);
    wall.offline.extend(neighbours.offline.iter().filter(|bridge| of_them(bridge)).cloned());
    let gateways = neighbours.gateways.iter().filter(|(bridge, _)| of_them(bridge));
    wall.gateways.extend(gateways.map(|(bridge, address)| (bridge.clone(), *address)));
    let openings =
        neighbours.openings.iter().filter(|one| one.from.bridge().is_some_and(|from| theirs.contains_key(from)));
    wall.openings.extend(openings.cloned());
    wall.others.retain(|bridge| !theirs.contains_key(bridge));
    wall.bridges.extend(theirs);
}

/// Those of the domains, and of what still stands beside them. One a bridge, so that the table is the same before and
/// after a bridge has moved.
fn gateways(ground: Ground<'_>, domains: &[Domain]) -> BTreeMap<String, Ipv4Addr> {
    let held = ground.holds.bridges.iter();
    let mut gateways: BTreeMap<String, Ipv4Addr> =
        held.filter_map(|(bridge, held)| Some((bridge.clone(), held.gateway?))).collect();
    gateways.extend(domains.iter().map(|domain| (domain.bridge.clone(), domain.gateway)));
    gateways
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
        openings.push(opening(policy, from.clone(), to.clone(), false));
        if policy.bidirectional {
            openings.push(opening(policy, to, from, true));
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

fn opening(policy: &Policy, from: End, to: End, backwards: bool) -> Opening {
    Opening { from, to, protocol: policy.protocol, ports: policy.ports.clone(), policy: told(policy, backwards) }
}

/// `pro -> perso-web: the shop`; `backwards` for the other direction of a bidirectional one.
pub(crate) fn told(policy: &Policy, backwards: bool) -> String {
    let (from, to) = if backwards { (&policy.to, &policy.from) } else { (&policy.from, &policy.to) };
    let ends = format!("{from} -> {to}");
    if policy.description.is_empty() { ends } else { format!("{ends}: {}", policy.description) }
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::infra::model::{self, Addressing, Infra, PortRange, Protocol};
    use crate::resolve::sample::{domain, infra, machine, policy, resolved, sound, sound_over};
    use crate::resolve::{HeldBridge, Holds};

    fn two_domains(policies: Vec<Policy>) -> Infra {
        let domains = [("pro", domain([("pro-dev", machine())])), ("perso", domain([("perso-web", machine())]))];
        Infra { network_policies: policies, ..infra(domains) }
    }

    fn web() -> End {
        End::Machine { bridge: "net-perso".into(), address: "10.120.0.1".parse().unwrap() }
    }

    fn pro() -> End {
        End::Domain { bridge: "net-pro".into() }
    }

    #[test]
    fn a_policy_opens_one_path_and_carries_its_own_words() {
        let https = Policy {
            description: "the shop".into(),
            ports: vec![PortRange { first: 443, last: 443 }],
            protocol: Some(Protocol::Tcp),
            ..policy("pro", "perso-web")
        };
        let openings = sound(&two_domains(vec![https.clone()])).wall.openings;
        assert_eq!(openings.len(), 1);
        assert_eq!((&openings[0].from, &openings[0].to), (&pro(), &web()));
        assert_eq!((&openings[0].ports, openings[0].protocol), (&https.ports, https.protocol));
        assert_eq!(openings[0].policy, "pro -> perso-web: the shop");
    }

    #[test]
    fn a_bidirectional_policy_opens_two_and_the_host_is_an_end_too() {
        let both = Policy { bidirectional: true, ..policy("host", "perso-web") };
        let openings = sound(&two_domains(vec![both])).wall.openings;
        let ends: Vec<_> = openings.iter().map(|one| (one.from.clone(), one.to.clone())).collect();
        assert_eq!(ends, [(End::Host, web()), (web(), End::Host)]);
        assert_eq!(openings[1].policy, "perso-web -> host");
    }

    #[test]
    fn a_policy_with_an_end_in_a_disabled_domain_opens_nothing() {
        let mut infra = two_domains(vec![policy("pro", "perso-web"), policy("perso", "pro-dev")]);
        infra.domains["perso"].enabled = false;
        assert_eq!(sound(&infra).wall.openings, []);
    }

    #[test]
    fn a_machine_without_a_fixed_address_cannot_be_an_end() {
        let mut infra = two_domains(vec![policy("pro", "host"), policy("pro", "perso-web")]);
        infra.global.addressing = Addressing::BaseSubnet(10, 20);
        let (_, problems) = resolved(&infra);
        assert_eq!(problems.len(), 1);
        assert_eq!(problems[0].path.to_string(), "network_policies.1.to");
        assert_eq!(problems[0].also[0].0.to_string(), "domains.perso.machines.perso-web");
    }

    #[test]
    fn what_the_one_table_is_for_other_infrastructures_it_stays() {
        let bridge = |name: &str| End::Domain { bridge: name.into() };
        let theirs = Opening {
            from: bridge("net-theirs"),
            to: End::Host,
            protocol: None,
            ports: Vec::new(),
            policy: "theirs -> host".into(),
        };
        let neighbours = Wall {
            bridges: [("net-theirs".to_owned(), "theirs".to_owned())].into(),
            offline: ["net-theirs".to_owned()].into(),
            gateways: [("net-theirs".to_owned(), "10.120.9.254".parse().unwrap())].into(),
            openings: vec![theirs.clone()],
            others: BTreeSet::new(),
        };
        let foreign = ["net-theirs", "incusbr0"].map(|name| (name.to_owned(), "10.5.0.0/24".parse().unwrap())).into();
        let holds = Holds { foreign, neighbours, ..Holds::default() };
        let wall = sound_over(&two_domains(vec![policy("pro", "perso")]), &holds).wall;
        assert_eq!(wall.bridges["net-theirs"], "theirs");
        assert_eq!(wall.offline, ["net-theirs".to_owned()].into());
        assert!(wall.gateways.contains_key("net-theirs"));
        assert_eq!(wall.others, ["incusbr0".to_owned()].into());
        assert_eq!((wall.openings.len(), &wall.openings[1]), (2, &theirs));
    }

    #[test]
    fn what_stands_is_kept_apart_whoever_it_belonged_to() {
        let held = |domain: Option<&str>, net: &str| HeldBridge {
            domain: domain.map(Into::into),
            subnet: Some(net.parse().unwrap()),
            gateway: Some(net.replace(".0/24", ".254").parse().unwrap()),
        };
        let holds = Holds {
            bridges: [
                ("net-gone".to_owned(), held(Some("gone"), "10.120.8.0/24")),
                ("net-off".to_owned(), held(None, "10.120.9.0/24")),
            ]
            .into(),
            foreign: vec![("incusbr0".into(), "10.5.0.0/24".parse().unwrap())],
            ..Holds::default()
        };
        let mut infra = two_domains(Vec::new());
        let off = model::Domain { enabled: false, internet: false, ..domain([]) };
        infra.domains.insert("off".into(), off.clone());
        infra.domains.insert("zz-never-made".into(), off);
        infra.domains["pro"].internet = false;
        let wall = sound_over(&infra, &holds).wall;
        let bridges: Vec<_> = wall.bridges.iter().map(|(bridge, name)| format!("{bridge} {name}")).collect();
        assert_eq!(bridges, ["net-gone gone", "net-off net-off", "net-perso perso", "net-pro pro"]);
        assert_eq!(wall.offline, ["net-off".to_owned(), "net-pro".to_owned()].into());
        assert_eq!(wall.others, ["incusbr0".to_owned()].into());
        let gateways: Vec<String> = wall.gateways.values().map(ToString::to_string).collect();
        assert_eq!(gateways, ["10.120.8.254", "10.120.9.254", "10.120.0.254", "10.120.1.254"]);
    }
}
