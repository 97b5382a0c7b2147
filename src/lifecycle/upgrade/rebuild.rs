//! A machine made anew from a newer image, with everything that it has but its root disk. The old one is kept beside it,
//! stopped and out of its way, until the new one is healthy, and comes back where it is not.
//!
//! Every step leaves something by which the next run knows where it stood: the mark on the old one, its name, and whether
//! there is a new one.

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};

use crate::incus::call::Call;
use crate::incus::edit::Edit;
use crate::plan::{Action, Id, Impact, Verb};
use crate::resources::aside;
use crate::resources::fields::mark;
use crate::resources::instance::Instances;
use crate::resources::journey::{Journey, old};
use crate::resources::{Found, Resource, WantedInstance, image};

/// What an old machine gave up, written on it: it gets all of it back where the new one is no good.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub(crate) struct Record {
    /// The keys that it had, of those that change when it is put out of the way.
    config: BTreeMap<String, String>,
    devices: BTreeMap<String, BTreeMap<String, String>>,
    /// The units that had failed in it.
    pub(crate) failed: BTreeSet<String>,
    /// Commands could be run in it.
    pub(crate) asks: bool,
}

/// Nothing starts it, and nothing deletes it in passing.
const OUT_OF_THE_WAY: [(&str, &str); 2] = [("boot.autostart", "false"), ("security.protection.delete", "true")];
/// Nothing is taken of it by itself.
const SCHEDULE: &str = "snapshots.schedule";

impl Record {
    /// Of a machine as Incus lists it.
    pub(crate) fn of(listed: &Value) -> Self {
        let changes =
            |key: &str| is_address(key) || key == SCHEDULE || OUT_OF_THE_WAY.iter().any(|(changed, _)| *changed == key);
        let config = strings(&listed["config"]).filter(|(key, _)| changes(key)).collect();
        let devices = listed["devices"].as_object().into_iter().flatten();
        let devices = devices.map(|(name, keys)| (name.clone(), strings(keys).collect())).collect();
        Self { config, devices, ..Self::default() }
    }

    /// What is written on an old one.
    pub(crate) fn read(listed: &Value) -> Option<Self> {
        let text = listed["config"][mark::REBUILD].as_str()?;
        Some(serde_json::from_str(text).unwrap_or_default())
    }

    /// With what was seen of the machine before it stopped.
    pub(crate) fn seen(self, asks: bool, failed: BTreeSet<String>) -> Self {
        Self { failed, asks, ..self }
    }

    fn text(&self) -> String {
        serde_json::to_string(self).unwrap_or_default()
    }

    /// It gives up its addresses, MAC addresses and volumes, which Incus would let nobody else have, not even while it is
    /// stopped. Of its disks it keeps its own root.
    pub(crate) fn giving_up(&self, name: &str, listed: &Value) -> Edit {
        let is_root = |keys: &BTreeMap<String, String>| keys.get("path").is_some_and(|path| path == "/");
        let cards = listed["expanded_devices"].as_object().into_iter().flatten();
        let cards = cards.filter(|(_, keys)| keys["type"] == "nic").map(|(name, _)| name.clone());
        let none = |card: String| (card, BTreeMap::from([("type".to_owned(), "none".to_owned())]));
        let by = format!("anklume upgrade --rebuild {name}");
        let journey = Journey { name: name.to_owned(), by, ..Journey::default() };
        let marks = [(mark::JOURNEY.to_owned(), journey.text()), (mark::REBUILD.to_owned(), self.text())];
        let out_of_the_way = OUT_OF_THE_WAY.map(|(key, value)| (key.to_owned(), value.to_owned()));
        Edit {
            set: out_of_the_way.into_iter().chain(marks).collect(),
            unset: self.config.keys().filter(|key| is_address(key) || *key == SCHEDULE).cloned().collect(),
            remove_devices: self
                .devices
                .iter()
                .filter(|(_, keys)| !is_root(keys))
                .map(|(name, _)| name.clone())
                .collect(),
            devices: cards.map(none).collect(),
            ..Edit::default()
        }
    }

