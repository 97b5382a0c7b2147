//! The rows, each with a test of its name.

use super::ground::Ground;
use super::map::{self, Line};
use super::{FINDINGS, Surprise};

/// What Docker makes when it starts: it drops what it does not know, in a chain after ours.
const DOCKER: &str = "
for family in ip ip6; do
  nft \"add table $family filter
       add chain $family filter FORWARD { type filter hook forward priority 0; policy drop; }
       add chain $family filter DOCKER-USER
       add rule $family filter FORWARD jump DOCKER-USER\"
done";

/// How it is told of a bridge. Its drop is the last word, and no accept of ours could be another.
const TOLD: &str = "
for family in ip ip6; do
  for bridge in net-a net-b; do nft add rule $family filter DOCKER-USER iifname $bridge oifname $bridge accept; done
done";

/// Sends every packet of the map, on every kind of host that makes a difference.
pub(super) fn try_all(ground: &mut Ground) -> Vec<Surprise> {
    let packets = map::packets();
    let (disturbing, all): (Vec<&Line>, Vec<&Line>) = packets.iter().partition(|line| line.disturbs_others());
    let inside: Vec<&Line> = all.iter().copied().filter(|line| line.row == 19).collect();
    let mut surprises = Vec::new();
    let mut host = |when: &str, script: &str, lines: &[&Line]| {
        ground.bed.sh(script).ok();
        let found = ground.surprises(lines);
        surprises.extend(found.iter().map(|(line, outcome)| Surprise::new(line, when, outcome)));
    };
    host("without br_netfilter", &bridged_packets_are_filtered(false), &all);
    host("without br_netfilter, beside Docker", DOCKER, &inside);
    host("with br_netfilter, beside Docker that was told of it", &(bridged_packets_are_filtered(true) + TOLD), &inside);
    host("with br_netfilter", "nft delete table ip filter; nft delete table ip6 filter", &all);
    host("with br_netfilter", "true", &disturbing);
    surprises
}

/// With `br_netfilter`, packets inside a bridge come through the forward hook too.
fn bridged_packets_are_filtered(on: bool) -> String {
    let on = u8::from(on);
    format!("sysctl -qw net.bridge.bridge-nf-call-iptables={on} net.bridge.bridge-nf-call-ip6tables={on}")
}

#[track_caller]
fn row(number: u8) {
    let of_row: Vec<&str> =
        FINDINGS.rows.iter().filter(|found| found.row == number).map(|found| found.what.as_str()).collect();
    assert!(of_row.is_empty(), "row {number} is otherwise than the map says:\n{}", of_row.join("\n"));
    assert!(map::packets().iter().any(|line| line.row == number), "row {number} has no packet");
}

#[test]
fn row_01_machines_of_two_domains_do_not_reach_each_other() {
    row(1);
}

#[test]
fn row_02_nobody_reaches_the_gateway_of_another_domain() {
    row(2);
}

#[test]
fn row_03_the_host_serves_addresses_names_and_echoes_and_nothing_else() {
    row(3);
}

#[test]
fn row_04_no_domain_reaches_another_address_of_the_host() {
    row(4);
}

#[test]
fn row_05_the_names_of_a_domain_are_its_own() {
    row(5);
}

#[test]
fn row_06_nobody_outside_reaches_a_domain_through_the_host() {
    row(6);
}

#[test]
fn row_07_a_published_port_is_reached_from_outside() {
    row(7);
}

#[test]
fn row_08_no_domain_reaches_another_local_network() {
    row(8);
}

#[test]
fn row_09_a_domain_reaches_the_outside_as_the_host_or_not_at_all() {
    row(9);
}

#[test]
fn row_10_a_policy_opens_its_path_and_nothing_beside_it() {
    row(10);
}

#[test]
fn row_11_a_policy_opens_nothing_the_other_way() {
    row(11);
}

#[test]
fn row_12_answers_and_errors_come_back() {
    row(12);
}

#[test]
fn row_13_a_conversation_ends_with_its_policy() {
    row(13);
}

#[test]
fn row_14_nobody_speaks_in_the_name_of_another() {
    row(14);
}

#[test]
fn row_15_no_machine_tells_the_host_where_its_ways_go() {
    row(15);
}

#[test]
fn row_16_the_host_reaches_every_machine() {
    row(16);
}

#[test]
fn row_19_machines_of_one_domain_reach_each_other() {
    row(19);
}
