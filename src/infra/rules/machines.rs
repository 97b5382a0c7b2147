//! What belongs to one machine: its profiles, its Incus keys and devices, its services, when it is snapshotted.

use std::collections::{BTreeSet, HashSet};

use super::super::at::quoted;
use super::super::model::{Config, Devices, Infra, RunState};
use super::super::near::nearest;
use super::super::problem::{Path, Problem};
use super::{Spot, cron, machines};

const DEVICE_TYPES: [&str; 13] = [
    "nic",
    "disk",
    "gpu",
    "proxy",
    "usb",
    "unix-char",
    "unix-block",
    "unix-hotplug",
    "pci",
    "tpm",
    "infiniband",
    "none",
    "pmem",
];

/// Keys and beginnings of keys that virtual machines do not have.
const CONTAINER_KEYS: [&str; 6] =
    ["limits.cpu.allowance", "limits.memory.enforce", "security.privileged", "security.nesting", "raw.lxc", "nvidia."];

/// Keys and beginnings of keys that containers do not have.
const VM_KEYS: [&str; 5] = ["security.secureboot", "security.csm", "security.sev", "raw.qemu", "agent.nic_config"];

pub(super) fn check(infra: &Infra) -> Vec<Problem> {
    let names: BTreeSet<&str> = machines(infra).map(|spot| spot.name).collect();
    machines(infra).flat_map(|spot| one(spot, &names)).collect()
}

fn one(spot: Spot<'_>, names: &BTreeSet<&str>) -> Vec<Problem> {
    let path = spot.path();
    let mut problems = profiles(spot);
    problems.extend(refused_keys(&spot.machine.config, &path));
    problems.extend(keys_of_the_other_type(spot));
    problems.extend(devices(&spot.machine.devices, &path));
    problems.extend(gpu_of_vm(spot));
    problems.extend(snapshots(spot));
    problems.extend(services(spot, names));
    if spot.machine.instance_ephemeral && spot.machine.state == RunState::Stopped {
        let problem = Problem::error(path.to("state"), "an ephemeral instance is gone when it stops");
        problems.push(problem.help("remove `state: stopped` or `instance_ephemeral: true`"));
    }
    if spot.machine.instance_ephemeral && spot.machine.ephemeral == Some(false) {
        let message = "`ephemeral: false` protects what `instance_ephemeral: true` lets go";
        let problem =
            Problem::error(path.to("ephemeral"), message).also(path.to("instance_ephemeral"), "asked for here");
        problems.push(problem.help("keep one of them"));
    }
    problems.extend(user_data(spot));
    problems
}

fn profiles(spot: Spot<'_>) -> Vec<Problem> {
    let mut problems = Vec::new();
    let mut seen = HashSet::new();
    let path = spot.path().to("profiles");
    for (at, name) in spot.machine.profiles.iter().enumerate() {
        if name != "default" && !spot.domain.profiles.contains_key(name) {
            let known = spot.domain.profiles.keys().map(String::as_str).chain(["default"]);
            let help = match nearest(name, known) {
                Some(near) => format!("did you mean {}?", quoted(near)),
                None => format!("write it under `profiles` of `{}`", spot.domain_name),
            };
            let message = format!("`{}` has no profile {}", spot.domain_name, quoted(name));
            problems.push(Problem::error(path.to(at), message).help(help));
        }
        if !seen.insert(name) {
            let problem = Problem::error(path.to(at), format!("the profile {} is listed twice", quoted(name)));
            problems.push(problem.help("remove one of them"));
        }
    }
    problems
}

/// Keys that belong to anklume or to Incus itself.
pub(super) fn refused_keys(config: &Config, path: &Path) -> Vec<Problem> {
    let refused = |key: &str| match key {
        _ if key.starts_with("user.anklume.") => Some("anklume keeps its own marks there"),
        _ if key.starts_with("volatile.") => Some("Incus keeps its own notes there"),
        _ if key.starts_with("image.") => Some("Incus copies it from the image"),
        "" => Some("a key has a name"),
        _ => None,
    };
    let problem = |key: &String| {
        let message = format!("{} cannot be set: {}", quoted(key), refused(key)?);
        Some(Problem::error(path.to("config").to(key), message).at_key().help("remove the line"))
    };
    config.keys().filter_map(problem).collect()
}

