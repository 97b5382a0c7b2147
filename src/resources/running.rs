//! The calls around what a machine is when it runs: its first start, and changes that it has to restart for.

use std::borrow::Cow;
use std::collections::BTreeSet;

use super::difference::Change;
use super::fields::{Fields, Key};
use super::instance::{self, Instances};
use super::{Found, Resource, Status, Wanted};
use crate::incus::call::Call;
use crate::incus::edit::Edit;
use crate::incus::live::Live;
use crate::plan::{Id, Verb};
use crate::resolve::context::PREFIX;
use crate::resolve::desired::Desired;

/// Stop, change, start: also for containers, which take most changes running, so that a run that is cut off
/// leaves either nothing changed or a stopped machine that the next plan starts. A machine in `released` stands still
/// already, and starts with the change of its own.
pub(super) fn around(wanted: &Wanted, edits: Vec<Call>, restarted: &[&Found], released: &BTreeSet<Id>) -> Vec<Call> {
    let stands = |found: &Found| released.contains(&found.id);
    let mut calls = Vec::new();
    let restarted: Vec<&Found> =
        restarted.iter().filter(|found| !stands(found) || found.id == wanted.id).copied().collect();
    for found in restarted.iter().filter(|found| !stands(found)) {
        calls.extend(found.is_ephemeral().then(|| make_ephemeral(&found.id, false)));
        calls.push(Instances::stop(found));
    }
    calls.extend(edits);
    for found in restarted {
        calls.push(Instances::start(&found.id).always());
        calls.extend(found.is_frozen().then(|| Instances::pause(&found.id).always()));
        // Its own change says whether it still is to be one.
        let fields = if found.id == wanted.id { &wanted.fields } else { &found.fields };
        let again = found.is_ephemeral() && is_ephemeral(fields);
        calls.extend(again.then(|| make_ephemeral(&found.id, true).always()));
    }
    calls
}

/// A machine that the file does not let run any longer.
pub(super) type ToStop<'a> = (&'a Wanted, &'a Found);

/// The machines that run, or are paused, and are to be stopped.
pub(super) fn to_stop<'a>(desired: &Desired, live: &'a Live, wanted: &'a [Wanted]) -> Vec<ToStop<'a>> {
    let pairs = wanted.iter().filter_map(|wanted| Some((wanted, live.found.get(&wanted.id)?)));
    let stops = |(wanted, found): &ToStop<'_>| {
        let (Some(instance), Some(stands)) = (&wanted.instance, &found.instance) else { return false };
        let is_anothers = found.marks.as_ref().is_some_and(|marks| marks.infra != desired.infra);
        !is_anothers && instance::run_state(instance, &stands.status) == Some(Verb::Stop)
    };
    pairs.filter(stops).collect()
}

/// The host once those are stopped.
pub(super) fn stopped<'a>(live: &'a Live, stops: &[ToStop<'_>]) -> Cow<'a, Live> {
    let mut live = Cow::Borrowed(live);
    for (wanted, _) in stops {
        let found = live.to_mut().found.get_mut(&wanted.id);
        if let Some(instance) = found.and_then(|found| found.instance.as_mut()) {
            instance.status = Status::Stopped;
        }
    }
    live
}

/// Stops a machine that is to stay.
pub(super) fn stop(found: &Found) -> Vec<Call> {
    let stop = Instances::stop(found);
    if found.is_ephemeral() {
        vec![make_ephemeral(&found.id, false), stop, make_ephemeral(&found.id, true).always()]
    } else {
        vec![stop]
    }
}

pub(super) fn is_ephemeral(fields: &Fields) -> bool {
    fields.get(&Key::Ephemeral).is_some_and(|value| value == "true")
}

/// An ephemeral machine is gone once it has stopped: one that is to come back is none meanwhile.
pub(super) fn make_ephemeral(id: &Id, ephemeral: bool) -> Call {
    Instances.edit(id, Edit { ephemeral: Some(ephemeral), ..Edit::default() })
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
    use crate::incus::call::When;
    use serde_json::json;

    fn machine(status: &str, ephemeral: bool) -> Found {
        let listed = json!({"name": "a", "project": "p", "type": "container", "status": status,
            "ephemeral": ephemeral, "profiles": [], "config": {}, "devices": {}});
        Instances.found(&listed).unwrap()
    }

    /// The calls around a change of the machine itself.
    fn calls(found: &Found, released: bool) -> Vec<String> {
        let wanted = Wanted::bare(found.id.clone(), "", found.fields.clone());
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
    fn an_ephemeral_machine_is_none_while_it_stops_and_starts() {
        let ephemeral = machine("Running", true);
        assert_eq!(calls(&ephemeral, false), ["config", "stop", "config", "start", "config"]);
        let stop = stop(&ephemeral);
        assert_eq!(stop.iter().map(|call| call.args[0].as_str()).collect::<Vec<_>>(), ["config", "stop", "config"]);
        assert_eq!(stop[2].when, When::Always, "also when it does not stop");
    }
}
