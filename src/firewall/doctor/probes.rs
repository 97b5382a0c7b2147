//! Packets that have to pass, one of each sort, as the filters of others meet them.

use std::net::{IpAddr, Ipv4Addr};

use crate::firewall::evaluate::packet::{Connection, Content, Direction, Hook, Packet, Peer, State};
use crate::firewall::wall::{End, Opening, Wall};
use crate::infra::model::Protocol;
use crate::resolve::desired::{Desired, Domain};

/// What a packet is for.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Purpose {
    /// To the outside.
    Outside,
    /// An answer from there.
    Answers,
    /// From machine to machine of one domain.
    Within,
    /// DHCP and DNS of the gateway.
    Services,
    /// What a policy allows.
    Policy(String),
}

/// A packet and what it is for.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Probe {
    pub(super) purpose: Purpose,
    /// The domain that misses it.
    pub(super) domain: String,
    /// The bridges that it comes or goes by.
    pub(super) bridges: Vec<String>,
    pub(super) packet: Packet,
}

/// An address outside that no host has: of a block that is kept for examples.
const OUTSIDE: Ipv4Addr = Ipv4Addr::new(203, 0, 113, 1);

/// All of them. `bridged`: packets within one bridge meet the filters too.
pub(super) fn probes(desired: &Desired, uplink: Option<&str>, bridged: bool) -> Vec<Probe> {
    let mut probes = Vec::new();
    for domain in &desired.domains {
        if let Some(uplink) = uplink.filter(|_| domain.internet) {
            let connection = tcp(machine(domain), behind(uplink, OUTSIDE), 443);
            probes.extend(probe(Purpose::Outside, domain, connection.packet(Direction::Original, State::New)));
            probes.extend(probe(Purpose::Answers, domain, connection.packet(Direction::Reply, State::Established)));
        }
        if bridged {
            let neighbour = behind(&domain.bridge, host_part(domain, 2));
            let connection = tcp(machine(domain), neighbour, 443);
            probes.extend(probe(Purpose::Within, domain, connection.packet(Direction::Original, State::New)));
        }
        for port in [67, 53] {
            let gateway = Peer::Host { address: domain.gateway.into(), on: domain.bridge.clone() };
            let content = Content::Ports { protocol: "udp", source: 40_000, target: port };
            let connection = Connection { client: machine(domain), server: gateway, content, published: false };
            probes.extend(probe(Purpose::Services, domain, connection.packet(Direction::Original, State::New)));
        }
    }
    probes.extend(desired.wall.openings.iter().flat_map(|opening| of_policy(desired, opening)));
    probes
}

fn probe(purpose: Purpose, domain: &Domain, packet: Option<Packet>) -> Option<Probe> {
    let bridges = vec![domain.bridge.clone()];
    packet.map(|packet| Probe { purpose, domain: domain.name.clone(), bridges, packet })
}

/// The first packet that a policy allows, and its answer. What the host opens meets no filter that is looked at.
fn of_policy(desired: &Desired, opening: &Opening) -> Vec<Probe> {
    let (client, server) = (end(desired, &opening.from, None), end(desired, &opening.to, Some(&opening.from)));
    let (Some(client), Some(server)) = (client, server) else { return Vec::new() };
    let protocol = match opening.protocol {
        Some(Protocol::Udp) => "udp",
        _ => "tcp",
    };
    let port = opening.ports.first().map_or(443, |ports| ports.first);
    let content = Content::Ports { protocol, source: 40_000, target: port };
    let connection = Connection { client, server, content, published: false };
    let sent = [(Direction::Original, State::New), (Direction::Reply, State::Established)];
    let packets = sent.into_iter().filter_map(|(direction, state)| connection.packet(direction, state));
    let ends = [&opening.from, &opening.to].into_iter();
    let bridges: Vec<String> = ends.filter_map(End::bridge).map(str::to_owned).collect();
    let domain = bridges.first().map(|bridge| name(&desired.wall, bridge)).unwrap_or_default();
    let purpose = Purpose::Policy(opening.policy.clone());
    packets
        .filter(|packet| packet.hook != Hook::Output)
        .map(|packet| Probe { purpose: purpose.clone(), domain: domain.clone(), bridges: bridges.clone(), packet })
        .collect()
}

/// One that an end stands for; the host, as whoever is at the other end sees it.
fn end(desired: &Desired, end: &End, other: Option<&End>) -> Option<Peer> {
    let domain = |bridge: &str| desired.domains.iter().find(|domain| domain.bridge == bridge);
    match end {
        End::Machine { bridge, address } => Some(behind(bridge, *address)),
        End::Domain { bridge } => Some(machine(domain(bridge)?)),
        End::Host => {
            let bridge = other?.bridge()?;
            Some(Peer::Host { address: domain(bridge)?.gateway.into(), on: bridge.to_owned() })
        }
    }
}

fn name(wall: &Wall, bridge: &str) -> String {
    wall.bridges.get(bridge).cloned().unwrap_or_else(|| bridge.to_owned())
}

fn tcp(client: Peer, server: Peer, target: u16) -> Connection {
    let content = Content::Ports { protocol: "tcp", source: 40_000, target };
    Connection { client, server, content, published: false }
}

fn machine(domain: &Domain) -> Peer {
    behind(&domain.bridge, host_part(domain, 1))
}

fn host_part(domain: &Domain, part: u8) -> Ipv4Addr {
    let [a, b, c, _] = domain.subnet.network().octets();
    Ipv4Addr::new(a, b, c, part)
}

fn behind(interface: &str, address: Ipv4Addr) -> Peer {
    Peer::Behind { interface: interface.to_owned(), address: IpAddr::V4(address) }
}
