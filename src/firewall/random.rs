//! Random walls, for what has to hold for every one of them.

use std::collections::BTreeSet;
use std::net::Ipv4Addr;

use proptest::collection::vec;
use proptest::prelude::*;
use proptest::sample::{select, subsequence};

use super::wall::{End, Opening, Wall};
use crate::infra::model::{PortRange, Protocol};

/// The bridges that a random wall may have, and the number of each.
pub(super) const BRIDGES: [&str; 4] = ["net-a", "net-b", "net-c", "net-d"];
/// Bridges of others that it may name; the last one is covered by a well-known pattern.
pub(super) const OTHERS: [&str; 3] = ["backup", "lab0", "incusbr7"];

/// The address of a machine or, with 254, of the gateway.
pub(super) fn address(bridge: &str, part: u8) -> Ipv4Addr {
    let number = BRIDGES.iter().position(|known| *known == bridge).unwrap_or(99);
    Ipv4Addr::new(10, 120, u8::try_from(number).unwrap(), part)
}

/// Up to four domains and up to eight openings of every shape, ends on bridges that are not there among them.
pub(super) fn a_wall() -> impl Strategy<Value = Wall> {
    let bridges = subsequence(BRIDGES.to_vec(), 1..=4);
    let some = |of: &[&'static str]| subsequence(of.to_vec(), 0..=of.len());
    (bridges, some(&BRIDGES), some(&BRIDGES), some(&OTHERS), vec(an_opening(), 0..8)).prop_map(
        |(bridges, offline, no_gateway, others, openings)| {
            let owned = |names: &[&str]| names.iter().map(|name| (*name).to_owned()).collect::<BTreeSet<String>>();
            let gateway = |bridge: &&&str| !no_gateway.contains(bridge) || bridge.ends_with('a');
            Wall {
                bridges: bridges.iter().map(|bridge| ((*bridge).to_owned(), bridge[4..].to_owned())).collect(),
                offline: owned(&offline),
                gateways: bridges
                    .iter()
                    .filter(gateway)
                    .map(|bridge| ((*bridge).to_owned(), address(bridge, 254)))
                    .collect(),
                others: owned(&others),
                openings: numbered(openings),
            }
        },
    )
}

/// A text of its own for each, but for the last two, and one that has to be cut.
fn numbered(mut openings: Vec<Opening>) -> Vec<Opening> {
    let count = openings.len();
    for (number, opening) in openings.iter_mut().enumerate() {
        let text = if number % 3 == 2 { "so on ".repeat(30) } else { "a \"word\" (answers)".into() };
        opening.policy = format!("{} -> x: {text}", number.min(count.saturating_sub(2)));
    }
    openings
}

fn an_opening() -> impl Strategy<Value = Opening> {
    let protocol = prop_oneof![Just(None), Just(Some(Protocol::Tcp)), Just(Some(Protocol::Udp))];
    (an_end(), an_end(), protocol, vec(a_range(), 0..4)).prop_map(|(from, to, protocol, ports)| Opening {
        from,
        to,
        protocol,
        ports,
        policy: String::new(),
    })
}

fn an_end() -> impl Strategy<Value = End> {
    let bridge = || prop_oneof![9 => select(BRIDGES.to_vec()), 1 => Just("net-gone")];
    prop_oneof![
        1 => Just(End::Host),
        2 => bridge().prop_map(|bridge| End::Domain { bridge: bridge.into() }),
        3 => (bridge(), 1..=2u8).prop_map(|(bridge, part)| End::Machine {
            bridge: bridge.into(),
            address: address(bridge, part),
        }),
    ]
}

/// Ranges that touch, overlap and reach the ends of what there is.
fn a_range() -> impl Strategy<Value = PortRange> {
    let edge = || select(vec![1, 22, 52, 53, 54, 67, 79, 80, 81, 443, 8000, 8100, 65534, 65535]);
    (edge(), edge()).prop_map(|(a, b): (u16, u16)| PortRange { first: a.min(b), last: a.max(b) })
}
