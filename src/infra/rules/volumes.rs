//! Directories and volumes that machines see: where they come from, where they go, and that none hides another.

use std::collections::HashMap;

use super::super::at::quoted;
use super::super::model::{Devices, Infra, SharedVolume};
use super::super::near::nearest;
use super::super::problem::{Path, Problem};
use super::machines::refused_keys;
use super::{Spot, domain_path, machines};

pub(super) fn check(infra: &Infra) -> Vec<Problem> {
    let mut problems = Vec::new();
    for (name, volume) in &infra.shared_volumes {
        let path = Path::of(["shared_volumes", name]);
        let source = volume.source.as_ref().and_then(|source| absolute(source, &path.to("source")));
        problems.extend(source);
        problems.extend(volume.path.as_ref().and_then(|target| inside(target, &path.to("path"))));
        if volume.consumers.is_empty() {
            let message = format!("the shared volume {} has no consumers", quoted(name));
            problems.push(
                Problem::error(path.to("consumers"), message)
                    .help("name a domain or a machine: `consumers: {pro: rw}`"),
            );
        }
        problems.extend(volume.consumers.keys().filter_map(|consumer| consumes(infra, consumer, &path)));
    }
    for spot in machines(infra) {
        problems.extend(own_paths(spot));
        problems.extend(nests_and_sees_nothing(infra, spot));
        problems.extend(collisions(infra, spot));
    }
    problems
}

/// A path from the root, without `..`.
pub(super) fn absolute(path: &str, at: &Path) -> Option<Problem> {
    let help = match path {
        _ if path.split('/').any(|part| part == "..") => "write the path without `..`".to_owned(),
        _ if path.starts_with('/') => return None,
        _ if path.starts_with('~') => "write the whole path: `/home/…`".to_owned(),
        _ => format!("write the whole path, from `/`: {}", quoted(&format!("/{path}"))),
    };
    Some(Problem::error(at.clone(), format!("{} is not an absolute path", quoted(path))).help(help))
}

/// A path in a machine where something can be mounted.
fn inside(path: &str, at: &Path) -> Option<Problem> {
    if path.starts_with('/') && tidy(path) == "/" {
        let problem = Problem::error(at.clone(), "nothing can be mounted over `/`, the machine's own disk");
        return Some(problem.help("name a directory, such as `/srv/data`"));
    }
    absolute(path, at)
}

fn consumes(infra: &Infra, consumer: &str, volume: &Path) -> Option<Problem> {
    let path = volume.to("consumers").to(consumer);
    let is_domain = infra.domains.contains_key(consumer);
    let is_machine = infra.domains.values().any(|domain| domain.machines.contains_key(consumer));
    let problem = match (is_domain, is_machine) {
        (true, false) | (false, true) => return None,
        (true, true) => Problem::error(path, format!("{} is a domain and a machine", quoted(consumer)))
            .help("give one of them another name"),
        (false, false) => {
            let machines = infra.domains.values().flat_map(|domain| domain.machines.keys());
            let help = match nearest(consumer, infra.domains.keys().chain(machines).map(String::as_str)) {
                Some(near) => format!("did you mean {}?", quoted(near)),
                None => "consumers are domains and machines of this file".to_owned(),
            };
            Problem::error(path, format!("no domain or machine is called {}", quoted(consumer))).help(help)
        }
    };
    Some(problem.at_key())
}

/// A machine that is named and yet left out: to be told, since nothing else would show it.
fn nests_and_sees_nothing(infra: &Infra, spot: Spot<'_>) -> Vec<Problem> {
    let left_out = infra.shared_volumes.iter().filter(|(_, volume)| {
        volume.consumers.contains_key(spot.name)
            && volume.access(spot.domain_name, spot.domain, spot.name, spot.machine).is_none()
    });
    let problem = |(name, _): (&String, &SharedVolume)| {
        let path = Path::of(["shared_volumes", name]);
        let message = format!("`{}` does not get {}: it can run machines of its own", spot.name, quoted(name));
        let problem = Problem::warning(path.to("consumers").to(spot.name), message).at_key();
        problem.help("write `propagate: true`, or take `security.nesting` away from it")
    };
    left_out.map(problem).collect()
}

