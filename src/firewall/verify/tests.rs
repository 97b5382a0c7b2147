//! What is tried in a small scene, and what is made of what was seen.

use std::collections::BTreeSet;

use serde_json::Value;

use super::judge::{self, Seen, Verdict};
use super::probes::{Probes, probes};
use super::report::{Report, TableState};
use super::scene::{Home, HostAddress, Machine, Scene, Skipped};
use super::wire::{Back, Trace};
use super::{Expected, Origin, Packet, Probe, Target, Trial};
use crate::firewall::sample::{domain, machine, opening};
use crate::firewall::wall::{End, Wall};
use crate::infra::model::Protocol;
use crate::ui::Surface;

fn wall() -> Wall {
    let tcp = Some(Protocol::Tcp);
    Wall {
        bridges: [("net-a", "a"), ("net-b", "b")].map(|(bridge, name)| (bridge.into(), name.into())).into(),
        offline: ["net-b".to_owned()].into(),
        gateways: [("net-a", "10.1.0.254"), ("net-b", "10.2.0.254")]
            .map(|(bridge, address)| (bridge.into(), address.parse().unwrap()))
            .into(),
        others: BTreeSet::new(),
        openings: vec![
            opening(machine("net-a", "10.1.0.1"), machine("net-b", "10.2.0.1"), tcp, &[(80, 80), (8000, 8100)], "web"),
            opening(domain("net-a"), End::Host, tcp, &[(22, 22)], "ssh"),
            opening(domain("net-b"), machine("net-a", "10.1.0.9"), None, &[], "gone"),
        ],
    }
}

fn box_of(name: &str, home: usize, address: &str, pid: Option<u32>) -> Machine {
    Machine { name: name.into(), home, address: address.parse().unwrap(), ipv6: None, pid }
}

/// Two domains: a1, a2 and the virtual machine a3; b1 and b2. One machine is stopped.
fn scene() -> Scene {
    let home = |name: &str, bridge: &str, gateway: &str| Home {
        name: name.into(),
        bridge: bridge.into(),
        gateway: Some(gateway.parse().unwrap()),
    };
    Scene {
        domains: vec![home("a", "net-a", "10.1.0.254"), home("b", "net-b", "10.2.0.254")],
        machines: vec![
            box_of("a1", 0, "10.1.0.1", Some(11)),
            box_of("a2", 0, "10.1.0.2", Some(12)),
            box_of("a3", 0, "10.1.0.3", None),
            box_of("b1", 1, "10.2.0.1", Some(21)),
            box_of("b2", 1, "10.2.0.2", Some(22)),
        ],
        skipped: vec![Skipped {
            domain: "a".into(),
            name: "a9".into(),
            address: Some("10.1.0.9".parse().unwrap()),
            why: "is stopped".into(),
        }],
        host: vec![HostAddress { interface: "up0".into(), address: "198.51.100.1".parse().unwrap() }],
        outside: Some("198.51.100.2".parse().unwrap()),
    }
}

fn picked(scene: &Scene, all: bool) -> Probes {
    probes(&wall(), scene, &|_| false, all)
}

/// `a1 b1 80/tcp`: `pass`, `drop` or `control`.
fn told(scene: &Scene, probes: &[Probe]) -> Vec<(String, &'static str)> {
    let name = |at: usize| scene.machines[at].name.clone();
    let one = |probe: &Probe| {
        let from = if let Origin::Machine(at) = probe.from { name(at) } else { "host".into() };
        let to = match probe.to {
            Target::Machine(at) => name(at),
            Target::Gateway(at) => format!("gateway-{}", scene.domains[at].name),
            Target::Host(_) => "host".into(),
            Target::Outside => "outside".into(),
        };
        let wanted = match probe.expected {
            Expected::Pass { .. } => "pass",
            Expected::Drop { .. } => "drop",
            Expected::Control => "control",
        };
        (format!("{from} {to} {}", probe.packet), wanted)
    };
    probes.iter().map(one).collect()
}

