//! What the file and the host say of everything, of a domain and of a machine, under the names that roles read. What
//! has no value is left out.

use std::collections::BTreeSet;

use serde_json::{Map, Value, json};

use crate::infra::model::{self, Addressing, AiProvider, AiSanitize, Infra, PortRange, Protocol};
use crate::render::text::trust_word;
use crate::resolve::desired::{Config, Desired, Domain, Machine};

/// Names and values, in the order in which they are written.
pub(crate) type Variables = Map<String, Value>;

/// A domain as it was written and as it will stand.
pub(crate) type Home<'a> = (&'a model::Domain, &'a Domain);
/// The same of a machine.
pub(crate) type Guest<'a> = (&'a model::Machine, &'a Machine);

/// The enabled domains.
pub(crate) fn homes<'a>(infra: &'a Infra, desired: &'a Desired) -> impl Iterator<Item = Home<'a>> {
    desired.domains.iter().filter_map(|domain| Some((infra.domains.get(&domain.name)?, domain)))
}

/// The machines of a domain.
pub(crate) fn guests((written, domain): Home<'_>) -> impl Iterator<Item = Guest<'_>> {
    domain.machines.iter().filter_map(|machine| Some((written.machines.get(&machine.name)?, machine)))
}

/// Of everything.
pub(crate) fn of_all(infra: &Infra, desired: &Desired) -> Variables {
    let global = &infra.global;
    let base = match global.addressing {
        Addressing::BaseSubnet(a, b) => Some(format!("{a}.{b}")),
        Addressing::Zones { .. } => None,
    };
    let machines = desired.domains.iter().flat_map(|domain| &domain.machines);
    let images: BTreeSet<&String> = machines.map(|machine| &machine.image).collect();
    let access = if global.ai_access.exclusive { "exclusive" } else { "open" };
    let policies: Vec<Value> = infra.network_policies.iter().map(policy).collect();
    told([
        ("project_name", json!(infra.project_name)),
        ("base_subnet", json!(base)),
        ("default_os_image", json!(global.default_os_image)),
        ("psot_default_connection", json!(global.default_connection)),
        ("psot_default_user", json!(global.default_user)),
        ("ai_access_policy", json!(access)),
        ("ai_access_default", json!(global.ai_access.default)),
        ("ai_vram_flush", json!(global.ai_access.vram_flush)),
        ("incus_all_images", json!(images)),
        ("network_policies", json!(policies)),
    ])
}

/// Of a domain.
pub(crate) fn of_domain((written, domain): Home<'_>) -> Variables {
    let portal = written.file_portal.as_ref();
    let portal = portal.map(|portal| json!({"allowed_paths": portal.allowed_paths, "read_only": portal.read_only}));
    let network = json!({
        "name": domain.bridge,
        "subnet": domain.subnet.to_string(),
        "gateway": domain.gateway.to_string(),
    });
    let profiles = domain.profiles.iter().map(|profile| {
        let keys = told([
            ("description", json!(profile.description)),
            ("config", json!(profile.config)),
            ("devices", json!(profile.devices)),
        ]);
        (profile.name.clone(), Value::Object(keys))
    });
    told([
        ("domain_name", json!(domain.name)),
        ("domain_description", json!(domain.description)),
        ("domain_ephemeral", json!(domain.ephemeral)),
        ("domain_trust_level", json!(trust_word(domain.trust))),
        ("domain_ai_provider", json!(provider(written.ai_provider))),
        ("domain_ai_sanitize", sanitize(written)),
        ("domain_file_portal", json!(portal)),
        ("incus_project", json!(domain.project)),
        ("incus_network", network),
        ("subnet_id", json!(domain.subnet.network().octets()[2])),
        ("incus_profiles", Value::Object(profiles.collect())),
    ])
}

/// Of a machine.
pub(crate) fn of_machine((of_domain, domain): Home<'_>, (written, machine): Guest<'_>) -> Variables {
    let volumes = written.storage_volumes.iter().map(|(name, volume)| (name.clone(), self::volume(volume)));
    let services: Vec<Value> = written.services.iter().map(service).collect();
    told([
        ("instance_name", json!(machine.instance)),
        ("instance_type", json!(kind(machine))),
        ("instance_description", json!(machine.description)),
        ("instance_domain", json!(domain.name)),
        ("instance_ephemeral", json!(written.ephemeral.unwrap_or(of_domain.ephemeral))),
        ("instance_os_image", json!(machine.image)),
        ("instance_ip", json!(machine.address.map(|address| address.to_string()))),
        ("instance_gpu", json!(written.gpu)),
        ("instance_profiles", json!(machine.profiles)),
        ("instance_config", json!(config(written, machine))),
        ("instance_devices", devices(written, machine)),
        ("instance_storage_volumes", Value::Object(volumes.collect())),
        ("instance_services", json!(services)),
        ("instance_roles", json!(written.roles)),
        ("instance_export_apps", json!(written.export_apps)),
        ("instance_boot_autostart", json!(written.boot_autostart)),
        ("instance_boot_priority", json!(written.boot_priority)),
        ("instance_snapshots_schedule", json!(written.snapshots_schedule)),
        ("instance_snapshots_expiry", json!(written.snapshots_expiry)),
    ])
}

/// How a machine is reached by the plug-in `community.general.incus`. Which plug-in and which user, no file says: these
/// would be stronger than what a play says.
pub(crate) fn of_connection(domain: &Domain, machine: &Machine) -> Variables {
    told([
        ("ansible_host", json!(machine.address.map(|address| address.to_string()))),
        ("ansible_incus_host", json!(machine.instance)),
        ("ansible_incus_project", json!(domain.project)),
    ])
}

/// `lxc` or `vm`, as the file says.
pub(crate) fn kind(machine: &Machine) -> &'static str {
    if machine.vm { "vm" } else { "lxc" }
}

