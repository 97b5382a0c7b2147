//! The whole table, from the wall: pure, the same bytes for the same wall.
//!
//! Every base chain first lets go of what is not anklume's. The rest is decided by conntrack's direction, never by its
//! state alone: a packet on its way out must find its policy each time, and an answer passes only while the policy of
//! the connection that it belongs to stands. So a removed policy cuts both directions of what it had allowed, at once.
//! Whatever has no connection (invalid, untracked) matches no direction and ends at the last drop.

use std::collections::{BTreeMap, BTreeSet};
use std::net::Ipv4Addr;

use nftables::batch::Batch;
use nftables::schema::{NfCmd, SetType};
use nftables::types::NfHook;
use serde_json::Value;

use super::openings::{self, Ways};
use super::syntax::{
    Object, Step, Words, accept, base_chain, chain, comment, ct_state, ct_status, drop, element, goto, icmp_type,
    icmpv6_type, iifname, iifname_in, iifname_jump, iifname_not, interfaces_in, interfaces_jump, interfaces_jump_back,
    ip_daddr, l4proto, no_way_back, oifname, oifname_in, oifname_jump, oifname_not, original, pair, ports, reply, rule,
    set, table, target_here, target_not_here, text, way_back_by,
};
use super::wall::Wall;
use crate::infra::model::PortRange;

/// Bridges of other programs: no domain reaches them, nor they a domain, even where Docker or libvirt would allow it.
/// Names, so that the table need not know which exist; an uplink bridge (`br0`, `vmbr0`) matches none of them.
pub(crate) const OTHER_BRIDGES: [&str; 15] = [
    "br-*",
    "cbr*",
    "cni*",
    "docker*",
    "incusbr*",
    "lxcbr*",
    "lxdbr*",
    "mpqemubr*",
    "nerdctl*",
    "podman*",
    "vboxnet*",
    "virbr*",
    "vmnet*",
    "waydroid*",
    "xenbr*",
];

const BRIDGES: &str = "@bridges";
const OFFLINE: &str = "@offline";

/// The table's objects, in the order in which they are made.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Ruleset {
    pub(crate) objects: Vec<Object>,
}

/// The table for this wall.
pub(crate) fn ruleset(wall: &Wall) -> Ruleset {
    let ways = openings::ways(wall);
    let mut objects = sets(wall);
    objects.push(base_chain("forward", NfHook::Forward));
    objects.push(base_chain("input", NfHook::Input));
    objects.push(base_chain("output", NfHook::Output));
    objects.push(chain("outward".to_owned()));
    objects.push(chain("inward".to_owned()));
    objects.extend(ways.keys().map(|way| chain(way.chain())));
    objects.extend(forward(wall, &ways));
    objects.extend(outward(wall));
    objects.extend(inward(wall));
    objects.extend(input(&ways));
    objects.extend(output(&ways));
    objects.extend(ways.iter().flat_map(|(way, openings)| openings::rules(way, openings)));
    Ruleset { objects }
}

/// What `nft -j -f -` reads: one transaction that replaces the table, there or not.
pub(crate) fn batch(wall: &Wall) -> Value {
    let mut batch = emptied();
    batch.add(table());
    for object in ruleset(wall).objects {
        batch.add(object);
    }
    written(batch)
}

/// Takes the table away, there or not.
pub(crate) fn removal() -> Value {
    written(emptied())
}

/// `delete table` alone fails where there is none: it is added first.
fn emptied() -> Batch<'static> {
    let mut batch = Batch::new();
    batch.add(table());
    batch.add_cmd(NfCmd::Delete(table()));
    batch
}

fn written(batch: Batch<'static>) -> Value {
    let mut value = serde_json::to_value(batch.to_nftables()).expect("the crate's types are plain data");
    steady(&mut value);
    value
}

/// One order for what the crate keeps in hash sets, and no empty fields beside an element's value.
pub(super) fn steady(value: &mut Value) {
    match value {
        Value::Array(items) => items.iter_mut().for_each(steady),
        Value::Object(fields) => {
            if fields.contains_key("val") {
                fields.retain(|_, field| !field.is_null());
            }
            if let Some(Value::Array(flags)) = fields.get_mut("flags") {
                flags.sort_by(|a, b| a.as_str().cmp(&b.as_str()));
            }
            fields.values_mut().for_each(steady);
        }
        _ => {}
    }
}

