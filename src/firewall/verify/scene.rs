//! What there is to try: the machines on anklume's bridges, the host's other addresses, the way out.

use std::collections::BTreeSet;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use serde_json::Value;

use super::super::wall::Wall;
use crate::resolve::desired::Desired;

/// Everything that sends or is sent to.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Scene {
    /// In the file's order; bridges that left the file and still stand come after.
    pub(crate) domains: Vec<Home>,
    /// By domain.
    pub(crate) machines: Vec<Machine>,
    pub(crate) skipped: Vec<Skipped>,
    /// Addresses of the host that are not on anklume's bridges, the uplink's first.
    pub(crate) host: Vec<HostAddress>,
    pub(crate) outside: Option<Ipv4Addr>,
}

/// A domain, as far as packets go.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Home {
    pub(crate) name: String,
    pub(crate) bridge: String,
    pub(crate) gateway: Option<Ipv4Addr>,
}

/// A machine that is up and has an address on the bridge of its domain.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Machine {
    /// The Incus instance.
    pub(crate) name: String,
    pub(crate) home: usize,
    pub(crate) address: Ipv4Addr,
    pub(crate) ipv6: Option<Ipv6Addr>,
    /// Its first process, whose network namespace is its own; a virtual machine has none here.
    pub(crate) pid: Option<u32>,
}

/// A machine that cannot be tried.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Skipped {
    pub(crate) domain: String,
    pub(crate) name: String,
    /// Its reserved address, by which policies name it.
    pub(crate) address: Option<Ipv4Addr>,
    pub(crate) why: String,
}

/// An address of the host.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct HostAddress {
    pub(crate) interface: String,
    pub(crate) address: IpAddr,
}

/// What was read of Incus and of the host.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Readings<'a> {
    /// The instances of all projects, with their state.
    pub(crate) instances: &'a Value,
    /// `ip -j addr`.
    pub(crate) addresses: &'a Value,
    /// `ip -j route show default`.
    pub(crate) routes: &'a Value,
}

impl Scene {
    /// Puts together what was read. `outside` is the address to try instead of the default gateway.
    pub(crate) fn new(desired: &Desired, readings: Readings<'_>, outside: Option<Ipv4Addr>) -> Self {
        let mut scene = Self { domains: homes(desired), ..Self::default() };
        for listed in readings.instances.as_array().into_iter().flatten() {
            scene.add(listed);
        }
        scene.add_missing(desired, readings.instances);
        let wanted = |machine: &Machine| {
            let domain = desired.domains.get(machine.home);
            domain.and_then(|domain| domain.machines.iter().position(|wanted| wanted.instance == machine.name))
        };
        let key = |machine: &Machine| (machine.home, wanted(machine).unwrap_or(usize::MAX), machine.name.clone());
        scene.machines.sort_by_key(key);
        scene.skipped.sort();
        let (uplink, gateway) = default_route(readings.routes);
        scene.host = host_addresses(readings.addresses, &desired.wall, uplink);
        scene.outside = outside.or(gateway);
        scene
    }

    /// The machine is not to be tried after all.
    pub(crate) fn skip(&mut self, at: usize, why: String) {
        let machine = self.machines.remove(at);
        let domain = self.domains[machine.home].name.clone();
        self.skipped.push(Skipped { domain, name: machine.name, address: Some(machine.address), why });
        self.skipped.sort();
    }

    /// An instance that Incus lists, if it is on one of the bridges.
    fn add(&mut self, listed: &Value) {
        let Some(name) = listed["name"].as_str() else { return };
        let cards = self.cards(listed);
        let Some(card) = cards.first() else { return };
        let skipped = |why: &str| Skipped {
            domain: self.domains[card.home].name.clone(),
            name: name.to_owned(),
            address: card.reserved,
            why: why.to_owned(),
        };
        let status = listed["status"].as_str().unwrap_or_default();
        let homes: BTreeSet<usize> = cards.iter().map(|card| card.home).collect();
        let vm = listed["type"] == "virtual-machine";
        let pid = listed["state"]["pid"].as_u64().and_then(|pid| u32::try_from(pid).ok()).filter(|pid| *pid > 0);
        let (address, ipv6) = card.addresses(listed);
        // Incus may not see into a virtual machine; its lease is its reservation.
        let address = address.or(card.reserved.filter(|_| vm));
        let found = match address {
            _ if !matches!(status, "Running" | "Frozen") => Err(skipped(&format!("is {}", status.to_lowercase()))),
            _ if homes.len() > 1 => Err(skipped("has cards on several bridges: what it passes on, no table can see")),
            None => Err(skipped("has no IPv4 address yet")),
            Some(_) if !vm && pid.is_none() => Err(skipped("has no process that Incus knows of")),
            Some(address) => {
                let (name, pid) = (name.to_owned(), pid.filter(|_| !vm));
                Ok(Machine { name, home: card.home, address, ipv6, pid })
            }
        };
        match found {
            Ok(machine) => self.machines.push(machine),
            Err(skipped) => self.skipped.push(skipped),
        }
    }

