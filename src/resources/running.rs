//! The calls around what a machine is when it runs: its first start, and changes that it has to restart for.

use super::difference::Change;
use super::fields::Key;
use super::instance::Instances;
use super::{Found, Resource, Status, Wanted};
use crate::incus::call::Call;
use crate::infra::model::RunState;
use crate::resolve::context::PREFIX;

/// Stop, change, start: also for containers, which take most changes running, so that a run that is cut off
/// leaves either nothing changed or a stopped machine that the next plan starts.
pub(super) fn around(wanted: &Wanted, edit: Call, restarted: &[&Found]) -> Vec<Call> {
    let stays_down = wanted.instance.as_ref().is_some_and(|instance| instance.state == RunState::Stopped);
    let mut calls: Vec<Call> = restarted.iter().map(|found| Instances::stop(found)).collect();
    calls.push(edit);
    for found in restarted.iter().filter(|_| !stays_down) {
        calls.push(Instances::start(&found.id).always());
        if found.instance.as_ref().is_some_and(|instance| instance.status == Status::Frozen) {
            calls.push(Instances::pause(&found.id).always());
        }
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
