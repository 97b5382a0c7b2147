//! What only the server, the image servers and the kernel know, asked before the first write.

use std::collections::BTreeMap;

use anyhow::{Context, Result};

use crate::firewall::fence;
use crate::incus::door::{CallError, Host, ThisHost};
use crate::incus::server::{KnownKey, Server};
use crate::infra::near::nearest;
use crate::infra::problem::{Path, Problem};
use crate::plan::{Id, Kind, Plan, Verb};
use crate::resolve::desired::{Config, Desired, Devices, Domain, Machine};
use crate::resources::image;

/// Problems that the server's answers show: unknown keys, machines that it cannot run, images that are not there.
pub(crate) fn problems(desired: &Desired, plan: &Plan, server: &Server) -> Vec<Problem> {
    let mut problems = Vec::new();
    for domain in &desired.domains {
        let at = Path::of(["domains", &domain.name]);
        for profile in &domain.profiles {
            let at = at.to("profiles").to(&profile.name).to("config");
            problems.extend(keys(&profile.config, None, &at, server));
        }
        for machine in &domain.machines {
            let at = at.to("machines").to(&machine.name);
            problems.extend(keys(&machine.config, Some(machine.vm), &at.to("config"), server));
            if makes(plan, &domain.project, machine) {
                problems.extend(can_run(domain, machine, &at, server));
                problems.extend(is_here(desired, machine, &at, server));
            }
        }
    }
    problems
}

fn makes(plan: &Plan, project: &str, machine: &Machine) -> bool {
    let id = Id::within(Kind::Instance, project, &machine.instance);
    plan.actions.iter().any(|action| action.id == id && action.verb == Verb::Create)
}

/// Checks config keys against the server's own list. A profile may serve containers and virtual machines.
fn keys(config: &Config, vm: Option<bool>, at: &Path, server: &Server) -> Vec<Problem> {
    if server.instance_keys().next().is_none() {
        return Vec::new();
    }
    let mut problems = Vec::new();
    for (key, value) in config {
        let at = at.to(key);
        match server.instance_key(key) {
            None if is_free(key) => {}
            None => {
                let problem = Problem::error(at, format!("Incus knows no config key `{key}`")).at_key();
                problems.push(match nearest(key, server.instance_keys()) {
                    Some(near) => problem.help(format!("did you mean `{near}`?")),
                    None => problem.help("`incus config show` shows keys in use; free notes go under `user.`"),
                });
            }
            Some(known) => problems.extend(misused(key, value, known, vm, at)),
        }
    }
    problems
}

/// Keys that the server's list leaves out and takes: any name goes after these.
fn is_free(key: &str) -> bool {
    ["user.", "environment.", "limits.kernel.", "linux.sysctl.", "cloud-init.ssh-keys.", "smbios11."]
        .iter()
        .any(|start| key.starts_with(start))
}

fn misused(key: &str, value: &str, known: &KnownKey, vm: Option<bool>, at: Path) -> Option<Problem> {
    let kind = match vm {
        Some(true) => "virtual machine",
        Some(false) => "container",
        None => "",
    };
    if let Some(only) = known.only_for.as_deref().filter(|only| !kind.is_empty() && *only != kind) {
        return Some(Problem::error(at, format!("`{key}` is for a {only}, and this is a {kind}")).at_key());
    }
    let is_bool = matches!(value.to_lowercase().as_str(), "true" | "false" | "1" | "0" | "yes" | "no" | "on" | "off");
    match known.value.as_str() {
        "bool" if !is_bool => Some(Problem::error(at, format!("`{key}` is `true` or `false`, not `{value}`"))),
        "integer" if value.parse::<i64>().is_err() => {
            Some(Problem::error(at, format!("`{key}` is a whole number, not `{value}`")))
        }
        _ => None,
    }
}

