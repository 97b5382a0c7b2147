//! One Incus project with its bridge, as the file says a domain.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::Value;

use super::bridges::Standing;
use super::cards;
use super::machine::{self, Home};
use super::scene::Scene;
use super::stores::{self, Shared};
use super::thing::{Keys, Thing, devices, field, is_note, keys};
use crate::infra::model::{AclRule, Addressing, Domain, Profile};
use crate::infra::{self, page::Remarks, problem::Path};
use crate::plan::{Id, Kind};
use crate::resources::Found;
use crate::resources::acl;
use crate::resources::fields::Key;

/// What all domains of the file have in common.
pub(super) struct Setting<'a> {
    pub(super) plan: &'a Addressing,
    pub(super) bridges: BTreeSet<String>,
    pub(super) data_base: String,
    /// The pool of a project that says none.
    pub(super) pool: String,
    pub(super) prefix: String,
}

/// A project and the bridge that it is on.
pub(super) struct Place<'a, 's> {
    pub(super) domain: &'a str,
    pub(super) project: &'a str,
    /// What the bridge is called, there or not.
    pub(super) bridge: &'a str,
    pub(super) standing: Option<&'a Standing<'s>>,
}

/// Disks that may be shared volumes.
pub(super) type Disks = BTreeMap<String, Vec<Shared>>;

pub(super) fn draft(
    scene: &Scene<'_>,
    setting: &Setting<'_>,
    place: &Place<'_, '_>,
    remarks: &mut Remarks,
    disks: &mut Disks,
) -> Domain {
    let at = Path::of(["domains", place.domain]);
    let mut domain = Domain { ephemeral: !protects(scene, place), ..Domain::default() };
    of_project(scene, place, &mut domain, &at, remarks);
    if let Some(standing) = place.standing {
        of_bridge(scene, setting, place, standing, &mut domain, &at, remarks);
    }
    let pool = scene.root_pool(place.project).unwrap_or(&setting.pool);
    let default_card = profiles(scene, setting, place, pool, &mut domain, &at, remarks);
    let stand: BTreeMap<String, Thing> = scene
        .within(Kind::Profile, place.project)
        .into_iter()
        .filter(|found| found.id.name != "default")
        .map(|found| (found.id.name.clone(), Thing::of(found)))
        .collect();
    let home = Home {
        domain: place.domain,
        bridge: place.bridge,
        bridges: &setting.bridges,
        zones: matches!(setting.plan, Addressing::Zones { .. }),
        protects: !domain.ephemeral,
        pool,
        default_card: default_card.as_ref(),
        profiles: &stand,
        data_base: &setting.data_base,
    };
    for found in scene.machines(place.project) {
        let name = found.id.name.strip_prefix(&setting.prefix).unwrap_or(&found.id.name);
        let drafted = machine::draft(scene, &home, name, found);
        let at = at.to("machines").to(name);
        drafted.notes.into_iter().for_each(|note| remarks.note(&at, note));
        drafted.shared.into_iter().for_each(|(share, disk)| disks.entry(share).or_default().push(disk));
        domain.machines.insert(name.to_owned(), drafted.machine);
    }
    domain
}

/// Is the domain to be protected? As its mark says; without one, unless all of its machines may be deleted.
fn protects(scene: &Scene<'_>, place: &Place<'_, '_>) -> bool {
    if let Some(marks) = scene.project(place.project).and_then(|found| found.marks.as_ref()) {
        return marks.protected;
    }
    let machines = scene.machines(place.project);
    machines.is_empty() || machines.iter().any(|found| found.protected)
}

fn of_project(scene: &Scene<'_>, place: &Place<'_, '_>, domain: &mut Domain, at: &Path, remarks: &mut Remarks) {
    let Some(found) = scene.project(place.project) else { return };
    let thing = Thing::of(found);
    let of_bridge = place.standing.map(|standing| standing.thing.description.as_str());
    match of_bridge {
        Some(other) if other != thing.description => remarks.note(
            at,
            format!(
                "the project is described as `{}` and its bridge as `{other}`; a description here would be on both",
                thing.description
            ),
        ),
        _ => domain.description.clone_from(&thing.description),
    }
    let mut by_hand = Vec::new();
    for (key, value) in &thing.config {
        if infra::is_limit(key, value) {
            domain.limits.insert(key.clone(), value.clone());
        } else if !key.starts_with("features.") {
            by_hand.push(told(key, value));
        }
    }
    note_by_hand(remarks, at, "the project", &by_hand);
    if thing.get("features.images") == Some("true") {
        remarks
            .note(at, "the project has images of its own (features.images), and anklume makes machines from those of");
        remarks.note(at, "`default`: for new machines, `incus project set … features.images=false` while it is empty");
    }
    for volume in stores::unsaid(scene, place.project) {
        remarks.note(at, format!("no machine has the volume {volume}: it stays as it is"));
    }
}

