//! An infrastructure as a file that somebody would have written: defaults left out, what is short on one line, a word where
//! one is needed. As far as `anklume import` says one: what leaves no trace on a host is not in it.

mod layout;

use std::collections::{BTreeMap, BTreeSet};

use indexmap::IndexMap;

use super::decode::domain::{LIMITS, TRUST_LEVELS};
use super::model::{
    AclRule, Addressing, Config, Devices, Domain, Global, GpuPolicy, Infra, Machine, Policy, PortRange, Profile,
    Protocol, RunState, SharedVolume, TrustLevel, Volume,
};
use super::problem::Path;
use layout::{Entry, Style, Value, page};

/// How many short entries stand on one line.
const FEW: usize = 3;
const ALL: usize = usize::MAX;

/// What is said beside the values.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Remarks {
    /// Comments, by what they stand above.
    pub(crate) notes: BTreeMap<Path, Vec<String>>,
    /// Domains and machines that are written as comments: they are none of the file.
    pub(crate) off: BTreeSet<Path>,
    /// Lines at the end.
    pub(crate) end: Vec<String>,
}

impl Remarks {
    /// One more line above a place.
    pub(crate) fn note(&mut self, at: &Path, line: impl Into<String>) {
        self.notes.entry(at.clone()).or_default().push(line.into());
    }
}

/// The text of the file.
pub(crate) fn text(infra: &Infra, remarks: &Remarks) -> String {
    let at = Path::default();
    let mut file = Map::new(remarks, at);
    file.put("project_name", Value::text(&infra.project_name));
    file.put("global", global(&infra.global, remarks));
    file.put_apart("domains", domains(infra, remarks));
    if !infra.network_policies.is_empty() {
        file.put_apart("network_policies", policies(&infra.network_policies, remarks));
    }
    if !infra.shared_volumes.is_empty() {
        file.put_apart("shared_volumes", shares(&infra.shared_volumes, remarks));
    }
    let mut text = String::new();
    for line in remarks.notes.get(&Path::default()).into_iter().flatten() {
        text.push_str(format!("# {line}").trim_end());
        text.push('\n');
    }
    text.push_str(if text.is_empty() { "" } else { "\n" });
    text.push_str(&page(&file.entries));
    if !remarks.end.is_empty() {
        text.push('\n');
    }
    for line in &remarks.end {
        text.push_str(format!("# {line}").trim_end());
        text.push('\n');
    }
    text
}

/// The entries of a map of the language, each with what is to be said above it.
struct Map<'r> {
    at: Path,
    remarks: &'r Remarks,
    entries: Vec<Entry>,
}

impl<'r> Map<'r> {
    fn new(remarks: &'r Remarks, at: Path) -> Self {
        Self { at, remarks, entries: Vec::new() }
    }

    fn put(&mut self, key: &str, value: Value) {
        let at = self.at.to(key);
        let notes = self.remarks.notes.get(&at).cloned().unwrap_or_default();
        let off = self.remarks.off.contains(&at);
        self.entries.push(Entry { notes, off, ..Entry::new(key, value) });
    }

    /// With an empty line before it.
    fn put_apart(&mut self, key: &str, value: Value) {
        self.put(key, value);
        self.entries.iter_mut().last().expect("it was put there").apart = true;
    }

    fn text(&mut self, key: &str, text: &str) {
        if !text.is_empty() {
            self.put(key, Value::text(text));
        }
    }

    fn some<T: ToString>(&mut self, key: &str, value: Option<T>) {
        if let Some(value) = value {
            self.put(key, Value::text(&value));
        }
    }

    fn flag(&mut self, key: &str, value: bool, default: bool) {
        self.some(key, Some(value).filter(|value| *value != default));
    }

    fn map<T>(&mut self, key: &str, map: &IndexMap<String, T>, style: Style, value: impl Fn(&T, Path) -> Value) {
        if map.is_empty() {
            return;
        }
        let at = self.at.to(key);
        let mut inner = Map::new(self.remarks, at.clone());
        map.iter().for_each(|(name, one)| inner.put(name, value(one, at.to(name))));
        self.put(key, inner.done(style));
    }

    fn config(&mut self, key: &str, config: &Config) {
        self.map(key, config, Style::Line(FEW), |value, _| Value::text(value));
    }

    fn devices(&mut self, devices: &Devices) {
        self.map("devices", devices, Style::Block, |keys, _| {
            let pairs = keys.iter().map(|(key, value)| Entry::new(key, Value::text(value)));
            Value::Map(pairs.collect(), Style::Line(ALL))
        });
    }

