//! The calls around a change that running machines have to restart for.

use super::instance::Instances;
use super::{Found, Status, Wanted};
use crate::incus::call::Call;
use crate::infra::model::RunState;

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
