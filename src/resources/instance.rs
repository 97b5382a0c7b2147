//! Incus instances: containers and virtual machines.

use std::collections::BTreeMap;

use serde_json::Value;

use super::fields::{self, Fields, Key, Marks};
use super::{Found, FoundInstance, Resource, Status, Wanted, WantedInstance, needs_of, put_config, put_devices};
use super::{directory, image};
use crate::incus::call::Call;
use crate::incus::edit::Edit;
use crate::incus::server::Server;
use crate::infra::model::RunState;
use crate::plan::{Id, Impact, Kind};
use crate::resolve::desired::{Desired, Domain, Machine};

/// The kind.
pub(crate) struct Instances;

/// Seconds that a machine gets to shut itself down.
const STOP_TIMEOUT: &str = "60";

/// What lists them all.
pub(crate) const LISTING: &str = "/1.0/instances?recursion=1&all-projects=true";

impl Resource for Instances {
    fn found(&self, listed: &Value) -> Option<Found> {
        let (name, project) = (listed["name"].as_str()?, listed["project"].as_str()?);
        let mut fields = fields::listed(listed);
        let profiles: Vec<String> = strings(&listed["profiles"]);
        fields.insert(Key::Profiles, fields::joined(&profiles));
        fields.insert(Key::Type, listed["type"].as_str().unwrap_or_default().to_owned());
        fields.insert(Key::Ephemeral, (listed["ephemeral"].as_bool() == Some(true)).to_string());
        let id = Id::within(Kind::Instance, project, name);
        let needs = needs_of(&id, &fields);
        let protected =
            fields.get(&Key::Config("security.protection.delete".into())).is_some_and(|value| value == "true");
        Some(Found {
            id,
            marks: Marks::read(listed),
            protected,
            needs,
            instance: Some(FoundInstance {
                vm: fields[&Key::Type] == VM,
                status: status(listed["status"].as_str().unwrap_or_default()),
                used: listed["last_used_at"].as_str().unwrap_or_default().to_owned(),
                limits: limits(&listed["expanded_config"]),
            }),
            fields,
        })
    }

    fn wanted(&self, desired: &Desired) -> Vec<Wanted> {
        let of_domain =
            |domain: &Domain| domain.machines.iter().map(|machine| wanted(domain, machine)).collect::<Vec<_>>();
        desired.domains.iter().flat_map(of_domain).collect()
    }

    fn create(&self, wanted: &Wanted, infra: &str, start: bool) -> Call {
        let instance = wanted.instance.as_ref().expect("an instance was wanted");
        let verb = if start { "launch" } else { "create" };
        let source = image::local_name(&instance.image, instance.vm);
        let mut args = vec![verb.to_owned(), source, wanted.id.name.clone(), "--project".into()];
        args.push(wanted.id.project.clone());
        if instance.vm {
            args.push("--vm".into());
        }
        if wanted.fields.get(&Key::Ephemeral).is_some_and(|value| value == "true") {
            args.push("--ephemeral".into());
        }
        // An empty list in the body would still give it the profile `default`.
        if wanted.fields.get(&Key::Profiles).is_none_or(String::is_empty) {
            args.push("--no-profiles".into());
        }
        Call::incus(args).body(wanted.body(infra))
    }

    fn edit(&self, id: &Id, edit: Edit) -> Call {
        Call::incus(["config", "edit", &id.name, "--project", &id.project])
            .edited(format!("/1.0/instances/{}?project={}", id.name, id.project), edit)
    }

    fn delete(&self, found: &Found) -> Vec<Call> {
        let (name, project) = (&found.id.name, &found.id.project);
        let mut calls = Vec::new();
        if found.protected {
            let keys = ["config", "unset", name, "security.protection.delete", "--project", project];
            calls.push(Call::incus(keys));
        }
        calls.push(Call::incus(["delete", name, "--force", "--project", project]));
        calls
    }

    fn impact(&self, key: &Key, wanted: &Wanted, found: &Found, server: Option<&Server>) -> Impact {
        let name = &found.id.name;
        match key {
            Key::Type => {
                Impact::Rebuild(format!("Incus cannot turn a container into a virtual machine or back; {}", anew(name)))
            }
            Key::Image => Impact::Rebuild(format!("it was made from another image; {}", anew(name))),
            _ if !found.is_up() => Impact::Live,
            _ => impact_when_up(key, wanted, found, server),
        }
    }
}

const VM: &str = "virtual-machine";

impl Instances {
    /// Starts one that is stopped.
    pub(crate) fn start(id: &Id) -> Call {
        Call::incus(["start", &id.name, "--project", &id.project])
    }

