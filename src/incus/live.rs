//! The live state: what Incus and the kernel say is there now.

use std::collections::BTreeMap;

use serde_json::Value;

use super::call::Call;
use super::door::{CallError, Host, json};
use crate::firewall::fence::Table;
use crate::firewall::keep::Keeping;
use crate::plan::{Id, Kind};
use crate::resources::fields::Key;
use crate::resources::{Found, RESOURCES};

/// Everything that is compared.
#[derive(Debug, Clone, Default, PartialEq)]
pub(crate) struct Live {
    pub(crate) found: BTreeMap<Id, Found>,
    /// Names of the storage pools.
    pub(crate) pools: Vec<String>,
    /// Our nftables table.
    pub(crate) table: Table,
    /// What keeps it over a reboot; nothing is known of it where only Incus and the kernel were asked.
    pub(crate) keeping: Keeping,
}

impl Live {
    /// Reads everything at once: one call a kind, however many domains there are. A failed read is an error, never an
    /// empty host.
    pub(crate) async fn read(host: &impl Host) -> Result<Self, CallError> {
        let [projects, networks, profiles, instances] = RESOURCES.map(|resource| Call::query(resource.listing()));
        let pools = Call::query("/1.0/storage-pools?recursion=1");
        let (projects, networks, profiles, instances, pools, table) = tokio::join!(
            json(host, &projects),
            json(host, &networks),
            json(host, &profiles),
            json(host, &instances),
            json(host, &pools),
            Table::read(host),
        );
        let listings = [projects?, networks?, profiles?, instances?];
        Ok(Self { found: found(&listings), pools: names(&pools?), table, keeping: Keeping::default() })
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

fn found(listings: &[Value; 4]) -> BTreeMap<Id, Found> {
    let each = RESOURCES.iter().zip(listings).flat_map(|(resource, listing)| {
        listing.as_array().into_iter().flatten().filter_map(|listed| resource.found(listed))
    });
    each.map(|found| (found.id.clone(), found)).collect()
}

fn names(listing: &Value) -> Vec<String> {
    let each = listing.as_array().into_iter().flatten();
    each.filter_map(|listed| listed["name"].as_str().map(str::to_owned)).collect()
}
