//! Narrows a plan to the domains and machines that a user named.

use std::collections::BTreeSet;

use super::sides::Sides;
use super::steps::{self, Phase, Step};
use crate::plan::{Held, Id, Kind};

/// What the user named; everything where nothing was.
pub(super) struct Target<'a> {
    names: &'a [String],
    /// The machines among it, by their names in Incus.
    machines: BTreeSet<&'a str>,
}

impl<'a> Target<'a> {
    pub(super) fn new(sides: &Sides<'a>) -> Self {
        let names = &sides.options.target;
        let all = sides.desired.domains.iter().flat_map(|domain| &domain.machines);
        let meant = all.filter(|machine| names.contains(&machine.name));
        let machines = meant.map(|machine| &machine.instance).chain(names).map(String::as_str).collect();
        Self { names, machines }
    }

    /// Is it the thing that was named, or in a domain that was?
    pub(super) fn names(&self, domain: &str, id: &Id) -> bool {
        self.names.is_empty()
            || self.names.iter().any(|name| name == domain)
            || (id.kind == Kind::Instance && self.machines.contains(id.name.as_str()))
    }

    /// Keeps the steps of what was named, and all that they need.
    pub(super) fn narrow(&self, steps: Vec<Step>, sides: &Sides<'_>) -> Vec<Step> {
        if self.names.is_empty() {
            return steps;
        }
        let before = steps::before(&steps, sides);
        let mut kept: Vec<bool> = steps.iter().map(|step| self.names(&step.action.domain, &step.action.id)).collect();
        loop {
            let count = kept.iter().filter(|kept| **kept).count();
            let needed = (0..steps.len()).filter(|at| kept[*at]).flat_map(|at| before[at].iter().copied());
            for at in needed.collect::<Vec<_>>() {
                kept[at] = true;
            }
            // Who gives up an address for one that was named has to get another one, which may be a third one's.
            let givers = (0..steps.len()).filter(|at| kept[*at] && steps[*at].phase == Phase::Release);
            let givers: BTreeSet<Id> = givers.map(|at| steps[at].action.id.clone()).collect();
            for (at, step) in steps.iter().enumerate() {
                kept[at] |= givers.contains(&step.action.id);
            }
            if kept.iter().filter(|kept| **kept).count() == count {
                return steps.into_iter().zip(kept).filter(|(_, kept)| *kept).map(|(step, _)| step).collect();
            }
        }
    }

    /// Of what is not changed, that which was named; the isolation always, since it is one for all.
    pub(super) fn keeps(&self, held: &Held) -> bool {
        held.id.kind.is_isolation() || self.names(&held.domain, &held.id)
    }

    /// Is something of this domain meant?
    pub(super) fn concerns(&self, sides: &Sides<'_>, domain: &str) -> bool {
        let of_domain = || sides.desired.domains.iter().filter(|one| one.name == domain).flat_map(|one| &one.machines);
        self.names.is_empty()
            || self.names.iter().any(|name| name == domain)
            || of_domain().any(|machine| self.machines.contains(machine.instance.as_str()))
    }
}
