//! What is there.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::{Map, Value, json};

use super::volumes::{self, Volume};

/// Keys and their values.
pub(super) type Config = BTreeMap<String, String>;
pub(super) type Devices = BTreeMap<String, Config>;

/// An object of a table: its kind, and its fields as nft lists them.
pub(super) type TablePart = (String, Map<String, Value>);

/// What every kind has, of what it may have.
#[derive(Debug, Clone, Default, PartialEq)]
pub(crate) struct Object {
    pub(crate) description: String,
    pub(crate) config: BTreeMap<String, String>,
    pub(crate) devices: BTreeMap<String, BTreeMap<String, String>>,
    /// `ingress`, `egress`, `entries`.
    pub(crate) lists: BTreeMap<String, Vec<Value>>,
}

#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Instance {
    pub(crate) object: Object,
    pub(crate) profiles: Vec<String>,
    pub(crate) vm: bool,
    pub(crate) ephemeral: bool,
    /// `Running`, `Stopped`, `Frozen`.
    pub(crate) status: &'static str,
    /// Paths of files that were pushed into it.
    pub(crate) files: BTreeSet<String>,
}

/// An image in the cache of project `default`.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Image {
    pub(super) fingerprint: String,
    pub(super) aliases: BTreeSet<String>,
    pub(super) vm: bool,
}

/// Projects, and things in projects by project and name.
#[derive(Debug, Clone, Default, PartialEq)]
pub(crate) struct State {
    pub(crate) projects: BTreeMap<String, Object>,
    pub(crate) networks: BTreeMap<String, Object>,
    pub(crate) acls: BTreeMap<String, Object>,
    pub(crate) zones: BTreeMap<String, Object>,
    /// By zone and name.
    pub(crate) records: BTreeMap<(String, String), Object>,
    pub(crate) profiles: BTreeMap<(String, String), Object>,
    pub(crate) instances: BTreeMap<(String, String), Instance>,
    pub(crate) images: Vec<Image>,
    pub(crate) pools: Vec<String>,
    pub(crate) volumes: BTreeMap<volumes::Key, Volume>,
    /// Directories of the host that were made.
    pub(crate) directories: BTreeSet<String>,
    /// Tables by family and name.
    pub(crate) tables: BTreeMap<(String, String), Vec<TablePart>>,
    /// Every change that was made, as it was typed.
    pub(crate) log: Vec<String>,
    /// Machines that were started on a bridge of anklume's that the table did not know.
    pub(crate) unfenced: Vec<String>,
    /// Containers that can nest, and were started without the files that say where they are.
    pub(crate) lost: Vec<String>,
}

impl State {
    pub(super) fn fresh() -> Self {
        let features = ["features.images", "features.networks", "features.profiles", "features.storage.volumes"];
        let config = features.map(|key| (key.to_owned(), "true".to_owned())).into();
        let project = Object { description: "Default Incus project".into(), config, ..Object::default() };
        let root = [("type", "disk"), ("path", "/"), ("pool", "default")];
        let root: Config = root.map(|(key, value)| (key.to_owned(), value.to_owned())).into();
        let profile = Object { devices: [("root".to_owned(), root)].into(), ..Object::default() };
        Self {
            projects: [("default".to_owned(), project)].into(),
            profiles: [(("default".to_owned(), "default".to_owned()), profile)].into(),
            pools: vec!["default".into(), "fast".into()],
            ..Self::default()
        }
    }

    /// Config and devices of an instance with those of its profiles: the last profile wins, the instance over all. A
    /// device replaces another of its name whole.
    pub(super) fn expanded(&self, project: &str, instance: &Instance) -> (Config, Devices) {
        let (mut config, mut devices) = (Config::new(), Devices::new());
        let of_profiles = instance.profiles.iter().map(|name| {
            let key = (project.to_owned(), name.clone());
            self.profiles.get(&key).expect("a profile in use is not deleted")
        });
        for object in of_profiles.chain([&instance.object]) {
            config.extend(object.config.clone());
            devices.extend(object.devices.clone());
        }
        (config, devices)
    }

    pub(crate) fn instance(&self, project: &str, name: &str) -> Option<&Instance> {
        self.instances.get(&(project.to_owned(), name.to_owned()))
    }
}

impl Object {
    /// What a body on standard input says; what it leaves out is cleared. Unknown fields are passed over in silence.
    pub(super) fn from_body(body: &Value) -> Self {
        Self {
            description: body["description"].as_str().unwrap_or_default().to_owned(),
            config: texts(&body["config"]),
            devices: match &body["devices"] {
                Value::Object(devices) => devices.iter().map(|(name, keys)| (name.clone(), texts(keys))).collect(),
                _ => Devices::new(),
            },
            lists: ["ingress", "egress", "entries"]
                .iter()
                .filter_map(|list| Some(((*list).to_owned(), body[list].as_array()?.clone())))
                .collect(),
        }
    }

    pub(super) fn to_json(&self, more: &Value) -> Value {
        let mut value = json!({"description": self.description, "config": self.config});
        let (Value::Object(fields), Value::Object(more)) = (&mut value, more) else { unreachable!() };
        fields.extend(more.clone());
        fields.extend(self.lists.iter().map(|(list, items)| (list.clone(), json!(items))));
        value
    }
}

/// A map of texts; an empty value is none.
fn texts(map: &Value) -> Config {
    let entries = map.as_object().into_iter().flatten();
    let text = |value: &Value| value.as_str().expect("every value is sent as a text").to_owned();
    entries.map(|(key, value)| (key.clone(), text(value))).filter(|(_, value)| !value.is_empty()).collect()
}
