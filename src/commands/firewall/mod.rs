//! `anklume firewall`: the isolation between domains, one verb per file.

mod show;

use std::process::ExitCode;

use anyhow::Result;

use crate::cli::FirewallCommand;
use crate::ui::Ui;

/// Runs the verb.
pub(crate) async fn run(command: FirewallCommand, ui: Ui) -> Result<ExitCode> {
    match command {
        FirewallCommand::Show => show::run(ui).await,
    }
}
