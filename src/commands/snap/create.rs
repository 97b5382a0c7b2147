//! `anklume snap create`: machines are taken together, side by side, frozen for the moment where that is asked for.

use std::collections::BTreeSet;
use std::process::ExitCode;

use anyhow::{Context, Result};

use super::super::{DONE, Ground, apply, lock};
use super::restore::myself_among;
use super::{cured, duration, is_name, machines, read};
use crate::apply::{Outcome, Report};
use crate::cli::{Global, SnapCreateArgs};
use crate::failure::Hinted;
use crate::host::clock;
use crate::incus::door::{ThisHost, perform};
use crate::incus::live::Live;
use crate::lifecycle::reading::Snapshots;
use crate::lifecycle::snapshot::{self, Family};
use crate::lifecycle::under_way::{self, Doing, Standing, UnderWay};
use crate::plan::{Id, Plan, Verb};
use crate::resources::{Found, Status};
use crate::ui::Ui;

/// Takes them; the name goes to standard output.
pub(super) async fn run(global: &Global, args: &SnapCreateArgs, ui: Ui) -> Result<ExitCode> {
    let _lock = lock::take("snap create")?;
    let name = name(args)?;
    let now = clock::seconds();
    let expires = args.expiry.as_deref().map(|text| duration("--expiry", text)).transpose()?;
    let expires = expires.map(|after| clock::for_incus(now + after));
    let ground = cured(global, ui).await?;
    let machines = machines(&ground, &args.names, "so nothing was taken").await?;
    if machines.is_empty() {
        return Err(Hinted::new("there is no machine to take a snapshot of", "`anklume apply` makes them").into());
    }
    is_free(&machines, &name, &read(&ground).await?)?;
    if args.consistent {
        does_not_freeze_itself(&ground, &machines).await?;
    }
    let taking = Taking { machines, volumes: args.volumes, consistent: args.consistent, name: &name, expires };
    taking.run(&ground, ui).await?;
    ui.say(format!("{} taken; `anklume snap restore {name}` brings them back.", taking.machines.len()));
    ui.print(format!("{name}\n"));
    Ok(DONE)
}

fn name(args: &SnapCreateArgs) -> Result<String> {
    let Some(name) = &args.name else { return Ok(Family::Snap.name(&clock::now())) };
    if !is_name(name) {
        let message = format!("`{name}` cannot be the name of a snapshot");
        return Err(Hinted::new(message, "letters, digits, `-`, `_` and `.`, a letter or digit first").into());
    }
    let own = [Family::PreApply, Family::PreUpgrade].into_iter().find(|family| name.starts_with(family.prefix()));
    if let Some(own) = own {
        let message = format!("names that begin with `{}` are those that anklume itself gives", own.prefix());
        return Err(Hinted::new(message, "another name; without `--name` it is `snap-DATE-TIME`").into());
    }
    Ok(name.clone())
}

/// Free on the volumes too, whether they are taken or not: one that is there would pass for one that was taken along.
fn is_free(machines: &[&Found], name: &str, snapshots: &Snapshots) -> Result<()> {
    let has_it = |found: &&&Found| snapshots.get(&found.id, name).is_some();
    let have: Vec<&str> = machines.iter().filter(has_it).map(|found| found.id.name.as_str()).collect();
    if have.is_empty() {
        return Ok(());
    }
    let message = format!("nothing was taken: {} has a snapshot {name} already", have.join(", "));
    Err(Hinted::new(message, format!("another name, or first `anklume snap delete {name} {}`", have.join(" "))).into())
}

/// A machine that is frozen can thaw nobody, itself least of all.
async fn does_not_freeze_itself(ground: &Ground, machines: &[&Found]) -> Result<()> {
    if myself_among(ground, machines.iter().copied()).await?.is_some() {
        let message = "nothing was taken: anklume would freeze the machine that it runs in, and itself with it";
        return Err(Hinted::new(message, "leave out `--consistent`, or run it on the host").into());
    }
    Ok(())
}

struct Taking<'a> {
    machines: Vec<&'a Found>,
    volumes: bool,
    consistent: bool,
    name: &'a str,
    expires: Option<String>,
}

