//! What a live table stands for: the wall that it was made from, and what in it no wall would have put there.

use std::net::{IpAddr, Ipv4Addr};

use super::differences;
use super::evaluate::rule::{Key, Op, Pattern, Right, Step, Verdict, steps};
use super::live::{LiveRule, LiveTable};
use super::openings::{ANSWERS, Way};
use super::ruleset::OTHER_BRIDGES;
use super::syntax::comment;
use super::wall::{End, Opening, Wall};
use crate::infra::model::{PortRange, Protocol};
use crate::plan::Field;

/// A live table, understood.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Readback {
    /// What it keeps apart and lets through. Openings stand by the pairs that they join.
    pub(crate) wall: Wall,
    /// What was changed in it since: from what it has now to what anklume makes for this wall.
    pub(crate) altered: Vec<Field>,
}

/// Reads the wall off a table. Whatever does not come out as the table again was not put there by anklume.
pub(crate) fn readback(table: &LiveTable) -> Readback {
    let wall = wall(table);
    let altered = differences::of_tables(table, &LiveTable::wanted(&wall));
    Readback { wall, altered }
}

fn wall(table: &LiveTable) -> Wall {
    let elements = |name: &str| table.sets.get(name).into_iter().flat_map(|set| &set.elements);
    let gateway = |(address, bridge): (&String, &Option<String>)| {
        let parsed: Ipv4Addr = address.parse().ok()?;
        // Without a word about its bridge its own text stands for that: only the addresses decide.
        Some((bridge.clone().unwrap_or_else(|| address.clone()), parsed))
    };
    Wall {
        bridges: elements("bridges")
            .map(|(bridge, domain)| (bridge.clone(), domain.clone().unwrap_or_default()))
            .collect(),
        offline: elements("offline").map(|(bridge, _)| bridge.clone()).collect(),
        gateways: elements("gateways").filter_map(gateway).collect(),
        others: closed(table).into_iter().filter(|name| !OTHER_BRIDGES.contains(&name.as_str())).collect(),
        openings: table
            .chains
            .iter()
            .filter_map(|(name, chain)| Some(openings(&Way::of_chain(name)?, &chain.rules)))
            .flatten()
            .collect(),
    }
}

/// The bridges of others that no domain reaches, patterns among them.
pub(super) fn closed(table: &LiveTable) -> Vec<String> {
    let chains = ["outward", "inward"].iter().filter_map(|name| table.chains.get(*name));
    let mut rules = chains.flat_map(|chain| &chain.rules).map(understood);
    rules.find_map(|steps| names_closed(&steps?)).unwrap_or_default()
}

/// Those of a rule that drops what goes to some interfaces, or comes from them.
fn names_closed(steps: &[Step]) -> Option<Vec<String>> {
    match steps {
        [Step::Match { keys, op: Op::Is, right: Right::AnyOf(names) }, Step::Say(Verdict::Drop)]
            if matches!(keys.as_slice(), [Key::In | Key::Out]) =>
        {
            let name = |name: &Pattern| match name {
                Pattern::Interface(name) => Some(name.clone()),
                Pattern::Start(start) => Some(format!("{start}*")),
                _ => None,
            };
            names.iter().flatten().map(name).collect()
        }
        _ => None,
    }
}

/// The openings of a chain, each from its own rule or, where that one is gone, from the one for its answers.
fn openings(way: &Way, rules: &[LiveRule]) -> Vec<Opening> {
    let mut openings: Vec<Opening> = Vec::new();
    for rule in rules {
        match opening(way, rule) {
            Some((Part::Whole, opening)) => openings.push(opening),
            Some((Part::Answers, opening)) => {
                let same = |last: &Opening| {
                    rule.comment == Some(comment(&last.policy, ANSWERS))
                        && Opening { policy: opening.policy.clone(), ..last.clone() } == opening
                };
                if !openings.last().is_some_and(same) {
                    openings.push(opening);
                }
            }
            None => {}
        }
    }
    openings
}

fn understood(rule: &LiveRule) -> Option<Vec<Step>> {
    steps(rule).collect::<Result<_, _>>().ok()
}

/// Which of the rules of an opening it is read from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Part {
    Whole,
    Answers,
}

