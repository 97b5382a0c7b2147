//! Takes a packet through a table as the kernel does: what becomes of it, and which rule decides.
//!
//! It knows the statements that anklume makes and a few more. Where a packet meets anything else, it says so instead
//! of guessing.

use std::collections::BTreeMap;

use super::packet::{Datum, Packet};
use super::rule::{self, Key, Op, Pattern, Right, Step, Strange, Verdict};
use crate::firewall::live::{LiveChain, LiveTable};

/// How deep the kernel follows jumps.
pub(super) const DEPTH: usize = 16;

/// A table, ready to be asked.
pub(crate) struct Evaluator<'a> {
    table: &'a LiveTable,
    pub(super) chains: BTreeMap<&'a str, Vec<Vec<Result<Step, Strange>>>>,
    sets: BTreeMap<&'a str, Result<Vec<Vec<Pattern>>, Strange>>,
}

/// What becomes of a packet.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Decision {
    pub(crate) passes: bool,
    pub(crate) by: By,
}

/// What decided.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum By {
    /// No chain of the table looks at such packets.
    Nothing,
    /// No rule of this chain held: its policy.
    Policy { chain: String },
    /// A rule, by its place in its chain.
    Rule { chain: String, index: usize },
}

/// Why it cannot be told.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(crate) enum Unclear {
    #[error("rule {} of chain `{chain}` says what anklume does not understand: {what}", .index + 1)]
    Rule { chain: String, index: usize, what: String },
    #[error("chain `{0}` works where anklume does not look, or in a way that it does not understand")]
    Chain(String),
    #[error("jumps go in a circle or deeper than {DEPTH} chains at chain `{0}`")]
    Depth(String),
}

/// What a chain comes to.
enum Course {
    Decided(Decision),
    /// Its end, or `return`.
    Back,
}

impl<'a> Evaluator<'a> {
    pub(crate) fn new(table: &'a LiveTable) -> Self {
        let rules = |chain: &LiveChain| chain.rules.iter().map(|rule| rule::steps(rule).collect()).collect();
        let chains = table.chains.iter().map(|(name, chain)| (name.as_str(), rules(chain)));
        let sets = table.sets.iter().map(|(name, set)| (name.as_str(), rule::elements(set)));
        Self { table, chains: chains.collect(), sets: sets.collect() }
    }

    /// Every value that the rules of some chains, or the sets, compare with.
    pub(crate) fn values(&self, of_chain: impl Fn(&str) -> bool) -> impl Iterator<Item = &Pattern> {
        let chains = self.chains.iter().filter(move |(name, _)| of_chain(name));
        let steps = chains.flat_map(|(_, rules)| rules.iter().flatten().flatten());
        let tuples = steps.filter_map(|step| match step {
            Step::Match { right: Right::AnyOf(tuples), .. } => Some(tuples),
            _ => None,
        });
        tuples.chain(self.sets.values().flatten()).flatten().flatten()
    }

    /// Sends a packet through every chain at its hook, in their order: a drop is final, an accept ends its chain only.
    pub(crate) fn decide(&self, packet: &Packet) -> Result<Decision, Unclear> {
        let mut passed = Decision { passes: true, by: By::Nothing };
        for (name, policy) in self.base_chains(packet.hook.word())? {
            let decision = match self.walk(name, packet, 0)? {
                Course::Decided(decision) => decision,
                Course::Back => Decision { passes: policy, by: By::Policy { chain: name.to_owned() } },
            };
            if !decision.passes {
                return Ok(decision);
            }
            // The one to name is the first that had a reason.
            if !matches!(passed.by, By::Rule { .. }) {
                passed = decision;
            }
        }
        Ok(passed)
    }

    /// The chains at a hook, by priority, each with whether its policy is to accept.
    fn base_chains(&self, hook: &str) -> Result<Vec<(&'a str, bool)>, Unclear> {
        let mut chains = Vec::new();
        for (name, chain) in self.table.chains.iter().filter(|(_, chain)| !chain.base.is_empty()) {
            let word = |key: &str| chain.base.get(key).and_then(serde_json::Value::as_str);
            let policy = match word("policy") {
                Some("accept") | None => true,
                Some(_) => false,
            };
            let known = ["forward", "input", "output"].iter().any(|known| word("hook") == Some(known));
            let prio = chain.base.get("prio").and_then(serde_json::Value::as_i64);
            let (true, Some("filter"), Some(prio)) = (known, word("type"), prio) else {
                return Err(Unclear::Chain(name.clone()));
            };
            if word("hook") == Some(hook) {
                chains.push((prio, name.as_str(), policy));
            }
        }
        chains.sort_unstable();
        Ok(chains.into_iter().map(|(_, name, policy)| (name, policy)).collect())
    }

