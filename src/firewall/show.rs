//! What a live table keeps apart and lets through, for people and programs.

use serde_json::{Value, json};

use super::evaluate::text::written;
use super::live::LiveTable;
use super::readback::{Readback, closed, readback};
use super::wall::{End, Opening, Wall};
use super::words;
use crate::plan::Field;
use crate::render::json::pretty;
use crate::ui::{Style, Surface};

/// The readable table.
pub(crate) fn text(table: &LiveTable, surface: &Surface) -> String {
    let Readback { wall, altered } = readback(table);
    let mut text = section("kept apart from each other", &bridges(&wall), surface);
    text.push_str(&section("open between them", &openings(&wall), surface));
    let services = services(table).join(", ");
    if !services.is_empty() {
        let line = [vec![services, "each gateway to the machines of its own domain".to_owned()]];
        text.push_str(&section("services of the gateways", &line, surface));
    }
    let closed = closed(table).join(", ");
    if !closed.is_empty() {
        text.push_str(&section("other local networks, closed to every domain", &[vec![closed]], surface));
    }
    if !altered.is_empty() {
        let title = "changed by hand, or made by another version of anklume; `anklume apply` corrects it";
        let lines: Vec<Vec<String>> = altered.iter().map(|field| vec![field.key.clone(), change(field)]).collect();
        text.push_str(&section(&surface.paint(Style::Red, title), &lines, surface));
    }
    text.truncate(text.trim_end().len());
    text + "\n"
}

/// The same for programs; with every rule, where they are asked for.
pub(crate) fn json(table: &LiveTable, rules: bool) -> String {
    let Readback { wall, altered } = readback(table);
    let bridges: Vec<Value> = wall
        .bridges
        .iter()
        .map(|(bridge, domain)| {
            let gateway = wall.gateways.get(bridge).map(ToString::to_string);
            json!({"bridge": bridge, "domain": domain, "gateway": gateway, "internet": !wall.offline.contains(bridge)})
        })
        .collect();
    let mut value = json!({
        "bridges": bridges,
        "openings": wall.openings.iter().map(|opening| opening_json(&wall, opening)).collect::<Vec<_>>(),
        "services": services(table),
        "closed": closed(table),
        "altered": altered,
    });
    if rules {
        let rule = |chain: &String, rule: &super::live::LiveRule| json!({"chain": chain, "rule": written(rule), "comment": rule.comment});
        let rules = table.chains.iter().flat_map(|(name, chain)| chain.rules.iter().map(move |one| rule(name, one)));
        value["rules"] = rules.collect();
    }
    pretty(&value)
}

/// What was done by hand: the field says how it is undone.
fn change(field: &Field) -> String {
    match (&field.before, &field.after) {
        (Some(now), Some(made)) => format!("{now}, instead of {made}"),
        (now, made) => now.as_ref().or(made.as_ref()).cloned().unwrap_or_default(),
    }
}

fn bridges(wall: &Wall) -> Vec<Vec<String>> {
    let line = |(bridge, domain): (&String, &String)| {
        let gateway = wall.gateways.get(bridge).map(ToString::to_string).unwrap_or_default();
        let offline = if wall.offline.contains(bridge) { "no internet" } else { "" };
        vec![domain.clone(), bridge.clone(), gateway, offline.to_owned()]
    };
    wall.bridges.iter().map(line).collect()
}

fn openings(wall: &Wall) -> Vec<Vec<String>> {
    let line = |opening: &Opening| {
        let Policy { from, to, description } = Policy::of(wall, opening);
        let end = |name: String, end: &End| match end {
            End::Machine { address, .. } => format!("{name} ({address})"),
            _ => name,
        };
        let ends = format!("{} -> {}", end(from, &opening.from), end(to, &opening.to));
        vec![ends, words::traffic(opening), description]
    };
    if wall.openings.is_empty() {
        return vec![vec!["nothing".to_owned()]];
    }
    wall.openings.iter().map(line).collect()
}

/// What the comment of an opening's rule says of its policy: `pro -> perso-web: the shop`.
struct Policy {
    from: String,
    to: String,
    description: String,
}

impl Policy {
    /// Where the comment says nothing of the kind, by bridge.
    fn of(wall: &Wall, opening: &Opening) -> Self {
        let (ends, description) = opening.policy.split_once(": ").unwrap_or((&opening.policy, ""));
        let (from, to, description) = match ends.split_once(" -> ") {
            Some((from, to)) => (from.to_owned(), to.to_owned(), description),
            None => (end(wall, &opening.from), end(wall, &opening.to), opening.policy.as_str()),
        };
        Self { from, to, description: description.to_owned() }
    }
}

fn end(wall: &Wall, end: &End) -> String {
    match end {
        End::Host => "host".into(),
        End::Domain { bridge } | End::Machine { bridge, .. } => words::bridge(wall, bridge),
    }
}

