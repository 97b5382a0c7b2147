//! `anklume destroy`: deletes domains or machines, in the right order.

use std::process::ExitCode;

use anyhow::Result;

use super::{DONE, Ground, apply, lock};
use crate::cli::{DestroyArgs, Global};
use crate::failure::{Hinted, Unfinished};
use crate::plan::{Kind, Plan};
use crate::render;
use crate::resources::{Found, planner, removal};
use crate::ui::Ui;

/// List, question, run.
pub(crate) async fn run(global: &Global, args: &DestroyArgs, ui: Ui) -> Result<ExitCode> {
    let _lock = lock::take("destroy")?;
    let ground = Ground::read(global, false, ui).await?;
    let named = Named::new(&ground, &args.names)?;
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
        return Err(Hinted::new("not everything was deleted", "run it again: it does what is left").into());
    }
    ui.say(format!("{} deleted.", plan.count('-')));
    nothing(&plan, args)
}

/// What was named and stayed is an error; what was not named, and is protected, is as it should be.
fn nothing(plan: &Plan, args: &DestroyArgs) -> Result<ExitCode> {
    if !args.names.is_empty() && !plan.held.is_empty() {
        let message = format!("{} of what was named stay, see `!`", plan.held.len());
        return Err(Hinted::new(message, "`--force` also deletes what is protected, of what is named").into());
    }
    Ok(DONE)
}

/// The names on the command line, and what they stand for.
struct Named<'a> {
    ground: &'a Ground,
    names: &'a [String],
}

impl<'a> Named<'a> {
    fn new(ground: &'a Ground, names: &'a [String]) -> Result<Self> {
        let this = Self { ground, names };
        let ours = |found: &&Found| found.marks.as_ref().is_some_and(|marks| marks.infra == ground.desired.infra);
        for name in names {
            let known = this.in_file(name) || ground.live.found.values().filter(ours).any(|found| this.is(found, name));
            if !known {
                let message = format!("anklume made no domain or machine called `{name}`, so nothing was deleted");
                return Err(Hinted::new(message, "`anklume status` lists them").into());
            }
        }
        Ok(this)
    }

    fn picks(&self, found: &Found) -> bool {
        self.names.is_empty() || self.names.iter().any(|name| self.is(found, name))
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
    fn instance(&self, name: &str) -> Option<&String> {
        let mut machines = self.ground.desired.domains.iter().flat_map(|domain| &domain.machines);
        machines.find(|machine| machine.name == name).map(|machine| &machine.instance)
    }
}
