//! A rule as a typed value: what it looks at, what it compares that with, and what it says then.
//!
//! Only what can be said for certain is read; anything else is strange, and whoever asks is told so.

use std::net::IpAddr;

use ipnet::IpNet;
use serde_json::Value;

use crate::firewall::live::{LiveRule, NamedSet};

/// A step of a rule; all of them have to hold, in order.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Step {
    /// More than one key: a concatenation, compared as a whole.
    Match {
        keys: Vec<Key>,
        op: Op,
        right: Right,
    },
    /// A verdict map.
    Map {
        keys: Vec<Key>,
        entries: Vec<(Vec<Pattern>, Verdict)>,
    },
    Say(Verdict),
    /// Writes a line somewhere and decides nothing.
    Log,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Op {
    Is,
    IsNot,
    /// Of flags: any of these is set.
    Has,
}

#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Right {
    /// A named set, without its `@`.
    Set(String),
    AnyOf(Vec<Vec<Pattern>>),
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Verdict {
    Accept,
    Drop,
    Reject,
    Continue,
    Return,
    Jump(String),
    Goto(String),
}

/// What one value is compared with.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Pattern {
    Word(String),
    Interface(String),
    /// An interface whose name begins so.
    Start(String),
    Number(u16),
    Numbers(u16, u16),
    Address(IpAddr),
    Addresses(IpAddr, IpAddr),
    Net(IpNet),
    /// Is there a route?
    Exists(bool),
}

/// What a rule looks at.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Key {
    In,
    Out,
    Family,
    Protocol,
    Direction,
    State,
    Status,
    ConnectionProtocol,
    /// Source of the first packet: the client.
    OriginalSource,
    OriginalTarget,
    /// Source of the answers: the server, after destination NAT.
    ReplySource,
    ReplyTarget,
    Source,
    Target,
    Source6,
    Target6,
    TcpSource,
    TcpTarget,
    UdpSource,
    UdpTarget,
    AnySource,
    AnyTarget,
    IcmpType,
    Icmp6Type,
    /// What the target is, seen from the interface that the packet came in on.
    TargetHere,
    /// The way back to the source through the interface that the packet came in on.
    WayBack,
    /// The interface that the way back to the source leads through.
    WayBackBy,
    /// The same as `In` and `Out`, by the number of the interface, and as `Protocol`: others than anklume use these.
    InLink,
    OutLink,
    HeaderProtocol,
    /// What the target is, seen from anywhere on the host.
    TargetKind,
}

/// How the values of a key are written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    Interface,
    Word,
    Port,
    Address,
    Route,
}

/// Every key that is known, what its values are, and how nft writes it.
const KEYS: [(Key, Kind, &str); 31] = [
    (Key::In, Kind::Interface, "iifname"),
    (Key::Out, Kind::Interface, "oifname"),
    (Key::Family, Kind::Word, "meta nfproto"),
    (Key::Protocol, Kind::Word, "meta l4proto"),
    (Key::Direction, Kind::Word, "ct direction"),
    (Key::State, Kind::Word, "ct state"),
    (Key::Status, Kind::Word, "ct status"),
    (Key::ConnectionProtocol, Kind::Word, "ct protocol"),
    (Key::OriginalSource, Kind::Address, "ct original ip saddr"),
    (Key::OriginalTarget, Kind::Address, "ct original ip daddr"),
    (Key::ReplySource, Kind::Address, "ct reply ip saddr"),
    (Key::ReplyTarget, Kind::Address, "ct reply ip daddr"),
    (Key::Source, Kind::Address, "ip saddr"),
    (Key::Target, Kind::Address, "ip daddr"),
    (Key::Source6, Kind::Address, "ip6 saddr"),
    (Key::Target6, Kind::Address, "ip6 daddr"),
    (Key::TcpSource, Kind::Port, "tcp sport"),
    (Key::TcpTarget, Kind::Port, "tcp dport"),
    (Key::UdpSource, Kind::Port, "udp sport"),
    (Key::UdpTarget, Kind::Port, "udp dport"),
    (Key::AnySource, Kind::Port, "th sport"),
    (Key::AnyTarget, Kind::Port, "th dport"),
    (Key::IcmpType, Kind::Word, "icmp type"),
    (Key::Icmp6Type, Kind::Word, "icmpv6 type"),
    (Key::TargetHere, Kind::Word, "fib daddr . iif type"),
    (Key::WayBack, Kind::Route, "fib saddr . iif oif"),
    (Key::WayBackBy, Kind::Interface, "fib saddr oifname"),
    (Key::InLink, Kind::Interface, "meta iif"),
    (Key::OutLink, Kind::Interface, "meta oif"),
    (Key::HeaderProtocol, Kind::Word, "ip protocol"),
    (Key::TargetKind, Kind::Word, "fib daddr type"),
];

