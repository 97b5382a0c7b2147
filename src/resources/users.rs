//! Who is touched by a change of what it uses: a profile, a volume, a bridge that it is on.

use super::difference::Change;
use super::{Found, Resource, Wanted, instance, network};
use crate::incus::live::Live;
use crate::incus::server::Server;
use crate::plan::{Id, Impact, Kind};

/// All machines there are, and what is known of their server.
#[derive(Clone, Copy)]
pub(super) struct Users<'a> {
    pub(super) live: &'a Live,
    pub(super) server: Option<&'a Server>,
    pub(super) infra: &'a str,
}

impl<'a> Users<'a> {
    /// The changes with what they do to the machines that use the thing.
    pub(super) fn weighed(self, wanted: &Wanted, changes: Vec<Change>) -> Vec<Change> {
        let weighed = changes.into_iter().map(|change| Change { impact: self.impact(wanted, &change), ..change });
        weighed.collect()
    }

    /// The machines that are up and have to stop and start for these changes.
    pub(super) fn restarted(self, wanted: &Wanted, changes: &[Change]) -> Vec<&'a Found> {
        let restart = |user: &&Found| {
            user.is_up() && changes.iter().any(|change| self.impact_on(user, wanted, change) == Impact::Restart)
        };
        self.machines().filter(restart).collect()
    }

    /// What a profile changes is refused or restarts its users; what a volume takes only unused restarts nobody where
    /// nobody uses it.
    fn impact(self, wanted: &Wanted, change: &Change) -> Impact {
        let own = &change.impact;
        if wanted.id.kind == Kind::Instance || !matches!(own, Impact::Live | Impact::Restart) {
            return own.clone();
        }
        let impacts = self.machines().map(|user| self.impact_on(user, wanted, change));
        impacts.max().unwrap_or(Impact::Live)
    }

    /// What it does to one machine: to that itself, or to one that uses it.
    fn impact_on(self, user: &Found, wanted: &Wanted, change: &Change) -> Impact {
        let restart = |is: bool| if is { Impact::Restart } else { Impact::Live };
        match wanted.id.kind {
            Kind::Instance if user.id == wanted.id => change.impact.clone(),
            Kind::Profile if user.needs.contains(&wanted.id) => {
                instance::Instances.impact(&change.key, wanted, user, self.server)
            }
            Kind::Volume if user.needs.contains(&wanted.id) && user.is_up() => unused(&change.impact, user),
            Kind::Network if change.key == network::address() => restart(user.is_up() && self.is_on(user, &wanted.id)),
            _ => Impact::Live,
        }
    }

    /// Has a machine of ours a NIC on this bridge, of its own or by a profile?
    fn is_on(self, user: &Found, bridge: &Id) -> bool {
        let ours = user.marks.as_ref().is_some_and(|marks| marks.infra == self.infra);
        let mut profiles = user.needs.iter().filter_map(|need| self.live.found.get(need));
        ours && (user.needs.contains(bridge) || profiles.any(|profile| profile.needs.contains(bridge)))
    }

    fn machines(self) -> impl Iterator<Item = &'a Found> {
        self.live.found.values().filter(|found| found.id.kind == Kind::Instance)
    }
}

/// What can be done to a volume only while nobody uses it, by a machine that is gone once it stops.
fn unused(impact: &Impact, user: &Found) -> Impact {
    if *impact != Impact::Restart || !user.is_ephemeral() {
        return impact.clone();
    }
    let name = &user.id.name;
    Impact::Refused(format!(
        "Incus does that only while it is not used, and {name} is gone when it stops: `anklume destroy {name}`, then \
         `anklume apply` again"
    ))
}
