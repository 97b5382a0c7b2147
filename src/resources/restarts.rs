//! One stop and one start for a machine that restarts for several changes, one after the other: a virtual machine that
//! has just been started does not hear yet that it is to stop.

use std::collections::{BTreeMap, BTreeSet};

use crate::incus::call::Call;
use crate::plan::{Action, Impact};

/// A machine, as calls name it: project and name.
pub(crate) type Machine = (String, String);

/// Leaves a machine down between two actions that both stop and start it.
pub(super) fn joined(actions: &mut [Action]) {
    let mut last: BTreeMap<Machine, usize> = BTreeMap::new();
    for next in 0..actions.len() {
        if actions[next].impact != Impact::Restart {
            continue;
        }
        for machine in stopped(&actions[next]) {
            if let Some(earlier) = last.insert(machine.clone(), next) {
                join(actions, earlier, next, &machine);
            }
        }
    }
}

/// The machines that an action stops.
pub(crate) fn stopped(action: &Action) -> Vec<Machine> {
    action.calls.iter().filter_map(|call| machine_of("stop", call)).collect()
}

/// Only where nothing but the earlier action can keep the next one from its turn: the machine would stay down. What the next
/// one waits for, and that comes before both, is waited for by the earlier one: up between the two, a machine would be
/// started when half of what changes is there, on a network that has moved, say, with its address of before.
fn join(actions: &mut [Action], earlier: usize, next: usize, machine: &Machine) {
    let is_of = |verb: &str, call: &Call| machine_of(verb, call).as_ref() == Some(machine);
    let starts = actions[earlier].calls.iter().any(|call| is_of("start", call));
    if !starts || !actions[next].after.contains(&earlier) || actions[next].after.iter().any(|before| *before > earlier)
    {
        return;
    }
    let waited: BTreeSet<usize> = actions[next].after.iter().chain(&actions[earlier].after).copied().collect();
    actions[earlier].after = waited.into_iter().filter(|before| *before != earlier).collect();
    for call in &mut actions[earlier].calls {
        if is_of("start", call) || is_of("pause", call) {
            *call = call.clone().rescue();
        }
    }
    actions[next].calls.retain(|call| !is_of("stop", call));
}

/// The machine of a call such as `incus stop NAME --project PROJECT`.
fn machine_of(verb: &str, call: &Call) -> Option<Machine> {
    match call.args.as_slice() {
        [is, name, flag, project, ..] if call.program == "incus" && is == verb && flag == "--project" => {
            Some((project.clone(), name.clone()))
        }
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::incus::call::When;
    use crate::plan::{Id, Kind, Verb};

    fn restarting(name: &str, machines: &[&str], after: &[usize]) -> Action {
        let call = |verb: &str, machine: &str| Call::incus([verb, machine, "--project", "p"]);
        let mut calls: Vec<Call> = machines.iter().map(|machine| call("stop", machine)).collect();
        calls.push(Call::incus(["edit", name]));
        calls.extend(machines.iter().map(|machine| call("start", machine).always()));
        Action {
            id: Id::within(Kind::Profile, "p", name),
            domain: "p".into(),
            verb: Verb::Update,
            fields: Vec::new(),
            impact: Impact::Restart,
            note: String::new(),
            heavy: false,
            calls,
            after: after.to_vec(),
        }
    }

    /// `stop a`, and `(start a)` for what is only run after a failure.
    fn calls(action: &Action) -> Vec<String> {
        let told = |call: &Call| {
            let words = call.args[..2].join(" ");
            if call.when == When::Rescue { format!("({words})") } else { words }
        };
        action.calls.iter().map(told).collect()
    }

    #[test]
    fn a_machine_that_restarts_for_several_changes_stays_down_from_the_first_to_the_last() {
        let mut actions = [
            restarting("one", &["a", "b"], &[]),
            restarting("two", &["a"], &[0]),
            restarting("three", &["a"], &[0, 1]),
        ];
        joined(&mut actions);
        assert_eq!(calls(&actions[0]), ["stop a", "stop b", "edit one", "(start a)", "start b"]);
        assert_eq!(calls(&actions[1]), ["edit two", "(start a)"]);
        assert_eq!(calls(&actions[2]), ["edit three", "start a"]);
    }

    #[test]
    fn what_the_last_change_waits_for_is_waited_for_before_the_machine_stops() {
        let mut actions =
            [restarting("other", &["x"], &[]), restarting("one", &["a"], &[]), restarting("two", &["a"], &[0, 1])];
        joined(&mut actions);
        assert_eq!(actions[1].after, [0]);
        assert_eq!(calls(&actions[1]), ["stop a", "edit one", "(start a)"]);
        assert_eq!(calls(&actions[2]), ["edit two", "start a"]);
    }

    #[test]
    fn a_change_that_something_else_may_hold_up_finds_the_machine_running() {
        let mut actions =
            [restarting("one", &["a"], &[]), restarting("other", &["x"], &[]), restarting("two", &["a"], &[0, 1])];
        let before = actions.clone();
        joined(&mut actions);
        assert_eq!(actions, before);
    }
}
