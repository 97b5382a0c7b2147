//! What Incus already holds, read off the live state.

use std::net::Ipv4Addr;

use ipnet::Ipv4Net;

use super::{HeldBridge, HeldVolume, Holds};
use crate::firewall::fence::Table;
use crate::firewall::readback::readback;
use crate::firewall::wall::{Opening, Wall};
use crate::incus::live::Live;
use crate::plan::Kind;
use crate::resources::fields::Key;
use crate::resources::{Found, volume};

impl Holds {
    /// What of the live state belongs to `infra`, and what of it is in the way.
    pub(crate) fn of(live: &Live, infra: &str) -> Self {
        let mut holds = Self { pools: live.pools.clone(), ..Self::default() };
        for found in live.found.values() {
            let ours = found.marks.as_ref().filter(|marks| marks.infra == infra);
            match (found.id.kind, ours) {
                (Kind::Network, Some(marks)) => {
                    let domain = Some(marks.domain.clone()).filter(|domain| !domain.is_empty());
                    let held = HeldBridge { domain, subnet: subnet(found), gateway: gateway(found) };
                    holds.bridges.insert(found.id.name.clone(), held);
                }
                (Kind::Network, None) => {
                    holds.foreign.extend(subnet(found).map(|subnet| (found.id.name.clone(), subnet)));
                }
                (Kind::Instance, Some(_)) => {
                    let key = (found.id.project.clone(), found.id.name.clone());
                    holds.addresses.extend(seat(found).map(|seat| (key, seat)));
                }
                (Kind::Volume, _) => {
                    let (pool, name) = volume::parts(&found.id);
                    let block = found.fields.get(&Key::Type).is_some_and(|kind| kind == "block");
                    let pools = holds.volumes.entry((found.id.project.clone(), name.to_owned())).or_default();
                    pools.insert(pool.to_owned(), HeldVolume { ours: ours.is_some(), block });
                }
                (Kind::Profile, _) if found.id.name == "default" => {
                    let pool = live.root_pool(&found.id.project).cloned();
                    holds.root_pools.extend(pool.map(|pool| (found.id.project.clone(), pool)));
                }
                _ => {}
            }
        }
        holds.neighbours = neighbours(live, infra);
        holds
    }

    /// The volumes of this name in a project, by the pool that each stands on.
    pub(super) fn volumes_called(&self, project: &str, name: &str) -> impl Iterator<Item = (&str, HeldVolume)> {
        let pools = self.volumes.get(&(project.to_owned(), name.to_owned()));
        pools.into_iter().flatten().map(|(pool, held)| (pool.as_str(), *held))
    }
}

/// The wall that stands, by what is marked alone: the bridges of every infrastructure, and what the table opens between
/// them now.
pub(crate) fn standing(live: &Live) -> Wall {
    // Nobody's: so everybody is a neighbour.
    let holds = Holds::of(live, "");
    let others = holds.foreign.into_iter().map(|(bridge, _)| bridge);
    let others = others.filter(|bridge| !holds.neighbours.bridges.contains_key(bridge)).collect();
    Wall { others, ..holds.neighbours }
}

/// What other infrastructures have of the one table: their bridges as Incus has them, and what the table opens between
/// them now. Without a table nothing of it is known: they are kept apart until their own next apply.
fn neighbours(live: &Live, infra: &str) -> Wall {
    let mut wall = Wall::default();
    for found in live.found.values().filter(|found| found.id.kind == Kind::Network) {
        let Some(marks) = found.marks.as_ref().filter(|marks| marks.infra != infra) else { continue };
        let bridge = &found.id.name;
        wall.bridges.insert(bridge.clone(), marks.domain.clone());
        wall.gateways.extend(gateway(found).map(|gateway| (bridge.clone(), gateway)));
        if found.fields.get(&Key::Config("ipv4.nat".into())).is_some_and(|nat| nat == "false") {
            wall.offline.insert(bridge.clone());
        }
    }
    if let (false, Table::Known(Some(table))) = (wall.bridges.is_empty(), &live.table) {
        let theirs = |opening: &Opening| opening.from.bridge().is_some_and(|bridge| wall.bridges.contains_key(bridge));
        wall.openings = readback(table).wall.openings.into_iter().filter(theirs).collect();
    }
    wall
}

fn subnet(found: &Found) -> Option<Ipv4Net> {
    address(found).map(|net| net.trunc())
}

/// The address that a bridge has itself.
fn gateway(found: &Found) -> Option<Ipv4Addr> {
    address(found).map(|net| net.addr())
}

fn address(found: &Found) -> Option<Ipv4Net> {
    found.fields.get(&Key::Config("ipv4.address".into()))?.parse().ok()
}

/// The bridge and the static address of `eth0`.
fn seat(found: &Found) -> Option<(String, Ipv4Addr)> {
    let of = |key: &str| found.fields.get(&Key::Device("eth0".into(), key.into()));
    let bridge = of("network").or_else(|| of("parent"))?;
    Some((bridge.clone(), of("ipv4.address")?.parse().ok()?))
}
