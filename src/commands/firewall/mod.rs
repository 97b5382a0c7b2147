//! `anklume firewall`: the isolation between domains, one verb per file.

mod explain;
mod export;
mod show;
mod verify;
mod watch;

use std::process::ExitCode;

use anyhow::Result;

use crate::cli::{FirewallCommand, Global};
use crate::ui::Ui;

/// Runs the verb.
pub(crate) async fn run(global: &Global, command: FirewallCommand, ui: Ui) -> Result<ExitCode> {
    match command {
        FirewallCommand::Export { to } => export::run(global, to.as_deref(), ui).await,
        FirewallCommand::Explain(args) => explain::run(global, &args, ui).await,
        FirewallCommand::Show(args) => show::run(&args, ui).await,
        FirewallCommand::Verify(args) => verify::run(global, &args, ui).await,
        FirewallCommand::Watch(args) => watch::run(&args, ui).await,
    }
}
