//! Instances: made, changed, started, stopped, deleted.

use std::collections::BTreeSet;

use serde_json::Value;

use super::state::{Config, Devices, Instance, Object, State};
use super::words::Words;
use super::{Change, devices, images, keys, kinds, limits, nft, volumes};

pub(super) fn change(state: &mut State, words: &Words<'_>, body: Option<&Value>, amid: bool) -> Change {
    let project = words.project();
    match words.plain.as_slice() {
        [verb @ ("create" | "launch"), image, name] => {
            create(state, words, (project, name), image, body.expect("a body"))?;
            if *verb == "launch" && !amid { start(state, project, name) } else { Ok(()) }
        }
        ["config", "edit", name] => edit(state, project, name, body.expect("a body")),
        ["config", "unset", name, key] => unset(state, project, name, key),
        ["file", "push", "-", target] => push(state, project, target),
        ["start", name] => start(state, project, name),
        ["restart", name] => restart(state, project, name),
        ["stop", name] => stop(state, project, name, words.has("--force")),
        ["pause", name] => pause(state, project, name),
        ["resume", name] => resume(state, project, name),
        ["rename", name, new] => rename(state, project, name, new),
        ["delete", name] => delete(state, project, name, words.has("--force"), amid),
        _ => kinds::unknown(words),
    }
}

fn key(project: &str, name: &str) -> (String, String) {
    (project.to_owned(), name.to_owned())
}

fn get<'a>(state: &'a mut State, project: &str, name: &str) -> Result<&'a mut Instance, String> {
    let found = state.instances.get_mut(&key(project, name));
    found.ok_or_else(|| format!("Failed to fetch instance \"{name}\" in project \"{project}\": Instance not found"))
}

/// The profiles that a body names; without any it is `default`, unless the command line says otherwise.
fn profiles(body: &Value) -> Vec<String> {
    let list = body["profiles"].as_array().into_iter().flatten();
    list.filter_map(Value::as_str).map(str::to_owned).collect()
}

fn create(state: &mut State, words: &Words<'_>, owner: (&str, &str), image: &str, body: &Value) -> Change {
    let (project, name) = owner;
    let limits = state.projects.get(project).ok_or("Project not found")?.config.clone();
    let (image, vm) = (images::find(state, image)?.clone(), words.has("--vm"));
    if image.vm != vm {
        let (asked, is) = if vm { ("VM", "container") } else { ("container", "virtual-machine") };
        return Err(format!("Asked for a {asked} but image is of type {is}"));
    }
    let mut object = Object::from_body(body);
    object.config.insert("volatile.uuid".into(), format!("uuid of {project}/{name}"));
    object.config.insert("volatile.idmap.base".into(), "0".into());
    object.config.insert("image.os".into(), image.fingerprint.clone());
    let mut profiles = profiles(body);
    if profiles.is_empty() && !words.has("--no-profiles") {
        profiles.push("default".into());
    }
    if let Some(profile) = profiles.iter().find(|profile| !state.profiles.contains_key(&key(project, profile))) {
        return Err(format!("Requested profile \"{profile}\" doesn't exist"));
    }
    let instance = Instance {
        object,
        profiles,
        vm,
        ephemeral: words.has("--ephemeral"),
        status: "Stopped",
        files: BTreeSet::new(),
    };
    let failed = |said: String| format!("Failed creating instance record: {said}");
    if state.instances.contains_key(&key(project, name)) {
        return Err(failed("Add instance info to the database: UNIQUE constraint failed: instances.name".into()));
    }
    let (config, devices) = state.expanded(project, &instance);
    limits::check(state, project, &limits, Some((vm, config))).map_err(|said| said.replace("total ", ""))?;
    check_whole(state, project, &instance, &devices)
        .map_err(|said| failed(format!("Failed initializing instance: {said}")))?;
    let (_, pool) = devices::root(&devices).ok_or_else(|| failed(NO_ROOT.into()))?;
    if !pool.is_some_and(|pool| state.pools.contains(pool)) {
        return Err(failed("Failed initializing instance: Failed loading storage pool: Storage pool not found".into()));
    }
    state.instances.insert(key(project, name), instance);
    Ok(())
}

const NO_ROOT: &str = "Failed detecting root disk device: No root device could be found";

