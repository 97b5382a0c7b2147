//! Storage volumes, and what of a host's directories and volumes machines see.

use serde_json::{Value, json};

use super::state::{Config, Devices, Instance, Object, State};
use super::words::Words;
use super::{Change, kinds};
use crate::infra::bytes;

/// A custom volume on a pool, in a project.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Volume {
    pub(crate) object: Object,
    pub(crate) block: bool,
}

/// Project, pool and name.
pub(crate) type Key = (String, String, String);

fn key(project: &str, pool: &str, name: &str) -> Key {
    (project.to_owned(), pool.to_owned(), name.to_owned())
}

pub(super) fn change(state: &mut State, words: &Words<'_>, body: Option<&Value>) -> Change {
    if let ["storage", "volume", "delete", pool, name] = words.plain.as_slice() {
        return delete(state, &key(words.project(), pool, name));
    }
    let body = body.expect("what Incus would read from standard input is given");
    for field in body.as_object().into_iter().flatten().map(|(field, _)| field) {
        if !["config", "description"].contains(&field.as_str()) {
            return Err(format!(
                "yaml: unmarshal errors:\n  line 1: field {field} not found in type api.StorageVolumePut"
            ));
        }
    }
    let (project, object) = (words.project(), Object::from_body(body));
    match words.plain.as_slice() {
        ["storage", "volume", "create", pool, name] => create(state, words, key(project, pool, name), object),
        ["storage", "volume", "edit", pool, name] => edit(state, &key(project, pool, name), object),
        _ => kinds::unknown(words),
    }
}

fn create(state: &mut State, words: &Words<'_>, key: Key, object: Object) -> Change {
    if !state.pools.contains(&key.1) {
        return Err("Storage pool not found".into());
    }
    if !state.projects.contains_key(&key.0) {
        return Err(format!("Failed to load project \"{}\": Project not found", key.0));
    }
    if state.volumes.contains_key(&key) {
        return Err("Volume by that name already exists".into());
    }
    let block = words.option("--type") == Some("block");
    state.volumes.insert(key, Volume { object, block });
    Ok(())
}

fn edit(state: &mut State, key: &Key, object: Object) -> Change {
    let before = state.volumes.get(key).ok_or("Storage pool volume not found")?;
    let size = |config: &Config| config.get("size").and_then(|size| bytes(size));
    let (old, new) = (size(&before.object.config), size(&object.config));
    if before.block && new.is_some() && old != new {
        if old.zip(new).is_some_and(|(old, new)| new < old) {
            return Err("Block volumes cannot be shrunk: Cannot be shrunk".into());
        }
        if state.instances.iter().any(|((project, _), one)| one.status != "Stopped" && sees(project, one, key)) {
            return Err("In use".into());
        }
    }
    let volume = Volume { object, ..before.clone() };
    state.volumes.insert(key.clone(), volume);
    Ok(())
}

fn delete(state: &mut State, key: &Key) -> Change {
    if !state.volumes.contains_key(key) {
        return Err("Storage pool volume not found".into());
    }
    let is_it = |device: &Config| device.get("pool") == Some(&key.1) && device.get("source") == Some(&key.2);
    let in_profile =
        state.profiles.iter().any(|((project, _), one)| *project == key.0 && one.devices.values().any(is_it));
    if in_profile || state.instances.iter().any(|((project, _), one)| sees(project, one, key)) {
        return Err("The storage volume is still in use".into());
    }
    state.volumes.remove(key);
    Ok(())
}

fn sees(project: &str, instance: &Instance, (own, pool, name): &Key) -> bool {
    let is_it = |device: &Config| device.get("pool") == Some(pool) && device.get("source") == Some(name);
    project == own && instance.object.devices.values().any(is_it)
}

/// The paths of the volumes of a project.
pub(super) fn users<'s>(state: &'s State, project: &'s str) -> impl Iterator<Item = String> + 's {
    let volumes = state.volumes.keys().filter(move |(own, _, _)| own == project);
    volumes.map(|(project, pool, name)| format!("/1.0/storage-pools/{pool}/volumes/custom/{name}?project={project}"))
}

/// The custom volumes of a pool, of all projects.
pub(super) fn listing(state: &State, pool: &str) -> Result<Value, String> {
    if !state.pools.iter().any(|name| name == pool) {
        return Err("Storage pool not found".into());
    }
    let volumes = state.volumes.iter().filter(|((_, own, _), _)| own == pool);
    Ok(volumes.map(|(key, volume)| listed(key, volume)).collect())
}

pub(super) fn one(state: &State, project: &str, pool: &str, name: &str) -> Result<Value, String> {
    let key = key(project, pool, name);
    state.volumes.get(&key).map(|volume| listed(&key, volume)).ok_or_else(|| "Storage pool volume not found".to_owned())
}

fn listed((project, _, name): &Key, volume: &Volume) -> Value {
    let kind = if volume.block { "block" } else { "filesystem" };
    volume.object.to_json(&json!({"name": name, "project": project, "type": "custom", "content_type": kind}))
}

/// What is wrong with the disks of an instance.
pub(super) fn check(state: &State, project: &str, vm: bool, devices: &Devices) -> Change {
    let disks = devices.iter().filter(|(_, device)| device.get("type").is_some_and(|kind| kind == "disk"));
    let mut paths: Vec<&String> = Vec::new();
    for (name, device) in disks {
        let path = device.get("path");
        if let Some(path) = path.filter(|path| paths.contains(path)) {
            return Err(format!(
                "Device validation failed for \"{name}\": More than one disk device uses the same path \"{path}\""
            ));
        }
        paths.extend(path);
        let Some(source) = device.get("source") else { continue };
        let wrong = |said: String| Err(format!("Failed add validation for device \"{name}\": {said}"));
        let Some(pool) = device.get("pool") else {
            if !state.has_directory(source) {
                return wrong(format!("Missing source path \"{source}\" for disk \"{name}\""));
            }
            continue;
        };
        match state.volumes.get(&key(project, pool, source)) {
            None => return wrong("Failed loading custom volume: Storage volume not found".into()),
            Some(volume) if volume.block && !vm => {
                return wrong("Custom block volumes cannot be used on containers".into());
            }
            Some(volume) if volume.block && path.is_some() => {
                return wrong("Custom block volumes cannot have a path defined".into());
            }
            Some(volume) if !volume.block && path.is_none() => {
                return wrong("Custom filesystem volumes require a path to be defined".into());
            }
            Some(_) => {}
        }
    }
    Ok(())
}

/// What a running virtual machine refuses: a directory neither comes nor goes.
pub(super) fn check_running_vm(before: &Devices, after: &Devices) -> Change {
    let is_share = |device: &Config| {
        device.get("type").is_some_and(|kind| kind == "disk") && device.get("path").is_some_and(|path| path != "/")
    };
    let changed = |one: &Devices, other: &Devices| -> Option<String> {
        let shares = one.iter().filter(|(_, device)| is_share(device));
        shares.into_iter().find(|(name, device)| other.get(*name) != Some(device)).map(|(name, _)| name.clone())
    };
    if let Some(name) = changed(before, after) {
        return Err(format!("Failed to stop device \"{name}\": Failed unmounting: device or resource busy"));
    }
    match changed(after, before) {
        Some(name) => Err(format!("Failed to start device \"{name}\": Virtiofsd isn't running")),
        None => Ok(()),
    }
}

impl State {
    /// Those of a host from the beginning, and those that were made.
    fn has_directory(&self, path: &str) -> bool {
        path.starts_with("/usr/") || self.directories.contains(path)
    }
}