/// `key=value`, in a few words.
fn told(key: &str, value: &str) -> String {
    if value.len() > 60 || value.contains(char::is_control) { format!("{key}=…") } else { format!("{key}={value}") }
}

fn note_by_hand(remarks: &mut Remarks, at: &Path, what: &str, keys: &[String]) {
    if !keys.is_empty() {
        remarks.note(at, format!("{what} has beside it, and keeps: {}", keys.join(", ")));
    }
}

fn of_bridge(
    scene: &Scene<'_>,
    setting: &Setting<'_>,
    place: &Place<'_, '_>,
    standing: &Standing<'_>,
    domain: &mut Domain,
    at: &Path,
    remarks: &mut Remarks,
) {
    domain.internet = !standing.is_offline;
    domain.bridge.name = Some(place.bridge.to_owned()).filter(|_| standing.is_named);
    let in_plan = standing.in_plan(setting.plan);
    match in_plan {
        Some((trust, id)) => (domain.trust_level, domain.subnet_id) = (trust, Some(id)),
        None => domain.bridge.address = standing.address,
    }
    let mut rest = standing.by_hand(in_plan.is_some());
    if let Some(zone) = rest.get("dns.zone.forward").filter(|zone| has_records(scene, place, zone)).cloned() {
        domain.dns_zone = Some(zone);
        rest.remove("dns.zone.forward");
    }
    if let Some(rules) = rules(scene, standing) {
        domain.acl = rules;
        for key in [acl::KEY, "security.acls.default.ingress.action", "security.acls.default.egress.action"] {
            rest.remove(key);
        }
    }
    let rest: Vec<String> = rest.iter().map(|(key, value)| told(key, value)).collect();
    note_by_hand(remarks, at, "the bridge", &rest);
}

/// Has a zone a record for every machine with a fixed address? The file would have them made.
fn has_records(scene: &Scene<'_>, place: &Place<'_, '_>, zone: &str) -> bool {
    scene.found(&Id::global(Kind::Zone, zone)).is_some()
        && scene.machines(place.project).iter().all(|found| {
            let address = Thing::of(found).device("eth0", "ipv4.address").map(str::to_owned);
            let record = scene.found(&Id::global(Kind::Record, format!("{zone}/{}", found.id.name)));
            let says = |address: &str| {
                let entries = record.iter().flat_map(|record| record.fields.values());
                entries.into_iter().any(|entry| *entry == format!("A {address}"))
            };
            address.is_none_or(|address| address == "none" || says(&address))
        })
}

/// The rules of the ACL of a bridge's own name; `None` where there is none, or where the file has no words for it.
fn rules(scene: &Scene<'_>, standing: &Standing<'_>) -> Option<Vec<AclRule>> {
    let name = &standing.id().name;
    if standing.thing.get(acl::KEY) != Some(name) {
        return None;
    }
    let found = scene.found(&Id::global(Kind::Acl, name))?;
    let rules = found.fields.keys().filter_map(|key| match key {
        Key::Item(list, item) => Some(rule(list, &serde_json::from_str(item).ok()?)),
        _ => None,
    });
    let rules = rules.collect::<Option<Vec<_>>>()?;
    let default = |way: &str| standing.thing.get(&format!("security.acls.default.{way}.action"));
    let as_made = ["ingress", "egress"].iter().all(|way| default(way) == Some(acl::rest(&rules, way)));
    (as_made && !rules.is_empty()).then_some(rules)
}

