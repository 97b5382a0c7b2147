//! Who gets whose name and address, by example.

use serde_json::{Value, json};

use super::*;
use crate::incus::call::Call;
use crate::incus::live::Live;
use crate::resolve::desired::Desired;
use crate::resources::fields::{Key, Marks, listed};
use crate::resources::instance::Instances;
use crate::resources::planner::Options;
use crate::resources::{Resource, network, removal, weigh};

pub(crate) fn machine(name: &str, status: &str, device: &Value) -> Found {
    let listed = json!({"name": name, "project": "p", "type": "container", "status": status,
        "profiles": ["default"], "config": {}, "devices": {"eth0": device}});
    Instances.found(&listed).unwrap()
}

pub(crate) fn nic(address: &str) -> Value {
    json!({"type": "nic", "name": "eth0", "network": "net-p", "ipv4.address": address})
}

pub(crate) fn wanted(name: &str, device: &Value) -> Wanted {
    Wanted::bare(Id::within(Kind::Instance, "p", name), "p", listed(&json!({"devices": {"eth0": device}})))
}

fn live(found: impl IntoIterator<Item = Found>) -> Live {
    Live { found: found.into_iter().map(|found| (found.id.clone(), found)).collect(), ..Live::default() }
}

/// Notes and calls of the releases, and the conflicts.
fn exchanged(all: &[Wanted], live: &Live, prune: bool, restart: bool) -> (Vec<(String, Vec<String>)>, Vec<String>) {
    let desired = Desired { infra: "lab".into(), ..Desired::default() };
    let options = Options { prune, restart, ..Options::default() };
    let sides = Sides::new(&desired, live, None, &options, all);
    let orphans = removal::orphans(&sides, &BTreeSet::new());
    let sides = sides.without(&orphans.delete);
    let exchange = exchange(&sides, &weigh::all(&sides), &orphans.delete);
    let words = |calls: &[Call]| calls.iter().map(|call| call.args[..2].join(" ")).collect();
    let actions = exchange.releases.values().map(Release::action);
    let releases = actions.map(|action| (action.note.clone(), words(&action.calls))).collect();
    (releases, exchange.conflicts.into_iter().map(|conflict| conflict.message).collect())
}

#[test]
fn two_that_swap_both_give_up_what_they_have_and_stand_still_meanwhile() {
    let live = live([machine("a", "Running", &nic("10.0.0.1")), machine("b", "Stopped", &nic("10.0.0.2"))]);
    let all = [wanted("a", &nic("10.0.0.2")), wanted("b", &nic("10.0.0.1"))];
    let (releases, conflicts) = exchanged(&all, &live, false, true);
    let for_b = ("for b".to_owned(), vec!["stop a".to_owned(), "config edit".to_owned()]);
    let for_a = ("for a".to_owned(), vec!["config edit".to_owned()]);
    assert_eq!((releases, conflicts), (vec![for_b, for_a], vec![]));
    // Who runs is asked first.
    let conflicts = exchanged(&all, &live, false, false).1;
    assert_eq!(conflicts, ["10.0.0.1 of instance b is still held by instance a"]);
}

#[test]
fn an_address_of_somebody_who_stays_is_a_conflict_and_of_somebody_who_goes_is_free() {
    let mut orphan = machine("a", "Stopped", &nic("10.0.0.1"));
    orphan.marks = Some(Marks { infra: "lab".into(), ..Marks::default() });
    let live = live([orphan, machine("b", "Stopped", &nic("10.0.0.2"))]);
    let all = [wanted("b", &nic("10.0.0.1"))];
    assert_eq!(exchanged(&all, &live, false, true).1, ["10.0.0.1 of instance b is still held by instance a"]);
    assert_eq!(exchanged(&all, &live, true, true), (vec![], vec![]));
}

#[test]
fn a_machine_that_runs_beside_a_copy_of_itself_is_left_alone_until_it_starts_again() {
    let copies =
        |status: &str| live([machine("a", status, &nic("10.0.0.1")), machine("copy", "Stopped", &nic("10.0.0.1"))]);
    let all = [wanted("a", &nic("10.0.0.1"))];
    assert_eq!(exchanged(&all, &copies("Running"), true, true).1, Vec::<String>::new());
    let conflicts = exchanged(&all, &copies("Stopped"), true, true).1;
    assert_eq!(conflicts, ["10.0.0.1 of instance a is still held by instance copy"]);
}

