//! The bytes of packets: those that are sent, and as much of those that are seen as tells whose they are.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use super::Packet;

/// A question that a DNS server answers by itself (its own version), so that nobody else is asked.
const DNS_QUESTION: &[u8] = b"\xa0\x0a\x00\x00\x00\x01\x00\x00\x00\x00\x00\x00\x07version\x04bind\x00\x00\x10\x00\x03";
/// What other datagrams say, for whoever finds one in a log.
const WORDS: &[u8] = b"anklume firewall verify";

const ICMP: u8 = 1;
const TCP: u8 = 6;
const UDP: u8 = 17;
const ICMPV6: u8 = 58;

/// Who says what to whom. A ping carries the number of its sender as the port of the side that asked.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Header {
    pub(super) source: IpAddr,
    /// `None` where the socket does not say it.
    pub(super) target: Option<IpAddr>,
    pub(super) source_port: u16,
    pub(super) target_port: u16,
    pub(super) kind: Kind,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    Ping,
    Tcp {
        /// A refusal, which a firewall can make in the target's name.
        reset: bool,
    },
    Udp,
}

/// Something that was seen.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Seen {
    Packet(Header),
    /// An ICMP error of somebody about a packet.
    Error {
        from: IpAddr,
        about: Header,
    },
}

/// What a datagram to this port says.
pub(super) fn datagram(port: u16) -> &'static [u8] {
    if port == 53 { DNS_QUESTION } else { WORDS }
}

/// An echo request of this number; the kernel fills in the checksum for IPv6 only.
pub(super) fn echo(number: u16, ipv6: bool) -> Vec<u8> {
    let [high, low] = number.to_be_bytes();
    let mut bytes = vec![if ipv6 { 128 } else { 8 }, 0, 0, 0, high, low, 0, 1];
    bytes.extend(WORDS);
    if !ipv6 {
        let [high, low] = checksum(&bytes).to_be_bytes();
        (bytes[2], bytes[3]) = (high, low);
    }
    bytes
}

/// The Internet checksum: the complement of the sum of all 16-bit words, carries added back in.
fn checksum(bytes: &[u8]) -> u16 {
    let words = bytes.chunks(2).map(|pair| u16::from_be_bytes([pair[0], pair.get(1).copied().unwrap_or_default()]));
    let mut sum: u32 = words.map(u32::from).sum();
    while sum > 0xffff {
        sum = (sum & 0xffff) + (sum >> 16);
    }
    !u16::try_from(sum).expect("the carries were added back in")
}

/// Reads a whole IP packet.
pub(super) fn read(bytes: &[u8]) -> Option<Seen> {
    let (header, source, target, protocol) = ip(bytes)?;
    payload(bytes.get(header..)?, protocol, source, Some(target))
}

/// Reads what is in an IP packet.
pub(super) fn payload(bytes: &[u8], protocol: u8, source: IpAddr, target: Option<IpAddr>) -> Option<Seen> {
    let (kind, of_error) = (*bytes.first()?, bytes.get(8..));
    let is_error = (protocol == ICMP && [3, 11].contains(&kind)) || (protocol == ICMPV6 && [1, 3].contains(&kind));
    if !is_error {
        return Some(Seen::Packet(transport(bytes, protocol, source, target)?));
    }
    let inner = of_error?;
    let (header, inner_source, inner_target, protocol) = ip(inner)?;
    let about = transport(inner.get(header..)?, protocol, inner_source, Some(inner_target))?;
    Some(Seen::Error { from: source, about })
}

/// The length of the IP header, both addresses and the protocol.
fn ip(bytes: &[u8]) -> Option<(usize, IpAddr, IpAddr, u8)> {
    match bytes.first()? >> 4 {
        4 => {
            let address =
                |at: usize| Some(IpAddr::from(Ipv4Addr::from(<[u8; 4]>::try_from(bytes.get(at..at + 4)?).ok()?)));
            Some((usize::from(bytes[0] & 15) * 4, address(12)?, address(16)?, *bytes.get(9)?))
        }
        6 => {
            let address =
                |at: usize| Some(IpAddr::from(Ipv6Addr::from(<[u8; 16]>::try_from(bytes.get(at..at + 16)?).ok()?)));
            Some((40, address(8)?, address(24)?, *bytes.get(6)?))
        }
        _ => None,
    }
}

