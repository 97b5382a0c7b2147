//! Which snapshots there are.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::Value;

use super::snapshot::{Own, Snapshot};
use crate::host::clock;
use crate::incus::call::Call;
use crate::incus::door::{CallError, Host, all, json};
use crate::incus::live::Live;
use crate::plan::{Id, Kind};
use crate::resources::aside::Kept;
use crate::resources::fields::{self, Marks};
use crate::resources::volume;

/// All snapshots of all machines.
#[derive(Debug, Clone, Default, PartialEq)]
pub(crate) struct Snapshots {
    of: BTreeMap<Id, OfMachine>,
    /// Pools that can bring back the newest snapshot only.
    newest_only: BTreeSet<String>,
}

/// Those of a machine.
#[derive(Debug, Clone, Default, PartialEq)]
struct OfMachine {
    /// From the oldest to the newest.
    snapshots: Vec<Snapshot>,
    /// The pool of its root disk.
    pool: Option<String>,
}

impl Snapshots {
    /// Asks for the machines with their snapshots, and for the volumes of each pool that has some: the same few calls,
    /// however many there are. Incus has only a slow list of machines with snapshots in it; asking for those of each
    /// machine would be slower still.
    pub(crate) async fn read(host: &impl Host, live: &Live) -> Result<Self, CallError> {
        let machines = Call::query("/1.0/instances?recursion=2&all-projects=true");
        let drivers = Call::query("/1.0/storage-pools?recursion=1");
        let volumes = live.found.keys().filter(|id| id.kind == Kind::Volume);
        let pools: BTreeSet<String> = volumes.map(|id| volume::parts(id).0.to_owned()).collect();
        let listing = |pool: &String| {
            Call::query(format!("/1.0/storage-pools/{pool}/volumes/custom?recursion=1&all-projects=true"))
        };
        let calls: Vec<Call> = pools.iter().map(listing).collect();
        let volumes = all(calls.iter().map(|call| json(host, call)));
        let (machines, drivers, volumes) = tokio::join!(json(host, &machines), json(host, &drivers), volumes);
        let volumes: Vec<Value> = volumes.into_iter().collect::<Result<_, _>>()?;
        Ok(Self::parse(&machines?, &drivers?, pools.iter().map(String::as_str).zip(&volumes)))
    }

    /// Reads the answers: the machines, the pools, and the volumes of each pool.
    pub(crate) fn parse<'v>(
        machines: &Value,
        drivers: &Value,
        pools: impl Iterator<Item = (&'v str, &'v Value)>,
    ) -> Self {
        let (of_volumes, users) = (of_volumes(pools), users(machines));
        let each = machines.as_array().into_iter().flatten().filter_map(|listed| {
            let machine = Id::within(Kind::Instance, listed["project"].as_str()?, listed["name"].as_str()?);
            let is_anothers = |volume: &Id| is_anothers(volume, &machine, listed, &users);
            let snapshots = of_machine(&machine, listed, &of_volumes, is_anothers);
            let disks = listed["expanded_devices"].as_object().into_iter().flatten();
            let pool = disks.filter(|(_, disk)| disk["path"] == "/").find_map(|(_, disk)| disk["pool"].as_str());
            Some((machine, OfMachine { snapshots, pool: pool.map(str::to_owned) }))
        });
        let zfs = drivers.as_array().into_iter().flatten().filter(|pool| pool["driver"] == "zfs");
        let newest_only = zfs.filter_map(|pool| pool["name"].as_str().map(str::to_owned)).collect();
        Self { of: each.collect(), newest_only }
    }

    /// Those of a machine, the newest last.
    pub(crate) fn of(&self, machine: &Id) -> &[Snapshot] {
        self.of.get(machine).map(|of| of.snapshots.as_slice()).unwrap_or_default()
    }

    /// The newer ones that have to go before this one can be restored: on ZFS, all of the same disks. The newest first.
    pub(crate) fn in_the_way(&self, snapshot: &Snapshot, volumes: bool) -> Vec<&Snapshot> {
        let root = self.of.get(&snapshot.machine).and_then(|of| of.pool.as_ref());
        let of_root = snapshot.own.is_some() && root.is_some_and(|pool| self.newest_only.contains(pool));
        let is_meant = |id: &&Id| volumes && self.newest_only.contains(volume::parts(id).0);
        let disks: BTreeSet<&Id> = snapshot.volumes.iter().filter(is_meant).collect();
        let is_in_the_way = |newer: &&Snapshot| {
            (of_root && newer.own.is_some()) || newer.volumes.iter().any(|volume| disks.contains(volume))
        };
        let newer = self.of(&snapshot.machine).iter().rev().take_while(|newer| newer.name != snapshot.name);
        newer.filter(is_in_the_way).collect()
    }

    /// The one of this name.
    pub(crate) fn get(&self, machine: &Id, name: &str) -> Option<&Snapshot> {
        self.of(machine).iter().find(|snapshot| snapshot.name == name)
    }

    /// Each of them.
    pub(crate) fn all(&self) -> impl Iterator<Item = &Snapshot> {
        self.of.values().flat_map(|of| &of.snapshots)
    }
}

