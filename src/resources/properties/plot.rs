//! Random infrastructures out of a few names, so that two of them have much in common and differ in everything.

use std::collections::BTreeSet;

use indexmap::IndexMap;
use proptest::option;
use proptest::prelude::*;
use proptest::sample::select;

use super::stores::{self, SharePlot, StorePlot, a_share, a_store};
use crate::infra::model::{AclRule, Domain, Infra, Machine, Policy, Profile, RunState, TrustLevel};
use crate::resolve::sample::{domain, infra, keys, machine, named, policy};

/// The last one is too long for its bridge.
pub(super) const DOMAINS: [&str; 4] = ["pro", "home", "lab", "a-laboratory-far-away"];
pub(super) const MACHINES: [&str; 6] = ["m0", "m1", "m2", "m3", "m4", "m5"];
const PROFILES: [&str; 2] = ["p0", "p1"];
const LEVELS: [TrustLevel; 2] = [TrustLevel::Admin, TrustLevel::Disposable];

/// A file, in a form that can be mixed with another one, place by place.
#[derive(Debug, Clone)]
pub(super) struct Plot {
    pub(super) domains: [Option<DomainPlot>; DOMAINS.len()],
    pub(super) machines: [Option<MachinePlot>; MACHINES.len()],
    policies: Vec<(usize, usize, bool)>,
    shares: [Option<SharePlot>; 2],
}

#[derive(Debug, Clone)]
pub(super) struct DomainPlot {
    enabled: bool,
    subnet_id: Option<u8>,
    level: usize,
    pub(super) ephemeral: bool,
    description: &'static str,
    internet: bool,
    /// Ports of rules, and whether the first is one that allows.
    acl: Option<(Vec<u16>, bool)>,
    zone: Option<&'static str>,
    /// Room for so many more machines; every machine says its memory.
    pub(super) limit: Option<(usize, bool)>,
    profiles: [Option<ProfilePlot>; PROFILES.len()],
}

#[derive(Debug, Clone)]
struct ProfilePlot {
    config: Vec<(&'static str, &'static str)>,
    root: bool,
    /// A second card, on the bridge of the last domain: no machine has two on one bridge.
    card: bool,
}

#[derive(Debug, Clone)]
pub(super) struct MachinePlot {
    home: usize,
    vm: bool,
    part: Option<u8>,
    pub(super) ephemeral: Option<bool>,
    instance_ephemeral: bool,
    image: Option<&'static str>,
    profiles: Vec<usize>,
    with_default: bool,
    config: Vec<(&'static str, &'static str)>,
    card: CardPlot,
    disk: Option<&'static str>,
    state: Option<RunState>,
    store: StorePlot,
}

#[derive(Debug, Clone, Copy)]
enum CardPlot {
    OfDomain,
    Limited,
    NoAddress,
    ByParent,
    /// On the bridge of another domain, not the last one.
    Elsewhere(usize),
}

/// Keys that a container takes running, and those it takes at its next start; the last ones are not for VMs.
const CONFIG: [(&str, &[&str]); 9] = [
    ("user.note", &["x", "y"]),
    ("environment.TOKEN", &["one", "two"]),
    ("limits.cpu", &["1", "2"]),
    ("limits.memory", &["1GiB", "512MiB"]),
    ("boot.autostart", &["true", "false"]),
    ("security.protection.delete", &["true", "false"]),
    ("limits.kernel.nofile", &["1000", "2000"]),
    ("raw.lxc", &["lxc.a=1", "lxc.a=2"]),
    ("security.nesting", &["true", "false"]),
];
const FOR_VMS: usize = 6;

fn a_config(of: usize) -> impl Strategy<Value = Vec<(&'static str, &'static str)>> {
    let one = (0..of, 0..2usize).prop_map(|(key, value)| (CONFIG[key].0, CONFIG[key].1[value]));
    proptest::collection::vec(one, 0..3)
}

fn a_profile() -> impl Strategy<Value = ProfilePlot> {
    let parts = (a_config(FOR_VMS), prop::bool::weighted(0.2), prop::bool::weighted(0.15));
    parts.prop_map(|(config, root, card)| ProfilePlot { config, root, card })
}