fn keys_of_the_other_type(spot: Spot<'_>) -> Vec<Problem> {
    let (foreign, whose, here): (&[&str], _, _) = if spot.machine.vm {
        (&CONTAINER_KEYS, "containers", "a virtual machine")
    } else {
        (&VM_KEYS, "virtual machines", "a container")
    };
    let is_foreign =
        |key: &str| foreign.iter().any(|start| key == *start || start.ends_with('.') && key.starts_with(start));
    let problem = |key: &String| {
        let message = format!("{} is for {whose}, and `{}` is {here}", quoted(key), spot.name);
        let problem = Problem::error(spot.path().to("config").to(key), message).at_key();
        if spot.machine.vm { problem.also(spot.path().to("type"), "asked for here") } else { problem }
    };
    let problem = |key: &String| problem(key).help("remove the line, or change `type`");
    spot.machine.config.keys().filter(|key| is_foreign(key)).map(problem).collect()
}

/// Every type of a device is one that Incus knows.
pub(super) fn devices(devices: &Devices, path: &Path) -> Vec<Problem> {
    let problem = |(name, device): (&String, &Config)| {
        let path = path.to("devices").to(name);
        let kind = device.get("type").filter(|kind| !DEVICE_TYPES.contains(&kind.as_str()))?;
        let help = match nearest(kind, DEVICE_TYPES) {
            Some(near) => format!("did you mean {}?", quoted(near)),
            None => format!("Incus has {}", DEVICE_TYPES.join(", ")),
        };
        Some(Problem::error(path.to("type"), format!("no device has the type {}", quoted(kind))).help(help))
    };
    devices.iter().filter_map(problem).collect()
}

/// A GPU goes into a virtual machine whole: which one must be said.
fn gpu_of_vm(spot: Spot<'_>) -> Option<Problem> {
    let has_device = |devices: &Devices| {
        devices
            .values()
            .any(|device| device.get("type").is_some_and(|kind| kind == "gpu") && device.contains_key("pci"))
    };
    let named = has_device(&spot.machine.devices) || spot.profiles().any(|(_, profile)| has_device(&profile.devices));
    if !spot.machine.gpu || !spot.machine.vm || named {
        return None;
    }
    let message = format!("`{}` is a virtual machine, and must say which GPU it gets", spot.name);
    Some(
        Problem::error(spot.path().to("gpu"), message)
            .help("add a device with its PCI address: `gpu: {type: gpu, gputype: physical, pci: \"0000:01:00.0\"}`"),
    )
}

fn snapshots(spot: Spot<'_>) -> Vec<Problem> {
    let mut problems = Vec::new();
    if let Some(Err((message, help))) = spot.machine.snapshots_schedule.as_deref().map(cron::schedule) {
        problems.push(Problem::error(spot.path().to("snapshots_schedule"), message).help(help));
    }
    if let Some((text, Err(help))) = spot.machine.snapshots_expiry.as_deref().map(|text| (text, cron::duration(text))) {
        let message = format!("{} is not a duration", quoted(text));
        problems.push(Problem::error(spot.path().to("snapshots_expiry"), message).help(help));
    }
    problems
}

fn services(spot: Spot<'_>, names: &BTreeSet<&str>) -> Vec<Problem> {
    let mut problems = Vec::new();
    let services = &spot.machine.services;
    for (at, service) in services.iter().enumerate() {
        let path = spot.path().to("services").to(at);
        let first = services[..at].iter().position(|other| other.name == service.name && !other.name.is_empty());
        if let Some(first) = first {
            let message = format!("two services of `{}` are called {}", spot.name, quoted(&service.name));
            let first = spot.path().to("services").to(first).to("name");
            let problem = Problem::error(path.to("name"), message).also(first, "the first one");
            problems.push(problem.help("give one of them another name"));
        }
        for (at, consumer) in service.consumers.iter().enumerate() {
            if names.contains(consumer.as_str()) {
                continue;
            }
            let help = match nearest(consumer, names.iter().copied()) {
                Some(near) => format!("did you mean {}?", quoted(near)),
                None => "consumers are machines of this file".to_owned(),
            };
            let message = format!("no machine is called {}", quoted(consumer));
            problems.push(Problem::error(path.to("consumers").to(at), message).help(help));
        }
    }
    problems
}

/// Cloud-init reads user data only if its first line says what it is.
fn user_data(spot: Spot<'_>) -> Option<Problem> {
    let text = spot.machine.cloud_init.user_data.as_deref()?;
    let known = ["#", "Content-Type:", "MIME-Version:"].iter().any(|start| text.starts_with(start));
    let path = spot.path().to("cloud_init").to("user_data");
    (!known).then(|| {
        Problem::warning(path, "cloud-init does not read user data that starts like this")
            .help("begin with `#cloud-config` or `#!/bin/sh`, or write a map instead of a text")
    })
}
