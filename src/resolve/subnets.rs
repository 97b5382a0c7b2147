//! The /24 of every domain: written, else what Incus holds, else the lowest free one of its zone.

use std::collections::{BTreeMap, BTreeSet};
use std::net::Ipv4Addr;

use ipnet::{IpNet, Ipv4Net};

use super::{Ground, domain_path};
use crate::host::facts::Facts;
use crate::infra::model::{Addressing, Domain, TrustLevel};
use crate::infra::problem::{Level, Path, Problem};

/// The networks of one domain's zone, by `subnet_id`.
#[derive(Clone, Copy)]
struct Zone(u8, u8);

impl Zone {
    fn of(addressing: &Addressing, trust: TrustLevel) -> Self {
        match addressing {
            Addressing::Zones { base, step } => Self(10, base.saturating_add(offset(trust).saturating_mul(*step))),
            Addressing::BaseSubnet(first, second) => Self(*first, *second),
        }
    }

    fn network(self, id: u8) -> Ipv4Net {
        Ipv4Net::new_assert(Ipv4Addr::new(self.0, self.1, id, 0), 24)
    }

    fn networks(self) -> impl Iterator<Item = Ipv4Net> {
        (0..=254).map(move |id| self.network(id))
    }

    fn has(self, network: Ipv4Net) -> bool {
        self.networks().any(|one| one == network)
    }
}

fn offset(trust: TrustLevel) -> u8 {
    match trust {
        TrustLevel::Admin => 0,
        TrustLevel::Trusted => 1,
        TrustLevel::SemiTrusted => 2,
        TrustLevel::Untrusted => 4,
        TrustLevel::Disposable => 5,
    }
}

/// The gateway of a domain: what the file says of its bridge, else `.254`.
pub(super) fn gateway_of(domain: &Domain, subnet: Ipv4Net) -> Ipv4Addr {
    domain.bridge.address.map_or_else(|| gateway(subnet), |written| written.addr())
}

/// The gateway of a network of the address plan: always `.254`.
fn gateway(subnet: Ipv4Net) -> Ipv4Addr {
    host(subnet, 254)
}

/// The first and last address that DHCP gives out.
pub(super) fn dhcp(addressing: &Addressing, subnet: Ipv4Net) -> (Ipv4Addr, Ipv4Addr) {
    let last = match addressing {
        Addressing::Zones { .. } => 199,
        Addressing::BaseSubnet(..) => 249,
    };
    (host(subnet, 100), host(subnet, last))
}

/// An address of a /24 by its host part.
pub(super) fn host(subnet: Ipv4Net, part: u8) -> Ipv4Addr {
    let [a, b, c, _] = subnet.network().octets();
    Ipv4Addr::new(a, b, c, part)
}

/// The network of each domain, the disabled ones too: theirs stay reserved.
pub(super) fn assign(ground: Ground<'_>, problems: &mut Vec<Problem>) -> BTreeMap<String, Ipv4Net> {
    let addressing = &ground.infra.global.addressing;
    let domains: BTreeMap<&String, &Domain> = ground.infra.domains.iter().collect();
    let mut settled: BTreeMap<String, Ipv4Net> = BTreeMap::new();
    for (name, domain) in &domains {
        if let Some(net) = domain.bridge.address {
            settled.insert((*name).clone(), net.trunc());
        } else if let Some(id) = domain.subnet_id {
            settled.insert((*name).clone(), Zone::of(addressing, domain.trust_level).network(id));
        }
    }
    for (name, domain) in &domains {
        let held = held(ground, name).filter(|net| Zone::of(addressing, domain.trust_level).has(*net));
        if let Some(net) = held.filter(|net| !settled.contains_key(*name) && !settled.values().any(|one| one == net)) {
            settled.insert((*name).clone(), net);
        }
    }
    let standing = standing(ground);
    for (name, domain) in &domains {
        if settled.contains_key(*name) {
            continue;
        }
        let free = |net: &Ipv4Net| !settled.values().chain(&standing).any(|other| overlap(*net, *other));
        let zone = Zone::of(addressing, domain.trust_level);
        // A bridge that is moving away holds its old network until it has moved: taken only when there is no other.
        let leaving = |net: &Ipv4Net| settled.values().all(|other| other != net) && of_domains(ground).contains(net);
        if let Some(net) = zone.networks().find(free).or_else(|| zone.networks().find(leaving)) {
            settled.insert((*name).clone(), net);
        } else {
            problems.push(no_network_left(name, zone));
        }
    }
    settled
}

