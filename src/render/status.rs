//! The state of the machines by domain, and of the isolation, as text and JSON.

use std::collections::BTreeMap;

use serde::Serialize;
use serde_json::Value;

use super::json::pretty;
use super::text::{trust_style, trust_word};
use crate::firewall::fence::{Elsewhere, Table};
use crate::firewall::keep::AfterReboot;
use crate::incus::live::Live;
use crate::infra::model::TrustLevel;
use crate::lifecycle::health::Health;
use crate::plan::{Id, Kind, Plan};
use crate::resolve::desired::{Desired, Domain, Machine};
use crate::ui::{Style, Surface};

/// Everything that is shown.
#[derive(Debug, Clone, Serialize)]
pub(crate) struct Status {
    infra: String,
    domains: Vec<DomainStatus>,
    firewall: FirewallStatus,
    /// What carries the mark and is not in the file.
    orphans: Vec<String>,
}

#[derive(Debug, Clone, Serialize)]
struct DomainStatus {
    name: String,
    project: String,
    bridge: String,
    subnet: String,
    trust_level: &'static str,
    #[serde(skip)]
    trust: TrustLevel,
    machines: Vec<MachineStatus>,
    /// What differs of the domain itself.
    drift: Vec<String>,
}

#[derive(Debug, Clone, Serialize)]
struct MachineStatus {
    name: String,
    instance: String,
    #[serde(rename = "type")]
    kind: &'static str,
    /// `Running`, `Stopped`, `Frozen`, …; `Missing` where there is none yet.
    state: String,
    /// The address that the guest has; the one reserved for it where it does not run.
    address: Option<String>,
    /// What the file's `health` command said in it; nothing where there is none, or it does not run.
    health: Option<Health>,
    /// What differs from the file; empty: nothing.
    drift: Vec<String>,
}

#[derive(Debug, Clone, Serialize)]
struct FirewallStatus {
    /// `in force`, `missing`, `differs`, `unknown`.
    state: &'static str,
    message: String,
    /// What there will be after a reboot; nothing where there is nothing to keep apart, or it cannot be told.
    after_reboot: Option<AfterReboot>,
    /// The former table comes back unless this one is confirmed.
    on_trial: bool,
}

impl Status {
    /// Puts together what was read. `instances` is the list with the guests' own state, `health` what was answered by
    /// those that were asked.
    pub(crate) fn new(
        desired: &Desired,
        live: &Live,
        plan: &Plan,
        instances: &Value,
        health: &BTreeMap<Id, Health>,
    ) -> Self {
        let instances: BTreeMap<Id, &Value> = instances
            .as_array()
            .into_iter()
            .flatten()
            .filter_map(|listed| {
                Some((Id::within(Kind::Instance, listed["project"].as_str()?, listed["name"].as_str()?), listed))
            })
            .collect();
        let drift = Drift::of(plan);
        let domain = |domain: &Domain| DomainStatus {
            name: domain.name.clone(),
            project: domain.project.clone(),
            bridge: domain.bridge.clone(),
            subnet: domain.subnet.to_string(),
            trust_level: trust_word(domain.trust),
            trust: domain.trust,
            machines: domain
                .machines
                .iter()
                .map(|machine| machine_status(domain, machine, &instances, &drift, health))
                .collect(),
            drift: drift.of_domain(&domain.name),
        };
        Self {
            infra: desired.infra.clone(),
            domains: desired.domains.iter().map(domain).collect(),
            firewall: firewall(desired, live, &drift),
            orphans: drift.orphans,
        }
    }

    /// As JSON.
    pub(crate) fn json(&self) -> String {
        pretty(&serde_json::to_value(self).unwrap_or_default())
    }

    /// As a table by domain.
    pub(crate) fn text(&self, surface: &Surface) -> String {
        let machines = || self.domains.iter().flat_map(|domain| &domain.machines);
        let name = machines().map(|machine| machine.name.len()).max().unwrap_or_default();
        let state = machines().map(|machine| machine.state.len()).max().unwrap_or_default();
        let mut text = String::new();
        for domain in &self.domains {
            let painted = surface.paint(trust_style(domain.trust), &domain.name);
            text.push_str(&format!("{painted}  {}, {}, {}\n", domain.trust_level, domain.subnet, domain.bridge));
            if !domain.drift.is_empty() {
                let drift = surface.paint(Style::Yellow, format!("differs: {}", domain.drift.join(", ")));
                text.push_str(&format!("  {drift}\n"));
            }
            for machine in &domain.machines {
                let style = if machine.state == "Running" { Style::Green } else { Style::Dim };
                let stands = surface.paint(style, format!("{:state$}", machine.state));
                let address = machine.address.as_deref().unwrap_or("-");
                let drift = if machine.drift.is_empty() {
                    surface.paint(Style::Dim, "as in the file")
                } else {
                    surface.paint(Style::Yellow, format!("differs: {}", machine.drift.join(", ")))
                };
                let health = machine.health.as_ref().map(|health| health_shown(health, surface)).unwrap_or_default();
                text.push_str(&format!(
                    "  {:name$}  {:3}  {stands}  {address:15}  {drift}{health}\n",
                    machine.name, machine.kind
                ));
            }
            text.push('\n');
        }
        for orphan in &self.orphans {
            text.push_str(&format!("{} {orphan}: not in the file\n", surface.paint(Style::Yellow, '!')));
        }
        let style = match self.firewall.state {
            "in force" => Style::Green,
            "exported" => Style::Yellow,
            _ => Style::Red,
        };
        text.push_str(&format!("isolation: {}\n", surface.paint(style, &self.firewall.message)));
        if self.firewall.on_trial {
            let told = "`anklume firewall confirm` keeps the table; without it the former one comes back";
            text.push_str(&format!("on trial: {}\n", surface.paint(Style::Yellow, told)));
        }
        if let Some(after_reboot) = self.firewall.after_reboot {
            let style = if after_reboot == AfterReboot::Stands { Style::Green } else { Style::Yellow };
            text.push_str(&format!("after a reboot: {}\n", surface.paint(style, after_reboot)));
        }
        text
    }
}

