//! Projects as people make them with `incus`, in any way that works: what is imported of them takes them over as they are.

use proptest::collection::vec;
use proptest::option;
use proptest::prelude::*;
use proptest::sample::select;

use super::config;
use super::importing::{read, taken_over};
use super::world::World;
use crate::incus::fake::{Instance, Object, State};
use crate::lifecycle::import::Asked;
use crate::resolve::names::Names;

const PROJECTS: [&str; 3] = ["shop", "games", "a-name-too-long-for-a-bridge"];

#[derive(Debug, Clone)]
struct ProjectPlot {
    /// It has images of its own, as a project has that is made without a word.
    images: bool,
    description: &'static str,
    limit: Option<&'static str>,
    bridge: BridgePlot,
    default: DefaultPlot,
    /// A profile with a card of its own, or without one.
    extra: Extra,
    machines: Vec<MachinePlot>,
}

#[derive(Debug, Clone)]
enum Extra {
    None,
    Bare,
    WithCard(CardPlot),
}

#[derive(Debug, Clone)]
struct BridgePlot {
    name: Option<&'static str>,
    /// Its address, with its place in the network before the length.
    address: &'static str,
    nat: Option<&'static str>,
    six: Option<&'static str>,
    ranges: bool,
    description: &'static str,
    rest: Vec<(&'static str, &'static str)>,
}

#[derive(Debug, Clone)]
struct DefaultPlot {
    root: Option<&'static str>,
    card: Option<CardPlot>,
    description: &'static str,
    config: bool,
}

#[derive(Debug, Clone, Copy)]
struct CardPlot {
    by_parent: bool,
    named: bool,
    filters: (Option<&'static str>, Option<&'static str>),
    limited: bool,
}

#[derive(Debug, Clone)]
#[expect(clippy::struct_excessive_bools, reason = "each is a choice of its own")]
struct MachinePlot {
    vm: bool,
    ephemeral: bool,
    status: &'static str,
    default: bool,
    extra: bool,
    card: Option<CardPlot>,
    fixed: bool,
    root: Option<&'static str>,
    config: Vec<(&'static str, &'static str)>,
    second: bool,
}

fn yes(share: f64) -> impl Strategy<Value = bool> {
    prop::bool::weighted(share)
}

fn a_card() -> impl Strategy<Value = CardPlot> {
    let filter = || option::of(select(vec!["true", "false"]));
    (yes(0.2), any::<bool>(), (filter(), filter()), yes(0.2))
        .prop_map(|(by_parent, named, filters, limited)| CardPlot { by_parent, named, filters, limited })
}

fn a_bridge() -> impl Strategy<Value = BridgePlot> {
    let address = select(vec!["1/24", "254/24", "1/25", "9/28", "254/16"]);
    let six = option::of(select(vec!["none", "fd42:1::1/64"]));
    let rest = vec(select(vec![("dns.domain", "x.test"), ("ipv4.dhcp.expiry", "2h"), ("user.note", "by hand")]), 0..2);
    let name = option::weighted(0.4, select(vec!["br", "mine-"]));
    (name, address, option::of(select(vec!["true", "false"])), six, any::<bool>(), select(vec!["", "one"]), rest)
        .prop_map(|(name, address, nat, six, ranges, description, rest)| BridgePlot {
            name,
            address,
            nat,
            six,
            ranges,
            description,
            rest,
        })
}

fn a_machine() -> impl Strategy<Value = MachinePlot> {
    let value = vec![
        ("user.note", "one\n two: 'three' \"four\"\n"),
        ("environment.TOKEN", "#secret: {x}"),
        ("cloud-init.user-data", "#cloud-config\nhostname: x\n\n"),
        ("user.user-data", "#!/bin/sh\necho \\n\t$1"),
        ("limits.memory", "512MiB"),
        ("boot.autostart", "true"),
        ("boot.autostart.priority", "007"),
        ("snapshots.schedule", "0 3 * * *"),
        ("snapshots.expiry", "2w"),
        ("security.protection.delete", "true"),
        ("security.protection.delete", "1"),
        ("user.odd", " leading, and trailing "),
        ("user.null", "null"),
    ];
    let kind = (yes(0.15), yes(0.1), select(vec!["Running", "Stopped", "Frozen"]));
    let profiles = (yes(0.8), yes(0.3));
    let devices =
        (option::of(a_card()), any::<bool>(), option::weighted(0.3, select(vec!["default", "fast"])), yes(0.1));
    (kind, profiles, devices, vec(select(value), 0..4)).prop_map(|(kind, profiles, devices, config)| {
        let ((vm, ephemeral, status), (default, extra), (card, fixed, root, second)) = (kind, profiles, devices);
        let status = if ephemeral && status == "Stopped" { "Running" } else { status };
        MachinePlot { vm, ephemeral, status, default, extra, card, fixed, root, config, second }
    })
}

