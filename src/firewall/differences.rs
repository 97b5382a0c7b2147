//! What a plan would change in the table, in the words of the file.

use std::collections::{BTreeMap, BTreeSet};

use super::evaluate::text::written;
use super::live::{LiveChain, LiveRule, LiveTable, NamedSet};
use super::openings::{Way, ways};
use super::ruleset::{gateways, named_others};
use super::syntax::{comment, merged};
use super::wall::{Opening, Wall};
use super::words;
use crate::plan::{Field, Impact};

/// From one wall to another.
pub(super) fn of_walls(live: &Wall, wanted: &Wall) -> Vec<Field> {
    let bridges = |wall: &Wall| keyed(wall.bridges.keys(), |bridge| words::bridge(wall, bridge));
    let offline = |wall: &Wall| {
        let ours = wall.offline.iter().filter(|bridge| wall.bridges.contains_key(*bridge));
        keyed(ours, |bridge| words::bridge(wall, bridge))
    };
    let gateways = |wall: &Wall| {
        let each = gateways(wall).into_iter();
        each.map(|(address, bridge)| (address.to_string(), format!("{address} on {bridge}"))).collect()
    };
    let others = |wall: &Wall| named_others(wall).map(|name| (name.to_owned(), name.to_owned())).collect();
    let mut fields = each_changed("kept apart", &bridges(live), &bridges(wanted));
    fields.extend(each_changed("no internet", &offline(live), &offline(wanted)));
    fields.extend(each_changed("gateway", &gateways(live), &gateways(wanted)));
    fields.extend(each_changed("closed to all", &others(live), &others(wanted)));
    fields.extend(openings(live, wanted));
    fields
}

fn keyed<'a>(names: impl Iterator<Item = &'a String>, told: impl Fn(&str) -> String) -> BTreeMap<String, String> {
    names.map(|name| (name.clone(), told(name))).collect()
}

fn each_changed(key: &str, live: &BTreeMap<String, String>, wanted: &BTreeMap<String, String>) -> Vec<Field> {
    let names: BTreeSet<&String> = live.keys().chain(wanted.keys()).collect();
    let changed = names.into_iter().filter(|name| live.get(*name) != wanted.get(*name));
    changed.map(|name| field(key, live.get(name).cloned(), wanted.get(name).cloned())).collect()
}

fn field(key: impl Into<String>, before: Option<String>, after: Option<String>) -> Field {
    Field { key: key.into(), before, after, impact: Impact::Live }
}

/// The policies of each pair of ends.
fn openings(live: &Wall, wanted: &Wall) -> Vec<Field> {
    let (live, wanted) = (by_way(live), by_way(wanted));
    let ways: BTreeSet<&Way> = live.keys().chain(wanted.keys()).collect();
    let none = Vec::new();
    let of = |side: &BTreeMap<Way, Vec<Opening>>, way: &Way| side.get(way).unwrap_or(&none).clone();
    ways.into_iter().flat_map(|way| of_one_way(of(&live, way), of(&wanted, way))).collect()
}

/// As the table has them: ports merged, texts cut, and only those that have rules.
fn by_way(wall: &Wall) -> BTreeMap<Way, Vec<Opening>> {
    let plain = |opening: &&Opening| Opening {
        ports: merged(&opening.ports),
        policy: comment(&opening.policy, ""),
        ..(*opening).clone()
    };
    ways(wall).into_iter().map(|(way, openings)| (way, openings.iter().map(plain).collect())).collect()
}

fn of_one_way(mut live: Vec<Opening>, mut wanted: Vec<Opening>) -> Vec<Field> {
    if live == wanted {
        return Vec::new();
    }
    let told = |openings: &[Opening]| openings.iter().map(words::policy).collect::<Vec<_>>().join("; ");
    let orders = (told(&live), told(&wanted));
    let mut fields = Vec::new();
    let _ = take_pairs(&mut live, &mut wanted, |a, b| a == b);
    let ends = |a: &Opening, b: &Opening| a.from == b.from && a.to == b.to;
    // The same words with other ports, then the same way under other words.
    let mut pairs = take_pairs(&mut live, &mut wanted, |a, b| ends(a, b) && a.policy == b.policy);
    pairs.extend(take_pairs(&mut live, &mut wanted, |a, b| {
        ends(a, b) && a.protocol == b.protocol && a.ports == b.ports
    }));
    for (before, after) in pairs {
        fields.push(field("policy", Some(words::policy(&before)), Some(words::policy(&after))));
    }
    fields.extend(live.iter().map(|gone| field("policy", Some(words::policy(gone)), None)));
    fields.extend(wanted.iter().map(|new| field("policy", None, Some(words::policy(new)))));
    if fields.is_empty() {
        fields.push(field("order of policies", Some(orders.0), Some(orders.1)));
    }
    fields
}

