//! The machines that may be upgraded: what each has, and why one is not to be touched.

use std::collections::BTreeSet;

use anyhow::{Context, Result};

use crate::commands::Ground;
use crate::commands::named::Named;
use crate::commands::upgrade::check::{self, Subject};
use crate::host::clock;
use crate::incus::door::{ThisHost, all};
use crate::lifecycle::health::{self, Health};
use crate::lifecycle::reading::Snapshots;
use crate::lifecycle::snapshot::Family;
use crate::lifecycle::upgrade::leftover::Leftover;
use crate::lifecycle::upgrade::look::{self, Before};
use crate::lifecycle::upgrade::packages::Manager;
use crate::plan::{Id, Kind};
use crate::resolve::desired::Machine;
use crate::resources::{Found, volume};
use crate::ui::{Style, Ui};

/// A machine that may be upgraded.
#[derive(Debug, Clone)]
pub(super) struct Guest {
    pub(super) found: Found,
    pub(super) domain: String,
    /// Those of its volumes that nobody else uses: they go back with it.
    pub(super) volumes: BTreeSet<Id>,
    pub(super) leftover: Leftover,
    pub(super) check: Subject,
}

/// A machine that is upgraded.
pub(super) struct Turn {
    pub(super) guest: Guest,
    pub(super) manager: Manager,
    /// The name of its snapshot.
    pub(super) snapshot: String,
}

/// The machines that were named, with what there is of their snapshots. Those that do not run are told, where somebody named
/// them.
pub(super) async fn guests(ground: &Ground, names: &[String]) -> Result<Vec<Guest>> {
    let snapshots = Snapshots::read(&ThisHost, &ground.live).await.context("the snapshots cannot be read")?;
    let machines = Named::new(ground, names, "so nothing was upgraded")?.machines();
    let now = clock::seconds();
    let guest = |found: &Found| {
        let machine = machine(ground, &found.id);
        let leftover = Leftover::of(snapshots.of(&found.id), now);
        let before = Before { address: machine.and_then(|machine| machine.address), ..Before::default() };
        let health = machine.and_then(|machine| machine.health.clone());
        Guest {
            found: found.clone(),
            domain: found.domain().to_owned(),
            volumes: own_volumes(ground, found, machine),
            leftover,
            check: Subject { id: found.id.clone(), before, asks: true, health },
        }
    };
    Ok(machines.into_iter().map(guest).collect())
}

fn machine<'a>(ground: &'a Ground, id: &Id) -> Option<&'a Machine> {
    let domain = ground.desired.domains.iter().find(|domain| domain.project == id.project)?;
    domain.machines.iter().find(|machine| machine.instance == id.name)
}

/// A volume that another machine uses too cannot go back while that one runs, and is not ours alone to change.
fn own_volumes(ground: &Ground, found: &Found, machine: Option<&Machine>) -> BTreeSet<Id> {
    let others = || ground.live.found.values().filter(|other| other.id.kind == Kind::Instance && other.id != found.id);
    let written = |id: &Id| {
        let (pool, name) = volume::parts(id);
        machine.is_some_and(|machine| machine.volumes.iter().any(|one| one.pool == pool && one.name == name))
    };
    let attached = volume::attached(&found.id.project, &found.fields);
    attached.filter(|id| written(id) && !others().any(|other| other.needs.contains(id))).collect()
}

/// Asks each what it has, all at once. What cannot be upgraded is told, and is a failure unless there is nothing to upgrade
/// it with.
pub(super) async fn asked(guests: Vec<Guest>, ui: Ui) -> (Vec<Turn>, Vec<String>) {
    let answers = all(guests.into_iter().map(|guest| async move {
        let answer = ask(&guest).await;
        (guest, answer)
    }));
    let (mut turns, mut failed) = (Vec::new(), Vec::new());
    let new = Family::PreUpgrade.name(&clock::now());
    for (mut guest, answer) in answers.await {
        let name = guest.found.id.name.clone();
        match answer {
            Ok((Some(manager), before)) => {
                guest.check.before = before;
                let snapshot = guest.leftover.fresh.as_ref().map_or_else(|| new.clone(), |fresh| fresh.name.clone());
                turns.push(Turn { guest, manager, snapshot });
            }
            Ok((None, _)) => ui.say(format!("{name} has no package manager that anklume knows, and is left as it is")),
            Err(why) => {
                ui.say(format!("{} {name} is not upgraded: {why}", ui.err.paint(Style::Red, "failed:")));
                failed.push(name);
            }
        }
    }
    (turns, failed)
}

/// What it has, and how it is now; why it is not to be touched. One that an earlier run left in the middle need not be
/// healthy.
async fn ask(guest: &Guest) -> Result<(Option<Manager>, Before), String> {
    let id = &guest.found.id;
    if guest.found.is_frozen() {
        return Err("it is paused".into());
    }
    if guest.found.is_ephemeral() {
        return Err("it is gone when it stops; made anew, it has what its image has".into());
    }
    let health = async {
        let command = guest.check.health.as_ref().filter(|_| guest.leftover.fresh.is_none())?;
        Some(health::ask(id, command, health::LIMIT).await)
    };
    let snapshot = guest.leftover.fresh.as_ref().map(|fresh| fresh.name.as_str());
    let (look, state, health) = tokio::join!(check::look(id, snapshot), check::state(id), health);
    let look = look.map_err(|why| format!("no command can be run in it ({why})"))?;
    if let Some(Health::Unhealthy(why)) = health {
        return Err(format!("it is not healthy as it is: {why}"));
    }
    let had_address = !look::addresses(&state).is_empty();
    let failed = look.before.unwrap_or(look.failed);
    Ok((look.manager, Before { had_address, failed, ..guest.check.before.clone() }))
}
