//! The whole file, as it is drafted from what stands.

use std::collections::{BTreeMap, BTreeSet};

use indexmap::IndexMap;

use super::bridges::{self, Standing};
use super::cards;
use super::domain::{self, Disks, Place, Setting, seat};
use super::policies::{self, Ends};
use super::scene::Scene;
use super::scope::Scope;
use super::stores;
use super::thing::{self, Thing};
use crate::infra::model::{Addressing, AiAccess, Config, Domain, FirewallMode, Global, GpuPolicy, Infra, Machine};
use crate::infra::page::Remarks;
use crate::infra::problem::Path;
use crate::plan::{Id, Kind};
use crate::resources::Found;

/// What no file can say without changing something, and why.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Left {
    pub(super) domains: BTreeMap<String, Vec<String>>,
    /// By domain and machine.
    pub(super) machines: BTreeMap<(String, String), Vec<String>>,
    pub(super) shares: BTreeSet<String>,
}

impl Left {
    pub(super) fn has_domain(&self, domain: &str) -> bool {
        self.domains.contains_key(domain)
    }

    pub(super) fn has(&self, domain: &str, machine: &str) -> bool {
        self.has_domain(domain) || self.machines.contains_key(&(domain.to_owned(), machine.to_owned()))
    }
}

/// The file with all that was found, and what is to be said of it: what counts is what is not off.
pub(super) struct Draft {
    pub(super) infra: Infra,
    pub(super) remarks: Remarks,
}

/// What is the same however much is left out.
pub(super) struct Ground<'a> {
    pub(super) bridges: BTreeMap<String, Standing<'a>>,
    pub(super) plan: Addressing,
    data_base: String,
    pool: String,
    /// It has to be said.
    pool_is_said: bool,
    prefix: String,
}

impl<'a> Ground<'a> {
    pub(super) fn new(scene: &Scene<'a>, scope: &Scope) -> Self {
        let bridges = bridges::all(scene, scope);
        let prefix = scope.names.instance("");
        let machines: Vec<(&str, String, Thing)> = scope
            .domains
            .iter()
            .flat_map(|(domain, project)| {
                scene.machines(project).into_iter().map(move |found| (domain.as_str(), found))
            })
            .map(|(domain, found)| {
                let name = found.id.name.strip_prefix(&prefix).unwrap_or(&found.id.name);
                (domain, name.to_owned(), Thing::of(found))
            })
            .collect();
        let data_base =
            stores::base(machines.iter().map(|(domain, name, thing)| (*domain, name.as_str(), &thing.devices)));
        let (pool, pool_is_said) = pool(scene, scope);
        Self { plan: bridges::plan(&bridges), bridges, data_base, pool, pool_is_said, prefix }
    }
}

/// The pool of what says none: `default`, the only one, or else the one that most projects are on.
fn pool(scene: &Scene<'_>, scope: &Scope) -> (String, bool) {
    let pools = &scene.live.pools;
    let mut counts: BTreeMap<&str, usize> = BTreeMap::new();
    let said = scope.domains.values().map(|project| scene.root_pool(project));
    let is_open = said.clone().any(|pool| pool.is_none());
    said.flatten().for_each(|pool| *counts.entry(pool).or_default() += 1);
    match pools.as_slice() {
        [only] => (only.clone(), false),
        all if all.iter().any(|pool| pool == "default") => ("default".into(), false),
        _ => {
            let most = counts.into_iter().max_by_key(|(_, count)| *count).map(|(pool, _)| pool.to_owned());
            (most.or_else(|| pools.first().cloned()).unwrap_or_else(|| "default".into()), is_open)
        }
    }
}