/// The snapshots of volumes: name, and when it was taken.
type OfVolumes<'v> = BTreeMap<Id, Vec<(&'v str, Option<u64>)>>;

fn of_volumes<'v>(pools: impl Iterator<Item = (&'v str, &'v Value)>) -> OfVolumes<'v> {
    let mut all = OfVolumes::new();
    for (pool, listed) in
        pools.flat_map(|(pool, listing)| listing.as_array().into_iter().flatten().map(move |one| (pool, one)))
    {
        let (Some(name), Some(project)) = (listed["name"].as_str(), listed["project"].as_str()) else { continue };
        if let Some((name, snapshot)) = name.split_once('/') {
            let taken = listed["created_at"].as_str().and_then(clock::read_of_incus);
            all.entry(volume::id(project, pool, name)).or_default().push((snapshot, taken));
        }
    }
    all
}

/// Who has which volume now.
type Users = BTreeMap<Id, Vec<Id>>;

fn users(machines: &Value) -> Users {
    let mut users = Users::new();
    for listed in machines.as_array().into_iter().flatten() {
        let (Some(project), Some(name)) = (listed["project"].as_str(), listed["name"].as_str()) else { continue };
        for volume in attached(project, listed) {
            users.entry(volume).or_default().push(Id::within(Kind::Instance, project, name));
        }
    }
    users
}

/// Does another machine have it now? The one that was made in its place does not count for one that was set aside.
fn is_anothers(volume: &Id, machine: &Id, listed: &Value, users: &Users) -> bool {
    let was = Kept::read(listed).map(|kept| kept.name);
    let is_it = |user: &Id| user == machine || (user.project == machine.project && was.as_ref() == Some(&user.name));
    users.get(volume).into_iter().flatten().any(|user| !is_it(user))
}

fn of_machine(
    machine: &Id,
    listed: &Value,
    of_volumes: &OfVolumes<'_>,
    is_anothers: impl Fn(&Id) -> bool,
) -> Vec<Snapshot> {
    let now = attached(&machine.project, listed);
    let bridges = bridges(listed);
    let uuid = |listed: &Value| listed["config"]["volatile.uuid"].as_str().map(str::to_owned);
    let is_lost = |volume: &&Id| !now.contains(*volume) && is_anothers(volume);
    let read = |one: &Value| {
        let own = read(&machine.project, one);
        let bridges = self::bridges(one).difference(&bridges).cloned().collect::<Vec<_>>();
        let volumes = own.attached.iter().filter(is_lost).map(|id| id.name.clone());
        Own { elsewhere: volumes.chain(bridges).collect(), inherited: uuid(one) != uuid(listed), ..own }
    };
    let own = listed["snapshots"].as_array().into_iter().flatten();
    let mut own: BTreeMap<&str, Own> = own.filter_map(|one| Some((one["name"].as_str()?, read(one)))).collect();
    // Those of volumes that it had when one was taken, and has no more, count too, unless another machine has them now.
    let then = own.values().flat_map(|own| &own.attached).filter(|volume| !is_lost(volume));
    let volumes: BTreeSet<&Id> = now.iter().chain(then).collect();
    let mut of_name: BTreeMap<&str, (BTreeSet<Id>, Option<u64>)> = BTreeMap::new();
    for id in volumes {
        for (name, taken) in of_volumes.get(id).into_iter().flatten() {
            let (volumes, first) = of_name.entry(name).or_default();
            volumes.insert(id.clone());
            *first = [*first, *taken].into_iter().flatten().min();
        }
    }
    let names: BTreeSet<&str> = own.keys().chain(of_name.keys()).copied().collect();
    let snapshot = |name: &str| {
        let (volumes, of_volumes) = of_name.remove(name).unwrap_or_default();
        Snapshot { machine: machine.clone(), name: name.to_owned(), own: own.remove(name), volumes, of_volumes }
    };
    let mut snapshots: Vec<Snapshot> = names.into_iter().map(snapshot).collect();
    snapshots.sort_by_key(|snapshot| (snapshot.taken(), snapshot.name.clone()));
    snapshots
}

fn read(project: &str, listed: &Value) -> Own {
    let time = |key: &str| listed[key].as_str().and_then(clock::read_of_incus);
    Own {
        created: time("created_at"),
        expires: time("expires_at"),
        // -1 where the pool does not tell.
        size: listed["size"].as_u64(),
        ran: listed["config"]["volatile.last_state.power"] == "RUNNING",
        marks: Marks::read(listed),
        attached: attached(project, listed),
        elsewhere: BTreeSet::new(),
        inherited: false,
    }
}

/// The bridges that its cards are on, its own and those of its profiles.
fn bridges(listed: &Value) -> BTreeSet<String> {
    let devices = listed["expanded_devices"].as_object().into_iter().flatten();
    let cards = devices.filter(|(_, device)| device["type"] == "nic");
    let bridge = |card: &Value| card["network"].as_str().or_else(|| card["parent"].as_str()).map(str::to_owned);
    cards.filter_map(|(_, card)| bridge(card)).collect()
}

