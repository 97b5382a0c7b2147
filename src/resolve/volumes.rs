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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::infra::model::{Infra, SharedVolume};
    use crate::resolve::desired::Desired;
    use crate::resolve::sample::{
        applied, data, domain, find, infra, keys, machine, named, resolved, share, sound, sound_over, volume,
    };
    use crate::resolve::{HeldVolume, Holds, resolve};

    fn with<const N: usize>(volumes: [(&str, model::Volume); N]) -> Infra {
        let dev = Machine { storage_volumes: named(volumes), ..machine() };
        infra([("pro", domain([("pro-dev", dev)]))])
    }

    fn device(desired: &Desired, machine: &str, name: &str) -> String {
        let keys = find(desired, machine).devices[name].iter().map(|(key, value)| format!("{key}={value}"));
        keys.collect::<Vec<_>>().join(" ")
    }

    /// `pro-dev-data` on these pools, of ours or not.
    fn standing<const N: usize>(pools: [(&str, bool); N]) -> Holds {
        let held = |ours| HeldVolume { ours, block: false };
        let pools = pools.map(|(pool, ours)| (pool.to_owned(), held(ours))).into();
        Holds { volumes: [(("pro".to_owned(), "pro-dev-data".to_owned()), pools)].into(), ..Holds::default() }
    }

    #[test]
    fn a_volume_has_the_machines_name_in_front_and_is_attached_where_the_file_says() {
        let sized = model::Volume { size: Some("5GiB".into()), ..volume("/srv/data") };
        let desired = sound(&with([("data", sized)]));
        let expected = "path=/srv/data pool=default source=pro-dev-data type=disk";
        assert_eq!(device(&desired, "pro-dev", "data"), expected);
        let wanted = &find(&desired, "pro-dev").volumes[0];
        assert_eq!((wanted.name.as_str(), wanted.config["size"].as_str()), ("pro-dev-data", "5GiB"));
    }

    #[test]
    fn a_raw_disk_is_attached_without_a_path() {
        let raw = model::Volume { block: true, path: None, ..volume("") };
        let vm = Machine { vm: true, storage_volumes: named([("raw", raw)]), ..machine() };
        let desired = sound(&infra([("pro", domain([("vm", vm)]))]));
        assert_eq!(device(&desired, "vm", "raw"), "pool=default source=vm-raw type=disk");
    }

    #[test]
    fn a_volume_stays_on_its_pool_whatever_the_file_says_until_somebody_moves_it() {
        let pools = |holds: &Holds, written: Option<&str>, default: Option<&str>| {
            let mut infra = with([("data", model::Volume { pool: written.map(str::to_owned), ..volume("/a") })]);
            infra.global.default_pool = default.map(str::to_owned);
            let wanted = find(&sound_over(&infra, holds), "pro-dev").volumes[0].clone();
            (wanted.pool, wanted.wanted_pool)
        };
        let both = |stands: &str, wanted: &str| (stands.to_owned(), wanted.to_owned());
        let none = Holds::default();
        assert_eq!(pools(&none, None, Some("big")), both("big", "big"));
        assert_eq!(pools(&none, Some("fast"), Some("big")), both("fast", "fast"));
        let slow = standing([("slow", true)]);
        assert_eq!(pools(&slow, None, Some("big")), both("slow", "slow"));
        assert_eq!(pools(&slow, Some("fast"), None), both("slow", "fast"));
        assert_eq!(pools(&standing([("fast", true), ("slow", true)]), Some("slow"), None), both("slow", "slow"));
        // Somebody else's of the same name is no reason to go there.
        assert_eq!(pools(&standing([("slow", false)]), Some("fast"), None), both("fast", "fast"));
    }

    #[test]
    fn a_volume_that_stands_is_not_made_into_a_raw_disk() {
        let mut infra = with([("data", model::Volume { block: true, path: None, ..volume("") })]);
        infra.domains["pro"].machines["pro-dev"].vm = true;
        for ours in [true, false] {
            let (_, problems) = resolve(&infra, &crate::host::facts::Facts::default(), &standing([("default", ours)]));
            assert_eq!(problems.len(), 1);
            assert_eq!(problems[0].path.to_string(), "domains.pro.machines.pro-dev.storage_volumes.data.content_type");
        }
        let before = applied(&sound(&infra));
        assert!(find(&sound_over(&infra, &before), "pro-dev").volumes[0].block, "as it stands");
    }

    #[test]
    fn persistent_data_lies_under_its_domain_and_machine() {
        let read_only = model::PersistentData { readonly: true, ..data("/papers") };
        let dev = Machine { persistent_data: named([("notes", data("/notes")), ("papers", read_only)]), ..machine() };
        let vm = Machine { vm: true, ..dev.clone() };
        let mut infra = infra([("pro", domain([("dev", dev), ("vm", vm)]))]);
        infra.global.persistent_data_base = "/data/".into();
        let desired = sound(&infra);
        let source = "source=/data/pro/dev/notes type=disk";
        assert_eq!(device(&desired, "dev", "pd-notes"), format!("path=/notes shift=true {source}"));
        let source = "source=/data/pro/dev/papers type=disk";
        assert_eq!(device(&desired, "dev", "pd-papers"), format!("path=/papers readonly=true shift=true {source}"));
        assert_eq!(device(&desired, "vm", "pd-notes"), "path=/notes source=/data/pro/vm/notes type=disk");
        let directories: Vec<_> =
            find(&desired, "dev").directories.iter().map(|one| (one.path.as_str(), one.shared)).collect();
        assert_eq!(directories, [("/data/pro/dev/notes", false), ("/data/pro/dev/papers", false)]);
    }

    #[test]
    fn a_shared_volume_is_one_directory_in_many_machines() {
        let mut infra = infra([
            ("pro", domain([("dev", machine()), ("vm", Machine { vm: true, ..machine() })])),
            ("perso", domain([("mail", machine()), ("play", machine())])),
        ]);
        infra.shared_volumes = named([
            ("docs", share([("pro", false), ("mail", true)])),
            ("own", SharedVolume { source: Some("/home/me".into()), shift: false, ..share([("perso", true)]) }),
        ]);
        infra.shared_volumes["own"].path = Some("/me".into());
        let desired = sound(&infra);
        let docs = "source=/srv/anklume/shares/docs type=disk";
        assert_eq!(device(&desired, "dev", "sv-docs"), format!("path=/shared/docs readonly=true shift=true {docs}"));
        assert_eq!(device(&desired, "vm", "sv-docs"), format!("path=/shared/docs readonly=true {docs}"));
        assert_eq!(device(&desired, "mail", "sv-docs"), format!("path=/shared/docs shift=true {docs}"));
        assert_eq!(device(&desired, "play", "sv-own"), "path=/me source=/home/me type=disk");
        assert!(!find(&desired, "play").devices.contains_key("sv-docs"));
        let wanted = crate::resources::directory::wanted(&desired);
        assert_eq!(wanted.into_iter().collect::<Vec<_>>(), [("/home/me", ""), ("/srv/anklume/shares/docs", "")]);
    }

    #[test]
    fn two_machines_whose_volumes_would_be_one_are_told() {
        let one = |name: &str| Machine { storage_volumes: named([(name, volume("/a"))]), ..machine() };
        let apart = infra([("pro", domain([("pro", one("data")), ("pro-dev", one("data"))]))]);
        assert_eq!(sound(&apart).domains[0].machines[1].volumes[0].name, "pro-dev-data");
        let (_, problems) = resolved(&infra([("pro", domain([("pro", one("dev-data")), ("pro-dev", one("data"))]))]));
        assert_eq!(problems.len(), 1);
        assert_eq!(problems[0].path.to_string(), "domains.pro.machines.pro-dev.storage_volumes.data");
        assert_eq!(problems[0].message, "two volumes would be called `pro-dev-data` in Incus");
        // In another domain it is another project.
        let domains = [("a", domain([("pro", one("dev-data"))])), ("b", domain([("pro-dev", one("data"))]))];
        sound(&infra(domains));
    }

    #[test]
    fn a_disk_limit_wants_the_size_of_every_volume() {
        let mut infra =
            with([("data", volume("/a")), ("sized", model::Volume { size: Some("1GiB".into()), ..volume("/b") })]);
        infra.domains["pro"].limits = keys([("limits.disk", "100GiB")]);
        infra.domains["pro"].machines["pro-dev"].devices =
            named([("root", keys([("type", "disk"), ("path", "/"), ("size", "1GiB")]))]);
        let (_, problems) = resolved(&infra);
        let paths: Vec<_> = problems.iter().map(|problem| problem.path.to_string()).collect();
        assert_eq!(paths, ["domains.pro.machines.pro-dev.storage_volumes.data"]);
    }
}