impl Draft {
    pub(super) fn new(scene: &Scene<'_>, scope: &Scope, ground: &Ground<'_>, left: &Left) -> Self {
        let mut draft = Self { infra: blank(scope, ground), remarks: Remarks::default() };
        let in_file = |(domain, _): &(&String, &Standing<'_>)| !left.has_domain(domain);
        let setting = Setting {
            plan: &ground.plan,
            bridges: ground.bridges.iter().filter(in_file).map(|(_, standing)| standing.id().name.clone()).collect(),
            data_base: ground.data_base.clone(),
            pool: ground.pool.clone(),
            prefix: ground.prefix.clone(),
        };
        let mut disks = Disks::new();
        for (name, project) in &scope.domains {
            let standing = ground.bridges.get(name);
            let bridge = standing.map_or_else(|| scope.names.bridge(name), |standing| standing.id().name.clone());
            let place = Place { domain: name, project, bridge: &bridge, standing };
            let written = domain::draft(scene, &setting, &place, &mut draft.remarks, &mut disks);
            draft.infra.domains.insert(name.clone(), written);
        }
        draft.leave(scene, scope, ground, left);
        draft.share(scene, left, disks, &setting);
        draft.open(scene, scope, ground, left);
        draft.image(left);
        draft.gpus(left);
        draft
    }

    /// The file without what does not count.
    pub(super) fn counting(&self) -> Infra {
        let mut infra = self.infra.clone();
        infra.domains.retain(|name, _| !self.remarks.off.contains(&Path::of(["domains", name])));
        for (name, domain) in &mut infra.domains {
            let at = Path::of(["domains", name, "machines"]);
            domain.machines.retain(|machine, _| !self.remarks.off.contains(&at.to(machine)));
        }
        infra
    }

    fn leave(&mut self, scene: &Scene<'_>, scope: &Scope, ground: &Ground<'_>, left: &Left) {
        let mut leave = |at: Path, why: &[String], found: Option<&Found>| {
            self.remarks.note(&at, "left out, since `anklume apply` would refuse it, or do this:");
            for line in why {
                self.remarks.note(&at, format!("- {line}"));
            }
            // It would be taken for something that left the file.
            if found.is_some_and(|found| found.marks.is_some() && !found.protected) {
                self.remarks.note(&at, "it has anklume's mark: with this file, `--prune` would delete it");
            }
            self.remarks.off.insert(at);
        };
        for (domain, why) in &left.domains {
            leave(Path::of(["domains", domain]), why, scene.project(&scope.domains[domain]));
        }
        for ((domain, machine), why) in left.machines.iter().filter(|((domain, _), _)| !left.has_domain(domain)) {
            let id = Id::within(Kind::Instance, &scope.domains[domain], format!("{}{machine}", ground.prefix));
            leave(Path::of(["domains", domain, "machines", machine]), why, scene.found(&id));
        }
    }

    /// Shared volumes of what counts; the disks of the rest are devices.
    fn share(&mut self, scene: &Scene<'_>, left: &Left, disks: Disks, setting: &Setting<'_>) {
        let (mut said, mut back) = (Disks::new(), Vec::new());
        for (name, all) in disks {
            for one in all {
                if left.shares.contains(&name) || left.has(&one.domain, &one.machine) {
                    back.push((name.clone(), one));
                } else {
                    said.entry(name.clone()).or_default().push(one);
                }
            }
        }
        let (shares, more) = stores::shares(scene, &self.counting(), said);
        self.infra.shared_volumes = shares;
        for (name, one) in back.into_iter().chain(more) {
            let machine = self.infra.domains.get_mut(&one.domain).and_then(|home| home.machines.get_mut(&one.machine));
            if let Some(machine) = machine {
                let said = thing::device(&cards::said(&one.disk, &setting.bridges));
                machine.devices.insert(format!("sv-{name}"), said);
            }
        }
    }

    fn open(&mut self, scene: &Scene<'_>, scope: &Scope, ground: &Ground<'_>, left: &Left) {
        let mut ends = Ends::default();
        for (domain, project) in scope.domains.iter().filter(|(domain, _)| !left.has_domain(domain)) {
            let Some(standing) = ground.bridges.get(domain) else { continue };
            ends.domains.insert(standing.id().name.clone(), domain.clone());
            for found in scene.machines(project) {
                let name = found.id.name.strip_prefix(&ground.prefix).unwrap_or(&found.id.name);
                if let Some(seat) = seat(found).filter(|(bridge, _)| *bridge == standing.id().name)
                    && !left.has(domain, name)
                {
                    ends.machines.insert(seat, name.to_owned());
                }
            }
        }
        let read = policies::read(scene, &ends);
        self.infra.network_policies = read.policies;
        self.remarks.end.extend(read.notes);
    }

    /// The image of most machines is the one of all that say none.
    fn image(&mut self, left: &Left) {
        let machines = || {
            self.infra.domains.iter().flat_map(|(domain, home)| {
                home.machines.iter().filter(move |(name, _)| !left.has(domain, name)).map(|(_, machine)| machine)
            })
        };
        let mut counts: BTreeMap<&str, usize> = BTreeMap::new();
        machines()
            .filter_map(|machine| machine.os_image.as_deref())
            .for_each(|one| *counts.entry(one).or_default() += 1);
        let usual = self.infra.global.default_os_image.clone();
        let rank = |(image, count): &(&str, usize)| (*count, *image == usual, std::cmp::Reverse(image.to_string()));
        let most = counts.into_iter().max_by_key(rank).map(|(image, _)| image.to_owned());
        if let Some(most) = most {
            self.infra.global.default_os_image = most;
        }
        let default = self.infra.global.default_os_image.clone();
        for machine in self.infra.domains.values_mut().flat_map(|home| home.machines.values_mut()) {
            machine.os_image = machine.os_image.take().filter(|image| *image != default);
        }
    }

    fn gpus(&mut self, left: &Left) {
        let is_gpu = |keys: &Config| keys.get("type").is_some_and(|kind| kind == "gpu");
        let has_one = |home: &Domain, machine: &Machine| {
            let profiles = machine.profiles.iter().filter_map(|name| home.profiles.get(name));
            machine.devices.values().chain(profiles.flat_map(|profile| profile.devices.values())).any(is_gpu)
        };
        let domains = self.infra.domains.iter();
        let all =
            domains.flat_map(|(name, home)| home.machines.iter().map(move |(own, machine)| (name, home, own, machine)));
        let with = all.filter(|(domain, home, name, machine)| !left.has(domain, name) && has_one(home, machine));
        if with.count() > 1 {
            self.infra.global.gpu_policy = GpuPolicy::Shared;
        }
    }
}

fn blank(scope: &Scope, ground: &Ground<'_>) -> Infra {
    Infra {
        project_name: scope.infra.clone(),
        global: Global {
            addressing: ground.plan.clone(),
            default_os_image: "images:debian/13".into(),
            default_connection: "community.general.incus".into(),
            default_user: "root".into(),
            default_pool: Some(ground.pool.clone()).filter(|_| ground.pool_is_said),
            nesting_prefix: scope.nesting_prefix,
            gpu_policy: GpuPolicy::Exclusive,
            firewall_mode: FirewallMode::Host,
            ai_access: AiAccess { exclusive: false, default: None, vram_flush: true },
            resource_policy: None,
            shared_volumes_base: "/srv/anklume/shares".into(),
            persistent_data_base: ground.data_base.clone(),
            image_repository: None,
        },
        domains: IndexMap::new(),
        network_policies: Vec::new(),
        shared_volumes: IndexMap::new(),
    }
}

/// Projects that no domain can stand for, before anything is tried.
pub(super) fn impossible(scene: &Scene<'_>, scope: &Scope) -> Left {
    let mut left = Left::default();
    for (domain, project) in &scope.domains {
        let Some(found) = scene.all(Kind::Project).find(|found| found.id.name == *project) else { continue };
        let thing = Thing::of(found);
        let mut why = Vec::new();
        if thing.get("features.networks") == Some("true") {
            why.push(
                "the project has networks of its own (features.networks), and domains are on bridges of the host"
                    .into(),
            );
        }
        if thing.get("features.profiles") != Some("true") {
            why.push(
                "the project uses the profiles of `default` (features.profiles), which anklume never touches".into(),
            );
        }
        if thing::is_note(domain) {
            why.push("what begins with `x-` is not read: no domain can be called so".into());
        }
        if !why.is_empty() {
            left.domains.insert(domain.clone(), why);
        }
    }
    left
}
