//! Instances of the project `default`: Incus changes the project of none in place, and anklume never touches that one. So
//! their domain is made first, a person moves them, and only then the file has them.

use std::collections::{BTreeMap, BTreeSet};

use super::draft::Draft;
use super::machine::{self, Home};
use super::scene::Scene;
use super::scope::Scope;
use super::stores;
use super::thing::{Thing, devices, field};
use crate::infra::model::{Domain, Profile};
use crate::infra::problem::Path;
use crate::plan::{Id, Kind};
use crate::resources::Found;
use crate::resources::fields::{Key, split};

const DEFAULT: &str = "default";

pub(super) fn draft(scene: &Scene<'_>, scope: &Scope, draft: &mut Draft) {
    for name in &scope.strangers {
        let Some(found) = scene.found(&Id::within(Kind::Instance, DEFAULT, name)) else { continue };
        let domain = name.to_lowercase();
        let at = Path::of(["domains", &domain]);
        if !draft.infra.domains.contains_key(&domain) {
            draft.infra.domains.insert(domain.clone(), Domain { ephemeral: !found.protected, ..Domain::default() });
            draft
                .remarks
                .note(&at, format!("for {name}, which stands in the Incus project `default` until it is moved"));
        }
        let home = draft.infra.domains.get_mut(&domain).expect("it was made");
        profiles(scene, found, home);
        let written = machine(scene, scope, &domain, found, home);
        home.machines.insert(domain.clone(), written.machine);
        let at = at.to("machines").to(&domain);
        for line in steps(scope, &domain, found).into_iter().chain(written.notes) {
            draft.remarks.note(&at, line);
        }
        draft.remarks.off.insert(at);
    }
}

/// What is to be typed.
fn steps(scope: &Scope, domain: &str, found: &Found) -> Vec<String> {
    let (name, project) = (&found.id.name, scope.names.project(domain));
    let mut lines =
        vec!["1. `anklume apply` makes the domain".to_owned(), format!("2. `incus stop {name} --project default`")];
    let volumes = found.needs.iter().filter(|need| need.kind == Kind::Volume).map(|need| &need.name);
    lines.extend(volumes.map(|volume| {
        format!("   `incus storage volume move {volume} {volume} --project default --target-project {project}`")
    }));
    lines.push(format!(
        "3. `incus move {name} {} --project default --target-project {project}`",
        scope.names.instance(domain)
    ));
    lines.push(
        "4. take the `#` away from the lines below: `anklume apply` takes it over, with an address of its new".into(),
    );
    lines.push("   network, and starts it".into());
    lines
}

/// Its own profiles are not in the project that it goes to.
fn profiles(scene: &Scene<'_>, found: &Found, home: &mut Domain) {
    for name in split(field(&found.fields, &Key::Profiles)) {
        let Some(profile) = scene.profile(DEFAULT, &name).filter(|_| name != DEFAULT) else { continue };
        home.profiles.entry(name).or_insert_with(|| Profile {
            description: profile.description.clone(),
            config: stores::without_notes(&profile.config),
            devices: devices(&profile.devices),
        });
    }
}

fn machine(scene: &Scene<'_>, scope: &Scope, domain: &str, found: &Found, home: &Domain) -> machine::Drafted {
    let profiles: BTreeMap<String, Thing> = scene
        .within(Kind::Profile, DEFAULT)
        .into_iter()
        .filter(|profile| profile.id.name != DEFAULT)
        .map(|profile| (profile.id.name.clone(), Thing::of(profile)))
        .collect();
    let home = Home {
        domain,
        bridge: &scope.names.bridge(domain),
        bridges: &BTreeSet::new(),
        zones: true,
        protects: !home.ephemeral,
        pool: scene.root_pool(DEFAULT).unwrap_or(DEFAULT),
        default_card: None,
        profiles: &profiles,
        data_base: stores::DATA,
    };
    let mut written = machine::draft(scene, &home, domain, found);
    // It is stopped when it comes, and is to run if it does now.
    for (share, disk) in std::mem::take(&mut written.shared) {
        written.machine.devices.insert(format!("sv-{share}"), super::thing::device(&disk.disk));
    }
    written
}
