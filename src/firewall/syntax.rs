//! One-line helpers around the `nftables` crate's types, so that a rule reads as the nft line it is.
//!
//! What they make is what nft 1.0.6 prints back, byte for byte: a set of one element is that element, ports are merged
//! and sorted, an `in` stands where nft says `in`.

use std::net::Ipv4Addr;

use nftables::expr::{
    CT, CTDir, Elem, Expression, Fib, FibFlag, FibResult, Meta, MetaKey, NamedExpression, Payload, PayloadField, Range,
    SetItem, Verdict,
};
use nftables::schema::{Chain, NfListObject, Rule, Set, SetType, SetTypeValue, Table};
use nftables::stmt::{JumpTarget, Match, Operator, Statement, VerdictMap};
use nftables::types::{NfChainPolicy, NfChainType, NfFamily, NfHook};

use crate::infra::model::PortRange;

pub(crate) type Object = NfListObject<'static>;
pub(super) type Words = Expression<'static>;
pub(super) type Step = Statement<'static>;

/// The one table that anklume ever touches.
pub(crate) const TABLE: &str = "anklume";
/// Before every filter of others (they sit at 0), after conntrack and the destination NAT.
const PRIORITY: i32 = -1;
/// nft refuses comments above 128 bytes, its closing zero among them.
const COMMENT_BYTES: usize = 127;

// Objects

pub(super) fn table() -> Object {
    NfListObject::Table(Table { family: NfFamily::INet, name: TABLE.into(), handle: None })
}

pub(super) fn base_chain(name: &'static str, hook: NfHook) -> Object {
    NfListObject::Chain(Chain {
        _type: Some(NfChainType::Filter),
        hook: Some(hook),
        prio: Some(PRIORITY),
        policy: Some(NfChainPolicy::Accept),
        ..empty_chain(name.to_owned())
    })
}

pub(super) fn chain(name: String) -> Object {
    NfListObject::Chain(empty_chain(name))
}

fn empty_chain(name: String) -> Chain<'static> {
    Chain { family: NfFamily::INet, table: TABLE.into(), name: name.into(), ..Chain::default() }
}

/// A named set of a plain type: Incus 6.12 failed to start networks when it met foreign `inet` sets of composed types,
/// so those are only ever anonymous here.
pub(super) fn set(name: &'static str, of: SetType, elements: Vec<Words>) -> Object {
    NfListObject::Set(Box::new(Set {
        family: NfFamily::INet,
        table: TABLE.into(),
        name: name.into(),
        set_type: SetTypeValue::Single(of),
        elem: (!elements.is_empty()).then(|| elements.into()),
        ..Set::default()
    }))
}

/// An element of a named set with a word about it.
pub(super) fn element(value: &str, about: &str) -> Words {
    if about.is_empty() {
        return text(value);
    }
    Expression::Named(NamedExpression::Elem(Elem {
        val: Box::new(text(value)),
        timeout: None,
        expires: None,
        comment: Some(comment(about, "").into()),
        counter: None,
    }))
}

pub(super) fn rule(chain: &str, steps: Vec<Step>, about: &str) -> Object {
    NfListObject::Rule(Rule {
        family: NfFamily::INet,
        table: TABLE.into(),
        chain: chain.to_owned().into(),
        expr: steps.into(),
        comment: Some(about.to_owned().into()),
        ..Rule::default()
    })
}

/// A comment that nft accepts and that can be written in a file of nft: no quote, no control character, not too long.
pub(super) fn comment(about: &str, suffix: &str) -> String {
    let clean: String = about.chars().map(|c| if c == '"' { '\'' } else { c }).collect();
    let mut clean = clean.split(|c: char| c.is_whitespace() || c.is_control()).collect::<Vec<_>>().join(" ");
    let room = COMMENT_BYTES - suffix.len();
    if clean.len() > room {
        let end = (0..=room - '…'.len_utf8()).rev().find(|end| clean.is_char_boundary(*end));
        clean.truncate(end.unwrap_or_default());
        clean.push('…');
    }
    clean + suffix
}

// Matches

pub(super) fn iifname(name: &str) -> Step {
    is(meta(MetaKey::Iifname), text(name))
}

pub(super) fn iifname_not(name: &str) -> Step {
    is_not(meta(MetaKey::Iifname), text(name))
}

pub(super) fn oifname(name: &str) -> Step {
    is(meta(MetaKey::Oifname), text(name))
}

