//! `anklume snap restore`: machines go back to a snapshot; here is also what `rollback` shares with it.

use std::process::ExitCode;

use anyhow::{Context, Result};

use super::super::{DONE, Ground, apply, lock, power, relocate};
use super::{cured, left, machines_of, myself, none, quiet, read};
use crate::cli::{Consent, Global, SnapRestoreArgs};
use crate::failure::{self, Hinted, Unfinished};
use crate::incus::door::{ThisHost, perform};
use crate::lifecycle::reading::Snapshots;
use crate::lifecycle::restoring::Restoring;
use crate::lifecycle::snapshot;
use crate::lifecycle::under_way::{self, Doing, Standing, UnderWay};
use crate::plan::{Action, Id, Kind, Plan};
use crate::render;
use crate::resources::planner::Options;
use crate::resources::{Found, Status};
use crate::ui::Ui;

/// Looks them up, asks, brings them back, shows the next plan.
pub(super) async fn run(global: &Global, args: &SnapRestoreArgs, ui: Ui) -> Result<ExitCode> {
    let _lock = lock::take("snap restore")?;
    let ground = begun(global, ui).await?;
    let snapshots = read(&ground).await?;
    let machines = machines_of(&ground, &args.snapshot, &args.names, "so nothing was restored").await?;
    let earlier = left(&ground).await?;
    let earlier = earlier.filter(|left| left.doing == Doing::Restore && left.name == args.snapshot);
    let all = restorings(&machines, &snapshots, args, earlier.as_ref())?;
    let own = myself_among(&ground, all.iter().map(|one| one.found)).await?;
    let actions = |at: usize| vec![all[at].action()];
    let back = Back { ground: &ground, snapshots: &snapshots, all: &all, own: own.as_ref(), consent: &args.consent };
    let plan = back.plan(actions)?;
    if !back.agreed(&plan, ui)? {
        return Ok(DONE);
    }
    let standing = |one: &Restoring<'_>| {
        let now = Standing::of(one.found, 0);
        earlier.as_ref().and_then(|left| left.standing(&one.found.id)).cloned().unwrap_or(now)
    };
    let under_way =
        UnderWay { doing: Doing::Restore, name: args.snapshot.clone(), machines: all.iter().map(standing).collect() };
    perform(&ThisHost, &under_way.begin(&ground.desired.infra)).await.context("Incus cannot be written")?;
    let again = format!("anklume snap restore {}", args.snapshot);
    back.run(global, &plan, &again, ui).await
}

/// The file and the host, once nothing is under way that an earlier run left.
pub(in super::super) async fn begun(global: &Global, ui: Ui) -> Result<Ground> {
    quiet(ui).await?;
    cured(global, ui).await
}

/// A machine that the run was cut off with is to stand as it did before that.
fn restorings<'a>(
    machines: &[&'a Found],
    snapshots: &'a Snapshots,
    args: &SnapRestoreArgs,
    earlier: Option<&UnderWay>,
) -> Result<Vec<Restoring<'a>>> {
    let mut all = Vec::new();
    for found in machines {
        let snapshot = snapshots.get(&found.id, &args.snapshot).filter(|taken| taken.own.is_some());
        let Some(snapshot) = snapshot else {
            if args.names.contains(&found.id.name) {
                return Err(none(&args.snapshot));
            }
            continue;
        };
        if found.is_set_aside() {
            let message = format!("{} is kept as it was before it was made anew", found.id.name);
            return Err(Hinted::new(message, "give it its name back first, with `incus rename`").into());
        }
        let before = earlier.and_then(|left| left.stood(&found.id));
        let now = found.instance.as_ref().map_or(Status::Stopped, |instance| instance.status.clone());
        let then = before.unwrap_or(if found.is_up() && !found.is_frozen() { Status::Running } else { now });
        if args.volumes && snapshot.volumes.is_empty() && !snapshot::volumes_of(found).is_empty() {
            let message = format!("{} was taken of {} without its volumes", snapshot.name, found.id.name);
            return Err(Hinted::new(message, "leave out `--volumes`").into());
        }
        all.push(Restoring { found, snapshot, volumes: args.volumes, then });
    }
    if all.is_empty() { Err(none(&args.snapshot)) } else { Ok(all) }
}

/// The machine that this runs in, where it is one of these.
pub(in super::super) async fn myself_among<'f>(
    ground: &Ground,
    mut machines: impl Iterator<Item = &'f Found>,
) -> Result<Option<Id>> {
    let own = myself(ground).await?.map(|own| own.id.clone());
    Ok(own.filter(|own| machines.any(|found| found.id == *own)))
}

/// Machines on their way back.
pub(in super::super) struct Back<'a> {
    pub(in super::super) ground: &'a Ground,
    pub(in super::super) snapshots: &'a Snapshots,
    pub(in super::super) all: &'a [Restoring<'a>],
    /// The machine that this runs in: it goes last, and anklume with it.
    pub(in super::super) own: Option<&'a Id>,
    pub(in super::super) consent: &'a Consent,
}

