//! `network_policies`: the openings between domains.

use super::super::at::{At, quoted};
use super::super::model::{Policy, PortRange, Protocol};
use super::super::node::Kind;

/// All policies. One that is broken stays in the list, with empty ends, so that the others keep their number.
pub(super) fn policies(at: &At<'_>) -> Vec<Policy> {
    at.items().iter().map(policy).collect()
}

fn policy(at: &At<'_>) -> Policy {
    let map = at.fields(&["description", "from", "to", "ports", "protocol", "bidirectional"]);
    let end = |key: &str| {
        let help = format!("write `{key}:` and a domain, a machine or `host`");
        map.required(key, &help).and_then(At::filled).unwrap_or_default().to_owned()
    };
    Policy {
        description: map.words("description"),
        from: end("from"),
        to: end("to"),
        ports: map.get("ports").map(ports).unwrap_or_default(),
        protocol: map.get("protocol").and_then(|at| at.word(&[("tcp", Protocol::Tcp), ("udp", Protocol::Udp)])),
        bidirectional: map.flag("bidirectional", false),
    }
}

fn ports(at: &At<'_>) -> Vec<PortRange> {
    match &at.node.kind {
        Kind::Scalar { text, .. } if text == "all" => Vec::new(),
        Kind::Scalar { text, .. } if range(text).is_some() => {
            at.error("`ports` must be a list", format!("write `ports: [{text}]`"));
            Vec::new()
        }
        Kind::Scalar { text, .. } if !at.node.is_null() => {
            at.error(format!("`ports` cannot be {}", quoted(text)), "write a list such as `[22, 8000-8100]`, or `all`");
            Vec::new()
        }
        Kind::List(items) if items.is_empty() => {
            at.error("`ports` is an empty list, which would open nothing", "name the ports, or write `all`");
            Vec::new()
        }
        Kind::List(_) => at.items().iter().filter_map(port).collect(),
        Kind::Scalar { .. } | Kind::Map(_) => {
            at.error("`ports` must be a list or `all`", "write a list such as `[22, 8000-8100]`");
            Vec::new()
        }
    }
}

fn port(at: &At<'_>) -> Option<PortRange> {
    let text = at.filled()?;
    let range = range(text);
    if range.is_none() {
        let backwards = text.split_once('-').and_then(|(first, last)| self::range(&format!("{last}-{first}")));
        let help = match (text, backwards) {
            ("all", _) => "write `ports: all`, without the list".to_owned(),
            (_, Some(PortRange { first, last })) => format!("write the lower port first: `{first}-{last}`"),
            _ => "a port is a number from 1 to 65535, or a range such as `8000-8100`".to_owned(),
        };
        at.error(format!("{} is not a port", quoted(text)), help);
    }
    range
}

/// `22` or `8000-8100`.
fn range(text: &str) -> Option<PortRange> {
    let port = |text: &str| {
        let digits = text.bytes().all(|byte| byte.is_ascii_digit()) && !text.starts_with('0');
        text.parse::<u16>().ok().filter(|_| digits)
    };
    let (first, last) = match text.split_once('-') {
        Some((first, last)) => (port(first.trim())?, port(last.trim())?),
        None => (port(text)?, port(text)?),
    };
    (first <= last).then_some(PortRange { first, last })
}
