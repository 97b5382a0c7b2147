//! What holds for every infrastructure, tried on random ones.

use std::collections::BTreeSet;
use std::net::Ipv4Addr;

use proptest::collection::{btree_map, btree_set, vec};
use proptest::option;
use proptest::prelude::*;

use super::desired::Desired;
use super::sample::{applied, data, domain, find, infra, machine, resolved, share, sound_over, volume};
use super::{Holds, enabled, resolve};
use crate::host::facts::Facts;
use crate::infra::model::{Addressing, Domain, Infra, Machine, TrustLevel};
use crate::resources::directory;

const LEVELS: [TrustLevel; 5] =
    [TrustLevel::Admin, TrustLevel::Trusted, TrustLevel::SemiTrusted, TrustLevel::Untrusted, TrustLevel::Disposable];

/// What a machine keeps and sees, of each kind so many.
fn stores(machine: &mut Machine, volumes: usize, data_count: usize) {
    for number in 0..volumes {
        machine.storage_volumes.insert(format!("v{number}"), volume(&format!("/v/{number}")));
    }
    for number in 0..data_count {
        machine.persistent_data.insert(format!("d{number}"), data(&format!("/d/{number}")));
    }
}

/// A domain of few zones and few written ids, so that they meet; host parts of written addresses are unique.
fn a_domain() -> impl Strategy<Value = Domain> {
    let written = btree_set(prop_oneof![1..=8u8, 90..=253u8], 0..4);
    let stored = vec((0..3usize, 0..3usize), 0..6);
    let parts = (0..6usize, written, 0..3usize, option::weighted(0.3, 0..6u8), prop::bool::weighted(0.9), stored);
    parts.prop_map(|(free, written, level, subnet_id, enabled, stored)| {
        let mut made = domain([]);
        made.machines.extend((0..free).map(|number| (format!("free{number}"), machine())));
        let fixed = |part: u8| (format!("fixed{part}"), Machine { host_part: Some(part), ..machine() });
        // Written ones first and last: order must not matter to them.
        for (position, part) in written.into_iter().enumerate() {
            let (name, machine) = fixed(part);
            made.machines.shift_insert(if position % 2 == 0 { 0 } else { made.machines.len() }, name, machine);
        }
        for (machine, (volumes, data)) in made.machines.values_mut().zip(stored) {
            stores(machine, volumes, data);
        }
        Domain { trust_level: LEVELS[level], subnet_id, enabled, ..made }
    })
}

/// Up to eight domains; written ids that are taken in the zone already are left out, names are unique everywhere.
fn an_infra() -> impl Strategy<Value = Infra> {
    let parts = (btree_map("[a-z]{1,12}", a_domain(), 0..8), any::<bool>(), vec(any::<bool>(), 0..8));
    parts.prop_map(|(domains, reversed, shared)| {
        let mut all: Vec<(String, Domain)> = domains.into_iter().collect();
        if reversed {
            all.reverse();
        }
        let mut taken = BTreeSet::new();
        let mut made = infra([]);
        for (name, mut domain) in all {
            domain.subnet_id = domain.subnet_id.filter(|id| taken.insert((domain.trust_level, *id)));
            domain.machines = domain.machines.into_iter().map(|(own, one)| (format!("{name}-{own}"), one)).collect();
            made.domains.insert(name, domain);
        }
        for (name, writes) in made.domains.keys().zip(shared) {
            made.shared_volumes.insert(format!("of-{name}"), share([(name.as_str(), writes)]));
        }
        made
    })
}

/// Every network and address by who has it.
fn places(desired: &Desired) -> Vec<(String, String)> {
    let mut places = Vec::new();
    for domain in &desired.domains {
        places.push((domain.name.clone(), domain.subnet.to_string()));
        let machines = domain.machines.iter().filter_map(|one| Some((one.name.clone(), one.address?.to_string())));
        places.extend(machines);
    }
    places
}

