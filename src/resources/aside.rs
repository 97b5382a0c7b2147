//! Machines that are set aside when another one is made in their place: kept with all that is in them, under another
//! name, and out of the way of the new one.

use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::fields::{Key, Marks, mark};
use super::instance::Instances;
use super::{Found, FoundInstance, Resource, Status};
use crate::incus::call::Call;
use crate::incus::edit::Edit;
use crate::plan::{Action, Held, Id, Impact, Verb, Why};
use crate::resolve::desired::{Config, Devices};

/// What a host name label holds, and so an instance name.
const LONGEST: usize = 63;

/// On a machine that was set aside when it was to be made anew.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub(crate) struct Kept {
    /// What it was called.
    pub(crate) name: String,
}

impl Kept {
    /// As it is written.
    pub(crate) fn text(&self) -> String {
        serde_json::to_string(self).unwrap_or_default()
    }

    pub(crate) fn read(listed: &Value) -> Option<Self> {
        let text = listed["config"][mark::KEPT].as_str()?;
        Some(serde_json::from_str(text).unwrap_or_default())
    }

    /// Is it set aside still? One that the user gave its old name again is the machine again.
    pub(super) fn is_aside(&self, id: &Id) -> bool {
        self.name != id.name
    }
}

/// What the one that is kept is called. `now` is a time, `20261124-190000`.
pub(crate) fn name(instance: &str, now: &str) -> String {
    let end = format!("-before-replace-{now}");
    let start: String = instance.chars().take(LONGEST - end.len()).collect();
    format!("{}{end}", start.trim_end_matches('-'))
}

/// The action that sets one aside, before the new one is made.
pub(super) fn action(found: &Found, domain: &str, now: &str) -> Action {
    let Id { project, name: own, .. } = &found.id;
    let name = name(own, now);
    let mut calls = Vec::new();
    if found.is_ephemeral() {
        // It would be gone once it stops.
        calls.push(Instances.edit(&found.id, Edit { ephemeral: Some(false), ..Edit::default() }));
    }
    calls.extend(found.is_up().then(|| Instances::stop(found)));
    let cards = addressed(found);
    if !cards.is_empty() {
        calls.push(Instances.edit(&found.id, without(&cards)));
    }
    calls.push(Instances.edit(&found.id, out_of_the_way(found, cards)));
    calls.push(Call::incus(["rename", own, &name, "--project", project]));
    Action {
        id: found.id.clone(),
        domain: domain.to_owned(),
        verb: Verb::Keep,
        fields: Vec::new(),
        impact: if found.is_up() { Impact::Restart } else { Impact::Live },
        note: format!("as {name}, with what is in it"),
        heavy: false,
        calls,
        after: Vec::new(),
    }
}

/// Its network cards with an address of their own, as they are without it.
fn addressed(found: &Found) -> Devices {
    let mut devices = Devices::new();
    for (key, value) in &found.fields {
        let Key::Device(device, key) = key else { continue };
        devices.entry(device.clone()).or_default().insert(key.clone(), value.clone());
    }
    let is_address = |key: &String| key == "ipv4.address" || key == "ipv6.address";
    devices.retain(|_, keys| keys.keys().any(is_address));
    for keys in devices.values_mut() {
        keys.retain(|key, _| !is_address(key));
    }
    devices
}

/// The bridge's DHCP server gives up a lease only when the card goes: until the lease runs out, the new machine would not
/// get its address. A card that is only taken away may still come from a profile.
fn without(cards: &Devices) -> Edit {
    let none = |device: &String| (device.clone(), Config::from([("type".to_owned(), "none".to_owned())]));
    Edit {
        remove_devices: cards.keys().cloned().collect(),
        devices: cards.keys().map(none).collect(),
        ..Edit::default()
    }
}

/// It gives up what the new one gets, its addresses and its volumes, which Incus would let nobody else have, not even
/// while it is stopped. Nothing starts it, and nothing deletes it in passing.
fn out_of_the_way(found: &Found, cards: Devices) -> Edit {
    let kept = Kept { name: found.id.name.clone() };
    let set = [("boot.autostart", "false"), ("security.protection.delete", "true"), (mark::KEPT, &kept.text())];
    // A volume, not the root disk, nor a directory of the host.
    let volume = |key: &Key| match key {
        Key::Device(device, key) if key == "source" => {
            let pool = Key::Device(device.clone(), "pool".into());
            found.fields.contains_key(&pool).then(|| device.clone())
        }
        _ => None,
    };
    let volumes = found.fields.keys().filter_map(volume);
    Edit {
        set: set.map(|(key, value)| (key.to_owned(), value.to_owned())).into(),
        unset: ["snapshots.schedule".to_owned()].into(),
        remove_devices: cards.keys().cloned().chain(volumes).collect(),
        devices: cards,
        ..Edit::default()
    }
}

/// One that is set aside, as it is then.
pub(super) fn kept(found: &Found, now: &str) -> Found {
    let cards = addressed(found);
    let edit = out_of_the_way(found, cards.clone());
    let mut fields = found.fields.clone();
    fields.retain(|key, _| match key {
        Key::Device(device, _) => !edit.remove_devices.contains(device),
        Key::Config(key) => !edit.unset.contains(key),
        _ => true,
    });
    super::put_devices(&mut fields, &cards);
    let id = Id::within(found.id.kind, &found.id.project, name(&found.id.name, now));
    let needs = super::needs_of(&id, &fields);
    let kept = Kept { name: found.id.name.clone() };
    let marks = found.marks.clone().map(|marks| Marks { kept: Some(kept), ..marks });
    let instance = found.instance.clone().map(|instance| FoundInstance { status: Status::Stopped, ..instance });
    Found { id, marks, fields, protected: true, needs, instance }
}