#[test]
fn two_of_one_name_cannot_be_on_one_bridge_even_from_two_projects() {
    let mut other = machine("a", "Stopped", &nic("10.0.0.9"));
    other.id.project = "q".into();
    let conflicts = exchanged(&[wanted("a", &nic("10.0.0.1"))], &live([other]), true, true).1;
    assert_eq!(conflicts, ["the name a on net-p is still held by instance a of q"]);
}

fn bridge(name: &str, address: &str) -> Found {
    let config = json!({"ipv4.address": address, "user.anklume.infra": "lab"});
    let listed = json!({"name": name, "managed": true, "type": "bridge", "config": config});
    network::Networks.found(&listed).unwrap()
}

fn wanted_bridge(name: &str, address: &str) -> Wanted {
    let id = Id::global(Kind::Network, name);
    Wanted { id, fields: listed(&json!({"config": {"ipv4.address": address}})), ..wanted(name, &json!({})) }
}

#[test]
fn a_bridge_gives_up_its_address_for_another_one_and_so_does_one_that_goes() {
    let live = live([bridge("net-a", "10.0.1.254/24"), bridge("net-b", "10.0.2.254/24")]);
    let swapped = [wanted_bridge("net-a", "10.0.2.254/24"), wanted_bridge("net-b", "10.0.1.254/24")];
    let (releases, conflicts) = exchanged(&swapped, &live, false, false);
    assert_eq!(releases.iter().map(|(note, _)| note.as_str()).collect::<Vec<_>>(), ["for net-b", "for net-a"]);
    assert_eq!((releases[0].1.clone(), conflicts), (vec!["network edit".to_owned()], vec![]));
    let new = [wanted_bridge("net-b", "10.0.2.254/24"), wanted_bridge("net-c", "10.0.1.254/24")];
    assert_eq!(exchanged(&new, &live, true, false).0.len(), 1);
    let conflicts = exchanged(&new, &live, false, false).1;
    assert_eq!(conflicts, ["10.0.1.254, the gateway of network net-c, is still held by network net-a"]);
}

#[test]
fn what_cannot_simply_stop_for_another_address_gives_it_up_before_its_bridge_moves() {
    let ours = |name: &str| {
        let marks = Some(Marks { infra: "lab".into(), ..Marks::default() });
        Found { marks, ..machine(name, "Running", &nic("10.0.1.1")) }
    };
    let mut fleeting = ours("a");
    fleeting.fields.insert(Key::Ephemeral, "true".into());
    let all = [wanted_bridge("net-p", "10.0.7.254/24"), wanted("a", &nic("10.0.7.1"))];
    let released = |machine: Found| exchanged(&all, &live([machine, bridge("net-p", "10.0.1.254/24")]), false, true);
    let calls = |calls: &[&str]| vec![("for net-p".to_owned(), calls.iter().map(ToString::to_string).collect())];
    assert_eq!(released(ours("a")), (vec![], vec![]));
    assert_eq!(released(fleeting).0, calls(&["config edit", "stop a", "config edit"]));
    assert_eq!(released(ours("orphan")).0, calls(&["config edit"]), "it runs on");
}

#[test]
fn what_a_disabled_domain_has_comes_free_when_it_is_enabled() {
    let desired = Desired { disabled: ["off".to_owned()].into(), ..Desired::default() };
    let marks = Some(Marks { domain: "off".into(), ..Marks::default() });
    let holder = Found { marks, ..bridge("net-off", "10.0.1.254/24") };
    let (options, live) = (Options::default(), Live::default());
    let sides = Sides::new(&desired, &live, None, &options, &[]);
    let told = conflict(&sides, &wanted_bridge("net-a", "10.0.1.254/24"), "10.0.1.254", &holder);
    assert_eq!(told.help, "it stays as it is while off is disabled: enable off, or give network net-a another one");
}
