//! The calls around what a machine is when it runs: its first start, and changes that it has to restart for.

use std::collections::BTreeSet;

use super::difference::Change;
use super::exchange;
use super::fields::Key;
use super::instance::Instances;
use super::{Found, Resource, Wanted};
use crate::incus::call::Call;
use crate::infra::model::RunState;
use crate::plan::Id;
use crate::resolve::context::PREFIX;

/// Stop, change, start: also for containers, which take most changes running, so that a run that is cut off
/// leaves either nothing changed or a stopped machine that the next plan starts. A machine in `released` stands still
/// already, and starts with the change of its own.
pub(super) fn around(wanted: &Wanted, edits: Vec<Call>, restarted: &[&Found], released: &BTreeSet<Id>) -> Vec<Call> {
    let stays_down = wanted.instance.as_ref().is_some_and(|instance| instance.state == RunState::Stopped);
    // A machine with a static address on a bridge that moves restarts when it gets another one.
    let waits = |found: &&&Found| {
        (released.contains(&found.id) && found.id != wanted.id) || exchange::has_seat_on(found, &wanted.id)
    };
    let restarted: Vec<&Found> = restarted.iter().filter(|found| !waits(found)).copied().collect();
    let stands = |found: &&&Found| released.contains(&found.id) || found.is_ephemeral();
    let mut calls: Vec<Call> =
        restarted.iter().filter(|found| !stands(found)).map(|found| Instances::stop(found)).collect();
    calls.extend(edits);
    for found in restarted.iter().filter(|_| !stays_down) {
        calls.extend(again(found));
    }
    calls
}

/// The calls after which a machine runs, or is frozen, as it was. An ephemeral one was not stopped: it would be gone.
fn again(found: &Found) -> Vec<Call> {
    let mut calls = match (found.is_ephemeral(), found.is_frozen()) {
        (false, _) => vec![Instances::start(&found.id).always()],
        (true, false) => vec![Instances::restart(&found.id)],
        (true, true) => vec![Instances::resume(&found.id), Instances::restart(&found.id)],
    };
    if found.is_frozen() {
        calls.push(Instances::pause(&found.id).always());
    }
    calls
}

/// One call makes it; but a machine that is to find files in it is started after they are there.
pub(super) fn birth(wanted: &Wanted, resource: &dyn Resource, infra: &str, start: bool) -> Vec<Call> {
    let instance = wanted.instance.as_ref().filter(|instance| !instance.files.is_empty() && !instance.vm);
    let mut calls = vec![resource.create(wanted, infra, start && instance.is_none())];
    if let Some(instance) = instance {
        calls.extend(Instances::put_files(&wanted.id, instance));
        calls.extend(start.then(|| Instances::start(&wanted.id)));
    }
    calls
}

/// The files again, where a change is about what they say or about who gets them.
pub(super) fn context_files(wanted: &Wanted, now: &[Change]) -> Vec<Call> {
    let about = |key: &Key| matches!(key, Key::Config(key) if key == "security.nesting" || key.starts_with(PREFIX));
    let files = wanted.instance.iter().filter(|_| now.iter().any(|change| about(&change.key)));
    files.flat_map(|instance| Instances::put_files(&wanted.id, instance)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::incus::edit::Edit;
    use serde_json::json;

    fn machine(status: &str, ephemeral: bool) -> Found {
        let listed = json!({"name": "a", "project": "p", "type": "container", "status": status,
            "ephemeral": ephemeral, "profiles": [], "config": {}, "devices": {}});
        Instances.found(&listed).unwrap()
    }

    /// The calls around a change of the machine itself.
    fn calls(found: &Found, released: bool) -> Vec<String> {
        let wanted = Wanted {
            id: found.id.clone(),
            domain: String::new(),
            fields: found.fields.clone(),
            at_birth: std::collections::BTreeMap::new(),
            needs: Vec::new(),
            protected: false,
            comes_with_project: false,
            note: String::new(),
            instance: None,
        };
        let edit = Instances.edit(&found.id, Edit::default());
        let released = if released { BTreeSet::from([found.id.clone()]) } else { BTreeSet::new() };
        let calls = around(&wanted, vec![edit], &[found], &released);
        calls.iter().map(|call| call.args[0].clone()).collect()
    }

    #[test]
    fn a_machine_stops_changes_and_starts_again_as_it_was() {
        assert_eq!(calls(&machine("Running", false), false), ["stop", "config", "start"]);
        assert_eq!(calls(&machine("Frozen", false), false), ["stop", "config", "start", "pause"]);
    }

    #[test]
    fn a_machine_that_stands_still_already_is_not_stopped() {
        assert_eq!(calls(&machine("Running", false), true), ["config", "start"]);
    }

    #[test]
    fn an_ephemeral_machine_is_never_stopped() {
        assert_eq!(calls(&machine("Running", true), false), ["config", "restart"]);
        assert_eq!(calls(&machine("Frozen", true), false), ["config", "resume", "restart", "pause"]);
    }
}