    fn walk(&self, chain: &str, packet: &Packet, depth: usize) -> Result<Course, Unclear> {
        let rules = self.chains.get(chain).filter(|_| depth <= DEPTH);
        let rules = rules.ok_or_else(|| Unclear::Depth(chain.to_owned()))?;
        for (index, rule) in rules.iter().enumerate() {
            let unclear = |what: String| Unclear::Rule { chain: chain.to_owned(), index, what };
            let decided =
                |passes| Ok(Course::Decided(Decision { passes, by: By::Rule { chain: chain.to_owned(), index } }));
            match self.verdict(rule, packet).map_err(unclear)? {
                None | Some(Verdict::Continue) => {}
                Some(Verdict::Accept) => return decided(true),
                Some(Verdict::Drop | Verdict::Reject) => return decided(false),
                Some(Verdict::Return) => return Ok(Course::Back),
                Some(Verdict::Goto(to)) => return self.walk(&to, packet, depth + 1),
                Some(Verdict::Jump(to)) => {
                    if let decided @ Course::Decided(_) = self.walk(&to, packet, depth + 1)? {
                        return Ok(decided);
                    }
                }
            }
        }
        Ok(Course::Back)
    }

    /// What a rule says of a packet; nothing where one of its steps does not hold.
    fn verdict(&self, rule: &[Result<Step, Strange>], packet: &Packet) -> Result<Option<Verdict>, String> {
        for step in rule {
            match step.as_ref().map_err(Strange::to_string)? {
                Step::Log => {}
                Step::Say(verdict) => return Ok(Some(verdict.clone())),
                Step::Match { keys, op, right } => {
                    if !self.matches(keys, *op, right, packet)? {
                        return Ok(None);
                    }
                }
                Step::Map { keys, entries } => return mapped(keys, entries, packet),
            }
        }
        Ok(None)
    }

    pub(super) fn matches(&self, keys: &[Key], op: Op, right: &Right, packet: &Packet) -> Result<bool, String> {
        let Some(data) = data(keys, packet)? else { return Ok(false) };
        let tuples = match right {
            Right::AnyOf(tuples) => tuples,
            Right::Set(name) => {
                let set = self.sets.get(name.as_str()).ok_or_else(|| format!("there is no set `{name}`"))?;
                set.as_ref().map_err(|strange| format!("set `{name}`: {strange}"))?
            }
        };
        Ok(any_holds(tuples, &data)? != (op == Op::IsNot))
    }
}

/// What a verdict map says of a packet.
pub(super) fn mapped(
    keys: &[Key],
    entries: &[(Vec<Pattern>, Verdict)],
    packet: &Packet,
) -> Result<Option<Verdict>, String> {
    let Some(data) = data(keys, packet)? else { return Ok(None) };
    for (tuple, verdict) in entries {
        if all_hold(tuple, &data)? {
            return Ok(Some(verdict.clone()));
        }
    }
    Ok(None)
}

/// What the packet has for each key; `None` where it lacks one.
fn data<'p>(keys: &[Key], packet: &'p Packet) -> Result<Option<Vec<Datum<'p>>>, String> {
    let data: Vec<Datum<'_>> = keys.iter().map(|key| packet.datum(*key)).collect();
    if let Some(at) = data.iter().position(|datum| *datum == Datum::Nonsense) {
        return Err(format!("`{}` of such a packet", keys[at].words()));
    }
    Ok((!data.contains(&Datum::None)).then_some(data))
}