fn opening(way: &Way, rule: &LiveRule) -> Option<(Part, Opening)> {
    let mut read = Read::default();
    for step in understood(rule)? {
        read.step(&step)?;
    }
    let end = |address: Option<Ipv4Addr>, bridge: &String| match address {
        Some(address) => End::Machine { bridge: bridge.clone(), address },
        None => End::Domain { bridge: bridge.clone() },
    };
    let comment = rule.comment.clone().unwrap_or_default();
    let part = if read.answers { Part::Answers } else { Part::Whole };
    let opening = Opening {
        from: end(read.from, &way.from),
        to: way.to.as_ref().map_or(End::Host, |to| end(read.to, to)),
        protocol: read.protocol,
        ports: read.ports,
        policy: match part {
            Part::Whole => comment,
            Part::Answers => comment.strip_suffix(ANSWERS).unwrap_or(&comment).to_owned(),
        },
    };
    read.accepts.then_some((part, opening))
}

/// What the rule of an opening says, step by step.
#[derive(Default)]
struct Read {
    from: Option<Ipv4Addr>,
    to: Option<Ipv4Addr>,
    answers: bool,
    protocol: Option<Protocol>,
    ports: Vec<PortRange>,
    accepts: bool,
}

impl Read {
    /// `None` for what no such rule has.
    fn step(&mut self, step: &Step) -> Option<()> {
        let (keys, values) = match step {
            Step::Say(Verdict::Accept) => {
                self.accepts = true;
                return Some(());
            }
            Step::Match { keys, op: Op::Is, right: Right::AnyOf(values) } => (keys, values),
            _ => return None,
        };
        let [key] = keys.as_slice() else { return None };
        let values: Vec<&Pattern> = values.iter().flatten().collect();
        let protocol = |words: &[&Pattern]| match words {
            [Pattern::Word(word)] if word == "tcp" => Some(Protocol::Tcp),
            [Pattern::Word(word)] if word == "udp" => Some(Protocol::Udp),
            _ => None,
        };
        match (key, values.as_slice()) {
            (Key::OriginalSource, [Pattern::Address(IpAddr::V4(address))]) => self.from = Some(*address),
            (Key::ReplySource, [Pattern::Address(IpAddr::V4(address))]) => self.to = Some(*address),
            (Key::Direction, [Pattern::Word(way)]) => self.answers = way == "reply",
            (Key::ConnectionProtocol, words) => self.protocol = Some(protocol(words)?),
            (Key::Protocol, [Pattern::Word(a), Pattern::Word(b)]) if a == "tcp" && b == "udp" => {}
            (Key::TcpTarget | Key::TcpSource, values) => self.put_ports(Some(Protocol::Tcp), values)?,
            (Key::UdpTarget | Key::UdpSource, values) => self.put_ports(Some(Protocol::Udp), values)?,
            (Key::AnyTarget | Key::AnySource, values) => self.put_ports(None, values)?,
            _ => return None,
        }
        Some(())
    }

    fn put_ports(&mut self, protocol: Option<Protocol>, values: &[&Pattern]) -> Option<()> {
        self.protocol = protocol;
        let range = |value: &&Pattern| match value {
            Pattern::Number(port) => Some(PortRange { first: *port, last: *port }),
            Pattern::Numbers(first, last) => Some(PortRange { first: *first, last: *last }),
            _ => None,
        };
        self.ports = values.iter().map(range).collect::<Option<_>>()?;
        self.ports.sort_unstable();
        Some(())
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::firewall::{random, sample};

    #[test]
    fn a_table_says_what_it_was_made_from() {
        let wall = sample::wall();
        let read = readback(&LiveTable::wanted(&wall));
        assert_eq!(read.altered, []);
        assert_eq!((&read.wall.bridges, &read.wall.offline), (&wall.bridges, &wall.offline));
        assert_eq!(read.wall.gateways, wall.gateways);
        assert_eq!(read.wall.others, ["backup".to_owned()].into(), "`incusbr7` is closed by its name");
        assert_eq!(read.wall.openings.len(), 6, "from the host everything is open anyway");
        assert_eq!(read.wall.openings[2].policy, "pro-dev -> host: ssh");
    }

    proptest! {
        #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

        #[test]
        fn a_wall_comes_back_from_every_table_whole(wall in random::a_wall()) {
            let table = LiveTable::wanted(&wall);
            let read = readback(&table);
            prop_assert_eq!(&read.altered, &[]);
            prop_assert_eq!(LiveTable::wanted(&read.wall), table);
            prop_assert_eq!(differences::of_walls(&read.wall, &wall), []);
        }

        #[test]
        fn two_walls_that_make_different_tables_differ_in_words(a in random::a_wall(), b in random::a_wall()) {
            let same = LiveTable::wanted(&a) == LiveTable::wanted(&b);
            prop_assert_eq!(differences::of_walls(&a, &b).is_empty(), same);
        }
    }
}
