//! `anklume snap`: snapshots of machines; here is what its verbs share.

mod create;
mod list;
pub(super) mod restore;
mod spare;

use std::path::Path;
use std::process::ExitCode;

use anyhow::{Context, Result};
use serde_json::Value;

use super::named::Named;
use super::{Ground, apply, relocate};
use crate::cli::{Global, SnapCommand};
use crate::failure::Hinted;
use crate::host::whoami::Traits;
use crate::incus::call::Call;
use crate::incus::door::{ThisHost, json, perform};
use crate::lifecycle::reading::Snapshots;
use crate::lifecycle::under_way::{self, Doing, UnderWay};
use crate::plan::Id;
use crate::resources::{Found, instance, journey};
use crate::ui::Ui;

/// Runs one of them.
pub(crate) async fn run(global: &Global, command: SnapCommand, ui: Ui) -> Result<ExitCode> {
    match command {
        SnapCommand::Create(args) => create::run(global, &args, ui).await,
        SnapCommand::List { names, format } => list::run(global, &names, format, ui).await,
        SnapCommand::Restore(args) => restore::run(global, &args, ui).await,
        SnapCommand::Delete { snapshot, names, yes } => spare::delete(global, &snapshot, &names, yes, ui).await,
        SnapCommand::Prune(args) => spare::prune(global, &args, ui).await,
    }
}

/// The word for the machine that this runs in.
const SELF: &str = "self";

/// All snapshots.
pub(super) async fn read(ground: &Ground) -> Result<Snapshots> {
    Snapshots::read(&ThisHost, &ground.live).await.context("the snapshots cannot be read")
}

/// The machines that were named. `self` is the one that this runs in, whoever made it; unless the file has something
/// of that name.
async fn machines<'a>(ground: &'a Ground, names: &[String], undone: &str) -> Result<Vec<&'a Found>> {
    let is_self = |name: &&String| *name == SELF && !is_in_file(ground, SELF);
    let others: Vec<String> = names.iter().filter(|name| !is_self(name)).cloned().collect();
    let mut found = Vec::new();
    if names.is_empty() || !others.is_empty() {
        found = Named::new(ground, &others, undone)?.machines();
        found.retain(|found| !journey::is_part(found));
    }
    if names.iter().any(|name| is_self(&name)) {
        let own = myself(ground).await?.ok_or_else(|| {
            let message = "anklume does not run in a machine that this Incus has, so `self` is none";
            Hinted::new(message, "`anklume status` lists the machines; name one")
        })?;
        found.retain(|found| found.id != own.id);
        found.push(own);
    }
    Ok(found)
}

/// Those of a snapshot's command, whose words are easily changed round.
async fn machines_of<'a>(ground: &'a Ground, name: &str, names: &[String], undone: &str) -> Result<Vec<&'a Found>> {
    let is_known = |name: &str| Named::new(ground, &[name.to_owned()], undone).is_ok();
    if is_known(name) && names.iter().any(|name| name != SELF && !is_known(name)) {
        return Err(none(name));
    }
    machines(ground, names, undone).await
}

/// No machine that was meant has it.
fn none(name: &str) -> anyhow::Error {
    let hint = "`anklume snap list` lists them; the snapshot comes first, then the machines";
    Hinted::new(format!("none of these machines has a snapshot {name}"), hint).into()
}

fn is_in_file(ground: &Ground, name: &str) -> bool {
    let domains = &ground.desired.domains;
    domains.iter().any(|domain| domain.name == name || domain.machines.iter().any(|machine| machine.name == name))
}

/// The machine that this runs in.
pub(super) async fn myself(ground: &Ground) -> Result<Option<&Found>> {
    let listed = json(&ThisHost, &Call::query(instance::LISTING)).await.context("Incus cannot be read")?;
    let own = Traits::read(Path::new("/")).machine(&listed);
    Ok(own.and_then(|own| ground.live.found.get(&own)))
}

/// What another run is doing, or was doing that was cut off.
pub(super) async fn left(ground: &Ground) -> Result<Option<UnderWay>> {
    let server = json(&ThisHost, &Call::query("/1.0")).await.context("Incus cannot be read")?;
    Ok(under_way::read(&server, &ground.desired.infra))
}

/// Waits until no machine is taken, brought back, stopped, started, frozen or renamed, perhaps by a run that was cut off.
pub(super) async fn quiet(ui: Ui) -> Result<()> {
    // Of a volume's Incus does not say which one it is.
    let words =
        ["apshot", "Restoring", "Freezing", "Unfreezing", "Stopping", "Starting", "Renaming", "Deleting instance"];
    let concerns = |one: &Value| {
        let told = one["description"].as_str().unwrap_or_default();
        words.iter().any(|word| told.contains(word))
    };
    relocate::quiet_of(concerns, "waiting for calls that are under way, perhaps of a run that was cut off", ui).await
}

/// The file and the host, once snapshots that were cut off are cured: what was frozen runs on, and what was taken of some
/// machines only goes.
pub(super) async fn cured(global: &Global, ui: Ui) -> Result<Ground> {
    let server = Call::query("/1.0");
    let (ground, server) = tokio::join!(Ground::read(global, false, ui), json(&ThisHost, &server));
    let (ground, server) = (ground?, server.context("Incus cannot be read")?);
    let infra = &ground.desired.infra;
    let Some(left) = under_way::read(&server, infra).filter(|left| left.doing == Doing::Create) else {
        return Ok(ground);
    };
    quiet(ui).await?;
    // As it is now that all is quiet.
    let ground = Ground::read(global, false, ui.after_warnings()).await?;
    let plan = left.cure(&ground.live, &read(&ground).await?);
    if !plan.actions.is_empty() {
        ui.say(format!("taking the snapshot {} was cut off: what is left of that is cleared away", left.name));
        let report = apply::carry_out(&plan, apply::bounds(None), ui).await?;
        if !report.is_clean() {
            let message = format!("what is left of the snapshot {} is not cleared away", left.name);
            return Err(Hinted::new(message, "once what failed is mended, run this again").into());
        }
    }
    perform(&ThisHost, &under_way::over(infra)).await.context("Incus cannot be written")?;
    Ground::read(global, false, ui.after_warnings()).await
}

/// A name that both machines and volumes can have, and that is none of those that anklume gives.
fn is_name(name: &str) -> bool {
    let is_word = |c: char| c.is_ascii_alphanumeric() || "-_.".contains(c);
    name.starts_with(|c: char| c.is_ascii_alphanumeric()) && name.len() <= 63 && name.chars().all(is_word)
}

/// A time on the command line, in seconds.
fn duration(option: &str, text: &str) -> Result<u64> {
    crate::infra::duration(text).map_err(|help| Hinted::new(format!("`{option} {text}` is not a time"), help).into())
}

/// The domain that a machine is in, as the file names it.
fn domain<'a>(ground: &'a Ground, id: &Id) -> &'a str {
    ground.live.found.get(id).map(Found::domain).unwrap_or_default()
}
