//! The copying: what was begun earlier goes, the machine stops, its volumes and itself are copied and compared.

use super::{Cargo, action, compare, in_a_row};
use crate::incus::call::Call;
use crate::incus::edit::Edit;
use crate::incus::live::Live;
use crate::plan::{Action, Id, Kind, Plan, Verb};
use crate::resources::fields::{Fields, Key, mark};
use crate::resources::instance::Instances;
use crate::resources::journey::{Journey, Load, part, volume_part};
use crate::resources::{Found, Resource, directory, volume};

/// What starts an instance with its host.
const AUTOSTART: &str = "boot.autostart";

/// The copies that an earlier run left behind: the instance, then the volumes that it has.
pub(crate) fn leftovers(live: &Live, place: &Id, volumes: &[Load]) -> Vec<Action> {
    let found = live.found.get(&part(place));
    let domain = found.map(Found::domain).unwrap_or_default();
    let delete = |found: &Found| action(Verb::Delete, found.id.clone(), domain, cut_off(), Instances.delete(found));
    let mut actions: Vec<Action> = found.map(delete).into_iter().collect();
    for load in volumes {
        let id = volume_part(&Id::within(Kind::Volume, &place.project, &load.to));
        if live.found.contains_key(&id) {
            actions.push(action(Verb::Delete, id.clone(), domain, cut_off(), vec![volume::deletion(&id)]));
        }
    }
    actions
}

fn cut_off() -> String {
    "a copy that was cut off".into()
}

impl Cargo<'_> {
    /// Everything up to a copy that is the same as its source.
    pub(crate) fn copying(&self, live: &Live) -> Plan {
        let mut actions = leftovers(live, &self.place(), &self.journey.volumes);
        if self.source.is_up() {
            let id = self.source.id.clone();
            let note = if self.journey.moves { "" } else { "until it is copied" };
            actions.push(action(Verb::Stop, id, &self.domain.name, note.into(), vec![Instances::stop(self.source)]));
        }
        actions.extend(self.journey.volumes.iter().map(|load| self.volume(load)));
        actions.extend(self.directories());
        actions.push(self.instance());
        in_a_row(actions)
    }

    fn volume(&self, load: &Load) -> Action {
        let from = Id::within(Kind::Volume, &self.source.id.project, &load.from);
        let to = Id::within(Kind::Volume, &self.domain.project, &load.to);
        let part = volume_part(&to);
        let mut words = vec!["storage", "volume", "copy", &from.name, &part.name, "--project", &from.project];
        if self.crosses() {
            words.extend(["--target-project", &to.project]);
        }
        let block = self.machine.volumes.iter().any(|volume| volume.device == load.device && volume.block);
        let calls = vec![Call::incus(words), compare::volumes(block, &from, &part)];
        action(Verb::Copy, to, &self.domain.name, format!("from {} of {}", from.name, from.project), calls)
    }

    /// Its own directories on the host, where another domain has others.
    fn directories(&self) -> Vec<Action> {
        let own = |keys: &std::collections::BTreeMap<String, String>| keys.get("source").cloned();
        let mounts = self.machine.devices.iter().filter(|(device, _)| device.starts_with("pd-"));
        let pairs = mounts.filter_map(|(device, keys)| {
            let from = self.source.fields.get(&Key::Device(device.clone(), "source".into()))?;
            Some((from.clone(), own(keys)?))
        });
        let copy = |(from, to): (String, String)| {
            let calls = vec![
                Call::run("sh", ["-c", COPY_DIRECTORY, "sh", &from, &to]),
                compare::paths(&format!("{from}/"), &format!("{to}/")),
            ];
            action(Verb::Copy, directory::id(&to), &self.domain.name, format!("from {from}, which stays"), calls)
        };
        pairs.filter(|(from, to)| from != to).map(copy).collect()
    }

    fn instance(&self) -> Action {
        let (source, place) = (&self.source.id, self.place());
        let part = part(&place);
        let mut words: Vec<String> =
            ["copy", &source.name, &part.name, "--project", &source.project].map(Into::into).into();
        if self.crosses() {
            words.extend(["--target-project".into(), place.project.clone()]);
        }
        words.extend(self.own_pool.iter().flat_map(|pool| ["--storage".to_owned(), pool.clone()]));
        words.extend(self.machine.profiles.iter().flat_map(|profile| ["--profile".to_owned(), profile.clone()]));
        words.extend(self.machine.profiles.is_empty().then(|| "--no-profiles".to_owned()));
        for (key, value) in
            [(AUTOSTART, "false"), (mark::DOMAIN, &self.domain.name), (mark::JOURNEY, &self.journey.text())]
        {
            words.extend(["--config".to_owned(), format!("{key}={value}")]);
        }
        for (device, key, value) in self.overrides() {
            words.extend(["--device".to_owned(), format!("{device},{key}={value}")]);
        }
        let mut calls = vec![Call::incus(words)];
        let to_pool = self.own_pool.as_ref().unwrap_or(&self.domain.pool);
        let vm = self.machine.vm;
        let compared = self.from_pool.as_ref().map(|pool| compare::instances(vm, (source, pool), (&part, to_pool)));
        calls.extend(compared);
        let note = format!("from {} of {}", source.name, source.project);
        Action { heavy: vm, ..action(Verb::Copy, place, &self.domain.name, note, calls) }
    }

    /// What of its devices it has only once it is in its place: an address that the source still has, and its volumes,
    /// since Incus takes half a minute to rename one that an instance has.
    fn overrides(&self) -> Vec<(String, String, String)> {
        let fields = &self.source.fields;
        let mut overrides = Vec::new();
        for (device, network) in cards(fields) {
            let has = |key: &str| fields.contains_key(&Key::Device(device.clone(), key.into()));
            for key in ["ipv4.address", "ipv6.address", "hwaddr"] {
                if has(key) {
                    overrides.push((device.clone(), key.to_owned(), String::new()));
                }
            }
            if self.crosses() && network.is_some() {
                overrides.push((device.clone(), "network".to_owned(), self.domain.bridge.clone()));
            }
        }
        for load in &self.journey.volumes {
            let keys = load.keys.keys().map(String::as_str).chain(["pool", "source"]).filter(|key| *key != "type");
            overrides.push((load.device.clone(), "type".to_owned(), "none".to_owned()));
            overrides.extend(keys.map(|key| (load.device.clone(), key.to_owned(), String::new())));
        }
        overrides
    }
}