/// Can this host run such a machine?
fn can_run(domain: &Domain, machine: &Machine, at: &Path, server: &Server) -> Vec<Problem> {
    let mut problems = Vec::new();
    if machine.vm && !server.runs_vms() {
        let message = "this host cannot run virtual machines: Incus has no `qemu` driver";
        let help = "`incus warning list` tells what is missing (KVM, vhost_vsock, qemu); or write `type: lxc`";
        problems.push(Problem::error(at.to("type"), message).help(help));
    }
    let profiles = domain.profiles.iter().filter(|profile| machine.profiles.contains(&profile.name));
    let gpu = has_gpu(&machine.devices) || profiles.into_iter().any(|profile| has_gpu(&profile.devices));
    if gpu && server.gpus == 0 {
        let message = "this host has no GPU that Incus can see";
        problems.push(Problem::error(at.to("gpu"), message).help("`incus info --resources` lists the GPUs"));
    }
    problems
}

/// An image that is not of a remote is on this host, or in the image repository.
fn is_here(desired: &Desired, machine: &Machine, at: &Path, server: &Server) -> Option<Problem> {
    let name = image::local_name(&machine.image, machine.vm);
    let stored = desired.stored.contains_key(&(machine.image.clone(), machine.vm));
    if image::is_remote(&machine.image) || stored || server.has_image(&name) {
        return None;
    }
    let message = format!("there is no image `{name}` on this host");
    let help = "`incus image list --project default` lists them; `images:debian/13` names one to be fetched";
    Some(Problem::error(at.to("os_image"), message).help(help))
}

fn has_gpu(devices: &Devices) -> bool {
    devices.values().any(|device| device.get("type").is_some_and(|kind| kind == "gpu"))
}

/// Asks the kernel whether it would take the table of this plan.
pub(crate) async fn dry_run(desired: &Desired, plan: &Plan) -> Result<()> {
    if plan.actions.iter().any(|action| action.id.kind == Kind::Firewall) {
        let call = ThisHost.call(&fence::check(&desired.wall)).await;
        call.context("the kernel refuses the table that keeps the domains apart")?;
    }
    Ok(())
}

/// Asks the image servers whether they have what is to be fetched.
pub(crate) async fn missing_images(desired: &Desired, plan: &Plan) -> Vec<Problem> {
    let mut wanted: BTreeMap<(&str, bool), Path> = BTreeMap::new();
    for domain in &desired.domains {
        for machine in &domain.machines {
            let stored = desired.stored.contains_key(&(machine.image.clone(), machine.vm));
            let made = plan.actions.iter().any(|action| action.id == image::id(&machine.image, machine.vm));
            if made && !stored {
                let at = Path::of(["domains", &domain.name, "machines", &machine.name, "os_image"]);
                wanted.entry((&machine.image, machine.vm)).or_insert(at);
            }
        }
    }
    let mut asked = tokio::task::JoinSet::new();
    for ((image, vm), at) in wanted {
        let (call, image) = (image::ask(image, vm), image.to_owned());
        asked.spawn(async move { (image, vm, at, ThisHost.call(&call).await) });
    }
    let mut problems: Vec<Problem> = asked
        .join_all()
        .await
        .into_iter()
        .filter_map(|(image, vm, at, answer)| missing(&image, vm, at, answer))
        .collect();
    problems.sort_by(|a, b| a.path.cmp(&b.path));
    problems
}

fn missing(image: &str, vm: bool, at: Path, answer: Result<Vec<u8>, CallError>) -> Option<Problem> {
    let said = match answer {
        Ok(_) => return None,
        Err(error) => error.to_string(),
    };
    let remote = image.split(':').next().unwrap_or_default();
    let kind = if vm { " for virtual machines" } else { "" };
    let (message, help) = if said.contains("couldn't be found") || said.contains("not found") {
        (format!("there is no image `{image}`{kind}"), format!("`incus image list {remote}:` lists what there is"))
    } else if said.contains("The remote") {
        (format!("there is no image server called `{remote}`"), "`incus remote list` shows them".to_owned())
    } else {
        let help = format!("is the server reachable? `incus image list {remote}:` tries it");
        (format!("the image `{image}` cannot be asked for: {said}"), help)
    };
    Some(Problem::error(at, message).help(help))
}
