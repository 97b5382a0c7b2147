//! The canonical form of an Incus object: one flat map of keys, the same for what is wanted and for what is there.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

use serde_json::Value;

use super::aside::Kept;
use super::journey::Journey;
use crate::incus::edit::{self, Edit};

/// Where a value stands in an Incus object.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) enum Key {
    /// `container` or `virtual-machine`; of a volume, `filesystem` or `block`.
    Type,
    /// Where a volume is.
    Pool,
    /// The image as the file names it, kept as `user.anklume.image`.
    Image,
    Description,
    /// In order of assignment, joined by commas.
    Profiles,
    Ephemeral,
    Config(String),
    Device(String, String),
    /// A list (`ingress` and `egress` of an ACL, `entries` of a DNS record) and one of its items, as JSON. The value is
    /// the same for people.
    Item(String, String),
}

/// The lists whose items are looked at one by one.
const LISTS: [&str; 3] = ["ingress", "egress", "entries"];

/// Keys with their values; an empty value is the same as none, as in Incus.
pub(crate) type Fields = BTreeMap<Key, String>;

impl Key {
    /// Is it kept in `user.anklume.applied`? Not what a thing is made as and what no edit sends.
    pub(crate) fn is_marked(&self) -> bool {
        !matches!(self, Self::Type | Self::Pool | Self::Image)
    }

    /// The form kept in `user.anklume.applied`.
    fn mark(&self) -> String {
        match self {
            Self::Config(key) => format!("config/{key}"),
            Self::Device(device, key) => format!("devices/{device}/{key}"),
            Self::Item(list, item) => format!("{list}/{item}"),
            other => other.to_string(),
        }
    }

    /// Reads `mark` back; `None` for what a later version may have written.
    fn from_mark(mark: &str) -> Option<Self> {
        if let Some(key) = mark.strip_prefix("config/") {
            return Some(Self::Config(key.into()));
        }
        if let Some(rest) = mark.strip_prefix("devices/") {
            // Names of devices may hold a slash, their keys never do.
            let (device, key) = rest.rsplit_once('/')?;
            return Some(Self::Device(device.into(), key.into()));
        }
        if let Some((list, item)) = mark.split_once('/').filter(|(list, _)| LISTS.contains(list)) {
            return Some(Self::Item(list.into(), item.into()));
        }
        match mark {
            "description" => Some(Self::Description),
            "profiles" => Some(Self::Profiles),
            "ephemeral" => Some(Self::Ephemeral),
            _ => None,
        }
    }
}

/// As it is shown: `limits.cpu`, `eth0 ipv4.address`.
impl fmt::Display for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Type => f.write_str("type"),
            Self::Pool => f.write_str("pool"),
            Self::Image => f.write_str("image"),
            Self::Description => f.write_str("description"),
            Self::Profiles => f.write_str("profiles"),
            Self::Ephemeral => f.write_str("ephemeral"),
            Self::Config(key) => f.write_str(key),
            Self::Device(device, key) => write!(f, "{device} {key}"),
            Self::Item(list, _) => f.write_str(list),
        }
    }
}

/// Config keys that anklume keeps its marks in.
pub(crate) mod mark {
    /// The `project_name` of the infrastructure that owns the object.
    pub(crate) const INFRA: &str = "user.anklume.infra";
    /// The domain it belongs to, as the file names it.
    pub(crate) const DOMAIN: &str = "user.anklume.domain";
    /// The keys that anklume last set, as a JSON list.
    pub(crate) const APPLIED: &str = "user.anklume.applied";
    /// `true` on what belongs to a domain that is not ephemeral.
    pub(crate) const PROTECTED: &str = "user.anklume.protected";
    /// The image of an instance, as the file names it.
    pub(crate) const IMAGE: &str = "user.anklume.image";
    /// On a copy of a machine that is on its way.
    pub(crate) const JOURNEY: &str = "user.anklume.journey";
    /// On a machine that was kept when another one was made in its place.
    pub(crate) const KEPT: &str = "user.anklume.kept";
    /// On a machine that is kept until another one that is made in its place is healthy: what it gave up.
    pub(crate) const REBUILD: &str = "user.anklume.rebuild";

