//! A packet as the table sees it, and the connection that it belongs to.

use std::net::IpAddr;

use super::rule::{Key, Pattern};

/// Where a packet meets the table.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Hook {
    Forward,
    Input,
    Output,
}

impl Hook {
    /// As nft writes it.
    pub(crate) fn word(self) -> &'static str {
        match self {
            Self::Forward => "forward",
            Self::Input => "input",
            Self::Output => "output",
        }
    }
}

/// An end of a connection.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Peer {
    /// The host itself, by the address that one of its interfaces has.
    Host { address: IpAddr, on: String },
    /// What lives behind an interface of the host: a machine, or the outside.
    Behind { interface: String, address: IpAddr },
}

/// What is sent.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Content {
    /// TCP or UDP, by the ports of this very packet.
    Ports { protocol: &'static str, source: u16, target: u16 },
    /// ICMP of the packet's family, by its type.
    Icmp(&'static str),
    /// Another protocol, of which nothing is looked at.
    Other(String),
}

/// A connection: who opened it to whom, and what for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Connection {
    pub(crate) client: Peer,
    pub(crate) server: Peer,
    /// Of its first packet.
    pub(crate) content: Content,
    /// Its target was another one before destination NAT: a published port.
    pub(crate) published: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Direction {
    /// The way of the packet that opened the connection.
    Original,
    Reply,
}

/// What conntrack makes of a packet.
#[cfg_attr(not(test), expect(dead_code, reason = "a question is about connections; the properties send the rest too"))]
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum State {
    New,
    Established,
    /// An ICMP error about the connection.
    Related,
    /// Of no connection.
    Invalid,
    Untracked,
}

/// One packet, with everything that a rule may look at.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Packet {
    pub(crate) hook: Hook,
    /// Empty where there is none.
    pub(crate) input: String,
    pub(crate) output: String,
    pub(crate) source: IpAddr,
    pub(crate) target: IpAddr,
    pub(crate) content: Content,
    pub(crate) state: State,
    pub(crate) direction: Direction,
    /// What the target is, seen from the interface that the packet comes in on: `local`, `broadcast`, …
    pub(crate) target_here: &'static str,
    /// The interface that the way back to the source leads through: the one that it comes in on, if all is well.
    pub(crate) way_back: String,
    pub(crate) connection: Connection,
}

impl Peer {
    pub(crate) fn address(&self) -> IpAddr {
        match self {
            Self::Host { address, .. } | Self::Behind { address, .. } => *address,
        }
    }

    fn interface(&self) -> Option<&String> {
        match self {
            Self::Host { .. } => None,
            Self::Behind { interface, .. } => Some(interface),
        }
    }
}

impl Content {
    /// The answer to it.
    fn answered(&self) -> Self {
        match self {
            Self::Ports { protocol, source, target } => Self::Ports { protocol, source: *target, target: *source },
            Self::Icmp("echo-request") => Self::Icmp("echo-reply"),
            other => other.clone(),
        }
    }

    fn protocol(&self, family: IpAddr) -> &str {
        match self {
            Self::Ports { protocol, .. } => protocol,
            Self::Icmp(_) if family.is_ipv6() => "ipv6-icmp",
            Self::Icmp(_) => "icmp",
            Self::Other(protocol) => protocol,
        }
    }
}

impl Connection {
    /// One of its packets; `None` where both ends are the host, whose table does not see that.
    pub(crate) fn packet(&self, direction: Direction, state: State) -> Option<Packet> {
        let (from, to) = match direction {
            Direction::Original => (&self.client, &self.server),
            Direction::Reply => (&self.server, &self.client),
        };
        let (input, output) = (from.interface(), to.interface());
        let hook = match (input, output) {
            (Some(_), Some(_)) => Hook::Forward,
            (Some(_), None) => Hook::Input,
            (None, Some(_)) => Hook::Output,
            (None, None) => return None,
        };
        let local = matches!(to, Peer::Host { on, .. } if Some(on) == input);
        let content = match (state, direction) {
            (State::Related, _) => Content::Icmp("destination-unreachable"),
            (_, Direction::Original) => self.content.clone(),
            (_, Direction::Reply) => self.content.answered(),
        };
        Some(Packet {
            hook,
            input: input.cloned().unwrap_or_default(),
            output: output.cloned().unwrap_or_default(),
            source: from.address(),
            target: to.address(),
            content,
            state,
            direction,
            target_here: if local { "local" } else { "unicast" },
            way_back: input.cloned().unwrap_or_default(),
            connection: self.clone(),
        })
    }
}