    /// Lets one shut itself down. A frozen one cannot, and is cut off.
    pub(crate) fn stop(found: &Found) -> Call {
        let Id { project, name, .. } = &found.id;
        let how: &[&str] = if found.is_frozen() { &["--force"] } else { &["--timeout", STOP_TIMEOUT] };
        Call::incus(["stop", name, "--project", project].iter().chain(how).copied())
    }

    /// Puts its files into a container, running or not. A virtual machine takes files from its agent only.
    pub(crate) fn put_files(id: &Id, instance: &WantedInstance) -> Vec<Call> {
        let files = instance.files.iter().filter(|_| !instance.vm);
        files.map(|(path, text)| put_file(id, path, text)).collect()
    }

    /// Starts one for the first time, or again: with its files in it.
    pub(crate) fn start_with_files(id: &Id, instance: &WantedInstance) -> Vec<Call> {
        let mut calls = Self::put_files(id, instance);
        calls.push(Self::start(id));
        calls
    }

    /// Stops one without asking it.
    pub(crate) fn cut_off(id: &Id) -> Call {
        Call::incus(["stop", &id.name, "--force", "--project", &id.project])
    }

    /// Freezes a running one.
    pub(crate) fn pause(id: &Id) -> Call {
        Call::incus(["pause", &id.name, "--project", &id.project])
    }

    /// Lets a frozen one run on.
    pub(crate) fn resume(id: &Id) -> Call {
        Call::incus(["resume", &id.name, "--project", &id.project])
    }
}

pub(crate) fn put_file(id: &Id, path: &str, text: &str) -> Call {
    let target = format!("{}{path}", id.name);
    let ways = ["--create-dirs", "--mode", "0644", "--uid", "0", "--gid", "0", "--project", &id.project];
    Call::incus(["file", "push", "-", target.as_str()].into_iter().chain(ways)).text(text)
}

fn limits(config: &Value) -> BTreeMap<String, String> {
    let config = config.as_object().into_iter().flatten().filter(|(key, _)| key.starts_with("limits."));
    config.filter_map(|(key, value)| Some((key.clone(), value.as_str()?.to_owned()))).collect()
}

/// What makes a machine anew, for people.
pub(super) fn anew(name: &str) -> String {
    format!("`anklume apply --replace {name}` makes it anew and keeps the one that is there, stopped, with its data")
}

fn strings(list: &Value) -> Vec<String> {
    list.as_array().into_iter().flatten().filter_map(Value::as_str).map(str::to_owned).collect()
}

fn status(word: &str) -> Status {
    match word {
        "Running" => Status::Running,
        "Stopped" => Status::Stopped,
        "Frozen" => Status::Frozen,
        other => Status::Other(other.to_owned()),
    }
}

/// A directory or a volume with files that a machine sees at a path. Incus mounts one in a running container; a running
/// virtual machine lets none of them go ("device or resource busy"), and finds new ones only with its agent.
fn is_share(fields: &Fields, device: &str) -> bool {
    let key = Key::Device(device.to_owned(), "type".into());
    fields.get(&key).is_some_and(|kind| kind == "disk") && path(fields, device).is_some_and(|path| path != "/")
}

fn path<'f>(fields: &'f Fields, device: &str) -> Option<&'f String> {
    fields.get(&Key::Device(device.to_owned(), "path".into()))
}

/// A running machine takes most keys at once. Where the server says which (`liveupdate` in its own list of keys), it
/// is right; the lists here are for when it was not asked, and for devices, of which it says nothing.
fn impact_when_up(key: &Key, wanted: &Wanted, found: &Found, server: Option<&Server>) -> Impact {
    let vm = found.instance.as_ref().is_some_and(|instance| instance.vm);
    let restart = match key {
        // The guest keeps the address it has until its lease runs out, and the filters would cut it off by then.
        Key::Device(_, key) if key == "ipv4.address" || key == "ipv6.address" => true,
        // Whole, or there would be half a device: on its bridge with the address of another, or a type without a path.
        Key::Device(device, _) if goes_elsewhere(device, &wanted.fields, &found.fields) => true,
        Key::Device(device, _) => vm && [&wanted.fields, &found.fields].iter().any(|fields| is_share(fields, device)),
        Key::Config(name) if waits_for_nobody(name) => false,
        Key::Config(_) if vm => !is_live_on_vm(key, wanted, found, server),
        Key::Config(name) => !server
            .and_then(|server| server.instance_key(name))
            .and_then(|known| known.live)
            .unwrap_or_else(|| is_live_on_container(name)),
        _ => false,
    };
    if restart { Impact::Restart } else { Impact::Live }
}

