//! ACLs, DNS zones and their records.

use std::collections::BTreeSet;

use serde_json::Value;

use super::Change;
use super::kinds::unknown;
use super::state::{Object, State};
use super::words::Words;

/// Makes a change to one of them.
pub(super) fn change(state: &mut State, words: &Words<'_>, body: Option<&Value>) -> Change {
    assert_eq!(words.project(), "default", "they live where the bridges do");
    let object = |fields: &[&str]| strict(body.expect("what Incus would read from standard input is given"), fields);
    match words.plain.as_slice() {
        ["network", "acl", "delete", name] => {
            if uses(state, "security.acls", name) {
                return Err("Cannot delete an ACL that is in use".into());
            }
            state.acls.remove(*name).map(drop).ok_or("Network ACL not found".into())
        }
        ["network", "acl", verb, name] => {
            let object = object(&["config", "description", "egress", "ingress"])?;
            check_rules(&object)?;
            put(&mut state.acls, (*name).to_owned(), object, verb)
        }
        ["network", "zone", "delete", name] => {
            if uses(state, "dns.zone.forward", name) {
                return Err("Cannot delete a zone that is in use".into());
            }
            // Its records go with it.
            state.records.retain(|(zone, _), _| zone != name);
            state.zones.remove(*name).map(drop).ok_or("Network zone not found".into())
        }
        ["network", "zone", verb, name] => {
            put(&mut state.zones, (*name).to_owned(), object(&["config", "description"])?, verb)
        }
        ["network", "zone", "record", verb, zone, name] => {
            if !state.zones.contains_key(*zone) {
                return Err("Network zone not found".into());
            }
            let key = ((*zone).to_owned(), (*name).to_owned());
            if *verb == "delete" {
                return state.records.remove(&key).map(drop).ok_or("Network zone record not found".into());
            }
            put(&mut state.records, key, object(&["config", "description", "entries"])?, verb)
        }
        _ => unknown(words),
    }
}

/// What a bridge names has to be there.
pub(super) fn check_bridge(state: &State, bridge: &Object) -> Change {
    let named = |key: &str| bridge.config.get(key).into_iter().flat_map(|names| names.split(','));
    if let Some(acl) = named("security.acls").find(|acl| !state.acls.contains_key(*acl)) {
        return Err(format!("Network ACL \"{acl}\" does not exist"));
    }
    let zone = named("dns.zone.forward").find(|zone| !state.zones.contains_key(*zone));
    zone.map_or(Ok(()), |zone| Err(format!("Failed to load network zone \"{zone}\": Network zone not found")))
}

/// These refuse fields that they do not know.
fn strict(body: &Value, fields: &[&str]) -> Result<Object, String> {
    let sent = body.as_object().expect("a body is a map");
    match sent.keys().find(|field| !fields.contains(&field.as_str())) {
        Some(field) => Err(format!("yaml: unmarshal errors:\n  field {field} not found in type api.Network")),
        None => Ok(Object::from_body(body)),
    }
}

fn check_rules(acl: &Object) -> Change {
    for (list, rules) in &acl.lists {
        let all: BTreeSet<String> = rules.iter().map(Value::to_string).collect();
        if all.len() < rules.len() {
            return Err(format!("Duplicate of {list} rule 0"));
        }
        if rules.iter().any(|rule| rule["state"] != "enabled") {
            return Err(format!("Invalid {list} rule 0: State must be one of: enabled, disabled, logged"));
        }
    }
    Ok(())
}

fn put<K: Ord>(things: &mut std::collections::BTreeMap<K, Object>, key: K, object: Object, verb: &str) -> Change {
    match (verb, things.contains_key(&key)) {
        ("create", true) => return Err("The network ACL or zone already exists".into()),
        ("edit", false) => return Err("Not found".into()),
        _ => {}
    }
    things.insert(key, object);
    Ok(())
}

fn uses(state: &State, key: &str, name: &str) -> bool {
    let names = state.networks.values().filter_map(|network| network.config.get(key));
    names.flat_map(|names| names.split(',')).any(|one| one == name)
}