/// Whole under another name, and then in its place; what is there already has to be the same.
const COPY_DIRECTORY: &str = r#"
[ -d "$1" ] || exit 0
if [ -d "$2" ] && [ -n "$(ls -A "$2")" ]; then exit 0; fi
rm -rf "$2.anklume-part"; mkdir -p "$(dirname "$2")" && cp -a --reflink=auto "$1" "$2.anklume-part" || exit 1
[ ! -d "$2" ] || rmdir "$2" || exit 1
mv "$2.anklume-part" "$2""#;

/// The network cards, with the managed network of each.
fn cards(fields: &Fields) -> Vec<(String, Option<&String>)> {
    let nics = fields.iter().filter_map(|(key, value)| match key {
        Key::Device(device, key) if key == "type" && value == "nic" => Some(device.clone()),
        _ => None,
    });
    nics.map(|device| (device.clone(), fields.get(&Key::Device(device, "network".into())))).collect()
}

/// The call that says of a copy that it is complete; it starts with the host again, where its source did.
pub(crate) fn completion(place: &Id, journey: &Journey, source: Option<&Found>) -> Call {
    let journey = Journey { complete: true, ..journey.clone() };
    let mut edit = Edit { set: [(mark::JOURNEY.to_owned(), journey.text())].into(), ..Edit::default() };
    if let Some(source) = source {
        match source.fields.get(&Key::Config(AUTOSTART.into())) {
            Some(value) => drop(edit.set.insert(AUTOSTART.into(), value.clone())),
            None => drop(edit.unset.insert(AUTOSTART.into())),
        }
    }
    Instances.edit(&part(place), edit)
}
