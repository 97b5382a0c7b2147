//! A machine's storage volumes, and the host directories that it sees: its own persistent data, and what it shares.

use super::desired::{self, Config, Devices, Directory, Domain, Volume};
use super::{Ground, machine_path};
use crate::infra::model::{self, Machine};
use crate::infra::problem::Problem;

/// The volumes of a machine, each on the pool that it stands on, or else on the one that it is to be made on.
pub(super) fn volumes(ground: Ground<'_>, home: &Domain, name: &str, machine: &Machine) -> Vec<Volume> {
    machine.storage_volumes.iter().map(|(own, written)| volume(ground, home, name, own, written)).collect()
}

fn volume(ground: Ground<'_>, home: &Domain, machine: &str, own: &str, written: &model::Volume) -> Volume {
    let name = ground.names.volume(machine, own);
    let standing = || ground.holds.volumes_called(&home.project, &name).filter(|(_, held)| held.ours);
    let first_standing = || standing().next().map(|(pool, _)| pool.to_owned());
    // Another `default_pool` moves no volume.
    let wanted_pool = written.pool.clone().or_else(first_standing).unwrap_or_else(|| home.pool.clone());
    // Nor does another `pool`, by itself: the machine keeps what it has.
    let moved_by_hand = standing().any(|(pool, _)| pool == wanted_pool);
    let pool = first_standing().filter(|_| !moved_by_hand).unwrap_or_else(|| wanted_pool.clone());
    let mut config: Config = written.config.iter().map(|(key, value)| (key.clone(), value.clone())).collect();
    config.extend(written.size.clone().map(|size| ("size".to_owned(), size)));
    let (block, path) = (written.block, written.path.clone());
    Volume { device: own.to_owned(), name, pool, wanted_pool, block, path, config }
}

/// What Incus cannot make of a volume that stands.
pub(super) fn check(ground: Ground<'_>, home: &Domain, machine: &desired::Machine) -> Vec<Problem> {
    let kind = |block: bool| if block { "a block volume" } else { "a volume with files" };
    let problem = |volume: &Volume| {
        let mut standing = ground.holds.volumes_called(&home.project, &volume.name);
        let (_, standing) = standing.find(|(pool, _)| *pool == volume.pool)?;
        let (is, wanted) = (kind(standing.block), kind(volume.block));
        let path = machine_path(&home.name, &machine.name).to("storage_volumes").to(&volume.device).to("content_type");
        let message = format!("`{}` is {is}, and Incus cannot make {wanted} of it", volume.device);
        let help = "give it another name: the one that stands is kept, with its data";
        (standing.block != volume.block).then(|| Problem::error(path, message).help(help))
    };
    machine.volumes.iter().filter_map(problem).collect()
}

/// The disk devices of a machine's volumes and directories, and the directories that have to be there for it.
pub(super) fn mounts(
    ground: Ground<'_>,
    home: &Domain,
    domain: &model::Domain,
    name: &str,
    machine: &Machine,
    volumes: &[Volume],
) -> (Devices, Vec<Directory>) {
    let mut devices = Devices::new();
    let mut directories = Vec::new();
    for volume in volumes {
        let path = volume.path.as_deref().map(|path| ("path", path));
        let keys = [("type", "disk"), ("pool", &volume.pool), ("source", &volume.name)];
        devices.insert(volume.device.clone(), keys.into_iter().chain(path).map(owned).collect());
    }
    let global = &ground.infra.global;
    for (own, data) in &machine.persistent_data {
        let source = [base(&global.persistent_data_base), &home.name, name, own].join("/");
        devices.insert(format!("pd-{own}"), directory(&source, &data.path, !data.readonly, !machine.vm));
        directories.push(Directory { path: source, shared: false });
    }
    for (share, volume) in &ground.infra.shared_volumes {
        let Some(writes) = volume.access(&home.name, domain, name, machine) else { continue };
        let source = || [base(&global.shared_volumes_base), share].join("/");
        let source = volume.source.clone().unwrap_or_else(source);
        let device = directory(&source, &volume.target(share), writes, volume.shift && !machine.vm);
        devices.insert(format!("sv-{share}"), device);
        directories.push(Directory { path: source, shared: true });
    }
    (devices, directories)
}

fn base(written: &str) -> &str {
    written.trim_end_matches('/')
}

/// A host directory as a device. `shift` has the container see the owners that the host sees: without it, what
/// belongs to the host's root would be nobody's, and not to be written. A virtual machine sees them anyway.
fn directory(source: &str, path: &str, writes: bool, shift: bool) -> Config {
    let keys = [("type", "disk"), ("source", source), ("path", path)];
    let more = [("readonly", !writes), ("shift", shift)].into_iter().filter(|(_, on)| *on);
    keys.into_iter().chain(more.map(|(key, _)| (key, "true"))).map(owned).collect()
}

fn owned((key, value): (&str, &str)) -> (String, String) {
    (key.to_owned(), value.to_owned())
}
