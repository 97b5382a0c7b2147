//! What only the server, the image servers and the kernel know, asked before the first write.

use std::collections::BTreeMap;

use anyhow::{Context, Result};

use crate::firewall::fence;
use crate::incus::call::Call;
use crate::incus::door::{CallError, Host, ThisHost, json};
use crate::incus::server::{KnownKey, Server};
use crate::infra::bytes;
use crate::infra::near::nearest;
use crate::infra::problem::{Path, Problem};
use crate::plan::{Action, Field, Id, Kind, Plan, Verb};
use crate::resolve::desired::{Config, Desired, Devices, Domain, Machine, Volume};
use crate::resources::{image, volume};

/// Problems that the server's answers show: unknown keys, machines that it cannot run, images that are not there. `iommu`:
/// this host can give devices away.
pub(crate) fn problems(desired: &Desired, plan: &Plan, server: &Server, iommu: bool) -> Vec<Problem> {
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
                problems.extend(can_run(domain, machine, &at, server, iommu));
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
        let message = format!("`{key}` is for a {only}, and this is a {kind}");
        return Some(Problem::error(at, message).at_key().help("remove the line, or change `type`"));
    }
    let is_bool = matches!(value.to_lowercase().as_str(), "true" | "false" | "1" | "0" | "yes" | "no" | "on" | "off");
    let (words, help) = match known.value.as_str() {
        "bool" if !is_bool => ("`true` or `false`", format!("write `{key}: true` or `{key}: false`")),
        "integer" if value.parse::<i64>().is_err() => {
            ("a whole number", format!("write one without a unit, such as `{key}: 100`"))
        }
        _ => return None,
    };
    Some(Problem::error(at, format!("`{key}` is {words}, not `{value}`")).help(help))
}

/// Can this host run such a machine?
fn can_run(domain: &Domain, machine: &Machine, at: &Path, server: &Server, iommu: bool) -> Vec<Problem> {
    let mut problems = Vec::new();
    if machine.vm && !server.runs_vms() {
        let message = "this host cannot run virtual machines: Incus has no `qemu` driver";
        let help = "`incus warning list` tells what is missing (KVM, vhost_vsock, qemu); or write `type: lxc`";
        problems.push(Problem::error(at.to("type"), message).help(help));
    }
    let mut profiles = domain.profiles.iter().filter(|profile| machine.profiles.contains(&profile.name));
    let gpu = has_gpu(&machine.devices) || profiles.any(|profile| has_gpu(&profile.devices));
    if machine.vm && gpu && !iommu {
        let message = "this host gives no device away to virtual machines: it has no IOMMU";
        let help = "turn on VT-d or AMD-Vi in the firmware, and on Intel boot with `intel_iommu=on`; \
                    `ls /sys/kernel/iommu_groups` shows groups then";
        problems.push(Problem::warning(at.to("gpu"), message).help(help));
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

/// Volumes that hold more than they are to hold. Incus 6.0.4 begins all the same with btrfs, and fails halfway ("Disk
/// quota exceeded"): nothing can be written then, and no other size be set, until enough was deleted.
pub(crate) async fn overfull(desired: &Desired, plan: &Plan) -> Vec<Problem> {
    let mut problems = Vec::new();
    for action in &plan.actions {
        let Some((size, (at, volume))) = shrunk_to(action).zip(volume_of(desired, &action.id)) else { continue };
        // Not every driver counts, and none has to: Incus says then whether it can be done.
        let state = json(&ThisHost, &Call::query(volume::state_of(&action.id))).await.unwrap_or_default();
        let used = state["usage"]["used"].as_f64().filter(|used| Some(*used) > bytes(size));
        problems.extend(used.map(|used| {
            let message = format!("`{}` holds {:.0} MiB, more than {size}", volume.device, used / 1_048_576.0);
            let problem = Problem::error(at.to("size"), message);
            problem.help("write a larger size, or delete some of what is in it first")
        }));
    }
    problems
}

/// The size that a volume which stands gets, where that may be less than it has.
fn shrunk_to(action: &Action) -> Option<&String> {
    let size = |text: &Option<String>| text.as_deref().and_then(bytes);
    let shrinks = |field: &&Field| match (size(&field.before), size(&field.after)) {
        (Some(before), Some(after)) => after < before,
        (None, Some(_)) => true,
        (_, None) => false,
    };
    let stands = action.id.kind == Kind::Volume && action.verb != Verb::Create;
    let mut sizes = action.fields.iter().filter(|field| stands && field.key == "size");
    sizes.find(shrinks).and_then(|field| field.after.as_ref())
}

/// The volume of that name, and where it is written.
fn volume_of<'d>(desired: &'d Desired, id: &Id) -> Option<(Path, &'d Volume)> {
    let machines = desired.domains.iter().flat_map(|domain| domain.machines.iter().map(move |one| (domain, one)));
    let mut volumes =
        machines.flat_map(|(domain, machine)| machine.volumes.iter().map(move |volume| (domain, machine, volume)));
    let (domain, machine, volume) =
        volumes.find(|(domain, _, volume)| volume::id(&domain.project, &volume.pool, &volume.name) == *id)?;
    let at = Path::of(["domains", &domain.name, "machines", &machine.name, "storage_volumes", &volume.device]);
    Some((at, volume))
}

/// Asks the kernel whether it would take the table of this plan.
pub(crate) async fn dry_run(desired: &Desired, plan: &Plan) -> Result<()> {
    // Not where the table is only written for another kernel.
    let loads =
        |action: &Action| action.id.kind == Kind::Firewall && action.calls.iter().any(|call| call.program == "nft");
    if plan.actions.iter().any(loads) {
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::plan::Impact;

    fn resized(verb: Verb, before: Option<&str>, after: Option<&str>) -> Action {
        let text = |text: Option<&str>| text.map(str::to_owned);
        let field = Field { key: "size".into(), before: text(before), after: text(after), impact: Impact::Live };
        Action {
            domain: "pro".into(),
            fields: vec![field],
            ..Action::bare(volume::id("pro", "default", "pro-dev-data"), verb, Vec::new())
        }
    }

    #[test]
    fn a_volume_is_asked_what_it_holds_only_before_it_may_shrink() {
        let cases = [
            (Verb::Update, Some("1GiB"), Some("1023MiB"), true),
            (Verb::Update, Some("1GiB"), Some("1024MiB"), false),
            (Verb::Update, Some("1GiB"), Some("2GiB"), false),
            (Verb::Update, Some("1GiB"), None, false),
            (Verb::Adopt, None, Some("1GiB"), true),
            (Verb::Create, None, Some("1GiB"), false),
        ];
        for (verb, before, after, asked) in cases {
            let action = resized(verb, before, after);
            assert_eq!(shrunk_to(&action).is_some(), asked, "{verb:?} {before:?} -> {after:?}");
        }
    }
}