fn own_paths(spot: Spot<'_>) -> Vec<Problem> {
    let mut problems = Vec::new();
    for (name, volume) in &spot.machine.storage_volumes {
        let at = spot.path().to("storage_volumes").to(name);
        match &volume.path {
            Some(_) if volume.block => {
                let message = "a block volume has no path: the machine sees it as a disk";
                problems.push(Problem::error(at.to("path"), message).help("remove `path` or `content_type: block`"));
            }
            Some(path) => problems.extend(inside(path, &at.to("path"))),
            None if !volume.block => problems.push(
                Problem::error(at.to("path"), format!("the volume {} has no `path`", quoted(name)))
                    .help("write where it is seen in the machine: `path: /srv/data`"),
            ),
            None if !spot.machine.vm => {
                let message = "a container cannot have a block volume";
                problems.push(Problem::error(at.to("content_type"), message).help("write `type: vm`, or a `path`"));
            }
            None => {}
        }
        problems.extend(refused_keys(&volume.config, &at));
        if volume.size.is_some() && volume.config.contains_key("size") {
            let message = "`config.size` and `size` say the same, and both are written";
            let problem = Problem::error(at.to("config").to("size"), message).at_key().also(at.to("size"), "also here");
            problems.push(problem.help("keep `size`"));
        }
        let size = volume.size.as_deref().filter(|size| super::super::decode::bytes(size).is_none());
        if let Some(size) = size {
            let problem = Problem::error(at.to("size"), format!("{} is not a size", quoted(size)));
            problems.push(problem.help("write a number and a unit, such as `20GiB`"));
        }
    }
    for (name, data) in spot.machine.persistent_data.iter().filter(|(_, data)| !data.path.is_empty()) {
        problems.extend(inside(&data.path, &spot.path().to("persistent_data").to(name).to("path")));
    }
    problems
}

/// Something attached to a machine: its device name, the path it is seen at, and where it is written.
struct Attached {
    device: String,
    target: Option<String>,
    at: Path,
    /// The user's own Incus device: two of them are the user's business.
    own: bool,
}

fn collisions(infra: &Infra, spot: Spot<'_>) -> Vec<Problem> {
    let all = attached(infra, spot);
    if all.iter().all(|thing| thing.own) {
        return Vec::new();
    }
    let mut problems = Vec::new();
    let mut devices: HashMap<&str, &Attached> = HashMap::new();
    let mut targets: HashMap<String, &Attached> = HashMap::new();
    for thing in &all {
        let earlier = devices.entry(thing.device.as_str()).or_insert(thing);
        let standard = matches!(thing.device.as_str(), "root" | "eth0") && !thing.own;
        if standard {
            let message = format!("`{}` is the name of a device that every machine has", thing.device);
            problems.push(Problem::error(thing.at.clone(), message).at_key().help("choose another name"));
        } else if !(thing.own && earlier.own) && thing.at != earlier.at {
            let message = format!("`{}` would have two devices called {}", spot.name, quoted(&thing.device));
            let problem = Problem::error(thing.at.clone(), message).at_key().also(earlier.at.clone(), "the first one");
            problems.push(problem.help("give one of them another name"));
        }
        let Some(target) = &thing.target else { continue };
        let earlier = targets.entry(tidy(target)).or_insert(thing);
        if !(thing.own && earlier.own) && thing.at != earlier.at {
            let message = format!("`{}` would have two things mounted at {}", spot.name, quoted(target));
            let problem = Problem::error(thing.at.clone(), message).also(earlier.at.clone(), "the first one");
            problems.push(problem.help("give one of them another path"));
        }
    }
    problems
}

fn attached(infra: &Infra, spot: Spot<'_>) -> Vec<Attached> {
    let mut all = Vec::new();
    let mut own = |devices: &Devices, path: &Path| {
        for (name, device) in devices {
            let is_disk = device.get("type").is_some_and(|kind| kind == "disk");
            let target = device.get("path").filter(|path| is_disk && tidy(path) != "/").cloned();
            all.push(Attached { device: name.clone(), target, at: path.to("devices").to(name), own: true });
        }
    };
    for (name, profile) in spot.profiles() {
        own(&profile.devices, &domain_path(spot.domain_name).to("profiles").to(name));
    }
    own(&spot.machine.devices, &spot.path());
    for (name, volume) in &spot.machine.storage_volumes {
        let at = spot.path().to("storage_volumes").to(name);
        all.push(Attached { device: name.clone(), target: volume.path.clone(), at, own: false });
    }
    for (name, data) in &spot.machine.persistent_data {
        let at = spot.path().to("persistent_data").to(name);
        let target = Some(data.path.clone()).filter(|path| !path.is_empty());
        all.push(Attached { device: format!("pd-{name}"), target, at, own: false });
    }
    for (name, volume) in &infra.shared_volumes {
        if volume.access(spot.domain_name, spot.domain, spot.name, spot.machine).is_some() {
            let at = Path::of(["shared_volumes", name]);
            all.push(Attached { device: format!("sv-{name}"), target: Some(volume.target(name)), at, own: false });
        }
    }
    all
}

/// A path as it is compared: `/srv//data/` is `/srv/data`.
fn tidy(path: &str) -> String {
    let parts: Vec<&str> = path.split('/').filter(|part| !part.is_empty() && *part != ".").collect();
    format!("/{}", parts.join("/"))
}
