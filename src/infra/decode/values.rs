//! Texts that mean something: amounts, addresses, Incus configuration.

use std::net::Ipv4Addr;

use ipnet::Ipv4Net;

use super::super::at::{At, quoted};
use super::super::emit;
use super::super::model::{Amount, Config, Devices};
use super::super::node::Kind;

/// `20%`, or a positive amount.
pub(super) fn amount(at: &At<'_>, parse: fn(&str) -> Option<f64>, example: &str) -> Option<Amount> {
    let text = at.filled()?;
    let amount = match text.strip_suffix('%') {
        Some(percent) => percent.trim().parse().ok().filter(|percent| (1..=99).contains(percent)).map(Amount::Percent),
        None => parse(text).filter(|amount| amount.is_finite() && *amount > 0.0).map(Amount::Absolute),
    };
    if amount.is_none() {
        let message = format!("{} must be a share or an amount, and this is {}", quoted(at.key()), quoted(text));
        at.error(message, format!("write from `1%` to `99%`, or an amount such as `{example}`"));
    }
    amount
}

/// A size in bytes: `8GiB`, `500MB`, `1048576`.
pub(crate) fn bytes(text: &str) -> Option<f64> {
    const UNITS: [(&str, i32, f64); 12] = [
        ("kB", 1, 1000.0),
        ("MB", 2, 1000.0),
        ("GB", 3, 1000.0),
        ("TB", 4, 1000.0),
        ("PB", 5, 1000.0),
        ("EB", 6, 1000.0),
        ("KiB", 1, 1024.0),
        ("MiB", 2, 1024.0),
        ("GiB", 3, 1024.0),
        ("TiB", 4, 1024.0),
        ("PiB", 5, 1024.0),
        ("EiB", 6, 1024.0),
    ];
    let (number, factor) = UNITS
        .iter()
        .find_map(|&(unit, power, base)| Some((text.strip_suffix(unit)?, base.powi(power))))
        .unwrap_or((text.strip_suffix('B').unwrap_or(text), 1.0));
    let digits = !number.is_empty() && number.bytes().all(|byte| byte.is_ascii_digit());
    digits.then(|| number.parse::<f64>().ok()).flatten().map(|number| number * factor)
}

/// An IPv4 address.
pub(super) fn ip(at: &At<'_>) -> Option<Ipv4Addr> {
    let text = at.filled()?;
    let ip = text.parse().ok();
    if ip.is_none() {
        let help = match text.split_once('/') {
            Some((address, _)) if address.parse::<Ipv4Addr>().is_ok() => format!("write {address}, without the `/…`"),
            _ => "write four numbers from 0 to 255, such as 10.120.0.5, or `dhcp`".to_owned(),
        };
        at.error(format!("{} is not an IPv4 address", quoted(text)), help);
    }
    ip
}

/// An address with the length of its network: `10.5.0.1/24`.
pub(super) fn network(at: &At<'_>) -> Option<Ipv4Net> {
    let text = at.filled()?;
    let network: Option<Ipv4Net> = text.parse().ok();
    if network.is_none() {
        let message = format!("{} is not an address with its network", quoted(text));
        at.error(message, "write the bridge's own address and how long its network is: `10.5.0.1/24`");
    }
    network
}

/// Incus configuration: keys and values, each value as the text that was written.
pub(super) fn config(at: &At<'_>) -> Config {
    at.pairs().iter().filter_map(|pair| Some((pair.key().to_owned(), config_value(pair)?))).collect()
}

fn config_value(at: &At<'_>) -> Option<String> {
    let key = quoted(at.key());
    match &at.node.kind {
        _ if at.node.is_null() => {
            at.error(format!("{key} has no value"), "write `\"\"` to set it empty, or remove the line");
            None
        }
        Kind::Scalar { .. } => at.text().map(str::to_owned),
        Kind::Map(_) | Kind::List(_) => {
            let help = if at.key().starts_with("cloud-init.") {
                "write it under `cloud_init:`, which takes a map; here it is a text (`|`)"
            } else {
                "Incus takes a text, a number, true or false here"
            };
            at.error(format!("{key} must be a single value, and this is {}", at.node.what()), help);
            None
        }
    }
}

/// Incus devices, each with a type. In a project's own `default` profile an empty one stands for none: it has a card and
/// a root disk unless the file says otherwise.
pub(super) fn devices(at: &At<'_>, is_default: bool) -> Devices {
    let device = |pair: &At<'_>| {
        let is_none = is_default && matches!(&pair.node.kind, Kind::Map(entries) if entries.is_empty());
        if pair.node.get("type").is_none() && !pair.is_scalar() && !is_none {
            pair.error(
                format!("the device {} has no `type`", quoted(pair.key())),
                "write `type: disk`, `nic`, `gpu`, `proxy`, `usb`, `unix-char` or another one of Incus's",
            );
        }
        (pair.key().to_owned(), config(pair))
    };
    at.pairs().iter().map(device).collect()
}

/// A cloud-init document: a text, or a map that becomes one.
pub(super) fn document(at: &At<'_>, header: &str) -> Option<String> {
    match &at.node.kind {
        Kind::Map(_) => Some(format!("{header}{}", emit::yaml(at.node))),
        _ => at.filled().map(str::to_owned),
    }
}
