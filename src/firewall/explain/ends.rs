//! What FROM and TO of a question stand for: names of the file, the host, the outside, addresses.

use std::collections::{BTreeMap, BTreeSet};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use ipnet::Ipv4Net;

use crate::firewall::evaluate::packet::Peer;
use crate::host::routes::Route;
use crate::resolve::desired::Desired;

/// An end as it was asked for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Named {
    /// Any machine of a domain, with those that have an address of their own.
    Domain {
        name: String,
        bridge: String,
        machines: Vec<(String, Ipv4Addr)>,
    },
    /// One machine; without a fixed address it is any of its domain.
    Machine {
        name: String,
        bridge: String,
        address: Option<Ipv4Addr>,
    },
    Host,
    Outside,
    Address(IpAddr),
}

/// A place that packets come from or go to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Place {
    /// For people: `pro`, `pro-dev (10.110.0.1)`, `outside (by up0)`.
    pub(crate) name: String,
    pub(crate) peer: Peer,
}

impl Place {
    fn machine(name: &str, bridge: &str, address: Ipv4Addr) -> Self {
        let peer = Peer::Behind { interface: bridge.to_owned(), address: address.into() };
        Self { name: format!("{name} ({address})"), peer }
    }
}

/// Why an end stands for nothing.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("this host has no route to {0}: nothing gets there, or comes from there")]
pub(crate) struct Nowhere(IpAddr);

/// What a word stands for; names of the file come first.
pub(crate) fn named(word: &str, desired: &Desired) -> Option<Named> {
    for domain in &desired.domains {
        if domain.name == word {
            let machines = domain.machines.iter().filter_map(|one| Some((one.name.clone(), one.address?)));
            return Some(Named::Domain {
                name: word.to_owned(),
                bridge: domain.bridge.clone(),
                machines: machines.collect(),
            });
        }
        if let Some(machine) = domain.machines.iter().find(|one| one.name == word || one.instance == word) {
            let (name, bridge) = (machine.name.clone(), domain.bridge.clone());
            return Some(Named::Machine { name, bridge, address: machine.address });
        }
    }
    // A domain that is disabled or left the file, whose bridge still stands.
    if let Some((bridge, _)) = desired.wall.bridges.iter().find(|(_, domain)| *domain == word) {
        return Some(Named::Domain { name: word.to_owned(), bridge: bridge.clone(), machines: Vec::new() });
    }
    match word {
        "host" => Some(Named::Host),
        "outside" | "internet" => Some(Named::Outside),
        _ => word.parse().ok().map(Named::Address),
    }
}

/// Every name that is known, for a word that is not.
pub(crate) fn names(desired: &Desired) -> impl Iterator<Item = &str> {
    let machines = desired.domains.iter().flat_map(|domain| &domain.machines).map(|machine| machine.name.as_str());
    desired.wall.bridges.values().map(String::as_str).chain(machines).chain(["host", "outside", "internet"])
}

/// What is known of the world around the ends.
pub(crate) struct World<'a> {
    pub(crate) desired: &'a Desired,
    /// The interface of the default route.
    pub(crate) uplink: Option<&'a str>,
    /// The routes to the addresses that were asked for.
    pub(crate) routes: &'a BTreeMap<IpAddr, Route>,
    /// Addresses that some rule names: whoever has none of them is like any other of the domain.
    pub(crate) told_apart: &'a BTreeSet<IpAddr>,
    /// Ask about IPv6.
    pub(crate) ipv6: bool,
}

/// Stands for any machine, and anybody outside, in IPv6: there is no rule about single addresses.
const SOMEBODY: Ipv6Addr = Ipv6Addr::new(0x2001, 0xdb8, 0, 0, 0, 0, 0, 1);
/// An address outside that is nobody's.
const OUTSIDE: Ipv4Addr = Ipv4Addr::new(192, 0, 2, 1);

