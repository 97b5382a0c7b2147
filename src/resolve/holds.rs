//! What Incus already holds, read off the live state.

use std::net::Ipv4Addr;

use ipnet::Ipv4Net;

use super::{HeldBridge, Holds};
use crate::incus::live::Live;
use crate::plan::Kind;
use crate::resources::Found;
use crate::resources::fields::Key;

impl Holds {
    /// What of the live state belongs to `infra`, and what of it is in the way.
    pub(crate) fn of(live: &Live, infra: &str) -> Self {
        let mut holds = Self { pools: live.pools.clone(), ..Self::default() };
        for found in live.found.values() {
            let ours = found.marks.as_ref().filter(|marks| marks.infra == infra);
            match (found.id.kind, ours) {
                (Kind::Network, Some(marks)) => {
                    let domain = Some(marks.domain.clone()).filter(|domain| !domain.is_empty());
                    let held = HeldBridge { domain, subnet: subnet(found) };
                    holds.bridges.insert(found.id.name.clone(), held);
                }
                (Kind::Network, None) => {
                    holds.foreign.extend(subnet(found).map(|subnet| (found.id.name.clone(), subnet)));
                }
                (Kind::Instance, Some(_)) => {
                    let key = (found.id.project.clone(), found.id.name.clone());
                    holds.addresses.extend(seat(found).map(|seat| (key, seat)));
                }
                (Kind::Profile, _) if found.id.name == "default" => {
                    let pool = live.root_pool(&found.id.project).cloned();
                    holds.root_pools.extend(pool.map(|pool| (found.id.project.clone(), pool)));
                }
                _ => {}
            }
        }
        holds
    }
}

fn subnet(found: &Found) -> Option<Ipv4Net> {
    let address = found.fields.get(&Key::Config("ipv4.address".into()))?;
    address.parse::<Ipv4Net>().ok().map(|net| net.trunc())
}

/// The bridge and the static address of `eth0`.
fn seat(found: &Found) -> Option<(String, Ipv4Addr)> {
    let of = |key: &str| found.fields.get(&Key::Device("eth0".into(), key.into()));
    Some((of("network")?.clone(), of("ipv4.address")?.parse().ok()?))
}
