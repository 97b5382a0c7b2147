//! `anklume status`: the machines by domain, their state, address and drift, and the isolation.

use std::process::ExitCode;

use anyhow::{Context, Result};

use super::{DONE, Ground, conflicts};
use crate::cli::{Format, Global, StatusArgs};
use crate::incus::call::Call;
use crate::incus::door::{ThisHost, json};
use crate::render::status::Status;
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
    let status = Status::new(&ground.standing(), &ground.live, &plan, &instances);
    ui.print(match args.format {
        Format::Text => status.text(&ui.out),
        Format::Json => status.json(),
    });
    Ok(DONE)
}
