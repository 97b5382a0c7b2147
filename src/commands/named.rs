//! The names of domains and machines on a command line, and what they stand for on this host.

use anyhow::Result;

use super::Ground;
use crate::failure::Hinted;
use crate::plan::Kind;
use crate::resources::{Found, journey};

/// Names that were all found: in the file, or on something that anklume made. No name stands for everything.
pub(super) struct Named<'a, 'n> {
    ground: &'a Ground,
    names: &'n [String],
}

impl<'a, 'n> Named<'a, 'n> {
    /// Looks the names up; `undone` ends the sentence about one that is nowhere: `so nothing was deleted`.
    pub(super) fn new(ground: &'a Ground, names: &'n [String], undone: &str) -> Result<Self> {
        let this = Self { ground, names };
        for name in names {
            let known = this.in_file(name) || this.ours().any(|found| this.is(found, name));
            if !known {
                let message = format!("anklume made no domain or machine called `{name}`, {undone}");
                return Err(Hinted::new(message, "`anklume status` lists them").into());
            }
        }
        Ok(this)
    }

    /// Is it one of those named?
    pub(super) fn picks(&self, found: &Found) -> bool {
        self.names.is_empty() || self.names.iter().any(|name| self.is(found, name))
    }

    /// The machines of this infrastructure that were named. What is kept of earlier ones, and copies on
    /// their way, are none of a domain's machines: they have to be called by their own names.
    pub(super) fn machines(&self) -> Vec<&'a Found> {
        let beside = |found: &Found| found.is_set_aside() || journey::is_part(found);
        let meant = |found: &&Found| !beside(found) || self.names.contains(&found.id.name);
        self.ours().filter(|found| found.id.kind == Kind::Instance && self.picks(found)).filter(meant).collect()
    }

    /// Everything that carries this infrastructure's mark.
    fn ours(&self) -> impl Iterator<Item = &'a Found> + use<'a> {
        let ground: &'a Ground = self.ground;
        let infra = &ground.desired.infra;
        let found = ground.live.found.values();
        found.filter(move |found| found.marks.as_ref().is_some_and(|marks| marks.infra == *infra))
    }

    fn is(&self, found: &Found, name: &str) -> bool {
        let domain = found.marks.as_ref().is_some_and(|marks| marks.domain == name);
        let machine =
            found.id.kind == Kind::Instance && (found.id.name == name || self.instance(name) == Some(&found.id.name));
        domain || machine
    }

    /// In the file, though perhaps not on the host.
    fn in_file(&self, name: &str) -> bool {
        self.instance(name).is_some() || self.ground.desired.domains.iter().any(|domain| domain.name == name)
    }

    /// The Incus name of a machine of the file.
    fn instance(&self, name: &str) -> Option<&'a String> {
        let mut machines = self.ground.desired.domains.iter().flat_map(|domain| &domain.machines);
        machines.find(|machine| machine.name == name).map(|machine| &machine.instance)
    }
}
