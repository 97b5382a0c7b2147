//! The bridge of each domain, and the address plan in which most of them lie.

use std::collections::{BTreeMap, BTreeSet};
use std::net::Ipv4Addr;

use ipnet::Ipv4Net;

use super::scene::Scene;
use super::scope::Scope;
use super::thing::{Keys, Thing};
use crate::firewall::fence::Table;
use crate::infra::model::{Addressing, TrustLevel};
use crate::plan::{Id, Kind};
use crate::resources::Found;

/// A bridge that stands.
#[derive(Debug, Clone)]
pub(super) struct Standing<'a> {
    pub(super) found: &'a Found,
    pub(super) thing: Thing,
    /// It is not called after its domain.
    pub(super) is_named: bool,
    /// Its own address; `None` where it has none, or one that no file can say.
    pub(super) address: Option<Ipv4Net>,
    /// As anklume makes one for `internet: false`, or cut off by the table.
    pub(super) is_offline: bool,
}

/// Each domain with its bridge; those without one are left out.
pub(super) fn all<'a>(scene: &Scene<'a>, scope: &Scope) -> BTreeMap<String, Standing<'a>> {
    let mut bridges = BTreeMap::new();
    for (domain, project) in &scope.domains {
        let usual = scope.names.bridge(domain);
        let found = scene.network(&usual).or_else(|| own(scene, scope, project));
        if let Some(found) = found {
            bridges.insert(domain.clone(), standing(scene, found, found.id.name != usual));
        }
    }
    bridges
}

/// The one bridge that this project uses and no other does.
fn own<'a>(scene: &Scene<'a>, scope: &Scope, project: &str) -> Option<&'a Found> {
    let usual: BTreeSet<String> = scope.domains.keys().map(|domain| scope.names.bridge(domain)).collect();
    let is_own = |found: &&Found| {
        let theirs = found.marks.as_ref().is_some_and(|marks| marks.infra != scope.infra);
        !theirs && !usual.contains(&found.id.name) && scene.users(&found.id.name) == BTreeSet::from([project])
    };
    let own: Vec<&Found> = scene.all(Kind::Network).filter(is_own).collect();
    let eth0 = scene.profile(project, "default");
    let eth0 = eth0.as_ref().and_then(|default| default.device("eth0", "network").or(default.device("eth0", "parent")));
    match own.as_slice() {
        [only] => Some(only),
        several => several.iter().find(|found| Some(found.id.name.as_str()) == eth0).copied(),
    }
}

fn standing<'a>(scene: &Scene<'a>, found: &'a Found, is_named: bool) -> Standing<'a> {
    let thing = Thing::of(found);
    let as_made = thing.get("ipv4.nat") == Some("false") && thing.get("raw.dnsmasq") == Some("no-resolv");
    let cut_off = match &scene.live.table {
        Table::Known(Some(table)) => {
            table.sets.get("offline").is_some_and(|set| set.elements.contains_key(&found.id.name))
        }
        _ => false,
    };
    let is_offline = as_made || cut_off;
    let address = thing.get("ipv4.address").and_then(|address| address.parse().ok());
    Standing { found, thing, is_named, address, is_offline }
}

impl Standing<'_> {
    /// The trust level and the number of its network, where it is just as anklume makes one.
    pub(super) fn in_plan(&self, plan: &Addressing) -> Option<(TrustLevel, u8)> {
        let net = self.address.filter(|net| net.prefix_len() == 24)?;
        let [a, b, id, own] = net.addr().octets();
        let last = if matches!(plan, Addressing::Zones { .. }) { 199 } else { 249 };
        let at = |part: u8| Ipv4Addr::new(a, b, id, part);
        let says = |key: &str, value: &str| self.thing.get(key) == Some(value);
        let as_made = own == 254
            && id < 255
            && says("ipv4.dhcp.ranges", &format!("{}-{}", at(100), at(last)))
            && says("ipv6.address", "none")
            && says("ipv4.nat", if self.is_offline { "false" } else { "true" });
        let level = match plan {
            Addressing::BaseSubnet(first, second) => {
                ((a, b) == (*first, *second)).then_some(TrustLevel::SemiTrusted)?
            }
            Addressing::Zones { base, step } => {
                let offset = |level: &(TrustLevel, u8)| u16::from(*base) + u16::from(level.1) * u16::from(*step);
                LEVELS.iter().find(|level| a == 10 && offset(level) == u16::from(b))?.0
            }
        };
        as_made.then_some((level, id))
    }

    /// What it has beside what the file says of it.
    pub(super) fn by_hand(&self, in_plan: bool) -> Keys {
        let of_plan = ["ipv4.dhcp.ranges", "ipv6.address", "ipv4.nat"];
        let said = |key: &str| {
            key == "ipv4.address"
                || (in_plan && of_plan.contains(&key))
                || (self.is_offline && ["raw.dnsmasq", "ipv4.nat"].contains(&key))
        };
        let keys = self.thing.config.iter().filter(|(key, _)| !said(key));
        keys.map(|(key, value)| (key.clone(), value.clone())).collect()
    }

    pub(super) fn id(&self) -> &Id {
        &self.found.id
    }
}

