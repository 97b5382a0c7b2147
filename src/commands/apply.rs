//! `anklume apply`: makes the host as the file says, then reads again.

use std::path::Path;
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, Result};
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::watch;

use super::firewall::doctor;
use super::{DONE, Ground, agents, lock, provision, snap};
use crate::apply::{self, Bounds, Outcome, Report};
use crate::cli::{ApplyArgs, Global};
use crate::failure::{Hinted, Unfinished, WrongInput};
use crate::firewall::doctor::told;
use crate::firewall::fence::{self, Table};
use crate::firewall::keep::AfterReboot;
use crate::incus::door::ThisHost;
use crate::incus::trouble;
use crate::lifecycle::before;
use crate::plan::Plan;
use crate::render::{self, progress::Progress};
use crate::resources::planner::Options;
use crate::ui::{Style, Ui};

/// Plan, question, run, look again.
pub(crate) async fn run(global: &Global, args: &ApplyArgs, ui: Ui) -> Result<ExitCode> {
    let _lock = lock::take("apply")?;
    if args.provision {
        provision::is_possible()?;
    }
    let options = Options::from(&args.scope);
    let ground = snap::cured(global, ui).await?.exporting(export_to(args, ui)?)?;
    isolation_can_be_told(&ground)?;
    let plan = ground.plan(&options, false, ui).await?;
    ui.print(render::text::plan(&plan, &ground.desired, &ui.out));
    say_what_is_not_kept(&ground, ui);
    say_what_breaks_it(&ground, ui).await;
    if plan.actions.is_empty() {
        return left_over(&plan);
    }
    if !args.yes && !agreed(ui, "Do this?")? {
        return Err(Unfinished("nothing was changed".into()).into());
    }
    let bounds = bounds(args.parallel);
    let mut report = carry_out(&plan, bounds, ui).await?;
    let taken = before::taken(&plan, &report).map(str::to_owned);
    agents::wait_for(&plan, &report, &ground.desired, Duration::from_secs(args.agent_wait), ui).await;
    let mut started = started(&plan, &report, &ground);
    // What was to be made anew has been.
    let (options, ui) = (Options { replace: Vec::new(), ..options }, ui.after_warnings());
    let mut ground = Ground::read(global, false, ui).await?;
    let mut again = ground.plan(&options, false, ui).await?;
    if report.wants_another_look() {
        // Somebody made the same things at the same time, or an earlier run that was cut off had calls under way.
        ui.say("some of it had been done in the meantime: looking again");
        report = carry_out(&again, bounds, ui).await?;
        started.extend(self::started(&again, &report, &ground));
        ground = Ground::read(global, false, ui).await?;
        again = ground.plan(&options, false, ui).await?;
    }
    let code = verdict(&report, &again, taken.as_deref(), ui)?;
    if args.provision { provision::after(global, &ground, &started, ui).await } else { Ok(code) }
}

/// The names of the machines that were made or started.
fn started(plan: &Plan, report: &Report, ground: &Ground) -> Vec<String> {
    agents::machines(plan, report, &ground.desired).map(|(_, machine)| machine.name.clone()).collect()
}

/// Does what is left for a machine, without a question: one was asked before.
pub(super) async fn finish(global: &Global, machine: &str, ui: Ui) -> Result<ExitCode> {
    let options = Options { target: vec![machine.to_owned()], ..Options::default() };
    let plan = Ground::read(global, false, ui).await?.plan(&options, false, ui).await?;
    if plan.actions.is_empty() {
        return left_over(&plan);
    }
    let report = carry_out(&plan, bounds(None), ui).await?;
    let again = Ground::read(global, false, ui).await?.plan(&options, false, ui).await?;
    verdict(&report, &again, None, ui)
}

/// The file of `--firewall export FILE`.
fn export_to(args: &ApplyArgs, ui: Ui) -> Result<Option<&Path>, WrongInput> {
    match args.firewall.as_slice() {
        [] => Ok(None),
        [word, file] if word.as_os_str() == "export" => Ok(Some(file)),
        _ => Err(WrongInput::plain("`--firewall` takes the word `export` and a file", None, &ui.err)),
    }
}

/// Asks on a terminal. Without one nobody can agree: that is said as an error, with what to type.
pub(super) fn agreed(ui: Ui, question: &str) -> Result<bool> {
    if !ui.can_ask {
        return Err(Hinted::new("there is no terminal to ask on, so nothing was changed", "say `--yes`").into());
    }
    Ok(ui.ask(question))
}

/// An apply whose isolation cannot be loaded starts nothing; better to know before anything is written.
pub(super) fn isolation_can_be_told(ground: &Ground) -> Result<()> {
    match fence::action(&ground.wall, &ground.live.table) {
        fence::Step::Nothing | fence::Step::Load(_) => Ok(()),
        fence::Step::Unknown { why, hint } => {
            let message = format!("nothing was changed: the domains could not be kept apart ({why})");
            Err(Hinted::new(message, hint).into())
        }
    }
}