fn any_holds(tuples: &[Vec<Pattern>], data: &[Datum<'_>]) -> Result<bool, String> {
    for tuple in tuples {
        if all_hold(tuple, data)? {
            return Ok(true);
        }
    }
    Ok(false)
}

fn all_hold(tuple: &[Pattern], data: &[Datum<'_>]) -> Result<bool, String> {
    for (pattern, datum) in tuple.iter().zip(data) {
        match pattern.holds(datum) {
            Some(true) => {}
            Some(false) => return Ok(false),
            None => return Err(format!("`{pattern}` compared with {datum:?}")),
        }
    }
    Ok(true)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::firewall::evaluate::packet::{Connection, Content, Direction, Peer, State};
    use crate::firewall::live::parse_live;
    use serde_json::{Value, json};

    /// Name, hook and priority, rules as nft lists them.
    type Spec<'a> = (&'a str, Option<(&'a str, i32)>, Vec<Value>);

    /// A table with these chains, each with the hook of a base chain or none, and rules as nft lists them.
    fn table(chains: &[Spec<'_>]) -> LiveTable {
        let mut objects = vec![json!({"table": {"family": "inet", "name": "anklume"}})];
        for (name, base, rules) in chains {
            let mut chain = json!({"family": "inet", "table": "anklume", "name": name});
            if let Some((hook, prio)) = base {
                chain["type"] = "filter".into();
                chain["hook"] = (*hook).into();
                chain["prio"] = (*prio).into();
                chain["policy"] = "accept".into();
            }
            objects.push(json!({ "chain": chain }));
            let rule =
                |expr: &Value| json!({"rule": {"family": "inet", "table": "anklume", "chain": name, "expr": expr}});
            objects.extend(rules.iter().map(rule));
        }
        parse_live(json!({ "nftables": objects }).to_string().as_bytes()).unwrap().unwrap()
    }

    /// A packet to port 80, from one interface to another.
    fn packet() -> Packet {
        let peer =
            |interface: &str, address: [u8; 4]| Peer::Behind { interface: interface.into(), address: address.into() };
        let (client, server) = (peer("a", [10, 0, 0, 1]), peer("b", [10, 0, 1, 1]));
        let content = Content::Ports { protocol: "tcp", source: 50000, target: 80 };
        let connection = Connection { client, server, content, published: false };
        connection.packet(Direction::Original, State::New).unwrap()
    }

    fn decided(chains: &[Spec<'_>]) -> Result<(bool, By), Unclear> {
        let table = table(chains);
        Evaluator::new(&table).decide(&packet()).map(|decision| (decision.passes, decision.by))
    }

    fn by(chain: &str, index: usize) -> By {
        By::Rule { chain: chain.into(), index }
    }

    fn from(interface: &str) -> Value {
        json!({"match": {"op": "==", "left": {"meta": {"key": "iifname"}}, "right": interface}})
    }

    const FORWARD: Option<(&str, i32)> = Some(("forward", -1));

    #[test]
    fn jumps_come_back_and_gotos_do_not() {
        let (accept, drop) = (json!([{"accept": null}]), json!([{"drop": null}]));
        let jump = json!([{"jump": {"target": "x"}}]);
        let goto = json!([{"goto": {"target": "x"}}]);
        let nothing = json!([from("z"), {"drop": null}]);
        let back = json!([{"return": null}]);
        let of = |first: &Value, x: Vec<Value>| {
            decided(&[("forward", FORWARD, vec![first.clone(), drop.clone()]), ("x", None, x)])
        };
        assert_eq!(of(&jump, vec![nothing.clone()]), Ok((false, by("forward", 1))));
        assert_eq!(of(&jump, vec![back.clone(), accept.clone()]), Ok((false, by("forward", 1))));
        assert_eq!(of(&jump, vec![accept.clone()]), Ok((true, by("x", 0))));
        assert_eq!(of(&goto, vec![nothing]), Ok((true, By::Policy { chain: "forward".into() })));
        assert_eq!(of(&goto, vec![drop.clone()]), Ok((false, by("x", 0))));
        assert_eq!(of(&back, vec![]), Ok((true, By::Policy { chain: "forward".into() })));
        assert_eq!(of(&jump, vec![jump.clone()]), Err(Unclear::Depth("x".into())));
        assert_eq!(decided(&[("input", Some(("input", -1)), vec![drop])]), Ok((true, By::Nothing)));
    }

    #[test]
    fn a_drop_in_any_chain_is_final_and_an_accept_is_not() {
        let accept = || vec![json!([{"accept": null}])];
        let drop = || vec![json!([{"drop": null}])];
        let mine = Some(("forward", 5));
        assert_eq!(decided(&[("forward", FORWARD, accept()), ("mine", mine, drop())]), Ok((false, by("mine", 0))));
        assert_eq!(decided(&[("mine", mine, drop()), ("forward", FORWARD, drop())]), Ok((false, by("forward", 0))));
        assert_eq!(decided(&[("forward", FORWARD, accept()), ("mine", mine, vec![])]), Ok((true, by("forward", 0))));
    }

    #[test]
    fn what_is_not_understood_is_said_where_a_packet_meets_it_and_only_there() {
        let limit = json!({"limit": {"rate": 5, "per": "second"}});
        let told = decided(&[("forward", FORWARD, vec![json!([from("a"), limit, {"drop": null}])])]).unwrap_err();
        let expected = "rule 1 of chain `forward` says what anklume does not understand: \
                        {\"limit\":{\"rate\":5,\"per\":\"second\"}}";
        assert_eq!(told.to_string(), expected);
        let elsewhere = json!([from("z"), limit, {"drop": null}]);
        assert_eq!(
            decided(&[("forward", FORWARD, vec![elsewhere])]),
            Ok((true, By::Policy { chain: "forward".into() }))
        );

        let met = |step: Value| {
            decided(&[("forward", FORWARD, vec![json!([step, {"drop": null}])])]).unwrap_err().to_string()
        };
        assert!(met(from("@mine")).ends_with("there is no set `mine`"));
        let port = |right: Value| json!({"match": {"op": "==", "left": {"payload": {"protocol": "tcp", "field": "dport"}}, "right": right}});
        assert!(met(port(json!("http"))).contains("\"http\""));
        let mark = json!({"match": {"op": "==", "left": {"meta": {"key": "mark"}}, "right": 7}});
        assert!(met(mark).contains("mark"));
        let early = decided(&[("early", Some(("prerouting", -1)), vec![])]);
        assert_eq!(early, Err(Unclear::Chain("early".into())));
    }

    #[test]
    fn logging_decides_nothing_and_ranges_have_two_ends() {
        let range = |first: u16, last: u16| {
            let port = json!({"match": {"op": "==", "left": {"payload": {"protocol": "tcp", "field": "dport"}},
                "right": {"set": [22, {"range": [first, last]}]}}});
            decided(&[("forward", FORWARD, vec![json!([{"log": {"prefix": "x"}}, port, {"drop": null}])])]).unwrap().0
        };
        assert_eq!([range(70, 79), range(80, 81), range(79, 80), range(81, 90)], [true, false, false, true]);
    }
}
