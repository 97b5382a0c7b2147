//! Whether Incus and this process see the same network: not so where anklume runs in a machine, with the host's Incus
//! behind a forwarded socket. There nft would change the machine's own tables, and keep nothing apart.

use serde_json::Value;

/// Is the network of Incus another one than this process's? From `/1.0/networks?recursion=1` and `ip -j addr`.
///
/// Incus lists its bridges, and the host's other interfaces too. Where its bridges stand, one of them is here or none is;
/// where it has none, the other interfaces tell. A bridge of the same name with another address is another bridge.
pub(crate) fn is_elsewhere(networks: &Value, links: &Value) -> bool {
    let listed: Vec<&Value> = networks.as_array().into_iter().flatten().collect();
    let stands = |network: &&&Value| network["managed"] == true && network["status"] == "Created";
    let bridges: Vec<&&Value> = listed.iter().filter(stands).filter(|network| network["type"] == "bridge").collect();
    if !bridges.is_empty() {
        return !bridges.into_iter().any(|network| is_here(network, links));
    }
    // Every network has a `lo`, and many an `eth0`, which one of a container would be taken for.
    let telling = |network: &&&Value| network["managed"] == false && network["type"] != "loopback";
    let others: Vec<&&Value> = listed.iter().filter(telling).collect();
    !others.is_empty() && !others.into_iter().all(|network| is_here(network, links))
}

fn is_here(network: &Value, links: &Value) -> bool {
    let mut links = links.as_array().into_iter().flatten();
    let Some(link) = links.find(|link| link["ifname"] == network["name"]) else { return false };
    let address = network["config"]["ipv4.address"].as_str().filter(|address| address.contains('/'));
    let has = |wanted: &str| {
        let infos = link["addr_info"].as_array().into_iter().flatten();
        infos.filter_map(|info| info["local"].as_str()).any(|local| wanted.split('/').next() == Some(local))
    };
    address.is_none_or(has)
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn bridge(name: &str, address: &str) -> Value {
        json!({"name": name, "type": "bridge", "managed": true, "status": "Created", "config": {"ipv4.address": address}})
    }

    fn other(name: &str, kind: &str) -> Value {
        json!({"name": name, "type": kind, "managed": false, "status": "", "config": {}})
    }

    fn links(links: &[(&str, &str)]) -> Value {
        links.iter().map(|(name, address)| json!({"ifname": name, "addr_info": [{"local": address}]})).collect()
    }

    #[test]
    fn on_the_host_itself_its_bridges_are_there() {
        let networks =
            json!([other("lo", "loopback"), bridge("net-a", "10.1.0.254/24"), bridge("net-b", "10.2.0.254/24")]);
        let host = links(&[("lo", "127.0.0.1"), ("net-a", "10.1.0.254"), ("net-b", "10.2.0.254")]);
        assert!(!is_elsewhere(&networks, &host));
        // One that was just deleted by hand, or has lost its address, does not make it another host.
        assert!(!is_elsewhere(&networks, &links(&[("net-b", "10.2.0.254")])));
        let plain = json!([{"name": "net-l2", "type": "bridge", "managed": true, "status": "Created",
            "config": {"ipv4.address": "none"}}]);
        assert!(!is_elsewhere(&plain, &links(&[("net-l2", "fe80::1")])));
    }

    #[test]
    fn in_a_machine_none_of_them_is() {
        let networks = json!([other("lo", "loopback"), other("eth0", "physical"), bridge("net-a", "10.1.0.254/24")]);
        let machine = links(&[("lo", "127.0.0.1"), ("eth0", "10.1.0.3")]);
        assert!(is_elsewhere(&networks, &machine));
        // Not even where the machine has an Incus of its own, with a bridge of that name.
        assert!(is_elsewhere(&networks, &links(&[("eth0", "10.1.0.3"), ("net-a", "10.77.0.1")])));
    }

    #[test]
    fn where_there_is_no_bridge_yet_the_other_interfaces_tell() {
        let networks = json!([other("lo", "loopback"), other("enp3s0", "physical"), other("eth0", "physical")]);
        assert!(!is_elsewhere(&networks, &links(&[("lo", ""), ("enp3s0", ""), ("eth0", "")])));
        assert!(is_elsewhere(&networks, &links(&[("lo", ""), ("eth0", "")])));
        // A host without a network card.
        assert!(!is_elsewhere(&json!([other("lo", "loopback")]), &links(&[("lo", "")])));
        assert!(!is_elsewhere(&json!([]), &links(&[])));
        // One that could not be started says nothing.
        let unavailable = json!([{"name": "net-a", "type": "bridge", "managed": true, "status": "Unavailable"},
            other("enp3s0", "physical")]);
        assert!(!is_elsewhere(&unavailable, &links(&[("enp3s0", "")])));
    }
}
