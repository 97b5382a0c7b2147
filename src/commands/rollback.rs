//! `anklume rollback`: the machines of an `apply --snapshot` go back to how they were before it.

use std::process::ExitCode;

use anyhow::Result;

use super::snap::restore::{Back, begun, myself_among};
use super::{lock, power, snap};
use crate::cli::{Global, RollbackArgs};
use crate::failure::Hinted;
use crate::infra::model::RunState;
use crate::lifecycle::restoring::Restoring;
use crate::lifecycle::sets::{self, sets};
use crate::lifecycle::snapshot::Family;
use crate::plan::Id;
use crate::ui::Ui;

/// Looks for the set, asks, brings the machines back. What it was cut off in, it does again from the beginning: each step
/// leaves the machine where the next run finds it.
pub(crate) async fn run(global: &Global, args: &RollbackArgs, ui: Ui) -> Result<ExitCode> {
    let _lock = lock::take("rollback")?;
    let ground = begun(global, ui).await?;
    let snapshots = snap::read(&ground).await?;
    let sets = sets(&ground.live, &snapshots, &ground.desired.infra);
    let asked = args.timestamp.as_deref().map(|time| time.strip_prefix(Family::PreApply.prefix()).unwrap_or(time));
    let Some((time, set)) = asked.map_or_else(|| sets.last_key_value(), |time| sets.get_key_value(time)) else {
        let there: Vec<&str> = sets.keys().copied().collect();
        let hint = match there.as_slice() {
            [] => "`anklume apply --snapshot` takes some; `anklume snap list` lists all others".to_owned(),
            there => format!("there are: {}", there.join(", ")),
        };
        let of = asked.map(|time| format!(" of {time}")).unwrap_or_default();
        return Err(Hinted::new(format!("there are no snapshots{of} from before an apply"), hint).into());
    };
    let freezes = |id: &Id| power::file_says(&ground, id) == Some(RunState::Frozen);
    let machines: Vec<sets::Back<'_>> =
        set.iter().filter_map(|one| sets::Back::new(&ground.live, &snapshots, one, freezes)).collect();
    let all: Vec<Restoring<'_>> = machines.iter().map(sets::Back::restoring).collect();
    let own = myself_among(&ground, all.iter().map(|one| one.found)).await?;
    let back = Back { ground: &ground, snapshots: &snapshots, all: &all, own: own.as_ref(), consent: &args.consent };
    let plan = back.plan(|at| machines[at].actions())?;
    ui.say(format!("before the apply of {time}:"));
    back.agreed(&plan, ui)?;
    back.run(global, &plan, &format!("anklume rollback {time}"), ui).await
}
