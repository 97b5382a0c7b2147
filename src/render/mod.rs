//! A plan or a status as text, JSON or Markdown.

pub(crate) mod diff;
pub(crate) mod images;
pub(crate) mod json;
pub(crate) mod markdown;
pub(crate) mod progress;
pub(crate) mod snapshots;
pub(crate) mod status;
pub(crate) mod text;

use crate::plan::{Action, Held, Plan};
use crate::resolve::desired::{Desired, Domain};

/// A plan, as it is shown: by domain, in the file's order; what belongs to no domain of the file comes after.
pub(crate) struct Group<'a> {
    /// Empty for what belongs to the host.
    pub(crate) name: &'a str,
    /// The domain, where the file has it.
    pub(crate) domain: Option<&'a Domain>,
    pub(crate) actions: Vec<&'a Action>,
    pub(crate) held: Vec<&'a Held>,
}

/// Groups a plan by domain.
pub(crate) fn groups<'a>(plan: &'a Plan, desired: &'a Desired) -> Vec<Group<'a>> {
    let mut names: Vec<&str> = vec![""];
    names.extend(desired.domains.iter().map(|domain| domain.name.as_str()));
    let mentioned = plan.actions.iter().map(|action| &action.domain).chain(plan.held.iter().map(|held| &held.domain));
    let mut others: Vec<&str> = mentioned.map(String::as_str).filter(|name| !names.contains(name)).collect();
    others.sort_unstable();
    others.dedup();
    names.extend(others);
    let group = |name: &'a str| Group {
        name,
        domain: desired.domains.iter().find(|domain| domain.name == name),
        actions: plan.actions.iter().filter(|action| action.domain == name).collect(),
        held: plan.held.iter().filter(|held| held.domain == name).collect(),
    };
    let groups = names.into_iter().map(group);
    groups.filter(|group| !group.actions.is_empty() || !group.held.is_empty()).collect()
}

/// How many of each there are.
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Serialize)]
pub(crate) struct Totals {
    pub(crate) create: usize,
    pub(crate) change: usize,
    pub(crate) delete: usize,
    /// Differences that wait for a word of the user, or that cannot be made.
    pub(crate) not_made: usize,
    pub(crate) orphans: usize,
}

impl Totals {
    /// Counts a plan.
    pub(crate) fn of(plan: &Plan) -> Self {
        let orphans = plan.held.iter().filter(|held| held.why.left_the_file()).count();
        Self {
            create: plan.count('+'),
            change: plan.count('~'),
            delete: plan.count('-'),
            not_made: plan.held.len() - orphans,
            orphans,
        }
    }
}

/// `Plan: 3 to create, 1 to change, 0 to delete.`, or that there is nothing to do.
pub(crate) fn totals_line(plan: &Plan) -> String {
    let Totals { create, change, delete, not_made, orphans } = Totals::of(plan);
    if plan.actions.is_empty() && plan.held.is_empty() {
        return "Nothing to do: everything is as the file says.".into();
    }
    let mut line = format!("Plan: {create} to create, {change} to change, {delete} to delete");
    if not_made > 0 {
        line.push_str(&format!("; {not_made} not made"));
    }
    if orphans > 0 {
        line.push_str(&format!("; {orphans} not in the file"));
    }
    line.push('.');
    line
}
