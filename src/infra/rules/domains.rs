//! What belongs to one domain: its profiles, its DNS zone, its own filter.

use super::super::at::quoted;
use super::super::model::{AclRule, Domain, Infra};
use super::super::problem::{Path, Problem};
use super::domain_path;
use super::machines::{devices, refused_keys};
use super::volumes::absolute;

pub(super) fn check(infra: &Infra) -> Vec<Problem> {
    infra.domains.iter().flat_map(|(name, domain)| one(&domain_path(name), domain)).collect()
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
        problems.extend(acl_port(rule, &path.to("acl").to(at)));
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
