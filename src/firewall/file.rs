//! A table in a file, as `anklume firewall export` writes it: read back, and found to be nothing else.
//!
//! Such a file may come from another machine, and root is asked to load it. So it is not enough that nft takes it: it may
//! say nothing but a whole table of ours, in the words that anklume itself uses, that lets go of everything that is none
//! of its bridges. What is loaded is what was checked, written anew, never the file's own bytes.

use serde_json::{Map, Value, json};
use thiserror::Error;

use super::live::LiveTable;
use super::syntax::TABLE;
use super::wall::Wall;

/// A whole table, as `nft -j -f` reads it, and what it will be in the kernel.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct TableFile {
    pub(crate) batch: Value,
    pub(crate) table: LiveTable,
}

/// Why a file is not a table of anklume's.
#[derive(Debug, Error)]
pub(crate) enum NotATable {
    #[error("it is not JSON as `anklume firewall export` writes it")]
    Json(#[from] serde_json::Error),
    #[error("it has no list `nftables`")]
    NoList,
    #[error("it does not begin by making the table `inet anklume` anew, so that the old rules would stay beside it")]
    NotWhole,
    #[error("it does something else than to make the table `inet anklume`: {0}")]
    Foreign(String),
    #[error("chain `{0}` does not let go, first of all, of what is none of anklume's bridges")]
    Greedy(String),
    #[error("it names the interface `{0}`, which can be more than one bridge")]
    Pattern(String),
}

impl TableFile {
    /// Reads the text of a file.
    pub(crate) fn parse(text: &str) -> Result<Self, NotATable> {
        let batch: Value = serde_json::from_str(text)?;
        let commands = batch.get("nftables").and_then(Value::as_array).ok_or(NotATable::NoList)?;
        let table = json!({ "table": { "family": "inet", "name": TABLE } });
        let [first, second, third, objects @ ..] = commands.as_slice() else { return Err(NotATable::NotWhole) };
        let made = |command: &Value, verb: &str| is_made(command, verb, &table);
        if !made(first, "add") || !made(second, "delete") || !made(third, "add") {
            return Err(NotATable::NotWhole);
        }
        let mut table = LiveTable::default();
        for command in objects {
            let (kind, body) =
                object(command).filter(|added| is_new(*added, &table)).ok_or_else(|| foreign(command))?;
            table.take(kind, body.clone()).map_err(|_| foreign(command))?;
        }
        lets_go_of_others(&table)?;
        Ok(Self { batch, table })
    }
}

fn foreign(command: &Value) -> NotATable {
    let text = command.to_string();
    let short: String = text.chars().take(120).collect();
    NotATable::Foreign(if short.len() < text.len() { short + "…" } else { short })
}

/// Older crates write `"handle": null` beside the name.
fn is_made(command: &Value, verb: &str, table: &Value) -> bool {
    let mut command = command.clone();
    if let Some(Value::Object(fields)) = command.pointer_mut(&format!("/{verb}/table")) {
        fields.retain(|_, field| !field.is_null());
    }
    command == json!({ verb: table })
}

/// The one thing that a command adds to our table.
fn object(command: &Value) -> Option<(&str, &Map<String, Value>)> {
    let added = only(command, "add")?.as_object()?;
    let (kind, body) = added.iter().next().filter(|_| added.len() == 1)?;
    let body = body.as_object()?;
    let ours = body.get("family") == Some(&json!("inet")) && body.get("table") == Some(&json!(TABLE));
    let plain = match kind.as_str() {
        "set" => has_only(body, &["family", "table", "name", "type", "elem"]),
        "chain" => has_only(body, &["family", "table", "name", "type", "hook", "prio", "policy"]) && is_our_chain(body),
        "rule" => has_only(body, &["family", "table", "chain", "expr", "comment"]) && is_our_rule(body),
        _ => false,
    };
    (ours && plain).then_some((kind, body))
}

/// nft adds to what is there already, where we would take the second one for the whole.
fn is_new((kind, body): (&str, &Map<String, Value>), table: &LiveTable) -> bool {
    let name = body.get("name").and_then(Value::as_str).unwrap_or_default();
    match kind {
        "set" => !table.sets.contains_key(name),
        "chain" => !table.chains.contains_key(name),
        _ => true,
    }
}

fn only<'a>(object: &'a Value, key: &str) -> Option<&'a Value> {
    let fields = object.as_object()?;
    fields.get(key).filter(|_| fields.len() == 1)
}

fn has_only(body: &Map<String, Value>, keys: &[&str]) -> bool {
    body.iter().all(|(key, value)| keys.contains(&key.as_str()) || value.is_null())
}

/// A chain of no hook, or one that filters where ours do.
fn is_our_chain(body: &Map<String, Value>) -> bool {
    let word = |key: &str| body.get(key).and_then(Value::as_str);
    match word("hook") {
        None => ["type", "hook", "prio", "policy"].iter().all(|key| body.get(*key).is_none_or(Value::is_null)),
        Some(hook) => {
            ["forward", "input", "output"].contains(&hook)
                && word("type") == Some("filter")
                && word("policy") == Some("accept")
                && body.get("prio") == Some(&json!(-1))
        }
    }
}

/// Rules that match, accept, drop, and go to another chain: no queue, no log, no translation, nothing that is remembered.
fn is_our_rule(body: &Map<String, Value>) -> bool {
    let Some(steps) = body.get("expr").and_then(Value::as_array) else { return false };
    steps.iter().all(|step| {
        let kinds = step.as_object().filter(|fields| fields.len() == 1);
        let kind = kinds.and_then(|fields| fields.keys().next());
        kind.is_some_and(|kind| ["match", "accept", "drop", "jump", "goto", "vmap"].contains(&kind.as_str()))
    })
}

