//! Incus network zones: one for each domain that has a `dns_zone`. Its records are things of their own.

use serde_json::Value;

use super::fields::{self, Fields, Key, Marks};
use super::{Found, Resource, Wanted};
use crate::incus::call::Call;
use crate::incus::edit::Edit;
use crate::incus::server::Server;
use crate::plan::{Id, Impact, Kind};
use crate::resolve::desired::{Desired, Domain};

/// The kind.
pub(crate) struct Zones;

/// What lists them all.
pub(crate) const LISTING: &str = "/1.0/network-zones?recursion=1&project=default";

impl Resource for Zones {
    fn found(&self, listed: &Value) -> Option<Found> {
        let marks = Marks::read(listed);
        Some(Found {
            id: Id::global(Kind::Zone, listed["name"].as_str()?),
            fields: fields::listed(listed),
            protected: marks.as_ref().is_some_and(|marks| marks.protected),
            marks,
            needs: Vec::new(),
            instance: None,
        })
    }

    fn wanted(&self, desired: &Desired) -> Vec<Wanted> {
        desired.domains.iter().filter_map(wanted).collect()
    }

    fn create(&self, wanted: &Wanted, infra: &str, _start: bool) -> Call {
        Call::incus(["network", "zone", "create", &wanted.id.name, "--project", "default"]).body(wanted.body(infra))
    }

    fn edit(&self, id: &Id, edit: Edit) -> Call {
        Call::incus(["network", "zone", "edit", &id.name, "--project", "default"])
            .edited(format!("/1.0/network-zones/{}?project=default", id.name), edit)
    }

    fn delete(&self, found: &Found) -> Vec<Call> {
        vec![Call::incus(["network", "zone", "delete", &found.id.name, "--project", "default"])]
    }

    fn impact(&self, _key: &Key, _wanted: &Wanted, _found: &Found, _server: Option<&Server>) -> Impact {
        Impact::Live
    }
}

fn wanted(domain: &Domain) -> Option<Wanted> {
    Some(Wanted {
        protected: !domain.ephemeral,
        ..Wanted::bare(Id::global(Kind::Zone, domain.dns_zone.clone()?), &domain.name, Fields::new())
    })
}