fn a_domain() -> impl Strategy<Value = DomainPlot> {
    let subnet_id = option::weighted(0.4, 0..3u8);
    let yes = |share: f64| prop::bool::weighted(share);
    let limit = option::weighted(0.2, (0..2usize, any::<bool>()));
    let profile = || option::weighted(0.5, a_profile());
    let parts = (yes(0.9), subnet_id, 0..2usize, yes(0.6), select(vec!["", "one", "two"]), yes(0.8), limit);
    let acl = option::weighted(0.3, (proptest::collection::vec(select(vec![80, 81, 82]), 1..4), any::<bool>()));
    let zone = option::weighted(0.3, select(vec!["one.test", "two.test"]));
    (parts, [profile(), profile()], acl, zone).prop_map(|(parts, profiles, acl, zone)| {
        let (enabled, subnet_id, level, ephemeral, description, internet, limit) = parts;
        DomainPlot { enabled, subnet_id, level, ephemeral, description, internet, acl, zone, limit, profiles }
    })
}

fn a_card() -> impl Strategy<Value = CardPlot> {
    prop_oneof![
        8 => Just(CardPlot::OfDomain),
        1 => Just(CardPlot::Limited),
        1 => Just(CardPlot::NoAddress),
        1 => Just(CardPlot::ByParent),
        1 => (0..DOMAINS.len() - 1).prop_map(CardPlot::Elsewhere),
    ]
}

fn a_machine() -> impl Strategy<Value = MachinePlot> {
    let yes = |share: f64| prop::bool::weighted(share);
    let state = option::weighted(0.3, select(vec![RunState::Running, RunState::Stopped, RunState::Frozen]));
    let image = option::weighted(0.3, select(vec!["images:alpine/3.20", "golden"]));
    let first = (0..DOMAINS.len(), yes(0.15), option::weighted(0.4, 1..5u8), option::weighted(0.4, any::<bool>()));
    let profiles = proptest::collection::vec(0..PROFILES.len(), 0..2);
    let second = (yes(0.1), image, profiles, yes(0.9), a_config(CONFIG.len()), a_card());
    let disk = option::weighted(0.2, select(vec!["/one", "/two"]));
    (first, second, disk, state, a_store()).prop_map(|((home, vm, part, ephemeral), second, disk, state, store)| {
        let (instance_ephemeral, image, profiles, with_default, config, card) = second;
        let image = image.filter(|image| !vm || *image != "golden");
        let rest = (instance_ephemeral, image, profiles, with_default, config, card, disk, state);
        let (instance_ephemeral, image, profiles, with_default, config, card, disk, state) = rest;
        MachinePlot {
            home,
            vm,
            part,
            ephemeral,
            instance_ephemeral,
            image,
            profiles,
            with_default,
            config,
            card,
            disk,
            state,
            store,
        }
    })
}

pub(super) fn a_plot() -> impl Strategy<Value = Plot> {
    let domain = || option::weighted(0.7, a_domain()).boxed();
    let machine = || option::weighted(0.6, a_machine()).boxed();
    let end = || 0..DOMAINS.len() + MACHINES.len() + 1;
    let policies = proptest::collection::vec((end(), end(), any::<bool>()), 0..3);
    let domains = [domain(), domain(), domain(), domain()];
    let machines = [machine(), machine(), machine(), machine(), machine(), machine()];
    let shares = [option::weighted(0.3, a_share()), option::weighted(0.3, a_share())];
    (domains, machines, policies, shares).prop_map(|(domains, machines, policies, shares)| Plot {
        domains,
        machines,
        policies,
        shares,
    })
}

/// A file and what becomes of it: another one, or the same with some places changed.
pub(super) fn a_change() -> impl Strategy<Value = (Plot, Plot)> {
    let places = DOMAINS.len() + MACHINES.len();
    let mask = prop_oneof![Just(vec![true; places]), proptest::collection::vec(prop::bool::weighted(0.3), places)];
    (a_plot().boxed(), a_plot().boxed(), mask).prop_map(|(before, other, mask)| {
        let mut after = before.clone();
        for (at, domain) in other.domains.into_iter().enumerate().filter(|(at, _)| mask[*at]) {
            after.domains[at] = domain;
        }
        for (at, machine) in other.machines.into_iter().enumerate().filter(|(at, _)| mask[DOMAINS.len() + *at]) {
            after.machines[at] = machine;
        }
        if mask[0] {
            after.policies = other.policies;
            after.shares = other.shares;
        }
        let after = after.after(&before);
        (before, after)
    })
}

