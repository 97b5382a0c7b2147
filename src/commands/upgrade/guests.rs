//! `anklume upgrade guests`: the packages in running machines, in batches, each machine after a snapshot that it goes back
//! to where it is not healthy then.

mod found;

use std::collections::BTreeSet;
use std::process::ExitCode;
use std::time::Duration;

use anyhow::{Context, Result};

use super::check;
use super::quiet;
use crate::apply::{Outcome, Report};
use crate::carry::action;
use crate::cli::{Global, GuestsArgs};
use crate::commands::named::Named;
use crate::commands::power::{isolation_stands, isolation_still_stands};
use crate::commands::{DONE, Ground, apply, lock};
use crate::failure::{Hinted, Unfinished};
use crate::incus::door::{ThisHost, all};
use crate::incus::live::Live;
use crate::lifecycle::reading::Snapshots;
use crate::lifecycle::restoring::Restoring;
use crate::lifecycle::snapshot::{self, Snapshot};
use crate::lifecycle::upgrade::leftover::batches;
use crate::plan::{Action, Id, Kind, Plan, Verb};
use crate::resources::instance::Instances;
use crate::resources::{Found, FoundInstance, Status};
use crate::ui::{Style, Ui};
use found::{Guest, Turn, asked, guests};

/// How it ended for a machine.
#[derive(Debug, Clone, PartialEq, Eq)]
enum End {
    Upgraded,
    /// Nothing was done to it.
    Untouched,
    /// Put back to its snapshot.
    Back(String),
    /// Neither upgraded nor put back.
    Stuck(String),
}

/// List, question, batch after batch.
pub(super) async fn run(global: &Global, args: &GuestsArgs, ui: Ui) -> Result<ExitCode> {
    let _lock = lock::take("upgrade")?;
    let ground = Ground::read(global, false, ui).await?;
    let ids = Named::new(&ground, &args.names, "so nothing was upgraded")?.machines();
    let ids = ids.into_iter().map(|found| found.id.clone()).collect();
    quiet(&ids, ui).await?;
    // Also where nobody had to wait: a call may have ended since, and what was stopped by it runs again.
    let ground = Ground::read(global, false, ui.after_warnings()).await?;
    isolation_stands(&ground)?;
    let guests = guests(&ground, &args.names).await?;
    let (up, down): (Vec<Guest>, Vec<Guest>) = guests.into_iter().partition(|guest| guest.found.is_up());
    let (cut_off, down): (Vec<Guest>, Vec<Guest>) = down.into_iter().partition(|guest| guest.leftover.fresh.is_some());
    for guest in down.iter().filter(|_| !args.names.is_empty()) {
        ui.say(format!("{} does not run, and is left as it is", guest.found.id.name));
    }
    let (mut turns, mut failed) = asked(up, ui).await;
    for guest in &cut_off {
        let name = guest.leftover.fresh.as_ref().map(|fresh| fresh.name.as_str()).unwrap_or_default();
        ui.print(format!("~ restore {}  (from {name}, of a run that was cut off)\n", guest.found.id));
    }
    for turn in &turns {
        let Turn { guest, manager, snapshot } = turn;
        ui.print(format!("~ upgrade {}  ({manager}, after {snapshot})\n", guest.found.id));
    }
    if turns.is_empty() && cut_off.is_empty() {
        ui.say("Nothing to upgrade.");
        return verdict(failed, 0);
    }
    if !args.how.yes && !apply::agreed(ui, "Upgrade these?")? {
        return Err(Unfinished("nothing was upgraded".into()).into());
    }
    if !cut_off.is_empty() {
        let (more, wrong) = asked(brought_up(&ground, cut_off, args, ui).await?, ui).await;
        turns.extend(more);
        failed.extend(wrong);
    }
    let mut upgraded = 0;
    let mut batches = batches(turns, args.batch.into()).into_iter();
    for batch in batches.by_ref() {
        let ends = upgrade(&ground, &batch, args, ui).await?;
        upgraded += ends.iter().filter(|end| **end == End::Upgraded).count();
        for (turn, end) in batch.iter().zip(&ends) {
            failed.extend(told(&turn.guest.found.id, &turn.snapshot, end, ui));
        }
        let is_good = ends.iter().all(|end| *end == End::Upgraded);
        // One that was not begun was stopped by its user.
        if ends.contains(&End::Untouched) || (!is_good && !args.how.keep_going) {
            break;
        }
    }
    let left: Vec<String> = batches.flatten().map(|turn| turn.guest.found.id.name).collect();
    if !left.is_empty() {
        ui.say(format!("not begun: {} (`--keep-going` goes on after a failure)", left.join(", ")));
    }
    verdict(failed, upgraded)
}

fn verdict(mut failed: Vec<String>, upgraded: usize) -> Result<ExitCode> {
    if failed.is_empty() {
        return Ok(DONE);
    }
    failed.sort();
    let message = format!("{upgraded} upgraded, and not: {}", failed.join(", "));
    Err(Hinted::new(message, "once what failed is mended, run it again: it does what is left").into())
}