fn a_project() -> impl Strategy<Value = ProjectPlot> {
    let default = (option::weighted(0.8, select(vec!["root", "disk0"])), option::weighted(0.7, a_card()));
    let default = (default, select(vec!["", "Default Incus profile for project x"]), yes(0.2))
        .prop_map(|((root, card), description, config)| DefaultPlot { root, card, description, config });
    let limit = option::weighted(0.2, select(vec!["limits.instances", "limits.networks"]));
    let extra = prop_oneof![Just(Extra::None), Just(Extra::Bare), a_card().prop_map(Extra::WithCard)];
    (any::<bool>(), select(vec!["", "one"]), limit, a_bridge(), default, extra, vec(a_machine(), 0..4)).prop_map(
        |(images, description, limit, bridge, default, extra, machines)| ProjectPlot {
            images,
            description,
            limit,
            bridge,
            default,
            extra,
            machines,
        },
    )
}

fn owned(pairs: &[(&str, &str)]) -> std::collections::BTreeMap<String, String> {
    pairs.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect()
}

impl CardPlot {
    fn keys(self, bridge: &str, address: Option<&str>) -> std::collections::BTreeMap<String, String> {
        let mut keys = owned(&[("type", "nic")]);
        if self.by_parent {
            keys.extend(owned(&[("nictype", "bridged"), ("parent", bridge)]));
        } else {
            keys.extend(owned(&[("network", bridge)]));
        }
        keys.extend(owned(&[("name", "eth0")]).into_iter().filter(|_| self.named));
        keys.extend(self.filters.0.map(|value| ("security.mac_filtering".to_owned(), value.to_owned())));
        keys.extend(self.filters.1.map(|value| ("security.ipv4_filtering".to_owned(), value.to_owned())));
        keys.extend(owned(&[("limits.egress", "1Mbit")]).into_iter().filter(|_| self.limited));
        keys.extend(address.map(|address| ("ipv4.address".to_owned(), address.to_owned())));
        keys
    }
}

/// Makes a project, as far as anklume can take it over.
fn make(state: &mut State, number: usize, plot: &ProjectPlot) {
    let project = PROJECTS[number];
    // One that nothing is on is nobody's.
    let bridge = match plot.bridge.name.filter(|_| plot.default.card.is_some()) {
        Some(start) => format!("{start}{number}"),
        None => Names::default().bridge(project),
    };
    let base = format!("10.{}.7", if plot.bridge.ranges { 120 + number } else { 60 + number });
    let address = format!("{base}.{}", plot.bridge.address);
    let mut net = owned(&[("ipv4.address", &address)]);
    net.extend(plot.bridge.nat.map(|nat| ("ipv4.nat".to_owned(), nat.to_owned())));
    net.extend(plot.bridge.six.map(|six| ("ipv6.address".to_owned(), six.to_owned())));
    net.extend(plot.bridge.rest.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())));
    if plot.bridge.ranges {
        net.insert("ipv4.dhcp.ranges".into(), format!("{base}.100-{base}.199"));
    }
    let description = plot.bridge.description.to_owned();
    state.networks.insert(bridge.clone(), Object { config: net, description, ..Object::default() });

    let yes = |on: bool| if on { "true" } else { "false" };
    let mut features = owned(&[("features.profiles", "true"), ("features.storage.volumes", "true")]);
    features.extend(owned(&[("features.networks", "false"), ("features.images", yes(plot.images))]));
    features.extend(plot.limit.map(|key| (key.to_owned(), "9".to_owned())));
    let description = plot.description.to_owned();
    state.projects.insert(project.into(), Object { config: features, description, ..Object::default() });

    let mut default = Object { description: plot.default.description.into(), ..Object::default() };
    if let Some(root) = plot.default.root {
        default.devices.insert(root.into(), owned(&[("type", "disk"), ("path", "/"), ("pool", "default")]));
    }
    if let Some(card) = plot.default.card {
        default.devices.insert("eth0".into(), card.keys(&bridge, None));
    }
    if plot.default.config {
        default.config.insert("limits.processes".into(), "500".into());
        default.config.insert("user.note".into(), "by hand".into());
    }
    state.profiles.insert((project.into(), "default".into()), default);
    if !matches!(plot.extra, Extra::None) {
        let mut extra = Object { config: owned(&[("limits.cpu", "2")]), ..Object::default() };
        if let Extra::WithCard(card) = plot.extra {
            extra.devices.insert("eth0".to_owned(), card.keys(&bridge, None));
        }
        state.profiles.insert((project.into(), "extra".into()), extra);
    }
    for (at, machine) in plot.machines.iter().enumerate() {
        make_machine(state, (project, &bridge), (&base, at), plot, machine);
    }
}

