//! What is asked about: everything, a protocol, or ports; cut where a table may decide differently.

use std::collections::BTreeSet;
use std::str::FromStr;

use crate::firewall::evaluate::packet::Content;
use crate::firewall::words;
use crate::infra::model::PortRange;

/// The last word of a question: `443`, `443/tcp`, `8000-8100/udp`, `icmp`; without one, everything.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Traffic {
    Everything,
    Ports(&'static str, PortRange),
    Icmp,
    /// A protocol of which no ports are looked at.
    Other(String),
}

const ALL_PORTS: PortRange = PortRange { first: 1, last: 65535 };

/// Of what is sent, a part that is decided as a whole.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Part {
    Ports(&'static str, PortRange),
    Icmp,
    Other(String),
    /// Every protocol that has not been named.
    Rest,
}

impl FromStr for Traffic {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let (ports, protocol) = match text.split_once('/') {
            Some((ports, protocol)) => (ports, protocol),
            None if text.starts_with(|c: char| c.is_ascii_digit()) => (text, "tcp"),
            None => ("", text),
        };
        let protocol = protocol.to_ascii_lowercase();
        let range = if ports.is_empty() { Some(ALL_PORTS) } else { range(ports) };
        let range = range.ok_or_else(|| format!("`{ports}` is no port from 1 to 65535 and no range of them"))?;
        match protocol.as_str() {
            "tcp" => Ok(Self::Ports("tcp", range)),
            "udp" => Ok(Self::Ports("udp", range)),
            other if !ports.is_empty() => Err(format!("`{other}` has no ports: those of tcp and udp are told apart")),
            "icmp" | "ping" | "icmpv6" => Ok(Self::Icmp),
            "" => Err("nothing before the `/`, and nothing after it".into()),
            other if other.chars().all(|c| c.is_ascii_alphanumeric() || c == '-') => Ok(Self::Other(other.to_owned())),
            other => Err(format!("`{other}` is no protocol; try `443`, `53/udp`, `8000-8100/tcp`, `icmp`")),
        }
    }
}

fn range(text: &str) -> Option<PortRange> {
    let port = |text: &str| text.parse::<u16>().ok().filter(|port| *port > 0);
    let (first, last) = text.split_once('-').unwrap_or((text, text));
    let (first, last) = (port(first)?, port(last)?);
    (first <= last).then_some(PortRange { first, last })
}

impl Traffic {
    /// Its parts, given the ports at which some rule may begin to say something else.
    pub(super) fn parts(&self, edges: &BTreeSet<u16>) -> Vec<Part> {
        let cut = |protocol, range| cut(range, edges).into_iter().map(move |range| Part::Ports(protocol, range));
        match self {
            Self::Ports(protocol, range) => cut(*protocol, *range).collect(),
            Self::Icmp => vec![Part::Icmp],
            Self::Other(protocol) => vec![Part::Other(protocol.clone())],
            Self::Everything => {
                let ports = cut("tcp", ALL_PORTS).chain(cut("udp", ALL_PORTS));
                ports.chain([Part::Icmp, Part::Rest]).collect()
            }
        }
    }
}

impl Part {
    /// What stands for it: nothing in it is decided in another way.
    pub(super) fn content(&self) -> Content {
        match self {
            Self::Ports(protocol, range) => Content::Ports { protocol, source: 50000, target: range.first },
            Self::Icmp => Content::Icmp("echo-request"),
            Self::Other(protocol) => Content::Other(protocol.clone()),
            Self::Rest => Content::Other("any other".into()),
        }
    }
}

fn cut(range: PortRange, edges: &BTreeSet<u16>) -> Vec<PortRange> {
    let mut ranges = Vec::new();
    let mut first = range.first;
    for edge in edges.iter().filter(|edge| (range.first + 1..=range.last).contains(*edge)) {
        ranges.push(PortRange { first, last: edge - 1 });
        first = *edge;
    }
    ranges.push(PortRange { first, last: range.last });
    ranges
}

/// `tcp 80, 443; udp 53`; `everything else` for those that have the rest among them and are not all there is.
pub(super) fn told(parts: &[Part], all_there_is: bool) -> String {
    if parts.contains(&Part::Rest) {
        return if all_there_is { "everything".into() } else { "everything else".into() };
    }
    let mut told: Vec<String> = ["tcp", "udp"].iter().filter_map(|protocol| ports_told(parts, protocol)).collect();
    told.extend(parts.iter().filter_map(|part| match part {
        Part::Icmp => Some("ping".to_owned()),
        Part::Other(protocol) => Some(protocol.clone()),
        Part::Ports(..) | Part::Rest => None,
    }));
    told.join("; ")
}

fn ports_told(parts: &[Part], protocol: &str) -> Option<String> {
    let ranges = parts.iter().filter_map(|part| match part {
        Part::Ports(of, range) if *of == protocol => Some(*range),
        _ => None,
    });
    let ranges = words::merged(&ranges.collect::<Vec<_>>());
    match ranges.as_slice() {
        [] => None,
        [all] if *all == ALL_PORTS => Some(format!("{protocol}, all ports")),
        ranges => {
            let ranges: Vec<String> = ranges.iter().copied().map(words::ports).collect();
            Some(format!("{protocol} {}", ranges.join(", ")))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn range(first: u16, last: u16) -> PortRange {
        PortRange { first, last }
    }

    #[test]
    fn a_question_is_a_port_a_range_or_a_protocol() {
        let asked = |text: &str| text.parse::<Traffic>();
        assert_eq!(asked("443"), Ok(Traffic::Ports("tcp", range(443, 443))));
        assert_eq!(asked("53/UDP"), Ok(Traffic::Ports("udp", range(53, 53))));
        assert_eq!(asked("8000-8100/tcp"), Ok(Traffic::Ports("tcp", range(8000, 8100))));
        assert_eq!(asked("udp"), Ok(Traffic::Ports("udp", ALL_PORTS)));
        assert_eq!((asked("icmp"), asked("ping")), (Ok(Traffic::Icmp), Ok(Traffic::Icmp)));
        assert_eq!(asked("gre"), Ok(Traffic::Other("gre".into())));
        for wrong in ["0", "65536", "90-80", "22/icmp", "22/", "http!", "", "/"] {
            assert!(asked(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn ports_are_cut_where_a_rule_begins_or_ends() {
        let edges = BTreeSet::from([1, 80, 81, 443, 65535]);
        let parts = |traffic: Traffic| traffic.parts(&edges);
        assert_eq!(parts(Traffic::Ports("tcp", range(80, 80))), [Part::Ports("tcp", range(80, 80))]);
        let cut = [range(70, 79), range(80, 80), range(81, 90)].map(|range| Part::Ports("udp", range));
        assert_eq!(parts(Traffic::Ports("udp", range(70, 90))), cut);
        assert_eq!(parts(Traffic::Everything).len(), 5 + 5 + 2);
    }

    #[test]
    fn what_is_decided_alike_is_told_together() {
        let tcp = |first, last| Part::Ports("tcp", range(first, last));
        assert_eq!(told(&[tcp(80, 80), tcp(443, 443), Part::Icmp], false), "tcp 80, 443; ping");
        assert_eq!(told(&[tcp(1, 79), tcp(80, 65535)], false), "tcp, all ports");
        assert_eq!(told(&[tcp(1, 79), Part::Rest], false), "everything else");
        assert_eq!(told(&[tcp(1, 65535), Part::Rest], true), "everything");
    }
}
