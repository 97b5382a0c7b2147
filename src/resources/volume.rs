//! Incus storage volumes: made, attached, grown, and never deleted but by a move, once their copy is complete.
//!
//! A volume is called `<pool>/<name>` here, as `incus storage volume copy` calls it: the same name can stand on two
//! pools. In Incus the name is `<instance>-<volume>`, since a project has one set of names for all of its machines.

use std::collections::BTreeMap;

use serde_json::Value;

use super::fields::{self, Fields, Key, Marks};
use super::planner::Conflict;
use super::{Found, Resource, Wanted, put_config};
use crate::incus::call::Call;
use crate::incus::edit::Edit;
use crate::incus::live::Live;
use crate::incus::server::Server;
use crate::infra::bytes;
use crate::plan::{Id, Impact, Kind};
use crate::resolve::desired::{Desired, Domain, Machine, Volume};

/// The kind.
pub(crate) struct Volumes;

/// What the name of a copy ends with that is not complete yet.
pub(crate) const PART: &str = ".anklume-part";

const BLOCK: &str = "block";
const FILES: &str = "filesystem";

impl Resource for Volumes {
    /// The pools: 6.0 has no list of the volumes of all of them.
    fn found(&self, listed: &Value) -> Option<Found> {
        let text = |key: &str| listed[key].as_str();
        let (pool, name, project) = (text("pool")?, text("name")?, text("project")?);
        // A slash: one of its snapshots.
        if project == "default" || name.contains('/') {
            return None;
        }
        let mut fields = fields::listed(listed);
        fields.insert(Key::Type, text("content_type").unwrap_or(FILES).to_owned());
        fields.insert(Key::Pool, pool.to_owned());
        Some(Found {
            id: id(project, pool, name),
            marks: Marks::read(listed),
            fields,
            protected: false,
            needs: vec![Id::global(Kind::Project, project)],
            instance: None,
        })
    }

    fn wanted(&self, desired: &Desired) -> Vec<Wanted> {
        let machines = desired.domains.iter().flat_map(|domain| domain.machines.iter().map(move |one| (domain, one)));
        let volumes =
            machines.flat_map(|(domain, machine)| machine.volumes.iter().map(move |one| (domain, machine, one)));
        volumes.map(|(domain, machine, volume)| wanted(domain, machine, volume)).collect()
    }

    fn create(&self, wanted: &Wanted, infra: &str, _start: bool) -> Call {
        let (pool, name) = parts(&wanted.id);
        let mut args = vec!["storage", "volume", "create", pool, name, "--project", &wanted.id.project];
        if is_block(&wanted.fields) {
            args.push("--type=block");
        }
        Call::incus(args).body(wanted.body(infra))
    }

    fn edit(&self, id: &Id, edit: Edit) -> Call {
        let (pool, name) = parts(id);
        Call::incus(["storage", "volume", "edit", pool, name, "--project", &id.project])
            .edited(format!("/1.0/storage-pools/{pool}/volumes/custom/{name}?project={}", id.project), edit)
    }

    /// None: what is in a volume outlives the file, `--prune` and `destroy`.
    fn delete(&self, _found: &Found) -> Vec<Call> {
        Vec::new()
    }

    fn impact(&self, key: &Key, wanted: &Wanted, found: &Found, _server: Option<&Server>) -> Impact {
        match key {
            Key::Pool => Impact::Refused(moving(wanted, found)),
            Key::Type => Impact::Refused("Incus cannot make a raw disk of a file system, or back".into()),
            Key::Config(name) if name == "size" => resize(wanted, found),
            _ => Impact::Live,
        }
    }
}

/// What the plan calls a volume.
pub(crate) fn id(project: &str, pool: &str, name: &str) -> Id {
    Id::within(Kind::Volume, project, format!("{pool}/{name}"))
}

/// Its pool and its name in Incus.
pub(crate) fn parts(id: &Id) -> (&str, &str) {
    id.name.split_once('/').unwrap_or(("default", &id.name))
}

/// The lists of the volumes on each pool that holds any, by pool: the users of the projects are paths like
/// `/1.0/storage-pools/fast/volumes/custom/data?project=pro`. What is listed then needs its pool's name beside it.
pub(crate) fn listings_of(users: &[&str]) -> BTreeMap<String, Call> {
    let pool = |path: &&str| {
        let (pool, _) = path.strip_prefix("/1.0/storage-pools/")?.split_once("/volumes/custom/")?;
        let listing = format!("/1.0/storage-pools/{pool}/volumes/custom?recursion=1&all-projects=true");
        Some((pool.to_owned(), Call::query(listing)))
    };
    users.iter().filter_map(pool).collect()
}

/// What it holds now.
pub(crate) fn state_of(id: &Id) -> String {
    let (pool, name) = parts(id);
    format!("/1.0/storage-pools/{pool}/volumes/custom/{name}/state?project={}", id.project)
}

