//! The keys that a file has, by their paths, and the same file without one of them.

use serde_yaml::Value;

/// A file as a tree.
pub(super) struct Written(Value);

/// Lists of maps whose keys are the language's.
const LISTS: [&str; 2] = ["network_policies", "acl"];
/// Maps whose keys are names that the user gives.
const NAMED: [&str; 6] = ["domains", "machines", "profiles", "storage_volumes", "persistent_data", "shared_volumes"];
/// Maps with keys of others.
const OPAQUE: [&str; 5] = ["config", "devices", "user_data", "network_config", "consumers"];

/// The key without the names that the user gave: `domains.*.machines.*.ip`.
pub(super) fn pattern(key: &str) -> String {
    let mut named = false;
    let steps = key.split('.').map(|step| {
        let star = named || step.parse::<usize>().is_ok();
        named = NAMED.contains(&step) && !star;
        if star { "*" } else { step }
    });
    steps.collect::<Vec<_>>().join(".")
}

impl Written {
    pub(super) fn read(text: &str) -> Self {
        Self(serde_yaml::from_str(text).unwrap())
    }

    /// `domains.pro.machines.dev.ip`, and so on: what has a value, not the maps on the way there.
    pub(super) fn keys(&self) -> Vec<String> {
        let mut keys = Vec::new();
        walk(&self.0, &mut Vec::new(), &mut keys);
        keys
    }

    /// The file without this key, as YAML.
    pub(super) fn without(&self, key: &str) -> String {
        let mut tree = self.0.clone();
        let (parent, last) = key.rsplit_once('.').unwrap_or(("", key));
        let mut at = &mut tree;
        for step in parent.split('.').filter(|step| !step.is_empty()) {
            at = match at {
                Value::Sequence(items) => &mut items[step.parse::<usize>().unwrap()],
                other => &mut other[step],
            };
        }
        assert!(at.as_mapping_mut().unwrap().remove(last).is_some(), "there is a {key}");
        serde_yaml::to_string(&tree).unwrap()
    }
}

fn walk(value: &Value, way: &mut Vec<String>, keys: &mut Vec<String>) {
    let last = way.last().map(String::as_str).unwrap_or_default();
    let pairs: Vec<(String, &Value)> = match value {
        Value::Mapping(map) if !OPAQUE.contains(&last) => {
            map.iter().map(|(key, value)| (key.as_str().unwrap().to_owned(), value)).collect()
        }
        Value::Sequence(items) if LISTS.contains(&last) && items.iter().all(Value::is_mapping) => {
            items.iter().enumerate().map(|(index, item)| (index.to_string(), item)).collect()
        }
        _ => Vec::new(),
    };
    if pairs.is_empty() && value.as_mapping().is_none_or(|map| !map.is_empty()) {
        keys.push(way.join("."));
    }
    for (key, value) in pairs {
        way.push(key);
        walk(value, way, keys);
        way.pop();
    }
}