impl Taking<'_> {
    fn volumes(&self, found: &Found) -> BTreeSet<Id> {
        if self.volumes { snapshot::volumes_of(found) } else { BTreeSet::new() }
    }

    /// All of them or none. What is frozen is thawed whatever becomes of the rest.
    async fn run(&self, ground: &Ground, ui: Ui) -> Result<()> {
        let infra = &ground.desired.infra;
        perform(&ThisHost, &self.under_way().begin(infra)).await.context("Incus cannot be written")?;
        let freezing = self.freezing();
        let frozen = apply::carry_out(&freezing, apply::bounds(None), ui).await?;
        let taken = if frozen.is_clean() { self.take(ui).await } else { Ok(false) };
        let is_thawed = thaw(&freezing, &frozen, ui).await?;
        if !is_thawed {
            let message = "some machines could not be thawed";
            return Err(Hinted::new(message, "once what failed is mended: `anklume resume`, or `anklume apply`").into());
        }
        let is_taken = taken?;
        if !is_taken {
            self.clear(ui).await?;
        }
        perform(&ThisHost, &under_way::over(infra)).await.context("Incus cannot be written")?;
        if !is_taken {
            let hint = "once what failed is mended, run it again";
            return Err(Hinted::new("no snapshot was taken: not all of them could be", hint).into());
        }
        Ok(())
    }

    fn under_way(&self) -> UnderWay {
        let standing = |found: &&Found| Standing::of(found, self.volumes(found).len());
        UnderWay {
            doing: Doing::Create,
            name: self.name.to_owned(),
            machines: self.machines.iter().map(standing).collect(),
        }
    }

    async fn take(&self, ui: Ui) -> Result<bool> {
        let action = |found: &&Found| snapshot::taking(found, &self.volumes(found), self.name, self.expires.as_deref());
        let plan = Plan { actions: self.machines.iter().map(action).collect(), held: Vec::new() };
        Ok(apply::carry_out(&plan, apply::bounds(None), ui).await?.is_clean())
    }

    /// Freezes those that run. One that its user paused stays so.
    fn freezing(&self) -> Plan {
        let runs = |found: &&&Found| found.instance.as_ref().is_some_and(|one| one.status == Status::Running);
        let ran = self.machines.iter().filter(|_| self.consistent).filter(runs);
        Plan { actions: ran.map(|found| under_way::state(found, Verb::Pause)).collect(), held: Vec::new() }
    }

    /// What was taken of some of them.
    async fn clear(&self, ui: Ui) -> Result<()> {
        let live = Live::read(&ThisHost).await.context("Incus cannot be read")?;
        let snapshots = Snapshots::read(&ThisHost, &live).await.context("the snapshots cannot be read")?;
        let of_them = self.machines.iter().filter_map(|found| snapshots.get(&found.id, self.name));
        let plan = Plan { actions: of_them.map(|taken| snapshot::removal(taken, "")).collect(), held: Vec::new() };
        if !plan.actions.is_empty() {
            apply::carry_out(&plan, apply::bounds(None), ui).await?;
        }
        Ok(())
    }
}

/// Lets those run on that were frozen, and nothing comes before that: they stand still meanwhile.
async fn thaw(freezing: &Plan, frozen: &Report, ui: Ui) -> Result<bool> {
    let mut machines: Vec<&Id> = Vec::new();
    for (action, outcome) in freezing.actions.iter().zip(&frozen.outcomes) {
        machines.extend(matches!(outcome, Outcome::Done).then_some(&action.id));
    }
    let live;
    if !frozen.is_clean() {
        // One that failed may have frozen it all the same.
        live = Live::read(&ThisHost).await.context("Incus cannot be read")?;
        let is_frozen = |id: &&Id| live.found.get(*id).is_some_and(Found::is_frozen);
        machines = freezing.actions.iter().map(|action| &action.id).filter(is_frozen).collect();
    }
    let thawing = freezing.actions.iter().filter(|action| machines.contains(&&action.id)).map(under_way::thawed);
    let plan = Plan { actions: thawing.collect(), held: Vec::new() };
    Ok(plan.actions.is_empty() || apply::carry_out(&plan, apply::bounds(None), ui).await?.is_clean())
}
