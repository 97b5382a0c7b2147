//! The rules of the isolation as they are meant, read straight off the wall, and a small world to try them in.
//!
//! Nothing of the table is used here: what the table decides is held against this.

use std::net::IpAddr;

use super::evaluate::packet::{Connection, Content, Direction, Packet, Peer, State};
use super::random::{BRIDGES, OTHERS, address};
use super::ruleset::OTHER_BRIDGES;
use super::wall::{End, Opening, Wall};
use crate::infra::model::Protocol;

/// Where an end of a connection is.
enum Site<'a> {
    Domain(&'a str),
    Host,
    /// Another network of this host.
    Closed,
    Outside,
}

fn site<'a>(wall: &Wall, peer: &'a Peer) -> Site<'a> {
    match peer {
        Peer::Host { .. } => Site::Host,
        Peer::Behind { interface, .. } if wall.bridges.contains_key(interface) => Site::Domain(interface),
        Peer::Behind { interface, .. } => {
            let known = OTHER_BRIDGES.iter().any(|pattern| interface.starts_with(pattern.trim_end_matches('*')));
            if known || wall.others.contains(interface) { Site::Closed } else { Site::Outside }
        }
    }
}

/// May this connection be? With `any_port`, may one like it be, to whatever port: so much is asked of ICMP errors.
pub(super) fn may(wall: &Wall, connection: &Connection, any_port: bool) -> bool {
    let Connection { client, server, content, published } = connection;
    let opened = || wall.openings.iter().any(|opening| opens(opening, client, server, content, any_port));
    match (site(wall, client), site(wall, server)) {
        (Site::Domain(a), Site::Domain(b)) => a == b || opened(),
        (Site::Domain(a), Site::Outside) => !wall.offline.contains(a),
        (Site::Domain(_), Site::Closed) => false,
        (Site::Domain(a), Site::Host) => {
            let own = matches!(server, Peer::Host { on, .. } if on == a);
            let others_gateway = !own && wall.gateways.values().any(|gateway| server.address() == *gateway);
            own && !any_port && is_service(content) || !others_gateway && opened()
        }
        (Site::Closed | Site::Outside, Site::Domain(_)) => *published,
        // The host reaches everything; what touches none of our bridges is none of our business.
        _ => true,
    }
}

/// What every gateway does for its own domain.
fn is_service(content: &Content) -> bool {
    match content {
        Content::Ports { protocol: "udp", target: 67, .. } | Content::Ports { target: 53, .. } => true,
        other => *other == Content::Icmp("echo-request"),
    }
}

fn opens(opening: &Opening, client: &Peer, server: &Peer, content: &Content, any_port: bool) -> bool {
    let protocol = match opening.protocol {
        Some(Protocol::Tcp) => Some("tcp"),
        Some(Protocol::Udp) => Some("udp"),
        None => None,
    };
    let traffic = match content {
        _ if protocol.is_none() && opening.ports.is_empty() => true,
        Content::Ports { protocol: sent, target, .. } => {
            let in_range = |range: &crate::infra::model::PortRange| (range.first..=range.last).contains(target);
            let port = any_port || opening.ports.is_empty() || opening.ports.iter().any(in_range);
            protocol.is_none_or(|protocol| protocol == *sent) && port
        }
        _ => false,
    };
    traffic && is_at(client, &opening.from) && is_at(server, &opening.to)
}

fn is_at(peer: &Peer, end: &End) -> bool {
    match (peer, end) {
        (Peer::Host { .. }, End::Host) => true,
        (Peer::Behind { interface, .. }, End::Domain { bridge }) => interface == bridge,
        (Peer::Behind { interface, address }, End::Machine { bridge, address: one }) => {
            interface == bridge && *address == IpAddr::from(*one)
        }
        _ => false,
    }
}

