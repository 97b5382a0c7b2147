//! What the table decides is what the wall means: for random walls and everybody there is, by reading the table as the
//! kernel does.

use proptest::prelude::*;

use super::evaluate::packet::{Connection, Content, Direction, Packet, Peer, State};
use super::evaluate::walk::Evaluator;
use super::live::LiveTable;
use super::oracle::{contents, is_service_answer, may, packets, passes, peers};
use super::random::{self, address};
use super::sample::{domain, machine, opening};
use super::wall::{End, Wall};
use crate::infra::model::Protocol;

fn connection(client: &Peer, server: &Peer, content: &Content, published: bool) -> Connection {
    Connection { client: client.clone(), server: server.clone(), content: content.clone(), published }
}

/// Two peers that can talk to each other.
fn pairs<'a>(clients: &[&'a Peer], servers: &[&'a Peer]) -> Vec<(&'a Peer, &'a Peer)> {
    let all = clients.iter().flat_map(|client| servers.iter().map(move |server| (*client, *server)));
    let can_talk = |(a, b): &(&Peer, &Peer)| a.address().is_ipv4() == b.address().is_ipv4() && a != b;
    all.filter(can_talk).collect()
}

/// Every packet that the table and the wall decide in different ways; there should be none.
fn wrong(wall: &Wall, evaluator: &Evaluator<'_>, connection: &Connection) -> Vec<String> {
    let wrong = packets(connection).filter_map(|packet| {
        let decision = evaluator.decide(&packet).unwrap();
        let wanted = passes(wall, &packet);
        (decision.passes != wanted).then(|| format!("should pass: {wanted}, but {decision:?} of {packet:#?}"))
    });
    wrong.collect()
}

/// Those who are at an end, and those who nearly are.
fn near<'a>(peers: &'a [Peer], end: &End) -> Vec<&'a Peer> {
    let is_near = |peer: &&Peer| match (peer, end) {
        (Peer::Host { .. }, End::Host) => true,
        (Peer::Behind { interface, .. }, End::Domain { bridge } | End::Machine { bridge, .. }) => interface == bridge,
        _ => false,
    };
    peers.iter().filter(is_near).collect()
}

fn config(cases: u32) -> ProptestConfig {
    ProptestConfig { cases, failure_persistence: None, ..ProptestConfig::default() }
}

proptest! {
    #![proptest_config(config(32))]

    #[test]
    fn every_pair_of_ends_is_decided_as_the_wall_means(wall in random::a_wall(), seed in any::<usize>()) {
        let table = LiveTable::wanted(&wall);
        let (evaluator, peers, contents) = (Evaluator::new(&table), peers(), contents(&wall.openings));
        let everybody: Vec<&Peer> = peers.iter().collect();
        for (number, (client, server)) in pairs(&everybody, &everybody).into_iter().enumerate() {
            let content = &contents[seed.wrapping_add(number.wrapping_mul(7919)) % contents.len()];
            for published in [false, true] {
                let connection = connection(client, server, content, published);
                prop_assert_eq!(wrong(&wall, &evaluator, &connection), [""; 0]);
            }
        }
    }

    #[test]
    fn every_opening_opens_to_its_edges_and_no_further(wall in random::a_wall()) {
        let table = LiveTable::wanted(&wall);
        let (evaluator, peers) = (Evaluator::new(&table), peers());
        for opening in &wall.openings {
            for (a, b) in pairs(&near(&peers, &opening.from), &near(&peers, &opening.to)) {
                for content in contents([opening]) {
                    for (client, server) in [(a, b), (b, a)] {
                        let connection = connection(client, server, &content, false);
                        prop_assert_eq!(wrong(&wall, &evaluator, &connection), [""; 0]);
                    }
                }
            }
        }
    }

    #[test]
    fn a_policy_that_is_removed_cuts_its_connections_both_ways_and_no_others(wall in random::a_wall()) {
        let peers = peers();
        for (number, opening) in wall.openings.iter().enumerate() {
            let mut rest = wall.clone();
            rest.openings.remove(number);
            let table = LiveTable::wanted(&rest);
            let evaluator = Evaluator::new(&table);
            for (client, server) in pairs(&near(&peers, &opening.from), &near(&peers, &opening.to)) {
                // A redirect is dropped whatever it is about.
                for content in contents([opening]).iter().filter(|content| **content != Content::Icmp("redirect")) {
                    let connection = connection(client, server, content, false);
                    if may(&wall, &connection, false) {
                        let stays = may(&rest, &connection, false);
                        prop_assert_eq!(established(&evaluator, &connection), [stays, stays], "{:#?}", connection);
                    }
                }
            }
        }
    }
}

/// What becomes of an open connection, each way. The host's words from the ports of its services pass anyway: they are
/// taken as if they were cut like the rest.
fn established(evaluator: &Evaluator<'_>, connection: &Connection) -> [bool; 2] {
    let passes = |direction| {
        connection.packet(direction, State::Established).map(|packet| evaluator.decide(&packet).unwrap().passes)
    };
    let there = passes(Direction::Original).unwrap_or(true);
    let service = matches!(&connection.packet(Direction::Reply, State::Established),
        Some(packet) if packet.input.is_empty() && is_service_answer(&packet.content));
    let back = if service { Some(there) } else { passes(Direction::Reply) };
    [there, back.unwrap_or(true)]
}

