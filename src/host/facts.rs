//! What this host is: its addresses and routes, and where it stands in a chain of nested hosts.

use std::path::Path;

use ipnet::IpNet;
use serde_json::Value;

use super::repository::Repository;

/// Facts read once, before anything is decided.
#[derive(Debug, Clone, Default, PartialEq)]
pub(crate) struct Facts {
    /// `/etc/anklume/absolute_level`: how many hosts this one is nested in; `None` without the file.
    pub(crate) absolute_level: Option<u32>,
    /// `/etc/anklume/relative_level`: how many of those since the last virtual machine.
    pub(crate) relative_level: Option<u32>,
    /// `/etc/anklume/vm_nested` says `true`.
    pub(crate) vm_nested: bool,
    /// `/etc/anklume/yolo` says `true`, or `--yolo` was given.
    pub(crate) yolo: bool,
    /// `/etc/anklume/yolo` says `true`: for good, and for what is nested in here.
    pub(crate) yolo_kept: bool,
    /// Addresses and routes of the host, the default routes left out.
    pub(crate) networks: Vec<HostNetwork>,
    /// The interfaces of this process's network, as `ip -j addr` lists them.
    pub(crate) links: Value,
    /// What it has of CPUs and memory; asked for where they are shared out.
    pub(crate) totals: Option<Totals>,
    /// What the image repository holds, where the file names one; why it cannot be read, where it cannot.
    pub(crate) repository: Option<Result<Repository, String>>,
}

impl Facts {
    /// Is it a host of its own, in no machine of an outer anklume, and nobody said that anything goes?
    pub(crate) fn is_production(&self) -> bool {
        self.absolute_level.is_none_or(|level| level == 0) && !self.yolo
    }
}

/// What a host has.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Totals {
    pub(crate) cpus: u32,
    pub(crate) memory_bytes: f64,
}

/// Can devices of this host be given to virtual machines? `root` is `/`, but in tests.
pub(crate) fn has_iommu(root: &Path) -> bool {
    std::fs::read_dir(root.join("sys/kernel/iommu_groups")).is_ok_and(|mut groups| groups.next().is_some())
}

/// A network that the host is in or has a route to.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct HostNetwork {
    pub(crate) interface: String,
    pub(crate) network: IpNet,
}

/// Where this host stands, from the files that an outer anklume left under `/etc/anklume`. `root` is `/`, but in tests.
pub(crate) fn read_context(root: &Path, yolo: bool) -> Facts {
    let read = |name: &str| {
        let text = std::fs::read_to_string(root.join("etc/anklume").join(name)).unwrap_or_default();
        text.trim().to_owned()
    };
    Facts {
        absolute_level: read("absolute_level").parse().ok(),
        relative_level: read("relative_level").parse().ok(),
        vm_nested: read("vm_nested") == "true",
        yolo: yolo || read("yolo") == "true",
        yolo_kept: read("yolo") == "true",
        ..Facts::default()
    }
}

/// The totals of Incus's `/1.0/resources`.
pub(crate) fn parse_totals(resources: &Value) -> Option<Totals> {
    let cpus = u32::try_from(resources["cpu"]["total"].as_u64()?).ok()?;
    Some(Totals { cpus, memory_bytes: resources["memory"]["total"].as_f64()? })
}

/// The totals as the kernel tells them, where Incus cannot be asked.
pub(crate) fn kernel_totals(root: &Path) -> Option<Totals> {
    let meminfo = std::fs::read_to_string(root.join("proc/meminfo")).ok()?;
    let kibibytes = meminfo.lines().find_map(|line| line.strip_prefix("MemTotal:")?.trim().strip_suffix(" kB"))?;
    let memory_bytes = kibibytes.trim().parse::<f64>().ok()? * 1024.0;
    let cpuinfo = std::fs::read_to_string(root.join("proc/cpuinfo")).ok()?;
    let cpus = cpuinfo.lines().filter(|line| line.starts_with("processor")).count();
    Some(Totals { cpus: u32::try_from(cpus.max(1)).ok()?, memory_bytes })
}

/// The networks of the host's addresses, from `ip -j addr`.
pub(crate) fn parse_addresses(links: &Value) -> Vec<HostNetwork> {
    let links = links.as_array().into_iter().flatten();
    let each = links.flat_map(|link| link["addr_info"].as_array().into_iter().flatten().map(move |info| (link, info)));
    each.filter_map(|(link, info)| {
        let address: std::net::IpAddr = info["local"].as_str()?.parse().ok()?;
        let length = u8::try_from(info["prefixlen"].as_u64()?).ok()?;
        network(link["ifname"].as_str()?, IpNet::new(address, length).ok()?)
    })
    .collect()
}

/// The networks that the host has routes to, from `ip -j route show table all`.
pub(crate) fn parse_routes(routes: &Value) -> Vec<HostNetwork> {
    let mut networks = Vec::new();
    for route in routes.as_array().into_iter().flatten() {
        // Those of type local, broadcast and multicast come with the addresses.
        if route["type"].as_str().is_some_and(|kind| kind != "unicast") {
            continue;
        }
        let Some(target) = route["dst"].as_str().and_then(target) else { continue };
        let hops = route["nexthops"].as_array().into_iter().flatten().filter_map(|hop| hop["dev"].as_str());
        let devices = route["dev"].as_str().into_iter().chain(hops);
        networks.extend(devices.filter_map(|device| network(device, target)));
    }
    networks
}

