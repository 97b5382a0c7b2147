//! `apply --snapshot`: a plan that takes snapshots of the machines that it is to restart, or to make anew, before it does.

use std::collections::{BTreeMap, BTreeSet};

use super::prune::Rule;
use super::reading::Snapshots;
use super::snapshot::{self, Family, Snapshot};
use crate::apply::{Outcome, Report};
use crate::incus::live::Live;
use crate::plan::{Action, Id, Impact, Kind, Plan, Verb};
use crate::resources::{Found, restarts};

/// How many of them stay, for each machine.
const KEPT: usize = 3;

/// The same plan, with the snapshots first. What is done to a machine waits for its snapshot, and is not done without it.
/// `now` is the time in their names.
pub(crate) fn with_snapshots(plan: Plan, live: &Live, snapshots: &Snapshots, now: &str) -> Plan {
    let name = Family::PreApply.name(now);
    let is_new = |id: &Id| snapshots.get(id, &name).is_none_or(|taken| taken.own.is_none());
    let risky: BTreeSet<Id> = plan.actions.iter().flat_map(risked).collect();
    let risky: Vec<&Found> = risky.iter().filter(|id| is_new(id)).filter_map(|id| live.found.get(id)).collect();
    let kept: BTreeSet<&Id> =
        plan.actions.iter().filter(|action| action.verb == Verb::Keep).map(|action| &action.id).collect();
    let mut actions: Vec<Action> = Vec::new();
    let mut taken: BTreeMap<Id, usize> = BTreeMap::new();
    for found in &risky {
        taken.insert(found.id.clone(), actions.len());
        actions.push(snapshot::taking(found, &snapshot::volumes_of(found), &name, None));
    }
    for found in &risky {
        // Those of one that is set aside go along with it.
        let surplus = if kept.contains(&found.id) { Vec::new() } else { surplus(snapshots.of(&found.id)) };
        let after = vec![taken[&found.id]];
        let domain = &actions[after[0]].domain.clone();
        actions
            .extend(surplus.into_iter().map(|old| Action { after: after.clone(), ..snapshot::removal(old, domain) }));
    }
    let first = actions.len();
    for action in plan.actions {
        let waits = concerned(&action).into_iter().filter_map(|id| taken.get(&id)).copied();
        let mut after: Vec<usize> = waits.chain(action.after.iter().map(|before| before + first)).collect();
        after.sort_unstable();
        after.dedup();
        actions.push(Action { after, ..action });
    }
    Plan { actions, held: plan.held }
}

/// The time in the names of the snapshots that a run has taken.
pub(crate) fn taken<'p>(plan: &'p Plan, report: &Report) -> Option<&'p str> {
    let is_taking = |action: &Action| action.id.kind == Kind::Snapshot && action.verb == Verb::Create;
    let done = plan.actions.iter().zip(&report.outcomes).filter(|(_, outcome)| matches!(outcome, Outcome::Done));
    let mut names =
        done.filter(|(action, _)| is_taking(action)).filter_map(|(action, _)| action.id.name.split_once('/'));
    names.find_map(|(_, name)| name.strip_prefix(Family::PreApply.prefix()))
}

/// The machines that an action restarts, or sets aside.
fn risked(action: &Action) -> Vec<Id> {
    if action.verb == Verb::Keep {
        return vec![action.id.clone()];
    }
    let stopped = restarts::stopped(action).into_iter().filter(|_| action.impact == Impact::Restart);
    stopped.map(|(project, name)| Id::within(Kind::Instance, project, name)).collect()
}

/// The machines that an action changes.
fn concerned(action: &Action) -> Vec<Id> {
    let own = Some(action.id.clone()).filter(|id| id.kind == Kind::Instance);
    risked(action).into_iter().chain(own).collect()
}

