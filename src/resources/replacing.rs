//! Machines that the user wants made anew: each old one is out of the way before anything is compared, so that the new one
//! is made as any other.

use std::borrow::Cow;
use std::collections::BTreeSet;

use super::fields::{Fields, Key};
use super::planner::{Conflict, Options};
use super::steps::{Phase, Step};
use super::{Found, Wanted, aside};
use crate::incus::live::Live;
use crate::infra::bytes;
use crate::plan::{Id, Kind};
use crate::resolve::desired::{Desired, Domain, Machine};

/// The host once the machines to be made anew are set aside, and the steps that set them aside.
pub(super) struct Replacing<'a> {
    pub(super) live: Cow<'a, Live>,
    pub(super) steps: Vec<Step>,
    /// Those that are kept, under their new names.
    pub(super) kept: BTreeSet<Id>,
    pub(super) conflicts: Vec<Conflict>,
}

/// Sets aside what stands of the machines that were named.
pub(super) fn replacing<'a>(desired: &Desired, live: &'a Live, wanted: &[Wanted], options: &Options) -> Replacing<'a> {
    let named = named(desired, &options.replace);
    let is_anothers = |found: &Found| found.marks.as_ref().is_some_and(|marks| marks.infra != desired.infra);
    let machines = wanted.iter().filter(|wanted| named.contains(&wanted.id));
    let pairs = machines.filter_map(|wanted| Some((wanted, live.found.get(&wanted.id)?)));
    let pairs: Vec<(&Wanted, &Found)> = pairs.filter(|(_, found)| !is_anothers(found)).collect();
    let mut replacing =
        Replacing { live: Cow::Borrowed(live), steps: Vec::new(), kept: BTreeSet::new(), conflicts: Vec::new() };
    for (machine, found) in pairs {
        let action = aside::action(found, &machine.domain, &options.now);
        let serves = found.needs.iter().cloned().chain(takers(found, wanted)).collect();
        replacing.steps.push(Step { serves, ..Step::new(action, Phase::Release) });
        let kept = aside::kept(found, &options.now);
        let all = &mut replacing.live.to_mut().found;
        all.remove(&found.id);
        replacing.kept.insert(kept.id.clone());
        all.insert(kept.id.clone(), kept);
    }
    replacing.conflicts = no_room(desired, &replacing.live, &replacing.kept);
    replacing
}

/// The machines of these names, in the file or in Incus.
fn named(desired: &Desired, names: &[String]) -> BTreeSet<Id> {
    let of_domain = |domain: &Domain| {
        let meant = |one: &&Machine| names.contains(&one.name) || names.contains(&one.instance);
        let id = |one: &Machine| Id::within(Kind::Instance, &domain.project, &one.instance);
        domain.machines.iter().filter(meant).map(id).collect::<Vec<_>>()
    };
    desired.domains.iter().flat_map(of_domain).collect()
}

/// Who is to have an address that it has.
fn takers(found: &Found, wanted: &[Wanted]) -> Vec<Id> {
    let addresses = |fields: &Fields| {
        let is_address = |key: &Key| matches!(key, Key::Device(_, key) if key == "ipv4.address");
        let own = fields.iter().filter(|(key, _)| is_address(key));
        own.map(|(_, address)| address.clone()).collect::<BTreeSet<String>>()
    };
    let had = addresses(&found.fields);
    let takes = |wanted: &&Wanted| wanted.id.kind == Kind::Instance && !addresses(&wanted.fields).is_disjoint(&had);
    wanted.iter().filter(takes).map(|wanted| wanted.id.clone()).collect()
}

/// What Incus counts of the instances of a project, running or not, and what of each.
const COUNTED: [(&str, &str); 6] = [
    ("instances", ""),
    ("containers", "container"),
    ("virtual_machines", "virtual-machine"),
    ("memory", "limits.memory"),
    ("cpu", "limits.cpu"),
    ("processes", "limits.processes"),
];

/// Limits of projects that leave no room for new machines beside those that are kept.
fn no_room(desired: &Desired, live: &Live, kept: &BTreeSet<Id>) -> Vec<Conflict> {
    let of_domain = |domain: &Domain| {
        let of_project = |one: &&Found| one.id.kind == Kind::Instance && one.id.project == domain.project;
        let stand: Vec<&Found> = live.found.values().filter(of_project).collect();
        let twice: Vec<&Found> = stand.iter().copied().filter(|one| kept.contains(&one.id)).collect();
        let is_over = |(written, of_each): &&(&str, &str)| {
            let limit = domain.limits.get(&format!("limits.{}", written.replace('_', "-")));
            let sum = || stand.iter().chain(&twice).map(|one| share(one, of_each)).sum::<f64>();
            limit.and_then(|limit| amount(limit)).is_some_and(|limit| sum() > limit)
        };
        let names: Vec<&str> = twice.iter().map(|one| aside::was(one)).collect();
        let (written, _) = COUNTED.iter().filter(|_| !names.is_empty()).find(is_over)?;
        Some(Conflict {
            id: Id::global(Kind::Project, &domain.project),
            domain: domain.name.clone(),
            message: format!("there is no room to keep what is there of {}: `{written}` is too low", names.join(", ")),
            help: format!("raise `{written}` under `limits` of `{}`, at least for now", domain.name),
        })
    };
    desired.domains.iter().filter_map(of_domain).collect()
}

fn share(found: &Found, of_each: &str) -> f64 {
    let Some(instance) = &found.instance else { return 0.0 };
    match of_each {
        "" => 1.0,
        "container" => f64::from(u8::from(!instance.vm)),
        "virtual-machine" => f64::from(u8::from(instance.vm)),
        key => instance.limits.get(key).and_then(|limit| amount(limit)).unwrap_or_default(),
    }
}

/// A count, or a size.
fn amount(written: &str) -> Option<f64> {
    written.parse().ok().or_else(|| bytes(written))
}