/// Those that have a value.
fn told<const N: usize>(all: [(&str, Value); N]) -> Variables {
    let nothing = |value: &Value| match value {
        Value::Null => true,
        Value::String(text) => text.is_empty(),
        Value::Array(items) => items.is_empty(),
        Value::Object(entries) => entries.is_empty(),
        Value::Bool(_) | Value::Number(_) => false,
    };
    let all = all.into_iter().filter(|(_, value)| !nothing(value));
    all.map(|(name, value)| (name.to_owned(), value)).collect()
}

/// The keys of the file, and the limits that were worked out.
fn config(written: &model::Machine, machine: &Machine) -> Variables {
    let own = written.config.iter().map(|(key, value)| (key.clone(), json!(value)));
    let shares = machine.config.iter().filter(|(key, _)| key.starts_with("limits."));
    own.chain(shares.map(|(key, value)| (key.clone(), json!(value)))).collect()
}

/// The devices of the file, and the host directories that it sees. Its card and its disks are Incus's business.
fn devices(written: &model::Machine, machine: &Machine) -> Value {
    let all: Vec<(&String, &Config)> = machine.devices.iter().collect();
    let (own, other): (Vec<_>, Vec<_>) = all.into_iter().partition(|(name, _)| written.devices.contains_key(*name));
    let seen = other.into_iter().filter(|(name, _)| name.starts_with("pd-") || name.starts_with("sv-"));
    Value::Object(own.into_iter().chain(seen).map(|(name, device)| (name.clone(), json!(device))).collect())
}

fn volume(volume: &model::Volume) -> Value {
    Value::Object(told([
        ("pool", json!(volume.pool)),
        ("size", json!(volume.size)),
        ("path", json!(volume.path)),
        ("content_type", json!(volume.block.then_some("block"))),
        ("config", json!(volume.config)),
    ]))
}

fn service(service: &model::Service) -> Value {
    let consumers = json!(service.consumers);
    Value::Object(told([("name", json!(service.name)), ("tool", json!(service.tool)), ("consumers", consumers)]))
}

fn provider(provider: AiProvider) -> &'static str {
    match provider {
        AiProvider::Local => "local",
        AiProvider::Cloud => "cloud",
        AiProvider::LocalFirst => "local-first",
    }
}

fn sanitize(domain: &model::Domain) -> Value {
    match domain.ai_sanitize {
        Some(AiSanitize::Off) => json!(false),
        Some(AiSanitize::On) => json!(true),
        Some(AiSanitize::Always) => json!("always"),
        None => json!(domain.ai_provider != AiProvider::Local),
    }
}

/// As the file writes it.
fn policy(policy: &model::Policy) -> Value {
    let ports: Vec<Value> = policy.ports.iter().copied().map(port).collect();
    let protocol = policy.protocol.map(|protocol| match protocol {
        Protocol::Tcp => "tcp",
        Protocol::Udp => "udp",
    });
    Value::Object(told([
        ("description", json!(policy.description)),
        ("from", json!(policy.from)),
        ("to", json!(policy.to)),
        ("ports", if ports.is_empty() { json!("all") } else { json!(ports) }),
        ("protocol", json!(protocol)),
        ("bidirectional", json!(policy.bidirectional)),
    ]))
}