impl World<'_> {
    /// The places of an end, the first of which stands for all that the others are not. `other` is the other end: the
    /// host has an address of its own towards each domain.
    pub(crate) fn places(&self, end: &Named, other: &Named) -> Result<Vec<Place>, Nowhere> {
        let place = |name: String, peer: Peer| Place { name, peer };
        Ok(match end {
            Named::Domain { name, bridge, machines } => {
                let apart = machines.iter().filter(|(_, address)| self.told_apart.contains(&(*address).into()));
                let apart = apart.filter(|_| !self.ipv6).map(|(name, address)| Place::machine(name, bridge, *address));
                std::iter::once(place(name.clone(), self.anybody(bridge))).chain(apart).collect()
            }
            Named::Machine { name, bridge, address: Some(address) } if !self.ipv6 => {
                vec![Place::machine(name, bridge, *address)]
            }
            Named::Machine { name, bridge, .. } => vec![place(name.clone(), self.anybody(bridge))],
            Named::Host => vec![self.host(self.bridge_of(other)?.as_deref())],
            Named::Outside => {
                let name = match self.uplink {
                    Some(uplink) => format!("outside (by {uplink})"),
                    None => "outside (this host has no default route)".into(),
                };
                let address = if self.ipv6 { SOMEBODY.into() } else { OUTSIDE.into() };
                vec![place(name, Peer::Behind { interface: self.uplink.unwrap_or("nowhere").to_owned(), address })]
            }
            Named::Address(address) => vec![self.address(*address)?],
        })
    }

    /// A machine that no rule names.
    fn anybody(&self, bridge: &str) -> Peer {
        let free = self.subnet(bridge).and_then(|net| {
            let mut hosts = net.hosts().map(IpAddr::from);
            hosts.find(|address| !self.told_apart.contains(address))
        });
        let address = if self.ipv6 { SOMEBODY.into() } else { free.unwrap_or(Ipv4Addr::UNSPECIFIED.into()) };
        Peer::Behind { interface: bridge.to_owned(), address }
    }

    /// Towards a bridge the host has that gateway's address, elsewhere none that matters.
    fn host(&self, bridge: Option<&str>) -> Place {
        let gateway = bridge.and_then(|bridge| self.desired.wall.gateways.get(bridge)).filter(|_| !self.ipv6);
        let on = bridge.or(self.uplink).unwrap_or_default().to_owned();
        let (name, address) = match gateway {
            Some(gateway) => (format!("host ({gateway})"), (*gateway).into()),
            None if self.ipv6 => ("host".into(), SOMEBODY.into()),
            None => ("host".into(), Ipv4Addr::UNSPECIFIED.into()),
        };
        Place { name, peer: Peer::Host { address, on } }
    }

    fn address(&self, address: IpAddr) -> Result<Place, Nowhere> {
        let peer = self.peer(address)?;
        let name = match &peer {
            Peer::Host { on, .. } => format!("{address} (the host, on {on})"),
            Peer::Behind { interface, .. } => match self.machine_at(address) {
                Some(machine) => format!("{machine} ({address})"),
                None => format!("{address} (by {interface})"),
            },
        };
        Ok(Place { name, peer })
    }

    /// Who has this address: by the networks of the domains, then by the routes of the host.
    fn peer(&self, address: IpAddr) -> Result<Peer, Nowhere> {
        let is_gateway = |(_, gateway): &(&String, &Ipv4Addr)| address == IpAddr::from(**gateway);
        if let Some((bridge, _)) = self.desired.wall.gateways.iter().find(is_gateway) {
            return Ok(Peer::Host { address, on: bridge.clone() });
        }
        if let IpAddr::V4(v4) = address {
            let mut bridges = self.desired.wall.bridges.keys();
            if let Some(bridge) = bridges.find(|bridge| self.subnet(bridge).is_some_and(|net| net.contains(&v4))) {
                return Ok(Peer::Behind { interface: bridge.clone(), address });
            }
        }
        match self.routes.get(&address) {
            Some(Route { interface, local: true }) => Ok(Peer::Host { address, on: interface.clone() }),
            Some(Route { interface, local: false }) => Ok(Peer::Behind { interface: interface.clone(), address }),
            None => Err(Nowhere(address)),
        }
    }

    fn machine_at(&self, address: IpAddr) -> Option<&str> {
        let machines = self.desired.domains.iter().flat_map(|domain| &domain.machines);
        let mut at = machines.filter(|machine| machine.address.map(IpAddr::from) == Some(address));
        at.next().map(|machine| machine.name.as_str())
    }

    /// The bridge that an end is behind.
    fn bridge_of(&self, end: &Named) -> Result<Option<String>, Nowhere> {
        Ok(match end {
            Named::Domain { bridge, .. } | Named::Machine { bridge, .. } => Some(bridge.clone()),
            Named::Host | Named::Outside => None,
            Named::Address(address) => match self.peer(*address)? {
                Peer::Behind { interface, .. } => Some(interface),
                Peer::Host { .. } => None,
            },
        })
    }

    /// A domain's network is a /24, also where only its gateway is known.
    fn subnet(&self, bridge: &str) -> Option<Ipv4Net> {
        let domain = self.desired.domains.iter().find(|domain| domain.bridge == bridge);
        domain.map(|domain| domain.subnet).or_else(|| {
            let gateway = self.desired.wall.gateways.get(bridge)?;
            Ipv4Net::new(*gateway, 24).ok().map(|net| net.trunc())
        })
    }
}