/// Takes out of both lists what belongs together, in order.
fn take_pairs(
    live: &mut Vec<Opening>,
    wanted: &mut Vec<Opening>,
    same: impl Fn(&Opening, &Opening) -> bool,
) -> Vec<(Opening, Opening)> {
    let mut pairs = Vec::new();
    let mut rest = Vec::new();
    for before in live.drain(..) {
        match wanted.iter().position(|after| same(&before, after)) {
            Some(at) => pairs.push((before, wanted.remove(at))),
            None => rest.push(before),
        }
    }
    *live = rest;
    pairs
}

/// From a table to the one that anklume makes of the same wall: rules, chains and sets that were changed in it.
pub(super) fn of_tables(live: &LiveTable, made: &LiveTable) -> Vec<Field> {
    let mut fields = Vec::new();
    for name in live.sets.keys().chain(made.sets.keys()).collect::<BTreeSet<_>>() {
        fields.extend(set(name, live.sets.get(name), made.sets.get(name)));
    }
    for name in live.chains.keys().chain(made.chains.keys()).collect::<BTreeSet<_>>() {
        fields.extend(chain(name, live.chains.get(name), made.chains.get(name)));
    }
    fields.extend(live.strangers.iter().map(|stranger| field("not anklume's", Some(stranger.to_string()), None)));
    fields
}

fn set(name: &str, live: Option<&NamedSet>, made: Option<&NamedSet>) -> Option<Field> {
    let told = |set: &NamedSet| {
        let elements: Vec<&str> = set.elements.keys().map(String::as_str).collect();
        format!("{{ type {}; elements = {{ {} }} }}", set.of.as_str().unwrap_or("?"), elements.join(", "))
    };
    (live != made).then(|| field(format!("set {name}"), live.map(told), made.map(told)))
}

fn chain(name: &str, live: Option<&LiveChain>, made: Option<&LiveChain>) -> Vec<Field> {
    let (Some(live), Some(made)) = (live, made) else {
        let told = |chain: &LiveChain| format!("{} rules", chain.rules.len());
        return vec![field(format!("chain {name}"), live.map(told), made.map(told))];
    };
    let mut fields = Vec::new();
    if live.base != made.base {
        let told = |chain: &LiveChain| {
            let words = chain.base.iter().map(|(key, value)| format!("{key} {}", value.to_string().trim_matches('"')));
            Some(words.collect::<Vec<_>>().join(" ")).filter(|words| !words.is_empty())
        };
        fields.push(field(format!("chain {name}"), told(live), told(made)));
    }
    for (before, after) in rule_changes(&live.rules, &made.rules) {
        let what = match (before, after) {
            (Some(_), None) => "added",
            (None, Some(_)) => "removed",
            _ => "changed",
        };
        fields.push(field(format!("chain {name}, rule {what}"), before.map(rule), after.map(rule)));
    }
    fields
}

fn rule(rule: &LiveRule) -> String {
    match &rule.comment {
        Some(comment) => format!("{} comment \"{comment}\"", written(rule)),
        None => written(rule),
    }
}

type RuleChange<'a> = (Option<&'a LiveRule>, Option<&'a LiveRule>);