    fn done(self, style: Style) -> Value {
        Value::Map(self.entries, style)
    }
}

fn global(global: &Global, remarks: &Remarks) -> Value {
    let mut map = Map::new(remarks, Path::of(["global"]));
    match &global.addressing {
        Addressing::BaseSubnet(a, b) => map.put("base_subnet", Value::text(&format!("{a}.{b}"))),
        Addressing::Zones { base: 100, step: 10 } => {}
        Addressing::Zones { base, step } => {
            let pairs = [("zone_base", *base, 100), ("zone_step", *step, 10)];
            let pairs = pairs.iter().filter(|(_, value, default)| value != default);
            let entries = pairs.map(|(key, value, _)| Entry::new(*key, Value::text(value))).collect();
            map.put("addressing", Value::Map(entries, Style::Line(ALL)));
        }
    }
    let image = Some(&global.default_os_image).filter(|image| *image != "images:debian/13");
    map.some("default_os_image", image);
    map.some("default_pool", global.default_pool.as_ref());
    map.flag("nesting_prefix", global.nesting_prefix, true);
    map.some("gpu_policy", Some("shared").filter(|_| global.gpu_policy == GpuPolicy::Shared));
    let base = |written: &'_ String, default: &str| Some(written.clone()).filter(|base| base != default);
    map.some("shared_volumes_base", base(&global.shared_volumes_base, "/srv/anklume/shares"));
    map.some("persistent_data_base", base(&global.persistent_data_base, "/srv/anklume/data"));
    map.done(Style::Block)
}

fn domains(infra: &Infra, remarks: &Remarks) -> Value {
    let mut map = Map::new(remarks, Path::of(["domains"]));
    for (name, written) in &infra.domains {
        let at = Path::of(["domains", name]);
        map.put_apart(name, domain(written, remarks, at));
    }
    map.done(Style::Block)
}

fn domain(domain: &Domain, remarks: &Remarks, at: Path) -> Value {
    let mut map = Map::new(remarks, at);
    map.text("description", &domain.description);
    let level = TRUST_LEVELS.iter().find(|(_, level)| *level == domain.trust_level).map(|(word, _)| *word);
    map.some("trust_level", level.filter(|_| domain.trust_level != TrustLevel::SemiTrusted));
    map.some("subnet_id", domain.subnet_id);
    if domain.bridge.name.is_some() || domain.bridge.address.is_some() {
        let mut bridge = Map::new(remarks, map.at.to("bridge"));
        bridge.some("name", domain.bridge.name.as_ref());
        bridge.some("address", domain.bridge.address);
        map.put("bridge", bridge.done(Style::Line(ALL)));
    }
    map.flag("ephemeral", domain.ephemeral, false);
    map.flag("internet", domain.internet, true);
    let limits =
        LIMITS.iter().filter_map(|(key, incus, _)| Some(((*key).to_owned(), domain.limits.get(*incus)?.clone())));
    let limits: Config = limits.collect();
    map.map("limits", &limits, Style::Line(ALL), |value, _| Value::text(value));
    map.some("dns_zone", domain.dns_zone.as_ref());
    if !domain.acl.is_empty() {
        map.put(
            "acl",
            Value::List(domain.acl.iter().map(|rule| Entry::new("", acl_rule(rule))).collect(), Style::Block),
        );
    }
    map.map("profiles", &domain.profiles, Style::Block, |one, at| profile(one, remarks, at));
    map.map("machines", &domain.machines, Style::Block, |one, at| machine(one, remarks, at));
    map.done(Style::Block)
}

fn acl_rule(rule: &AclRule) -> Value {
    let none = Remarks::default();
    let mut map = Map::new(&none, Path::default());
    map.text("direction", &rule.direction);
    map.text("action", &rule.action);
    map.some("protocol", rule.protocol.as_ref());
    map.some("source", rule.source.as_ref());
    map.some("destination", rule.destination.as_ref());
    map.some("destination_port", rule.destination_port.as_ref());
    map.text("description", &rule.description);
    map.done(Style::Line(ALL))
}

fn profile(profile: &Profile, remarks: &Remarks, at: Path) -> Value {
    let mut map = Map::new(remarks, at);
    map.text("description", &profile.description);
    map.config("config", &profile.config);
    map.devices(&profile.devices);
    map.done(Style::Block)
}

