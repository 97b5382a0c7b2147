//! May FROM talk to TO, and which rule says so: by the table in force, and by the one that the file asks for.

pub(crate) mod ends;
#[cfg(test)]
mod tests;
pub(crate) mod told;
pub(crate) mod traffic;

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;

use super::evaluate::packet::{Connection, Direction, Peer, State};
use super::evaluate::rule::Pattern;
use super::evaluate::text::written;
use super::evaluate::walk::{By, Evaluator, Unclear};
use super::live::LiveTable;
use super::openings::{ANSWERS, Way};
use crate::host::routes::Route;
use crate::resolve::desired::Desired;
use ends::{Named, Nowhere, Place, World};
use traffic::{Part, Traffic};

/// What is asked.
#[derive(Debug, Clone)]
pub(crate) struct Question {
    pub(crate) from: Named,
    pub(crate) to: Named,
    pub(crate) traffic: Traffic,
}

/// What it is answered from.
#[derive(Clone, Copy)]
pub(crate) struct Ground<'a> {
    pub(crate) desired: &'a Desired,
    /// The table in force; `None` where there is none.
    pub(crate) live: Option<&'a LiveTable>,
    pub(crate) uplink: Option<&'a str>,
    pub(crate) routes: &'a BTreeMap<IpAddr, Route>,
}

/// What is allowed, case by case: what is decided alike is one case.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Answer {
    /// There is a table in force.
    pub(crate) table: bool,
    pub(crate) cases: Vec<Case>,
}

#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Case {
    pub(crate) from: Place,
    pub(crate) to: Place,
    /// `tcp 443`, `everything else`.
    pub(crate) traffic: String,
    /// By the table in force.
    pub(crate) now: Judgement,
    /// By the table that the file asks for.
    pub(crate) file: Judgement,
}

/// What becomes of a connection: of the packet that opens it and, where that one passes, of the answers.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Judgement {
    pub(crate) opens: Ruling,
    pub(crate) answers: Option<Ruling>,
}

/// What one rule said.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Ruling {
    pub(crate) passes: bool,
    /// `None` where no chain looks at such packets.
    pub(crate) chain: Option<String>,
    /// As nft writes it; `None` where the chain's policy decided.
    pub(crate) rule: Option<String>,
    pub(crate) comment: Option<String>,
}