/// What is too many once there is one more, and what a run left that was cut off.
fn surplus(of_machine: &[Snapshot]) -> Vec<&Snapshot> {
    let rule = Rule { keep: KEPT - 1, before: None, families: vec![Family::PreApply] };
    let left = |one: &&Snapshot| {
        one.own.is_none() && Family::of(&one.name).is_some_and(|(family, _)| family == Family::PreApply)
    };
    let mut surplus = rule.pruned(of_machine);
    let left: Vec<&Snapshot> = of_machine.iter().filter(left).filter(|one| !surplus.contains(one)).collect();
    surplus.extend(left);
    surplus
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::incus::call::Call;
    use crate::resources::Resource;
    use crate::resources::instance::Instances;
    use serde_json::{Value, json};

    const NOW: &str = "20261124-190000";

    fn dev() -> Id {
        Id::within(Kind::Instance, "pro", "dev")
    }

    fn listed(snapshots: &[&str]) -> Value {
        let snapshots: Vec<Value> = snapshots.iter().map(|name| json!({"name": name})).collect();
        json!({"name": "dev", "project": "pro", "type": "container", "status": "Running", "profiles": [], "config": {},
            "devices": {"data": {"type": "disk", "pool": "p", "source": "dev-data", "path": "/d"}},
            "snapshots": snapshots})
    }

    fn action(verb: Verb, impact: Impact, id: Id, calls: Vec<Call>, after: &[usize]) -> Action {
        let found = Instances.found(&listed(&[])).unwrap();
        let action = snapshot::taking(&found, &BTreeSet::new(), "", None);
        Action { id, verb, impact, calls, after: after.to_vec(), ..action }
    }

    fn restart(after: &[usize]) -> Action {
        let stop = Call::incus(["stop", "dev", "--project", "pro"]);
        action(Verb::Update, Impact::Restart, Id::within(Kind::Profile, "pro", "small"), vec![stop], after)
    }

    fn edit(after: &[usize]) -> Action {
        action(Verb::Update, Impact::Live, dev(), Vec::new(), after)
    }

    /// Each action with those that it waits for.
    fn told(actions: Vec<Action>, snapshots: &[&str]) -> Vec<String> {
        let listed = listed(snapshots);
        let found = Instances.found(&listed).unwrap();
        let live = Live { found: [(found.id.clone(), found)].into(), ..Live::empty() };
        let volumes = json!([{"name": "dev-data/pre-apply-20260101-000000", "project": "pro"}]);
        let snapshots = Snapshots::parse(&json!([listed]), &json!([]), [("p", &volumes)].into_iter());
        let plan = with_snapshots(Plan { actions, held: Vec::new() }, &live, &snapshots, NOW);
        let told = |action: &Action| format!("{} {} {:?}", action.verb.word(), action.id, action.after);
        plan.actions.iter().map(told).collect()
    }

    #[test]
    fn what_restarts_a_machine_waits_for_its_snapshot() {
        let other = action(Verb::Create, Impact::Live, Id::global(Kind::Project, "x"), Vec::new(), &[]);
        let actions = vec![other, restart(&[0]), edit(&[1])];
        assert_eq!(
            told(actions, &["pre-apply-20260101-000000"]),
            [
                "create snapshot dev/pre-apply-20261124-190000 []",
                "create project x []",
                "update profile small of pro [0, 1]",
                "update instance dev [0, 2]",
            ]
        );
    }

    #[test]
    fn what_restarts_nothing_takes_no_snapshot() {
        assert_eq!(told(vec![edit(&[])], &[]), ["update instance dev []"]);
        let stop = action(Verb::Stop, Impact::Live, dev(), vec![Call::incus(["stop", "dev", "--project", "pro"])], &[]);
        assert_eq!(told(vec![stop], &[]), ["stop instance dev []"]);
    }

    #[test]
    fn a_machine_that_is_made_anew_is_taken_with_all_of_its_snapshots() {
        let old = ["pre-apply-20261101-000000", "pre-apply-20261102-000000", "pre-apply-20261103-000000"];
        let keep = action(Verb::Keep, Impact::Live, dev(), Vec::new(), &[]);
        let expected = ["create snapshot dev/pre-apply-20261124-190000 []", "keep instance dev [0]"];
        assert_eq!(told(vec![keep], &old), expected);
    }

    #[test]
    fn the_last_three_stay_and_what_was_cut_off_goes() {
        let old = ["pre-apply-20261101-000000", "pre-apply-20261102-000000", "pre-apply-20261103-000000", "monday"];
        assert_eq!(
            told(vec![restart(&[])], &old),
            [
                "create snapshot dev/pre-apply-20261124-190000 []",
                "delete snapshot dev/pre-apply-20260101-000000 [0]",
                "delete snapshot dev/pre-apply-20261101-000000 [0]",
                "update profile small of pro [0]",
            ]
        );
    }

    #[test]
    fn a_second_look_takes_none_again() {
        assert_eq!(told(vec![restart(&[])], &["pre-apply-20261124-190000"]), ["update profile small of pro []"]);
    }
}
