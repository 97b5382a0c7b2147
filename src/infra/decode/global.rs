//! `global`: settings for all domains.

use super::super::at::{At, Fields, quoted};
use super::super::model::{Addressing, AiAccess, Amount, FirewallMode, Global, GpuPolicy, ResourcePolicy};
use super::values;

const KEYS: &[&str] = &[
    "addressing",
    "base_subnet",
    "default_os_image",
    "default_connection",
    "default_user",
    "default_pool",
    "nesting_prefix",
    "gpu_policy",
    "firewall_mode",
    "ai_access_policy",
    "ai_access_default",
    "ai_vram_flush",
    "resource_policy",
    "shared_volumes_base",
    "persistent_data_base",
    "image_repository",
];

/// `global`, or the defaults when it is not there.
pub(super) fn global(at: Option<&At<'_>>) -> Global {
    let map = at.map(|at| at.fields(KEYS));
    let get = |key: &str| map.as_ref().and_then(|map| map.get(key));
    let text = |key: &str| get(key).and_then(At::filled).map(str::to_owned);
    let or = |key: &str, default: &str| text(key).unwrap_or_else(|| default.to_owned());
    let flag = |key: &str, default: bool| get(key).and_then(At::boolean).unwrap_or(default);
    Global {
        addressing: addressing(map.as_ref()),
        default_os_image: or("default_os_image", "images:debian/13"),
        default_connection: or("default_connection", "community.general.incus"),
        default_user: or("default_user", "root"),
        default_pool: text("default_pool"),
        nesting_prefix: flag("nesting_prefix", true),
        gpu_policy: get("gpu_policy")
            .and_then(|at| at.word(&[("exclusive", GpuPolicy::Exclusive), ("shared", GpuPolicy::Shared)]))
            .unwrap_or(GpuPolicy::Exclusive),
        firewall_mode: get("firewall_mode")
            .and_then(|at| at.word(&[("host", FirewallMode::Host), ("vm", FirewallMode::Vm)]))
            .unwrap_or(FirewallMode::Host),
        ai_access: AiAccess {
            exclusive: get("ai_access_policy")
                .and_then(|at| at.word(&[("open", false), ("exclusive", true)]))
                .unwrap_or_default(),
            default: text("ai_access_default"),
            vram_flush: flag("ai_vram_flush", true),
        },
        resource_policy: get("resource_policy").and_then(resource_policy),
        shared_volumes_base: or("shared_volumes_base", "/srv/anklume/shares"),
        persistent_data_base: or("persistent_data_base", "/srv/anklume/data"),
        image_repository: text("image_repository"),
    }
}

fn addressing(global: Option<&Fields<'_>>) -> Addressing {
    let get = |key: &str| global.and_then(|map| map.get(key));
    let zones = get("addressing").map(|at| at.fields(&["base_octet", "zone_base", "zone_step"]));
    if let Some(at) = get("base_subnet") {
        if zones.is_some() {
            at.error("`base_subnet` and `addressing` cannot both be set", "keep `addressing`; `base_subnet` is older");
        }
        if let Some((a, b)) = at.filled().and_then(|text| base_subnet(at, text)) {
            return Addressing::BaseSubnet(a, b);
        }
    }
    let number = |key: &str, low: u32, high: u32, default: u8| {
        let at = zones.as_ref().and_then(|map| map.get(key))?;
        Some(at.number(low, high).and_then(|number| u8::try_from(number).ok()).unwrap_or(default))
    };
    if let Some(at) = zones.as_ref().and_then(|map| map.get("base_octet"))
        && at.number(0, 255).is_some_and(|octet| octet != 10)
    {
        at.error("`base_octet` can only be 10", "remove the line: networks always start with 10");
    }
    Addressing::Zones {
        base: number("zone_base", 0, 245, 100).unwrap_or(100),
        step: number("zone_step", 1, 255, 10).unwrap_or(10),
    }
}

fn base_subnet(at: &At<'_>, text: &str) -> Option<(u8, u8)> {
    let octet = |text: &str| (text == "0" || !text.starts_with(['0', '+'])).then(|| text.parse::<u8>().ok()).flatten();
    let parts = text.split_once('.').and_then(|(a, b)| Some((octet(a)?, octet(b)?)));
    match parts {
        Some((a, b)) if (1..224).contains(&a) && a != 127 => Some((a, b)),
        _ => {
            let message = format!("`base_subnet` must be two numbers such as \"10.100\", and this is {}", quoted(text));
            at.error(message, "a domain's network is then 10.100.<subnet_id>.0/24");
            None
        }
    }
}

fn resource_policy(at: &At<'_>) -> Option<ResourcePolicy> {
    let mut policy = ResourcePolicy {
        reserve_cpu: Amount::Percent(20),
        reserve_memory: Amount::Percent(20),
        proportional: true,
        cpu_count: false,
        memory_soft: true,
        overcommit: false,
    };
    if at.is_scalar() {
        return at.boolean()?.then_some(policy);
    }
    let map = at.fields(&["host_reserve", "mode", "cpu_mode", "memory_enforce", "overcommit"]);
    if let Some(reserve) = map.get("host_reserve").map(|at| at.fields(&["cpu", "memory"])) {
        let amount = |key: &str, parse: fn(&str) -> Option<f64>, example: &str| {
            reserve.get(key).and_then(|at| values::amount(at, parse, example))
        };
        let cpus = |text: &str| text.parse::<f64>().ok();
        policy.reserve_cpu = amount("cpu", cpus, "2").unwrap_or(policy.reserve_cpu);
        policy.reserve_memory = amount("memory", values::bytes, "4GiB").unwrap_or(policy.reserve_memory);
    }
    let word = |key: &str, words: &[(&'static str, bool)]| map.get(key).and_then(|at| at.word(words));
    policy.proportional = word("mode", &[("proportional", true), ("equal", false)]).unwrap_or(true);
    policy.cpu_count = word("cpu_mode", &[("allowance", false), ("count", true)]).unwrap_or(false);
    policy.memory_soft = word("memory_enforce", &[("soft", true), ("hard", false)]).unwrap_or(true);
    policy.overcommit = map.flag("overcommit", false);
    Some(policy)
}
