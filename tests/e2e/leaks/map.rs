//! `map.txt`, read.

use std::fmt;

use serde_json::{Value, json};

const MAP: &str = include_str!("map.txt");

/// A packet over one of the two families, and what is to become of it.
#[derive(Debug, Clone)]
pub(super) struct Line {
    pub(super) row: u8,
    from: &'static str,
    to: &'static str,
    at: Option<&'static str>,
    over: u8,
    how: &'static str,
    pub(super) passes: bool,
    /// The name of the address that it is to come from in the end.
    pub(super) seen_as: Option<&'static str>,
    /// The rules that decide; `nic` for the filters of the card.
    pub(super) rules: Vec<&'static str>,
}

impl fmt::Display for Line {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let at = self.at.map(|at| format!(" at {at}")).unwrap_or_default();
        let verdict = if self.passes { "passes" } else { "is dropped" };
        write!(f, "`{}` over IPv{} from {} to {}{at} {verdict}", self.how, self.over, self.from, self.to)
    }
}

impl Line {
    /// For the agent.
    pub(super) fn probe(&self) -> Value {
        let at = self.at.unwrap_or(self.to);
        json!({ "from": self.from, "to": self.to, "at": at, "over": self.over, "how": self.how })
    }

    /// A bridge believes a forged hardware address even of a frame that is dropped then: for a moment, its owner gets
    /// nothing.
    pub(super) fn disturbs_others(&self) -> bool {
        self.how.contains(" mac=")
    }
}

fn lines() -> impl Iterator<Item = Vec<&'static str>> {
    let lines = MAP.lines().filter(|line| !line.is_empty() && !line.starts_with('#'));
    lines.map(|line| line.split('|').map(str::trim).collect())
}

fn families(over: &str) -> impl Iterator<Item = u8> + '_ {
    over.split(' ').map(|family| family.parse().expect("4 or 6"))
}

/// `a1 -> host at gateway-a`
fn ends(text: &'static str) -> (&'static str, &'static str, Option<&'static str>) {
    let (from, to) = text.split_once(" -> ").expect("from somewhere to somewhere");
    match to.split_once(" at ") {
        Some((to, at)) => (from, to, Some(at)),
        None => (from, to, None),
    }
}

/// Every line of every row, over each of its families.
pub(super) fn packets() -> Vec<Line> {
    let of_line = |fields: Vec<&'static str>| {
        let [row, between, over, how, verdict, rules] = fields[..] else { panic!("six fields: {fields:?}") };
        let (from, to, at) = ends(between);
        let (passes, seen_as) = match verdict.split_once(" as ") {
            Some((_, seen_as)) => (true, Some(seen_as)),
            None => (verdict == "passes", None),
        };
        assert!(passes || verdict == "dropped", "{verdict}: neither `passes` nor `dropped`");
        let rules: Vec<&str> = rules.split(" + ").filter(|rule| *rule != "-").collect();
        let row = row.parse().expect("a number");
        let line = Line { row, from, to, at, over: 4, how, passes, seen_as, rules };
        families(over).map(|over| Line { over, ..line.clone() }).collect::<Vec<_>>()
    };
    lines().filter(|fields| fields[0] != "open").flat_map(of_line).collect()
}

/// The conversations that are opened before there is a table.
pub(super) fn conversations() -> Vec<Value> {
    let of_line = |fields: Vec<&'static str>| {
        let [_, between, over, name, how, ""] = fields[..] else { panic!("five fields: {fields:?}") };
        let (from, to, at) = ends(between);
        let (kind, port) = how.split_once(' ').expect("a protocol and a port");
        let port: u16 = port.parse().expect("a port");
        let open = |over| json!({ "name": name, "over": over, "from": from, "to": to, "at": at.unwrap_or(to), "kind": kind, "port": port });
        families(over).map(open).collect::<Vec<_>>()
    };
    lines().filter(|fields| fields[0] == "open").flat_map(of_line).collect()
}