pub(super) fn oifname_not(name: &str) -> Step {
    is_not(meta(MetaKey::Oifname), text(name))
}

pub(super) fn iifname_in(names: Vec<Words>) -> Step {
    is(meta(MetaKey::Iifname), any_of(names))
}

pub(super) fn oifname_in(names: Vec<Words>) -> Step {
    is(meta(MetaKey::Oifname), any_of(names))
}

/// `iifname . oifname { … }`
pub(super) fn interfaces_in(pairs: Vec<Words>) -> Step {
    is(in_and_out(), any_of(pairs))
}

/// `ct direction original`: the way of the packet that opened the connection.
pub(super) fn original() -> Step {
    is(ct("direction", None), text("original"))
}

/// `ct direction reply`: only where the other direction was let through before.
pub(super) fn reply() -> Step {
    is(ct("direction", None), text("reply"))
}

pub(super) fn ct_state(states: &[&str]) -> Step {
    let right = match states {
        [state] => text(state),
        states => Expression::List(states.iter().copied().map(text).collect()),
    };
    matches(Operator::IN, ct("state", None), right)
}

pub(super) fn ct_status(status: &str) -> Step {
    matches(Operator::IN, ct("status", None), text(status))
}

/// `ct original ip saddr …`: who opened the connection, whatever was translated since.
pub(super) fn client(address: Ipv4Addr) -> Step {
    is(ct("ip saddr", Some(CTDir::Original)), text(&address.to_string()))
}

/// `ct reply ip saddr …`: who truly answers, after destination NAT.
pub(super) fn server(address: Ipv4Addr) -> Step {
    is(ct("ip saddr", Some(CTDir::Reply)), text(&address.to_string()))
}

/// `ct protocol …`: the connection's protocol, also on the ICMP errors about it.
pub(super) fn ct_protocol(names: &[&str]) -> Step {
    is(ct("protocol", None), any_of(names.iter().copied().map(text).collect()))
}

/// `meta l4proto …`: this very packet's protocol.
pub(super) fn l4proto(names: &[&str]) -> Step {
    is(meta(MetaKey::L4proto), any_of(names.iter().copied().map(text).collect()))
}

/// `tcp dport …`, `udp sport …`, `th dport …`
pub(super) fn ports(protocol: &'static str, field: &'static str, ports: &[PortRange]) -> Step {
    is(payload(protocol, field), any_of(merged(ports).into_iter().map(port).collect()))
}

pub(super) fn ip_daddr(address: &str) -> Step {
    is(payload("ip", "daddr"), text(address))
}

pub(super) fn icmp_type(name: &str) -> Step {
    is(payload("icmp", "type"), text(name))
}

pub(super) fn icmpv6_type(names: &[&str]) -> Step {
    is(payload("icmpv6", "type"), any_of(names.iter().copied().map(text).collect()))
}

/// `fib daddr . iif type …`: what the packet's target is, seen from the very interface that it came in on.
pub(super) fn target_here(kinds: &[&str]) -> Step {
    is(fib(FibResult::Type, &[FibFlag::Daddr, FibFlag::Iif]), any_of(kinds.iter().copied().map(text).collect()))
}

pub(super) fn target_not_here() -> Step {
    is_not(fib(FibResult::Type, &[FibFlag::Daddr, FibFlag::Iif]), text("local"))
}

/// `fib saddr . iif oif missing`: no route back to the source through the interface that it came in on.
pub(super) fn no_way_back() -> Step {
    is(fib(FibResult::Oif, &[FibFlag::Saddr, FibFlag::Iif]), Expression::Boolean(false))
}

/// `fib saddr oifname { … }`: the route back to the source goes through one of these interfaces.
pub(super) fn way_back_by(names: Vec<Words>) -> Step {
    is(fib(FibResult::Oifname, &[FibFlag::Saddr]), any_of(names))
}

// Verdicts

pub(super) fn accept() -> Step {
    Statement::Accept(None)
}

pub(super) fn drop() -> Step {
    Statement::Drop(None)
}

pub(super) fn goto(chain: &'static str) -> Step {
    Statement::Goto(JumpTarget { target: chain.into() })
}

/// `iifname . oifname vmap { "net-a" . "net-b" : jump … }`
pub(super) fn interfaces_jump(to: Vec<(Words, String)>) -> Step {
    verdict_map(in_and_out(), to)
}

