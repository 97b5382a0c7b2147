//! Narrows a plan to the domains and machines that a user named.

use super::order;
use crate::plan::{Id, Kind, Plan};
use crate::resolve::desired::Desired;

/// Keeps the named domains and machines, and what they need; the firewall always, since it is one for all.
pub(crate) fn narrow(plan: &mut Plan, desired: &Desired, target: &[String]) {
    let named = |domain: &str, id: &Id| {
        let machine = desired.domains.iter().flat_map(|domain| &domain.machines);
        let is_machine = |name: &String| {
            id.kind == Kind::Instance
                && (id.name == *name
                    || machine.clone().any(|machine| machine.name == *name && machine.instance == id.name))
        };
        target.iter().any(|name| domain == name.as_str() || is_machine(name))
    };
    let actions = std::mem::take(&mut plan.actions);
    plan.actions = order::only(actions, |action| action.id.kind.is_isolation() || named(&action.domain, &action.id));
    plan.held.retain(|held| held.id.kind.is_isolation() || named(&held.domain, &held.id));
}
