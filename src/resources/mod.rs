//! One file per kind of thing: what is wanted, what is there, and the calls that make one the other.

pub(crate) mod acl;
pub(crate) mod aside;
mod birth;
pub(crate) mod cache;
mod devices;
pub(crate) mod difference;
pub(crate) mod directory;
pub(crate) mod exchange;
pub(crate) mod fencing;
pub(crate) mod fields;
mod gpu;
pub(crate) mod image;
pub(crate) mod instance;
pub(crate) mod journey;
pub(crate) mod network;
pub(crate) mod order;
pub(crate) mod planner;
pub(crate) mod profile;
pub(crate) mod project;
#[cfg(test)]
mod properties;
pub(crate) mod record;
mod release;
pub(crate) mod removal;
mod replacing;
pub(crate) mod restarts;
mod running;
mod sides;
pub(crate) mod steps;
pub(crate) mod target;
pub(crate) mod volume;
mod weigh;
pub(crate) mod zone;

use std::collections::BTreeMap;

use serde_json::{Map, Value, json};

use crate::incus::call::Call;
use crate::incus::edit::Edit;
use crate::incus::server::Server;
use crate::infra::model::RunState;
use crate::plan::{Id, Impact};
use crate::resolve::desired::Desired;
use fields::{Fields, Key, Marks};

/// A thing as it should be.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Wanted {
    pub(crate) id: Id,
    /// The domain it belongs to, as the file names it.
    pub(crate) domain: String,
    pub(crate) fields: Fields,
    /// Set when it is made and never compared: the features of a project.
    pub(crate) at_birth: BTreeMap<String, String>,
    /// What has to be there first.
    pub(crate) needs: Vec<Id>,
    pub(crate) protected: bool,
    /// What Incus makes with the project and anklume only fills: a project's `default` profile.
    pub(crate) comes_with_project: bool,
    /// A word for the plan.
    pub(crate) note: String,
    /// Instances only.
    pub(crate) instance: Option<WantedInstance>,
}

impl Wanted {
    /// One with nothing but its fields.
    pub(crate) fn bare(id: Id, domain: &str, fields: Fields) -> Self {
        Self {
            id,
            domain: domain.to_owned(),
            fields,
            at_birth: BTreeMap::new(),
            needs: Vec::new(),
            protected: false,
            comes_with_project: false,
            note: String::new(),
            instance: None,
        }
    }
}

/// What only an instance has.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct WantedInstance {
    pub(crate) vm: bool,
    pub(crate) image: String,
    /// Files to be in it at its first start: path and text.
    pub(crate) files: Vec<(String, String)>,
    pub(crate) state: RunState,
    pub(crate) state_written: bool,
}

impl Wanted {
    /// The marks it should carry once all of its keys are set.
    pub(crate) fn marks(&self, infra: &str) -> Marks {
        Marks {
            infra: infra.to_owned(),
            domain: self.domain.clone(),
            protected: self.protected,
            applied: self.fields.keys().filter(|key| key.is_marked()).cloned().collect(),
            kept: None,
            journey: None,
        }
    }

    /// The complete body to make it with, marks and all.
    pub(crate) fn body(&self, infra: &str) -> Value {
        let everything: Vec<(Key, Option<String>)> =
            self.fields.iter().map(|(key, value)| (key.clone(), Some(value.clone()))).collect();
        let mut edit = fields::edit(&everything, &self.marks(infra));
        edit.set.extend(self.at_birth.clone());
        edit.ephemeral = None;
        let Value::Object(mut body) = edit.apply(&json!({})) else { return Value::Object(Map::new()) };
        body.entry("description").or_insert_with(|| json!(""));
        Value::Object(body)
    }
}

/// A thing as it is.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Found {
    pub(crate) id: Id,
    /// What anklume wrote on it; `None` on what it did not make.
    pub(crate) marks: Option<Marks>,
    pub(crate) fields: Fields,
    /// Incus or the marks keep it from being deleted.
    pub(crate) protected: bool,
    /// What it cannot be without.
    pub(crate) needs: Vec<Id>,
    /// Instances only.
    pub(crate) instance: Option<FoundInstance>,
}

/// What only an instance has.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct FoundInstance {
    pub(crate) vm: bool,
    pub(crate) status: Status,
    /// When it was last started, as Incus writes it.
    pub(crate) used: String,
    /// Its limits, its own and those of its profiles.
    pub(crate) limits: BTreeMap<String, String>,
}

#[cfg(test)]
impl FoundInstance {
    /// A container of which nothing more is known.
    pub(crate) fn standing(status: Status) -> Self {
        Self { vm: false, status, used: String::new(), limits: BTreeMap::new() }
    }
}

/// How an instance stands.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Status {
    Running,
    Stopped,
    Frozen,
    /// `Error`, `Starting`, …
    Other(String),
}

impl Found {
    /// Is it a machine on its way from one state to another?
    pub(crate) fn is_passing(&self) -> bool {
        let passing = ["Starting", "Stopping", "Freezing", "Thawed", "Thawing"];
        self.instance
            .as_ref()
            .is_some_and(|instance| matches!(&instance.status, Status::Other(word) if passing.contains(&word.as_str())))
    }