/// `oifname . iifname vmap { … }`: the same pairs, for packets on their way back.
pub(super) fn interfaces_jump_back(to: Vec<(Words, String)>) -> Step {
    verdict_map(pair(meta(MetaKey::Oifname), meta(MetaKey::Iifname)), to)
}

pub(super) fn iifname_jump(to: Vec<(Words, String)>) -> Step {
    verdict_map(meta(MetaKey::Iifname), to)
}

pub(super) fn oifname_jump(to: Vec<(Words, String)>) -> Step {
    verdict_map(meta(MetaKey::Oifname), to)
}

fn verdict_map(key: Words, to: Vec<(Words, String)>) -> Step {
    let jump = |chain: String| Expression::Verdict(Verdict::Jump(JumpTarget { target: chain.into() }));
    let items = to.into_iter().map(|(key, chain)| SetItem::Mapping(key, jump(chain))).collect();
    Statement::VerdictMap(VerdictMap { key, data: Expression::Named(NamedExpression::Set(items)) })
}

// Words

pub(super) fn text(value: &str) -> Words {
    Expression::String(value.to_owned().into())
}

/// `"net-a" . "net-b"`
pub(super) fn pair(first: Words, second: Words) -> Words {
    Expression::Named(NamedExpression::Concat(vec![first, second]))
}

fn in_and_out() -> Words {
    pair(meta(MetaKey::Iifname), meta(MetaKey::Oifname))
}

fn meta(key: MetaKey) -> Words {
    Expression::Named(NamedExpression::Meta(Meta { key }))
}

fn ct(key: &'static str, dir: Option<CTDir>) -> Words {
    Expression::Named(NamedExpression::CT(CT { key: key.into(), family: None, dir }))
}

fn payload(protocol: &'static str, field: &'static str) -> Words {
    let field = PayloadField { protocol: protocol.into(), field: field.into() };
    Expression::Named(NamedExpression::Payload(Payload::PayloadField(field)))
}

fn fib(result: FibResult, flags: &[FibFlag]) -> Words {
    Expression::Named(NamedExpression::Fib(Fib { result, flags: flags.iter().copied().collect() }))
}

fn any_of(mut words: Vec<Words>) -> Words {
    match words.len() {
        1 => words.remove(0),
        _ => Expression::Named(NamedExpression::Set(words.into_iter().map(SetItem::Element).collect())),
    }
}

/// Sorted ports, without overlaps: nft refuses overlapping intervals and merges the touching ones itself.
pub(crate) fn merged(ports: &[PortRange]) -> Vec<PortRange> {
    let mut sorted = ports.to_vec();
    sorted.sort_unstable();
    let mut merged: Vec<PortRange> = Vec::new();
    for range in sorted {
        match merged.last_mut() {
            Some(last) if u32::from(range.first) <= u32::from(last.last) + 1 => last.last = last.last.max(range.last),
            _ => merged.push(range),
        }
    }
    merged
}

fn port(range: PortRange) -> Words {
    let number = |port: u16| Expression::Number(u32::from(port));
    if range.first == range.last {
        return number(range.first);
    }
    Expression::Range(Box::new(Range { range: [number(range.first), number(range.last)] }))
}

fn is(left: Words, right: Words) -> Step {
    matches(Operator::EQ, left, right)
}

fn is_not(left: Words, right: Words) -> Step {
    matches(Operator::NEQ, left, right)
}

fn matches(op: Operator, left: Words, right: Words) -> Step {
    Statement::Match(Match { left, right, op })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn range(first: u16, last: u16) -> PortRange {
        PortRange { first, last }
    }

    #[test]
    fn ports_that_touch_or_overlap_become_one_range() {
        let ports = [range(443, 443), range(80, 90), range(85, 100), range(101, 101), range(22, 22)];
        assert_eq!(merged(&ports), [range(22, 22), range(80, 101), range(443, 443)]);
        assert_eq!(merged(&[range(65000, 65535), range(65535, 65535)]), [range(65000, 65535)]);
    }

    #[test]
    fn a_comment_is_one_clean_line_that_fits() {
        assert_eq!(comment("say \"hi\"\n\tthere", ""), "say 'hi'  there");
        let long = comment(&"é".repeat(100), " (answers)");
        assert!(long.len() <= COMMENT_BYTES && long.ends_with("… (answers)"), "{long}");
    }
}
