//! How things may be called.

use std::collections::HashMap;

use super::super::at::quoted;
use super::super::model::{Devices, Infra};
use super::super::problem::{Path, Problem};
use super::{domain_path, machines};

/// The longest name of a project, a machine or a host name label.
const LONGEST: usize = 63;

pub(super) fn check(infra: &Infra) -> Vec<Problem> {
    let mut problems = Vec::new();
    if !infra.project_name.is_empty() {
        problems.extend(slug(&infra.project_name, "a project name", Path::of(["project_name"])));
    }
    for name in infra.domains.keys() {
        let path = domain_path(name);
        problems.extend(slug(name, "a domain name", path.clone()).map(Problem::at_key));
        problems.extend(reserved(name, path).map(Problem::at_key));
    }
    problems.extend(machine_names(infra));
    problems.extend(inner_names(infra));
    problems
}

/// `[a-z0-9][a-z0-9-]*`.
fn slug(name: &str, what: &str, path: Path) -> Option<Problem> {
    if name.len() > LONGEST {
        return Some(too_long(name, what, path));
    }
    let fits = is_slug(name);
    (!fits).then(|| not_a_name(name, what, path))
}

/// Can an infrastructure be called so?
pub(in crate::infra) fn is_project_name(name: &str) -> bool {
    name.len() <= LONGEST && is_slug(name)
}

fn is_slug(name: &str) -> bool {
    !name.is_empty() && !name.starts_with('-') && name.bytes().all(is_slug_byte)
}

fn is_slug_byte(byte: u8) -> bool {
    byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-'
}

fn too_long(name: &str, what: &str, path: Path) -> Problem {
    let message = format!("{} is too long for {what}: {} characters", quoted(name), name.chars().count());
    Problem::error(path, message).help(format!("use at most {LONGEST}"))
}

fn not_a_name(name: &str, what: &str, path: Path) -> Problem {
    let mended: String = name
        .to_lowercase()
        .chars()
        .map(|c| if c.is_ascii_lowercase() || c.is_ascii_digit() { c } else { '-' })
        .collect();
    let mended = mended.trim_matches('-');
    let help = match mended {
        _ if !name.is_ascii() || mended.is_empty() => "use lower-case letters, digits and hyphens".to_owned(),
        mended => format!("use lower-case letters, digits and hyphens: {}", quoted(mended)),
    };
    Problem::error(path, format!("{} is not {what}", quoted(name))).help(help)
}

/// Names that mean something else.
fn reserved(name: &str, path: Path) -> Option<Problem> {
    let why = match name {
        "default" => "the Incus project `default` is not anklume's to change",
        "host" => "`host` is the host itself in `network_policies`",
        "all" => "`all` means every domain and machine",
        _ => return None,
    };
    Some(Problem::error(path, format!("nothing can be called `{name}`: {why}")).help("choose another name"))
}

fn machine_names(infra: &Infra) -> Vec<Problem> {
    let mut problems = Vec::new();
    let mut seen: HashMap<&str, Path> = HashMap::new();
    for spot in machines(infra) {
        let (name, path) = (spot.name, spot.path());
        problems.extend(label(name, path.clone()).map(Problem::at_key));
        if name != "default" {
            problems.extend(reserved(name, path.clone()).map(Problem::at_key));
        }
        if let Some(first) = seen.get(name) {
            let message = format!("two machines are called {}", quoted(name));
            let problem = Problem::error(path, message).at_key().also(first.clone(), "the first one");
            problems.push(problem.help("a machine's name is its host name, and is unique over all domains"));
        } else {
            seen.insert(name, path);
        }
    }
    problems
}

/// A host name label.
fn label(name: &str, path: Path) -> Option<Problem> {
    let what = "a machine name";
    if name.len() > LONGEST {
        Some(too_long(name, what, path))
    } else if !is_slug(name) || name.ends_with('-') {
        Some(not_a_name(name, what, path))
    } else if name.bytes().all(|byte| byte.is_ascii_digit()) {
        let message = format!("{} is not {what}: it has digits only", quoted(name));
        Some(Problem::error(path, message).help(format!("put a letter in it: `m{name}`")))
    } else {
        None
    }
}

/// Profiles, devices, volumes: names inside Incus.
fn inner_names(infra: &Infra) -> Vec<Problem> {
    let mut problems = Vec::new();
    for (name, domain) in &infra.domains {
        for (profile, written) in &domain.profiles {
            let path = domain_path(name).to("profiles").to(profile);
            problems.extend(inner(profile, "a profile name", 63, &path));
            problems.extend(devices(&written.devices, &path));
        }
    }
    for spot in machines(infra) {
        let path = spot.path();
        problems.extend(devices(&spot.machine.devices, &path));
        for volume in spot.machine.storage_volumes.keys() {
            problems.extend(inner(volume, "a volume name", 60, &path.to("storage_volumes").to(volume)));
        }
        for data in spot.machine.persistent_data.keys() {
            problems.extend(inner(data, "a name for persistent data", 60, &path.to("persistent_data").to(data)));
        }
    }
    for volume in infra.shared_volumes.keys() {
        problems.extend(inner(volume, "a name for a shared volume", 60, &Path::of(["shared_volumes", volume])));
    }
    problems
}

fn devices<'d>(devices: &'d Devices, path: &Path) -> impl Iterator<Item = Problem> + use<'d> {
    let path = path.to("devices");
    devices.keys().filter_map(move |name| inner(name, "a device name", 63, &path.to(name)))
}

/// Letters, digits, `-`, `_` and `.`, not first a dot.
fn inner(name: &str, what: &str, longest: usize, path: &Path) -> Option<Problem> {
    let fits = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.');
    let first = name.starts_with(|c: char| c.is_ascii_alphanumeric());
    let problem = if first && name.chars().all(fits) && name.len() <= longest {
        return None;
    } else if name.len() > longest {
        let message = format!("{} is too long for {what}", quoted(name));
        Problem::error(path.clone(), message).help(format!("use at most {longest} characters"))
    } else {
        let message = format!("{} is not {what}", quoted(name));
        Problem::error(path.clone(), message).help("use letters, digits, `-`, `_` and `.`; first a letter or a digit")
    };
    Some(problem.at_key())
}