/// What a packet has for a key.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Datum<'a> {
    Word(&'a str),
    Number(u16),
    Address(IpAddr),
    Flags(Vec<&'static str>),
    Exists(bool),
    /// Nothing: a rule that asks for it does not hold, whatever it asks.
    None,
    /// Something that means nothing there, such as the ports of a packet that has none.
    Nonsense,
}

impl Packet {
    pub(super) fn datum(&self, key: Key) -> Datum<'_> {
        let version4 = self.source.is_ipv4();
        match key {
            Key::In | Key::InLink => Datum::Word(&self.input),
            Key::Out | Key::OutLink => Datum::Word(&self.output),
            Key::Family => Datum::Word(if version4 { "ipv4" } else { "ipv6" }),
            Key::HeaderProtocol if !version4 => Datum::None,
            Key::TargetKind => Datum::Word(if self.hook == Hook::Input { "local" } else { "unicast" }),
            Key::Protocol | Key::HeaderProtocol => Datum::Word(self.content.protocol(self.source)),
            Key::Source if version4 => Datum::Address(self.source),
            Key::Target if version4 => Datum::Address(self.target),
            Key::Source6 if !version4 => Datum::Address(self.source),
            Key::Target6 if !version4 => Datum::Address(self.target),
            Key::Source | Key::Target | Key::Source6 | Key::Target6 => Datum::None,
            Key::TcpSource | Key::TcpTarget | Key::UdpSource | Key::UdpTarget | Key::AnySource | Key::AnyTarget => {
                self.port(key)
            }
            Key::IcmpType => self.icmp_type(version4),
            Key::Icmp6Type => self.icmp_type(!version4),
            Key::TargetHere => Datum::Word(self.target_here),
            Key::WayBack => Datum::Exists(self.way_back == self.input),
            Key::WayBackBy => Datum::Word(&self.way_back),
            Key::State => Datum::Flags(vec![self.state.word()]),
            Key::Direction
            | Key::Status
            | Key::ConnectionProtocol
            | Key::OriginalSource
            | Key::OriginalTarget
            | Key::ReplySource
            | Key::ReplyTarget => self.tracked(key),
        }
    }

    fn port(&self, key: Key) -> Datum<'_> {
        let Content::Ports { protocol, source, target } = self.content else {
            return if matches!(key, Key::AnySource | Key::AnyTarget) { Datum::Nonsense } else { Datum::None };
        };
        match (key, protocol) {
            (Key::TcpSource, "tcp") | (Key::UdpSource, "udp") | (Key::AnySource, _) => Datum::Number(source),
            (Key::TcpTarget, "tcp") | (Key::UdpTarget, "udp") | (Key::AnyTarget, _) => Datum::Number(target),
            _ => Datum::None,
        }
    }

    fn icmp_type(&self, family: bool) -> Datum<'_> {
        match self.content {
            Content::Icmp(kind) if family => Datum::Word(kind),
            _ => Datum::None,
        }
    }

    /// What conntrack knows; of a packet without a connection, nothing.
    fn tracked(&self, key: Key) -> Datum<'_> {
        if matches!(self.state, State::Invalid | State::Untracked) {
            return Datum::None;
        }
        let Connection { client, server, content, published } = &self.connection;
        let version4 = |address: IpAddr| if address.is_ipv4() { Datum::Address(address) } else { Datum::None };
        match key {
            Key::Direction if self.direction == Direction::Original => Datum::Word("original"),
            Key::Direction => Datum::Word("reply"),
            Key::Status if *published => Datum::Flags(vec!["dnat"]),
            Key::Status => Datum::Flags(Vec::new()),
            Key::ConnectionProtocol => Datum::Word(content.protocol(self.source)),
            Key::OriginalSource => version4(client.address()),
            Key::ReplySource => version4(server.address()),
            // NAT changes these in ways that only the kernel knows.
            _ => Datum::Nonsense,
        }
    }
}

impl State {
    fn word(self) -> &'static str {
        match self {
            Self::New => "new",
            Self::Established => "established",
            Self::Related => "related",
            Self::Invalid => "invalid",
            Self::Untracked => "untracked",
        }
    }
}

impl Pattern {
    /// `None` where the two cannot be compared.
    pub(super) fn holds(&self, datum: &Datum<'_>) -> Option<bool> {
        Some(match (self, datum) {
            (Self::Word(wanted) | Self::Interface(wanted), Datum::Word(word)) => wanted == word,
            (Self::Start(start), Datum::Word(word)) => word.starts_with(start.as_str()),
            (Self::Word(wanted), Datum::Flags(flags)) => flags.contains(&wanted.as_str()),
            (Self::Number(wanted), Datum::Number(number)) => wanted == number,
            (Self::Numbers(first, last), Datum::Number(number)) => (first..=last).contains(&number),
            (Self::Address(wanted), Datum::Address(address)) => wanted == address,
            (Self::Addresses(first, last), Datum::Address(address)) => (first..=last).contains(&address),
            (Self::Net(net), Datum::Address(address)) => net.contains(address),
            (Self::Exists(wanted), Datum::Exists(there)) => wanted == there,
            _ => return None,
        })
    }
}