fn transport(bytes: &[u8], protocol: u8, source: IpAddr, target: Option<IpAddr>) -> Option<Header> {
    let word = |at: usize| Some(u16::from_be_bytes([*bytes.get(at)?, *bytes.get(at + 1)?]));
    let header = |source_port, target_port, kind| Header { source, target, source_port, target_port, kind };
    match (protocol, *bytes.first()?) {
        (TCP, _) => {
            // In an error there are eight bytes of it only, without the flags.
            let reset = bytes.get(13).is_some_and(|flags| flags & 4 != 0);
            Some(header(word(0)?, word(2)?, Kind::Tcp { reset }))
        }
        (UDP, _) => Some(header(word(0)?, word(2)?, Kind::Udp)),
        (ICMP, 8) | (ICMPV6, 128) => Some(header(word(4)?, 0, Kind::Ping)),
        (ICMP, 0) | (ICMPV6, 129) => Some(header(0, word(4)?, Kind::Ping)),
        _ => None,
    }
}

impl Packet {
    /// The port that it goes to; none for a ping.
    pub(super) fn port(self) -> u16 {
        match self {
            Self::Ping => 0,
            Self::Tcp(port) | Self::Udp(port) => port,
        }
    }

    /// Is it of the same protocol?
    pub(super) fn is(self, kind: Kind) -> bool {
        matches!((self, kind), (Self::Ping, Kind::Ping) | (Self::Tcp(_), Kind::Tcp { .. }) | (Self::Udp(_), Kind::Udp))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// An IPv4 packet from 10.1.0.1 to 10.2.0.2.
    fn four(protocol: u8, payload: &[u8]) -> Vec<u8> {
        let mut bytes = vec![0x45, 0, 0, 0, 0, 0, 0, 0, 64, protocol, 0, 0, 10, 1, 0, 1, 10, 2, 0, 2];
        bytes.extend(payload);
        bytes
    }

    fn packet(bytes: &[u8]) -> Header {
        match read(bytes) {
            Some(Seen::Packet(header)) => header,
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn an_echo_request_has_a_sound_checksum_and_its_number() {
        let bytes = echo(0x1234, false);
        assert_eq!(checksum(&bytes), 0, "a sum over its own complement is zero");
        let header = packet(&four(ICMP, &bytes));
        assert_eq!((header.source_port, header.target_port, header.kind), (0x1234, 0, Kind::Ping));
        assert_eq!(header.target, Some("10.2.0.2".parse().unwrap()));
    }

    #[test]
    fn a_reset_is_told_from_an_answer() {
        let segment = |flags: u8| [0, 9, 0x40, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0x50, flags, 0, 0, 0, 0, 0, 0];
        for (flags, reset) in [(0x12, false), (0x14, true)] {
            let header = packet(&four(TCP, &segment(flags)));
            assert_eq!((header.source_port, header.target_port, header.kind), (9, 0x4000, Kind::Tcp { reset }));
        }
    }

    #[test]
    fn an_icmp_error_tells_who_says_it_and_about_which_packet() {
        let mut error = vec![3, 13, 0, 0, 0, 0, 0, 0];
        let mut inner = four(UDP, &[0x40, 1, 0, 53, 0, 0, 0, 0]);
        inner[12..16].copy_from_slice(&[10, 9, 0, 9]);
        error.extend(inner);
        let Some(Seen::Error { from, about }) = read(&four(ICMP, &error)) else { panic!("no error") };
        assert_eq!(from, "10.1.0.1".parse::<IpAddr>().unwrap());
        assert_eq!((about.source_port, about.target_port, about.kind), (0x4001, 53, Kind::Udp));
        assert_eq!(about.source, "10.9.0.9".parse::<IpAddr>().unwrap());
    }

    #[test]
    fn ipv6_is_read_too() {
        let mut bytes = vec![0x60, 0, 0, 0, 0, 8, ICMPV6, 64];
        bytes.extend("fd00::1".parse::<Ipv6Addr>().unwrap().octets());
        bytes.extend("fd00::2".parse::<Ipv6Addr>().unwrap().octets());
        bytes.extend([129, 0, 0, 0, 0, 7, 0, 1]);
        let header = packet(&bytes);
        assert_eq!((header.source_port, header.target_port, header.kind), (0, 7, Kind::Ping));
        assert_eq!(header.source, "fd00::1".parse::<IpAddr>().unwrap());
    }

    #[test]
    fn bytes_that_are_no_packet_are_nothing() {
        let whole = four(TCP, &[0; 20]);
        for length in 0..24 {
            assert_eq!(read(&whole[..length]), None, "{length} bytes");
        }
        assert_eq!(read(&[0, 1, 8, 0, 6, 4, 0, 1]), None, "an ARP request");
    }
}
