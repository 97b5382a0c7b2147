//! The host, as it is looked at.

use std::collections::BTreeSet;

use super::images::Images;
use super::thing::Thing;
use crate::host::facts::Facts;
use crate::incus::live::Live;
use crate::plan::{Id, Kind};
use crate::resources::fields::{Key, Marks};
use crate::resources::{Found, journey};

/// What an import is made from.
pub(crate) struct Scene<'a> {
    pub(crate) live: &'a Live,
    pub(crate) facts: &'a Facts,
    pub(crate) images: &'a Images,
    /// Is there such a directory on the host?
    pub(crate) is_dir: &'a dyn Fn(&str) -> bool,
}

impl<'a> Scene<'a> {
    pub(super) fn found(&self, id: &Id) -> Option<&'a Found> {
        self.live.found.get(id)
    }

    pub(super) fn all(&self, kind: Kind) -> impl Iterator<Item = &'a Found> + use<'a> {
        self.live.found.values().filter(move |found| found.id.kind == kind)
    }

    pub(super) fn within(&self, kind: Kind, project: &str) -> Vec<&'a Found> {
        self.all(kind).filter(|found| found.id.project == project).collect()
    }

    pub(super) fn project(&self, name: &str) -> Option<&'a Found> {
        self.found(&Id::global(Kind::Project, name))
    }

    pub(super) fn network(&self, name: &str) -> Option<&'a Found> {
        self.found(&Id::global(Kind::Network, name))
    }

    pub(super) fn profile(&self, project: &str, name: &str) -> Option<Thing> {
        self.found(&Id::within(Kind::Profile, project, name)).map(Thing::of)
    }

    /// The machines of a project: not the copies of some that are on their way, nor those that were set aside.
    pub(super) fn machines(&self, project: &str) -> Vec<&'a Found> {
        let beside = |found: &&Found| found.is_set_aside() || journey::is_part(found);
        self.within(Kind::Instance, project).into_iter().filter(|found| !beside(found)).collect()
    }

    /// The projects whose profiles and machines are on a bridge.
    pub(super) fn users(&self, bridge: &str) -> BTreeSet<&'a str> {
        let id = Id::global(Kind::Network, bridge);
        let users = self.live.found.values().filter(|found| found.needs.contains(&id));
        users.map(|found| found.id.project.as_str()).collect()
    }

    /// The pool that a project's `default` profile has the root disk on.
    pub(super) fn root_pool(&self, project: &str) -> Option<&'a str> {
        self.live.root_pool(project).map(String::as_str)
    }
}

/// Was this key set by anklume, as far as its marks tell?
pub(super) fn is_applied(marks: Option<&Marks>, key: &Key) -> bool {
    marks.is_some_and(|marks| marks.applied.contains(key))
}
