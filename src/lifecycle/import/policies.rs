//! Policies, from the openings of the table that is in force.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::net::Ipv4Addr;

use super::scene::Scene;
use crate::firewall::fence::Table;
use crate::firewall::readback::readback;
use crate::firewall::wall::{End, Opening};
use crate::firewall::words;
use crate::infra::model::Policy;
use crate::resolve::policies::told;

/// Who the ends of openings are in the file.
#[derive(Debug, Default)]
pub(super) struct Ends {
    /// Bridge → domain.
    pub(super) domains: BTreeMap<String, String>,
    /// Bridge and address → machine.
    pub(super) machines: BTreeMap<(String, Ipv4Addr), String>,
}

impl Ends {
    fn of(&self, end: &End) -> Option<String> {
        match end {
            End::Host => Some("host".into()),
            End::Domain { bridge } => self.domains.get(bridge).cloned(),
            End::Machine { bridge, address } => self.machines.get(&(bridge.clone(), *address)).cloned(),
        }
    }
}

/// What the table says.
#[derive(Debug, Default)]
pub(super) struct Policies {
    pub(super) policies: Vec<Policy>,
    pub(super) notes: Vec<String>,
}

pub(super) fn read(scene: &Scene<'_>, ends: &Ends) -> Policies {
    let mut read = Policies::default();
    let table = match &scene.live.table {
        Table::Known(None) => return read,
        Table::Known(Some(table)) => table,
        Table::Unknown { why, .. } => {
            read.notes.push(format!("the table cannot be read, and no policy is told: {why}"));
            return read;
        }
        Table::Elsewhere(_) => {
            read.notes.push("the table is out of reach, and no policy is told: import on the host itself".into());
            return read;
        }
    };
    let found = readback(table);
    if !found.altered.is_empty() {
        read.notes.push("the table was changed by hand: `anklume apply` makes it as the policies say".into());
    }
    let mut ways: BTreeMap<(End, End), VecDeque<Policy>> = BTreeMap::new();
    let ours = |end: &End| end.bridge().is_some_and(|bridge| ends.domains.contains_key(bridge));
    for opening in &found.wall.openings {
        match (ends.of(&opening.from), ends.of(&opening.to)) {
            (Some(from), Some(to)) => {
                let way = (place(&opening.from), place(&opening.to));
                ways.entry(way).or_default().push_back(policy(opening, from, to));
            }
            _ if ours(&opening.from) => {
                read.notes.push(format!("what is open to nothing of this file: {}", words::policy(opening)));
            }
            _ => {}
        }
    }
    read.policies = joined(ways);
    read
}

/// The table keeps the order of what leads from one bridge to another.
fn place(end: &End) -> End {
    match end.bridge() {
        Some(bridge) => End::Domain { bridge: bridge.to_owned() },
        None => End::Host,
    }
}

fn policy(opening: &Opening, from: String, to: String) -> Policy {
    let (protocol, ports) = (opening.protocol, opening.ports.clone());
    let mut policy = Policy { description: String::new(), from, to, ports, protocol, bidirectional: false };
    let ends = told(&policy, false);
    if let Some(words) = opening.policy.strip_prefix(&ends).and_then(|rest| rest.strip_prefix(": ")) {
        words.clone_into(&mut policy.description);
    }
    policy
}

fn is_back(one: &Policy, other: &Policy) -> bool {
    let Policy { description, from, to, ports, protocol, .. } = other;
    (&one.from, &one.to, &one.ports, one.protocol, &one.description) == (to, from, ports, *protocol, description)
}

/// Two that are each other's way back are one policy, as long as each way keeps its order.
fn joined(mut ways: BTreeMap<(End, End), VecDeque<Policy>>) -> Vec<Policy> {
    let mut policies = Vec::new();
    // Ways on which nothing can be joined any more.
    let mut stuck: BTreeSet<(End, End)> = BTreeSet::new();
    while let Some(way) = next(&ways, &stuck) {
        let back = (way.1.clone(), way.0.clone());
        let head = ways[&way].front().expect("it has one").clone();
        let twin = ways.get(&back).and_then(|queue| queue.iter().position(|one| is_back(one, &head)));
        match twin {
            Some(0) => {
                ways.get_mut(&back).map(VecDeque::pop_front);
                policies.push(Policy { bidirectional: true, ..head });
            }
            // Its way back comes later there: first what stands before it, if that can be.
            Some(_) if !stuck.contains(&way) && !stuck.contains(&back) => {
                stuck.insert(way.clone());
                continue;
            }
            _ => policies.push(head),
        }
        ways.get_mut(&way).map(VecDeque::pop_front);
        stuck.clear();
    }
    policies
}

fn next(ways: &BTreeMap<(End, End), VecDeque<Policy>>, stuck: &BTreeSet<(End, End)>) -> Option<(End, End)> {
    let mut open = ways.iter().filter(|(_, queue)| !queue.is_empty()).map(|(way, _)| way);
    let free = open.clone().find(|way| !stuck.contains(*way));
    free.or_else(|| open.next()).cloned()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::resolve::sample::policy as open;

    fn ways(policies: &[Policy]) -> BTreeMap<(End, End), VecDeque<Policy>> {
        let end = |name: &str| End::Domain { bridge: name.into() };
        let mut ways: BTreeMap<(End, End), VecDeque<Policy>> = BTreeMap::new();
        for policy in policies {
            let (from, to) = (&policy.from, &policy.to);
            let mut put = |from: &str, to: &str| {
                let one = Policy { from: from.into(), to: to.into(), bidirectional: false, ..policy.clone() };
                ways.entry((end(from), end(to))).or_default().push_back(one);
            };
            put(from, to);
            if policy.bidirectional {
                put(to, from);
            }
        }
        ways
    }

    #[test]
    fn two_ways_of_one_policy_become_one_again_and_each_way_keeps_its_order() {
        let said = |text: &str, both: bool, from: &str, to: &str| Policy {
            description: text.into(),
            bidirectional: both,
            ..open(from, to)
        };
        let files = [
            vec![said("one", true, "a", "b"), said("two", false, "b", "a"), said("three", true, "a", "b")],
            vec![said("x", false, "a", "b"), said("y", true, "b", "a"), said("z", false, "c", "a")],
            vec![said("", true, "a", "b"), said("", true, "a", "b")],
            vec![
                said("p", false, "a", "b"),
                said("q", false, "b", "a"),
                said("q", false, "a", "b"),
                said("p", false, "b", "a"),
            ],
        ];
        for file in files {
            let again = joined(ways(&file));
            assert_eq!(ways(&again), ways(&file), "{again:?}");
            assert!(again.len() <= file.len(), "{again:?}");
        }
    }
}
