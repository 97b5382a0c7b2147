//! `anklume snap delete` and `prune`: the snapshots that nobody needs any more.

use std::process::ExitCode;

use anyhow::Result;

use super::super::{DONE, Ground, apply, lock, relocate};
use super::{cured, domain, duration, machines, machines_of, none, read};
use crate::cli::{Global, SnapPruneArgs};
use crate::failure::{Hinted, Unfinished};
use crate::host::clock;
use crate::lifecycle::prune::Rule;
use crate::lifecycle::snapshot::{self, Family, Snapshot};
use crate::plan::Plan;
use crate::ui::Ui;

/// Deletes the snapshot of this name.
pub(super) async fn delete(global: &Global, name: &str, names: &[String], yes: bool, ui: Ui) -> Result<ExitCode> {
    let _lock = lock::take("snap delete")?;
    let ground = cured(global, ui).await?;
    let machines = machines_of(&ground, name, names, "so nothing was deleted").await?;
    let snapshots = read(&ground).await?;
    let of_name: Vec<&Snapshot> = machines.iter().filter_map(|found| snapshots.get(&found.id, name)).collect();
    if of_name.is_empty() {
        return Err(none(name));
    }
    carry_out(&ground, &of_name, yes, ui).await
}

/// Deletes those that are too old, or too many.
pub(super) async fn prune(global: &Global, args: &SnapPruneArgs, ui: Ui) -> Result<ExitCode> {
    let _lock = lock::take("snap prune")?;
    let age = args.older_than.as_deref().map(|text| duration("--older-than", text)).transpose()?;
    let rule = Rule {
        keep: args.keep.unwrap_or_default(),
        before: age.map(|age| clock::seconds().saturating_sub(age)),
        families: if args.family.is_empty() { Family::ALL.into() } else { args.family.clone() },
    };
    let ground = cured(global, ui).await?;
    let (machines, snapshots) = (machines(&ground, &args.names, "so nothing was deleted").await?, read(&ground).await?);
    let pruned: Vec<&Snapshot> = machines.iter().flat_map(|found| rule.pruned(snapshots.of(&found.id))).collect();
    if pruned.is_empty() {
        ui.say("Nothing to delete.");
        return Ok(DONE);
    }
    carry_out(&ground, &pruned, args.yes, ui).await
}

async fn carry_out(ground: &Ground, snapshots: &[&Snapshot], yes: bool, ui: Ui) -> Result<ExitCode> {
    let actions = snapshots.iter().map(|one| snapshot::removal(one, domain(ground, &one.machine)));
    let plan = Plan { actions: actions.collect(), held: Vec::new() };
    relocate::show(&plan, "", ui);
    if !yes && !apply::agreed(ui, "Delete these for good?")? {
        return Err(Unfinished("nothing was deleted".into()).into());
    }
    let report = apply::carry_out(&plan, apply::bounds(None), ui).await?;
    if !report.is_clean() {
        return Err(Hinted::new("not all were deleted", "run it again: it does what is left").into());
    }
    ui.say(format!("{} deleted.", plan.actions.len()));
    Ok(DONE)
}
