//! Every rule of the table is there for a packet of the map: without the rule, the packet goes the other way.

use std::collections::BTreeMap;

use serde_json::{Value, json};

use super::FINDINGS;
use super::ground::Ground;
use super::map::{self, Line};

/// The filters of the machines' cards, which Incus makes: they are taken out together.
const CARD: &str = "nic";

/// Loads the table without each rule in turn. What is wrong: rules that no packet of the map needs, and packets that
/// go the same way without the rule that the map gives for them.
pub(super) fn take_each_out(ground: &mut Ground) -> Vec<String> {
    let table = ground.bed.sh("nft -j list table inet anklume").ok().json()["nftables"].as_array().unwrap().clone();
    let filters = ground.bed.sh("nft -j list table bridge incus").ok().json()["nftables"].as_array().unwrap().clone();
    let rules: Vec<String> = table.iter().filter_map(name).collect();
    let packets = map::packets();
    let cases = cases(&packets);
    let mut wrong = mismatches(&rules, &cases);
    ground.bed.write("whole.json", &loaded("inet", &table, &[]));
    ground.bed.write("cards.json", &loaded("bridge", &filters, &[]));
    // The cards last: without their filters, what a machine believes of its neighbours stays wrong for a while.
    let (cards, rules): (Vec<_>, Vec<_>) = cases.into_iter().partition(|(without, _)| without == &[CARD]);
    for (number, (without, lines)) in rules.into_iter().chain(cards).enumerate() {
        let file = format!("without-{number}.json");
        let whole = if without == [CARD] { "cards.json" } else { "whole.json" };
        let part = if without == [CARD] { loaded("bridge", &[], &[]) } else { loaded("inet", &table, &without) };
        ground.bed.write(&file, &part);
        for (line, outcome) in ground.unmoved(&lines, &["nft", "-j", "-f", &file], &["nft", "-j", "-f", whole]) {
            wrong.push(format!("without `{}` it is the same: {line}: {outcome}", without.join("` and `")));
        }
    }
    wrong
}

/// What is taken out, and the packets that go the other way then. What passes needs each of its rules; what is dropped
/// would be dropped by any of them.
fn cases(packets: &[Line]) -> BTreeMap<Vec<&'static str>, Vec<&Line>> {
    let mut cases: BTreeMap<Vec<&str>, Vec<&Line>> = BTreeMap::new();
    for line in packets.iter().filter(|line| !line.rules.is_empty()) {
        if line.passes {
            for rule in &line.rules {
                cases.entry(vec![rule]).or_default().push(line);
            }
        } else {
            cases.entry(line.rules.clone()).or_default().push(line);
        }
    }
    cases
}

/// Rules without a packet, and names of the map without a rule.
fn mismatches(rules: &[String], cases: &BTreeMap<Vec<&str>, Vec<&Line>>) -> Vec<String> {
    let needed = |rule: &&String| cases.keys().any(|without| without == &[rule.as_str()]);
    let there = |name: &&&str| rules.iter().filter(|rule| rule == *name).count() == 1 || **name == CARD;
    let idle = rules.iter().filter(|rule| !needed(rule)).map(|rule| format!("no packet needs the rule `{rule}`"));
    let named = cases.keys().flatten();
    let unknown = named.filter(|name| !there(name)).map(|name| format!("there is not one rule `{name}`"));
    idle.chain(unknown).collect()
}

/// `chain: comment` of a rule.
fn name(object: &Value) -> Option<String> {
    let rule = object.get("rule")?;
    Some(format!("{}: {}", rule["chain"].as_str()?, rule["comment"].as_str().unwrap_or("-")))
}

/// What `nft -j -f` reads: a listed table in place of the one that is there, without the rules of these names.
fn loaded(family: &str, listed: &[Value], without: &[&str]) -> String {
    let table =
        listed.iter().find_map(|object| object.get("table")).map_or("incus", |table| table["name"].as_str().unwrap());
    let table = json!({ "table": { "family": family, "name": table } });
    let stays = |object: &&Value| {
        object.get("metainfo").is_none() && name(object).is_none_or(|name| !without.contains(&name.as_str()))
    };
    let objects = listed.iter().filter(stays).cloned().map(|mut object| {
        for body in object.as_object_mut().unwrap().values_mut() {
            body.as_object_mut().unwrap().remove("handle");
        }
        json!({ "add": object })
    });
    let replaced = [json!({ "add": table }), json!({ "delete": table })];
    json!({ "nftables": replaced.into_iter().chain(objects).collect::<Vec<_>>() }).to_string()
}

#[test]
fn each_rule_is_there_for_a_packet_that_goes_the_other_way_without_it() {
    assert!(FINDINGS.rules.is_empty(), "{}", FINDINGS.rules.join("\n"));
}