/// Is this a card that goes to another bridge, and has another address there?
fn goes_elsewhere(device: &str, wanted: &Fields, found: &Fields) -> bool {
    let differs = |key: &str| {
        let key = Key::Device(device.to_owned(), key.to_owned());
        wanted.get(&key) != found.get(&key)
    };
    (differs("network") || differs("parent")) && differs("ipv4.address")
}

/// What a guest reads when it is new. Incus gives it another instance id when one of these changes, so that cloud-init
/// takes the next start for a first one; what it did before is there all the same.
pub(super) fn is_read_at_birth(key: &str) -> bool {
    let documents = ["user-data", "vendor-data", "network-config"];
    let document = key.strip_prefix("cloud-init.").or_else(|| key.strip_prefix("user."));
    document.is_some_and(|name| documents.contains(&name))
}

/// Keys that the server's list calls not live, though no restart brings anything: they are read at the next boot of the
/// host, the next snapshot, the next rebuild.
fn waits_for_nobody(key: &str) -> bool {
    ["user.", "environment.", "cloud-init.", "boot.", "snapshots.", "cluster.", "security.protection."]
        .iter()
        .any(|start| key.starts_with(start))
}

/// Incus refuses most other keys of a running virtual machine ("cannot be updated when VM is running"), or keeps them
/// for its next start.
fn is_live_on_vm(key: &Key, wanted: &Wanted, found: &Found, server: Option<&Server>) -> bool {
    let Key::Config(name) = key else { return false };
    // Processors come and go by their count; a set of them (`0-3`) is pinned when the machine starts.
    let is_count = |fields: &Fields| fields.get(key).is_none_or(|value| value.parse::<u32>().is_ok());
    match name.as_str() {
        "limits.cpu" => is_count(&wanted.fields) && is_count(&found.fields),
        // Older servers can only take memory away, from a guest that gives it up, and never add any.
        "limits.memory" => server.is_some_and(Server::hotplugs_memory),
        other => other == "security.agent.metrics",
    }
}

/// What Incus 6.0.4 takes on a running container and acts upon at the next start only.
fn is_live_on_container(key: &str) -> bool {
    let at_start =
        ["raw.", "nvidia.", "security.idmap.", "security.syscalls.", "limits.kernel.", "linux.kernel_modules"];
    !at_start.iter().any(|start| key.starts_with(start)) && key != "security.privileged"
}

fn wanted(domain: &Domain, machine: &Machine) -> Wanted {
    let mut fields = Fields::from([
        (Key::Type, if machine.vm { VM } else { "container" }.to_owned()),
        (Key::Image, machine.image.clone()),
        (Key::Description, machine.description.clone()),
        (Key::Profiles, fields::joined(&machine.profiles)),
        (Key::Ephemeral, machine.instance_ephemeral.to_string()),
    ]);
    put_config(&mut fields, &machine.config);
    put_devices(&mut fields, &machine.devices);
    let id = Id::within(Kind::Instance, &domain.project, &machine.instance);
    let mut needs = needs_of(&id, &fields);
    needs.extend(machine.directories.iter().map(|directory| directory::id(&directory.path)));
    let address = machine.address.map(|address| format!(", {address}")).unwrap_or_default();
    Wanted {
        id,
        domain: domain.name.clone(),
        fields,
        at_birth: BTreeMap::new(),
        needs,
        protected: false,
        comes_with_project: false,
        note: format!("{}{}{address}", if machine.vm { "vm, " } else { "" }, machine.image),
        instance: Some(WantedInstance {
            vm: machine.vm,
            image: machine.image.clone(),
            files: machine.files.clone(),
            state: machine.state,
            state_written: machine.state_written,
        }),
    }
}

/// Is a machine that stands so to be changed to run, stop or freeze? What the user paused by hand stays paused unless
/// the file says `state`.
pub(super) fn run_state(wanted: &WantedInstance, status: &Status) -> Option<crate::plan::Verb> {
    use crate::plan::Verb;
    match (wanted.state, status) {
        (RunState::Running | RunState::Frozen, Status::Stopped) => Some(Verb::Start),
        (RunState::Running, Status::Frozen) if wanted.state_written => Some(Verb::Resume),
        (RunState::Frozen, Status::Running) => Some(Verb::Pause),
        (RunState::Stopped, Status::Running | Status::Frozen) => Some(Verb::Stop),
        _ => None,
    }
}

#[cfg(test)]
mod tests;