/// What has to be done to make one list of rules the other: as little as possible, in order.
fn rule_changes<'a>(live: &'a [LiveRule], made: &'a [LiveRule]) -> Vec<RuleChange<'a>> {
    let same = live.iter().zip(made).take_while(|(a, b)| a == b).count();
    let (live, made) = (&live[same..], &made[same..]);
    let longest = longest_in_common(live, made);
    let (mut changes, mut a, mut b) = (Vec::new(), 0, 0);
    while a < live.len() || b < made.len() {
        // Rules that stand in the place of others are told as one change each.
        let (start_a, start_b) = (a, b);
        while (a < live.len() || b < made.len()) && (a == live.len() || b == made.len() || live[a] != made[b]) {
            let skip_live = a < live.len() && (b == made.len() || longest[a + 1][b] >= longest[a][b + 1]);
            if skip_live { a += 1 } else { b += 1 }
        }
        let (gone, new) = (&live[start_a..a], &made[start_b..b]);
        let count = gone.len().max(new.len());
        changes.extend((0..count).map(|at| (gone.get(at), new.get(at))));
        if a < live.len() && b < made.len() {
            (a, b) = (a + 1, b + 1);
        }
    }
    changes
}

/// How many rules the rest of both lists have in common, from each place in both.
fn longest_in_common(live: &[LiveRule], made: &[LiveRule]) -> Vec<Vec<usize>> {
    let mut longest = vec![vec![0; made.len() + 1]; live.len() + 1];
    for a in (0..live.len()).rev() {
        for b in (0..made.len()).rev() {
            longest[a][b] =
                if live[a] == made[b] { longest[a + 1][b + 1] + 1 } else { longest[a + 1][b].max(longest[a][b + 1]) };
        }
    }
    longest
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::firewall::live::parse_live;
    use crate::firewall::readback::readback;
    use crate::firewall::sample::{self, domain, machine, opening};
    use crate::infra::model::Protocol;
    use serde_json::{Value, json};

    /// `policy: a -> b`, one for each field.
    fn told(fields: &[Field]) -> Vec<String> {
        let shown = |text: &Option<String>| text.clone().unwrap_or_else(|| "-".into());
        fields
            .iter()
            .map(|field| format!("{}: {} => {}", field.key, shown(&field.before), shown(&field.after)))
            .collect()
    }

    fn changed(change: impl FnOnce(&mut Wall)) -> Vec<String> {
        let mut wanted = sample::wall();
        change(&mut wanted);
        let live = readback(&LiveTable::wanted(&sample::wall()));
        assert_eq!(live.altered, []);
        told(&of_walls(&live.wall, &wanted))
    }

    #[test]
    fn nothing_differs_where_nothing_was_changed() {
        assert_eq!(changed(|_| {}), [""; 0]);
    }

    #[test]
    fn a_bridge_that_comes_and_one_that_goes_are_named_with_their_domains() {
        let told = changed(|wall| {
            wall.bridges.insert("net-new".into(), "new".into());
            wall.gateways.insert("net-new".into(), [10, 150, 0, 254].into());
            wall.bridges.remove("net-dmz");
            wall.gateways.remove("net-dmz");
        });
        let expected = [
            "kept apart: dmz (net-dmz) => -",
            "kept apart: - => new (net-new)",
            "no internet: dmz (net-dmz) => -",
            "gateway: 10.120.0.254 on net-dmz => -",
            "gateway: - => 10.150.0.254 on net-new",
            "policy: pro-dev -> dmz-web: the 'web' server (tcp 80, 443, 8000-8100) => -",
            "policy: pro -> dmz: names (tcp and udp 53) => -",
        ];
        assert_eq!(told, expected);
    }

    #[test]
    fn a_domain_that_loses_or_gets_the_internet_is_named() {
        let told = changed(|wall| wall.offline = ["net-pro".to_owned()].into());
        assert_eq!(told, ["no internet: dmz (net-dmz) => -", "no internet: - => pro (net-pro)"]);
        let told = changed(|wall| wall.others = ["docker7".to_owned(), "lab0".to_owned()].into());
        assert_eq!(told, ["closed to all: backup => -", "closed to all: - => lab0"]);
    }

    #[test]
    fn each_policy_that_is_added_removed_or_changed_is_named() {
        let told = changed(|wall| {
            wall.openings.remove(4);
            wall.openings[0].ports.truncate(2);
            wall.openings[2].policy = "pro -> perso: films".into();
            let new =
                opening(domain("net-dmz"), machine("net-pro", "10.110.0.2"), Some(Protocol::Tcp), &[(631, 631)], "");
            wall.openings.push(Opening { policy: "dmz -> pro-print: paper".into(), ..new });
        });
        let expected = [
            "policy: - => dmz -> pro-print: paper (tcp 631)",
            "policy: pro-dev -> host: ssh (tcp 22) => -",
            "policy: pro-dev -> dmz-web: the 'web' server (tcp 80, 443, 8000-8100) => \
             pro-dev -> dmz-web: the 'web' server (tcp 80, 443)",
            "policy: pro -> perso: streams (udp, all ports) => pro -> perso: films (udp, all ports)",
        ];
        assert_eq!(told, expected);
        let told = changed(|wall| wall.openings.swap(0, 1));
        assert!(told[0].starts_with("order of policies: ") && told.len() == 1, "{told:#?}");
    }

    /// What nft lists of the sample table, changed by hand.
    fn by_hand(change: impl FnOnce(&mut Vec<Value>)) -> Vec<String> {
        let sent = crate::firewall::ruleset::batch(&sample::wall());
        let mut objects: Vec<Value> =
            sent["nftables"].as_array().unwrap()[2..].iter().map(|object| object["add"].clone()).collect();
        change(&mut objects);
        let listed = serde_json::to_vec(&json!({ "nftables": objects })).unwrap();
        let read = readback(&parse_live(&listed).unwrap().unwrap());
        assert_eq!(read.wall, readback(&LiveTable::wanted(&sample::wall())).wall);
        told(&read.altered)
    }

    fn at(objects: &[Value], comment: &str) -> usize {
        objects.iter().position(|object| object["rule"]["comment"] == comment).unwrap()
    }

    #[test]
    fn rules_that_were_removed_added_or_changed_by_hand_are_told_as_nft_writes_them() {
        let told = by_hand(|objects| {
            let at = at(objects, "between domains");
            objects.remove(at);
        });
        assert_eq!(
            told,
            ["chain forward, rule removed: - => iifname @bridges oifname @bridges drop comment \"between domains\""]
        );
        let told = by_hand(|objects| {
            let at = at(objects, "to the host");
            let mut new = objects[at].clone();
            new["rule"]["comment"] = "mine".into();
            new["rule"]["expr"][0] = json!({"accept": null});
            objects.insert(at, new);
        });
        assert_eq!(told, ["chain input, rule added: accept comment \"mine\" => -"]);
        let told = by_hand(|objects| {
            let at = at(objects, "internet: false");
            objects[at]["rule"]["expr"].as_array_mut().unwrap()[1] = json!({"limit": {"rate": 5}});
        });
        let expected = "chain outward, rule changed: iifname @offline {\"limit\":{\"rate\":5}} comment \"internet: false\" => \
                        iifname @offline drop comment \"internet: false\"";
        assert_eq!(told, [expected]);
    }

    #[test]
    fn a_policy_of_which_one_rule_was_removed_is_still_known() {
        for gone in ["pro-dev -> host: ssh", "pro-dev -> host: ssh (answers)", "pro-dev -> host: ssh (errors)"] {
            let told = by_hand(|objects| {
                let at = at(objects, gone);
                objects.remove(at);
            });
            assert_eq!(told.len(), 1, "{told:#?}");
            assert!(told[0].starts_with("chain from/net-pro/to-host, rule removed: - => ct original"), "{told:#?}");
        }
    }

    #[test]
    fn chains_sets_and_strangers_that_somebody_put_into_the_table_are_told() {
        let told = by_hand(|objects| {
            let base = objects.iter().position(|object| object["chain"]["name"] == "input").unwrap();
            objects[base]["chain"]["policy"] = "drop".into();
            let inet = |name: &str| json!({"family": "inet", "table": "anklume", "name": name});
            let mut set = inet("mine");
            set["type"] = "ipv4_addr".into();
            set["elem"] = json!(["10.0.0.1"]);
            objects.extend([json!({"chain": inet("mine")}), json!({"set": set}), json!({"counter": inet("mine")})]);
        });
        let expected = [
            "set mine: { type ipv4_addr; elements = { 10.0.0.1 } } => -",
            "chain input: type filter hook input prio -1 policy drop => type filter hook input prio -1 policy accept",
            "chain mine: 0 rules => -",
            "not anklume's: {\"counter\":{\"family\":\"inet\",\"table\":\"anklume\",\"name\":\"mine\"}} => -",
        ];
        assert_eq!(told, expected);
    }
}