/// Tells how it ended for a machine, and its name where it did not end well.
fn told(id: &Id, snapshot: &str, end: &End, ui: Ui) -> Option<String> {
    let failed = || ui.err.paint(Style::Red, "failed:");
    match end {
        End::Upgraded => return None,
        End::Untouched => ui.say(format!("{} not upgraded: {}", ui.err.paint(Style::Yellow, "skipped:"), id.name)),
        End::Back(why) => ui.say(format!("{} {}: {why}; it was put back to {snapshot}", failed(), id.name)),
        End::Stuck(why) => {
            let by_hand = snapshot::restore(id, snapshot).words();
            ui.say(format!("{} {}: {why}; its snapshot is kept, `{by_hand}` puts it back", failed(), id.name));
        }
    }
    Some(id.name.clone())
}

/// Machines that a run stopped to put them back, and was cut off: they go back now.
async fn brought_up(ground: &Ground, cut_off: Vec<Guest>, args: &GuestsArgs, ui: Ui) -> Result<Vec<Guest>> {
    isolation_still_stands(ground).await?;
    let actions = cut_off.iter().filter_map(|guest| Some(putting_back(&guest.found, guest.leftover.fresh.as_ref()?)));
    let plan = Plan { actions: actions.collect(), held: Vec::new() };
    let report = apply::carry_out(&plan, apply::bounds(Some(args.batch)), ui).await?;
    if !report.is_clean() {
        let message = "what a run that was cut off had stopped could not be put back";
        return Err(Hinted::new(message, "once what failed is mended, run it again").into());
    }
    let live = Live::read(&ThisHost).await.context("Incus cannot be read")?;
    let wait = Duration::from_secs(args.how.wait);
    let up = cut_off.into_iter().filter_map(|guest| {
        let found = live.found.get(&guest.found.id)?.clone();
        Some(Guest { found, ..guest })
    });
    let up: Vec<Guest> = up.collect();
    all(up.iter().map(|guest| check::troubles(&guest.check, wait))).await;
    Ok(up)
}

/// A batch, from the snapshots to what becomes of them.
async fn upgrade(ground: &Ground, batch: &[Turn], args: &GuestsArgs, ui: Ui) -> Result<Vec<End>> {
    isolation_still_stands(ground).await?;
    let bounds = apply::bounds(Some(args.batch));
    let plan = plan(batch.iter().map(taking));
    let taken = done(&plan, &apply::carry_out(&plan, bounds, ui).await?);
    let begun: Vec<&Turn> = batch.iter().filter(|turn| taken.contains(&turn.guest.found.id)).collect();
    let plan = self::plan(begun.iter().map(|turn| upgrading(turn, args.timeout)));
    let report = apply::carry_out(&plan, bounds, ui).await?;
    let wait = Duration::from_secs(args.how.wait);
    let results = all(begun.iter().zip(&report.outcomes).map(|(turn, outcome)| async move {
        match outcome {
            Outcome::Done => check::troubles(&turn.guest.check, wait).await,
            Outcome::Failed(error) => vec![last_line(&error.to_string())],
            // It was not begun: nothing is wrong with it.
            Outcome::Skipped { .. } | Outcome::Stopped => Vec::new(),
        }
    }));
    let results = results.await;
    let settled = settle(ground, &begun, &results, args, ui).await?;
    let mut ends = begun
        .iter()
        .zip(results)
        .zip(settled)
        .zip(report.outcomes)
        .map(|(((turn, troubles), done), outcome)| {
            let why = troubles.join("; ");
            let end = match (troubles.is_empty(), done) {
                (true, _) if !matches!(outcome, Outcome::Done) => End::Untouched,
                (true, true) => End::Upgraded,
                (true, false) => End::Stuck("it is upgraded and healthy, and its snapshot could not be deleted".into()),
                (false, true) => End::Back(why),
                (false, false) => End::Stuck(why),
            };
            (turn.guest.found.id.clone(), end)
        })
        .collect::<std::collections::BTreeMap<_, _>>();
    Ok(batch.iter().map(|turn| ends.remove(&turn.guest.found.id).unwrap_or(End::Untouched)).collect())
}

