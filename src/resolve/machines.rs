//! Machines and profiles as they will stand in Incus: config keys, devices, protection.

use std::net::Ipv4Addr;

use super::addresses::{self, Place, Wish};
use super::desired::{self, Config, Profile};
use super::devices::{self, Card};
use super::{Ground, context, volumes, written};
use crate::infra::model::{self, Domain, Machine};
use crate::infra::problem::Problem;

/// The profile that `gpu: true` brings where the file gives the machine no GPU itself.
const GPU_PROFILE: &str = "nvidia-compute";

/// The domain's own profiles, and the GPU one where a machine needs it.
pub(super) fn profiles(ground: Ground<'_>, domain: &Domain, bridge: &str, pool: &str) -> Vec<Profile> {
    let written = domain.profiles.iter().map(|(name, profile)| Profile {
        name: name.clone(),
        description: profile.description.clone(),
        config: sorted(&profile.config),
        devices: devices::devices(ground, &profile.devices, bridge, pool),
    });
    let mut profiles: Vec<Profile> = written.collect();
    if !domain.profiles.contains_key(GPU_PROFILE)
        && domain.machines.values().any(|machine| wants_gpu_pattern(domain, machine))
    {
        profiles.push(Profile {
            name: GPU_PROFILE.into(),
            description: "The host's GPU, with the NVIDIA runtime".into(),
            config: pairs([("nvidia.runtime", "true")]),
            devices: [("gpu".to_owned(), pairs([("type", "gpu")]))].into(),
        });
    }
    profiles
}

/// The machines of a domain, each with its address.
pub(super) fn machines(
    ground: Ground<'_>,
    home: &desired::Domain,
    domain: &Domain,
    problems: &mut Vec<Problem>,
) -> Vec<desired::Machine> {
    let cards = domain.machines.values().map(|machine| devices::card(ground, domain, machine, &home.bridge));
    let cards: Vec<Card> = cards.collect();
    let written = written::addresses(ground, home, domain, &cards, problems);
    let wishes: Vec<Wish<'_>> = domain
        .machines
        .keys()
        .zip(&cards)
        .filter(|(name, card)| written.contains_key(name.as_str()) || wants_fixed(ground, domain, name, card))
        .map(|(name, _)| Wish {
            machine: name,
            instance: ground.names.instance(name),
            written: written.get(name.as_str()).copied(),
        })
        .collect();
    let place = Place {
        domain: &home.name,
        project: &home.project,
        bridge: &home.bridge,
        subnet: home.subnet,
        gateway: home.gateway,
    };
    let given = addresses::assign(place, &wishes, ground.holds, problems);
    let all = domain.machines.iter().zip(&cards);
    let machines: Vec<desired::Machine> = all
        .map(|((name, written), card)| {
            machine(ground, home, domain, name, written, card, given.get(name.as_str()).copied())
        })
        .collect();
    problems.extend(machines.iter().flat_map(|machine| volumes::check(ground, home, machine)));
    machines
}

/// With zones every machine on its domain's bridge has a fixed address unless it says `dhcp`; with `base_subnet` only those
/// that write one.
fn wants_fixed(ground: Ground<'_>, domain: &Domain, name: &str, card: &Card) -> bool {
    let zones = matches!(ground.infra.global.addressing, model::Addressing::Zones { .. });
    let dhcp = domain.machines.get(name).is_some_and(|machine| machine.dhcp);
    zones && !dhcp && *card != Card::Elsewhere
}

