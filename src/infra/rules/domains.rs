//! What belongs to one domain: its profiles, its DNS zone, its own filter.

use std::collections::BTreeMap;
use std::net::IpAddr;

use super::super::at::quoted;
use super::super::model::{AclRule, Domain, Infra};
use super::super::problem::{Path, Problem};
use super::domain_path;
use super::machines::{devices, refused_keys};
use super::volumes::absolute;

pub(super) fn check(infra: &Infra) -> Vec<Problem> {
    let each = infra.domains.iter().flat_map(|(name, domain)| one(&domain_path(name), domain));
    each.chain(shared_zones(infra)).collect()
}

/// A zone has the names of one domain: what one domain is called is none of the others' business.
fn shared_zones(infra: &Infra) -> Vec<Problem> {
    let mut owners: BTreeMap<String, &str> = BTreeMap::new();
    let mut problems = Vec::new();
    for (name, zone) in infra.domains.iter().filter_map(|(name, domain)| Some((name, domain.dns_zone.as_ref()?))) {
        if let Some(first) = owners.get(&zone.to_lowercase()) {
            let message = format!("`{first}` has the zone {} already", quoted(zone));
            let problem = Problem::error(domain_path(name).to("dns_zone"), message);
            problems.push(
                problem
                    .also(domain_path(first).to("dns_zone"), "here")
                    .help(format!("write `dns_zone: {name}.{zone}`")),
            );
        } else {
            owners.insert(zone.to_lowercase(), name);
        }
    }
    problems
}

fn one(path: &Path, domain: &Domain) -> Vec<Problem> {
    let mut problems = Vec::new();
    for (name, profile) in &domain.profiles {
        let path = path.to("profiles").to(name);
        problems.extend(refused_keys(&profile.config, &path));
        problems.extend(devices(&profile.devices, &path));
    }
    if let Some(zone) = &domain.dns_zone
        && !is_zone(zone)
    {
        let message = format!("{} is not a DNS zone", quoted(zone));
        problems.push(Problem::error(path.to("dns_zone"), message).help("write a name such as `pro.home.arpa`"));
    }
    for (at, rule) in domain.acl.iter().enumerate() {
        let path = path.to("acl").to(at);
        problems.extend(acl_port(rule, &path));
        problems.extend(acl_ends(rule, &path));
    }
    if let Some(portal) = &domain.file_portal {
        let path = path.to("file_portal").to("allowed_paths");
        problems.extend(portal.allowed_paths.iter().enumerate().filter_map(|(at, file)| absolute(file, &path.to(at))));
    }
    problems
}

fn is_zone(zone: &str) -> bool {
    let label = |label: &str| {
        let fits = label.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-' || byte == b'_');
        (1..=63).contains(&label.len()) && fits && !label.starts_with('-') && !label.ends_with('-')
    };
    zone.len() <= 253 && zone.split('.').all(label)
}

/// On a bridge Incus takes addresses only, no names.
fn acl_ends(rule: &AclRule, path: &Path) -> Vec<Problem> {
    let ends = [("source", &rule.source), ("destination", &rule.destination)];
    let listed = ends.iter().filter_map(|(key, end)| Some((*key, end.as_deref()?)));
    let wrong = listed.filter_map(|(key, end)| {
        let wrong = end.split(',').map(str::trim).find(|one| !is_network(one))?;
        let message = format!("{} is not an address, a network or a range of addresses", quoted(wrong));
        let help = "write `10.0.0.1`, `10.0.0.0/24` or `10.0.0.1-10.0.0.9`; what passes between domains and machines \
                    is said by `network_policies`";
        Some(Problem::error(path.to(key), message).help(help))
    });
    wrong.collect()
}

fn is_network(text: &str) -> bool {
    let address = |text: &str| text.parse::<IpAddr>();
    match text.split_once('-') {
        Some((first, last)) => address(first).is_ok_and(|first| address(last).is_ok_and(|last| first <= last)),
        None => address(text).is_ok() || text.parse::<ipnet::IpNet>().is_ok(),
    }
}

/// Incus takes ports only with a protocol that has some.
fn acl_port(rule: &AclRule, path: &Path) -> Option<Problem> {
    rule.destination_port.as_ref()?;
    match rule.protocol.as_deref() {
        Some("tcp" | "udp" | "") => None,
        Some(other) => Some(
            Problem::error(path.to("destination_port"), format!("{} has no ports", quoted(other)))
                .help("remove `destination_port`, or write `protocol: tcp`"),
        ),
        None => Some(
            Problem::error(path.to("destination_port"), "ports need a protocol").help("add `protocol: tcp` or `udp`"),
        ),
    }
}
