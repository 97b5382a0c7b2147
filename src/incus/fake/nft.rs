//! The kernel's tables, through `nft -j`.

use serde_json::{Map, Value, json};

use super::Change;
use super::state::State;

/// `nft -j list ruleset inet`
pub(super) fn listing(state: &State) -> Value {
    let mut objects = vec![json!({"metainfo": {"version": "1.0.6", "json_schema_version": 1}})];
    for ((family, name), parts) in state.tables.iter().filter(|((family, _), _)| family == "inet") {
        objects.push(json!({"table": {"family": family, "name": name, "handle": 1}}));
        objects.extend(parts.iter().map(|(kind, body)| json!({ kind: body })));
    }
    json!({ "nftables": objects })
}

/// `nft -j -c -f -`: the same, on a copy.
pub(super) fn check(state: &State, body: Option<&Value>) -> Change {
    load(&mut State { tables: state.tables.clone(), ..State::default() }, body)
}

/// `nft -j -f -`: all of it, or nothing.
pub(super) fn load(state: &mut State, body: Option<&Value>) -> Change {
    let before = state.tables.clone();
    let commands = body.and_then(|body| body["nftables"].as_array()).ok_or("syntax error, unexpected end of file")?;
    for command in commands {
        if let Err(said) = one(state, command) {
            state.tables = before;
            return Err(said);
        }
    }
    Ok(())
}

fn one(state: &mut State, command: &Value) -> Change {
    let (verb, object) = only(command);
    let (kind, body) = only(object);
    let body = body.as_object().expect("an object of nft has fields");
    let word = |key: &str| body.get(key).and_then(Value::as_str).unwrap_or_default().to_owned();
    let table = (word("family"), if kind == "table" { word("name") } else { word("table") });
    match (verb.as_str(), kind.as_str()) {
        ("add", "table") => {
            state.tables.entry(table).or_default();
            Ok(())
        }
        ("delete", "table") => {
            state.tables.remove(&table).map(drop).ok_or_else(|| "No such file or directory".to_owned())
        }
        ("add", _) => {
            let parts = state.tables.get_mut(&table).ok_or("No such file or directory")?;
            let has = |kind: &str, name: &str| parts.iter().any(|(other, body)| other == kind && body["name"] == name);
            if kind == "rule" && !has("chain", &word("chain")) {
                return Err(format!("No such file or directory: chain {}", word("chain")));
            }
            parts.push((kind.clone(), body.clone()));
            Ok(())
        }
        _ => panic!("nobody has tried yet what nft does with `{verb} {kind}`"),
    }
}

/// The one field of an object, and what it holds.
fn only(object: &Value) -> (&String, &Value) {
    let mut fields = object.as_object().into_iter().flat_map(Map::iter);
    fields.next().expect("a command of nft is an object with one field")
}

/// Does our table keep this bridge apart?
pub(super) fn fences(state: &State, bridge: &str) -> bool {
    let parts = state.tables.get(&("inet".to_owned(), "anklume".to_owned())).into_iter().flatten();
    let mut sets = parts.filter(|(kind, body)| kind == "set" && body["name"] == "bridges");
    sets.any(|(_, body)| {
        let elements = body.get("elem").and_then(Value::as_array).into_iter().flatten();
        elements.map(|element| element.pointer("/elem/val").unwrap_or(element)).any(|value| value == bridge)
    })
}
