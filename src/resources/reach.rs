//! How far a change reaches: which machines it stops and starts, and whether it therefore waits for a word of the user.

use super::difference::Change;
use super::{Found, Resource, Wanted, instance, network};
use crate::incus::live::Live;
use crate::incus::server::Server;
use crate::plan::{Id, Impact, Kind};

/// What it depends on.
#[derive(Clone, Copy)]
pub(super) struct Reach<'a> {
    pub(super) live: &'a Live,
    pub(super) server: Option<&'a Server>,
    /// Whose machines are stopped; nobody else's.
    pub(super) infra: &'a str,
    /// The user said `--restart`.
    pub(super) restart: bool,
}

impl<'a> Reach<'a> {
    /// The machines that are up and would restart for these changes: itself, or the users of a profile.
    pub(super) fn restarted(&self, wanted: &Wanted, changes: &[Change]) -> Vec<&'a Found> {
        let live = self.live;
        let users = live.found.values().filter(|user| user.id.kind == Kind::Instance && user.is_up());
        users.filter(|user| changes.iter().any(|change| self.restarts(wanted, change, user))).collect()
    }

    /// Has a machine that is up to stop and start for a change of itself, or of something that it uses?
    fn restarts(&self, wanted: &Wanted, change: &Change, user: &Found) -> bool {
        let impact = || instance::Instances.impact(&change.key, wanted, user, self.server);
        match wanted.id.kind {
            Kind::Instance => user.id == wanted.id && change.impact == Impact::Restart,
            Kind::Profile => user.needs.contains(&wanted.id) && impact() == Impact::Restart,
            Kind::Volume => user.needs.contains(&wanted.id) && change.impact == Impact::Restart,
            Kind::Network => change.key == network::address() && self.is_on(user, &wanted.id),
            _ => false,
        }
    }

    /// Has a machine of ours a NIC on this bridge, of its own or by a profile?
    fn is_on(&self, user: &Found, bridge: &Id) -> bool {
        let ours = user.marks.as_ref().is_some_and(|marks| marks.infra == *self.infra);
        let mut profiles = user.needs.iter().filter_map(|need| self.live.found.get(need));
        ours && (user.needs.contains(bridge) || profiles.any(|profile| profile.needs.contains(bridge)))
    }

    /// Which changes are made now, and which wait for a word of the user. What a profile changes
    /// restarts its users; what a volume takes only unused restarts nobody where nobody uses it.
    pub(super) fn split(
        &self,
        wanted: &Wanted,
        changes: Vec<Change>,
        restarted: &[&Found],
    ) -> (Vec<Change>, Vec<Change>) {
        let raised = changes.into_iter().map(|mut change| {
            let restarts = restarted.iter().any(|user| self.restarts(wanted, &change, user));
            if matches!(change.impact, Impact::Live | Impact::Restart) {
                change.impact = if restarts { Impact::Restart } else { Impact::Live };
            }
            change
        });
        raised.partition(|change| match change.impact {
            Impact::Live => true,
            Impact::Restart => self.restart,
            Impact::Rebuild(_) | Impact::Refused(_) => false,
        })
    }
}