/// What stands on the domain's bridge now; a bridge of that name that anklume did not make will be adopted as it is.
fn held(ground: Ground<'_>, domain: &str) -> Option<Ipv4Net> {
    let bridge = ground.names.bridge(domain);
    let ours = ground.holds.bridges.get(&bridge).and_then(|held| held.subnet);
    ours.or_else(|| ground.holds.foreign.iter().find(|(name, _)| *name == bridge).map(|(_, net)| *net))
}

/// Every network of an Incus bridge, ours or not.
fn standing(ground: Ground<'_>) -> BTreeSet<Ipv4Net> {
    let ours = ground.holds.bridges.values().filter_map(|held| held.subnet);
    ours.chain(ground.holds.foreign.iter().map(|(_, net)| *net)).collect()
}

/// The networks on the bridges of the file's domains.
fn of_domains(ground: Ground<'_>) -> BTreeSet<Ipv4Net> {
    ground.infra.domains.keys().filter_map(|name| held(ground, name)).collect()
}

fn overlap(one: Ipv4Net, other: Ipv4Net) -> bool {
    one.contains(&other) || other.contains(&one)
}

fn no_network_left(domain: &str, zone: Zone) -> Problem {
    let (first, last) = (zone.network(0), zone.network(254));
    Problem::error(domain_path(domain), format!("no network is left for `{domain}`: {first} to {last} are all taken"))
        .at_key()
        .help("give it another `trust_level`, or take a domain that is not needed any more out of the file")
}

/// A network that the file writes out over one of the address plan.
fn over_the_plan(ground: Ground<'_>, subnets: &BTreeMap<String, Ipv4Net>) -> Vec<Problem> {
    let written =
        super::enabled(ground.infra).filter_map(|(name, domain)| Some((name, domain.bridge.address?.trunc())));
    let problem = |(name, net): (&String, Ipv4Net)| {
        let of_plan = |other: &String| ground.infra.domains[other].bridge.address.is_none();
        let (other, taken) = subnets.iter().find(|(other, taken)| of_plan(other) && overlap(net, **taken))?;
        let message = format!("`{name}` takes {net}, and `{other}` is on {taken}");
        let problem = Problem::error(domain_path(name).to("bridge").to("address"), message);
        Some(problem.help(format!("give `{other}` another `subnet_id`")).also(domain_path(other), "the other one"))
    };
    written.filter_map(problem).collect()
}

/// Networks that would cut the host off from something: each an error that names the interface.
pub(super) fn overlaps(ground: Ground<'_>, facts: &Facts, subnets: &BTreeMap<String, Ipv4Net>) -> Vec<Problem> {
    let others = others(ground, facts);
    let mut problems = over_the_plan(ground, subnets);
    for (name, domain) in super::enabled(ground.infra) {
        let Some(subnet) = subnets.get(name) else { continue };
        let mut named = BTreeSet::new();
        for other in others.iter().filter(|other| overlap(*subnet, other.network)) {
            if named.insert(&other.interface) {
                problems.push(overlapping(ground, name, domain, *subnet, other, subnets, &others));
            }
        }
    }
    problems
}

/// A network that is not for a domain of this file.
struct Other {
    interface: String,
    network: Ipv4Net,
    /// A bridge of this infrastructure whose domain left the file: pruning takes it away.
    orphan: bool,
}

fn others(ground: Ground<'_>, facts: &Facts) -> Vec<Other> {
    let wanted: BTreeSet<String> = ground.infra.domains.keys().map(|name| ground.names.bridge(name)).collect();
    let orphans = ground.holds.bridges.iter().filter_map(|(bridge, held)| Some((bridge, held.subnet?, true)));
    let foreign = ground.holds.foreign.iter().map(|(bridge, net)| (bridge, *net, false));
    let host = facts.networks.iter().filter_map(|one| match one.network {
        IpNet::V4(net) if !ground.holds.bridges.contains_key(&one.interface) => Some((&one.interface, net, false)),
        _ => None,
    });
    orphans
        .chain(foreign)
        .chain(host)
        .filter(|(interface, ..)| !wanted.contains(*interface))
        .map(|(interface, network, orphan)| Other { interface: interface.clone(), network, orphan })
        .collect()
}

