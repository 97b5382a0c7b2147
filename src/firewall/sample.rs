//! A wall with one of everything, for the tests.

use super::wall::{End, Opening, Wall};
use crate::infra::model::{PortRange, Protocol};

pub(super) fn domain(bridge: &str) -> End {
    End::Domain { bridge: bridge.to_owned() }
}

pub(super) fn machine(bridge: &str, address: &str) -> End {
    End::Machine { bridge: bridge.to_owned(), address: address.parse().unwrap() }
}

pub(super) fn opening(from: End, to: End, protocol: Option<Protocol>, ports: &[(u16, u16)], policy: &str) -> Opening {
    let ports = ports.iter().map(|&(first, last)| PortRange { first, last }).collect();
    Opening { from, to, protocol, ports, policy: policy.to_owned() }
}

/// Three domains, one without the internet, and openings of each shape.
pub(super) fn wall() -> Wall {
    let bridges = [("net-dmz", "dmz"), ("net-perso", "perso"), ("net-pro", "pro")];
    Wall {
        bridges: bridges.map(|(bridge, domain)| (bridge.to_owned(), domain.to_owned())).into(),
        offline: ["net-dmz".to_owned()].into(),
        gateways: [("net-perso", "10.100.0.254"), ("net-pro", "10.110.0.254"), ("net-dmz", "10.120.0.254")]
            .map(|(bridge, address)| (bridge.to_owned(), address.parse().unwrap()))
            .into(),
        others: ["backup".to_owned(), "incusbr7".to_owned()].into(),
        openings: vec![
            opening(
                machine("net-pro", "10.110.0.1"),
                machine("net-dmz", "10.120.0.1"),
                Some(Protocol::Tcp),
                &[(443, 443), (80, 80), (8000, 8100)],
                "pro-dev -> dmz-web: the \"web\" server",
            ),
            opening(domain("net-pro"), domain("net-dmz"), None, &[(53, 53)], "pro -> dmz: names"),
            opening(domain("net-pro"), domain("net-perso"), Some(Protocol::Udp), &[], "pro -> perso: streams"),
            opening(domain("net-perso"), machine("net-pro", "10.110.0.2"), None, &[], "perso -> pro-print"),
            opening(
                machine("net-pro", "10.110.0.1"),
                End::Host,
                Some(Protocol::Tcp),
                &[(22, 22)],
                "pro-dev -> host: ssh",
            ),
            opening(domain("net-perso"), End::Host, None, &[], "perso -> host"),
            opening(End::Host, domain("net-pro"), None, &[], "host -> pro"),
        ],
    }
}
