//! What an infrastructure implies: the firewall's machine, and the way to the AI tools.

use super::model::{FirewallMode, Infra, Machine, Policy};

/// Adds what the settings of `global` ask for. Only for an infrastructure that the rules have passed.
pub(super) fn expand(infra: &mut Infra) {
    if infra.global.firewall_mode == FirewallMode::Vm
        && !has_firewall(infra)
        && let Some(domain) = infra.domains.get_mut("anklume")
    {
        domain.machines.insert("anklume-firewall".to_owned(), firewall());
    }
    let access = &infra.global.ai_access;
    if let Some(default) = access.default.clone().filter(|_| access.exclusive)
        && !infra.network_policies.iter().any(|policy| policy.to == "ai-tools")
    {
        infra.network_policies.push(Policy {
            description: "ai_access_policy: exclusive".to_owned(),
            from: default,
            to: "ai-tools".to_owned(),
            ports: Vec::new(),
            protocol: None,
            bidirectional: true,
        });
    }
}

/// Has the user declared a firewall machine?
pub(super) fn has_firewall(infra: &Infra) -> bool {
    let names = ["anklume-firewall", "sys-firewall"];
    infra.domains.values().any(|domain| names.iter().any(|name| domain.machines.contains_key(*name)))
}

/// The firewall's machine: .253 of its domain, protected.
fn firewall() -> Machine {
    let config = [("limits.cpu", "2"), ("limits.memory", "2GiB")];
    Machine {
        description: "Firewall between the domains".to_owned(),
        vm: true,
        host_part: Some(253),
        ephemeral: Some(false),
        config: config.map(|(key, value)| (key.to_owned(), value.to_owned())).into(),
        roles: vec!["base_system".to_owned(), "firewall_router".to_owned()],
        ..Machine::default()
    }
}
