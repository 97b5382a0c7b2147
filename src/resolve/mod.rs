//! From what was written to what is wanted in Incus: names, addresses, limits, policies.

mod addresses;
pub(crate) mod context;
pub(crate) mod desired;
mod devices;
pub(crate) mod holds;
mod limits;
mod machines;
pub(crate) mod names;
pub(crate) mod policies;
mod pools;
#[cfg(test)]
mod properties;
#[cfg(test)]
pub(crate) mod sample;
mod shares;
mod subnets;
mod volumes;
mod written;

use std::collections::{BTreeMap, BTreeSet};
use std::net::Ipv4Addr;

use ipnet::Ipv4Net;

use crate::firewall::wall::Wall;
use crate::host::facts::Facts;
use crate::infra::model::{self, Infra};
use crate::infra::problem::{Path, Problem};
use desired::{Desired, Domain};
pub(crate) use devices::eth0 as filled_card;
use names::Names;

/// What Incus already holds and therefore does not move; the default is an empty host, as with `--offline`.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Holds {
    /// Bridges with this infrastructure's mark.
    pub(crate) bridges: BTreeMap<String, HeldBridge>,
    /// Static `eth0` addresses of instances with this infrastructure's mark: (project, instance) → (bridge, address).
    pub(crate) addresses: BTreeMap<(String, String), (String, Ipv4Addr)>,
    /// Incus bridges of others, with their networks.
    pub(crate) foreign: Vec<(String, Ipv4Net)>,
    /// The part of the table that is about bridges of other infrastructures on this host: there is one table for all.
    pub(crate) neighbours: Wall,
    /// Storage pools; none is known offline.
    pub(crate) pools: Vec<String>,
    /// Project → the pool that its `default` profile has the root disk on.
    pub(crate) root_pools: BTreeMap<String, String>,
    /// Storage volumes: (project, volume) → by the pool that one of this name stands on.
    pub(crate) volumes: BTreeMap<(String, String), BTreeMap<String, HeldVolume>>,
}

/// A storage volume that stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct HeldVolume {
    /// It has this infrastructure's mark.
    pub(crate) ours: bool,
    /// A raw disk.
    pub(crate) block: bool,
}

/// A bridge of this infrastructure that stands.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct HeldBridge {
    /// The domain that it was made for, from `user.anklume.domain`.
    pub(crate) domain: Option<String>,
    pub(crate) subnet: Option<Ipv4Net>,
    /// Its own address.
    pub(crate) gateway: Option<Ipv4Addr>,
}

/// What every part of this room looks at.
#[derive(Clone, Copy)]
struct Ground<'a> {
    infra: &'a Infra,
    names: &'a Names,
    holds: &'a Holds,
    facts: &'a Facts,
}

/// Settles every name, address and default. A domain that cannot get a network is left out, with its problem.
pub(crate) fn resolve(infra: &Infra, facts: &Facts, holds: &Holds) -> (Desired, Vec<Problem>) {
    let names = Names::of(infra, facts);
    let ground = Ground { infra, names: &names, holds, facts };
    let mut problems = names::check(infra, &names);
    let subnets = subnets::assign(ground, &mut problems);
    problems.extend(subnets::overlaps(ground, facts, &subnets));
    problems.extend(pools::check(ground));
    let mut domains = Vec::new();
    for (name, written) in enabled(infra) {
        problems.extend(limits::check(infra, name, written));
        if let Some(subnet) = subnets.get(name) {
            domains.push(domain(ground, name, written, *subnet, &mut problems));
        }
    }
    problems.extend(facts.totals.map_or_else(Vec::new, |totals| shares::share_out(infra, totals, &mut domains)));
    let wall = policies::wall(ground, &domains, &mut problems);
    let desired = Desired {
        infra: infra.project_name.clone(),
        domains,
        disabled: disabled(infra),
        wall,
        stored: stored(facts, &mut problems),
    };
    (desired, problems)
}

fn domain(
    ground: Ground<'_>,
    name: &str,
    written: &model::Domain,
    subnet: Ipv4Net,
    problems: &mut Vec<Problem>,
) -> Domain {
    let (project, bridge) = (ground.names.project(name), ground.names.bridge(name));
    let pool = pools::of_project(ground.infra, ground.holds, &project);
    let mut domain = Domain {
        name: name.to_owned(),
        project,
        description: written.description.clone(),
        trust: written.trust_level,
        ephemeral: written.ephemeral,
        internet: written.internet,
        subnet,
        gateway: subnets::gateway_of(written, subnet),
        as_it_stands: written.bridge.address.is_some(),
        dhcp: subnets::dhcp(&ground.infra.global.addressing, subnet),
        limits: written.limits.iter().map(|(key, value)| (key.clone(), value.clone())).collect(),
        dns_zone: written.dns_zone.clone(),
        acl: written.acl.clone(),
        profiles: machines::profiles(ground, written, &bridge, &pool),
        bridge,
        pool,
        machines: Vec::new(),
    };
    domain.machines = machines::machines(ground, &domain, written, problems);
    domain
}

/// What the image repository has. One that cannot be read is a warning: the remotes may do.
fn stored(facts: &Facts, problems: &mut Vec<Problem>) -> BTreeMap<(String, bool), Vec<String>> {
    match &facts.repository {
        Some(Ok(repository)) => repository.images.clone(),
        Some(Err(why)) => {
            let path = Path::of(["global", "image_repository"]);
            let problem = Problem::warning(path, format!("the image repository cannot be read: {why}"));
            problems.push(problem.help("`anklume image export` makes it; until then images come from their remotes"));
            BTreeMap::new()
        }
        None => BTreeMap::new(),
    }
}

fn enabled(infra: &Infra) -> impl Iterator<Item = (&String, &model::Domain)> {
    infra.domains.iter().filter(|(_, domain)| domain.enabled)
}

fn disabled(infra: &Infra) -> BTreeSet<String> {
    infra.domains.iter().filter(|(_, domain)| !domain.enabled).map(|(name, _)| name.clone()).collect()
}

fn domain_path(domain: &str) -> Path {
    Path::of(["domains", domain])
}

fn machine_path(domain: &str, machine: &str) -> Path {
    Path::of(["domains", domain, "machines", machine])
}