fn sets(wall: &Wall) -> Vec<Object> {
    let bridges = wall.bridges.iter().map(|(bridge, domain)| element(bridge, &comment(domain, ""))).collect();
    let offline = wall.offline.iter().filter(|bridge| wall.bridges.contains_key(*bridge));
    let gateways = gateways(wall).into_iter().map(|(address, bridge)| element(&address.to_string(), bridge));
    vec![
        set("bridges", SetType::Ifname, bridges),
        set("offline", SetType::Ifname, offline.map(|bridge| text(bridge)).collect()),
        set("gateways", SetType::Ipv4Addr, gateways.collect()),
    ]
}

/// Each gateway with the bridge that it is on.
pub(super) fn gateways(wall: &Wall) -> BTreeMap<Ipv4Addr, &str> {
    wall.gateways.iter().map(|(bridge, address)| (*address, bridge.as_str())).collect()
}

/// Packets that the host passes on, from one interface to another.
fn forward(wall: &Wall, ways: &Ways) -> Vec<Object> {
    let within: Vec<Words> = wall.bridges.keys().map(|bridge| pair(text(bridge), text(bridge))).collect();
    let pairs: Vec<(Words, String)> =
        ways.keys().filter_map(|way| Some((pair(text(&way.from), text(way.to.as_deref()?)), way.chain()))).collect();
    let mut rules = Rules::of("forward");
    rules.add(vec![iifname_not(BRIDGES), oifname_not(BRIDGES), accept()], "none of anklume's bridges");
    if !within.is_empty() {
        // Seen here only with br_netfilter, which sends bridged packets through the forward hook.
        let mut inside = match within.as_slice() {
            // nft wants no concatenation where there is nothing but one pair.
            [_] => wall.bridges.keys().flat_map(|bridge| [iifname(bridge), oifname(bridge)]).collect(),
            _ => vec![interfaces_in(within)],
        };
        inside.push(accept());
        rules.add(inside, "inside one domain");
    }
    rules.add(vec![icmp_type("redirect"), drop()], "nobody redirects a route");
    rules.add(vec![iifname(BRIDGES), no_way_back(), drop()], "a source that does not live there");
    if !pairs.is_empty() {
        rules.add(vec![original(), interfaces_jump(pairs.clone())], "openings from domain to domain");
        rules.add(vec![reply(), interfaces_jump_back(pairs)], "answers, while their opening stands");
    }
    rules.add(vec![iifname(BRIDGES), oifname(BRIDGES), drop()], "between domains");
    rules.add(vec![iifname(BRIDGES), goto("outward")], "from a domain to the outside");
    rules.add(vec![goto("inward")], "from the outside into a domain");
    rules.objects
}

fn outward(wall: &Wall) -> Vec<Object> {
    let mut rules = Rules::of("outward");
    rules.add(vec![reply(), ct_status("dnat"), accept()], "answers of a published port");
    rules.add(vec![iifname(OFFLINE), drop()], "internet: false");
    rules.add(vec![oifname_in(other_bridges(wall)), drop()], "other local networks");
    rules.add(vec![original(), accept()], "to the outside");
    rules.add(vec![drop()], "an answer to what was never let in");
    rules.objects
}

fn inward(wall: &Wall) -> Vec<Object> {
    let mut rules = Rules::of("inward");
    if !wall.bridges.is_empty() {
        // Else the outside could answer in the name of a machine that this one has a connection to. Not `@bridges`:
        // for nft the name that `fib` tells is of another type.
        let bridges = wall.bridges.keys().map(|bridge| text(bridge)).collect();
        rules.add(vec![way_back_by(bridges), drop()], "a source that lives in a domain");
    }
    rules.add(vec![original(), ct_status("dnat"), accept()], "a published port");
    rules.add(vec![oifname(OFFLINE), drop()], "internet: false");
    rules.add(vec![iifname_in(other_bridges(wall)), drop()], "other local networks");
    rules.add(vec![reply(), accept()], "answers from the outside");
    rules.add(vec![drop()], "into a domain");
    rules.objects
}

