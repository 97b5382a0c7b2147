//! An Incus object as maps of words.

use std::collections::BTreeMap;

use indexmap::IndexMap;

use crate::infra::model;
use crate::resolve::context::PREFIX;
use crate::resources::Found;
use crate::resources::fields::{Fields, Key};

/// Keys and values, in one order only.
pub(super) type Keys = BTreeMap<String, String>;

/// What somebody wrote on it, without what Incus and anklume keep there for themselves.
#[derive(Debug, Clone, Default)]
pub(super) struct Thing {
    pub(super) description: String,
    pub(super) config: Keys,
    pub(super) devices: BTreeMap<String, Keys>,
}

impl Thing {
    pub(super) fn of(found: &Found) -> Self {
        let mut thing = Self::default();
        for (key, value) in &found.fields {
            match key {
                Key::Description => thing.description.clone_from(value),
                Key::Config(key) if !key.starts_with(PREFIX) => {
                    thing.config.insert(key.clone(), value.clone());
                }
                Key::Device(device, key) => {
                    thing.devices.entry(device.clone()).or_default().insert(key.clone(), value.clone());
                }
                _ => {}
            }
        }
        thing
    }

    pub(super) fn get(&self, key: &str) -> Option<&str> {
        self.config.get(key).map(String::as_str)
    }

    pub(super) fn device(&self, device: &str, key: &str) -> Option<&str> {
        self.devices.get(device)?.get(key).map(String::as_str)
    }
}

/// A field, as text.
pub(super) fn field<'f>(fields: &'f Fields, key: &Key) -> &'f str {
    fields.get(key).map(String::as_str).unwrap_or_default()
}

/// Keys as the file has them: in the order in which a person would look for them.
pub(super) fn written(keys: &Keys) -> model::Config {
    keys.iter().map(|(key, value)| (key.clone(), value.clone())).collect()
}

/// A device as the file has it: what it is, then where it comes from and goes to, then the rest.
pub(super) fn device(keys: &Keys) -> model::Config {
    const FIRST: [&str; 6] = ["type", "network", "nictype", "parent", "source", "path"];
    let first = FIRST.iter().filter_map(|key| keys.get_key_value(*key));
    let rest = keys.iter().filter(|(key, _)| !FIRST.contains(&key.as_str()));
    first.chain(rest).map(|(key, value)| (key.clone(), value.clone())).collect()
}

/// Devices as the file has them: the card first, the root disk next.
pub(super) fn devices(devices: &BTreeMap<String, Keys>) -> model::Devices {
    let mut written: IndexMap<_, _> = devices.iter().map(|(name, keys)| (name.clone(), device(keys))).collect();
    for (place, name) in ["eth0", "root"].into_iter().filter(|name| devices.contains_key(*name)).enumerate() {
        let at = written.get_index_of(name).expect("it is among them");
        written.move_index(at, place);
    }
    written
}

/// Names that start so are notes of the file's author, and are not read.
pub(super) fn is_note(name: &str) -> bool {
    name.starts_with("x-")
}

pub(super) fn keys<const N: usize>(pairs: [(&str, &str); N]) -> Keys {
    pairs.map(|(key, value)| (key.to_owned(), value.to_owned())).into()
}
