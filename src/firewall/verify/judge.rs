//! Compares what became of the packets with what was to become of them.

use std::collections::BTreeMap;
use std::net::IpAddr;

use super::scene::Scene;
use super::wire::{Shot, Trace, Watcher};
use super::{Expected, Origin, Packet, Probe, Target};

/// What became of a packet.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Seen {
    /// It got there, and an answer came back.
    Answered,
    /// It got there, and the target said nothing: a firewall of its own, or nothing to say.
    Arrived,
    /// It got there, and the answer was lost on its way back.
    AnswerLost,
    /// It left its sender and got nowhere.
    Dropped,
    /// Somebody on the way refused it.
    Rejected,
    /// It never left its sender.
    Unsent(String),
    /// No answer, and nobody to watch at the target.
    Silent,
}

/// How that compares with what was to become of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Verdict {
    AsDeclared,
    /// It passed and was to be dropped.
    Leak,
    /// It was to pass and did not.
    Shut,
    /// It shows nothing, and why.
    Untold(String),
}

/// A packet, and what became of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Finding {
    pub(crate) probe: Probe,
    pub(crate) seen: Seen,
    pub(crate) verdict: Verdict,
}

/// How to send a probe, and who watches.
pub(crate) fn shot(probe: &Probe, scene: &Scene) -> Shot {
    let from = match probe.from {
        Origin::Host => None,
        Origin::Machine(at) => {
            let machine = &scene.machines[at];
            let address = match (probe.address, machine.ipv6) {
                (IpAddr::V6(_), Some(six)) => IpAddr::V6(six),
                _ => IpAddr::V4(machine.address),
            };
            machine.pid.map(|pid| (pid, address))
        }
    };
    Shot { from, to: probe.address, watcher: watcher(probe.to, scene), packet: probe.packet }
}

fn watcher(to: Target, scene: &Scene) -> Watcher {
    match to {
        Target::Machine(at) => scene.machines[at].pid.map_or(Watcher::Nobody, Watcher::Machine),
        Target::Gateway(_) | Target::Host(_) => Watcher::Host,
        Target::Outside => Watcher::Nobody,
    }
}

/// The verdict on every probe; those that only show whether a target answers are left out.
pub(crate) fn judge(probes: &[Probe], traces: &[Trace], scene: &Scene) -> Vec<Finding> {
    let all: Vec<(&Probe, Seen)> =
        probes.iter().zip(traces).map(|(probe, trace)| (probe, seen(probe, trace, watcher(probe.to, scene)))).collect();
    let of_host = all.iter().filter(|(probe, _)| probe.from == Origin::Host);
    let answers: BTreeMap<(Target, IpAddr, Packet), bool> =
        of_host.map(|(probe, seen)| ((probe.to, probe.address, probe.packet), *seen == Seen::Answered)).collect();
    let judged = all.iter().filter(|(probe, _)| probe.expected != Expected::Control);
    judged
        .map(|(probe, seen)| {
            let answers_the_host = answers.get(&(probe.to, probe.address, probe.packet)) == Some(&true);
            let verdict = verdict(&probe.expected, seen, answers_the_host);
            Finding { probe: (*probe).clone(), seen: seen.clone(), verdict }
        })
        .collect()
}

fn seen(probe: &Probe, trace: &Trace, watcher: Watcher) -> Seen {
    if let Some(why) = &trace.unsent {
        return Seen::Unsent(why.clone());
    }
    let of_target = trace.back.filter(|back| back.from == probe.address);
    let is_seen_there = watcher != Watcher::Nobody;
    // The host watches where it takes packets in: what came back from it was seen there, or refused before.
    if trace.arrived || of_target.is_some_and(|back| back.certain || !is_seen_there) {
        return match (of_target, trace.answered) {
            (Some(_), _) => Seen::Answered,
            (None, true) => Seen::AnswerLost,
            (None, false) => Seen::Arrived,
        };
    }
    match (trace.back, probe.from) {
        (Some(_), _) => Seen::Rejected,
        (None, Origin::Machine(_)) if !trace.left => Seen::Unsent("it never left the machine".to_owned()),
        (None, _) if is_seen_there => Seen::Dropped,
        (None, _) => Seen::Silent,
    }
}

fn verdict(expected: &Expected, seen: &Seen, answers_the_host: bool) -> Verdict {
    match (expected, seen) {
        (_, Seen::Unsent(why)) => Verdict::Untold(why.clone()),
        (_, Seen::Silent) if !answers_the_host => Verdict::Untold("it answers nobody, not even the host".to_owned()),
        (Expected::Drop { .. }, Seen::Answered | Seen::Arrived | Seen::AnswerLost) => Verdict::Leak,
        (Expected::Pass { unless_acl: true, .. }, Seen::Dropped | Seen::Rejected | Seen::Silent | Seen::AnswerLost) => {
            Verdict::Untold("an `acl` of the domain may have refused it".to_owned())
        }
        (Expected::Pass { .. }, Seen::Dropped | Seen::Rejected | Seen::Silent | Seen::AnswerLost) => Verdict::Shut,
        (Expected::Drop { .. }, Seen::Dropped | Seen::Rejected | Seen::Silent)
        | (Expected::Pass { .. }, Seen::Answered | Seen::Arrived)
        | (Expected::Control, _) => Verdict::AsDeclared,
    }
}

/// Those that are worth a second look: what was to pass and did not, as a packet can get lost on a busy host.
pub(crate) fn doubtful(findings: &[Finding]) -> impl Iterator<Item = &Finding> {
    findings.iter().filter(|finding| match finding.verdict {
        Verdict::Shut => true,
        Verdict::Untold(_) => matches!(finding.seen, Seen::Silent),
        Verdict::AsDeclared | Verdict::Leak => false,
    })
}
