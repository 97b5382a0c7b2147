//! Config keys of instances: which there are, and what a running machine does with them.

use serde_json::{Value, json};

use super::state::Config;

/// Name, for what (`c` container, `v` virtual machine, `b` both), taken live as the server's own list says it.
const KEYS: [(&str, char, bool); 28] = [
    ("boot.autostart", 'b', false),
    ("boot.autostart.delay", 'b', false),
    ("boot.autostart.priority", 'b', false),
    ("cloud-init.network-config", 'b', false),
    ("cloud-init.user-data", 'b', false),
    ("cloud-init.vendor-data", 'b', false),
    ("environment.*", 'b', true),
    ("limits.cpu", 'b', true),
    ("limits.cpu.allowance", 'c', true),
    ("limits.memory", 'b', true),
    ("limits.memory.enforce", 'c', true),
    ("limits.processes", 'c', true),
    ("limits.kernel.*", 'c', false),
    ("linux.kernel_modules", 'c', true),
    ("linux.sysctl.*", 'c', false),
    ("nvidia.driver.capabilities", 'c', false),
    ("nvidia.runtime", 'c', false),
    ("raw.lxc", 'c', false),
    ("raw.qemu", 'v', false),
    ("security.csm", 'v', false),
    ("security.idmap.isolated", 'c', false),
    ("security.nesting", 'c', true),
    ("security.privileged", 'c', false),
    ("security.protection.delete", 'b', true),
    ("security.secureboot", 'v', false),
    ("snapshots.expiry", 'b', false),
    ("snapshots.schedule", 'b', false),
    ("user.*", 'b', true),
];

/// Prefixes of what Incus keeps itself.
const OWN: [&str; 2] = ["volatile.", "image."];

fn known(key: &str) -> Option<char> {
    if OWN.iter().any(|start| key.starts_with(start)) {
        return Some('b');
    }
    let fits = |name: &str| name == key || name.strip_suffix('*').is_some_and(|start| key.starts_with(start));
    KEYS.iter().find(|(name, ..)| fits(name)).map(|(_, of, _)| *of)
}

/// A profile takes the keys of both.
pub(super) fn check(config: &Config, vm: Option<bool>) -> Result<(), String> {
    for key in config.keys() {
        match (known(key), vm) {
            (None, _) => return Err(format!("Unknown configuration key: {key}")),
            (Some('c'), Some(true)) => return Err(format!("{key} isn't supported for VMs")),
            (Some('v'), Some(false)) => return Err(format!("{key} isn't supported for containers")),
            _ => {}
        }
    }
    Ok(())
}

/// What a running virtual machine refuses.
pub(super) fn check_running_vm(before: &Config, after: &Config) -> Result<(), String> {
    let free = ["boot.", "cloud-init.", "environment.", "image.", "snapshots.", "user.", "volatile."];
    let whole = ["limits.memory", "limits.cpu", "security.agent.metrics", "security.protection.delete"];
    let changed = before.keys().chain(after.keys()).filter(|key| before.get(*key) != after.get(*key));
    for key in changed {
        if !free.iter().any(|start| key.starts_with(start)) && !whole.contains(&key.as_str()) {
            return Err(format!("Key \"{key}\" cannot be updated when VM is running"));
        }
    }
    Ok(())
}

pub(super) fn metadata() -> Value {
    let entry = |(name, of, live): &(&str, char, bool)| {
        let condition = match of {
            'c' => "container",
            'v' => "virtual machine",
            _ => "",
        };
        // `limits.kernel.*` is in another part of the real list.
        let about = json!({"type": "string", "condition": condition, "liveupdate": if *live { "yes" } else { "no" }});
        json!({*name: about})
    };
    let keys: Vec<Value> = KEYS.iter().filter(|(name, ..)| *name != "limits.kernel.*").map(entry).collect();
    json!({"configs": {"instance": {"all": {"keys": keys}}}})
}
