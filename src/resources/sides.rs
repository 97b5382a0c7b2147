//! What is wanted and what is there, side by side: who is who, and who uses what.

use std::collections::{BTreeMap, BTreeSet};

use super::planner::Options;
use super::{Found, RESOURCES, Wanted};
use crate::incus::live::Live;
use crate::incus::server::Server;
use crate::plan::{Id, Kind};
use crate::resolve::desired::Desired;

/// Everything that the file asks for, each before what needs it.
pub(super) fn wanted(desired: &Desired) -> Vec<Wanted> {
    RESOURCES.iter().flat_map(|resource| resource.wanted(desired)).collect()
}

/// Looked up by name, so that a thousand machines do not mean a million comparisons.
pub(super) struct Sides<'a> {
    pub(super) desired: &'a Desired,
    pub(super) live: &'a Live,
    pub(super) server: Option<&'a Server>,
    pub(super) options: &'a Options,
    pub(super) wanted: &'a [Wanted],
    of_id: BTreeMap<&'a Id, &'a Wanted>,
    users: BTreeMap<&'a Id, Vec<&'a Found>>,
    /// Machines that this plan deletes.
    going: BTreeSet<&'a Id>,
}

impl<'a> Sides<'a> {
    pub(super) fn new(
        desired: &'a Desired,
        live: &'a Live,
        server: Option<&'a Server>,
        options: &'a Options,
        wanted: &'a [Wanted],
    ) -> Self {
        let mut users: BTreeMap<&Id, Vec<&Found>> = BTreeMap::new();
        for found in live.found.values() {
            for need in &found.needs {
                users.entry(need).or_default().push(found);
            }
        }
        let of_id = wanted.iter().map(|wanted| (&wanted.id, wanted)).collect();
        Self { desired, live, server, options, wanted, of_id, users, going: BTreeSet::new() }
    }

    /// The same, with what is to be deleted: nothing needs a machine, so that none of them is taken back later.
    pub(super) fn without(self, deleted: &[&'a Found]) -> Self {
        let machines = deleted.iter().filter(|found| found.id.kind == Kind::Instance);
        Self { going: machines.map(|found| &found.id).collect(), ..self }
    }

    pub(super) fn wanted_of(&self, id: &Id) -> Option<&'a Wanted> {
        self.of_id.get(id).copied()
    }

    pub(super) fn goes(&self, id: &Id) -> bool {
        self.going.contains(id)
    }

    /// What is there and needs this.
    pub(super) fn users(&self, id: &Id) -> &[&'a Found] {
        self.users.get(id).map(Vec::as_slice).unwrap_or_default()
    }

    /// The machines that need this, run, and stay.
    pub(super) fn running_users(&self, id: &Id) -> impl Iterator<Item = &'a Found> + '_ {
        self.users(id).iter().copied().filter(|user| user.is_up() && !self.goes(&user.id))
    }

    /// Does it belong to another infrastructure?
    pub(super) fn is_anothers(&self, found: &Found) -> bool {
        found.marks.as_ref().is_some_and(|marks| marks.infra != self.desired.infra)
    }

    /// Is it anklume's to stop and start? Somebody else's is not touched.
    pub(super) fn is_ours(&self, found: &Found) -> bool {
        let marked = found.marks.as_ref().is_some_and(|marks| marks.infra == self.desired.infra);
        marked || self.of_id.contains_key(&found.id)
    }
}