    /// Is this key one of them? Other keys that start so say the nesting context, and are compared like any other.
    pub(super) fn is_one(key: &str) -> bool {
        [INFRA, DOMAIN, APPLIED, PROTECTED, IMAGE, JOURNEY, KEPT, REBUILD].contains(&key)
    }
}

/// What the marks on an object say.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Marks {
    pub(crate) infra: String,
    pub(crate) domain: String,
    pub(crate) protected: bool,
    pub(crate) applied: BTreeSet<Key>,
    /// It was set aside.
    pub(crate) kept: Option<Kept>,
    /// It is a copy on its way.
    pub(crate) journey: Option<Journey>,
}

impl Marks {
    /// The config keys that carry them.
    pub(crate) fn config(&self) -> BTreeMap<String, String> {
        let applied: Vec<String> = self.applied.iter().map(Key::mark).collect();
        let mut config = BTreeMap::from([
            (mark::INFRA.to_owned(), self.infra.clone()),
            (mark::DOMAIN.to_owned(), self.domain.clone()),
            (mark::APPLIED.to_owned(), Value::from(applied).to_string()),
        ]);
        if self.protected {
            config.insert(mark::PROTECTED.into(), "true".into());
        }
        config.extend(self.journey.as_ref().map(|journey| (mark::JOURNEY.to_owned(), journey.text())));
        config.extend(self.kept.as_ref().map(|kept| (mark::KEPT.to_owned(), kept.text())));
        config
    }

    /// Reads the marks of a listed object; `None` where there are none.
    pub(crate) fn read(listed: &Value) -> Option<Self> {
        let config = listed.get("config")?;
        let text = |key: &str| config.get(key).and_then(Value::as_str);
        let applied: Vec<String> =
            text(mark::APPLIED).and_then(|json| serde_json::from_str(json).ok()).unwrap_or_default();
        Some(Self {
            infra: text(mark::INFRA)?.to_owned(),
            domain: text(mark::DOMAIN).unwrap_or_default().to_owned(),
            protected: text(mark::PROTECTED) == Some("true"),
            applied: applied.iter().filter_map(|mark| Key::from_mark(mark)).collect(),
            kept: Kept::read(listed),
            journey: Journey::read(listed),
        })
    }
}

/// The fields of an object as Incus lists it, without what Incus or anklume keeps for itself.
pub(crate) fn listed(object: &Value) -> Fields {
    let mut fields = Fields::new();
    let mut put = |key: Key, value: &Value| {
        if let Some(text) = value.as_str().filter(|text| !text.is_empty()) {
            fields.insert(key, text.to_owned());
        }
    };
    put(Key::Description, &object["description"]);
    for (key, value) in object["config"].as_object().into_iter().flatten() {
        if key == mark::IMAGE {
            put(Key::Image, value);
        } else if !is_kept_by_incus(key) && !mark::is_one(key) {
            put(Key::Config(key.clone()), value);
        }
    }
    for (name, device) in object["devices"].as_object().into_iter().flatten() {
        for (key, value) in device.as_object().into_iter().flatten() {
            put(Key::Device(name.clone(), key.clone()), value);
        }
    }
    fields
}

fn is_kept_by_incus(key: &str) -> bool {
    key.starts_with("volatile.") || key.starts_with("image.")
}