fn machine_status(
    domain: &Domain,
    machine: &Machine,
    instances: &BTreeMap<Id, &Value>,
    drift: &Drift,
    health: &BTreeMap<Id, Health>,
) -> MachineStatus {
    let id = Id::within(Kind::Instance, &domain.project, &machine.instance);
    let listed = instances.get(&id);
    let reserved = machine.address.map(|address| address.to_string());
    MachineStatus {
        name: machine.name.clone(),
        instance: machine.instance.clone(),
        kind: if machine.vm { "vm" } else { "lxc" },
        state: listed.and_then(|listed| listed["status"].as_str()).unwrap_or("Missing").to_owned(),
        address: listed.and_then(|listed| guest_address(listed)).or(reserved),
        health: health.get(&id).cloned(),
        drift: drift.of_thing(&id),
    }
}

fn health_shown(health: &Health, surface: &Surface) -> String {
    let style = if *health == Health::Healthy { Style::Green } else { Style::Red };
    format!(", {}", surface.paint(style, health))
}

/// The first IPv4 address that a guest has on a NIC of its own.
fn guest_address(listed: &Value) -> Option<String> {
    let networks = listed["state"]["network"].as_object()?;
    let addresses = networks.values().flat_map(|network| network["addresses"].as_array().into_iter().flatten());
    let mut global = addresses.filter(|address| address["family"] == "inet" && address["scope"] == "global");
    global.next().and_then(|address| address["address"].as_str()).map(str::to_owned)
}

fn firewall(desired: &Desired, live: &Live, drift: &Drift) -> FirewallStatus {
    let (bridges, policies) = (desired.wall.bridges.len(), desired.wall.openings.len());
    let (state, message) = match &live.table {
        Table::Unknown { why, hint } => ("unknown", format!("cannot be told: {why}; {hint}")),
        Table::Elsewhere(elsewhere) => exported(desired, elsewhere),
        Table::Known(None) if bridges == 0 => ("in force", "nothing to keep apart".into()),
        Table::Known(None) => ("missing", "GONE: nothing keeps the domains apart; `anklume apply` restores it".into()),
        Table::Known(Some(_)) if drift.firewall => {
            ("differs", "the table is not as the file says; `anklume apply` corrects it".into())
        }
        Table::Known(Some(_)) => ("in force", format!("in force, {bridges} bridges kept apart, {policies} ways open")),
    };
    let known = bridges > 0 && matches!(live.table, Table::Known(_));
    let after_reboot = known.then(|| live.keeping.after_reboot(&desired.wall));
    FirewallStatus { state, message, after_reboot, on_trial: live.keeping.on_trial }
}

/// What can be known of a table that another host has to load.
fn exported(desired: &Desired, elsewhere: &Elsewhere) -> (&'static str, String) {
    let blind = "this machine cannot see what its host has loaded";
    match &elsewhere.exported {
        Some(exported) if elsewhere.is_as_wanted(&desired.wall) => {
            ("exported", format!("exported to {}; {blind}", exported.told()))
        }
        Some(exported) => {
            let again = "`anklume firewall export FILE` writes it as the file says now";
            ("outdated", format!("NOT as the file says: exported to {}; {again}; {blind}", exported.told()))
        }
        None => ("unknown", format!("cannot be told: {blind}; `anklume firewall export FILE` writes the table for it")),
    }
}

/// What differs, by thing.
#[derive(Default)]
struct Drift {
    things: BTreeMap<Id, Vec<String>>,
    domains: BTreeMap<String, Vec<String>>,
    firewall: bool,
    orphans: Vec<String>,
}

impl Drift {
    fn of(plan: &Plan) -> Self {
        let mut drift = Self::default();
        for action in &plan.actions {
            drift.firewall |= action.id.kind == Kind::Firewall;
            let keys: Vec<String> = match action.verb {
                crate::plan::Verb::Update => action.fields.iter().map(|field| field.key.clone()).collect(),
                verb => vec![verb.word().to_owned()],
            };
            drift.add(&action.id, &action.domain, keys);
        }
        for held in &plan.held {
            if held.why.left_the_file() {
                drift.orphans.push(held.id.to_string());
            } else {
                let keys = held.fields.iter().map(|field| format!("{} (held back)", field.key)).collect();
                drift.add(&held.id, &held.domain, keys);
            }
        }
        drift
    }

    fn add(&mut self, id: &Id, domain: &str, keys: Vec<String>) {
        if !id.kind.is_isolation() && !matches!(id.kind, Kind::Instance | Kind::Image) {
            // A domain has one project and one bridge, and any number of volumes.
            let thing = if id.kind == Kind::Volume { id.to_string() } else { id.kind.to_string() };
            let told = keys.iter().map(|key| format!("{thing} {key}"));
            self.domains.entry(domain.to_owned()).or_default().extend(told);
        }
        self.things.entry(id.clone()).or_default().extend(keys);
    }

    fn of_thing(&self, id: &Id) -> Vec<String> {
        self.things.get(id).cloned().unwrap_or_default()
    }

    fn of_domain(&self, name: &str) -> Vec<String> {
        self.domains.get(name).cloned().unwrap_or_default()
    }
}
