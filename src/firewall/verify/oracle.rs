//! What is to become of a packet, read straight off the policies and never off the table's rules.

use std::net::IpAddr;

use super::scene::Scene;
use super::{Expected, Origin, Packet, Target};
use crate::firewall::wall::{End, Opening, Wall};
use crate::infra::model::Protocol;

/// The policies, and who is who.
#[derive(Clone, Copy)]
pub(super) struct Oracle<'a> {
    pub(super) wall: &'a Wall,
    pub(super) scene: &'a Scene,
    /// Domains with an `acl`, by bridge.
    pub(super) filtered: &'a dyn Fn(&str) -> bool,
}

/// An end as the policies see it: a bridge and an address, or the host.
#[derive(Clone, Copy)]
enum Seat<'a> {
    On(&'a str, IpAddr),
    Host,
}

impl Oracle<'_> {
    /// The verdict on one packet. `address` is the target's that is meant, of its family.
    pub(super) fn expected(&self, from: Origin, to: Target, address: IpAddr, packet: Packet) -> Expected {
        match (from, to) {
            (Origin::Host, Target::Machine(_)) => self.pass("from the host", from, to),
            (Origin::Host, _) => Expected::Control,
            (Origin::Machine(at), Target::Machine(other)) => self.between(at, other, address, packet),
            (Origin::Machine(at), Target::Gateway(home)) if self.home(at) != home => {
                drop(self.drop_of(at, "the gateway of another domain"))
            }
            (Origin::Machine(at), Target::Gateway(_)) => match service(packet) {
                Some(service) => self.pass(service, from, to),
                None => self.on_host(at, address, packet),
            },
            (Origin::Machine(at), Target::Host(_)) => self.on_host(at, address, packet),
            (Origin::Machine(at), Target::Outside) if self.wall.offline.contains(self.bridge(at)) => {
                drop("internet: false".to_owned())
            }
            (Origin::Machine(_), Target::Outside) => self.pass("internet: true", from, to),
        }
    }

    fn between(&self, from: usize, to: usize, address: IpAddr, packet: Packet) -> Expected {
        let ends = (Origin::Machine(from), Target::Machine(to));
        if self.home(from) == self.home(to) {
            return self.pass("inside one domain", ends.0, ends.1);
        }
        match self.opening(self.seat(from, address), Seat::On(self.bridge(to), address), packet) {
            Some(opening) => self.pass(&format!("policy `{}`", opening.policy), ends.0, ends.1),
            None => drop(self.drop_of(from, "another domain, and no policy opens it")),
        }
    }

    fn on_host(&self, from: usize, address: IpAddr, packet: Packet) -> Expected {
        match self.opening(self.seat(from, address), Seat::Host, packet) {
            Some(opening) => self.pass(&format!("policy `{}`", opening.policy), Origin::Machine(from), Target::Host(0)),
            None => drop(self.drop_of(from, "the host, and no policy opens it")),
        }
    }

    /// The first policy that opens this way.
    fn opening(&self, from: Seat<'_>, to: Seat<'_>, packet: Packet) -> Option<&Opening> {
        let openings = self.wall.openings.iter();
        openings.into_iter().find(|one| is_end(&one.from, from) && is_end(&one.to, to) && carries(one, packet))
    }

    fn pass(&self, why: &str, from: Origin, to: Target) -> Expected {
        let of_origin = match from {
            Origin::Machine(at) => (self.filtered)(self.bridge(at)),
            Origin::Host => false,
        };
        let of_target = match to {
            Target::Machine(at) => (self.filtered)(self.bridge(at)),
            _ => false,
        };
        Expected::Pass { why: why.to_owned(), unless_acl: of_origin || of_target }
    }

    fn drop_of(&self, from: usize, what: &str) -> String {
        format!("from {} to {what}", self.scene.domains[self.home(from)].name)
    }

    fn home(&self, machine: usize) -> usize {
        self.scene.machines[machine].home
    }

    fn bridge(&self, machine: usize) -> &str {
        &self.scene.domains[self.home(machine)].bridge
    }

    /// The machine as a sender, with its address of the same family as the target's.
    fn seat(&self, machine: usize, target: IpAddr) -> Seat<'_> {
        let sender = &self.scene.machines[machine];
        let address = match (target, sender.ipv6) {
            (IpAddr::V6(_), Some(six)) => IpAddr::V6(six),
            _ => IpAddr::V4(sender.address),
        };
        Seat::On(self.bridge(machine), address)
    }
}

fn drop(why: String) -> Expected {
    Expected::Drop { why }
}

/// What every machine gets of its own gateway.
fn service(packet: Packet) -> Option<&'static str> {
    match packet {
        Packet::Ping => Some("service: ping"),
        Packet::Udp(53) | Packet::Tcp(53) => Some("service: DNS"),
        Packet::Tcp(_) | Packet::Udp(_) => None,
    }
}

fn is_end(end: &End, seat: Seat<'_>) -> bool {
    match (end, seat) {
        (End::Host, Seat::Host) => true,
        (End::Domain { bridge }, Seat::On(on, _)) => bridge == on,
        // A policy names a machine by its one IPv4 address.
        (End::Machine { bridge, address }, Seat::On(on, is)) => bridge == on && IpAddr::V4(*address) == is,
        _ => false,
    }
}

/// Only a policy for every protocol carries a ping.
fn carries(opening: &Opening, packet: Packet) -> bool {
    let (protocol, port) = match packet {
        Packet::Ping => return opening.protocol.is_none() && opening.ports.is_empty(),
        Packet::Tcp(port) => (Protocol::Tcp, port),
        Packet::Udp(port) => (Protocol::Udp, port),
    };
    let in_ports = || opening.ports.iter().any(|range| (range.first..=range.last).contains(&port));
    opening.protocol.is_none_or(|one| one == protocol) && (opening.ports.is_empty() || in_ports())
}