fn overlapping(
    ground: Ground<'_>,
    name: &str,
    domain: &Domain,
    subnet: Ipv4Net,
    other: &Other,
    subnets: &BTreeMap<String, Ipv4Net>,
    others: &[Other],
) -> Problem {
    let path = domain_path(name);
    let message = format!("`{name}` takes {subnet}, and `{}` is on {} already", other.interface, other.network.trunc());
    let problem = if domain.subnet_id.is_some() {
        Problem::error(path.to("subnet_id"), message)
    } else {
        Problem::error(path, message).at_key()
    };
    if other.orphan {
        let help =
            format!("`{}` is of a domain that left the file: `anklume apply --prune` takes it away", other.interface);
        return Problem { level: Level::Warning, ..problem }.help(help);
    }
    let zone = Zone::of(&ground.infra.global.addressing, domain.trust_level);
    let free = (0..=254).find(|id| {
        let net = zone.network(*id);
        let of_others = others.iter().map(|other| other.network);
        !subnets.values().copied().chain(of_others).any(|taken| overlap(net, taken))
    });
    problem.help(match (free, &ground.infra.global.addressing) {
        (Some(id), _) => format!("write `subnet_id: {id}` for `{name}`"),
        (None, Addressing::Zones { .. }) => "move all zones with `addressing: { zone_base: N }` under `global`".into(),
        (None, Addressing::BaseSubnet(..)) => "write another `base_subnet` under `global`".into(),
    })
}

