//! Reading the table back, in one form for the wanted and the live one, so that equal means equal.
//!
//! nft adds handles, prints sets in its own order and, from version to version, writes the same thing in other ways
//! (a state as a word or as a list of one, `in` or `==`). All of that is levelled here; nothing else is.

use std::collections::BTreeMap;

use serde::Deserialize;
use serde_json::{Map, Value};
use thiserror::Error;

use super::ruleset::{ruleset, steady};
use super::syntax::TABLE;
use super::wall::Wall;

/// The table, as the kernel has it or as it should be.
#[derive(Debug, Clone, Default, PartialEq)]
pub(crate) struct LiveTable {
    pub(crate) sets: BTreeMap<String, NamedSet>,
    pub(crate) chains: BTreeMap<String, LiveChain>,
    /// What anklume never makes (maps, counters, flow tables): somebody else put it there.
    pub(crate) strangers: Vec<Value>,
}

/// A named set: its elements, each with its comment.
#[derive(Debug, Clone, Default, PartialEq)]
pub(crate) struct NamedSet {
    pub(crate) of: Value,
    pub(crate) elements: BTreeMap<String, Option<String>>,
}

/// A chain and its rules, in order.
#[derive(Debug, Clone, Default, PartialEq)]
pub(crate) struct LiveChain {
    /// `type`, `hook`, `prio` and `policy` of a base chain.
    pub(crate) base: Map<String, Value>,
    pub(crate) rules: Vec<LiveRule>,
}

/// A rule as nft's JSON says it, levelled.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct LiveRule {
    pub(crate) steps: Vec<Value>,
    pub(crate) comment: Option<String>,
}

/// What `nft` printed cannot be understood.
#[derive(Debug, Error)]
pub(crate) enum ReadError {
    #[error("nft printed something that is not its JSON")]
    Json(#[from] serde_json::Error),
    #[error("nft printed a rule of chain `{0}` before the chain")]
    Rule(String),
}

#[derive(Deserialize)]
struct Listing {
    nftables: Vec<Map<String, Value>>,
}

/// The live table from `nft -j list ruleset inet`, which succeeds whether or not the table is there (`list table` fails
/// without it); `None` where it is not.
pub(crate) fn parse_live(json: &[u8]) -> Result<Option<LiveTable>, ReadError> {
    let listing: Listing = serde_json::from_slice(json)?;
    let mut table = LiveTable::default();
    let mut found = false;
    for object in listing.nftables {
        for (kind, body) in object {
            let Value::Object(body) = body else { continue };
            if kind == "table" && body.get("family") == Some(&"inet".into()) && body.get("name") == Some(&TABLE.into())
            {
                found = true;
            } else if body.get("family") == Some(&"inet".into()) && body.get("table") == Some(&TABLE.into()) {
                table.take(&kind, body)?;
            }
        }
    }
    Ok(found.then_some(table))
}

impl LiveTable {
    /// The table that this wall asks for.
    pub(crate) fn wanted(wall: &Wall) -> Self {
        let mut table = Self::default();
        for object in ruleset(wall).objects {
            let mut value = serde_json::to_value(object).expect("the crate's types are plain data");
            steady(&mut value);
            for (kind, body) in object_of(value) {
                table.take(&kind, object_of(body)).expect("chains are made before their rules");
            }
        }
        table
    }

