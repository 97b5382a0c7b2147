//! The live state: what Incus and the kernel say is there now.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::Value;

use super::call::Call;
use super::door::{CallError, Host, all, json};
use crate::firewall::fence::Table;
use crate::firewall::keep::Keeping;
use crate::plan::{Id, Kind};
use crate::resources::fields::{Key, mark};
use crate::resources::{Found, RESOURCES, acl, instance, network, profile, project, record, volume, zone};

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
    /// Reads everything at once: one call a kind, however many domains there are, and none for a kind that the list of
    /// projects knows nothing of. A failed read is an error, never an empty host.
    pub(crate) async fn read(host: &impl Host) -> Result<Self, CallError> {
        // Incus answers from one database, one question after the other: asked all at once, the short ones keep the
        // longest, that of the networks, from its processor, and nothing is there sooner.
        let (networks, others, instances, table) = tokio::join!(
            listed(host, network::LISTING),
            async {
                let in_projects = InProjects::read(host).await?;
                let profiles = listed(host, profile::LISTING).await?;
                Ok((in_projects, profiles, listed(host, "/1.0/storage-pools").await?))
            },
            listed(host, instance::LISTING),
            Table::read(host),
        );
        let (in_projects, profiles, pools) = others?;
        let InProjects { projects, acls, zones, records, volumes } = in_projects;
        let interfaces = networks?;
        let listings = [projects, acls, zones, interfaces.clone(), records, profiles, volumes, instances?];
        Ok(Self { found: found(&listings), pools: pool_names(&pools), interfaces, table, ..Self::default() })
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

/// The projects, and what is only asked for where they say that there is any: a call of its own for a kind costs more
/// than the whole list of projects, and keeps the longest read, that of the networks, waiting.
struct InProjects {
    projects: Value,
    acls: Value,
    zones: Value,
    records: Value,
    volumes: Value,
}

impl InProjects {
    async fn read(host: &impl Host) -> Result<Self, CallError> {
        let projects = listed(host, project::LISTING).await?;
        let each = projects.as_array().into_iter().flatten();
        let users = each.filter_map(|project| project["used_by"].as_array()).flatten();
        let users: Vec<&str> = users.filter_map(Value::as_str).collect();
        let has = |kind: &str| users.iter().any(|path| path.starts_with(kind));
        let (acls, zones, volumes) = tokio::join!(
            listed_if(host, acl::LISTING, has("/1.0/network-acls/")),
            zones_and_records(host, has("/1.0/network-zones/")),
            volumes(host, volume::listings_of(&users)),
        );
        let (acls, (zones, records), volumes) = (acls?, zones?, volumes?);
        Ok(Self { projects, acls, zones, records, volumes })
    }
}

/// All that Incus lists of a kind.
async fn listed(host: &impl Host, listing: &str) -> Result<Value, CallError> {
    json(host, &Call::query(listing)).await
}

async fn listed_if(host: &impl Host, listing: &str, any: bool) -> Result<Value, CallError> {
    if any { listed(host, listing).await } else { Ok(Value::Null) }
}

/// The volumes on these pools: one call for each, all at once.
async fn volumes(host: &impl Host, asked: BTreeMap<String, Call>) -> Result<Value, CallError> {
    let answers = all(asked.values().map(|call| json(host, call))).await;
    tagged("pool", asked.keys().zip(answers))
}

/// The zones, and the records of all of them: one call for each zone, all at once.
async fn zones_and_records(host: &impl Host, any: bool) -> Result<(Value, Value), CallError> {
    let zones = listed_if(host, zone::LISTING, any).await?;
    let asked: Vec<(String, Call)> = zones.as_array().into_iter().flatten().filter_map(record::listing_of).collect();
    let answers = all(asked.iter().map(|(_, call)| json(host, call))).await;
    let records = tagged("zone", asked.iter().map(|(zone, _)| zone).zip(answers))?;
    Ok((zones, records))
}

/// Everything of these lists as one, each thing with the name of what it is in beside it: Incus leaves that out.
fn tagged<'n>(
    key: &str,
    answers: impl Iterator<Item = (&'n String, Result<Value, CallError>)>,
) -> Result<Value, CallError> {
    let mut tagged = Vec::new();
    for (name, answer) in answers {
        let Value::Array(listed) = answer? else { continue };
        tagged.extend(listed.into_iter().map(|mut one| {
            one[key] = Value::from(name.as_str());
            one
        }));
    }
    Ok(Value::Array(tagged))
}

fn found(listings: &[Value; 8]) -> BTreeMap<Id, Found> {
    let each = RESOURCES.iter().zip(listings).flat_map(|(resource, listing)| {
        listing.as_array().into_iter().flatten().filter_map(|listed| resource.found(listed))
    });
    each.map(|found| (found.id.clone(), found)).collect()
}

/// `["/1.0/storage-pools/default"]`
fn pool_names(listing: &Value) -> Vec<String> {
    let each = listing.as_array().into_iter().flatten().filter_map(Value::as_str);
    each.filter_map(|path| path.strip_prefix("/1.0/storage-pools/")).map(str::to_owned).collect()
}
