//! What probably becomes of a packet in a table of somebody else's, whose rules are not all understood.

use serde_json::Value;

use super::packet::{Hook, Packet, State};
use super::rule::{Step, Strange, Verdict};
use super::walk::{DEPTH, Evaluator, mapped};

/// What becomes of a packet in a chain.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Likely {
    pub(crate) passes: bool,
    /// A rule that is not understood might have let it through.
    pub(crate) doubt: bool,
}

/// Does a rule hold?
enum Guess {
    No,
    Yes(Verdict),
    /// What can be understood of it does.
    Perhaps(Option<Verdict>),
}

/// A part of iptables' that nft has no words for in its JSON, as `match conntrack`. What it asks is not told, but what
/// firewalls use it for is known.
fn extension(strange: &Strange) -> Option<String> {
    let json: Value = serde_json::from_str(&strange.to_string()).ok()?;
    Some(format!("{} {}", json["xt"]["type"].as_str()?, json["xt"]["name"].as_str()?))
}

impl Evaluator<'_> {
    /// Follows a chain with a hook, and passes over the rules that are not understood; `policy`: what its end does.
    pub(crate) fn likely(&self, chain: &str, policy: bool, packet: &Packet) -> Likely {
        let mut doubt = false;
        let passes = self.follow(chain, packet, 0, &mut doubt).unwrap_or(policy);
        Likely { passes, doubt }
    }

    /// Does it pass? Nothing where the chain comes to its end.
    fn follow(&self, chain: &str, packet: &Packet, depth: usize, doubt: &mut bool) -> Option<bool> {
        let rules = self.chains.get(chain).filter(|_| depth < DEPTH)?;
        for rule in rules {
            match self.guess(rule, packet) {
                Guess::No | Guess::Yes(Verdict::Continue) => {}
                Guess::Yes(Verdict::Accept) => return Some(true),
                Guess::Yes(Verdict::Drop | Verdict::Reject) => return Some(false),
                Guess::Yes(Verdict::Return) => return None,
                Guess::Yes(Verdict::Goto(to)) => return self.follow(&to, packet, depth + 1, doubt),
                Guess::Yes(Verdict::Jump(to)) => {
                    let decided = self.follow(&to, packet, depth + 1, doubt);
                    if decided.is_some() {
                        return decided;
                    }
                }
                Guess::Perhaps(verdict) => *doubt |= self.may_let_through(verdict.as_ref(), depth),
            }
        }
        None
    }

    fn guess(&self, rule: &[Result<Step, Strange>], packet: &Packet) -> Guess {
        let (mut unclear, mut verdict) = (false, None);
        let says = |wanted: &Verdict| rule.iter().any(|step| matches!(step, Ok(Step::Say(said)) if said == wanted));
        for step in rule {
            match step {
                Ok(Step::Match { keys, op, right }) => match self.matches(keys, *op, right, packet) {
                    Ok(true) => {}
                    Ok(false) => return Guess::No,
                    Err(_) => unclear = true,
                },
                Ok(Step::Map { keys, entries }) => match mapped(keys, entries, packet) {
                    Ok(said) => verdict = said,
                    Err(_) => unclear = true,
                },
                Ok(Step::Say(said)) => verdict = Some(said.clone()),
                Ok(Step::Log) => {}
                Err(strange) => match extension(strange).as_deref() {
                    Some("match comment" | "target LOG" | "target NFLOG") => {}
                    Some("target REJECT") => verdict = Some(Verdict::Reject),
                    // Rules that accept by the state accept what is on its way; others drop what has none.
                    Some("match conntrack" | "match state") if says(&Verdict::Accept) => {
                        if packet.state == State::New {
                            return Guess::No;
                        }
                    }
                    Some("match conntrack" | "match state") => return Guess::No,
                    // What ufw asks first: whether the target is the host's own address.
                    Some("match addrtype") if packet.hook == Hook::Input && says(&Verdict::Return) => {}
                    _ => unclear = true,
                },
            }
        }
        match verdict {
            verdict if unclear => Guess::Perhaps(verdict),
            Some(verdict) => Guess::Yes(verdict),
            None => Guess::No,
        }
    }

    /// A rule that only logs, or drops, lets nothing through.
    fn may_let_through(&self, verdict: Option<&Verdict>, depth: usize) -> bool {
        match verdict {
            None | Some(Verdict::Drop | Verdict::Reject | Verdict::Continue) => false,
            Some(Verdict::Accept | Verdict::Return) => true,
            Some(Verdict::Jump(to) | Verdict::Goto(to)) => {
                let rules = self.chains.get(to.as_str()).filter(|_| depth < DEPTH).into_iter().flatten();
                let mut said = rules.flatten().filter_map(|step| match step {
                    Ok(Step::Say(verdict)) if *verdict != Verdict::Return => Some(verdict),
                    _ => None,
                });
                said.any(|verdict| self.may_let_through(Some(verdict), depth + 1))
            }
        }
    }
}