/// The volumes that an instance's disks are.
pub(crate) fn attached<'f>(project: &'f str, fields: &'f Fields) -> impl Iterator<Item = Id> + 'f {
    fields.iter().filter_map(move |(key, source)| match key {
        // The source of a disk with a pool is a volume on it; without one it is a path of the host.
        Key::Device(device, key) if key == "source" => {
            let pool = fields.get(&Key::Device(device.clone(), "pool".into()))?;
            Some(id(project, pool, source))
        }
        _ => None,
    })
}

/// The call that deletes one: run only on a copy, or on what a complete copy was made from.
pub(crate) fn deletion(id: &Id) -> Call {
    let (pool, name) = parts(id);
    Call::incus(["storage", "volume", "delete", pool, name, "--project", &id.project])
}

/// The command that deletes one, for people.
pub(crate) fn deletion_by_hand(id: &Id) -> String {
    deletion(id).words()
}

/// Projects that were not made by anklume and have their volumes, or their profiles, in the project `default`, where
/// anklume touches none.
pub(super) fn elsewhere(all: &[Wanted], live: &Live) -> Vec<Conflict> {
    let kinds = [(Kind::Volume, "volumes", "storage.volumes"), (Kind::Profile, "profiles", "profiles")];
    kinds.into_iter().flat_map(|kind| borrowed(all, live, kind)).collect()
}

fn borrowed(all: &[Wanted], live: &Live, (kind, what, feature): (Kind, &str, &str)) -> Vec<Conflict> {
    let things = all.iter().filter(|wanted| wanted.id.kind == kind);
    let projects: BTreeMap<&str, &str> =
        things.map(|wanted| (wanted.id.project.as_str(), wanted.domain.as_str())).collect();
    let key = Key::Config(format!("features.{feature}"));
    let keeps_none = |(project, _): &(&str, &str)| {
        let found = live.found.get(&Id::global(Kind::Project, *project));
        found.is_some_and(|found| found.fields.get(&key).is_none_or(|value| value != "true"))
    };
    let conflict = |(project, domain): (&str, &str)| Conflict {
        id: Id::global(Kind::Project, project),
        domain: domain.to_owned(),
        message: format!("the project {project} has no {what} of its own"),
        help: format!("`incus project set {project} features.{feature}=true`, while it is empty"),
    };
    projects.into_iter().filter(keeps_none).map(conflict).collect()
}

fn is_block(fields: &Fields) -> bool {
    fields.get(&Key::Type).is_some_and(|kind| kind == BLOCK)
}

fn wanted(domain: &Domain, machine: &Machine, volume: &Volume) -> Wanted {
    let mut fields = Fields::from([
        (Key::Type, if volume.block { BLOCK } else { FILES }.to_owned()),
        (Key::Pool, volume.wanted_pool.clone()),
    ]);
    put_config(&mut fields, &volume.config);
    let seen = volume.path.as_ref().map_or_else(|| "a raw disk".to_owned(), |path| format!("at {path}"));
    Wanted {
        needs: vec![Id::global(Kind::Project, &domain.project)],
        note: format!("{seen} of {}", machine.name),
        ..Wanted::bare(id(&domain.project, &volume.pool, &volume.name), &domain.name, fields)
    }
}

fn moving(wanted: &Wanted, found: &Found) -> String {
    let ((from, name), project) = (parts(&found.id), &found.id.project);
    let to = wanted.fields.get(&Key::Pool).map_or(from, String::as_str);
    format!(
        "Incus moves no volume that a running machine uses: stop it, then \
         `incus storage volume move {from}/{name} {to}/{name} --project {project}`"
    )
}

