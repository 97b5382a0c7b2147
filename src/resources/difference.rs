//! How a wanted thing and the one that is there differ: three ways, by what is wanted, what is there and what was
//! applied before.

use std::collections::BTreeSet;

use super::fields::{Key, Marks};
use super::{Found, Resource, Wanted, instance};
use crate::incus::secrets;
use crate::incus::server::Server;
use crate::plan::{Field, Held, Id, Impact, Kind, Verb, Why};

/// One key that is not as it should be.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Change {
    pub(crate) key: Key,
    pub(crate) before: Option<String>,
    pub(crate) after: Option<String>,
    pub(crate) impact: Impact,
}

impl Change {
    /// The change as it is shown, without secrets.
    pub(crate) fn field(&self) -> Field {
        let shown = |value: &Option<String>| value.as_ref().map(|value| shown(&self.key, value));
        Field {
            key: self.key.to_string(),
            before: shown(&self.before),
            after: shown(&self.after),
            impact: self.impact.clone(),
        }
    }
}

/// A value as it is shown: a secret as its digest.
pub(crate) fn shown(key: &Key, value: &str) -> String {
    match key {
        Key::Config(name) => secrets::digest_of_secret(name, value).unwrap_or_else(|| value.to_owned()),
        _ => value.to_owned(),
    }
}

/// Compares what is wanted now, or was applied before; what a user set by hand beside it stays.
pub(crate) fn changes(wanted: &Wanted, found: &Found, resource: &dyn Resource, server: Option<&Server>) -> Vec<Change> {
    let none = BTreeSet::new();
    let applied = found.marks.as_ref().map_or(&none, |marks| &marks.applied);
    let keys: BTreeSet<&Key> = wanted.fields.keys().chain(applied).collect();
    let change = |key: &Key| {
        let value = |fields: &super::Fields| fields.get(key).filter(|value| !value.is_empty()).cloned();
        let (before, after) = (value(&found.fields), value(&wanted.fields));
        // What stood there before anklume says nothing of the image it was made from.
        let untold = *key == Key::Image && before.is_none();
        let same = before == after || means_the_same(key, before.as_deref(), after.as_deref());
        (!same && !untold).then(|| Change {
            key: key.clone(),
            before,
            after,
            impact: resource.impact(key, wanted, found, server),
        })
    };
    keys.into_iter().filter_map(change).collect()
}

/// A filter that is off is the same as none, and a card that is not named gets the name of the device anyway: nothing is
/// written, and no card is taken out and put in again, for that.
fn means_the_same(key: &Key, before: Option<&str>, after: Option<&str>) -> bool {
    let Key::Device(device, key) = key else { return false };
    match (key.as_str(), before, after) {
        ("security.mac_filtering" | "security.ipv4_filtering", None | Some("false"), None | Some("false")) => true,
        ("name", None, Some(name)) => device == "eth0" && name == "eth0",
        _ => false,
    }
}

/// The marks that a thing is to carry when the changes in `held` are not made: a key that is not set now stays in the
/// list only if it was there.
pub(crate) fn marks<'c>(
    wanted: &Wanted,
    found: &Found,
    infra: &str,
    held: impl IntoIterator<Item = &'c Change>,
) -> Marks {
    let mut marks = wanted.marks(infra);
    let was = |key: &Key| found.marks.as_ref().is_some_and(|marks| marks.applied.contains(key));
    for change in held.into_iter().filter(|change| change.key.is_marked()) {
        if was(&change.key) {
            marks.applied.insert(change.key.clone());
        } else {
            marks.applied.remove(&change.key);
        }
    }
    marks
}

/// What is told of the changes that are not made.
pub(crate) fn held(wanted: &Wanted, held: &[Change]) -> Vec<Held> {
    let why = |impact: &Impact| match impact {
        Impact::Live | Impact::Restart => Why::Restart,
        Impact::Rebuild(_) => Why::Rebuild,
        Impact::Refused(_) => Why::Refused,
    };
    let told = |impact: &Impact| match impact {
        Impact::Rebuild(why) | Impact::Refused(why) => why.clone(),
        Impact::Live | Impact::Restart => "needs a restart: `anklume apply --restart`".into(),
    };
    let of = |this: Why| {
        let changes: Vec<&Change> = held.iter().filter(|change| why(&change.impact) == this).collect();
        let first = changes.first()?;
        Some(Held {
            id: wanted.id.clone(),
            domain: wanted.domain.clone(),
            why: this,
            message: told(&first.impact),
            fields: changes.iter().map(|change| change.field()).collect(),
        })
    };
    [Why::Restart, Why::Rebuild, Why::Refused].into_iter().filter_map(of).collect()
}

/// The worst of some impacts.
pub(crate) fn worst<'a>(impacts: impl IntoIterator<Item = &'a Impact>) -> Impact {
    impacts.into_iter().max().cloned().unwrap_or(Impact::Live)
}

/// A word more on a change, for the plan.
pub(super) fn note(verb: Verb, id: &Id, now: &[Change]) -> String {
    let is_first = |change: &Change| matches!(&change.key, Key::Config(key) if instance::is_read_at_birth(key));
    match verb {
        Verb::Adopt => "stands without anklume's mark; anklume takes it over".into(),
        Verb::Update if now.is_empty() => "only anklume's own marks".into(),
        Verb::Update if id.kind == Kind::Instance && now.iter().any(is_first) => format!(
            "cloud-init runs again at the next start, over what it did before; `--replace {}` makes it anew",
            id.name
        ),
        _ => String::new(),
    }
}