#[track_caller]
fn expect(told: &[(String, &'static str)], expected: &[(&str, &str)]) {
    for (probe, wanted) in expected {
        let found = told.iter().find(|(text, _)| text == probe);
        assert_eq!(found.map(|(_, wanted)| *wanted), Some(*wanted), "{probe} in {told:#?}");
    }
}

#[test]
fn each_pair_of_ends_is_tried_and_the_policies_say_what_is_to_become_of_it() {
    let scene = scene();
    let probes = picked(&scene, false).probes;
    let told = told(&scene, &probes);
    let expected = [
        ("a2 b2 ping", "drop"),
        ("a2 b2 9/tcp", "drop"),
        ("a2 b2 9/udp", "drop"),
        ("b2 a2 ping", "drop"),
        ("a2 a3 ping", "pass"),
        ("a2 gateway-a ping", "pass"),
        ("a2 gateway-a 53/udp", "pass"),
        ("a2 gateway-a 9/tcp", "drop"),
        ("a2 gateway-b ping", "drop"),
        ("a2 gateway-b 53/udp", "drop"),
        ("a2 host ping", "drop"),
        ("a2 outside ping", "pass"),
        ("b2 outside ping", "drop"),
        ("host a2 ping", "pass"),
        ("host b2 9/tcp", "pass"),
        // Nobody can watch there.
        ("host outside ping", "control"),
        ("host a3 9/udp", "control"),
    ];
    expect(&told, &expected);
    assert!(!told.iter().any(|(text, _)| text.starts_with("a3 ")), "nothing can be sent from a virtual machine");
    let unique: BTreeSet<_> = told.iter().map(|(text, _)| text).collect();
    assert_eq!(unique.len(), told.len(), "each once");
}

#[test]
fn a_policy_is_tried_at_the_edges_of_its_ports_and_beyond_and_with_other_ends() {
    let scene = scene();
    let Probes { probes, untried } = picked(&scene, false);
    let expected = [
        ("a1 b1 80/tcp", "pass"),
        ("a1 b1 79/tcp", "drop"),
        ("a1 b1 81/tcp", "drop"),
        ("a1 b1 8000/tcp", "pass"),
        ("a1 b1 8100/tcp", "pass"),
        ("a1 b1 7999/tcp", "drop"),
        ("a1 b1 8101/tcp", "drop"),
        ("a1 b1 80/udp", "drop"),
        ("a1 b1 ping", "drop"),
        ("a2 b1 80/tcp", "drop"),
        ("a1 b2 80/tcp", "drop"),
        ("b1 a1 80/tcp", "drop"),
        ("a2 gateway-a 22/tcp", "pass"),
        ("a2 gateway-a 23/tcp", "drop"),
    ];
    expect(&told(&scene, &probes), &expected);
    assert_eq!(untried, [("gone".to_owned(), "a9 is stopped".to_owned())]);
}

#[test]
fn all_is_every_machine_that_can_send_to_every_other() {
    let scene = scene();
    let told = told(&scene, &picked(&scene, true).probes);
    for from in ["a1", "a2", "b1", "b2"] {
        for to in ["a1", "a2", "a3", "b1", "b2"].into_iter().filter(|to| *to != from) {
            assert!(told.iter().any(|(text, _)| *text == format!("{from} {to} 9/udp")), "{from} {to}");
        }
    }
}

#[test]
fn many_domains_get_one_machine_each_and_many_machines_two() {
    let mut scene = scene();
    let more = (10..60).map(|at| box_of(&format!("a{at}"), 0, &format!("10.1.0.{at}"), Some(at)));
    scene.machines.extend(more);
    let senders = |scene: &Scene| {
        let probes = picked(scene, false).probes;
        let to_gateway = probes.iter().filter(|probe| probe.to == Target::Gateway(1) && probe.packet == Packet::Ping);
        let homes = to_gateway.filter_map(|probe| match probe.from {
            Origin::Machine(at) => Some((scene.machines[at].home, at)),
            Origin::Host => None,
        });
        homes.filter(|(home, _)| *home == 0).count()
    };
    assert_eq!(senders(&scene), 2);
    for number in 0..12 {
        scene.domains.push(Home { name: format!("d{number}"), bridge: format!("net-d{number}"), gateway: None });
    }
    assert_eq!(senders(&scene), 1);
}

#[test]
fn a_policy_cannot_be_seen_through_ipv6_and_what_is_closed_can() {
    let mut scene = scene();
    for (at, machine) in scene.machines.iter_mut().enumerate() {
        machine.ipv6 = Some(format!("fd00::{at}").parse().unwrap());
    }
    let six: Vec<Probe> = picked(&scene, false).probes.into_iter().filter(|probe| probe.address.is_ipv6()).collect();
    assert!(!six.iter().any(|probe| matches!(probe.expected, Expected::Pass { .. })));
    expect(&told(&scene, &six), &[("a2 b2 ping", "drop"), ("a1 b1 80/tcp", "drop")]);
}

fn probe(from: Origin, to: Target, expected: Expected) -> Probe {
    Probe { from, to, address: "10.2.0.1".parse().unwrap(), packet: Packet::Tcp(80), expected }
}

fn pass(unless_acl: bool) -> Expected {
    Expected::Pass { why: "web".into(), unless_acl }
}

fn dropped() -> Expected {
    Expected::Drop { why: "no policy".into() }
}

fn back(from: &str, certain: bool) -> Back {
    Back { from: from.parse().unwrap(), certain }
}

/// One probe and its trace, judged.
fn verdict(probe: &Probe, trace: &Trace) -> (Seen, Verdict) {
    let finding = judge::judge(std::slice::from_ref(probe), std::slice::from_ref(trace), &scene()).remove(0);
    (finding.seen, finding.verdict)
}

#[test]
fn what_a_packet_met_is_told_from_where_it_was_seen() {
    let watched = Target::Machine(3);
    let sent = || Trace { left: true, ..Trace::default() };
    let cases = [
        (sent(), Seen::Dropped, Verdict::Shut, Verdict::AsDeclared),
        (Trace { arrived: true, ..sent() }, Seen::Arrived, Verdict::AsDeclared, Verdict::Leak),
        (
            Trace { arrived: true, answered: true, back: Some(back("10.2.0.1", true)), ..sent() },
            Seen::Answered,
            Verdict::AsDeclared,
            Verdict::Leak,
        ),
        (Trace { arrived: true, answered: true, ..sent() }, Seen::AnswerLost, Verdict::Shut, Verdict::Leak),
        // A refusal in the target's name, by somebody on the way: the target never saw it.
        (Trace { back: Some(back("10.2.0.1", false)), ..sent() }, Seen::Rejected, Verdict::Shut, Verdict::AsDeclared),
        (Trace { back: Some(back("10.1.0.254", false)), ..sent() }, Seen::Rejected, Verdict::Shut, Verdict::AsDeclared),
        // Only the target itself can have accepted it, whatever its watcher missed.
        (Trace { back: Some(back("10.2.0.1", true)), ..sent() }, Seen::Answered, Verdict::AsDeclared, Verdict::Leak),
    ];
    for (trace, seen, when_to_pass, when_to_drop) in cases {
        let from = Origin::Machine(0);
        assert_eq!(verdict(&probe(from, watched, pass(false)), &trace), (seen.clone(), when_to_pass), "{trace:?}");
        assert_eq!(verdict(&probe(from, watched, dropped()), &trace), (seen, when_to_drop), "{trace:?}");
    }
}

#[test]
fn a_packet_that_never_left_its_sender_shows_nothing() {
    for trace in [Trace::default(), Trace { unsent: Some("Network is unreachable".into()), ..Trace::default() }] {
        for expected in [pass(false), dropped()] {
            let (seen, verdict) = verdict(&probe(Origin::Machine(0), Target::Machine(3), expected), &trace);
            assert!(matches!((seen, verdict), (Seen::Unsent(_), Verdict::Untold(_))), "{trace:?}");
        }
    }
}

#[test]
fn where_nobody_watches_the_host_shows_whether_the_target_answers() {
    let silent = Trace { left: true, ..Trace::default() };
    let target = Target::Machine(2);
    let answered = Trace { back: Some(back("10.2.0.1", false)), ..Trace::default() };
    let control = probe(Origin::Host, target, Expected::Control);
    let judged = |trace: &Trace, expected: Expected| {
        let probes = [probe(Origin::Machine(3), target, expected), control.clone()];
        judge::judge(&probes, &[silent.clone(), trace.clone()], &scene()).remove(0).verdict
    };
    assert!(matches!(judged(&silent, pass(false)), Verdict::Untold(_)));
    assert!(matches!(judged(&silent, dropped()), Verdict::Untold(_)));
    assert_eq!(judged(&answered, pass(false)), Verdict::Shut);
    assert_eq!(judged(&answered, dropped()), Verdict::AsDeclared);
}

#[test]
fn a_domain_with_an_acl_may_refuse_what_a_policy_opens() {
    let trace = Trace { left: true, ..Trace::default() };
    let (_, told) = verdict(&probe(Origin::Machine(0), Target::Machine(3), pass(true)), &trace);
    assert!(matches!(told, Verdict::Untold(why) if why.contains("acl")));
    let filtered = probes(&wall(), &scene(), &|bridge| bridge == "net-b", false).probes;
    let of = |to: usize| filtered.iter().find(|probe| probe.from == Origin::Host && probe.to == Target::Machine(to));
    assert!(matches!(of(4).unwrap().expected, Expected::Pass { unless_acl: true, .. }));
    assert!(matches!(of(1).unwrap().expected, Expected::Pass { unless_acl: false, .. }));
}

const PLAIN: Surface = Surface { terminal: false, color: false, width: 100 };

fn trial(verdict: &Verdict, seen: &Seen) -> Trial {
    let probes = picked(&scene(), false).probes;
    let found = |probe: &Probe| {
        let mut finding = judge::Finding { probe: probe.clone(), seen: Seen::Dropped, verdict: Verdict::AsDeclared };
        if probe.from == Origin::Machine(1) && probe.to == Target::Machine(4) {
            (finding.seen, finding.verdict) = (seen.clone(), verdict.clone());
        }
        finding
    };
    let judged = probes.iter().filter(|probe| probe.expected != Expected::Control);
    Trial { findings: judged.map(found).collect(), untried: vec![("gone".into(), "a9 is stopped".into())] }
}

#[test]
fn a_leak_is_named_with_its_pair_and_what_crossed() {
    let (scene, trial) = (scene(), trial(&Verdict::Leak, &Seen::Arrived));
    let report = Report { scene: &scene, trial: &trial, table: TableState::AsWanted };
    assert!(!report.is_good());
    let text = report.text(&PLAIN);
    let line = "  LEAK  a2 -> b2 (10.2.0.2) ping, 9/tcp, 9/udp passed, and was not answered; to be dropped: from a to another \
                domain, and no policy opens it\n";
    assert!(text.contains(line), "{text}");
    assert!(text.contains("\na     open     LEAK     in part"), "{text}");
    assert!(text.contains("\n  a9 of a: it is stopped\n"), "{text}");
    assert!(text.contains("\n  from a3: a virtual machine, nothing can be sent from there\n"), "{text}");
    assert!(text.ends_with("\n3 packets did not go as the policies say.\n"), "{text}");
    let json: Value = serde_json::from_str(&report.json()).unwrap();
    assert_eq!(json["good"], false);
    let leaks = json["probes"].as_array().unwrap().iter().filter(|probe| probe["verdict"] == "leak");
    assert_eq!(leaks.count(), 3);
}

#[test]
fn a_good_trial_of_the_wrong_table_is_not_good() {
    let (scene, trial) = (scene(), trial(&Verdict::AsDeclared, &Seen::Dropped));
    let report = |table| Report { scene: &scene, trial: &trial, table };
    assert!(report(TableState::AsWanted).is_good());
    assert!(!report(TableState::Missing).is_good() && !report(TableState::Differs(Vec::new())).is_good());
    assert!(report(TableState::Missing).text(&PLAIN).contains("table: GONE"));
}

#[test]
fn a_matrix_too_wide_for_the_terminal_is_a_list() {
    let (scene, trial) = (scene(), trial(&Verdict::AsDeclared, &Seen::Dropped));
    let report = Report { scene: &scene, trial: &trial, table: TableState::AsWanted };
    let text = report.text(&Surface { width: 40, ..PLAIN });
    assert!(text.contains("\nfrom b\n") && text.contains("\n  closed   a, other gateways, host, outside\n"), "{text}");
}
