//! The image cache: which images Incus keeps for anklume, and who is made from them.

use std::collections::{BTreeMap, BTreeSet};

use serde::Serialize;
use serde_json::Value;

use super::fields::mark;
use super::image;
use crate::resolve::desired::Desired;

/// An image as the file names it, and whether it is for virtual machines.
pub(crate) type Name = (String, bool);

/// The aliases that anklume keeps images of remotes under.
const PREFIX: &str = "anklume/";

/// An image that is here.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub(crate) struct Cached {
    pub(crate) alias: String,
    pub(crate) fingerprint: String,
    /// Bytes.
    pub(crate) size: u64,
    /// The day it was made, as its server says.
    pub(crate) made: String,
    /// Incus fetches newer ones by itself; not so for one that came from a file.
    pub(crate) auto_update: bool,
    /// Nothing else is called by this image's fingerprint.
    #[serde(skip)]
    pub(crate) alone: bool,
}

/// The cache as Incus lists it, with what was made from it.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Cache {
    pub(crate) images: BTreeMap<Name, Cached>,
    /// Image → the fingerprints that machines were made from, one for each machine, of every infrastructure.
    pub(crate) users: BTreeMap<Name, Vec<String>>,
}

impl Cache {
    /// From the lists of images (of project `default`) and of instances (of all projects).
    pub(crate) fn parse(images: &Value, instances: &Value) -> Self {
        let mut cache = Self::default();
        for listed in images.as_array().into_iter().flatten() {
            let vm = listed["type"] == "virtual-machine";
            for alias in listed["aliases"].as_array().into_iter().flatten() {
                if let Some((name, cached)) = alias["name"].as_str().and_then(|alias| cached(alias, vm, listed)) {
                    cache.images.insert(name, cached);
                }
            }
        }
        for listed in instances.as_array().into_iter().flatten() {
            let config = &listed["config"];
            if let Some(image) = config[mark::IMAGE].as_str() {
                let base = config["volatile.base_image"].as_str().unwrap_or_default().to_owned();
                let name = (image.to_owned(), listed["type"] == "virtual-machine");
                cache.users.entry(name).or_default().push(base);
            }
        }
        cache
    }

    /// Images that no machine was made from, and that this file does not name either.
    pub(crate) fn unused(&self, desired: &Desired) -> Vec<(&Name, &Cached)> {
        let wanted = wanted(desired);
        self.images.iter().filter(|(name, _)| !wanted.contains(*name) && !self.users.contains_key(*name)).collect()
    }
}

/// The images that the machines of the file are made from.
pub(crate) fn wanted(desired: &Desired) -> BTreeSet<Name> {
    let machines = desired.domains.iter().flat_map(|domain| &domain.machines);
    machines.map(|machine| (machine.image.clone(), machine.vm)).collect()
}

/// What the file calls an image that is kept under this alias: `anklume/images/debian/13` is `images:debian/13`.
fn cached(alias: &str, vm: bool, listed: &Value) -> Option<(Name, Cached)> {
    let (remote, rest) = alias.strip_prefix(PREFIX)?.split_once('/')?;
    let rest = if vm { rest.strip_suffix("/vm")? } else { rest };
    let name = (format!("{remote}:{rest}"), vm);
    debug_assert_eq!(image::local_name(&name.0, vm), alias, "one way and back");
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    let cached = Cached {
        alias: alias.to_owned(),
        fingerprint: text(&listed["fingerprint"]),
        size: listed["size"].as_u64().unwrap_or_default(),
        made: text(&listed["created_at"]).chars().take("2026-01-31".len()).collect(),
        auto_update: listed["auto_update"].as_bool() == Some(true),
        alone: listed["aliases"].as_array().is_none_or(|aliases| aliases.len() < 2),
    };
    Some((name, cached))
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn an_image_is_known_by_its_alias_and_its_users_by_their_marks() {
        let images = json!([
            {"fingerprint": "aa", "type": "container", "size": 5, "created_at": "2025-01-01T00:00:00Z",
             "auto_update": true, "aliases": [{"name": "anklume/images/debian/13"}, {"name": "mine"}]},
            {"fingerprint": "bb", "type": "virtual-machine", "aliases": [{"name": "anklume/images/debian/13/vm"}]},
            {"fingerprint": "cc", "type": "container", "aliases": [{"name": "golden"}]}]);
        let instances = json!([
            {"type": "container", "config": {"user.anklume.image": "images:debian/13", "volatile.base_image": "old"}},
            {"type": "container", "config": {"volatile.base_image": "aa"}}]);
        let cache = Cache::parse(&images, &instances);
        let names: Vec<_> = cache.images.keys().cloned().collect();
        assert_eq!(names, [("images:debian/13".to_owned(), false), ("images:debian/13".to_owned(), true)]);
        assert_eq!(cache.users[&("images:debian/13".to_owned(), false)], ["old"]);
        let container = &cache.images[&names[0]];
        assert_eq!((container.made.as_str(), container.size, container.auto_update), ("2025-01-01", 5, true));
        assert!(!container.alone && cache.images[&names[1]].alone);
    }
}