    /// It gets everything back, its mark being the last to go. `listed` is how it stands now. A card that comes back is new
    /// for Incus, which gives it another MAC address, whatever is sent along with it: its own one comes after.
    fn getting_back(&self, listed: &Value) -> [Edit; 2] {
        let now = listed["devices"].as_object().into_iter().flatten().map(|(name, _)| name.clone());
        let marks = [mark::JOURNEY, mark::REBUILD].into_iter();
        let changed = marks.chain(OUT_OF_THE_WAY.iter().map(|(key, _)| *key));
        let devices = Edit { remove_devices: now.collect(), devices: self.devices.clone(), ..Edit::default() };
        let config = Edit {
            unset: changed.filter(|key| !self.config.contains_key(*key)).map(str::to_owned).collect(),
            set: self.config.clone(),
            ..Edit::default()
        };
        [devices, config]
    }

    /// The body of the new one: all that the old one had and was, but for what Incus keeps for itself.
    fn body(&self, listed: &Value, image: &str) -> Value {
        let is_kept = |key: &str| !["volatile.", "image."].iter().any(|start| key.starts_with(start));
        let is_passing = |key: &str| {
            [mark::JOURNEY, mark::REBUILD, mark::KEPT].contains(&key)
                || OUT_OF_THE_WAY.iter().any(|(one, _)| *one == key)
        };
        let kept = strings(&listed["config"]).filter(|(key, _)| is_kept(key) && !is_passing(key));
        let mut config: BTreeMap<String, String> = kept.chain(self.config.clone()).collect();
        config.insert(mark::IMAGE.to_owned(), image.to_owned());
        let mut body = Map::new();
        for key in ["description", "profiles"] {
            body.insert(key.into(), listed[key].clone());
        }
        body.insert("config".into(), json!(config));
        body.insert("devices".into(), json!(self.devices));
        Value::Object(body)
    }
}

fn is_address(key: &str) -> bool {
    key.starts_with("volatile.") && key.ends_with(".hwaddr")
}

fn strings(map: &Value) -> impl Iterator<Item = (String, String)> + '_ {
    let pairs = map.as_object().into_iter().flatten();
    pairs.filter_map(|(key, value)| Some((key.clone(), value.as_str()?.to_owned())))
}

/// A machine of the file that is made anew, and how it stands.
pub(crate) struct Rebuild<'a> {
    pub(crate) id: Id,
    pub(crate) domain: &'a str,
    /// As in the file.
    pub(crate) name: &'a str,
    pub(crate) instance: WantedInstance,
    /// Under its own name: the old one before it is set aside, the new one after.
    pub(crate) there: Option<(&'a Found, &'a Value)>,
    /// The old one, under the name that it is kept under.
    pub(crate) old: Option<(&'a Found, &'a Value)>,
}

