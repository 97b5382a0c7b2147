//! Writes: which call changes what; projects and bridges.

use serde_json::Value;

use super::state::{Config, Object, State};
use super::words::Words;
use super::{Change, devices, images, instances, limits, names, nft, profiles, volumes};

/// Makes a change. `amid`: what takes several steps stops after the first.
pub(super) fn change(state: &mut State, words: &Words<'_>, body: Option<&Value>, amid: bool) -> Change {
    let object = || Object::from_body(body.expect("what Incus would read from standard input is given"));
    match (words.program, words.plain.as_slice()) {
        ("nft", ["-"]) => nft::load(state, body),
        ("incus", ["network", "acl" | "zone", ..]) => names::change(state, words, body),
        ("incus", ["project", "create", name]) => create_project(state, name, object()),
        ("incus", ["project", "edit", name]) => edit_project(state, name, object()),
        ("incus", ["project", "delete", name]) => delete_project(state, name),
        ("incus", ["network", verb, name]) => {
            assert_eq!(words.project(), "default", "bridges live in project default");
            match *verb {
                "create" => create_network(state, name, object()),
                "edit" => edit_network(state, name, object()),
                "delete" => delete_network(state, name),
                _ => unknown(words),
            }
        }
        ("incus", ["profile", verb, name]) => match *verb {
            "create" => profiles::create(state, words.project(), name, object()),
            "edit" => profiles::edit(state, words.project(), name, object()),
            "delete" => profiles::delete(state, words.project(), name),
            _ => unknown(words),
        },
        ("incus", ["storage", "volume", ..]) => volumes::change(state, words, body),
        ("mkdir", [_mode, path]) if words.has("-p") => {
            state.directories.insert((*path).to_owned());
            Ok(())
        }
        ("incus", ["image", "copy", image, "local:"]) => images::copy(state, words, image),
        ("incus", _) => instances::change(state, words, body, amid),
        _ => unknown(words),
    }
}

pub(super) fn unknown(words: &Words<'_>) -> ! {
    panic!("nobody has yet tried what Incus does with {words:?}")
}

fn create_project(state: &mut State, name: &str, object: Object) -> Change {
    if state.projects.contains_key(name) {
        return Err(format!(
            "Failed creating project \"{name}\": Failed adding database record: Failed to create \"projects\" entry: \
             UNIQUE constraint failed: projects.name"
        ));
    }
    check_project_keys(&object.config)?;
    state.projects.insert(name.to_owned(), object);
    state.profiles.insert((name.to_owned(), "default".to_owned()), Object::default());
    Ok(())
}

fn check_project_keys(config: &Config) -> Change {
    let known = |key: &String| ["features.", "limits.", "user."].iter().any(|start| key.starts_with(start));
    config
        .keys()
        .find(|key| !known(key))
        .map_or(Ok(()), |key| Err(format!("Invalid project configuration key \"{key}\"")))
}

fn is_empty(state: &State, name: &str) -> bool {
    let profiles = state.profiles.keys().filter(|(project, _)| project == name).count();
    let has_volumes = state.volumes.keys().any(|(project, ..)| project == name);
    profiles <= 1 && !has_volumes && !state.instances.keys().any(|(project, _)| project == name)
}

fn edit_project(state: &mut State, name: &str, object: Object) -> Change {
    let before = state.projects.get(name).ok_or("Project not found")?;
    check_project_keys(&object.config)?;
    let features = |config: &Config| -> Vec<(String, String)> {
        let features = config.iter().filter(|(key, _)| key.starts_with("features."));
        features.map(|(key, value)| (key.clone(), value.clone())).collect()
    };
    if features(&before.config) != features(&object.config) && !is_empty(state, name) {
        return Err("Project feature \"features.profiles\" cannot be disabled on non-empty projects".into());
    }
    if before.config != object.config {
        limits::check(state, name, &object.config, None)?;
    }
    state.projects.insert(name.to_owned(), object);
    Ok(())
}

fn delete_project(state: &mut State, name: &str) -> Change {
    if !state.projects.contains_key(name) {
        return Err(format!("Fetch project \"{name}\": Project not found"));
    }
    if !is_empty(state, name) || name == "default" {
        return Err("Only empty projects can be removed.".into());
    }
    state.projects.remove(name);
    state.profiles.remove(&(name.to_owned(), "default".to_owned()));
    Ok(())
}

fn create_network(state: &mut State, name: &str, object: Object) -> Change {
    if state.networks.contains_key(name) {
        return Err(format!("Network \"{name}\" already exists"));
    }
    if name.len() > 15 {
        return Err("Network interface is too long (maximum 15 characters)".into());
    }
    for key in ["ipv4.address", "ipv6.address", "ipv4.nat"] {
        assert!(object.config.contains_key(key), "without {key} Incus chooses one itself");
    }
    put_network(state, name, object)
}

fn edit_network(state: &mut State, name: &str, object: Object) -> Change {
    if !state.networks.contains_key(name) {
        return Err("Network not found".into());
    }
    put_network(state, name, object)
}

fn put_network(state: &mut State, name: &str, object: Object) -> Change {
    let known = |key: &String| {
        ["ipv4.", "ipv6.", "bridge.", "dns.", "raw.dnsmasq", "security.acls", "user."]
            .iter()
            .any(|start| key.starts_with(start))
    };
    if let Some(key) = object.config.keys().find(|key| !known(key)) {
        return Err(format!("Invalid option for network \"{name}\" option \"{key}\""));
    }
    names::check_bridge(state, &object)?;
    let taken = |own| state.networks.iter().any(|(other, there)| other != name && address(there) == Some(own));
    if let Some(address) = address(&object).filter(|address| taken(*address)) {
        return Err(format!(
            "The DNS and DHCP service exited prematurely: exit status 2 (\"dnsmasq: failed to create listening socket \
             for {address}: Address already in use\")"
        ));
    }
    state.networks.insert(name.to_owned(), object);
    Ok(())
}

fn address(network: &Object) -> Option<std::net::Ipv4Addr> {
    devices::subnet(network).map(|subnet| subnet.addr())
}

fn delete_network(state: &mut State, name: &str) -> Change {
    if !state.networks.contains_key(name) {
        return Err("Failed loading network: Network not found".into());
    }
    if state.is_in_use(name) {
        return Err("The network is currently in use".into());
    }
    state.networks.remove(name);
    Ok(())
}
