//! Project limits: where a project has one, Incus wants every instance in it to say its own share.

use super::devices::profiles_of;
use super::machine_path;
use crate::infra::model::{Devices, Domain, Infra, Machine, Volume};
use crate::infra::problem::{Path, Problem};

/// Machines that Incus would refuse because the domain's limits leave their own unsaid.
pub(super) fn check(infra: &Infra, name: &str, domain: &Domain) -> Vec<Problem> {
    let mut problems = Vec::new();
    for (machine, written) in &domain.machines {
        let path = machine_path(name, machine);
        let keys = ["limits.cpu", "limits.memory", "limits.processes"];
        for (key, example) in keys.into_iter().zip(["2", "1GiB", "500"]) {
            if domain.limits.contains_key(key) && !says(domain, written, key) && !is_shared_out(infra, written, key) {
                let example = format!("config: {{ {key}: {example} }}");
                // Incus asks it of a virtual machine too, and takes it from a profile only.
                let in_profile = written.vm && key == "limits.processes";
                let place = if in_profile { "a profile".into() } else { format!("`{machine}`, or in a profile") };
                problems.push(unsaid(&path, machine, name, key, &format!("write `{example}` in {place}")));
            }
        }
        if domain.limits.contains_key("limits.disk") && !sizes_root(domain, written) {
            let example = "devices: { root: { type: disk, path: /, size: 10GiB } }";
            let help = format!("write `{example}` in `{machine}`, or in a profile");
            problems.push(unsaid(&path, machine, name, "limits.disk", &help));
        }
        if domain.limits.contains_key("limits.disk") {
            problems.extend(unsized_volumes(&path, written, name));
        }
    }
    problems
}

/// Does `resource_policy` give the machine such a limit?
fn is_shared_out(infra: &Infra, machine: &Machine, key: &str) -> bool {
    let policy = infra.global.resource_policy.as_ref();
    policy.is_some_and(|policy| key == "limits.memory" || (key == "limits.cpu" && (policy.cpu_count || machine.vm)))
}

fn says(domain: &Domain, machine: &Machine, key: &str) -> bool {
    machine.config.contains_key(key) || profiles_of(domain, machine).any(|profile| profile.config.contains_key(key))
}

/// Has its root disk a size? The machine's own comes before those of its profiles, and the last profile before the
/// others; the project's `default` has one without.
fn sizes_root(domain: &Domain, machine: &Machine) -> bool {
    let sized = |devices: &Devices| {
        let root = devices.values().find(|keys| keys.get("path").is_some_and(|path| path == "/"));
        root.map(|keys| keys.contains_key("size"))
    };
    let of_profile = |name: &String| match domain.profiles.get(name) {
        Some(profile) => sized(&profile.devices),
        None => (name == "default").then_some(false),
    };
    sized(&machine.devices).or_else(|| machine.profiles.iter().rev().find_map(of_profile)).unwrap_or_default()
}

/// Incus counts volumes too.
fn unsized_volumes(path: &Path, machine: &Machine, domain: &str) -> Vec<Problem> {
    let says_none = |volume: &Volume| volume.size.is_none() && !volume.config.contains_key("size");
    let none = machine.storage_volumes.iter().filter(|(_, volume)| says_none(volume));
    let problem = |(name, _): (&String, &Volume)| {
        let path = path.to("storage_volumes").to(name);
        let message = format!("`{domain}` has a limits.disk, so Incus wants a `size` of the volume `{name}` too");
        Problem::error(path, message).at_key().help("write how much it may hold: `size: 10GiB`")
    };
    none.map(problem).collect()
}

fn unsaid(path: &Path, machine: &str, domain: &str, key: &str, help: &str) -> Problem {
    let message = format!("`{domain}` has a {key}, so Incus wants one of `{machine}` too");
    Problem::error(path.clone(), message).at_key().help(help)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::resolve::sample::{domain, infra, keys, machine, named, profile};

    #[test]
    fn each_machine_says_its_share_of_a_project_limit_itself_or_in_a_profile() {
        let mut pro = domain([("own", machine()), ("of-profile", machine()), ("none", machine())]);
        pro.limits = keys([("limits.memory", "8GiB"), ("limits.instances", "3")]);
        pro.machines["own"].config = keys([("limits.memory", "2GiB")]);
        pro.machines["of-profile"].profiles.push("small".into());
        pro.profiles = named([("small", profile([]))]);
        pro.profiles["small"].config = keys([("limits.memory", "1GiB")]);
        let problems = check(&infra([]), "pro", &pro);
        assert_eq!(problems.len(), 1);
        assert_eq!(problems[0].path.to_string(), "domains.pro.machines.none");
        assert!(problems[0].help.as_ref().unwrap().contains("config: { limits.memory: 1GiB }"));
    }

    #[test]
    fn a_disk_limit_wants_the_size_of_every_root_disk() {
        let root = |size: &[(&str, &str)]| {
            let keys = [("type", "disk"), ("path", "/")].iter().chain(size);
            ("root", named(keys.map(|(key, value)| (*key, (*value).to_owned()))))
        };
        let sized = || root(&[("size", "10GiB")]);
        let of =
            |profiles: &[&str]| Machine { profiles: profiles.iter().map(ToString::to_string).collect(), ..machine() };
        let mut pro = domain([
            ("own", Machine { devices: named([sized()]), ..machine() }),
            ("last", of(&["default", "large"])),
            ("first", of(&["large", "default"])),
            ("own-without", Machine { devices: named([root(&[])]), ..of(&["default", "large"]) }),
            ("none", machine()),
        ]);
        pro.limits = keys([("limits.disk", "100GiB")]);
        pro.profiles = named([("large", profile([sized()]))]);
        let problems = check(&infra([]), "pro", &pro);
        let told: Vec<String> = problems.iter().map(|problem| problem.path.to_string()).collect();
        assert_eq!(told, ["first", "own-without", "none"].map(|name| format!("domains.pro.machines.{name}")));
    }
}
