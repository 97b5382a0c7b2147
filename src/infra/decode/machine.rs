//! A machine.

use super::super::at::{At, Fields, quoted};
use super::super::model::{CloudInit, Machine, PersistentData, RunState, Service, Volume};
use super::super::node::Kind;
use super::values;

const KEYS: &[&str] = &[
    "description",
    "type",
    "os_image",
    "ip",
    "ephemeral",
    "instance_ephemeral",
    "gpu",
    "profiles",
    "config",
    "devices",
    "cloud_init",
    "storage_volumes",
    "persistent_data",
    "boot_autostart",
    "boot_priority",
    "snapshots_schedule",
    "snapshots_expiry",
    "weight",
    "roles",
    "services",
    "export_apps",
    "state",
    "health",
];

const STATES: [(&str, RunState); 3] =
    [("running", RunState::Running), ("stopped", RunState::Stopped), ("frozen", RunState::Frozen)];

/// A machine.
pub(in crate::infra) fn machine(at: &At<'_>) -> Machine {
    let map = at.fields(KEYS);
    let state = map.get("state");
    Machine {
        description: map.words("description"),
        vm: map.get("type").and_then(|at| at.word(&[("lxc", false), ("vm", true)])).unwrap_or_default(),
        os_image: map.get("os_image").and_then(image),
        ip: map.get("ip").filter(|at| !is_dhcp(at)).and_then(values::ip),
        dhcp: map.get("ip").is_some_and(is_dhcp),
        host_part: None,
        ephemeral: map.get("ephemeral").and_then(At::boolean),
        instance_ephemeral: map.flag("instance_ephemeral", false),
        gpu: map.flag("gpu", false),
        profiles: map.get("profiles").map_or_else(|| vec!["default".to_owned()], At::texts),
        config: map.get("config").map(values::config).unwrap_or_default(),
        devices: map.get("devices").map(|at| values::devices(at, false)).unwrap_or_default(),
        cloud_init: map.get("cloud_init").map(cloud_init).unwrap_or_default(),
        storage_volumes: map.each("storage_volumes", volume),
        persistent_data: map.each("persistent_data", persistent_data),
        boot_autostart: map.get("boot_autostart").and_then(At::boolean),
        boot_priority: map.get("boot_priority").and_then(|at| u8::try_from(at.number(0, 100)?).ok()),
        snapshots_schedule: map.text("snapshots_schedule"),
        snapshots_expiry: map.text("snapshots_expiry"),
        weight: map.get("weight").and_then(|at| at.number(1, u32::MAX)).unwrap_or(1),
        roles: map.texts("roles"),
        services: services(&map),
        export_apps: map.texts("export_apps"),
        state: state.and_then(|at| at.word(&STATES)).unwrap_or(RunState::Running),
        state_written: state.is_some(),
        health: map.text("health"),
    }
}

/// The word in the place of an address.
fn is_dhcp(at: &At<'_>) -> bool {
    matches!(&at.node.kind, Kind::Scalar { text, .. } if text == "dhcp")
}

/// An image: anything in one word.
pub(super) fn image(at: &At<'_>) -> Option<String> {
    let text = at.filled()?;
    if text.contains(char::is_whitespace) {
        at.error(format!("{} is not an image", quoted(text)), "write `REMOTE:ALIAS`, such as `images:debian/13`");
        return None;
    }
    Some(text.to_owned())
}

fn cloud_init(at: &At<'_>) -> CloudInit {
    let map = at.fields(&["user_data", "vendor_data", "network_config"]);
    let document = |key: &str, header: &str| map.get(key).and_then(|at| values::document(at, header));
    CloudInit {
        user_data: document("user_data", "#cloud-config\n"),
        vendor_data: document("vendor_data", "#cloud-config\n"),
        network_config: document("network_config", ""),
    }
}

fn volume(at: &At<'_>) -> Volume {
    let map = at.fields(&["pool", "size", "path", "config", "content_type"]);
    Volume {
        pool: map.text("pool"),
        size: map.text("size"),
        path: map.text("path"),
        config: map.get("config").map(values::config).unwrap_or_default(),
        block: map
            .get("content_type")
            .and_then(|at| at.word(&[("filesystem", false), ("block", true)]))
            .unwrap_or_default(),
    }
}

fn persistent_data(at: &At<'_>) -> PersistentData {
    let map = at.fields(&["path", "readonly"]);
    let path = map.required("path", "write where it is seen in the machine: `path: /srv/data`");
    PersistentData {
        path: path.and_then(At::filled).unwrap_or_default().to_owned(),
        readonly: map.flag("readonly", false),
    }
}

fn services(machine: &Fields<'_>) -> Vec<Service> {
    let Some(list) = machine.get("services") else { return Vec::new() };
    let service = |at: &At<'_>| {
        let map = at.fields(&["name", "tool", "consumers"]);
        let name = map.required("name", "write `name: …`, once in this machine");
        Service {
            name: name.and_then(At::filled).unwrap_or_default().to_owned(),
            tool: map.text("tool"),
            consumers: map.texts("consumers"),
        }
    };
    list.items().iter().map(service).collect()
}
