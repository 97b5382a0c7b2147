//! Tries the isolation with real packets, and compares what they met with what the policies say.
//!
//! `scene` is what there is to try, `probes` picks who sends what to whom, `oracle` says what is to become of it, `wire`
//! sends and watches, `judge` compares, `report` shows.

mod ears;
pub(crate) mod judge;
mod matrix;
mod oracle;
mod packet;
pub(crate) mod probes;
pub(crate) mod report;
pub(crate) mod scene;
#[cfg(test)]
mod tests;
pub(crate) mod wire;

use std::fmt;
use std::io;
use std::net::{IpAddr, Ipv4Addr};
use std::time::Duration;

use judge::Finding;
use scene::Scene;

use super::wall::Wall;

/// Who sends.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Origin {
    /// By its place in the scene.
    Machine(usize),
    Host,
}

/// Who is sent to, by its place in the scene.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Target {
    Machine(usize),
    /// The gateway of a domain.
    Gateway(usize),
    /// Another address of the host.
    Host(usize),
    Outside,
}

/// What is sent: never more than this one packet, and what the kernels make of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Packet {
    Ping,
    /// The first packet of a connection to this port.
    Tcp(u16),
    Udp(u16),
}

impl fmt::Display for Packet {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Ping => f.write_str("ping"),
            Self::Tcp(port) => write!(f, "{port}/tcp"),
            Self::Udp(port) => write!(f, "{port}/udp"),
        }
    }
}

/// What is to become of a packet.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Expected {
    /// It passes, by this policy or service. A domain with an `acl` of its own may still refuse it.
    Pass {
        why: String,
        unless_acl: bool,
    },
    Drop {
        why: String,
    },
    /// It shows whether its target answers at all, and is not judged.
    Control,
}

/// One packet to be tried.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Probe {
    pub(crate) from: Origin,
    pub(crate) to: Target,
    /// The target's address that is meant.
    pub(crate) address: IpAddr,
    pub(crate) packet: Packet,
    pub(crate) expected: Expected,
}

/// How long a packet is waited for; on this host it takes less than a millisecond.
const PATIENCE: Duration = Duration::from_millis(600);
/// The same for those that had to pass and did not, before that is called a difference.
const MORE_PATIENCE: Duration = Duration::from_secs(2);

/// What was tried, and what became of it.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Trial {
    pub(crate) findings: Vec<Finding>,
    /// Policies that could not be tried, and why.
    pub(crate) untried: Vec<(String, String)>,
}

/// Takes out of the scene the machines whose namespaces cannot be entered.
pub(crate) fn scout(scene: &mut Scene) -> io::Result<()> {
    let containers = scene.machines.iter().enumerate().filter_map(|(at, one)| Some((at, one.pid?, one.address)));
    let (places, seats): (Vec<usize>, Vec<(u32, Ipv4Addr)>) =
        containers.map(|(at, pid, address)| (at, (pid, address))).unzip();
    let results = wire::scout(&seats)?;
    for (at, result) in places.into_iter().zip(results).rev() {
        if let Err(why) = result {
            scene.skip(at, why);
        }
    }
    Ok(())
}

/// Sends everything and judges it. What had to pass and did not is tried once more.
pub(crate) fn run(wall: &Wall, scene: &Scene, filtered: &dyn Fn(&str) -> bool, all: bool) -> io::Result<Trial> {
    let probes::Probes { probes, untried } = probes::probes(wall, scene, filtered, all);
    let mut findings = judged(&probes, scene, PATIENCE)?;
    let doubtful: Vec<Probe> = judge::doubtful(&findings).map(|finding| finding.probe.clone()).collect();
    if !doubtful.is_empty() {
        let same = |one: &Probe, other: &Probe| {
            (one.to, one.address, one.packet) == (other.to, other.address, other.packet)
                && (one.from == other.from || one.from == Origin::Host)
        };
        let again: Vec<Probe> =
            probes.iter().filter(|probe| doubtful.iter().any(|doubt| same(probe, doubt))).cloned().collect();
        for finding in judged(&again, scene, MORE_PATIENCE)? {
            let before = findings.iter_mut().find(|before| before.probe == finding.probe);
            *before.expect("it was tried before") = finding;
        }
    }
    Ok(Trial { findings, untried })
}

fn judged(probes: &[Probe], scene: &Scene, patience: Duration) -> io::Result<Vec<Finding>> {
    let shots: Vec<wire::Shot> = probes.iter().map(|probe| judge::shot(probe, scene)).collect();
    Ok(judge::judge(probes, &wire::fire(&shots, patience)?, scene))
}