/// What it was called.
pub(crate) fn was(found: &Found) -> &str {
    found.marks.as_ref().and_then(|marks| marks.kept.as_ref()).map(|kept| kept.name.as_str()).unwrap_or_default()
}

/// What a plan tells of one that is kept.
pub(super) fn held(found: &Found) -> Held {
    let (was, name) = (was(found), &found.id.name);
    Held {
        id: found.id.clone(),
        domain: found.domain().to_owned(),
        why: Why::Kept,
        fields: Vec::new(),
        message: format!("{was} as it was before it was made anew; `anklume destroy {name} --force` deletes it"),
    }
}

/// The marks that end when a machine is changed like any other: of one that was set aside and bears its own name again, of
/// a copy that is in its place.
pub(super) fn ended(found: &Found) -> Vec<String> {
    let Some(marks) = &found.marks else { return Vec::new() };
    let journey = marks.journey.is_some();
    let each = [(mark::KEPT, marks.kept.is_some()), (mark::JOURNEY, journey), (mark::REBUILD, journey)];
    each.into_iter().filter(|(_, is_there)| *is_there).map(|(key, _)| key.to_owned()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    const NOW: &str = "20261124-190000";

    fn machine(more: &Value) -> Found {
        let mut listed = json!({"name": "dev", "project": "pro", "type": "container", "status": "Running",
            "profiles": ["default"],
            "config": {"user.anklume.infra": "lab", "user.anklume.domain": "pro", "snapshots.schedule": "@daily",
                "volatile.eth0.hwaddr": "10:66:6a:00:00:01"},
            "devices": devices()});
        for (key, value) in more.as_object().unwrap() {
            listed[key] = value.clone();
        }
        Instances.found(&listed).unwrap()
    }

    fn devices() -> Value {
        json!({
            "root": {"type": "disk", "path": "/", "pool": "p"},
            "data": {"type": "disk", "path": "/data", "pool": "p", "source": "dev-data"},
            "share": {"type": "disk", "path": "/share", "source": "/srv"},
            "eth0": {"type": "nic", "network": "net-pro", "ipv4.address": "10.0.0.1"}})
    }

    fn words(action: &Action) -> Vec<String> {
        action.calls.iter().map(Call::words).collect()
    }

    #[test]
    fn what_is_kept_has_a_name_that_fits() {
        assert_eq!(name("dev", NOW), "dev-before-replace-20261124-190000");
        let long = name(&format!("{}-{}", "m".repeat(31), "n".repeat(31)), NOW);
        assert_eq!(long, format!("{}-before-replace-{NOW}", "m".repeat(31)));
        assert_eq!(name(&"m".repeat(63), NOW).len(), 63);
    }

    #[test]
    fn a_machine_is_stopped_put_out_of_the_way_and_renamed() {
        let action = action(&machine(&json!({})), "pro", NOW);
        assert_eq!(
            words(&action),
            [
                "incus stop dev --project pro --timeout 60",
                "incus config edit dev --project pro",
                "incus config edit dev --project pro",
                "incus rename dev dev-before-replace-20261124-190000 --project pro"
            ]
        );
        let ephemeral = super::action(&machine(&json!({"ephemeral": true})), "pro", NOW);
        assert_eq!(words(&ephemeral)[0], "incus config edit dev --project pro", "before it stops, and is gone");
        let stopped = super::action(&machine(&json!({"status": "Stopped"})), "pro", NOW);
        assert_eq!((stopped.calls.len(), stopped.impact), (3, Impact::Live));
    }

    #[test]
    fn it_gives_up_addresses_and_volumes_and_nothing_else() {
        let read = json!({"config": {"volatile.eth0.hwaddr": "x", "snapshots.schedule": "@daily", "user.mine": "y"},
            "devices": devices()});
        let machine = machine(&json!({}));
        let first = without(&addressed(&machine)).apply(&read);
        assert_eq!(first["devices"]["eth0"], json!({"type": "none"}), "the lease ends with the card");
        let edited = out_of_the_way(&machine, addressed(&machine)).apply(&first);
        let kept = r#"{"name":"dev"}"#;
        assert_eq!(
            edited["config"],
            json!({"user.mine": "y", "volatile.eth0.hwaddr": "x", "boot.autostart": "false", "security.protection.delete": "true",
                "user.anklume.kept": kept})
        );
        assert_eq!(
            edited["devices"],
            json!({"root": {"type": "disk", "path": "/", "pool": "p"},
                "share": {"type": "disk", "path": "/share", "source": "/srv"},
                "eth0": {"type": "nic", "network": "net-pro"}})
        );
    }

    #[test]
    fn one_that_got_its_name_back_is_no_longer_aside() {
        let kept = Kept { name: "dev".into() };
        let config = json!({"user.anklume.infra": "lab", "user.anklume.kept": kept.text()});
        let named = |name: &str| machine(&json!({"name": name, "config": config})).is_set_aside();
        assert_eq!([named("dev-before-replace-20261124-190000"), named("dev")], [true, false]);
    }
}