/// One of everything: a domain without the internet, openings of every shape, a bridge of others.
fn wall_of_everything() -> Wall {
    let tcp = Some(Protocol::Tcp);
    Wall {
        bridges: [("net-a", "a"), ("net-b", "b"), ("net-c", "c")].map(|(a, b)| (a.to_owned(), b.to_owned())).into(),
        offline: ["net-c".to_owned()].into(),
        gateways: ["net-a", "net-b", "net-c"].map(|bridge| (bridge.to_owned(), address(bridge, 254))).into(),
        others: ["backup".to_owned()].into(),
        openings: vec![
            opening(machine("net-a", "10.120.0.1"), machine("net-b", "10.120.1.1"), tcp, &[(80, 90)], "a1 -> b1"),
            opening(domain("net-b"), domain("net-c"), None, &[(53, 53)], "b -> c"),
            opening(domain("net-b"), machine("net-a", "10.120.0.2"), Some(Protocol::Udp), &[], "b -> a2"),
            opening(domain("net-c"), domain("net-a"), None, &[], "c -> a"),
            opening(machine("net-a", "10.120.0.1"), End::Host, tcp, &[(22, 22)], "a1 -> host"),
            opening(domain("net-b"), End::Host, None, &[], "b -> host"),
        ],
    }
}

/// Packets that belong to no connection of two peers, or hardly, and whether they pass.
fn odd_packets() -> [(Packet, bool); 4] {
    let machine = |address: &str| Peer::Behind { interface: "net-a".into(), address: address.parse().unwrap() };
    let gateway = |address: &str| Peer::Host { on: "net-a".into(), address: address.parse().unwrap() };
    let to_host = |client: &str, server: &str, content: Content, target_here, state| Packet {
        target_here,
        ..connection(&machine(client), &gateway(server), &content, false).packet(Direction::Original, state).unwrap()
    };
    let dhcp = Content::Ports { protocol: "udp", source: 68, target: 67 };
    let neighbour = |kind| to_host("fd00:a::1", "ff02::1", Content::Icmp(kind), "multicast", State::Untracked);
    let redirect = to_host("fd00:a::1", "fd00:a::fe", Content::Icmp("nd-redirect"), "local", State::New);
    let asks = to_host("0.0.0.0", "255.255.255.255", dhcp, "broadcast", State::New);
    [
        (Packet { way_back: "eth0".into(), ..asks }, true),
        (neighbour("nd-neighbor-solicit"), true),
        (neighbour("nd-router-advert"), false),
        // Conntrack takes it for an error about something that the host has with the machine.
        (Packet { direction: Direction::Reply, state: State::Related, ..redirect }, false),
    ]
}

/// Packets of everybody whom that wall tells apart, with one of everything that it does, and whether they pass.
fn telling_packets(wall: &Wall) -> Vec<(Packet, bool)> {
    let elsewhere = ["net-d", "lab0", "incusbr7", "br0"];
    let third = |peer: &Peer| random::BRIDGES.iter().any(|bridge| peer.address() == address(bridge, 3));
    let tells = |peer: &&Peer| {
        let (Peer::Host { on: place, .. } | Peer::Behind { interface: place, .. }) = peer;
        !elsewhere.contains(&place.as_str()) && !third(peer)
    };
    let peers = peers();
    let tells: Vec<&Peer> = peers.iter().filter(tells).collect();
    let port = |protocol, target| Content::Ports { protocol, source: 50000, target };
    let mut contents: Vec<Content> = [22, 53, 80, 91].map(|target| port("tcp", target)).into();
    contents.extend([53, 67, 91].map(|target| port("udp", target)));
    contents.extend([Content::Icmp("echo-request"), Content::Icmp("redirect"), Content::Other("sctp".into())]);
    let mut telling: Vec<(Packet, bool)> = odd_packets().into();
    for (client, server) in pairs(&tells, &tells) {
        for (content, published) in contents.iter().flat_map(|content| [(content, false), (content, true)]) {
            let connection = connection(client, server, content, published);
            telling.extend(packets(&connection).map(|packet| (packet.clone(), passes(wall, &packet))));
        }
    }
    telling
}

#[test]
fn a_table_without_any_one_of_its_rules_decides_something_wrong() {
    let wall = wall_of_everything();
    let table = LiveTable::wanted(&wall);
    let packets = telling_packets(&wall);
    let is_right = |table: &LiveTable| {
        let evaluator = Evaluator::new(table);
        packets.iter().all(|(packet, passes)| evaluator.decide(packet).unwrap().passes == *passes)
    };
    assert!(is_right(&table));
    for (name, chain) in &table.chains {
        for (index, rule) in chain.rules.iter().enumerate() {
            let mut less = table.clone();
            less.chains.get_mut(name).unwrap().rules.remove(index);
            assert!(!is_right(&less), "nobody misses this rule of chain {name}: {rule:?}");
        }
    }
}
