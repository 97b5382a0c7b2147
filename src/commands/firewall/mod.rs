//! `anklume firewall`: the isolation between domains, one verb per file.

mod apply;
mod confirm;
pub(crate) mod doctor;
mod explain;
mod export;
mod load;
mod show;
mod trial;
mod verify;
mod watch;

use std::process::ExitCode;

use anyhow::Result;

use crate::cli::{FirewallCommand, Global};
use crate::ui::Ui;

/// Runs the verb.
pub(crate) async fn run(global: &Global, command: FirewallCommand, ui: Ui) -> Result<ExitCode> {
    match command {
        FirewallCommand::Apply(args) => apply::run(global, &args, ui).await,
        FirewallCommand::Confirm => confirm::run(ui),
        FirewallCommand::Trial { seconds } => trial::run(seconds, ui).await,
        FirewallCommand::Doctor(args) => doctor::run(global, &args, ui).await,
        FirewallCommand::Export { to } => export::run(global, to.as_deref(), ui).await,
        FirewallCommand::Explain(args) => explain::run(global, &args, ui).await,
        FirewallCommand::Load(args) => load::run(&args, ui).await,
        FirewallCommand::Show(args) => show::run(&args, ui).await,
        FirewallCommand::Verify(args) => verify::run(global, &args, ui).await,
        FirewallCommand::Watch(args) => watch::run(&args, ui).await,
    }
}
