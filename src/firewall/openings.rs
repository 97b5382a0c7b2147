//! The chains of the openings: one for each pair of ends that any policy joins, one to three rules for each policy.

use std::collections::BTreeMap;

use super::syntax::{
    Object, Step, accept, client, comment, ct_protocol, l4proto, original, ports, reply, rule, server,
};
use super::wall::{End, Opening, Wall};
use crate::infra::model::Protocol;

/// After the policy's text, in the comment of the rule that lets its answers pass.
pub(crate) const ANSWERS: &str = " (answers)";
/// The same for ICMP errors about its connections, both ways.
pub(crate) const ERRORS: &str = " (errors)";

/// A pair of ends that has a chain of its own: a verdict map picks it, so that a packet meets the rules of its own
/// pair only, however many domains there are.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Way {
    /// A bridge.
    pub(crate) from: String,
    /// Another bridge; `None`: the host.
    pub(crate) to: Option<String>,
}

impl Way {
    /// The chain's name. `/` is in no interface name, so no two pairs share one; it starts with a letter, else nft could
    /// not read its own listing.
    pub(crate) fn chain(&self) -> String {
        match &self.to {
            Some(to) => format!("from/{}/to/{to}", self.from),
            None => format!("from/{}/to-host", self.from),
        }
    }

    /// The pair that a chain is for; `None` for the other chains.
    pub(crate) fn of_chain(chain: &str) -> Option<Self> {
        let mut parts = chain.strip_prefix("from/")?.split('/');
        match (parts.next(), parts.next(), parts.next(), parts.next()) {
            (Some(from), Some("to-host"), None, None) => Some(Self { from: from.to_owned(), to: None }),
            (Some(from), Some("to"), Some(to), None) => Some(Self { from: from.to_owned(), to: Some(to.to_owned()) }),
            _ => None,
        }
    }
}

/// The openings that need rules, by pair.
pub(super) type Ways<'a> = BTreeMap<Way, Vec<&'a Opening>>;

/// The openings by pair, each in the file's order. Left out is what needs no rule (from the host, inside one bridge) and
/// what no rule may be made for (a bridge that is not anklume's).
pub(super) fn ways(wall: &Wall) -> Ways<'_> {
    let mut ways = Ways::new();
    for opening in &wall.openings {
        let (Some(from), to) = (opening.from.bridge(), opening.to.bridge()) else { continue };
        let ours = |bridge: &str| wall.bridges.contains_key(bridge);
        if ours(from) && to.is_none_or(|to| to != from && ours(to)) {
            let way = Way { from: from.to_owned(), to: to.map(str::to_owned) };
            ways.entry(way).or_default().push(opening);
        }
    }
    ways
}

pub(super) fn rules(way: &Way, openings: &[&Opening]) -> Vec<Object> {
    openings.iter().flat_map(|opening| opening_rules(&way.chain(), opening)).collect()
}

/// Both ends are those of the connection, not of the packet: one match holds for both directions, for what NAT changed,
/// and for ICMP errors, which come from any router on the way.
fn opening_rules(chain: &str, opening: &Opening) -> Vec<Object> {
    let add = |steps: Vec<Step>, suffix: &str| {
        let steps = ends(opening).into_iter().chain(steps).chain([accept()]).collect();
        rule(chain, steps, &comment(&opening.policy, suffix))
    };
    let (header, protocols) = names(opening.protocol);
    if opening.ports.is_empty() {
        let protocol = opening.protocol.map(|_| ct_protocol(protocols));
        return vec![add(protocol.into_iter().collect(), "")];
    }
    // Not `ct original proto-dst`, which would make one rule of the three: nft 1.0.6 prints its sets as
    // "0x16 [invalid type]" and cannot read that again.
    let both = || opening.protocol.is_none().then(|| l4proto(protocols));
    let port =
        |way: Step, field| [way].into_iter().chain(both()).chain([ports(header, field, &opening.ports)]).collect();
    vec![
        add(port(original(), "dport"), ""),
        add(port(reply(), "sport"), ANSWERS),
        add(vec![ct_protocol(protocols), l4proto(&["icmp", "ipv6-icmp"])], ERRORS),
    ]
}

fn ends(opening: &Opening) -> Vec<Step> {
    let from = address(&opening.from).map(client);
    let to = address(&opening.to).map(server);
    from.into_iter().chain(to).collect()
}

fn names(protocol: Option<Protocol>) -> (&'static str, &'static [&'static str]) {
    match protocol {
        Some(Protocol::Tcp) => ("tcp", &["tcp"]),
        Some(Protocol::Udp) => ("udp", &["udp"]),
        None => ("th", &["tcp", "udp"]),
    }
}

fn address(end: &End) -> Option<std::net::Ipv4Addr> {
    match end {
        End::Machine { address, .. } => Some(*address),
        End::Host | End::Domain { .. } => None,
    }
}
