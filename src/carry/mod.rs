//! Machines carried elsewhere with their volumes: copied whole under a name of their own, compared, and only then put in
//! their place.

pub(crate) mod archive;
mod compare;
pub(crate) mod copying;
pub(crate) mod placing;
#[cfg(test)]
mod tests;

use crate::incus::live::Live;
use crate::plan::{Action, Id, Kind, Plan, Verb};
use crate::resolve::desired::{Config, Domain, Machine};
use crate::resources::fields::{Fields, Key};
use crate::resources::journey::{Journey, Load};
use crate::resources::{Found, volume};

/// A machine that is to be carried, and where to.
pub(crate) struct Cargo<'a> {
    pub(crate) source: &'a Found,
    /// Where it is to stand, as the file will have it.
    pub(crate) domain: &'a Domain,
    pub(crate) machine: &'a Machine,
    pub(crate) journey: Journey,
    /// The pool of its root disk now, as far as it is known.
    from_pool: Option<String>,
    /// The pool that its root disk is to have of its own.
    own_pool: Option<String>,
}

/// What keeps a machine from being carried, and what to type.
pub(crate) struct Obstacle {
    pub(crate) message: String,
    pub(crate) hint: String,
}

impl Obstacle {
    pub(crate) fn new(message: impl Into<String>, hint: impl Into<String>) -> Self {
        Self { message: message.into(), hint: hint.into() }
    }
}

impl<'a> Cargo<'a> {
    /// Packs a machine with its volumes. `by` is what is typed to do this.
    pub(crate) fn pack(
        source: &'a Found,
        live: &Live,
        (domain, machine): (&'a Domain, &'a Machine),
        moves: bool,
        by: &str,
    ) -> Self {
        let fields = &source.fields;
        let own = |fields: &Fields| root_pool(fields).cloned();
        let wanted = machine.devices.values().find(|keys| keys.get("path").is_some_and(|path| path == "/"));
        let wanted = wanted.and_then(|keys| keys.get("pool").cloned());
        let from_pool = own(fields).or_else(|| live.root_pool(&source.id.project).cloned());
        let to_pool = wanted.clone().unwrap_or_else(|| domain.pool.clone());
        let own_pool = (wanted.is_some() || own(fields).is_some()).then(|| to_pool.clone());
        let loads = machine.volumes.iter().filter_map(|written| {
            let of = |key: &str| fields.get(&Key::Device(written.device.clone(), key.into()));
            let from = volume::id(&source.id.project, of("pool")?, of("source")?);
            let to = volume::id(&domain.project, &written.wanted_pool, &written.name);
            let keys = || device(fields, &written.device);
            (from != to).then(|| Load { device: written.device.clone(), from: from.name, to: to.name, keys: keys() })
        });
        let journey = Journey {
            name: machine.instance.clone(),
            from: Some((source.id.project.clone(), source.id.name.clone())),
            moves,
            used: source.instance.as_ref().map(|instance| instance.used.clone()).unwrap_or_default(),
            complete: false,
            volumes: loads.collect(),
            by: by.to_owned(),
        };
        Self { source, domain, machine, journey, from_pool, own_pool }
    }

    /// The volumes that it has and the file gives it: what it calls each, and which it is.
    pub(crate) fn attached(&self) -> impl Iterator<Item = (String, Id)> {
        self.machine.volumes.iter().filter_map(|written| {
            let of = |key: &str| self.source.fields.get(&Key::Device(written.device.clone(), key.into()));
            Some((written.device.clone(), volume::id(&self.source.id.project, of("pool")?, of("source")?)))
        })
    }

    /// Where it is to stand.
    pub(crate) fn place(&self) -> Id {
        Id::within(Kind::Instance, &self.domain.project, &self.machine.instance)
    }

    /// Does it go from one project to another?
    fn crosses(&self) -> bool {
        self.source.id.project != self.domain.project
    }

    /// Does it stand where it is to stand, with all its volumes?
    pub(crate) fn is_there(&self) -> bool {
        let pool = self.own_pool.as_ref().or(Some(&self.domain.pool));
        self.place() == self.source.id && self.journey.volumes.is_empty() && pool == self.from_pool.as_ref()
    }