fn opening_json(wall: &Wall, opening: &Opening) -> Value {
    let Policy { from, to, description } = Policy::of(wall, opening);
    let end = |name: String, end: &End| match end {
        End::Host => json!({"name": name, "bridge": null, "address": null}),
        End::Domain { bridge } => json!({"name": name, "bridge": bridge, "address": null}),
        End::Machine { bridge, address } => json!({"name": name, "bridge": bridge, "address": address.to_string()}),
    };
    json!({
        "from": end(from, &opening.from),
        "to": end(to, &opening.to),
        "protocol": opening.protocol.map(words::protocol),
        "ports": words::merged(&opening.ports).into_iter().map(words::ports).collect::<Vec<_>>(),
        "description": description,
    })
}

/// What the rules of the `input` chain say that they let in, in their order.
fn services(table: &LiveTable) -> Vec<&str> {
    let rules = table.chains.get("input").into_iter().flat_map(|chain| &chain.rules);
    let mut services: Vec<&str> = rules.filter_map(|rule| rule.comment.as_deref()?.strip_prefix("service: ")).collect();
    services.dedup();
    services
}

/// A title and a table under it, its columns as wide as they need to be.
fn section(title: &str, lines: &[Vec<String>], surface: &Surface) -> String {
    let columns = lines.iter().map(Vec::len).max().unwrap_or_default();
    let width = |column: usize| {
        let cells = lines.iter().filter_map(|line| line.get(column));
        cells.map(|cell| cell.chars().count()).max().unwrap_or_default()
    };
    let widths: Vec<usize> = (0..columns).map(width).collect();
    let mut text = format!("{}\n", surface.paint(Style::Bold, title));
    for line in lines {
        let cells: Vec<String> = line.iter().zip(&widths).map(|(cell, width)| format!("{cell:width$}")).collect();
        text.push_str(format!("  {}", cells.join("  ")).trim_end());
        text.push('\n');
    }
    text.push('\n');
    text
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::firewall::sample;

    const PLAIN: Surface = Surface { terminal: false, color: false, width: 100 };

    #[test]
    fn a_table_is_told_by_domain_policy_and_service() {
        let told = text(&LiveTable::wanted(&sample::wall()), &PLAIN);
        let expected = "\
kept apart from each other
  dmz    net-dmz    10.120.0.254  no internet
  perso  net-perso  10.100.0.254
  pro    net-pro    10.110.0.254

open between them
  perso -> host                                 everything
  perso -> pro-print (10.110.0.2)               everything
  pro-dev (10.110.0.1) -> host                  tcp 22                  ssh
  pro-dev (10.110.0.1) -> dmz-web (10.120.0.1)  tcp 80, 443, 8000-8100  the 'web' server
  pro -> dmz                                    tcp and udp 53          names
  pro -> perso                                  udp, all ports          streams

services of the gateways
  DHCP, IPv6 neighbour discovery, DNS, ping, IPv6 ping  each gateway to the machines of its own domain

other local networks, closed to every domain
  backup, br-*, cbr*, cni*, docker*, incusbr*, lxcbr*, lxdbr*, mpqemubr*, nerdctl*, podman*, vboxnet*, virbr*, vmnet*, \
waydroid*, xenbr*
";
        assert_eq!(told, expected);
    }

    #[test]
    fn what_was_changed_by_hand_is_told() {
        let mut table = LiveTable::wanted(&sample::wall());
        table.chains.get_mut("inward").unwrap().rules.pop();
        let told = text(&table, &PLAIN);
        let expected = "\nchanged by hand, or made by another version of anklume; `anklume apply` corrects it\n  \
                        chain inward, rule removed  drop comment \"into a domain\"\n";
        assert!(told.ends_with(expected), "{told}");
        let value: Value = serde_json::from_str(&json(&table, false)).unwrap();
        assert_eq!(value["altered"][0]["after"], "drop comment \"into a domain\"");
        assert!(value.get("rules").is_none());
    }

    #[test]
    fn programs_get_every_end_and_every_rule() {
        let value: Value = serde_json::from_str(&json(&LiveTable::wanted(&sample::wall()), true)).unwrap();
        assert_eq!(
            value["bridges"][0],
            json!({
                "bridge": "net-dmz", "domain": "dmz", "gateway": "10.120.0.254", "internet": false,
            })
        );
        assert_eq!(
            value["openings"][3],
            json!({
                "from": {"name": "pro-dev", "bridge": "net-pro", "address": "10.110.0.1"},
                "to": {"name": "dmz-web", "bridge": "net-dmz", "address": "10.120.0.1"},
                "protocol": "tcp", "ports": ["80", "443", "8000-8100"], "description": "the 'web' server",
            })
        );
        let last = value["rules"].as_array().unwrap().last().unwrap();
        assert_eq!(last["rule"], "drop");
        assert_eq!(
            (&last["chain"], &last["comment"]),
            (&json!("outward"), &json!("an answer to what was never let in"))
        );
    }
}
