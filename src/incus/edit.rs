//! A change to what an Incus object says of itself, made on its newest state.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::{Map, Value, json};

/// Keys to set and to unset, everything else kept: the keys that Incus keeps for itself (`volatile.*`), those that a
/// user set by hand, the features of a project.
#[derive(Debug, Clone, Default, PartialEq)]
pub(crate) struct Edit {
    pub(crate) description: Option<String>,
    pub(crate) set: BTreeMap<String, String>,
    pub(crate) unset: BTreeSet<String>,
    /// Device → key → value.
    pub(crate) devices: BTreeMap<String, BTreeMap<String, String>>,
    /// Device → keys to take out of it.
    pub(crate) unset_in_device: BTreeMap<String, BTreeSet<String>>,
    /// Whole devices to take away, before any is set.
    pub(crate) remove_devices: BTreeSet<String>,
    pub(crate) profiles: Option<Vec<String>>,
    pub(crate) ephemeral: Option<bool>,
    /// List (`ingress`, `entries`) → items, each as `item` writes it, that are to be in it.
    pub(crate) add_items: BTreeMap<String, BTreeSet<String>>,
    /// Items to take out of a list, before any is added.
    pub(crate) remove_items: BTreeMap<String, BTreeSet<String>>,
}

/// What an `edit` of any kind may send. Incus adds more to what it lists (`status`, `used_by`, `expanded_config`).
const SENT: [&str; 10] = [
    "architecture",
    "config",
    "description",
    "devices",
    "egress",
    "entries",
    "ephemeral",
    "ingress",
    "profiles",
    "stateful",
];

/// An item of a list as one text, the same for the same: its fields in order, without the empty ones.
pub(crate) fn item(value: &Value) -> String {
    let fields = value.as_object().into_iter().flatten();
    let told: BTreeMap<&String, &Value> =
        fields.filter(|(_, value)| !value.is_null() && *value != "" && **value != 0).collect();
    json!(told).to_string()
}

impl Edit {
    /// The body to send: what was read, changed.
    pub(crate) fn apply(&self, read: &Value) -> Value {
        let mut body: Map<String, Value> = SENT
            .iter()
            .filter_map(|field| read.get(*field).map(|value| ((*field).to_owned(), value.clone())))
            .collect();
        if let Some(text) = &self.description {
            body.insert("description".into(), json!(text));
        }
        if let Some(profiles) = &self.profiles {
            body.insert("profiles".into(), json!(profiles));
        }
        if let Some(ephemeral) = self.ephemeral {
            body.insert("ephemeral".into(), json!(ephemeral));
        }
        let config = object(&mut body, "config");
        config.retain(|key, _| !self.unset.contains(key));
        for (key, value) in &self.set {
            config.insert(key.clone(), json!(value));
        }
        self.apply_devices(&mut body);
        self.apply_items(&mut body);
        Value::Object(body)
    }

    fn apply_items(&self, body: &mut Map<String, Value>) {
        let none = BTreeSet::new();
        let lists: BTreeSet<&String> = self.add_items.keys().chain(self.remove_items.keys()).collect();
        for list in lists {
            let (add, remove) =
                (self.add_items.get(list).unwrap_or(&none), self.remove_items.get(list).unwrap_or(&none));
            let mut items = body.remove(list).and_then(|items| items.as_array().cloned()).unwrap_or_default();
            items.retain(|value| !remove.contains(&item(value)));
            let there: BTreeSet<String> = items.iter().map(item).collect();
            items.extend(add.difference(&there).map(|item| parsed(item)));
            body.insert(list.clone(), Value::Array(items));
        }
    }

    fn apply_devices(&self, body: &mut Map<String, Value>) {
        if self.devices.is_empty() && self.unset_in_device.is_empty() && self.remove_devices.is_empty() {
            return;
        }
        let devices = object(body, "devices");
        devices.retain(|name, _| !self.remove_devices.contains(name));
        for (name, keys) in &self.unset_in_device {
            if let Some(Value::Object(device)) = devices.get_mut(name) {
                device.retain(|key, _| !keys.contains(key));
            }
        }
        for (name, keys) in &self.devices {
            let device = object(devices, name);
            for (key, value) in keys {
                device.insert(key.clone(), json!(value));
            }
        }
    }