    /// What is in the way.
    pub(crate) fn obstacles(&self, live: &Live) -> Vec<Obstacle> {
        let mut all = Vec::new();
        let (name, project) = (&self.source.id.name, &self.domain.project);
        if self.source.is_ephemeral() {
            let hint = "write `instance_ephemeral: false`, `anklume apply`, then this again";
            all.push(Obstacle::new(format!("{name} has to stop for it, and is gone when it stops"), hint));
        }
        let comes = self.place() != self.source.id;
        let place = if comes { self.place() } else { Id::within(Kind::Instance, project, "") };
        all.extend(in_the_way(live, self.domain, &place, &self.journey.volumes));
        all.extend(self.strangers());
        all.extend(self.sharers(live));
        all
    }

    /// Volumes that somebody attached by hand do not come along into another project.
    fn strangers(&self) -> Option<Obstacle> {
        let known = |device: &str| self.machine.volumes.iter().any(|volume| volume.device == device);
        let stranger = self.source.fields.keys().find_map(|key| match key {
            Key::Device(device, key) if key == "source" && !known(device) => {
                let pool = Key::Device(device.clone(), "pool".into());
                self.source.fields.contains_key(&pool).then_some(device)
            }
            _ => None,
        })?;
        let Id { name, project, .. } = &self.source.id;
        let hint = format!("detach it: `incus config device remove {name} {stranger} --project {project}`");
        self.crosses().then(|| {
            Obstacle::new(
                format!("its disk `{stranger}` is a volume that the file does not give it, and would stay"),
                hint,
            )
        })
    }
}

impl Cargo<'_> {
    /// A volume that goes, and that another machine uses too.
    fn sharers(&self, live: &Live) -> Option<Obstacle> {
        let others =
            || live.found.values().filter(|found| found.id.kind == Kind::Instance && found.id != self.source.id);
        let shared = self.journey.volumes.iter().filter(|_| self.journey.moves).find_map(|load| {
            let from = Id::within(Kind::Volume, &self.source.id.project, &load.from);
            others().find(|other| other.needs.contains(&from)).map(|other| (from, other))
        });
        let (volume, other) = shared?;
        let hint = format!(
            "detach it there first: `incus config device list {} --project {}`",
            other.id.name, other.id.project
        );
        Some(Obstacle::new(format!("{} uses {volume} too", other.id), hint))
    }
}

/// What is in the way of a machine and its volumes in a domain.
pub(crate) fn in_the_way(live: &Live, domain: &Domain, place: &Id, loads: &[Load]) -> Vec<Obstacle> {
    let (mut all, project) = (Vec::new(), &domain.project);
    if live.found.contains_key(place) {
        let hint = format!("`incus list --project {project}` shows it; another name is free");
        all.push(Obstacle::new(format!("there is a machine {} in the project {project} already", place.name), hint));
    }
    for load in loads {
        let to = Id::within(Kind::Volume, project, &load.to);
        if live.found.contains_key(&to) {
            let hint = format!("if its data is of no use any more: `{}`", volume::deletion_by_hand(&to));
            all.push(Obstacle::new(format!("{to} is in the project {project} already"), hint));
        }
    }
    let needed = [Id::global(Kind::Project, project), Id::global(Kind::Network, &domain.bridge)];
    if needed.iter().any(|id| !live.found.contains_key(id)) {
        let hint = format!("`anklume apply --target {}` makes it", domain.name);
        all.push(Obstacle::new(format!("the domain `{}` is not made yet", domain.name), hint));
    }
    all
}

/// The pool of the root disk that these fields have themselves.
fn root_pool(fields: &Fields) -> Option<&String> {
    let root = fields.iter().find_map(|(key, value)| match key {
        Key::Device(device, key) if key == "path" && value == "/" => Some(device),
        _ => None,
    })?;
    fields.get(&Key::Device(root.clone(), "pool".into()))
}

/// The keys of a disk, without the volume that it is.
fn device(fields: &Fields, name: &str) -> Config {
    let keys = fields.iter().filter_map(|(key, value)| match key {
        Key::Device(device, key) if device == name && key != "pool" && key != "source" => {
            Some((key.clone(), value.clone()))
        }
        _ => None,
    });
    keys.collect()
}

/// Actions one after the other.
pub(crate) fn in_a_row(mut actions: Vec<Action>) -> Plan {
    for (at, action) in actions.iter_mut().enumerate() {
        action.after = at.checked_sub(1).into_iter().collect();
    }
    Plan { actions, held: Vec::new() }
}

pub(crate) fn action(verb: Verb, id: Id, domain: &str, note: String, calls: Vec<crate::incus::call::Call>) -> Action {
    Action { domain: domain.to_owned(), note, ..Action::bare(id, verb, calls) }
}
