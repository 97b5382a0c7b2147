//! A machine goes back to one of its snapshots: the calls, and what of it anklume keeps as it is.

use std::collections::BTreeSet;

use super::snapshot::{self, Snapshot};
use crate::incus::call::Call;
use crate::incus::edit::Edit;
use crate::plan::{Action, Id, Impact, Verb};
use crate::resources::fields::{Marks, mark};
use crate::resources::instance::Instances;
use crate::resources::{Found, Resource, Status};

/// A machine, the snapshot that it goes back to, and how it is to stand then.
pub(crate) struct Restoring<'a> {
    pub(crate) found: &'a Found,
    pub(crate) snapshot: &'a Snapshot,
    /// The volumes that have one of the same name too.
    pub(crate) volumes: bool,
    /// `Running`, `Frozen` or `Stopped`.
    pub(crate) then: Status,
}

impl Restoring<'_> {
    /// The bridges that it would come back on, and the volumes that it would come back with, though they are its own no
    /// more: it was moved since, or taken over, or is a copy. It then stays stopped until the next `apply` has put it where
    /// the file has it.
    pub(crate) fn elsewhere(&self) -> impl Iterator<Item = &String> {
        self.snapshot.own.iter().flat_map(|own| &own.elsewhere)
    }

    /// Is it to run, or to be paused?
    pub(crate) fn comes_up(&self) -> bool {
        self.then != Status::Stopped && self.elsewhere().next().is_none()
    }

    /// The volumes that go back along with it.
    pub(crate) fn loads(&self) -> BTreeSet<&Id> {
        self.snapshot.volumes.iter().filter(|_| self.volumes).collect()
    }

    /// One call where that is enough: Incus itself stops it and starts it again, whatever becomes of the one who asked.
    pub(crate) fn calls(&self) -> Vec<Call> {
        let id = &self.found.id;
        let (loads, is_up, comes_up) = (self.loads(), self.found.is_up(), self.comes_up());
        let stops = is_up && (!loads.is_empty() || !comes_up);
        let mut calls = Vec::new();
        if stops {
            let stays = Edit { ephemeral: Some(false), ..Edit::default() };
            calls.extend(self.found.is_ephemeral().then(|| Instances.edit(id, stays)));
            calls.push(Instances::stop(self.found));
        }
        calls.extend(loads.into_iter().map(|load| snapshot::restore_of_volume(load, &self.snapshot.name)));
        calls.push(snapshot::restore(id, &self.snapshot.name));
        calls.extend(self.remarked().map(|edit| Instances.edit(id, edit)));
        if comes_up {
            // Also where it did not go back: it was running.
            let start = || if stops { Instances::start(id).always() } else { Instances::start(id) };
            calls.extend((stops || !is_up).then(start));
            calls.extend((self.then == Status::Frozen).then(|| Instances::pause(id)));
        }
        calls
    }

    /// Whose it is stays as it is now, whatever was written on it when the snapshot was taken. What was applied is what
    /// was applied by then: the next plan compares with that.
    fn remarked(&self) -> Option<Edit> {
        let now = self.found.marks.as_ref()?;
        // One that was set aside and has its name again, or a copy in its place, is a machine like any other.
        let now = &Marks { kept: None, journey: None, ..now.clone() };
        let then = self.snapshot.own.as_ref().and_then(|own| own.marks.clone()).unwrap_or_default();
        let whose = |marks: &Marks| {
            let config = marks.config().into_iter();
            config.filter(|(key, _)| key != mark::APPLIED).collect::<std::collections::BTreeMap<_, _>>()
        };
        let (now, then) = (whose(now), whose(&then));
        let unset = then.keys().filter(|key| !now.contains_key(*key)).cloned().collect();
        (now != then).then(|| Edit { set: now, unset, ..Edit::default() })
    }

    /// The same as an action of a plan.
    pub(crate) fn action(&self) -> Action {
        let volumes: Vec<&str> = self.loads().into_iter().map(|id| id.name.as_str()).collect();
        let with = if volumes.is_empty() { String::new() } else { format!(", with {}", volumes.join(", ")) };
        let elsewhere: Vec<&str> = self.elsewhere().map(String::as_str).collect();
        let stays = if elsewhere.is_empty() {
            String::new()
        } else {
            format!("; {} was its own then, so it stays stopped until the next apply", elsewhere.join(", "))
        };
        Action {
            id: self.found.id.clone(),
            domain: self.found.domain().to_owned(),
            verb: Verb::Restore,
            fields: Vec::new(),
            impact: if self.found.is_up() { Impact::Restart } else { Impact::Live },
            note: format!("from {}{with}{stays}", self.snapshot.name),
            heavy: self.found.instance.as_ref().is_some_and(|instance| instance.vm),
            calls: self.calls(),
            after: Vec::new(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::lifecycle::snapshot::Own;
    use crate::plan::Kind;
    use crate::resources::volume;
    use serde_json::json;

    fn machine(status: &str, more: &[(&str, &str)]) -> Found {
        let mut config = json!({"user.anklume.infra": "lab", "user.anklume.domain": "pro"});
        for (key, value) in more {
            config[key] = json!(value);
        }
        let listed = json!({"name": "dev", "project": "pro", "type": "container", "status": status, "profiles": [],
            "config": config, "devices": {}});
        Instances.found(&listed).unwrap()
    }

    fn snapshot(own: Own) -> Snapshot {
        let machine = Id::within(Kind::Instance, "pro", "dev");
        let volumes = [volume::id("pro", "p", "dev-data")].into();
        Snapshot { machine, name: "s".into(), own: Some(own), volumes, of_volumes: None }
    }

    fn of_now() -> Own {
        Own { marks: machine("Running", &[]).marks, ..Own::default() }
    }

    /// The first words of the calls.
    fn told(status: &str, then: Status, own: Own, volumes: bool) -> Vec<String> {
        let (found, snapshot) = (machine(status, &[]), snapshot(own));
        let calls = Restoring { found: &found, snapshot: &snapshot, volumes, then }.calls();
        let told = |call: &Call| {
            call.args.iter().take_while(|word| *word != "dev" && *word != "p").cloned().collect::<Vec<_>>().join(" ")
        };
        calls.iter().map(told).collect()
    }

    #[test]
    fn a_machine_comes_back_as_it_was_to_stand() {
        let of = |status, then| told(status, then, of_now(), false);
        assert_eq!(of("Running", Status::Running), ["snapshot restore"]);
        assert_eq!(of("Frozen", Status::Frozen), ["snapshot restore", "pause"]);
        assert_eq!(of("Stopped", Status::Stopped), ["snapshot restore"]);
        assert_eq!(of("Stopped", Status::Running), ["snapshot restore", "start"]);
        assert_eq!(of("Running", Status::Stopped), ["stop", "snapshot restore"]);
    }

    #[test]
    fn it_stands_still_while_its_volumes_go_back() {
        let volume = "storage volume snapshot restore";
        let expected = ["stop", volume, "snapshot restore", "start"];
        assert_eq!(told("Running", Status::Running, of_now(), true), expected);
        assert_eq!(told("Stopped", Status::Stopped, of_now(), true), [volume, "snapshot restore"]);
    }

    #[test]
    fn whose_it_is_stays_as_it_is_now() {
        let other = Marks { domain: "home".into(), protected: true, ..of_now().marks.unwrap() };
        for marks in [None, Some(other)] {
            let own = Own { marks, ..of_now() };
            assert_eq!(told("Running", Status::Running, own.clone(), false), ["snapshot restore", "config edit"]);
            let (found, snapshot) = (machine("Running", &[]), snapshot(own));
            let this = Restoring { found: &found, snapshot: &snapshot, volumes: false, then: Status::Running };
            let edit = this.remarked().unwrap();
            let read = json!({"config": {"user.anklume.protected": "true", "user.anklume.applied": "[\"config/x\"]"}});
            let config = json!({"user.anklume.infra": "lab", "user.anklume.domain": "pro", "user.anklume.applied": "[\"config/x\"]"});
            let edited = edit.apply(&read)["config"].clone();
            let is_unset = |key: &str| edit.unset.contains(key);
            assert_eq!(edited["user.anklume.domain"], config["user.anklume.domain"]);
            assert_eq!(edited["user.anklume.applied"], config["user.anklume.applied"], "by then");
            assert_eq!(
                is_unset("user.anklume.protected"),
                snapshot.own.as_ref().is_some_and(|own| own.marks.is_some())
            );
        }
    }

    #[test]
    fn nothing_starts_on_a_bridge_that_it_was_taken_from() {
        let own = Own { elsewhere: ["net-home".to_owned()].into(), ..of_now() };
        assert_eq!(told("Running", Status::Running, own.clone(), false), ["stop", "snapshot restore"]);
        assert_eq!(told("Stopped", Status::Running, own.clone(), false), ["snapshot restore"]);
        let (found, snapshot) = (machine("Running", &[]), snapshot(own));
        let this = Restoring { found: &found, snapshot: &snapshot, volumes: false, then: Status::Running };
        assert_eq!(this.action().note, "from s; net-home was its own then, so it stays stopped until the next apply");
    }
}