fn port(range: PortRange) -> Value {
    if range.first == range.last { json!(range.first) } else { json!(format!("{}-{}", range.first, range.last)) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::resolve::sample::{at, data, domain, infra, keys, machine, named, policy, profile, sound, volume};

    fn only<'a>(infra: &'a Infra, desired: &'a Desired) -> (Home<'a>, Guest<'a>) {
        let home = homes(infra, desired).next().unwrap();
        (home, guests(home).next().unwrap())
    }

    #[test]
    fn of_everything_there_are_the_names_that_roles_read() {
        let mut infra = infra([("pro", domain([("dev", machine())])), ("home", domain([("tv", at("10.120.0.7"))]))]);
        infra.domains["home"].machines["tv"].os_image = Some("images:alpine/3.22".into());
        infra.network_policies = vec![model::Policy {
            ports: vec![PortRange { first: 80, last: 80 }, PortRange { first: 8000, last: 8010 }],
            protocol: Some(Protocol::Tcp),
            ..policy("home", "dev")
        }];
        let expected = json!({
            "project_name": "lab", "default_os_image": "images:debian/13",
            "psot_default_connection": "community.general.incus", "psot_default_user": "root",
            "ai_access_policy": "open", "ai_vram_flush": true,
            "incus_all_images": ["images:alpine/3.22", "images:debian/13"],
            "network_policies": [
                {"from": "home", "to": "dev", "ports": [80, "8000-8010"], "protocol": "tcp", "bidirectional": false},
            ],
        });
        assert_eq!(Value::Object(of_all(&infra, &sound(&infra))), expected);
    }

    #[test]
    fn a_domain_says_what_it_is_and_where_it_is() {
        let gpu = profile([("card", keys([("type", "gpu")]))]);
        let mut home = model::Domain { subnet_id: Some(7), ..domain([("dev", machine())]) };
        home.profiles = named([("gpu", gpu)]);
        home.ai_provider = AiProvider::Cloud;
        home.file_portal = Some(model::FilePortal { allowed_paths: vec!["/srv/in".into()], read_only: true });
        let infra = infra([("pro", home)]);
        let desired = sound(&infra);
        let expected = json!({
            "domain_name": "pro", "domain_ephemeral": false, "domain_trust_level": "semi-trusted",
            "domain_ai_provider": "cloud", "domain_ai_sanitize": true,
            "domain_file_portal": {"allowed_paths": ["/srv/in"], "read_only": true},
            "incus_project": "pro",
            "incus_network": {"name": "net-pro", "subnet": "10.120.7.0/24", "gateway": "10.120.7.254"},
            "subnet_id": 7, "incus_profiles": {"gpu": {"devices": {"card": {"type": "gpu"}}}},
        });
        assert_eq!(Value::Object(of_domain(only(&infra, &desired).0)), expected);
    }

    #[test]
    fn a_machine_says_all_that_was_written_and_nothing_that_was_not() {
        let plain = infra([("pro", domain([("dev", machine())]))]);
        let desired = sound(&plain);
        let (home, guest) = only(&plain, &desired);
        let expected = json!({
            "instance_name": "dev", "instance_type": "lxc", "instance_domain": "pro", "instance_ephemeral": false,
            "instance_os_image": "images:debian/13", "instance_ip": "10.120.0.1", "instance_gpu": false,
            "instance_profiles": ["default"],
        });
        assert_eq!(Value::Object(of_machine(home, guest)), expected);
        let full = model::Machine {
            config: keys([("limits.memory", "1GiB")]),
            devices: named([("null0", keys([("type", "unix-char"), ("source", "/dev/null")]))]),
            storage_volumes: named([("files", volume("/srv/files"))]),
            persistent_data: named([("papers", data("/srv/papers"))]),
            roles: vec!["web".into()],
            services: vec![model::Service { name: "web".into(), tool: None, consumers: vec!["tv".into()] }],
            export_apps: vec!["editor".into()],
            boot_autostart: Some(false),
            boot_priority: Some(0),
            snapshots_schedule: Some("@daily".into()),
            snapshots_expiry: Some("36h".into()),
            ..machine()
        };
        let full = infra([("pro", domain([("dev", full), ("tv", machine())]))]);
        let desired = sound(&full);
        let (home, guest) = only(&full, &desired);
        let told = of_machine(home, guest);
        let devices: Vec<&String> = told["instance_devices"].as_object().unwrap().keys().collect();
        assert_eq!(devices, ["null0", "pd-papers"]);
        for (name, value) in [
            ("instance_config", json!({"limits.memory": "1GiB"})),
            ("instance_storage_volumes", json!({"files": {"path": "/srv/files"}})),
            ("instance_services", json!([{"name": "web", "consumers": ["tv"]}])),
            ("instance_roles", json!(["web"])),
            ("instance_export_apps", json!(["editor"])),
            ("instance_boot_autostart", json!(false)),
            ("instance_boot_priority", json!(0)),
            ("instance_snapshots_schedule", json!("@daily")),
            ("instance_snapshots_expiry", json!("36h")),
        ] {
            assert_eq!(told[name], value, "{name}");
        }
    }

    #[test]
    fn nothing_says_how_or_as_whom_to_connect() {
        let infra = infra([("pro", domain([("dev", machine())]))]);
        let desired = sound(&infra);
        let ((_, home), (_, guest)) = only(&infra, &desired);
        let connection = Value::Object(of_connection(home, guest));
        let expected =
            json!({"ansible_host": "10.120.0.1", "ansible_incus_host": "dev", "ansible_incus_project": "pro"});
        assert_eq!(connection, expected);
    }
}
