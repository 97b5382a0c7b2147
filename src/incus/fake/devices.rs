//! Devices: what Incus finds wrong with them before it takes them, and who is on a bridge.

use std::net::Ipv4Addr;

use ipnet::Ipv4Net;

use super::Change;
use super::state::{Config, Devices, Object, State};

/// A NIC on a bridge, of whatever instance.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Seat<'a> {
    pub(super) bridge: &'a str,
    pub(super) address: Option<&'a str>,
}

/// The bridge a NIC is on; `None` for other devices.
pub(super) fn bridge(device: &Config) -> Option<&str> {
    let of = |key: &str| device.get(key).map(String::as_str);
    (of("type") == Some("nic")).then(|| of("network").or_else(|| of("parent"))).flatten()
}

pub(super) fn seat(device: &Config) -> Option<Seat<'_>> {
    let address = device.get("ipv4.address").map(String::as_str).filter(|address| *address != "none");
    Some(Seat { bridge: bridge(device)?, address })
}

/// The network of a bridge; `None` where it has no address.
pub(super) fn subnet(network: &Object) -> Option<Ipv4Net> {
    network.config.get("ipv4.address").and_then(|address| address.parse().ok())
}

/// Validation of devices, on a profile (`address` false) or with all of an instance's.
pub(super) fn check(state: &State, devices: &Devices, with_addresses: bool) -> Change {
    for (name, device) in devices {
        let wrong = |said: String| Err(format!("Device validation failed for \"{name}\": {said}"));
        let Some(kind) = device.get("type") else {
            return wrong(format!("Failed loading device \"{name}\": Missing device type in config"));
        };
        if kind != "nic" {
            continue;
        }
        if device.contains_key("network") {
            if let Some(key) = ["nictype", "parent"].into_iter().find(|key| device.contains_key(*key)) {
                return wrong(format!("Cannot use \"{key}\" property in conjunction with \"network\" property"));
            }
        } else if !device.contains_key("nictype") {
            return wrong(format!("Failed loading device \"{name}\": Unsupported device type"));
        }
        if let Some(network) = device.get("network")
            && !state.networks.contains_key(network)
        {
            let said = format!("Failed to load network \"{network}\" for project \"default\": Network not found");
            return wrong(format!("Failed loading device \"{name}\": {said}"));
        }
        if with_addresses && let Err(said) = check_address(state, device) {
            return wrong(said);
        }
    }
    Ok(())
}

/// Is the address of a NIC one of its bridge?
pub(super) fn check_address(state: &State, device: &Config) -> Change {
    let Some(Seat { bridge, address: Some(address) }) = seat(device) else { return Ok(()) };
    let Some(subnet) = state.networks.get(bridge).and_then(subnet) else { return Ok(()) };
    let Ok(ip) = address.parse::<Ipv4Addr>() else { return Err(format!("Not an IPv4 address \"{address}\"")) };
    if !subnet.contains(&ip) {
        return Err(format!("Device IP address \"{address}\" not within network \"{bridge}\" subnet"));
    }
    if ip == subnet.addr() {
        return Err(format!("IP address \"{address}\" is assigned to parent managed network device \"\""));
    }
    Ok(())
}

/// Two machines with one name or one address on one bridge, running or not; and two NICs of one on the same.
pub(super) fn check_conflicts(state: &State, owner: (&str, &str), devices: &Devices, name: &str) -> Change {
    let Some(own) = devices.get(name).and_then(seat) else { return Ok(()) };
    let twin = devices.iter().find(|(other, device)| *other != name && bridge(device) == Some(own.bridge));
    if let Some((other, _)) = twin {
        let machine = owner.1;
        return Err(format!(
            "Instance DNS name \"{machine}\" conflict between \"{name}\" and \"{other}\" because both are connected to \
             same network"
        ));
    }
    for ((project, other), instance) in &state.instances {
        if (project.as_str(), other.as_str()) == owner {
            continue;
        }
        let (_, devices) = state.expanded(project, instance);
        for there in devices.values().filter_map(seat).filter(|there| there.bridge == own.bridge) {
            if other == owner.1 {
                return Err(format!("Instance DNS name \"{other}\" already used on network"));
            }
            if let Some(address) = own.address.filter(|address| there.address == Some(*address)) {
                return Err(format!("IP address \"{address}\" already defined on another NIC"));
            }
        }
    }
    Ok(())
}

/// The name of the root disk, and its pool.
pub(super) fn root(devices: &Devices) -> Option<(&String, Option<&String>)> {
    let is_root = |device: &Config| {
        device.get("type").is_some_and(|kind| kind == "disk") && device.get("path").is_some_and(|path| path == "/")
    };
    devices.iter().find(|(_, device)| is_root(device)).map(|(name, device)| (name, device.get("pool")))
}

impl State {
    /// Everything that has a NIC on this bridge.
    pub(super) fn is_in_use(&self, bridge_name: &str) -> bool {
        let on_it = |object: &Object| object.devices.values().any(|device| bridge(device) == Some(bridge_name));
        self.profiles.values().any(on_it) || self.instances.values().any(|instance| on_it(&instance.object))
    }
}
