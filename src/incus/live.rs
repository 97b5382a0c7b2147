//! The live state: what Incus and the kernel say is there now.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::Value;

use super::call::Call;
use super::door::{CallError, Host, all, json};
use crate::firewall::fence::Table;
use crate::firewall::keep::Keeping;
use crate::plan::{Id, Kind};
use crate::resources::fields::{Key, mark};
use crate::resources::{Found, RESOURCES, record, volume};

/// Everything that is compared.
#[derive(Debug, Clone, Default, PartialEq)]
pub(crate) struct Live {
    pub(crate) found: BTreeMap<Id, Found>,
    /// Names of the storage pools.
    pub(crate) pools: Vec<String>,
    /// Of the host directories that the file asks for, those that are there.
    pub(crate) directories: BTreeSet<String>,
    /// Every interface of the host, as Incus lists them.
    pub(crate) interfaces: Value,
    /// Our nftables table.
    pub(crate) table: Table,
    /// What keeps it over a reboot; nothing is known of it where only Incus and the kernel were asked.
    pub(crate) keeping: Keeping,
}

impl Live {
    /// Reads everything at once: one call a kind, however many domains there are. A failed read is an error, never an
    /// empty host.
    pub(crate) async fn read(host: &impl Host) -> Result<Self, CallError> {
        let [projects, acls, zones, networks, _, profiles, pools, instances] =
            RESOURCES.map(|resource| Call::query(resource.listing()));
        let (projects, acls, zones, networks, profiles, volumes, instances, table) = tokio::join!(
            json(host, &projects),
            json(host, &acls),
            zones_and_records(host, &zones),
            json(host, &networks),
            json(host, &profiles),
            pools_and_volumes(host, &pools),
            json(host, &instances),
            Table::read(host),
        );
        let ((zones, records), (pools, volumes)) = (zones?, volumes?);
        let interfaces = networks?;
        let listings = [projects?, acls?, zones, interfaces.clone(), records, profiles?, volumes, instances?];
        Ok(Self { found: found(&listings), pools: names(&pools), interfaces, table, ..Self::default() })
    }

    /// Looks which of these directories of the host are there.
    pub(crate) fn look_for<'d>(&mut self, directories: impl IntoIterator<Item = &'d str>) {
        let there = directories.into_iter().filter(|path| std::path::Path::new(path).is_dir());
        self.directories.extend(there.map(str::to_owned));
    }

    /// The same, once no machine is between two states and no bridge half made: a run that was cut off leaves calls
    /// under way. What stays so for longer is told as it is.
    pub(crate) async fn settled(host: &impl Host) -> Result<Self, CallError> {
        const LOOKS: usize = 20;
        let pause = std::time::Duration::from_millis(250);
        for _ in 0..LOOKS {
            let live = Self::read(host).await?;
            if !live.found.values().any(Found::is_passing) && live.unfinished().next().is_none() {
                return Ok(live);
            }
            tokio::time::sleep(pause).await;
        }
        Self::read(host).await
    }

    /// Bridges that Incus has begun to make for anklume. Those whose call was cut off stay so for good; and a machine
    /// that starts before its bridge is done gets any address, and no packet through.
    pub(crate) fn unfinished(&self) -> impl Iterator<Item = &str> {
        let networks = self.interfaces.as_array().into_iter().flatten();
        let ours = networks.filter(|one| one["managed"] == true && one["config"][mark::INFRA].is_string());
        let unfinished = ours.filter(|one| one["status"] == "Pending");
        unfinished.filter_map(|network| network["name"].as_str())
    }

    /// A host with nothing on it, for plans made without one.
    pub(crate) fn empty() -> Self {
        Self { table: Table::Known(None), ..Self::default() }
    }

    /// The value of a device key of a profile: the pool of a project's root disks.
    pub(crate) fn root_pool(&self, project: &str) -> Option<&String> {
        let profile = self.found.get(&Id::within(Kind::Profile, project, "default"))?;
        profile.fields.get(&Key::Device("root".into(), "pool".into()))
    }
}

/// The pools, and the volumes on all of them: one call for each pool that has any.
async fn pools_and_volumes(host: &impl Host, pools: &Call) -> Result<(Value, Value), CallError> {
    let pools = json(host, pools).await?;
    let mut volumes = Vec::new();
    for (pool, path) in pools.as_array().into_iter().flatten().filter_map(volume::listing_of) {
        let Value::Array(listed) = json(host, &Call::query(path)).await? else { continue };
        volumes.extend(listed.into_iter().map(|mut volume| {
            volume["pool"] = Value::from(pool.as_str());
            volume
        }));
    }
    Ok((pools, Value::Array(volumes)))
}

/// The zones, and the records of all of them: one call for each zone, all at once.
async fn zones_and_records(host: &impl Host, zones: &Call) -> Result<(Value, Value), CallError> {
    let zones = json(host, zones).await?;
    let asked: Vec<(String, Call)> = zones.as_array().into_iter().flatten().filter_map(record::listing_of).collect();
    let answers = all(asked.iter().map(|(_, call)| json(host, call))).await;
    let mut records = Vec::new();
    for ((zone, _), answer) in asked.iter().zip(answers) {
        let Value::Array(listed) = answer? else { continue };
        records.extend(listed.into_iter().map(|mut record| {
            record["zone"] = Value::from(zone.as_str());
            record
        }));
    }
    Ok((zones, Value::Array(records)))
}

fn found(listings: &[Value; 8]) -> BTreeMap<Id, Found> {
    let each = RESOURCES.iter().zip(listings).flat_map(|(resource, listing)| {
        listing.as_array().into_iter().flatten().filter_map(|listed| resource.found(listed))
    });
    each.map(|found| (found.id.clone(), found)).collect()
}

fn names(listing: &Value) -> Vec<String> {
    let each = listing.as_array().into_iter().flatten();
    each.filter_map(|listed| listed["name"].as_str().map(str::to_owned)).collect()
}