/// Tried on Incus 6.0.4: a raw disk grows while nobody uses it ("In use") and never shrinks ("Block volumes cannot be
/// shrunk"); where files have a quota (btrfs, ZFS) it changes at once, both ways. `block.filesystem` is on volumes whose
/// files lie on a raw disk of their own (LVM, Ceph): those shrink unmounted only, and with XFS not at all.
fn resize(wanted: &Wanted, found: &Found) -> Impact {
    let size = |fields: &Fields| fields.get(&Key::Config("size".into())).and_then(|size| bytes(size));
    let (before, after) = (size(&found.fields), size(&wanted.fields));
    let shrinks = before.zip(after).is_some_and(|(before, after)| after < before);
    let filesystem = found.fields.get(&Key::Config("block.filesystem".into()));
    let never = |what: &str| Impact::Refused(format!("{what} cannot shrink; write a size not under the one it has"));
    match filesystem.map(String::as_str) {
        _ if is_block(&found.fields) && shrinks => never("a raw disk"),
        _ if is_block(&found.fields) => Impact::Restart,
        Some("xfs") if shrinks => never("an XFS file system"),
        Some(_) if shrinks => Impact::Restart,
        _ => Impact::Live,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn listed(content_type: &str, config: &Value) -> Value {
        json!({"pool": "fast", "name": "pro-dev-data", "project": "pro", "content_type": content_type,
            "config": config, "description": ""})
    }

    fn standing(content_type: &str, config: &Value) -> Found {
        Volumes.found(&listed(content_type, config)).unwrap()
    }

    fn wanted_with(size: Option<&str>, found: &Found) -> Wanted {
        let mut fields = found.fields.clone();
        fields.remove(&Key::Config("size".into()));
        fields.extend(size.map(|size| (Key::Config("size".into()), size.to_owned())));
        Wanted::bare(found.id.clone(), "pro", fields)
    }

    fn resized(found: &Found, size: &str) -> Impact {
        Volumes.impact(&Key::Config("size".into()), &wanted_with(Some(size), found), found, None)
    }

    #[test]
    fn it_is_made_in_one_call_with_all_that_it_has() {
        let found = standing("block", &json!({}));
        let call = Volumes.create(&wanted_with(Some("5GiB"), &found), "home", false);
        assert_eq!(call.words(), "incus storage volume create fast pro-dev-data --project pro --type=block");
        let crate::incus::call::Input::Body(body) = call.input else { panic!("no body") };
        // Incus refuses every other field.
        assert_eq!(body.as_object().unwrap().keys().collect::<Vec<_>>(), ["config", "description"]);
        let config = &body["config"];
        assert_eq!((&config["size"], &config["user.anklume.infra"]), (&json!("5GiB"), &json!("home")));
        assert_eq!(config["user.anklume.applied"], "[\"config/size\"]");
    }

    #[test]
    fn a_volume_is_known_by_its_pool_and_its_name() {
        let id = standing("filesystem", &json!({})).id;
        assert_eq!((id.to_string().as_str(), parts(&id)), ("volume fast/pro-dev-data", ("fast", "pro-dev-data")));
        assert_eq!(deletion_by_hand(&id), "incus storage volume delete fast pro-dev-data --project pro");
        let mut snapshot = listed("filesystem", &json!({}));
        snapshot["name"] = json!("pro-dev-data/snap0");
        assert_eq!(Volumes.found(&snapshot), None);
    }

    #[test]
    fn a_pool_without_volumes_is_not_asked_for_them() {
        assert_eq!(listings_of(&["/1.0/profiles/default", "/1.0/instances/c?project=p"]), BTreeMap::new());
        let volume = |name: &str| format!("/1.0/storage-pools/fast/volumes/custom/{name}?project=p");
        let asked = listings_of(&[&volume("x"), &volume("y")]);
        let path = "/1.0/storage-pools/fast/volumes/custom?recursion=1&all-projects=true";
        assert_eq!(asked, [("fast".to_owned(), Call::query(path))].into());
    }

    #[test]
    fn files_with_a_quota_take_any_size_at_once() {
        let found = standing("filesystem", &json!({"size": "2GiB"}));
        assert_eq!((resized(&found, "3GiB"), resized(&found, "1GiB")), (Impact::Live, Impact::Live));
    }

    #[test]
    fn a_raw_disk_grows_while_nobody_uses_it_and_never_shrinks() {
        let found = standing("block", &json!({"size": "2GiB"}));
        assert_eq!((resized(&found, "3GiB"), resized(&found, "2048MiB")), (Impact::Restart, Impact::Restart));
        assert!(matches!(resized(&found, "2047MiB"), Impact::Refused(_)));
    }

    #[test]
    fn files_on_a_raw_disk_of_their_own_grow_at_once_and_shrink_unmounted() {
        for (filesystem, shrunk) in [("ext4", Some(Impact::Restart)), ("xfs", None)] {
            let found = standing("filesystem", &json!({"size": "2GiB", "block.filesystem": filesystem}));
            assert_eq!(resized(&found, "3GiB"), Impact::Live);
            match shrunk {
                Some(impact) => assert_eq!(resized(&found, "1GiB"), impact),
                None => assert!(matches!(resized(&found, "1GiB"), Impact::Refused(_))),
            }
        }
    }

    #[test]
    fn another_pool_is_refused_with_the_command_that_moves_it() {
        let found = standing("filesystem", &json!({}));
        let mut wanted = wanted_with(None, &found);
        wanted.fields.insert(Key::Pool, "big".into());
        let Impact::Refused(why) = Volumes.impact(&Key::Pool, &wanted, &found, None) else { panic!("not refused") };
        assert!(why.contains("`incus storage volume move fast/pro-dev-data big/pro-dev-data --project pro`"), "{why}");
    }

    #[test]
    fn an_attached_volume_is_told_from_a_path_of_the_host() {
        let key = |device: &str, key: &str| Key::Device(device.into(), key.into());
        let fields = Fields::from([
            (key("data", "pool"), "fast".into()),
            (key("data", "source"), "pro-dev-data".into()),
            (key("root", "pool"), "fast".into()),
            (key("share", "source"), "/srv/share".into()),
        ]);
        assert_eq!(attached("pro", &fields).collect::<Vec<_>>(), [id("pro", "fast", "pro-dev-data")]);
    }
}