    /// Its network cards on anklume's bridges.
    fn cards<'a>(&self, listed: &'a Value) -> Vec<Card<'a>> {
        let devices = listed["expanded_devices"].as_object().into_iter().flatten();
        let cards = devices.filter_map(|(device, keys)| {
            let network = keys["network"].as_str().or(keys["parent"].as_str()).filter(|_| keys["type"] == "nic")?;
            let home = self.domains.iter().position(|domain| domain.bridge == network)?;
            let made = &listed["config"][format!("volatile.{device}.hwaddr")];
            let mac = keys["hwaddr"].as_str().or(made.as_str()).unwrap_or_default();
            Some(Card { home, mac, reserved: keys["ipv4.address"].as_str().and_then(|text| text.parse().ok()) })
        });
        cards.collect()
    }

    /// What the file has and Incus has not.
    fn add_missing(&mut self, desired: &Desired, instances: &Value) {
        let is_there = |project: &str, name: &str| {
            let mut all = instances.as_array().into_iter().flatten();
            all.any(|listed| listed["project"] == project && listed["name"] == name)
        };
        for domain in &desired.domains {
            for machine in domain.machines.iter().filter(|one| !is_there(&domain.project, &one.instance)) {
                self.skipped.push(Skipped {
                    domain: domain.name.clone(),
                    name: machine.instance.clone(),
                    address: machine.address,
                    why: "is not there yet".to_owned(),
                });
            }
        }
    }
}

/// A network card on one of the bridges.
struct Card<'a> {
    home: usize,
    mac: &'a str,
    reserved: Option<Ipv4Addr>,
}

impl Card<'_> {
    /// The addresses that it has now; the reserved one, where it has several.
    fn addresses(&self, listed: &Value) -> (Option<Ipv4Addr>, Option<Ipv6Addr>) {
        let cards = listed["state"]["network"].as_object().into_iter().flatten();
        let mine = cards.filter(|(_, card)| card["hwaddr"].as_str().is_some_and(|mac| mac == self.mac));
        let all = mine.flat_map(|(_, card)| card["addresses"].as_array().into_iter().flatten());
        let global = all.filter(|one| one["scope"] == "global");
        let parsed: Vec<IpAddr> = global.filter_map(|one| one["address"].as_str()?.parse().ok()).collect();
        let four = || parsed.iter().filter_map(|one| if let IpAddr::V4(four) = one { Some(*four) } else { None });
        let six = parsed.iter().find_map(|one| if let IpAddr::V6(six) = one { Some(*six) } else { None });
        (four().find(|four| Some(*four) == self.reserved).or_else(|| four().next()), six)
    }
}

fn homes(desired: &Desired) -> Vec<Home> {
    let wall = &desired.wall;
    let home = |bridge: &String, name: &String| Home {
        name: name.clone(),
        bridge: bridge.clone(),
        gateway: wall.gateways.get(bridge).copied(),
    };
    let mut homes: Vec<Home> = desired.domains.iter().map(|domain| home(&domain.bridge, &domain.name)).collect();
    let others = wall.bridges.iter().filter(|(bridge, _)| desired.domains.iter().all(|one| one.bridge != **bridge));
    homes.extend(others.map(|(bridge, name)| home(bridge, name)));
    homes
}

/// The interface of the way out, and its next hop.
fn default_route(routes: &Value) -> (Option<&str>, Option<Ipv4Addr>) {
    let first = routes.as_array().and_then(|routes| routes.first());
    let text = |key: &str| first.and_then(|route| route[key].as_str());
    (text("dev"), text("gateway").and_then(|text| text.parse().ok()))
}

