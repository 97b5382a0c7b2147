//! The filters of others, from the kernel's whole ruleset.

use serde_json::Value;

use crate::firewall::live::LiveTable;

/// A table of somebody else's.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Foreign {
    pub(super) family: String,
    pub(super) name: String,
    pub(super) table: LiveTable,
}

/// A chain that packets meet by themselves, and can be dropped in.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Filter<'a> {
    pub(super) foreign: &'a Foreign,
    pub(super) chain: &'a str,
    pub(super) hook: &'a str,
    /// Its end accepts.
    pub(super) policy: bool,
}

/// The tables that IPv4 packets meet, without ours and those of Incus, which does what it was told.
pub(super) fn foreign(ruleset: &Value) -> Vec<Foreign> {
    let mut tables: Vec<Foreign> = Vec::new();
    let objects = ruleset["nftables"].as_array().into_iter().flatten().filter_map(Value::as_object).flatten();
    for (kind, body) in objects {
        let word = |key: &str| body[key].as_str().unwrap_or_default();
        let (family, name) = (word("family"), if kind == "table" { word("name") } else { word("table") });
        let others = ["ip", "inet"].contains(&family) && !(family == "inet" && ["anklume", "incus"].contains(&name));
        let Some(fields) = body.as_object().filter(|_| others) else { continue };
        let at = tables.iter().position(|table| table.family == family && table.name == name);
        let at = at.unwrap_or_else(|| {
            tables.push(Foreign { family: family.into(), name: name.into(), table: LiveTable::default() });
            tables.len() - 1
        });
        if kind != "table" {
            // What cannot be read is passed over: a rule before its chain, which nft never lists.
            let _ = tables[at].table.take(kind, fields.clone());
        }
    }
    tables
}

impl Foreign {
    /// Its chains at the hooks that machines' packets pass.
    pub(super) fn filters(&self) -> impl Iterator<Item = Filter<'_>> {
        self.table.chains.iter().filter_map(|(name, chain)| {
            let word = |key: &str| chain.base.get(key).and_then(Value::as_str);
            let hook = word("hook").filter(|hook| ["forward", "input"].contains(hook))?;
            let policy = word("policy") != Some("drop");
            (word("type") == Some("filter")).then_some(Filter { foreign: self, chain: name, hook, policy })
        })
    }
}

impl Filter<'_> {
    /// `ip filter FORWARD`
    pub(super) fn path(&self) -> String {
        format!("{} {} {}", self.foreign.family, self.foreign.name, self.chain)
    }
}