/// `10.0.0.0/8`, or one address; `default` is none.
fn target(text: &str) -> Option<IpNet> {
    text.parse().ok().or_else(|| text.parse().ok().map(|address: std::net::IpAddr| IpNet::from(address)))
}

/// Loopback and link-local ones are in nobody's way, nor are default routes, also where a VPN has written one as two
/// halves: the route to a bridge is always the narrower one.
fn network(interface: &str, network: IpNet) -> Option<HostNetwork> {
    let network = network.trunc();
    let apart = match network {
        IpNet::V4(net) => net.addr().is_loopback() || net.addr().is_link_local() || net.prefix_len() <= 1,
        IpNet::V6(net) => net.addr().is_loopback() || net.addr().is_unicast_link_local() || net.prefix_len() <= 1,
    };
    (!apart).then(|| HostNetwork { interface: interface.to_owned(), network })
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn shown(networks: &[HostNetwork]) -> Vec<String> {
        networks.iter().map(|one| format!("{} {}", one.interface, one.network)).collect()
    }

    #[test]
    fn an_address_stands_for_its_network() {
        let links = json!([
            {"ifname": "lo", "addr_info": [{"family": "inet", "local": "127.0.0.1", "prefixlen": 8}]},
            {"ifname": "v0", "addr_info": [
                {"family": "inet", "local": "10.9.0.1", "prefixlen": 24},
                {"family": "inet6", "local": "fe80::1", "prefixlen": 64},
                {"family": "inet6", "local": "2001:db8:1::1", "prefixlen": 64}]},
            {"ifname": "br9", "addr_info": []}]);
        assert_eq!(shown(&parse_addresses(&links)), ["v0 10.9.0.0/24", "v0 2001:db8:1::/64"]);
    }

    #[test]
    fn a_route_names_its_way_out_and_the_default_route_is_none() {
        let routes = json!([
            {"dst": "default", "gateway": "198.51.100.2", "dev": "up0"},
            {"dst": "0.0.0.0/1", "dev": "tun0"},
            {"dst": "128.0.0.0/1", "dev": "tun0"},
            {"dst": "10.0.0.0/8", "dev": "tun0"},
            {"dst": "10.7.7.7", "dev": "tun0"},
            {"dst": "172.20.0.0/16", "nexthops": [{"dev": "a"}, {"dev": "b"}]},
            {"type": "local", "dst": "10.9.0.1", "dev": "v0", "table": "local"},
            {"type": "unreachable", "dst": "192.0.2.0/24"},
            {"dst": "fe80::/64", "dev": "v0"}]);
        let expected = ["tun0 10.0.0.0/8", "tun0 10.7.7.7/32", "a 172.20.0.0/16", "b 172.20.0.0/16"];
        assert_eq!(shown(&parse_routes(&routes)), expected);
    }

    #[test]
    fn the_totals_come_from_incus_or_the_kernel() {
        let resources = json!({"cpu": {"total": 8}, "memory": {"total": 4096, "used": 1}});
        assert_eq!(parse_totals(&resources), Some(Totals { cpus: 8, memory_bytes: 4096.0 }));
        assert_eq!(parse_totals(&json!({})), None);
        let root = tempfile::tempdir().unwrap();
        std::fs::create_dir_all(root.path().join("proc")).unwrap();
        std::fs::write(root.path().join("proc/meminfo"), "MemTotal:       2048 kB\nMemFree: 1 kB\n").unwrap();
        std::fs::write(root.path().join("proc/cpuinfo"), "processor\t: 0\nmodel\t: x\nprocessor\t: 1\n").unwrap();
        assert_eq!(kernel_totals(root.path()), Some(Totals { cpus: 2, memory_bytes: 2_097_152.0 }));
    }

    #[test]
    fn the_context_is_read_from_its_files_and_is_outermost_without_them() {
        let root = tempfile::tempdir().unwrap();
        assert_eq!(read_context(root.path(), false), Facts::default());
        let dir = root.path().join("etc/anklume");
        std::fs::create_dir_all(&dir).unwrap();
        for (name, text) in [("absolute_level", "2\n"), ("vm_nested", "true\n"), ("yolo", "false\n")] {
            std::fs::write(dir.join(name), text).unwrap();
        }
        let facts = read_context(root.path(), false);
        assert_eq!((facts.absolute_level, facts.vm_nested, facts.yolo), (Some(2), true, false));
        assert!(read_context(root.path(), true).yolo);
        assert!(!facts.is_production(), "it is nested");
        let of = |absolute_level, yolo| Facts { absolute_level, yolo, ..Facts::default() }.is_production();
        assert_eq!([of(None, false), of(Some(0), false), of(None, true)], [true, true, false]);
    }

    #[test]
    fn devices_can_be_given_away_where_the_kernel_has_groups_of_them() {
        let root = tempfile::tempdir().unwrap();
        assert!(!has_iommu(root.path()));
        std::fs::create_dir_all(root.path().join("sys/kernel/iommu_groups")).unwrap();
        assert!(!has_iommu(root.path()), "off");
        std::fs::create_dir_all(root.path().join("sys/kernel/iommu_groups/0")).unwrap();
        assert!(has_iommu(root.path()));
    }
}
