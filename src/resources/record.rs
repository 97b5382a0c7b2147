//! Records of Incus network zones: one for each machine with a fixed address. Incus 6.0 makes none by itself for machines
//! of other projects than `default`.
//!
//! A record is called `<zone>/<name>` here.

use serde_json::{Value, json};

use super::fields::{self, Fields, Key, Marks};
use super::{Found, Resource, Wanted};
use crate::incus::call::Call;
use crate::incus::edit::{self, Edit};
use crate::incus::server::Server;
use crate::plan::{Id, Impact, Kind};
use crate::resolve::desired::{Desired, Domain, Machine};

/// The kind.
pub(crate) struct Records;

impl Resource for Records {
    fn found(&self, listed: &Value) -> Option<Found> {
        let (zone, name) = (listed["zone"].as_str()?, listed["name"].as_str()?);
        let mut fields = fields::listed(listed);
        fields::put_items(&mut fields, listed, told);
        let marks = Marks::read(listed);
        Some(Found {
            id: id(zone, name),
            fields,
            protected: marks.as_ref().is_some_and(|marks| marks.protected),
            marks,
            needs: vec![Id::global(Kind::Zone, zone)],
            instance: None,
        })
    }

    fn wanted(&self, desired: &Desired) -> Vec<Wanted> {
        let zones = desired.domains.iter().filter_map(|domain| Some((domain, domain.dns_zone.as_ref()?)));
        let records = zones
            .flat_map(|(domain, zone)| domain.machines.iter().filter_map(move |machine| wanted(domain, zone, machine)));
        records.collect()
    }

    fn create(&self, wanted: &Wanted, infra: &str, _start: bool) -> Call {
        call("create", &wanted.id).body(wanted.body(infra))
    }

    fn edit(&self, id: &Id, edit: Edit) -> Call {
        let (zone, name) = parts(id);
        call("edit", id).edited(format!("/1.0/network-zones/{zone}/records/{name}?project=default"), edit)
    }

    fn delete(&self, found: &Found) -> Vec<Call> {
        vec![call("delete", &found.id)]
    }

    fn impact(&self, _key: &Key, _wanted: &Wanted, _found: &Found, _server: Option<&Server>) -> Impact {
        Impact::Live
    }
}

/// What the plan calls a record.
fn id(zone: &str, name: &str) -> Id {
    Id::global(Kind::Record, format!("{zone}/{name}"))
}

/// The zone that it is in.
pub(super) fn zone_of(id: &Id) -> Id {
    Id::global(Kind::Zone, parts(id).0)
}

fn parts(id: &Id) -> (&str, &str) {
    id.name.split_once('/').expect("a record is called by its zone and its name")
}

fn call(verb: &str, id: &Id) -> Call {
    let (zone, name) = parts(id);
    Call::incus(["network", "zone", "record", verb, zone, name, "--project", "default"])
}

/// The list of the records of a zone. Each of what is listed then needs its zone's name beside it.
pub(crate) fn listing_of(zone: &Value) -> Option<(String, Call)> {
    let name = zone["name"].as_str()?;
    Some((name.to_owned(), Call::query(format!("/1.0/network-zones/{name}/records?recursion=1&project=default"))))
}

fn wanted(domain: &Domain, zone: &str, machine: &Machine) -> Option<Wanted> {
    let entry = json!({"type": "A", "value": machine.address?.to_string()});
    let fields = Fields::from([(Key::Item("entries".into(), edit::item(&entry)), told(&entry))]);
    Some(Wanted {
        needs: vec![Id::global(Kind::Zone, zone)],
        protected: !domain.ephemeral,
        note: told(&entry),
        ..Wanted::bare(id(zone, &machine.instance), &domain.name, fields)
    })
}

/// `A 10.0.0.1`
fn told(entry: &Value) -> String {
    let text = |key: &str| entry[key].as_str().unwrap_or_default();
    format!("{} {}", text("type"), text("value"))
}
