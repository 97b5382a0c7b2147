//! Whose a packet is that was seen, and how many go at once.

use super::*;

const SENDER: u32 = 1;
const TARGET: u32 = 2;
const NEIGHBOUR: u32 = 3;

fn address(text: &str) -> IpAddr {
    text.parse().unwrap()
}

/// A connection to port 80 of a machine, from source port 20000.
fn shot() -> Shot {
    let from = Some((SENDER, address("10.1.0.1")));
    Shot { from, to: address("10.2.0.1"), watcher: Watcher::Machine(TARGET), packet: Packet::Tcp(80) }
}

fn header(source: &str, source_port: u16, target: &str, target_port: u16, reset: bool) -> Header {
    let (source, target) = (address(source), Some(address(target)));
    Header { source, target, source_port, target_port, kind: Kind::Tcp { reset } }
}

fn noted(shot: Shot, seen: &[(Place, Seen)]) -> Trace {
    let shots = [shot];
    let mut wave = Wave { shots: &shots, traces: vec![Trace::default()], tags: BTreeMap::from([(20_000, 0)]) };
    for (place, seen) in seen {
        wave.note(*place, *seen);
    }
    wave.traces.remove(0)
}

#[test]
fn a_packet_is_known_by_its_ports_though_its_source_was_translated() {
    let request = Seen::Packet(header("10.2.0.254", 20_000, "10.2.0.1", 80, false));
    let answer = Seen::Packet(header("10.2.0.1", 80, "10.1.0.1", 20_000, true));
    let trace = noted(shot(), &[(Place::Machine(TARGET), request), (Place::Machine(SENDER), answer)]);
    let back = Some(Back { from: address("10.2.0.1"), certain: false });
    assert_eq!(trace, Trace { arrived: true, back, ..Trace::default() });
}

#[test]
fn what_others_say_or_see_is_nobodys() {
    let request = Seen::Packet(header("10.1.0.1", 20_000, "10.2.0.1", 80, false));
    let other_target = Seen::Packet(header("10.1.0.1", 20_000, "10.2.0.9", 80, false));
    let other_port = Seen::Packet(header("10.1.0.1", 20_000, "10.2.0.1", 81, false));
    let other_answer = Seen::Packet(header("10.2.0.9", 80, "10.1.0.1", 20_000, false));
    let at = Place::Machine(TARGET);
    let seen = [(Place::Machine(NEIGHBOUR), request), (at, other_target), (at, other_port), (at, other_answer)];
    assert_eq!(noted(shot(), &seen), Trace::default());
}

#[test]
fn an_error_about_a_packet_comes_back_from_whoever_says_it() {
    let about = header("10.1.0.1", 20_000, "10.2.0.1", 80, false);
    let router = Seen::Error { from: address("10.1.0.254"), about };
    let trace = noted(shot(), &[(Place::Machine(SENDER), router)]);
    assert_eq!(trace.back, Some(Back { from: address("10.1.0.254"), certain: false }));
}

#[test]
fn the_host_takes_in_requests_and_hears_answers() {
    let to_host = Shot { watcher: Watcher::Host, to: address("10.1.0.254"), ..shot() };
    let place = |from: &str| Place::Host { from: address(from), to: None, protocol: Wire::Tcp };
    let request = Seen::Packet(header("10.1.0.1", 20_000, "10.1.0.254", 80, false));
    assert!(noted(to_host, &[(place("10.1.0.1"), request)]).arrived);
    let of_host = Shot { from: None, ..shot() };
    let answer = Seen::Packet(header("10.2.0.1", 80, "10.2.0.254", 20_000, false));
    assert!(noted(of_host, &[(place("10.2.0.1"), answer)]).back.is_some());
}

#[test]
fn so_many_go_at_once_as_files_can_be_open() {
    let shots: Vec<Shot> = (0..3000).map(|at| Shot { watcher: Watcher::Machine(at), ..shot() }).collect();
    assert_eq!(first_wave(&shots, usize::MAX).len(), WAVE);
    // One for the sender's ear, and two for each packet.
    assert_eq!(first_wave(&shots, 101).len(), 50);
    assert_eq!(first_wave(&shots, 1).len(), 1, "it goes on, however few");
    assert_eq!(first_wave(&shots[..7], usize::MAX).len(), 7);
}