fn make_machine(
    state: &mut State,
    (project, bridge): (&str, &str),
    (base, at): (&str, usize),
    plot: &ProjectPlot,
    machine: &MachinePlot,
) {
    let mut profiles: Vec<String> = Vec::new();
    profiles.extend(["default".to_owned()].into_iter().filter(|_| machine.default));
    profiles.extend(["extra".to_owned()].into_iter().filter(|_| machine.extra && !matches!(plot.extra, Extra::None)));
    let mut object = Object::default();
    object.config.extend(machine.config.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())));
    if machine.vm {
        object.config.retain(|key, _| key != "limits.processes");
    }
    let fixed = format!("{base}.{}", 2 + at);
    let gives_card =
        (machine.default && plot.default.card.is_some()) || (machine.extra && matches!(plot.extra, Extra::WithCard(_)));
    // A machine with no card at all, and without the project's own profile, is one that anklume would give a card.
    let card = machine.card.or_else(|| {
        let plain = CardPlot { by_parent: false, named: false, filters: (None, None), limited: false };
        (!gives_card && !machine.default).then_some(plain)
    });
    let address = Some(fixed.as_str()).filter(|_| machine.fixed);
    object.devices.extend(card.map(|card| ("eth0".to_owned(), card.keys(bridge, address))));
    let has_root = machine.default && plot.default.root.is_some();
    let root = machine.root.filter(|_| plot.default.root != Some("disk0") || !machine.default);
    if let Some(pool) = root.or_else(|| (!has_root).then_some("default")) {
        object.devices.insert("root".into(), owned(&[("type", "disk"), ("path", "/"), ("pool", pool)]));
    }
    if machine.second {
        object.devices.insert("tun".into(), owned(&[("type", "unix-char"), ("path", "/dev/net/tun")]));
    }
    let name = format!("{}-m{at}", &project[..4]);
    let (vm, ephemeral, status) = (machine.vm, machine.ephemeral, machine.status);
    let made = Instance { object, profiles, vm, ephemeral, status, files: std::collections::BTreeSet::new() };
    state.instances.insert((project.into(), name), made);
}

proptest! {
    #![proptest_config(config(100))]

    #[test]
    fn what_was_made_by_hand_is_taken_over_as_it_is(plots in vec(a_project(), 1..PROJECTS.len() + 1)) {
        let world = World::new();
        for (number, plot) in plots.iter().enumerate() {
            make(&mut world.fake.state(), number, plot);
        }
        let imported = world.imported(&Asked::default());
        prop_assert_eq!(&imported.left, &Vec::<String>::new(), "{}", imported.text);
        taken_over(&world, &imported.text)?;
        // What is said of it does not change when it has marks.
        prop_assert_eq!(world.imported(&Asked::default()).left, Vec::<String>::new());
        let again = world.imported(&Asked::default()).text;
        prop_assert_eq!(read(&again)?.domains, read(&imported.text)?.domains, "{}", again);
    }
}