impl Key {
    /// As nft writes it.
    pub(crate) fn words(self) -> &'static str {
        self.entry().2
    }

    fn kind(self) -> Kind {
        self.entry().1
    }

    fn entry(self) -> &'static (Self, Kind, &'static str) {
        KEYS.iter().find(|(key, ..)| *key == self).expect("every key is listed")
    }

    fn read(json: &Value) -> Result<Self, Strange> {
        let words = key_words(json);
        let known = words.and_then(|words| KEYS.iter().find(|(.., known)| *known == words));
        known.map(|(key, ..)| *key).ok_or_else(|| Strange::of(json))
    }
}

/// The words of a rule that are not understood.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub(crate) struct Strange(String);

impl Strange {
    fn of(json: &Value) -> Self {
        Self(json.to_string())
    }
}

/// The steps of a rule as nft's JSON says them, each understood or not.
pub(crate) fn steps(rule: &LiveRule) -> impl Iterator<Item = Result<Step, Strange>> {
    rule.steps.iter().map(step)
}

/// The elements of a named set.
pub(crate) fn elements(set: &NamedSet) -> Result<Vec<Vec<Pattern>>, Strange> {
    let kind = match set.of.as_str() {
        Some("ifname") => Kind::Interface,
        Some("ipv4_addr" | "ipv6_addr") => Kind::Address,
        Some("inet_service") => Kind::Port,
        _ => return Err(Strange::of(&set.of)),
    };
    // Ranges and prefixes are kept as the JSON that they came in.
    let value = |text: &String| match serde_json::from_str(text) {
        Ok(value @ (Value::Object(_) | Value::Number(_))) => value,
        _ => Value::String(text.clone()),
    };
    set.elements.keys().map(|text| Ok(vec![pattern(kind, &value(text))?])).collect()
}

fn step(json: &Value) -> Result<Step, Strange> {
    let strange = || Strange::of(json);
    let (name, body) = one_field(json).ok_or_else(strange)?;
    match name {
        "match" => matches(body).map_err(|_| strange()),
        "vmap" => map(body).map_err(|_| strange()),
        "log" => Ok(Step::Log),
        _ => verdict(json).map(Step::Say),
    }
}

fn matches(body: &Value) -> Result<Step, Strange> {
    let keys = keys(&body["left"])?;
    let flags = keys == [Key::State] || keys == [Key::Status];
    let op = match body["op"].as_str() {
        Some("in") if flags => Op::Has,
        // A packet has one state; of the other flags it may have several, so that nothing else can be said to be equal.
        Some("==" | "in") if keys != [Key::Status] => Op::Is,
        Some("!=") if keys != [Key::Status] => Op::IsNot,
        _ => return Err(Strange::of(body)),
    };
    Ok(Step::Match { right: right(&keys, &body["right"])?, keys, op })
}

fn right(keys: &[Key], json: &Value) -> Result<Right, Strange> {
    let any_of =
        |items: &[Value]| Ok(Right::AnyOf(items.iter().map(|one| tuple(keys, one)).collect::<Result<_, _>>()?));
    match json {
        Value::String(name) if name.starts_with('@') && keys.len() == 1 => Ok(Right::Set(name[1..].to_owned())),
        Value::Array(flags) => any_of(flags),
        Value::Object(fields) => match fields.get("set") {
            Some(Value::Array(items)) => any_of(items),
            _ => any_of(std::slice::from_ref(json)),
        },
        _ => any_of(std::slice::from_ref(json)),
    }
}

fn map(body: &Value) -> Result<Step, Strange> {
    let keys = keys(&body["key"])?;
    let Value::Array(items) = &body["data"]["set"] else { return Err(Strange::of(body)) };
    let entry = |item: &Value| match item.as_array().map(Vec::as_slice) {
        Some([key, to]) => Ok((tuple(&keys, key)?, verdict(to)?)),
        _ => Err(Strange::of(item)),
    };
    Ok(Step::Map { entries: items.iter().map(entry).collect::<Result<_, _>>()?, keys })
}

