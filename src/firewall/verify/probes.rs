//! Picks what is tried: who sends which packet to whom, each once, and what is to become of it.

use std::collections::BTreeMap;
use std::net::IpAddr;

use super::oracle::Oracle;
use super::scene::Scene;
use super::{Expected, Origin, Packet, Probe, Target};
use crate::firewall::syntax::merged;
use crate::firewall::wall::{End, Opening, Wall};
use crate::infra::model::{PortRange, Protocol};

/// Thrown away by whoever gets it: the port of the service `discard`.
const DISCARD: u16 = 9;
/// What is tried between any two ends.
const ANYWHERE: [Packet; 3] = [Packet::Ping, Packet::Tcp(DISCARD), Packet::Udp(DISCARD)];
/// What is tried on one's own gateway.
const SERVICES: [Packet; 5] =
    [Packet::Ping, Packet::Tcp(53), Packet::Udp(53), Packet::Tcp(DISCARD), Packet::Udp(DISCARD)];
/// How many domains get two machines each tried from and to; with more of them it is one.
const FEW_DOMAINS: usize = 12;
/// Other addresses of the host that are tried, the uplink's among them.
const HOST_ADDRESSES: usize = 4;
/// Edges of a policy's ports that are tried.
const EDGES: usize = 8;

/// What is tried, and what of the policies cannot be.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Probes {
    pub(crate) probes: Vec<Probe>,
    /// Policy and reason.
    pub(crate) untried: Vec<(String, String)>,
}

/// Picks. `all`: every machine to every other, every address; otherwise some machines of each domain, and every end of a
/// policy. `filtered` says of a bridge whether its domain has an `acl`.
pub(crate) fn probes(wall: &Wall, scene: &Scene, filtered: &dyn Fn(&str) -> bool, all: bool) -> Probes {
    let oracle = Oracle { wall, scene, filtered };
    let mut picker = Picker { oracle, all, found: BTreeMap::new(), untried: Vec::new() };
    picker.all_machines();
    picker.host_addresses();
    picker.outside_world();
    for opening in &wall.openings {
        picker.policy(opening);
    }
    picker.controls();
    let probe = |((from, to, address, packet), expected)| Probe { from, to, address, packet, expected };
    Probes { probes: picker.found.into_iter().map(probe).collect(), untried: picker.untried }
}

struct Picker<'a> {
    oracle: Oracle<'a>,
    all: bool,
    found: BTreeMap<(Origin, Target, IpAddr, Packet), Expected>,
    untried: Vec<(String, String)>,
}

impl<'a> Picker<'a> {
    /// IPv6 is tried only where it is to be dropped: the filters of the cards drop it anyway, so that no policy can be
    /// seen to open it.
    fn add(&mut self, from: Origin, to: Target, address: IpAddr, packet: Packet) {
        let expected = self.oracle.expected(from, to, address, packet);
        if address.is_ipv4() || matches!(expected, Expected::Drop { .. }) {
            self.found.insert((from, to, address, packet), expected);
        }
    }

    fn add_all(&mut self, from: Origin, to: Target, address: impl Into<IpAddr>, packets: &[Packet]) {
        let address = address.into();
        for packet in packets {
            self.add(from, to, address, *packet);
        }
    }

    /// Between two machines, and by IPv6 too where both have it.
    fn add_pair(&mut self, from: Origin, to: usize, packets: &[Packet]) {
        let target = &self.scene().machines[to];
        self.add_all(from, Target::Machine(to), target.address, packets);
        let Origin::Machine(at) = from else { return };
        if let (Some(_), Some(six)) = (self.scene().machines[at].ipv6, target.ipv6) {
            self.add_all(from, Target::Machine(to), six, packets);
        }
    }