    /// The same change as a `jq` filter, to be shown.
    pub(crate) fn jq(&self, hide: &impl Fn(&str, &str) -> Option<String>) -> String {
        let mut steps = Vec::new();
        if let Some(text) = &self.description {
            steps.push(format!(".description = {}", json!(text)));
        }
        if let Some(profiles) = &self.profiles {
            steps.push(format!(".profiles = {}", json!(profiles)));
        }
        if let Some(ephemeral) = self.ephemeral {
            steps.push(format!(".ephemeral = {ephemeral}"));
        }
        for key in &self.unset {
            steps.push(format!("del(.config[{}])", json!(key)));
        }
        if !self.set.is_empty() {
            steps.push(format!(".config += {}", super::secrets::hidden(&json!(self.set), hide)));
        }
        for name in &self.remove_devices {
            steps.push(format!("del(.devices[{}])", json!(name)));
        }
        for (name, keys) in &self.unset_in_device {
            steps.extend(keys.iter().map(|key| format!("del(.devices[{}][{}])", json!(name), json!(key))));
        }
        for (name, keys) in &self.devices {
            steps.push(format!(".devices[{}] += {}", json!(name), json!(keys)));
        }
        let shown = |items: &BTreeSet<String>| format!("[{}]", items.iter().cloned().collect::<Vec<_>>().join(", "));
        steps.extend(self.remove_items.iter().map(|(list, items)| format!(".{list} -= {}", shown(items))));
        steps.extend(self.add_items.iter().map(|(list, items)| format!(".{list} += {}", shown(items))));
        steps.join(" | ")
    }
}

/// An item as it is sent.
fn parsed(item: &str) -> Value {
    serde_json::from_str(item).expect("items are written by `item`")
}

/// The object under `key`, made where there is none (Incus lists an empty map as `null` now and then).
fn object<'a>(body: &'a mut Map<String, Value>, key: &str) -> &'a mut Map<String, Value> {
    let value = body.entry(key.to_owned()).or_insert_with(|| json!({}));
    if !value.is_object() {
        *value = json!({});
    }
    value.as_object_mut().expect("an object was put there")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn map(pairs: &[(&str, &str)]) -> BTreeMap<String, String> {
        pairs.iter().map(|(k, v)| ((*k).to_owned(), (*v).to_owned())).collect()
    }

    #[test]
    fn what_the_edit_does_not_name_stays() {
        let read = json!({
            "name": "x", "status": "Running", "description": "old",
            "config": {"volatile.uuid": "1", "limits.cpu": "1", "user.mine": "by hand"},
            "devices": {"eth0": {"type": "nic", "limits.ingress": "1Mbit", "ipv4.address": "10.0.0.1"}, "gone": {"type": "none"}},
        });
        let edit = Edit {
            set: map(&[("limits.cpu", "2")]),
            unset: ["limits.memory".to_owned()].into(),
            devices: [("eth0".to_owned(), map(&[("ipv4.address", "10.0.0.2")]))].into(),
            remove_devices: ["gone".to_owned()].into(),
            ..Edit::default()
        };
        assert_eq!(
            edit.apply(&read),
            json!({
                "description": "old",
                "config": {"volatile.uuid": "1", "limits.cpu": "2", "user.mine": "by hand"},
                "devices": {"eth0": {"type": "nic", "limits.ingress": "1Mbit", "ipv4.address": "10.0.0.2"}},
            })
        );
    }

    #[test]
    fn items_that_the_edit_does_not_name_stay_in_their_list() {
        let [by_hand, old, new] =
            [22, 23, 24].map(|port| json!({"action": "drop", "destination_port": port.to_string()}));
        let set = |value: &Value| BTreeMap::from([("ingress".to_owned(), BTreeSet::from([item(value)]))]);
        let edit = Edit { add_items: set(&new), remove_items: set(&old), ..Edit::default() };
        // Incus may list fields in another order, and empty ones.
        let listed = json!({"destination_port": "23", "action": "drop", "source": ""});
        let read = json!({"ingress": [by_hand, listed], "egress": [old], "used_by": []});
        assert_eq!(edit.apply(&read), json!({"ingress": [by_hand, new], "egress": [old], "config": {}}));
        assert_eq!(edit.apply(&edit.apply(&read)), edit.apply(&read), "twice is once");
        let filter = edit.jq(&|_, _| None);
        assert_eq!(filter, format!(".ingress -= [{old}] | .ingress += [{new}]"));
    }

    #[test]
    fn a_missing_config_is_made() {
        let edit = Edit { set: map(&[("user.a", "1")]), ..Edit::default() };
        assert_eq!(edit.apply(&json!({"config": null})), json!({"config": {"user.a": "1"}}));
    }
}
