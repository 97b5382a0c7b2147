//! `anklume status`: the machines by domain, their state, address and drift, and the isolation.

use std::collections::BTreeMap;
use std::process::ExitCode;

use anyhow::{Context, Result};

use super::{DONE, Ground, conflicts};
use crate::cli::{Format, Global, StatusArgs};
use crate::incus::call::Call;
use crate::incus::door::{ThisHost, all, json};
use crate::lifecycle::health::{self, Health};
use crate::plan::{Id, Kind};
use crate::render::status::Status;
use crate::resources::Status as State;
use crate::resources::planner::{self, Options};
use crate::ui::Ui;

/// Reads, compares, prints.
pub(crate) async fn run(global: &Global, args: &StatusArgs, ui: Ui) -> Result<ExitCode> {
    // Only with this depth are the addresses that the guests really have in it.
    let deep = Call::query("/1.0/instances?recursion=2&all-projects=true");
    let (ground, instances) = tokio::join!(Ground::read(global, false, ui), json(&ThisHost, &deep));
    let ground = ground?;
    let instances = instances.context("Incus cannot be read")?;
    let plan = |restart| {
        let options = Options { restart, ..Options::default() };
        planner::plan(&ground.desired, &ground.live, None, &options)
    };
    // What cannot even be planned while machines run differs all the same.
    let plan = plan(false).or_else(|_| plan(true)).map_err(conflicts)?;
    let health = health(&ground).await;
    let status = Status::new(&ground.standing(), &ground.live, &plan, &instances, &health);
    ui.print(match args.format {
        Format::Text => status.text(&ui.out),
        Format::Json => status.json(),
    });
    Ok(DONE)
}

/// Asks all machines that run and have a `health` command in the file, at once.
async fn health(ground: &Ground) -> BTreeMap<Id, Health> {
    let runs = |id: &Id| {
        let instance = ground.live.found.get(id).and_then(|found| found.instance.as_ref());
        instance.is_some_and(|instance| instance.status == State::Running)
    };
    let asked = ground.desired.domains.iter().flat_map(|domain| {
        domain.machines.iter().filter_map(|machine| {
            let id = Id::within(Kind::Instance, &domain.project, &machine.instance);
            Some((id, machine.health.as_deref()?))
        })
    });
    let asked = asked.filter(|(id, _)| runs(id));
    let answers = asked.map(|(id, command)| async move {
        let health = health::ask(&id, command, health::LIMIT).await;
        (id, health)
    });
    all(answers).await.into_iter().collect()
}