/// The first rule of every chain with a hook is the one that anklume makes, and no bridge is a pattern.
fn lets_go_of_others(table: &LiveTable) -> Result<(), NotATable> {
    let ours = LiveTable::wanted(&Wall::default());
    for (name, chain) in table.chains.iter().filter(|(_, chain)| !chain.base.is_empty()) {
        let first = ours.chains.get(name).and_then(|chain| chain.rules.first());
        if first.is_none() || chain.rules.first() != first {
            return Err(NotATable::Greedy(name.clone()));
        }
    }
    let bridges = table.sets.get("bridges").map(|set| set.elements.keys());
    match bridges.into_iter().flatten().find(|name| name.contains('*')) {
        Some(pattern) => Err(NotATable::Pattern(pattern.clone())),
        None => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::firewall::{keep, sample};

    fn refused(edit: impl Fn(&mut Vec<Value>)) -> String {
        let mut batch: Value = serde_json::from_str(&keep::text(&sample::wall())).unwrap();
        edit(batch["nftables"].as_array_mut().unwrap());
        TableFile::parse(&batch.to_string()).unwrap_err().to_string()
    }

    #[test]
    fn what_anklume_writes_it_reads_back() {
        for wall in [Wall::default(), sample::wall()] {
            let file = TableFile::parse(&keep::text(&wall)).unwrap();
            assert_eq!(file.table, LiveTable::wanted(&wall));
            assert_eq!(file.batch, crate::firewall::ruleset::batch(&wall));
        }
    }

    #[test]
    fn a_file_that_does_anything_else_is_refused() {
        let foreign = [
            json!({"flush": {"ruleset": null}}),
            json!({"delete": {"table": {"family": "ip", "name": "filter"}}}),
            json!({"add": {"table": {"family": "inet", "name": "mine"}}}),
            json!({"add": {"chain": {"family": "ip", "table": "anklume", "name": "x"}}}),
            json!({"add": {"chain": {"family": "inet", "table": "filter", "name": "x"}}}),
            json!({"add": {"rule": {"family": "inet", "table": "filter", "chain": "input", "expr": [{"accept": null}]}}}),
            json!({"add": {"rule": {"family": "inet", "table": "anklume", "chain": "nowhere", "expr": []}}}),
            json!({"insert": {"rule": {"family": "inet", "table": "anklume", "chain": "input", "expr": []}}}),
            json!({"add": {"rule": {"family": "inet", "table": "anklume", "chain": "input", "expr": [{"queue": {}}]}}}),
            json!({"add": {"rule": {"family": "inet", "table": "anklume", "chain": "input", "expr": [],
                "index": 0}}}),
            json!({"add": {"map": {"family": "inet", "table": "anklume", "name": "m"}}}),
            json!({"add": {"set": {"family": "inet", "table": "anklume", "name": "m", "flags": ["timeout"]}}}),
            json!({"add": {"chain": {"family": "inet", "table": "anklume", "name": "nat", "type": "nat",
                "hook": "prerouting", "prio": -1, "policy": "accept"}}}),
            json!({"add": {"chain": {"family": "inet", "table": "anklume", "name": "x", "type": "filter",
                "hook": "forward", "prio": -1, "policy": "drop"}}}),
            json!({"add": {"chain": {"family": "inet", "table": "anklume", "name": "x", "type": "filter",
                "hook": "forward", "prio": -300, "policy": "accept"}}}),
            json!({"add": {"chain": {"family": "inet", "table": "anklume", "name": "outward"}}}),
            json!({"add": {"set": {"family": "inet", "table": "anklume", "name": "bridges", "type": "ifname"}}}),
            json!({"add": {}, "flush": {"ruleset": null}}),
            json!("add"),
        ];
        for command in foreign {
            let said = refused(|commands| commands.push(command.clone()));
            assert!(said.starts_with("it does something else"), "{command}: {said}");
        }
    }

    #[test]
    fn a_file_that_would_leave_old_rules_beside_its_own_is_refused() {
        assert!(refused(|commands| drop(commands.remove(1))).contains("anew"));
        assert!(refused(|commands| commands[1]["delete"]["table"]["name"] = json!("other")).contains("anew"));
        assert!(refused(Vec::clear).contains("anew"));
        assert!(TableFile::parse("{}").unwrap_err().to_string().contains("no list"));
        assert!(TableFile::parse("table inet anklume {}").is_err());
    }

    #[test]
    fn a_table_that_would_hold_what_is_not_anklumes_is_refused() {
        let greedy = refused(|commands| {
            let first = commands.iter().position(|command| command.pointer("/add/rule").is_some()).unwrap();
            commands.remove(first);
        });
        assert_eq!(greedy, "chain `forward` does not let go, first of all, of what is none of anklume's bridges");
        let chain = json!({"add": {"chain": {"family": "inet", "table": "anklume", "name": "more", "type": "filter",
            "hook": "input", "prio": -1, "policy": "accept"}}});
        assert!(refused(|commands| commands.push(chain.clone())).contains("chain `more`"));
        let pattern = refused(|commands| {
            let set = commands.iter_mut().find(|command| command["add"]["set"]["name"] == "bridges").unwrap();
            set["add"]["set"]["elem"] = json!(["net-pro", "*"]);
        });
        assert!(pattern.contains("interface `*`"), "{pattern}");
    }
}