fn rule(direction: &str, item: &Value) -> Option<AclRule> {
    const KNOWN: [&str; 7] =
        ["action", "state", "protocol", "source", "destination", "destination_port", "description"];
    let text = |key: &str| item[key].as_str().map(str::to_owned);
    let is_known = item.as_object()?.keys().all(|key| KNOWN.contains(&key.as_str()));
    (is_known && item["state"] == "enabled").then(|| AclRule {
        direction: direction.to_owned(),
        action: text("action").unwrap_or_default(),
        protocol: text("protocol"),
        source: text("source"),
        destination: text("destination"),
        destination_port: text("destination_port"),
        description: text("description").unwrap_or_default(),
    })
}

/// The profiles; what the file adds to the card of the project's own one, `None` where that has none on the bridge.
fn profiles(
    scene: &Scene<'_>,
    setting: &Setting<'_>,
    place: &Place<'_, '_>,
    pool: &str,
    domain: &mut Domain,
    at: &Path,
    remarks: &mut Remarks,
) -> Option<Keys> {
    let default = scene.profile(place.project, "default").unwrap_or_default();
    let is_home = default.devices.get("eth0").is_some_and(|keys| cards::is_home(keys, place.bridge));
    let card = default.devices.get("eth0").map(|keys| {
        let mut said = if is_home { cards::home(keys, place.bridge) } else { cards::said(keys, &setting.bridges) };
        // The project's own card has filters unless the file says otherwise, wherever it is.
        for filter in ["security.mac_filtering", "security.ipv4_filtering"] {
            if !keys.contains_key(filter) {
                said.insert(filter.to_owned(), "false".to_owned());
            }
        }
        said
    });
    if let Some(profile) = default_profile(setting, place, pool, &default, card.as_ref()) {
        domain.profiles.insert("default".into(), profile);
    }
    for found in scene.within(Kind::Profile, place.project) {
        let name = &found.id.name;
        if is_note(name) {
            remarks.note(at, format!("the profile {name} stays as it is: what begins with `x-` is not read"));
        } else if name != "default" {
            domain.profiles.insert(name.clone(), profile(setting, place, found));
        }
    }
    card.filter(|_| is_home)
}

fn profile(setting: &Setting<'_>, place: &Place<'_, '_>, found: &Found) -> Profile {
    let thing = Thing::of(found);
    let mut said = cards::all(&thing.devices, &setting.bridges);
    if let Some(eth0) = thing.devices.get("eth0").filter(|keys| cards::is_home(keys, place.bridge)) {
        said.insert("eth0".into(), cards::home(eth0, place.bridge));
    }
    said.retain(|name, _| !is_note(name));
    Profile {
        description: thing.description.clone(),
        config: stores::without_notes(&thing.config),
        devices: devices(&said),
    }
}

/// What the file has to say of the project's own profile; nothing where it is as anklume makes it.
fn default_profile(
    setting: &Setting<'_>,
    place: &Place<'_, '_>,
    pool: &str,
    stands: &Thing,
    card: Option<&Keys>,
) -> Option<Profile> {
    let mut said = cards::all(&stands.devices, &setting.bridges);
    let bare = keys([("type", "nic")]);
    match card {
        Some(card) if *card == bare => drop(said.remove("eth0")),
        Some(card) => drop(said.insert("eth0".into(), card.clone())),
        None => drop(said.insert("eth0".into(), Keys::new())),
    }
    match said.get("root") {
        Some(root) if *root == keys([("type", "disk"), ("path", "/"), ("pool", pool)]) => drop(said.remove("root")),
        Some(_) => {}
        None => drop(said.insert("root".into(), Keys::new())),
    }
    said.retain(|name, _| !is_note(name));
    let usual = format!("Root disk and network of domain {}", place.domain);
    let config = stores::without_notes(&stands.config);
    let is_usual = said.is_empty() && config.is_empty() && stands.description == usual;
    (!is_usual).then(|| Profile { description: stands.description.clone(), config, devices: devices(&said) })
}

/// The address that a machine of the file has, by its bridge.
pub(super) fn seat(found: &Found) -> Option<(String, std::net::Ipv4Addr)> {
    let key = |key: &str| field(&found.fields, &Key::Device("eth0".into(), key.into())).to_owned();
    let bridge = Some(key("network")).filter(|bridge| !bridge.is_empty()).unwrap_or_else(|| key("parent"));
    Some((bridge, key("ipv4.address").parse().ok()?))
}
