//! Small infrastructures for tests.

use std::net::Ipv4Addr;

use indexmap::IndexMap;

use super::Holds;
use super::desired::{Desired, Machine as Wanted};
use super::{HeldBridge, HeldVolume, resolve};
use crate::host::facts::Facts;
use crate::infra::model::{
    Addressing, AiAccess, Domain, FirewallMode, Global, GpuPolicy, Infra, Machine, PersistentData, Policy, Profile,
    SharedVolume, Volume,
};
use crate::infra::problem::{Level, Problem};

pub(crate) fn infra<'a>(domains: impl IntoIterator<Item = (&'a str, Domain)>) -> Infra {
    Infra {
        project_name: "lab".into(),
        global: Global {
            addressing: Addressing::Zones { base: 100, step: 10 },
            default_os_image: "images:debian/13".into(),
            default_connection: "community.general.incus".into(),
            default_user: "root".into(),
            default_pool: None,
            nesting_prefix: true,
            gpu_policy: GpuPolicy::Exclusive,
            firewall_mode: FirewallMode::Host,
            ai_access: AiAccess { exclusive: false, default: None, vram_flush: true },
            resource_policy: None,
            shared_volumes_base: "/srv/anklume/shares".into(),
            persistent_data_base: "/srv/anklume/data".into(),
            image_repository: None,
        },
        domains: named(domains),
        network_policies: Vec::new(),
        shared_volumes: IndexMap::new(),
    }
}

pub(crate) fn domain<'a>(machines: impl IntoIterator<Item = (&'a str, Machine)>) -> Domain {
    Domain { machines: named(machines), ..Domain::default() }
}

pub(crate) fn machine() -> Machine {
    Machine::default()
}

pub(crate) fn at(ip: &str) -> Machine {
    Machine { ip: Some(ip.parse().unwrap()), ..machine() }
}

pub(crate) fn profile<'a>(devices: impl IntoIterator<Item = (&'a str, IndexMap<String, String>)>) -> Profile {
    Profile { devices: named(devices), ..Profile::default() }
}

pub(crate) fn policy(from: &str, to: &str) -> Policy {
    Policy {
        description: String::new(),
        from: from.into(),
        to: to.into(),
        ports: Vec::new(),
        protocol: None,
        bidirectional: false,
    }
}

/// A volume with files, seen at this path.
pub(crate) fn volume(path: &str) -> Volume {
    Volume { pool: None, size: None, path: Some(path.into()), config: IndexMap::new(), block: false }
}

/// Persistent data, seen at this path.
pub(crate) fn data(path: &str) -> PersistentData {
    PersistentData { path: path.into(), readonly: false }
}

/// A shared volume for these consumers, each with the word whether it may write.
pub(crate) fn share<const N: usize>(consumers: [(&str, bool); N]) -> SharedVolume {
    SharedVolume { source: None, path: None, shift: true, propagate: false, consumers: named(consumers) }
}

/// A map of the file, in the order given.
pub(crate) fn named<'a, T>(entries: impl IntoIterator<Item = (&'a str, T)>) -> IndexMap<String, T> {
    entries.into_iter().map(|(name, value)| (name.to_owned(), value)).collect()
}

/// Config keys or one device, as the file has them.
pub(crate) fn keys<const N: usize>(entries: [(&str, &str); N]) -> IndexMap<String, String> {
    named(entries.map(|(key, value)| (key, value.to_owned())))
}

/// Resolved on a bare host that holds nothing.
pub(crate) fn resolved(infra: &Infra) -> (Desired, Vec<Problem>) {
    resolve(infra, &Facts::default(), &Holds::default())
}

/// Resolved the same way, and nothing wrong with it.
pub(crate) fn sound(infra: &Infra) -> Desired {
    sound_over(infra, &Holds::default())
}

/// Resolved over what Incus holds, and nothing worse than a warning.
pub(crate) fn sound_over(infra: &Infra, holds: &Holds) -> Desired {
    let (desired, problems) = resolve(infra, &Facts::default(), holds);
    let errors: Vec<Problem> = problems.into_iter().filter(|problem| problem.level == Level::Error).collect();
    assert_eq!(errors, []);
    desired
}

/// What Incus holds once this is applied.
pub(crate) fn applied(desired: &Desired) -> Holds {
    let mut holds = Holds::default();
    for domain in &desired.domains {
        let (subnet, gateway) = (Some(domain.subnet), Some(domain.gateway));
        let held = HeldBridge { domain: Some(domain.name.clone()), subnet, gateway };
        holds.bridges.insert(domain.bridge.clone(), held);
        for machine in &domain.machines {
            for volume in &machine.volumes {
                let at = (domain.project.clone(), volume.name.clone());
                let held = HeldVolume { ours: true, block: volume.block };
                holds.volumes.entry(at).or_default().insert(volume.pool.clone(), held);
            }
            if let Some(address) = machine.address {
                let at = (domain.project.clone(), machine.instance.clone());
                holds.addresses.insert(at, (domain.bridge.clone(), address));
            }
        }
    }
    holds
}

/// The machine of that name.
pub(crate) fn find<'a>(desired: &'a Desired, machine: &str) -> &'a Wanted {
    let mut all = desired.domains.iter().flat_map(|domain| &domain.machines);
    all.find(|wanted| wanted.name == machine).expect("the sample has this machine")
}

/// The address of that machine, as text.
pub(crate) fn address(desired: &Desired, machine: &str) -> String {
    find(desired, machine).address.as_ref().map_or_else(|| "DHCP".into(), Ipv4Addr::to_string)
}

/// The network of that domain, as text.
pub(crate) fn subnet(desired: &Desired, domain: &str) -> String {
    let found = desired.domains.iter().find(|wanted| wanted.name == domain);
    found.expect("the sample has this domain").subnet.to_string()
}
