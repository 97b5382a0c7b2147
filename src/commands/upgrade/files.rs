//! `anklume upgrade files`: what an earlier anklume wrote, or was given, in the form of this one.

use std::path::Path;
use std::process::ExitCode;

use anyhow::{Context, Result};

use crate::cli::{FilesArgs, Global};
use crate::commands::{DONE, Ground, apply, lock, sync, unusable};
use crate::failure::{Hinted, Unfinished};
use crate::firewall::fence::Table;
use crate::firewall::outdated::{self, Beside};
use crate::firewall::services;
use crate::host::facts;
use crate::infra::Loaded;
use crate::infra::older::{Older, older};
use crate::plan::Plan;
use crate::resolve::desired::Domain;
use crate::resolve::{self, Holds};
use crate::ui::Ui;

/// The file of the infrastructure, what was generated from it, what keeps the table.
pub(super) async fn run(global: &Global, args: &FilesArgs, ui: Ui) -> Result<ExitCode> {
    let _lock = lock::take("upgrade")?;
    let is_older = infrastructure(global, args, ui)?;
    if is_older && !args.write {
        let message = "the infrastructure is written in the form of an earlier anklume";
        return Err(Hinted::new(message, "`anklume upgrade files --write` makes the edits that are shown").into());
    }
    let ground = Ground::read(global, false, ui).await?;
    let generated = write_generated(global, &ground, args, ui)?;
    let kept = what_keeps_the_table(&ground, args, ui).await?;
    if !is_older && !generated && !kept {
        ui.say("Every file is as this anklume writes it.");
    }
    Ok(DONE)
}

/// Shows the edits, and makes them where that is asked for. Is there any?
fn infrastructure(global: &Global, args: &FilesArgs, ui: Ui) -> Result<bool> {
    let older = older(global.file.as_deref()).map_err(|failure| unusable(failure, ui))?;
    let older = with_addressing(older, global, ui);
    if older.changes.is_empty() {
        return Ok(false);
    }
    ui.print(&older.shown);
    if args.write {
        if !args.yes && !apply::agreed(ui, "Write this?")? {
            return Err(Unfinished("nothing was written".into()).into());
        }
        for change in &older.changes {
            change.write().with_context(|| format!("{} cannot be written", change.file))?;
            ui.say(format!("{} is written", change.file));
        }
    }
    Ok(true)
}

/// The newer addressing, where no network and no machine gets another address by it.
fn with_addressing(older: Older, global: &Global, ui: Ui) -> Older {
    let Some(place) = older.loaded.older_addressing() else { return older };
    let edited = older.loaded.with_addressing();
    if let Some(edited) = edited.filter(|edited| means_the_same(&older.loaded, &edited.loaded, global)) {
        return older.then(edited);
    }
    ui.say(format!(
        "{place}: `base_subnet` is the older way to address, and goes on to work. It stays as it is: with `addressing`, \
         networks or machines would get other addresses"
    ));
    older
}

fn means_the_same(one: &Loaded, other: &Loaded, global: &Global) -> bool {
    let facts = facts::read_context(Path::new("/"), global.yolo);
    let domains = |loaded: &Loaded| {
        let (desired, _) = resolve::resolve(&loaded.infra, &facts, &Holds::default());
        // Only what no machine of the file has is given out there.
        let alike = |domain: Domain| Domain { dhcp: (domain.gateway, domain.gateway), ..domain };
        desired.domains.into_iter().map(alike).collect::<Vec<_>>()
    };
    domains(one) == domains(other)
}

/// What Ansible reads, where `anklume sync` ever wrote it: its sections are written anew, and one that was changed by hand is
/// kept with `.bak` behind the file's name. Was there anything to do?
fn write_generated(global: &Global, ground: &Ground, args: &FilesArgs, ui: Ui) -> Result<bool> {
    if !sync::has_sections(&sync::home(global, None))? {
        return Ok(false);
    }
    let Some(renewal) = sync::renewal(global, ground)? else { return Ok(false) };
    renewal.show(ui)?;
    if !args.yes && !apply::agreed(ui, "Write these?")? {
        return Err(Unfinished("nothing more was written".into()).into());
    }
    renewal.write(ui)?;
    Ok(true)
}

/// The file that is loaded at boot, and the services. Was there anything to do?
async fn what_keeps_the_table(ground: &Ground, args: &FilesArgs, ui: Ui) -> Result<bool> {
    let Table::Known(in_force) = &ground.live.table else { return Ok(false) };
    let keeping = &ground.live.keeping;
    let anklume = std::env::current_exe().context("the place of this program is not known")?;
    let watch = keeping.init.map(|init| services::watching(init, "").path());
    let beside = Beside {
        watch: watch.and_then(|path| std::fs::read_to_string(path).ok()),
        anklume: anklume.to_string_lossy().into_owned(),
    };
    let actions = outdated::actions(keeping, &beside, &ground.wall, in_force.as_ref());
    if actions.is_empty() {
        return Ok(false);
    }
    for action in &actions {
        ui.print(format!("~ {}  ({})\n", action.id, action.note));
    }
    if !args.yes && !apply::agreed(ui, "Write these anew?")? {
        return Err(Unfinished("nothing was written".into()).into());
    }
    let plan = Plan { actions, held: Vec::new() };
    if !apply::carry_out(&plan, apply::bounds(Some(1)), ui).await?.is_clean() {
        return Err(Hinted::new("not every file was written", "run it again: it does what is left").into());
    }
    Ok(true)
}