fn all_addresses(desired: &Desired) -> Vec<Ipv4Addr> {
    desired.domains.iter().flat_map(|domain| domain.machines.iter().filter_map(|one| one.address)).collect()
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 100, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn networks_and_addresses_are_unique_and_usable(infra in an_infra()) {
        let (desired, problems) = resolved(&infra);
        prop_assert_eq!(problems, []);
        let subnets: BTreeSet<_> = desired.domains.iter().map(|domain| domain.subnet).collect();
        prop_assert_eq!(subnets.len(), desired.domains.len());
        let addresses = all_addresses(&desired);
        prop_assert_eq!(addresses.iter().collect::<BTreeSet<_>>().len(), addresses.len());
        for domain in &desired.domains {
            for machine in &domain.machines {
                let address = machine.address.unwrap();
                prop_assert!(domain.subnet.contains(&address));
                let reserved = [domain.gateway, domain.subnet.network(), domain.subnet.broadcast()];
                prop_assert!(!reserved.contains(&address));
                prop_assert_eq!(&machine.devices["eth0"]["ipv4.address"], &address.to_string());
            }
        }
    }

    #[test]
    fn what_is_written_is_what_comes_out(infra in an_infra()) {
        let (desired, _) = resolved(&infra);
        for (name, written) in enabled(&infra) {
            let settled = desired.domains.iter().find(|domain| domain.name == *name).unwrap();
            if let Some(id) = written.subnet_id {
                prop_assert_eq!(settled.subnet.network().octets()[2], id);
            }
            for (machine, written) in &written.machines {
                if let Some(part) = written.host_part {
                    prop_assert_eq!(find(&desired, machine).address.unwrap().octets()[3], part);
                }
            }
        }
    }

    #[test]
    fn every_disk_has_a_source_that_is_made_and_a_path_of_its_own(infra in an_infra()) {
        let (desired, _) = resolved(&infra);
        let directories = directory::wanted(&desired);
        for domain in &desired.domains {
            let volumes: Vec<_> = domain.machines.iter().flat_map(|one| &one.volumes).collect();
            let names: BTreeSet<_> = volumes.iter().map(|volume| &volume.name).collect();
            prop_assert_eq!(names.len(), volumes.len());
            for machine in &domain.machines {
                let disks: Vec<_> = machine.devices.values().filter(|device| device["type"] == "disk").collect();
                let paths: BTreeSet<_> = disks.iter().map(|disk| &disk["path"]).collect();
                prop_assert_eq!(paths.len(), disks.len());
                for disk in disks {
                    let source = &disk["source"];
                    let is_volume = machine.volumes.iter().any(|one| one.name == *source && one.pool == disk["pool"]);
                    prop_assert!(is_volume || directories.contains_key(source.as_str()), "{source}");
                }
            }
        }
    }

    #[test]
    fn another_default_pool_moves_no_volume(infra in an_infra(), pool in "[a-z]{3}") {
        let (before, _) = resolved(&infra);
        let mut infra = infra;
        infra.global.default_pool = Some(pool);
        let after = sound_over(&infra, &applied(&before));
        for (before, after) in before.domains.iter().zip(&after.domains) {
            for (before, after) in before.machines.iter().zip(&after.machines) {
                prop_assert_eq!(&before.volumes, &after.volumes);
            }
        }
    }

    #[test]
    fn resolving_over_what_was_applied_changes_nothing(infra in an_infra()) {
        let (first, _) = resolved(&infra);
        let again = sound_over(&infra, &applied(&first));
        prop_assert_eq!(&first.domains, &again.domains);
        prop_assert_eq!(first.wall, again.wall);
    }

    #[test]
    fn one_more_domain_renumbers_nobody(infra in an_infra(), level in 0..3usize, front in any::<bool>()) {
        let (before, _) = resolved(&infra);
        let mut more = infra.clone();
        let name = if front { "0-first" } else { "zzzz-last" };
        more.domains.shift_insert(0, name.into(), Domain { trust_level: LEVELS[level], ..domain([]) });
        let after = places(&sound_over(&more, &applied(&before)));
        for place in places(&before) {
            prop_assert!(after.contains(&place), "{place:?} in {after:?}");
        }
    }

    #[test]
    fn one_more_machine_anywhere_renumbers_nobody(infra in an_infra(), wheres in vec((0..8usize, 0..8usize), 1..4)) {
        let (before, _) = resolved(&infra);
        let mut more = infra.clone();
        for (number, (domain, place)) in wheres.into_iter().enumerate() {
            if let Some((_, home)) = more.domains.get_index_mut(domain) {
                home.machines.shift_insert(place.min(home.machines.len()), format!("new{number}"), machine());
            }
        }
        let after = places(&sound_over(&more, &applied(&before)));
        for place in places(&before) {
            prop_assert!(after.contains(&place), "{place:?} in {after:?}");
        }
    }

    #[test]
    fn what_leaves_the_file_is_not_given_to_others_while_it_stands(before in an_infra(), after in an_infra()) {
        let (first, _) = resolved(&before);
        let holds = applied(&first);
        // Written values win, so only files without any are looked at.
        let mut after = after;
        for domain in after.domains.values_mut() {
            domain.subnet_id = None;
            domain.machines.retain(|_, machine| machine.host_part.is_none());
        }
        let second = sound_over(&after, &holds);
        for domain in &second.domains {
            for (bridge, held) in &holds.bridges {
                prop_assert!(*bridge == domain.bridge || held.subnet != Some(domain.subnet), "{bridge}");
            }
        }
    }

    #[test]
    fn any_change_of_the_file_settles_in_one_step(before in an_infra(), after in an_infra()) {
        let mut holds = applied(&resolved(&before).0);
        let second = sound_over(&after, &holds);
        let then = applied(&second);
        // Nothing was pruned: what left the file still stands beside it.
        holds.bridges.extend(then.bridges);
        holds.addresses.extend(then.addresses);
        let third = sound_over(&after, &holds);
        prop_assert_eq!(places(&second), places(&third));
    }

    #[test]
    fn no_addressing_however_odd_panics(infra in an_infra(), base in any::<u8>(), step in any::<u8>()) {
        let mut infra = infra;
        infra.global.addressing = Addressing::Zones { base, step };
        let _ = resolve(&infra, &Facts::default(), &Holds::default());
    }
}
