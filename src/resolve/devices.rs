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
        /// The project's `default` profile does not give it: it stands on the instance, static address or not.
        on_instance: bool,
    },
    /// The file puts it somewhere else, or gives the machine other cards instead.
    Elsewhere,
}

/// What `eth0` of this machine is to be, before its address is known.
pub(super) fn card(ground: Ground<'_>, domain: &Domain, machine: &Machine, bridge: &str) -> Card {
    if let Some(own) = machine.devices.get("eth0") {
        return card_of(ground, own, bridge);
    }
    // A card of a profile is completed on the instance too: the profile's alone may lack the filters.
    let last_word = machine.profiles.iter().rev().find_map(|name| {
        let written = domain.profiles.get(name).and_then(|profile| profile.devices.get("eth0"));
        let says = written.map_or(name == "default", |written| !written.is_empty());
        says.then_some((name, written))
    });
    match last_word {
        // The project's own is complete.
        Some((name, Some(of_profile))) if name == "default" => match card_of(ground, of_profile, bridge) {
            Card::OnBridge { written, .. } => Card::OnBridge { written, on_instance: false },
            Card::Elsewhere => Card::Elsewhere,
        },
        Some((_, Some(of_profile))) => match card_of(ground, of_profile, bridge) {
            // Asked for by name, an address from DHCP takes nothing that is only on the machine.
            Card::OnBridge { written, .. } if machine.dhcp => Card::OnBridge { written, on_instance: false },
            card => card,
        },
        Some((_, None)) => Card::OnBridge { written: Config::new(), on_instance: false },
        None if has_card(domain, machine) || gives_none(domain, machine, "eth0") => Card::Elsewhere,
        None => Card::OnBridge { written: Config::new(), on_instance: true },
    }
}

/// Has the machine the project's `default` profile, and does the file say that this has no such device?
fn gives_none(domain: &Domain, machine: &Machine, device: &str) -> bool {
    let of_default = domain.profiles.get("default").and_then(|profile| profile.devices.get(device));
    has_default(machine) && of_default.is_some_and(model::Config::is_empty)
}

fn has_default(machine: &Machine) -> bool {
    machine.profiles.iter().any(|name| name == "default")
}

/// A device called `eth0` in the file: is it a card on the domain's bridge, or one that leaves the bridge open?
fn card_of(ground: Ground<'_>, written: &model::Config, bridge: &str) -> Card {
    let written = device(ground, written);
    let open_type = written.get("nictype").is_none_or(|kind| kind == "bridged");
    let on_bridge = ["network", "parent"].iter().all(|key| written.get(*key).is_none_or(|named| named == bridge));
    let refuses_address = written.get("ipv4.address").is_some_and(|address| address == "none");
    let is_nic = written.get("type").is_some_and(|kind| kind == "nic");
    if is_nic && open_type && on_bridge && !refuses_address {
        Card::OnBridge { written, on_instance: true }
    } else {
        Card::Elsewhere
    }
}

fn has_card(domain: &Domain, machine: &Machine) -> bool {
    all_devices(domain, machine).any(|(_, keys)| is_type(keys, "nic"))
}

/// A card on the domain's bridge, whole: an instance's device replaces the profile's one of its name altogether.
/// What the file says itself wins.
pub(crate) fn eth0(written: &Config, bridge: &str, address: Option<Ipv4Addr>) -> Config {
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
    filter(&mut card);
    card
}