fn attached(project: &str, listed: &Value) -> BTreeSet<Id> {
    volume::attached(project, &fields::listed(listed)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn machines() -> Value {
        let devices = |volume: &str| json!({"data": {"type": "disk", "pool": "p", "source": volume, "path": "/data"}});
        let card = |bridge: &str| json!({"eth0": {"type": "nic", "network": bridge}});
        let snapshot = |name: &str, at: &str, devices: Value| {
            json!({"name": name, "created_at": at, "size": -1,
            "expires_at": "0001-01-01T00:00:00Z", "devices": devices, "expanded_devices": card("net-old"),
            "config": {"volatile.last_state.power": "RUNNING", "user.anklume.infra": "lab"}})
        };
        let expanded = json!({"eth0": {"type": "nic", "network": "net-pro"}, "root": {"path": "/", "pool": "p"}});
        json!([{"name": "dev", "project": "pro", "devices": devices("dev-data"), "expanded_devices": expanded, "snapshots": [
            snapshot("b", "2026-11-25T01:00:00.5Z", devices("dev-old")),
            snapshot("a", "2026-11-25T02:00:00Z", devices("dev-data")),
            snapshot("snap-20261101-000000", "2026-11-25T03:00:00Z", json!({})),
        ]}, {"name": "web", "project": "pro", "snapshots": null}])
    }

    fn volumes() -> Value {
        let one = |name: &str| json!({"name": name, "project": "pro", "created_at": "2026-11-25T04:00:00Z"});
        json!([one("dev-data"), one("dev-data/a"), one("dev-data/c"), one("dev-old/b"), one("web-data/a")])
    }

    #[test]
    fn snapshots_are_read_with_those_of_their_volumes_from_the_oldest_to_the_newest() {
        let (machines, volumes) = (machines(), volumes());
        let all = Snapshots::parse(&machines, &json!([]), [("p", &volumes)].into_iter());
        let dev = Id::within(Kind::Instance, "pro", "dev");
        let told = |snapshot: &Snapshot| {
            let volumes: Vec<&str> = snapshot.volumes.iter().map(|id| id.name.as_str()).collect();
            format!("{} {} {}", snapshot.name, snapshot.own.is_some(), volumes.join(","))
        };
        let told: Vec<String> = all.of(&dev).iter().map(told).collect();
        let expected = ["snap-20261101-000000 true ", "b true p/dev-old", "a true p/dev-data", "c false p/dev-data"];
        assert_eq!(told, expected);
        assert!(all.of(&Id::within(Kind::Instance, "pro", "web")).is_empty());
        let own = all.get(&dev, "b").unwrap().own.clone().unwrap();
        assert_eq!((own.expires, own.size, own.ran), (None, None, true));
        assert_eq!(own.marks.unwrap().infra, "lab");
        assert_eq!(own.elsewhere, ["net-old".to_owned()].into());
        assert!(!own.inherited);
    }

    #[test]
    fn a_copy_does_not_take_the_volumes_of_its_source_along() {
        let mut machines = machines();
        let mut copy = machines[0].clone();
        copy["name"] = json!("twin");
        copy["config"] = json!({"volatile.uuid": "another one"});
        copy["devices"]["data"]["source"] = json!("twin-data");
        machines.as_array_mut().unwrap().push(copy);
        let volumes = volumes();
        let read = |machines: &Value| {
            let all = Snapshots::parse(machines, &json!([]), [("p", &volumes)].into_iter());
            let twin = Id::within(Kind::Instance, "pro", "twin");
            let one = all.get(&twin, "a").unwrap().clone();
            (one.volumes.len(), one.own.unwrap())
        };
        let (volumes, own) = read(&machines);
        assert_eq!((volumes, own.inherited), (0, true));
        assert_eq!(own.elsewhere, ["net-old".to_owned(), "p/dev-data".to_owned()].into());
        // One that was set aside has lent them to the one in its place.
        machines[2]["config"] = json!({"user.anklume.kept": "{\"name\": \"dev\"}"});
        let (volumes, own) = read(&machines);
        assert_eq!((volumes, own.inherited), (1, false));
        assert_eq!(own.elsewhere, ["net-old".to_owned()].into());
    }

    #[test]
    fn on_zfs_newer_ones_of_the_same_disks_are_in_the_way() {
        let (machines, volumes) = (machines(), volumes());
        let dev = Id::within(Kind::Instance, "pro", "dev");
        let in_the_way = |driver: &str, of: &str, with_volumes: bool| -> Vec<String> {
            let pools = json!([{"name": "p", "driver": driver}]);
            let all = Snapshots::parse(&machines, &pools, [("p", &volumes)].into_iter());
            let snapshot = all.get(&dev, of).unwrap();
            all.in_the_way(snapshot, with_volumes).iter().map(|one| one.name.clone()).collect()
        };
        assert_eq!(in_the_way("zfs", "b", false), ["a"]);
        assert_eq!(in_the_way("zfs", "a", false), [""; 0]);
        assert_eq!(in_the_way("zfs", "a", true), ["c"], "of its volume");
        assert_eq!(in_the_way("btrfs", "b", true), [""; 0]);
    }
}
