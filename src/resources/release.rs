//! Addresses that change: how a machine or a bridge gives them up.

use std::collections::BTreeSet;

use super::difference::Change;
use super::fields::{Fields, Key};
use super::{Found, Resource, Wanted, instance, network, running};
use crate::incus::call::Call;
use crate::incus::edit::Edit;
use crate::plan::{Action, Field, Id, Impact, Kind, Verb};

/// A machine or a bridge that is to have other addresses and gives these up first.
pub(crate) struct Release<'a> {
    holder: &'a Found,
    /// A machine's NICs.
    pub(super) devices: BTreeSet<String>,
    /// A machine that stands still until it gets another address.
    pub(super) stands: bool,
    /// Who gets the addresses, or waits until they are given up.
    pub(super) takers: BTreeSet<Id>,
}

impl<'a> Release<'a> {
    pub(super) fn of(holder: &'a Found) -> Self {
        Self { holder, devices: BTreeSet::new(), stands: false, takers: BTreeSet::new() }
    }

    /// The action; a machine that runs stops for it, and starts again when it gets what it is to have.
    pub(super) fn action(&self) -> Action {
        let Self { holder, devices, .. } = self;
        if holder.id.kind == Kind::Network {
            return self.of_bridge();
        }
        let field = |device: &String| Field {
            key: format!("{device} ipv4.address"),
            before: holder.fields.get(&address_of(device)).cloned(),
            after: None,
            impact: Impact::Live,
        };
        let stops = holder.is_up() && self.stands;
        let mut calls = Vec::new();
        if stops {
            calls.extend(holder.is_ephemeral().then(|| running::make_ephemeral(&holder.id, false)));
            calls.push(instance::Instances::stop(holder));
        }
        let edit = give_up(&holder.fields, devices.iter().map(String::as_str));
        calls.push(instance::Instances.edit(&holder.id, edit));
        let impact = if stops { Impact::Restart } else { Impact::Live };
        self.as_action(devices.iter().map(field).collect(), impact, calls)
    }

    /// A bridge without an address: its machines keep theirs, and nobody answers them until it has another one.
    fn of_bridge(&self) -> Action {
        let set = [("ipv4.address".to_owned(), "none".to_owned())].into();
        let field = Field {
            key: network::address().to_string(),
            before: self.holder.fields.get(&network::address()).cloned(),
            after: Some("none".to_owned()),
            impact: Impact::Live,
        };
        let call = network::Networks.edit(&self.holder.id, Edit { set, ..Edit::default() });
        self.as_action(vec![field], Impact::Live, vec![call])
    }

    fn as_action(&self, fields: Vec<Field>, impact: Impact, calls: Vec<Call>) -> Action {
        let takers: Vec<&str> = self.takers.iter().map(|taker| taker.name.as_str()).collect();
        Action {
            id: self.holder.id.clone(),
            domain: self.holder.domain().to_owned(),
            verb: Verb::Release,
            fields,
            impact,
            note: format!("for {}", takers.join(", ")),
            heavy: false,
            calls,
            after: Vec::new(),
        }
    }
}

/// The edits of a machine of which these changes are made: those addresses that change are given up in one of their own.
pub(super) fn edits(wanted: &Wanted, found: &Found, now: &[Change], edit: Edit, released: bool) -> Vec<Edit> {
    let moving = now.iter().filter_map(|change| match &change.key {
        Key::Device(device, key) if key == "ipv4.address" && change.before.is_some() => Some(device.as_str()),
        _ => None,
    });
    // A device that goes whole takes its lease along.
    let stays = |device: &&str| wanted.fields.contains_key(&Key::Device((*device).to_owned(), "type".into()));
    let moving: BTreeSet<&str> = moving.filter(stays).collect();
    if wanted.id.kind != Kind::Instance || moving.is_empty() {
        return vec![edit];
    }
    let first = (!released).then(|| give_up(&found.fields, moving.iter().copied()));
    let mut last = edit;
    for device in moving {
        match wanted.fields.get(&name_of(device)) {
            Some(name) => {
                last.devices.entry(device.to_owned()).or_default().insert("name".into(), name.clone());
            }
            None => {
                last.unset_in_device.entry(device.to_owned()).or_default().insert("name".into());
            }
        }
    }
    first.into_iter().chain([last]).collect()
}

/// Takes the addresses off some NICs. The DHCP server keeps an address for whom it leased it to, for an hour after the
/// last word; Incus ends the lease only where it takes a NIC out, and that it does when its name changes, while the MAC
/// address stays.
fn give_up<'d>(fields: &Fields, devices: impl IntoIterator<Item = &'d str>) -> Edit {
    let mut edit = Edit::default();
    for device in devices {
        let unset = edit.unset_in_device.entry(device.to_owned()).or_default();
        unset.insert("ipv4.address".into());
        if fields.contains_key(&name_of(device)) {
            unset.insert("name".into());
        } else {
            edit.devices.insert(device.to_owned(), [("name".to_owned(), device.to_owned())].into());
        }
    }
    edit
}

fn address_of(device: &str) -> Key {
    Key::Device(device.to_owned(), "ipv4.address".into())
}

fn name_of(device: &str) -> Key {
    Key::Device(device.to_owned(), "name".into())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::resources::exchange::tests::{machine, nic, wanted};
    use serde_json::{Value, json};

    fn moved(before: &Value, after: &Value, released: bool) -> Vec<Value> {
        let found = machine("a", "Stopped", before);
        let wanted = wanted("a", after);
        let key = address_of("eth0");
        let change = Change {
            before: found.fields.get(&key).cloned(),
            after: wanted.fields.get(&key).cloned(),
            key,
            impact: Impact::Live,
        };
        let edit = Edit {
            devices: [("eth0".to_owned(), [("ipv4.address".to_owned(), "10.0.0.9".to_owned())].into())].into(),
            ..Edit::default()
        };
        let mut body = json!({"devices": {"eth0": before}});
        let edits = edits(&wanted, &found, &[change], edit, released);
        edits
            .iter()
            .map(|edit| {
                body = edit.apply(&body);
                body["devices"]["eth0"].clone()
            })
            .collect()
    }

    #[test]
    fn the_name_of_a_nic_goes_and_comes_with_its_address_so_that_incus_ends_the_lease() {
        let (before, after) = (nic("10.0.0.1"), nic("10.0.0.9"));
        assert_eq!(moved(&before, &after, false), [json!({"type": "nic", "network": "net-p"}), after.clone()]);
        assert_eq!(moved(&before, &after, true), [after]);
    }

    #[test]
    fn a_nic_without_a_name_has_one_only_in_between() {
        let nameless = |address: &str| json!({"type": "nic", "network": "net-p", "ipv4.address": address});
        let between = json!({"type": "nic", "network": "net-p", "name": "eth0"});
        assert_eq!(moved(&nameless("10.0.0.1"), &nameless("10.0.0.9"), false), [between, nameless("10.0.0.9")]);
    }
}
