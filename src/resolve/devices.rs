//! A machine's network card and root disk: what the file says of them, completed where it leaves them to anklume.

use std::net::Ipv4Addr;

use super::Ground;
use super::desired::{Config, Devices};
use crate::infra::model::{self, Domain, Machine, Profile};

/// Who says what a machine's `eth0` is.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Card {
    /// It sits on the domain's bridge; what the file says of it itself.
    OnBridge {
        written: Config,
        /// The machine's profiles do not give it: it stands on the instance, static address or not.
        on_instance: bool,
    },
    /// The file puts it somewhere else, or gives the machine other cards instead.
    Elsewhere,
}

/// What `eth0` of this machine is to be, before its address is known.
pub(super) fn card(ground: Ground<'_>, domain: &Domain, machine: &Machine, bridge: &str) -> Card {
    if let Some(own) = machine.devices.get("eth0") {
        return card_of(ground, own, bridge, true);
    }
    let last_word = machine.profiles.iter().rev().find_map(|name| match domain.profiles.get(name) {
        Some(profile) if profile.devices.contains_key("eth0") => Some(profile.devices.get("eth0")),
        _ => (name == "default").then_some(None),
    });
    match last_word {
        Some(Some(of_profile)) => card_of(ground, of_profile, bridge, false),
        Some(None) => Card::OnBridge { written: Config::new(), on_instance: false },
        None if has_card(domain, machine) => Card::Elsewhere,
        None => Card::OnBridge { written: Config::new(), on_instance: true },
    }
}

/// A device called `eth0` in the file: is it a card on the domain's bridge, or one that leaves the bridge open?
fn card_of(ground: Ground<'_>, written: &model::Config, bridge: &str, on_instance: bool) -> Card {
    let written = device(ground, written);
    let open_type = written.get("nictype").is_none_or(|kind| kind == "bridged");
    let on_bridge = ["network", "parent"].iter().all(|key| written.get(*key).is_none_or(|named| named == bridge));
    let refuses_address = written.get("ipv4.address").is_some_and(|address| address == "none");
    let is_nic = written.get("type").is_some_and(|kind| kind == "nic");
    if is_nic && open_type && on_bridge && !refuses_address {
        Card::OnBridge { written, on_instance }
    } else {
        Card::Elsewhere
    }
}

fn has_card(domain: &Domain, machine: &Machine) -> bool {
    all_devices(domain, machine).any(|(_, keys)| is_type(keys, "nic"))
}

/// A card on the domain's bridge, whole: an instance's device replaces the profile's one of its name altogether.
/// What the file says itself wins.
pub(super) fn eth0(written: &Config, bridge: &str, address: Option<Ipv4Addr>) -> Config {
    let mut card = written.clone();
    let mut fill = |key: &str, value: &str| {
        card.entry(key.to_owned()).or_insert_with(|| value.to_owned());
    };
    fill("type", "nic");
    fill("name", "eth0");
    // Incus refuses `network` beside `nictype`.
    let link = if written.contains_key("nictype") { "parent" } else { "network" };
    fill(link, bridge);
    if let Some(address) = address {
        fill("ipv4.address", &address.to_string());
    }
    fill("security.mac_filtering", "true");
    // No `security.ipv6_filtering`: without br_netfilter it fails the start, and with no IPv6 address on the bridge
    // the IPv4 filter drops all IPv6 of the card anyway.
    fill("security.ipv4_filtering", "true");
    card
}

/// The static address that the file writes into the device `eth0` itself.
pub(super) fn written_address(card: &Card) -> Option<&str> {
    match card {
        Card::OnBridge { written, .. } => written.get("ipv4.address").map(String::as_str),
        Card::Elsewhere => None,
    }
}

/// The root disk for a machine that neither the `default` profile nor anything else in the file gives one.
pub(super) fn missing_root(domain: &Domain, machine: &Machine, pool: &str) -> Option<Config> {
    let provided = machine.profiles.iter().any(|name| name == "default")
        || all_devices(domain, machine).any(|(_, keys)| is_root(keys.get("type"), keys.get("path")));
    (!provided).then(|| {
        [("type", "disk"), ("path", "/"), ("pool", pool)].map(|(key, value)| (key.to_owned(), value.to_owned())).into()
    })
}

/// Is there a GPU among what the file gives the machine?
pub(super) fn has_gpu(domain: &Domain, machine: &Machine) -> bool {
    all_devices(domain, machine).any(|(_, keys)| is_type(keys, "gpu"))
}

/// The machine's own devices and those of its profiles.
pub(super) fn all_devices<'a>(
    domain: &'a Domain,
    machine: &'a Machine,
) -> impl Iterator<Item = (&'a String, &'a model::Config)> {
    machine.devices.iter().chain(profiles_of(domain, machine).flat_map(|profile| &profile.devices))
}

/// The domain's profiles that the machine has.
pub(super) fn profiles_of<'a>(domain: &'a Domain, machine: &'a Machine) -> impl Iterator<Item = &'a Profile> {
    machine.profiles.iter().filter_map(|name| domain.profiles.get(name))
}

/// The file's devices for Incus: bridges by their real names, root disks with their pool.
pub(super) fn devices(ground: Ground<'_>, written: &model::Devices, pool: &str) -> Devices {
    let settled = written.iter().map(|(name, keys)| {
        let mut keys = device(ground, keys);
        if is_root(keys.get("type"), keys.get("path")) {
            keys.entry("pool".into()).or_insert_with(|| pool.to_owned());
        }
        (name.clone(), keys)
    });
    settled.collect()
}

/// One device. A card may name a domain's bridge as `net-<domain>`, whatever the bridge is called on this host.
fn device(ground: Ground<'_>, written: &model::Config) -> Config {
    let mut keys: Config = written.iter().map(|(key, value)| (key.clone(), value.clone())).collect();
    if is_type(written, "nic") {
        for key in ["network", "parent"] {
            if let Some(named) = keys.get_mut(key)
                && let Some(domain) = named.strip_prefix("net-")
                && ground.infra.domains.contains_key(domain)
            {
                *named = ground.names.bridge(domain);
            }
        }
    }
    keys
}

fn is_type(keys: &model::Config, kind: &str) -> bool {
    keys.get("type").is_some_and(|written| written == kind)
}

fn is_root(kind: Option<&String>, path: Option<&String>) -> bool {
    kind.is_some_and(|kind| kind == "disk") && path.is_some_and(|path| path == "/")
}
