//! Is Incus there, does it answer, is it new enough, and where does it put things?

use super::{Answers, Check, Level, Line, Pool, Reach, Readings};
use crate::host::boot::Init;

/// What is asked of Incus beyond the first version of its API. Those that a file needs only where it has the key (ACLs,
/// zones) are among them: 6.0 has them all.
const NEEDED: [&str; 10] = [
    "projects",
    "projects_networks",
    "projects_limits",
    "instance_all_projects",
    "profiles_all_projects",
    "storage_volumes_all_projects",
    "storage_volume_state",
    "network_bridge_acl",
    "network_dns_records",
    "cloud_init",
];

pub(super) fn reach(readings: &Readings) -> Line {
    match &readings.incus {
        Reach::Missing => Line::failure(Check::Incus, "Incus is not installed").mend(["anklume bootstrap"]),
        Reach::Down => down(readings.init),
        Reach::Denied => Line::failure(Check::Incus, "Incus does not let this user in")
            .mend([format!("usermod -aG incus-admin {}", readings.user)])
            .note("as root; then log in again. Whoever is in this group is as good as root"),
        Reach::Broken(said) => Line::failure(Check::Incus, format!("Incus does not answer: {said}")),
        Reach::Answers(_) => Line::ok(Check::Incus, "Incus answers"),
    }
}

fn down(init: Option<Init>) -> Line {
    let line = Line::failure(Check::Incus, "Incus is installed, and its daemon does not run");
    match init {
        Some(Init::Systemd) => line.fixed_by(["systemctl enable --now incus.service"]),
        Some(Init::OpenRc) => line.fixed_by(["rc-update add incus default", "rc-service incus start"]),
        None => line.note("this host boots with neither systemd nor OpenRC: start `incusd` in its own way"),
    }
}

pub(super) fn version(answers: &Answers) -> Line {
    let has = |extension: &&&str| answers.extensions.iter().any(|own| own == **extension);
    let missing: Vec<&str> = NEEDED.iter().filter(|extension| !has(extension)).copied().collect();
    let version = &answers.server.version;
    if missing.is_empty() {
        return Line::ok(Check::Version, format!("Incus {version} has all that is asked of it"));
    }
    Line::failure(Check::Version, format!("Incus {version} is too old: it has no {}", missing.join(", ")))
        .note("6.0 or newer is needed; on Debian 12 it is in bookworm-backports")
}

pub(super) fn pools(answers: &Answers) -> Vec<Line> {
    if answers.pools.is_empty() {
        let line = Line::failure(Check::Storage, "Incus has no storage pool: it was never initialised");
        return vec![
            line.fixed_by(["anklume bootstrap --yes"])
                .note("which chooses btrfs or ZFS where they are, else plain directories"),
        ];
    }
    answers.pools.iter().map(pool).collect()
}

fn pool(pool: &Pool) -> Line {
    let Pool { name, driver, status, .. } = pool;
    if status != "Created" {
        let message = format!("the storage pool {name} is {}", status.to_lowercase());
        return Line::failure(Check::Storage, message).mend([format!("incus storage info {name}")]);
    }
    let line = Line::ok(Check::Storage, format!("storage pool {name} ({driver})"));
    match driver.as_str() {
        "dir" => line.note("plain directories: a snapshot is a full copy, and sizes of volumes are not kept to"),
        _ => line,
    }
}

/// Bytes under which a pool is about to be full, whatever its size.
const LITTLE: u64 = 2 * 1024 * 1024 * 1024;

pub(super) fn space(answers: &Answers) -> Vec<Line> {
    answers.pools.iter().filter_map(|pool| Some(space_of(&pool.name, pool.space?))).collect()
}

fn space_of(name: &str, (used, total): (u64, u64)) -> Line {
    let free = total.saturating_sub(used);
    let percent = free.saturating_mul(100).checked_div(total).unwrap_or_default();
    let level = match percent {
        0..2 => Level::Failure,
        2..10 => Level::Warning,
        _ if free < LITTLE => Level::Warning,
        _ => Level::Ok,
    };
    let message = format!("storage pool {name} has {} of {} left ({percent} %)", size(free), size(total));
    let line = Line::new(Check::Space, level, message);
    if level == Level::Ok {
        line
    } else {
        line.mend(["anklume image prune"]).note("or delete snapshots; Incus fails in odd ways when it is full")
    }
}

/// `3.5 GiB`
fn size(bytes: u64) -> String {
    let mebibytes = bytes / (1024 * 1024);
    match mebibytes {
        0..1024 => format!("{mebibytes} MiB"),
        _ => format!("{}.{} GiB", mebibytes / 1024, mebibytes % 1024 * 10 / 1024),
    }
}