/// Why there is no answer.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Unanswered {
    #[error(transparent)]
    Nowhere(#[from] Nowhere),
    #[error(transparent)]
    Unclear(#[from] Unclear),
    #[error("one end has an IPv4 address and the other one an IPv6 address")]
    Families,
}

impl Answer {
    /// All of it is allowed by the table in force.
    pub(crate) fn is_allowed(&self) -> bool {
        self.cases.iter().all(|case| case.now.is_allowed())
    }
}

impl Judgement {
    pub(crate) fn is_allowed(&self) -> bool {
        self.decisive().passes
    }

    /// What decides: the first that drops, or what opened it.
    pub(crate) fn decisive(&self) -> &Ruling {
        self.answers.as_ref().filter(|answers| !answers.passes).unwrap_or(&self.opens)
    }
}

impl Ruling {
    /// It says the same for the same reason, though the rule may be written in another way.
    pub(crate) fn agrees(&self, other: &Self) -> bool {
        (self.passes, &self.chain, &self.comment) == (other.passes, &other.chain, &other.comment)
    }

    /// The policy whose rule it was.
    pub(crate) fn policy(&self) -> Option<&str> {
        let _ = Way::of_chain(self.chain.as_deref()?)?;
        let comment = self.comment.as_deref()?;
        Some(comment.strip_suffix(ANSWERS).unwrap_or(comment))
    }

    fn new(table: &LiveTable, passes: bool, by: By) -> Self {
        match by {
            By::Nothing => Self { passes, chain: None, rule: None, comment: None },
            By::Policy { chain } => Self { passes, chain: Some(chain), rule: None, comment: None },
            By::Rule { chain, index } => {
                let rule = &table.chains[&chain].rules[index];
                let comment = rule.comment.clone();
                Self { passes, chain: Some(chain), rule: Some(written(rule)), comment }
            }
        }
    }
}

/// Answers by sending packets through both tables.
pub(crate) fn answer(question: &Question, ground: Ground<'_>) -> Result<Answer, Unanswered> {
    // The file asks for no table where it has nothing to keep apart.
    let wanted = if ground.desired.wall.bridges.is_empty() {
        LiveTable::default()
    } else {
        LiveTable::wanted(&ground.desired.wall)
    };
    let none = LiveTable::default();
    let tables = [ground.live.unwrap_or(&none), &wanted].map(|table| (table, Evaluator::new(table)));
    let told_apart = tables.iter().flat_map(|(_, evaluator)| addresses(evaluator)).collect();
    let world = World {
        desired: ground.desired,
        uplink: ground.uplink,
        routes: ground.routes,
        told_apart: &told_apart,
        ipv6: is_ipv6(question)?,
    };
    let from = world.places(&question.from, &question.to)?;
    let to = world.places(&question.to, &question.from)?;
    let mut pairs: Vec<Vec<Case>> = Vec::new();
    for (from, to) in from.iter().flat_map(|from| to.iter().map(move |to| (from, to))) {
        let cases = cases(from, to, &question.traffic, &tables)?;
        // A machine is told of only where it is not like any other of its domain.
        if pairs.first().is_none_or(|first| !alike(first, &cases)) {
            pairs.push(cases);
        }
    }
    Ok(Answer { table: ground.live.is_some(), cases: pairs.into_iter().flatten().collect() })
}

type Tables<'a> = [(&'a LiveTable, Evaluator<'a>); 2];

fn is_ipv6(question: &Question) -> Result<bool, Unanswered> {
    match (&question.from, &question.to) {
        (Named::Address(from), Named::Address(to)) if from.is_ipv6() != to.is_ipv6() => Err(Unanswered::Families),
        (Named::Address(address), _) | (_, Named::Address(address)) => Ok(address.is_ipv6()),
        _ => Ok(false),
    }
}

/// Those that some rule names.
fn addresses<'a>(evaluator: &'a Evaluator<'_>) -> impl Iterator<Item = IpAddr> + 'a {
    evaluator.values(|_| true).filter_map(|pattern| match pattern {
        Pattern::Address(address) => Some(*address),
        _ => None,
    })
}

/// One pair of places, what is decided alike in one case, what is left over last.
fn cases(from: &Place, to: &Place, traffic: &Traffic, tables: &Tables<'_>) -> Result<Vec<Case>, Unclear> {
    let edges = tables.iter().flat_map(|(_, evaluator)| edges(evaluator, &from.peer, &to.peer)).collect();
    let mut groups: Vec<(Judgement, Judgement, Vec<Part>)> = Vec::new();
    for part in traffic.parts(&edges) {
        let connection = Connection {
            client: from.peer.clone(),
            server: to.peer.clone(),
            content: part.content(),
            published: false,
        };
        let [now, file] = [judge(&tables[0], &connection)?, judge(&tables[1], &connection)?];
        match groups.iter_mut().find(|(of_now, of_file, _)| *of_now == now && *of_file == file) {
            Some((.., parts)) => parts.push(part),
            None => groups.push((now, file, vec![part])),
        }
    }
    groups.sort_by_key(|(.., parts)| parts.contains(&Part::Rest));
    let alone = groups.len() == 1;
    let case = |(now, file, parts): (Judgement, Judgement, Vec<Part>)| Case {
        from: from.clone(),
        to: to.clone(),
        traffic: traffic::told(&parts, alone),
        now,
        file,
    };
    Ok(groups.into_iter().map(case).collect())
}

/// The ports at which a rule begins to hold or ends to, of those rules that packets between the two can meet.
fn edges(evaluator: &Evaluator<'_>, from: &Peer, to: &Peer) -> BTreeSet<u16> {
    let way = |peer: &Peer| match peer {
        Peer::Behind { interface, .. } => Some(interface.clone()),
        Peer::Host { .. } => None,
    };
    let chain = way(from).map(|bridge| Way { from: bridge, to: way(to) }.chain());
    let can_meet = |name: &str| Way::of_chain(name).is_none() || chain.as_deref() == Some(name);
    let values = evaluator.values(can_meet).flat_map(|pattern| match pattern {
        Pattern::Number(port) => vec![*port, port.saturating_add(1)],
        Pattern::Numbers(first, last) => vec![*first, last.saturating_add(1)],
        _ => Vec::new(),
    });
    values.collect()
}

fn judge((table, evaluator): &(&LiveTable, Evaluator<'_>), connection: &Connection) -> Result<Judgement, Unclear> {
    let ruling = |direction, state| match connection.packet(direction, state) {
        Some(packet) => evaluator.decide(&packet).map(|decision| Ruling::new(table, decision.passes, decision.by)),
        None => Ok(Ruling { passes: true, chain: None, rule: None, comment: None }),
    };
    let opens = ruling(Direction::Original, State::New)?;
    let answers = if opens.passes { Some(ruling(Direction::Reply, State::Established)?) } else { None };
    Ok(Judgement { opens, answers })
}

/// The same is allowed, now and by the file.
fn alike(one: &[Case], other: &[Case]) -> bool {
    let told = |cases: &[Case]| {
        let each = cases.iter().map(|case| (case.traffic.clone(), case.now.is_allowed(), case.file.is_allowed()));
        each.collect::<Vec<_>>()
    };
    told(one) == told(other)
}
