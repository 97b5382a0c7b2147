//! Profiles: a change reaches every machine that has them.

use super::Change;
use super::state::{Object, State};
use super::{devices, instances, keys};

fn check(state: &State, object: &Object) -> Change {
    keys::check(&object.config, None)?;
    devices::check(state, &object.devices, false)
}

pub(super) fn create(state: &mut State, project: &str, name: &str, object: Object) -> Change {
    let key = (project.to_owned(), name.to_owned());
    if !state.projects.contains_key(project) {
        return Err("Project not found".into());
    }
    if state.profiles.contains_key(&key) {
        return Err(format!("Error inserting \"{name}\" into database: The profile already exists"));
    }
    check(state, &object)?;
    state.profiles.insert(key, object);
    Ok(())
}

/// It is saved even where a machine does not take it, and that is an error all the same.
pub(super) fn edit(state: &mut State, project: &str, name: &str, object: Object) -> Change {
    let key = (project.to_owned(), name.to_owned());
    let Some(before) = state.profiles.get(&key).cloned() else {
        return Err(format!("Failed to retrieve profile \"{name}\": Profile not found"));
    };
    check(state, &object)?;
    check_root(state, project, name, &before, &object)?;
    let old = state.clone();
    state.profiles.insert(key, object);
    let mut failed = String::new();
    for ((own, machine), instance) in &old.instances {
        if own == project
            && instance.profiles.iter().any(|profile| profile == name)
            && let Err(said) = instances::check_update(state, &old, (project, machine), instance)
        {
            failed.push_str(&format!("\n - Project: {project}, Instance: {machine}: {said}"));
        }
    }
    if failed.is_empty() {
        return Ok(());
    }
    Err(format!("The following instances failed to update (profile change still saved):{failed}"))
}

/// A root disk that a machine has from this profile can neither go nor move.
fn check_root(state: &State, project: &str, name: &str, before: &Object, after: &Object) -> Change {
    let Some((device, pool)) = devices::root(&before.devices) else { return Ok(()) };
    if devices::root(&after.devices).is_some_and(|(_, after)| after == pool) {
        return Ok(());
    }
    for ((own, _), instance) in &state.instances {
        if own != project || devices::root(&instance.object.devices).is_some_and(|(_, pool)| pool.is_some()) {
            continue;
        }
        let gives_it = |profile: &&String| {
            let profile = &state.profiles[&(project.to_owned(), (*profile).clone())];
            profile.devices.contains_key(device)
        };
        if instance.profiles.iter().rev().find(gives_it).is_some_and(|profile| profile == name) {
            return Err("At least one instance relies on this profile's root disk device".into());
        }
    }
    Ok(())
}

pub(super) fn delete(state: &mut State, project: &str, name: &str) -> Change {
    if name == "default" {
        return Err("The \"default\" profile cannot be deleted".into());
    }
    let used = state.instances.iter().any(|((own, _), one)| own == project && one.profiles.iter().any(|p| p == name));
    if used {
        return Err("Profile is currently in use".into());
    }
    let gone = state.profiles.remove(&(project.to_owned(), name.to_owned()));
    gone.map(drop).ok_or_else(|| "Profile not found".to_owned())
}