/// What is looked at whenever an instance is made or changed.
fn check_whole(state: &State, project: &str, instance: &Instance, devices: &Devices) -> Change {
    keys::check(&instance.object.config, Some(instance.vm))?;
    volumes::check(state, project, instance.vm, devices)?;
    devices::check(state, devices, true).map_err(|said| format!("Invalid devices: {said}"))
}

fn edit(state: &mut State, project: &str, name: &str, body: &Value) -> Change {
    let before = get(state, project, name)?.clone();
    let after = Instance {
        object: Object::from_body(body),
        profiles: profiles(body),
        ephemeral: body["ephemeral"].as_bool().unwrap_or_default(),
        ..before
    };
    put(state, (project, name), &after)
}

fn put(state: &mut State, owner: (&str, &str), after: &Instance) -> Change {
    let (project, name) = owner;
    let before = get(state, project, name)?.clone();
    let idmap = |instance: &Instance| instance.object.config.get("volatile.idmap.base").cloned();
    if idmap(&before) != idmap(after) {
        return Err("Volatile idmap keys can't be deleted by the user".into());
    }
    if after.profiles.iter().any(|profile| !state.profiles.contains_key(&key(project, profile))) {
        return Err("Profile not found".into());
    }
    let mut new = state.clone();
    new.instances.insert(key(project, name), after.clone());
    check_update(&new, state, owner, after)?;
    let config = new.projects[project].config.clone();
    limits::check(&new, project, &config, None)?;
    *state = new;
    Ok(())
}

/// What an instance refuses of a change to itself or to a profile of its own.
pub(super) fn check_update(new: &State, old: &State, owner: (&str, &str), after: &Instance) -> Change {
    let (project, name) = owner;
    let before = &old.instances[&key(project, name)];
    let (old_config, old_devices) = old.expanded(project, before);
    let (config, devices) = new.expanded(project, after);
    check_whole(new, project, after, &devices)?;
    let Some((_, pool)) = devices::root(&devices) else { return Err(format!("Invalid expanded devices: {NO_ROOT}")) };
    if devices::root(&old_devices).is_some_and(|(_, before)| before != pool) {
        return Err(format!("Cannot update root disk device pool name to {pool:?}"));
    }
    let up = before.status != "Stopped";
    if up && before.vm {
        keys::check_running_vm(&old_config, &config)?;
        volumes::check_running_vm(&old_devices, &devices)?;
    }
    for (device, keys) in devices.iter().filter(|(device, keys)| old_devices.get(*device) != Some(keys)) {
        devices::check_conflicts(new, owner, &devices, device)
            .map_err(|said| format!("Failed update validation for device \"{device}\": {said}"))?;
        if up && keys.get("type").is_some_and(|kind| kind == "gpu") {
            return Err(format!("Failed to start device \"{device}\": Failed to detect requested GPU device"));
        }
    }
    // A running machine's NIC is looked at once more as it was.
    for (device, keys) in old_devices.iter().filter(|(device, keys)| up && devices.get(*device) != Some(keys)) {
        devices::check_address(new, keys).map_err(|said| format!("Failed to update device \"{device}\": {said}"))?;
    }
    Ok(())
}

fn unset(state: &mut State, project: &str, name: &str, unset: &str) -> Change {
    let mut after = get(state, project, name)?.clone();
    if after.object.config.remove(unset).is_none() {
        return Err(format!("Can't unset key '{unset}', it's not currently set"));
    }
    put(state, (project, name), &after)
}

/// A virtual machine takes files from its agent only, which nobody has here.
fn push(state: &mut State, project: &str, target: &str) -> Change {
    let (name, path) = target.split_once('/').ok_or("Invalid target")?;
    let instance = get(state, project, name)?;
    if instance.vm {
        return Err("Failed to connect to the agent".into());
    }
    instance.files.insert(path.to_owned());
    Ok(())
}

