//! A domain: its profiles, limits and filters.

use indexmap::IndexMap;

use super::super::at::{At, quoted};
use super::super::model::{AclRule, AiProvider, AiSanitize, Bridge, Config, Domain, FilePortal, Profile, TrustLevel};
use super::super::node::Kind;
use super::{machine, values};

const KEYS: &[&str] = &[
    "description",
    "enabled",
    "subnet_id",
    "trust_level",
    "ephemeral",
    "profiles",
    "machines",
    "ai_provider",
    "ai_sanitize",
    "file_portal",
    "internet",
    "limits",
    "dns_zone",
    "acl",
    "bridge",
];

pub(in crate::infra) const TRUST_LEVELS: [(&str, TrustLevel); 5] = [
    ("admin", TrustLevel::Admin),
    ("trusted", TrustLevel::Trusted),
    ("semi-trusted", TrustLevel::SemiTrusted),
    ("untrusted", TrustLevel::Untrusted),
    ("disposable", TrustLevel::Disposable),
];

const AI_PROVIDERS: [(&str, AiProvider); 3] =
    [("local", AiProvider::Local), ("cloud", AiProvider::Cloud), ("local-first", AiProvider::LocalFirst)];

const AI_SANITIZE: [(&str, AiSanitize); 3] =
    [("true", AiSanitize::On), ("false", AiSanitize::Off), ("always", AiSanitize::Always)];

/// Keys of `limits`, the Incus keys they stand for, and whether they are a size.
pub(in crate::infra) const LIMITS: [(&str, &str, bool); 7] = [
    ("instances", "limits.instances", false),
    ("containers", "limits.containers", false),
    ("virtual_machines", "limits.virtual-machines", false),
    ("cpu", "limits.cpu", false),
    ("memory", "limits.memory", true),
    ("disk", "limits.disk", true),
    ("processes", "limits.processes", false),
];

/// A domain.
pub(super) fn domain(at: &At<'_>) -> Domain {
    let map = at.fields(KEYS);
    Domain {
        description: map.words("description"),
        enabled: map.flag("enabled", true),
        subnet_id: map.get("subnet_id").and_then(|at| u8::try_from(at.number(0, 254)?).ok()),
        trust_level: map.get("trust_level").and_then(|at| at.word(&TRUST_LEVELS)).unwrap_or(TrustLevel::SemiTrusted),
        ephemeral: map.flag("ephemeral", false),
        profiles: map.each("profiles", profile),
        machines: map.each("machines", machine::machine),
        ai_provider: map.get("ai_provider").and_then(|at| at.word(&AI_PROVIDERS)).unwrap_or(AiProvider::Local),
        ai_sanitize: map.get("ai_sanitize").and_then(|at| at.word(&AI_SANITIZE)),
        file_portal: map.get("file_portal").map(file_portal),
        internet: map.flag("internet", true),
        limits: map.get("limits").map(limits).unwrap_or_default(),
        dns_zone: map.text("dns_zone"),
        bridge: map.get("bridge").map(bridge).unwrap_or_default(),
        acl: map.get("acl").map(|at| at.items().iter().map(acl_rule).collect()).unwrap_or_default(),
    }
}

fn profile(at: &At<'_>) -> Profile {
    let map = at.fields(&["description", "config", "devices"]);
    Profile {
        description: map.words("description"),
        config: map.get("config").map(values::config).unwrap_or_default(),
        devices: map.get("devices").map(|devices| values::devices(devices, at.key() == "default")).unwrap_or_default(),
    }
}

fn bridge(at: &At<'_>) -> Bridge {
    let map = at.fields(&["name", "address"]);
    Bridge { name: map.text("name"), address: map.get("address").and_then(values::network) }
}

fn file_portal(at: &At<'_>) -> FilePortal {
    let map = at.fields(&["allowed_paths", "read_only"]);
    FilePortal { allowed_paths: map.texts("allowed_paths"), read_only: map.flag("read_only", false) }
}

fn limits(at: &At<'_>) -> Config {
    let map = at.fields(&["instances", "containers", "virtual_machines", "cpu", "memory", "disk", "processes"]);
    let mut limits = IndexMap::new();
    for (key, incus, is_size) in LIMITS {
        let Some(at) = map.get(key) else { continue };
        let value = if is_size { size(at) } else { at.number(0, u32::MAX).map(|number| number.to_string()) };
        if let Some(value) = value {
            limits.insert(incus.to_owned(), value);
        }
    }
    limits
}

/// Is this a limit of a project that the file has a word for, and one that it can say?
pub(crate) fn is_limit(key: &str, value: &str) -> bool {
    LIMITS.iter().any(|(_, incus, is_size)| {
        let number = || value.parse::<u32>().is_ok_and(|number| number.to_string() == value);
        *incus == key && if *is_size { values::bytes(value).is_some() } else { number() }
    })
}

fn size(at: &At<'_>) -> Option<String> {
    let text = at.filled()?;
    if values::bytes(text).is_none() {
        at.error(format!("{} is not a size", quoted(text)), "write a number and a unit, such as `8GiB`");
        return None;
    }
    Some(text.to_owned())
}

fn acl_rule(at: &At<'_>) -> AclRule {
    let map =
        at.fields(&["direction", "action", "protocol", "source", "destination", "destination_port", "description"]);
    let word = |at: &At<'_>, words: &[(&'static str, &'static str)]| at.word(words).unwrap_or_default().to_owned();
    let direction = map.required("direction", "write `direction: ingress` or `direction: egress`");
    let action = map.required("action", "write `action: allow`, `drop` or `reject`");
    let protocols = [("tcp", "tcp"), ("udp", "udp"), ("icmp4", "icmp4"), ("icmp6", "icmp6")];
    AclRule {
        direction: direction.map(|at| word(at, &[("ingress", "ingress"), ("egress", "egress")])).unwrap_or_default(),
        action: action
            .map(|at| word(at, &[("allow", "allow"), ("drop", "drop"), ("reject", "reject")]))
            .unwrap_or_default(),
        protocol: map.get("protocol").map(|at| word(at, &protocols)),
        source: map.get("source").and_then(commas),
        destination: map.get("destination").and_then(commas),
        destination_port: map.get("destination_port").and_then(commas),
        description: map.words("description"),
    }
}

/// Incus wants `a,b`; a list is friendlier.
fn commas(at: &At<'_>) -> Option<String> {
    match &at.node.kind {
        Kind::List(_) => Some(at.texts().join(",")),
        _ => at.filled().map(str::to_owned),
    }
}
