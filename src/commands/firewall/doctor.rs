//! `anklume firewall doctor`: what on this host breaks what the file declares, though the table stands.

use std::collections::BTreeSet;
use std::path::Path;
use std::process::ExitCode;

use anyhow::{Context, Result};

use crate::cli::{DoctorArgs, Format, Global};
use crate::commands::{DONE, Ground};
use crate::firewall::doctor::kernel::Kernel;
use crate::firewall::doctor::{self, Finding, Level, Readings, routes, told};
use crate::host::routes::uplink;
use crate::incus::call::Call;
use crate::incus::door::{Host, ThisHost, json};
use crate::incus::live::Live;
use crate::plan::Kind;
use crate::resolve::desired::Desired;
use crate::ui::Ui;

/// Looks and tells: 1 where something is broken.
pub(super) async fn run(global: &Global, args: &DoctorArgs, ui: Ui) -> Result<ExitCode> {
    let ground = Ground::read(global, false, ui).await?;
    ground.live.table.known()?;
    let findings = findings(&ground.desired, &ground.live).await?;
    ui.print(match args.format {
        Format::Text => told::text(&findings, &ui.out),
        Format::Json => told::json(&findings),
    });
    let broken = findings.iter().any(|finding| finding.level == Level::Failure);
    Ok(if broken { ExitCode::FAILURE } else { DONE })
}

/// Everything that is found on this host.
pub(crate) async fn findings(desired: &Desired, live: &Live) -> Result<Vec<Finding>> {
    let (ruleset, question) = (Call::nft(["-j", "list", "ruleset"]), routes::question(desired));
    let (ruleset, answer, uplink) =
        tokio::join!(json(&ThisHost, &ruleset), ThisHost.call(&question), uplink(&ThisHost));
    let answer = answer.context("the routes of this host cannot be read")?;
    let bridges = live.found.keys().filter(|id| id.kind == Kind::Network);
    let standing: BTreeSet<&str> = bridges.map(|id| id.name.as_str()).collect();
    let readings = Readings {
        ruleset: ruleset.context("the kernel's rules cannot be read")?,
        kernel: Kernel::read(Path::new("/"), !standing.is_empty()),
        uplink: uplink.context("the routes of this host cannot be read")?,
        routes: routes::ways(desired, &answer, &standing),
    };
    Ok(doctor::findings(desired, &readings))
}