impl Rebuild<'_> {
    /// An earlier run was cut off.
    pub(crate) fn is_begun(&self) -> bool {
        self.old.is_some() || self.record_there().is_some()
    }

    fn record_there(&self) -> Option<Record> {
        self.there.and_then(|(_, listed)| Record::read(listed))
    }

    /// What the old one gave up, or is to give up.
    pub(crate) fn record(&self) -> Record {
        let written = self.old.and_then(|(_, listed)| Record::read(listed)).or_else(|| self.record_there());
        written.or_else(|| self.there.map(|(_, listed)| Record::of(listed))).unwrap_or_default()
    }

    /// What is left to do until the new one runs. `record` is what the old one gives up.
    pub(crate) fn making(&self, record: &Record) -> Vec<Action> {
        let mut actions = Vec::new();
        if self.old.is_none() {
            actions.extend(self.there.map(|(found, listed)| self.setting_aside(found, listed, record)));
        }
        let source = self.old.or(self.there);
        let is_made = self.old.is_some() && self.there.is_some();
        if let Some((_, listed)) = source.filter(|_| !is_made) {
            actions.push(self.creation(record.body(listed, &self.instance.image)));
        }
        let is_up = is_made && self.there.is_some_and(|(found, _)| found.is_up());
        if !is_up {
            actions.push(self.action(Verb::Start, "", Instances::start_with_files(&self.id, &self.instance)));
        }
        actions
    }

    fn setting_aside(&self, found: &Found, listed: &Value, record: &Record) -> Action {
        let mut calls = Vec::new();
        calls.extend(found.is_up().then(|| Instances::stop(found)));
        // Also where an earlier run did: it may have been about to take it back.
        calls.push(Instances.edit(&self.id, record.giving_up(self.name, listed)));
        let old = old(&self.id);
        calls.push(Call::incus(["rename", &self.id.name, &old.name, "--project", &self.id.project]));
        Action { impact: Impact::Restart, ..self.action(Verb::Keep, &format!("as {}", old.name), calls) }
    }

    fn creation(&self, body: Value) -> Action {
        let source = image::local_name(&self.instance.image, self.instance.vm);
        let mut args = vec!["create", &source, &self.id.name, "--project", &self.id.project];
        args.extend(self.instance.vm.then_some("--vm"));
        args.extend(body["profiles"].as_array().is_none_or(Vec::is_empty).then_some("--no-profiles"));
        self.action(Verb::Create, &format!("from {}", self.instance.image), vec![Call::incus(args).body(body)])
    }

    /// The new one is no good: the old one takes its place again. Where this is cut off, the next run begins anew.
    pub(crate) fn putting_back(&self) -> Vec<Action> {
        let mut actions = Vec::new();
        if let (Some((found, _)), Some(_)) = (self.there, self.old) {
            actions.push(self.action(Verb::Delete, "the new one", Instances.delete(found)));
        }
        let stands = self
            .old
            .map(|(_, listed)| listed)
            .or_else(|| self.there.map(|(_, listed)| listed).filter(|listed| Record::read(listed).is_some()));
        if let Some(listed) = stands {
            let mut calls = Vec::new();
            if let Some((old, _)) = self.old {
                let words = ["rename", &old.id.name, &self.id.name, "--project", &self.id.project];
                calls.push(Call::incus(words));
            }
            calls.extend(self.record().getting_back(listed).map(|edit| Instances.edit(&self.id, edit)));
            calls.push(Instances::start(&self.id));
            actions.push(self.action(Verb::Move, "the old one, in its place", calls));
        } else if let Some((found, _)) = self.there.filter(|(found, _)| !found.is_up()) {
            // It was stopped, and no more than that.
            actions.push(self.action(Verb::Start, "", vec![Instances::start(&found.id)]));
        }
        actions
    }

    /// The new one is good: the old one goes, unless it has snapshots, which would go with it.
    pub(crate) fn ending(&self, has_snapshots: bool, now: &str) -> Option<Action> {
        let (old, _) = self.old?;
        if !has_snapshots {
            return Some(Action { id: old.id.clone(), ..self.action(Verb::Delete, "", Instances.delete(old)) });
        }
        let kept = aside::Kept { name: self.id.name.clone() };
        let edit = Edit { set: [(mark::KEPT.to_owned(), kept.text())].into(), ..Edit::default() };
        let name = aside::name(&self.id.name, now);
        let rename = Call::incus(["rename", &old.id.name, &name, "--project", &old.id.project]);
        let calls = vec![Instances.edit(&old.id, edit), rename];
        let note = format!("as {name}, since it has snapshots");
        Some(Action { id: old.id.clone(), ..self.action(Verb::Keep, &note, calls) })
    }

    fn action(&self, verb: Verb, note: &str, calls: Vec<Call>) -> Action {
        Action {
            domain: self.domain.to_owned(),
            note: note.to_owned(),
            heavy: self.instance.vm,
            ..Action::bare(self.id.clone(), verb, calls)
        }
    }
}

#[cfg(test)]
mod tests;