    fn scene(&self) -> &'a Scene {
        self.oracle.scene
    }

    /// Machines of a domain that stand for all of it: those that no policy names, as far as there are any. Only
    /// containers can send.
    fn some_of(&self, home: usize, senders: bool) -> Vec<usize> {
        let machines = self.scene().machines.iter().enumerate();
        let usable = machines.filter(|(_, one)| one.home == home && (!senders || one.pid.is_some()));
        let mut usable: Vec<usize> = usable.map(|(at, _)| at).collect();
        if self.all {
            return usable;
        }
        usable.sort_by_key(|at| (self.is_named(*at), self.scene().machines[*at].pid.is_none()));
        usable.truncate(if self.scene().domains.len() > FEW_DOMAINS { 1 } else { 2 });
        usable
    }

    /// Does a policy name this very machine?
    fn is_named(&self, machine: usize) -> bool {
        let address = self.scene().machines[machine].address;
        let is = |end: &End| matches!(end, End::Machine { address: named, .. } if *named == address);
        self.oracle.wall.openings.iter().any(|opening| is(&opening.from) || is(&opening.to))
    }

    fn all_machines(&mut self) {
        for home in 0..self.scene().domains.len() {
            for to in self.some_of(home, false) {
                self.add_pair(Origin::Host, to, &[Packet::Ping, Packet::Tcp(DISCARD)]);
            }
        }
        for from_home in 0..self.scene().domains.len() {
            for to_home in 0..self.scene().domains.len() {
                for from in self.some_of(from_home, true) {
                    for to in self.some_of(to_home, false).into_iter().filter(|to| *to != from) {
                        self.add_pair(Origin::Machine(from), to, &ANYWHERE);
                    }
                }
            }
        }
    }

    fn host_addresses(&mut self) {
        let scene = self.scene();
        let addresses = if self.all { scene.host.len() } else { HOST_ADDRESSES };
        for home in 0..scene.domains.len() {
            for from in self.some_of(home, true) {
                for (other, domain) in scene.domains.iter().enumerate() {
                    let Some(gateway) = domain.gateway else { continue };
                    let packets = if other == home { &SERVICES[..] } else { &SERVICES[..4] };
                    self.add_all(Origin::Machine(from), Target::Gateway(other), gateway, packets);
                }
                for (at, one) in scene.host.iter().enumerate().take(addresses) {
                    if one.address.is_ipv4() || scene.machines[from].ipv6.is_some() {
                        self.add_all(Origin::Machine(from), Target::Host(at), one.address, &ANYWHERE);
                    }
                }
            }
        }
    }

    fn outside_world(&mut self) {
        let Some(outside) = self.scene().outside else { return };
        for home in 0..self.scene().domains.len() {
            for from in self.some_of(home, true) {
                self.add_all(Origin::Machine(from), Target::Outside, outside, &ANYWHERE[..2]);
            }
        }
    }

    /// A policy: what it opens, and next to it what it does not.
    fn policy(&mut self, opening: &Opening) {
        let senders = self.senders(&opening.from);
        let targets = self.targets(&opening.to, &opening.from);
        let (from, (to, address)) = match (senders, targets) {
            (Ok(from), Ok(to)) => (from, to),
            (Err(why), _) | (_, Err(why)) => {
                self.untried.push((opening.policy.clone(), why));
                return;
            }
        };
        let packets = packets(opening);
        match to {
            Target::Machine(to) => self.add_pair(from, to, &packets),
            _ => self.add_all(from, to, address, &packets),
        }
        let Some(opened) = packets.iter().copied().find(|packet| self.passes(from, to, address, *packet)) else {
            return;
        };
        // Its neighbours, who are in the same domain and not meant; and the way back.
        if let (Origin::Machine(at), End::Machine { .. }) = (from, &opening.from)
            && let Some(neighbour) = self.neighbour(at, true)
        {
            self.add(Origin::Machine(neighbour), to, address, opened);
        }
        let Target::Machine(to) = to else { return };
        if let (End::Machine { .. }, Some(neighbour)) = (&opening.to, self.neighbour(to, false)) {
            self.add_pair(from, neighbour, &[opened]);
        }
        if let (Origin::Machine(from), Some(_)) = (from, self.scene().machines[to].pid) {
            self.add_pair(Origin::Machine(to), from, &[opened]);
        }
    }

    fn passes(&self, from: Origin, to: Target, address: IpAddr, packet: Packet) -> bool {
        matches!(self.oracle.expected(from, to, address, packet), Expected::Pass { .. })
    }

    /// Another machine of the same domain.
    fn neighbour(&self, of: usize, sender: bool) -> Option<usize> {
        let machines = &self.scene().machines;
        let is_one = |at: &usize| {
            *at != of && machines[*at].home == machines[of].home && (!sender || machines[*at].pid.is_some())
        };
        (0..machines.len()).filter(is_one).min_by_key(|at| self.is_named(*at))
    }

    fn senders(&self, end: &End) -> Result<Origin, String> {
        let machine = match end {
            End::Host => return Ok(Origin::Host),
            End::Machine { .. } => self.machine(end)?,
            End::Domain { bridge } => {
                let home = self.home(bridge)?;
                let nobody = || format!("no container of {} is running", self.scene().domains[home].name);
                self.some_of(home, true).into_iter().next().ok_or_else(nobody)?
            }
        };
        let found = &self.scene().machines[machine];
        match found.pid {
            Some(_) => Ok(Origin::Machine(machine)),
            None => Err(format!("{} is a virtual machine, from which nothing can be sent", found.name)),
        }
    }

    /// Who is sent to, and its address. The host is meant at the sender's own gateway.
    fn targets(&self, end: &End, from: &End) -> Result<(Target, IpAddr), String> {
        let machine = match end {
            End::Host => {
                let (End::Domain { bridge } | End::Machine { bridge, .. }) = from else {
                    return Err("both ends are the host".to_owned());
                };
                let home = self.home(bridge)?;
                let gateway = self.scene().domains[home].gateway.ok_or("the gateway is not known")?;
                return Ok((Target::Gateway(home), gateway.into()));
            }
            End::Machine { .. } => self.machine(end)?,
            End::Domain { bridge } => {
                let home = self.home(bridge)?;
                let nobody = || format!("no machine of {} is running", self.scene().domains[home].name);
                self.some_of(home, false).into_iter().next().ok_or_else(nobody)?
            }
        };
        Ok((Target::Machine(machine), self.scene().machines[machine].address.into()))
    }

    fn home(&self, bridge: &str) -> Result<usize, String> {
        let at = self.scene().domains.iter().position(|domain| domain.bridge == bridge);
        at.ok_or_else(|| format!("the bridge {bridge} is not anklume's"))
    }

    fn machine(&self, end: &End) -> Result<usize, String> {
        let End::Machine { bridge, address } = end else { return Err("not a machine".to_owned()) };
        let home = self.home(bridge)?;
        let found = self.scene().machines.iter().position(|one| one.home == home && one.address == *address);
        let skipped = self.scene().skipped.iter().find(|skipped| skipped.address == Some(*address));
        found.ok_or_else(|| match skipped {
            Some(skipped) => format!("{} {}", skipped.name, skipped.why),
            None => format!("nobody has {address}"),
        })
    }

    /// Where nobody can watch the packets arrive, the host asks the same: a target that is silent to everybody shows
    /// nothing.
    fn controls(&mut self) {
        let unwatched = |to: &Target| match to {
            Target::Machine(at) => self.scene().machines[*at].pid.is_none(),
            Target::Outside => true,
            Target::Gateway(_) | Target::Host(_) => false,
        };
        let asked: Vec<_> = self.found.keys().filter(|(_, to, ..)| unwatched(to)).copied().collect();
        for (_, to, address, packet) in asked {
            self.found.entry((Origin::Host, to, address, packet)).or_insert(Expected::Control);
        }
    }
}

/// What shows that a policy opens just what it says: the edges of its ports, what lies beyond them, the other protocol,
/// and a ping.
fn packets(opening: &Opening) -> Vec<Packet> {
    let ranges = match opening.ports.as_slice() {
        [] => vec![PortRange { first: DISCARD, last: DISCARD }],
        ports => merged(ports),
    };
    let both = |port: u16| match opening.protocol {
        Some(Protocol::Tcp) => vec![Packet::Tcp(port)],
        Some(Protocol::Udp) => vec![Packet::Udp(port)],
        None => vec![Packet::Tcp(port), Packet::Udp(port)],
    };
    let inside = ranges.iter().flat_map(|range| [range.first, range.last]).take(EDGES);
    let beyond = ranges.iter().flat_map(|range| [range.first.checked_sub(1), range.last.checked_add(1)]).take(EDGES);
    let mut packets: Vec<Packet> = inside.flat_map(both).collect();
    packets.extend(beyond.flatten().filter(|port| *port > 0).flat_map(both));
    packets.push(match opening.protocol {
        Some(Protocol::Tcp) => Packet::Udp(ranges[0].first),
        Some(Protocol::Udp) | None => Packet::Tcp(ranges[0].first),
    });
    packets.push(Packet::Ping);
    packets
}