impl Plot {
    /// The same with room for machines that stay as they were: because they are protected, or would be made anew.
    fn after(mut self, before: &Self) -> Self {
        // One that is to be made anew by hand has no address to keep until then, unless it has one already.
        for (one, other) in self.machines.iter_mut().zip(&before.machines) {
            if let (Some(one), Some(other)) = (one, other)
                && one.vm != other.vm
            {
                one.card = other.card;
            }
        }
        let infra = before.infra();
        let key = "security.protection.delete";
        let is_protected = |home: &Domain, machine: &Machine| {
            let of_file = !machine.ephemeral.unwrap_or(home.ephemeral);
            machine.config.get(key).map_or(of_file, |value| value == "true")
        };
        let turns = |(one, other): (&Option<MachinePlot>, &Option<MachinePlot>)| {
            one.as_ref().zip(other.as_ref()).is_some_and(|(one, other)| one.vm != other.vm)
        };
        let turn = self.machines.iter().zip(&before.machines).any(turns);
        let mut domains = infra.domains.values();
        if turn || domains.any(|home| home.machines.values().any(|machine| is_protected(home, machine))) {
            return self.without_limits();
        }
        self
    }

    /// The same without limits, where machines of others are to come or orphans to stay.
    pub(super) fn without_limits(mut self) -> Self {
        self.domains.iter_mut().flatten().for_each(|domain| domain.limit = None);
        self
    }

    /// Names that a user could give to `--target` or `destroy`.
    pub(super) fn names(&self) -> Vec<String> {
        let infra = self.infra();
        let enabled = || infra.domains.iter().filter(|(_, domain)| domain.enabled);
        let machines = enabled().flat_map(|(_, domain)| domain.machines.keys());
        enabled().map(|(name, _)| name).chain(machines).cloned().collect()
    }

    /// The same file, but for what its machines keep and share.
    pub(super) fn with_stores_of(&self, other: &Self) -> Self {
        let mut made = Self { shares: other.shares.clone(), ..self.clone() };
        for (machine, other) in made.machines.iter_mut().zip(&other.machines) {
            if let (Some(machine), Some(other)) = (machine, other) {
                machine.store = other.store.clone();
            }
        }
        made
    }

    /// The file, valid: what would break a rule of the language is left out.
    pub(super) fn infra(&self) -> Infra {
        let mut made = infra([]);
        let (mut taken, mut zones) = (BTreeSet::new(), BTreeSet::new());
        for (at, (name, plot)) in DOMAINS.iter().zip(&self.domains).enumerate() {
            let Some(plot) = plot else { continue };
            let subnet_id = plot.subnet_id.filter(|id| taken.insert((plot.level, *id)));
            let mut home = Domain { subnet_id, ..self.domain(plot, at == DOMAINS.len() - 1) };
            home.dns_zone = home.dns_zone.filter(|zone| zones.insert(zone.clone()));
            let of_it = |machine: &&MachinePlot| DOMAINS[machine.home] == *name;
            let mut parts = BTreeSet::new();
            for (machine, plot) in MACHINES.iter().zip(&self.machines) {
                let Some(plot) = plot.as_ref().filter(of_it) else { continue };
                let mut written = self.machine(plot, &home);
                written.host_part = written.host_part.filter(|part| parts.insert(*part));
                home.machines.insert((*machine).to_owned(), written);
            }
            limit(&mut home, plot.limit);
            made.domains.insert((*name).to_owned(), home);
        }
        made.network_policies = self.policies(&made);
        made.shared_volumes = stores::shares(&self.shares, &made);
        made
    }

    /// The bridge of another domain, as a file names it; only of one that is there.
    fn bridge_of(&self, at: usize) -> Option<String> {
        self.domains[at].as_ref().filter(|domain| domain.enabled).map(|_| format!("net-{}", DOMAINS[at]))
    }

    fn domain(&self, plot: &DomainPlot, is_last: bool) -> Domain {
        let mut profiles = IndexMap::new();
        for (name, plot) in PROFILES.iter().zip(&plot.profiles) {
            let Some(plot) = plot else { continue };
            let mut profile = Profile { config: config(&plot.config), ..Profile::default() };
            if plot.root {
                profile.devices.insert("root".into(), keys([("type", "disk"), ("path", "/"), ("pool", "default")]));
            }
            if let Some(bridge) = self.bridge_of(DOMAINS.len() - 1).filter(|_| plot.card && !is_last) {
                profile.devices.insert("eth7".into(), keys([("type", "nic"), ("network", &bridge)]));
            }
            profiles.insert((*name).to_owned(), profile);
        }
        Domain {
            enabled: plot.enabled,
            trust_level: LEVELS[plot.level],
            ephemeral: plot.ephemeral,
            description: plot.description.into(),
            internet: plot.internet,
            acl: plot.acl.iter().flat_map(|(ports, allows)| acl(ports, *allows)).collect(),
            dns_zone: plot.zone.map(str::to_owned),
            profiles,
            ..domain([])
        }
    }