/// A host that boots in a way that anklume does not know is no error.
pub(super) fn say_what_is_not_kept(ground: &Ground, ui: Ui) {
    let wall = &ground.wall;
    let after_reboot = ground.live.keeping.after_reboot(wall);
    let here = matches!(ground.live.table, Table::Known(_)) && !wall.bridges.is_empty();
    if here && matches!(after_reboot, AfterReboot::Gone | AfterReboot::UpToOthers) {
        ui.say(format!("after a reboot, the isolation is {after_reboot}"));
    }
}

/// What of others would drop what the file allows: told, since nothing of ours can overrule it.
async fn say_what_breaks_it(ground: &Ground, ui: Ui) {
    if !matches!(ground.live.table, Table::Known(_)) {
        return;
    }
    match doctor::findings(&ground.desired, &ground.live).await {
        Ok(findings) => findings.iter().for_each(|finding| ui.say(told::finding(finding, &ui.err).trim_end())),
        Err(error) => tracing::debug!(%error, "not looked for what breaks it"),
    }
}

/// How many at once, from the command line or the processors.
pub(super) fn bounds(parallel: Option<u16>) -> Bounds {
    let cpus = std::thread::available_parallelism().map_or(2, std::num::NonZero::get);
    let bounds = Bounds::for_cpus(cpus);
    match parallel {
        Some(all) => Bounds { all: all.into(), heavy: bounds.heavy.min(all.into()), ..bounds },
        None => bounds,
    }
}

/// Runs a plan with progress and signals, and tells what failed.
pub(super) async fn carry_out(plan: &Plan, bounds: Bounds, ui: Ui) -> Result<Report> {
    let (tell, stop) = watch::channel(false);
    let mut interrupt = signal(SignalKind::interrupt()).context("signals cannot be caught")?;
    let mut terminate = signal(SignalKind::terminate()).context("signals cannot be caught")?;
    let listen = tokio::spawn(async move {
        loop {
            tokio::select! {
                _ = interrupt.recv() => {}
                _ = terminate.recv() => {}
            }
            let _ = tell.send(true);
        }
    });
    let progress = Progress::new(ui, plan.actions.len());
    let report = apply::run(plan, Arc::new(ThisHost), bounds, &progress, stop).await;
    listen.abort();
    drop(progress);
    tell_failures(plan, &report, ui);
    Ok(report)
}

fn tell_failures(plan: &Plan, report: &Report, ui: Ui) {
    let mut hints = Vec::new();
    for (action, outcome) in plan.actions.iter().zip(&report.outcomes) {
        match outcome {
            Outcome::Failed(error) => {
                let failed = ui.err.paint(Style::Red, "failed:");
                ui.say(format!("{failed} {} {}: {error}", action.verb.word(), action.id));
                hints.extend(trouble::hint(error));
            }
            Outcome::Skipped { because } => {
                let because = &plan.actions[*because];
                let skipped = ui.err.paint(Style::Yellow, "skipped:");
                let because = format!("{} {}", because.verb.word(), because.id);
                ui.say(format!("{skipped} {} {}, which needs: {because}", action.verb.word(), action.id));
            }
            Outcome::Done | Outcome::Stopped => {}
        }
    }
    hints.dedup();
    for hint in hints {
        ui.say(format!("{} {hint}", ui.err.paint(Style::Cyan, "hint:")));
    }
}

/// `taken` is the time in the names of the snapshots that were taken first.
fn verdict(report: &Report, again: &Plan, taken: Option<&str>, ui: Ui) -> Result<ExitCode> {
    let count = |pick: fn(&Outcome) -> bool| report.outcomes.iter().filter(|outcome| pick(outcome)).count();
    let done = count(|outcome| matches!(outcome, Outcome::Done));
    let failed = count(|outcome| matches!(outcome, Outcome::Failed(_)));
    let skipped = count(|outcome| matches!(outcome, Outcome::Skipped { .. }));
    let stopped = count(|outcome| matches!(outcome, Outcome::Stopped));
    let mut line = format!("{done} done");
    for (count, word) in [(failed, "failed"), (skipped, "skipped"), (stopped, "not begun")] {
        if count > 0 {
            line.push_str(&format!(", {count} {word}"));
        }
    }
    let back = taken.map(|time| format!("`anklume rollback {time}` brings machines back to how they were before"));
    let or_back = |hint: &str| back.iter().fold(hint.to_owned(), |hint, back| format!("{hint};\n      {back}"));
    if !report.is_clean() {
        let hint = or_back("run `anklume apply` again: it does what is left");
        return Err(Hinted::new(format!("not everything was done: {line}"), hint).into());
    }
    ui.say(format!("{line}."));
    if !again.actions.is_empty() {
        let names: Vec<String> = again.actions.iter().map(|action| action.id.to_string()).collect();
        let message = format!("something is different still, or again: {}", names.join(", "));
        return Err(Hinted::new(message, or_back("`anklume plan` shows it")).into());
    }
    if let Some(back) = back {
        ui.say(format!("{back}."));
    }
    left_over(again)
}

/// Nothing is left to do, but perhaps something that this run was not to do.
fn left_over(plan: &Plan) -> Result<ExitCode> {
    let waiting = plan.held.iter().filter(|held| !held.why.left_the_file()).count();
    if waiting > 0 {
        let message = format!("not everything is as the file says: {waiting} not made, see `!` in the plan");
        return Err(Hinted::new(message, "`anklume plan` shows them, each with what makes it").into());
    }
    Ok(DONE)
}
