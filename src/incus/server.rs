//! What only the server knows and is asked before the first write: what it can run, its keys, images and GPUs.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::Value;

use super::call::Call;
use super::door::{CallError, Host, json};

/// Answers of the server.
#[derive(Debug, Clone, Default, PartialEq)]
pub(crate) struct Server {
    pub(crate) version: String,
    /// What it can do beyond the first version of its API.
    extensions: BTreeSet<String>,
    /// `lxc`, `qemu`.
    pub(crate) drivers: BTreeSet<String>,
    /// Aliases of the image cache that all domains share.
    pub(crate) aliases: BTreeSet<String>,
    pub(crate) fingerprints: Vec<String>,
    /// Config keys of instances; a key that ends in `*` stands for all that start so. Empty where the server has no
    /// such list.
    instance_keys: BTreeMap<String, KnownKey>,
    /// The GPUs that it can see; `None` where it does not tell.
    pub(crate) gpus: Option<Vec<Gpu>>,
}

/// A GPU of the host, by what a device may pick one by. Lower case, as Incus has them.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Gpu {
    /// `0000:01:00.0`.
    pub(crate) pci: String,
    pub(crate) vendor: String,
    pub(crate) product: String,
    /// The number of its DRM card.
    pub(crate) card: String,
}

/// A config key that the server knows.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct KnownKey {
    /// Changes reach a running machine; `None` where the server does not say it in one word.
    pub(crate) live: Option<bool>,
    /// `container` or `virtual machine`, where it is for one of them only.
    pub(crate) only_for: Option<String>,
    /// `bool`, `integer`, `string`.
    pub(crate) value: String,
}

impl Gpu {
    fn parse(card: &Value) -> Self {
        let text = |key: &str| card[key].as_str().unwrap_or_default().to_lowercase();
        let drm = card["drm"]["id"].as_u64().map(|id| id.to_string());
        let (pci, vendor, product) = (text("pci_address"), text("vendor_id"), text("product_id"));
        Self { pci, vendor, product, card: drm.unwrap_or_default() }
    }
}

impl Server {
    /// Asks everything at once.
    pub(crate) async fn read(host: &impl Host) -> Result<Self, CallError> {
        let (root, keys, images, resources) = (
            Call::query("/1.0"),
            Call::query("/1.0/metadata/configuration"),
            Call::query("/1.0/images?recursion=1&project=default"),
            Call::query("/1.0/resources"),
        );
        let (root, keys, images, resources) =
            tokio::join!(json(host, &root), json(host, &keys), json(host, &images), json(host, &resources));
        // The list of keys is newer than some servers; without it the keys are checked when they are set.
        let keys = keys.unwrap_or_default();
        Ok(Self::parse(&root?, &keys, &images?, &resources.unwrap_or_default()))
    }

    /// Reads the answers.
    pub(crate) fn parse(root: &Value, keys: &Value, images: &Value, resources: &Value) -> Self {
        let environment = &root["environment"];
        let drivers = environment["driver"].as_str().unwrap_or_default();
        let images: Vec<&Value> = images.as_array().into_iter().flatten().collect();
        let text = |value: &Value| value.as_str().map(str::to_owned);
        let aliases = images.iter().flat_map(|image| image["aliases"].as_array().into_iter().flatten());
        Self {
            version: text(&environment["server_version"]).unwrap_or_default(),
            extensions: root["api_extensions"].as_array().into_iter().flatten().filter_map(text).collect(),
            drivers: drivers.split('|').map(|driver| driver.trim().to_owned()).collect(),
            aliases: aliases.filter_map(|alias| text(&alias["name"])).collect(),
            fingerprints: images.iter().filter_map(|image| text(&image["fingerprint"])).collect(),
            instance_keys: known_keys(&keys["configs"]["instance"]),
            gpus: resources["gpu"].as_object().map(|gpu| {
                let cards = gpu.get("cards").and_then(Value::as_array);
                cards.into_iter().flatten().map(Gpu::parse).collect()
            }),
        }
    }

    /// Can it run virtual machines?
    pub(crate) fn runs_vms(&self) -> bool {
        self.drivers.contains("qemu")
    }

    /// Can it give more memory to a virtual machine that runs?
    pub(crate) fn hotplugs_memory(&self) -> bool {
        self.extensions.contains("memory_hotplug")
    }

    /// Is this an image that is here: an alias, or the start of a fingerprint?
    pub(crate) fn has_image(&self, name: &str) -> bool {
        let is_start = |fingerprint: &String| name.len() >= 6 && fingerprint.starts_with(name);
        self.aliases.contains(name) || self.fingerprints.iter().any(is_start)
    }

    /// What the server says of a config key of instances.
    pub(crate) fn instance_key(&self, key: &str) -> Option<&KnownKey> {
        self.instance_keys.get(key).or_else(|| {
            let is_start = |pattern: &&String| pattern.strip_suffix('*').is_some_and(|start| key.starts_with(start));
            self.instance_keys.keys().find(is_start).and_then(|pattern| self.instance_keys.get(pattern))
        })
    }

    /// All config keys of instances that the server knows.
    pub(crate) fn instance_keys(&self) -> impl Iterator<Item = &str> {
        self.instance_keys.keys().map(String::as_str)
    }
}

/// `{group: {"keys": [{key: {…}}]}}` as one map.
fn known_keys(groups: &Value) -> BTreeMap<String, KnownKey> {
    let groups = groups.as_object().into_iter().flatten();
    let entries = groups.flat_map(|(_, group)| group["keys"].as_array().into_iter().flatten());
    let pairs = entries.flat_map(|entry| entry.as_object().into_iter().flatten());
    pairs.map(|(key, about)| (key.clone(), known_key(about))).collect()
}

fn known_key(about: &Value) -> KnownKey {
    let text = |field: &str| about[field].as_str().unwrap_or_default();
    KnownKey {
        live: match text("liveupdate") {
            "yes" => Some(true),
            "no" => Some(false),
            _ => None,
        },
        only_for: match text("condition") {
            "container" | "virtual machine" => Some(text("condition").to_owned()),
            _ => None,
        },
        value: text("type").to_owned(),
    }
}