/// Deletes the snapshots of those that are healthy, and puts the others back. Tells of each whether that was done.
async fn settle(
    ground: &Ground,
    begun: &[&Turn],
    results: &[Vec<String>],
    args: &GuestsArgs,
    ui: Ui,
) -> Result<Vec<bool>> {
    let live = Live::read(&ThisHost).await.context("Incus cannot be read")?;
    let snapshots = Snapshots::read(&ThisHost, &live).await.context("the snapshots cannot be read")?;
    let apart = isolation_still_stands(ground).await;
    let mut plan = Plan::default();
    for (turn, troubles) in begun.iter().zip(results) {
        let id = &turn.guest.found.id;
        let own = snapshots.get(id, &turn.snapshot);
        let (Some(found), Some(own)) = (live.found.get(id), own) else { continue };
        let mut gone = vec![own];
        if troubles.is_empty() {
            gone.extend(&turn.guest.leftover.old);
        } else if apart.is_ok() {
            plan.actions.push(putting_back(found, own));
        } else {
            continue;
        }
        let before = (!troubles.is_empty()).then(|| plan.actions.len() - 1);
        let calls = gone.into_iter().flat_map(snapshot::delete).collect();
        let deletion = action(Verb::Delete, of_machine(id, &turn.snapshot), &turn.guest.domain, String::new(), calls);
        plan.actions.push(Action { after: before.into_iter().collect(), ..deletion });
    }
    let report = apply::carry_out(&plan, apply::bounds(Some(args.batch)), ui).await?;
    if let Err(error) = apart {
        ui.say(crate::failure::told(&error, &ui.err));
    }
    let ended = |id: &Id| {
        let of_it = plan.actions.iter().zip(&report.outcomes).filter(|(action, _)| is_of(&action.id, id));
        let outcomes: Vec<&Outcome> = of_it.map(|(_, outcome)| outcome).collect();
        !outcomes.is_empty() && outcomes.iter().all(|outcome| matches!(outcome, Outcome::Done))
    };
    say_who_wants_a_restart(begun, results, ui).await;
    Ok(begun.iter().map(|turn| ended(&turn.guest.found.id)).collect())
}

async fn say_who_wants_a_restart(begun: &[&Turn], results: &[Vec<String>], ui: Ui) {
    let good = begun.iter().zip(results).filter(|(_, troubles)| troubles.is_empty());
    let looks = all(good.map(|(turn, _)| async move { (turn, check::look(&turn.guest.found.id, None).await) })).await;
    for (turn, look) in looks {
        if look.is_ok_and(|look| look.wants_restart) {
            let name = &turn.guest.found.id.name;
            ui.say(format!("{name} wants a restart for what was upgraded: `anklume restart {name}`"));
        }
    }
}

/// Before it: what was cut off while it was taken goes; what stands from a run that was cut off is taken for this one.
fn taking(turn: &Turn) -> Action {
    let Turn { guest, snapshot: name, .. } = turn;
    let id = &guest.found.id;
    let mut calls: Vec<_> = guest.leftover.parts.iter().flat_map(snapshot::delete).collect();
    if guest.leftover.fresh.is_none() {
        calls.extend(snapshot::create(id, &guest.volumes, name, None));
    }
    action(Verb::Create, of_machine(id, name), &guest.domain, String::new(), calls)
}

fn upgrading(turn: &Turn, minutes: u64) -> Action {
    let Turn { guest, manager, snapshot } = turn;
    let calls = vec![manager.upgrade(&guest.found.id, minutes * 60, snapshot, &guest.check.before.failed)];
    action(Verb::Upgrade, guest.found.id.clone(), &guest.domain, manager.to_string(), calls)
}

/// A machine that is not healthy may not stop by itself: it is cut off. Where it has volumes to go back that comes before;
/// else Incus does it in one step.
fn putting_back(found: &Found, snapshot: &Snapshot) -> Action {
    let restoring = |found: &Found| Restoring { found, snapshot, volumes: true, then: Status::Running }.action();
    if snapshot.volumes.is_empty() || !found.is_up() {
        return restoring(found);
    }
    let instance = found.instance.clone().map(|instance| FoundInstance { status: Status::Stopped, ..instance });
    let mut action = restoring(&Found { instance, ..found.clone() });
    action.calls.insert(0, Instances::cut_off(&found.id));
    action
}

/// The snapshot of a machine, as plans call it.
fn of_machine(id: &Id, snapshot: &str) -> Id {
    Id::within(Kind::Snapshot, &id.project, format!("{}/{snapshot}", id.name))
}

fn is_of(id: &Id, machine: &Id) -> bool {
    let of_snapshot = || id.name.split_once('/').is_some_and(|(name, _)| name == machine.name);
    id.project == machine.project && (id.name == machine.name || of_snapshot())
}

fn plan(actions: impl Iterator<Item = Action>) -> Plan {
    Plan { actions: actions.collect(), held: Vec::new() }
}

/// The machines whose actions were done.
fn done(plan: &Plan, report: &Report) -> BTreeSet<Id> {
    let done = plan.actions.iter().zip(&report.outcomes).filter(|(_, outcome)| matches!(outcome, Outcome::Done));
    let machine = |action: &Action| {
        let name = action.id.name.split('/').next().unwrap_or_default();
        Id::within(Kind::Instance, &action.id.project, name)
    };
    done.map(|(action, _)| machine(action)).collect()
}

/// Of many lines the last says what it came to.
fn last_line(said: &str) -> String {
    let last = said.lines().rfind(|line| !line.trim().is_empty()).unwrap_or("it failed");
    format!("its upgrade failed ({})", last.trim())
}