    /// Is it a machine whose processes exist now?
    pub(crate) fn is_up(&self) -> bool {
        self.instance.as_ref().is_some_and(|instance| instance.status != Status::Stopped)
    }

    /// Is it a machine that was set aside when it was made anew?
    pub(crate) fn is_set_aside(&self) -> bool {
        self.marks.as_ref().and_then(|marks| marks.kept.as_ref()).is_some_and(|kept| kept.is_aside(&self.id))
    }

    /// Is it a machine that is gone when it stops?
    pub(crate) fn is_ephemeral(&self) -> bool {
        running::is_ephemeral(&self.fields)
    }

    /// The domain that it is marked with; empty for what nobody marked.
    pub(crate) fn domain(&self) -> &str {
        self.marks.as_ref().map(|marks| marks.domain.as_str()).unwrap_or_default()
    }

    /// Is it a machine that is paused?
    pub(crate) fn is_frozen(&self) -> bool {
        self.instance.as_ref().is_some_and(|instance| instance.status == Status::Frozen)
    }
}

/// A kind of Incus object.
pub(crate) trait Resource: Sync {
    /// One listed object in its canonical form; `None` for what is no business of ours.
    fn found(&self, listed: &Value) -> Option<Found>;
    /// Those that the file asks for.
    fn wanted(&self, desired: &Desired) -> Vec<Wanted>;
    /// The one call that makes it whole. `start` is for instances: create it and start it.
    fn create(&self, wanted: &Wanted, infra: &str, start: bool) -> Call;
    /// The one call that changes it.
    fn edit(&self, id: &Id, edit: Edit) -> Call;
    /// The calls that take it away.
    fn delete(&self, found: &Found) -> Vec<Call>;
    /// What changing `key` to what is wanted does to what is running.
    fn impact(&self, key: &Key, wanted: &Wanted, found: &Found, server: Option<&Server>) -> Impact;
}

/// The kinds that are compared, each before those that need it.
pub(crate) const RESOURCES: [&dyn Resource; 8] = [
    &project::Projects,
    &acl::Acls,
    &zone::Zones,
    &network::Networks,
    &record::Records,
    &profile::Profiles,
    &volume::Volumes,
    &instance::Instances,
];

/// The resource that a thing is of; `None` for what is not compared key by key.
pub(crate) fn resource(id: &Id) -> Option<&'static dyn Resource> {
    use crate::plan::Kind;
    Some(match id.kind {
        Kind::Project => &project::Projects,
        Kind::Acl => &acl::Acls,
        Kind::Zone => &zone::Zones,
        Kind::Network => &network::Networks,
        Kind::Record => &record::Records,
        Kind::Profile => &profile::Profiles,
        Kind::Volume => &volume::Volumes,
        Kind::Instance => &instance::Instances,
        Kind::Package
        | Kind::Pool
        | Kind::Firewall
        | Kind::File
        | Kind::Service
        | Kind::Image
        | Kind::Directory
        | Kind::Snapshot => {
            return None;
        }
    })
}

/// What a thing with these fields cannot be without.
pub(crate) fn needs_of(id: &Id, fields: &Fields) -> Vec<Id> {
    use crate::plan::Kind;
    let mut needs = Vec::new();
    needs.extend((!id.project.is_empty()).then(|| Id::global(Kind::Project, &id.project)));
    match id.kind {
        Kind::Network => needs.extend(network::needs(fields)),
        Kind::Record => needs.push(record::zone_of(id)),
        Kind::Profile => {
            needs.extend(network::nics(fields).map(|nic| Id::global(Kind::Network, nic.bridge)));
            needs.extend(volume::attached(&id.project, fields));
        }
        Kind::Instance => {
            let profiles = fields.get(&Key::Profiles).map(|list| fields::split(list)).unwrap_or_default();
            needs.extend(profiles.into_iter().map(|name| Id::within(Kind::Profile, &id.project, name)));
            needs.extend(network::nics(fields).map(|nic| Id::global(Kind::Network, nic.bridge)));
            needs.extend(volume::attached(&id.project, fields));
        }
        _ => {}
    }
    needs
}

/// The description of a domain, on its project and its bridge. None in the file says nothing of either: what somebody wrote
/// there stays.
pub(crate) fn described(text: &str) -> Fields {
    let text = Some(text.to_owned()).filter(|text| !text.is_empty());
    text.map(|text| (Key::Description, text)).into_iter().collect()
}

/// Config keys as fields.
pub(crate) fn put_config(fields: &mut Fields, config: &BTreeMap<String, String>) {
    for (key, value) in config.iter().filter(|(_, value)| !value.is_empty()) {
        fields.insert(Key::Config(key.clone()), value.clone());
    }
}

/// Devices as fields.
pub(crate) fn put_devices(fields: &mut Fields, devices: &BTreeMap<String, BTreeMap<String, String>>) {
    for (name, device) in devices {
        for (key, value) in device.iter().filter(|(_, value)| !value.is_empty()) {
            fields.insert(Key::Device(name.clone(), key.clone()), value.clone());
        }
    }
}