fn start(state: &mut State, project: &str, name: &str) -> Change {
    let instance = get(state, project, name)?;
    match instance.status {
        "Running" => return Err("The instance is already running".into()),
        "Frozen" => {
            instance.status = "Running";
            return Ok(());
        }
        _ => {}
    }
    let instance = instance.clone();
    let (config, devices) = state.expanded(project, &instance);
    for (device, keys) in &devices {
        let refused = |said: String| format!("Failed start validation for device \"{device}\": {said}");
        devices::check_address(state, keys).map_err(refused)?;
        devices::check_conflicts(state, (project, name), &devices, device).map_err(refused)?;
        if let Some(parent) = devices::bridge(keys)
            && !state.networks.contains_key(parent)
        {
            return Err(format!("Failed to start device \"{device}\": Parent device \"{parent}\" doesn't exist"));
        }
    }
    volumes::check(state, project, instance.vm, &devices)?;
    check_start(&config, &devices)?;
    note_unfenced(state, project, name, &devices);
    let nests = !instance.vm && config.get("security.nesting").is_some_and(|value| value == "true");
    if nests && config.contains_key("user.anklume.absolute_level") && instance.files.len() < 4 {
        state.lost.push(format!("{project}/{name}"));
    }
    get(state, project, name)?.status = "Running";
    Ok(())
}

fn check_start(config: &Config, devices: &Devices) -> Change {
    if config.get("nvidia.runtime").is_some_and(|value| value == "true") {
        return Err("Initialize LXC: The NVIDIA container tools couldn't be found".into());
    }
    if let Some((device, _)) = devices.iter().find(|(_, keys)| keys.get("type").is_some_and(|kind| kind == "gpu")) {
        return Err(format!("Failed to start device \"{device}\": Failed to detect requested GPU device"));
    }
    Ok(())
}

/// Isolation first: a machine on one of anklume's bridges starts behind the table only.
fn note_unfenced(state: &mut State, project: &str, name: &str, devices: &Devices) {
    for bridge in devices.values().filter_map(devices::bridge) {
        let ours = state.networks.get(bridge).is_some_and(|network| network.config.contains_key("user.anklume.infra"));
        if ours && !nft::fences(state, bridge) {
            state.unfenced.push(format!("{project}/{name} on {bridge}"));
        }
    }
}

fn stop(state: &mut State, project: &str, name: &str, force: bool) -> Change {
    let instance = get(state, project, name)?;
    match instance.status {
        "Stopped" => return Err("The instance is already stopped".into()),
        "Frozen" if !force => {
            return Err("Failed shutting down instance, status is \"Running\": context deadline exceeded".into());
        }
        _ => instance.status = "Stopped",
    }
    if instance.ephemeral {
        state.instances.remove(&key(project, name));
    }
    Ok(())
}

/// An ephemeral one survives it.
fn restart(state: &mut State, project: &str, name: &str) -> Change {
    let instance = get(state, project, name)?;
    if instance.status != "Running" {
        return Err("The instance is not running".into());
    }
    instance.status = "Stopped";
    start(state, project, name)
}

fn pause(state: &mut State, project: &str, name: &str) -> Change {
    let instance = get(state, project, name)?;
    match instance.status {
        "Stopped" => Err("The instance isn't running".into()),
        "Frozen" => Err("The container is already frozen".into()),
        _ => {
            instance.status = "Frozen";
            Ok(())
        }
    }
}

fn resume(state: &mut State, project: &str, name: &str) -> Change {
    let instance = get(state, project, name)?;
    match instance.status {
        "Stopped" => Err("The container isn't running".into()),
        "Running" => Err("The container is already running".into()),
        _ => {
            instance.status = "Running";
            Ok(())
        }
    }
}

fn rename(state: &mut State, project: &str, name: &str, new: &str) -> Change {
    if get(state, project, name)?.status != "Stopped" {
        return Err("Renaming of running instance not allowed".into());
    }
    if state.instances.contains_key(&key(project, new)) {
        return Err(format!("Name \"{new}\" already in use"));
    }
    let instance = state.instances.remove(&key(project, name)).expect("it was found above");
    state.instances.insert(key(project, new), instance);
    Ok(())
}

fn delete(state: &mut State, project: &str, name: &str, force: bool, amid: bool) -> Change {
    let instance = get(state, project, name)
        .map_err(|said| format!("Failed checking instance exists \"local:{name}\": {said}"))?;
    if instance.status != "Stopped" {
        if !force {
            return Err("The instance is currently running, stop it first or pass --force".into());
        }
        instance.status = "Stopped";
        if instance.ephemeral {
            state.instances.remove(&key(project, name));
            return Ok(());
        }
    }
    if instance.object.config.get("security.protection.delete").is_some_and(|value| value == "true") {
        return Err(format!("Failed deleting instance \"{name}\" in project \"{project}\": Instance is protected"));
    }
    if !amid {
        state.instances.remove(&key(project, name));
    }
    Ok(())
}
