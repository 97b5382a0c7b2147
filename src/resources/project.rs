//! Incus projects: one per domain.

use std::collections::BTreeMap;

use serde_json::Value;

use super::fields::{self, Key, Marks};
use super::{Found, Resource, Wanted, put_config};
use crate::incus::call::Call;
use crate::incus::edit::Edit;
use crate::incus::server::Server;
use crate::plan::{Id, Impact, Kind};
use crate::resolve::desired::Desired;

/// The kind.
pub(crate) struct Projects;

/// One image cache and host-wide bridges; profiles and volumes of its own. Incus refuses to change them once the
/// project is in use, so they are set when it is made and never compared.
const FEATURES: [(&str, &str); 4] = [
    ("features.images", "false"),
    ("features.networks", "false"),
    ("features.profiles", "true"),
    ("features.storage.volumes", "true"),
];

/// What lists them all.
pub(crate) const LISTING: &str = "/1.0/projects?recursion=1";

impl Resource for Projects {
    fn found(&self, listed: &Value) -> Option<Found> {
        let name = listed["name"].as_str()?;
        if name == "default" {
            return None;
        }
        let fields = fields::listed(listed);
        let marks = Marks::read(listed);
        let protected = marks.as_ref().is_some_and(|marks| marks.protected);
        Some(Found { id: Id::global(Kind::Project, name), marks, fields, protected, needs: Vec::new(), instance: None })
    }

    fn wanted(&self, desired: &Desired) -> Vec<Wanted> {
        let wanted = desired.domains.iter().map(|domain| {
            let mut fields = super::described(&domain.description);
            put_config(&mut fields, &domain.limits);
            Wanted {
                id: Id::global(Kind::Project, &domain.project),
                domain: domain.name.clone(),
                fields,
                at_birth: BTreeMap::from(FEATURES.map(|(key, value)| (key.into(), value.into()))),
                needs: Vec::new(),
                protected: !domain.ephemeral,
                comes_with_project: false,
                note: String::new(),
                instance: None,
            }
        });
        wanted.collect()
    }

    fn create(&self, wanted: &Wanted, infra: &str, _start: bool) -> Call {
        Call::incus(["project", "create", &wanted.id.name]).body(wanted.body(infra))
    }

    fn edit(&self, id: &Id, edit: Edit) -> Call {
        Call::incus(["project", "edit", &id.name]).edited(format!("/1.0/projects/{}", id.name), edit)
    }

    fn delete(&self, found: &Found) -> Vec<Call> {
        // Never with `--force`: that would also take what anklume did not make, and clear every protection.
        vec![Call::incus(["project", "delete", &found.id.name])]
    }

    fn impact(&self, _key: &Key, _wanted: &Wanted, _found: &Found, _server: Option<&Server>) -> Impact {
        Impact::Live
    }
}