fn machine(machine: &Machine, remarks: &Remarks, at: Path) -> Value {
    let mut map = Map::new(remarks, at);
    map.text("description", &machine.description);
    map.some("type", Some("vm").filter(|_| machine.vm));
    map.some("os_image", machine.os_image.as_ref());
    map.some("ip", machine.ip.map(|ip| ip.to_string()).or_else(|| machine.dhcp.then(|| "dhcp".to_owned())));
    map.some("ephemeral", machine.ephemeral);
    map.flag("instance_ephemeral", machine.instance_ephemeral, false);
    map.flag("gpu", machine.gpu, false);
    if machine.profiles != ["default"] {
        map.put("profiles", Value::words(&machine.profiles));
    }
    map.some("boot_autostart", machine.boot_autostart);
    map.some("boot_priority", machine.boot_priority);
    map.some("snapshots_schedule", machine.snapshots_schedule.as_ref());
    map.some("snapshots_expiry", machine.snapshots_expiry.as_ref());
    map.config("config", &machine.config);
    let cloud_init = &machine.cloud_init;
    let documents = [
        ("user_data", &cloud_init.user_data),
        ("vendor_data", &cloud_init.vendor_data),
        ("network_config", &cloud_init.network_config),
    ];
    let documents: Config =
        documents.into_iter().filter_map(|(key, text)| Some((key.to_owned(), text.clone()?))).collect();
    map.config("cloud_init", &documents);
    map.devices(&machine.devices);
    map.map("storage_volumes", &machine.storage_volumes, Style::Block, |one, at| volume(one, remarks, at));
    map.map("persistent_data", &machine.persistent_data, Style::Block, |one, at| {
        let mut map = Map::new(remarks, at);
        map.text("path", &one.path);
        map.flag("readonly", one.readonly, false);
        map.done(Style::Line(ALL))
    });
    let state = [(RunState::Running, "running"), (RunState::Stopped, "stopped"), (RunState::Frozen, "frozen")];
    let state = state.iter().find(|(state, _)| *state == machine.state).map(|(_, word)| *word);
    map.some("state", state.filter(|_| machine.state_written));
    map.done(Style::Line(2))
}

fn volume(volume: &Volume, remarks: &Remarks, at: Path) -> Value {
    let mut map = Map::new(remarks, at);
    map.some("path", volume.path.as_ref());
    map.some("content_type", Some("block").filter(|_| volume.block));
    map.some("size", volume.size.as_ref());
    map.some("pool", volume.pool.as_ref());
    map.config("config", &volume.config);
    map.done(Style::Line(ALL))
}

fn policies(policies: &[Policy], remarks: &Remarks) -> Value {
    let all = Path::of(["network_policies"]);
    let item = |(at, one): (usize, &Policy)| {
        let at = all.to(at);
        let notes = remarks.notes.get(&at).cloned().unwrap_or_default();
        Entry { notes, off: remarks.off.contains(&at), ..Entry::new("", policy(one)) }
    };
    Value::List(policies.iter().enumerate().map(item).collect(), Style::Block)
}

fn policy(policy: &Policy) -> Value {
    let none = Remarks::default();
    let mut map = Map::new(&none, Path::default());
    map.text("from", &policy.from);
    map.text("to", &policy.to);
    if !policy.ports.is_empty() {
        map.put("ports", Value::words(policy.ports.iter().map(|range| ports(*range))));
    }
    let protocol = policy.protocol.map(|protocol| match protocol {
        Protocol::Tcp => "tcp",
        Protocol::Udp => "udp",
    });
    map.some("protocol", protocol);
    map.flag("bidirectional", policy.bidirectional, false);
    map.text("description", &policy.description);
    map.done(Style::Line(ALL))
}

fn ports(range: PortRange) -> String {
    if range.first == range.last { range.first.to_string() } else { format!("{}-{}", range.first, range.last) }
}

fn shares(shares: &IndexMap<String, SharedVolume>, remarks: &Remarks) -> Value {
    let mut map = Map::new(remarks, Path::of(["shared_volumes"]));
    for (name, share) in shares {
        let mut one = Map::new(remarks, map.at.to(name));
        one.some("source", share.source.as_ref());
        one.some("path", share.path.as_ref());
        one.flag("shift", share.shift, true);
        one.flag("propagate", share.propagate, false);
        let word = |writes: &bool, _| Value::text(if *writes { "rw" } else { "ro" });
        one.map("consumers", &share.consumers, Style::Line(ALL), word);
        map.put(name, one.done(Style::Line(ALL)));
    }
    map.done(Style::Block)
}

#[cfg(test)]
mod tests;
