//! What is called when a machine is carried, from wherever an earlier run stood.

use serde_json::{Value, json};

use super::copying::completion;
use super::placing::placing;
use super::*;
use crate::incus::call::{Call, Input};
use crate::resolve::desired::Desired;
use crate::resolve::sample::{domain, find, infra, keys, machine, named, sound, volume};
use crate::resources::Resource;
use crate::resources::instance::Instances;
use crate::resources::journey::{part, volume_part};
use crate::resources::network::Networks;
use crate::resources::project::Projects;
use crate::resources::volume::Volumes;

/// `dev` in `pro`, with a volume and an address.
fn listed(name: &str, project: &str, status: &str) -> Value {
    json!({"name": name, "project": project, "type": "container", "status": status, "profiles": ["default"],
        "last_used_at": "then", "config": {"user.anklume.infra": "lab", "user.anklume.domain": "pro", "boot.autostart": "true"},
        "devices": {"data": {"type": "disk", "pool": "default", "source": "dev-data", "path": "/data"},
            "eth0": {"type": "nic", "network": "net-pro", "ipv4.address": "10.120.0.1"}}})
}

fn stored(project: &str, pool: &str, name: &str) -> Found {
    let listed = json!({"pool": pool, "name": name, "project": project, "content_type": "filesystem", "config": {}});
    Volumes.found(&listed).unwrap()
}

fn live(more: impl IntoIterator<Item = Found>) -> Live {
    let project = |name: &str| Projects.found(&json!({"name": name, "config": {}})).unwrap();
    let bridge =
        |name: &str| Networks.found(&json!({"name": name, "managed": true, "type": "bridge", "config": {}})).unwrap();
    let all = [project("pro"), project("home"), bridge("net-pro"), bridge("net-home")];
    let found = all.into_iter().chain(more).map(|found| (found.id.clone(), found)).collect();
    Live { found, ..Live::empty() }
}

fn source() -> [Found; 2] {
    [Instances.found(&listed("dev", "pro", "Running")).unwrap(), stored("pro", "default", "dev-data")]
}

/// The file with `dev` in this domain, its root disk on a pool of its own.
fn file(home: &str, pool: Option<&str>) -> Desired {
    let root = pool.map(|pool| ("root", keys([("type", "disk"), ("path", "/"), ("pool", pool)])));
    let data = crate::infra::model::Volume { pool: pool.map(str::to_owned), ..volume("/data") };
    let dev = crate::infra::model::Machine {
        storage_volumes: named([("data", data)]),
        devices: root.map(|root| named([root])).unwrap_or_default(),
        ..machine()
    };
    let other = if home == "pro" { "home" } else { "pro" };
    sound(&infra([(home, domain([("dev", dev)])), (other, domain([]))]))
}

fn packed<'a>(live: &'a Live, desired: &'a Desired, moves: bool) -> Cargo<'a> {
    let domain = desired.domains.iter().find(|domain| !domain.machines.is_empty()).unwrap();
    let source = &live.found[&Id::within(Kind::Instance, "pro", "dev")];
    Cargo::pack(source, live, (domain, find(desired, "dev")), moves, "anklume move dev")
}

/// The words of every `incus` call.
fn words(plan: &Plan) -> Vec<String> {
    let calls = plan.actions.iter().flat_map(|action| &action.calls);
    calls.filter(|call| call.program == "incus").map(Call::words).collect()
}

#[test]
fn into_another_domain_it_is_copied_without_its_address_and_onto_the_bridge_there() {
    let (live, desired) = (live(source()), file("home", None));
    let cargo = packed(&live, &desired, true);
    assert!(cargo.obstacles(&live).is_empty() && !cargo.is_there());
    let words = words(&cargo.copying(&live));
    assert_eq!(words[0], "incus stop dev --project pro --timeout 60");
    assert_eq!(
        words[1],
        "incus storage volume copy default/dev-data default/dev-data.anklume-part --project pro --target-project home"
    );
    let copy = "incus copy dev dev-anklume-part --project pro --target-project home --profile default --config boot.autostart=false";
    assert!(words[2].starts_with(copy), "{}", words[2]);
    for device in ["eth0,ipv4.address=", "eth0,network=net-home", "data,type=none", "data,source=", "data,path="] {
        assert!(words[2].contains(&format!("--device {device}")), "{}", words[2]);
    }
    let Input::Edited { edit, .. } = completion(&cargo.place(), &cargo.journey, Some(cargo.source)).input else {
        panic!()
    };
    assert_eq!(edit.set["boot.autostart"], "true", "as its source");
}