    pub(super) fn take(&mut self, kind: &str, mut body: Map<String, Value>) -> Result<(), ReadError> {
        match kind {
            "chain" => {
                let name = word(&body, "name");
                body.retain(|key, _| ["type", "hook", "prio", "policy"].contains(&key.as_str()));
                self.chains.insert(name, LiveChain { base: body, rules: Vec::new() });
            }
            "rule" => {
                let chain = word(&body, "chain");
                let Some(chain) = self.chains.get_mut(&chain) else { return Err(ReadError::Rule(chain)) };
                chain.rules.push(LiveRule::new(body));
            }
            "set" => {
                let name = word(&body, "name");
                self.sets.insert(name, NamedSet::new(body));
            }
            _ => {
                body.remove("handle");
                self.strangers.push(Value::Object(Map::from_iter([(kind.to_owned(), Value::Object(body))])));
            }
        }
        Ok(())
    }
}

impl LiveRule {
    fn new(mut body: Map<String, Value>) -> Self {
        let steps = body.remove("expr").map(list_of).unwrap_or_default().into_iter();
        let comment = body.remove("comment").and_then(|comment| comment.as_str().map(str::to_owned));
        Self { steps: steps.filter(|step| step.get("counter").is_none()).map(levelled).collect(), comment }
    }
}

impl NamedSet {
    fn new(mut body: Map<String, Value>) -> Self {
        let elements = body.remove("elem").map(list_of).unwrap_or_default();
        Self { of: body.remove("type").unwrap_or_default(), elements: elements.iter().map(named_element).collect() }
    }
}

/// `"net-a"`, or `{ "elem": { "val": "net-a", "comment": "…" } }`.
fn named_element(element: &Value) -> (String, Option<String>) {
    let plain = |value: &Value| value.as_str().map_or_else(|| value.to_string(), str::to_owned);
    match element.get("elem") {
        Some(element) => {
            let comment = element.get("comment").and_then(Value::as_str).map(str::to_owned);
            (element.get("val").map(plain).unwrap_or_default(), comment)
        }
        None => (plain(element), None),
    }
}

/// The same for what means the same: sorted sets, flags and lists of states; one element instead of a set of one.
fn levelled(mut value: Value) -> Value {
    steady(&mut value);
    match value {
        Value::Array(items) => Value::Array(items.into_iter().map(levelled).collect()),
        Value::Object(mut fields) => {
            if fields.get("left").is_some_and(is_protocol)
                && let Some(right) = fields.get_mut("right")
            {
                name_protocols(right);
            }
            let fields = fields.into_iter().map(|(name, field)| {
                let field = levelled(field);
                match name.as_str() {
                    "set" => (name, sorted(field)),
                    "right" => (name, single(field)),
                    _ => (name, field),
                }
            });
            Value::Object(fields.collect())
        }
        other => other,
    }
}

/// `meta l4proto`, `ct protocol`
fn is_protocol(left: &Value) -> bool {
    left.pointer("/meta/key").is_some_and(|key| key == "l4proto")
        || left.pointer("/ct/key").is_some_and(|key| key == "protocol")
}

/// Without `/etc/protocols`, as on a small host, nft prints their numbers.
fn name_protocols(right: &mut Value) {
    const NAMES: [(u64, &str); 4] = [(1, "icmp"), (6, "tcp"), (17, "udp"), (58, "ipv6-icmp")];
    match right {
        Value::Array(items) => items.iter_mut().for_each(name_protocols),
        Value::Object(fields) => fields.values_mut().for_each(name_protocols),
        Value::Number(number) => {
            if let Some((_, name)) = NAMES.iter().find(|(one, _)| number.as_u64() == Some(*one)) {
                *right = Value::String((*name).to_owned());
            }
        }
        _ => {}
    }
}

fn sorted(value: Value) -> Value {
    let mut items = list_of(value);
    items.sort_by_cached_key(Value::to_string);
    Value::Array(items)
}

/// What stands right of a match.
fn single(value: Value) -> Value {
    match value {
        Value::Array(items) => match sorted(Value::Array(items)) {
            Value::Array(mut items) if items.len() == 1 => items.remove(0),
            items => items,
        },
        Value::Object(mut fields) => match fields.get_mut("set") {
            Some(Value::Array(items)) if items.len() == 1 => items.remove(0),
            _ => Value::Object(fields),
        },
        other => other,
    }
}

fn word(body: &Map<String, Value>, key: &str) -> String {
    body.get(key).and_then(Value::as_str).unwrap_or_default().to_owned()
}

fn object_of(value: Value) -> Map<String, Value> {
    match value {
        Value::Object(fields) => fields,
        _ => Map::new(),
    }
}

/// A list, or the one thing that stands for a list of one.
fn list_of(value: Value) -> Vec<Value> {
    match value {
        Value::Array(items) => items,
        Value::Null => Vec::new(),
        one => vec![one],
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::firewall::sample;

    fn live(expr: &str) -> LiveTable {
        let json = format!(
            r#"{{"nftables": [{{"metainfo": {{"version": "1.0.6"}}}},
                {{"table": {{"family": "inet", "name": "incus", "handle": 1}}}},
                {{"table": {{"family": "inet", "name": "anklume", "handle": 2}}}},
                {{"chain": {{"family": "inet", "table": "anklume", "name": "x", "handle": 1}}}},
                {{"rule": {{"family": "inet", "table": "anklume", "chain": "x", "handle": 4, "expr": {expr}}}}}]}}"#
        );
        parse_live(json.as_bytes()).unwrap().unwrap()
    }

    #[test]
    fn without_the_table_there_is_none() {
        let other = br#"{"nftables": [{"metainfo": {}}, {"table": {"family": "inet", "name": "incus"}}]}"#;
        assert_eq!(parse_live(other).unwrap(), None);
        let ip = br#"{"nftables": [{"table": {"family": "ip", "name": "anklume"}}]}"#;
        assert_eq!(parse_live(ip).unwrap(), None);
        assert!(parse_live(b"Error: oops").is_err());
    }

    #[test]
    fn two_ways_of_writing_one_thing_are_equal() {
        let state = |right: &str| {
            live(&format!(r#"[{{"match": {{"op": "in", "left": {{"ct": {{"key": "state"}}}}, "right": {right}}}}}]"#))
        };
        assert_eq!(state(r#""related""#), state(r#"["related"]"#));
        assert_eq!(state(r#"["related", "established"]"#), state(r#"["established", "related"]"#));
        assert_ne!(state(r#""related""#), state(r#""established""#));
        let protocol = |right: &str| {
            live(&format!(
                r#"[{{"match": {{"op": "==", "left": {{"meta": {{"key": "l4proto"}}}}, "right": {right}}}}}]"#
            ))
        };
        assert_eq!(protocol(r#"{"set": [17, 6]}"#), protocol(r#"{"set": ["tcp", "udp"]}"#));
        assert_eq!(live(r#"[{"counter": {"packets": 7, "bytes": 9}}, {"drop": null}]"#), live(r#"[{"drop": null}]"#));
    }

    #[test]
    fn what_is_sent_reads_back_as_what_is_wanted() {
        let wall = sample::wall();
        let sent = crate::firewall::ruleset::batch(&wall);
        let objects: Vec<Value> = sent["nftables"].as_array().unwrap()[2..].iter().map(|o| o["add"].clone()).collect();
        let listed = serde_json::to_vec(&serde_json::json!({ "nftables": objects })).unwrap();
        assert_eq!(parse_live(&listed).unwrap(), Some(LiveTable::wanted(&wall)));
    }
}