/// One address of each family an interface, the uplink's first.
fn host_addresses(links: &Value, wall: &Wall, uplink: Option<&str>) -> Vec<HostAddress> {
    let mut found = Vec::new();
    for link in links.as_array().into_iter().flatten() {
        let Some(interface) = link["ifname"].as_str() else { continue };
        if wall.bridges.contains_key(interface) {
            continue;
        }
        let addresses = link["addr_info"].as_array().into_iter().flatten().filter(|info| info["scope"] == "global");
        let parsed: Vec<IpAddr> = addresses.filter_map(|info| info["local"].as_str()?.parse().ok()).collect();
        let one = |family: fn(&IpAddr) -> bool| parsed.iter().copied().find(family);
        let both = one(IpAddr::is_ipv4).into_iter().chain(one(IpAddr::is_ipv6));
        found.extend(both.map(|address| HostAddress { interface: interface.to_owned(), address }));
    }
    found.sort_by_key(|one| Some(one.interface.as_str()) != uplink);
    found
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::host::facts::Facts;
    use crate::resolve::{Holds, resolve};

    fn desired() -> Desired {
        let text = "project_name: s\nglobal: {}\ndomains:\n  a: {machines: {a1: {}, a2: {}, a3: {}}}\n  b: {machines: {b1: {}}}\n";
        let dir = tempfile::tempdir().unwrap();
        std::fs::write(dir.path().join("infra.yml"), text).unwrap();
        let loaded = crate::infra::load(Some(&dir.path().join("infra.yml"))).unwrap_or_else(|_| panic!("it is good"));
        resolve(&loaded.infra, &Facts::default(), &Holds::default()).0
    }

    fn instance(name: &str, kind: &str, status: &str, cards: &[(&str, &str, &str)]) -> Value {
        let mut listed = json!({"name": name, "project": "a", "type": kind, "status": status, "config": {},
            "expanded_devices": {"root": {"type": "disk", "path": "/"}}, "state": {"pid": 7, "network": {}}});
        for (at, (network, reserved, has)) in cards.iter().enumerate() {
            let (device, mac) = (format!("eth{at}"), format!("10:66:6a:00:00:0{at}"));
            listed["config"][format!("volatile.{device}.hwaddr")] = json!(mac);
            listed["expanded_devices"][&device] = json!({"type": "nic", "network": network, "ipv4.address": reserved});
            let address = json!([{"family": "inet", "scope": "global", "address": "192.0.2.1"},
                {"family": "inet", "scope": "global", "address": has}, {"family": "inet6", "scope": "link", "address": "fe80::1"}]);
            listed["state"]["network"][&device] =
                json!({"hwaddr": mac, "addresses": if has.is_empty() { json!([]) } else { address }});
        }
        listed
    }

    #[test]
    fn machines_that_can_be_tried_are_up_on_one_bridge_and_have_an_address() {
        let here = |network: &'static str| [(network, "10.120.0.1", "10.120.0.1")];
        let instances = json!([
            instance("by-hand", "container", "Running", &here("net-a")),
            instance("a2", "container", "Frozen", &[("net-a", "10.120.0.2", "10.120.0.2")]),
            instance("a1", "container", "Running", &here("net-a")),
            instance("other", "container", "Running", &here("incusbr0")),
            instance("off", "container", "Stopped", &here("net-a")),
            instance("late", "container", "Running", &[("net-a", "10.120.0.8", "")]),
            instance("router", "container", "Running", &[("net-a", "10.120.0.9", ""), ("net-b", "10.120.1.9", "")]),
            instance("vm", "virtual-machine", "Running", &[("net-a", "10.120.0.7", "")]),
        ]);
        let addresses = json!([
            {"ifname": "lo", "addr_info": [{"scope": "host", "local": "127.0.0.1"}]},
            {"ifname": "docker0", "addr_info": [{"scope": "global", "local": "172.17.0.1"}]},
            {"ifname": "net-a", "addr_info": [{"scope": "global", "local": "10.120.0.254"}]},
            {"ifname": "up0", "addr_info": [{"scope": "global", "local": "198.51.100.1"}]}]);
        let routes = json!([{"dst": "default", "gateway": "198.51.100.2", "dev": "up0"}]);
        let readings = Readings { instances: &instances, addresses: &addresses, routes: &routes };
        let scene = Scene::new(&desired(), readings, None);
        let up: Vec<_> =
            scene.machines.iter().map(|one| (one.name.as_str(), one.address.to_string(), one.pid)).collect();
        let expected = [
            ("a1", "10.120.0.1".to_owned(), Some(7)),
            ("a2", "10.120.0.2".to_owned(), Some(7)),
            ("by-hand", "10.120.0.1".to_owned(), Some(7)),
            ("vm", "10.120.0.7".to_owned(), None),
        ];
        assert_eq!(up, expected, "in the file's order, what is there beside it after that");
        let skipped: Vec<_> = scene.skipped.iter().map(|one| format!("{} {}", one.name, one.why)).collect();
        let expected = [
            "a3 is not there yet",
            "late has no IPv4 address yet",
            "off is stopped",
            "router has cards on several bridges: what it passes on, no table can see",
            "b1 is not there yet",
        ];
        assert_eq!(skipped, expected);
        let host: Vec<_> = scene.host.iter().map(|one| one.interface.as_str()).collect();
        assert_eq!(host, ["up0", "docker0"], "the uplink first, and none of anklume's bridges");
        assert_eq!(scene.outside, Some("198.51.100.2".parse().unwrap()));
        let other = Scene::new(&desired(), readings, Some("203.0.113.10".parse().unwrap()));
        assert_eq!(other.outside.map(IpAddr::from), Some("203.0.113.10".parse().unwrap()));
    }
}