#[test]
fn onto_another_pool_it_goes_with_its_volumes_and_stays_on_its_bridge() {
    let (live, desired) = (live(source()), file("pro", Some("fast")));
    let words = words(&packed(&live, &desired, true).copying(&live));
    assert_eq!(words[1], "incus storage volume copy default/dev-data fast/dev-data.anklume-part --project pro");
    assert!(words[2].contains("--storage fast") && !words[2].contains("network="), "{}", words[2]);
    assert!(!words[2].contains("--target-project"), "{}", words[2]);
}

#[test]
fn what_is_in_the_way_is_told_with_what_to_type() {
    let obstacles = |more: Found| {
        let (live, desired) = (live(source().into_iter().chain([more])), file("home", None));
        let told = packed(&live, &desired, true).obstacles(&live);
        told.into_iter()
            .map(|obstacle| format!("{}: {}", obstacle.message, obstacle.hint))
            .collect::<Vec<_>>()
            .join("\n")
    };
    let told = obstacles(stored("home", "default", "dev-data"));
    assert!(told.contains("`incus storage volume delete default dev-data --project home`"), "{told}");
    let told = obstacles(Instances.found(&listed("dev", "home", "Stopped")).unwrap());
    assert!(told.contains("there is a machine dev in the project home"), "{told}");
    let told = obstacles(Instances.found(&listed("web", "pro", "Stopped")).unwrap());
    assert!(told.contains("instance web uses volume default/dev-data too"), "{told}");
}

#[test]
fn what_was_copied_only_in_part_goes_first() {
    let begun = [
        Instances.found(&listed("dev-anklume-part", "home", "Stopped")).unwrap(),
        stored("home", "default", "dev-data.anklume-part"),
    ];
    let (live, desired) = (live(source().into_iter().chain(begun)), file("home", None));
    let words = words(&packed(&live, &desired, true).copying(&live));
    assert_eq!(
        words[..2],
        [
            "incus delete dev-anklume-part --force --project home",
            "incus storage volume delete default dev-data.anklume-part --project home"
        ]
    );
}

#[test]
fn a_complete_copy_comes_to_its_place_from_wherever_it_was_left() {
    let (whole, desired) = (live(source()), file("home", None));
    let cargo = packed(&whole, &desired, true);
    let (place, journey) = (cargo.place(), cargo.journey.clone());
    let copy = Instances.found(&listed(&part(&place).name, "home", "Stopped")).unwrap();
    let to = volume::id("home", "default", "dev-data");
    let copied = stored("home", "default", volume::parts(&volume_part(&to)).1);
    let mut left = live(source().into_iter().chain([copy, copied]));
    let steps = [
        "incus storage volume rename default dev-data.anklume-part dev-data --project home",
        "incus delete dev --force --project pro",
        "incus storage volume delete default dev-data --project pro",
        "incus config edit dev-anklume-part --project home",
        "incus rename dev-anklume-part dev --project home",
    ];
    assert_eq!(words(&placing(&left, &place, &journey, "home")), steps);
    left.found.remove(&volume_part(&to));
    assert_eq!(words(&placing(&left, &place, &journey, "home")), steps[1..]);
    for found in source() {
        left.found.remove(&found.id);
    }
    assert_eq!(words(&placing(&left, &place, &journey, "home")), steps[3..]);
    // The source of a copy stays.
    let staying = Journey { moves: false, ..journey };
    assert_eq!(words(&placing(&whole, &place, &staying, "home")), steps[3..]);
}