fn machine(
    ground: Ground<'_>,
    home: &desired::Domain,
    domain: &Domain,
    name: &str,
    written: &Machine,
    card: &Card,
    address: Option<Ipv4Addr>,
) -> desired::Machine {
    let mut devices = devices::devices(ground, &written.devices, &home.bridge, &home.pool);
    if let Card::OnBridge { written, on_instance } = card
        && (*on_instance || address.is_some())
    {
        devices.insert("eth0".into(), devices::eth0(written, &home.bridge, address));
    }
    if let Some(root) = devices::missing_root(domain, written, &home.pool) {
        devices.insert("root".into(), root);
    }
    let volumes = volumes::volumes(ground, home, name, written);
    let (mounts, directories) = volumes::mounts(ground, home, domain, name, written, &volumes);
    devices.extend(mounts);
    let mut config = config(domain, written);
    config.extend(context::keys(ground, written));
    let protected = config.get("security.protection.delete").is_some_and(|value| value == "true");
    let mut machine = desired::Machine {
        name: name.to_owned(),
        instance: ground.names.instance(name),
        description: written.description.clone(),
        vm: written.vm,
        image: written.os_image.clone().unwrap_or_else(|| ground.infra.global.default_os_image.clone()),
        address,
        protected,
        instance_ephemeral: written.instance_ephemeral,
        profiles: written.profiles.clone(),
        config,
        devices,
        files: context::files(ground, domain, written),
        volumes,
        directories,
        state: written.state,
        state_written: written.state_written,
        health: written.health.clone(),
    };
    if wants_gpu_pattern(domain, written) {
        add_gpu(domain, &mut machine);
    }
    machine
}

/// The machine's own keys; what they say wins over the shorter ways of saying it.
fn config(domain: &Domain, machine: &Machine) -> Config {
    let protect = !machine.ephemeral.unwrap_or(domain.ephemeral);
    let cloud_init = &machine.cloud_init;
    let short_ways = [
        ("boot.autostart", machine.boot_autostart.map(|on| on.to_string())),
        ("boot.autostart.priority", machine.boot_priority.map(|priority| priority.to_string())),
        ("snapshots.schedule", machine.snapshots_schedule.clone()),
        ("snapshots.expiry", machine.snapshots_expiry.as_deref().map(expiry)),
        ("security.protection.delete", protect.then(|| "true".to_owned())),
        ("cloud-init.user-data", cloud_init.user_data.clone()),
        ("cloud-init.vendor-data", cloud_init.vendor_data.clone()),
        ("cloud-init.network-config", cloud_init.network_config.clone()),
    ];
    let mut config = sorted(&machine.config);
    for (key, value) in short_ways {
        if let Some(value) = value {
            config.entry(key.to_owned()).or_insert(value);
        }
    }
    config
}

/// Incus spells hours `H` and minutes `M`; its `m` is months.
fn expiry(written: &str) -> String {
    written.replace('h', "H").replace('m', "M")
}

fn wants_gpu_pattern(domain: &Domain, machine: &Machine) -> bool {
    machine.gpu && !machine.vm && !devices::has_gpu(domain, machine)
}

/// The pattern: the profile `nvidia-compute`. One that the domain wrote itself and left without a GPU gets it on the
/// machine instead.
fn add_gpu(domain: &Domain, machine: &mut desired::Machine) {
    if !machine.profiles.iter().any(|name| name == GPU_PROFILE) {
        machine.profiles.push(GPU_PROFILE.into());
    }
    let of_domain = domain.profiles.get(GPU_PROFILE);
    let complete = of_domain
        .is_none_or(|profile| profile.devices.values().any(|keys| keys.get("type").is_some_and(|kind| kind == "gpu")));
    if !complete {
        machine.devices.entry("gpu".into()).or_insert_with(|| pairs([("type", "gpu")]));
        machine.config.entry("nvidia.runtime".into()).or_insert_with(|| "true".into());
    }
}

fn sorted(written: &model::Config) -> Config {
    written.iter().map(|(key, value)| (key.clone(), value.clone())).collect()
}