/// Filters against forged sources, where the file says nothing of them. No `security.ipv6_filtering`: without
/// `br_netfilter` Incus refuses it. The table keeps forged IPv6 from crossing a domain's edge; inside, nothing does.
fn filter(card: &mut Config) {
    for key in ["security.mac_filtering", "security.ipv4_filtering"] {
        card.entry(key.to_owned()).or_insert_with(|| "true".to_owned());
    }
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
    let provided = (has_default(machine) && !gives_none(domain, machine, "root"))
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

/// The file's devices for Incus: bridges by their real names, root disks with their pool, an `eth0` that names no
/// network on the domain's bridge, filters on every card that is on a domain's bridge.
pub(super) fn devices(ground: Ground<'_>, written: &model::Devices, bridge: &str, pool: &str) -> Devices {
    let settled = written.iter().map(|(name, keys)| {
        let mut keys = device(ground, keys);
        if is_root(keys.get("type"), keys.get("path")) {
            keys.entry("pool".into()).or_insert_with(|| pool.to_owned());
        }
        let linked = ["network", "nictype", "parent"].iter().any(|key| keys.contains_key(*key));
        if name == "eth0" && keys.get("type").is_some_and(|kind| kind == "nic") && !linked {
            keys.insert("network".into(), bridge.to_owned());
        }
        if is_bridged(ground, &keys) {
            filter(&mut keys);
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

/// A card on the bridge of a domain.
fn is_bridged(ground: Ground<'_>, keys: &Config) -> bool {
    let says = |key: &str, value: &str| keys.get(key).is_some_and(|written| written == value);
    let on = |bridge: &str| says("network", bridge) || says("parent", bridge);
    let bridged = !keys.contains_key("nictype") || says("nictype", "bridged");
    says("type", "nic") && bridged && ground.infra.domains.keys().any(|domain| on(&ground.names.bridge(domain)))
}

fn is_type(keys: &model::Config, kind: &str) -> bool {
    keys.get("type").is_some_and(|written| written == kind)
}

fn is_root(kind: Option<&String>, path: Option<&String>) -> bool {
    kind.is_some_and(|kind| kind == "disk") && path.is_some_and(|path| path == "/")
}

#[cfg(test)]
mod tests {
    use crate::host::facts::Facts;
    use crate::infra::model::{Addressing, Config, Devices, Domain, Infra, Machine};
    use crate::resolve::desired::{Config as Settled, Desired};
    use crate::resolve::sample::{address, at, domain, find, infra, keys, machine, named, profile, sound};
    use crate::resolve::{Holds, resolve};

    fn with(devices: Devices) -> Machine {
        Machine { devices, ..machine() }
    }

    fn settled<const N: usize>(entries: [(&str, &str); N]) -> Settled {
        keys(entries).into_iter().collect()
    }

    fn nic<const N: usize>(entries: [(&str, &str); N]) -> Devices {
        let mut eth0 = keys([("type", "nic")]);
        eth0.extend(keys(entries));
        named([("eth0", eth0)])
    }

    fn of_one(machine: Machine, profiles: &[(&str, Devices)]) -> Desired {
        sound(&infra([("pro", in_domain(machine, profiles))]))
    }

    fn in_domain(machine: Machine, profiles: &[(&str, Devices)]) -> Domain {
        let profiles = profiles
            .iter()
            .map(|(name, devices)| (*name, profile(devices.iter().map(|(name, keys)| (name.as_str(), keys.clone())))));
        Domain { profiles: named(profiles), ..domain([("m", machine)]) }
    }

    fn without_default(profiles: &[&str]) -> Machine {
        Machine { profiles: profiles.iter().map(ToString::to_string).collect(), ..machine() }
    }

    fn root<const N: usize>(entries: [(&str, &str); N]) -> Config {
        let mut root = keys([("type", "disk"), ("path", "/")]);
        root.extend(keys(entries));
        root
    }

    #[test]
    fn a_static_address_brings_the_whole_card_and_no_disk() {
        let desired = of_one(machine(), &[]);
        let expected = settled([
            ("type", "nic"),
            ("name", "eth0"),
            ("network", "net-pro"),
            ("ipv4.address", "10.120.0.1"),
            ("security.mac_filtering", "true"),
            ("security.ipv4_filtering", "true"),
        ]);
        assert_eq!(find(&desired, "m").devices, [("eth0".to_owned(), expected)].into());
    }

    #[test]
    fn with_dhcp_the_default_profile_is_enough() {
        let mut infra = infra([("pro", in_domain(machine(), &[]))]);
        infra.global.addressing = Addressing::BaseSubnet(10, 20);
        assert!(find(&sound(&infra), "m").devices.is_empty());
    }

    #[test]
    fn what_the_file_says_of_its_own_card_wins_and_the_rest_is_filled_in() {
        let own = nic([("name", "lan0"), ("security.mac_filtering", "false"), ("hwaddr", "00:16:3e:00:00:01")]);
        let desired = of_one(with(own), &[]);
        let expected = settled([
            ("type", "nic"),
            ("name", "lan0"),
            ("hwaddr", "00:16:3e:00:00:01"),
            ("network", "net-pro"),
            ("ipv4.address", "10.120.0.1"),
            ("security.mac_filtering", "false"),
            ("security.ipv4_filtering", "true"),
        ]);
        assert_eq!(find(&desired, "m").devices["eth0"], expected);
    }

    #[test]
    fn a_card_by_nictype_gets_a_parent_and_no_network() {
        let desired = of_one(with(nic([("nictype", "bridged")])), &[]);
        let eth0 = &find(&desired, "m").devices["eth0"];
        assert_eq!(eth0["parent"], "net-pro");
        assert!(!eth0.contains_key("network"));
    }

    #[test]
    fn a_card_elsewhere_is_left_as_written_and_has_no_address_of_ours() {
        let elsewhere = [
            nic([("network", "incusbr0")]),
            nic([("nictype", "macvlan"), ("parent", "eth1")]),
            nic([("nictype", "p2p")]),
            nic([
                ("network", "net-pro"),
                ("ipv4.address", "none"),
                ("security.ipv4_filtering", "true"),
                ("security.mac_filtering", "false"),
            ]),
            named([("eth0", keys([("type", "none")]))]),
        ];
        for devices in elsewhere {
            let desired = of_one(with(devices.clone()), &[]);
            assert_eq!(address(&desired, "m"), "DHCP");
            let written: Settled = devices["eth0"].clone().into_iter().collect();
            assert_eq!(find(&desired, "m").devices["eth0"], written);
        }
    }

    #[test]
    fn a_card_of_a_profile_is_completed_on_the_machine_because_devices_replace_each_other_whole() {
        let mut machine = machine();
        machine.profiles.push("fast".into());
        let desired = of_one(machine, &[("fast", nic([("limits.egress", "1Gbit")]))]);
        let eth0 = &find(&desired, "m").devices["eth0"];
        assert_eq!((eth0["limits.egress"].as_str(), eth0["ipv4.address"].as_str()), ("1Gbit", "10.120.0.1"));
        assert_eq!(desired.domains[0].profiles[0].devices["eth0"]["network"], "net-pro", "Incus wants it named");
    }

    #[test]
    fn a_card_of_a_profile_is_filtered_with_dhcp_too() {
        let mut machine = machine();
        machine.profiles.push("fast".into());
        let mut infra = infra([("pro", in_domain(machine, &[("fast", nic([("limits.egress", "1Gbit")]))]))]);
        infra.global.addressing = Addressing::BaseSubnet(10, 20);
        assert_eq!(find(&sound(&infra), "m").devices["eth0"]["security.ipv4_filtering"], "true");
    }

    #[test]
    fn every_card_on_a_bridge_of_ours_is_filtered_unless_the_file_says_otherwise() {
        let card = |more: &[(&str, &str)]| {
            let mut card = keys([("type", "nic")]);
            card.extend(more.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())));
            card
        };
        let devices = named([
            ("lan", card(&[("network", "net-home")])),
            ("by-parent", card(&[("nictype", "bridged"), ("parent", "net-home")])),
            ("open", card(&[("network", "net-home"), ("security.mac_filtering", "false")])),
            ("inner", card(&[("nictype", "macvlan"), ("parent", "net-home")])),
            ("other", card(&[("network", "incusbr0")])),
        ]);
        let infra = infra([("pro", in_domain(with(devices), &[])), ("home", domain([]))]);
        let desired = sound(&infra);
        let devices = &find(&desired, "m").devices;
        let says = |name: &str| {
            let keys = ["security.mac_filtering", "security.ipv4_filtering"];
            keys.map(|key| devices[name].get(key).map_or("-", String::as_str))
        };
        assert_eq!((says("lan"), says("by-parent")), (["true", "true"], ["true", "true"]));
        assert_eq!(says("open"), ["false", "true"]);
        assert_eq!((says("inner"), says("other")), (["-", "-"], ["-", "-"]));
    }

    #[test]
    fn what_the_file_says_of_the_projects_own_profile_needs_no_card_on_the_machine() {
        let default = |devices: Devices| [("default", devices)];
        let mut dhcp = machine();
        dhcp.dhcp = true;
        let open = nic([("security.mac_filtering", "false")]);
        assert!(find(&of_one(dhcp.clone(), &default(open.clone())), "m").devices.is_empty());
        let fixed = of_one(machine(), &default(open));
        assert_eq!(find(&fixed, "m").devices["eth0"]["security.mac_filtering"], "false");
        let none = default(named([("eth0", Config::new()), ("root", Config::new())]));
        let without = of_one(machine(), &none);
        assert_eq!((address(&without, "m").as_str(), find(&without, "m").devices.len()), ("DHCP", 1), "a root disk");
        let own = of_one(with(nic([("network", "net-pro")])), &none);
        assert_eq!(address(&own, "m"), "10.120.0.1");
    }

    #[test]
    fn the_last_profile_with_a_card_has_the_last_word() {
        let other = [("other", nic([("network", "incusbr0")]))];
        let last = of_one(without_default(&["default", "other"]), &other);
        assert_eq!((address(&last, "m").as_str(), find(&last, "m").devices.len()), ("DHCP", 0));
        let first = of_one(without_default(&["other", "default"]), &other);
        assert_eq!(address(&first, "m"), "10.120.0.1");
    }

    #[test]
    fn without_the_default_profile_the_machine_gets_card_and_disk_itself() {
        let mut infra = infra([("pro", in_domain(without_default(&["bare"]), &[("bare", Devices::new())]))]);
        infra.global.addressing = Addressing::BaseSubnet(10, 20);
        let desired = sound(&infra);
        let devices = &find(&desired, "m").devices;
        assert_eq!(devices["root"], settled([("type", "disk"), ("path", "/"), ("pool", "default")]));
        assert_eq!(devices["eth0"]["network"], "net-pro");
        assert!(!devices["eth0"].contains_key("ipv4.address"));
    }

    #[test]
    fn profiles_that_bring_their_own_card_and_disk_are_enough() {
        let own = named([("disk", root([("pool", "big")])), ("lan", keys([("type", "nic"), ("network", "lan")]))]);
        let desired = of_one(without_default(&["own"]), &[("own", own)]);
        assert!(find(&desired, "m").devices.is_empty());
    }

    #[test]
    fn a_root_disk_without_a_pool_gets_the_projects() {
        let desired = of_one(with(named([("root", root([("size", "20GiB")]))])), &[("p", named([("r", root([]))]))]);
        assert_eq!(find(&desired, "m").devices["root"]["pool"], "default");
        assert_eq!(desired.domains[0].profiles[0].devices["r"]["pool"], "default");
    }

    #[test]
    fn a_card_names_a_bridge_as_in_the_file_whatever_it_is_called_here() {
        let second = keys([("type", "nic"), ("network", "net-a-long-neighbour")]);
        let nested = Facts { absolute_level: Some(1), ..Facts::default() };
        let mut devices = nic([("network", "net-pro")]);
        devices.insert("eth1".into(), second);
        let infra: Infra = infra([("pro", domain([("m", with(devices))])), ("a-long-neighbour", domain([]))]);
        let (desired, problems) = resolve(&infra, &nested, &Holds::default());
        assert_eq!(problems, []);
        let devices = &find(&desired, "m").devices;
        assert_eq!(devices["eth0"]["network"], "001-net-pro");
        assert_eq!(devices["eth0"]["ipv4.address"], "10.120.1.1");
        assert_eq!(devices["eth1"]["network"], desired.domains[1].bridge);
    }

    #[test]
    fn no_card_asks_for_ipv6_filtering() {
        let desired = of_one(at("10.120.0.5"), &[]);
        assert!(!find(&desired, "m").devices["eth0"].contains_key("security.ipv6_filtering"));
    }
}
