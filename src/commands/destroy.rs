//! `anklume destroy`: deletes domains or machines, in the right order.

use std::process::ExitCode;

use anyhow::Result;

use super::named::Named;
use super::{DONE, Ground, apply, lock};
use crate::cli::{DestroyArgs, Global};
use crate::failure::{Hinted, Unfinished};
use crate::plan::{Plan, Why};
use crate::render;
use crate::resources::{planner, removal};
use crate::ui::Ui;

/// List, question, run.
pub(crate) async fn run(global: &Global, args: &DestroyArgs, ui: Ui) -> Result<ExitCode> {
    let _lock = lock::take("destroy")?;
    let ground = Ground::read(global, false, ui).await?;
    let named = Named::new(&ground, &args.names, "so nothing was deleted")?;
    // Without a name nothing protected is meant, whatever else is said.
    let force = args.force && !args.names.is_empty();
    let removal = removal::named(&ground.live, &ground.desired.infra, |found| named.picks(found), force);
    let plan = planner::destruction(&ground.desired, &ground.live, removal);
    ui.print(render::text::destruction(&plan, &ground.desired, &ui.out));
    if plan.actions.is_empty() {
        return nothing(&plan, args);
    }
    if !args.yes && !apply::agreed(ui, "Delete these for good?")? {
        return Err(Unfinished("nothing was deleted".into()).into());
    }
    let report = apply::carry_out(&plan, apply::bounds(None), ui).await?;
    if !report.is_clean() {
        let again = [&["anklume".to_owned(), "destroy".to_owned()], args.names.as_slice()].concat().join(" ");
        let hint = format!("run `{again}` again: it does what is left");
        return Err(Hinted::new("not everything was deleted", hint).into());
    }
    ui.say(format!("{} deleted.", plan.count('-')));
    nothing(&plan, args)
}

/// What was named and stayed is an error, but for volumes and what is around them, which always stay; what was not
/// named, and is protected, is as it should be.
fn nothing(plan: &Plan, args: &DestroyArgs) -> Result<ExitCode> {
    let stay = plan.held.iter().filter(|held| held.why != Why::Kept).count();
    if !args.names.is_empty() && stay > 0 {
        let message = format!("{stay} of what was named stay, see `!`");
        return Err(Hinted::new(message, "`--force` also deletes what is protected, of what is named").into());
    }
    Ok(DONE)
}
