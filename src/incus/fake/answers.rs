//! Reads: what is there, as JSON.

use std::collections::BTreeMap;

use serde_json::{Value, json};

use super::state::{Instance, Object, State};
use super::words::Words;
use super::{Answer, images, keys, nft, volumes};

/// The answer to a call that only reads; `None` for one that changes something.
pub(super) fn answer(state: &State, words: &Words<'_>, body: Option<&Value>) -> Option<Answer> {
    match (words.program, words.plain.as_slice()) {
        ("incus", ["query", path]) => Some(query(state, path).map(|value| value.to_string().into_bytes())),
        ("incus", ["remote", "list"]) => Some(Ok(b"{\"images\": {\"Addr\": \"https://images.test\"}}".to_vec())),
        ("incus", ["image", "info", image]) => Some(images::info(image, words.has("--vm"))),
        ("nft", ["list", "ruleset", "inet"]) => Some(Ok(nft::listing(state).to_string().into_bytes())),
        ("nft", ["-"]) if words.has("-c") => Some(nft::check(state, body).map(|()| Vec::new())),
        ("ip", _) => Some(Ok(b"[]".to_vec())),
        _ => None,
    }
}

fn query(state: &State, path: &str) -> Result<Value, String> {
    Ok(match path {
        "/1.0" => json!({"environment": {"server_version": "6.0.4", "driver": "lxc | qemu"}}),
        "/1.0/resources" => json!({"gpu": {"cards": [], "total": 0}}),
        "/1.0/metadata/configuration" => keys::metadata(),
        "/1.0/projects?recursion=1" => state
            .projects
            .iter()
            .map(|(name, object)| object.to_json(&json!({"name": name, "used_by": users(state, name)})))
            .collect(),
        "/1.0/networks?recursion=1" => networks(state),
        "/1.0/network-acls?recursion=1&project=default" => listing(&state.acls),
        "/1.0/network-zones?recursion=1&project=default" => listing(&state.zones),
        "/1.0/profiles?recursion=1&all-projects=true" => {
            state.profiles.iter().map(|((project, name), object)| profile(project, name, object)).collect()
        }
        "/1.0/instances?recursion=1&all-projects=true" => {
            state.instances.iter().map(|((project, name), one)| instance(state, project, name, one)).collect()
        }
        "/1.0/storage-pools" => state.pools.iter().map(|name| format!("/1.0/storage-pools/{name}")).collect(),
        "/1.0/images?recursion=1&project=default" => images::listing(state),
        other => {
            let pool = other.strip_prefix("/1.0/storage-pools/");
            return match pool.and_then(|rest| rest.strip_suffix("/volumes/custom?recursion=1&all-projects=true")) {
                Some(pool) => volumes::listing(state, pool),
                None => one(state, other),
            };
        }
    })
}

/// What is in a project: bridges, their filters and zones are in that of the name `default`.
fn users(state: &State, project: &str) -> Vec<String> {
    let shared = state.acls.keys().map(|name| format!("/1.0/network-acls/{name}"));
    let shared = shared.chain(state.zones.keys().map(|name| format!("/1.0/network-zones/{name}")));
    let shared = shared.filter(|_| project == "default");
    shared.chain([format!("/1.0/profiles/default?project={project}")]).chain(volumes::users(state, project)).collect()
}

/// `/1.0/KIND/NAME?project=PROJECT`
fn one(state: &State, path: &str) -> Result<Value, String> {
    let (thing, project) = path.split_once("?project=").unwrap_or((path, ""));
    let key = |name: &str| (project.to_owned(), name.to_owned());
    match thing.trim_start_matches("/1.0/").split('/').collect::<Vec<_>>().as_slice() {
        ["projects", name] => {
            let found = state.projects.get(*name).ok_or("Project not found")?;
            Ok(found.to_json(&json!({"name": name})))
        }
        ["networks", name] => {
            let found = state.networks.get(*name).ok_or("Network not found")?;
            Ok(network(name, found))
        }
        ["network-acls", name] => named(&state.acls, name),
        ["network-zones", name] => named(&state.zones, name),
        ["network-zones", zone, "records?recursion=1&project=default"] => {
            let records = state.records.iter().filter(|((of, _), _)| of == zone);
            Ok(records.map(|((_, name), object)| object.to_json(&json!({"name": name}))).collect())
        }
        ["network-zones", zone, "records", name] => {
            let found = state.records.get(&((*zone).to_owned(), (*name).to_owned()));
            Ok(found.ok_or("Network zone record not found")?.to_json(&json!({"name": name})))
        }
        ["profiles", name] => {
            let found = state.profiles.get(&key(name)).ok_or("Profile not found")?;
            Ok(profile(project, name, found))
        }
        ["instances", name] => {
            let found = state.instances.get(&key(name)).ok_or("Instance not found")?;
            Ok(instance(state, project, name, found))
        }
        ["storage-pools", pool, "volumes", "custom", name] => volumes::one(state, project, pool, name),
        _ => panic!("nobody has tried yet what Incus says to `query {path}`"),
    }
}

fn listing(things: &BTreeMap<String, Object>) -> Value {
    things
        .iter()
        .map(|(name, object)| object.to_json(&json!({"name": name, "project": "default", "used_by": []})))
        .collect()
}

fn named(things: &BTreeMap<String, Object>, name: &str) -> Result<Value, String> {
    Ok(things.get(name).ok_or("Not found")?.to_json(&json!({"name": name, "used_by": []})))
}

fn networks(state: &State) -> Value {
    let loopback = json!({"name": "lo", "type": "loopback", "managed": false, "config": {}, "description": ""});
    state.networks.iter().map(|(name, object)| network(name, object)).chain([loopback]).collect()
}

fn network(name: &str, object: &Object) -> Value {
    object.to_json(&json!({"name": name, "type": "bridge", "managed": true, "project": "default", "status": "Created"}))
}

fn profile(project: &str, name: &str, object: &Object) -> Value {
    object.to_json(&json!({"name": name, "project": project, "devices": object.devices}))
}

fn instance(state: &State, project: &str, name: &str, one: &Instance) -> Value {
    let (config, devices) = state.expanded(project, one);
    one.object.to_json(&json!({
        "expanded_config": config, "expanded_devices": devices,
        "name": name, "project": project, "devices": one.object.devices, "profiles": one.profiles, "ephemeral": one.ephemeral, "status": one.status,
        "type": if one.vm { "virtual-machine" } else { "container" }, "architecture": "x86_64", "stateful": false,
    }))
}