/// A written address that is not in the network which its domain got.
pub(super) fn outside(ground: Ground<'_>, path: Path, ip: Ipv4Addr, domain: &str, subnet: Ipv4Net) -> Option<Problem> {
    let written = ground.infra.domains.get(domain)?;
    if subnet.contains(&ip) {
        return None;
    }
    let zone = Zone::of(&ground.infra.global.addressing, written.trust_level);
    let range = format!("an address between {} and {}", host(subnet, 1), host(subnet, 99));
    let help = match zone.networks().zip(0..=254u8).find(|(net, _)| net.contains(&ip) && written.subnet_id.is_none()) {
        Some((_, id)) => format!("write `subnet_id: {id}` for `{domain}`, or {range}"),
        None => format!("write {range}"),
    };
    Some(Problem::error(path, format!("{ip} is not in the network of `{domain}`, {subnet}")).help(help))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::host::facts::HostNetwork;
    use crate::infra::model::{Bridge, Infra};
    use crate::resolve::sample::{applied, domain, infra, machine, resolved, sound, sound_over, subnet};
    use crate::resolve::{HeldBridge, Holds, resolve};

    fn trusted(trust_level: TrustLevel) -> Domain {
        Domain { trust_level, ..domain([]) }
    }

    fn with_id(id: u8) -> Domain {
        Domain { subnet_id: Some(id), ..domain([]) }
    }

    fn standing(bridge: &str, domain: &str, net: &str) -> Holds {
        let held = HeldBridge { domain: Some(domain.into()), subnet: Some(net.parse().unwrap()), gateway: None };
        Holds { bridges: [(bridge.to_owned(), held)].into(), ..Holds::default() }
    }

    fn on(interface: &str, network: &str) -> Facts {
        let network = HostNetwork { interface: interface.into(), network: network.parse().unwrap() };
        Facts { networks: vec![network], ..Facts::default() }
    }

    #[test]
    fn the_trust_level_picks_the_zone() {
        let levels = [
            ("admin", TrustLevel::Admin, "10.100.0.0/24"),
            ("trusted", TrustLevel::Trusted, "10.110.0.0/24"),
            ("semi", TrustLevel::SemiTrusted, "10.120.0.0/24"),
            ("untrusted", TrustLevel::Untrusted, "10.140.0.0/24"),
            ("disposable", TrustLevel::Disposable, "10.150.0.0/24"),
        ];
        let desired = sound(&infra(levels.map(|(name, level, _)| (name, trusted(level)))));
        for (name, _, net) in levels {
            assert_eq!(subnet(&desired, name), net);
        }
    }

    #[test]
    fn free_networks_go_out_in_alphabetical_order_around_the_written_ones() {
        let domains = [("c", domain([])), ("a", domain([])), ("b", domain([])), ("z", with_id(1))];
        let desired = sound(&infra(domains));
        assert_eq!(subnet(&desired, "a"), "10.120.0.0/24");
        assert_eq!(subnet(&desired, "b"), "10.120.2.0/24");
        assert_eq!(subnet(&desired, "c"), "10.120.3.0/24");
    }

    #[test]
    fn a_disabled_domain_keeps_its_network_reserved() {
        let off = Domain { enabled: false, ..domain([]) };
        let desired = sound(&infra([("a", off), ("b", domain([]))]));
        assert_eq!(subnet(&desired, "b"), "10.120.1.0/24");
        assert_eq!(desired.disabled, ["a".to_owned()].into());
    }

    #[test]
    fn gateway_and_dhcp_range_follow_the_addressing() {
        let mut infra = infra([("a", with_id(7))]);
        let zones = sound(&infra).domains.remove(0);
        assert_eq!(zones.gateway.to_string(), "10.120.7.254");
        assert_eq!(
            (zones.dhcp.0.to_string(), zones.dhcp.1.to_string()),
            ("10.120.7.100".into(), "10.120.7.199".into())
        );
        infra.global.addressing = Addressing::BaseSubnet(192, 168);
        let base = sound(&infra).domains.remove(0);
        assert_eq!(base.gateway.to_string(), "192.168.7.254");
        assert_eq!(base.dhcp.1.to_string(), "192.168.7.249");
    }

    #[test]
    fn a_network_that_stands_stays_when_a_domain_sorts_before_it() {
        let before = applied(&sound(&infra([("pro", domain([]))])));
        let desired = sound_over(&infra([("admin", domain([])), ("pro", domain([]))]), &before);
        assert_eq!(subnet(&desired, "pro"), "10.120.0.0/24");
        assert_eq!(subnet(&desired, "admin"), "10.120.1.0/24");
    }

    #[test]
    fn another_trust_level_moves_the_network() {
        let before = applied(&sound(&infra([("pro", domain([]))])));
        let desired = sound_over(&infra([("pro", trusted(TrustLevel::Admin))]), &before);
        assert_eq!(subnet(&desired, "pro"), "10.100.0.0/24");
    }

    #[test]
    fn a_written_subnet_id_wins_over_what_stands() {
        let before = applied(&sound(&infra([("a", domain([])), ("b", domain([]))])));
        let desired = sound_over(&infra([("a", with_id(1)), ("b", domain([]))]), &before);
        assert_eq!(subnet(&desired, "a"), "10.120.1.0/24");
        assert_eq!(subnet(&desired, "b"), "10.120.2.0/24", "the old network of `a` is not free before it has moved");
    }

    #[test]
    fn networks_of_orphans_and_of_others_are_set_aside() {
        let mut holds = standing("net-gone", "gone", "10.120.0.0/24");
        holds.foreign.push(("incusbr0".into(), "10.120.0.0/23".parse().unwrap()));
        assert_eq!(subnet(&sound_over(&infra([("pro", domain([]))]), &holds), "pro"), "10.120.2.0/24");
    }

    #[test]
    fn a_bridge_that_will_be_adopted_keeps_its_network() {
        let foreign = vec![("net-pro".to_owned(), "10.120.9.0/24".parse().unwrap())];
        let holds = Holds { foreign, ..Holds::default() };
        let desired = sound_over(&infra([("a", domain([])), ("pro", domain([]))]), &holds);
        assert_eq!(subnet(&desired, "pro"), "10.120.9.0/24");
        assert!(desired.wall.others.is_empty());
    }

    fn on_bridge(address: &str) -> Domain {
        let bridge = Bridge { address: Some(address.parse().unwrap()), ..Bridge::default() };
        Domain { bridge, ..domain([("dev", machine()), ("far", machine())]) }
    }

    #[test]
    fn a_network_that_is_written_out_has_its_own_gateway_and_machines_around_it() {
        let desired = sound(&infra([("pro", on_bridge("10.9.0.1/24")), ("small", on_bridge("10.9.1.2/29"))]));
        let [pro, small] = desired.domains.as_slice() else { panic!("two domains") };
        assert_eq!((pro.gateway.to_string(), subnet(&desired, "pro").as_str()), ("10.9.0.1".into(), "10.9.0.0/24"));
        let addresses =
            |home: &super::super::Domain| home.machines.iter().filter_map(|one| one.address).collect::<Vec<_>>();
        assert_eq!(addresses(pro).iter().map(ToString::to_string).collect::<Vec<_>>(), ["10.9.0.2", "10.9.0.3"]);
        assert_eq!(addresses(small).iter().map(ToString::to_string).collect::<Vec<_>>(), ["10.9.1.1", "10.9.1.3"]);
    }

    #[test]
    fn a_network_that_is_written_out_over_one_of_the_plan_is_a_problem() {
        let desired = sound(&infra([("a", domain([])), ("b", on_bridge("10.120.0.1/24"))]));
        assert_eq!(subnet(&desired, "a"), "10.120.1.0/24", "what is free is taken around it");
        let (_, problems) = resolved(&infra([("a", with_id(0)), ("b", on_bridge("10.120.0.1/16"))]));
        assert_eq!(problems[0].message, "`b` takes 10.120.0.0/16, and `a` is on 10.120.0.0/24");
    }

    #[test]
    fn a_zone_that_is_full_is_a_problem_of_the_domain_that_finds_none() {
        let ids = (0..=254).map(|id| (format!("d{id:03}"), with_id(id)));
        let mut infra = infra([("last", domain([]))]);
        infra.domains.extend(ids);
        let (desired, problems) = resolved(&infra);
        assert_eq!(problems.len(), 1);
        assert_eq!(problems[0].path.to_string(), "domains.last");
        assert!(problems[0].message.contains("10.120.0.0/24 to 10.120.254.0/24"), "{}", problems[0].message);
        assert_eq!(desired.domains.len(), 255);
    }

    fn overlaps_of(infra: &Infra, facts: &Facts, holds: &Holds) -> Vec<Problem> {
        resolve(infra, facts, holds).1
    }

    #[test]
    fn a_network_over_one_of_the_host_is_an_error_that_names_the_interface() {
        let problems = overlaps_of(&infra([("pro", domain([]))]), &on("eth1", "10.120.0.7/24"), &Holds::default());
        assert_eq!(problems.len(), 1);
        assert_eq!(problems[0].path.to_string(), "domains.pro");
        assert_eq!(problems[0].message, "`pro` takes 10.120.0.0/24, and `eth1` is on 10.120.0.0/24 already");
        assert_eq!(problems[0].help.as_deref(), Some("write `subnet_id: 1` for `pro`"));
        let written = overlaps_of(&infra([("pro", with_id(0))]), &on("eth1", "10.120.0.7/24"), &Holds::default());
        assert_eq!(written[0].path.to_string(), "domains.pro.subnet_id");
    }

    #[test]
    fn a_wide_route_over_the_whole_zone_has_another_cure() {
        let problems = overlaps_of(&infra([("pro", domain([]))]), &on("tun0", "10.0.0.0/8"), &Holds::default());
        assert!(problems[0].help.as_ref().unwrap().contains("zone_base"));
    }

    #[test]
    fn our_own_bridges_and_ipv6_do_not_overlap() {
        let pro = infra([("pro", domain([]))]);
        let offline = overlaps_of(&pro, &on("net-pro", "10.120.0.254/24"), &Holds::default());
        let six = overlaps_of(&pro, &on("eth0", "fe80::1/64"), &Holds::default());
        assert_eq!((offline, six), (vec![], vec![]));
    }

    #[test]
    fn the_network_of_an_orphan_is_a_warning_so_that_it_can_still_be_pruned() {
        let holds = standing("net-old", "old", "10.120.3.0/24");
        let (_, problems) = resolve(&infra([("new", with_id(3))]), &on("net-old", "10.120.3.254/24"), &holds);
        assert_eq!(problems.len(), 1);
        assert_eq!(problems[0].level, Level::Warning);
        assert!(problems[0].help.as_ref().unwrap().contains("--prune"));
    }
}
