//! Narrows a plan to the domains and machines that a user named.

use std::collections::BTreeSet;

use super::order;
use crate::plan::{Action, Id, Kind, Plan, Verb};
use crate::resolve::desired::Desired;

/// Is this thing of a domain among what was named? Everything is, where nothing was.
pub(crate) fn names(desired: &Desired, target: &[String], domain: &str, id: &Id) -> bool {
    let machine = desired.domains.iter().flat_map(|domain| &domain.machines);
    let is_machine = |name: &String| {
        id.kind == Kind::Instance
            && (id.name == *name || machine.clone().any(|machine| machine.name == *name && machine.instance == id.name))
    };
    target.is_empty() || target.iter().any(|name| domain == name.as_str() || is_machine(name))
}

/// Keeps the named domains and machines, and what they need; the firewall always, since it is one for all.
pub(crate) fn narrow(plan: &mut Plan, desired: &Desired, target: &[String]) {
    let named = |domain: &str, id: &Id| names(desired, target, domain, id);
    let actions = std::mem::take(&mut plan.actions);
    let mut released = BTreeSet::new();
    loop {
        let picked = |action: &Action| {
            action.id.kind.is_isolation() || named(&action.domain, &action.id) || released.contains(&action.id)
        };
        plan.actions = order::only(actions.clone(), picked);
        // Who gives up an address for one that was named has to get another one, which may be a third one's.
        let givers = plan.actions.iter().filter(|action| action.verb == Verb::Release);
        let now = givers.map(|action| action.id.clone()).collect();
        if now == released {
            break;
        }
        released = now;
    }
    plan.held.retain(|held| held.id.kind.is_isolation() || named(&held.domain, &held.id));
}