/// The edit that brings `changes` (key and new value, `None` to unset) and `marks` about.
pub(crate) fn edit(changes: &[(Key, Option<String>)], marks: &Marks) -> Edit {
    let mut edit = Edit { set: marks.config(), ..Edit::default() };
    if !marks.protected {
        edit.unset.insert(mark::PROTECTED.into());
    }
    for (key, value) in changes {
        match (key, value) {
            (Key::Type | Key::Pool, _) => {}
            (Key::Image, value) => {
                if let Some(image) = value {
                    edit.set.insert(mark::IMAGE.into(), image.clone());
                }
            }
            (Key::Description, value) => edit.description = Some(value.clone().unwrap_or_default()),
            (Key::Profiles, value) => edit.profiles = Some(split(value.as_deref().unwrap_or_default())),
            (Key::Ephemeral, value) => edit.ephemeral = Some(value.as_deref() == Some("true")),
            (Key::Config(key), Some(value)) => {
                edit.set.insert(key.clone(), value.clone());
            }
            (Key::Config(key), None) => {
                edit.unset.insert(key.clone());
            }
            (Key::Device(device, key), Some(value)) => {
                edit.devices.entry(device.clone()).or_default().insert(key.clone(), value.clone());
            }
            // A device without its type is none: it goes whole, with what was set in it by hand.
            (Key::Device(device, key), None) if key == "type" => {
                edit.remove_devices.insert(device.clone());
            }
            (Key::Device(device, key), None) => {
                edit.unset_in_device.entry(device.clone()).or_default().insert(key.clone());
            }
            (Key::Item(list, item), value) => {
                let items = if value.is_some() { &mut edit.add_items } else { &mut edit.remove_items };
                items.entry(list.clone()).or_default().insert(item.clone());
            }
        }
    }
    edit
}

/// The items of a listed object, each with what `told` says of it.
pub(crate) fn put_items(fields: &mut Fields, object: &Value, told: impl Fn(&Value) -> String) {
    for list in LISTS {
        for value in object[list].as_array().into_iter().flatten() {
            fields.insert(Key::Item(list.to_owned(), edit::item(value)), told(value));
        }
    }
}

/// A list as one value.
pub(crate) fn joined(list: &[String]) -> String {
    list.join(",")
}

/// The names in it.
pub(crate) fn split(text: &str) -> Vec<String> {
    text.split(',').filter(|name| !name.is_empty()).map(str::to_owned).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn marks_are_read_back_as_they_were_written() {
        let marks = Marks {
            infra: "home".into(),
            domain: "pro".into(),
            protected: true,
            applied: BTreeSet::from([
                Key::Description,
                Key::Config("limits.cpu".into()),
                Key::Device("a/b".into(), "path".into()),
                Key::Item("ingress".into(), "{\"source\":\"10.0.0.0/8\"}".into()),
            ]),
            kept: Some(Kept { name: "dev".into() }),
            journey: Some(Journey { name: "dev".into(), ..Journey::default() }),
        };
        assert_eq!(Marks::read(&json!({"config": marks.config()})), Some(marks));
        assert_eq!(Marks::read(&json!({"config": {"user.other": "1"}})), None);
    }

    #[test]
    fn what_incus_keeps_for_itself_is_not_a_field() {
        let object = json!({"description": "", "config": {
            "volatile.uuid": "1", "image.os": "Debian", "limits.cpu": "2", "user.anklume.infra": "x",
            "user.anklume.image": "images:debian/13", "user.mine": "y", "user.empty": ""},
            "devices": {"root": {"type": "disk"}}});
        let expected = Fields::from([
            (Key::Image, "images:debian/13".into()),
            (Key::Config("limits.cpu".into()), "2".into()),
            (Key::Config("user.mine".into()), "y".into()),
            (Key::Device("root".into(), "type".into()), "disk".into()),
        ]);
        assert_eq!(listed(&object), expected);
    }

    #[test]
    fn a_device_that_left_the_file_goes_whole() {
        let gone = |key: &str| (Key::Device("eth1".into(), key.into()), None);
        let edit = edit(&[gone("type"), gone("network")], &Marks::default());
        let read = json!({"config": {}, "devices": {"eth1": {"type": "nic", "network": "n", "mtu": "1400"}}});
        assert_eq!(edit.apply(&read)["devices"], json!({}));
    }
}