fn pairs<const N: usize>(entries: [(&str, &str); N]) -> Config {
    entries.map(|(key, value)| (key.to_owned(), value.to_owned())).into()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::infra::model::CloudInit;
    use crate::resolve::sample::{domain, find, infra, keys, machine, named, profile, sound};

    fn config_of(domain: &Domain, machine: &Machine) -> Config {
        config(domain, machine)
    }

    #[test]
    fn the_short_ways_become_incus_keys() {
        let machine = Machine {
            boot_autostart: Some(true),
            boot_priority: Some(20),
            snapshots_schedule: Some("@daily".into()),
            snapshots_expiry: Some("30d".into()),
            cloud_init: CloudInit { user_data: Some("#cloud-config\n".into()), ..CloudInit::default() },
            ..machine()
        };
        let expected = pairs([
            ("boot.autostart", "true"),
            ("boot.autostart.priority", "20"),
            ("snapshots.schedule", "@daily"),
            ("snapshots.expiry", "30d"),
            ("security.protection.delete", "true"),
            ("cloud-init.user-data", "#cloud-config\n"),
        ]);
        assert_eq!(config_of(&domain([]), &machine), expected);
    }

    #[test]
    fn expiry_is_said_in_the_words_of_incus() {
        for (ours, incus) in [("30d", "30d"), ("24h", "24H"), ("60m", "60M")] {
            assert_eq!(expiry(ours), incus);
        }
    }

    #[test]
    fn a_machine_is_protected_unless_it_or_its_domain_is_ephemeral() {
        let cases = [(None, false, true), (None, true, false), (Some(true), false, false), (Some(false), true, true)];
        for (own, of_domain, protected) in cases {
            let machine = Machine { ephemeral: own, ..machine() };
            let domain = Domain { ephemeral: of_domain, ..domain([("m", machine)]) };
            let desired = sound(&infra([("pro", domain)]));
            assert_eq!(find(&desired, "m").protected, protected);
            assert_eq!(find(&desired, "m").config.contains_key("security.protection.delete"), protected);
        }
    }

    #[test]
    fn the_machines_own_key_wins_over_the_short_way() {
        let mut machine = Machine { boot_autostart: Some(true), ..machine() };
        machine.config = keys([("boot.autostart", "false"), ("security.protection.delete", "false")]);
        let desired = sound(&infra([("pro", domain([("m", machine)]))]));
        assert_eq!(find(&desired, "m").config["boot.autostart"], "false");
        assert!(!find(&desired, "m").protected);
    }

    #[test]
    fn the_image_is_the_machines_else_the_global_one() {
        let own = Machine { os_image: Some("images:alpine/3.22".into()), ..machine() };
        let desired = sound(&infra([("pro", domain([("own", own), ("plain", machine())]))]));
        assert_eq!(find(&desired, "own").image, "images:alpine/3.22");
        assert_eq!(find(&desired, "plain").image, "images:debian/13");
    }

    fn with_gpu() -> Machine {
        Machine { gpu: true, ..machine() }
    }

    #[test]
    fn a_gpu_without_a_device_comes_from_the_nvidia_compute_profile() {
        let desired = sound(&infra([("ai", domain([("m", with_gpu())]))]));
        assert_eq!(find(&desired, "m").profiles, ["default", "nvidia-compute"]);
        let profile = &desired.domains[0].profiles[0];
        assert_eq!((profile.name.as_str(), profile.config["nvidia.runtime"].as_str()), ("nvidia-compute", "true"));
        assert_eq!(profile.devices["gpu"]["type"], "gpu");
    }

    #[test]
    fn a_gpu_device_of_the_files_own_is_taken_as_it_is() {
        let gpu = keys([("type", "gpu"), ("id", "0")]);
        let own = Machine { devices: named([("card", gpu.clone())]), ..with_gpu() };
        let of_profile = Machine { profiles: vec!["default".into(), "cuda".into()], ..with_gpu() };
        let vm = Machine { vm: true, ..with_gpu() };
        let mut ai = domain([("own", own), ("of-profile", of_profile), ("vm", vm)]);
        ai.profiles = named([("cuda", profile([("card", gpu)]))]);
        let desired = sound(&infra([("ai", ai)]));
        for machine in ["own", "of-profile", "vm"] {
            assert!(!find(&desired, machine).profiles.contains(&"nvidia-compute".to_owned()), "{machine}");
        }
        assert_eq!(desired.domains[0].profiles.len(), 1);
    }

    #[test]
    fn an_nvidia_compute_profile_without_a_gpu_is_completed_on_the_machine() {
        let mut ai = domain([("m", with_gpu())]);
        ai.profiles = named([("nvidia-compute", profile([]))]);
        let desired = sound(&infra([("ai", ai)]));
        let machine = find(&desired, "m");
        assert_eq!(machine.devices["gpu"]["type"], "gpu");
        assert_eq!(machine.config["nvidia.runtime"], "true");
        assert_eq!(machine.profiles, ["default", "nvidia-compute"]);
    }
}
