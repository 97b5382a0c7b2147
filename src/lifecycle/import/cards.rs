//! Network cards, as the file says them: what anklume fills in by itself is left out, what it would fill in and is not there
//! is said.

use std::collections::{BTreeMap, BTreeSet};
use std::net::Ipv4Addr;

use super::thing::Keys;
use crate::resolve::filled_card;

const FILTERS: [&str; 2] = ["security.mac_filtering", "security.ipv4_filtering"];

/// Is this a card on one of these bridges?
fn is_on(keys: &Keys, bridges: &BTreeSet<String>) -> bool {
    let at = |key: &str| keys.get(key).is_some_and(|named| bridges.contains(named));
    says(keys, "type", "nic") && is_bridged(keys) && (at("network") || at("parent"))
}

fn is_bridged(keys: &Keys) -> bool {
    !keys.contains_key("nictype") || says(keys, "nictype", "bridged")
}

pub(super) fn says(keys: &Keys, key: &str, value: &str) -> bool {
    keys.get(key).is_some_and(|said| said == value)
}

/// Is this the card that anklume would look after: on the domain's own bridge, and not kept from having an address?
pub(super) fn is_home(keys: &Keys, bridge: &str) -> bool {
    let on = |key: &str| keys.get(key).is_none_or(|named| named == bridge);
    let linked = keys.contains_key("network") || keys.contains_key("parent");
    says(keys, "type", "nic")
        && is_bridged(keys)
        && linked
        && on("network")
        && on("parent")
        && !says(keys, "ipv4.address", "none")
}

/// Any device: on a bridge of a domain, its filters are said where they are not as anklume sets them.
pub(super) fn said(keys: &Keys, bridges: &BTreeSet<String>) -> Keys {
    let mut said = keys.clone();
    if is_on(keys, bridges) {
        filters(&mut said);
    }
    said
}

fn filters(said: &mut Keys) {
    for filter in FILTERS {
        match said.get(filter).map(String::as_str) {
            Some("true") => drop(said.remove(filter)),
            None => drop(said.insert(filter.to_owned(), "false".to_owned())),
            Some(_) => {}
        }
    }
}

/// A machine's or a profile's `eth0` on the domain's own bridge. The address is said elsewhere.
pub(super) fn home(keys: &Keys, bridge: &str) -> Keys {
    let mut said = keys.clone();
    said.remove("ipv4.address");
    if says(&said, "name", "eth0") {
        said.remove("name");
    }
    if !said.contains_key("nictype") && !said.contains_key("parent") && says(&said, "network", bridge) {
        said.remove("network");
    }
    filters(&mut said);
    said
}

/// Would the file give a machine this very card without saying a word of it?
pub(super) fn is_given(keys: &Keys, of_profile: &Keys, bridge: &str, address: Option<Ipv4Addr>) -> bool {
    let given = filled_card(of_profile, bridge, address);
    let all: BTreeSet<&String> = given.keys().chain(keys.keys()).collect();
    let same = |key: &&String| {
        let off = |keys: &Keys| keys.get(*key).is_none_or(|value| value == "false");
        let is_filter = FILTERS.contains(&key.as_str());
        given.get(*key) == keys.get(*key)
            || (is_filter && off(&given) && off(keys))
            || (*key == "name" && says(&given, "name", "eth0") && !keys.contains_key("name"))
    };
    all.iter().all(same)
}

/// Devices of a thing, each as the file says it.
pub(super) fn all(devices: &BTreeMap<String, Keys>, bridges: &BTreeSet<String>) -> BTreeMap<String, Keys> {
    devices.iter().map(|(name, keys)| (name.clone(), said(keys, bridges))).collect()
}

#[cfg(test)]
mod tests {
    use super::super::thing::keys;
    use super::*;

    #[test]
    fn a_card_says_only_what_it_would_not_be_given() {
        let whole = keys([
            ("type", "nic"),
            ("name", "eth0"),
            ("network", "net-pro"),
            ("ipv4.address", "10.110.0.1"),
            ("security.mac_filtering", "true"),
            ("security.ipv4_filtering", "true"),
        ]);
        assert_eq!(home(&whole, "net-pro"), keys([("type", "nic")]));
        let address = "10.110.0.1".parse().ok();
        assert!(is_given(&whole, &Keys::new(), "net-pro", address) && !is_given(&whole, &Keys::new(), "net-pro", None));
        let by_hand =
            keys([("type", "nic"), ("nictype", "bridged"), ("parent", "net-pro"), ("limits.egress", "1Mbit")]);
        let mut expected = by_hand.clone();
        expected.extend(keys([("security.mac_filtering", "false"), ("security.ipv4_filtering", "false")]));
        assert_eq!(home(&by_hand, "net-pro"), expected);
        assert!(is_home(&by_hand, "net-pro") && !is_home(&by_hand, "net-home"));
        let elsewhere = keys([("type", "nic"), ("network", "incusbr0")]);
        assert_eq!(said(&elsewhere, &["net-pro".to_owned()].into()), elsewhere);
    }

    #[test]
    fn a_card_that_a_profile_leaves_open_is_given_too() {
        let open = keys([("type", "nic"), ("security.mac_filtering", "false"), ("security.ipv4_filtering", "false")]);
        let stands = keys([("type", "nic"), ("network", "net-pro"), ("ipv4.address", "10.110.0.1")]);
        assert!(is_given(&stands, &open, "net-pro", "10.110.0.1".parse().ok()));
    }
}
