//! The same thing said twice: once in anklume's words, once in Incus's.

use super::super::model::{Infra, Machine};
use super::super::problem::Problem;
use super::{Spot, machines};

/// Is the key written, its path in the machine, and the Incus keys that say the same.
type Same = (fn(&Machine) -> bool, &'static [&'static str], &'static [&'static str]);

const SAME: [Same; 8] = [
    (|machine| machine.boot_autostart.is_some(), &["boot_autostart"], &["boot.autostart"]),
    (|machine| machine.boot_priority.is_some(), &["boot_priority"], &["boot.autostart.priority"]),
    (|machine| machine.snapshots_schedule.is_some(), &["snapshots_schedule"], &["snapshots.schedule"]),
    (|machine| machine.snapshots_expiry.is_some(), &["snapshots_expiry"], &["snapshots.expiry"]),
    (|machine| machine.ephemeral.is_some(), &["ephemeral"], &["security.protection.delete"]),
    (
        |machine| machine.cloud_init.user_data.is_some(),
        &["cloud_init", "user_data"],
        &["cloud-init.user-data", "user.user-data"],
    ),
    (
        |machine| machine.cloud_init.vendor_data.is_some(),
        &["cloud_init", "vendor_data"],
        &["cloud-init.vendor-data", "user.vendor-data"],
    ),
    (
        |machine| machine.cloud_init.network_config.is_some(),
        &["cloud_init", "network_config"],
        &["cloud-init.network-config", "user.network-config"],
    ),
];

pub(super) fn check(infra: &Infra) -> Vec<Problem> {
    machines(infra).flat_map(one).collect()
}

fn one(spot: Spot<'_>) -> Vec<Problem> {
    let mut problems = Vec::new();
    for (is_written, words, keys) in SAME {
        if !is_written(spot.machine) {
            continue;
        }
        for key in keys.iter().filter(|key| spot.machine.config.contains_key(**key)) {
            let word = words.join(".");
            let ours = words.iter().fold(spot.path(), |path, word| path.to(word));
            let message = format!("`{key}` and `{word}` say the same, and both are written");
            problems.push(
                Problem::error(spot.path().to("config").to(key), message)
                    .at_key()
                    .also(ours, "also here")
                    .help(format!("keep `{word}`")),
            );
        }
    }
    problems
}
