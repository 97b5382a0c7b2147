//! Openings and bridges in words, for people.

pub(crate) use super::syntax::merged;
use super::wall::{Opening, Wall};
use crate::infra::model::{PortRange, Protocol};

/// `tcp 80, 443`, `udp, all ports`, `everything`.
pub(crate) fn traffic(opening: &Opening) -> String {
    let protocol = match opening.protocol {
        Some(protocol) => self::protocol(protocol),
        None if opening.ports.is_empty() => return "everything".into(),
        None => "tcp and udp",
    };
    if opening.ports.is_empty() {
        return format!("{protocol}, all ports");
    }
    let ports: Vec<String> = merged(&opening.ports).into_iter().map(ports).collect();
    format!("{protocol} {}", ports.join(", "))
}

/// `tcp`, `udp`.
pub(crate) fn protocol(protocol: Protocol) -> &'static str {
    match protocol {
        Protocol::Tcp => "tcp",
        Protocol::Udp => "udp",
    }
}

/// `80`, `8000-8100`.
pub(crate) fn ports(range: PortRange) -> String {
    if range.first == range.last { range.first.to_string() } else { format!("{}-{}", range.first, range.last) }
}

/// `pro -> perso-web: the shop (tcp 443)`
pub(crate) fn policy(opening: &Opening) -> String {
    format!("{} ({})", opening.policy, traffic(opening))
}

/// The comment that the rules of a policy of this text carry.
pub(crate) fn comment(policy: &str) -> String {
    super::syntax::comment(policy, "")
}

/// `pro (net-pro)`
pub(crate) fn bridge(wall: &Wall, bridge: &str) -> String {
    match wall.bridges.get(bridge) {
        Some(domain) if domain != bridge && !domain.is_empty() => format!("{domain} ({bridge})"),
        _ => bridge.to_owned(),
    }
}