/// Does this packet pass?
pub(super) fn passes(wall: &Wall, packet: &Packet) -> bool {
    let ours = |name: &String| wall.bridges.contains_key(name);
    let (from_ours, to_ours) = (ours(&packet.input), ours(&packet.output));
    let to_host = packet.output.is_empty();
    let from_host = packet.input.is_empty();
    let connection = &packet.connection;
    let at_home = from_ours && packet.input == packet.output;
    if !from_ours && !to_ours || at_home {
        return true;
    }
    // In IPv6 it is neighbour discovery.
    if packet.content == Content::Icmp("redirect") && packet.source.is_ipv4() && !from_host {
        return false;
    }
    if from_host {
        // What the host opens passes, and so do errors, what has no connection, and its answers, from whichever of its
        // addresses: the question to another domain's gateway was dropped on its way in.
        let Connection { client, server, content, .. } = connection;
        return packet.direction == Direction::Original
            || matches!(packet.state, State::Invalid | State::Untracked | State::Related)
            || is_service_answer(&packet.content)
            || wall.openings.iter().any(|opening| opens(opening, client, server, content, false));
    }
    let tracked = !matches!(packet.state, State::Invalid | State::Untracked);
    let own_gateway = packet.target_here == "local";
    let asks_dhcp = matches!(packet.content, Content::Ports { protocol: "udp", target: 67, .. });
    if to_host && own_gateway && asks_dhcp {
        return true;
    }
    // Nobody speaks in the name of another network: not from a domain, and not in a domain's name from elsewhere.
    if if from_ours { packet.way_back != packet.input } else { ours(&packet.way_back) } {
        return false;
    }
    if to_host && tracked && packet.direction == Direction::Reply {
        // Errors are taken about what the host has with this domain.
        return own_gateway || packet.state != State::Related;
    }
    if to_host && own_gateway && is_service(&packet.content) {
        return true;
    }
    tracked && may(wall, connection, packet.state == State::Related)
}

pub(super) fn is_service_answer(content: &Content) -> bool {
    match content {
        Content::Ports { protocol: "udp", source: 67, .. } | Content::Ports { source: 53, .. } => true,
        other => *other == Content::Icmp("echo-reply"),
    }
}

/// Everybody there is: machines and gateways of every bridge, the host's uplink, the outside, other bridges; and some
/// of them once more with IPv6.
pub(super) fn peers() -> Vec<Peer> {
    let behind = |interface: &str, address: IpAddr| Peer::Behind { interface: interface.into(), address };
    let host = |on: &str, address: IpAddr| Peer::Host { on: on.into(), address };
    let parse = |text: &str| text.parse().unwrap();
    let mut peers = Vec::new();
    for bridge in BRIDGES {
        peers.extend((1..=3).map(|part| behind(bridge, address(bridge, part).into())));
        peers.push(host(bridge, address(bridge, 254).into()));
        peers.push(behind(bridge, parse(&format!("fd00:{}::1", &bridge[4..]))));
    }
    peers.extend(OTHERS.into_iter().map(|name| behind(name, parse("10.9.0.1"))));
    peers.extend([
        behind("docker0", parse("172.17.0.2")),
        behind("br0", parse("203.0.113.9")),
        behind("eth0", parse("203.0.113.10")),
        behind("eth0", parse("2001:db8::1")),
        host("eth0", parse("192.0.2.5")),
        host("net-a", parse("fd00:a::fe")),
        host("eth0", parse("2001:db8::5")),
    ]);
    peers
}

/// What is sent to try these openings: every edge of their ports and the ports beside it, the services, and what has no
/// ports.
pub(super) fn contents<'a>(openings: impl IntoIterator<Item = &'a Opening>) -> Vec<Content> {
    let ranges = openings.into_iter().flat_map(|opening| &opening.ports);
    let edges = ranges.flat_map(|range| [range.first, range.last]);
    let around = |edge: u16| [edge.saturating_sub(1).max(1), edge, edge.saturating_add(1)];
    let mut ports: Vec<u16> = edges.chain([53, 67, 40000]).flat_map(around).collect();
    ports.sort_unstable();
    ports.dedup();
    let sent = |protocol| move |target: &u16| Content::Ports { protocol, source: 50000, target: *target };
    let mut contents: Vec<Content> = ports.iter().map(sent("tcp")).chain(ports.iter().map(sent("udp"))).collect();
    contents.extend([Content::Icmp("echo-request"), Content::Icmp("redirect"), Content::Other("sctp".into())]);
    contents
}

/// Every packet of a connection that tells something: both ways, new and old, errors, without a connection, and from an
/// address that does not live there.
pub(super) fn packets(connection: &Connection) -> impl Iterator<Item = Packet> {
    let kinds = [
        (Direction::Original, State::New),
        (Direction::Original, State::Established),
        (Direction::Reply, State::Established),
        (Direction::Original, State::Related),
        (Direction::Reply, State::Related),
        (Direction::Original, State::Invalid),
        (Direction::Reply, State::Untracked),
    ];
    let packets = kinds.into_iter().filter_map(|(direction, state)| connection.packet(direction, state));
    let spoofed = [(Direction::Original, State::New), (Direction::Reply, State::Established)];
    let spoofed = spoofed.into_iter().filter_map(|(direction, state)| connection.packet(direction, state));
    let spoofed = spoofed.flat_map(|packet| {
        ["net-a", "net-b", "eth0"].map(|elsewhere| Packet { way_back: elsewhere.into(), ..packet.clone() })
    });
    packets.chain(spoofed)
}