fn keys(json: &Value) -> Result<Vec<Key>, Strange> {
    match &json["concat"] {
        Value::Array(parts) => parts.iter().map(Key::read).collect(),
        _ => Ok(vec![Key::read(json)?]),
    }
}

/// A value for each key.
fn tuple(keys: &[Key], json: &Value) -> Result<Vec<Pattern>, Strange> {
    let parts = match &json["concat"] {
        Value::Array(parts) => parts.as_slice(),
        _ => std::slice::from_ref(json),
    };
    if parts.len() != keys.len() {
        return Err(Strange::of(json));
    }
    keys.iter().zip(parts).map(|(key, part)| pattern(key.kind(), part)).collect()
}

fn pattern(kind: Kind, json: &Value) -> Result<Pattern, Strange> {
    let strange = || Strange::of(json);
    let text = || json.as_str().ok_or_else(strange);
    match kind {
        Kind::Interface => Ok(match text()?.strip_suffix('*') {
            Some(start) => Pattern::Start(start.to_owned()),
            None => Pattern::Interface(text()?.to_owned()),
        }),
        Kind::Word => Ok(Pattern::Word(text()?.to_owned())),
        Kind::Route => json.as_bool().map(Pattern::Exists).ok_or_else(strange),
        Kind::Port => match json["range"].as_array().map(Vec::as_slice) {
            Some([first, last]) => port(first).zip(port(last)).map(|(first, last)| Pattern::Numbers(first, last)),
            _ => port(json).map(Pattern::Number),
        }
        .ok_or_else(strange),
        Kind::Address => addresses(json).ok_or_else(strange),
    }
}

fn port(json: &Value) -> Option<u16> {
    json.as_u64().and_then(|number| u16::try_from(number).ok())
}

fn addresses(json: &Value) -> Option<Pattern> {
    let address = |json: &Value| json.as_str()?.parse().ok();
    if let Some([first, last]) = json["range"].as_array().map(Vec::as_slice) {
        return Some(Pattern::Addresses(address(first)?, address(last)?));
    }
    if let Some(length) = json["prefix"]["len"].as_u64() {
        let net = IpNet::new(address(&json["prefix"]["addr"])?, u8::try_from(length).ok()?);
        return net.ok().map(Pattern::Net);
    }
    address(json).map(Pattern::Address)
}

fn verdict(json: &Value) -> Result<Verdict, Strange> {
    let target = |body: &Value| body["target"].as_str().map(str::to_owned);
    let read = one_field(json).and_then(|(name, body)| {
        Some(match name {
            "accept" => Verdict::Accept,
            "drop" => Verdict::Drop,
            "reject" => Verdict::Reject,
            "continue" => Verdict::Continue,
            "return" => Verdict::Return,
            "jump" => Verdict::Jump(target(body)?),
            "goto" => Verdict::Goto(target(body)?),
            _ => return None,
        })
    });
    read.ok_or_else(|| Strange::of(json))
}

/// `iifname`, `ct original ip saddr`, `tcp dport`, `fib daddr . iif type`.
fn key_words(json: &Value) -> Option<String> {
    let (name, body) = one_field(json)?;
    let word = |field: &str| body[field].as_str();
    match name {
        "meta" => Some(match word("key")? {
            key @ ("iifname" | "oifname") => key.to_owned(),
            key => format!("meta {key}"),
        }),
        "ct" => Some(match word("dir") {
            Some(way) => format!("ct {way} {}", word("key")?),
            None => format!("ct {}", word("key")?),
        }),
        "payload" => Some(format!("{} {}", word("protocol")?, word("field")?)),
        "fib" => {
            let mut flags: Vec<&str> = body["flags"].as_array()?.iter().filter_map(Value::as_str).collect();
            flags.sort_unstable_by_key(|flag| !flag.ends_with("addr"));
            Some(format!("fib {} {}", flags.join(" . "), word("result")?))
        }
        _ => None,
    }
}

fn one_field(json: &Value) -> Option<(&str, &Value)> {
    let fields = json.as_object()?;
    let mut each = fields.iter();
    match (each.next(), each.next()) {
        (Some((name, body)), None) => Some((name.as_str(), body)),
        _ => None,
    }
}
