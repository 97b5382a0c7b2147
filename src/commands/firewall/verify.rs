//! `anklume firewall verify`: the table against the file, and real packets against the policies.

use std::process::ExitCode;

use anyhow::{Context as _, Result};

use crate::cli::{Format, Global, VerifyArgs};
use crate::commands::{DONE, Ground};
use crate::failure::Hinted;
use crate::firewall::fence::{self, Step};
use crate::firewall::verify::report::{Report, TableState};
use crate::firewall::verify::scene::{Readings, Scene};
use crate::firewall::verify::{self, Trial};
use crate::incus::call::Call;
use crate::incus::door::{ThisHost, json};
use crate::plan::Verb;
use crate::ui::Ui;

/// Reads, sends, compares, prints. 1 where anything is not as the policies say.
pub(crate) async fn run(global: &Global, args: &VerifyArgs, ui: Ui) -> Result<ExitCode> {
    // Only with this depth are the processes and addresses of the machines in it.
    let instances = Call::query("/1.0/instances?recursion=2&all-projects=true");
    let (addresses, routes) = (Call::read("ip", ["-j", "addr"]), Call::read("ip", ["-j", "route", "show", "default"]));
    let (ground, instances, addresses, routes) = tokio::join!(
        Ground::read(global, false, ui),
        json(&ThisHost, &instances),
        json(&ThisHost, &addresses),
        json(&ThisHost, &routes),
    );
    let ground = ground?;
    let instances = instances.context("Incus cannot be read")?;
    let addresses = addresses.context("the addresses of this host cannot be read")?;
    let routes = routes.context("the routes of this host cannot be read")?;
    let table = table(&ground)?;
    let readings = Readings { instances: &instances, addresses: &addresses, routes: &routes };
    let mut scene = Scene::new(&ground.standing(), readings, args.outside);
    let trial = trial(&ground, &mut scene, args.all)?;
    let report = Report { scene: &scene, trial: &trial, table };
    ui.print(match args.format {
        Format::Text => report.text(&ui.out),
        Format::Json => report.json(),
    });
    Ok(if report.is_good() { DONE } else { ExitCode::FAILURE })
}

/// How the table in force compares with the one that the file asks for.
fn table(ground: &Ground) -> Result<TableState> {
    ground.live.table.known()?;
    match fence::action(&ground.wall, &ground.live.table) {
        Step::Nothing => Ok(TableState::AsWanted),
        Step::Load(action) if action.verb == Verb::Create => Ok(TableState::Missing),
        Step::Load(action) => Ok(TableState::Differs(action.fields)),
        Step::Unknown { why, hint } => Err(Hinted::new(format!("the table cannot be read: {why}"), hint).into()),
    }
}

fn trial(ground: &Ground, scene: &mut Scene, all: bool) -> Result<Trial> {
    verify::scout(scene).map_err(|error| refused(&error))?;
    let filtered = |bridge: &str| {
        let mut domains = ground.desired.domains.iter();
        domains.any(|domain| domain.bridge == bridge && !domain.acl.is_empty())
    };
    verify::run(&ground.wall, scene, &filtered, all).map_err(|error| refused(&error))
}

fn refused(error: &std::io::Error) -> anyhow::Error {
    if error.kind() == std::io::ErrorKind::PermissionDenied {
        let message = "only root can enter the networks of the machines";
        return Hinted::new(message, "`sudo anklume firewall verify`").into();
    }
    let message = format!("the networks of the machines cannot be watched: {error}");
    Hinted::new(message, "has one just stopped or started? then run this again").into()
}
