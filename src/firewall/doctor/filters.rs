//! Filters of others that drop what is allowed, found by sending packets through them on paper.

use std::collections::{BTreeMap, BTreeSet};

use super::mend::{self, Owner};
use super::probes::{Probe, Purpose, probes};
use super::tables::{Filter, foreign};
use super::{Check, Finding, Level, Readings};
use crate::firewall::evaluate::walk::Evaluator;
use crate::resolve::desired::Desired;

/// How many names are told before it is only said how many more there are.
const NAMES: usize = 5;

pub(super) fn findings(desired: &Desired, readings: &Readings) -> Vec<Finding> {
    let probes = probes(desired, readings.uplink.as_deref(), readings.kernel.filters_bridged);
    let mut findings = Vec::new();
    for foreign in foreign(&readings.ruleset) {
        let evaluator = Evaluator::new(&foreign.table);
        for filter in foreign.filters() {
            findings.extend(finding(&filter, &evaluator, &probes));
        }
    }
    findings
}

/// What a filter drops of all that has to pass.
fn finding(filter: &Filter<'_>, evaluator: &Evaluator<'_>, probes: &[Probe]) -> Option<Finding> {
    let mut dropped = Vec::new();
    let mut doubt = true;
    for probe in probes.iter().filter(|probe| probe.packet.hook.word() == filter.hook) {
        let likely = evaluator.likely(filter.chain, filter.policy, &probe.packet);
        if !likely.passes {
            doubt &= likely.doubt;
            dropped.push(probe);
        }
    }
    if dropped.is_empty() {
        return None;
    }
    let owner = Owner::of(filter);
    let bridges: BTreeSet<&String> = dropped.iter().flat_map(|probe| &probe.bridges).collect();
    let verb = if doubt { "may drop" } else { "drops" };
    Some(Finding {
        check: Check::Filters,
        level: if doubt { Level::Warning } else { Level::Failure },
        message: format!("`{}`{} {verb} {}", filter.path(), owner.told(), losses(&dropped).join("; ")),
        mend: mend::commands(filter, owner, &bridges),
        note: owner.note().into(),
    })
}

/// What is lost, in words.
fn losses(dropped: &[&Probe]) -> Vec<String> {
    let mut domains: BTreeMap<&str, BTreeSet<&str>> = BTreeMap::new();
    let mut policies: BTreeSet<&str> = BTreeSet::new();
    for probe in dropped {
        match told(&probe.purpose) {
            Ok(words) => drop(domains.entry(words).or_default().insert(&probe.domain)),
            Err(policy) => drop(policies.insert(policy)),
        }
    }
    let in_order = [Purpose::Outside, Purpose::Answers, Purpose::Within, Purpose::Services];
    let words = in_order.iter().filter_map(|purpose| told(purpose).ok());
    let mut losses: Vec<String> =
        words.filter_map(|words| Some(format!("{words}: {}", some(domains.get(words)?)))).collect();
    if !policies.is_empty() {
        losses.push(format!("what the policies allow: {}", some(&policies)));
    }
    losses
}

/// A purpose that every domain has in the same words; or the policy that it is.
fn told(purpose: &Purpose) -> Result<&'static str, &str> {
    Ok(match purpose {
        Purpose::Outside => "what machines send outside",
        Purpose::Answers => "the answers from outside",
        Purpose::Within => "what machines of one domain send each other, since net.bridge.bridge-nf-call-iptables is 1",
        Purpose::Services => "DHCP and DNS",
        Purpose::Policy(policy) => return Err(policy),
    })
}

/// `a, b, c and 4 more`
fn some(names: &BTreeSet<&str>) -> String {
    let told: Vec<&str> = names.iter().take(NAMES).copied().collect();
    match names.len().saturating_sub(NAMES) {
        0 => told.join(", "),
        more => format!("{} and {more} more", told.join(", ")),
    }
}