/// Packets to the host itself. `fib daddr . iif type local` holds only for an address of the very bridge that the packet
/// came in on: it closes every other address of the host without naming one.
fn input(ways: &Ways) -> Vec<Object> {
    let mut rules = Rules::of("input");
    rules.add(vec![iifname_not(BRIDGES), accept()], "none of anklume's bridges");
    // Before the answers: conntrack takes a redirect about a connection of the host for related to it.
    rules.add(vec![icmp_type("redirect"), drop()], "nobody redirects a route");
    rules.add(vec![icmpv6_type(&["nd-redirect"]), drop()], "nobody redirects an IPv6 route");
    rules.add(vec![target_here(&["local", "broadcast"]), ports("udp", "dport", &one(67)), accept()], "service: DHCP");
    // Neighbour discovery has no connection: conntrack leaves it untracked. No router advertisement, no redirect.
    rules.add(
        vec![
            target_here(&["local", "multicast"]),
            icmpv6_type(&["nd-router-solicit", "nd-neighbor-solicit", "nd-neighbor-advert"]),
            accept(),
        ],
        "service: IPv6 neighbour discovery",
    );
    // After DHCP and neighbour discovery, which may come from no address at all; before the answers, which a machine
    // could give in the name of another domain's, or of the outside.
    rules.add(vec![no_way_back(), drop()], "a source that does not live there");
    rules.add(
        vec![reply(), ct_state(&["related"]), target_not_here(), drop()],
        "errors about what the host has with others",
    );
    rules.add(vec![reply(), accept()], "answers to the host");
    rules.add(
        vec![target_here(&["local"]), l4proto(&["tcp", "udp"]), ports("th", "dport", &one(53)), accept()],
        "service: DNS",
    );
    rules.add(vec![target_here(&["local"]), icmp_type("echo-request"), accept()], "service: ping");
    rules.add(vec![target_here(&["local"]), icmpv6_type(&["echo-request"]), accept()], "service: IPv6 ping");
    rules.add(vec![ip_daddr("@gateways"), target_not_here(), drop()], "gateways of other domains");
    let to_host = to_host(ways);
    if !to_host.is_empty() {
        rules.add(vec![original(), iifname_jump(to_host)], "openings to the host");
    }
    rules.add(vec![drop()], "to the host");
    rules.objects
}

/// Packets of the host itself: what it opens passes; what it answers passes while that opening or service stands.
fn output(ways: &Ways) -> Vec<Object> {
    let mut rules = Rules::of("output");
    rules.add(vec![oifname_not(BRIDGES), accept()], "none of anklume's bridges");
    rules.add(vec![original(), accept()], "from the host");
    rules.add(vec![ct_state(&["invalid", "untracked"]), accept()], "from the host, such as IPv6 neighbour discovery");
    // ICMP errors and TCP resets that the kernel makes, also about connections that it forwards.
    rules.add(vec![ct_state(&["related"]), accept()], "errors");
    rules.add(vec![l4proto(&["tcp", "udp"]), ports("th", "sport", &one(53)), accept()], "service: DNS");
    rules.add(vec![ports("udp", "sport", &one(67)), accept()], "service: DHCP");
    rules.add(vec![icmp_type("echo-reply"), accept()], "service: ping");
    rules.add(vec![icmpv6_type(&["echo-reply"]), accept()], "service: IPv6 ping");
    let to_host = to_host(ways);
    if !to_host.is_empty() {
        rules.add(vec![oifname_jump(to_host)], "answers, while their opening stands");
    }
    rules.add(vec![drop()], "answers of the host");
    rules.objects
}

fn to_host(ways: &Ways) -> Vec<(Words, String)> {
    ways.keys().filter(|way| way.to.is_none()).map(|way| (text(&way.from), way.chain())).collect()
}

/// The well-known names and those of the wall.
fn other_bridges(wall: &Wall) -> Vec<Words> {
    let all: BTreeSet<&str> = OTHER_BRIDGES.into_iter().chain(named_others(wall)).collect();
    all.into_iter().map(text).collect()
}

/// Bridges of others that have to be named; what a pattern covers is left out, since nft refuses overlaps.
pub(super) fn named_others(wall: &Wall) -> impl Iterator<Item = &str> {
    let known = |name: &String| OTHER_BRIDGES.iter().any(|pattern| name.starts_with(pattern.trim_end_matches('*')));
    let named = wall.others.iter().filter(move |name| !known(name) && !wall.bridges.contains_key(*name));
    named.map(String::as_str)
}

fn one(port: u16) -> [PortRange; 1] {
    [PortRange { first: port, last: port }]
}

/// Rules of one chain, in order.
struct Rules {
    chain: &'static str,
    objects: Vec<Object>,
}

impl Rules {
    fn of(chain: &'static str) -> Self {
        Self { chain, objects: Vec::new() }
    }

    fn add(&mut self, steps: Vec<Step>, about: &str) {
        self.objects.push(rule(self.chain, steps, about));
    }
}