    fn machine(&self, plot: &MachinePlot, home: &Domain) -> Machine {
        let mut profiles = if plot.with_default { vec!["default".to_owned()] } else { Vec::new() };
        let own = plot.profiles.iter().map(|at| PROFILES[*at]);
        profiles.extend(own.filter(|name| home.profiles.contains_key(*name)).map(str::to_owned));
        let mut config = config(&plot.config);
        if plot.vm {
            config.retain(|key, _| CONFIG[..FOR_VMS].iter().any(|(name, _)| name == key));
        }
        let mut devices = IndexMap::new();
        let bridge = format!("net-{}", DOMAINS[plot.home]);
        let eth0 = match plot.card {
            CardPlot::OfDomain => None,
            CardPlot::Limited => Some(keys([("type", "nic"), ("limits.egress", "1Mbit")])),
            CardPlot::NoAddress => Some(keys([("type", "nic"), ("network", &bridge), ("ipv4.address", "none")])),
            CardPlot::ByParent => Some(keys([("type", "nic"), ("nictype", "bridged"), ("parent", &bridge)])),
            CardPlot::Elsewhere(at) => {
                let other = self.bridge_of(at).filter(|_| at != plot.home);
                other.map(|other| keys([("type", "nic"), ("network", &other)]))
            }
        };
        devices.extend(eth0.map(|eth0| ("eth0".to_owned(), eth0)));
        let disk = plot.disk.map(|path| keys([("type", "disk"), ("source", "/usr/share"), ("path", path)]));
        devices.extend(disk.map(|disk| ("data".to_owned(), disk)));
        let has_address = matches!(plot.card, CardPlot::OfDomain | CardPlot::Limited | CardPlot::ByParent);
        // What is gone when it stops cannot be told to be stopped.
        let state = plot.state.filter(|state| !(plot.instance_ephemeral && *state == RunState::Stopped));
        let mut written = Machine {
            vm: plot.vm,
            host_part: plot.part.filter(|_| has_address),
            ephemeral: plot.ephemeral,
            instance_ephemeral: plot.instance_ephemeral,
            os_image: plot.image.map(str::to_owned),
            profiles,
            config,
            devices,
            state: state.unwrap_or(RunState::Running),
            state_written: state.is_some(),
            ..machine()
        };
        plot.store.fill(&mut written);
        written
    }

    fn policies(&self, made: &Infra) -> Vec<Policy> {
        let name = |at: usize| match at {
            at if at < DOMAINS.len() => made.domains.contains_key(DOMAINS[at]).then_some(DOMAINS[at]),
            at if at < DOMAINS.len() + MACHINES.len() => {
                let name = MACHINES[at - DOMAINS.len()];
                let mut all = made.domains.values().flat_map(|domain| &domain.machines);
                // One that is on another bridge has no address that a policy could name.
                let fixed = |machine: &Machine| {
                    machine
                        .devices
                        .get("eth0")
                        .is_none_or(|eth0| eth0.get("ipv4.address").is_none() && eth0.get("network").is_none())
                };
                all.any(|(machine, written)| machine == name && fixed(written)).then_some(name)
            }
            _ => Some("host"),
        };
        let policies = self.policies.iter().filter_map(|(from, to, bidirectional)| {
            let (from, to) = (name(*from)?, name(*to)?);
            (from != to).then(|| Policy { bidirectional: *bidirectional, ..policy(from, to) })
        });
        policies.collect()
    }
}

fn config(entries: &[(&'static str, &'static str)]) -> IndexMap<String, String> {
    named(entries.iter().map(|(key, value)| (*key, (*value).to_owned())))
}

fn acl(ports: &[u16], allows: bool) -> impl Iterator<Item = AclRule> {
    ports.iter().enumerate().map(move |(at, port)| AclRule {
        direction: if port % 2 == 0 { "ingress" } else { "egress" }.into(),
        action: if allows && at == 0 { "allow" } else { "drop" }.into(),
        protocol: Some("tcp".into()),
        source: None,
        destination: None,
        destination_port: Some(port.to_string()),
        description: String::new(),
    })
}

/// Project limits that the machines keep to.
fn limit(home: &mut Domain, limit: Option<(usize, bool)>) {
    let Some((room, memory)) = limit else { return };
    let count = home.machines.len() + room;
    home.limits.insert("limits.instances".into(), count.to_string());
    if memory {
        home.limits.insert("limits.memory".into(), format!("{count}GiB"));
        for machine in home.machines.values_mut() {
            machine.config.entry("limits.memory".into()).or_insert_with(|| "1GiB".into());
        }
    }
}
