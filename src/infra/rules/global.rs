//! GPUs, AI access and the firewall: what `global` asks of all domains together.

use super::super::at::quoted;
use super::super::model::{FirewallMode, GpuPolicy, Infra};
use super::super::near::nearest;
use super::super::problem::{Path, Problem};
use super::{Spot, domain_path, machines};

pub(super) fn check(infra: &Infra) -> Vec<Problem> {
    let mut problems = gpus(infra);
    problems.extend(ai_access(infra));
    problems.extend(firewall(infra));
    for (key, path) in [
        ("shared_volumes_base", Some(&infra.global.shared_volumes_base)),
        ("persistent_data_base", Some(&infra.global.persistent_data_base)),
        ("image_repository", infra.global.image_repository.as_ref()),
    ] {
        problems.extend(path.and_then(|path| super::volumes::absolute(path, &Path::of(["global", key]))));
    }
    problems
}

/// The GPU of a machine, where it is written.
pub(super) fn gpu(spot: Spot<'_>) -> Option<Path> {
    let is_gpu = |device: &super::super::model::Config| device.get("type").is_some_and(|kind| kind == "gpu");
    if spot.machine.gpu {
        return Some(spot.path().to("gpu"));
    }
    if let Some((name, _)) = spot.machine.devices.iter().find(|(_, device)| is_gpu(device)) {
        return Some(spot.path().to("devices").to(name));
    }
    spot.profiles().find(|(_, profile)| profile.devices.values().any(is_gpu)).map(|_| spot.path().to("profiles"))
}

fn gpus(infra: &Infra) -> Vec<Problem> {
    let with_gpu: Vec<(Spot<'_>, Path)> =
        machines(infra).filter(|spot| spot.domain.enabled).filter_map(|spot| Some((spot, gpu(spot)?))).collect();
    let [(first, first_path), rest @ ..] = with_gpu.as_slice() else { return Vec::new() };
    let problem = |(spot, path): &(Spot<'_>, Path)| {
        let message = format!("`{}` and `{}` both have the GPU", first.name, spot.name);
        let problem = match infra.global.gpu_policy {
            GpuPolicy::Exclusive => Problem::error(path.clone(), message)
                .help("one machine may have it; `gpu_policy: shared` lets several, without isolation between them"),
            GpuPolicy::Shared => Problem::warning(path.clone(), message)
                .help("nothing isolates what they do on it: no memory limit, no erasing between uses"),
        };
        problem.also(first_path.clone(), "the first one")
    };
    rest.iter().map(problem).collect()
}

fn ai_access(infra: &Infra) -> Vec<Problem> {
    let access = &infra.global.ai_access;
    let path = Path::of(["global", "ai_access_default"]);
    if !access.exclusive {
        return Vec::new();
    }
    let mut problems = Vec::new();
    match access.default.as_deref() {
        None => problems.push(
            Problem::error(path, "`ai_access_policy: exclusive` needs an `ai_access_default`")
                .help("name the domain that may use the AI tools first: `ai_access_default: pro`"),
        ),
        Some("ai-tools") => problems.push(
            Problem::error(path, "`ai_access_default` cannot be `ai-tools` itself")
                .help("name the domain that uses it"),
        ),
        Some(name) if !infra.domains.contains_key(name) => {
            let help = match nearest(name, infra.domains.keys().map(String::as_str)) {
                Some(near) => format!("did you mean {}?", quoted(near)),
                None => "name a domain of this file".to_owned(),
            };
            problems.push(Problem::error(path, format!("no domain is called {}", quoted(name))).help(help));
        }
        Some(_) => {}
    }
    if !infra.domains.contains_key("ai-tools") {
        let path = Path::of(["global", "ai_access_policy"]);
        let message = "`ai_access_policy: exclusive` needs a domain `ai-tools`";
        problems.push(Problem::error(path, message).help("add it, with the machines of the AI tools"));
    }
    let to_tools = |&(_, policy): &(usize, &super::super::model::Policy)| policy.to == "ai-tools";
    let mut ways = infra.network_policies.iter().enumerate().filter(to_tools).map(|(at, _)| at);
    if let Some(first) = ways.next() {
        let to = |at: usize| Path::of(["network_policies"]).to(at).to("to");
        problems.extend(ways.map(|at| {
            Problem::error(to(at), "with `ai_access_policy: exclusive`, only one policy may lead to `ai-tools`")
                .also(to(first), "the first one")
                .help("remove one of them, or write `ai_access_policy: open`")
        }));
    }
    problems
}

fn firewall(infra: &Infra) -> Option<Problem> {
    if infra.global.firewall_mode != FirewallMode::Vm || super::super::expand::has_firewall(infra) {
        return None;
    }
    let path = Path::of(["global", "firewall_mode"]);
    if !infra.domains.contains_key("anklume") {
        let message = "`firewall_mode: vm` needs a domain `anklume` for the firewall's machine";
        return Some(Problem::error(path, message).help("add `anklume: {trust_level: admin}` to `domains`"));
    }
    let taken = machines(infra)
        .find(|spot| spot.domain_name == "anklume" && spot.machine.ip.is_some_and(|ip| ip.octets()[3] == 253))?;
    let message = format!("`{}` has the address of `anklume-firewall`, .253", taken.name);
    let problem = Problem::error(taken.path().to("ip"), message).also(path, "asked for here");
    Some(problem.also(domain_path("anklume"), "in this domain").help("choose another address"))
}
