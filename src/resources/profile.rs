//! Incus profiles: a project's `default` (root disk and filtered NIC), and the domain's own.

use std::collections::BTreeMap;

use serde_json::Value;

use super::fields::{self, Fields, Key, Marks};
use super::{Found, Resource, Wanted, needs_of, put_config, put_devices};
use crate::incus::call::Call;
use crate::incus::edit::Edit;
use crate::incus::server::Server;
use crate::plan::{Id, Impact, Kind};
use crate::resolve::desired::{Desired, Devices, Domain, Profile};

/// The kind.
pub(crate) struct Profiles;

/// What lists them all.
pub(crate) const LISTING: &str = "/1.0/profiles?recursion=1&all-projects=true";

impl Resource for Profiles {
    fn found(&self, listed: &Value) -> Option<Found> {
        let (name, project) = (listed["name"].as_str()?, listed["project"].as_str()?);
        let fields = fields::listed(listed);
        let marks = Marks::read(listed);
        let protected = marks.as_ref().is_some_and(|marks| marks.protected);
        let id = Id::within(Kind::Profile, project, name);
        let needs = needs_of(&id, &fields);
        Some(Found { id, marks, fields, protected, needs, instance: None })
    }

    fn wanted(&self, desired: &Desired) -> Vec<Wanted> {
        let of_domain = |domain: &Domain| {
            let own = domain.profiles.iter().filter(|profile| profile.name != "default");
            let mut profiles = vec![wanted(domain, &default_profile(domain))];
            profiles.extend(own.map(|profile| wanted(domain, profile)));
            profiles
        };
        desired.domains.iter().flat_map(of_domain).collect()
    }

    fn create(&self, wanted: &Wanted, infra: &str, _start: bool) -> Call {
        // `default` comes with the project, and can be edited only.
        let verb = if wanted.comes_with_project { "edit" } else { "create" };
        Call::incus(["profile", verb, &wanted.id.name, "--project", &wanted.id.project]).body(wanted.body(infra))
    }

    fn edit(&self, id: &Id, edit: Edit) -> Call {
        Call::incus(["profile", "edit", &id.name, "--project", &id.project])
            .edited(format!("/1.0/profiles/{}?project={}", id.name, id.project), edit)
    }

    fn delete(&self, found: &Found) -> Vec<Call> {
        vec![Call::incus(["profile", "delete", &found.id.name, "--project", &found.id.project])]
    }

    fn impact(&self, _key: &Key, _wanted: &Wanted, _found: &Found, _server: Option<&Server>) -> Impact {
        Impact::Live
    }
}

fn wanted(domain: &Domain, profile: &Profile) -> Wanted {
    let mut fields = Fields::from([(Key::Description, profile.description.clone())]);
    put_config(&mut fields, &profile.config);
    put_devices(&mut fields, &profile.devices);
    let id = Id::within(Kind::Profile, &domain.project, &profile.name);
    let needs = needs_of(&id, &fields);
    Wanted {
        id,
        domain: domain.name.clone(),
        fields,
        at_birth: BTreeMap::new(),
        needs,
        protected: !domain.ephemeral,
        comes_with_project: profile.name == "default",
        note: if profile.name == "default" {
            format!("root disk on {}, eth0 on {}", domain.pool, domain.bridge)
        } else {
            String::new()
        },
        instance: None,
    }
}

/// A new project's `default` profile is empty, and nothing can be launched with it: it gets a root disk and a NIC on
/// the domain's bridge, with filters against forged addresses. What the domain says of its own `default` comes on top; an empty device there stands for none.
fn default_profile(domain: &Domain) -> Profile {
    let device = |keys: &[(&str, &str)]| keys.iter().map(|(k, v)| ((*k).to_owned(), (*v).to_owned())).collect();
    let mut devices: Devices = BTreeMap::from([
        ("root".to_owned(), device(&[("type", "disk"), ("path", "/"), ("pool", &domain.pool)])),
        (
            "eth0".to_owned(),
            device(&[
                ("type", "nic"),
                ("name", "eth0"),
                ("network", &domain.bridge),
                ("security.mac_filtering", "true"),
                ("security.ipv4_filtering", "true"),
            ]),
        ),
    ]);
    let own = domain.profiles.iter().find(|profile| profile.name == "default").cloned();
    let own = own.unwrap_or(Profile {
        name: "default".into(),
        description: format!("Root disk and network of domain {}", domain.name),
        config: BTreeMap::new(),
        devices: BTreeMap::new(),
    });
    for (name, keys) in own.devices {
        let device = devices.entry(name.clone()).or_default();
        // Incus refuses `network` beside these.
        if keys.contains_key("nictype") || keys.contains_key("parent") {
            device.remove("network");
        }
        if keys.is_empty() {
            devices.remove(&name);
        } else {
            device.extend(keys);
        }
    }
    Profile { devices, ..own }
}