impl Back<'_> {
    /// What will be done: `actions` says what is done for each, from its place in the list.
    ///
    /// # Errors
    /// What is in the way.
    pub(in super::super) fn plan(&self, actions: impl Fn(usize) -> Vec<Action>) -> Result<Plan> {
        let mut plan = Plan::default();
        let mut problems: Vec<(String, String)> = Vec::new();
        let is_own = |at: &usize| self.own == Some(&self.all[*at].found.id);
        let mut order: Vec<usize> = (0..self.all.len()).collect();
        order.sort_by_key(is_own);
        for at in order {
            let one = &self.all[at];
            problems.extend(self.users(one));
            let newer = self.snapshots.in_the_way(one.snapshot, one.volumes);
            if !newer.is_empty() && !self.consent.remove_newer {
                let names: Vec<&str> = newer.iter().map(|newer| newer.name.as_str()).collect();
                problems.push((
                    format!("{} cannot go back past its newer snapshots: {}", one.found.id.name, names.join(", ")),
                    "`--remove-newer` deletes those first: on ZFS only the newest can be restored".to_owned(),
                ));
            }
            let mut before: Vec<usize> = Vec::new();
            for newer in newer {
                let domain = one.found.domain();
                let removal = snapshot::removal(newer, domain);
                plan.actions.push(Action { after: before.clone(), ..removal });
                before = vec![plan.actions.len() - 1];
            }
            for action in actions(at) {
                let chained = if action.id.kind == Kind::Instance { before.clone() } else { Vec::new() };
                before = vec![plan.actions.len()];
                plan.actions.push(Action { after: chained, ..action });
            }
        }
        problems.extend(self.own.and_then(|own| self.cannot_go(own)));
        relocate::refuse_all(problems)?;
        let starts = |one: &Restoring<'_>| !one.found.is_up() && one.comes_up();
        if self.all.iter().any(starts) {
            power::isolation_stands(self.ground)?;
        }
        Ok(plan)
    }

    /// Another machine that has one of its volumes, and runs.
    fn users(&self, one: &Restoring<'_>) -> Option<(String, String)> {
        let loads = one.loads();
        let is_other = |found: &&Found| self.all.iter().all(|back| back.found.id != found.id);
        let has_one = |found: &&Found| found.needs.iter().any(|need| loads.contains(need));
        let mut running = self.ground.live.found.values().filter(|found| found.id.kind == Kind::Instance);
        let user = running.find(|found| found.is_up() && is_other(found) && has_one(found))?;
        let name = &user.id.name;
        Some((format!("{name} runs, and has a volume of {} too", one.found.id.name), format!("`anklume stop {name}`")))
    }

    /// What takes more than one call nobody would end once this is stopped.
    fn cannot_go(&self, own: &Id) -> Option<(String, String)> {
        let one = self.all.iter().find(|one| one.found.id == *own)?;
        let why = match (one.loads().is_empty(), one.elsewhere().next()) {
            (false, _) => "its volumes can only go back while it is stopped",
            (true, Some(_)) => "what was its own then is not now",
            (true, None) if one.calls().len() > 1 => "what is written on it would have to be put right afterwards",
            (true, None) => return None,
        };
        let message = format!("anklume runs in {}, which it cannot bring back from inside: {why}", own.name);
        Some((message, "run it on the host".to_owned()))
    }

    /// Shows it, and asks. Whoever ends the own session has to say so.
    pub(in super::super) fn agreed(&self, plan: &Plan, ui: Ui) -> Result<bool> {
        relocate::show(plan, "", ui);
        ui.say(
            "What was written in them since then is lost. Incus brings back their config, devices and profiles too.",
        );
        let nothing = || Unfinished("nothing was changed".into());
        if let Some(own) = self.own.filter(|_| !self.consent.force) {
            let question = format!("anklume runs in {}: this session ends with it.", own.name);
            ui.say(&question);
            if !ui.can_ask {
                let message = "there is no terminal to ask on, so nothing was changed";
                return Err(
                    Hinted::new(message, "say `--force`: `--yes` is not enough for the machine this runs in").into()
                );
            }
            return if ui.ask_for("Go back?", "yes") { Ok(true) } else { Err(nothing().into()) };
        }
        if !self.consent.yes && !self.consent.force && !apply::agreed(ui, "Go back?")? {
            return Err(nothing().into());
        }
        Ok(true)
    }

    /// Does it, and shows what the file says to the result. `again` is what is to be typed where some of it fails.
    pub(in super::super) async fn run(&self, global: &Global, plan: &Plan, again: &str, ui: Ui) -> Result<ExitCode> {
        let over = under_way::over(&self.ground.desired.infra);
        let (last, first): (Vec<Action>, Vec<Action>) =
            plan.actions.iter().cloned().partition(|action| self.own == Some(&action.id));
        let first = Plan { actions: first, held: Vec::new() };
        let report = apply::carry_out(&first, apply::bounds(None), ui).await?;
        perform(&ThisHost, &over).await.context("Incus cannot be written")?;
        if !report.is_clean() {
            let hint = format!("once what failed is mended: `{again}` once more");
            return Err(Hinted::new("not all machines went back", hint).into());
        }
        for call in last.iter().flat_map(|action| &action.calls) {
            ui.say(format!("{} goes back, and this session ends.", last[0].id));
            perform(&ThisHost, call).await.context("it did not go back")?;
        }
        ui.say(format!("{} back.", self.all.len()));
        next_plan(global, ui).await;
        Ok(DONE)
    }
}

/// What differs from the file now. That it cannot be told is no failure of what was done.
async fn next_plan(global: &Global, ui: Ui) {
    let ui = ui.after_warnings();
    let planned = async {
        let ground = Ground::read(global, false, ui).await?;
        let plan = ground.plan(&Options::default(), false, ui).await?;
        anyhow::Ok(render::text::plan(&plan, &ground.desired, &ui.out))
    };
    match planned.await {
        Ok(text) => {
            ui.say("The next plan:");
            ui.print(text);
        }
        Err(error) => ui.say(failure::told(&error, &ui.err)),
    }
}