const LEVELS: [(TrustLevel, u8); 5] = [
    (TrustLevel::Admin, 0),
    (TrustLevel::Trusted, 1),
    (TrustLevel::SemiTrusted, 2),
    (TrustLevel::Untrusted, 4),
    (TrustLevel::Disposable, 5),
];

/// The plan in which most of the bridges lie: the usual one if it does for as many as any other.
pub(super) fn plan(bridges: &BTreeMap<String, Standing<'_>>) -> Addressing {
    let usual = Addressing::Zones { base: 100, step: 10 };
    // How many lie in it, and how many of those at the level that domains have unless the file says another.
    let score = |plan: &Addressing| {
        let levels: Vec<TrustLevel> = bridges.values().filter_map(|one| Some(one.in_plan(plan)?.0)).collect();
        (levels.len(), levels.iter().filter(|level| **level == TrustLevel::SemiTrusted).count())
    };
    let nets = || bridges.values().filter_map(|one| one.address).map(|net| net.addr().octets());
    let bases: BTreeSet<(u8, u8)> = nets().map(|[a, b, ..]| (a, b)).collect();
    let seconds: BTreeSet<u8> = nets().filter(|[a, ..]| *a == 10).map(|[_, b, ..]| b).collect();
    let of_bases = bases.into_iter().filter(|(a, _)| (1..224).contains(a) && *a != 127);
    let of_bases = of_bases.map(|(a, b)| Addressing::BaseSubnet(a, b));
    let steps = std::iter::once(10).chain((1..=51).filter(|step| *step != 10));
    let bases_of = |step: u8| {
        let offsets = LEVELS.iter().map(move |(_, offset)| u16::from(*offset) * u16::from(step));
        let lowest = seconds
            .iter()
            .flat_map(move |second| offsets.clone().filter_map(move |offset| u16::from(*second).checked_sub(offset)));
        let fits = move |base: &u16| *base <= 245 && base + 5 * u16::from(step) <= 255;
        lowest.filter(fits).filter_map(|base| u8::try_from(base).ok()).collect::<BTreeSet<u8>>()
    };
    let zones = steps.flat_map(|step| bases_of(step).into_iter().map(move |base| Addressing::Zones { base, step }));
    let mut best = (score(&usual), usual);
    // Of zones, which have more than one way to say the same, the better guess counts too.
    for (other, guesses) in of_bases.map(|plan| (plan, false)).chain(zones.map(|plan| (plan, true))) {
        let score = score(&other);
        let is_usual = best.1 == Addressing::Zones { base: 100, step: 10 };
        if score.0 > best.0.0 || (score > best.0 && guesses && !is_usual) {
            best = (score, other);
        }
    }
    best.1
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::host::facts::Facts;
    use crate::incus::live::Live;
    use crate::lifecycle::import::Images;
    use crate::resources::Resource;
    use crate::resources::network::Networks;
    use serde_json::json;

    /// The plan of bridges with these networks, as anklume makes them.
    fn plan_of(nets: &[&str], last: u8) -> Addressing {
        let found: Vec<Found> = nets
            .iter()
            .map(|net| {
                let config = json!({"ipv4.address": format!("{net}.254/24"), "ipv4.nat": "true", "ipv6.address": "none",
                    "ipv4.dhcp.ranges": format!("{net}.100-{net}.{last}")});
                Networks.found(&json!({"name": net, "managed": true, "type": "bridge", "config": config})).unwrap()
            })
            .collect();
        let (live, facts, images) = (Live::default(), Facts::default(), Images::default());
        let scene = Scene { live: &live, facts: &facts, images: &images, is_dir: &|_| false };
        let bridges = found.iter().map(|found| (found.id.name.clone(), standing(&scene, found, false)));
        plan(&bridges.collect())
    }

    #[test]
    fn the_usual_plan_is_taken_unless_another_one_has_more_of_the_bridges() {
        let zones = |base, step| Addressing::Zones { base, step };
        assert_eq!(plan_of(&[], 199), zones(100, 10));
        assert_eq!(plan_of(&["10.100.0", "10.150.3"], 199), zones(100, 10));
        assert_eq!(plan_of(&["10.50.0", "10.60.0", "10.100.0"], 199), zones(50, 10));
        assert_eq!(plan_of(&["10.60.1", "10.63.7", "10.66.1", "10.72.0"], 199), zones(60, 3));
        assert_eq!(plan_of(&["10.20.1", "10.20.7"], 249), Addressing::BaseSubnet(10, 20));
        assert_eq!(plan_of(&["10.20.1"], 199), zones(0, 10), "at the level that a domain has by itself");
        assert_eq!(plan_of(&["10.37.1"], 199), zones(17, 10));
    }
}
